//! Who the process is and what it may do: exactly what the config says (rule R6).

use std::ffi::CStr;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{Gid, Uid, umask};
use rustix::thread::{
    CapabilitySet, CapabilitySets, configure_capability_in_ambient_set, remove_capability_from_bounding_set,
    set_capabilities, set_keep_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

use crate::error::{Annotate, Context, Error, Result};
use crate::plan::{Capabilities, Process, User};
use crate::sys;
use crate::timeline;

/// In a user namespace: becomes its root, as who everything inside is made. Before that the process is still the caller's user,
/// and may open what the caller may. Its groups are gone from here on, unless they are kept to the end.
pub(super) fn become_root(in_user_namespace: bool, keeps_groups: bool) -> Result<()> {
    if !in_user_namespace {
        return Ok(());
    }
    if !keeps_groups {
        match set_thread_groups(&[]) {
            // An unprivileged user's namespace, where groups can't be changed at all.
            Ok(()) | Err(Errno::PERM) => (),
            Err(errno) => return Err(Error::call("setgroups", errno)),
        }
    }
    let root = || Error::new("the user namespace has no id 0").hint("map container id 0 to some id of the host");
    let (uid, gid) = (Uid::ROOT, Gid::ROOT);
    set_thread_res_gid(gid, gid, gid).map_err(|_| root().field("linux.gidMappings"))?;
    set_thread_res_uid(uid, uid, uid).map_err(|_| root().field("linux.uidMappings"))
}

/// A session keyring of the container's own, so that it shares no keys with the caller.
pub(super) fn join_keyring(name: Option<&CStr>) -> Result<()> {
    let Some(name) = name else { return Ok(()) };
    let _step = timeline::step("join a session keyring");
    match sys::join_session_keyring(name) {
        // A kernel without keyrings has nothing to share.
        Ok(()) | Err(Errno::NOSYS) => Ok(()),
        Err(errno) => Err(Error::call("keyctl", errno)
            .doing("make a session keyring")
            .hint("--no-new-keyring goes without; /proc/sys/kernel/keys/maxkeys is the limit of keys per user")),
    }
}

/// Becomes the user of the config. There is no way back; what needs privileges is done.
///
/// Rust's runtime ignores SIGPIPE, a caller may ignore others, and `run` holds most signals back for itself; a container starts with
/// none of that.
pub(super) fn assume(process: &Process, ignored_signals: u64) -> Result<()> {
    let _step = timeline::step("become the user");
    let Capabilities { bounding, .. } = process.capabilities;
    drop_from_bounding(bounding).field("process.capabilities.bounding")?;
    if process.user.uid != 0 {
        // Without this, leaving uid 0 would empty the permitted set. execve(2) takes it back.
        set_keep_capabilities(true).call("prctl(PR_SET_KEEPCAPS)")?;
    }
    become_user(&process.user)?;
    set_sets(&process.capabilities).field("process.capabilities")?;
    if process.no_new_privileges {
        set_no_new_privs(true).call("prctl(PR_SET_NO_NEW_PRIVS)").field("process.noNewPrivileges")?;
    }
    umask(Mode::from_raw_mode(process.user.umask));
    sys::reset_signals(ignored_signals).call("sigprocmask")
}

/// Also those that this program's libraries have no name for yet: the kernel says where they end.
fn drop_from_bounding(kept: u64) -> Result<()> {
    for number in 0..64 {
        if kept & (1 << number) != 0 {
            continue;
        }
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            Ok(()) => (),
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(Error::call("prctl(PR_CAPBSET_DROP)", errno)),
        }
    }
    Ok(())
}

fn become_user(user: &User) -> Result<()> {
    match set_groups(user) {
        Ok(()) => (),
        // Where groups can't be changed none were kept either, see `become_root`.
        Err(Errno::PERM) if user.groups.is_empty() => (),
        Err(errno) => return Err(unmapped(Error::call("setgroups", errno)).field("process.user.additionalGids")),
    }
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    set_thread_res_gid(gid, gid, gid).call("setresgid").map_err(unmapped).field("process.user.gid")?;
    set_thread_res_uid(uid, uid, uid).call("setresuid").map_err(unmapped).field("process.user.uid")
}

fn set_groups(user: &User) -> Result<(), Errno> {
    if user.keeps_groups {
        return Ok(());
    }
    let groups: Vec<Gid> = user.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    set_thread_groups(&groups)
}

fn unmapped(error: Error) -> Error {
    match error.errno() {
        Some(Errno::INVAL) => error.hint("the id is not mapped in the container's user namespace"),
        _ => error,
    }
}

fn set_sets(asked: &Capabilities) -> Result<()> {
    let set = CapabilitySet::from_bits_retain;
    let capset = |sets: &Capabilities| {
        let (effective, permitted) = (set(sets.effective), set(sets.permitted));
        set_capabilities(None, CapabilitySets { effective, permitted, inheritable: set(sets.inheritable) })
    };
    let given = match capset(asked) {
        Ok(()) => *asked,
        Err(Errno::PERM) => {
            let given = within_own(asked)?;
            capset(&given).call("capset")?;
            given
        }
        Err(errno) => return Err(Error::call("capset", errno)),
    };
    (0..64).filter(|number| given.ambient & (1 << number) != 0).try_for_each(|number| {
        configure_capability_in_ambient_set(set(1 << number), true)
            .call("prctl(PR_CAP_AMBIENT_RAISE)")
            .field("process.capabilities.ambient")
    })
}

/// What this process can give away of what was asked. A capability that can't be granted is a warning and no failure (config.md,
/// Linux Process).
fn within_own(asked: &Capabilities) -> Result<Capabilities> {
    let own = rustix::thread::capabilities(None).call("capget")?;
    let given = asked.within(own.permitted.bits());
    tracing::warn!(
        "process.capabilities: the runtime itself has fewer, and gives {:#x} instead of {:#x}",
        given.permitted,
        asked.permitted
    );
    Ok(given)
}

/// Looks at a file as the container's user would: with that user's ids for file access, and without root's say.
pub(super) fn as_user<T>(user: &User, look: impl FnOnce() -> T) -> Result<T> {
    if user.uid == 0 {
        return Ok(look());
    }
    match set_groups(user) {
        Ok(()) | Err(Errno::PERM | Errno::INVAL) => (), // told by `assume`, which has to set the same
        Err(errno) => return Err(Error::call("setgroups", errno)),
    }
    // Leaving fsuid 0 takes the capabilities over files along, and coming back returns them: capabilities(7).
    let gid = nix::unistd::setfsgid(user.gid.into());
    let uid = nix::unistd::setfsuid(user.uid.into());
    let seen = look();
    nix::unistd::setfsuid(uid);
    nix::unistd::setfsgid(gid);
    Ok(seen)
}
