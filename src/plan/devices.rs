//! What the container finds in its `/dev`.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, Spec};

use super::mounts::{Mount, MountSource};
use crate::error::{Error, Result};

/// Device nodes and links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Devices {
    /// The nodes: the six that every container has, then those of the config.
    pub nodes: Vec<Device>,
    /// Whether the config mounts a devpts at `/dev/pts`, so that `/dev/ptmx` leads there.
    pub has_pts: bool,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// A character device.
    Char,
    /// A block device.
    Block,
    /// A named pipe.
    Fifo,
}

/// A device node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its place in the config; the list itself for one of the six.
    pub field: String,
    /// Absolute inside the container.
    pub path: PathBuf,
    /// What it is.
    pub kind: DeviceKind,
    /// The driver.
    pub major: u32,
    /// The driver's device.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner inside the container, where the config says.
    pub owner: Option<(u32, u32)>,
}

impl Device {
    fn standard(name: &str, major: u32, minor: u32) -> Self {
        let path = Path::new("/dev").join(name);
        Self { field: "linux.devices".into(), path, kind: DeviceKind::Char, major, minor, mode: 0o666, owner: None }
    }
}

/// config-linux.md, Default Devices; `/dev/console` and `/dev/ptmx` are made from the pseudo terminal's side.
fn standard() -> [Device; 6] {
    [
        Device::standard("null", 1, 3),
        Device::standard("zero", 1, 5),
        Device::standard("full", 1, 7),
        Device::standard("random", 1, 8),
        Device::standard("urandom", 1, 9),
        Device::standard("tty", 5, 0),
    ]
}

pub(super) fn plan(spec: &Spec, mounts: &[Mount]) -> Result<Option<Devices>> {
    let on = |target: &str| mounts.iter().rev().find(|mount| mount.target.as_os_str() == target);
    if on("/dev").is_some_and(|mount| matches!(mount.source, MountSource::Bind { .. })) {
        return Ok(None);
    }
    let listed = spec.linux().as_ref().and_then(|linux| linux.devices().as_deref()).unwrap_or_default();
    let listed = listed.iter().enumerate().map(|(i, device)| plan_one(device, &format!("linux.devices[{i}]")));
    let listed: Vec<Device> = listed.collect::<Result<_>>()?;
    // A device that the config lists is made as the config says, also where it is one of the six.
    let mut nodes: Vec<_> = standard().into_iter().filter(|d| listed.iter().all(|l| l.path != d.path)).collect();
    nodes.extend(listed.into_iter().filter(|device| device.path != Path::new("/dev/ptmx")));
    Ok(Some(Devices { nodes, has_pts: on("/dev/pts").is_some() }))
}

fn plan_one(device: &LinuxDevice, field: &str) -> Result<Device> {
    if !device.path().is_absolute() || device.path().file_name().is_none() {
        let text = format!("{:?} is not the absolute path of a file", device.path().display().to_string());
        return Err(Error::new(text).field(format!("{field}.path")));
    }
    let kind = match device.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => DeviceKind::Char,
        LinuxDeviceType::B => DeviceKind::Block,
        LinuxDeviceType::P => DeviceKind::Fifo,
        LinuxDeviceType::A => {
            return Err(Error::new("a is not a type of device that can be made; c, b, u and p are")
                .field(format!("{field}.type")));
        }
    };
    let number = |n: i64, name: &str| {
        u32::try_from(n).map_err(|_| Error::new(format!("{n} is not a device number")).field(format!("{field}.{name}")))
    };
    let owner = (device.uid().is_some() || device.gid().is_some())
        .then(|| (device.uid().unwrap_or_default(), device.gid().unwrap_or_default()));
    Ok(Device {
        field: field.into(),
        path: device.path().clone(),
        kind,
        major: number(device.major(), "major")?,
        minor: number(device.minor(), "minor")?,
        // Some callers send the file type along with the permissions.
        mode: device.file_mode().unwrap_or(0o666) & 0o7777,
        owner,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn plan_with(devices: &Value, mounts: &Value) -> Result<Option<Devices>> {
        let linux = json!({"namespaces": [{"type": "mount"}], "devices": devices});
        let spec: Spec =
            serde_json::from_value(json!({"ociVersion": "1.3.0", "mounts": mounts, "linux": linux})).unwrap();
        let namespaces = super::super::Namespaces::new(&spec);
        let bundle = Path::new("/b");
        let around = super::super::mounts::Surroundings { bundle, namespaces: &namespaces, ids: None, label: None };
        plan(&spec, &super::super::mounts::plan(&spec, &around)?)
    }

    #[test]
    fn every_container_has_the_six() {
        let devices = plan_with(&json!([]), &json!([])).unwrap().unwrap();
        let names: Vec<_> = devices.nodes.iter().map(|d| d.path.to_str().unwrap()).collect();
        assert_eq!(names, ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"]);
        assert!(!devices.has_pts);
    }

    #[test]
    fn a_bound_dev_is_left_alone() {
        let bound = json!([{"destination": "/dev", "source": "/dev", "options": ["rbind"]}]);
        assert_eq!(plan_with(&json!([]), &bound).unwrap(), None);
    }

    #[test]
    fn a_listed_device_replaces_the_standard_one() {
        let null = json!([{"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o20_600, "uid": 5}]);
        let devices = plan_with(&null, &json!([])).unwrap().unwrap();
        let null: Vec<_> = devices.nodes.iter().filter(|d| d.path == Path::new("/dev/null")).collect();
        assert_eq!(null.len(), 1);
        assert_eq!((null[0].mode, null[0].owner), (0o600, Some((5, 0))));
    }

    #[test]
    fn bad_devices_name_their_field() {
        let error = |device: Value| plan_with(&json!([device]), &json!([])).unwrap_err().to_string();
        assert!(error(json!({"path": "x", "type": "c"})).starts_with("linux.devices[0].path: "));
        assert!(error(json!({"path": "/x", "type": "a"})).starts_with("linux.devices[0].type: "));
        assert!(error(json!({"path": "/x", "type": "b", "major": -1})).starts_with("linux.devices[0].major: "));
    }
}
