//! Waiting for what the kernel tells of a cgroup: a kill for want of memory, and the end of its last process.

use std::fs::File;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use super::{Cgroup, read_all};
use crate::error::{Annotate, Context, Error, Result};

/// What was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// The kernel killed for want of memory, once or more often.
    OutOfMemory,
    /// No process is left, or the cgroup is gone.
    Emptied,
    /// Nothing, and the time is over.
    Nothing,
}

/// The files that the kernel tells of changes of. No time is spent asking.
#[derive(Debug)]
pub struct Watch {
    events: File,
    /// Missing where the memory controller doesn't reach.
    memory: Option<File>,
    /// Those of which it was told.
    oom_kills: u64,
}

impl Cgroup {
    /// Watches it from now on.
    ///
    /// # Errors
    /// When it is gone.
    pub fn watch(&self) -> Result<Watch> {
        let open = |name| openat(&self.dir, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map(File::from);
        let events = open("cgroup.events").call("open").doing(|| "cgroup.events")?;
        let memory = match open("memory.events") {
            Err(Errno::NOENT) => None,
            opened => Some(opened.call("open").doing(|| "memory.events")?),
        };
        let mut watch = Watch { events, memory, oom_kills: 0 };
        watch.oom_kills = watch.count_oom_kills()?;
        Ok(watch)
    }
}

impl Watch {
    /// Waits until something happens, or until that moment.
    pub fn wait_until(&mut self, moment: Instant) -> Result<Happened> {
        loop {
            // In this order: the kill that ends the last process comes before its end.
            let is_empty = self.is_empty()?;
            let oom_kills = self.count_oom_kills()?;
            if oom_kills > self.oom_kills {
                self.oom_kills = oom_kills;
                return Ok(Happened::OutOfMemory);
            }
            if is_empty {
                return Ok(Happened::Emptied);
            }
            let left = moment.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Happened::Nothing);
            }
            let timeout = Timespec::try_from(left).ok();
            let files = [Some(&self.events), self.memory.as_ref()].into_iter().flatten();
            let mut fds: Vec<_> = files.map(|file| PollFd::new(file, PollFlags::PRI)).collect();
            match poll(&mut fds, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => (),
                Err(errno) => return Err(Error::call("poll", errno)),
            }
        }
    }

    fn is_empty(&self) -> Result<bool> {
        match read_all(&self.events) {
            Ok(text) => Ok(text.lines().any(|line| line == "populated 0")),
            Err(Errno::NODEV) => Ok(true),
            Err(errno) => Err(Error::call("read", errno).doing("cgroup.events")),
        }
    }

    fn count_oom_kills(&self) -> Result<u64> {
        let Some(memory) = &self.memory else { return Ok(0) };
        match read_all(memory) {
            Ok(text) => Ok(super::oom_kills_in(&text).unwrap_or_default()),
            Err(Errno::NODEV) => Ok(self.oom_kills),
            Err(errno) => Err(Error::call("read", errno).doing("memory.events")),
        }
    }
}
