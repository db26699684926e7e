//! The config that bundles start from: what `runc spec` writes, without a terminal and with the probe as the program.

use serde_json::{Value, json};

const CAPABILITIES: [&str; 3] = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

/// `1.0.2`, because older releases of other runtimes refuse newer ones.
pub(crate) fn default_config(cgroup: &str) -> Value {
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": ["/probe", "report"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {"bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "orlop-test",
        "mounts": mounts(),
        "linux": {
            "cgroupsPath": cgroup,
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "cgroup"},
            ],
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

fn mounts() -> Value {
    json!([
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
         "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
         "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]},
    ])
}

/// The namespaces of a config without those of the kinds named.
pub(crate) fn drop_namespaces(config: &mut Value, kinds: &[&str]) {
    let list = config["linux"]["namespaces"].as_array_mut().expect("a config has namespaces");
    list.retain(|namespace| !kinds.iter().any(|kind| namespace["type"] == *kind));
}

/// Joins the namespace at `path` in place of a new one of that kind.
pub(crate) fn join_namespace(config: &mut Value, kind: &str, path: &str) {
    drop_namespaces(config, &[kind]);
    config["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({"type": kind, "path": path}));
}

/// A new user namespace in which the container's ids start at `host` outside.
pub(crate) fn add_user_namespace(config: &mut Value, host: u32, size: u32) {
    config["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({"type": "user"}));
    let map = json!([{"containerID": 0, "hostID": host, "size": size}]);
    config["linux"]["uidMappings"] = map.clone();
    config["linux"]["gidMappings"] = map;
}

/// Removes the mount at a destination.
pub(crate) fn drop_mount(config: &mut Value, destination: &str) {
    let list = config["mounts"].as_array_mut().expect("a config has mounts");
    list.retain(|mount| mount["destination"] != destination);
}
