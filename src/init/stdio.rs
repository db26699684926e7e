//! Standard input, output and error, when they are the caller's and no terminal.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{OFlags, ResolveFlags, Stat, fchown, fstat};
use rustix::io::Errno;
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout, stderr, stdin, stdout};

use crate::error::{Context, Error, Result};
use crate::inside::{Inside, is_char_device};
use crate::plan::Process;
use crate::timeline;

/// Puts a descriptor in a stream's place.
type Replace = fn(&OwnedFd) -> Result<(), Errno>;

/// Gives the container's user its standard streams, and the container's own null device in place of the host's.
pub(super) fn prepare(process: &Process, root: &Inside) -> Result<()> {
    let _step = timeline::step("prepare the standard streams");
    if process.terminal.is_some() {
        return Ok(());
    }
    let streams: [(BorrowedFd<'_>, Replace); 3] =
        [(stdin(), |fd| dup2_stdin(fd)), (stdout(), |fd| dup2_stdout(fd)), (stderr(), |fd| dup2_stderr(fd))];
    let mut null = None;
    for (stream, replace) in streams {
        let stat = fstat(stream).call("fstat")?;
        if !is_char_device(&stat, 1, 3) {
            give_to_user(stream, &stat, process.user.uid)?;
        } else if let Some(null) = own_null(root, &mut null) {
            replace(null).call("dup2")?;
        }
    }
    Ok(())
}

/// The container's `/dev/null`, when it is one by its numbers. An image that has something else there keeps the host's, which
/// nothing can be read from or written to either (rule R3).
fn own_null<'a>(root: &Inside, opened: &'a mut Option<OwnedFd>) -> Option<&'a OwnedFd> {
    let path = Path::new("/dev/null");
    if opened.is_none() && is_char_device(&fstat(root.find(path).ok()?).ok()?, 1, 3) {
        let flags = OFlags::RDWR | OFlags::NOCTTY;
        let null = root.open(path, flags, ResolveFlags::empty()).ok()?;
        *opened = is_char_device(&fstat(&null).ok()?, 1, 3).then_some(null);
    }
    opened.as_ref()
}

/// A program that opens `/dev/stdout` anew needs to own what is behind it. Root doesn't, and the caller's terminal stays theirs.
fn give_to_user(stream: BorrowedFd<'_>, stat: &Stat, uid: u32) -> Result<()> {
    if uid == 0 || stat.st_uid == uid {
        return Ok(());
    }
    match fchown(stream, Some(rustix::process::Uid::from_raw(uid)), None) {
        // Sockets, read-only file systems, and what belongs to somebody outside of the user namespace.
        Ok(()) | Err(Errno::INVAL | Errno::PERM | Errno::ROFS | Errno::OVERFLOW) => Ok(()),
        Err(errno) => Err(Error::call("fchown", errno).doing("give a standard stream to the container's user")),
    }
}
