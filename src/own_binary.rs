//! Rule R5: the runtime's own executable is never reachable as a file that can be written (CVE-2019-5736).
//!
//! A container can make the runtime's init execute `/proc/self/exe`, or open `/proc/PID/exe` of it, and keep that
//! descriptor until the host's file is free to be overwritten. So before this program becomes anything that a container
//! may see, it runs from a detached, read-only copy of the mount that its file is on: the same pages, no copy of bytes, and a
//! descriptor that no mount namespace can make writable. Where making one is not allowed, from a sealed copy in memory.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::AtFlags;
use nix::unistd::execveat;
use rustix::fs::{
    CWD, MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags, fcntl_add_seals, fcntl_get_seals, fstatvfs,
    memfd_create, open, readlink,
};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::error::{Annotate, Context, Error, Result};
use crate::sys::{MountAttr, mount_setattr};

/// The commands that make a process which a container sees.
const COMMANDS: [&str; 5] = ["create", "exec", "mounts", "restore", "run"];

const SEALS: SealFlags = SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// [`protect`], before the command line is understood: that work would be done twice, and costs more than a wrong guess, which is
/// harmless. A failure comes back from `protect` itself, when it is known where to report it.
pub fn protect_early(mut args: impl Iterator<Item = OsString>) {
    if args.any(|word| COMMANDS.iter().any(|command| word == *command))
        && let Err(error) = protect()
    {
        tracing::debug!("not protected yet: {error}");
    }
}

/// Starts this program over from a file that nobody can write to, unless it already runs from one.
///
/// To be called before anything is opened that the program needs, with the command line as it was given.
pub fn protect() -> Result<()> {
    static IS_PROTECTED: AtomicBool = AtomicBool::new(false);
    if IS_PROTECTED.load(Ordering::Relaxed) {
        return Ok(());
    }
    let own = open("/proc/self/exe", OFlags::CLOEXEC, Mode::empty()).call("open").doing(|| "/proc/self/exe")?;
    if is_protected(&own)? {
        IS_PROTECTED.store(true, Ordering::Relaxed);
        // The kernel took the descriptor's number for a name.
        return rustix::thread::set_name(c"orlop").call("prctl(PR_SET_NAME)");
    }
    let copy = match read_only_view() {
        Err(error) if matches!(error.errno(), Some(Errno::PERM | Errno::NOSYS | Errno::INVAL)) => sealed_copy(own),
        // What would not be known again would start over for ever.
        Ok(view) if !is_detached_view(&view)? => sealed_copy(own),
        view => view,
    };
    start_over(&copy.doing(|| "protect the runtime's own executable")?)
}

/// Asked of the file itself, and not of the environment or the command line, which a caller could set.
fn is_protected(own: &OwnedFd) -> Result<bool> {
    Ok(is_detached_view(own)? || fcntl_get_seals(own).is_ok_and(|seals| seals.contains(SEALS)))
}

/// Whether it is on a read-only mount that is in no mount namespace. One that is in some can be made writable again, by an update of
/// the system for instance. What is attached nowhere has no path but that of its own root.
fn is_detached_view(file: &impl AsFd) -> Result<bool> {
    let path = readlink(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd()), Vec::new()).call("readlink")?;
    Ok(path.as_bytes() == b"/" && fstatvfs(file).call("fstatvfs")?.f_flag.contains(StatVfsMountFlags::RDONLY))
}

fn read_only_view() -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let view = open_tree(CWD, "/proc/self/exe", flags).call("open_tree")?;
    let readonly = MountAttr { set: libc::MOUNT_ATTR_RDONLY, ..MountAttr::default() };
    mount_setattr(view.as_fd(), false, readonly).call("mount_setattr")?;
    Ok(view)
}

fn sealed_copy(own: OwnedFd) -> Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Newer kernels want to be told that this one is to be executed, older ones don't know the flag.
    let memory = memfd_create("orlop", flags | MemfdFlags::EXEC)
        .or_else(|_| memfd_create("orlop", flags))
        .call("memfd_create")?;
    let mut memory = File::from(memory);
    io::copy(&mut File::from(own), &mut memory).call("write")?;
    fcntl_add_seals(&memory, SEALS).call("fcntl(F_ADD_SEALS)")?;
    Ok(memory.into())
}

fn start_over(program: &OwnedFd) -> Result<()> {
    let string = |text: OsString| CString::new(text.into_vec()).map_err(|_| Error::new("an argument with a NUL byte"));
    let args: Vec<_> = std::env::args_os().map(string).collect::<Result<_>>()?;
    let env = std::env::vars_os().map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        string(name)
    });
    let env: Vec<_> = env.collect::<Result<_>>()?;
    let Err(errno) = execveat(program.as_fd(), c"", &args, &env, AtFlags::AT_EMPTY_PATH);
    Err(Error::call("execveat", Errno::from_raw_os_error(errno as i32)).doing("start over from a protected copy"))
}
