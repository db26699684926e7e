//! What is in `/dev`: nodes and links, made by the directory's descriptor (CVE-2026-41579: `/dev` may be a link).

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Uid, chownat, fstat, makedev, mknodat, openat, symlinkat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::umask;

use super::mounts::put;
use crate::error::{Annotate, Context, Error, Result};
use crate::host::in_user_namespace;
use crate::inside::{Inside, Make, exists};
use crate::plan::{Device, DeviceKind, Devices, Kind, Plan};
use crate::sources::device_source;
use crate::timeline;

/// Links that every container has (config-linux.md, /dev symbolic links).
const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Makes the nodes, or binds the host's where `sources` brings those, and the links.
pub(super) fn make(plan: &Plan, root: &Inside, sources: Vec<OwnedFd>) -> Result<()> {
    let Some(devices) = &plan.devices else { return Ok(()) };
    let _step = timeline::step("make the devices");
    let dev = root.find_or_make(Path::new("/dev"), Make::Dir)?;
    // Nodes have the mode that the config says, and the hooks that follow a mask that is fit for the host.
    let mask = umask(Mode::empty());
    if sources.is_empty() {
        for device in &devices.nodes {
            make_node_or_bind(plan, device, root, dev.as_fd()).field(&device.field)?;
        }
    }
    for (device, source) in devices.nodes.iter().zip(sources) {
        bind(device, root, &source).field(&device.field)?;
    }
    umask(mask);
    make_links(devices, dev.as_fd()).doing(|| "make the links in /dev")
}

/// Root of a user namespace that this container shares can make no node; that is known by trying.
fn make_node_or_bind(plan: &Plan, device: &Device, root: &Inside, dev: BorrowedFd<'_>) -> Result<()> {
    match make_node(device, root, dev) {
        Err(error) if error.errno() == Some(Errno::PERM) && !plan.namespaces.has(Kind::Mount) => Err(error
            .doing(format!("make {}", device.path.display()))
            .hint("root of a user namespace can make no device: without a mount namespace the root file system has to have it")),
        Err(error) if error.errno() == Some(Errno::PERM) && in_user_namespace() => {
            bind(device, root, &device_source(device)?)
        }
        made => made.doing(|| format!("make {}", device.path.display())),
    }
}

fn bind(device: &Device, root: &Inside, source: &OwnedFd) -> Result<()> {
    let target = root.find_or_make(&device.path, Make::File)?;
    put(source.as_fd(), target.as_fd()).doing(|| format!("bind {}", device.path.display()))
}

fn make_node(device: &Device, root: &Inside, dev: BorrowedFd<'_>) -> Result<()> {
    // Nearly all are right in /dev, which is looked up once.
    let elsewhere = match device.path.parent() {
        Some(parent) if parent != Path::new("/dev") => Some(root.find_or_make(parent, Make::Dir)?),
        _ => None,
    };
    let dir = elsewhere.as_ref().map_or(dev, AsFd::as_fd);
    let name = device.path.file_name().unwrap_or(OsStr::new(""));
    let (kind, rdev) = match device.kind {
        DeviceKind::Char => (FileType::CharacterDevice, makedev(device.major, device.minor)),
        DeviceKind::Block => (FileType::BlockDevice, makedev(device.major, device.minor)),
        DeviceKind::Fifo => (FileType::Fifo, 0),
    };
    match mknodat(dir, name, kind, Mode::from_raw_mode(device.mode), rdev) {
        Ok(()) => (),
        Err(Errno::EXIST) => return check_node(dir, name, kind, rdev),
        Err(errno) => return Err(Error::call("mknodat", errno)),
    }
    let Some((uid, gid)) = device.owner else { return Ok(()) };
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    chownat(dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).call("fchownat")
}

/// What is there already is looked at itself: never through a link, and by its numbers.
fn check_node(dir: BorrowedFd<'_>, name: &OsStr, kind: FileType, rdev: u64) -> Result<()> {
    let found = openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).call("openat")?;
    let stat = fstat(&found).call("fstat")?;
    if FileType::from_raw_mode(stat.st_mode) == kind && (kind == FileType::Fifo || stat.st_rdev == rdev) {
        return Ok(());
    }
    Err(Error::new("the root file system has something else at this path"))
}

fn make_links(devices: &Devices, dev: BorrowedFd<'_>) -> Result<()> {
    for (name, text) in LINKS {
        link(text, dev, name)?;
    }
    if exists(rustix::fs::CWD, "/proc/kcore") {
        link("/proc/kcore", dev, "core")?;
    }
    if devices.has_pts {
        match unlinkat(dev, "ptmx", AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => (),
            Err(errno) => return Err(Error::call("unlink", errno).doing("ptmx")),
        }
        link("pts/ptmx", dev, "ptmx")?;
    }
    Ok(())
}

/// What the image has already at that name stays.
fn link(text: &str, dir: BorrowedFd<'_>, name: &str) -> Result<()> {
    match symlinkat(text, dir, name) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(Error::call("symlink", errno).doing(name)),
    }
}
