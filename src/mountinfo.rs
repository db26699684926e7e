//! `/proc/PID/mountinfo`, as `proc_pid_mountinfo(5)` describes it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// A mount, as a process's mount table has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id, which statx(2) knows too.
    pub id: u64,
    /// The mount that it is on.
    pub parent: u64,
    /// `major:minor` of its file system.
    pub device: String,
    /// What of its file system is mounted.
    pub root: PathBuf,
    /// Where, as the process's root has it.
    pub point: PathBuf,
    /// Its own options: `ro`, `nosuid`, …
    pub options: Vec<String>,
    /// Its file system's type.
    pub fstype: String,
}

impl Entry {
    /// Whether it has this option of its own.
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|there| there == option)
    }
}

/// The mounts of a table, in its order. A line that is none is left out.
pub fn parse(table: &str) -> Vec<Entry> {
    table.lines().filter_map(entry).collect()
}

fn entry(line: &str) -> Option<Entry> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut fields = mount.split(' ');
    let (id, parent, device, root, point, options) =
        (fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    Some(Entry {
        id: id.parse().ok()?,
        parent: parent.parse().ok()?,
        device: device.into(),
        root: unescape(root),
        point: unescape(point),
        options: options.split(',').map(str::to_owned).collect(),
        fstype: filesystem.split(' ').next()?.into(),
    })
}

/// The kernel writes a space, a tab, a newline and a backslash as three octal digits behind a backslash.
fn unescape(field: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            bytes.push(byte);
            rest = &behind[3..];
        } else {
            bytes.push(*first);
            rest = behind;
        }
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_line_is_understood() {
        let line = r"36 35 98:0 /mnt\0401 /mnt\1342 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue";
        let [entry] = &parse(line)[..] else { panic!("one line is one mount") };
        assert_eq!((entry.id, entry.parent, entry.device.as_str()), (36, 35, "98:0"));
        assert_eq!((entry.root.as_path(), entry.point.as_path()), (Path::new("/mnt 1"), Path::new(r"/mnt\2")));
        assert!(entry.has("rw") && entry.has("noatime") && !entry.has("ro"));
        assert_eq!(entry.fstype, "ext3");
    }

    #[test]
    fn what_is_no_mount_is_left_out() {
        assert!(parse("\n1 2 3:4 / /\nx y z - a b\n").is_empty());
        assert_eq!(unescape(r"\9\04"), Path::new(r"\9\04"));
    }
}
