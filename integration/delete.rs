//! `delete`, with and without force, after whatever came before.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::case::cases;
use crate::support::config::drop_namespaces;
use crate::support::{Call, Container, Lane, Need, needs, until};

cases![
    a_running_container_is_not_deleted,
    a_created_container_is_deleted,
    a_stopped_container_is_deleted,
    a_container_whose_init_was_killed_is_deleted,
    force_deletes_a_running_container,
    force_deletes_a_frozen_container,
    force_on_an_unknown_container_succeeds,
    force_works_any_number_of_times,
    an_unknown_container_does_not_exist,
    the_second_delete_does_not_find_it,
    force_works_on_a_half_made_state,
    force_works_on_a_damaged_state,
    of_two_deletes_at_least_one_succeeds,
    options_may_follow_the_id,
    it_does_not_wait_longer_than_it_must,
    processes_that_ignore_signals_end,
    two_hundred_processes_in_fifty_cgroups_end,
    the_bundle_stays_as_it_was,
    one_that_was_cut_off_is_finished_with_its_hooks,
    a_cgroup_that_is_in_use_for_a_moment_is_waited_for,
];

fn a_running_container_is_not_deleted() {
    let c = Container::sleeping();
    let crun = "is not in `created` or `stopped` state".to_owned();
    let others = format!("cannot delete container {} that is not stopped: running", c.id());
    let text = if crate::support::Lane::get().kind().is("crun") { crun } else { others };
    c.delete().fails([text.as_str()]);
    assert_eq!(c.status(), "running");
}

fn a_created_container_is_deleted() {
    let c = Container::new().args(["sleep"]);
    c.create().ok();
    c.delete().quiet();
    c.nothing_left();
}

fn a_stopped_container_is_deleted() {
    let c = Container::new().args(["exit", "0"]);
    c.create().ok();
    c.start().ok();
    c.wait_dead();
    c.delete().quiet();
    c.nothing_left();
}

fn a_container_whose_init_was_killed_is_deleted() {
    let c = Container::sleeping();
    let pid = rustix::process::Pid::from_raw(c.pid()).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("kill init");
    c.wait_dead();
    c.delete().quiet();
    c.nothing_left();
}

fn force_deletes_a_running_container() {
    let c = Container::new().args(["sequence", "spawn", "2", "--", "sleep"]).up();
    c.delete_by_force().quiet();
    c.nothing_left();
}

fn force_deletes_a_frozen_container() {
    let c = Container::sleeping();
    fs::write(c.cgroup_dir().join("cgroup.freeze"), "1").expect("freeze");
    c.delete_by_force().quiet();
    c.nothing_left();
}

fn force_on_an_unknown_container_succeeds() {
    Container::new().delete_by_force().quiet();
    let c = Container::new();
    fs::create_dir(c.state_root()).expect("create an empty root");
    c.delete_by_force().quiet();
}

fn force_works_any_number_of_times() {
    let c = Container::sleeping();
    for _ in 0..3 {
        c.delete_by_force().quiet();
        c.nothing_left();
    }
}

fn an_unknown_container_does_not_exist() {
    needs(Need::Not("crun", "its text is another"));
    Container::new().delete().fails(["container does not exist"]);
}

fn the_second_delete_does_not_find_it() {
    needs(Need::Not("crun", "its text is another"));
    let c = Container::new();
    c.create().ok();
    c.delete().ok();
    c.delete().fails(["container does not exist"]);
}

fn force_works_on_a_half_made_state() {
    let c = Container::new();
    fs::create_dir_all(c.state_root().join(c.id())).expect("create what a crash may leave");
    c.delete_by_force().ok();
    c.nothing_left();
    c.run().ok();
}

fn force_works_on_a_damaged_state() {
    needs(Need::Orlop("its state directory"));
    for content in ["", "{", "null", "[]", "{\"id\":1}"] {
        let c = Container::new().args(["exit", "0"]);
        c.create().ok();
        c.start().ok();
        c.wait_dead();
        let files = fs::read_dir(c.state_root().join(c.id())).expect("list").flatten().map(|entry| entry.path());
        for file in files.filter(|path| path.is_file()) {
            fs::write(file, content).expect("damage it");
        }
        c.call("state").arg(c.id()).run().fails([]);
        c.delete_by_force().ok();
        assert!(!c.state_root().join(c.id()).exists());
        // Where the state no longer says which cgroup was the container's, nobody can.
        crate::support::leftovers::remove_cgroup(&c.cgroup_dir()).expect("it is empty");
    }
}

fn of_two_deletes_at_least_one_succeeds() {
    for _ in 0..10 {
        let c = Container::new().args(["exit", "0"]);
        c.create().ok();
        c.start().ok();
        c.wait_dead();
        let calls: Vec<_> = (0..2).map(|_| c.call("delete").arg(c.id()).spawn()).collect();
        let outputs: Vec<_> = calls.into_iter().map(crate::support::Running::wait).collect();
        assert!(outputs.iter().any(|output| output.code == Some(0)), "both failed");
        c.nothing_left();
    }
}

fn options_may_follow_the_id() {
    needs(Need::Not("crun", "options come first"));
    let c = Container::sleeping();
    c.call("delete").args([c.id(), "--force"]).run().quiet();
    c.nothing_left();
}

fn it_does_not_wait_longer_than_it_must() {
    needs(Need::Orlop("it waits for the cgroup's events"));
    let c = Container::sleeping();
    let started = Instant::now();
    c.delete_by_force().quiet();
    assert!(started.elapsed() < Duration::from_millis(90), "it took {} ms", started.elapsed().as_millis());
}

fn processes_that_ignore_signals_end() {
    needs(Need::Not("runc", "older releases leave the cgroup behind"));
    let c = Container::new().edit(|config| drop_namespaces(config, &["pid"]));
    let c = c.args(["sequence", "spawn", "5", "--", "ignore-term"]).up();
    c.delete_by_force().quiet();
    c.nothing_left();
}

fn two_hundred_processes_in_fifty_cgroups_end() {
    needs(Need::Root);
    needs(Need::Not("runc", "older releases leave the cgroup behind"));
    let c = Container::new().edit(|config| drop_namespaces(config, &["pid"]));
    let c = c.args(["sequence", "spawn", "199", "--", "ignore-term"]).up();
    let own = c.cgroup_dir();
    let processes = || fs::read_to_string(own.join("cgroup.procs")).expect("read the processes");
    let all = until("200 processes", || Some(processes()).filter(|text| text.lines().count() == 200));
    for (i, pids) in all.lines().collect::<Vec<_>>().chunks(4).enumerate() {
        // Ten trees of five levels.
        let below: PathBuf = (0..=i % 5).map(|level| format!("tree{}-{level}", i / 5)).collect();
        fs::create_dir_all(own.join(&below)).expect("make a cgroup");
        for pid in pids {
            fs::write(own.join(&below).join("cgroup.procs"), pid).expect("move a process");
        }
    }
    assert_eq!(processes(), "");
    // SIGKILL is the first thing that it sends.
    let deleted = c.delete_by_force().quiet();
    println!("from SIGKILL to gone, 200 processes in 50 cgroups: {} ms", deleted.took.as_millis());
    c.nothing_left();
}

fn the_bundle_stays_as_it_was() {
    let c = Container::new().set("/root/readonly", false).file("/kept", "kept");
    c.run().ok();
    assert_eq!(fs::read_to_string(c.rootfs().join("kept")).expect("it is there"), "kept");
    assert!(c.bundle().join("config.json").exists());
}

fn one_that_was_cut_off_is_finished_with_its_hooks() {
    needs(Need::Program("strace"));
    // The cgroup's removal is the first, the record's the fourth.
    for n in 1..5 {
        let c = Container::new().args(["sleep"]).hook("poststop", &[]);
        c.create().ok();
        let strace = Call::new(c.dir(), "strace").args(["-qq", "-o", "/dev/null", "-e", "trace=unlinkat", "-e"]);
        let strace = strace.arg(format!("inject=unlinkat:error=EIO:when={n}")).arg(Lane::get().runtime());
        let output = c.prepare(strace).args(["delete", c.id()]).run();
        if output.code != Some(0) {
            c.delete().quiet();
        }
        assert_eq!(c.hook_order(), ["poststop"], "cut off at removal {n}: {}", output.stderr);
        c.nothing_left();
    }
}

fn a_cgroup_that_is_in_use_for_a_moment_is_waited_for() {
    needs(Need::Program("strace"));
    let c = Container::new().args(["sleep"]);
    c.create().ok();
    let strace = Call::new(c.dir(), "strace").args(["-qq", "-o", "/dev/null", "-e", "trace=rmdir,unlinkat", "-e"]);
    let strace = strace.arg("inject=rmdir,unlinkat:error=EBUSY:when=1..5").arg(Lane::get().runtime());
    c.prepare(strace).args(["delete", c.id()]).run().ok();
    c.nothing_left();
}
