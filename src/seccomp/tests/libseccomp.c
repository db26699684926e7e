/* The oracle: compiles a profile with libseccomp, driven as runc drives it, and writes the program to standard output.
 *
 * Standard input has one word list a line:
 *   default ACTION            the default action, as the kernel's number
 *   arch TOKEN                an architecture beside the machine's own, as libseccomp's number (AUDIT_ARCH_*)
 *   rule ACTION NAME [INDEX OP VALUE VALUE2]...
 * OP is the number of SCMP_CMP_*. Names that libseccomp doesn't know are written to standard error and passed over.
 *
 * With one argument, a number, it compiles the profile that often and prints for each time how many nanoseconds it took.
 * With two arguments, TOKEN NAME, it prints the number that the architecture has for a call, negative for none.
 */
#include <fcntl.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE 512
#define LINES 4096

static scmp_filter_ctx filter;

static void fail(const char *what, int error) {
    fprintf(stderr, "%s: %s\n", what, strerror(-error));
    exit(1);
}

static void add_rule(char *words) {
    uint32_t action = strtoul(strtok(words, " "), NULL, 0);
    char *name = strtok(NULL, " ");
    struct scmp_arg_cmp conditions[6];
    unsigned count = 0;
    for (char *index; (index = strtok(NULL, " ")) && count < 6; count++) {
        conditions[count].arg = strtoul(index, NULL, 0);
        conditions[count].op = strtoul(strtok(NULL, " "), NULL, 0);
        conditions[count].datum_a = strtoull(strtok(NULL, " "), NULL, 0);
        conditions[count].datum_b = strtoull(strtok(NULL, " "), NULL, 0);
    }
    int number = seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR) {
        fprintf(stderr, "%s\n", name);
        return;
    }
    int error = seccomp_rule_add_array(filter, action, number, count, conditions);
    /* EEXIST: the same rule once more. EDOM, and EINVAL for a number below 0: no listed architecture has the call. */
    if (error && error != -17 && error != -33 && !(error == -22 && number < 0)) {
        fail(name, error);
    }
}

static void compile(char lines[][LINE], unsigned count, int output) {
    for (unsigned i = 0; i < count; i++) {
        char line[LINE];
        strcpy(line, lines[i]);
        if (!strncmp(line, "default ", 8)) {
            filter = seccomp_init(strtoul(line + 8, NULL, 0));
            if (!filter) {
                fail(line, -22);
            }
            /* A binary tree, libseccomp's best. */
            seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
        } else if (!strncmp(line, "arch ", 5)) {
            int error = seccomp_arch_add(filter, strtoul(line + 5, NULL, 0));
            if (error && error != -17) {
                fail(line, error);
            }
        } else if (!strncmp(line, "rule ", 5)) {
            add_rule(line + 5);
        } else {
            fail(line, -22);
        }
    }
    int error = seccomp_export_bpf(filter, output);
    if (error) {
        fail("export", error);
    }
    seccomp_release(filter);
}

static long nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000L + now.tv_nsec;
}

int main(int argc, char **argv) {
    static char lines[LINES][LINE];
    if (argc == 3) {
        printf("%d\n", seccomp_syscall_resolve_name_arch(strtoul(argv[1], NULL, 0), argv[2]));
        return 0;
    }
    unsigned count = 0;
    for (; count < LINES && fgets(lines[count], LINE, stdin); count++) {
        lines[count][strcspn(lines[count], "\n")] = 0;
    }
    if (argc == 1) {
        compile(lines, count, STDOUT_FILENO);
        return 0;
    }
    int nowhere = open("/dev/null", O_WRONLY);
    for (long rounds = strtol(argv[1], NULL, 0); rounds > 0; rounds--) {
        long begin = nanoseconds();
        compile(lines, count, nowhere);
        printf("%ld\n", nanoseconds() - begin);
    }
    return 0;
}
