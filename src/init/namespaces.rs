//! The container's namespaces, from inside: ids, names, parameters.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::system::{setdomainname, sethostname};
use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType, move_into_link_name_space, move_into_thread_name_spaces};

use super::{clocks, wait};
use crate::error::{Annotate, Context, Error, Result};
use crate::inside::{open_in_proc, private_proc};
use crate::plan::{Joined, Kind, Namespaces, Plan, Sysctl};
use crate::spawn::{self, Unjoined, join_error, link_type};
use crate::sync::{Step, Sync};
use crate::timeline;

/// Enters what the clone did not bring, and waits for what only the parent can do.
pub(super) fn enter(plan: &Plan, unjoined: Unjoined, parent: &Sync) -> Result<()> {
    let _step = timeline::step("enter namespaces");
    if plan.cgroup.scope.is_some() {
        // First of all: a user's systemd moves only what is still that user's, and a successor is born where its maker is.
        wait(parent, Step::Placed)?;
    }
    let replaced = unjoined.needs_replacement(&plan.namespaces);
    join_each(&unjoined.one_way)?;
    if let Some(user) = unjoined.user {
        join_user(plan, &user, &unjoined.others)?;
        if replaced {
            spawn::replace(parent, plan.namespaces.new_bits() & Kind::Pid.bit())?;
        }
    } else if replaced {
        spawn::replace(parent, spawn::new_at_birth(&plan.namespaces))?;
    }
    if plan.ids.is_some() {
        wait(parent, Step::IdsMapped)?;
    }
    clocks::enter_new(plan)?;
    // Where the parent could not do it before the clone, see `spawn`.
    spawn::set_undumpable()?;
    rustix::process::setsid().call("setsid")?;
    if let Some(mount) = unjoined.mount {
        join(&plan.namespaces, Kind::Mount, &mount)?;
    }
    if plan.namespaces.is_new(Kind::Cgroup) {
        // Only now: its root is the cgroup that the process sits in.
        unshare(Kind::Cgroup.bit())?;
    }
    Ok(())
}

/// Joins the namespaces of these bits that the process `of` has: all at once, the user namespace first. The pid namespace is
/// for this process's children.
pub(super) fn join_all(of: BorrowedFd<'_>, bits: u64) -> Result<()> {
    let _step = timeline::step("join the container's namespaces");
    if bits == 0 {
        return Ok(());
    }
    let kinds = u32::try_from(bits).map_err(|_| Error::new("namespaces of no kind that setns(2) knows"))?;
    move_into_thread_name_spaces(of, ThreadNameSpaceType::from_bits_retain(kinds))
        .call("setns")
        .doing(|| "join the container's namespaces")
        .hint("joining needs CAP_SYS_ADMIN in the user namespace that owns them")
}

/// Joins the user namespace first: it gives the rights over all that belong to it, and new ones then belong to it too.
fn join_user(plan: &Plan, user: &OwnedFd, others: &[(Joined, OwnedFd)]) -> Result<()> {
    join(&plan.namespaces, Kind::User, user)?;
    join_each(others)?;
    unshare(plan.namespaces.new_bits() & !(Kind::Pid.bit() | Kind::Cgroup.bit() | Kind::Time.bit()))
}

fn join_each(namespaces: &[(Joined, OwnedFd)]) -> Result<()> {
    namespaces.iter().try_for_each(|(joined, file)| {
        setns(file, joined.kind).map_err(|errno| join_error(joined, errno).field(&joined.field))
    })
}

fn join(namespaces: &Namespaces, kind: Kind, file: &OwnedFd) -> Result<()> {
    let Some(joined) = namespaces.joined(kind) else { return Ok(()) };
    setns(file, kind).map_err(|errno| join_error(joined, errno).field(&joined.field))
}

fn setns(file: &OwnedFd, kind: Kind) -> Result<(), Errno> {
    let kind: LinkNameSpaceType = link_type(kind);
    move_into_link_name_space(file.as_fd(), Some(kind))
}

fn unshare(bits: u64) -> Result<()> {
    crate::sys::unshare(bits).call("unshare").doing(|| "make the container's namespaces").field("linux.namespaces")
}

/// Host and domain name.
pub(super) fn set_names(plan: &Plan) -> Result<()> {
    if let Some(name) = &plan.hostname {
        sethostname(name.as_bytes()).call("sethostname").field("hostname")?;
    }
    if let Some(name) = &plan.domainname {
        setdomainname(name.as_bytes()).call("setdomainname").field("domainname")?;
    }
    Ok(())
}

/// A new network namespace starts with its loopback device down, and programs expect it up.
pub(super) fn bring_loopback_up(plan: &Plan) -> Result<()> {
    if !plan.namespaces.is_new(Kind::Network) {
        return Ok(());
    }
    let _step = timeline::step("bring the loopback device up");
    crate::sys::bring_up(c"lo")
        .call("ioctl(SIOCSIFFLAGS)")
        .doing(|| "bring the loopback device up")
        .field("linux.namespaces")
}

/// Kernel parameters, through a procfs that nothing is mounted over (rule R2, CVE-2025-52881).
pub(super) fn set_parameters(plan: &Plan) -> Result<()> {
    if plan.sysctls.is_empty() {
        return Ok(());
    }
    let _step = timeline::step("set kernel parameters");
    let proc = private_proc().doing(|| "open a procfs of one's own").field("linux.sysctl")?;
    plan.sysctls.iter().try_for_each(|sysctl| set_parameter(&proc, sysctl).field(&sysctl.field))
}

fn set_parameter(proc: &OwnedFd, sysctl: &Sysctl) -> Result<()> {
    let path = Path::new("sys").join(&sysctl.path);
    let file = open_in_proc(proc.as_fd(), &path, OFlags::WRONLY).map_err(|errno| {
        let error = Error::call("open", errno).doing(format!("/proc/{}", path.display()));
        if errno == Errno::NOENT {
            error.hint("this kernel doesn't have the parameter, or not in this namespace")
        } else {
            error
        }
    })?;
    rustix::io::write(&file, sysctl.value.as_bytes()).call("write").doing(|| format!("{:?}", sysctl.value)).map(drop)
}
