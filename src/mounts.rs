//! `orlop mounts add` and `orlop mounts remove`: mounts in a container that runs already.

use std::os::fd::AsFd;
use std::path::Path;

use crate::bundle::MountsFile;
use crate::error::{Error, Result};
use crate::init::live_mounts::{self, Work};
use crate::plan::LiveMounts;
use crate::sources::of_live_mounts;
use crate::spawn;
use crate::state::{Record, State};
use crate::sync::Step;
use crate::sys;

/// Makes the mounts of a file, which has an array of what `mounts` of a config has: all of them, or none and an error.
pub fn add(root: &Path, id: &str, file: &Path) -> Result<()> {
    let file = MountsFile::open(file)?;
    let record = load(root, id)?;
    let plan = LiveMounts::to_add(&record.exec, file, &record.bundle)?;
    let sources = if plan.in_user_namespace() { None } else { Some(of_live_mounts(&plan)?) };
    work(&record, &plan, Work::Add(sources))
}

/// Takes away what is mounted at the destinations that a file of the same form names.
pub fn remove(root: &Path, id: &str, file: &Path) -> Result<()> {
    let file = MountsFile::open(file)?;
    let record = load(root, id)?;
    let plan = LiveMounts::to_remove(&record.exec, file)?;
    work(&record, &plan, Work::Remove)
}

fn load(root: &Path, id: &str) -> Result<Record> {
    State::open(root, id)?.load()?.ok_or_else(not_running)
}

/// A process of its own enters the container; this one never does.
fn work(record: &Record, plan: &LiveMounts, work: Work) -> Result<()> {
    sys::cloexec_from(3).map_err(|errno| Error::call("close_range", errno))?;
    let init = record.init.open()?.ok_or_else(not_running)?;
    let child = spawn::into(None, |parent| live_mounts::run(plan, init.as_fd(), work, &parent))?;
    child.wait_for(Step::Ready).map(drop)
}

fn not_running() -> Error {
    Error::new("container not running")
}
