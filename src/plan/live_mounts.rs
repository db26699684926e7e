//! Mounts for a container that runs already: the same rules as at its creation.

use std::path::Path;

use oci_spec::runtime::Spec;
use serde_json::value::RawValue;

use super::exec::Recorded;
use super::mounts::{self, Mount, MountSource, ProcTarget, Surroundings};
use super::{Kind, Namespaces};
use crate::bundle::MountsFile;
use crate::error::{Error, Result};

/// What is mounted in a container that runs, or taken away from it, decided in full.
#[derive(Debug)]
pub struct LiveMounts {
    /// The container's namespaces, as `CLONE_NEW*` bits.
    pub namespaces: u64,
    /// What, in order.
    pub mounts: Vec<Mount>,
}

impl LiveMounts {
    /// Decides what is mounted in the container of that record, whose bundle's directory is `bundle`.
    ///
    /// # Errors
    /// Names the field of the mount that can't be honoured from outside of the container's pid namespace.
    pub fn to_add(recorded: &RawValue, file: MountsFile, bundle: &Path) -> Result<Self> {
        let plan = Self::plan(recorded, file, bundle)?;
        plan.mounts.iter().try_for_each(refuse_what_shows_the_host)?;
        Ok(plan)
    }

    /// Decides what is taken away. Of each mount only its destination counts.
    pub fn to_remove(recorded: &RawValue, mut file: MountsFile) -> Result<Self> {
        for mount in &mut file.mounts {
            mount.set_typ(Some("tmpfs".into())).set_source(None).set_options(None);
        }
        Self::plan(recorded, file, Path::new("/"))
    }

    fn plan(recorded: &RawValue, file: MountsFile, bundle: &Path) -> Result<Self> {
        let Recorded { namespaces, mount_label: label, .. } = Recorded::read(recorded)?;
        let mut spec = Spec::default();
        spec.set_linux(None).set_mounts(Some(file.mounts));
        let own = Namespaces::of_bits(namespaces);
        if !own.has(Kind::Mount) {
            return Err(Error::new("the container has no mount namespace: its mounts would be the host's"));
        }
        let around = Surroundings { bundle, namespaces: &own, ids: None, label: label.as_ref() };
        Ok(Self { namespaces, mounts: mounts::plan(&spec, &around)? })
    }

    /// Whether the container has a user namespace.
    pub fn in_user_namespace(&self) -> bool {
        self.namespaces & Kind::User.bit() != 0
    }
}

/// The process that mounts is in the container's other namespaces, but in the host's pid namespace, where the container doesn't
/// see it. procfs belongs to the pid namespace of who mounts it.
fn refuse_what_shows_the_host(mount: &Mount) -> Result<()> {
    let text = match &mount.source {
        MountSource::Filesystem { fstype, .. } if fstype == "proc" => {
            "a proc file system would show the host's processes"
        }
        MountSource::HostCgroups => "a container without a cgroup namespace gets its cgroups when it is created",
        _ if mount.proc == ProcTarget::BoundProc => "/proc can be mounted only when the container is created",
        _ => return Ok(()),
    };
    Err(Error::new(text).field(format!("{}.type", mount.field)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn recorded() -> Box<RawValue> {
        let process = json!({"cwd": "/", "user": {"uid": 0, "gid": 0}});
        let bits = Kind::Mount.bit() | Kind::Pid.bit();
        serde_json::value::to_raw_value(&json!({"process": process, "namespaces": bits, "keyring": null})).unwrap()
    }

    fn add(mounts: Value) -> Result<LiveMounts> {
        LiveMounts::to_add(&recorded(), MountsFile { mounts: serde_json::from_value(mounts).unwrap() }, Path::new("/b"))
    }

    #[test]
    fn a_relative_source_is_the_bundles() {
        let plan =
            add(json!([{"destination": "/x", "type": "bind", "source": "data", "options": ["bind", "ro"]}])).unwrap();
        let MountSource::Bind { path, recursive: false, .. } = &plan.mounts[0].source else { panic!("{plan:?}") };
        assert_eq!(path, Path::new("/b/data"));
        assert!(!plan.in_user_namespace());
    }

    #[test]
    fn what_would_show_the_host_is_refused() {
        for (mount, field) in [
            (json!({"destination": "/x", "type": "proc", "source": "proc"}), "mounts[0].type: a proc"),
            (json!({"destination": "/x", "type": "cgroup", "source": "cgroup"}), "mounts[0].type: a container"),
            (
                json!({"destination": "/", "type": "tmpfs", "source": "x"}),
                "mounts[0].destination: a mount on / would hide",
            ),
        ] {
            let error = add(json!([mount])).unwrap_err().to_string();
            assert!(error.starts_with(field), "{error}");
        }
    }

    #[test]
    fn without_a_mount_namespace_nothing_is_mounted() {
        let process = json!({"cwd": "/", "user": {"uid": 0, "gid": 0}});
        let recorded = json!({"process": process, "namespaces": Kind::Pid.bit(), "keyring": null});
        let recorded = serde_json::value::to_raw_value(&recorded).unwrap();
        let file =
            || MountsFile { mounts: serde_json::from_value(json!([{"destination": "/x", "type": "tmpfs"}])).unwrap() };
        for refused in
            [LiveMounts::to_add(&recorded, file(), Path::new("/b")), LiveMounts::to_remove(&recorded, file())]
        {
            assert!(refused.unwrap_err().to_string().starts_with("the container has no mount namespace"));
        }
    }

    #[test]
    fn of_what_is_removed_only_the_destination_counts() {
        let file = MountsFile { mounts: serde_json::from_value(json!([{"destination": "/x/../y"}])).unwrap() };
        let plan = LiveMounts::to_remove(&recorded(), file).unwrap();
        assert_eq!(plan.mounts[0].target, Path::new("/y"));
    }
}
