//! Everything between the clone and execve(2): the container's side of the story, told by one function.
//!
//! A step changes this process only. It never touches the state directory, a cgroup, another process or standard output.

pub mod attach;
mod clocks;
mod console;
mod copy_up;
pub mod criu;
mod devices;
mod identity;
pub mod live_mounts;
mod lsm;
mod memory_policy;
mod mounts;
mod namespaces;
mod paths;
mod personality;
mod program;
mod rootfs;
mod seccomp;
mod stdio;

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use crate::error::{Context, Error, Result};
use crate::hooks::{Circumstances, Output};
use crate::plan::{Kind, Plan};
use crate::sources::{Opened, restore_file_limit};
use crate::spawn::Unjoined;
use crate::state::{self, Status};
use crate::sync::{Step, Sync};
use crate::{gate, hooks, sys, timeline};

#[cfg(any(test, fuzzing))]
pub(crate) use program::{explain_refusal, home_of};

/// What the parent opened for the child.
#[derive(Debug)]
pub struct Inherited {
    /// Copies of the host's mounts. In a user namespace most have to be copies of the child's own mounts.
    pub sources: Opened,
    /// The listening end of the gate.
    pub gate: OwnedFd,
    /// The connected socket of `--console-socket`.
    pub console_socket: Option<OwnedFd>,
    /// What hooks write to.
    pub hook_output: Output,
    /// See `caller::ignored_signals`.
    pub ignored_signals: u64,
}

/// Who hears of a failure.
enum Audience {
    /// `create`, as long as it waits.
    Parent(Sync),
    /// Nobody, in between.
    Nobody,
    /// `start`, from the moment it opened the gate.
    Starter(Sync),
}

/// Runs the container's init in a process that was just born. Returns its exit status when it failed, and whoever waits was
/// told why.
pub fn run(plan: &Plan, inherited: Inherited, unjoined: Unjoined, parent: Sync) -> u8 {
    let mut audience = Audience::Parent(parent);
    let error = match init(plan, inherited, unjoined, &mut audience) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    match &audience {
        Audience::Parent(listening) | Audience::Starter(listening) => listening.fault(&error),
        Audience::Nobody => tracing::debug!("nobody hears of this: {error}"),
    }
    1
}

/// The line from the clone to the program.
fn init(plan: &Plan, inherited: Inherited, unjoined: Unjoined, audience: &mut Audience) -> Result<Infallible> {
    let Audience::Parent(parent) = &*audience else { return Err(Error::new("there is no parent to talk to")) };
    let Inherited { sources, gate, console_socket, hook_output, ignored_signals } = inherited;

    namespaces::enter(plan, unjoined, parent)?;
    let sources = sources.complete(plan)?;
    identity::become_root(plan.namespaces.has(Kind::User), plan.process.user.keeps_groups)?;
    let root = rootfs::attach(plan, sources.root)?;
    mounts::attach(plan, &root, sources.mounts)?;
    devices::make(plan, &root, sources.devices)?;
    restore_file_limit(sources.file_limit)?;
    let terminal = console::open(&plan.process, &root)?;
    wait_for_the_runtime(plan, parent)?;
    hooks::run(&plan.hooks.create_container, with(&this(plan, Status::Creating), Some(&hook_output), None))?;
    namespaces::set_names(plan)?;
    namespaces::bring_loopback_up(plan)?;
    namespaces::set_parameters(plan)?;
    lsm::label_at_exec(&plan.labels, plan.keyring.is_some())?;
    let cwd = program::working_directory(plan, &root)?;
    rootfs::enter(plan, &root)?;
    paths::protect(plan, &root)?;
    rootfs::finish(plan, &root)?;
    console::hand_over(terminal, console_socket.as_ref().map(AsFd::as_fd), parent)?;
    stdio::prepare(&plan.process, &root)?;
    identity::join_keyring(plan.keyring.as_deref())?;
    let program = program::find(&plan.process, &root, &cwd)?;
    drop((root, cwd, console_socket));
    let hook_output = (!plan.hooks.start_container.is_empty()).then_some(hook_output);
    let_go_of_the_host(plan, &gate, parent, hook_output.as_ref())?;
    tell_and_wait(parent, Step::Ready, Step::Saved)?;

    wait_at_gate(gate, audience)?;
    let this = this(plan, Status::Created);
    hooks::run(&plan.hooks.start_container, with(&this, hook_output.as_ref(), Some(&plan.process.env)))?;
    personality::take_on(plan.personality)?;
    memory_policy::apply(plan.memory_policy.as_ref())?;
    become_the_user(plan, ignored_signals, audience)?;
    program.execute()
}

/// The host's network devices come, and hooks in the runtime's namespaces find the container's mounts below its root file system,
/// as they do with runc. Those in the container's come after them, and find the cgroup finished.
fn wait_for_the_runtime(plan: &Plan, parent: &Sync) -> Result<()> {
    if !plan.stops_on_the_way() {
        return Ok(());
    }
    tell_and_wait(parent, Step::Mounted, Step::HooksDone)
}

/// Says a step to the parent and waits for its answer. Without the parent there is nobody to become a container for.
fn tell_and_wait(parent: &Sync, step: Step, answer: Step) -> Result<()> {
    let _step = timeline::step_with(|| format!("wait for {answer:?}").into());
    parent.tell(step)?;
    wait(parent, answer)
}

/// Waits for the parent's step.
fn wait(parent: &Sync, step: Step) -> Result<()> {
    match parent.wait_for(step)? {
        Ok(_) => Ok(()),
        Err(_gone) => sys::exit_now(1),
    }
}

/// Closes everything of the host's (rule R4): from `Ready` on, others in its pid namespace may look at this process. What
/// startContainer hooks write to is somebody's wish, and stays.
fn let_go_of_the_host(plan: &Plan, gate: &OwnedFd, parent: &Sync, output: Option<&Output>) -> Result<()> {
    let kept: Vec<_> =
        [gate.as_fd(), parent.as_fd()].into_iter().chain(output.into_iter().flat_map(Output::files)).collect();
    sys::close_all_but(3 + plan.preserve_fds, kept).call("close_range")
}

/// Waits until `start` comes.
fn wait_at_gate(gate: OwnedFd, audience: &mut Audience) -> Result<()> {
    *audience = Audience::Nobody;
    *audience = Audience::Starter(gate::wait(gate.as_fd())?);
    // Opened once: from now on whoever comes is refused, and doesn't wait for an answer that nobody will give.
    drop(gate);
    Ok(())
}

/// The container's user, under its filter. From the announcement on, the end of the connection means that the program was
/// executed, and not that this process died.
fn become_the_user(plan: &Plan, ignored_signals: u64, audience: &Audience) -> Result<()> {
    let Audience::Starter(caller) = audience else { return Err(Error::new("nobody asked for the program")) };
    seccomp::assume_and_confine(&plan.process, ignored_signals, plan.seccomp.as_ref(), caller, || {
        gate::announce_program(caller)
    })
}

fn with<'a>(state: &'a [u8], output: Option<&'a Output>, environment: Option<&'a [CString]>) -> Circumstances<'a> {
    Circumstances { state, environment, output, container: None }
}

/// This container as its hooks see it.
fn this(plan: &Plan, status: Status) -> Vec<u8> {
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    state::for_hooks(&plan.id, &plan.bundle, &plan.annotations, status, pid)
}
