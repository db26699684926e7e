//! `orlop run`: create, start, wait, delete.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::io::Errno;

use crate::caller::TerminalGoes;
use crate::console::Foreground;
use crate::create::{self, Created};
use crate::delete::delete;
use crate::error::{Error, Result};
use crate::notify::Notify;
use crate::spawn::exit_code;
use crate::start::{open_gate, open_gate_and_wait_ready};

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
        adopt_orphans()?;
    }
    // From here on a signal is the container's; an interrupt can't cut the creation in the middle.
    let mut foreground = Foreground::begin()?;
    let mut created = create::container(&options.create, TerminalGoes::Here)?;
    let outcome = see_through(&mut foreground, &mut created);
    if outcome.is_err() || !options.keep {
        clean_up(&options.create.root, &options.create.id, &outcome)?;
    }
    outcome
}

/// The container's processes that lose their parent become this one's.
pub(crate) fn adopt_orphans() -> Result<()> {
    prctl::set_child_subreaper(true)
        .map_err(|errno| Error::call("prctl(PR_SET_CHILD_SUBREAPER)", Errno::from_raw_os_error(errno)))
}

/// From the gate to the exit code.
fn see_through(foreground: &mut Foreground, created: &mut Created) -> Result<u8> {
    foreground.attach(created.terminal.take())?;
    foreground.listen(Notify::begin(&created.state)?);
    open_gate(&created.state, &created.record, &created.init)?;
    foreground.stay_with(&created.init)?;
    exit_code(created.init.as_fd())
}

fn run_detached(options: &create::Options) -> Result<()> {
    let Created { state, record, init, .. } = create::container(options, TerminalGoes::ToSocket)?;
    let outcome = open_gate_and_wait_ready(&state, &record, &init).map(|()| 0);
    if outcome.is_err() {
        clean_up(&options.root, &options.id, &outcome)?;
    }
    outcome.map(drop)
}

/// A container that could not be started is of no use to anybody. Its own outcome is the one to report when the deletion fails
/// as well.
pub(crate) fn clean_up(root: &Path, id: &str, outcome: &Result<u8>) -> Result<()> {
    match delete(root, id, true) {
        Err(error) if outcome.is_err() => {
            tracing::warn!("{error}");
            Ok(())
        }
        deleted => deleted,
    }
}
