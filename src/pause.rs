//! `orlop pause` and `orlop resume`: stops every process of a container where it stands, and lets them go on.

use std::path::Path;

use crate::cgroupv2::Cgroup;
use crate::error::{Error, Result};
use crate::state::{Record, State, Status};

/// Pauses a container, created or running, and returns when its processes stand.
///
/// # Errors
/// runc's text for any other container.
pub fn pause(root: &Path, id: &str) -> Result<()> {
    let state = State::open(root, id)?;
    let record = state.load()?.ok_or_else(not_running)?;
    match state.status(Some(&record))?.0 {
        Status::Created | Status::Running => cgroup(&record)?.freeze(),
        _ => Err(not_running()),
    }
}

fn not_running() -> Error {
    Error::new("container not running")
}

/// Lets a paused container go on.
///
/// # Errors
/// runc's text when it is not paused.
pub fn resume(root: &Path, id: &str) -> Result<()> {
    let state = State::open(root, id)?;
    let not_paused = || Error::new("container not paused");
    let record = state.load()?.ok_or_else(not_paused)?;
    if state.status(Some(&record))?.0 == Status::Paused { cgroup(&record)?.thaw() } else { Err(not_paused()) }
}

fn cgroup(record: &Record) -> Result<Cgroup> {
    let cgroup = record.cgroup.as_deref().map(Cgroup::open).transpose()?.flatten();
    cgroup.ok_or_else(|| Error::new("the container has no cgroup of its own, and can't be paused without one"))
}
