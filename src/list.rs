//! `orlop list`: every container below the state root.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

use rustix::io::Errno;

use crate::error::{Annotate, Context, Error, Result};
use crate::state::{Onlooker, Shown};
use crate::{sys, table};

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
    let all = read(root, explicit_root)?;
    if quiet {
        return Ok(all.iter().flat_map(|shown| [shown.id.as_str(), "\n"]).collect());
    }
    match format {
        Format::Table => Ok(as_table(&all)),
        Format::Json if all.is_empty() => Ok("null\n".into()),
        Format::Json => {
            let text = serde_json::to_string(&all).map_err(|error| Error::new(error.to_string()))?;
            Ok(text + "\n")
        }
    }
}

fn read(root: &Path, explicit_root: bool) -> Result<Vec<Shown>> {
    let unreadable = || format!("state root {}", root.display());
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !explicit_root => return Ok(Vec::new()),
        entries => entries.call("open").doing(unreadable)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.call("read")?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            names.push(entry.file_name().into_string().unwrap_or_else(|name| name.to_string_lossy().into_owned()));
        }
    }
    names.sort_unstable();
    let looked_at = look_at_all(root, &names).call("open").doing(unreadable)?;
    let mut owners = Owners::default();
    Ok(names.iter().zip(looked_at).filter_map(|(name, found)| keep_or_say(name, found, &mut owners)).collect())
}

/// What there is to show of a container, and whose it is.
type Found = Result<(Shown, Option<u32>)>;

/// So many take about as long to look at as a thread to start.
const WORTH_A_THREAD: usize = 50;

/// In the order of the names. Most of the time passes in the kernel, which looks up files for two at once.
fn look_at_all(root: &Path, names: &[String]) -> Result<Vec<Found>, Errno> {
    if names.len() < 2 * WORTH_A_THREAD {
        return look_at_some(root, names);
    }
    let (first, second) = names.split_at(names.len() / 2);
    thread::scope(|scope| {
        let other = thread::Builder::new().spawn_scoped(scope, || {
            // One table of descriptors for both would be locked for each file. Where that is refused it is slower, and no more.
            if let Err(errno) = sys::unshare_descriptors() {
                tracing::debug!("unshare: {errno}");
            }
            look_at_some(root, second)
        });
        let mut all = look_at_some(root, first)?;
        all.extend(match other {
            Ok(other) => other.join().unwrap_or_else(|panic| resume_unwind(panic))?,
            // There is none to be had, for want of memory or by a limit.
            Err(_) => look_at_some(root, second)?,
        });
        Ok(all)
    })
}

fn look_at_some(root: &Path, names: &[String]) -> Result<Vec<Found>, Errno> {
    let mut onlooker = Onlooker::new(root)?;
    let look = |name: &String| onlooker.look_at(name).map(|shown| (shown, onlooker.owner(name).ok()));
    Ok(names.iter().map(look).collect())
}

fn keep_or_say(name: &str, found: Found, owners: &mut Owners) -> Option<Shown> {
    match found {
        Ok((mut shown, owner)) => {
            shown.owner = owner.map(|uid| owners.name(uid)).unwrap_or_default();
            Some(shown)
        }
        Err(error) if error.to_string() == crate::state::DOES_NOT_EXIST => None, // deleted since the directory was read
        Err(error) => {
            crate::log::say(&format!("load container {name}: {error}\n"));
            None
        }
    }
}

fn as_table(all: &[Shown]) -> String {
    let rows: Vec<_> = all.iter().map(as_row).collect();
    table::render(["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"], &rows)
}

fn as_row(shown: &Shown) -> [Cow<'_, str>; 6] {
    [
        shown.id.as_str().into(),
        shown.pid.to_string().into(),
        shown.status.name().into(),
        shown.bundle.to_string_lossy(),
        shown.created.as_str().into(),
        shown.owner.as_str().into(),
    ]
}

/// User names by id, from the host's passwd, read once. A static program has no name service to ask.
#[derive(Default)]
struct Owners {
    names: Option<HashMap<u32, String>>,
}

impl Owners {
    fn name(&mut self, uid: u32) -> String {
        let names =
            self.names.get_or_insert_with(|| parse_passwd(&fs::read_to_string("/etc/passwd").unwrap_or_default()));
        names.get(&uid).cloned().unwrap_or_else(|| format!("#{uid}"))
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
