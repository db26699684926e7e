//! What is done at the points at which CRIU waits, and what becomes of the processes if that fails.

use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::inspection::Demands;
use super::{Options, Restored};
use crate::cgroupv2::NewCgroup;
use crate::create::{this, with};
use crate::criu::Notice;
use crate::criu::rpc::CgroupsMode;
use crate::error::{Annotate, Context, Error, Result};
use crate::hooks::{self, Circumstances, Output};
use crate::init;
use crate::plan::Plan;
use crate::resctrl::Groups;
use crate::spawn::{self, exit_code};
use crate::state::{Claim, Record, Status};
use crate::sync::{Step, send_fd};
use crate::sys;

/// What is there of the container already.
#[derive(Clone, Copy)]
pub(super) struct Made<'a> {
    pub(super) claim: &'a Claim,
    pub(super) cgroup: &'a NewCgroup,
    pub(super) resctrl: Option<&'a Groups>,
    /// CRIU and the watch, which are in the cgroup.
    pub(super) others: [Pid; 2],
}

/// Who hears of it on the way.
pub(super) struct Told<'a> {
    pub(super) console_socket: Option<OwnedFd>,
    /// What hooks write to.
    pub(super) hook_output: &'a Output,
}

/// The way from an empty cgroup to a restored container.
pub(super) struct Way<'a> {
    plan: &'a Plan,
    made: Made<'a>,
    demands: Demands,
    told: Told<'a>,
    /// Whether CRIU puts the checkpoint's limits in force.
    restores_limits: bool,
    init: Option<Init>,
    terminal: Option<OwnedFd>,
    record: Option<Record>,
}

impl<'a> Way<'a> {
    pub(super) fn new(plan: &'a Plan, options: &Options, made: Made<'a>, demands: Demands, told: Told<'a>) -> Self {
        let restores_limits = matches!(options.request.criu.cgroups, Some(CgroupsMode::Full | CgroupsMode::Strict));
        let (init, terminal, record) = (None, None, None);
        Self { plan, made, demands, told, restores_limits, init, terminal, record }
    }

    pub(super) fn heed(&mut self, notice: Notice) -> Result<()> {
        match notice.script.as_str() {
            "setup-namespaces" => self.run_hooks(notice.pid.unwrap_or_default()),
            "orphan-pts-master" => self.take_terminal(notice.fd),
            "post-restore" => {
                self.init = Some(Init::open(notice.pid.unwrap_or_default())?);
                Ok(())
            }
            "pre-resume" => self.hold().inspect_err(|_| self.end_all()),
            _ => Ok(()),
        }
    }

    /// As in runc: those of the runtime's side, when the namespaces are there and nothing else is.
    fn run_hooks(&self, pid: i32) -> Result<()> {
        if self.plan.hooks.create_runtime.is_empty() {
            return Ok(());
        }
        let init = Init::open(pid)?;
        let state = this(self.plan, Status::Creating, pid);
        let with = Circumstances { container: Some(init.pidfd.as_fd()), ..with(&state, self.told.hook_output) };
        let run = hooks::run(&self.plan.hooks.create_runtime, with);
        init.keep();
        run
    }

    fn take_terminal(&mut self, main: Option<OwnedFd>) -> Result<()> {
        let main = main.ok_or_else(|| Error::new("CRIU announced a terminal and sent none"))?;
        if self.plan.process.terminal.is_none() || self.terminal.is_some() {
            let text = "the checkpoint has a terminal that the config doesn't ask for";
            return Err(Error::new(text).field("process.terminal"));
        }
        if let Some(socket) = &self.told.console_socket {
            send_fd(socket.as_fd(), b"/dev/pts/ptmx", main.as_fd())
                .doing(|| "send the terminal to the console socket")?;
        }
        self.terminal = Some(main);
        Ok(())
    }

    /// The processes are complete, and CRIU is about to let them go on, whatever it is told and whoever is there to tell it. So they
    /// are frozen first, and stay so whoever ends here.
    fn hold(&mut self) -> Result<()> {
        self.made.cgroup.hold_all_but(&self.made.others)?;
        let init = self.init.as_ref().ok_or_else(|| Error::new("CRIU named no first process"))?;
        self.record = Some(self.made.claim.save_restored(self.plan, init.pid, self.made.cgroup, self.made.resctrl)?);
        Ok(())
    }

    /// Nothing goes on, whatever CRIU has come to.
    pub(super) fn end_all(&self) {
        if let Err(error) = self.made.cgroup.kill() {
            tracing::warn!("{error}");
        }
    }

    /// CRIU has done its part. What it made stands still and is looked at, and goes on if it is as it has to be.
    pub(super) fn arrive(self) -> Result<Arrived> {
        let (Some(record), Some(init)) = (self.record, self.init) else {
            return Err(Error::new("CRIU restored nothing"));
        };
        if self.plan.process.terminal.is_some() && self.terminal.is_none() {
            return Err(Error::new("the checkpoint has no terminal").field("process.terminal"));
        }
        self.made.cgroup.freeze()?;
        if self.plan.root.readonly {
            let readonly = |parent| init::criu::make_root_readonly(init.pidfd.as_fd(), &parent);
            spawn::beside("a process in the container's mount namespace", readonly)?.wait_for(Step::Ready)?;
        }
        self.demands.check(init.raw_pid())?;
        if self.restores_limits {
            self.made.cgroup.restrict(&self.plan.cgroup)?;
        }
        self.made.cgroup.thaw()?;
        // A terminal that went to the socket is the caller's.
        let terminal = self.terminal.filter(|_| self.told.console_socket.is_none());
        let pidfd = init.pidfd.try_clone().call("dup")?;
        Ok(Arrived(Restored { record, init: pidfd, terminal }, init))
    }
}

/// A restored container that ends when this is dropped.
pub(super) struct Arrived(pub(super) Restored, Init);

impl Arrived {
    pub(super) fn keep(self) -> Restored {
        self.1.keep();
        self.0
    }
}

/// The first restored process, a child of this one: killed and collected when dropped.
struct Init {
    pid: Pid,
    pidfd: OwnedFd,
    keep: bool,
}

impl Init {
    fn open(pid: i32) -> Result<Self> {
        let pid = Pid::from_raw(pid).ok_or_else(|| Error::new("CRIU named no process"))?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).call("pidfd_open")?;
        Ok(Self { pid, pidfd, keep: false })
    }

    fn raw_pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    fn kill(&self) {
        // Gone already is as good.
        if let Err(errno) = sys::pidfd_send_signal(self.pidfd.as_fd(), libc::SIGKILL) {
            tracing::debug!("{errno}");
        }
    }

    fn keep(mut self) {
        self.keep = true;
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        self.kill();
        if let Err(error) = exit_code(self.pidfd.as_fd()) {
            tracing::debug!("{error}");
        }
    }
}
