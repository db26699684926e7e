//! Paths inside a container's tree, which its owner may have filled with symbolic links and may be changing right now.
//!
//! A path is resolved once, below a root that no link leads out of, and from then on there is only the descriptor
//! (rule R1: CVE-2021-30465, CVE-2024-45310 and their kind).

use std::ffi::{CStr, OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, fstatfs, mkdirat, mknodat, openat, openat2, readlinkat,
    symlinkat,
};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use crate::error::{Annotate, Context, Error, Result};

/// How often a lookup is tried again when something was renamed under it, before that counts as an attack.
const TRIES: u32 = 1000;

/// What statfs(2) says of a procfs.
pub const PROC_SUPER_MAGIC: i64 = 0x9fa0;

/// The inode number of a procfs' root, and of nothing else in it.
pub const PROC_ROOT_INO: u64 = 1;

/// As many as the kernel follows in one lookup.
const MAX_LINKS: u32 = 40;

/// What a missing path is made as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Make {
    /// A directory.
    Dir,
    /// An empty file.
    File,
}

/// A tree whose paths are resolved inside it.
#[derive(Debug)]
pub struct Inside {
    root: OwnedFd,
}

impl Inside {
    /// The tree below `root`.
    pub fn new(root: OwnedFd) -> Self {
        Self { root }
    }

    /// The root itself.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Resolves `path` to a descriptor that can be mounted on, stat'ed and looked up from, but not read (`O_PATH`).
    pub fn find(&self, path: &Path) -> Result<OwnedFd, Errno> {
        self.open(path, OFlags::PATH, ResolveFlags::empty())
    }

    /// As [`Self::find`], but refuses any symbolic link on the way (`ELOOP`).
    pub fn find_without_links(&self, path: &Path) -> Result<OwnedFd, Errno> {
        self.open(path, OFlags::PATH, ResolveFlags::NO_SYMLINKS)
    }

    /// As [`Self::find`], but a symbolic link at the very end is what is found.
    pub fn find_itself(&self, path: &Path) -> Result<OwnedFd, Errno> {
        self.open(path, OFlags::PATH | OFlags::NOFOLLOW, ResolveFlags::empty())
    }

    /// Opens `path`.
    ///
    /// # Errors
    /// `ELOOP` also for a magic link of procfs, `EAGAIN` when the tree never held still.
    pub fn open(&self, path: &Path, flags: OFlags, resolve: ResolveFlags) -> Result<OwnedFd, Errno> {
        let resolve = resolve | ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        retry(|| openat2(&self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve))
    }

    /// Resolves `path`, and makes it and the directories that lead to it where they are missing.
    ///
    /// Links are followed inside the tree, also dangling ones: their target is made. Nothing is ever made outside.
    pub fn find_or_make(&self, path: &Path, make: Make) -> Result<OwnedFd> {
        self.find_or_make_as(path, || Ok(make))
    }

    /// As [`Self::find_or_make`]; what is made is asked for when something is missing.
    pub fn find_or_make_as(&self, path: &Path, make: impl FnOnce() -> Result<Make>) -> Result<OwnedFd> {
        let make = match self.find(path) {
            Err(Errno::NOENT) => make()?,
            found => return found.call("openat2").doing(|| format!("open {}", path.display())),
        };
        match self.make_last(path, make) {
            Some(made) => Ok(made),
            None => self.walk(path, make).doing(|| format!("make {}", path.display())),
        }
    }

    /// Most often only the last component is missing. `None` where it is not as simple as that.
    fn make_last(&self, path: &Path, make: Make) -> Option<OwnedFd> {
        let (parent, name) = (path.parent()?, path.file_name()?);
        let parent = self.find(parent).ok()?;
        make_entry(parent.as_fd(), name, make).ok()?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = openat(&parent, name, flags, Mode::empty()).ok()?;
        let kind = FileType::from_raw_mode(fstat(&made).ok()?.st_mode);
        // Nobody put anything else there since.
        (kind == if make == Make::Dir { FileType::Directory } else { FileType::RegularFile }).then_some(made)
    }

    /// Makes a symbolic link to `text` at `path`. One that says the same may be there already.
    pub fn make_link(&self, path: &Path, text: &CStr) -> Result<()> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Error::new("is no place for a symbolic link"));
        };
        let parent = self.find_or_make(parent, Make::Dir)?;
        match symlinkat(text, &parent, name) {
            Err(Errno::EXIST) if readlinkat(&parent, name, Vec::new()).is_ok_and(|there| *there == *text) => Ok(()),
            made => made.call("symlinkat"),
        }
    }

    /// The lookup by hand, one component at a time, that knows where to make what is missing.
    fn walk(&self, path: &Path, make: Make) -> Result<OwnedFd> {
        let mut walk = Walk { trail: vec![self.root.try_clone().call("dup")?], todo: Vec::new(), links: 0 };
        walk.push_path(path);
        while let Some(name) = walk.todo.pop() {
            let last = walk.todo.is_empty();
            walk.step(&name, if last { make } else { Make::Dir })?;
        }
        walk.trail.pop().ok_or_else(|| Error::new("the path is empty"))
    }
}

/// A lookup under way: descriptors of the directories from the root down, and the names still to go, the next one last.
struct Walk {
    trail: Vec<OwnedFd>,
    todo: Vec<OsString>,
    links: u32,
}

impl Walk {
    fn here(&self) -> BorrowedFd<'_> {
        // The root stays at the bottom: `..` never pops it.
        self.trail[self.trail.len() - 1].as_fd()
    }

    fn push_path(&mut self, path: &Path) {
        if path.is_absolute() {
            self.trail.truncate(1);
        }
        let names = path.components().rev().filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        });
        self.todo.extend(names);
    }

    fn step(&mut self, name: &OsStr, make: Make) -> Result<()> {
        if name == ".." {
            if self.trail.len() > 1 {
                self.trail.pop();
            }
            return Ok(());
        }
        let found = self.open_or_make(name, make)?;
        match FileType::from_raw_mode(fstat(&found).call("fstat")?.st_mode) {
            FileType::Symlink => self.follow(&found),
            FileType::Directory => {
                self.trail.push(found);
                Ok(())
            }
            _ if self.todo.is_empty() => {
                self.trail.push(found);
                Ok(())
            }
            _ => Err(Error::call("openat", Errno::NOTDIR)),
        }
    }

    fn open_or_make(&self, name: &OsStr, make: Make) -> Result<OwnedFd> {
        let look = || openat(self.here(), name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
        match look() {
            Err(Errno::NOENT) => (),
            found => return found.call("openat"),
        }
        // Somebody else making it first is as good; what it is, is looked at afterwards.
        match make_entry(self.here(), name, make) {
            Ok(()) | Err(Errno::EXIST) => look().call("openat"),
            Err(errno) => Err(Error::call(if make == Make::Dir { "mkdirat" } else { "mknodat" }, errno)),
        }
    }

    /// The link's text decides, never the kernel's own following. Links of procfs say where one of this process's own descriptors
    /// leads, and are refused as openat2 refuses them.
    fn follow(&mut self, link: &OwnedFd) -> Result<()> {
        self.links += 1;
        if self.links > MAX_LINKS || fstatfs(link).call("fstatfs")?.f_type == PROC_SUPER_MAGIC {
            return Err(Error::call("openat", Errno::LOOP));
        }
        let text = readlinkat(link, "", Vec::new()).call("readlinkat")?;
        self.push_path(&PathBuf::from(OsString::from_vec(text.into_bytes())));
        Ok(())
    }
}

/// `mknodat` makes a file without opening it, so that a FIFO or a device of the same name can't block (CVE-2024-45310).
fn make_entry(dir: BorrowedFd<'_>, name: &OsStr, make: Make) -> Result<(), Errno> {
    match make {
        Make::Dir => mkdirat(dir, name, Mode::from_raw_mode(0o755)),
        Make::File => mknodat(dir, name, FileType::RegularFile, Mode::from_raw_mode(0o644), 0),
    }
}

/// openat2 answers EAGAIN when a rename crossed a lookup that has to stay inside.
fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    for _ in 1..TRIES {
        match call() {
            Err(Errno::AGAIN | Errno::INTR) => (),
            other => return other,
        }
    }
    call()
}

/// A procfs that nobody else has, attached nowhere, so that nothing can be mounted over any part of it (rule R2).
///
/// In a user namespace without a pid and a mount namespace of its own none can be made. There it is the `/proc` that this process has
/// still, before it enters the container's root; [`open_in_proc`] meets nothing that is mounted over parts of it.
pub fn private_proc() -> Result<OwnedFd> {
    let fs = match fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC) {
        Err(Errno::PERM) => return hosts_proc(),
        opened => opened.call("fsopen")?,
    };
    match fsconfig_create(&fs) {
        Err(Errno::PERM) => return hosts_proc(),
        made => made.call("fsconfig")?,
    }
    fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).call("fsmount")
}

fn hosts_proc() -> Result<OwnedFd> {
    let proc =
        rustix::fs::open("/proc", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).call("open")?;
    let is_root = fstat(&proc).call("fstat")?.st_ino == PROC_ROOT_INO;
    if is_root && fstatfs(&proc).call("fstatfs")?.f_type == PROC_SUPER_MAGIC {
        return Ok(proc);
    }
    Err(Error::new("/proc is not a proc file system"))
}

/// Opens a file of a procfs by its handle: no links, no crossing into what somebody mounted over it.
pub fn open_in_proc(proc: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve =
        ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    retry(|| openat2(proc, path, flags | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty(), resolve))
}

/// Whether `stat` is the character device `major:minor` (rule R3: check the inode, not the name).
pub fn is_char_device(stat: &Stat, major: u32, minor: u32) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && stat.st_rdev == rustix::fs::makedev(major, minor)
}

/// Whether something is at this path, without following a last symbolic link.
pub fn exists(dir: BorrowedFd<'_>, name: &str) -> bool {
    rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// A tree with a neighbour that must stay as it is.
    struct Tree {
        dir: tempfile::TempDir,
        inside: Inside,
    }

    impl Tree {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("root")).unwrap();
            fs::create_dir(dir.path().join("outside")).unwrap();
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let root = rustix::fs::open(dir.path().join("root"), flags, Mode::empty()).unwrap();
            Self { inside: Inside::new(root), dir }
        }

        fn path(&self, below: &str) -> PathBuf {
            self.dir.path().join("root").join(below)
        }

        fn make(&self, path: &str, make: Make) -> Result<OwnedFd> {
            self.inside.find_or_make(Path::new(path), make)
        }

        fn assert_nothing_outside(&self) {
            assert_eq!(fs::read_dir(self.dir.path().join("outside")).unwrap().count(), 0);
            assert_eq!(fs::read_dir(self.dir.path()).unwrap().count(), 2);
        }
    }

    #[test]
    fn makes_directories_and_a_file() {
        let tree = Tree::new();
        tree.make("/a/b/c", Make::Dir).unwrap();
        tree.make("/a/b/file", Make::File).unwrap();
        assert!(tree.path("a/b/c").is_dir() && tree.path("a/b/file").is_file());
        tree.make("/a/b/file", Make::File).unwrap();
    }

    #[test]
    fn links_are_followed_inside_only() {
        let tree = Tree::new();
        let outside = tree.dir.path().join("outside");
        symlink(&outside, tree.path("absolute")).unwrap();
        symlink("../../../../outside", tree.path("relative")).unwrap();
        tree.make("/absolute/x/y", Make::Dir).unwrap();
        tree.make("/relative/z", Make::File).unwrap();
        tree.make("/../../outside/w", Make::Dir).unwrap();
        tree.assert_nothing_outside();
        assert!(tree.path("outside/z").is_file() && tree.path("outside/w").is_dir());
        assert!(tree.path(outside.strip_prefix("/").unwrap().join("x/y").to_str().unwrap()).is_dir());
    }

    #[test]
    fn a_dangling_links_target_is_made() {
        let tree = Tree::new();
        fs::create_dir(tree.path("var")).unwrap();
        symlink("/run", tree.path("var/run")).unwrap();
        tree.make("/var/run/lock", Make::Dir).unwrap();
        assert!(tree.path("run/lock").is_dir());
        symlink("../etc/real", tree.path("var/link")).unwrap();
        tree.make("/var/link", Make::File).unwrap();
        assert!(tree.path("etc/real").is_file());
    }

    #[test]
    fn loops_and_files_in_the_way_end_in_an_error() {
        let tree = Tree::new();
        symlink("loop", tree.path("loop")).unwrap();
        assert_eq!(tree.make("/loop/x", Make::Dir).unwrap_err().errno(), Some(Errno::LOOP));
        fs::write(tree.path("file"), "").unwrap();
        assert_eq!(tree.make("/file/x", Make::Dir).unwrap_err().errno(), Some(Errno::NOTDIR));
    }

    #[test]
    fn magic_links_are_not_followed() {
        let proc = rustix::fs::open("/proc", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let inside = Inside::new(proc);
        assert_eq!(inside.find(Path::new("/self/root/etc")).unwrap_err(), Errno::LOOP);
        assert_eq!(inside.find_without_links(Path::new("/self")).unwrap_err(), Errno::LOOP);
        // Also where the last part is missing, and would have to be made.
        let made = inside.find_or_make(Path::new("/self/fd/1234567"), Make::Dir).unwrap_err();
        assert_eq!(made.errno(), Some(Errno::LOOP));
    }

    #[test]
    fn null_is_known_by_its_numbers() {
        let stat = rustix::fs::stat("/dev/null").unwrap();
        assert!(is_char_device(&stat, 1, 3) && !is_char_device(&stat, 1, 5));
        assert!(!is_char_device(&rustix::fs::stat("/").unwrap(), 1, 3));
    }
}
