//! The container's cgroup, held by a descriptor of its directory. Owns every path below the cgroup2 mount.
//!
//! Knows neither bundles nor what happens inside a container.

pub mod devices;
mod freezer;
mod limits;
mod processes;
mod stats;
mod systemd;
mod update;
mod watch;

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Uid, chownat, mkdirat, open, openat, unlinkat};
use rustix::io::Errno;
use rustix::process::Pid;

use crate::error::{Annotate, Context, Error, Result};
use crate::host::in_user_namespace;
use crate::plan::systemd::Scope;
use crate::plan::{CgroupPlan, DELEGATE, SUBGROUP, annotation_field};
use crate::sys;
use crate::timeline;

pub use freezer::{FreezeCheck, is_frozen};
pub use stats::{Amount, CpuTime, DeviceIo, HugePageUse, MemoryUse, Pids, Pressure, Stall, Statistics};
pub use systemd::Unit;
pub use watch::{Happened, Watch};

/// How long processes get to die of SIGKILL. A process that hangs in the kernel longer than this hangs for good.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long to wait before an empty cgroup that is still in use is tried again.
const RETRY: Duration = Duration::from_millis(1);

/// What of a cgroup belongs to whoever it is delegated to.
const DELEGATED: &str = "/sys/kernel/cgroup/delegate";
/// The same where the kernel doesn't say (config-linux.md, Cgroup ownership).
const ALWAYS_DELEGATED: &str = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n";

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A cgroup.
#[derive(Debug)]
pub struct Cgroup {
    dir: OwnedFd,
    path: PathBuf,
}

/// A cgroup that was made for a container under way: removed when dropped, unless it is kept.
#[derive(Debug)]
pub struct NewCgroup {
    cgroup: Cgroup,
    /// Where the hierarchy is mounted.
    root: PathBuf,
    /// The directories that had to be made, the container's own last. Empty where it was there already.
    made: Vec<PathBuf>,
    /// What systemd made it for.
    unit: Option<Unit>,
    delegated: Option<Delegated>,
}

/// The cgroup below a container's that its processes are in and manage.
#[derive(Debug)]
struct Delegated {
    path: PathBuf,
    /// The uppermost directory that had to be made for it.
    made: Option<PathBuf>,
}

impl NewCgroup {
    /// Makes the container's cgroup, before anything runs in it.
    ///
    /// An existing one is taken over when it is empty and not frozen. It is then never removed, and not killed once the container's
    /// init is gone: it may be somebody else's again.
    /// `None` where the plan says that the container can do without, and this user may not make one; and where systemd is to make
    /// it, see [`NewCgroup::around`].
    ///
    /// # Errors
    /// Names `linux.cgroupsPath` where the cgroup is in use, frozen or can't be made.
    pub fn create(plan: &CgroupPlan) -> Result<Option<Self>> {
        let _step = timeline::step("make the cgroup");
        if plan.scope.is_some() {
            return Ok(None);
        }
        match Self::make(plan) {
            Ok(new) => Ok(Some(new)),
            Err(error) if plan.optional && matches!(error.errno(), Some(Errno::ACCESS | Errno::PERM | Errno::ROFS)) => {
                tracing::debug!("no cgroup for this container: {error}");
                Ok(None)
            }
            Err(error) => Err(error.field("linux.cgroupsPath")),
        }
    }

    fn make(plan: &CgroupPlan) -> Result<Self> {
        let describe = || format!("make cgroup {}", plan.dir().display());
        let (dir, made) = make_path(&plan.root, &plan.path).doing(describe)?;
        let new = Self {
            cgroup: Cgroup { dir, path: plan.dir() },
            root: plan.root.clone(),
            made,
            unit: None,
            delegated: None,
        };
        if !new.is_made() {
            new.cgroup.refuse_if_used().doing(describe)?;
        }
        limits::hand_controllers_down(&plan.root, &plan.path, new.as_fd()).call("read").doing(describe)?;
        // After the controllers, whose files belong to it.
        new.cgroup.give_to(plan.owner).doing(describe)?;
        Ok(new)
    }

    /// Has systemd make a scope around a process, which waits until it is in there.
    ///
    /// # Errors
    /// Names `--systemd-cgroup` and the unit. The scope ends with the process then.
    pub fn around(pid: Pid, scope: &Scope, plan: &CgroupPlan) -> Result<Self> {
        let _step = timeline::step("have systemd make the cgroup");
        let unit = Unit::start(scope, pid)?;
        let path = systemd::placed(&plan.root, pid, &plan.path)?;
        let cgroup = Cgroup::open(&path)?.ok_or_else(|| Error::new("systemd has ended it again").doing(&unit.name))?;
        let mut new = Self { cgroup, root: plan.root.clone(), made: vec![path], unit: Some(unit), delegated: None };
        if let Some(below) = &plan.subgroup {
            new.go_below(below, pid).field_with(|| annotation_field(SUBGROUP))?;
        }
        new.cgroup.give_to(plan.owner)?;
        Ok(new)
    }

    /// The container's is a cgroup below systemd's scope. The process goes there first: a cgroup with processes hands no controllers
    /// on (cgroups(7), no internal processes).
    fn go_below(&mut self, below: &Path, pid: Pid) -> Result<()> {
        let scope = self.cgroup.path.clone();
        let describe = || format!("make cgroup {}", scope.join(below).display());
        let (dir, made) = make_path(&scope, below).doing(describe)?;
        self.cgroup = Cgroup { dir, path: scope.join(below) };
        self.made.extend(made);
        self.cgroup.take_in(pid).doing(describe)?;
        limits::hand_controllers_down(&scope, below, self.as_fd()).call("read").doing(describe)
    }

    /// Moves the container's process, the only one that there is, into a cgroup below this one, which it may manage.
    ///
    /// # Errors
    /// Names the annotation and the cgroup.
    pub fn delegate(&mut self, plan: &CgroupPlan, pid: Pid) -> Result<()> {
        let Some(below) = &plan.delegated else { return Ok(()) };
        self.delegate_below(below, plan.owner, pid).field_with(|| annotation_field(DELEGATE))
    }

    fn delegate_below(&mut self, below: &Path, owner: Option<u32>, pid: Pid) -> Result<()> {
        let describe = || format!("delegate cgroup {}", self.cgroup.path.join(below).display());
        let (dir, made) = make_path(&self.cgroup.path, below).doing(describe)?;
        let delegated = Cgroup { dir, path: self.cgroup.path.join(below) };
        self.delegated = Some(Delegated { path: delegated.path.clone(), made: made.into_iter().next() });
        let describe = || format!("delegate cgroup {}", delegated.path.display());
        delegated.take_in(pid).doing(describe)?;
        limits::hand_controllers_down(&self.cgroup.path, below, delegated.as_fd()).call("read").doing(describe)?;
        delegated.give_to(owner).doing(describe)
    }

    /// The cgroup below this one that was delegated to the container.
    pub fn delegated(&self) -> Option<&Path> {
        self.delegated.as_ref().map(|delegated| delegated.path.as_path())
    }

    /// What was made for that, where this one was there already and is not removed with the container.
    pub fn made_to_delegate(&self) -> Option<&Path> {
        self.delegated.as_ref().filter(|_| !self.is_made())?.made.as_deref()
    }

    /// Puts limits and the rules for devices in force.
    ///
    /// # Errors
    /// Names the field of `linux.resources`.
    pub fn restrict(&self, plan: &CgroupPlan) -> Result<()> {
        let _step = timeline::step("put limits and device rules in force");
        self.cgroup.limit(&plan.resources)?;
        let Some(rules) = &plan.devices else { return Ok(()) };
        match self.restrict_devices(rules) {
            // Nor can any node be made there: what is reachable is what is bound.
            Err(error) if error.errno() == Some(Errno::PERM) && in_user_namespace() => {
                tracing::debug!("no device rules: {error}");
                Ok(())
            }
            restricted => restricted.field("linux.resources.devices"),
        }
    }

    /// A cgroup that was there already may still have the rules of the container that was in it before. They give way to these, with
    /// nothing in between.
    fn restrict_devices(&self, rules: &[devices::Rule]) -> Result<()> {
        let old = if self.is_made() { Ok(None) } else { sys::attached_device_program(self.as_fd()) };
        let old = old.call("bpf(BPF_PROG_QUERY)")?;
        if old.is_none() && devices::allows_everything(rules) {
            return Ok(());
        }
        let _step = timeline::step("load the device program");
        let program = devices::compile(rules);
        let program = sys::load_device_program(program.instructions()).call("bpf(BPF_PROG_LOAD)")?;
        let old = old.as_ref().map(AsFd::as_fd);
        sys::attach_device_program(self.as_fd(), program.as_fd(), old).call("bpf(BPF_PROG_ATTACH)")
    }

    /// Whether it did not exist before.
    pub fn is_made(&self) -> bool {
        !self.made.is_empty()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.cgroup.path
    }

    /// See [`Cgroup::oom_kills`].
    pub fn oom_kills(&self) -> Option<u64> {
        self.cgroup.oom_kills()
    }

    /// Whether somebody has removed it: systemd does as soon as its last process has ended.
    pub fn is_gone(&self) -> bool {
        matches!(self.cgroup.read("cgroup.events"), Err(Errno::NOENT | Errno::NODEV))
    }

    /// Has everything in it stop but these processes, which go to where this one is. Nothing is waited for: what is traced stands
    /// already.
    pub fn hold_all_but(&self, others: &[Pid]) -> Result<()> {
        let own = crate::host::cgroup_of("self")?;
        let own = self.root.join(own.strip_prefix("/").unwrap_or(&own));
        let own = Cgroup::open(&own)?.ok_or_else(|| Error::new("the runtime's own cgroup is gone"))?;
        let describe = || format!("cgroup {}", own.path.display());
        others.iter().try_for_each(|pid| own.take_in(*pid)).doing(describe)?;
        self.cgroup.set_frozen(true)
    }

    /// See [`Cgroup::freeze`].
    pub fn freeze(&self) -> Result<()> {
        self.cgroup.freeze()
    }

    /// See [`Cgroup::thaw`].
    pub fn thaw(&self) -> Result<()> {
        self.cgroup.thaw()
    }

    /// See [`Cgroup::kill`].
    pub fn kill(&self) -> Result<()> {
        self.cgroup.kill()
    }

    /// The unit that it is of, where systemd made it.
    pub fn unit(&self) -> Option<&Unit> {
        self.unit.as_ref()
    }

    /// The container goes on living in it.
    pub fn keep(mut self) {
        self.made.clear();
        self.unit = None;
        self.delegated = None;
    }
}

impl AsFd for NewCgroup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.cgroup.dir.as_fd()
    }
}

impl Drop for NewCgroup {
    fn drop(&mut self) {
        if let Some(made) = self.made_to_delegate()
            && let Err(error) = Cgroup::open(made).and_then(|made| made.map_or(Ok(()), |made| made.remove()))
        {
            tracing::warn!("cgroup {} is left behind: {error}", made.display());
        }
        let Some(own) = self.made.pop() else { return };
        if let Err(error) = self.cgroup.remove() {
            tracing::warn!("cgroup {} is left behind: {error}", own.display());
        }
        remove_parents(std::mem::take(&mut self.made));
        if let Some(Err(error)) = self.unit.take().map(|unit| unit.stop()) {
            tracing::warn!("{error}");
        }
    }
}

/// Removes directories, the last one first. Those that somebody else uses by now stay: rmdir refuses.
fn remove_parents(mut made: Vec<PathBuf>) {
    while let Some(parent) = made.pop() {
        if rustix::fs::rmdir(&parent).is_err() {
            break;
        }
    }
}

/// Makes the directories of `path` below `root` that are missing, and says which those were.
fn make_path(root: &Path, path: &Path) -> Result<(OwnedFd, Vec<PathBuf>)> {
    let mut here = root.join(path);
    // Most often only the last one is missing, or nothing but it can be.
    let mut missing = Vec::new();
    let mut dir = loop {
        match open(&here, DIRECTORY, Mode::empty()) {
            Ok(dir) => break dir,
            Err(Errno::NOENT) if here.starts_with(root) && here != root => missing.push(here.clone()),
            Err(errno) => return Err(Error::call("open", errno)),
        }
        here.pop();
    };
    let mut made = Vec::new();
    for next in missing.into_iter().rev() {
        let name = next.file_name().unwrap_or(OsStr::new(""));
        match mkdirat(&dir, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => made.push(next.clone()),
            Err(Errno::EXIST) if next == root.join(path) => {
                remove_parents(made);
                return Err(Error::new("somebody else made it at the same moment"));
            }
            Err(Errno::EXIST) => made.clear(),
            Err(errno) => {
                remove_parents(made);
                return Err(Error::call("mkdir", errno));
            }
        }
        dir = match openat(&dir, name, DIRECTORY, Mode::empty()) {
            Ok(next) => next,
            Err(errno) => {
                remove_parents(made);
                return Err(Error::call("open", errno));
            }
        };
    }
    Ok((dir, made))
}

impl Cgroup {
    /// The cgroup whose directory is `path`; `None` when there is none any more.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        match open(path, DIRECTORY, Mode::empty()) {
            Ok(dir) => Ok(Some(Self { dir, path: path.into() })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Error::call("open", errno).doing(format!("cgroup {}", path.display()))),
        }
    }

    fn read(&self, name: &str) -> Result<String, Errno> {
        read_at(self.dir.as_fd(), name)
    }

    fn write(&self, name: &str, value: &str) -> Result<(), Errno> {
        let file = openat(&self.dir, name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::io::write(&file, value.as_bytes()).map(|_| ())
    }

    /// Moves a process here.
    fn take_in(&self, pid: Pid) -> Result<()> {
        self.write("cgroup.procs", &pid.as_raw_nonzero().to_string()).call("write").doing(|| "cgroup.procs")
    }

    /// The value of a `key value` line of a file.
    fn flag(&self, file: &str, key: &str) -> Result<bool, Errno> {
        let text = self.read(file)?;
        Ok(text.lines().filter_map(|line| line.split_once(' ')).any(|(name, value)| name == key && value != "0"))
    }

    fn refuse_if_used(&self) -> Result<()> {
        if self.flag("cgroup.events", "populated").call("read")? {
            return Err(Error::new("it exists already, and processes are in it"));
        }
        if self.is_frozen()? {
            return Err(Error::new("it exists already, and is frozen"));
        }
        Ok(())
    }

    /// How many of its processes the kernel killed for want of memory; `None` without the memory controller.
    pub fn oom_kills(&self) -> Option<u64> {
        oom_kills_in(&self.read("memory.events").ok()?)
    }

    /// Makes a user its owner, as far as the kernel says that a cgroup can be delegated: cgroups(7).
    fn give_to(&self, owner: Option<u32>) -> Result<()> {
        let Some(owner) = owner.map(Uid::from_raw) else { return Ok(()) };
        let give = |name: &str, flags| match chownat(&self.dir, name, Some(owner), None, flags) {
            // The file of a controller that this cgroup doesn't have.
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(Error::call("chown", errno).doing(name)),
        };
        give("", AtFlags::EMPTY_PATH)?;
        let files = match std::fs::read_to_string(DELEGATED) {
            Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => ALWAYS_DELEGATED.to_owned(),
            told => told.call("read").doing(|| DELEGATED)?,
        };
        files.lines().try_for_each(|name| give(name, AtFlags::SYMLINK_NOFOLLOW))
    }

    /// Sends SIGKILL to every process in it and in the cgroups below it.
    pub fn kill(&self) -> Result<()> {
        match self.write("cgroup.kill", "1") {
            // Removed by somebody else: nothing is left to kill.
            Ok(()) | Err(Errno::NODEV) => Ok(()),
            Err(Errno::NOENT) if self.read("cgroup.events").is_err() => Ok(()),
            Err(errno) => Err(Error::call("write", errno).doing(format!("{}/cgroup.kill", self.path.display()))),
        }
    }

    /// Kills what runs in it, waits until that is gone, and removes it with every cgroup below it.
    ///
    /// # Errors
    /// When a process doesn't die within ten seconds.
    pub fn remove(&self) -> Result<()> {
        let _step = timeline::step("remove the cgroup");
        let describe = || format!("remove cgroup {}", self.path.display());
        self.remove_if_empty().or_else(|_| self.remove_with_all()).doing(describe)
    }

    fn remove_with_all(&self) -> Result<()> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            self.empty()?;
            match remove_below(self.dir.as_fd()).and_then(|()| rmdir(&self.path)) {
                // Somebody came meanwhile: an exec that is about to find the container gone. And kernels have been known to say
                // that a cgroup is empty a moment before they let it go. There is no event to wait for then.
                Err(Errno::BUSY | Errno::NOTEMPTY) if Instant::now() < deadline => std::thread::sleep(RETRY),
                removed => return removed.call("rmdir"),
            }
        }
    }

    /// Kills what runs in it, and waits until that is gone.
    ///
    /// # Errors
    /// When a process doesn't die within ten seconds.
    pub fn empty(&self) -> Result<()> {
        self.kill()?;
        self.wait_until_empty()
    }

    /// Most containers are gone by the time of their deletion, and made no cgroups of their own.
    fn remove_if_empty(&self) -> Result<()> {
        rmdir(&self.path).call("rmdir")
    }

    fn wait_until_empty(&self) -> Result<()> {
        if self.wait_for_event("populated 0")? {
            return Ok(());
        }
        Err(Error::new("its processes are still there ten seconds after SIGKILL"))
    }

    /// Waits until `cgroup.events` has that line, or the cgroup is gone; `false` when that takes longer than ten seconds. The
    /// kernel tells of every change; no time is spent asking.
    fn wait_for_event(&self, line: &str) -> Result<bool> {
        let events = openat(&self.dir, "cgroup.events", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let events = match events {
            Ok(events) => File::from(events),
            Err(Errno::NOENT | Errno::NODEV) => return Ok(true),
            Err(errno) => return Err(Error::call("open", errno).doing("cgroup.events")),
        };
        let deadline = Instant::now() + DEADLINE;
        loop {
            let text = match read_all(&events) {
                Ok(text) => text,
                Err(Errno::NODEV) => return Ok(true),
                Err(errno) => return Err(Error::call("read", errno).doing("cgroup.events")),
            };
            if text.lines().any(|there| there == line) {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            let timeout = Timespec::try_from(left).ok();
            let mut fds = [PollFd::new(&events, PollFlags::PRI)];
            match poll(&mut fds, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => (),
                Err(errno) => return Err(Error::call("poll", errno)),
            }
        }
    }
}

impl AsFd for Cgroup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

/// What `memory.events` says.
fn oom_kills_in(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok())
}

fn read_at(dir: BorrowedFd<'_>, name: &str) -> Result<String, Errno> {
    read_all(&File::from(openat(dir, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?))
}

/// From the start, however often it was read before.
fn read_all(file: &File) -> Result<String, Errno> {
    let mut text = Vec::with_capacity(4096);
    loop {
        text.reserve(1024);
        let offset = text.len() as u64;
        if rustix::io::pread(file, spare_capacity(&mut text), offset)? == 0 {
            return String::from_utf8(text).map_err(|_| Errno::ILSEQ);
        }
    }
}

/// Removes every cgroup below, the deepest first.
fn remove_below(dir: BorrowedFd<'_>) -> Result<(), Errno> {
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type() != FileType::Directory || name == c"." || name == c".." {
            continue;
        }
        match openat(dir, name, DIRECTORY, Mode::empty()) {
            Ok(child) => remove_below(child.as_fd())?,
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(errno),
        }
        match unlinkat(dir, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => (),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn rmdir(path: &Path) -> Result<(), Errno> {
    match rustix::fs::rmdir(path) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}
