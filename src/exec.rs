//! `orlop exec`: one more process in a running container.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::agent::Agent;
use crate::bundle::ProcessFile;
use crate::caller::{self, TerminalGoes};
use crate::cgroupv2::Cgroup;
use crate::console::Foreground;
use crate::error::{Context, Error, Result};
use crate::host::{Host, read_proc};
use crate::init::attach::{self, Joining};
use crate::plan::{ExecPlan, ExecRequest, Kind};
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
    sys::cloexec_from(3 + options.request.preserve_fds).call("close_range")?;
    let (record, init) = joinable(options)?;
    let file = options.process.as_deref().map(ProcessFile::open).transpose()?;
    let plan = ExecPlan::new(&record.exec, file, &options.request)?;
    let joined = join(&plan, &record, &init, options);
    let (child, foreground) = joined.map_err(|error| unless_stopped(&record.init, error))?;
    let process = child.release()?;
    let Some(mut foreground) = foreground else { return Ok(0) };
    foreground.stay_with(&process)?;
    exit_code(process.as_fd())
}

/// The container's record and its init, when a process may join it now.
fn joinable(options: &Options) -> Result<(Record, OwnedFd)> {
    let state = State::open(&options.root, &options.id)?;
    let record = state.load()?;
    match (state.status(record.as_ref())?, record) {
        ((Status::Paused, _), _) if !options.ignore_paused => {
            Err(Error::new("cannot exec in a paused container (use --ignore-paused to override)"))
        }
        ((_, Some(init)), Some(record)) => Ok((record, init)),
        ((Status::Creating, _), _) => Err(Error::new("cannot exec in a container that is being created")),
        _ => Err(Error::new(STOPPED)),
    }
}

/// From the plan to the executed program.
fn join(plan: &ExecPlan, record: &Record, init: &OwnedFd, options: &Options) -> Result<(Child, Option<Foreground>)> {
    let terminal = if options.detach { TerminalGoes::ToSocket } else { TerminalGoes::Here };
    let has_terminal = plan.process.terminal.is_some();
    let console_socket = caller::console_socket(options.console_socket.as_deref(), has_terminal, terminal)?;
    let pidfd_socket = caller::pidfd_socket(options.pidfd_socket.as_deref())?;
    caller::check_preserved_fds(plan.preserve_fds)?;

    let handover = handover(plan, record)?;

    let joining = Joining { init: init.as_fd(), console_socket: console_socket.as_ref().map(AsFd::as_fd) };
    let mut child = birth(plan, record, &joining, &options.cgroups)?;
    child.hand_listener_to(handover);
    if let Some(score) = plan.process.oom_score_adj {
        child.set_oom_score_adj(score)?;
    }
    let comes_here = has_terminal && terminal == TerminalGoes::Here;
    let main = comes_here.then(|| child.wait_for(Step::Terminal)).transpose()?.and_then(|received| received.fd);
    child.wait_for(Step::Ready)?;
    child.limit(&plan.process.rlimits)?;
    // From here on a signal is the new process's.
    let mut foreground = (!options.detach).then(Foreground::begin).transpose()?;
    child.tell(Step::Limited)?;
    if plan.has(Kind::Pid) {
        child.follow_replacement()?;
    }
    caller::send_pidfd(pidfd_socket, "setns", child.pidfd())?;
    if let Some(foreground) = &mut foreground {
        foreground.attach(main)?;
    }
    child.wait_executed()?;
    caller::write_pid_file(options.pid_file.as_deref(), child.raw_pid())?;
    Ok((child, foreground))
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
fn birth(plan: &ExecPlan, record: &Record, joining: &Joining<'_>, below: &[String]) -> Result<Child> {
    let cgroup = cgroup(record, below)?;
    let into =
        |cgroup: Option<&Cgroup>| spawn::into(cgroup.map(AsFd::as_fd), |parent| attach::run(plan, joining, &parent));
    match into(cgroup.as_ref()) {
        Err(error) if error.errno() == Some(Errno::BUSY) && below.is_empty() => into(cgroup_of(&record.init)?.as_ref()),
        born => born,
    }
}

/// runc's forms of `--cgroup`, of which cgroup v2 has one: a path below the container's cgroup.
fn cgroup(record: &Record, below: &[String]) -> Result<Option<Cgroup>> {
    let own = record.cgroup.as_deref().map(Cgroup::open).transpose()?.flatten();
    match below {
        [] => Ok(own),
        [path] if !path.contains(':') => {
            let own = own.ok_or_else(|| Error::new("the container has no cgroup of its own"));
            own.and_then(|own| own.below(Path::new(path))).map(Some)
        }
        [path] => {
            let controllers = path.split(':').next().unwrap_or_default();
            Err(Error::new(format!("unknown controller {controllers}"))
                .hint("cgroup v2 has one hierarchy for all; give the path alone"))
        }
        _ => Err(Error::new("a process can be in one cgroup only")),
    }
    .map_err(|error| if below.is_empty() { error } else { error.doing("--cgroup") })
}

/// Where the container's init is now.
fn cgroup_of(init: &Init) -> Result<Option<Cgroup>> {
    let text = read_proc(&format!("/proc/{}/cgroup", init.pid))?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"));
    path.map_or(Ok(None), |path| Cgroup::open(&Host::probe().cgroup_root()?.join(path)))
}

/// Whatever went wrong, it went wrong because the container ended meanwhile.
fn unless_stopped(init: &Init, error: Error) -> Error {
    if init.is_ending() { Error::new(STOPPED) } else { error }
}
