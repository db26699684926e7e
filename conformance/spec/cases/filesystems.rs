//! The file systems that programs for Linux look for.

use serde_json::Value;

use crate::case::cases;
use crate::container::Container;
use crate::outcome::{Verdict, expect, wrong};
use crate::subject::Subject;

cases![proc, sys, pts, shm];

/// The mount at a path as the program sees it: the last one there.
pub(crate) fn mount_at<'a>(report: &'a Value, target: &str) -> Verdict<&'a Value> {
    let found = report["mounts"].as_array().and_then(|mounts| mounts.iter().rfind(|mount| mount["target"] == target));
    found.ok_or_else(|| wrong(format!("something is mounted at {target}"), "nothing is"))
}

fn of_type(s: &Subject, target: &str, kind: &str) -> Verdict {
    let report = Container::new(s).report()?;
    let seen = &mount_at(&report, target)?["type"];
    expect(seen == kind, format!("{target} is a {kind}"), format!("{target} is a {seen}"))
}

fn proc(s: &Subject) -> Verdict {
    of_type(s, "/proc", "proc")
}

fn sys(s: &Subject) -> Verdict {
    of_type(s, "/sys", "sysfs")
}

fn pts(s: &Subject) -> Verdict {
    of_type(s, "/dev/pts", "devpts")
}

fn shm(s: &Subject) -> Verdict {
    of_type(s, "/dev/shm", "tmpfs")
}
