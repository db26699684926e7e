//! Puts the container's filter of system calls in force, as late as the rules of the kernel allow.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;

use super::identity;
use crate::error::{Annotate, Error, Result};
use crate::plan::Process;
use crate::seccomp::Filter;
use crate::sync::{Step, Sync};
use crate::sys::set_seccomp_filter;
use crate::timeline;

/// When a filter can be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Without `noNewPrivileges` the kernel wants `CAP_SYS_ADMIN` for it, so that it has to let the steps after this one pass.
    BeforePrivilegesGo,
    /// With `noNewPrivileges` it is the last thing before execve(2), which is the only call that it has to let pass.
    BeforeTheProgram,
}

/// The moment for a process.
pub(super) fn moment(process: &Process) -> Moment {
    if process.no_new_privileges { Moment::BeforeTheProgram } else { Moment::BeforePrivilegesGo }
}

/// Becomes the configured user, with the filter in force at the end. `announce` tells whoever waits that the program comes next;
/// a filter that is installed early may forbid it, so then it comes first.
pub(super) fn assume_and_confine(
    process: &Process,
    ignored_signals: u64,
    filter: Option<&Filter>,
    waiting: &Sync,
    announce: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let Some(filter) = filter else {
        identity::assume(process, ignored_signals)?;
        return announce();
    };
    match moment(process) {
        Moment::BeforePrivilegesGo => {
            announce()?;
            install(filter, waiting)?;
            identity::assume(process, ignored_signals)
        }
        Moment::BeforeTheProgram => {
            identity::assume(process, ignored_signals)?;
            announce()?;
            install(filter, waiting)
        }
    }
}

/// Installs the filter. Its listener, if it has one, goes to whoever waits for the program, who hands it to the agent.
pub(super) fn install(filter: &Filter, waiting: &Sync) -> Result<()> {
    timeline::last_step("execute the program");
    let installed = set_seccomp_filter(filter.flags, &filter.program);
    let listener = installed.map_err(explain).field("linux.seccomp")?;
    match listener {
        Some(listener) => hand_over(listener.as_fd(), waiting),
        None => Ok(()),
    }
}

fn hand_over(listener: BorrowedFd<'_>, waiting: &Sync) -> Result<()> {
    waiting
        .send(Step::Listener, &[], Some(listener))
        .doing(|| "hand the listener over")
        .hint("the profile has to allow sendmsg")
        .field("linux.seccomp.listenerPath")
}

fn explain(errno: Errno) -> Error {
    let error = Error::call("seccomp", errno);
    match errno {
        Errno::INVAL => error.hint("this kernel doesn't know one of linux.seccomp.flags"),
        Errno::ACCESS => error.hint("without process.noNewPrivileges it needs CAP_SYS_ADMIN"),
        Errno::BUSY => error.hint("the runtime itself runs under a filter with a listener, and the kernel allows one"),
        _ => error,
    }
}
