/*
 * floor ROOTFS CGROUP: the system calls that a container with the default `spec` config (terminal off) can't do without,
 * and nothing else. It reads no config, keeps no state, checks nothing that the kernel doesn't check, and runs /bin/true.
 * What a runtime needs above this is what it could still save.
 *
 * The cheapest way counts, not the safest one: mounts go by path, as nothing in this root can be a trap.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define LENGTH(array) (sizeof(array) / sizeof(*(array)))

/* Ends the program unless the call succeeded; prints the call as it is written. */
#define must(call) ((long)(call) >= 0 ? (void)0 : fail(#call))

static void fail(const char *call)
{
	fprintf(stderr, "floor: %s: %s\n", call, strerror(errno));
	_exit(125);
}

/* ---- the cgroup and its devices ---- */

enum { VERDICT, CONTEXT, UNDECIDED, TYPE, MAJOR, MINOR };

#define LOAD(to, offset) { .code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = to, .src_reg = CONTEXT, .off = offset }
#define COPY(to, from) { .code = BPF_ALU | BPF_MOV | BPF_X, .dst_reg = to, .src_reg = from }
#define COMPUTE(op, to, value) { .code = BPF_ALU | op, .dst_reg = to, .imm = value }
#define UNLESS(reg, value, skip) { .code = BPF_JMP32 | BPF_JNE, .dst_reg = reg, .off = skip, .imm = value }
#define IF(reg, value, skip) { .code = BPF_JMP32 | BPF_JEQ, .dst_reg = reg, .off = skip, .imm = value }
#define EXIT { .code = BPF_JMP | BPF_EXIT }

/* Everything is denied but making nodes and the standard devices. */
static const struct bpf_insn devices[] = {
	LOAD(UNDECIDED, 0), LOAD(MAJOR, 4), LOAD(MINOR, 8), COPY(TYPE, UNDECIDED),
	COMPUTE(BPF_AND, TYPE, 0xffff), COMPUTE(BPF_RSH, UNDECIDED, 16), COMPUTE(BPF_MOV, VERDICT, 1),
	UNLESS(TYPE, BPF_DEVCG_DEV_CHAR, 21),
	UNLESS(MAJOR, 10, 2), UNLESS(MINOR, 200, 1), EXIT,
	UNLESS(MAJOR, 136, 1), EXIT,
	UNLESS(MAJOR, 5, 4), UNLESS(MINOR, 2, 1), EXIT, UNLESS(MINOR, 0, 1), EXIT,
	UNLESS(MAJOR, 1, 10), UNLESS(MINOR, 9, 1), EXIT, UNLESS(MINOR, 8, 1), EXIT, UNLESS(MINOR, 7, 1), EXIT,
	UNLESS(MINOR, 5, 1), EXIT, UNLESS(MINOR, 3, 1), EXIT,
	COMPUTE(BPF_AND, UNDECIDED, ~BPF_DEVCG_ACC_MKNOD),
	IF(UNDECIDED, 0, 1), COMPUTE(BPF_MOV, VERDICT, 0), EXIT,
};

static void restrict_devices(int cgroup)
{
	union bpf_attr load = {
		.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
		.insns = (unsigned long)devices,
		.insn_cnt = LENGTH(devices),
		.license = (unsigned long)"Apache-2.0",
	};
	int program = syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load);
	must(program);
	union bpf_attr attach = { .target_fd = cgroup, .attach_bpf_fd = program, .attach_type = BPF_CGROUP_DEVICE };
	must(syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach));
}

/* ---- the container's side ---- */

static const struct { const char *type, *at; unsigned long flags; const char *data; } mounts[] = {
	{ "proc", "proc", 0, NULL },
	{ "tmpfs", "dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k" },
	{ "devpts", "dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5" },
	{ "tmpfs", "dev/shm", MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=1777,size=65536k" },
	{ "mqueue", "dev/mqueue", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL },
	{ "sysfs", "sys", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, NULL },
	{ "cgroup2", "sys/fs/cgroup", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RELATIME | MS_RDONLY, NULL },
};

static void mount_all(void)
{
	for (size_t i = 0; i < LENGTH(mounts); i++) {
		if (!strncmp(mounts[i].at, "dev/", 4))
			must(mkdir(mounts[i].at, 0755));
		must(mount(mounts[i].type, mounts[i].at, mounts[i].type, mounts[i].flags, mounts[i].data));
	}
}

static const struct { const char *path; int major, minor; } nodes[] = {
	{ "dev/null", 1, 3 }, { "dev/zero", 1, 5 }, { "dev/full", 1, 7 },
	{ "dev/random", 1, 8 }, { "dev/urandom", 1, 9 }, { "dev/tty", 5, 0 },
};

static const char *const links[][2] = {
	{ "/proc/self/fd", "dev/fd" }, { "/proc/self/fd/0", "dev/stdin" }, { "/proc/self/fd/1", "dev/stdout" },
	{ "/proc/self/fd/2", "dev/stderr" }, { "/proc/kcore", "dev/core" }, { "pts/ptmx", "dev/ptmx" },
};

static void make_devices(void)
{
	umask(0);
	for (size_t i = 0; i < LENGTH(nodes); i++)
		must(mknod(nodes[i].path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)));
	umask(022);
	for (size_t i = 0; i < LENGTH(links); i++)
		must(symlink(links[i][0], links[i][1]));
}

static const char *const read_only[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger" };

static const char *const masked[] = {
	"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
	"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
};

/* A path that this kernel doesn't have needs no protection. */
static void protect_paths(void)
{
	const unsigned long keep = MS_NOSUID | MS_NOEXEC | MS_NODEV;
	for (size_t i = 0; i < LENGTH(read_only); i++)
		if (!mount(read_only[i], read_only[i], NULL, MS_BIND | MS_REC, NULL))
			must(mount(NULL, read_only[i], NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | keep, NULL));
		else if (errno != ENOENT)
			fail(read_only[i]);
	for (size_t i = 0; i < LENGTH(masked); i++)
		if (mount("/dev/null", masked[i], NULL, MS_BIND, NULL) && errno == ENOTDIR)
			must(mount("tmpfs", masked[i], "tmpfs", MS_RDONLY, "size=0k"));
		else if (errno != ENOENT && errno != ENOTDIR)
			fail(masked[i]);
}

static void enter_root(const char *rootfs)
{
	must(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL));
	must(mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL));
	must(chdir(rootfs));
	mount_all();
	make_devices();
	must(syscall(SYS_pivot_root, ".", "."));
	must(umount2(".", MNT_DETACH));
	must(mount(NULL, "/", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
}

static void drop_privileges(void)
{
	const unsigned keep = 1u << CAP_AUDIT_WRITE | 1u << CAP_KILL | 1u << CAP_NET_BIND_SERVICE;
	const struct rlimit files = { 1024, 1024 };
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[2] = { { .effective = keep, .permitted = keep } };
	must(setrlimit(RLIMIT_NOFILE, &files));
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (cap >= 32 || !(keep & 1u << cap))
			must(prctl(PR_CAPBSET_DROP, cap, 0, 0, 0));
	must(syscall(SYS_capset, &header, sets));
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

static void contain(const char *rootfs)
{
	static char *const program[] = { "/bin/true", NULL };
	static char *const environment[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm", NULL };
	must(setsid());
	/* Not with the clone: the root of a new cgroup namespace is the cgroup of the one who makes it. */
	must(unshare(CLONE_NEWCGROUP));
	must(sethostname("floor", 5));
	enter_root(rootfs);
	protect_paths();
	drop_privileges();
	must(execve(program[0], program, environment));
}

/* ---- the caller's side ---- */

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: floor ROOTFS CGROUP\n");
		return 2;
	}
	must(mkdir(argv[2], 0755));
	int cgroup = open(argv[2], O_PATH | O_DIRECTORY | O_CLOEXEC);
	must(cgroup);
	restrict_devices(cgroup);
	struct clone_args args = {
		.flags = CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS | CLONE_INTO_CGROUP,
		.exit_signal = SIGCHLD,
		.cgroup = cgroup,
	};
	pid_t child = syscall(SYS_clone3, &args, sizeof args);
	must(child);
	if (child == 0)
		contain(argv[1]);
	int status;
	must(waitpid(child, &status, 0));
	must(rmdir(argv[2]));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
