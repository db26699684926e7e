//! The only place where a container's process is born: enter the namespaces that exist, clone, return.
//!
//! The parent joins the namespaces named by path itself, with the privileges that it has, makes one clone3(2) with the
//! new ones, and goes home. What can't be joined and left again is entered by the child (`init::namespaces`): a user namespace, because
//! there is no way back from it, a mount namespace, because it would take the parent's root, and those that the parent could
//! not come back from, because its own belongs to a user namespace further out: that of an engine which a user runs.

use std::cell::Cell;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_send_signal, prlimit, waitid};
use rustix::thread::{CpuSet, LinkNameSpaceType, move_into_link_name_space, sched_setaffinity};

use crate::agent::never_came;
use crate::error::{Annotate, Context, Error, Result};
use crate::plan::{ExecCpus, IdMap, IdMaps, Joined, Kind, Namespaces, Plan, Rlimit, Scheduler, Scheduling};
use crate::sync::{Received, Step, Sync, out_of_order};
use crate::sys::{
    CloneFlags, Cloned, SchedulingAttributes, clone_sibling, clone3, exit_now, ioprio_set, sched_setattr,
};
use crate::timeline;

/// Takes the listener of a seccomp filter, and the pid of the process that it is of.
pub type Handover = Box<dyn Fn(&OwnedFd, i32) -> Result<()>>;

/// A container's init or a process that joins it, not yet let go: killed when dropped.
pub struct Child {
    /// In the runtime's pid namespace.
    pub pid: Pid,
    /// What it is, for a sentence about it.
    role: &'static str,
    pidfd: OwnedFd,
    sync: Sync,
    /// Where the listener of its seccomp filter goes.
    handover: Cell<Option<Handover>>,
    /// Whether another process will take its place, see [`replace`].
    pub is_replaced: bool,
    released: bool,
}

/// The namespaces that the child has to enter itself.
#[derive(Debug, Default)]
pub struct Unjoined {
    /// `linux.namespaces` of type user with a path.
    pub user: Option<OwnedFd>,
    /// `linux.namespaces` of type mount with a path.
    pub mount: Option<OwnedFd>,
    /// Namespaces that only the joined user namespace gives the right to join.
    pub others: Vec<(Joined, OwnedFd)>,
    /// Namespaces that the parent could join, and not leave again.
    pub one_way: Vec<(Joined, OwnedFd)>,
}

impl Unjoined {
    /// Whether the child makes a second process in its place: it is in a pid namespace that it joined or made, which only its children
    /// are, or it joined namespaces on the parent's behalf before new ones are made.
    pub fn needs_replacement(&self, namespaces: &Namespaces) -> bool {
        let joins_pid = self.others.iter().chain(&self.one_way).any(|(joined, _)| joined.kind == Kind::Pid);
        match self.user {
            Some(_) => joins_pid || namespaces.is_new(Kind::Pid),
            None => !self.one_way.is_empty(),
        }
    }
}

/// Gives birth to the container's init, inside its cgroup, and runs `init` in it, which returns an exit status when it failed.
pub fn container(
    plan: &Plan,
    cgroup: Option<BorrowedFd<'_>>,
    init: impl FnOnce(Sync, Unjoined) -> u8,
) -> Result<Child> {
    hide_from_the_container()?;
    let (home, unjoined) = Home::leave(&plan.namespaces)?;
    let is_replaced = unjoined.needs_replacement(&plan.namespaces);
    let new = if is_replaced { 0 } else { new_at_birth(&plan.namespaces) };
    let born = birth("the container's init", CloneFlags::namespaces(new), cgroup, |sync| init(sync, unjoined));
    home.come_back()?;
    let mut child = born?;
    child.is_replaced = is_replaced;
    Ok(child)
}

/// Gives birth to a process that is to join a container, inside its cgroup, and runs `attach` in it, which returns an exit
/// status when it failed.
pub fn into(cgroup: Option<BorrowedFd<'_>>, attach: impl FnOnce(Sync) -> u8) -> Result<Child> {
    hide_from_the_container()?;
    birth("the new process", CloneFlags::default(), cgroup, attach)
}

/// Gives birth to a process that is to become a program of the host's, and leaves it where this one is.
pub fn beside(role: &'static str, body: impl FnOnce(Sync) -> u8) -> Result<Child> {
    birth(role, CloneFlags::default(), None, body)
}

/// The same, inside a container's cgroup.
pub fn within(role: &'static str, cgroup: BorrowedFd<'_>, body: impl FnOnce(Sync) -> u8) -> Result<Child> {
    birth(role, CloneFlags::default(), Some(cgroup), body)
}

/// The same, with mounts of its own too.
pub fn with_own_mounts(
    role: &'static str,
    cgroup: Option<BorrowedFd<'_>>,
    body: impl FnOnce(Sync) -> u8,
) -> Result<Child> {
    birth(role, CloneFlags::namespaces(Kind::Mount.bit()), cgroup, body)
}

fn birth(
    role: &'static str,
    flags: CloneFlags,
    cgroup: Option<BorrowedFd<'_>>,
    body: impl FnOnce(Sync) -> u8,
) -> Result<Child> {
    let _step = timeline::step("clone");
    let (parent_end, child_end) = Sync::pair()?;
    match clone3(flags, cgroup).map_err(clone_error)? {
        Cloned::Child => {
            timeline::born();
            drop(parent_end);
            exit_now(body(child_end))
        }
        Cloned::Parent(pid, pidfd) => {
            let handover = Cell::new(None);
            Ok(Child { pid, role, pidfd, sync: parent_end, handover, is_replaced: false, released: false })
        }
    }
}

/// The child inherits it: there is no moment at which others in its pid namespace could look into it (rule R4, CVE-2016-9962).
/// An unprivileged parent may write its child's id maps only while that can be looked into; there the child hides itself.
fn hide_from_the_container() -> Result<()> {
    if rustix::process::geteuid().is_root() { set_undumpable() } else { Ok(()) }
}

/// Nobody may trace this process or look into it through procfs, until it executes a program.
pub fn set_undumpable() -> Result<()> {
    prctl::set_dumpable(false).map_err(|errno| Error::call("prctl(PR_SET_DUMPABLE)", Errno::from_raw_os_error(errno)))
}

/// The kinds of namespaces that a process is born into. The cgroup namespace is made by the child, once it sits in its cgroup, and the
/// time namespace too, which nobody may be in while its clocks are set. New namespaces that shall belong to a joined user namespace
/// are made by the child too, after it joined.
pub fn new_at_birth(namespaces: &Namespaces) -> u64 {
    if namespaces.joined(Kind::User).is_some() {
        return 0;
    }
    namespaces.new_bits() & !(Kind::Cgroup.bit() | Kind::Time.bit())
}

fn clone_error(errno: Errno) -> Error {
    let error = Error::call("clone3", errno).doing("make the process");
    match errno {
        Errno::AGAIN => {
            error.hint("a limit on the number of processes is reached: pids.max of a cgroup above, or RLIMIT_NPROC")
        }
        // pid_namespaces(7): no process can be made in one whose init is gone.
        Errno::NOMEM => error.hint("or the init of the pid namespace that it joins has ended"),
        Errno::NOSPC => error.hint("a limit on namespaces is reached: see /proc/sys/user/max_*_namespaces"),
        Errno::PERM => error.hint("new namespaces need CAP_SYS_ADMIN, or a new user namespace"),
        _ => error,
    }
}

/// A user namespace with these ids, which nothing runs in: mounts take their mapping from one. The process that it was made
/// with is gone when this returns.
pub fn user_namespace(ids: &IdMaps) -> Result<OwnedFd> {
    // It has nothing to do but to be there until the parent, or the parent's end of the connection, goes.
    let wait = |sync: Sync| u8::from(sync.wait_for(Step::IdsMapped).is_err());
    let child = birth("the holder of a mapping", CloneFlags::namespaces(Kind::User.bit()), None, wait)?;
    child.write_proc("uid_map", &IdMaps::text(&ids.uids)).hint(MAP_HINT)?;
    child.write_proc("gid_map", &IdMaps::text(&ids.gids)).hint(MAP_HINT)?;
    let path = format!("/proc/{}/ns/user", child.raw_pid());
    File::open(&path).call("open").map(OwnedFd::from).doing(|| path)
}

const MAP_HINT: &str = "at most 340 ranges that don't overlap, of ids that this user may map";

/// In the child: another process takes its place, in new namespaces of these bits, and in the pid namespace that the child has
/// joined for its children. The caller's own parent is its parent too. Returns in the new process only.
pub fn replace(sync: &Sync, namespaces: u64) -> Result<()> {
    let flags = CloneFlags::namespaces(namespaces).with(CloneFlags::PARENT);
    let cloned = match clone3(flags, None) {
        // A seccomp profile can't look into the flags of clone3, so that profiles in use forbid it.
        Err(Errno::NOSYS | Errno::PERM) if namespaces == 0 => clone_sibling(),
        cloned => cloned,
    };
    match cloned.map_err(clone_error)? {
        // The parent answers when it knows the new process, so that nothing overtakes the introduction.
        Cloned::Child => {
            timeline::born();
            sync.wait_for(Step::IdsMapped)?.map(drop).or_else(|_| exit_now(1))
        }
        Cloned::Parent(pid, pidfd) => {
            sync.send(Step::Replaced, pid.as_raw_nonzero().to_string().as_bytes(), Some(pidfd.as_fd()))?;
            exit_now(0)
        }
    }
}

/// The way back to the namespaces that the parent left.
struct Home {
    left: Vec<(Kind, File)>,
}

impl Home {
    /// Joins what can be joined and left again.
    fn leave(namespaces: &Namespaces) -> Result<(Self, Unjoined)> {
        let mut home = Self { left: Vec::new() };
        let mut unjoined = Unjoined::default();
        for joined in namespaces.all_joined() {
            let file = open_namespace(joined).field_with(|| joined.field.clone())?;
            let result = match joined.kind {
                Kind::User => {
                    unjoined.user = Some(file);
                    Ok(())
                }
                Kind::Mount => {
                    unjoined.mount = Some(file);
                    Ok(())
                }
                _ => home.join(joined, file, namespaces, &mut unjoined),
            };
            if let Err(error) = result {
                home.come_back()?;
                return Err(error.field(&joined.field));
            }
        }
        Ok((home, unjoined))
    }

    fn join(&mut self, joined: &Joined, file: OwnedFd, namespaces: &Namespaces, unjoined: &mut Unjoined) -> Result<()> {
        let own = format!("/proc/self/ns/{}", joined.kind.proc_name());
        let own = File::open(&own).call("open").doing(|| own)?;
        // To join where one is changes nothing, but asks for the right to come back.
        if move_into_link_name_space(own.as_fd(), Some(link_type(joined.kind))) == Err(Errno::PERM) {
            unjoined.one_way.push((joined.clone(), file));
            return Ok(());
        }
        match move_into_link_name_space(file.as_fd(), Some(link_type(joined.kind))) {
            Ok(()) => {
                self.left.push((joined.kind, own));
                Ok(())
            }
            Err(Errno::PERM) if namespaces.joined(Kind::User).is_some() => {
                unjoined.others.push((joined.clone(), file));
                Ok(())
            }
            Err(errno) => Err(join_error(joined, errno)),
        }
    }

    fn come_back(self) -> Result<()> {
        for (kind, own) in &self.left {
            move_into_link_name_space(own.as_fd(), Some(link_type(*kind)))
                .call("setns")
                .doing(|| format!("return to the runtime's own {} namespace", kind.name()))?;
        }
        Ok(())
    }
}

/// Binds a process, or this one, to CPUs. Those that the machine or its cgroup doesn't have are left out by the kernel.
///
/// # Errors
/// `EINVAL` where none is left.
pub fn set_cpus(pid: Option<Pid>, cpus: &[u32]) -> Result<()> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(*cpu as usize);
    }
    sched_setaffinity(pid, &set)
        .call("sched_setaffinity")
        .hint("at least one of the CPUs has to be the machine's, and in the container's cpuset")
}

fn open_namespace(joined: &Joined) -> Result<OwnedFd> {
    File::open(&joined.path)
        .call("open")
        .map(OwnedFd::from)
        .doing(|| format!("join {} namespace {:?}", joined.kind.name(), joined.path.display().to_string()))
}

/// Why a namespace could not be joined.
pub fn join_error(joined: &Joined, errno: Errno) -> Error {
    let name = joined.kind.name();
    let error =
        Error::call("setns", errno).doing(format!("join {name} namespace {:?}", joined.path.display().to_string()));
    match errno {
        Errno::INVAL => error.hint(format!("the file is no {name} namespace")),
        Errno::PERM => error.hint("joining needs CAP_SYS_ADMIN in the user namespace that owns it"),
        _ => error,
    }
}

/// rustix' name for a kind of namespace.
pub fn link_type(kind: Kind) -> LinkNameSpaceType {
    match kind {
        Kind::Mount => LinkNameSpaceType::Mount,
        Kind::Cgroup => LinkNameSpaceType::ControlGroup,
        Kind::Uts => LinkNameSpaceType::HostNameAndNISDomainName,
        Kind::Ipc => LinkNameSpaceType::InterProcessCommunication,
        Kind::User => LinkNameSpaceType::User,
        Kind::Pid => LinkNameSpaceType::ProcessID,
        Kind::Network => LinkNameSpaceType::Network,
        Kind::Time => LinkNameSpaceType::Time,
    }
}

impl Child {
    /// Waits for a step of the child, and says how it died when it can't come any more.
    pub fn wait_for(&self, step: Step) -> Result<Received> {
        let _step = timeline::step_with(|| format!("wait for {step:?}").into());
        loop {
            match self.sync.next()? {
                Ok((Step::Listener, received)) => self.hand_over(&received)?,
                Ok((next, received)) if next == step => return Ok(received),
                Ok((next, _)) => return Err(out_of_order(next, step)),
                Err(_closed) => return Err(self.death()),
            }
        }
    }

    /// Whoever gets the listener of the child's seccomp filter, which comes between two steps.
    pub fn hand_listener_to(&mut self, handover: Option<Handover>) {
        self.handover.set(handover);
    }

    fn hand_over(&self, received: &Received) -> Result<()> {
        match (self.handover.take(), &received.fd) {
            (Some(handover), Some(listener)) => handover(listener, self.raw_pid()),
            _ => Err(Error::new("a listener came that nobody asked for")),
        }
    }

    /// Tells the child that a step is done. A child that died has left its reason, or its status, to be collected.
    pub fn tell(&self, step: Step) -> Result<()> {
        match self.sync.tell(step) {
            Err(error) if matches!(error.errno(), Some(Errno::PIPE | Errno::CONNRESET)) => {
                self.wait_for(Step::Ready).and(Err(error))
            }
            told => told,
        }
    }

    /// Takes over from the child that could not enter a pid namespace itself: its replacement counts from here on, and waits to be
    /// told [`Step::IdsMapped`].
    pub fn follow_replacement(&mut self) -> Result<()> {
        self.wait_for_word_or_death()?;
        let received = self.wait_for(Step::Replaced)?;
        let pid =
            std::str::from_utf8(&received.payload).ok().and_then(|text| text.parse().ok()).and_then(Pid::from_raw);
        let (Some(pid), Some(pidfd)) = (pid, received.fd) else {
            return Err(Error::new("a process introduced its replacement without its pid"));
        };
        self.reap();
        (self.pid, self.pidfd) = (pid, pidfd);
        Ok(())
    }

    /// A child that is killed between making its replacement and introducing it leaves one that waits for us, as we for it.
    fn wait_for_word_or_death(&self) -> Result<()> {
        let mut fds = [PollFd::new(&self.sync, PollFlags::IN), PollFd::new(&self.pidfd, PollFlags::IN)];
        while let Err(errno) = poll(&mut fds, None) {
            if errno != Errno::INTR {
                return Err(Error::call("poll", errno));
            }
        }
        if fds[0].revents().is_empty() { Err(self.death()) } else { Ok(()) }
    }

    /// Waits until the program was executed, which ends the conversation. What comes back came with the announcement.
    pub fn wait_executed(&self) -> Result<Received> {
        let _step = timeline::step("wait until the program is executed");
        let announcement = self.wait_for(Step::Executing)?;
        loop {
            match self.sync.next()? {
                Err(_closed) if self.handover.take().is_some() => return Err(never_came()),
                Err(_closed) => return Ok(announcement),
                Ok((Step::Listener, received)) => self.hand_over(&received)?,
                Ok(_) => return Err(Error::new("the new process goes on where it should have become the program")),
            }
        }
    }

    /// Writes the id maps of the child's new user namespace, and lets it go on.
    ///
    /// A user without privileges may map its own ids by itself; for more, what `/etc/subuid` and `/etc/subgid` grant, there are
    /// newuidmap(1) and newgidmap(1).
    pub fn map_ids(&self, ids: &IdMaps) -> Result<()> {
        let _step = timeline::step("map ids");
        let privileged = rustix::process::geteuid().is_root();
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        if privileged || IdMaps::is_only(&ids.uids, uid) {
            self.write_map("uid_map", &ids.uids, "linux.uidMappings")?;
        } else {
            self.grant_map("newuidmap", &ids.uids).field("linux.uidMappings")?;
        }
        if privileged || IdMaps::is_only(&ids.gids, gid) {
            if !privileged {
                // The kernel lets an unprivileged user map a group only where groups can't be dropped any more.
                self.write_proc("setgroups", "deny").field("linux.gidMappings")?;
            }
            self.write_map("gid_map", &ids.gids, "linux.gidMappings")?;
        } else {
            self.grant_map("newgidmap", &ids.gids).field("linux.gidMappings")?;
        }
        self.tell(Step::IdsMapped)
    }

    /// Asks the machine's set-uid program, which knows what this user was granted. It is the host's: no container's path has been
    /// looked at yet.
    fn grant_map(&self, program: &'static str, ranges: &[IdMap]) -> Result<()> {
        let numbers = ranges.iter().flat_map(|range| [range.container, range.host, range.size]);
        let output = Command::new(program)
            .arg(self.raw_pid().to_string())
            .args(numbers.map(|number| number.to_string()))
            .stdin(Stdio::null())
            .output()
            .call("execve")
            .doing(|| program)
            .hint("without privileges, more than one's own id takes this program, of the package uidmap or shadow")?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim().trim_start_matches(program).trim_start_matches(": ");
        Err(Error::new(said).doing(program).hint("/etc/subuid and /etc/subgid say which ids a user may map"))
    }

    fn write_map(&self, file: &str, ranges: &[IdMap], field: &str) -> Result<()> {
        self.write_proc(file, &IdMaps::text(ranges)).hint(MAP_HINT).field(field)
    }

    /// Sets how readily the kernel's OOM killer takes the container.
    pub fn set_oom_score_adj(&self, value: i32) -> Result<()> {
        self.write_proc("oom_score_adj", &value.to_string()).field("process.oomScoreAdj")
    }

    /// From outside, because in a user namespace the process could not raise them itself.
    pub fn limit(&self, limits: &[Rlimit]) -> Result<()> {
        for (i, limit) in limits.iter().enumerate() {
            let new = rustix::process::Rlimit { current: limit.soft, maximum: limit.hard };
            prlimit(Some(self.pid), limit.resource, new)
                .call("prlimit")
                .doing(|| limit.name.to_string())
                .hint("a hard limit above the runtime's own needs CAP_SYS_RESOURCE")
                .field_with(|| format!("process.rlimits[{i}]"))?;
        }
        Ok(())
    }

    /// Binds it to the CPUs that a process that joins is to run on.
    pub fn bind(&self, cpus: &ExecCpus) -> Result<()> {
        let Some(cpus) = &cpus.last else { return Ok(()) };
        set_cpus(Some(self.pid), cpus).field("process.execCPUAffinity.final")
    }

    /// From outside as well: it takes privileges on the host.
    pub fn schedule(&self, scheduling: &Scheduling) -> Result<()> {
        if let Some(priority) = scheduling.io_priority {
            ioprio_set(self.pid, priority.class, priority.level)
                .call("ioprio_set")
                .hint("the real-time class needs CAP_SYS_NICE or CAP_SYS_ADMIN")
                .field("process.ioPriority")?;
        }
        scheduling.scheduler.map_or(Ok(()), |scheduler| self.set_scheduler(scheduler)).field("process.scheduler")
    }

    fn set_scheduler(&self, asked: Scheduler) -> Result<()> {
        if asked.policy == Scheduler::DEADLINE {
            // Admitted only with every CPU: whatever the runtime itself was bound to must not count.
            set_cpus(Some(self.pid), &ExecCpus::all())?;
        }
        let Scheduler { policy, flags, nice, priority, runtime, deadline, period } = asked;
        let attributes = SchedulingAttributes { policy, flags, nice, priority, runtime, deadline, period };
        sched_setattr(self.pid, attributes).map_err(|errno| {
            let error = Error::call("sched_setattr", errno);
            match errno {
                Errno::PERM => error.hint("this policy or niceness needs CAP_SYS_NICE, or all CPUs for SCHED_DEADLINE"),
                Errno::BUSY => error.hint("the CPUs have no time left that SCHED_DEADLINE could promise"),
                Errno::INVAL => {
                    error.hint("this kernel doesn't know the policy, or doesn't take these values together")
                }
                _ => error,
            }
        })
    }

    /// The host's own procfs: the container has no way to change what is seen here.
    fn write_proc(&self, file: &str, text: &str) -> Result<()> {
        let path = format!("/proc/{}/{file}", self.pid.as_raw_nonzero());
        let written = File::options().write(true).open(&path).and_then(|file| {
            // One write(2): the kernel takes a map whole or not at all.
            rustix::io::write(&file, text.as_bytes()).map_err(Into::into)
        });
        written.call("write").doing(|| path).map(drop)
    }

    /// How the child died, once it is known that it did.
    fn death(&self) -> Error {
        let died = |how: String| Error::new(format!("{} {how} before it was ready", self.role));
        match waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Ok(Some(status)) => died(describe(&status)),
            Ok(None) | Err(_) => died("went away".into()),
        }
    }

    /// Waits for its end, which has to be a success unless that is said not to matter.
    pub fn wait_success(self, whatever: bool) -> Result<()> {
        let role = self.role;
        match exit_code(self.release()?.as_fd())? {
            0 => Ok(()),
            _ if whatever => Ok(()),
            code => Err(Error::new(format!("{role} exited with status {code}"))),
        }
    }

    /// Whether SIGKILL ended it.
    pub fn was_killed(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        let status = waitid(WaitId::PidFd(self.pidfd.as_fd()), options);
        status.is_ok_and(|status| status.and_then(|status| status.terminating_signal()) == Some(libc::SIGKILL))
    }

    /// The container goes on without this process. What comes back is a descriptor of it, to wait for its end.
    pub fn release(mut self) -> Result<OwnedFd> {
        let pidfd = self.pidfd.try_clone().call("dup")?;
        self.released = true;
        Ok(pidfd)
    }

    /// A descriptor of the process.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// The pid as a number.
    pub fn raw_pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    fn reap(&self) {
        let wait = || waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED);
        while matches!(wait(), Err(Errno::INTR)) {}
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.released {
            return;
        }
        match pidfd_send_signal(&self.pidfd, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => self.reap(),
            Err(errno) => tracing::warn!("{} {} can't be killed: {errno}", self.role, self.pid.as_raw_nonzero()),
        }
    }
}

/// In words, for a sentence about a process.
pub fn describe(status: &WaitIdStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "went away".into(),
    }
}

/// Collects an ended child's exit code, 128+n when signal n ended it; waits for its end.
pub fn exit_code(child: BorrowedFd<'_>) -> Result<u8> {
    let status = loop {
        match waitid(WaitId::PidFd(child), WaitIdOptions::EXITED) {
            Err(Errno::INTR) => (),
            status => break status.call("waitid")?,
        }
    };
    let code = status.and_then(|status| status.exit_status().or_else(|| status.terminating_signal().map(|n| 128 + n)));
    Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
}

/// Waits until the process is gone.
pub fn wait_gone(pidfd: BorrowedFd<'_>, timeout: Option<std::time::Duration>) -> Result<bool> {
    let timeout = timeout.and_then(|timeout| rustix::event::Timespec::try_from(timeout).ok());
    loop {
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => (),
            Err(errno) => return Err(Error::call("poll", errno)),
        }
    }
}
