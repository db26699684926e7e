//! A process that joins a running container: the tail of the line that its init went.
//!
//! What the container can see is born finished. The process that the runtime made joins the container's namespaces, but a pid
//! namespace is joined for children only: in the container's `/proc` there is nothing of it. Only when it has the container's
//! root and directory, no descriptor of the host's, and no more privileges than the program shall have, does it make the
//! process that becomes the program. So not even `CAP_SYS_PTRACE` in the container, before which no process can be hidden,
//! finds anything to take in between (rule R4, CVE-2016-9962).

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{chroot, fchdir};

use super::seccomp::{self, Moment};
use super::{console, identity, lsm, memory_policy, namespaces, personality, program, stdio, tell_and_wait, wait};
use crate::error::{Context, Result};
use crate::inside::Inside;
use crate::plan::{ExecPlan, Kind};
use crate::sync::{Step, Sync};
use crate::{spawn, sys, timeline};

/// What the parent opened for the process.
#[derive(Debug)]
pub struct Joining<'a> {
    /// The container's init.
    pub init: BorrowedFd<'a>,
    /// The container's root directory, where joining its namespaces doesn't lead there.
    pub root: Option<BorrowedFd<'a>>,
    /// The connected socket of `--console-socket`.
    pub console_socket: Option<BorrowedFd<'a>>,
    /// Whether it is born outside of the container's cgroup and has to wait until it was moved there.
    pub placed_later: bool,
    /// See `caller::ignored_signals`.
    pub ignored_signals: u64,
}

/// Runs in a process that was just born. Returns its exit status when it failed, and the parent was told why.
pub fn run(plan: &ExecPlan, joining: &Joining<'_>, parent: &Sync) -> u8 {
    match attach(plan, joining, parent) {
        Ok(never) => match never {},
        Err(error) => {
            parent.fault(&error);
            1
        }
    }
}

/// The line from the clone to the program.
fn attach(plan: &ExecPlan, joining: &Joining<'_>, parent: &Sync) -> Result<Infallible> {
    let &Joining { init, root, console_socket, ignored_signals, placed_later } = joining;
    let process = &plan.process;

    if placed_later {
        wait(parent, Step::Placed)?;
    }
    spawn::set_undumpable()?;
    lsm::label_at_exec(&plan.labels, plan.keyring.is_some())?;
    namespaces::join_all(init, plan.namespaces)?;
    identity::become_root(plan.has(Kind::User), process.user.keeps_groups)?;
    root.map_or(Ok(()), enter)?;
    let root = container_root()?;
    let cwd = program::existing_directory(process, &root)?;
    let terminal = console::open_streams(process, &root)?;
    console::hand_over(terminal, console_socket, parent)?;
    stdio::prepare(process, &root)?;
    identity::join_keyring(plan.keyring.as_deref())?;
    let program = program::find(process, &root, &cwd)?;
    tell_and_wait(parent, Step::Ready, Step::Limited)?;

    drop((root, cwd));
    sys::close_all_but(3 + plan.preserve_fds, [parent.as_fd()]).call("close_range")?;
    personality::take_on(plan.personality)?;
    memory_policy::apply(plan.memory_policy.as_ref())?;
    confine_at(Moment::BeforePrivilegesGo, plan, parent)?;
    identity::assume(process, ignored_signals)?;
    if plan.has(Kind::Pid) {
        spawn::replace(parent, 0)?;
    }
    rustix::process::setsid().call("setsid")?;
    if process.terminal.is_some() {
        console::control()?;
    }
    timeline::last_step("execute the program");
    parent.tell(Step::Executing)?;
    confine_at(Moment::BeforeTheProgram, plan, parent)?;
    program.execute()
}

/// Installs the container's filter when this is its moment. Before privileges go, it has to let the making of the other process
/// pass as well: to keep `CAP_SYS_ADMIN` until that is there would show the container a process that has it.
fn confine_at(now: Moment, plan: &ExecPlan, parent: &Sync) -> Result<()> {
    match &plan.seccomp {
        Some(filter) if seccomp::moment(&plan.process) == now => seccomp::install(filter, parent),
        _ => Ok(()),
    }
}

/// A container without a mount namespace has its root among the runtime's mounts.
fn enter(root: BorrowedFd<'_>) -> Result<()> {
    fchdir(root).call("fchdir")?;
    chroot(".").call("chroot")
}

/// Joining a mount namespace led here, or [`enter`].
pub(super) fn container_root() -> Result<Inside> {
    open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).call("open").map(Inside::new)
}
