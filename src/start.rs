//! `orlop start`: opens the gate, and says whether the program was really executed.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;

use crate::agent::Agent;
use crate::cgroupv2::Cgroup;
use crate::delete::destroy;
use crate::error::{Error, Result};
use crate::hooks::{Circumstances, Output};
use crate::notify::Notify;
use crate::spawn::wait_gone;
use crate::state::{self, Record, State, Status};
use crate::{gate, hooks, sys};

/// How long an init that reported a failure gets to be gone, so that nobody sees it running afterwards.
const GOODBYE: Duration = Duration::from_secs(10);

/// Starts a created container.
///
/// # Errors
/// Why the program could not be executed; the container is stopped then. After a failing hook it is destroyed (runtime.md,
/// Lifecycle).
pub fn start(root: &Path, id: &str) -> Result<()> {
    let state = State::open(root, id)?;
    state.try_lock()?;
    let stopped = || Error::new("cannot start a container that has stopped");
    let record = state.load()?.ok_or_else(stopped)?;
    let init = record.init.open()?.ok_or_else(stopped)?;
    if state::is_frozen(&record)? {
        // A frozen init opens no gate, and whoever asked would wait for it.
        return Err(Error::new("cannot start a container in the paused state"));
    }
    open_gate_and_wait_ready(&state, &record, &init).inspect_err(|error| {
        if error.field_path().is_some_and(|field| field.starts_with("hooks.")) {
            destroyed(&state, &record, &init);
        }
    })
}

/// The caller is told of the hook. What can't be removed is for `delete`, which goes on where this ends.
fn destroyed(state: &State, record: &Record, init: &OwnedFd) {
    if let Err(error) = destroy(state, Some(record), Some(init)) {
        tracing::warn!("{error}");
    }
}

/// As [`open_gate`]; and where the caller waits for it, returns when the program is ready and the caller knows it.
pub(crate) fn open_gate_and_wait_ready(state: &State, record: &Record, init: &OwnedFd) -> Result<()> {
    let notify = Notify::begin(state)?;
    open_gate(state, record, init)?;
    notify.map_or(Ok(()), |notify| notify.wait_ready(init.as_fd(), record.init.pid))
}

/// Lets a created container go on to its program.
pub(crate) fn open_gate(state: &State, record: &Record, init: &OwnedFd) -> Result<()> {
    let agent = record.listener.as_ref().map(Agent::connect).transpose()?;
    let hand_over = agent.map(|agent| {
        let this = record.for_hooks(Status::Created);
        // Without an agent the calls that it should answer would fail, each in its own way.
        move |listener: &OwnedFd| agent.hand_over(listener, record.init.pid, &this).inspect_err(|_| stop(init))
    });
    match gate::open(state.dir(), hand_over.as_ref().map(|handing| handing as _)) {
        Ok(()) => (),
        Err(error) if matches!(error.errno(), Some(Errno::CONNREFUSED | Errno::NOENT)) => {
            // Nobody waits there. An init that is alive all the same went through before.
            return Err(if wait_gone(init.as_fd(), Some(Duration::ZERO))? {
                not_started(record, init, gate::died())
            } else {
                Error::new("cannot start an already running container")
            });
        }
        Err(error) => return Err(not_started(record, init, error)),
    }
    gate::remove(state.dir())?;
    after_start(record, init)
}

/// The init is on its way out; whoever asks for the state after this must see it gone.
fn not_started(record: &Record, init: &OwnedFd, error: Error) -> Error {
    if let Err(waiting) = wait_gone(init.as_fd(), Some(GOODBYE)) {
        tracing::debug!("{waiting}");
    }
    match oom_hint(record) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn oom_hint(record: &Record) -> Option<&'static str> {
    let cgroup = Cgroup::open(record.cgroup.as_deref()?).ok()??;
    (cgroup.oom_kills()? > 0).then_some("the kernel's OOM killer ended it: linux.resources.memory.limit is too low")
}

/// poststart hooks; a container whose hooks fail is stopped (runtime.md, Lifecycle).
fn after_start(record: &Record, init: &OwnedFd) -> Result<()> {
    if record.poststart.is_empty() {
        return Ok(());
    }
    let this = record.for_hooks(Status::Running);
    let run = |output: Output| {
        let with = Circumstances { state: &this, output: Some(&output), ..Circumstances::default() };
        hooks::run(&record.poststart, with)
    };
    Output::open(&record.hook_output).and_then(run).inspect_err(|_| stop(init))
}

/// Kills a container that can't go on as it should.
fn stop(init: &OwnedFd) {
    if let Err(errno) = sys::pidfd_send_signal(init.as_fd(), libc::SIGKILL)
        && errno != Errno::SRCH
    {
        tracing::warn!("a container that failed to start can't be killed: {errno}");
    }
}
