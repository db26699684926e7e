//! Fields that are not honoured yet. A field that would be ignored in silence is refused by name instead.

use oci_spec::runtime::{Linux, LinuxResources, Process, Spec};

use crate::error::{Error, Result};

pub(super) fn refuse(spec: &Spec) -> Result<()> {
    if let Some(process) = spec.process() {
        refuse_process(process)?;
    }
    if let Some(linux) = spec.linux() {
        first(&linux_fields(linux))?;
        if let Some(resources) = linux.resources() {
            first(&resource_fields(resources))?;
        }
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

/// An empty object (`"blockIO": {}`, as Docker sends) asks for nothing.
fn asks<T: Default + PartialEq>(part: Option<&T>) -> bool {
    part.is_some_and(|part| *part != T::default())
}

fn resource_fields(resources: &LinuxResources) -> [(&'static str, bool); 8] {
    [
        ("linux.resources.memory", asks(resources.memory().as_ref())),
        ("linux.resources.cpu", asks(resources.cpu().as_ref())),
        ("linux.resources.pids", resources.pids().is_some()),
        ("linux.resources.blockIO", asks(resources.block_io().as_ref())),
        ("linux.resources.hugepageLimits", resources.hugepage_limits().as_ref().is_some_and(|all| !all.is_empty())),
        ("linux.resources.network", asks(resources.network().as_ref())),
        ("linux.resources.rdma", resources.rdma().as_ref().is_some_and(|all| !all.is_empty())),
        ("linux.resources.unified", resources.unified().as_ref().is_some_and(|all| !all.is_empty())),
    ]
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
    fn a_limit_is_refused_and_an_empty_object_is_not() {
        let process = json!({"cwd": "/", "user": {"uid": 0, "gid": 0}});
        for (resource, value) in [
            ("memory", json!({"limit": 1})),
            ("cpu", json!({"shares": 2})),
            ("pids", json!({"limit": 5})),
            ("unified", json!({"memory.high": "1"})),
            ("rdma", json!({"mlx": {"hcaHandles": 1}})),
        ] {
            let refused = refusal(&json!({"resources": {resource: value}}), &process);
            assert_eq!(refused, Some(format!("linux.resources.{resource}")));
        }
        let empty = json!({"resources": {"blockIO": {}, "memory": {}, "cpu": {}, "unified": {}, "hugepageLimits": []}});
        assert_eq!(refusal(&empty, &process), None);
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
