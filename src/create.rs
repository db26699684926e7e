//! `orlop create`: a bundle becomes a container that waits at its gate.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::process::{Rlimit, chdir, prlimit};

use crate::bundle::Bundle;
use crate::cgroupv2::NewCgroup;
use crate::error::{Annotate, Context, Error, Result};
use crate::hooks::Circumstances;
use crate::host::Host;
use crate::init::{self, Inherited};
use crate::plan::{Kind, Plan, Request};
use crate::sources::Sources;
use crate::spawn::{self, Child};
use crate::state::{self, Claim, Record, State, Status};
use crate::sync::Step;
use crate::{gate, hooks, sys};

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
    /// Chroot instead of `pivot_root`.
    pub no_pivot: bool,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// How many descriptors from 3 on the container inherits.
    pub preserve_fds: u32,
    /// Let systemd make the cgroup.
    pub systemd_cgroup: bool,
}

/// Who takes the container's terminal, when it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TerminalGoes {
    /// To `--console-socket`; this process goes away.
    ToSocket,
    /// To this process, which stays with it.
    Here,
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

/// Creates a container and leaves it at its gate.
///
/// # Errors
/// One that names the config's field; nothing is left behind then.
pub fn create(options: &Options) -> Result<()> {
    container(options, TerminalGoes::ToSocket).map(drop)
}

/// From the bundle to the container. Everything that can be refused is refused before anything is made.
pub(crate) fn container(options: &Options, terminal: TerminalGoes) -> Result<Created> {
    sys::cloexec_from(3 + options.preserve_fds).call("close_range")?;
    let bundle = Bundle::open(&options.bundle)?;
    let plan = Plan::new(&bundle, &options.request(), &Host::probe())?;
    let console_socket = connect_console(&plan, options, terminal)?;
    check_preserved_fds(options.preserve_fds)?;
    let sources = sources(&plan)?;
    // Hooks run in the bundle's directory, as with runc.
    chdir(&plan.bundle).call("chdir")?;
    let claim = Claim::new(&options.root, &plan.id)?;
    let inherited = Inherited { sources, gate: gate::make(claim.dir())?, console_socket };
    let (record, init, terminal) = from_plan(&plan, options, terminal, &claim, inherited)
        .inspect_err(|_| hooks::run_all(&plan.hooks.poststop, reading(&this(&plan, Status::Stopped, 0))))?;
    Ok(Created { state: claim.keep()?, record, init, terminal })
}

/// The line from the plan to the container. Each step undoes itself when a later one fails.
fn from_plan(
    plan: &Plan,
    options: &Options,
    terminal: TerminalGoes,
    claim: &Claim,
    inherited: Inherited,
) -> Result<(Record, OwnedFd, Option<OwnedFd>)> {
    claim.announce_cgroup(&plan.cgroup.dir())?;
    let cgroup = NewCgroup::create(&plan.cgroup)?;
    claim.note_cgroup(cgroup.as_ref())?;
    let cgroup_fd = cgroup.as_ref().map(AsFd::as_fd);
    let mut child = spawn::container(plan, cgroup_fd, |parent, unjoined| init::run(plan, inherited, unjoined, parent))?;
    // While the child builds its root: nothing runs in the cgroup yet but Orlop itself.
    cgroup.as_ref().map_or(Ok(()), |cgroup| cgroup.restrict_devices(&plan.cgroup))?;
    let main = converse(plan, &mut child, terminal).map_err(|error| with_oom(cgroup.as_ref(), error))?;
    limit(plan, &child)?;

    let record = claim.save(plan, child.pid, cgroup.as_ref())?;
    write_pid_file(options.pid_file.as_deref(), &child)?;
    child.tell(Step::Saved)?;
    let init = child.release()?;
    cgroup.into_iter().for_each(NewCgroup::keep);
    Ok((record, init, main))
}

/// Opened here, with this process's privileges; in a user namespace by the child, see `sources`.
fn sources(plan: &Plan) -> Result<Option<Sources>> {
    let here = Host::probe().is_root() && !plan.namespaces.has(Kind::User);
    here.then(|| Sources::open(plan)).transpose()
}

/// The parent's part of the conversation, see `sync`. Returns the terminal's main side when it came here.
fn converse(plan: &Plan, child: &mut Child, terminal: TerminalGoes) -> Result<Option<OwnedFd>> {
    if spawn::is_replaced(&plan.namespaces) {
        child.follow_replacement()?;
    }
    if let Some(value) = plan.process.oom_score_adj {
        child.set_oom_score_adj(value)?;
    }
    if let Some(ids) = &plan.ids {
        child.map_ids(ids)?;
    }
    if plan.hooks.at_creation() {
        child.wait_for(Step::Mounted)?;
        let state = this(plan, Status::Creating, child.raw_pid());
        let with = Circumstances { container: Some(child.pidfd()), ..reading(&state) };
        hooks::run(&plan.hooks.create_runtime, with)?;
        child.tell(Step::HooksDone)?;
    }
    let comes_here = plan.process.terminal.is_some() && terminal == TerminalGoes::Here;
    let main = comes_here.then(|| child.wait_for(Step::Terminal)).transpose()?.and_then(|received| received.fd);
    child.wait_for(Step::Ready)?;
    Ok(main)
}

/// From outside, because in a user namespace the process could not raise them itself.
fn limit(plan: &Plan, child: &Child) -> Result<()> {
    for (i, limit) in plan.process.rlimits.iter().enumerate() {
        let new = Rlimit { current: limit.soft, maximum: limit.hard };
        prlimit(Some(child.pid), limit.resource, new)
            .call("prlimit")
            .doing(|| limit.name.to_string())
            .hint("a hard limit above the runtime's own needs CAP_SYS_RESOURCE")
            .field_with(|| format!("process.rlimits[{i}]"))?;
    }
    Ok(())
}

/// An init that died for want of memory can't say so itself.
fn with_oom(cgroup: Option<&NewCgroup>, error: Error) -> Error {
    match cgroup.and_then(NewCgroup::oom_kills) {
        Some(1..) => error.hint("the kernel's OOM killer ended it: linux.resources.memory.limit is too low"),
        _ => error,
    }
}

fn reading(state: &[u8]) -> Circumstances<'_> {
    Circumstances { state, ..Circumstances::default() }
}

fn this(plan: &Plan, status: Status, pid: i32) -> Vec<u8> {
    state::for_hooks(&plan.id, &plan.bundle, &plan.annotations, status, pid)
}

impl Options {
    fn request(&self) -> Request {
        Request {
            id: self.id.clone(),
            no_pivot: self.no_pivot,
            no_new_keyring: self.no_new_keyring,
            preserve_fds: self.preserve_fds,
            systemd_cgroup: self.systemd_cgroup,
        }
    }
}

/// runc's rules and texts for which terminal needs which socket.
fn connect_console(plan: &Plan, options: &Options, terminal: TerminalGoes) -> Result<Option<OwnedFd>> {
    let wanted = plan.process.terminal.is_some() && terminal == TerminalGoes::ToSocket;
    match &options.console_socket {
        None if wanted => Err(Error::new("cannot allocate tty if orlop will detach without setting console socket")
            .field("process.terminal")),
        Some(_) if !wanted => Err(Error::new("cannot use console socket if orlop will not detach or allocate tty")),
        None => Ok(None),
        Some(path) => UnixStream::connect(path)
            .call("connect")
            .map(|socket| Some(socket.into()))
            .doing(|| format!("--console-socket {}", path.display())),
    }
}

fn check_preserved_fds(count: u32) -> Result<()> {
    for i in 0..count {
        let number = i32::try_from(3 + i).map_err(|_| Error::new("--preserve-fds is too large"))?;
        sys::inherited_fd(number)
            .call("fcntl")
            .doing(|| format!("unable to stat preserved-fd {number} (of {count})"))
            .hint("--preserve-fds counts from descriptor 3, and the caller has to leave them open")?;
    }
    Ok(())
}

/// Digits only, and there in one piece or not at all.
fn write_pid_file(path: Option<&Path>, child: &Child) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let describe = || format!("--pid-file {}", path.display());
    let name = path.file_name().ok_or_else(|| Error::new("it has no file name").doing(describe()))?;
    let temporary = path.with_file_name([OsStr::new("."), name].join(OsStr::new("")));
    write_new(&temporary, &child.raw_pid().to_string())
        .and_then(|()| fs::rename(&temporary, path))
        .call("write")
        .doing(describe)
        .inspect_err(|_| drop(fs::remove_file(&temporary)))
}

/// A file that an earlier, killed create left is replaced, and a link that somebody put in its place is never followed.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => (),
    }
    File::options().write(true).create_new(true).mode(0o644).open(path)?.write_all(text.as_bytes())
}
