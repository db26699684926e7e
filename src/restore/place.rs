//! Where CRIU finds what the container gets of the host's.

use std::path::{Path, PathBuf};

use rustix::fs::{Mode, mkdirat, rmdir};

use crate::checkpoint::external_mount;
use crate::criu::rpc::ExternalMount;
use crate::error::{Annotate, Context, Result};
use crate::init::criu::ROOT;
use crate::plan::{MountSource, Plan};
use crate::sources::{Source, Sources};
use crate::state::Claim;

const NAME: &str = "criu";

/// A directory in the state directory in which CRIU's mounts are, for CRIU alone. Removed when dropped.
pub(super) struct Place {
    path: PathBuf,
}

impl Place {
    pub(super) fn make(claim: &Claim, root: &Path, id: &str) -> Result<Self> {
        mkdirat(claim.dir(), NAME, Mode::from_raw_mode(0o700)).call("mkdirat")?;
        // CRIU compares it with mount tables, which have no symbolic links in them.
        let path = root.canonicalize().call("realpath")?.join(id).join(NAME);
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the root file system is going to be.
    pub(super) fn root(&self) -> PathBuf {
        self.path.join(ROOT)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(errno) = rmdir(&self.path) {
            tracing::warn!("{} is left behind: {errno}", self.path.display());
        }
    }
}

/// What takes the places of the host's mounts, by paths: CRIU wants to see the mounts that these are parts of, whose peers the
/// container's are to be. That they still led to what was opened is looked at in the end.
pub(super) fn mounts(plan: &Plan, sources: &Sources) -> Result<Vec<ExternalMount>> {
    let mut mounts = Vec::new();
    for (mount, source) in plan.mounts.iter().zip(&sources.mounts) {
        let path = match (&mount.source, source) {
            (MountSource::Bind { path, .. }, Some(Source::Tree(_))) => path,
            (MountSource::HostCgroups, _) => &plan.cgroup.root,
            _ => continue,
        };
        let path = path.canonicalize().call("realpath").field_with(|| format!("{}.source", mount.field))?;
        mounts.push(external_mount(&mount.target, &path)?);
    }
    // Where they could not be made they are the host's, and the null device is what masked files are hidden behind.
    for device in plan.devices.iter().flat_map(|devices| &devices.nodes) {
        mounts.push(external_mount(&device.path, &device.path)?);
    }
    let null = Path::new("/dev/null");
    if plan.devices.is_none() && !plan.masked_paths.is_empty() {
        mounts.push(external_mount(null, null)?);
    }
    Ok(mounts)
}
