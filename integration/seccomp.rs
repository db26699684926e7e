//! Seccomp profiles in force: what each action makes of a call, by every entry of the kernel, at `start` and at `exec`.

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::case::cases;
use crate::support::{Container, Exit, Need, needs};

cases![
    allowed_calls_pass,
    an_error_is_the_profiles,
    an_error_is_eperm_by_default,
    a_rule_may_have_an_errno_of_its_own,
    a_call_ends_the_process,
    a_call_ends_the_thread,
    a_call_raises_a_signal,
    a_logged_call_passes,
    a_traced_call_without_a_tracer_does_not_exist,
    arguments_are_compared,
    masks_are_compared,
    upper_halves_count,
    newer_calls_do_not_exist,
    a_call_of_32_bit_x86_is_filtered,
    an_unlisted_entry_ends_the_process,
    a_call_of_x32_is_filtered,
    without_no_new_privileges,
    a_user_without_no_new_privileges,
    in_a_user_namespace,
    a_profile_of_nothing_but_the_program,
    each_flag_is_taken,
    exec_is_filtered,
    exec_is_filtered_without_no_new_privileges,
    an_agent_answers,
    an_agent_answers_without_no_new_privileges,
    an_agent_answers_for_exec,
    an_agent_may_be_asked_about_every_call,
    a_listener_that_cannot_be_handed_over_is_an_error,
    without_an_agent_nothing_starts,
    an_unknown_name_is_passed_over,
    bad_profiles_are_refused,
];

fn profile(default: &str, rules: &Value) -> Value {
    let architectures = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64"]);
    json!({"defaultAction": default, "architectures": architectures, "syscalls": rules})
}

/// Everything is allowed but mkdir.
fn mkdir_is(action: &str) -> Value {
    profile("SCMP_ACT_ALLOW", &json!([{"names": ["mkdir", "mkdirat"], "action": action}]))
}

fn confined<'a>(profile: Value, words: impl IntoIterator<Item = &'a str>) -> Container {
    Container::new().set("/linux/seccomp", profile).args(words)
}

const MAKES: [&str; 2] = ["try-mkdir", "/dev/shm/x"];

fn allowed_calls_pass() {
    let c = confined(profile("SCMP_ACT_ALLOW", &json!([])), MAKES);
    assert_eq!(c.run().ok().stdout, "ok\n");
}

fn an_error_is_the_profiles() {
    let mut profile = mkdir_is("SCMP_ACT_ERRNO");
    profile["syscalls"][0]["errnoRet"] = json!(17);
    let output = confined(profile, ["sequence", "try-mkdir", "/dev/shm/x", "--", "report"]).run().ok();
    assert!(output.stdout.starts_with("EEXIST\n"), "{}", output.stdout);
    assert_eq!(output.report()["seccomp"], 2);
}

fn an_error_is_eperm_by_default() {
    assert_eq!(confined(mkdir_is("SCMP_ACT_ERRNO"), MAKES).run().ok().stdout, "EPERM\n");
}

fn a_rule_may_have_an_errno_of_its_own() {
    let rules = json!([
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
        {"names": ["chroot"], "action": "SCMP_ACT_ERRNO", "errnoRet": 2},
    ]);
    let c =
        confined(profile("SCMP_ACT_ALLOW", &rules), ["sequence", "try-mkdir", "/dev/shm/x", "--", "syscall", "161"]);
    needs_x86();
    assert_eq!(c.run().ok().stdout, "ENOSPC\nENOENT\n");
}

fn a_call_ends_the_process() {
    confined(mkdir_is("SCMP_ACT_KILL_PROCESS"), MAKES).run().exits(128 + 31);
}

fn a_call_ends_the_thread() {
    confined(mkdir_is("SCMP_ACT_KILL"), MAKES).run().exits(128 + 31);
    confined(mkdir_is("SCMP_ACT_KILL_THREAD"), MAKES).run().exits(128 + 31);
}

fn a_call_raises_a_signal() {
    let c = confined(mkdir_is("SCMP_ACT_TRAP"), MAKES);
    c.create().ok();
    c.start().ok();
    assert_eq!(c.wait_exit(), Exit::Signal(31));
}

fn a_logged_call_passes() {
    assert_eq!(confined(mkdir_is("SCMP_ACT_LOG"), MAKES).run().ok().stdout, "ok\n");
}

fn a_traced_call_without_a_tracer_does_not_exist() {
    assert_eq!(confined(mkdir_is("SCMP_ACT_TRACE"), MAKES).run().ok().stdout, "ENOSYS\n");
}

fn needs_x86() {
    needs(Need::Machine("x86_64"));
}

/// dup3 (292): the third argument is its flags. Descriptor 99 isn't open, so that what passes gets EBADF.
fn dup3(op: &str, value: u64, value_two: u64) -> Value {
    let args = json!([{"index": 2, "op": op, "value": value, "valueTwo": value_two}]);
    profile("SCMP_ACT_ALLOW", &json!([{"names": ["dup3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28, "args": args}]))
}

fn arguments_are_compared() {
    needs_x86();
    for (op, denied, passes) in [
        ("SCMP_CMP_EQ", "5", "6"),
        ("SCMP_CMP_NE", "6", "5"),
        ("SCMP_CMP_LT", "4", "5"),
        ("SCMP_CMP_LE", "5", "6"),
        ("SCMP_CMP_GE", "5", "4"),
        ("SCMP_CMP_GT", "6", "5"),
    ] {
        let words = ["sequence", "syscall", "292", "99", "98", denied, "--", "syscall", "292", "99", "98", passes];
        let out = confined(dup3(op, 5, 0), words).run().ok().stdout;
        let lines: Vec<&str> = out.lines().collect();
        assert!(lines[0] == "ENOSPC" && lines[1] != "ENOSPC", "{op}: {out}");
    }
}

fn masks_are_compared() {
    needs_x86();
    let words = ["sequence", "syscall", "292", "99", "98", "13", "--", "syscall", "292", "99", "98", "9"];
    let out = confined(dup3("SCMP_CMP_MASKED_EQ", 6, 4), words).run().ok().stdout;
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0] == "ENOSPC" && lines[1] != "ENOSPC", "{out}");
}

fn upper_halves_count() {
    needs_x86();
    let words = ["syscall", "292", "99", "98", "4294967301"];
    assert_ne!(confined(dup3("SCMP_CMP_EQ", 5, 0), words).run().ok().stdout, "ENOSPC\n");
    assert_eq!(confined(dup3("SCMP_CMP_EQ", 4_294_967_301, 0), words).run().ok().stdout, "ENOSPC\n");
}

fn newer_calls_do_not_exist() {
    needs_x86();
    // What the profile doesn't name is refused; what is newer than all that it names (statx, 332) doesn't exist.
    let c = confined(allow_list(&["statx"], "SCMP_ACT_ERRNO"), ["sequence", "syscall", "161", "--", "syscall", "500"]);
    assert_eq!(c.run().ok().stdout, "EPERM\nENOSYS\n");
}

/// What the probe and a dynamic start-up need, and some more.
fn allow_list(more: &[&str], default: &str) -> Value {
    let mut names = vec![
        "execve",
        "exit",
        "exit_group",
        "write",
        "writev",
        "read",
        "brk",
        "mmap",
        "munmap",
        "mprotect",
        "arch_prctl",
        "futex",
        "set_tid_address",
        "set_robust_list",
        "rseq",
        "prlimit64",
        "getrandom",
        "readlink",
        "readlinkat",
        "poll",
        "ppoll",
        "rt_sigaction",
        "rt_sigprocmask",
        "sigaltstack",
        "openat",
        "close",
        "fstat",
        "newfstatat",
        "sched_getaffinity",
        "gettid",
        "madvise",
        "mremap",
        "clock_gettime",
        "fcntl",
        "uname",
    ];
    names.extend(more);
    profile(default, &json!([{"names": names, "action": "SCMP_ACT_ALLOW"}]))
}

/// getpid is 20 there, and chroot 61.
fn a_call_of_32_bit_x86_is_filtered() {
    needs_x86();
    let rules = json!([{"names": ["chroot"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]);
    let c = confined(profile("SCMP_ACT_ALLOW", &rules), ["sequence", "syscall32", "20", "--", "syscall32", "61"]);
    assert_eq!(c.run().ok().stdout, "ok 1\nENOSPC\n");
}

fn an_unlisted_entry_ends_the_process() {
    needs_x86();
    let mut profile = mkdir_is("SCMP_ACT_ERRNO");
    profile["architectures"] = json!(["SCMP_ARCH_X86_64"]);
    confined(profile, ["syscall32", "20"]).run().exits(128 + 31);
}

/// The bit 0x40000000 marks its numbers. A kernel without x32 says ENOSYS to what the filter lets pass.
fn a_call_of_x32_is_filtered() {
    needs_x86();
    let rules = json!([{"names": ["chroot"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]);
    let c = confined(profile("SCMP_ACT_ALLOW", &rules), ["syscall", "1073741985"]);
    assert_eq!(c.run().ok().stdout, "ENOSPC\n");
}

fn without_no_new_privileges() {
    let c = confined(mkdir_is("SCMP_ACT_ERRNO"), ["sequence", "try-mkdir", "/dev/shm/x", "--", "report"]);
    let output = c.set("/process/noNewPrivileges", false).run().ok();
    assert!(output.stdout.starts_with("EPERM\n"), "{}", output.stdout);
    let report = output.report();
    assert_eq!((&report["noNewPrivs"], &report["seccomp"]), (&json!(0), &json!(2)));
}

fn a_user_without_no_new_privileges() {
    let c = confined(mkdir_is("SCMP_ACT_ERRNO"), ["sequence", "try-mkdir", "/dev/shm/x", "--", "report"])
        .set("/process/noNewPrivileges", false)
        .set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let report = c.run().ok().report();
    assert_eq!((&report["seccomp"], &report["uid"]["real"]), (&json!(2), &json!(1000)));
    assert_eq!(report["capabilities"]["effective"], json!([]));
}

fn in_a_user_namespace() {
    for no_new_privileges in [true, false] {
        let c = confined(mkdir_is("SCMP_ACT_ERRNO"), MAKES).user_namespace(100_000, 65_536);
        assert_eq!(c.set("/process/noNewPrivileges", no_new_privileges).run().ok().stdout, "EPERM\n");
    }
}

/// The runtime's own calls need no permission: nothing but execve stands between the filter and the program.
fn a_profile_of_nothing_but_the_program() {
    let c = confined(allow_list(&[], "SCMP_ACT_KILL_PROCESS"), ["print", "through"]);
    assert_eq!(c.run().ok().stdout, "through\n");
}

fn each_flag_is_taken() {
    for flag in ["LOG", "SPEC_ALLOW", "TSYNC", "WAIT_KILLABLE_RECV"] {
        let mut profile = mkdir_is("SCMP_ACT_ERRNO");
        profile["flags"] = json!([format!("SECCOMP_FILTER_FLAG_{flag}")]);
        assert_eq!(confined(profile, MAKES).run().ok().stdout, "EPERM\n", "{flag}");
    }
}

fn exec<'a>(c: &Container, words: impl IntoIterator<Item = &'a str>) -> crate::support::Output {
    c.call("exec").arg(c.id()).arg("/probe").args(words).run()
}

fn exec_is_filtered() {
    let c = confined(mkdir_is("SCMP_ACT_ERRNO"), ["sleep"]).up();
    assert_eq!(exec(&c, MAKES).quiet().stdout, "EPERM\n");
    assert_eq!(exec(&c, ["report"]).quiet().report()["seccomp"], 2);
}

/// As Docker has it: clone3 doesn't exist, and clone may make no namespaces.
fn exec_is_filtered_without_no_new_privileges() {
    for profile in [DOCKER, PODMAN] {
        let profile: Value = serde_json::from_str(profile).expect("a profile is JSON");
        let c = confined(profile, ["sleep"]).set("/process/noNewPrivileges", false).up();
        let unconfined = Container::new().args(["syscall", "323", "1"]).run().ok().stdout;
        assert_ne!(unconfined, "EPERM\n", "the call below would prove nothing");
        let report = exec(&c, ["report"]).quiet().report();
        assert_eq!((&report["noNewPrivs"], &report["seccomp"]), (&json!(0), &json!(2)));
        needs_x86();
        // userfaultfd(UFFD_USER_MODE_ONLY) needs no privilege, and neither profile has it.
        assert_eq!(exec(&c, ["syscall", "323", "1"]).quiet().stdout, "EPERM\n");
    }
}

const DOCKER: &str = include_str!("../src/seccomp/tests/docker.json");
const PODMAN: &str = include_str!("../src/seccomp/tests/podman.json");

/// mkdir asks the agent.
fn notifying(agent: &Agent, words: &[&str]) -> Container {
    let mut profile = mkdir_is("SCMP_ACT_NOTIFY");
    profile["listenerPath"] = json!(agent.path());
    profile["listenerMetadata"] = json!("from the config");
    confined(profile, words.iter().copied())
}

fn agent(c: &Container) -> Agent {
    Agent::new(c.dir())
}

fn answered(no_new_privileges: bool) {
    let place = Container::new();
    let agent = agent(&place);
    let words = ["sequence", "try-mkdir", "/dev/shm/x", "--", "try-mkdir", "/dev/shm/y", "--", "ls", "/dev/shm"];
    let c = notifying(&agent, &words).set("/process/noNewPrivileges", no_new_privileges);
    c.create().ok();
    c.start().ok();
    let (state, notified) = agent.receive();
    assert_eq!((&state["fds"], &state["metadata"]), (&json!(["seccompFd"]), &json!("from the config")));
    assert_eq!((&state["pid"], &state["state"]["id"]), (&json!(c.pid()), &json!(c.id())));
    assert_eq!(state["state"]["bundle"], json!(c.bundle()));
    notified.answer(0);
    notified.answer(-13);
    // The agent said that it made one, and it didn't.
    c.wait_for("ok\nEACCES\n{}");
}

fn an_agent_answers() {
    answered(true);
}

fn an_agent_answers_without_no_new_privileges() {
    answered(false);
}

fn an_agent_answers_for_exec() {
    for no_new_privileges in [true, false] {
        let place = Container::new();
        let agent = agent(&place);
        let c = notifying(&agent, &["sleep"]).set("/process/noNewPrivileges", no_new_privileges).up();
        let (_, _init) = agent.receive();
        let call = c.call("exec").arg(c.id()).arg("/probe").args(MAKES).spawn();
        let (state, notified) = agent.receive();
        assert_eq!(state["state"]["status"], "running");
        assert!(state["pid"].as_i64().is_some_and(|pid| pid > 1 && pid != i64::from(c.pid())), "{state}");
        notified.answer(-13);
        assert_eq!(call.wait().ok().stdout, "EACCES\n");
    }
}

/// No call of the runtime's own waits for an agent that has not got the listener: those that would are refused beforehand.
fn an_agent_may_be_asked_about_every_call() {
    let docker: Value = serde_json::from_str(DOCKER).expect("a profile is JSON");
    let names = docker["syscalls"][0]["names"].as_array().expect("a list");
    let asked: Vec<&Value> = names.iter().filter(|name| **name != "write" && **name != "sendmsg").collect();
    for no_new_privileges in [true, false] {
        let place = Container::new();
        let agent = agent(&place);
        let mut profile = profile("SCMP_ACT_ALLOW", &json!([{"names": asked, "action": "SCMP_ACT_NOTIFY"}]));
        profile["listenerPath"] = json!(agent.path());
        let c = confined(profile, ["sleep"]).set("/process/noNewPrivileges", no_new_privileges);
        c.create().ok();
        let start = c.call("start").arg(c.id()).spawn();
        let (_, init) = agent.receive();
        let init = std::thread::spawn(move || init.pass_all());
        start.wait().ok();
        let exec = c.call("exec").arg(c.id()).arg("/probe").args(["print", "asked"]).spawn();
        assert!(agent.receive().1.pass_all() > 5);
        assert_eq!(exec.wait().ok().stdout, "asked\n");
        c.kill("KILL").ok();
        assert!(init.join().expect("the agent's thread") > 5);
    }
}

fn a_listener_that_cannot_be_handed_over_is_an_error() {
    let place = Container::new();
    let agent = agent(&place);
    let mut profile = allow_list(&[], "SCMP_ACT_ERRNO");
    profile["syscalls"].as_array_mut().expect("a list").push(json!({"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}));
    profile["listenerPath"] = json!(agent.path());
    let c = confined(profile, MAKES);
    c.create().ok();
    c.start().fails(["linux.seccomp.listenerPath", "the profile has to allow sendmsg"]);
}

/// The container stays as it was: the agent may come yet.
fn without_an_agent_nothing_starts() {
    let place = Container::new();
    let agent = agent(&place);
    let c = notifying(&agent, &MAKES);
    std::fs::remove_file(agent.path()).expect("take the socket away");
    c.create().ok();
    c.start().fails(["linux.seccomp.listenerPath", "connect"]);
    assert_eq!(c.status(), "created");
}

fn an_unknown_name_is_passed_over() {
    let rules = json!([{"names": ["mkdir", "mkdirat", "no_such_call"], "action": "SCMP_ACT_ERRNO"}]);
    assert_eq!(confined(profile("SCMP_ACT_ALLOW", &rules), MAKES).run().quiet().stdout, "EPERM\n");
}

fn bad_profiles_are_refused() {
    let rule = |rule: Value| profile("SCMP_ACT_ALLOW", &json!([rule]));
    let arg = |arg: Value| rule(json!({"names": ["mkdir"], "action": "SCMP_ACT_LOG", "args": [arg]}));
    for (profile, field) in [
        (profile("SCMP_ACT_MAYBE", &json!([])), "linux.seccomp.defaultAction"),
        (json!({"syscalls": []}), "linux.seccomp"),
        (
            json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_Z80"]}),
            "linux.seccomp.architectures[0]",
        ),
        (json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_X"]}), "linux.seccomp.flags[0]"),
        (rule(json!({"names": ["mkdir"], "action": "SCMP_ACT_MAYBE"})), "linux.seccomp.syscalls[0].action"),
        (rule(json!({"names": [], "action": "SCMP_ACT_LOG"})), "linux.seccomp.syscalls[0].names"),
        (
            rule(json!({"names": ["mkdir"], "action": "SCMP_ACT_ALLOW", "errnoRet": 1})),
            "linux.seccomp.syscalls[0].errnoRet",
        ),
        (
            rule(json!({"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4096})),
            "linux.seccomp.syscalls[0].errnoRet",
        ),
        (rule(json!({"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"})), "linux.seccomp.listenerPath"),
        (rule(json!({"names": ["sendmsg"], "action": "SCMP_ACT_NOTIFY"})), "linux.seccomp.syscalls[0].names[0]"),
        (profile("SCMP_ACT_NOTIFY", &json!([])), "linux.seccomp.defaultAction"),
        (arg(json!({"index": 6, "value": 0, "op": "SCMP_CMP_EQ"})), "linux.seccomp.syscalls[0].args[0].index"),
        (arg(json!({"index": 0, "value": 0, "op": "SCMP_CMP_ISH"})), "linux.seccomp.syscalls[0].args[0].op"),
        (arg(json!({"index": 0, "value": -1, "op": "SCMP_CMP_EQ"})), "linux.seccomp.syscalls[0].args[0].value"),
    ] {
        let c = confined(profile, ["exit", "0"]);
        c.create().fails([field]);
        c.nothing_left();
    }
}
