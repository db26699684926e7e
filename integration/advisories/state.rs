//! The state directory, for those who may write beside it or read it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use crate::support::Container;
use crate::support::case::cases;

cases![
    everything_in_the_state_directory_is_the_owners_alone,
    a_link_in_the_place_of_a_container_is_not_followed,
    a_link_in_the_place_of_a_pid_file_is_not_followed,
];

/// CVE-2021-41103, CVE-2024-25621: other users must not find set-user-id programs, sockets or environments there.
fn everything_in_the_state_directory_is_the_owners_alone() {
    let c = Container::sleeping();
    let dir = c.state_root().join(c.id());
    let mode = |path: &std::path::Path| fs::symlink_metadata(path).expect("stat").permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for entry in fs::read_dir(&dir).expect("list").flatten() {
        let metadata = entry.metadata().expect("stat");
        assert_eq!(metadata.uid(), 0, "{}", entry.file_name().display());
        assert!(
            metadata.is_symlink() || metadata.mode() & 0o022 == 0,
            "{} can be written",
            entry.file_name().display()
        );
    }
}

fn a_link_in_the_place_of_a_container_is_not_followed() {
    let c = Container::sleeping();
    symlink(c.id(), c.state_root().join("other")).expect("make a link");
    for command in ["state", "start", "kill", "delete"] {
        c.call(command).arg("other").run().fails([]);
    }
    drop(c.call("delete").args(["--force", "other"]).run());
    assert_eq!(c.status(), "running");
    fs::remove_file(c.state_root().join("other"))
        .or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })
        .expect("remove the link");
}

/// The pid file is where the caller says, which may be a place that others can write to.
fn a_link_in_the_place_of_a_pid_file_is_not_followed() {
    let c = Container::new();
    let victim = c.dir().join("victim");
    fs::write(&victim, "kept").expect("write");
    symlink(&victim, c.dir().join("pid")).expect("make a link");
    c.create().ok();
    assert_eq!(fs::read_to_string(&victim).expect("read"), "kept");
    assert!(fs::symlink_metadata(c.dir().join("pid")).expect("stat").is_file());
    assert!(c.pid() > 1);
}
