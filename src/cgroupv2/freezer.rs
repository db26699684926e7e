//! Stopping everything in a cgroup where it stands, and letting it go on.

use super::Cgroup;
use crate::error::{Annotate, Context, Error, Result};

impl Cgroup {
    /// Stops every process in it and in the cgroups below it, and returns when they stand.
    ///
    /// # Errors
    /// When one of them doesn't within ten seconds; then all go on.
    pub fn freeze(&self) -> Result<()> {
        self.set_frozen(true)?;
        if self.wait_for_event("frozen 1")? {
            return Ok(());
        }
        self.set_frozen(false)?;
        Err(Error::new("its processes don't stand still ten seconds after they were told to").doing(self.described()))
    }

    /// Lets them go on, and returns when they do.
    pub fn thaw(&self) -> Result<()> {
        self.set_frozen(false)?;
        if self.wait_for_event("frozen 0")? {
            return Ok(());
        }
        Err(Error::new("its processes still stand ten seconds after they were let go").doing(self.described()))
    }

    pub(super) fn set_frozen(&self, frozen: bool) -> Result<()> {
        self.write("cgroup.freeze", if frozen { "1" } else { "0" })
            .call("write")
            .doing(|| format!("{}/cgroup.freeze", self.path.display()))
    }

    fn described(&self) -> String {
        format!("cgroup {}", self.path.display())
    }
}
