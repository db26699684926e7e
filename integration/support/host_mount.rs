//! A tmpfs that a case mounts on the host, in the suite's own mount namespace.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};

use super::lane::Lane;

/// Mounted nosuid, with the file `below` in it, until it is dropped.
pub(crate) struct HostMount(PathBuf);

impl HostMount {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Self::at(&Lane::get().dir().join(format!("host-{}", NEXT.fetch_add(1, Ordering::Relaxed))))
    }

    pub(crate) fn at(path: &Path) -> Self {
        fs::create_dir_all(path).expect("create a mount point");
        mount("host", path, "tmpfs", MountFlags::NOSUID, None).expect("mount a tmpfs");
        fs::write(path.join("below"), "below").expect("write into it");
        Self(path.to_owned())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes it propagate what is mounted in it from now on.
    pub(crate) fn share(&self) {
        mount_change(&self.0, MountPropagationFlags::SHARED).expect("share it");
    }
}

impl Drop for HostMount {
    fn drop(&mut self) {
        let unmounted = unmount(&self.0, UnmountFlags::DETACH);
        assert!(std::thread::panicking() || unmounted.is_ok(), "{}: {unmounted:?}", self.0.display());
    }
}
