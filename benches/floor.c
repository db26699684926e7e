/*
 * floor run ROOTFS CGROUP [OPTION...] [-- PROGRAM [ARGUMENT...]]
 *     --masked N        so many of /masked/0, /masked/1 ... are masked, and nothing else
 *     --bound N         so many read-only bind mounts of /etc/hostname, at /run/0, /run/1 ...
 *     --docker          what Docker's config has in place of the default one's
 *     --seccomp FILE    a filter, as the kernel takes it
 *     --pid-file FILE   writes down the pid and doesn't wait for it
 * floor exec PID CGROUP [--docker] [--seccomp FILE]
 * floor kill PID
 * floor delete CGROUP
 *
 * The system calls that a container with the default `spec` config (terminal off) can't do without, and nothing else. It reads no
 * config, keeps no state, checks nothing that the kernel doesn't check, and runs /bin/true if nothing else is named.
 * What a runtime needs above this is what it could still save.
 *
 * The cheapest way counts, not the safest one: the default mounts go by path, as nothing in this root can be a trap. Where there are
 * many, a path is resolved inside the root and nothing is mounted by path, as that is what a runtime may not leave out.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

/* As not every C library has those of the newer ones, and they can't be had together with the kernel's own header. */
#define mount(source, target, type, flags, data) syscall(SYS_mount, source, target, type, flags, data)
#define umount2(target, flags) syscall(SYS_umount2, target, flags)
#define open_tree(dir, path, flags) syscall(SYS_open_tree, dir, path, flags)
#define move_mount(from, from_path, to, to_path, flags) syscall(SYS_move_mount, from, from_path, to, to_path, flags)
#define mount_setattr(dir, path, flags, attr, size) syscall(SYS_mount_setattr, dir, path, flags, attr, size)
#define fsopen(type, flags) syscall(SYS_fsopen, type, flags)
#define fsconfig(fs, command, key, value, aux) syscall(SYS_fsconfig, fs, command, key, value, aux)
#define fsmount(fs, flags, attr) syscall(SYS_fsmount, fs, flags, attr)
#define MNT_DETACH 2

static void fail(const char *call)
{
	fprintf(stderr, "floor: %s: %s\n", call, strerror(errno));
	_exit(125);
}

/* What is asked for beside the default config. */
static struct {
	int masked, bound;
	bool docker;
	const char *seccomp, *pid_file;
	char **program;
} wish;

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
	for (size_t i = 0; !wish.masked && i < LENGTH(masked); i++)
		if (mount("/dev/null", masked[i], NULL, MS_BIND, NULL) && errno == ENOTDIR)
			must(mount("tmpfs", masked[i], "tmpfs", MS_RDONLY, "size=0k"));
		else if (errno != ENOENT && errno != ENOTDIR)
			fail(masked[i]);
}

/* ---- what there are many of: by descriptors, and never by a path that a link could bend ---- */

static int find(int root, const char *path)
{
	const struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	return syscall(SYS_openat2, root, path, &how, sizeof how);
}

static int copy(int tree, const char *path)
{
	int copied = open_tree(tree, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	must(copied);
	return copied;
}

static void attach(int tree, int target)
{
	must(move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
	must(close(tree));
	must(close(target));
}

static void set(int tree, struct mount_attr attributes)
{
	must(mount_setattr(tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes));
}

static void bind(int root, const char *source, const char *path, struct mount_attr attributes)
{
	int target = find(root, path);
	if (target < 0 && errno == ENOENT) {
		must(close(open(path + 1, O_CREAT | O_WRONLY | O_CLOEXEC, 0644)));
		target = find(root, path);
	}
	must(target);
	int tree = copy(AT_FDCWD, source);
	set(tree, attributes);
	attach(tree, target);
}

/* From within the root that is not yet the root. */
static void bind_all(void)
{
	static const char *const dockers[] = { "/etc/resolv.conf", "/etc/hostname", "/etc/hosts" };
	const struct mount_attr read_only = { .attr_set = MOUNT_ATTR_RDONLY }, private = { .propagation = MS_PRIVATE };
	if (!wish.bound && !wish.docker)
		return;
	int root = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	must(root);
	for (size_t i = 0; wish.docker && i < LENGTH(dockers); i++)
		bind(root, "/etc/hostname", dockers[i], private);
	for (int i = 0; i < wish.bound; i++) {
		char path[32];
		snprintf(path, sizeof path, "/run/%d", i);
		bind(root, "/etc/hostname", path, read_only);
	}
	must(close(root));
}

static void mask_many(void)
{
	if (!wish.masked)
		return;
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), null = copy(AT_FDCWD, "/dev/null");
	set(null, (struct mount_attr) { .attr_set = MOUNT_ATTR_RDONLY });
	int files = fsopen("tmpfs", FSOPEN_CLOEXEC);
	must(files);
	must(fsconfig(files, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
	int empty = fsmount(files, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY);
	must(empty);
	/* Before Linux 6.15 no copy is made of what is mounted nowhere. */
	int first_file = find(root, "/masked/1"), first_dir = find(root, "/masked/0");
	must(move_mount(null, "", first_file, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
	must(move_mount(empty, "", first_dir, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
	for (int i = 2; i < wish.masked; i++) {
		char path[32];
		struct stat stat;
		snprintf(path, sizeof path, "/masked/%d", i);
		int target = find(root, path);
		must(fstat(target, &stat));
		attach(copy(S_ISDIR(stat.st_mode) ? empty : null, ""), target);
	}
}

static void enter_root(const char *rootfs)
{
	must(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL));
	must(mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL));
	must(chdir(rootfs));
	mount_all();
	bind_all();
	make_devices();
	must(syscall(SYS_pivot_root, ".", "."));
	must(umount2(".", MNT_DETACH));
	if (!wish.docker)
		must(mount(NULL, "/", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
}

static void set_parameter(const char *path, const char *value)
{
	int file = open(path, O_WRONLY | O_CLOEXEC);
	must(file);
	must(write(file, value, strlen(value)));
	must(close(file));
}

static struct sock_filter instructions[BPF_MAXINSNS];
static struct sock_fprog filter = { .filter = instructions };

/* While its path means what it meant to the caller. */
static void read_filter(void)
{
	if (!wish.seccomp)
		return;
	int file = open(wish.seccomp, O_RDONLY | O_CLOEXEC);
	must(file);
	ssize_t size = read(file, instructions, sizeof instructions);
	must(size);
	must(close(file));
	filter.len = size / sizeof *instructions;
}

/* CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, NET_RAW, SYS_CHROOT, MKNOD, AUDIT_WRITE, SETFCAP */
#define DOCKERS_CAPABILITIES 0xa80425fbu

static void drop_privileges(void)
{
	const unsigned few = 1u << CAP_AUDIT_WRITE | 1u << CAP_KILL | 1u << CAP_NET_BIND_SERVICE;
	const unsigned keep = wish.docker ? DOCKERS_CAPABILITIES : few;
	const struct rlimit files = { 1024, 1024 };
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[2] = { { .effective = keep, .permitted = keep } };
	const gid_t root = 0;
	if (wish.docker)
		must(setgroups(1, &root));
	else
		must(setrlimit(RLIMIT_NOFILE, &files));
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (cap >= 32 || !(keep & 1u << cap))
			must(prctl(PR_CAPBSET_DROP, cap, 0, 0, 0));
	must(syscall(SYS_capset, &header, sets));
	if (!wish.docker)
		must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

static void become_program(void)
{
	static char *environment[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm", NULL };
	/* Without no_new_privs it takes a capability. */
	if (wish.seccomp)
		must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter));
	drop_privileges();
	must(execve(*wish.program, wish.program, environment));
}

static void contain(const char *rootfs)
{
	must(setsid());
	/* Not with the clone: the root of a new cgroup namespace is the cgroup of the one who makes it. */
	must(unshare(CLONE_NEWCGROUP));
	must(sethostname("floor", 5));
	enter_root(rootfs);
	if (wish.docker) {
		set_parameter("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
		set_parameter("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
	}
	protect_paths();
	mask_many();
	become_program();
}

/* ---- the caller's side ---- */

static pid_t give_birth(unsigned long long namespaces, int cgroup)
{
	struct clone_args args = { .flags = namespaces | CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = cgroup };
	pid_t child = syscall(SYS_clone3, &args, sizeof args);
	must(child);
	return child;
}

static int open_cgroup(const char *path)
{
	int cgroup = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	must(cgroup);
	return cgroup;
}

static int wait_for(pid_t child)
{
	int status;
	must(waitpid(child, &status, 0));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int run(const char *rootfs, const char *path)
{
	must(mkdir(path, 0755));
	int cgroup = open_cgroup(path);
	restrict_devices(cgroup);
	pid_t child = give_birth(CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS, cgroup);
	if (child == 0)
		contain(rootfs);
	if (wish.pid_file) {
		FILE *file = fopen(wish.pid_file, "w");
		return !file || fprintf(file, "%d", child) < 0 || fclose(file);
	}
	int status = wait_for(child);
	must(rmdir(path));
	return status;
}

static int exec_in(pid_t init, const char *path)
{
	int cgroup = open_cgroup(path), pidfd = syscall(SYS_pidfd_open, init, 0);
	must(pidfd);
	must(setns(pidfd, CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS | CLONE_NEWCGROUP));
	pid_t child = give_birth(0, cgroup);
	if (child == 0) {
		must(setsid());
		become_program();
	}
	return wait_for(child);
}

static int kill_init(pid_t init)
{
	int pidfd = syscall(SYS_pidfd_open, init, 0);
	must(pidfd);
	must(syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0));
	return 0;
}

static void read_wishes(char **words)
{
	static char *usual[] = { "/bin/true", NULL };
	wish.program = usual;
	for (; *words; words++) {
		if (!strcmp(*words, "--docker"))
			wish.docker = true;
		else if (!strcmp(*words, "--masked") && words[1])
			wish.masked = atoi(*++words);
		else if (!strcmp(*words, "--bound") && words[1])
			wish.bound = atoi(*++words);
		else if (!strcmp(*words, "--seccomp") && words[1])
			wish.seccomp = *++words;
		else if (!strcmp(*words, "--pid-file") && words[1])
			wish.pid_file = *++words;
		else if (!strcmp(*words, "--") && words[1]) {
			wish.program = words + 1;
			return;
		}
	}
}

int main(int argc, char **argv)
{
	const char *verb = argc > 2 ? argv[1] : "";
	if (argc > 3)
		read_wishes(argv + 4);
	read_filter();
	if (!strcmp(verb, "run") && argc > 3)
		return run(argv[2], argv[3]);
	if (!strcmp(verb, "exec") && argc > 3)
		return exec_in(atoi(argv[2]), argv[3]);
	if (!strcmp(verb, "kill"))
		return kill_init(atoi(argv[2]));
	if (!strcmp(verb, "delete")) {
		must(rmdir(argv[2]));
		return 0;
	}
	fputs("floor: run ROOTFS CGROUP [OPTION...] | exec PID CGROUP [OPTION...] | kill PID | delete CGROUP\n", stderr);
	return 2;
}
