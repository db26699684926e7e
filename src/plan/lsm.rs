//! Labels of the Linux security modules: what the container's program runs under, and what its file systems carry.
//!
//! Sources: config.md (apparmorProfile, selinuxLabel), config-linux.md (Mount Label), mount(8) for the kinds of contexts.

use oci_spec::runtime::{Process as Oci, Spec};
use serde::{Deserialize, Serialize};

use super::annotations::MountContext;
use crate::error::{Error, Result};
use crate::host::Host;

/// The kernel takes no more than a page from a write to a file of `/proc/PID/attr`, and cuts off the rest: `proc_pid_attr(5)`.
const LONGEST: usize = 4000;

/// fsconfig(2) takes values of up to 255 bytes.
const LONGEST_OPTION: usize = 255;

/// What a program runs under from its execve(2) on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// The AppArmor profile, `unconfined` too.
    pub apparmor: Option<String>,
    /// The SELinux context.
    pub selinux: Option<String>,
}

impl Labels {
    /// # Errors
    /// Names the field whose security module this machine doesn't have: without it the program would run unconfined.
    pub(super) fn decide(process: &Oci, host: &Host) -> Result<Self> {
        let labels = Self {
            apparmor: given(process.apparmor_profile().as_ref()),
            selinux: given(process.selinux_label().as_ref()),
        };
        if let Some(profile) = &labels.apparmor {
            check(profile).and_then(|()| apparmor_is_there(host)).map_err(|e| e.field("process.apparmorProfile"))?;
        }
        if let Some(label) = &labels.selinux {
            check(label).and_then(|()| selinux_is_there(host)).map_err(|e| e.field("process.selinuxLabel"))?;
        }
        Ok(labels)
    }
}

/// The SELinux context of the file systems that are made for the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountLabel {
    /// The context.
    pub context: String,
    /// Of what it is the context.
    pub of: MountContext,
}

impl MountLabel {
    pub(super) fn decide(spec: &Spec, of: MountContext, host: &Host) -> Result<Option<Self>> {
        let Some(context) = spec.linux().as_ref().and_then(|linux| given(linux.mount_label().as_ref())) else {
            return Ok(None);
        };
        let checked = check(&context).and_then(|()| selinux_is_there(host)).and_then(|()| match context.len() {
            ..=LONGEST_OPTION => Ok(()),
            length => Err(Error::new(format!("has {length} bytes, and the kernel takes {LONGEST_OPTION}"))),
        });
        checked.map_err(|error| error.field("linux.mountLabel"))?;
        Ok(Some(Self { context, of }))
    }
}

fn given(text: Option<&String>) -> Option<String> {
    text.cloned().filter(|text| !text.is_empty())
}

/// A label is one line of text, which the kernel gets whole.
fn check(label: &str) -> Result<()> {
    if label.chars().any(char::is_control) {
        return Err(Error::new("contains a control character"));
    }
    match label.len() {
        ..=LONGEST => Ok(()),
        length => Err(Error::new(format!("has {length} bytes, and {LONGEST} is the limit"))),
    }
}

fn apparmor_is_there(host: &Host) -> Result<()> {
    if host.has_apparmor() {
        return Ok(());
    }
    Err(Error::new("an AppArmor profile is specified in config, but AppArmor is disabled or not supported")
        .hint("/sys/module/apparmor/parameters/enabled says so; an engine leaves the field empty then"))
}

fn selinux_is_there(host: &Host) -> Result<()> {
    if host.has_selinux() {
        return Ok(());
    }
    // runc's sentence.
    Err(Error::new("selinux label is specified in config, but selinux is disabled or not supported")
        .hint("it is there when selinuxfs is mounted at /sys/fs/selinux and a policy is loaded"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn labels(change: &Value, host: &Host) -> Result<Labels> {
        let mut process = json!({"cwd": "/", "args": ["x"], "user": {"uid": 0, "gid": 0}});
        process.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        Labels::decide(&serde_json::from_value(process).unwrap(), host)
    }

    fn mount_label(label: &str, host: &Host) -> Result<Option<MountLabel>> {
        let config = json!({"ociVersion": "1.3.0", "linux": {"mountLabel": label}});
        MountLabel::decide(&serde_json::from_value(config).unwrap(), MountContext::Whole, host)
    }

    fn with(apparmor: bool, selinux: bool) -> Host {
        Host::with_security_modules(apparmor, selinux)
    }

    #[test]
    fn labels_are_the_configs() {
        let all = json!({"apparmorProfile": "docker-default", "selinuxLabel": "u:r:t:s0:c1,c2"});
        let decided = labels(&all, &with(true, true)).unwrap();
        assert_eq!(
            (decided.apparmor.as_deref(), decided.selinux.as_deref()),
            (Some("docker-default"), Some("u:r:t:s0:c1,c2"))
        );
        let label = mount_label("u:r:t:s0", &with(false, true)).unwrap().unwrap();
        assert_eq!((label.context.as_str(), label.of), ("u:r:t:s0", MountContext::Whole));
    }

    #[test]
    fn none_asks_nothing_of_the_machine() {
        let empty = json!({"apparmorProfile": "", "selinuxLabel": ""});
        assert_eq!(labels(&empty, &with(false, false)).unwrap(), Labels::default());
        assert_eq!(labels(&json!({}), &with(false, false)).unwrap(), Labels::default());
        assert_eq!(mount_label("", &with(false, false)).unwrap(), None);
    }

    #[test]
    fn a_module_that_is_not_there_is_an_error_and_never_a_program_without_its_label() {
        let apparmor = labels(&json!({"apparmorProfile": "unconfined"}), &with(false, true)).unwrap_err().to_string();
        assert!(apparmor.starts_with("process.apparmorProfile: an AppArmor profile is specified"), "{apparmor}");
        let selinux = labels(&json!({"selinuxLabel": "x"}), &with(true, false)).unwrap_err().to_string();
        assert!(
            selinux.starts_with("process.selinuxLabel: selinux label is specified in config, but selinux is disabled"),
            "{selinux}"
        );
        let mounts = mount_label("x", &with(true, false)).unwrap_err().to_string();
        assert!(
            mounts.starts_with("linux.mountLabel: selinux label is specified in config, but selinux is"),
            "{mounts}"
        );
    }

    #[test]
    fn what_the_kernel_would_cut_or_misread_is_refused() {
        let host = with(true, true);
        for bad in ["a\0b", "a\nb", &"x".repeat(4001)] {
            assert!(labels(&json!({"apparmorProfile": bad}), &host).is_err(), "{bad:?}");
            assert!(labels(&json!({"selinuxLabel": bad}), &host).is_err(), "{bad:?}");
        }
        assert!(labels(&json!({"apparmorProfile": "x".repeat(4000)}), &host).is_ok());
        assert_eq!(
            mount_label(&"x".repeat(256), &host).unwrap_err().to_string(),
            "linux.mountLabel: has 256 bytes, and the kernel takes 255"
        );
    }
}
