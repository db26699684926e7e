//! `orlop events`: what a container uses, once or every few seconds, and when the kernel killed in it for want of memory.

mod layout;

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::cgroupv2::{Cgroup, Happened};
use crate::error::{Error, Result};
use crate::state::{State, Status};

/// How events are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// One set of statistics, and no more.
    Once,
    /// Statistics at this distance, and other events when they happen, until no process is left.
    Every(Duration),
}

/// Tells a container's events, each as a line of JSON.
///
/// # Errors
/// runc's text for a container that has stopped; and whatever `tell` returns.
pub fn events(root: &Path, id: &str, manner: Manner, mut tell: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let cgroup = cgroup_of(root, id)?;
    match manner {
        Manner::Once => tell(&layout::stats(id, &cgroup.statistics()?)?),
        Manner::Every(interval) => tell_all(&cgroup, id, interval, tell),
    }
}

fn cgroup_of(root: &Path, id: &str) -> Result<Cgroup> {
    let state = State::open(root, id)?;
    let not_running = || Error::new(format!("container with id {id} is not running"));
    let record = state.load()?.ok_or_else(not_running)?;
    if state.status(Some(&record))?.0 == Status::Stopped {
        return Err(not_running());
    }
    let path = record.cgroup.as_deref();
    let path =
        path.ok_or_else(|| Error::new("the container has no cgroup of its own, and nothing else counts for it"))?;
    Cgroup::open(path)?.ok_or_else(not_running)
}

fn tell_all(cgroup: &Cgroup, id: &str, interval: Duration, mut tell: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let mut watch = cgroup.watch()?;
    // A moment that no clock reaches is none to wait for.
    let after = |moment: Instant| moment.checked_add(interval).unwrap_or(moment + Duration::from_secs(u32::MAX.into()));
    let mut next = after(Instant::now());
    loop {
        match watch.wait_until(next)? {
            Happened::OutOfMemory => tell(&layout::oom(id)?)?,
            Happened::Emptied => return Ok(()),
            Happened::Nothing => {
                match cgroup.statistics() {
                    Ok(statistics) => tell(&layout::stats(id, &statistics)?)?,
                    // It has ended since.
                    Err(error) if matches!(error.errno(), Some(Errno::NOENT | Errno::NODEV)) => return Ok(()),
                    Err(error) => return Err(error),
                }
                // A slow reader gets fewer of them.
                next = after(next).max(Instant::now());
            }
        }
    }
}
