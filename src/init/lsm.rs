//! Has the program labelled by the Linux security modules from its execve(2) on.
//!
//! What is written here counts for the next execve(2) of this process, and for that of every process that it makes: hooks of
//! createContainer are behind it by then, and those of startContainer, which run the container's own files, are confined as the
//! program is (as with runc and crun).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2, readlinkat};
use rustix::io::Errno;

use crate::error::{Annotate, Context, Error, Result};
use crate::inside::{open_in_proc, private_proc};
use crate::plan::Labels;

/// Says under which labels the program, and where there will be one the session keyring, is to be.
///
/// Through a procfs that nothing is mounted over (rule R2): a file of the container's in the place of these took the label, and the
/// program ran without it (CVE-2019-16884, CVE-2025-52881).
///
/// # Errors
/// Names the field whose label the security module refuses.
pub(super) fn label_at_exec(labels: &Labels, keyring: bool) -> Result<()> {
    if *labels == Labels::default() {
        return Ok(());
    }
    let attributes = Attributes::of_this_thread().doing(|| "open a procfs of one's own")?;
    if let Some(label) = &labels.selinux {
        let keycreate = if keyring { attributes.write("keycreate", label) } else { Ok(()) };
        let written = keycreate.and_then(|()| attributes.write("exec", label));
        written.map_err(refused_by_selinux).field("process.selinuxLabel")?;
    }
    if let Some(profile) = &labels.apparmor {
        let written = attributes.write("apparmor/exec", &format!("exec {profile}"));
        written.map_err(|error| refused_by_apparmor(error, profile)).field("process.apparmorProfile")?;
    }
    Ok(())
}

/// The files of `/proc/thread-self/attr`: `proc_pid_attr(5)`.
struct Attributes {
    proc: OwnedFd,
    dir: PathBuf,
}

impl Attributes {
    fn of_this_thread() -> Result<Self> {
        let proc = private_proc()?;
        let dir = thread_self(proc.as_fd()).call("readlink").doing(|| "thread-self")?.join("attr");
        Ok(Self { proc, dir })
    }

    /// In one write, as the kernel wants it.
    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.dir.join(name);
        let describe = || format!("/proc/{}", path.display());
        let file = open_in_proc(self.proc.as_fd(), &path, OFlags::WRONLY).call("open").doing(describe)?;
        match rustix::io::write(&file, text.as_bytes()).call("write").doing(describe)? {
            length if length == text.len() => Ok(()),
            length => Err(Error::new(format!("the kernel took {length} of {} bytes", text.len())).doing(describe())),
        }
    }
}

/// This thread by its number in the pid namespace that the procfs shows, which may be one further out. The link is the procfs' own:
/// one that somebody mounted over it is not crossed to.
fn thread_self(proc: BorrowedFd<'_>) -> Result<PathBuf, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV;
    let link = openat2(proc, "thread-self", flags, Mode::empty(), resolve)?;
    let text = readlinkat(&link, "", Vec::new())?;
    Ok(Path::new(&*text.to_string_lossy()).to_owned())
}

fn refused_by_selinux(error: Error) -> Error {
    match error.errno() {
        Some(Errno::INVAL) => error.hint("the loaded policy doesn't know the label, see `sestatus` and `seinfo -t`"),
        Some(Errno::ACCESS) => error.hint("the policy doesn't let the runtime say what a program's label is"),
        _ => error,
    }
}

fn refused_by_apparmor(error: Error, profile: &str) -> Error {
    match error.errno() {
        Some(Errno::NOENT) => {
            error.hint(format!("no profile {profile:?} is loaded, see `aa-status`; apparmor_parser(8) loads one"))
        }
        Some(Errno::ACCESS | Errno::PERM) => {
            error.hint("the runtime itself runs under a profile that doesn't let it change to this one")
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_thread_is_found_in_the_procfs_by_its_number() {
        let proc = rustix::fs::open("/proc", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let dir = thread_self(proc.as_fd()).unwrap();
        assert_eq!(dir, std::fs::read_link("/proc/thread-self").unwrap());
        assert!(open_in_proc(proc.as_fd(), &dir.join("attr/current"), OFlags::RDONLY).is_ok());
    }
}
