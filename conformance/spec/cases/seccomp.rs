//! Seccomp filters.

use serde_json::{Value, json};

use crate::case::cases;
use crate::container::Container;
use crate::outcome::{Verdict, applies, expect, same};
use crate::subject::Subject;

cases![
    no_default_action,
    default_action,
    default_errno,
    default_errno_without_use,
    architectures,
    flags,
    no_names,
    empty_names,
    no_action,
    actions,
    errno,
    errno_without_use,
    arguments,
    no_operator,
    operators,
];

const GETPRIORITY: i64 = libc::SYS_getpriority;

/// Everything is allowed but what the rules say about getpriority(2), which no runtime needs.
fn filter(rules: &Value) -> Value {
    json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules})
}

/// What getpriority(2) with these arguments comes to.
fn called(s: &Subject, seccomp: Value, arguments: &[i64]) -> Verdict<String> {
    let numbers: Vec<String> =
        std::iter::once(GETPRIORITY).chain(arguments.iter().copied()).map(|one| one.to_string()).collect();
    let words = std::iter::once("syscall").chain(numbers.iter().map(String::as_str));
    Container::new(s).args(words).set("/linux/seccomp", seccomp).says()
}

fn is(s: &Subject, seccomp: Value, arguments: &[i64], expected: &str) -> Verdict {
    let text = seccomp.to_string();
    let seen = called(s, seccomp, arguments)?;
    expect(seen.starts_with(expected), format!("getpriority{arguments:?} is {expected} with {text}"), seen)
}

fn refused(s: &Subject, seccomp: Value, what: &str) -> Verdict {
    Container::new(s).set("/linux/seccomp", seccomp).refused(what)
}

fn no_default_action(s: &Subject) -> Verdict {
    refused(s, json!({"syscalls": []}), "seccomp has no defaultAction")
}

/// What a static program and a runtime that applies the filter early may call.
const ALLOWED: &str = "access arch_prctl brk capget capset chdir clock_gettime clone clone3 close close_range connect dup dup2 dup3 \
    epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd2 execve execveat exit exit_group faccessat faccessat2 fchdir \
    fchown fcntl fstat fstatfs futex getcwd getdents64 getegid geteuid getgid getpgrp getpid getppid getrandom getrlimit getsockopt \
    gettid getuid ioctl keyctl lseek lstat madvise mmap mprotect mremap munmap nanosleep newfstatat open openat openat2 pipe2 poll \
    ppoll prctl pread64 prlimit64 pselect6 pwrite64 read readlink readlinkat readv recvfrom recvmsg restart_syscall rseq rt_sigaction \
    rt_sigprocmask rt_sigreturn sched_getaffinity sched_yield seccomp sendmsg sendto set_robust_list set_tid_address setgid setgroups \
    setregid setresgid setresuid setreuid setsid setuid shutdown sigaltstack socket stat statfs statx tgkill tkill umask uname unlink \
    unlinkat wait4 waitid write writev";

fn allowed() -> Value {
    json!(ALLOWED.split_whitespace().collect::<Vec<_>>())
}

fn default_action(s: &Subject) -> Verdict {
    let seccomp =
        json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": allowed(), "action": "SCMP_ACT_ALLOW"}]});
    is(s, seccomp, &[0, 0], "EPERM")
}

fn default_errno(s: &Subject) -> Verdict {
    let rules = json!([{"names": allowed(), "action": "SCMP_ACT_ALLOW"}]);
    is(s, json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 22, "syscalls": rules}), &[0, 0], "EINVAL")
}

fn default_errno_without_use(s: &Subject) -> Verdict {
    refused(
        s,
        json!({"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 22}),
        "an errno for SCMP_ACT_ALLOW as the default",
    )
}

fn rule(action: &str) -> Value {
    json!([{"names": ["getpriority"], "action": action}])
}

/// Only the filter's architectures can call; 32 bits beside 64 are filtered as well.
fn architectures(s: &Subject) -> Verdict {
    applies(std::env::consts::ARCH == "x86_64", "another architecture has other neighbours")?;
    let mut seccomp = filter(&rule("SCMP_ACT_ERRNO"));
    seccomp["architectures"] = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]);
    is(s, seccomp.clone(), &[0, 0], "EPERM")?;
    // getpriority is 96 for `int 0x80`.
    let plain = Container::new(s).args(["syscall32", "96", "0", "0"]);
    plain.create()?;
    plain.start()?;
    plain.wait_exit()?;
    let without = plain.stdout().trim().to_owned();
    applies(without.starts_with("ok"), format!("this kernel has no 32-bit calls: {without}"))?;
    let seen = Container::new(s).args(["syscall32", "96", "0", "0"]).set("/linux/seccomp", seccomp).says()?;
    expect(seen == "EPERM", "a 32-bit call is filtered too: EPERM", seen)
}

fn flags(s: &Subject) -> Verdict {
    let mut seccomp = filter(&rule("SCMP_ACT_ERRNO"));
    seccomp["flags"] = json!(["SECCOMP_FILTER_FLAG_LOG"]);
    is(s, seccomp.clone(), &[0, 0], "EPERM")?;
    seccomp["flags"] = json!(["SECCOMP_FILTER_FLAG_NONSENSE"]);
    refused(s, seccomp, "a flag that doesn't exist")
}

fn no_names(s: &Subject) -> Verdict {
    refused(s, filter(&json!([{"action": "SCMP_ACT_ERRNO"}])), "a rule has no names")
}

fn empty_names(s: &Subject) -> Verdict {
    refused(s, filter(&json!([{"names": [], "action": "SCMP_ACT_ERRNO"}])), "a rule's names are empty")
}

fn no_action(s: &Subject) -> Verdict {
    refused(s, filter(&json!([{"names": ["getpriority"]}])), "a rule has no action")
}

/// How a program ends that makes the call: its code, or 128 and the signal.
fn ends(s: &Subject, action: &str) -> Verdict<i32> {
    let number = GETPRIORITY.to_string();
    let c = Container::new(s).args(["syscall", &number, "0", "0"]).set("/linux/seccomp", filter(&rule(action)));
    c.create()?;
    c.start()?;
    c.wait_exit()
}

fn actions(s: &Subject) -> Verdict {
    for action in ["SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP"] {
        let code = ends(s, action)?;
        expect(code == 128 + 31, format!("{action}: the program dies of signal 31"), format!("it ended with {code}"))?;
    }
    is(s, filter(&rule("SCMP_ACT_LOG")), &[0, 0], "ok")?;
    // Without a tracer the call fails.
    is(s, filter(&rule("SCMP_ACT_TRACE")), &[0, 0], "ENOSYS")?;
    is(s, filter(&rule("SCMP_ACT_ALLOW")), &[0, 0], "ok")?;
    same(
        "Seccomp of the status",
        &Container::new(s).set("/linux/seccomp", filter(&rule("SCMP_ACT_ERRNO"))).report()?["seccomp"],
        2,
    )
}

fn errno(s: &Subject) -> Verdict {
    is(s, filter(&json!([{"names": ["getpriority"], "action": "SCMP_ACT_ERRNO", "errnoRet": 16}])), &[0, 0], "EBUSY")
}

fn errno_without_use(s: &Subject) -> Verdict {
    let rules = json!([{"names": ["getpriority"], "action": "SCMP_ACT_KILL", "errnoRet": 16}]);
    refused(s, filter(&rules), "an errno for SCMP_ACT_KILL")
}

fn comparing(op: &str, value: u64, second: u64) -> Value {
    let argument = json!({"index": 1, "value": value, "valueTwo": second, "op": op});
    filter(&json!([{"names": ["getpriority"], "action": "SCMP_ACT_ERRNO", "errnoRet": 16, "args": [argument]}]))
}

fn arguments(s: &Subject) -> Verdict {
    is(s, comparing("SCMP_CMP_EQ", 0, 0), &[0, 0], "EBUSY")?;
    is(s, comparing("SCMP_CMP_EQ", 1, 0), &[0, 0], "ok")
}

fn no_operator(s: &Subject) -> Verdict {
    let rules = json!([{"names": ["getpriority"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 1}]}]);
    refused(s, filter(&rules), "a comparison has no operator")
}

/// The second argument is 1 or 0, which getpriority(2) takes for the process itself and for init.
fn operators(s: &Subject) -> Verdict {
    let rows = [
        ("SCMP_CMP_NE", 1, 0, [true, false]),
        ("SCMP_CMP_LT", 1, 0, [true, false]),
        ("SCMP_CMP_LE", 0, 0, [true, false]),
        ("SCMP_CMP_EQ", 1, 0, [false, true]),
        ("SCMP_CMP_GE", 1, 0, [false, true]),
        ("SCMP_CMP_GT", 0, 0, [false, true]),
        ("SCMP_CMP_MASKED_EQ", 1, 1, [false, true]),
    ];
    for (op, value, second, hits) in rows {
        for (argument, hit) in [0, 1].into_iter().zip(hits) {
            is(s, comparing(op, value, second), &[0, argument], if hit { "EBUSY" } else { "ok" })?;
        }
    }
    Ok(())
}
