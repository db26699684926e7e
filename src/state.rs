//! The state directory: `ROOT/ID/`, with the container's record, its lock and its gate.
//!
//! What a record says is what was true when it was written. What is true now (created, running, paused, stopped) is asked
//! of the kernel each time. A process is touched only through a pidfd that was checked to be the one of the record.
//!
//! | entry         | what it is |
//! |---------------|------------|
//! | the directory | 0700; flock(2) on it is the container's lock |
//! | `state.json`  | the record, replaced atomically; missing while the container is being created |
//! | `cgroup`      | a symbolic link to the cgroup that was made for this container, and may be killed and removed with it |
//! | `cgroup.next` | the same while it is being made: removed if it is there and empty, and never killed |
//! | `resctrl`, `resctrl.monitor` | the same for groups of resctrl |
//! | `gate`        | the socket at which a created container waits; see `gate` |
//! | `update`      | flock(2) on it is the lock of whoever changes the record of a container that is there |
//! | `notify/`     | the directory of the socket at which it says that it is ready; see `notify` |

mod shown;

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use rustix::buffer::spare_capacity;
use rustix::fs::{
    AtFlags, CWD, FlockOperation, Mode, OFlags, flock, fstat, mkdirat, open, openat, readlinkat, symlinkat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::cgroupv2::{self, Cgroup, NewCgroup, Unit};
use crate::error::{Annotate, Context, Error, Result};
use crate::host::read_proc;
use crate::inside::exists;
use crate::notify;
use crate::plan::{CgroupPlan, External, Hook, HookOutput, Kind, Plan, check_id};
use crate::resctrl::{self, Groups};
use crate::seccomp::Listener;
use crate::timeline;

pub use shown::{Onlooker, Shown, state};

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const RECORD: &str = "state.json";
/// A record that is being written.
const DRAFT: &str = "state.json.new";
const SAVING: &str = "save the state";
const RECORD_ENTRY: &CStr = c"state.json";
const CGROUP: &str = "cgroup";
const NEXT_CGROUP: &str = "cgroup.next";
/// A group may be in one that is removed after it.
const RESCTRL: [&str; 2] = ["resctrl.monitor", "resctrl"];
const UPDATE: &str = "update";

/// The version of the runtime-spec that Orlop implements.
pub const OCI_VERSION: &str = "1.3.0";

/// The text that callers look for.
pub const DOES_NOT_EXIST: &str = "container does not exist";

fn does_not_exist() -> Error {
    Error::new(DOES_NOT_EXIST)
}

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// `create` is at work.
    Creating,
    /// Waiting at the gate.
    Created,
    /// The program was executed.
    Running,
    /// Created or running, and frozen.
    Paused,
    /// Its init is gone.
    Stopped,
}

impl Status {
    /// The specification's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }

    /// What a container is whose init is there. What CRIU restores goes on with a program that this process never executed.
    fn of_living(init: &Stat, is_frozen: bool, was_restored: bool) -> Self {
        if is_frozen {
            Self::Paused
        } else if init.executed || was_restored {
            Self::Running
        } else {
            Self::Created
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What is remembered of a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The container's id.
    pub id: String,
    /// Its init, as the runtime saw it.
    pub init: Init,
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// The root file system.
    pub rootfs: PathBuf,
    /// When it was created.
    pub created: String,
    /// The config's annotations.
    pub annotations: BTreeMap<String, String>,
    /// The directory of its cgroup.
    pub cgroup: Option<PathBuf>,
    /// The directory of the cgroup below that, in which its processes are, and which they manage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegated_cgroup: Option<PathBuf>,
    /// The unit that systemd made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// Whether CRIU made its processes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restored: bool,
    /// The groups of resctrl that it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resctrl: Option<Groups>,
    /// Whether it has a pid namespace of its own, which dies with its init.
    pub own_pid_namespace: bool,
    /// Who answers system calls in the kernel's place, when the seccomp profile has that.
    pub listener: Option<Listener>,
    /// Hooks to run once the program was executed.
    pub poststart: Vec<Hook>,
    /// Hooks to run once it is gone.
    pub poststop: Vec<Hook>,
    /// Where they write to.
    #[serde(default, skip_serializing_if = "HookOutput::is_none")]
    pub hook_output: HookOutput,
    /// What `exec` has to know of the config, for the plan to read.
    pub exec: Box<RawValue>,
    /// Its limits, for the plan of an update to read.
    #[serde(default)]
    pub resources: Box<RawValue>,
    /// What of the host's is in it, for the plan of a checkpoint to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<Box<RawValue>>,
}

/// A process, told apart from all others that ever had its pid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Init {
    /// The pid in the runtime's pid namespace.
    pub pid: i32,
    /// When it started, in clock ticks since boot (`proc_pid_stat(5)`, field 22).
    pub start_time: u64,
    /// Which boot that was.
    pub boot_id: String,
}

impl Record {
    /// The container as hooks and agents see it.
    pub fn for_hooks(&self, status: Status) -> Vec<u8> {
        for_hooks(&self.id, &self.bundle, &self.annotations, status, self.init.pid)
    }
}

impl Init {
    /// Describes a process that is there, a zombie at the least.
    pub fn of(pid: Pid) -> Result<Self> {
        let pid = pid.as_raw_nonzero().get();
        let Stat { start_time, .. } = proc_stat(pid)?;
        Ok(Self { pid, start_time, boot_id: boot_id()?.into() })
    }

    /// Whether it is gone or going, which is when nothing can join it any more.
    pub fn is_ending(&self) -> bool {
        match proc_stat(self.pid) {
            Ok(stat) => !stat.alive || stat.exiting || stat.start_time != self.start_time,
            Err(error) => is_gone(&error),
        }
    }

    /// A descriptor of the process, when it still runs.
    ///
    /// # Errors
    /// When that can't be found out: a container that may run must not pass for a stopped one.
    pub fn open(&self) -> Result<Option<OwnedFd>> {
        Ok(self.open_and_look()?.map(|(pidfd, _)| pidfd))
    }

    /// A descriptor of the process, and what is seen of it, when it still runs.
    fn open_and_look(&self) -> Result<Option<(OwnedFd, Stat)>> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(None) };
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            // EINVAL: the number is a thread's by now.
            Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
            Err(errno) => return Err(Error::call("pidfd_open", errno)),
        };
        // Looked at after the descriptor was opened, so that what is looked at can't be a successor of what was opened.
        Ok(self.look()?.map(|seen| (pidfd, seen)))
    }

    fn look(&self) -> Result<Option<Stat>> {
        look(self.pid, self.start_time, &self.boot_id)
    }
}

/// What is seen of a process, when it still runs: see [`Init`].
fn look(pid: i32, start_time: u64, boot: &str) -> Result<Option<Stat>> {
    match proc_stat(pid) {
        Ok(stat) if stat.alive && stat.start_time == start_time && boot == boot_id()? => Ok(Some(stat)),
        Ok(_) => Ok(None),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

// Of the kernel's <linux/sched.h>, and older than any of this; ps(1) prints the second one in its column F.
/// `PF_EXITING`.
const EXITING: u64 = 0x4;
/// `PF_FORKNOEXEC`.
const FORKED_NOT_EXECUTED: u64 = 0x40;

/// What `proc_pid_stat(5)` says of a process.
struct Stat {
    start_time: u64,
    /// More than a zombie.
    alive: bool,
    /// On its way out; an init is that for as long as processes of its pid namespace are left.
    exiting: bool,
    /// Has executed a program since it was born.
    executed: bool,
}

/// Whether there was no such process to look at. ESRCH: it went between the opening of the file and the reading.
fn is_gone(error: &Error) -> bool {
    matches!(error.errno(), Some(Errno::NOENT | Errno::SRCH))
}

fn proc_stat(pid: i32) -> Result<Stat> {
    // Without the allocator, for which the threads of `list` would wait for each other. Zeros are left to end the text.
    let mut path = [0; 32];
    write!(path.as_mut_slice(), "/proc/{pid}/stat").call("write")?;
    let path = CStr::from_bytes_until_nul(&path).unwrap_or_default();
    let doing = || path.to_string_lossy();
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = openat(CWD, path, flags, Mode::empty()).call("open").doing(doing)?;
    // The whole line is about 300 bytes long, and what counts is in its first half.
    let mut line = [0; 1024];
    let length = rustix::io::read(&file, &mut line).call("read").doing(doing)?;
    Stat::parse(&line[..length]).ok_or_else(|| {
        let text = String::from_utf8_lossy(&line[..length]);
        Error::new(format!("{} can't be understood: {text:?}", doing()))
    })
}

impl Stat {
    fn parse(text: &[u8]) -> Option<Self> {
        // The second field is the program's name in parentheses, which may hold anything, parentheses too, and no valid text: the
        // program chooses it, and the kernel cuts it after 15 bytes, or 63 of a name of its own. Only numbers follow.
        let end_of_name = text.iter().take(100).rposition(|byte| *byte == b')')?;
        let mut fields = text.get(end_of_name + 2..)?.split(|byte| *byte == b' ');
        let alive = !matches!(fields.next()?, b"Z" | b"X" | b"x");
        let mut number = |index| std::str::from_utf8(fields.nth(index)?).ok()?.parse::<u64>().ok();
        let (flags, start_time) = (number(5)?, number(12)?);
        let (exiting, executed) = (flags & EXITING != 0, flags & FORKED_NOT_EXECUTED == 0);
        Some(Self { start_time, alive, exiting, executed })
    }
}

/// Read once: `list` would ask for each container.
fn boot_id() -> Result<&'static str> {
    static BOOT: OnceLock<String> = OnceLock::new();
    if BOOT.get().is_none() {
        let id = read_proc("/proc/sys/kernel/random/boot_id")?;
        BOOT.get_or_init(|| id.trim_end().into());
    }
    Ok(BOOT.get().map_or("", String::as_str))
}

/// A container's state directory, claimed for a new container and locked: removed when dropped, unless it is kept.
#[derive(Debug)]
pub struct Claim {
    state: State,
    keep: bool,
}

impl Claim {
    /// Makes and locks the state directory, which makes the id this container's.
    ///
    /// # Errors
    /// runc's text where the id is taken.
    pub fn new(root: &Path, id: &str) -> Result<Self> {
        let _step = timeline::step("claim the id");
        check_id(id)?;
        let describe = || format!("state directory {}", root.join(id).display());
        let parent = open_root(root).doing(describe)?;
        match mkdirat(&parent, id, Mode::from_raw_mode(0o700)) {
            Ok(()) => (),
            Err(Errno::EXIST) => return Err(Error::new("container with given ID already exists")),
            Err(errno) => return Err(Error::call("mkdir", errno).doing(describe())),
        }
        let undo = |_: &Error| {
            if let Err(errno) = unlinkat(&parent, id, AtFlags::REMOVEDIR) {
                tracing::warn!("{} is left behind: {errno}", root.join(id).display());
            }
        };
        let dir = open_if_there(&parent, id).inspect_err(undo).doing(describe)?.ok_or_else(deleted)?;
        flock(&dir, FlockOperation::LockExclusive).call("flock").doing(describe)?;
        // Between the making and the lock somebody may have deleted it, and somebody else may have made another one.
        let is_ours = fstat(&dir).call("fstat")?.st_nlink > 0 && !exists(dir.as_fd(), RECORD);
        let state = State { root: root.into(), id: id.into(), dir };
        if is_ours { Ok(Self { state, keep: false }) } else { Err(deleted()) }
    }

    /// Notes which cgroup is about to be made, where there is none yet, so that `delete` finds it if this is where it ends.
    pub fn announce_cgroup(&self, plan: &CgroupPlan) -> Result<()> {
        let path = match &plan.scope {
            None => plan.dir(),
            // systemd makes it around a process, and it ends with that.
            Some(_) => return Ok(()),
        };
        if rustix::fs::access(&path, rustix::fs::Access::EXISTS).is_ok() {
            return Ok(());
        }
        symlinkat(&path, &self.state.dir, NEXT_CGROUP).call("symlink").doing(|| "note the cgroup")
    }

    /// Notes which cgroup was made for this container, before any process is in it.
    pub fn note_cgroup(&self, cgroup: Option<&NewCgroup>) -> Result<()> {
        let Some(cgroup) = cgroup else {
            // None could be made, and so there is none to look for at the end.
            return ignore_missing(unlinkat(&self.state.dir, NEXT_CGROUP, AtFlags::empty())).call("unlink");
        };
        if !cgroup.is_made() {
            return Ok(());
        }
        match rustix::fs::renameat(&self.state.dir, NEXT_CGROUP, &self.state.dir, CGROUP) {
            // systemd made it, or somebody removed a cgroup of that name between the look and the making.
            Err(Errno::NOENT) => symlinkat(cgroup.path(), &self.state.dir, CGROUP).call("symlink"),
            renamed => renamed.call("rename"),
        }
        .doing(|| "note the cgroup")
    }

    /// Notes the cgroup that was delegated, where that is all that was made for this container.
    pub fn note_delegated_cgroup(&self, cgroup: Option<&NewCgroup>) -> Result<()> {
        let Some(path) = cgroup.and_then(NewCgroup::made_to_delegate) else { return Ok(()) };
        symlinkat(path, &self.state.dir, CGROUP).call("symlink").doing(|| "note the cgroup")
    }

    /// Notes which group of resctrl is about to be made for this container.
    pub fn note_resctrl(&self, group: &Path) -> Result<()> {
        let is_monitor = group.parent().is_some_and(|above| above.ends_with("mon_groups"));
        let [monitor, class] = RESCTRL;
        let name = if is_monitor { monitor } else { class };
        symlinkat(group, &self.state.dir, name).call("symlink").doing(|| "note the group of resctrl")
    }

    /// The directory.
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.state.dir.as_fd()
    }

    /// Writes the record beside its place, as far as it is known before the container is ready.
    pub fn draft(&self, plan: &Plan, pid: Pid, cgroup: Option<&NewCgroup>, resctrl: Option<&Groups>) -> Result<Record> {
        let _step = timeline::step("write the state");
        let record = record(plan, pid, cgroup, resctrl)?;
        self.state.write_draft(&record)?;
        Ok(record)
    }

    /// Puts the record in its place, with the cgroup that was delegated since. From here on the container exists, and `delete` can
    /// always clean up.
    pub fn publish(&self, mut record: Record, cgroup: Option<&NewCgroup>) -> Result<Record> {
        let _step = timeline::step("save the state");
        if let Some(delegated) = cgroup.and_then(NewCgroup::delegated) {
            record.delegated_cgroup = Some(delegated.to_owned());
            self.state.write_draft(&record)?;
        }
        self.state.publish_draft()?;
        Ok(record)
    }

    /// The same for a container that CRIU has made.
    pub fn save_restored(&self, plan: &Plan, pid: Pid, cgroup: &NewCgroup, resctrl: Option<&Groups>) -> Result<Record> {
        let _step = timeline::step("save the state");
        let record = Record { restored: true, ..record(plan, pid, Some(cgroup), resctrl)? };
        self.state.save(&record)?;
        Ok(record)
    }

    /// The container is created: its directory stays, and is free for `start`. The lock is taken off by name, and not left to
    /// the descriptor's end, because the container's init has a copy of that for a moment longer.
    pub fn keep(mut self) -> Result<State> {
        flock(&self.state.dir, FlockOperation::Unlock).call("flock")?;
        self.keep = true;
        let dir = self.state.dir.try_clone().call("dup")?;
        Ok(State { root: self.state.root.clone(), id: self.state.id.clone(), dir })
    }
}

/// What there is to remember of a new container.
fn record(plan: &Plan, pid: Pid, cgroup: Option<&NewCgroup>, resctrl: Option<&Groups>) -> Result<Record> {
    Ok(Record {
        id: plan.id.clone(),
        init: Init::of(pid)?,
        bundle: plan.bundle.clone(),
        rootfs: plan.root.path.clone(),
        created: humantime::format_rfc3339_nanos(SystemTime::now()).to_string(),
        annotations: plan.annotations.clone(),
        cgroup: cgroup.map(|cgroup| cgroup.path().into()),
        // Known when the container is ready: `Claim::publish`.
        delegated_cgroup: None,
        unit: cgroup.and_then(NewCgroup::unit).cloned(),
        resctrl: resctrl.cloned(),
        own_pid_namespace: plan.namespaces.is_new(Kind::Pid),
        listener: plan.seccomp.as_ref().and_then(|filter| filter.listener.clone()),
        poststart: plan.hooks.poststart.clone(),
        poststop: plan.hooks.poststop.clone(),
        hook_output: plan.hook_output.clone(),
        exec: plan.for_exec.clone(),
        resources: plan.for_update.clone(),
        external: External::record(plan)?,
        restored: false,
    })
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Err(error) = self.state.remove() {
            tracing::warn!("{} is left behind: {error}", self.state.root.join(&self.state.id).display());
        }
    }
}

fn deleted() -> Error {
    Error::new("the container was deleted while it was being created")
}

fn open_if_there(parent: &OwnedFd, id: &str) -> Result<Option<OwnedFd>> {
    match openat(parent, id, DIRECTORY, Mode::empty()) {
        Err(Errno::NOENT) => Ok(None),
        opened => opened.call("open").map(Some),
    }
}

/// Creates the root of all state directories where it is missing. Who names it may name a link, as to every other command.
fn open_root(root: &Path) -> Result<OwnedFd> {
    let flags = DIRECTORY.difference(OFlags::NOFOLLOW);
    match open(root, flags, Mode::empty()) {
        Err(Errno::NOENT) => (),
        opened => return opened.call("open"),
    }
    std::os::unix::fs::DirBuilderExt::mode(fs::DirBuilder::new().recursive(true), 0o700).create(root).call("mkdir")?;
    open(root, flags, Mode::empty()).call("open")
}

/// A container's state directory.
#[derive(Debug)]
pub struct State {
    root: PathBuf,
    id: String,
    dir: OwnedFd,
}

impl State {
    /// The state directory of an existing container.
    ///
    /// # Errors
    /// `container does not exist`.
    pub fn open(root: &Path, id: &str) -> Result<Self> {
        check_id(id)?;
        match open(root.join(id), DIRECTORY, Mode::empty()) {
            Ok(dir) => Ok(Self { root: root.into(), id: id.into(), dir }),
            Err(Errno::NOENT | Errno::NOTDIR) => Err(does_not_exist()),
            Err(errno) => Err(Error::call("open", errno).doing(format!("state directory {}", root.join(id).display()))),
        }
    }

    /// Takes the container's lock, waiting for whoever has it.
    ///
    /// # Errors
    /// `container does not exist` when it was deleted meanwhile.
    pub fn lock(&self) -> Result<()> {
        lock_exclusively(&self.dir)?;
        if fstat(&self.dir).call("fstat")?.st_nlink == 0 { Err(does_not_exist()) } else { Ok(()) }
    }

    /// Takes the container's lock, or says that somebody else has it.
    pub fn try_lock(&self) -> Result<()> {
        match flock(&self.dir, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => Err(Error::new("another create, start or delete is at work on this container")),
            locked => locked.call("flock"),
        }
    }

    /// Waits for the right to change the record, which lasts as long as the descriptor. It is another lock than the container's,
    /// which a `start` may keep until the program says that it is ready.
    ///
    /// # Errors
    /// `container does not exist` when it was deleted meanwhile.
    pub fn lock_record(&self) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match openat(&self.dir, UPDATE, flags, Mode::from_raw_mode(0o600)) {
            Err(Errno::NOENT) => return Err(does_not_exist()),
            opened => opened.call("open").doing(|| UPDATE)?,
        };
        lock_exclusively(&file)?;
        Ok(file)
    }

    /// Whether somebody is at work on it: a creation, or a start.
    fn is_locked(&self) -> bool {
        match flock(&self.dir, FlockOperation::NonBlockingLockShared) {
            Ok(()) => flock(&self.dir, FlockOperation::Unlock).is_err(),
            Err(_) => true,
        }
    }

    /// The id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The directory.
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// The record; `None` while the container is being created, or when its creation was cut off.
    ///
    /// # Errors
    /// When the record can't be understood: `delete --force` still removes the container.
    pub fn load(&self) -> Result<Option<Record>> {
        let _step = timeline::step("load the state");
        let mut text = Vec::new();
        if self.read(&mut text)? { understand(&text, &self.root, &self.id).map(Some) } else { Ok(None) }
    }

    /// Reads the record's text; `false` when there is none.
    fn read(&self, text: &mut Vec<u8>) -> Result<bool> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match openat(&self.dir, RECORD, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(false),
            Err(errno) => return Err(Error::call("open", errno).doing(RECORD)),
        };
        read_whole(&file, text).call("read").doing(|| RECORD).map(|()| true)
    }

    /// Replaces the record, for whoever has the right to: see [`Self::lock_record`].
    pub fn save(&self, record: &Record) -> Result<()> {
        self.write_draft(record)?;
        self.publish_draft()
    }

    fn write_draft(&self, record: &Record) -> Result<()> {
        let text = serde_json::to_vec(record).map_err(|error| Error::new(error.to_string()))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.dir, DRAFT, flags, Mode::from_raw_mode(0o600)).call("open").doing(|| SAVING)?;
        std::io::Write::write_all(&mut fs::File::from(file), &text).call("write").doing(|| SAVING)
    }

    fn publish_draft(&self) -> Result<()> {
        rustix::fs::renameat(&self.dir, DRAFT, &self.dir, RECORD).call("rename").doing(|| SAVING)
    }

    /// The cgroup that was made for this container, which `delete` may kill and remove.
    pub fn own_cgroup(&self) -> Result<Option<Cgroup>> {
        self.noted(CGROUP)?.map_or(Ok(None), |path| Cgroup::open(&path))
    }

    /// The cgroup in which all of a container's processes are, for as long as its init lives: also one that it found empty, and that
    /// may be somebody else's after its end.
    pub fn cgroup_while_alive(&self, record: Option<&Record>) -> Result<Option<Cgroup>> {
        match record.and_then(|record| record.cgroup.as_deref()) {
            Some(path) => Cgroup::open(path),
            None => self.own_cgroup(),
        }
    }

    /// Removes the cgroup whose making was cut off before it was noted as made: nothing was ever in it.
    pub fn remove_unfinished_cgroup(&self) -> Result<()> {
        let Some(path) = self.noted(NEXT_CGROUP)? else { return Ok(()) };
        match rustix::fs::rmdir(&path) {
            // Somebody else's by now.
            Ok(()) | Err(Errno::NOENT | Errno::BUSY | Errno::NOTEMPTY) => Ok(()),
            Err(errno) => Err(Error::call("rmdir", errno).doing(path.display().to_string())),
        }
    }

    /// Removes the groups of resctrl that were made for this container.
    pub fn remove_resctrl_groups(&self) -> Result<()> {
        RESCTRL.iter().try_for_each(|name| self.noted(name)?.map_or(Ok(()), |group| resctrl::remove(&group)))
    }

    fn noted(&self, name: &str) -> Result<Option<PathBuf>> {
        match readlinkat(&self.dir, name, Vec::new()) {
            Ok(path) => Ok(Some(PathBuf::from(std::ffi::OsStr::from_bytes(path.as_bytes())))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Error::call("readlink", errno).doing(format!("the note {name}"))),
        }
    }

    /// What is true now, and the init's descriptor while there is an init.
    pub fn status(&self, record: Option<&Record>) -> Result<(Status, Option<OwnedFd>)> {
        if record.is_none() && self.is_locked() {
            return Ok((Status::Creating, None));
        }
        self.status_locked(record)
    }

    /// As [`Self::status`], for whoever holds the lock: nobody else is creating this container.
    pub fn status_locked(&self, record: Option<&Record>) -> Result<(Status, Option<OwnedFd>)> {
        let Some(record) = record else { return Ok((Status::Stopped, None)) };
        let Some((pidfd, seen)) = record.init.open_and_look()? else { return Ok((Status::Stopped, None)) };
        Ok((Status::of_living(&seen, is_frozen(record)?, record.restored), Some(pidfd)))
    }

    fn remove_entry(&self, name: &CStr) -> Result<()> {
        match unlinkat(&self.dir, name, AtFlags::empty()) {
            Err(Errno::ISDIR) if name == c"notify" => notify::remove_dir(self.dir()),
            // What a restore that was cut off left: empty, because its mounts were nobody else's.
            Err(Errno::ISDIR) => ignore_missing(unlinkat(self.dir(), name, AtFlags::REMOVEDIR)).call("rmdir"),
            removed => ignore_missing(removed).call("unlink"),
        }
    }

    /// Removes the directory and everything in it. Gone already is as good.
    ///
    /// The record is the last to go: without it, a container that is being deleted looks like one that is being created, and a
    /// deletion that was cut off would go on without its hooks.
    pub fn remove(&self) -> Result<()> {
        let _step = timeline::step("remove the state");
        for entry in rustix::fs::Dir::read_from(&self.dir).call("read")? {
            let entry = entry.call("read")?;
            if ![c".", c"..", RECORD_ENTRY].contains(&entry.file_name()) {
                self.remove_entry(entry.file_name())?;
            }
        }
        self.remove_entry(RECORD_ENTRY)?;
        ignore_missing(rustix::fs::rmdir(self.root.join(&self.id))).call("rmdir")
    }
}

/// A record is replaced and never changed, so that a part is all that comes when it is all that there is.
fn read_whole(file: &OwnedFd, text: &mut Vec<u8>) -> Result<(), Errno> {
    const ROOM: usize = 4096;
    text.clear();
    loop {
        text.reserve(ROOM);
        let room = text.capacity() - text.len();
        if rustix::io::read(file, spare_capacity(text))? < room {
            return Ok(());
        }
    }
}

/// What a record's text says.
fn understand<'a, T: Deserialize<'a>>(text: &'a [u8], root: &Path, id: &str) -> Result<T> {
    serde_json::from_slice(text).map_err(|error| {
        Error::new(format!("{}: {error}", root.join(id).join(RECORD).display()))
            .hint(format!("the state is damaged; `orlop delete --force {id}` removes it"))
    })
}

fn lock_exclusively(file: impl AsFd) -> Result<()> {
    loop {
        match flock(&file, FlockOperation::LockExclusive) {
            Err(Errno::INTR) => (),
            locked => return locked.call("flock"),
        }
    }
}

fn ignore_missing(result: Result<(), Errno>) -> Result<(), Errno> {
    if result == Err(Errno::NOENT) { Ok(()) } else { result }
}

/// Whether the container's processes stand still.
pub fn is_frozen(record: &Record) -> Result<bool> {
    record.cgroup.as_deref().map_or(Ok(false), cgroupv2::is_frozen)
}

/// The state as hooks get it on their standard input (runtime.md, State): a container without a process has no pid.
pub fn for_hooks(id: &str, bundle: &Path, annotations: &BTreeMap<String, String>, status: Status, pid: i32) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct ForHooks<'a> {
        oci_version: &'static str,
        id: &'a str,
        status: Status,
        #[serde(skip_serializing_if = "is_zero")]
        pid: i32,
        bundle: &'a Path,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        annotations: &'a BTreeMap<String, String>,
    }
    // Cannot fail: strings, numbers and a map of strings; a bundle's path that is not UTF-8 is refused when it is opened.
    serde_json::to_vec(&ForHooks { oci_version: OCI_VERSION, id, status, pid, bundle, annotations }).unwrap_or_default()
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_zero(pid: &i32) -> bool {
    *pid == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_again_and_a_successor_is_not() {
        let own = Init::of(rustix::process::getpid()).unwrap();
        assert!(own.open().unwrap().is_some());
        assert!(Init { start_time: own.start_time + 1, ..own.clone() }.open().unwrap().is_none());
        assert!(Init { boot_id: "another".into(), ..own }.open().unwrap().is_none());
    }

    #[test]
    fn a_line_of_procfs_says_what_has_become_of_a_process() {
        let line = |state: &str, flags: u64| {
            format!("19687 (a) b (c)) {state} 1 19687 19687 0 -1 {flags} 9 0 0 0 0 0 0 0 20 0 1 0 1181941 6 7\n")
                .into_bytes()
        };
        let parse = |state, flags| Stat::parse(&line(state, flags)).unwrap();
        let waiting = parse("S", 0x0040_0140);
        assert_eq!(
            (waiting.start_time, waiting.alive, waiting.exiting, waiting.executed),
            (1_181_941, true, false, false)
        );
        assert!(parse("R", 0x0040_0100).executed);
        assert!(parse("S", 0x0040_0104).exiting);
        assert!(!parse("Z", 0x0040_0104).alive);
        for damage in ["", "1 (a", "1 (a)", "1 (a) S", "1 (a) S 1 1 1 0 -1 x 9 0 0 0 0 0 0 0 20 0 1 0 1 6"] {
            assert!(Stat::parse(damage.as_bytes()).is_none(), "{damage}");
        }
    }

    #[test]
    fn an_id_is_claimed_once_and_free_again_when_the_claim_is_dropped() {
        let root = tempfile::tempdir().unwrap();
        let claim = Claim::new(root.path(), "a").unwrap();
        assert_eq!(Claim::new(root.path(), "a").unwrap_err().to_string(), "container with given ID already exists");
        let state = State::open(root.path(), "a").unwrap();
        assert_eq!(state.status(None).unwrap().0, Status::Creating);
        drop(claim);
        assert_eq!(State::open(root.path(), "a").unwrap_err().to_string(), "container does not exist");
        assert_eq!(state.lock().unwrap_err().to_string(), "container does not exist");
        drop(Claim::new(root.path(), "a").unwrap());
    }

    #[test]
    fn a_creation_that_was_cut_off_is_stopped() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("a")).unwrap();
        let state = State::open(root.path(), "a").unwrap();
        assert!(state.load().unwrap().is_none());
        assert_eq!(state.status(None).unwrap().0, Status::Stopped);
    }

    #[test]
    fn a_damaged_record_says_the_way_out() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("a")).unwrap();
        for damage in ["", "{", "null", "[]", "{\"id\":\"a\"}"] {
            fs::write(root.path().join("a/state.json"), damage).unwrap();
            let error = State::open(root.path(), "a").unwrap().load().unwrap_err().to_string();
            assert!(error.contains("delete --force a"), "{damage}: {error}");
        }
    }

    #[test]
    fn the_state_for_hooks_has_a_pid_only_while_there_is_a_process() {
        let state =
            |pid| String::from_utf8(for_hooks("a", Path::new("/b"), &BTreeMap::new(), Status::Creating, pid)).unwrap();
        assert_eq!(state(7), r#"{"ociVersion":"1.3.0","id":"a","status":"creating","pid":7,"bundle":"/b"}"#);
        assert_eq!(state(0), r#"{"ociVersion":"1.3.0","id":"a","status":"creating","bundle":"/b"}"#);
    }
}
