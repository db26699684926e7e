//! `run bundle/`: by hand, without an id.

use std::fs;

use crate::support::case::cases;
use crate::support::{Container, Need, Output, leftovers, needs};

cases![
    a_directory_with_a_slash_at_the_end,
    an_absolute_directory,
    the_current_directory,
    a_parent_directory,
    an_id_is_still_an_id,
    two_at_the_same_time,
    a_missing_directory_is_named,
    the_id_that_it_makes_up_is_listed,
    without_a_cgroups_path,
];

/// `run WHAT`, from the container's directory, where its bundle is `bundle`.
fn run(c: &Container, what: &str) -> Output {
    needs(Need::Orlop("run without an id"));
    c.call("run").arg(what).cwd(c.dir()).run()
}

fn root_is_empty(c: &Container) {
    let names: Vec<_> =
        fs::read_dir(c.state_root()).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
    assert!(names.is_empty(), "left in the root: {names:?}");
    c.nothing_left();
}

fn a_directory_with_a_slash_at_the_end() {
    let c = Container::new().args(["exit", "3"]);
    run(&c, "bundle/").exits(3);
    root_is_empty(&c);
}

fn an_absolute_directory() {
    let c = Container::new().args(["exit", "3"]);
    run(&c, c.bundle().to_str().expect("a path")).exits(3);
    root_is_empty(&c);
}

fn the_current_directory() {
    needs(Need::Orlop("run without an id"));
    let c = Container::new().args(["exit", "3"]);
    c.call("run").arg("./").cwd(c.bundle()).run().exits(3);
    root_is_empty(&c);
}

fn a_parent_directory() {
    needs(Need::Orlop("run without an id"));
    let c = Container::new().args(["exit", "3"]);
    c.call("run").arg("../bundle").cwd(c.bundle()).run().exits(3);
}

fn an_id_is_still_an_id() {
    needs(Need::Orlop("run without an id"));
    let c = Container::new().args(["exit", "3"]);
    // There is a directory of that name, but an id has no slash.
    run(&c, "bundle").fails(["config.json"]);
    c.call("run").args(["bundle", "--bundle", "bundle"]).cwd(c.dir()).run().exits(3);
    c.call("run").args(["-b", "bundle", c.id()]).cwd(c.dir()).run().exits(3);
}

fn two_at_the_same_time() {
    needs(Need::Orlop("run without an id"));
    let (one, other) = (Container::new().args(["sleep"]), Container::new().args(["sleep"]));
    let runs: Vec<_> = [&one, &other]
        .map(|c| {
            let root = one.state_root().to_str().expect("a path").to_owned();
            c.call("run").arg("bundle/").cwd(c.dir()).env("IGNORED", root).spawn()
        })
        .into_iter()
        .collect();
    for run in &runs {
        run.wait_for("ready");
    }
    for run in runs {
        run.signal(rustix::process::Signal::TERM);
        run.wait().exits(128 + 15);
    }
    root_is_empty(&one);
    root_is_empty(&other);
}

fn a_missing_directory_is_named() {
    let c = Container::new();
    run(&c, "none/such").fails(["none/such", "no such file or directory"]);
    root_is_empty(&c);
}

fn the_id_that_it_makes_up_is_listed() {
    needs(Need::Orlop("run without an id"));
    let c = Container::new().args(["sleep"]);
    let run = c.call("run").arg("bundle/").cwd(c.dir()).spawn();
    run.wait_for("ready");
    let list = c.call("list").args(["--format", "json"]).run().quiet().json();
    assert_eq!((&list[0]["status"], list.as_array().map(Vec::len)), (&serde_json::json!("running"), Some(1)));
    let id = list[0]["id"].as_str().expect("an id").to_owned();
    c.call("kill").args([id.as_str(), "KILL"]).run().quiet();
    run.wait().exits(128 + 9);
    root_is_empty(&c);
}

fn without_a_cgroups_path() {
    needs(Need::Orlop("run without an id"));
    let before = leftovers::cgroups_of_the_suite();
    let c = Container::new().args(["exit", "0"]).unset("/linux/cgroupsPath");
    run(&c, "bundle/").quiet();
    let made: Vec<_> = leftovers::cgroups_of_the_suite().into_iter().filter(|name| !before.contains(name)).collect();
    assert!(made.iter().all(|name| name.starts_with('t')), "a cgroup of a made-up id stayed: {made:?}");
}
