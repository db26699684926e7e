//! What CRIU wrote to its log: the lines that say why it failed.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, openat};

use crate::error::Error;

/// How much of the log's end is read.
const READ: u64 = 64 * 1024;

/// How many lines are quoted.
const LINES: usize = 5;

/// A log, in the directory that CRIU works in.
#[derive(Debug)]
pub struct Log {
    dir: OwnedFd,
    path: PathBuf,
}

impl Log {
    /// The log of that name in `dir`, which is at `path`.
    pub fn new(dir: OwnedFd, path: &Path, name: &str) -> Self {
        Self { dir, path: path.join(name) }
    }

    /// CRIU's error in the words of its log, where that has some.
    pub(super) fn explain(&self, error: Error) -> Error {
        let quoted = self.read().map(|text| excerpt(&text)).unwrap_or_default();
        if quoted.is_empty() {
            return error;
        }
        Error::new(quoted.join("; ")).hint(format!("see {}", self.path.display()))
    }

    fn read(&self) -> Option<String> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let name = self.path.file_name()?;
        let mut file = File::from(openat(self.dir.as_fd(), name, flags, Mode::empty()).ok()?);
        let length = file.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(READ))).ok()?;
        let mut bytes = Vec::new();
        file.take(READ).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The last lines that tell of an error, in their order, without the time and the pid that each begins with.
fn excerpt(text: &str) -> Vec<String> {
    let mut lines: Vec<&str> = text.lines().rev().filter(|line| line.contains("Error")).take(LINES).collect();
    lines.reverse();
    let untimed = |line: &'_ str| line.find("Error (").map_or(line.to_owned(), |at| line[at..].to_owned());
    lines.into_iter().map(|line| untimed(line).trim().chars().take(400).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_errors_are_quoted_in_order() {
        let lines: Vec<String> = (0..9).map(|i| format!("(00.1)     1: Error (a.c:{i}): x\n(00.2) fine")).collect();
        let lines = excerpt(&lines.join("\n"));
        assert_eq!(lines.len(), LINES);
        assert_eq!((lines[0].as_str(), lines[4].as_str()), ("Error (a.c:4): x", "Error (a.c:8): x"));
        assert!(excerpt("nothing of that kind\n").is_empty());
    }

    #[test]
    fn an_error_is_explained_by_the_log_where_there_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let open = || OwnedFd::from(File::open(dir.path()).unwrap());
        let log = Log::new(open(), dir.path(), "dump.log");
        assert_eq!(log.explain(Error::new("failed")).to_string(), "failed");
        std::fs::write(dir.path().join("dump.log"), "a\n(1) Error (x.c:1): why\n").unwrap();
        let error = log.explain(Error::new("failed")).to_string();
        assert_eq!(error, format!("Error (x.c:1): why (see {}/dump.log)", dir.path().display()));
    }
}
