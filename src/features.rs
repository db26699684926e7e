//! `orlop features`: what this build can do, in the form of the runtime specification's features.md.
//!
//! Engines decide by it what to ask for, so it names nothing that does not work yet.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

use crate::error::{Error, Result};
use crate::plan::checkpoint::CRIU_CONFIG;
use crate::plan::systemd::ANNOTATION;
use crate::plan::{ANNOTATIONS, mount_options};
use crate::seccomp::{self, Abi};
use crate::state::OCI_VERSION;
use crate::sys::knows_seccomp_flag;

/// Orlop's own version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit that this build was made from, when the build was told.
pub const COMMIT: &str = match option_env!("ORLOP_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Features {
    oci_version_min: &'static str,
    oci_version_max: &'static str,
    hooks: [&'static str; 6],
    mount_options: Vec<&'static str>,
    linux: Linux,
    annotations: BTreeMap<&'static str, &'static str>,
    potentially_unsafe_config_annotations: Vec<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Linux {
    namespaces: [&'static str; 8],
    capabilities: Vec<String>,
    cgroup: Cgroup,
    seccomp: Seccomp,
    apparmor: Switch,
    selinux: Switch,
    intel_rdt: IntelRdt,
    mount_extensions: MountExtensions,
    net_devices: Switch,
    memory_policy: MemoryPolicy,
}

#[derive(Serialize)]
struct IntelRdt {
    enabled: bool,
    schemata: bool,
    monitoring: bool,
}

#[derive(Serialize)]
struct MemoryPolicy {
    modes: [&'static str; 7],
    flags: [&'static str; 3],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cgroup {
    v1: bool,
    v2: bool,
    systemd: bool,
    systemd_user: bool,
    rdma: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Seccomp {
    enabled: bool,
    actions: Vec<String>,
    operators: Vec<String>,
    archs: [&'static str; Abi::ALL.len()],
    known_flags: Vec<String>,
    supported_flags: Vec<String>,
}

#[derive(Serialize)]
struct MountExtensions {
    idmap: Switch,
}

#[derive(Serialize)]
struct Switch {
    enabled: bool,
}

const ON: Switch = Switch { enabled: true };

/// The document that `features` prints.
pub fn features() -> Result<String> {
    let mut text = Vec::new();
    let mut writer = Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b"    "));
    let written = this_build().serialize(&mut writer).map_err(|error| error.to_string());
    written
        .and_then(|()| String::from_utf8(text).map_err(|error| error.to_string()))
        .map(|text| text + "\n")
        .map_err(Error::new)
}

fn this_build() -> Features {
    Features {
        oci_version_min: "1.0.0",
        oci_version_max: OCI_VERSION,
        hooks: ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        mount_options: mount_options::names().collect(),
        linux: Linux {
            namespaces: ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
            capabilities: capabilities(),
            cgroup: Cgroup { v1: false, v2: true, systemd: true, systemd_user: true, rdma: true },
            seccomp: Seccomp {
                enabled: true,
                actions: seccomp::actions(),
                operators: seccomp::operators(),
                archs: seccomp::architectures(),
                known_flags: seccomp::known_flags(),
                supported_flags: seccomp::supported_flags(knows_seccomp_flag),
            },
            apparmor: ON,
            selinux: ON,
            intel_rdt: IntelRdt { enabled: true, schemata: true, monitoring: true },
            mount_extensions: MountExtensions { idmap: ON },
            net_devices: ON,
            memory_policy: MemoryPolicy {
                modes: [
                    "MPOL_DEFAULT",
                    "MPOL_PREFERRED",
                    "MPOL_BIND",
                    "MPOL_INTERLEAVE",
                    "MPOL_LOCAL",
                    "MPOL_PREFERRED_MANY",
                    "MPOL_WEIGHTED_INTERLEAVE",
                ],
                flags: ["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"],
            },
        },
        annotations: BTreeMap::from([
            // The name by which engines ask any runtime for it.
            ("org.opencontainers.runc.checkpoint.enabled", "true"),
            ("org.orlop.commit", COMMIT),
            ("org.orlop.version", VERSION),
        ]),
        // What ends with a dot stands for all that begin so.
        potentially_unsafe_config_annotations: [CRIU_CONFIG, ANNOTATION].into_iter().chain(ANNOTATIONS).collect(),
    }
}

/// Every capability that a config may name, in the kernel's order.
fn capabilities() -> Vec<String> {
    let mut all = Vec::from_iter(caps::all());
    all.sort_by_key(caps::Capability::index);
    all.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn document() -> Value {
        serde_json::from_str(&features().unwrap()).unwrap()
    }

    #[test]
    fn names_the_versions_that_engines_look_for() {
        let features = document();
        assert_eq!(features["ociVersionMin"], "1.0.0");
        assert_eq!(features["ociVersionMax"], "1.3.0");
        assert_eq!(features["annotations"]["org.orlop.version"], VERSION);
    }

    #[test]
    fn capabilities_are_all_of_them_in_the_kernels_order() {
        let features = document();
        let names = features["linux"]["capabilities"].as_array().unwrap();
        assert_eq!(names.len(), 41);
        assert_eq!(names[0], "CAP_CHOWN");
        assert_eq!(names[21], "CAP_SYS_ADMIN");
        assert_eq!(names[40], "CAP_CHECKPOINT_RESTORE");
    }

    #[test]
    fn claims_only_what_works() {
        let features = document();
        let linux = &features["linux"];
        for present in ["v2", "systemd", "systemdUser", "rdma"] {
            assert_eq!(linux["cgroup"][present], true, "{present}");
        }
        assert_eq!(linux["cgroup"]["v1"], false);
        for present in ["apparmor", "selinux", "netDevices", "intelRdt"] {
            assert_eq!(linux[present]["enabled"], true, "{present}");
        }
        assert_eq!(linux["intelRdt"], serde_json::json!({"enabled": true, "schemata": true, "monitoring": true}));
        assert_eq!(linux["mountExtensions"]["idmap"]["enabled"], true);
        assert_eq!(linux["memoryPolicy"]["modes"].as_array().unwrap().len(), 7);
        let honoured = [
            "org.criu.config",
            "org.systemd.property.",
            "run.oci.delegate-cgroup",
            "run.oci.hooks.stderr",
            "run.oci.hooks.stdout",
            "run.oci.keep_original_groups",
            "run.oci.mount_context_type",
            "run.oci.pidfd_receiver",
            "run.oci.systemd.subgroup",
        ];
        assert_eq!(features["potentiallyUnsafeConfigAnnotations"], serde_json::json!(honoured));
    }

    #[test]
    fn has_the_form_that_the_specification_gives_it() {
        let read: oci_spec::runtime::Features = serde_json::from_str(&features().unwrap()).unwrap();
        let linux = read.linux().as_ref().unwrap();
        assert!(linux.apparmor().is_some() && linux.selinux().is_some() && linux.intel_rdt().is_some());
    }

    #[test]
    fn is_laid_out_as_runc_does() {
        let text = features().unwrap();
        assert!(text.starts_with("{\n    \"ociVersionMin\": \"1.0.0\",\n    \"ociVersionMax\""));
        assert!(text.ends_with("\n}\n"));
    }
}
