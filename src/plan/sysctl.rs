//! `linux.sysctl`: kernel parameters, of the container's own namespaces only.

use oci_spec::runtime::Spec;

use super::namespaces::{Kind, Namespaces};
use crate::error::{Error, Result};

/// One kernel parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sysctl {
    /// Its place in the config.
    pub field: String,
    /// Below `/proc/sys`, with slashes; every component a plain name.
    pub path: String,
    /// What is written.
    pub value: String,
}

pub(super) fn plan(spec: &Spec, namespaces: &Namespaces) -> Result<Vec<Sysctl>> {
    let listed = spec.linux().as_ref().and_then(|linux| linux.sysctl().as_ref());
    let mut all: Vec<_> = listed.into_iter().flatten().collect();
    all.sort();
    all.into_iter().map(|(key, value)| plan_one(key, value, namespaces)).collect()
}

fn plan_one(key: &str, value: &str, namespaces: &Namespaces) -> Result<Sysctl> {
    let field = format!("linux.sysctl[{key:?}]");
    let path = path(key).ok_or_else(|| Error::new("is not a plain name of a kernel parameter").field(&field))?;
    if value.contains(['\n', '\0']) {
        return Err(Error::new("the value has a line break or a NUL byte in it").field(&field));
    }
    let kind = owner(&path).ok_or_else(|| {
        Error::new("belongs to no namespace, and would change the host")
            .field(&field)
            .hint("kernel.{msg*,shm*,sem,domainname}, fs.mqueue.*, net.* and user.* can be set")
    })?;
    // Of a joined namespace the container is not the owner, but runc and the engines set net.* there as well.
    if !namespaces.has(kind) {
        let text = format!("needs a {} namespace in linux.namespaces, or it would change the host", kind.name());
        return Err(Error::new(text).field(&field));
    }
    Ok(Sysctl { field, path, value: value.into() })
}

/// The path below `/proc/sys`. As sysctl(8): the first separator that occurs decides which of `.` and `/` separates; the
/// other one stands for itself then (`net.ipv4.conf.eth0/1.rp_filter`).
fn path(key: &str) -> Option<String> {
    let path: String = match key.find(['.', '/']).map(|i| key.as_bytes()[i]) {
        Some(b'/') => key.into(),
        _ => key
            .chars()
            .map(|c| {
                if c == '.' {
                    '/'
                } else if c == '/' {
                    '.'
                } else {
                    c
                }
            })
            .collect(),
    };
    let plain = |name: &str| {
        !name.is_empty()
            && name != "."
            && name != ".."
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:@".contains(&b))
    };
    path.split('/').all(plain).then_some(path)
}

/// The namespace that a parameter belongs to.
fn owner(path: &str) -> Option<Kind> {
    const IPC: [&str; 8] = ["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"];
    match path.split_once('/')? {
        ("kernel", "domainname") => Some(Kind::Uts),
        ("kernel", name) if IPC.contains(&name) => Some(Kind::Ipc),
        ("fs", name) if name.starts_with("mqueue/") => Some(Kind::Ipc),
        ("net", _) => Some(Kind::Network),
        ("user", _) => Some(Kind::User),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plan_key(key: &str, namespaces: &[&str]) -> Result<Sysctl> {
        let list: Vec<_> = namespaces.iter().chain(&["mount"]).map(|kind| json!({"type": kind})).collect();
        let config = json!({"ociVersion": "1.3.0", "linux": {"namespaces": list, "sysctl": {key: "1"}}});
        let spec: Spec = serde_json::from_value(config).unwrap();
        plan(&spec, &Namespaces::new(&spec)).map(|mut all| all.remove(0))
    }

    #[test]
    fn each_belongs_to_its_namespace() {
        let cases = [
            ("net.ipv4.ip_forward", "network", "net/ipv4/ip_forward"),
            ("net/ipv4/ping_group_range", "network", "net/ipv4/ping_group_range"),
            ("net.ipv4.conf.eth0/1.rp_filter", "network", "net/ipv4/conf/eth0.1/rp_filter"),
            ("kernel.shmmax", "ipc", "kernel/shmmax"),
            ("fs.mqueue.msg_max", "ipc", "fs/mqueue/msg_max"),
            ("kernel.domainname", "uts", "kernel/domainname"),
            ("user.max_user_namespaces", "user", "user/max_user_namespaces"),
        ];
        for (key, kind, path) in cases {
            assert_eq!(plan_key(key, &[kind]).unwrap().path, path);
            let error = plan_key(key, &[]).unwrap_err().to_string();
            assert!(error.contains(&format!("needs a {kind} namespace")), "{error}");
        }
    }

    #[test]
    fn nothing_else_of_the_kernel_can_be_set() {
        let all = ["network", "ipc", "uts"];
        for key in ["kernel.core_pattern", "kernel.hostname", "vm.swappiness", "net", "kernel.shmmax.x", "fs.file-max"]
        {
            assert!(plan_key(key, &all).is_err(), "{key}");
        }
    }

    #[test]
    fn tricks_in_the_name_are_refused() {
        for key in ["net/../kernel/core_pattern", "net..x", "net.a b", "net.a\n", "/net/x", "net.", "net.a+b", ""] {
            let error = plan_key(key, &["network"]).unwrap_err().to_string();
            assert!(error.contains("plain name"), "{key:?}: {error}");
        }
    }
}
