//! The messages of `runtime.v1`, with the numbers of Kubernetes' api.proto: those fields that the cases use.
//!
//! They are read from JSON, in which a field has the name that it has there. One that is not here is an error.

use std::collections::HashMap;

use prost::Message;
use serde::Deserialize;

/// Declares messages, a line for each field.
macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field:meta])* $word:ident: $kind:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, PartialEq, Message, Deserialize)]
            #[serde(default, deny_unknown_fields)]
            pub(crate) struct $name { $($(#[$field])* pub $word: $kind,)* }
        )*
    };
}

messages! {
    PodMetadata {
        #[prost(string, tag = "1")] name: String,
        #[prost(string, tag = "2")] uid: String,
        #[prost(string, tag = "3")] namespace: String,
        #[prost(uint32, tag = "4")] attempt: u32,
    }
    DnsConfig {
        #[prost(string, repeated, tag = "1")] servers: Vec<String>,
        #[prost(string, repeated, tag = "2")] searches: Vec<String>,
    }
    PodConfig {
        #[prost(message, optional, tag = "1")] metadata: Option<PodMetadata>,
        #[prost(string, tag = "2")] hostname: String,
        #[prost(string, tag = "3")] log_directory: String,
        #[prost(message, optional, tag = "4")] dns_config: Option<DnsConfig>,
        #[prost(map = "string, string", tag = "7")] annotations: HashMap<String, String>,
        #[prost(message, optional, tag = "8")] linux: Option<PodLinux>,
    }
    PodLinux {
        #[prost(string, tag = "1")] cgroup_parent: String,
        #[prost(message, optional, tag = "2")] security_context: Option<PodSecurity>,
        #[prost(map = "string, string", tag = "3")] sysctls: HashMap<String, String>,
    }
    PodSecurity {
        #[prost(message, optional, tag = "1")] namespace_options: Option<Namespaces>,
        #[prost(message, optional, tag = "3")] run_as_user: Option<Int64>,
        #[prost(bool, tag = "4")] readonly_rootfs: bool,
        #[prost(int64, repeated, tag = "5")] supplemental_groups: Vec<i64>,
        #[prost(bool, tag = "6")] privileged: bool,
        #[prost(message, optional, tag = "9")] seccomp: Option<Profile>,
        #[prost(message, optional, tag = "10")] apparmor: Option<Profile>,
    }
    /// Modes are 0 for the pod's, 1 for the container's own, 2 for the node's, 3 for that of the container `target_id`.
    Namespaces {
        #[prost(int32, tag = "1")] network: i32,
        #[prost(int32, tag = "2")] pid: i32,
        #[prost(int32, tag = "3")] ipc: i32,
        #[prost(string, tag = "4")] target_id: String,
        #[prost(message, optional, tag = "5")] userns_options: Option<UserNamespace>,
    }
    UserNamespace {
        #[prost(int32, tag = "1")] mode: i32,
        #[prost(message, repeated, tag = "2")] uids: Vec<IdMapping>,
        #[prost(message, repeated, tag = "3")] gids: Vec<IdMapping>,
    }
    IdMapping {
        #[prost(uint32, tag = "1")] host_id: u32,
        #[prost(uint32, tag = "2")] container_id: u32,
        #[prost(uint32, tag = "3")] length: u32,
    }
    Int64 {
        #[prost(int64, tag = "1")] value: i64,
    }
    /// Types are 0 for the engine's default, 1 for none, 2 for the one that `localhost_ref` names.
    Profile {
        #[prost(int32, tag = "1")] profile_type: i32,
        #[prost(string, tag = "2")] localhost_ref: String,
    }
    ContainerMetadata {
        #[prost(string, tag = "1")] name: String,
        #[prost(uint32, tag = "2")] attempt: u32,
    }
    Image {
        #[prost(string, tag = "1")] image: String,
    }
    Variable {
        #[prost(string, tag = "1")] key: String,
        #[prost(string, tag = "2")] value: String,
    }
    Mount {
        #[prost(string, tag = "1")] container_path: String,
        #[prost(string, tag = "2")] host_path: String,
        #[prost(bool, tag = "3")] readonly: bool,
        /// 0 for private, 1 for what comes from the host, 2 for both ways.
        #[prost(int32, tag = "5")] propagation: i32,
        #[prost(message, repeated, tag = "6")] uid_mappings: Vec<IdMapping>,
        #[prost(message, repeated, tag = "7")] gid_mappings: Vec<IdMapping>,
        #[prost(bool, tag = "8")] recursive_read_only: bool,
    }
    Device {
        #[prost(string, tag = "1")] container_path: String,
        #[prost(string, tag = "2")] host_path: String,
        #[prost(string, tag = "3")] permissions: String,
    }
    ContainerConfig {
        #[prost(message, optional, tag = "1")] metadata: Option<ContainerMetadata>,
        #[prost(message, optional, tag = "2")] image: Option<Image>,
        #[prost(string, repeated, tag = "3")] command: Vec<String>,
        #[prost(string, repeated, tag = "4")] args: Vec<String>,
        #[prost(string, tag = "5")] working_dir: String,
        #[prost(message, repeated, tag = "6")] envs: Vec<Variable>,
        #[prost(message, repeated, tag = "7")] mounts: Vec<Mount>,
        #[prost(message, repeated, tag = "8")] devices: Vec<Device>,
        #[prost(map = "string, string", tag = "10")] annotations: HashMap<String, String>,
        #[prost(string, tag = "11")] log_path: String,
        #[prost(bool, tag = "12")] stdin: bool,
        #[prost(bool, tag = "14")] tty: bool,
        #[prost(message, optional, tag = "15")] linux: Option<ContainerLinux>,
    }
    ContainerLinux {
        #[prost(message, optional, tag = "1")] resources: Option<Resources>,
        #[prost(message, optional, tag = "2")] security_context: Option<ContainerSecurity>,
    }
    Resources {
        #[prost(int64, tag = "1")] cpu_period: i64,
        #[prost(int64, tag = "2")] cpu_quota: i64,
        #[prost(int64, tag = "3")] cpu_shares: i64,
        #[prost(int64, tag = "4")] memory_limit_in_bytes: i64,
        #[prost(int64, tag = "5")] oom_score_adj: i64,
        #[prost(string, tag = "6")] cpuset_cpus: String,
        #[prost(map = "string, string", tag = "9")] unified: HashMap<String, String>,
    }
    Capabilities {
        #[prost(string, repeated, tag = "1")] add_capabilities: Vec<String>,
        #[prost(string, repeated, tag = "2")] drop_capabilities: Vec<String>,
        #[prost(string, repeated, tag = "3")] add_ambient_capabilities: Vec<String>,
    }
    ContainerSecurity {
        #[prost(message, optional, tag = "1")] capabilities: Option<Capabilities>,
        #[prost(bool, tag = "2")] privileged: bool,
        #[prost(message, optional, tag = "3")] namespace_options: Option<Namespaces>,
        #[prost(message, optional, tag = "5")] run_as_user: Option<Int64>,
        #[prost(string, tag = "6")] run_as_username: String,
        #[prost(bool, tag = "7")] readonly_rootfs: bool,
        #[prost(int64, repeated, tag = "8")] supplemental_groups: Vec<i64>,
        #[prost(bool, tag = "11")] no_new_privs: bool,
        #[prost(message, optional, tag = "12")] run_as_group: Option<Int64>,
        #[prost(string, repeated, tag = "13")] masked_paths: Vec<String>,
        #[prost(string, repeated, tag = "14")] readonly_paths: Vec<String>,
        #[prost(message, optional, tag = "15")] seccomp: Option<Profile>,
        #[prost(message, optional, tag = "16")] apparmor: Option<Profile>,
    }
    RunPod {
        #[prost(message, optional, tag = "1")] config: Option<PodConfig>,
        #[prost(string, tag = "2")] runtime_handler: String,
    }
    CreateContainer {
        #[prost(string, tag = "1")] pod_sandbox_id: String,
        #[prost(message, optional, tag = "2")] config: Option<ContainerConfig>,
        #[prost(message, optional, tag = "3")] sandbox_config: Option<PodConfig>,
    }
    /// All requests that name a pod or a container and nothing else, and all answers that are a new one's id.
    Id {
        #[prost(string, tag = "1")] id: String,
    }
    StopContainer {
        #[prost(string, tag = "1")] container_id: String,
        /// Seconds from the polite signal to the other one.
        #[prost(int64, tag = "2")] timeout: i64,
    }
    UpdateContainer {
        #[prost(string, tag = "1")] container_id: String,
        #[prost(message, optional, tag = "2")] linux: Option<Resources>,
    }
    ExecSync {
        #[prost(string, tag = "1")] container_id: String,
        #[prost(string, repeated, tag = "2")] cmd: Vec<String>,
        /// In seconds; 0 for none.
        #[prost(int64, tag = "3")] timeout: i64,
    }
    ExecSyncAnswer {
        #[prost(bytes = "vec", tag = "1")] stdout: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")] stderr: Vec<u8>,
        #[prost(int32, tag = "3")] exit_code: i32,
    }
    Exec {
        #[prost(string, tag = "1")] container_id: String,
        #[prost(string, repeated, tag = "2")] cmd: Vec<String>,
        #[prost(bool, tag = "3")] tty: bool,
        #[prost(bool, tag = "4")] stdin: bool,
        #[prost(bool, tag = "5")] stdout: bool,
        #[prost(bool, tag = "6")] stderr: bool,
    }
    Attach {
        #[prost(string, tag = "1")] container_id: String,
        #[prost(bool, tag = "2")] stdin: bool,
        #[prost(bool, tag = "3")] tty: bool,
        #[prost(bool, tag = "4")] stdout: bool,
        #[prost(bool, tag = "5")] stderr: bool,
    }
    Url {
        #[prost(string, tag = "1")] url: String,
    }
    ContainerStatus {
        #[prost(int32, tag = "3")] state: i32,
        #[prost(int32, tag = "7")] exit_code: i32,
        #[prost(string, tag = "10")] reason: String,
    }
    ContainerStatusAnswer {
        #[prost(message, optional, tag = "1")] status: Option<ContainerStatus>,
    }
    PodNetwork {
        #[prost(string, tag = "1")] ip: String,
    }
    PodStatus {
        #[prost(int32, tag = "3")] state: i32,
        #[prost(message, optional, tag = "5")] network: Option<PodNetwork>,
        #[prost(string, tag = "9")] runtime_handler: String,
    }
    PodStatusAnswer {
        #[prost(message, optional, tag = "1")] status: Option<PodStatus>,
    }
    Pod {
        #[prost(string, tag = "1")] id: String,
        #[prost(message, optional, tag = "2")] metadata: Option<PodMetadata>,
    }
    PodList {
        #[prost(message, repeated, tag = "1")] items: Vec<Pod>,
    }
    UInt64 {
        #[prost(uint64, tag = "1")] value: u64,
    }
    CpuUsage {
        #[prost(message, optional, tag = "2")] usage_core_nano_seconds: Option<UInt64>,
    }
    MemoryUsage {
        #[prost(message, optional, tag = "2")] working_set_bytes: Option<UInt64>,
    }
    Stats {
        #[prost(message, optional, tag = "2")] cpu: Option<CpuUsage>,
        #[prost(message, optional, tag = "3")] memory: Option<MemoryUsage>,
    }
    StatsAnswer {
        #[prost(message, optional, tag = "1")] stats: Option<Stats>,
    }
    Nothing {}
}
