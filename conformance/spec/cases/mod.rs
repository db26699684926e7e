//! The cases, a file for each part of the specification.

mod annotations;
mod capabilities;
mod cgroup;
mod config;
mod descriptors;
mod device_rules;
mod devices;
mod features;
mod filesystems;
mod hooks;
mod idmap;
mod lifecycle;
mod memory_policy;
mod mount_option;
mod mounts;
mod names;
mod namespaces;
mod net_devices;
mod operations;
mod ownership;
mod paths;
mod personality;
mod process;
mod propagation;
mod rdt;
mod resources;
mod rlimits;
mod root;
mod scheduling;
mod seccomp;
mod seccomp_agent;
mod security;
mod state;
mod sysctl;
mod terminal;
mod time;
mod unified;
mod user;
mod user_namespace;

use super::case::Case;

/// All of them.
pub(crate) fn all() -> Vec<Case> {
    [
        annotations::cases(),
        capabilities::cases(),
        cgroup::cases(),
        config::cases(),
        descriptors::cases(),
        device_rules::cases(),
        devices::cases(),
        features::cases(),
        filesystems::cases(),
        hooks::cases(),
        idmap::cases(),
        lifecycle::cases(),
        memory_policy::cases(),
        mount_option::cases(),
        mounts::cases(),
        names::cases(),
        namespaces::cases(),
        net_devices::cases(),
        operations::cases(),
        ownership::cases(),
        paths::cases(),
        personality::cases(),
        process::cases(),
        propagation::cases(),
        rdt::cases(),
        resources::cases(),
        rlimits::cases(),
        root::cases(),
        scheduling::cases(),
        seccomp::cases(),
        seccomp_agent::cases(),
        security::cases(),
        state::cases(),
        sysctl::cases(),
        terminal::cases(),
        time::cases(),
        unified::cases(),
        user::cases(),
        user_namespace::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
