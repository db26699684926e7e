//! The program and what it is given: user, groups, umask, directory, environment, HOME, `oom_score_adj`, signals, look-up.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::{Call, Container, Lane, Need, needs};

cases![
    arguments_and_environment_are_exact,
    an_environment_value_may_have_a_newline,
    a_large_environment_arrives,
    the_user_and_group_are_the_configs,
    additional_groups_are_exactly_the_configs,
    many_additional_groups_arrive,
    the_umask_is_the_configs,
    the_umask_is_022_by_default,
    the_callers_umask_does_not_show,
    a_made_directory_has_its_mode_under_any_umask,
    the_directory_is_the_configs,
    a_missing_directory_is_made,
    the_directory_may_be_the_users_alone,
    home_comes_from_passwd_by_uid,
    home_is_the_root_without_a_passwd,
    home_stays_as_the_config_says,
    a_numeric_name_in_passwd_means_nothing,
    a_fifo_for_passwd_does_not_hang,
    a_device_for_passwd_does_not_hang,
    a_gigabyte_of_passwd_does_not_hurt,
    a_directory_for_passwd_does_not_hurt,
    oom_score_adj_is_the_configs,
    oom_score_adj_can_be_lowered,
    oom_score_adj_stays_without_one,
    no_new_privileges_as_configured,
    the_program_is_found_in_the_containers_path,
    the_look_up_skips_what_cannot_be_executed,
    a_relative_program_is_found_from_the_directory,
    a_script_finds_its_interpreter,
    it_leads_its_own_session,
    no_signal_is_ignored_or_blocked,
    signals_that_the_caller_ignores_are_not_ignored,
    only_the_standard_descriptors_are_open,
    unknown_fields_are_ignored,
];

fn report_of(c: &Container) -> Value {
    c.run().ok().report()
}

fn arguments_and_environment_are_exact() {
    let env = json!(["B=2", "A=1=1", "EMPTY=", "HOME=/h", "PATH=/"]);
    let c =
        Container::new().set("/process/env", env.clone()).set("/process/args", json!(["/probe", "report", "", "a b"]));
    let report = report_of(&c);
    assert_eq!(report["args"], json!(["/probe", "report", "", "a b"]));
    assert_eq!(report["env"], env);
}

fn an_environment_value_may_have_a_newline() {
    let c = Container::new().set("/process/env/-", "LINES=one\ntwo");
    let env = report_of(&c)["env"].clone();
    assert!(env.as_array().expect("a list").contains(&json!("LINES=one\ntwo")), "{env}");
}

fn a_large_environment_arrives() {
    let values: Vec<String> = (0..10).map(|name| format!("LARGE{name}={}", "x".repeat(100_000))).collect();
    let c = Container::new().edit(|config| {
        config["process"]["env"].as_array_mut().expect("a list").extend(values.iter().map(|value| json!(value)));
    });
    let env = report_of(&c)["env"].clone();
    let env = env.as_array().expect("a list");
    assert!(values.iter().all(|value| env.contains(&json!(value))), "{} variables arrived", env.len());
}

fn the_user_and_group_are_the_configs() {
    let c = Container::new().set("/process/user", json!({"uid": 1234, "gid": 5678}));
    let report = report_of(&c);
    assert_eq!(report["uid"], json!({"real": 1234, "effective": 1234, "saved": 1234, "fs": 1234}));
    assert_eq!(report["gid"], json!({"real": 5678, "effective": 5678, "saved": 5678, "fs": 5678}));
}

fn additional_groups_are_exactly_the_configs() {
    let c = Container::new().set("/process/user", json!({"uid": 1, "gid": 2, "additionalGids": [30, 40]}));
    assert_eq!(groups(&report_of(&c)), [30, 40]);
    let c = Container::new().set("/process/user", json!({"uid": 1, "gid": 2}));
    assert!(groups(&report_of(&c)).is_empty(), "groups of the caller arrived");
}

/// The supplementary groups; a runtime may repeat the primary one among them.
fn groups(report: &Value) -> Vec<u64> {
    let groups = report["groups"].as_array().expect("a report has groups").iter().filter_map(Value::as_u64);
    let mut groups: Vec<u64> = groups.filter(|group| json!(group) != report["gid"]["real"]).collect();
    groups.sort_unstable();
    groups
}

fn many_additional_groups_arrive() {
    let wanted: Vec<u64> = (10_000..12_000).collect();
    let c = Container::new().set("/process/user/additionalGids", json!(wanted));
    assert_eq!(groups(&report_of(&c)), wanted);
}

fn the_umask_is_the_configs() {
    let c = Container::new().set("/process/user/umask", 0o027);
    assert_eq!(report_of(&c)["umask"], 0o027);
}

fn the_umask_is_022_by_default() {
    assert_eq!(report_of(&Container::new())["umask"], 0o022);
}

fn the_callers_umask_does_not_show() {
    let report = run_with_umask(&Container::new());
    assert_eq!(report["umask"], 0o022);
    assert_eq!(report["dev"]["null"]["mode"], 0o666);
}

fn a_made_directory_has_its_mode_under_any_umask() {
    needs(Need::Not("crun", "its umask is the caller's"));
    needs(Need::Not("runc", "its umask is the caller's"));
    let c = Container::new().set("/process/cwd", "/made/here");
    run_with_umask(&c);
    let made = fs::metadata(c.rootfs().join("made")).expect("the directory is made");
    assert_eq!(made.mode() & 0o777, 0o755);
}

fn run_with_umask(c: &Container) -> Value {
    let call = c.prepare(Call::launched(c.dir(), &["--umask", "077"]));
    call.arg("run").arg("--bundle").arg(c.bundle()).arg(c.id()).run().ok().report()
}

fn the_directory_is_the_configs() {
    let c = Container::new().directory("/some/where").set("/process/cwd", "/some/where");
    assert_eq!(report_of(&c)["cwd"], "/some/where");
}

fn a_missing_directory_is_made() {
    let c = Container::new().set("/process/cwd", "/not/there/yet");
    assert_eq!(report_of(&c)["cwd"], "/not/there/yet");
    let made = fs::metadata(c.rootfs().join("not/there/yet")).expect("it was made in the root file system");
    assert_eq!((made.mode() & 0o777, made.uid()), (0o755, 0));
}

fn the_directory_may_be_the_users_alone() {
    let c = Container::new().directory("/private").set("/process/cwd", "/private").set("/process/user/uid", 1000);
    let path = c.rootfs().join("private");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("chmod");
    std::os::unix::fs::chown(&path, Some(1000), Some(1000)).expect("chown");
    assert_eq!(report_of(&c)["cwd"], "/private");
}

fn home_of(c: &Container) -> String {
    let report = report_of(c);
    let env = report["env"].as_array().expect("a list").iter().filter_map(Value::as_str);
    let homes: Vec<String> = env.filter_map(|entry| entry.strip_prefix("HOME=")).map(str::to_owned).collect();
    assert_eq!(homes.len(), 1, "HOME stands {} times in the environment", homes.len());
    homes[0].clone()
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbroken line\nsomeone:x:1234:1:,,:/home/someone:/bin/sh\n";

fn home_comes_from_passwd_by_uid() {
    let c = Container::new().file("/etc/passwd", PASSWD).set("/process/user/uid", 1234);
    assert_eq!(home_of(&c), "/home/someone");
    let c = Container::new().file("/etc/passwd", PASSWD);
    assert_eq!(home_of(&c), "/root");
}

fn home_is_the_root_without_a_passwd() {
    needs(Need::Not("crun", "it leaves HOME unset"));
    assert_eq!(home_of(&Container::new()), "/");
    let c = Container::new().file("/etc/passwd", PASSWD).set("/process/user/uid", 77);
    assert_eq!(home_of(&c), "/");
}

fn home_stays_as_the_config_says() {
    let c = Container::new().file("/etc/passwd", PASSWD).set("/process/env/-", "HOME=/mine");
    assert_eq!(home_of(&c), "/mine");
}

fn a_numeric_name_in_passwd_means_nothing() {
    let c = Container::new().file("/etc/passwd", "1000:x:0:0::/stolen:/bin/sh\n").set("/process/user/uid", 1000);
    let report = report_of(&c);
    assert_eq!(report["uid"]["effective"], 1000);
    assert!(!report["env"].to_string().contains("/stolen"), "{}", report["env"]);
}

fn a_fifo_for_passwd_does_not_hang() {
    needs(Need::Not("runc", "it waits for a writer"));
    needs(Need::Not("crun", "it waits for a writer"));
    let c = Container::new().directory("/etc");
    let fifo = c.rootfs().join("etc/passwd");
    rustix::fs::mknodat(rustix::fs::CWD, fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o644), 0)
        .expect("make a FIFO");
    assert_eq!(home_of(&c), "/");
}

fn a_device_for_passwd_does_not_hang() {
    needs(Need::Not("runc", "it reads until its memory ends"));
    needs(Need::Not("crun", "it reads until its memory ends"));
    let c = Container::new().directory("/etc");
    let (path, device) = (c.rootfs().join("etc/passwd"), rustix::fs::makedev(1, 5));
    let kind = rustix::fs::FileType::CharacterDevice;
    rustix::fs::mknodat(rustix::fs::CWD, path, kind, rustix::fs::Mode::from_raw_mode(0o666), device)
        .expect("make a zero");
    assert_eq!(home_of(&c), "/");
    let c = Container::new().symlink("/etc/passwd", "/dev/zero");
    assert_eq!(home_of(&c), "/");
}

fn a_gigabyte_of_passwd_does_not_hurt() {
    needs(Need::Not("runc", "it reads all of it"));
    needs(Need::Not("crun", "it reads all of it"));
    let c = Container::new().file("/etc/passwd", "");
    let file = fs::OpenOptions::new().write(true).open(c.rootfs().join("etc/passwd")).expect("open");
    file.set_len(1 << 30).expect("make it a gigabyte");
    let output = c.run().ok();
    assert!(output.report()["env"].to_string().contains("HOME=/\""));
    assert!(output.took < std::time::Duration::from_secs(2), "it took {} ms", output.took.as_millis());
}

fn a_directory_for_passwd_does_not_hurt() {
    needs(Need::Not("crun", "it leaves HOME unset"));
    needs(Need::Not("runc", "it gives up on a passwd that it can't read"));
    assert_eq!(home_of(&Container::new().directory("/etc/passwd")), "/");
}

fn oom_score_adj_is_the_configs() {
    let c = Container::new().set("/process/oomScoreAdj", 555);
    assert_eq!(report_of(&c)["oomScoreAdj"], 555);
}

fn oom_score_adj_can_be_lowered() {
    needs(Need::Capability("CAP_SYS_RESOURCE"));
    let c = Container::new().set("/process/oomScoreAdj", -998);
    assert_eq!(report_of(&c)["oomScoreAdj"], -998);
}

fn oom_score_adj_stays_without_one() {
    let mine = fs::read_to_string("/proc/self/oom_score_adj").expect("read oom_score_adj");
    assert_eq!(report_of(&Container::new())["oomScoreAdj"].to_string(), mine.trim());
}

fn no_new_privileges_as_configured() {
    assert_eq!(report_of(&Container::new())["noNewPrivs"], 1);
    assert_eq!(report_of(&Container::new().set("/process/noNewPrivileges", false))["noNewPrivs"], 0);
    assert_eq!(report_of(&Container::new().unset("/process/noNewPrivileges"))["noNewPrivs"], 0);
}

fn the_program_is_found_in_the_containers_path() {
    let c =
        Container::new().set("/process/args", json!(["probe", "report"])).set("/process/env", json!(["PATH=/none:/"]));
    assert_eq!(report_of(&c)["exe"], "/probe");
}

fn the_look_up_skips_what_cannot_be_executed() {
    let c = Container::new().file("/first/probe", "not executable").directory("/second/probe");
    let c = c.set("/process/args", json!(["probe", "report"])).set("/process/env", json!(["PATH=/first:/second:/"]));
    assert_eq!(report_of(&c)["exe"], "/probe");
}

fn a_relative_program_is_found_from_the_directory() {
    let c = Container::new()
        .directory("/sub")
        .set("/process/cwd", "/sub")
        .set("/process/args", json!(["../probe", "report"]));
    assert_eq!(report_of(&c)["exe"], "/probe");
}

fn a_script_finds_its_interpreter() {
    let c = Container::new().file("/script", "#!/probe report\n").set("/process/args", json!(["/script"]));
    fs::set_permissions(c.rootfs().join("script"), fs::Permissions::from_mode(0o755)).expect("chmod");
    assert_eq!(report_of(&c)["args"], json!(["/probe", "report", "/script"]));
}

fn it_leads_its_own_session() {
    let report = report_of(&Container::new());
    assert_eq!((&report["pid"], &report["sid"]), (&json!(1), &json!(1)));
}

fn no_signal_is_ignored_or_blocked() {
    let seen = report_of(&Container::new())["signals"].clone();
    assert_eq!((ignored(&seen), &seen["blocked"]), (vec![Signal::PIPE.as_raw().into()], &json!([])));
}

/// The run-time of the probe ignores SIGPIPE. 32 and 33 are the C library's own, which may be anything while it starts a program.
fn ignored(signals: &Value) -> Vec<i64> {
    let ignored = signals["ignored"].as_array().expect("a list").iter().filter_map(Value::as_i64);
    ignored.filter(|signal| !(32..=33).contains(signal)).collect()
}

/// As with `nohup`, and with a real-time signal.
fn signals_that_the_caller_ignores_are_not_ignored() {
    let ignoring = |c: &Container, words: &[&str]| {
        let shell =
            Call::new(c.dir(), "/bin/bash").args(["-c", "trap '' HUP INT USR1 RTMIN RTMIN+5; exec \"$@\"", "bash"]);
        let report = c.prepare(shell.arg(Lane::get().runtime())).args(words).run().ok().report();
        ignored(&report["signals"])
    };
    let pipe = [i64::from(Signal::PIPE.as_raw())];
    let c = Container::new();
    c.write_config();
    assert_eq!(ignoring(&c, &["run", "--bundle", c.bundle().to_str().expect("a path in UTF-8"), c.id()]), pipe);
    let c = Container::sleeping();
    assert_eq!(ignoring(&c, &["exec", c.id(), "/probe", "report"]), pipe);
}

fn only_the_standard_descriptors_are_open() {
    let report = report_of(&Container::new());
    let open: Vec<&String> = report["fds"].as_object().expect("a report has descriptors").keys().collect();
    assert_eq!(open, ["0", "1", "2"]);
}

fn unknown_fields_are_ignored() {
    let c = Container::new().set("/newTopLevel", json!({"a": 1})).set("/process/newField", "x");
    let c = c.set("/linux/newField", json!([1, 2])).set("/root/newField", true).set("/mounts/0/newField", 1);
    c.run().quiet();
}
