//! `orlop list`: every container below the state root.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::OnceLock;
use std::thread;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, RawDirEntry, open, statat};
use rustix::io::Errno;

use crate::error::{Annotate, Context, Result};
use crate::state::{Onlooker, Shown};
use crate::table::{self, Rows};
use crate::{log, sys};

/// How `list` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Columns for people.
    #[default]
    Table,
    /// One line of JSON, `null` for no container, as runc.
    Json,
}

/// The text that `orlop list` prints. A container that can't be read is reported on standard error, and left out.
///
/// # Errors
/// When `root` can't be read; a default root that isn't there has no containers.
pub fn list(root: &Path, format: Format, quiet: bool, explicit_root: bool) -> Result<String> {
    let ids = ids(root, explicit_root)?;
    if quiet {
        return Ok(look_at_all(root, &ids, add_id)?.concat());
    }
    match format {
        Format::Table => {
            let header = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];
            Ok(table::render(header, &look_at_all(root, &ids, add_row)?))
        }
        Format::Json => {
            let mut parts = look_at_all(root, &ids, add_object)?;
            parts.retain(|part| !part.is_empty());
            Ok(if parts.is_empty() { "null\n".into() } else { format!("[{}]\n", parts.join(",")) })
        }
    }
}

fn add_id(text: &mut String, shown: &Shown<'_>) {
    text.extend([shown.id, "\n"]);
}

fn add_row(rows: &mut Rows<6>, shown: &Shown<'_>) {
    rows.add([&shown.id, &shown.pid, &shown.status, &shown.bundle, &shown.created, &shown.owner]);
}

fn add_object(text: &mut String, shown: &Shown<'_>) {
    if !text.is_empty() {
        text.push(',');
    }
    // Cannot fail: strings, numbers and a map of strings.
    text.push_str(&serde_json::to_string(shown).unwrap_or_default());
}

/// The names of all directories in the state root, sorted.
fn ids(root: &Path, explicit_root: bool) -> Result<Vec<String>> {
    let dir = match open(root, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT) if !explicit_root => return Ok(Vec::new()),
        opened => opened.call("open").doing(|| unreadable(root))?,
    };
    let mut buffer: Vec<u8> = Vec::with_capacity(32 * 1024);
    let mut entries = RawDir::new(&dir, buffer.spare_capacity_mut());
    let mut ids = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry.call("read")?;
        if is_directory(&dir, &entry) && ![c".", c".."].contains(&entry.file_name()) {
            ids.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    ids.sort_unstable();
    Ok(ids)
}

/// Not every file system says of what type an entry is.
fn is_directory(dir: &OwnedFd, entry: &RawDirEntry<'_>) -> bool {
    let look = || statat(dir, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW);
    match entry.file_type() {
        FileType::Unknown => look().is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory),
        known => known == FileType::Directory,
    }
}

fn unreadable(root: &Path) -> String {
    format!("state root {}", root.display())
}

/// So many take about as long to look at as a thread to start.
const WORTH_A_THREAD: usize = 50;

/// What is printed of the containers, in the order of their ids, in one part or two. Most of the time passes in the kernel, which looks
/// up files for two at once.
fn look_at_all<T: Default + Send>(root: &Path, ids: &[String], add: fn(&mut T, &Shown<'_>)) -> Result<Vec<T>> {
    let owners = Owners::default();
    let look = |ids: &[String]| look_at_some(root, ids, add, &owners);
    let seen = match ids.len() {
        0 => Vec::new(),
        few if few < 2 * WORTH_A_THREAD => vec![look(ids)],
        _ => look_at_halves(ids, look),
    };
    let mut parts = Vec::new();
    for seen in seen {
        let (part, complaints) = seen.call("open").doing(|| unreadable(root))?;
        for complaint in complaints {
            log::say(&complaint);
        }
        parts.push(part);
    }
    Ok(parts)
}

fn look_at_halves<T: Send>(ids: &[String], look: impl Fn(&[String]) -> T + Sync) -> Vec<T> {
    let (first, second) = ids.split_at(ids.len() / 2);
    thread::scope(|scope| {
        let other = thread::Builder::new().spawn_scoped(scope, || {
            // One table of descriptors for both would be locked for each file. Where that is refused it is slower, and no more.
            if let Err(errno) = sys::unshare_descriptors() {
                tracing::debug!("unshare: {errno}");
            }
            look(second)
        });
        let first = look(first);
        let second = match other {
            Ok(other) => other.join().unwrap_or_else(|panic| resume_unwind(panic)),
            // There is none to be had, for want of memory or by a limit.
            Err(_) => look(second),
        };
        vec![first, second]
    })
}

/// What is printed of some containers, and what there is to say of those that can't be read.
fn look_at_some<T: Default>(
    root: &Path,
    ids: &[String],
    add: fn(&mut T, &Shown<'_>),
    owners: &Owners,
) -> Result<(T, Vec<String>), Errno> {
    let mut onlooker = Onlooker::new(root)?;
    let (mut part, mut complaints) = (T::default(), Vec::new());
    for id in ids {
        let owner = onlooker.owner(id).map(|uid| owners.name(uid)).unwrap_or_default();
        match onlooker.look_at(id) {
            Ok(mut shown) => {
                shown.owner = owner;
                add(&mut part, &shown);
            }
            Err(error) if error.to_string() == crate::state::DOES_NOT_EXIST => (), // deleted since the directory was read
            Err(error) => complaints.push(format!("load container {id}: {error}\n")),
        }
    }
    Ok((part, complaints))
}

/// User names by id, from the host's passwd, read once. A static program has no name service to ask.
#[derive(Default)]
struct Owners(OnceLock<HashMap<u32, String>>);

impl Owners {
    fn name(&self, uid: u32) -> Cow<'_, str> {
        let names = self.0.get_or_init(|| parse_passwd(&fs::read_to_string("/etc/passwd").unwrap_or_default()));
        names.get(&uid).map_or_else(|| format!("#{uid}").into(), Cow::from)
    }
}

pub(crate) fn parse_passwd(text: &str) -> HashMap<u32, String> {
    let entry = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        Some((fields.nth(1)?.parse().ok()?, name))
    };
    let mut names = HashMap::new();
    for (uid, name) in text.lines().filter_map(entry) {
        names.entry(uid).or_insert(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_of_a_user_counts() {
        let names = parse_passwd("root:x:0:0:root:/root:/bin/sh\nbroken\ntoor:x:0:0::/:\nme:x:1000:1000::/:\n");
        assert_eq!(names[&0], "root");
        assert_eq!(names[&1000], "me");
        assert_eq!(names.len(), 2);
    }

    #[test]
    fn a_long_list_is_as_ordered_and_whole_as_a_short_one() {
        let root = tempfile::tempdir().unwrap();
        let names: Vec<_> = (0..3 * WORTH_A_THREAD).map(|i| format!("c-{i:04}")).collect();
        for name in names.iter().rev() {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        fs::create_dir(root.path().join("no id")).unwrap();
        fs::write(root.path().join("c-a-file"), "").unwrap();
        fs::write(root.path().join("c-0001/state.json"), "{").unwrap();
        let listed = list(root.path(), Format::Table, true, true).unwrap();
        let expected: Vec<_> = names.iter().map(String::as_str).filter(|name| *name != "c-0001").collect();
        assert_eq!(listed.lines().collect::<Vec<_>>(), expected);
        let table = list(root.path(), Format::Table, false, true).unwrap();
        assert!(table.lines().skip(1).all(|line| line.contains(" 0           stopped ")), "{table}");
        let json: Vec<serde_json::Value> =
            serde_json::from_str(&list(root.path(), Format::Json, false, true).unwrap()).unwrap();
        assert_eq!(json.iter().map(|shown| shown["id"].as_str().unwrap()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn no_container_is_null_and_a_missing_root_is_an_error_only_when_it_was_named() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(list(root.path(), Format::Json, false, true).unwrap(), "null\n");
        assert_eq!(list(root.path(), Format::Table, true, true).unwrap(), "");
        let missing = root.path().join("missing");
        assert_eq!(list(&missing, Format::Json, false, false).unwrap(), "null\n");
        assert!(list(&missing, Format::Json, false, true).unwrap_err().to_string().contains("missing"));
    }
}
