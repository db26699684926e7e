//! `orlop delete`: nothing of the container stays.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;

use crate::cgroupv2::Unit;
use crate::error::{Error, Result};
use crate::hooks::{Circumstances, Output};
use crate::spawn::wait_gone;
use crate::state::{self, DOES_NOT_EXIST, Record, State, Status};
use crate::{hooks, sys, timeline};

/// How long a killed init gets to be gone.
const DEADLINE: Duration = Duration::from_secs(10);

/// Deletes a container: a stopped or created one, with `force` one in any state, also a half-made one. It works however
/// often it is tried, and goes on where an earlier one was cut off.
///
/// # Errors
/// runc's texts for a container that runs and for one that isn't there; with `force` the latter is success.
pub fn delete(root: &Path, id: &str, force: bool) -> Result<()> {
    match remove(root, id, force) {
        Err(error) if force && error.to_string() == DOES_NOT_EXIST => Ok(()),
        other => other,
    }
}

fn remove(root: &Path, id: &str, force: bool) -> Result<()> {
    let _step = timeline::step("delete");
    let state = State::open(root, id)?;
    if state.try_lock().is_err() {
        // A creation or a start has the lock. One that hangs ends when its container dies; without force it is waited for.
        if force {
            kill_all(&state)?;
        }
        state.lock()?;
    }
    let record = load(&state, force)?;
    let (status, init) = state.status_locked(record.as_ref())?;
    if matches!(status, Status::Running | Status::Paused) && !force {
        return Err(Error::new(format!("cannot delete container {id} that is not stopped: {status}")));
    }
    destroy(&state, record.as_ref(), init.as_ref())
}

/// Ends the container and undoes what `create` did; then the poststop hooks (runtime.md, Lifecycle). The caller has the lock.
pub(crate) fn destroy(state: &State, record: Option<&Record>, init: Option<&OwnedFd>) -> Result<()> {
    if let Some(init) = init {
        end_all(state, record, init)?;
    }
    if let Some(cgroup) = state.own_cgroup()? {
        cgroup.remove()?;
    }
    if let Some(unit) = record.and_then(|record| record.unit.as_ref()) {
        end(unit);
    }
    state.remove_unfinished_cgroup()?;
    // Without a record nobody knows whether there are any.
    if record.is_none_or(|record| record.resctrl.is_some()) {
        state.remove_resctrl_groups()?;
    }
    state.remove()?;
    if let Some(record) = record {
        run_poststop(record);
    }
    Ok(())
}

/// Kills the init. What it started lives on without a pid namespace, and a cgroup that was there before stays.
fn end_all(state: &State, record: Option<&Record>, init: &OwnedFd) -> Result<()> {
    let left = record.filter(|record| !record.own_pid_namespace);
    let cgroup = left.map_or(Ok(None), |record| state.cgroup_while_alive(Some(record)))?;
    kill_init(init)?;
    cgroup.map_or(Ok(()), |cgroup| cgroup.empty())
}

/// What they would have written to may have gone with the container's own files, and is no reason not to run them.
fn run_poststop(record: &Record) {
    if record.poststop.is_empty() {
        return;
    }
    let this = state::for_hooks(&record.id, &record.bundle, &record.annotations, Status::Stopped, 0);
    let output = Output::open(&record.hook_output);
    if let Err(error) = &output {
        crate::log::say(&format!("warning: {error}\n"));
    }
    let output = output.ok();
    hooks::run_all(
        &record.poststop,
        Circumstances { state: &this, output: output.as_ref(), ..Circumstances::default() },
    );
}

/// systemd forgets a scope without processes by itself, so a user's systemd that has gone is no reason to keep the container.
fn end(unit: &Unit) {
    if let Err(error) = unit.stop() {
        tracing::warn!("{error}");
    }
}

/// With `force`, a record that can't be read is as good as none: the cgroup's note is enough to clean up.
fn load(state: &State, force: bool) -> Result<Option<Record>> {
    match state.load() {
        Err(error) if force => {
            tracing::warn!("{error}");
            Ok(None)
        }
        loaded => loaded,
    }
}

fn kill_all(state: &State) -> Result<()> {
    if let Some(cgroup) = state.own_cgroup()? {
        cgroup.kill()?;
    }
    match load(state, true)?.map(|record| record.init.open()).transpose()?.flatten() {
        Some(init) => kill_init(&init),
        None => Ok(()),
    }
}

fn kill_init(init: &OwnedFd) -> Result<()> {
    let _step = timeline::step("kill, and wait for the end");
    match sys::pidfd_send_signal(init.as_fd(), libc::SIGKILL) {
        Ok(()) | Err(Errno::SRCH) => (),
        Err(errno) => return Err(Error::call("pidfd_send_signal", errno)),
    }
    if wait_gone(init.as_fd(), Some(DEADLINE))? { Ok(()) } else { Err(still_running()) }
}

/// An init can't end before all processes of its pid namespace are reaped, also those that `exec` left to somebody else:
/// `pid_namespaces(7)`.
fn still_running() -> Error {
    Error::new("container init still running")
        .hint("a process that joined it may have ended, and whoever started that has not waited for it")
}
