//! Mounts with id mappings.

use std::os::unix::fs::chown;

use rustix::mount::{MountFlags, mount};
use serde_json::{Value, json};

use crate::case::cases;
use crate::container::Container;
use crate::outcome::{Not, Verdict, expect, same};
use crate::subject::{Done, Subject};

cases![
    mapped,
    own_mappings,
    mappings_of_the_user_namespace,
    without_any_mapping,
    recursive,
    recursive_mappings_of_the_user_namespace,
    recursive_without_any_mapping,
    uids_without_gids,
    gids_without_uids,
];

/// Where the user namespace's ids start on the host.
const BASE: u32 = 100_000;

fn mapping(host: u32) -> Value {
    json!([{"containerID": 0, "hostID": host, "size": 65_536}])
}

/// A container with a user namespace; below /mnt a file of user 0 on the host, and the same in a mount below that.
fn with_mount<'s>(s: &'s Subject, option: &str, change: impl FnOnce(&mut Value)) -> Container<'s> {
    let c = Container::new(s).user_namespace(BASE, 65_536).args(["report", "/mnt", "/mnt/below"]);
    let source = c.source("volume");
    std::fs::create_dir(source.join("below")).expect("create a directory");
    mount("ours", source.join("below"), "tmpfs", MountFlags::empty(), None).expect("mount a tmpfs");
    std::fs::write(source.join("below/deep"), "").expect("write a file");
    chown(source.join("below/deep"), Some(7), Some(8)).expect("chown");
    chown(source.join("inside"), Some(7), Some(8)).expect("chown");
    let mut mount = json!({"destination": "/mnt", "type": "none", "source": source, "options": ["rbind", option]});
    change(&mut mount);
    c.mount(mount)
}

fn with_mappings(mount: &mut Value, host: u32) {
    mount["uidMappings"] = mapping(host);
    mount["gidMappings"] = mapping(host);
}

/// A file of user 7 and group 8 on the host is theirs in the container as well.
fn owned(report: &Value, dir: &str, file: &str, uid: u32, gid: u32) -> Verdict {
    let seen = &report["paths"][dir][file];
    same(&format!("the owner of {dir}/{file}"), &seen["uid"], uid)?;
    same(&format!("the group of {dir}/{file}"), &seen["gid"], gid)
}

fn mapped(s: &Subject) -> Verdict {
    let report = with_mount(s, "idmap", |mount| with_mappings(mount, BASE)).report_if_supported()?;
    owned(&report, "/mnt", "inside", 7, 8)
}

/// Mappings that aren't those of the user namespace.
fn own_mappings(s: &Subject) -> Verdict {
    let report = with_mount(s, "idmap", |mount| with_mappings(mount, BASE + 100)).report_if_supported()?;
    owned(&report, "/mnt", "inside", 107, 108)
}

fn recursive(s: &Subject) -> Verdict {
    let report = with_mount(s, "ridmap", |mount| with_mappings(mount, BASE + 100)).report_if_supported()?;
    owned(&report, "/mnt", "inside", 107, 108)?;
    owned(&report, "/mnt/below", "deep", 107, 108)
}

/// Either the namespace's mappings, or an error.
fn of_the_namespace(s: &Subject, option: &str) -> Verdict {
    let c = with_mount(s, option, |_| ());
    let created: Done = c.try_create();
    if created.failed() {
        return Ok(());
    }
    created.ok()?;
    owned(&c.report_of_created()?, "/mnt", "inside", 7, 8)
}

fn mappings_of_the_user_namespace(s: &Subject) -> Verdict {
    of_the_namespace(s, "idmap")
}

fn recursive_mappings_of_the_user_namespace(s: &Subject) -> Verdict {
    of_the_namespace(s, "ridmap")
}

fn without_any(s: &Subject, option: &str) -> Verdict {
    let c = Container::new(s);
    let source = c.source("volume");
    c.bind(&source, "/mnt", [option]).create_refused(&format!("{option} without mappings and without a user namespace"))
}

fn without_any_mapping(s: &Subject) -> Verdict {
    without_any(s, "idmap")
}

fn recursive_without_any_mapping(s: &Subject) -> Verdict {
    without_any(s, "ridmap")
}

/// Whether the runtime knows such mounts at all: if not, its error says nothing about one that is incomplete.
fn are_known(s: &Subject) -> Verdict {
    match mapped(s) {
        Err(Not::Supported(message)) => Err(Not::Supported(message)),
        other => expect(other.is_ok(), "mounts with mappings work", format!("{other:?}")),
    }
}

fn uids_without_gids(s: &Subject) -> Verdict {
    are_known(s)?;
    with_mount(s, "idmap", |mount| mount["uidMappings"] = mapping(BASE))
        .create_refused("uidMappings without gidMappings")
}

fn gids_without_uids(s: &Subject) -> Verdict {
    are_known(s)?;
    with_mount(s, "idmap", |mount| mount["gidMappings"] = mapping(BASE))
        .create_refused("gidMappings without uidMappings")
}
