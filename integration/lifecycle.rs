//! create, start, state, kill, delete and run in their order, and what a caller sees of each step.

use std::fs;

use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::{Call, Container, Exit, Lane, Need, leftovers, needs};

cases![
    run_exits_with_the_programs_code,
    run_exits_with_128_plus_the_signal,
    run_leaves_nothing,
    run_passes_standard_input,
    run_forwards_signals,
    run_detached_returns_while_it_runs,
    run_keep_leaves_the_stopped_container,
    run_keep_leaves_the_cgroup_until_delete,
    from_created_to_deleted,
    created_has_not_run_the_program,
    the_id_can_be_used_again,
    two_containers_side_by_side,
    the_bundle_is_the_working_directory_by_default,
    the_bundle_can_be_a_relative_path,
    a_changed_config_after_create_has_no_effect,
    the_pid_file_is_digits_alone,
    the_pid_file_replaces_an_older_one,
    a_relative_pid_file_is_the_callers,
    init_becomes_the_callers_child,
    create_leaves_no_other_process,
    an_almost_empty_environment_is_enough,
    no_pivot_gives_the_same_root,
    preserved_descriptors_arrive,
    other_descriptors_do_not_arrive,
    a_missing_preserved_descriptor_is_an_error,
    options_of_engines_are_taken,
    the_state_root_may_be_a_link,
];

fn run_exits_with_the_programs_code() {
    Container::new().args(["exit", "3"]).run().exits(3);
}

fn run_exits_with_128_plus_the_signal() {
    let c = Container::new().args(["sleep"]);
    let run = c.call("run").arg("--bundle").arg(c.bundle()).arg(c.id()).spawn();
    run.wait_for("ready");
    c.kill("KILL").quiet();
    run.wait().exits(128 + 9);
    c.nothing_left();
}

fn run_leaves_nothing() {
    let c = Container::new();
    c.run().quiet();
    c.nothing_left();
}

fn run_passes_standard_input() {
    let c = Container::new().args(["cat", "-"]);
    let output = c.call("run").arg("--bundle").arg(c.bundle()).arg(c.id()).stdin("from outside").run().ok();
    assert_eq!(output.stdout, "from outside");
}

fn run_forwards_signals() {
    for (signal, name) in [(rustix::process::Signal::TERM, "SIGTERM"), (rustix::process::Signal::USR1, "SIGUSR1")] {
        let c = Container::new().args(["sleep"]);
        let run = c.call("run").arg("--bundle").arg(c.bundle()).arg(c.id()).spawn();
        run.wait_for("ready");
        run.signal(signal);
        let output = run.wait().exits(128 + signal.as_raw());
        assert!(output.stdout.contains(name), "the program got {:?}", output.stdout);
        c.nothing_left();
    }
}

fn run_detached_returns_while_it_runs() {
    let c = Container::new().args(["sleep"]);
    c.run_with(["--detach"]).quiet();
    c.wait_for("ready");
    assert_eq!(c.status(), "running");
    assert_eq!(c.state()["pid"], json!(c.pid()));
    c.kill("TERM").quiet();
    assert_eq!(c.wait_exit(), Exit::Code(128 + 15));
    c.delete().quiet();
    c.nothing_left();
}

fn run_keep_leaves_the_stopped_container() {
    needs(Need::Not("crun", "older releases have no --keep"));
    let c = Container::new().args(["exit", "7"]);
    c.run_with(["--keep"]).exits(7);
    assert_eq!(c.status(), "stopped");
    assert_eq!(c.state()["pid"], json!(0));
    c.delete().quiet();
    c.nothing_left();
}

fn run_keep_leaves_the_cgroup_until_delete() {
    needs(Need::Not("crun", "older releases have no --keep"));
    let c = Container::new().args(["exit", "0"]);
    c.run_with(["--keep"]).ok();
    assert!(c.cgroup_dir().exists(), "its memory.events can't be read any more");
    c.delete().ok();
    c.nothing_left();
}

fn from_created_to_deleted() {
    let c = Container::new().args(["sleep"]);
    c.create().quiet();
    assert_eq!(c.status(), "created");
    assert_eq!(c.state()["pid"], json!(c.pid()));
    c.start().quiet();
    c.wait_for("ready");
    assert_eq!(c.status(), "running");
    c.kill("TERM").quiet();
    assert_eq!(c.wait_exit(), Exit::Code(128 + 15));
    assert_eq!(c.status(), "stopped");
    c.delete().quiet();
    c.nothing_left();
}

fn created_has_not_run_the_program() {
    let c = Container::new().args(["sequence", "print", "ran", "--", "sleep"]);
    c.create().quiet();
    // Time enough for a program that wasn't held back.
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(c.stdout(), "");
    c.start().quiet();
    c.wait_for("ran");
}

fn the_id_can_be_used_again() {
    let c = Container::new();
    for _ in 0..3 {
        c.run().quiet();
    }
}

fn two_containers_side_by_side() {
    let one = Container::sleeping();
    let other = Container::beside(&one).args(["sleep"]).up();
    one.kill("KILL").quiet();
    one.wait_dead();
    assert_eq!((one.status().as_str(), other.status().as_str()), ("stopped", "running"));
    one.delete().quiet();
    assert_eq!(other.status(), "running");
}

fn the_bundle_is_the_working_directory_by_default() {
    let c = Container::new().args(["exit", "4"]);
    c.call("run").arg(c.id()).cwd(c.bundle()).run().exits(4);
}

fn the_bundle_can_be_a_relative_path() {
    needs(Need::Not("crun", "it prints rootfs as the config has it"));
    let c = Container::new().args(["sleep"]);
    c.call("create").args(["--bundle", "bundle", c.id()]).cwd(c.dir()).run().quiet();
    assert_eq!(c.state()["bundle"], json!(c.bundle()));
    assert_eq!(c.state()["rootfs"], json!(c.rootfs()));
    c.start().quiet();
}

fn a_changed_config_after_create_has_no_effect() {
    let c = Container::new().args(["exit", "5"]);
    c.create().ok();
    fs::write(c.bundle().join("config.json"), "{}").expect("overwrite config.json");
    // Not by `c.start()`, which would write it again.
    let start = Call::runtime(c.dir()).arg("--root").arg(c.state_root()).args(["start", c.id()]);
    start.run().quiet();
    assert_eq!(c.wait_exit(), Exit::Code(5));
}

fn the_pid_file_is_digits_alone() {
    let c = Container::new().args(["sleep"]);
    c.create().ok();
    let text = fs::read_to_string(c.dir().join("pid")).expect("create has written the pid file");
    assert!(!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()), "pid file {text:?}");
    let names = fs::read_dir(c.dir()).expect("list").flatten().map(|entry| entry.file_name());
    let temporary: Vec<_> = names.filter(|name| name.to_string_lossy().contains(".pid")).collect();
    assert!(temporary.is_empty(), "{temporary:?} stayed beside the pid file");
}

fn the_pid_file_replaces_an_older_one() {
    let c = Container::new().args(["sleep"]);
    fs::write(c.dir().join("pid"), "1234567890123").expect("write an older pid file");
    c.create().ok();
    assert_eq!(json!(c.pid()), c.state()["pid"]);
}

fn a_relative_pid_file_is_the_callers() {
    needs(Need::Not("crun", "it is the bundle's"));
    let c = Container::new().args(["sleep"]);
    let call = c.call("create").arg("--bundle").arg(c.bundle()).args(["--pid-file", "here", c.id()]);
    call.cwd(c.dir()).run().quiet();
    let text = fs::read_to_string(c.dir().join("here")).expect("the pid file is in the caller's directory");
    assert_eq!(json!(text.parse::<i32>().expect("a number")), c.state()["pid"]);
}

fn init_becomes_the_callers_child() {
    let c = Container::new().args(["sleep"]);
    c.create().ok();
    let parent = leftovers::stat(c.pid()).map(|(_, parent)| parent);
    assert_eq!(parent, Some(std::process::id().cast_signed()));
}

fn create_leaves_no_other_process() {
    let c = Container::new().args(["sleep"]);
    c.create().ok();
    let pids: Vec<i32> = leftovers::processes_of(c.id()).into_iter().map(|(pid, _)| pid).collect();
    assert_eq!(pids, [c.pid()], "after create");
    c.start().ok();
    c.wait_for("ready");
    let pids: Vec<i32> = leftovers::processes_of(c.id()).into_iter().map(|(pid, _)| pid).collect();
    assert_eq!(pids, [c.pid()], "after start");
}

fn an_almost_empty_environment_is_enough() {
    let c = Container::new().args(["sleep"]);
    c.create_call([""; 0]).env_clear().run().quiet();
    c.call("start").arg(c.id()).env_clear().run().quiet();
    c.call("state").arg(c.id()).env_clear().run().quiet();
    c.call("kill").args([c.id(), "9"]).env_clear().run().quiet();
    c.wait_dead_by_state();
    c.call("delete").arg(c.id()).env_clear().run().quiet();
    c.nothing_left();
}

fn no_pivot_gives_the_same_root() {
    let c = Container::new().args(["report", "/"]);
    let report = c.run_with(["--no-pivot"]).ok().report();
    assert!(report["paths"]["/"].get("probe").is_some(), "/ has {}", report["paths"]["/"]);
    assert_eq!(report["cwd"], "/");
}

/// `launch`'s option for a descriptor of that number, of a file that no container has.
fn descriptor(number: u32) -> [String; 2] {
    ["--fd".to_owned(), format!("{number}={}", Lane::get().probe().display())]
}

fn run_launched(c: &Container, descriptors: &[u32], options: &[&str]) -> crate::support::Output {
    let words: Vec<String> = descriptors.iter().flat_map(|number| descriptor(*number)).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let call = c.prepare(Call::launched(c.dir(), &words));
    call.arg("run").arg("--bundle").arg(c.bundle()).args(options).arg(c.id()).run()
}

fn descriptors_of(report: &Value) -> Vec<&str> {
    report["fds"].as_object().expect("a report has descriptors").keys().map(String::as_str).collect()
}

fn preserved_descriptors_arrive() {
    let c = Container::new();
    let report = run_launched(&c, &[3, 4, 5], &["--preserve-fds", "2"]).ok().report();
    assert_eq!(descriptors_of(&report), ["0", "1", "2", "3", "4"]);
    assert_eq!(report["fds"]["3"], json!(Lane::get().probe()));
}

fn other_descriptors_do_not_arrive() {
    let c = Container::new();
    let report = run_launched(&c, &[3, 9, 77], &[]).ok().report();
    assert_eq!(descriptors_of(&report), ["0", "1", "2"]);
}

fn a_missing_preserved_descriptor_is_an_error() {
    needs(Need::Not("crun", "it passes what there is"));
    let c = Container::new();
    run_launched(&c, &[3], &["--preserve-fds", "50"]).fails(["preserve"]);
    c.nothing_left();
}

fn options_of_engines_are_taken() {
    let c = Container::new().args(["exit", "0"]);
    c.run_with(["--no-new-keyring", "--preserve-fds", "0", "--no-subreaper"]).quiet();
    let c = Container::new().args(["exit", "0"]);
    c.create_with(["--no-new-keyring", "--preserve-fds=0", "--no-pivot"]).quiet();
    c.start().quiet();
}

fn the_state_root_may_be_a_link() {
    let c = Container::new().args(["sleep"]);
    let (elsewhere, link) = (c.dir().join("elsewhere"), c.dir().join("link"));
    fs::create_dir(&elsewhere).expect("create a state root");
    std::os::unix::fs::symlink(&elsewhere, &link).expect("link to it");
    let call = |command: &str| {
        c.write_config();
        let call = Call::runtime(c.dir()).arg("--root").arg(&link).arg(command);
        if command == "create" { call.arg("--bundle").arg(c.bundle()) } else { call }
    };
    call("create").arg(c.id()).run().quiet();
    assert!(elsewhere.join(c.id()).is_dir());
    call("delete").args(["--force", c.id()]).run().quiet();
    c.nothing_left();
}
