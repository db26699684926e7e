//! `kill`: how signals are named, whom they reach, and when they can't.

use crate::support::case::cases;
use crate::support::config::drop_namespaces;
use crate::support::{Container, Exit, Need, needs};

cases![
    term_is_the_default,
    names_in_every_form,
    names_in_small_letters,
    numbers,
    real_time_signals_by_number,
    a_signal_of_zero_or_too_large_is_unknown,
    an_unknown_name_is_an_error,
    a_stopped_container_is_not_running,
    an_unknown_container_does_not_exist,
    a_created_container_can_be_killed,
    all_is_taken,
    all_on_a_stopped_container_succeeds,
    all_reaches_every_process,
    kill_ends_all_without_a_pid_namespace,
    other_signals_reach_init_alone,
    a_frozen_container_can_be_killed,
];

/// Sends that signal to a program that says what it got.
fn delivers(signal: &str, name: &str, number: i32) {
    let c = Container::sleeping();
    c.kill(signal).quiet();
    assert_eq!(c.wait_exit(), Exit::Code(128 + number), "kill {signal}");
    assert!(c.stdout().contains(name), "kill {signal}: {:?}", c.stdout());
}

fn term_is_the_default() {
    let c = Container::sleeping();
    c.call("kill").arg(c.id()).run().quiet();
    assert_eq!(c.wait_exit(), Exit::Code(128 + 15));
}

fn names_in_every_form() {
    for form in ["USR1", "SIGUSR1"] {
        delivers(form, "SIGUSR1", 10);
    }
    for (name, number) in [("HUP", 1), ("INT", 2), ("QUIT", 3), ("TRAP", 5), ("BUS", 7), ("USR2", 12), ("PWR", 30)] {
        delivers(name, &format!("SIG{name}"), number);
    }
}

fn names_in_small_letters() {
    needs(Need::Not("crun", "it knows capital letters alone"));
    delivers("usr2", "SIGUSR2", 12);
    delivers("sigusr2", "SIGUSR2", 12);
}

fn numbers() {
    delivers("1", "SIGHUP", 1);
    delivers("15", "SIGTERM", 15);
    let c = Container::sleeping();
    c.kill("9").quiet();
    assert_eq!(c.wait_exit(), Exit::Signal(9));
}

fn real_time_signals_by_number() {
    // Outside of a pid namespace of its own, the program dies of it as any other would.
    let c = Container::new().args(["echo-line"]).edit(|config| drop_namespaces(config, &["pid"]));
    let run = c.call("create").arg("--bundle").arg(c.bundle()).arg("--pid-file").arg(c.dir().join("pid"));
    let fifo = c.dir().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).expect("FIFO");
    let open = std::fs::OpenOptions::new().read(true).write(true).open(&fifo).expect("open the FIFO");
    run.arg(c.id()).stdin_file(open).run().ok();
    c.start().ok();
    c.kill("37").quiet();
    assert_eq!(c.wait_exit(), Exit::Signal(37));
}

fn a_signal_of_zero_or_too_large_is_unknown() {
    needs(Need::Orlop("it looks before it asks the kernel"));
    let c = Container::sleeping();
    for signal in ["65", "1000", "-1"] {
        c.kill(signal).fails(["unknown signal"]);
    }
    assert_eq!(c.status(), "running");
}

fn an_unknown_name_is_an_error() {
    needs(Need::Not("crun", "its text is another"));
    let c = Container::sleeping();
    c.kill("BOGUS").fails(["unknown signal \"BOGUS\""]);
    c.kill("SIG").fails(["unknown signal \"SIG\""]);
    assert_eq!(c.status(), "running");
}

fn a_stopped_container_is_not_running() {
    let c = Container::new().args(["exit", "0"]);
    c.create().ok();
    c.start().ok();
    c.wait_dead();
    let text = if crate::support::Lane::get().kind().is("crun") { "No such process" } else { "container not running" };
    for signal in ["TERM", "KILL", "9"] {
        c.kill(signal).fails([text]);
    }
    assert_eq!(c.wait_exit(), Exit::Code(0));
    c.kill("TERM").fails([text]);
}

fn an_unknown_container_does_not_exist() {
    needs(Need::Not("crun", "its text is another"));
    Container::new().kill("TERM").fails(["does not exist"]);
}

fn a_created_container_can_be_killed() {
    let c = Container::new().args(["sleep"]);
    c.create().ok();
    c.kill("KILL").quiet();
    assert_eq!(c.wait_exit(), Exit::Signal(9));
    assert_eq!(c.status(), "stopped");
}

fn all_is_taken() {
    let c = Container::new().args(["sequence", "spawn", "2", "--", "sleep"]).up();
    c.call("kill").args(["--all", c.id(), "9"]).run().quiet();
    assert_eq!(c.wait_exit(), Exit::Signal(9));
    let c = Container::sleeping();
    c.call("kill").args(["-a", c.id(), "KILL"]).run().quiet();
    assert_eq!(c.wait_exit(), Exit::Signal(9));
}

fn all_on_a_stopped_container_succeeds() {
    let c = Container::new().args(["exit", "0"]);
    c.create().ok();
    c.start().ok();
    c.wait_dead();
    c.call("kill").args(["--all", c.id(), "9"]).run().quiet();
}

fn all_reaches_every_process() {
    needs(Need::Not("runc", "newer releases ignore the flag"));
    let c = Container::new()
        .args(["sequence", "spawn", "3", "sleep", "--", "ignore-term"])
        .edit(|config| drop_namespaces(config, &["pid"]))
        .up();
    crate::support::until("all to be there", || (processes(&c) == 4).then_some(()));
    c.call("kill").args([c.id(), "TERM"]).run().quiet();
    c.wait_for("SIGTERM");
    assert_eq!(processes(&c), 4);
    // The children end of it, when they get it.
    c.call("kill").args(["--all", c.id(), "TERM"]).run().quiet();
    crate::support::until("the children to end", || (living(&c) == 1).then_some(()));
    c.call("kill").args(["-a", c.id(), "KILL"]).run().quiet();
    assert_eq!(c.wait_exit(), Exit::Signal(9));
}

/// Those that are no zombies, which a program that reaps nobody leaves.
fn living(c: &Container) -> usize {
    let pids = std::fs::read_to_string(c.cgroup_dir().join("cgroup.procs")).expect("read its processes");
    let states = pids.lines().filter_map(|pid| crate::support::leftovers::stat(pid.parse().ok()?));
    states.filter(|(state, _)| !matches!(state, 'Z' | 'X')).count()
}

fn processes(c: &Container) -> usize {
    std::fs::read_to_string(c.cgroup_dir().join("cgroup.procs")).expect("read its processes").lines().count()
}

fn kill_ends_all_without_a_pid_namespace() {
    needs(Need::Not("runc", "older releases want --all"));
    needs(Need::Not("crun", "it wants --all"));
    let c = Container::new().edit(|config| drop_namespaces(config, &["pid"]));
    let c = c.args(["sequence", "spawn", "3", "--", "sleep"]).up();
    c.kill("KILL").quiet();
    assert_eq!(c.wait_exit(), Exit::Signal(9));
    crate::support::until("the cgroup to be empty", || {
        let events = std::fs::read_to_string(c.cgroup_dir().join("cgroup.events")).expect("read cgroup.events");
        events.contains("populated 0").then_some(())
    });
}

fn other_signals_reach_init_alone() {
    needs(Need::Not("runc", "older releases leave the cgroup behind"));
    let c = Container::new()
        .args(["sequence", "spawn", "2", "--", "sleep"])
        .edit(|config| drop_namespaces(config, &["pid"]))
        .up();
    c.kill("TERM").quiet();
    assert_eq!(c.wait_exit(), Exit::Code(128 + 15));
    let left = std::fs::read_to_string(c.cgroup_dir().join("cgroup.procs")).expect("read its processes");
    assert_eq!(left.lines().count(), 2);
}

fn a_frozen_container_can_be_killed() {
    let c = Container::sleeping();
    std::fs::write(c.cgroup_dir().join("cgroup.freeze"), "1").expect("freeze");
    c.kill("KILL").quiet();
    assert_eq!(c.wait_exit(), Exit::Signal(9));
}
