//! `tmpcopyup`: a tmpfs starts with what its mount point had in it.
//!
//! The tree belongs to the container's image. It is walked by descriptors only, no link is followed, and nothing is opened but
//! directories and regular files: a FIFO can't block the walk, a link can't lead it out (rule R1).

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat, fchmod,
    fchown, fgetxattr, fsetxattr, fstat, futimens, mkdirat, mknodat, openat, readlinkat, statat, symlinkat, utimensat,
};
use rustix::io::Errno;

use crate::error::{Annotate, Context, Error, Result};

/// How deep a tree may be: each level holds two descriptors.
const MAX_DEPTH: u32 = 200;

/// The only extended attribute that changes what a program may do, and that a tmpfs always has.
const CAPABILITIES: &CStr = c"security.capability";

/// Copies everything in the directory `from` into the directory `to`, with owners, modes and times.
pub(super) fn copy_up(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let from = openat(from, ".", flags, Mode::empty()).call("openat")?;
    copy_entries(&from, to, MAX_DEPTH)
}

fn copy_entries(from: &OwnedFd, to: BorrowedFd<'_>, depth: u32) -> Result<()> {
    if depth == 0 {
        return Err(Error::new(format!("the directory is more than {MAX_DEPTH} levels deep")));
    }
    for entry in Dir::read_from(from).call("open")? {
        let entry = entry.call("getdents64")?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            copy_one(from.as_fd(), to, name, depth).doing(|| name.to_string_lossy().into_owned())?;
        }
    }
    Ok(())
}

fn copy_one(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, depth: u32) -> Result<()> {
    let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW).call("fstatat")?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => copy_directory(from, to, name, depth),
        FileType::RegularFile => copy_file(from, to, name),
        FileType::Symlink => {
            let text = readlinkat(from, name, Vec::new()).call("readlinkat")?;
            symlinkat(&text, to, name).call("symlinkat")?;
            copy_attributes(to, name, &stat)
        }
        kind => {
            mknodat(to, name, kind, Mode::empty(), stat.st_rdev)
                .call("mknodat")
                .hint("a device can't be copied in a user namespace")?;
            copy_attributes(to, name, &stat)?;
            // Nobody else can put a link there: the tmpfs is attached nowhere yet.
            chmodat(to, name, mode(&stat), AtFlags::empty()).call("fchmodat")
        }
    }
}

fn copy_directory(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, depth: u32) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let source = openat(from, name, flags, Mode::empty()).call("openat")?;
    mkdirat(to, name, Mode::RWXU).call("mkdirat")?;
    let made = openat(to, name, flags, Mode::empty()).call("openat")?;
    copy_entries(&source, made.as_fd(), depth - 1)?;
    finish(&made, &fstat(&source).call("fstat")?)
}

fn copy_file(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    // What was a regular file a moment ago may be a FIFO or a device by now: opened without waiting, and looked at again.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let mut source = File::from(openat(from, name, flags, Mode::empty()).call("openat")?);
    let stat = fstat(&source).call("fstat")?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Error::new("was exchanged while it was copied"));
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut made = File::from(openat(to, name, flags, Mode::RUSR | Mode::WUSR).call("openat")?);
    std::io::copy(&mut source, &mut made)
        .call("write")
        .hint("the tmpfs may be too small for what is copied into it: see its option size")?;
    let made = OwnedFd::from(made);
    finish(&made, &stat)?;
    copy_capabilities(source.as_fd(), made.as_fd())
}

/// After the owner, because a change of owner takes them away.
fn copy_capabilities(source: BorrowedFd<'_>, made: BorrowedFd<'_>) -> Result<()> {
    let mut value = [0; 64];
    match fgetxattr(source, CAPABILITIES, &mut value[..]) {
        Ok(length) => fsetxattr(made, CAPABILITIES, &value[..length], XattrFlags::empty()).call("fsetxattr"),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        Err(errno) => Err(Error::call("fgetxattr", errno)),
    }
}

fn mode(stat: &Stat) -> Mode {
    Mode::from_raw_mode(stat.st_mode & 0o7777)
}

fn times(stat: &Stat) -> Timestamps {
    let time = |seconds, nanoseconds: u64| Timespec { tv_sec: seconds, tv_nsec: nanoseconds.cast_signed() };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

fn owner(stat: &Stat) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))
}

/// The mode after the owner, because a change of owner takes set-id bits away.
fn finish(made: &OwnedFd, stat: &Stat) -> Result<()> {
    let (uid, gid) = owner(stat);
    fchown(made, uid, gid).call("fchown").hint(UNMAPPED)?;
    fchmod(made, mode(stat)).call("fchmod")?;
    futimens(made, &times(stat)).call("futimens")
}

/// The same for what can't be opened, less the mode, which links don't have.
fn copy_attributes(dir: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> Result<()> {
    let (uid, gid) = owner(stat);
    chownat(dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).call("fchownat").hint(UNMAPPED)?;
    utimensat(dir, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW).call("utimensat")
}

const UNMAPPED: &str = "its owner may not be mapped in the container's user namespace";
