//! The config that bundles start from, and changes of it.

use serde_json::{Value, json};

const CAPABILITIES: [&str; 3] = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

/// Everything usual; the program is `probe report`.
pub(crate) fn usual(cgroup: &str) -> Value {
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/probe", "report"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
            "capabilities": {"bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES},
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs"},
        "hostname": "conformance",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
             "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "cgroup"},
            ],
        },
    })
}

fn list<'a>(config: &'a mut Value, pointer: &str) -> &'a mut Vec<Value> {
    config.pointer_mut(pointer).and_then(Value::as_array_mut).expect("the usual config has that list")
}

/// The namespaces without those of the types named.
pub(crate) fn drop_namespaces(config: &mut Value, kinds: &[&str]) {
    list(config, "/linux/namespaces").retain(|namespace| !kinds.iter().any(|kind| namespace["type"] == *kind));
}

/// The namespace at `path` in place of a new one of that type.
pub(crate) fn join_namespace(config: &mut Value, kind: &str, path: &str) {
    drop_namespaces(config, &[kind]);
    list(config, "/linux/namespaces").push(json!({"type": kind, "path": path}));
}

/// A new namespace of that type.
pub(crate) fn add_namespace(config: &mut Value, kind: &str) {
    drop_namespaces(config, &[kind]);
    list(config, "/linux/namespaces").push(json!({"type": kind}));
}

/// A new user namespace in which the container's ids start at `host` outside.
pub(crate) fn add_user_namespace(config: &mut Value, host: u32, size: u32) {
    add_namespace(config, "user");
    let map = json!([{"containerID": 0, "hostID": host, "size": size}]);
    config["linux"]["uidMappings"] = map.clone();
    config["linux"]["gidMappings"] = map;
}

/// Without the mount at a destination.
pub(crate) fn drop_mount(config: &mut Value, destination: &str) {
    list(config, "/mounts").retain(|mount| mount["destination"] != destination);
}
