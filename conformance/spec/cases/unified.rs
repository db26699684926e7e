//! Files of cgroup v2 by their names.

use serde_json::json;

use super::resources::{file, needs};
use crate::case::cases;
use crate::container::Container;
use crate::lane::Lane;
use crate::outcome::{Verdict, applies, expect};
use crate::subject::Subject;

cases![written, controllers_are_enabled, unknown_file, missing_controller];

fn with<'s>(s: &'s Subject, name: &str, value: &str) -> Container<'s> {
    Container::new(s).args(["sleep"]).set("/linux/resources/unified", json!({name: value}))
}

fn written(s: &Subject) -> Verdict {
    needs("memory")?;
    let c = with(s, "memory.high", "33554432");
    c.create()?;
    let seen = file(&c, "memory.high")?;
    expect(seen == "33554432", "memory.high is 33554432", seen)
}

fn controllers_are_enabled(s: &Subject) -> Verdict {
    needs("pids")?;
    let c = with(s, "pids.max", "55");
    c.create()?;
    let enabled = file(&c, "cgroup.controllers")?;
    expect(enabled.split(' ').any(|one| one == "pids"), "the controller pids is enabled", enabled)?;
    let seen = file(&c, "pids.max")?;
    expect(seen == "55", "pids.max is 55", seen)
}

/// A file that no field of the config stands for.
fn unknown_file(s: &Subject) -> Verdict {
    let c = with(s, "cgroup.max.descendants", "7");
    c.create()?;
    let seen = file(&c, "cgroup.max.descendants")?;
    expect(seen == "7", "cgroup.max.descendants is 7", seen)
}

fn missing_controller(s: &Subject) -> Verdict {
    let missing =
        ["rdma", "misc", "hugetlb", "io", "memory", "dmem"].into_iter().find(|name| !Lane::get().has_controller(name));
    let name = format!("{}.max", missing.unwrap_or("nonsense"));
    applies(missing.is_some() || !Lane::get().has_controller("nonsense"), "every controller is there")?;
    with(s, &name, "max").create_refused(&format!("{name} takes a controller that isn't there"))
}
