//! What is shown of containers: of one by `state`, of all by `list`. Nobody's lock is waited for, and no process is touched.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, open, openat2, statat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::{DIRECTORY, OCI_VERSION, RECORD, State, Status, does_not_exist, look, read_whole, understand};
use crate::cgroupv2::FreezeCheck;
use crate::error::{Error, Result};
use crate::plan::check_id;

/// The state as `state` and `list` show it (runtime.md, State), with the fields that runc adds. What was recorded stays where it
/// was read.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown<'a> {
    oci_version: &'static str,
    /// The container's id.
    pub id: &'a str,
    /// The init's pid; 0 when there is none.
    pub pid: i32,
    /// Where it is in its life.
    pub status: Status,
    /// The bundle's directory.
    pub bundle: Text<'a>,
    /// The root file system.
    pub rootfs: Text<'a>,
    /// When it was created, RFC 3339.
    pub created: Text<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<Text<'a>, Text<'a>>,
    /// Whose it is; `list` alone says.
    pub owner: Cow<'a, str>,
}

/// What of a [`super::Record`] is shown, or says what to ask the kernel for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Summary<'a> {
    #[serde(borrow)]
    init: Init<'a>,
    bundle: Text<'a>,
    rootfs: Text<'a>,
    created: Text<'a>,
    annotations: BTreeMap<Text<'a>, Text<'a>>,
    cgroup: Option<Text<'a>>,
    #[serde(default)]
    restored: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Init<'a> {
    pid: i32,
    start_time: u64,
    #[serde(borrow)]
    boot_id: Text<'a>,
}

/// A text of a record.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whoever looks at one container after the other, below one state root.
#[derive(Debug)]
pub struct Onlooker<'a> {
    root: &'a Path,
    dir: OwnedFd,
    /// A record's path and its text. There is room for the next one's then.
    path: String,
    text: Vec<u8>,
    freeze_check: FreezeCheck,
}

impl<'a> Onlooker<'a> {
    /// # Errors
    /// When the state root can't be opened.
    pub fn new(root: &'a Path) -> Result<Self, Errno> {
        // Who names the root may name a link.
        let dir = open(root, DIRECTORY.difference(OFlags::NOFOLLOW), Mode::empty())?;
        Ok(Self { root, dir, path: String::new(), text: Vec::new(), freeze_check: FreezeCheck::default() })
    }

    /// What there is to show of a container: what was recorded, and what is true now.
    ///
    /// # Errors
    /// `container does not exist`; or when its record can't be understood, or its state can't be found out.
    pub fn look_at<'b>(&'b mut self, id: &'b str) -> Result<Shown<'b>> {
        check_id(id)?;
        match self.read(id) {
            Ok(()) => self.show(id),
            // It is being created, or was cut off, or is none.
            Err(_) => self.look_at_unrecorded(id),
        }
    }

    /// The user whose state directory it is.
    pub fn owner(&self, id: &str) -> Result<u32, Errno> {
        statat(&self.dir, id, AtFlags::SYMLINK_NOFOLLOW).map(|stat| stat.st_uid)
    }

    /// By one path, which no link leads away from.
    fn read(&mut self, id: &str) -> Result<(), Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        self.path.clear();
        self.path.extend([id, "/", RECORD]);
        let file = openat2(&self.dir, &self.path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty(), resolve)?;
        read_whole(&file, &mut self.text)
    }

    fn show<'b>(&'b mut self, id: &'b str) -> Result<Shown<'b>> {
        let Summary { init, bundle, rootfs, created, annotations, cgroup, restored } =
            understand(&self.text, self.root, id)?;
        let (status, pid) = match look(init.pid, init.start_time, &init.boot_id.0)? {
            Some(seen) => {
                let is_frozen = cgroup.map_or(Ok(false), |path| self.freeze_check.is_frozen(&path.0))?;
                (Status::of_living(&seen, is_frozen, restored), init.pid)
            }
            None => (Status::Stopped, 0),
        };
        Ok(Shown { pid, bundle, rootfs, created, annotations, ..Shown::unrecorded(id, status) })
    }

    /// Whether somebody is at work on it is asked first: who was at work may have left a record.
    fn look_at_unrecorded<'b>(&'b mut self, id: &'b str) -> Result<Shown<'b>> {
        let state = State::open(self.root, id)?;
        let is_locked = state.is_locked();
        if state.read(&mut self.text)? {
            return self.show(id);
        }
        Ok(Shown::unrecorded(id, if is_locked { Status::Creating } else { Status::Stopped }))
    }
}

impl<'a> Shown<'a> {
    fn unrecorded(id: &'a str, status: Status) -> Self {
        Self {
            oci_version: OCI_VERSION,
            id,
            pid: 0,
            status,
            bundle: Text::default(),
            rootfs: Text::default(),
            created: Text::default(),
            annotations: BTreeMap::new(),
            owner: Cow::default(),
        }
    }
}

/// The text that `orlop state ID` prints.
pub fn state(root: &Path, id: &str) -> Result<String> {
    check_id(id)?;
    let mut onlooker = Onlooker::new(root).map_err(|errno| match errno {
        Errno::NOENT | Errno::NOTDIR => does_not_exist(),
        errno => Error::call("open", errno).doing(format!("state root {}", root.display())),
    })?;
    let shown = onlooker.look_at(id)?;
    serde_json::to_string_pretty(&shown).map_err(|error| Error::new(error.to_string()))
}
