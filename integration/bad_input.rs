//! What must be refused: one clear error that names the field, exit code 1, and nothing left behind.

use crate::support::lane::Kind;
use crate::support::{Case, Container, Lane};

pub(crate) fn cases() -> Vec<Case> {
    [fields::cases(), own_fields::cases()].into_iter().flatten().collect()
}

/// It is neither created nor run; Orlop's message has each part of `words` (`a|b`), the field's path first; nothing is left.
pub(crate) fn refuses(c: &Container, words: &str) {
    let words = if Lane::get().kind() == &Kind::Orlop { words } else { "" };
    c.create().fails(words.split('|'));
    c.nothing_left();
    c.run().fails(words.split('|'));
    c.nothing_left();
}

/// Cases that are one change of the default config and the field that the error must name.
macro_rules! refused {
    ($($name:ident: $field:literal, $change:expr;)*) => {
        $(fn $name() {
            needs(Need::Not("crun", "older releases let much pass, and leave cgroups behind"));
            let change: fn(Container) -> Container = $change;
            super::refuses(&change(Container::new()), $field);
        })*
        cases![$($name),*];
    };
}

/// The same for what other runtimes let pass: ignored under them.
macro_rules! refused_by_orlop {
    ($($name:ident: $field:literal, $change:expr;)*) => {
        $(fn $name() {
            needs(Need::Orlop("others let it pass"));
            let change: fn(Container) -> Container = $change;
            super::refuses(&change(Container::new()), $field);
        })*
        cases![$($name),*];
    };
}

/// What every runtime refuses.
mod fields {
    use serde_json::json;

    use crate::support::case::cases;
    use crate::support::config::drop_namespaces;
    use crate::support::{Container, Need, needs};

    refused! {
        no_config: "config.json", Container::without_config;
        an_empty_config: "line 1 column 0", |c| c.config_text("");
        broken_json: "line 3 column 10", |c| c.config_text("{\n  \"ociVersion\": \"1.0.2\",\n  \"root\" 1\n}");
        text_after_the_json: "line 1 column", |c| c.config_text("{} {}");
        a_list_for_a_config: "config.json", |c| c.config_text("[]");
        text_for_the_arguments: "process.args", |c| c.set("/process/args", "/probe");
        a_number_for_an_argument: "process.args[1]", |c| c.set("/process/args", json!(["/probe", 1]));
        text_for_the_uid: "process.user.uid", |c| c.set("/process/user/uid", "0");
        a_negative_uid: "process.user.uid", |c| c.set("/process/user/uid", -1);
        a_uid_that_is_too_large: "process.user.uid", |c| c.set("/process/user/uid", 1_u64 << 32);
        an_object_for_mount_options: "mounts[1].options", |c| c.set("/mounts/1/options", json!({}));
        text_for_terminal: "process.terminal", |c| c.set("/process/terminal", "yes");
        an_object_for_namespaces: "linux.namespaces", |c| c.set("/linux/namespaces", json!({}));
        an_unknown_namespace: "linux.namespaces[0].type", |c| c.set("/linux/namespaces/0/type", "bogus");
        no_process: "process", |c| c.unset("/process");
        no_arguments: "process.args", |c| c.unset("/process/args");
        empty_arguments: "process.args", |c| c.set("/process/args", json!([]));
        no_directory: "process.cwd", |c| c.unset("/process/cwd");
        an_empty_directory: "process.cwd", |c| c.set("/process/cwd", "");
        a_relative_directory: "process.cwd", |c| c.set("/process/cwd", "tmp");
        a_directory_that_is_a_file: "process.cwd", |c| c.file("/file", "").set("/process/cwd", "/file");
        no_root: "root", |c| c.unset("/root");
        a_missing_root_file_system: "root.path", |c| c.set("/root/path", "none");
        a_root_that_is_a_file: "root.path", |c| c.file("/file", "").set("/root/path", "rootfs/file");
        a_namespace_listed_twice: "linux.namespaces[6]", |c| c.set("/linux/namespaces/-", json!({"type": "pid"}));
        a_host_name_without_a_namespace: "hostname", |c| c.edit(|config| drop_namespaces(config, &["uts"]));
        an_unknown_limit: "process.rlimits[0].type", |c| c.set("/process/rlimits/0/type", "RLIMIT_BOGUS");
        a_soft_limit_above_the_hard: "process.rlimits[0]",
            |c| c.set("/process/rlimits/0", json!({"type": "RLIMIT_NOFILE", "soft": 2000, "hard": 1000}));
        a_user_namespace_without_maps: "linux.uidMappings", |c| c.set("/linux/namespaces/-", json!({"type": "user"}));
        a_namespace_path_that_is_missing: "linux.namespaces[0].path", |c| c.set("/linux/namespaces/0/path", "/none/such");
        a_namespace_path_of_another_kind: "linux.namespaces[0].path",
            |c| c.set("/linux/namespaces/0/path", "/proc/self/ns/net");
        a_namespace_path_of_a_plain_file: "linux.namespaces[0].path", |c| c.set("/linux/namespaces/0/path", "/etc/passwd");
        a_bind_source_that_is_missing: "mounts[7].source",
            |c| c.bind(std::path::Path::new("/none/such"), "/mnt", []);
        an_unknown_file_system: "mounts[7]",
            |c| c.mount(json!({"destination": "/mnt", "type": "bogusfs", "source": "x"}));
        an_unknown_option_of_a_file_system: "mounts[7].options[0]",
            |c| c.mount(json!({"destination": "/mnt", "type": "tmpfs", "source": "x", "options": ["bogus=1"]}));
        a_mount_on_a_file_below_a_file: "mounts[7].destination",
            |c| c.file("/file", "").mount(json!({"destination": "/file/below", "type": "tmpfs", "source": "x"}));
        a_directory_bound_on_a_file: "mounts[7].destination",
            |c| c.file("/file", "").bind(std::path::Path::new("/proc"), "/file", []);
        an_unknown_kind_of_device: "linux.devices[0].type",
            |c| c.set("/linux/devices", json!([{"path": "/dev/x", "type": "x", "major": 1, "minor": 3}]));
        a_missing_hook: "hooks.prestart[0].path", |c| c.set("/hooks", json!({"prestart": [{"path": "/none/such"}]}));
        an_unknown_propagation: "linux.rootfsPropagation", |c| c.set("/linux/rootfsPropagation", "bogus");
        a_parameter_of_the_whole_machine: "linux.sysctl", |c| c.set("/linux/sysctl", json!({"kernel.core_pattern": "core"}));
        a_network_parameter_of_the_host: "linux.sysctl",
            |c| c.edit(|config| drop_namespaces(config, &["network"])).set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}));
        a_user_that_the_namespace_lacks: "process.user.uid",
            |c| c.user_namespace(100_000, 1000).set("/process/user/uid", 5000);
        ranges_of_ids_that_overlap: "linux.uidMappings", |c| c.user_namespace(100_000, 1000).set("/linux/uidMappings", json!([
            {"containerID": 0, "hostID": 100_000, "size": 1000}, {"containerID": 500, "hostID": 200_000, "size": 1000},
        ]));
    }
}

/// What Orlop refuses and others ignore or take for something else.
mod own_fields {
    use serde_json::json;

    use crate::support::case::cases;
    use crate::support::config::drop_namespaces;
    use crate::support::{Container, Need, needs};

    refused_by_orlop! {
        no_version: "ociVersion", |c| c.unset("/ociVersion");
        a_version_of_the_future: "ociVersion", |c| c.set("/ociVersion", "2.0.0");
        a_version_that_is_none: "ociVersion", |c| c.set("/ociVersion", "latest");
        an_empty_root_path: "root.path", |c| c.set("/root/path", "");
        the_hosts_root: "root.path", |c| c.set("/root/path", "/");
        a_capability_that_is_no_name: "process.capabilities.bounding",
            |c| c.set("/process/capabilities/bounding", json!([7]));
        an_io_priority_without_a_class: "process.ioPriority.class",
            |c| c.set("/process/ioPriority", json!({"priority": 4}));
        a_limit_set_twice: "process.rlimits[1].type",
            |c| c.set("/process/rlimits/-", json!({"type": "RLIMIT_NOFILE", "soft": 10, "hard": 10}));
        the_uid_that_means_no_change: "process.user.uid", |c| c.set("/process/user/uid", u32::MAX);
        the_gid_that_means_no_change: "process.user.gid", |c| c.set("/process/user/gid", u32::MAX);
        a_group_that_means_no_change: "process.user.additionalGids[1]",
            |c| c.set("/process/user/additionalGids", json!([1, u32::MAX]));
        a_umask_that_is_too_large: "process.user.umask", |c| c.set("/process/user/umask", 0o1777);
        an_oom_score_adj_that_is_too_large: "process.oomScoreAdj", |c| c.set("/process/oomScoreAdj", 2000);
        an_empty_program: "process.args[0]", |c| c.set("/process/args", json!([""]));
        an_argument_with_a_nul: "process.args[1]", |c| c.set("/process/args", json!(["/probe", "a\u{0}b"]));
        a_variable_with_a_nul: "process.env[0]", |c| c.set("/process/env", json!(["A=\u{0}"]));
        a_directory_with_a_nul: "process.cwd", |c| c.set("/process/cwd", "/a\u{0}b");
        a_host_name_that_is_too_long: "hostname", |c| c.set("/hostname", "x".repeat(65));
        a_domain_name_without_a_namespace: "domainname",
            |c| c.unset("/hostname").set("/domainname", "x").edit(|config| drop_namespaces(config, &["uts"]));
        a_relative_namespace_path: "linux.namespaces[0].path", |c| c.set("/linux/namespaces/0/path", "proc/self/ns/pid");
        maps_without_a_user_namespace: "linux.uidMappings",
            |c| c.set("/linux/uidMappings", json!([{"containerID": 0, "hostID": 0, "size": 1}]));
        a_mount_without_a_target: "mounts[7].destination", |c| c.mount(json!({"type": "tmpfs", "source": "x"}));
        a_relative_mask: "linux.maskedPaths[0]", |c| c.set("/linux/maskedPaths", json!(["proc/kcore"]));
        a_relative_read_only_path: "linux.readonlyPaths[0]", |c| c.set("/linux/readonlyPaths", json!(["proc/sys"]));
        a_relative_device: "linux.devices[0].path",
            |c| c.set("/linux/devices", json!([{"path": "dev/x", "type": "c", "major": 1, "minor": 3}]));
        a_rule_for_an_unknown_kind_of_device: "linux.resources.devices[0].type",
            |c| c.set("/linux/resources/devices", json!([{"allow": true, "type": "x", "access": "rwm"}]));
        a_rule_with_an_unknown_access: "linux.resources.devices[0].access",
            |c| c.set("/linux/resources/devices", json!([{"allow": true, "type": "c", "access": "rwx"}]));
        a_relative_hook: "hooks.createRuntime[0].path", |c| c.set("/hooks", json!({"createRuntime": [{"path": "bin/true"}]}));
        a_hook_with_no_time: "hooks.poststop[0].timeout",
            |c| c.set("/hooks", json!({"poststop": [{"path": "/bin/true", "timeout": 0}]}));
        no_mount_namespace: "linux.namespaces", |c| c.edit(|config| drop_namespaces(config, &["mount"]));
        an_empty_annotation_key: "annotations", |c| c.set("/annotations", json!({"": "x"}));
    }
}
