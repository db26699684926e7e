//! A process that ends everything if the runtime is killed in the midst of a restore.
//!
//! CRIU lets what it made go on when its caller is gone, and nobody would have looked at it. So a process in the container's cgroup, where
//! a kill that is for the engine doesn't reach it, has the connection to CRIU too: CRIU waits for an answer at its next stop, and is
//! killed there with everything else.

use std::os::fd::AsFd;

use nix::sys::signal::SigSet;
use rustix::process::setsid;

use crate::cgroupv2::NewCgroup;
use crate::error::{Context, Result};
use crate::spawn::{self, Child};
use crate::sync::{Step, Sync};

/// Born when the connection is there, and before CRIU is asked to restore anything.
pub(super) fn over(cgroup: &NewCgroup) -> Result<Child> {
    let watch = spawn::within("the watch over CRIU", cgroup.as_fd(), |runtime| watch(cgroup, &runtime))?;
    watch.wait_for(Step::Ready)?;
    Ok(watch)
}

/// Lets it go, when what was restored stands still without it.
pub(super) fn dismiss(watch: Child) -> Result<()> {
    watch.tell(Step::Saved)?;
    watch.wait_success(false)
}

fn watch(cgroup: &NewCgroup, runtime: &Sync) -> u8 {
    match hide_from_signals().and_then(|()| runtime.tell(Step::Ready)) {
        Ok(()) => (),
        Err(error) => {
            runtime.fault(&error);
            return 1;
        }
    }
    match runtime.wait_for(Step::Saved) {
        Ok(Ok(_)) => 0,
        // It is in there itself.
        Ok(Err(_)) | Err(_) => u8::from(cgroup.kill().is_err()),
    }
}

/// What ends the runtime by a terminal's keys, or its process group's, is not for this process.
fn hide_from_signals() -> Result<()> {
    setsid().call("setsid")?;
    SigSet::all().thread_set_mask().call("sigprocmask")
}
