//! Many containers, races for one id, and a runtime that is killed at any moment: nothing may be left of any.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, waitpid};

use crate::support::case::{cases, in_parallel};
use crate::support::wait::rounds;
use crate::support::{Call, Container, Need, Running, leftovers, needs, until};

cases![
    a_hundred_runs_one_by_one,
    a_hundred_runs_sixteen_at_a_time,
    five_hundred_creations_and_deletions_sixteen_at_a_time,
    two_creates_of_one_id,
    a_kill_while_it_starts,
    a_forced_delete_while_it_is_created,
    the_runtime_killed_while_it_creates,
    the_runtime_killed_while_it_runs,
    the_runtime_killed_while_it_starts,
    the_runtime_killed_while_it_deletes,
    two_hundred_execs_sixteen_at_a_time,
    an_exec_while_it_stops,
    an_exec_while_it_is_paused_and_resumed,
    a_delete_while_it_is_created,
    the_runtime_killed_while_it_joins,
];

/// A run of the `spec` config whose program ends at once.
fn run_once() {
    let c = Container::new().args(["exit", "0"]);
    c.run().quiet();
    c.nothing_left();
}

fn a_hundred_runs_one_by_one() {
    (0..100).for_each(|_| run_once());
}

fn a_hundred_runs_sixteen_at_a_time() {
    in_parallel(16, 100, |_| run_once());
}

fn five_hundred_creations_and_deletions_sixteen_at_a_time() {
    in_parallel(16, 500, |_| {
        let c = Container::new().args(["sleep"]);
        c.create().ok();
        c.delete().quiet();
        c.nothing_left();
    });
}

fn two_creates_of_one_id() {
    needs(Need::Not("runc", "older releases let both lose"));
    needs(Need::Not("crun", "its text is another"));
    for _ in 0..rounds(30) {
        let c = Container::new().args(["sleep"]);
        // Each call writes the config: none while another one's runtime reads it.
        let calls = [c.create_call([""; 0]), c.create_call([""; 0])];
        let calls = calls.map(Call::spawn);
        let outputs: Vec<_> = calls.into_iter().map(Running::wait).collect();
        let (won, lost): (Vec<_>, Vec<_>) = outputs.into_iter().partition(|output| output.code == Some(0));
        assert_eq!((won.len(), lost.len()), (1, 1), "one wins");
        for output in lost {
            output.fails(["container with given ID already exists"]);
        }
        assert_eq!(c.status(), "created");
        c.delete().quiet();
        c.nothing_left();
    }
}

fn a_kill_while_it_starts() {
    needs(Need::Not("runc", "older releases let start hang when init dies"));
    needs(Need::Not("crun", "its start dies of the broken pipe"));
    for round in moments(30) {
        let c = Container::new().args(["ignore-term"]);
        c.create().ok();
        let start = c.call("start").arg(c.id()).spawn();
        std::thread::sleep(Duration::from_micros(150) * round);
        c.kill("KILL").quiet();
        // Either it was started in time or it says that it couldn't be.
        let output = start.wait();
        if output.code != Some(0) {
            output.fails([]);
        }
        c.wait_dead();
        assert_eq!(c.status(), "stopped");
        c.delete().quiet();
        c.nothing_left();
    }
}

fn a_forced_delete_while_it_is_created() {
    needs(Need::Not("runc", "older releases leave a cgroup behind"));
    needs(Need::Not("crun", "older releases leave a cgroup behind"));
    let usual = how_long(|| drop(Container::new().args(["sleep"]).create().ok()));
    for round in moments(30) {
        let c = Container::new().args(["sleep"]);
        let create = c.create_call([""; 0]).spawn();
        std::thread::sleep(usual * round / 25);
        c.delete_by_force().quiet();
        let output = create.wait();
        if output.code != Some(0) {
            output.fails([]);
        }
        c.delete_by_force().quiet();
        c.nothing_left();
    }
}

/// As many moments as a race is tried at, one after the other, and again from the first where more rounds are asked for.
fn moments(usual: u32) -> impl Iterator<Item = u32> {
    (0..usual).cycle().take(rounds(usual as usize))
}

fn how_long(act: impl Fn()) -> Duration {
    act();
    let started = Instant::now();
    act();
    started.elapsed()
}

/// Kills what `act` starts at 40 moments, evenly spread over a little more than the time it usually takes, and then deletes
/// by force, twice.
fn killed_at_any_moment(prepare: impl Fn(&Container), act: impl Fn(&Container) -> Running) {
    needs(Need::Not("runc", "older releases leave a cgroup behind"));
    needs(Need::Not("crun", "older releases leave a cgroup behind"));
    let container = || Container::new().args(["sleep"]);
    let measured = container();
    prepare(&measured);
    let started = Instant::now();
    let running = act(&measured);
    // A foreground run doesn't end by itself: its program's word is as far as it goes.
    while running.is_alive() && !running.stdout().contains("ready") {
        assert!(started.elapsed() < Duration::from_secs(10), "it neither ends nor starts its program");
    }
    let usual = started.elapsed();
    running.signal(Signal::KILL);
    drop(running.wait());
    measured.delete_by_force().quiet();
    for moment in moments(40) {
        let c = container();
        prepare(&c);
        let running = act(&c);
        std::thread::sleep(usual * moment / 34);
        running.signal(Signal::KILL);
        drop(running.wait());
        c.delete_by_force().quiet();
        c.delete_by_force().quiet();
        c.nothing_left();
        // And the id is free again.
        c.create().quiet();
    }
}

fn the_runtime_killed_while_it_creates() {
    killed_at_any_moment(|_| (), |c| c.create_call([""; 0]).spawn());
}

fn the_runtime_killed_while_it_runs() {
    killed_at_any_moment(|_| (), |c| c.call("run").arg("--bundle").arg(c.bundle()).arg(c.id()).spawn());
}

fn the_runtime_killed_while_it_starts() {
    killed_at_any_moment(|c| drop(c.create().ok()), |c| c.call("start").arg(c.id()).spawn());
}

fn the_runtime_killed_while_it_deletes() {
    let up = |c: &Container| {
        c.create().ok();
        c.start().ok();
    };
    killed_at_any_moment(up, |c| c.call("delete").args(["--force", c.id()]).spawn());
}

fn two_hundred_execs_sixteen_at_a_time() {
    needs(Need::Not("runc", "older releases lose one now and then: exec failed: EOF"));
    let c = Container::sleeping();
    in_parallel(16, 200, |index| {
        let code = i32::try_from(index % 100).expect("small");
        drop(c.call("exec").args([c.id(), "/probe", "exit", &code.to_string()]).run().exits(code));
    });
    let left = std::fs::read_to_string(c.cgroup_dir().join("cgroup.procs")).expect("read its processes");
    assert_eq!(left.lines().count(), 1);
}

fn an_exec_while_it_stops() {
    needs(Need::Not("runc", "its messages are many"));
    needs(Need::Not("crun", "its messages are many"));
    let c = Container::sleeping();
    let usual = how_long(|| drop(c.call("exec").args([c.id(), "/probe", "exit", "3"]).run().exits(3)));
    for round in moments(40) {
        let c = Container::sleeping();
        let exec = c.call("exec").args([c.id(), "/probe", "exit", "3"]).spawn();
        std::thread::sleep(usual * round / 34);
        c.kill("KILL").quiet();
        let output = exec.wait();
        // It was in time, or ended with the container.
        if !matches!(output.code, Some(3 | 137)) {
            let message = output.exits(255).message();
            assert_eq!(message, "exec failed: cannot exec in a stopped container");
        }
        c.wait_dead();
        c.delete().quiet();
        c.nothing_left();
    }
}

fn an_exec_while_it_is_paused_and_resumed() {
    needs(Need::Not("runc", "older releases hang"));
    needs(Need::Not("crun", "its messages are many"));
    let c = Container::sleeping();
    for round in moments(30) {
        let exec = c.call("exec").args([c.id(), "/probe", "exit", "3"]).spawn();
        std::thread::sleep(Duration::from_micros(200) * round);
        c.call("pause").arg(c.id()).run().quiet();
        c.call("resume").arg(c.id()).run().quiet();
        let output = exec.wait();
        if output.code != Some(3) {
            let message = output.exits(255).message();
            assert_eq!(message, "exec failed: cannot exec in a paused container (use --ignore-paused to override)");
        }
    }
}

fn a_delete_while_it_is_created() {
    needs(Need::Not("runc", "older releases leave a cgroup behind"));
    needs(Need::Not("crun", "older releases leave a cgroup behind"));
    let usual = how_long(|| drop(Container::new().args(["sleep"]).create().ok()));
    for round in moments(30) {
        let c = Container::new().args(["sleep"]);
        let create = c.create_call([""; 0]).spawn();
        std::thread::sleep(usual * round / 25);
        // It waits for the creation and takes what that made, or was too early.
        let (deleted, created) = (c.delete(), create.wait());
        match (created.code, deleted.code) {
            (Some(0), Some(0)) => {}
            (Some(0), _) => {
                deleted.fails(["container does not exist"]);
                c.delete().quiet();
            }
            // It came in the moment in which the directory was there and the creation did not have it yet.
            _ => drop(created.fails(["the container was deleted while it was being created"])),
        }
        c.nothing_left();
    }
}

fn the_runtime_killed_while_it_joins() {
    needs(Need::Not("runc", "it has helper processes of its own"));
    needs(Need::Not("crun", "this is about Orlop's processes"));
    let c = Container::sleeping();
    let exec = || c.call("exec").args([c.id(), "/probe", "exit", "3"]);
    let usual = how_long(|| drop(exec().run().exits(3)));
    for moment in moments(60) {
        let running = exec().spawn();
        std::thread::sleep(usual * moment / 50);
        running.signal(Signal::KILL);
        drop(running.wait());
        until("nothing but the init", || {
            reap_adopted(&c);
            let left = std::fs::read_to_string(c.cgroup_dir().join("cgroup.procs")).expect("read its processes");
            (left.lines().count() == 1).then_some(())
        });
        drop(exec().run().exits(3));
    }
    reap_adopted(&c);
}

/// Reaps the processes of the container's pid namespace that lost their parent to this process.
fn reap_adopted(c: &Container) {
    let namespace = |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let own = namespace(c.pid());
    let me = std::process::id().cast_signed();
    for entry in std::fs::read_dir("/proc").expect("list processes").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let is_adopted = leftovers::stat(pid).is_some_and(|(state, parent)| parent == me && state == 'Z');
        if is_adopted && pid != c.pid() && namespace(pid) == own {
            waitpid(Pid::from_raw(pid), WaitOptions::NOHANG).unwrap_or_default();
        }
    }
}
