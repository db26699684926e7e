//! Fields that are not honoured yet. A field that would be ignored in silence is refused by name instead.

use oci_spec::runtime::{Linux, Process, Spec};

use crate::error::{Error, Result};

pub(super) fn refuse(spec: &Spec) -> Result<()> {
    if let Some(process) = spec.process() {
        refuse_process(process)?;
    }
    if let Some(linux) = spec.linux() {
        first(&linux_fields(linux))?;
    }
    Ok(())
}

pub(super) fn refuse_process(process: &Process) -> Result<()> {
    first(&process_fields(process))
}

/// Refuses the first field that is present.
fn first(fields: &[(&str, bool)]) -> Result<()> {
    match fields.iter().find(|(_, present)| *present) {
        Some((field, _)) => Err(Error::new("is not supported yet, and ignoring it would be wrong").field(*field)),
        None => Ok(()),
    }
}

fn set(text: Option<&String>) -> bool {
    text.is_some_and(|text| !text.is_empty())
}

fn process_fields(process: &Process) -> [(&'static str, bool); 2] {
    [
        ("process.apparmorProfile", set(process.apparmor_profile().as_ref())),
        ("process.selinuxLabel", set(process.selinux_label().as_ref())),
    ]
}

fn linux_fields(linux: &Linux) -> [(&'static str, bool); 2] {
    [("linux.mountLabel", set(linux.mount_label().as_ref())), ("linux.intelRdt", linux.intel_rdt().is_some())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn refusal(linux: &Value, process: &Value) -> Option<String> {
        let config = json!({"ociVersion": "1.3.0", "linux": linux, "process": process});
        refuse(&serde_json::from_value(config).unwrap()).err().map(|e| e.field_path().unwrap_or_default().to_owned())
    }

    #[test]
    fn security_settings_are_refused_rather_than_dropped() {
        let process = json!({"cwd": "/", "user": {"uid": 0, "gid": 0}});
        assert_eq!(refusal(&json!({"mountLabel": "x"}), &process).unwrap(), "linux.mountLabel");
        let confined = json!({"cwd": "/", "user": {"uid": 0, "gid": 0}, "apparmorProfile": "docker-default"});
        assert_eq!(refusal(&json!({}), &confined).unwrap(), "process.apparmorProfile");
        let unconfined = json!({"cwd": "/", "user": {"uid": 0, "gid": 0}, "apparmorProfile": ""});
        assert_eq!(refusal(&json!({}), &unconfined), None);
    }
}
