//! A new time namespace and its clocks.

use std::fs::File;
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::error::{Annotate, Context, Error, Result};
use crate::plan::{Kind, Plan};
use crate::sys;

/// Makes a time namespace and enters it.
///
/// A namespace's clocks can be set only as long as nobody is in it: a new one is for the children of its maker, who enters it when
/// its clocks are set, `time_namespaces(7)`. The procfs is the host's, as nothing of the container is there yet.
pub(super) fn enter_new(plan: &Plan) -> Result<()> {
    if !plan.namespaces.is_new(Kind::Time) {
        return Ok(());
    }
    sys::unshare(Kind::Time.bit())
        .call("unshare")
        .doing(|| "make a time namespace")
        .hint("the kernel has time namespaces since 5.6, with CONFIG_TIME_NS")
        .field("linux.namespaces")?;
    for offset in &plan.time_offsets {
        let line = format!("{} {} {}\n", offset.clock, offset.secs, offset.nanosecs);
        write("/proc/self/timens_offsets", &line).field_with(|| format!("linux.timeOffsets.{}", offset.clock))?;
    }
    let path = "/proc/self/ns/time_for_children";
    let made = File::open(path).call("open").doing(|| path)?;
    move_into_link_name_space(made.as_fd(), Some(LinkNameSpaceType::Time))
        .call("setns")
        .doing(|| "enter the time namespace")
        .field("linux.namespaces")
}

fn write(path: &'static str, line: &str) -> Result<()> {
    let file = File::options().write(true).open(path).call("open").doing(|| path)?;
    match rustix::io::write(&file, line.as_bytes()) {
        Ok(_) => Ok(()),
        Err(errno @ Errno::RANGE) => {
            let text = "the clock would be before its start, or more than 146 years after it";
            Err(Error::call("write", errno).doing(path).hint(text))
        }
        Err(errno) => Err(Error::call("write", errno).doing(path)),
    }
}
