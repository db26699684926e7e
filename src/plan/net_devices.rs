//! `linux.netDevices`: network devices of the host that the container gets.

use oci_spec::runtime::Spec;

use super::namespaces::{Kind, Namespaces};
use crate::error::{Error, Result};
use crate::host::Host;

/// A network device that moves into the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetDevice {
    /// Its name on the host.
    pub host: String,
    /// Its name in the container; `%d` in it stands for a number that the kernel chooses.
    pub name: String,
    /// Its place in the config.
    pub field: String,
}

/// In the order of their names on the host, since an object has none.
pub(super) fn plan(spec: &Spec, namespaces: &Namespaces, host: &Host) -> Result<Vec<NetDevice>> {
    let asked = spec.linux().as_ref().and_then(|linux| linux.net_devices().as_ref()).filter(|asked| !asked.is_empty());
    let Some(asked) = asked else { return Ok(Vec::new()) };
    let whole = |text: &str| Err(Error::new(text).field("linux.netDevices"));
    if !namespaces.has(Kind::Network) {
        return whole("needs a network namespace in linux.namespaces: the devices are the host's otherwise");
    }
    if host.is_rootless() {
        return whole("needs root: an unprivileged user may not move devices of the host");
    }
    let mut devices: Vec<NetDevice> = Vec::with_capacity(asked.len());
    for (host, device) in asked {
        let name = device.name().as_deref().filter(|name| !name.is_empty()).unwrap_or(host);
        let field = format!("linux.netDevices.{host}");
        check_name(host, false).map_err(|error| error.field(&field))?;
        check_name(name, true).map_err(|error| error.field(format!("{field}.name")))?;
        devices.push(NetDevice { host: host.clone(), name: name.to_owned(), field });
    }
    devices.sort_by(|a, b| a.host.cmp(&b.host));
    for (i, device) in devices.iter().enumerate() {
        let is_same = |other: &&NetDevice| other.name == device.name && !device.name.contains("%d");
        if let Some(other) = devices[..i].iter().find(is_same) {
            let text = format!("{:?} is the name of {} already", device.name, other.field);
            return Err(Error::new(text).field(format!("{}.name", device.field)));
        }
    }
    Ok(devices)
}

/// What the kernel takes as a name, `dev_valid_name` in `net/core/dev.c`.
fn check_name(name: &str, may_be_template: bool) -> Result<()> {
    let refuse = |text: &str| Err(Error::new(format!("{name:?} is no name of a network device: {text}")));
    if name.is_empty() || name.len() > 15 {
        return refuse("those have 1 to 15 bytes");
    }
    if name == "." || name == ".." || name.contains(['/', ':', '\0']) || name.contains(char::is_whitespace) {
        return refuse("no white space, slash or colon, nor . and ..");
    }
    let template = name.matches('%').count();
    if template > 0 && !(may_be_template && template == 1 && name.contains("%d")) {
        return refuse("a % may only be that of one %d in the name inside the container");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn decide(devices: &Value, namespaces: &Value) -> Result<Vec<NetDevice>> {
        let linux = json!({"namespaces": namespaces, "netDevices": devices});
        let spec = serde_json::from_value(json!({"ociVersion": "1.3.0", "linux": linux})).unwrap();
        let namespaces = Namespaces::new(&spec);
        plan(&spec, &namespaces, &Host::with_cgroups("/sys/fs/cgroup", "/x"))
    }

    fn refusal(devices: &Value) -> String {
        decide(devices, &json!([{"type": "mount"}, {"type": "network"}])).unwrap_err().to_string()
    }

    #[test]
    fn a_name_inside_is_the_hosts_unless_it_is_given() {
        let devices = json!({"eth1": {"name": "lan0"}, "eth0": {}, "eth2": {"name": "net%d"}, "eth3": {"name": ""}});
        let planned = decide(&devices, &json!([{"type": "mount"}, {"type": "network"}])).unwrap();
        let names: Vec<_> = planned.iter().map(|device| (device.host.as_str(), device.name.as_str())).collect();
        assert_eq!(names, [("eth0", "eth0"), ("eth1", "lan0"), ("eth2", "net%d"), ("eth3", "eth3")]);
        assert_eq!(planned[1].field, "linux.netDevices.eth1");
    }

    #[test]
    fn without_a_network_of_its_own_nothing_can_move() {
        let error = decide(&json!({"eth0": {}}), &json!([{"type": "mount"}])).unwrap_err().to_string();
        assert!(error.starts_with("linux.netDevices: needs a network namespace"), "{error}");
        let joined = json!([{"type": "mount"}, {"type": "network", "path": "/run/netns/x"}]);
        assert_eq!(decide(&json!({"eth0": {}}), &joined).unwrap().len(), 1);
    }

    #[test]
    fn names_that_the_kernel_has_not() {
        for name in ["", "sixteen-bytes-xx", ".", "..", "a/b", "a:b", "a b", "a\tb", "eth%d", "%"] {
            let error = refusal(&json!({name: {}}));
            assert!(error.starts_with(&format!("linux.netDevices.{name}: ")), "{error}");
        }
        for name in ["a/b", "a%s", "%d%d", "x%"] {
            let error = refusal(&json!({"eth0": {"name": name}}));
            assert!(error.starts_with("linux.netDevices.eth0.name: "), "{error}");
        }
    }

    #[test]
    fn two_cannot_have_one_name() {
        let error = refusal(&json!({"eth0": {"name": "lan"}, "lan": {}}));
        assert!(
            error.starts_with("linux.netDevices.lan.name: \"lan\" is the name of linux.netDevices.eth0"),
            "{error}"
        );
    }
}
