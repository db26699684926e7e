//! The five operations, above all where they have to fail.

use serde_json::json;

use crate::case::cases;
use crate::container::{Container, lives};
use crate::outcome::{Verdict, expect};
use crate::subject::Subject;

cases![
    state_without_an_id,
    state_of_nothing,
    create_without_an_id,
    create_without_a_bundle,
    create_with_a_used_id,
    a_used_id_keeps_its_container,
    create_with_a_bad_id,
    start_without_an_id,
    start_of_nothing,
    start_of_a_running_one,
    start_of_a_running_one_changes_nothing,
    start_of_a_stopped_one,
    start_without_a_process,
    kill_without_an_id,
    kill_of_nothing,
    kill_of_a_created_one,
    kill_of_a_stopped_one,
    kill_of_a_stopped_one_changes_nothing,
    kill_sends_the_signal,
    delete_without_an_id,
    delete_of_nothing,
    delete_of_a_created_one,
    delete_of_a_running_one,
    delete_of_a_running_one_changes_nothing,
    delete_removes_what_create_made,
    delete_leaves_what_it_did_not_make,
    an_id_can_be_used_again,
];

fn without_an_id(s: &Subject, command: &str) -> Verdict {
    Container::new(s).call(command).run().error(&format!("{command} without an id"))
}

fn of_nothing(s: &Subject, command: &str) -> Verdict {
    let c = Container::new(s);
    c.call(command).arg(c.id()).run().error(&format!("{command} of a container that doesn't exist"))
}

fn state_without_an_id(s: &Subject) -> Verdict {
    without_an_id(s, "state")
}

fn state_of_nothing(s: &Subject) -> Verdict {
    of_nothing(s, "state")
}

fn create_without_an_id(s: &Subject) -> Verdict {
    let c = Container::new(s);
    c.create_call().run().error("create without an id")
}

/// A command line may fall back to the working directory, so that one has no bundle.
fn create_without_a_bundle(s: &Subject) -> Verdict {
    let c = Container::new(s);
    c.call("create").cwd(&c.source("empty")).arg(c.id()).run().error("create without a bundle")?;
    c.nothing_left()
}

fn create_with_a_used_id(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["sleep"]);
    c.create()?;
    c.create_call().arg(c.id()).run().error("create with the id of another container")
}

fn a_used_id_keeps_its_container(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["sleep"]);
    c.create()?;
    let pid = c.pid()?;
    let other = c.beside().args(["sleep"]);
    other.create_call().arg(c.id()).run().error("create with the id of another container")?;
    expect(lives(pid), "the first container lives on", "its process is gone")?;
    c.has_status("created")?;
    c.start()?;
    c.wait_for("ready")?;
    expect(!other.cgroup_dir().exists(), "no second container is made", "its cgroup is there")
}

fn create_with_a_bad_id(s: &Subject) -> Verdict {
    for id in ["", ".", "..", "../escaped", "a/b", "with space"] {
        let c = Container::new(s).args(["sleep"]);
        let done = c.create_call().arg(id).run();
        if done.succeeded() {
            // What an id may be is the runtime's to say. But then it has to work.
            let state = c.call("state").arg(id).run();
            let deleted = c.call("delete").arg("--force").arg(id).run();
            let escaped = c.dir().join("escaped").exists();
            let plain = !id.contains('/') && !id.is_empty() && !id.starts_with('.');
            expect(plain && !escaped, format!("an error: the id {id:?}"), done.seen())?;
            state.ok()?;
            deleted.ok()?;
        } else {
            done.error(&format!("the id {id:?}"))?;
            expect(
                !c.cgroup_dir().exists(),
                format!("no container is made with the id {id:?}"),
                "its cgroup is there",
            )?;
        }
    }
    Ok(())
}

fn start_without_an_id(s: &Subject) -> Verdict {
    without_an_id(s, "start")
}

fn start_of_nothing(s: &Subject) -> Verdict {
    of_nothing(s, "start")
}

fn start_of_a_running_one(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["sleep"]).up()?;
    c.try_start().error("start of a running container")
}

fn start_of_a_running_one_changes_nothing(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["sleep"]).up()?;
    let (pid, said) = (c.pid()?, c.stdout());
    drop(c.try_start());
    expect(lives(pid), "the process lives on", "it is gone")?;
    c.has_status("running")?;
    expect(c.stdout() == said, "the program isn't run again", format!("it printed {:?}", c.stdout()))
}

fn start_of_a_stopped_one(s: &Subject) -> Verdict {
    let c = stopped(s)?;
    c.try_start().error("start of a stopped container")
}

/// A container whose program is over.
fn stopped(s: &Subject) -> Verdict<Container<'_>> {
    let c = Container::new(s).args(["print", "over"]);
    c.create()?;
    c.start()?;
    c.wait_exit()?;
    c.has_status("stopped")?;
    Ok(c)
}

fn start_without_a_process(s: &Subject) -> Verdict {
    let c = Container::new(s).unset("/process");
    c.refused("the config has no process")
}

fn kill_without_an_id(s: &Subject) -> Verdict {
    without_an_id(s, "kill")
}

fn kill_of_nothing(s: &Subject) -> Verdict {
    Container::new(s).kill("TERM").error("kill of a container that doesn't exist")
}

fn kill_of_a_created_one(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["sleep"]);
    c.create()?;
    c.kill("KILL").ok()?;
    let code = c.wait_exit()?;
    expect(code == 128 + 9, "its process dies of signal 9", format!("it ended with {code}"))?;
    c.has_status("stopped")
}

fn kill_of_a_stopped_one(s: &Subject) -> Verdict {
    stopped(s)?.kill("TERM").error("kill of a stopped container")
}

fn kill_of_a_stopped_one_changes_nothing(s: &Subject) -> Verdict {
    let c = stopped(s)?;
    let before = c.state()?;
    drop(c.kill("KILL"));
    let after = c.state()?;
    expect(before == after, format!("the state stays {before}"), after)
}

fn kill_sends_the_signal(s: &Subject) -> Verdict {
    for signal in ["TERM", "USR1", "HUP", "INT"] {
        let c = Container::new(s).args(["sleep"]).up()?;
        c.kill(signal).ok()?;
        c.wait_for(&format!("SIG{signal}"))?;
        c.wait_exit()?;
    }
    let c = Container::new(s).args(["ignore-term"]).up()?;
    c.kill("TERM").ok()?;
    c.wait_for("SIGTERM")?;
    c.has_status("running")?;
    c.kill("9").ok()?;
    let code = c.wait_exit()?;
    expect(code == 128 + 9, "its process dies of signal 9", format!("it ended with {code}"))
}

fn delete_without_an_id(s: &Subject) -> Verdict {
    without_an_id(s, "delete")
}

fn delete_of_nothing(s: &Subject) -> Verdict {
    of_nothing(s, "delete")
}

fn delete_of_a_created_one(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["sleep"]);
    c.create()?;
    c.delete().error("delete of a created container")?;
    c.has_status("created")
}

fn delete_of_a_running_one(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["sleep"]).up()?;
    c.delete().error("delete of a running container")
}

fn delete_of_a_running_one_changes_nothing(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["sleep"]).up()?;
    let pid = c.pid()?;
    drop(c.delete());
    expect(lives(pid), "the process lives on", "it is gone")?;
    c.has_status("running")
}

/// A container that mounted and mapped, and left a process behind that its namespace ends.
fn delete_removes_what_create_made(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["sequence", "spawn", "2", "ignore-term", "--", "exit", "0"]);
    let source = c.source("volume");
    let c = c.bind(&source, "/volume", []);
    c.create()?;
    c.start()?;
    c.wait_exit()?;
    c.delete().ok()?;
    c.nothing_left()
}

fn delete_leaves_what_it_did_not_make(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["exit", "0"]);
    let source = c.source("volume");
    let c = c
        .bind(&source, "/volume", [])
        .set("/linux/cgroupsPath", crate::lane::Lane::cgroup(&format!("{}/below", c_id(&source))));
    let above = crate::lane::Lane::cgroup_dir(&c_id(&source));
    std::fs::create_dir_all(&above).expect("make a cgroup");
    c.create()?;
    c.start()?;
    c.wait_exit()?;
    c.delete().ok()?;
    let volume = source.join("inside");
    expect(volume.exists(), "a mounted directory keeps its files", "they are gone")?;
    expect(c.rootfs().join("probe").exists(), "the root file system stays", "it is gone")?;
    expect(c.bundle().join("config.json").exists(), "the bundle stays", "it is gone")?;
    let stays = above.exists();
    std::fs::remove_dir(&above).unwrap_or_default();
    expect(stays, "a cgroup that was there stays", "it is gone")
}

/// The id of the container that a directory belongs to.
fn c_id(source: &std::path::Path) -> String {
    let dir = source.parent().and_then(std::path::Path::file_name);
    dir.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn an_id_can_be_used_again(s: &Subject) -> Verdict {
    let c =
        Container::new(s).args(["exit", "0"]).edit(|config| config["annotations"] = json!({"org.example.turn": "1"}));
    for _ in 0..2 {
        c.create()?;
        c.start()?;
        c.wait_exit()?;
        c.delete().ok()?;
    }
    c.nothing_left()
}
