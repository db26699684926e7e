//! `orlop restore`: makes a container from a bundle and a checkpoint.
//!
//! The bundle says what the container is, as for `create`; the checkpoint says what its processes were doing. CRIU takes privileges,
//! filters, namespaces and mounts from the checkpoint's files, so before the processes go on they are looked at, and one that is
//! less confined than the bundle says ends them all: see [`inspection`].

mod inspection;
mod place;
mod watch;
mod way;

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::process::chdir;

use self::inspection::Demands;
use self::place::{Place, mounts};
use self::way::{Made, Told, Way};
use crate::bundle::Bundle;
use crate::caller::{self, TerminalGoes};
use crate::cgroupv2::NewCgroup;
use crate::checkpoint::{meet, refuse_unprivileged};
use crate::console::Foreground;
use crate::create::{place as place_in_scope, this, with, with_oom};
use crate::criu::rpc::{Kind as Do, Options as CriuOptions};
use crate::criu::{self, Images, Program, Stdio};
use crate::error::{Annotate, Context, Error, Result};
use crate::hooks::Output;
use crate::host::{Host, cgroup_of};
use crate::init::criu::{Restoration, Tools};
use crate::plan::checkpoint::{LEFT_ALONE, Prepared, RESTORE_LOG, RestoreRequest, in_cgroup, restore as decide};
use crate::plan::{Joined, Kind, Plan, Request};
use crate::resctrl::NewGroups;
use crate::run::{adopt_orphans, clean_up};
use crate::sources::Sources;
use crate::spawn::{self, exit_code};
use crate::state::{Claim, Record, Status};
use crate::{hooks, init, notify, sys};

/// What the command line of `restore` asks for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The root of all state directories, absolute.
    pub root: PathBuf,
    /// The new container's id.
    pub id: String,
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// Where the checkpoint is.
    pub images: PathBuf,
    /// Where CRIU's own files go, its log among them, if not there too.
    pub work: Option<PathBuf>,
    /// Where to write the init's pid.
    pub pid_file: Option<PathBuf>,
    /// The socket that gets the terminal.
    pub console_socket: Option<PathBuf>,
    /// Leave the container running and return.
    pub detach: bool,
    /// Don't adopt the container's orphans.
    pub no_subreaper: bool,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// Let systemd make the cgroup.
    pub systemd_cgroup: bool,
    /// What CRIU is asked for.
    pub request: RestoreRequest,
}

/// A container that was restored by this process.
struct Restored {
    record: Record,
    /// The container's init, a child of this process.
    init: OwnedFd,
    /// The main side of its terminal.
    terminal: Option<OwnedFd>,
}

/// Restores a container. In the foreground the result is the exit code of its process, and the container is deleted then.
///
/// # Errors
/// One that names the config's field, or CRIU's own with what its log says. Nothing of the container stays then.
pub fn restore(options: &Options) -> Result<u8> {
    if options.detach {
        return container(options, TerminalGoes::ToSocket).map(|_| 0);
    }
    if !options.no_subreaper {
        adopt_orphans()?;
    }
    // From here on a signal is the container's; an interrupt can't cut the restore in the middle.
    let mut foreground = Foreground::begin()?;
    let mut restored = container(options, TerminalGoes::Here)?;
    let outcome = foreground
        .attach(restored.terminal.take())
        .and_then(|()| foreground.stay_with(&restored.init))
        .and_then(|()| exit_code(restored.init.as_fd()));
    clean_up(&options.root, &options.id, &outcome)?;
    outcome
}

/// From the bundle and the checkpoint to the container. Everything that can be refused is refused before anything is made.
fn container(options: &Options, terminal: TerminalGoes) -> Result<Restored> {
    refuse_unprivileged()?;
    sys::cloexec_from(3).call("close_range")?;
    let criu = Program::find()?;
    let bundle = Bundle::open(&options.bundle)?;
    let plan = Plan::new(&bundle, &options.plan_request(), &Host::probe())?;
    let images = Images::open(&options.images).doing(|| "--image-path")?;
    let work = options.work.as_deref().map(Images::make).transpose().doing(|| "--work-path")?;
    let checkpoint = Checkpoint { stdio: images.read_stdio()?, images, work };
    inspection::check_filters(plan.seccomp.as_ref(), &checkpoint.images.first_filters()?)?;
    let wants_terminal = plan.process.terminal.is_some();
    let console_socket = caller::console_socket(options.console_socket.as_deref(), wants_terminal, terminal)?;
    let pidfd_receiver = caller::pidfd_receiver(plan.pidfd_receiver.as_deref())?;
    let hook_output = Output::open(&plan.hook_output)?;
    // Hooks run in the bundle's directory, as with runc.
    chdir(&plan.bundle).call("chdir")?;
    let claim = Claim::new(&options.root, &plan.id)?;
    if notify::is_asked_for() {
        notify::make_dir(claim.dir())?;
    }
    let opening = Opening { program: criu, checkpoint, console_socket, pidfd_receiver, hook_output: &hook_output };
    let restored = from_plan(&plan, options, &claim, opening).inspect_err(|_| {
        let this = this(&plan, Status::Stopped, 0);
        hooks::run_all(&plan.hooks.poststop, with(&this, &hook_output));
    })?;
    claim.keep()?;
    Ok(restored)
}

/// What was opened before anything was made.
struct Opening<'a> {
    program: Program,
    checkpoint: Checkpoint,
    console_socket: Option<OwnedFd>,
    /// Who gets a pidfd of the init.
    pidfd_receiver: Option<OwnedFd>,
    /// What hooks write to.
    hook_output: &'a Output,
}

/// The checkpoint's files.
struct Checkpoint {
    images: Images,
    work: Option<Images>,
    stdio: Stdio,
}

/// The line from the plan to the container. Each step undoes itself when a later one fails.
fn from_plan(plan: &Plan, options: &Options, claim: &Claim, opening: Opening<'_>) -> Result<Restored> {
    let Opening { program, checkpoint, console_socket, pidfd_receiver, hook_output } = opening;
    let place = Place::make(claim, &options.root, &plan.id)?;
    let sources = Sources::for_criu(plan)?;
    let namespaces = open_namespaces(plan)?;
    let request = request(plan, options, &checkpoint.stdio, &place, &sources, &namespaces)?;
    let mut demands = Demands::of(plan, &sources, &namespaces)?;
    let log = checkpoint.work.as_ref().unwrap_or(&checkpoint.images).log(RESTORE_LOG)?;

    let resctrl = NewGroups::make_if_asked(plan.intel_rdt.as_ref(), |group| claim.note_resctrl(group))?;
    claim.announce_cgroup(&plan.cgroup)?;
    let mut cgroup = NewCgroup::create(&plan.cgroup)?;
    claim.note_cgroup(cgroup.as_ref())?;
    let kept: Vec<OwnedFd> = namespaces.into_iter().map(|(_, fd)| fd).collect();
    let criu = spawn::with_own_mounts("criu", cgroup.as_ref().map(AsFd::as_fd), |parent| {
        let tools = Tools { program: &program, images: &checkpoint.images, work: checkpoint.work.as_ref() };
        let with = Restoration { sources: &sources, kept: &kept, place: place.path() };
        init::criu::restore(plan, tools, with, &parent)
    })?;
    if let Some(scope) = &plan.cgroup.scope {
        cgroup = Some(place_in_scope(&criu, scope, plan, claim)?);
    }
    let cgroup =
        cgroup.ok_or_else(|| Error::new("nothing is restored outside of a cgroup").field("linux.cgroupsPath"))?;
    // Before anything but CRIU runs in there.
    cgroup.restrict(&plan.cgroup)?;
    let groups = resctrl.as_ref().map(NewGroups::groups);
    groups.map_or(Ok(()), |groups| groups.take_in(criu.pid))?;
    let connection = meet(&criu)?;
    let own = cgroup_of(&criu.raw_pid().to_string())?;
    let request = in_cgroup(request, &own)?;
    demands.in_cgroup(own);

    let watch = watch::over(&cgroup)?;
    let told = Told { console_socket, hook_output };
    let made = Made { claim, cgroup: &cgroup, resctrl: groups, others: [criu.pid, watch.pid] };
    let mut way = Way::new(plan, options, made, demands, told);
    connection
        .run(Do::Restore, request, &log, |notice| way.heed(notice))
        .map_err(|error| with_oom(Some(&cgroup), error))
        .inspect_err(|_| way.end_all())
        .doing(|| "criu restore")?;
    drop(connection);
    criu.wait_success(false)?;
    watch::dismiss(watch)?;
    let arrived = way.arrive()?;
    caller::send_pidfd(pidfd_receiver, "standard", arrived.0.init.as_fd())?;
    caller::write_pid_file(options.pid_file.as_deref(), arrived.0.record.init.pid)?;
    let restored = arrived.keep();
    cgroup.keep();
    resctrl.into_iter().for_each(NewGroups::keep);
    Ok(restored)
}

/// The namespaces that CRIU gets as descriptors.
fn open_namespaces(plan: &Plan) -> Result<Vec<(Kind, OwnedFd)>> {
    let joined = LEFT_ALONE.into_iter().filter_map(|kind| plan.namespaces.joined(kind));
    let open = |joined: &Joined| {
        File::open(&joined.path)
            .call("open")
            .doing(|| joined.path.display().to_string())
            .field(&joined.field)
            .map(|file| (joined.kind, file.into()))
    };
    joined.map(open).collect()
}

fn request(
    plan: &Plan,
    options: &Options,
    stdio: &Stdio,
    place: &Place,
    sources: &Sources,
    namespaces: &[(Kind, OwnedFd)],
) -> Result<CriuOptions> {
    let root = place.root();
    let prepared = Prepared {
        root: &root,
        mounts: mounts(plan, sources)?,
        namespaces: namespaces.iter().map(|(kind, fd)| (*kind, criu::fd_number(fd.as_fd()))).collect(),
        stdio,
    };
    decide(&options.request, plan, &prepared)
}

impl Options {
    fn plan_request(&self) -> Request {
        Request {
            id: self.id.clone(),
            no_new_keyring: self.no_new_keyring,
            notify: notify::is_asked_for().then(|| notify::dir(&self.root, &self.id)),
            systemd_cgroup: self.systemd_cgroup,
            ..Request::default()
        }
    }
}
