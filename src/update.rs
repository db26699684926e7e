//! `orlop update`: changes what a container may use.

use std::path::{Path, PathBuf};

use crate::bundle::ResourcesFile;
use crate::cgroupv2::Cgroup;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::plan::{Schemata, UpdatePlan};
use crate::resctrl::Before;
use crate::state::{Record, State, Status};

/// Where the new limits are from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file with what is `linux.resources` in a config.
    File(PathBuf),
    /// The same on standard input.
    StandardInput,
    /// The same as text.
    Text(String),
}

/// Gives a container new limits: all that are named, or none and an error. The next update builds on them.
///
/// # Errors
/// Names the field; runc's text for a container that has stopped.
pub fn update(root: &Path, id: &str, source: &Source, schemata: &Schemata) -> Result<()> {
    let state = State::open(root, id)?;
    let asked = read(source)?;
    let not_running = || Error::new("container not running");
    // Of two updates at once the later one would forget the other's.
    let _lock = state.lock_record()?;
    let mut record = state.load()?.ok_or_else(not_running)?;
    if state.status(Some(&record))?.0 == Status::Stopped {
        return Err(not_running());
    }
    let path = record.cgroup.as_deref();
    let path =
        path.ok_or_else(|| Error::new("the container has no cgroup of its own, and can't be limited without one"))?;
    let cgroup = Cgroup::open(path)?.ok_or_else(not_running)?;
    let plan = UpdatePlan::new(&record.resources, asked)?;
    let shares = change_shares(schemata, &record)?;
    cgroup.update(&plan, record.unit.as_ref()).map_err(|error| with_shares(shares, error))?;
    record.resources = plan.record;
    state.save(&record)
}

/// What the container's class of resctrl had, where it is given other shares.
fn change_shares(schemata: &Schemata, record: &Record) -> Result<Option<Before>> {
    let shares = schemata.shares()?;
    if shares.is_empty() {
        return Ok(None);
    }
    let host = Host::probe();
    let Ok(root) = host.resctrl() else { return Err(not_enabled(schemata)) };
    let groups = record.resctrl.as_ref();
    let groups =
        groups.ok_or_else(|| Error::new("updating a non-existent Intel RDT configuration is not supported"))?;
    groups.change(&shares, root).map(Some)
}

/// In runc's words.
fn not_enabled(schemata: &Schemata) -> Error {
    Error::new(if schemata.l3_cache.is_some() {
        "Intel RDT/CAT: l3 cache schema is not enabled"
    } else {
        "Intel RDT/MBA: memory bandwidth schema is not enabled"
    })
}

fn with_shares(shares: Option<Before>, error: Error) -> Error {
    match shares.map(|before| before.put_back()) {
        Some(Err(failure)) => {
            Error::new(format!("{error}; and what was changed before could not be put back: {failure}"))
        }
        _ => error,
    }
}

fn read(source: &Source) -> Result<ResourcesFile> {
    match source {
        Source::File(path) => ResourcesFile::open(path),
        Source::StandardInput => ResourcesFile::from_standard_input(),
        Source::Text(text) => ResourcesFile::read(text.as_bytes(), Path::new("the command line")),
    }
}
