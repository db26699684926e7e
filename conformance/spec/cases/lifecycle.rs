//! From a bundle to nothing again.

use serde_json::json;

use crate::case::cases;
use crate::container::{Container, namespace_of};
use crate::outcome::{Verdict, expect, wrong};
use crate::subject::Subject;

cases![
    whole,
    nothing_runs_before_start,
    a_changed_config_changes_nothing,
    created_environment_exists,
    an_impossible_environment_is_an_error,
    a_failed_create_leaves_nothing,
];

fn whole(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["sleep"]);
    c.create()?;
    c.has_status("created")?;
    c.start()?;
    c.wait_for("ready")?;
    c.has_status("running")?;
    c.kill("TERM").ok()?;
    c.wait_exit()?;
    c.has_status("stopped")?;
    c.delete().ok()?;
    c.nothing_left()
}

fn nothing_runs_before_start(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["print", "it runs"]);
    c.create()?;
    std::thread::sleep(std::time::Duration::from_millis(200));
    expect(c.stdout().is_empty(), "create doesn't run the program", format!("it printed {:?}", c.stdout()))?;
    c.has_status("created")?;
    c.start()?;
    c.wait_for("it runs").map(drop)
}

fn a_changed_config_changes_nothing(s: &Subject) -> Verdict {
    let mut c = Container::new(s).args(["report"]);
    c.create()?;
    c.config["process"]["args"] = json!(["/probe", "print", "the new config"]);
    c.config["process"]["env"] = json!(["CHANGED=1"]);
    c.write_config();
    let report = c.report_of_created()?;
    let environment = report["env"].to_string();
    expect(!environment.contains("CHANGED"), "the environment is that of create's config", environment)
}

fn created_environment_exists(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["sleep"]);
    c.create()?;
    for kind in ["pid", "net", "ipc", "uts", "mnt"] {
        let (inside, outside) = (c.namespace(kind)?, namespace_of("self", kind)?);
        expect(inside != outside, format!("a new {kind} namespace after create"), "that of the runtime")?;
    }
    expect(c.cgroup_dir().is_dir(), "the cgroup exists after create", "there is no such cgroup")?;
    let members = std::fs::read_to_string(c.cgroup_dir().join("cgroup.procs")).unwrap_or_default();
    let pid = c.pid()?.to_string();
    expect(
        members.lines().any(|line| line == pid),
        "the process is in its cgroup after create",
        format!("{members:?}"),
    )?;
    let mounts =
        std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).map_err(|error| wrong("its mounts", error))?;
    expect(mounts.contains(" /proc ") || mounts.contains("/proc rw"), "the mounts are made by create", mounts)
}

/// A bind mount of something that doesn't exist.
fn impossible(s: &Subject) -> Container<'_> {
    let c = Container::new(s);
    let missing = c.dir().join("not-there");
    c.bind(&missing, "/mnt", [])
}

fn an_impossible_environment_is_an_error(s: &Subject) -> Verdict {
    impossible(s).create_refused("the source of a bind mount doesn't exist")
}

fn a_failed_create_leaves_nothing(s: &Subject) -> Verdict {
    let c = impossible(s);
    c.create_refused("the source of a bind mount doesn't exist")?;
    c.nothing_left()
}
