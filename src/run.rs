//! `orlop run`: create, start, wait, delete.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};

use crate::console::Foreground;
use crate::create::{self, Created, TerminalGoes};
use crate::delete::delete;
use crate::error::{Context, Error, Result};
use crate::start::start;

/// What the command line of `run` asks for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// As for `create`.
    pub create: create::Options,
    /// Leave the container running and return.
    pub detach: bool,
    /// Keep the stopped container until `delete`.
    pub keep: bool,
    /// Don't adopt the container's orphans.
    pub no_subreaper: bool,
}

/// Runs a container. In the foreground the result is the exit code of its process, 128+n when signal n ended it.
///
/// # Errors
/// As `create` and `start`. Nothing of the container stays then, unless it was started.
pub fn run(options: &Options) -> Result<u8> {
    if options.detach {
        return run_detached(&options.create).map(|()| 0);
    }
    if !options.no_subreaper {
        prctl::set_child_subreaper(true)
            .map_err(|errno| Error::call("prctl(PR_SET_CHILD_SUBREAPER)", Errno::from_raw_os_error(errno)))?;
    }
    // From here on a signal is the container's; an interrupt can't cut the creation in the middle.
    let mut foreground = Foreground::begin()?;
    let created = create::container(&options.create, TerminalGoes::Here)?;
    let Created { init, terminal } = created;
    let outcome = foreground.attach(terminal).and_then(|()| start(&options.create.root, &options.create.id));
    let outcome = outcome.and_then(|()| foreground.stay_with(&init)).and_then(|()| exit_code(&init));
    if outcome.is_err() || !options.keep {
        clean_up(&options.create, &outcome)?;
    }
    outcome
}

fn run_detached(options: &create::Options) -> Result<()> {
    create::create(options)?;
    start_or_delete(options)
}

/// A container that can't be started is of no use to anybody.
fn start_or_delete(options: &create::Options) -> Result<()> {
    let outcome = start(&options.root, &options.id).map(|()| 0);
    if outcome.is_err() {
        clean_up(options, &outcome)?;
    }
    outcome.map(drop)
}

/// The outcome of the container itself is the one to report, when both went wrong.
fn clean_up(options: &create::Options, outcome: &Result<u8>) -> Result<()> {
    match delete(&options.root, &options.id, true) {
        Err(error) if outcome.is_err() => {
            tracing::warn!("{error}");
            Ok(())
        }
        deleted => deleted,
    }
}

fn exit_code(init: &OwnedFd) -> Result<u8> {
    let status = loop {
        match waitid(WaitId::PidFd(init.as_fd()), WaitIdOptions::EXITED) {
            Err(Errno::INTR) => (),
            status => break status.call("waitid")?,
        }
    };
    let code = status.and_then(|status| status.exit_status().or_else(|| status.terminating_signal().map(|n| 128 + n)));
    Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
}
