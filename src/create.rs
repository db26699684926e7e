//! `orlop create`: a bundle becomes a container that waits at its gate.

use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::process::chdir;

use crate::bundle::Bundle;
use crate::caller::{self, TerminalGoes};
use crate::cgroupv2::NewCgroup;
use crate::error::{Context, Error, Result};
use crate::hooks::{Circumstances, Output};
use crate::host::Host;
use crate::init::{self, Inherited};
use crate::plan::systemd::Scope;
use crate::plan::{Plan, Request};
use crate::resctrl::{Groups, NewGroups};
use crate::sources::Opened;
use crate::spawn::{self, Child};
use crate::state::{self, Claim, Record, State, Status};
use crate::sync::Step;
use crate::{gate, hooks, net_devices, notify, sys, timeline};

/// What the command line of `create` asks for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The root of all state directories, absolute.
    pub root: PathBuf,
    /// The new container's id.
    pub id: String,
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// Where to write the init's pid.
    pub pid_file: Option<PathBuf>,
    /// The socket that gets the terminal.
    pub console_socket: Option<PathBuf>,
    /// The socket that gets a pidfd of the init.
    pub pidfd_socket: Option<PathBuf>,
    /// Chroot instead of `pivot_root`.
    pub no_pivot: bool,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// How many descriptors from 3 on the container inherits.
    pub preserve_fds: u32,
    /// Let systemd make the cgroup.
    pub systemd_cgroup: bool,
}

/// A container that was created by this process.
#[derive(Debug)]
pub(crate) struct Created {
    /// Its state directory.
    pub state: State,
    /// What is recorded of it.
    pub record: Record,
    /// The container's init, a child of this process.
    pub init: OwnedFd,
    /// The main side of its terminal.
    pub terminal: Option<OwnedFd>,
}

/// What was opened before anything was made.
struct Opening<'a> {
    inherited: Inherited,
    /// Who gets a pidfd of the init.
    pidfd_sockets: Vec<OwnedFd>,
    /// What hooks write to.
    hook_output: &'a Output,
}

/// Creates a container and leaves it at its gate.
///
/// # Errors
/// One that names the config's field; nothing is left behind then.
pub fn create(options: &Options) -> Result<()> {
    container(options, TerminalGoes::ToSocket).map(drop)
}

/// From the bundle to the container. Everything that can be refused is refused before anything is made.
pub(crate) fn container(options: &Options, terminal: TerminalGoes) -> Result<Created> {
    let request = options.request();
    sys::cloexec_from(request.inherited_fds().saturating_add(3)).call("close_range")?;
    // Both stay until this process ends, which is soon, or after the container's end: to take thousands of small pieces of memory back
    // would keep a container waiting, and the kernel would not get one of them.
    let bundle = ManuallyDrop::new(Bundle::open(&options.bundle)?);
    let plan = ManuallyDrop::new(decide(&bundle, &request)?);
    let wants_terminal = plan.process.terminal.is_some();
    let console_socket = caller::console_socket(options.console_socket.as_deref(), wants_terminal, terminal)?;
    let pidfd_sockets = [
        caller::pidfd_socket(options.pidfd_socket.as_deref())?,
        caller::pidfd_receiver(plan.pidfd_receiver.as_deref())?,
    ];
    let hook_output = Output::open(&plan.hook_output)?;
    caller::check_preserved_fds(plan.preserve_fds)?;
    // Hooks run in the bundle's directory, as with runc.
    chdir(&plan.bundle).call("chdir")?;
    let claim = Claim::new(&options.root, &plan.id)?;
    if request.notify.is_some() {
        notify::make_dir(claim.dir())?;
    }
    let sources = Opened::new(&plan)?;
    let gate = gate::make(claim.dir())?;
    let ignored_signals = caller::ignored_signals()?;
    let hooks_write = hook_output.try_clone()?;
    let inherited = Inherited { sources, gate, console_socket, hook_output: hooks_write, ignored_signals };
    let pidfd_sockets = pidfd_sockets.into_iter().flatten().collect();
    let opening = Opening { inherited, pidfd_sockets, hook_output: &hook_output };
    let (record, init, terminal) = from_plan(&plan, options, terminal, &claim, opening).inspect_err(|_| {
        let this = this(&plan, Status::Stopped, 0);
        hooks::run_all(&plan.hooks.poststop, with(&this, &hook_output));
    })?;
    Ok(Created { state: claim.keep()?, record, init, terminal })
}

fn decide(bundle: &Bundle, request: &Request) -> Result<Plan> {
    let _step = timeline::step("plan");
    Plan::new(bundle, request, &Host::probe())
}

/// The line from the plan to the container. Each step undoes itself when a later one fails.
fn from_plan(
    plan: &Plan,
    options: &Options,
    terminal: TerminalGoes,
    claim: &Claim,
    opening: Opening<'_>,
) -> Result<(Record, OwnedFd, Option<OwnedFd>)> {
    let Opening { inherited, pidfd_sockets, hook_output } = opening;
    let resctrl = NewGroups::make_if_asked(plan.intel_rdt.as_ref(), |group| claim.note_resctrl(group))?;
    claim.announce_cgroup(&plan.cgroup)?;
    let mut cgroup = NewCgroup::create(&plan.cgroup)?;
    claim.note_cgroup(cgroup.as_ref())?;
    let cgroup_fd = cgroup.as_ref().map(AsFd::as_fd);
    let mut child = spawn::container(plan, cgroup_fd, |parent, unjoined| init::run(plan, inherited, unjoined, parent))?;
    if let Some(scope) = &plan.cgroup.scope {
        cgroup = Some(place(&child, scope, plan, claim)?);
    }
    let groups = resctrl.as_ref().map(NewGroups::groups);
    let making = Making { plan, claim, cgroup: cgroup.as_ref(), groups, terminal, hook_output };
    let made = see_made(&making, &mut child).map_err(|error| with_oom(cgroup.as_ref(), error))?;
    delegate(cgroup.as_mut(), &child, plan, claim)?;
    child.limit(&plan.process.rlimits)?;
    child.schedule(&plan.process.scheduling)?;
    groups.map_or(Ok(()), |groups| groups.take_in(child.pid))?;
    caller::send_pidfd(pidfd_sockets, "standard", child.pidfd())?;

    let record = claim.publish(made.record, cgroup.as_ref())?;
    caller::write_pid_file(options.pid_file.as_deref(), child.raw_pid())?;
    child.tell(Step::Saved)?;
    let init = child.release()?;
    made.net_devices.keep();
    cgroup.into_iter().for_each(NewCgroup::keep);
    resctrl.into_iter().for_each(NewGroups::keep);
    Ok((record, init, made.terminal))
}

/// systemd makes a cgroup only around a process that is there: the child waits until it is in it.
pub(crate) fn place(child: &Child, scope: &Scope, plan: &Plan, claim: &Claim) -> Result<NewCgroup> {
    let cgroup = NewCgroup::around(child.pid, scope, &plan.cgroup)?;
    claim.note_cgroup(Some(&cgroup))?;
    child.tell(Step::Placed)?;
    Ok(cgroup)
}

/// Only now: the child has made its cgroup namespace, with the container's cgroup at its root, and has no other process any more.
fn delegate(cgroup: Option<&mut NewCgroup>, child: &Child, plan: &Plan, claim: &Claim) -> Result<()> {
    let Some(cgroup) = cgroup else { return Ok(()) };
    cgroup.delegate(&plan.cgroup, child.pid)?;
    claim.note_delegated_cgroup(Some(cgroup))
}

/// What is at hand while the child builds its root.
struct Making<'a> {
    plan: &'a Plan,
    claim: &'a Claim,
    cgroup: Option<&'a NewCgroup>,
    groups: Option<&'a Groups>,
    terminal: TerminalGoes,
    hook_output: &'a Output,
}

/// What there is when it is ready.
struct Made {
    /// Not in its place yet.
    record: Record,
    /// The terminal's main side, when it came here.
    terminal: Option<OwnedFd>,
    /// The network devices that went there.
    net_devices: net_devices::Moved,
}

/// The parent's part while the child builds its root: nothing runs in the cgroup yet but Orlop itself.
fn see_made(making: &Making<'_>, child: &mut Child) -> Result<Made> {
    let &Making { plan, claim, cgroup, groups, .. } = making;
    cgroup.map_or(Ok(()), |cgroup| cgroup.restrict(&plan.cgroup))?;
    let (terminal, net_devices) = converse(making, child)?;
    let record = claim.draft(plan, child.pid, cgroup, groups)?;
    child.wait_for(Step::Ready)?;
    Ok(Made { record, terminal, net_devices })
}

/// The parent's part of the conversation, see `sync`, until there is nothing left but to wait for the child.
fn converse(making: &Making<'_>, child: &mut Child) -> Result<(Option<OwnedFd>, net_devices::Moved)> {
    let &Making { plan, terminal, hook_output, .. } = making;
    let mut net_devices = net_devices::Moved::default();
    if child.is_replaced {
        child.follow_replacement()?;
        child.tell(Step::IdsMapped)?;
    }
    if let Some(value) = plan.process.oom_score_adj {
        child.set_oom_score_adj(value)?;
    }
    if let Some(ids) = &plan.ids {
        child.map_ids(ids)?;
    }
    if plan.stops_on_the_way() {
        child.wait_for(Step::Mounted)?;
        net_devices = net_devices::hand_over(&plan.net_devices, child.raw_pid())?;
        let state = this(plan, Status::Creating, child.raw_pid());
        let with = Circumstances { container: Some(child.pidfd()), ..with(&state, hook_output) };
        hooks::run(&plan.hooks.create_runtime, with)?;
        child.tell(Step::HooksDone)?;
    }
    let comes_here = plan.process.terminal.is_some() && terminal == TerminalGoes::Here;
    let main = comes_here.then(|| child.wait_for(Step::Terminal)).transpose()?.and_then(|received| received.fd);
    Ok((main, net_devices))
}

/// An init that died for want of memory can't say so itself. Nor can a scope of systemd's, which is gone as soon as its only process is.
pub(crate) fn with_oom(cgroup: Option<&NewCgroup>, error: Error) -> Error {
    let Some(cgroup) = cgroup else { return error };
    match cgroup.oom_kills() {
        Some(1..) => error.hint("the kernel's OOM killer ended it: linux.resources.memory.limit is too low"),
        None if cgroup.is_gone() => {
            error.hint("its scope has ended with its process, as where linux.resources.memory.limit is too low")
        }
        _ => error,
    }
}

pub(crate) fn with<'a>(state: &'a [u8], output: &'a Output) -> Circumstances<'a> {
    Circumstances { state, output: Some(output), ..Circumstances::default() }
}

pub(crate) fn this(plan: &Plan, status: Status, pid: i32) -> Vec<u8> {
    state::for_hooks(&plan.id, &plan.bundle, &plan.annotations, status, pid)
}

impl Options {
    fn request(&self) -> Request {
        Request {
            id: self.id.clone(),
            no_pivot: self.no_pivot,
            no_new_keyring: self.no_new_keyring,
            preserve_fds: self.preserve_fds,
            listen: caller::listen_fds(),
            notify: notify::is_asked_for().then(|| notify::dir(&self.root, &self.id)),
            systemd_cgroup: self.systemd_cgroup,
        }
    }
}
