//! The plan: what will happen, as plain and complete data. Everything that can be refused is refused before this is made.
//!
//! Pure: reads no file and makes no system call; what it needs to know of the machine comes in as [`Host`].

mod annotations;
mod cgroup;
pub mod checkpoint;
mod devices;
mod exec;
mod intel_rdt;
mod live_mounts;
mod lsm;
mod memory_policy;
pub mod mount_options;
mod mounts;
mod namespaces;
mod net_devices;
mod number_list;
mod personality;
mod process;
pub mod resources;
mod scheduling;
mod shared_mounts;
mod sysctl;
pub mod systemd;
mod time;
mod update;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::path::PathBuf;

use oci_spec::runtime::Spec;
use serde_json::value::RawValue;

use crate::bundle::Bundle;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::seccomp::{self, Filter};

pub use annotations::{
    DELEGATE, HookOutput, MountContext, NAMES as ANNOTATIONS, PIDFD_RECEIVER, SUBGROUP, field as annotation_field,
};
pub use cgroup::CgroupPlan;
pub use checkpoint::External;
pub use devices::{Device, DeviceKind, Devices};
pub use exec::{ExecPlan, ExecRequest};
pub use intel_rdt::{Class, IntelRdt, Schemata, Shares, agree as shares_agree};
pub use live_mounts::LiveMounts;
pub use lsm::{Labels, MountLabel};
pub use memory_policy::MemoryPolicy;
pub use mounts::{
    FsLabel, FsOption, IdMapped, Mount, MountIds, MountSource, ProcTarget, Propagation, SourceLink, inside_proc,
};
pub use namespaces::{IdMap, IdMaps, Joined, Kind, Namespaces};
pub use net_devices::NetDevice;
pub use personality::Personality;
pub use process::{Capabilities, ListenFds, Process, Rlimit, Terminal, User};
pub use resources::{Limit, Otherwise, Resources, Write as LimitWrite};
pub use scheduling::{ExecCpus, IoPriority, Scheduler, Scheduling};
pub use sysctl::Sysctl;
pub use time::TimeOffset;
pub use update::UpdatePlan;

/// Where the container finds the directory of the socket for systemd's readiness protocol.
const NOTIFY_DIR: &str = "/run/notify";

/// The socket's name in it.
pub const NOTIFY_NAME: &str = "notify.sock";

/// What the caller of `create` asks for beside the bundle.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The container's id.
    pub id: String,
    /// `--no-pivot`: chroot instead of `pivot_root`, for a root on an initramfs.
    pub no_pivot: bool,
    /// `--no-new-keyring`: keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// `--preserve-fds`: how many descriptors from 3 on the container's process inherits.
    pub preserve_fds: u32,
    /// What the caller got of socket activation, and the container's process is to have.
    pub listen: Option<ListenFds>,
    /// The directory of the socket at which the container's process says that it is ready.
    pub notify: Option<PathBuf>,
    /// `--systemd-cgroup`: let systemd make the cgroup.
    pub systemd_cgroup: bool,
}

impl Request {
    /// How many descriptors from 3 on the container's process inherits: first the sockets of socket activation.
    pub fn inherited_fds(&self) -> u32 {
        self.preserve_fds.saturating_add(self.listen.as_ref().map_or(0, |listen| listen.count))
    }
}

/// The config, with what systemd's readiness protocol asks for where the caller speaks it: the socket's directory, and the
/// variable that names the socket. As runc has them.
fn with_notify<'a>(spec: &'a Spec, request: &Request) -> Cow<'a, Spec> {
    let Some(dir) = &request.notify else { return Cow::Borrowed(spec) };
    let mut spec = spec.clone();
    let mut mount = oci_spec::runtime::Mount::default();
    let options = ["bind", "nosuid", "noexec", "nodev", "ro"].map(String::from).to_vec();
    mount.set_destination(NOTIFY_DIR.into()).set_typ(Some("bind".into()));
    mount.set_source(Some(dir.clone())).set_options(Some(options));
    spec.set_mounts(Some(spec.mounts().iter().flatten().cloned().chain([mount]).collect()));
    if let Some(mut process) = spec.process().clone() {
        let variable = format!("NOTIFY_SOCKET={NOTIFY_DIR}/{NOTIFY_NAME}");
        process.set_env(Some(process.env().iter().flatten().cloned().chain([variable]).collect()));
        spec.set_process(Some(process));
    }
    Cow::Owned(spec)
}

/// A container, decided in full.
#[derive(Debug)]
pub struct Plan {
    /// The container's id, a plain name.
    pub id: String,
    /// The bundle's directory, absolute.
    pub bundle: PathBuf,
    /// The config's annotations, passed through to `state` and to hooks.
    pub annotations: BTreeMap<String, String>,
    /// Which namespaces are made, and which are joined.
    pub namespaces: Namespaces,
    /// The mappings of a new user namespace.
    pub ids: Option<IdMaps>,
    /// The root file system.
    pub root: Root,
    /// What is mounted, in order.
    pub mounts: Vec<Mount>,
    /// What `/dev` is given; `None` where a bind mount brings a `/dev` of its own.
    pub devices: Option<Devices>,
    /// Paths that are hidden behind an empty file or directory.
    pub masked_paths: Vec<PathBuf>,
    /// Paths that are made read-only.
    pub readonly_paths: Vec<PathBuf>,
    /// The SELinux context of file systems that are made for the container.
    pub mount_label: Option<MountLabel>,
    /// The name in the UTS namespace.
    pub hostname: Option<String>,
    /// The NIS domain name in the UTS namespace.
    pub domainname: Option<String>,
    /// What the program runs under.
    pub labels: Labels,
    /// Which system calls the container's processes may make.
    pub seccomp: Option<Filter>,
    /// Network devices of the host that move into the container.
    pub net_devices: Vec<NetDevice>,
    /// Kernel parameters of the container's namespaces.
    pub sysctls: Vec<Sysctl>,
    /// The clocks of a new time namespace.
    pub time_offsets: Vec<TimeOffset>,
    /// The execution domain of the container's processes.
    pub personality: Option<Personality>,
    /// From which NUMA nodes the container's processes get memory.
    pub memory_policy: Option<MemoryPolicy>,
    /// Shares of caches and of the memory's bandwidth.
    pub intel_rdt: Option<IntelRdt>,
    /// The program and what it runs as.
    pub process: Process,
    /// Programs to run at points of the life cycle.
    pub hooks: Hooks,
    /// Where they write to.
    pub hook_output: HookOutput,
    /// A socket that gets a pidfd of the init.
    pub pidfd_receiver: Option<PathBuf>,
    /// Where in the cgroup hierarchy, and under which rules.
    pub cgroup: CgroupPlan,
    /// The name of a session keyring of its own.
    pub keyring: Option<CString>,
    /// How many descriptors from 3 on are inherited.
    pub preserve_fds: u32,
    /// What of the config a later `exec` has to know.
    pub for_exec: Box<RawValue>,
    /// What of the config a later `update` builds on.
    pub for_update: Box<RawValue>,
}

/// The container's root.
#[derive(Debug)]
pub struct Root {
    /// Absolute, without symbolic links.
    pub path: PathBuf,
    /// Whether the root mount itself is read-only.
    pub readonly: bool,
    /// `linux.rootfsPropagation`, applied to the container's `/` when it is one.
    pub propagation: Option<Propagation>,
    /// Whether to chroot instead of `pivot_root`, which a container without a mount namespace does in any case.
    pub no_pivot: bool,
}

/// One program of `hooks`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Hook {
    /// Its place in the config, `hooks.prestart[0]`.
    pub field: String,
    /// The executable.
    pub path: PathBuf,
    /// Arguments from argv\[0\] on; empty means the path alone.
    pub args: Vec<String>,
    /// Environment, where the config gives one.
    pub env: Option<Vec<String>>,
    /// Seconds after which it is killed and has failed.
    pub timeout: Option<u64>,
}

/// The programs that run at points of the life cycle, each list in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Hooks {
    /// In the runtime's namespaces, before the root is changed: `prestart`, then `createRuntime`.
    pub create_runtime: Vec<Hook>,
    /// In the container's namespaces, before the root is changed.
    pub create_container: Vec<Hook>,
    /// In the container, before the program.
    pub start_container: Vec<Hook>,
    /// In the runtime's namespaces, after the program was executed.
    pub poststart: Vec<Hook>,
    /// In the runtime's namespaces, after the container is gone.
    pub poststop: Vec<Hook>,
}

impl Plan {
    /// Whether the runtime has to do something in the midst of the container's making: hooks, or network devices.
    pub fn stops_on_the_way(&self) -> bool {
        let hooks = &self.hooks;
        !(hooks.create_runtime.is_empty() && hooks.create_container.is_empty() && self.net_devices.is_empty())
    }

    /// Decides everything about the container that `bundle` describes.
    ///
    /// # Errors
    /// Names the field of the config that can't be honoured, and why.
    pub fn new(bundle: &Bundle, request: &Request, host: &Host) -> Result<Self> {
        let spec = &*with_notify(&bundle.spec, request);
        let linux = spec.linux().as_ref();
        let annotated = annotations::Annotated::decide(spec.annotations().as_ref())?;
        let namespaces = Namespaces::new(spec).spare_the_hosts_mounts(host)?;
        shared_mounts::check(&bundle.spec, request, &namespaces)?;
        let ids = IdMaps::new(spec, &namespaces);
        let mount_label = MountLabel::decide(spec, annotated.mount_context, host)?;
        let around = mounts::Surroundings {
            bundle: &bundle.dir,
            namespaces: &namespaces,
            ids: ids.as_ref(),
            label: mount_label.as_ref(),
        };
        let mounts = mounts::plan(spec, &around)?;
        let mut process = Process::new(spec)?;
        if annotated.keep_groups {
            process.user.keep_groups();
        }
        if let Some(listen) = &request.listen {
            process.activate(listen)?;
        }
        if let Some(ids) = &ids {
            ids.check_user(&process.user)?;
        }
        let root = root(bundle, request)?;
        let devices = devices::plan(spec, &mounts)?;
        let labels = spec.process().as_ref().map_or(Ok(Labels::default()), |process| Labels::decide(process, host))?;
        let seccomp = linux.and_then(|linux| linux.seccomp().as_ref()).map(seccomp::compile).transpose()?;
        Ok(Self {
            id: request.id.clone(),
            annotations: spec.annotations().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect(),
            ids,
            root,
            devices,
            masked_paths: paths(spec, |linux| linux.masked_paths().as_ref()),
            readonly_paths: paths(spec, |linux| linux.readonly_paths().as_ref()),
            hostname: spec.hostname().clone().filter(|name| !name.is_empty()),
            domainname: spec.domainname().clone().filter(|name| !name.is_empty()),
            labels,
            time_offsets: time::offsets(linux, &namespaces)?,
            personality: linux.and_then(|linux| linux.personality().as_ref()).map(Personality::decide).transpose()?,
            memory_policy: linux
                .and_then(|linux| linux.memory_policy().as_ref())
                .map(MemoryPolicy::decide)
                .transpose()?,
            intel_rdt: linux
                .and_then(|linux| linux.intel_rdt().as_ref())
                .map(|rdt| IntelRdt::decide(rdt, &request.id, host))
                .transpose()?,
            net_devices: net_devices::plan(spec, &namespaces, host)?,
            sysctls: sysctl::plan(spec, &namespaces)?,
            process,
            hooks: hooks(spec),
            cgroup: CgroupPlan::new(spec, request, &namespaces, host, &annotated)?,
            hook_output: annotated.hook_output,
            pidfd_receiver: annotated.pidfd_receiver,
            keyring: keyring(request)?,
            preserve_fds: request.inherited_fds(),
            for_exec: exec::record(
                spec,
                &namespaces,
                request,
                seccomp.as_ref(),
                mount_label.as_ref(),
                annotated.keep_groups,
            )?,
            seccomp,
            mount_label,
            for_update: update::record(spec)?,
            bundle: bundle.dir.clone(),
            namespaces,
            mounts,
        })
    }
}

fn root(bundle: &Bundle, request: &Request) -> Result<Root> {
    let linux = bundle.spec.linux().as_ref();
    let word = linux.and_then(|linux| linux.rootfs_propagation().as_ref()).filter(|word| !word.is_empty());
    let propagation = word.map(|word| {
        mount_options::propagation(word)
            .ok_or_else(|| Error::new(format!("unknown propagation {word:?}")).field("linux.rootfsPropagation"))
    });
    Ok(Root {
        path: bundle.rootfs.clone(),
        readonly: bundle.spec.root().as_ref().and_then(oci_spec::runtime::Root::readonly).unwrap_or(false),
        propagation: propagation.transpose()?,
        no_pivot: request.no_pivot,
    })
}

fn paths<'a>(spec: &'a Spec, list: impl Fn(&'a oci_spec::runtime::Linux) -> Option<&'a Vec<String>>) -> Vec<PathBuf> {
    spec.linux().as_ref().and_then(list).into_iter().flatten().map(PathBuf::from).collect()
}

/// As runc calls it, so that tools which look for it find it.
fn keyring(request: &Request) -> Result<Option<CString>> {
    if request.no_new_keyring {
        return Ok(None);
    }
    CString::new(format!("_ses.{}", request.id)).map(Some).map_err(|_| Error::new("the id contains a NUL byte"))
}

fn hooks(spec: &Spec) -> Hooks {
    let Some(hooks) = spec.hooks() else { return Hooks::default() };
    #[allow(deprecated)] // prestart is deprecated, and Docker sends it with every container
    let mut create_runtime = hook_list("prestart", hooks.prestart().as_deref());
    create_runtime.extend(hook_list("createRuntime", hooks.create_runtime().as_deref()));
    Hooks {
        create_runtime,
        create_container: hook_list("createContainer", hooks.create_container().as_deref()),
        start_container: hook_list("startContainer", hooks.start_container().as_deref()),
        poststart: hook_list("poststart", hooks.poststart().as_deref()),
        poststop: hook_list("poststop", hooks.poststop().as_deref()),
    }
}

fn hook_list(kind: &str, hooks: Option<&[oci_spec::runtime::Hook]>) -> Vec<Hook> {
    let one = |(i, hook): (usize, &oci_spec::runtime::Hook)| Hook {
        field: format!("hooks.{kind}[{i}]"),
        path: hook.path().clone(),
        args: hook.args().clone().unwrap_or_default(),
        env: hook.env().clone(),
        timeout: hook.timeout().and_then(|seconds| u64::try_from(seconds).ok()),
    };
    hooks.unwrap_or_default().iter().enumerate().map(one).collect()
}

/// Whether `name` can be a container's id: it becomes a directory's name and a cgroup's.
///
/// # Errors
/// runc's text, for the callers that look for it.
pub fn check_id(name: &str) -> Result<()> {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+.-".contains(&b));
    if plain && !name.is_empty() && name != "." && name != ".." && name.len() <= 255 {
        return Ok(());
    }
    Err(Error::new("invalid container ID format")
        .hint(format!("{name:?}: an id has letters, digits and _ + . - only, 1 to 255 of them, and is not . or ..")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ids_are_plain_names() {
        for good in ["a", "web-1", "a_b+c.d", "-x", "...", &"x".repeat(255)] {
            assert!(check_id(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "ä", "a\0", "a\n", &"x".repeat(256)] {
            let error = check_id(bad).unwrap_err().to_string();
            assert!(error.starts_with("invalid container ID format"), "{error}");
        }
    }

    /// The changes of a minimal config that the specification's own tests make (schema/test/config), whole sections of it at a time.
    #[test]
    fn the_specifications_good_and_bad_configs_behave() {
        let plan = |change: &serde_json::Value| {
            let namespaces = json!([{"type": "mount"}, {"type": "network"}]);
            let mut config = json!({
                "ociVersion": "1.0.0", "root": {"path": "rootfs"},
                "process": {"cwd": "/", "args": ["sh"], "user": {"uid": 0, "gid": 0}},
                "linux": {"namespaces": namespaces}
            });
            config["linux"].as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let spec = crate::bundle::read(config.to_string().as_bytes(), std::path::Path::new("/b/config.json"))?;
            let bundle = Bundle { dir: "/b".into(), rootfs: "/b/rootfs".into(), spec };
            let request = Request { id: "box".into(), ..Request::default() };
            Plan::new(&bundle, &request, &Host::with_cgroups("/sys/fs/cgroup", "/"))
        };
        let devices = json!({"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}, "mlx4_0": {"hcaObjects": 1000}});
        for good in [
            json!({}),
            json!({"netDevices": {"eth0": {"name": "container_eth0"}, "ens4": {}, "ens5": {}}}),
            json!({"resources": {"rdma": devices}}),
        ] {
            assert!(plan(&good).is_ok(), "{good}");
        }
        for (bad, field) in [
            (json!({"netDevices": {"eth0": {"name": 23}}}), "linux.netDevices.eth0.name"),
            (json!({"resources": {"rdma": {"mlx5_1": {"hcaHandles": "not a uint32"}}}}), "linux.resources.rdma.mlx5_1"),
            (
                json!({"resources": {"hugepageLimits": [{"limit": 1_234_123, "pageSize": "64kB"}]}}),
                "linux.resources.hugepageLimits[0].pageSize",
            ),
        ] {
            let error = plan(&bad).unwrap_err();
            assert!(error.field_path().is_some_and(|path| path.starts_with(field)), "{error}");
        }
    }
}
