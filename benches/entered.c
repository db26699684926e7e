/* entered OUTPUT FUNCTIONS PROGRAM [ARGUMENT...]: runs a program and writes down which of its functions were entered, by it and by the
 * processes that it makes until those execute another program: "p ADDRESS" where the first process was there alone, "c ADDRESS" where one
 * of its children was, "s ADDRESS" where the first process was before it started over. FUNCTIONS has an address a line. x86-64, and a
 * program that is linked for fixed addresses.
 *
 * A breakpoint is put on the beginning of each function, and taken away in the process that hits it. Sources: ptrace(2), proc_pid_mem(5). */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BREAKPOINT = 0xcc };
enum { FIRST = 1, CHILD = 2, START = 4 };

static unsigned long *functions;
static unsigned char *entered;
static size_t count;
/* What is from the first function to the last, as it is and with breakpoints. */
static unsigned char *text, *trapped;
static size_t length;

static int compare(const void *a, const void *b)
{
    unsigned long x = *(const unsigned long *)a, y = *(const unsigned long *)b;
    return (x > y) - (x < y);
}

static void read_functions(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file)
        err(1, "%s", path);
    for (unsigned long address; fscanf(file, "%lx", &address) == 1; count++) {
        functions = realloc(functions, (count + 1) * sizeof *functions);
        functions[count] = address;
    }
    fclose(file);
    if (count == 0)
        errx(1, "%s: no functions", path);
    qsort(functions, count, sizeof *functions, compare);
    entered = calloc(count, 1);
    length = functions[count - 1] + 1 - functions[0];
}

/* Who was told of a breakpoint, and may be there still. */
enum { MOST = 64 };
static pid_t children[MOST];

static int memory_of(pid_t process)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/mem", process);
    int memory = open(path, O_RDWR | O_CLOEXEC);
    if (memory < 0)
        err(1, "%s", path);
    return memory;
}

/* A created container waits for its start, and goes on unwatched then. */
static void let_go(void)
{
    for (size_t i = 0; i < MOST; i++) {
        if (children[i] == 0)
            continue;
        int memory = memory_of(children[i]);
        if (pwrite(memory, text, length, functions[0]) != (ssize_t)length)
            err(1, "take all breakpoints away");
        close(memory);
    }
}

static void replace_child(pid_t old, pid_t new)
{
    for (size_t i = 0; i < MOST; i++)
        if (children[i] == old) {
            children[i] = new;
            return;
        }
    if (old == 0)
        errx(1, "too many processes");
}

/* In a process that was just born, or has just executed the program. */
static void set_breakpoints(pid_t process)
{
    int memory = memory_of(process);
    if (!text) {
        text = malloc(length);
        trapped = malloc(length);
        if (pread(memory, text, length, functions[0]) != (ssize_t)length)
            err(1, "read the program");
        memcpy(trapped, text, length);
        for (size_t i = 0; i < count; i++)
            trapped[functions[i] - functions[0]] = BREAKPOINT;
    }
    if (pwrite(memory, trapped, length, functions[0]) != (ssize_t)length)
        err(1, "set breakpoints");
    close(memory);
}

/* All that was entered so far was before the start over. */
static void started_over(void)
{
    for (size_t i = 0; i < count; i++)
        if (entered[i])
            entered[i] |= START;
}

/* Whether it was one of ours. */
static int passed_breakpoint(pid_t process, int who)
{
    struct user_regs_struct registers;
    if (ptrace(PTRACE_GETREGS, process, 0, &registers) != 0)
        return 0;
    unsigned long address = registers.rip - 1;
    unsigned long *function = bsearch(&address, functions, count, sizeof *functions, compare);
    if (!function)
        return 0;
    entered[function - functions] |= who;
    int memory = memory_of(process);
    if (pwrite(memory, &text[address - functions[0]], 1, address) != 1)
        err(1, "take a breakpoint away");
    close(memory);
    registers.rip = address;
    return ptrace(PTRACE_SETREGS, process, 0, &registers) == 0;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        errx(2, "usage: entered OUTPUT FUNCTIONS PROGRAM [ARGUMENT...]");
    read_functions(argv[2]);
    pid_t first = fork();
    if (first == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        execv(argv[3], argv + 3);
        err(127, "%s", argv[3]);
    }
    int status, result = 1, executed = 0;
    if (first < 0 || waitpid(first, &status, 0) != first)
        err(1, "the first process");
    long events = PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC;
    if (ptrace(PTRACE_SETOPTIONS, first, 0, events) != 0 || ptrace(PTRACE_CONT, first, 0, 0) != 0)
        err(1, "ptrace");
    for (pid_t process; (process = waitpid(-1, &status, __WALL)) > 0;) {
        if (!WIFSTOPPED(status) && process == first) {
            result = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
            let_go();
            break;
        }
        if (!WIFSTOPPED(status)) {
            replace_child(process, 0);
            continue;
        }
        int event = status >> 16, signal = WSTOPSIG(status);
        if (event == PTRACE_EVENT_EXEC && process != first) {
            replace_child(process, 0);
            ptrace(PTRACE_DETACH, process, 0, 0);
            continue;
        }
        if (event == PTRACE_EVENT_EXEC && ++executed == 2)
            started_over();
        /* A new process begins with a stop. */
        if (event == PTRACE_EVENT_EXEC || (process != first && signal == SIGSTOP)) {
            if (process != first)
                replace_child(0, process);
            set_breakpoints(process);
            signal = 0;
        } else if (event != 0 || (signal == SIGTRAP && passed_breakpoint(process, process == first ? FIRST : CHILD))) {
            signal = 0;
        }
        ptrace(PTRACE_CONT, process, 0, signal);
    }
    FILE *output = fopen(argv[1], "w");
    if (!output)
        err(1, "%s", argv[1]);
    for (size_t i = 0; i < count; i++)
        if (entered[i])
            fprintf(output, "%c %lx\n", entered[i] & START ? 's' : entered[i] & CHILD ? 'c' : 'p', functions[i]);
    if (fclose(output) != 0)
        err(1, "%s", argv[1]);
    return result;
}
