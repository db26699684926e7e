//! `orlop checkpoint`: writes a running container to files, from which `restore` makes it again.

use std::collections::HashSet;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, StatxAttributes, StatxFlags, open, statx};

use crate::criu::rpc::{ExternalMount, Features, Kind as Do, Options as CriuOptions};
use crate::criu::{Connection, Images, Notice, Program, Stdio};
use crate::delete::delete;
use crate::error::{Annotate, Context, Error, Result};
use crate::host::read_proc;
use crate::init;
use crate::init::criu::Tools;
use crate::inside::{Inside, is_char_device};
use crate::mountinfo::{self, Entry};
use crate::plan::checkpoint::{
    CheckpointRequest, DUMP_LOG, Dumped, LEFT_ALONE, dump, no_mount_namespace, no_user_namespace,
};
use crate::plan::{ExecPlan, External, Kind};
use crate::spawn::{self, Child};
use crate::state::{Record, State, Status};
use crate::sys;

/// What the command line of `checkpoint` asks for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The root of all state directories, absolute.
    pub root: PathBuf,
    /// The container's id.
    pub id: String,
    /// Where the files go.
    pub images: PathBuf,
    /// Where CRIU's own files go, its log among them, if not there too.
    pub work: Option<PathBuf>,
    /// The descriptor that gets a zero byte when pages can be asked for.
    pub status_fd: Option<i32>,
    /// What CRIU is asked for.
    pub request: CheckpointRequest,
}

/// Makes a checkpoint. Without `leave_running` and `pre_dump` the container is deleted then.
///
/// # Errors
/// runc's text for a container that is not running; CRIU's own, with what its log says. The container goes on then.
pub fn checkpoint(options: &Options) -> Result<()> {
    refuse_unprivileged()?;
    let state = State::open(&options.root, &options.id)?;
    state.try_lock()?;
    let (record, _init) = running(&state)?;
    refuse_user_namespace(&record)?;
    if !ExecPlan::container_has(&record.exec, Kind::Mount)? {
        return Err(no_mount_namespace());
    }
    let criu = Program::find()?;
    let status_fd = options.status_fd.map(writable).transpose()?;
    let images = Images::make(&options.images).doing(|| "--image-path")?;
    let work = options.work.as_deref().map(Images::make).transpose().doing(|| "--work-path")?;
    check_parent(&images, options.request.parent.as_deref())?;

    let request = dump(&options.request, &container(&record)?)?;
    if !options.request.pre_dump {
        images.write_stdio(&stdio(record.init.pid)?)?;
    }
    let tools = Tools { program: &criu, images: &images, work: work.as_ref() };
    run(tools, &options.request, request, status_fd).doing(|| "criu dump")?;

    if options.request.leave_running || options.request.pre_dump {
        return Ok(());
    }
    drop(state);
    delete(&options.root, &options.id, true)
}

/// CRIU puts itself into other processes and reads and writes what is the kernel's alone.
pub(crate) fn refuse_unprivileged() -> Result<()> {
    if rustix::process::geteuid().is_root() { Ok(()) } else { Err(Error::new("checkpoint and restore need root")) }
}

fn running(state: &State) -> Result<(Record, OwnedFd)> {
    let record = state.load()?;
    let (status, init) = state.status_locked(record.as_ref())?;
    match (status, record, init) {
        (Status::Running | Status::Paused, Some(record), Some(init)) => Ok((record, init)),
        _ => Err(Error::new(format!("Container cannot be checkpointed in {status} state"))),
    }
}

/// A checkpoint that can't be restored would be the end of the container.
fn refuse_user_namespace(record: &Record) -> Result<()> {
    let identity = |process: &str| {
        let path = format!("/proc/{process}/ns/user");
        std::fs::metadata(&path).call("stat").doing(|| path).map(|metadata| (metadata.dev(), metadata.ino()))
    };
    if identity(&record.init.pid.to_string())? == identity("self")? { Ok(()) } else { Err(no_user_namespace()) }
}

fn writable(number: i32) -> Result<std::fs::File> {
    let invalid = || format!("invalid --status-fd argument {number}");
    let fd = sys::inherited_fd(number).call("fcntl").doing(invalid)?;
    let flags = rustix::fs::fcntl_getfl(fd).call("fcntl").doing(invalid)?;
    if !flags.intersects(OFlags::WRONLY | OFlags::RDWR) {
        return Err(Error::new("not writable").doing(invalid()));
    }
    fd.try_clone_to_owned().call("dup").map(Into::into)
}

fn check_parent(images: &Images, parent: Option<&Path>) -> Result<()> {
    match parent {
        Some(parent) if parent.is_absolute() => Err(Error::new("--parent-path must be relative")),
        Some(parent) => images.check_directory(parent).doing(|| "invalid --parent-path"),
        None => Ok(()),
    }
}

/// What CRIU has to know of the container, as the kernel has it now.
fn container(record: &Record) -> Result<Dumped<'_>> {
    let pid = record.init.pid;
    let root = open(format!("/proc/{pid}/root"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).call("open")?;
    let external = External::read(record.external.as_deref())?;
    let table = mountinfo::parse(&read_proc(&format!("/proc/{pid}/mountinfo"))?);
    Ok(Dumped {
        pid,
        rootfs: &record.rootfs,
        cgroup: record.cgroup.as_deref(),
        mounts: external_mounts(&Inside::new(root), &table, &external)?,
        namespaces: external_namespaces(pid, &external)?,
        annotations: &record.annotations,
    })
}

/// The host's mounts in the container: its bind mounts by their targets in the config, which the next config has too, and
/// devices that could not be made.
fn external_mounts(root: &Inside, table: &[Entry], external: &External<'_>) -> Result<Vec<ExternalMount>> {
    let mut mounts = Vec::new();
    for target in &external.binds {
        if let Some(id) = mount_at(root, target)?
            && let Some(entry) = table.iter().find(|entry| entry.id == id)
        {
            mounts.push(external_mount(&entry.point, target)?);
        }
    }
    let own: HashSet<&str> =
        table.iter().filter(|entry| entry.root == Path::new("/")).map(|entry| entry.device.as_str()).collect();
    for entry in table.iter().filter(|entry| !own.contains(entry.device.as_str())) {
        if let Some(device) = device_at(root, &entry.point)? {
            mounts.push(external_mount(&entry.point, device)?);
        }
    }
    Ok(mounts)
}

/// The mount that a path of the container's is the root of.
fn mount_at(root: &Inside, path: &Path) -> Result<Option<u64>> {
    // Gone, or out of reach: CRIU finds the same.
    let Ok(found) = root.find(path) else { return Ok(None) };
    let stat = statx(&found, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).call("statx")?;
    let is_root = stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
    Ok(is_root.then_some(stat.stx_mnt_id))
}

/// The name that a device of the host's has in an image: that of the null device, which masked files are hidden behind, or its own.
fn device_at<'a>(root: &Inside, point: &'a Path) -> Result<Option<&'a Path>> {
    let Ok(found) = root.find(point) else { return Ok(None) };
    let stat = rustix::fs::fstat(&found).call("fstat")?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::CharacterDevice if is_char_device(&stat, 1, 3) && !point.starts_with("/dev") => {
            Some(Path::new("/dev/null"))
        }
        FileType::CharacterDevice | FileType::BlockDevice => Some(point),
        _ => None,
    })
}

/// A pair of mount points and names, in the order that CRIU has for what is asked.
pub(crate) fn external_mount(key: &Path, val: &Path) -> Result<ExternalMount> {
    let text = |path: &Path| {
        let text = path.to_str().map(str::to_owned);
        text.ok_or_else(|| Error::new(format!("{}: CRIU takes no mount point that is not UTF-8", path.display())))
    };
    Ok(ExternalMount { key: text(key)?, val: text(val)? })
}

fn external_namespaces(pid: i32, external: &External<'_>) -> Result<Vec<(Kind, u64)>> {
    let joined = LEFT_ALONE.into_iter().filter(|kind| external.namespaces & kind.bit() != 0);
    let inode = |kind: Kind| {
        let path = format!("/proc/{pid}/ns/{}", kind.proc_name());
        std::fs::metadata(&path).call("stat").doing(|| path).map(|metadata| (kind, metadata.ino()))
    };
    joined.map(inode).collect()
}

/// What its standard streams lead to, by which a restore connects those that are somebody else's.
fn stdio(pid: i32) -> Result<Stdio> {
    let link = |fd: u32| {
        let path = format!("/proc/{pid}/fd/{fd}");
        match std::fs::read_link(&path) {
            // A container may have closed it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            link => link.call("readlink").doing(|| path).map(|target| target.to_string_lossy().into_owned()),
        }
    };
    (0..3).map(link).collect()
}

fn run(
    tools: Tools<'_>,
    request: &CheckpointRequest,
    options: CriuOptions,
    mut status_fd: Option<std::fs::File>,
) -> Result<()> {
    let log = tools.work.unwrap_or(tools.images).log(DUMP_LOG)?;
    let child = spawn::beside("criu", |parent| init::criu::serve(tools, &parent))?;
    let connection = meet(&child)?;
    check_features(&connection, request)?;
    let kind = if request.pre_dump { Do::PreDump } else { Do::Dump };
    connection.run(kind, options, &log, |notice| heed(&notice, &mut status_fd))?;
    drop(connection);
    // Between two dumps of a series it waits for the next, and takes the end of the connection for a failure.
    child.wait_success(request.pre_dump)
}

/// The conversation with a process that was born to become CRIU, once it has.
pub(crate) fn meet(criu: &Child) -> Result<Connection> {
    let introduction = criu.wait_executed()?;
    let connection = Connection::new(introduction.fd, &introduction.payload)?;
    connection.check_version()?;
    Ok(connection)
}

/// Without these CRIU would dump all the same, and not what was asked for.
fn check_features(connection: &Connection, request: &CheckpointRequest) -> Result<()> {
    let wants_tracking = request.pre_dump || request.parent.is_some();
    let asked =
        Features { mem_track: wants_tracking.then_some(true), lazy_pages: request.criu.lazy_pages.then_some(true) };
    if asked == Features::default() {
        return Ok(());
    }
    let there = connection.features(asked)?;
    match (wants_tracking && !there.mem_track(), request.criu.lazy_pages && !there.lazy_pages()) {
        (true, _) => Err(Error::new("this kernel or CRIU can't tell which memory changed")
            .hint("--pre-dump and --parent-path need CONFIG_MEM_SOFT_DIRTY")),
        (_, true) => {
            Err(Error::new("this kernel or CRIU can't bring memory later").hint("--lazy-pages needs userfaultfd"))
        }
        _ => Ok(()),
    }
}

/// Of the points of a dump one is of interest: pages can be asked for.
fn heed(notice: &Notice, status_fd: &mut Option<std::fs::File>) -> Result<()> {
    match (notice.script.as_str(), status_fd.take()) {
        ("status-ready", Some(mut status)) => status.write_all(&[0]).call("write").doing(|| "--status-fd"),
        (_, kept) => {
            *status_fd = kept;
            Ok(())
        }
    }
}
