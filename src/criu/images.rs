//! The directory with a checkpoint's files. All are CRIU's but one, which says what the standard streams were.
//!
//! Who can write there decides what is restored, so what is read here is believed as little as it can be.

use std::fs::{DirBuilder, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use prost::Message;
use rustix::fs::{Mode, OFlags, open, openat};
use rustix::io::Errno;

use super::Log;
use crate::error::{Annotate, Context, Error, Result};

/// runc's name for it, and its form: a JSON array of what `/proc/PID/fd/0` to `2` led to.
const DESCRIPTORS: &str = "descriptors.json";

/// CRIU's name of the file with all seccomp filters.
const SECCOMP: &str = "seccomp.img";

/// More than any of the two files has.
const LIMIT: u64 = 16 << 20;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A directory of images, or of CRIU's own files beside them.
#[derive(Debug)]
pub struct Images {
    dir: OwnedFd,
    path: PathBuf,
}

/// What the standard streams led to: `pipe:[4711]`, `/dev/null`, …
pub type Stdio = Vec<String>;

impl Images {
    /// Opens a directory, which is made where it is missing: memory is about to be written there, so for its owner only.
    pub fn make(path: &Path) -> Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .call("mkdir")
            .doing(|| path.display().to_string())?;
        Self::open(path)
    }

    /// Opens a directory that is there.
    pub fn open(path: &Path) -> Result<Self> {
        let dir = open(path, DIRECTORY, Mode::empty()).call("open").doing(|| path.display().to_string())?;
        Ok(Self { dir, path: path.into() })
    }

    /// Opens it once more, in whatever mount namespace this process is by now.
    pub(super) fn open_again(&self) -> Result<OwnedFd> {
        open(&self.path, DIRECTORY, Mode::empty()).call("open").doing(|| self.path.display().to_string())
    }

    /// The log of that name that CRIU writes here.
    pub fn log(&self, name: &str) -> Result<Log> {
        Ok(Log::new(self.dir.try_clone().call("dup")?, &self.path, name))
    }

    /// Opens the directory that is at this place from here.
    ///
    /// # Errors
    /// Why there is none.
    pub fn check_directory(&self, relative: &Path) -> Result<()> {
        openat(&self.dir, relative, DIRECTORY, Mode::empty()).call("open").map(drop)
    }

    /// Notes what the standard streams lead to.
    pub fn write_stdio(&self, stdio: &Stdio) -> Result<()> {
        let text = serde_json::to_vec(stdio).map_err(|error| Error::new(error.to_string()))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&self.dir, DESCRIPTORS, flags, Mode::from_raw_mode(0o600))
            .call("open")
            .and_then(|file| File::from(file).write_all(&text).call("write"))
            .doing(|| self.describe(DESCRIPTORS))
    }

    /// What the standard streams led to.
    pub fn read_stdio(&self) -> Result<Stdio> {
        let text = self.read(DESCRIPTORS)?.ok_or_else(|| {
            Error::call("open", Errno::NOENT)
                .doing(self.describe(DESCRIPTORS))
                .hint("this is no checkpoint of a container")
        })?;
        serde_json::from_slice(&text).map_err(|error| Error::new(error.to_string()).doing(self.describe(DESCRIPTORS)))
    }

    /// The seccomp filters that are at the root of others in the image: the first that each process was put under.
    ///
    /// # Errors
    /// When the file can't be understood.
    pub fn first_filters(&self) -> Result<Vec<Vec<u8>>> {
        let Some(bytes) = self.read(SECCOMP)? else { return Ok(Vec::new()) };
        let filters = entry(&bytes).and_then(|entry| SeccompEntry::decode(entry).ok());
        let filters = filters.ok_or_else(|| Error::new("can't be understood").doing(self.describe(SECCOMP)))?.filters;
        Ok(filters.into_iter().filter(|filter| filter.prev.is_none()).map(|filter| filter.program).collect())
    }

    fn describe(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }

    /// `None` where there is no such file.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.dir, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            opened => File::from(opened.call("open").doing(|| self.describe(name))?),
        };
        let metadata = file.metadata().call("fstat").doing(|| self.describe(name))?;
        if !metadata.is_file() || metadata.len() > LIMIT {
            return Err(Error::new("is no file of a checkpoint").doing(self.describe(name)));
        }
        let mut bytes = Vec::new();
        file.take(LIMIT).read_to_end(&mut bytes).call("read").doing(|| self.describe(name))?;
        Ok(Some(bytes))
    }
}

/// The one entry of an image: behind two magic numbers of four bytes, its length, and it.
fn entry(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.get(8..)?.split_first_chunk::<4>()?;
    rest.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)
}

/// `seccomp_entry` of CRIU's `seccomp.proto`.
#[derive(Clone, PartialEq, Eq, Message)]
struct SeccompEntry {
    #[prost(message, repeated, tag = "1")]
    filters: Vec<SeccompFilter>,
}

/// `seccomp_filter`.
#[derive(Clone, PartialEq, Eq, Message)]
struct SeccompFilter {
    #[prost(bytes = "vec", required, tag = "1")]
    program: Vec<u8>,
    /// The place of the one below it.
    #[prost(uint32, optional, tag = "2")]
    prev: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_streams_are_read_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        let images = Images::make(&dir.path().join("a/b")).unwrap();
        assert!(images.read_stdio().unwrap_err().to_string().contains("no checkpoint of a container"));
        let stdio = ["/dev/null", "pipe:[1]", "pipe:[2]"].map(String::from).to_vec();
        images.write_stdio(&stdio).unwrap();
        assert_eq!(images.read_stdio().unwrap(), stdio);
        std::fs::write(dir.path().join("a/b/descriptors.json"), "{").unwrap();
        assert!(images.read_stdio().unwrap_err().to_string().contains("descriptors.json: "));
    }

    #[test]
    fn only_first_filters_count_and_nonsense_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let images = Images::open(dir.path()).unwrap();
        assert!(images.first_filters().unwrap().is_empty());
        let filter = |program: &[u8], prev| SeccompFilter { program: program.into(), prev };
        let entry = SeccompEntry { filters: vec![filter(b"one", None), filter(b"two", Some(0)), filter(b"six", None)] };
        let payload = entry.encode_to_vec();
        let mut image = vec![0; 8];
        image.extend(u32::try_from(payload.len()).unwrap().to_le_bytes());
        image.extend(&payload);
        let file = dir.path().join("seccomp.img");
        std::fs::write(&file, &image).unwrap();
        assert_eq!(images.first_filters().unwrap(), [b"one".to_vec(), b"six".to_vec()]);
        for damaged in [&image[..10], &image[..image.len() - 1], b""] {
            std::fs::write(&file, damaged).unwrap();
            assert!(images.first_filters().unwrap_err().to_string().ends_with("seccomp.img: can't be understood"));
        }
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("descriptors.json")).unwrap();
        std::fs::create_dir(dir.path().join("seccomp.img")).unwrap();
        let images = Images::open(dir.path()).unwrap();
        assert_eq!(images.read_stdio().unwrap_err().errno(), Some(Errno::LOOP));
        assert!(images.first_filters().unwrap_err().to_string().contains("no file of a checkpoint"));
    }
}
