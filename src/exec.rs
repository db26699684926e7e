//! `orlop exec`: one more process in a running container.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use crate::agent::Agent;
use crate::bundle::ProcessFile;
use crate::caller::{self, TerminalGoes};
use crate::cgroupv2::{Cgroup, Unit};
use crate::console::Foreground;
use crate::error::{Annotate, Context, Error, Result};
use crate::host::{Host, cgroup_of};
use crate::init::attach::{self, Joining};
use crate::plan::{ExecPlan, ExecRequest, Kind};
use crate::resctrl::Groups;
use crate::spawn::{self, Child, Handover, exit_code};
use crate::state::{Init, Record, State, Status};
use crate::sync::Step;
use crate::sys;

/// runc's text.
const STOPPED: &str = "cannot exec in a stopped container";

/// What the command line of `exec` asks for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The root of all state directories, absolute.
    pub root: PathBuf,
    /// The container's id.
    pub id: String,
    /// A file that describes the process.
    pub process: Option<PathBuf>,
    /// The process by words and flags.
    pub request: ExecRequest,
    /// Return as soon as the program was executed.
    pub detach: bool,
    /// Where to write the process's pid.
    pub pid_file: Option<PathBuf>,
    /// The socket that gets the terminal.
    pub console_socket: Option<PathBuf>,
    /// The socket that gets a pidfd of the process.
    pub pidfd_socket: Option<PathBuf>,
    /// Join a paused container all the same, and wait with it.
    pub ignore_paused: bool,
    /// Cgroups below the container's own to run in.
    pub cgroups: Vec<String>,
}

/// Runs a process in a container. In the foreground the result is the exit code of the process, 128+n when signal n ended it.
///
/// # Errors
/// When the program was not executed; nothing of it is left then.
pub fn exec(options: &Options) -> Result<u8> {
    sys::cloexec_from(options.request.preserve_fds.saturating_add(3)).call("close_range")?;
    let container = Container::find(options)?;
    let file = options.process.as_deref().map(ProcessFile::open).transpose()?;
    let plan = ExecPlan::new(&container.record.exec, file, &options.request, &Host::probe())?;
    let joined = join(&plan, &container, options);
    let (child, foreground) = joined.map_err(|error| unless_stopped(&container, error))?;
    let process = child.release()?;
    let Some(mut foreground) = foreground else { return Ok(0) };
    foreground.stay_with(&process)?;
    exit_code(process.as_fd())
}

/// A container that a process may join.
struct Container {
    record: Record,
    init: OwnedFd,
    cgroup: Option<Cgroup>,
}

impl Container {
    fn find(options: &Options) -> Result<Self> {
        let state = State::open(&options.root, &options.id)?;
        let stopped = || Error::new(STOPPED);
        let Some(record) = state.load()? else {
            return Err(match state.status(None)?.0 {
                Status::Creating => Error::new("cannot exec in a container that is being created"),
                _ => stopped(),
            });
        };
        let init = record.init.open()?.ok_or_else(stopped)?;
        let made = record.cgroup.as_deref().map(Cgroup::open).transpose()?.flatten();
        let cgroup = match made {
            // Somebody moved all of it and removed the cgroup. The new process belongs there too, and not where the caller is.
            None if record.cgroup.is_some() => {
                let moved = cgroup_of_init(&record.init);
                if record.init.is_ending() {
                    return Err(stopped());
                }
                moved?
            }
            made => made,
        };
        if !options.ignore_paused && cgroup.as_ref().map_or(Ok(false), Cgroup::is_frozen)? {
            return Err(Error::new("cannot exec in a paused container (use --ignore-paused to override)"));
        }
        Ok(Self { record, init, cgroup })
    }
}

/// From the plan to the executed program.
fn join(plan: &ExecPlan, container: &Container, options: &Options) -> Result<(Child, Option<Foreground>)> {
    let terminal = if options.detach { TerminalGoes::ToSocket } else { TerminalGoes::Here };
    let has_terminal = plan.process.terminal.is_some();
    let console_socket = caller::console_socket(options.console_socket.as_deref(), has_terminal, terminal)?;
    let pidfd_socket = caller::pidfd_socket(options.pidfd_socket.as_deref())?;
    caller::check_preserved_fds(plan.preserve_fds)?;

    let handover = handover(plan, &container.record)?;

    let root = root_without_mounts(plan, container)?;
    let joining = Joining {
        init: container.init.as_fd(),
        root: root.as_ref().map(AsFd::as_fd),
        console_socket: console_socket.as_ref().map(AsFd::as_fd),
        placed_later: false,
        ignored_signals: caller::ignored_signals()?,
    };
    let mut child = birth(plan, container, &joining, &options.cgroups)?;
    child.hand_listener_to(handover);
    let foreground = converse(plan, &mut child, container.record.resctrl.as_ref(), terminal, pidfd_socket);
    let foreground = foreground.map_err(|error| with_oom(container, &child, error))?;
    caller::write_pid_file(options.pid_file.as_deref(), child.raw_pid())?;
    Ok((child, foreground))
}

/// The parent's part of the conversation, see `sync`, to its end.
fn converse(
    plan: &ExecPlan,
    child: &mut Child,
    resctrl: Option<&Groups>,
    terminal: TerminalGoes,
    pidfd_socket: Option<OwnedFd>,
) -> Result<Option<Foreground>> {
    if let Some(score) = plan.process.oom_score_adj {
        child.set_oom_score_adj(score)?;
    }
    let comes_here = plan.process.terminal.is_some() && terminal == TerminalGoes::Here;
    let main = comes_here.then(|| child.wait_for(Step::Terminal)).transpose()?.and_then(|received| received.fd);
    child.wait_for(Step::Ready)?;
    child.limit(&plan.process.rlimits)?;
    resctrl.map_or(Ok(()), |groups| groups.take_in(child.pid))?;
    child.bind(&plan.process.exec_cpus)?;
    // From here on a signal is the new process's.
    let mut foreground = (terminal == TerminalGoes::Here).then(Foreground::begin).transpose()?;
    let scheduling = &plan.process.scheduling;
    if plan.has(Kind::Pid) {
        child.tell(Step::Limited)?;
        child.follow_replacement()?;
        // Not before: what is reset at a fork would be, and a deadline forbids to fork.
        child.schedule(scheduling)?;
        child.tell(Step::IdsMapped)?;
    } else {
        child.schedule(scheduling)?;
        child.tell(Step::Limited)?;
    }
    caller::send_pidfd(pidfd_socket, "setns", child.pidfd())?;
    if let Some(foreground) = &mut foreground {
        foreground.attach(main)?;
    }
    child.wait_executed()?;
    Ok(foreground)
}

/// The root of a container without a mount namespace, which is where its init has it.
fn root_without_mounts(plan: &ExecPlan, container: &Container) -> Result<Option<OwnedFd>> {
    if plan.has(Kind::Mount) {
        return Ok(None);
    }
    let path = format!("/proc/{}/root", container.record.init.pid);
    let root = open(&path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    if container.record.init.is_ending() {
        // The number may have been another process's already.
        return Err(Error::new(STOPPED));
    }
    root.call("open").doing(|| path).map(Some)
}

/// The seccomp agent, connected before anything is made.
fn handover(plan: &ExecPlan, record: &Record) -> Result<Option<Handover>> {
    let Some(listener) = plan.seccomp.as_ref().and_then(|filter| filter.listener.as_ref()) else { return Ok(None) };
    let agent = Agent::connect(listener)?;
    let this = record.for_hooks(Status::Running);
    Ok(Some(Box::new(move |listener, pid| agent.hand_over(listener, pid, &this))))
}

/// In the container's cgroup, or below it. A container that manages cgroups of its own has no process in the uppermost one
/// (cgroups(7), no internal processes); there the new process goes where the init went.
fn birth(plan: &ExecPlan, container: &Container, joining: &Joining<'_>, below: &[String]) -> Result<Child> {
    if let Some(cpus) = &plan.process.exec_cpus.initial {
        // The child is born in the container's cgroup: what it is bound to before is what it inherits.
        spawn::set_cpus(None, cpus).field("process.execCPUAffinity.initial")?;
    }
    let into =
        |cgroup: Option<&Cgroup>| spawn::into(cgroup.map(AsFd::as_fd), |parent| attach::run(plan, joining, &parent));
    if !below.is_empty() {
        return into(Some(&cgroup_below(container, below).map_err(|error| error.doing("--cgroup"))?));
    }
    let delegated = container.record.delegated_cgroup.as_deref().map(Cgroup::open).transpose()?.flatten();
    match into(delegated.as_ref().or(container.cgroup.as_ref())) {
        Err(error) if error.errno() == Some(Errno::BUSY) => into(cgroup_of_init(&container.record.init)?.as_ref()),
        Err(error) if error.errno() == Some(Errno::ACCESS) => match &container.record.unit {
            Some(unit) => birth_outside(plan, joining, unit),
            None => Err(error),
        },
        born => born,
    }
}

/// A user who comes from a session may not move anything from there into what the user's own systemd has made, systemd may.
fn birth_outside(plan: &ExecPlan, joining: &Joining<'_>, unit: &Unit) -> Result<Child> {
    let joining = Joining { placed_later: true, ..*joining };
    let child = spawn::into(None, |parent| attach::run(plan, &joining, &parent))?;
    unit.take_in(child.pid)?;
    child.tell(Step::Placed)?;
    Ok(child)
}

/// runc's forms of `--cgroup`, of which cgroup v2 has one: a path below the container's cgroup.
fn cgroup_below(container: &Container, below: &[String]) -> Result<Cgroup> {
    match below {
        [path] if !path.contains(':') => {
            let own = container.cgroup.as_ref().ok_or_else(|| Error::new("the container has no cgroup of its own"));
            own?.below(Path::new(path))
        }
        [path] => {
            let controllers = path.split(':').next().unwrap_or_default();
            Err(Error::new(format!("unknown controller {controllers}"))
                .hint("cgroup v2 has one hierarchy for all; give the path alone"))
        }
        _ => Err(Error::new("a process can be in one cgroup only")),
    }
}

/// Where the container's init is now.
fn cgroup_of_init(init: &Init) -> Result<Option<Cgroup>> {
    let path = cgroup_of(&init.pid.to_string())?;
    Cgroup::open(&Host::probe().cgroup_root()?.join(path.strip_prefix("/").unwrap_or(&path)))
}

/// A process that died for want of memory can't say so itself.
fn with_oom(container: &Container, child: &Child, error: Error) -> Error {
    match container.cgroup.as_ref().filter(|_| child.was_killed()).and_then(Cgroup::oom_kills) {
        Some(1..) => error.hint("the kernel's OOM killer may have: linux.resources.memory.limit is low"),
        _ => error,
    }
}

/// Whatever went wrong, it went wrong because the container ended meanwhile.
fn unless_stopped(container: &Container, error: Error) -> Error {
    if container.record.init.is_ending() { Error::new(STOPPED) } else { error }
}
