//! What CRIU is asked for: from flags, a config and a few facts to the options of its request.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{DELEGATE, FsLabel, Joined, Kind, Labels, Mount, MountSource, Plan, SourceLink, annotation_field};
use crate::criu::rpc::{
    CgroupRoot, CgroupsMode, ExternalMount, InheritFd, JoinNamespace, NetworkLock, Options, PageServer,
};
use crate::error::{Error, Result};

/// The annotation that names a configuration file of CRIU's. Such a file can have CRIU do anything.
pub const CRIU_CONFIG: &str = "org.criu.config";

/// The file without the annotation; CRIU passes over one that isn't there. runc's name for it, so that one file serves both.
const DEFAULT_CRIU_CONFIG: &str = "/etc/criu/runc.conf";

/// How much CRIU writes to its log: all but what is for its own developers.
const LOG_LEVEL: i32 = 4;

/// The log of a dump, in the work directory.
pub const DUMP_LOG: &str = "dump.log";

/// The log of a restore.
pub const RESTORE_LOG: &str = "restore.log";

/// What `checkpoint` and `restore` may both be asked for, each field a flag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CriuRequest {
    /// Keep open TCP connections.
    pub tcp_established: bool,
    /// Close TCP connections, and restore them closed.
    pub tcp_close: bool,
    /// Let unix sockets be connected to somebody outside.
    pub ext_unix_sk: bool,
    /// The session, and the terminal's foreground, belong to somebody outside.
    pub shell_job: bool,
    /// Take file locks along.
    pub file_locks: bool,
    /// Keep no page of memory twice in a chain of images.
    pub auto_dedup: bool,
    /// Bring memory only when it is used.
    pub lazy_pages: bool,
    /// How cgroups below the container's own are treated.
    pub cgroups: Option<CgroupsMode>,
    /// How packets are held up meanwhile.
    pub network_lock: Option<NetworkLock>,
}

/// What `checkpoint` alone may be asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckpointRequest {
    /// What both may be.
    pub criu: CriuRequest,
    /// The container goes on afterwards.
    pub leave_running: bool,
    /// The memory alone, and the container goes on afterwards.
    pub pre_dump: bool,
    /// Leave out TCP connections that are not established yet.
    pub tcp_skip_in_flight: bool,
    /// Give files that have lost their name a new one.
    pub link_remap: bool,
    /// An earlier dump, as a path from the images' directory: only what changed since is written.
    pub parent: Option<PathBuf>,
    /// Where pages are sent to, or with `lazy_pages` asked for.
    pub page_server: Option<(String, u16)>,
}

/// What `restore` alone may be asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestoreRequest {
    /// What both may be.
    pub criu: CriuRequest,
    /// `TYPE:NAME` of the security module's profile that processes get.
    pub lsm_profile: Option<String>,
    /// The context that `SELinux` gives to mounts.
    pub lsm_mount_context: Option<String>,
}

/// What of the host's is part of a container, and so not of its checkpoint.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct External<'a> {
    /// The targets of bind mounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub binds: Vec<Cow<'a, Path>>,
    /// The kinds of the namespaces that were joined, as `CLONE_NEW*` bits.
    #[serde(default)]
    pub namespaces: u64,
}

impl<'a> External<'a> {
    fn of(plan: &'a Plan) -> Self {
        let is_the_hosts = |source: &MountSource| matches!(source, MountSource::Bind { .. } | MountSource::HostCgroups);
        let binds = plan.mounts.iter().filter(|mount| is_the_hosts(&mount.source));
        Self {
            binds: binds.map(|mount| Cow::from(&mount.target)).collect(),
            namespaces: plan.namespaces.all_joined().iter().fold(0, |bits, joined| bits | joined.kind.bit()),
        }
    }

    /// That of a container that is made by this plan, as it is recorded: nothing where there is nothing.
    pub fn record(plan: &'a Plan) -> Result<Option<Box<RawValue>>> {
        let external = Self::of(plan);
        if external == Self::default() {
            return Ok(None);
        }
        serde_json::value::to_raw_value(&external).map(Some).map_err(|error| Error::new(error.to_string()))
    }

    /// What was recorded.
    pub fn read(recorded: Option<&RawValue>) -> Result<Self> {
        recorded
            .map_or(Ok(Self::default()), |text| serde_json::from_str(text.get()))
            .map_err(|error| Error::new(error.to_string()).doing("what was recorded of the host's in the container"))
    }
}

/// The kinds of namespaces that CRIU leaves alone when they are said to be external, in a dump and in a restore.
pub const LEFT_ALONE: [Kind; 2] = [Kind::Network, Kind::Pid];

/// runc's name for such a namespace in an image.
fn external_key(kind: Kind) -> &'static str {
    if kind == Kind::Network { "extRootNetNS" } else { "extRootPidNS" }
}

/// A container that is about to be dumped.
#[derive(Debug)]
pub struct Dumped<'a> {
    /// Its init.
    pub pid: i32,
    /// Its root file system on the host.
    pub rootfs: &'a Path,
    /// Its cgroup's directory.
    pub cgroup: Option<&'a Path>,
    /// Mount points of what is the host's, and their names in the image.
    pub mounts: Vec<ExternalMount>,
    /// Namespaces that are left alone, by kind and inode.
    pub namespaces: Vec<(Kind, u64)>,
    /// Its annotations.
    pub annotations: &'a BTreeMap<String, String>,
}

/// What CRIU is asked for by `checkpoint`.
pub fn dump(request: &CheckpointRequest, container: &Dumped<'_>) -> Result<Options> {
    let external = |(kind, inode): &(Kind, u64)| format!("{}[{inode}]:{}", kind.proc_name(), external_key(*kind));
    Ok(Options {
        pid: Some(container.pid),
        root: Some(text(container.rootfs)?),
        log_file: Some(DUMP_LOG.into()),
        leave_running: Some(request.leave_running),
        tcp_skip_in_flight: Some(request.tcp_skip_in_flight),
        link_remap: Some(request.link_remap),
        parent_img: request.parent.as_deref().map(text).transpose()?,
        // A later dump can tell what changed only if this one starts the tracking.
        track_mem: Some(request.pre_dump || request.parent.is_some()),
        page_server: request
            .page_server
            .as_ref()
            .map(|(address, port)| PageServer { address: Some(address.clone()), port: Some((*port).into()) }),
        freeze_cgroup: container.cgroup.map(text).transpose()?,
        ext_mnt: if request.pre_dump { Vec::new() } else { container.mounts.clone() },
        external: container.namespaces.iter().map(external).collect(),
        config_file: config_file(container.annotations),
        ..common(&request.criu)
    })
}

/// The places and descriptors that `restore` has ready.
#[derive(Debug)]
pub struct Prepared<'a> {
    /// Where the root file system is attached for CRIU.
    pub root: &'a Path,
    /// Names of mounts in the image, and what takes their places.
    pub mounts: Vec<ExternalMount>,
    /// Namespaces that CRIU leaves alone, by kind and descriptor.
    pub namespaces: Vec<(Kind, i32)>,
    /// What the standard streams led to when the dump was made.
    pub stdio: &'a [String],
}

/// What CRIU is asked for by `restore`.
///
/// # Errors
/// Names the field of the config that can't be put in force on processes that exist already.
pub fn restore(request: &RestoreRequest, plan: &Plan, prepared: &Prepared<'_>) -> Result<Options> {
    refuse_what_no_restore_can_do(plan)?;
    let streams = (0..3).zip(prepared.stdio).filter(|(_, target)| target.starts_with("pipe:"));
    let streams = streams.map(|(fd, target)| InheritFd { key: target.clone(), fd });
    let namespaces =
        prepared.namespaces.iter().map(|(kind, fd)| InheritFd { key: external_key(*kind).into(), fd: *fd });
    Ok(Options {
        root: Some(text(prepared.root)?),
        log_file: Some(RESTORE_LOG.into()),
        evasive_devices: Some(true),
        // The container's init becomes this process's child, not CRIU's.
        rst_sibling: Some(true),
        ext_mnt: prepared.mounts.clone(),
        inherit_fd: namespaces.chain(streams).collect(),
        join_ns: joined_by_criu(plan).map(join).collect::<Result<_>>()?,
        lsm_profile: request.lsm_profile.clone().or_else(|| lsm_profile(&plan.labels)),
        lsm_mount_context: request.lsm_mount_context.clone().or_else(|| mount_context(plan)),
        config_file: config_file(&plan.annotations),
        ..common(&request.criu)
    })
}

/// The config's labels, in CRIU's form. A machine has one of the modules.
fn lsm_profile(labels: &Labels) -> Option<String> {
    let apparmor = labels.apparmor.as_ref().map(|profile| format!("apparmor:{profile}"));
    apparmor.or_else(|| labels.selinux.as_ref().map(|label| format!("selinux:{label}")))
}

fn mount_context(plan: &Plan) -> Option<String> {
    plan.mounts.iter().find_map(|mount| match &mount.label {
        Some(FsLabel::Option(label)) => Some(label.context.clone()),
        Some(FsLabel::Root(_)) | None => None,
    })
}

fn common(request: &CriuRequest) -> Options {
    Options {
        log_level: Some(LOG_LEVEL),
        notify_scripts: Some(true),
        tcp_established: Some(request.tcp_established),
        tcp_close: Some(request.tcp_close),
        ext_unix_sk: Some(request.ext_unix_sk),
        shell_job: Some(request.shell_job),
        file_locks: Some(request.file_locks),
        auto_dedup: Some(request.auto_dedup),
        lazy_pages: Some(request.lazy_pages),
        manage_cgroups: Some(true),
        manage_cgroups_mode: Some(request.cgroups.unwrap_or(CgroupsMode::Default).into()),
        network_lock: request.network_lock.map(Into::into),
        // Whoever makes network namespaces sets them up; --empty-ns asks for what is so anyway.
        empty_ns: u32::try_from(Kind::Network.bit()).ok(),
        orphan_pts_master: Some(true),
        ..Options::default()
    }
}

/// Empty is none at all, as with runc.
fn config_file(annotations: &BTreeMap<String, String>) -> Option<String> {
    let file = annotations.get(CRIU_CONFIG).map_or(DEFAULT_CRIU_CONFIG, String::as_str);
    (!file.is_empty()).then(|| file.into())
}

fn text(path: &Path) -> Result<String> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| Error::new(format!("{}: CRIU takes no path that is not UTF-8", path.display())))
}

/// CRIU makes these namespaces its own before it restores anything.
fn joined_by_criu(plan: &Plan) -> impl Iterator<Item = &Joined> {
    plan.namespaces.all_joined().iter().filter(|joined| !LEFT_ALONE.contains(&joined.kind))
}

fn join(joined: &Joined) -> Result<JoinNamespace> {
    Ok(JoinNamespace { ns: joined.kind.proc_name().into(), ns_file: text(&joined.path)? })
}

/// Has CRIU put the container's cgroups below this one, which is the container's own now.
pub fn in_cgroup(options: Options, cgroup: &Path) -> Result<Options> {
    let own = CgroupRoot { ctrl: Some(String::new()), path: text(cgroup)? };
    Ok(Options { cg_root: vec![own], ..options })
}

/// CRIU reads its files in the middle of a restore as root of the new user namespace, who may not, and can't enter cgroups there.
pub fn no_user_namespace() -> Error {
    Error::new("CRIU can't restore a container that has a user namespace").field("linux.namespaces")
}

/// CRIU would take the host's mounts for the container's.
pub fn no_mount_namespace() -> Error {
    Error::new("a container without a mount namespace can't be checkpointed or restored").field("linux.namespaces")
}

fn refuse_what_no_restore_can_do(plan: &Plan) -> Result<()> {
    if !plan.namespaces.has(Kind::Mount) {
        return Err(no_mount_namespace());
    }
    if plan.namespaces.has(Kind::User) {
        return Err(no_user_namespace());
    }
    if plan.cgroup.delegated.is_some() {
        let text = "a restored container's processes are in the cgroups that they were in";
        return Err(Error::new(text).field(annotation_field(DELEGATE)));
    }
    let unjoinable = [Kind::Mount, Kind::Cgroup];
    if let Some(joined) = plan.namespaces.all_joined().iter().find(|joined| unjoinable.contains(&joined.kind)) {
        let text = format!("a restored container can't join a {} namespace", joined.kind.name());
        return Err(Error::new(text).field(&joined.field));
    }
    if let Some(device) = plan.net_devices.first() {
        return Err(Error::new("a restored container can't be given a network device").field(&device.field));
    }
    if plan.seccomp.as_ref().is_some_and(|filter| filter.listener.is_some()) {
        let text =
            "a restored container's system calls can't be answered by an agent: the kernel hands out no listener again";
        return Err(Error::new(text).field("linux.seccomp.listenerPath"));
    }
    let itself = |mount: &&Mount| matches!(mount.source, MountSource::Bind { link: SourceLink::Itself, .. });
    if let Some(mount) = plan.mounts.iter().find(itself) {
        return Err(Error::new("a mount with src-nofollow can't be restored: CRIU follows links").field(mount.field));
    }
    match plan.mounts.iter().find_map(|mount| mount.id_mapped.as_deref()) {
        Some(id_mapped) => Err(Error::new("an id-mapped mount can't be restored: CRIU takes it for an ordinary one")
            .field(&id_mapped.field)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    use crate::bundle::Bundle;
    use crate::host::Host;
    use crate::plan::Request;

    fn plan(change: impl FnOnce(&mut Value)) -> Plan {
        let mut config = json!({
            "ociVersion": "1.3.0",
            "process": {"cwd": "/", "args": ["x"], "user": {"uid": 0, "gid": 0}},
            "root": {"path": "rootfs"},
            "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}]},
        });
        change(&mut config);
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("rootfs")).unwrap();
        std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        let bundle = Bundle::open(dir.path()).unwrap();
        let request = Request { id: "box".into(), ..Request::default() };
        Plan::new(&bundle, &request, &Host::with_cgroups("/sys/fs/cgroup", "/")).unwrap()
    }

    fn dumped(annotations: &BTreeMap<String, String>) -> Dumped<'_> {
        let mounts = vec![ExternalMount { key: "/run/x".into(), val: "/var/run/x".into() }];
        let namespaces = vec![(Kind::Network, 4711)];
        let (rootfs, cgroup) = (Path::new("/b/rootfs"), Some(Path::new("/sys/fs/cgroup/box")));
        Dumped { pid: 42, rootfs, cgroup, mounts, namespaces, annotations }
    }

    fn dump_of(request: &CheckpointRequest) -> Options {
        dump(request, &dumped(&BTreeMap::new())).unwrap()
    }

    fn prepared(stdio: &[String]) -> Prepared<'_> {
        let namespaces = vec![(Kind::Network, 9)];
        Prepared { root: Path::new("/r"), mounts: Vec::new(), namespaces, stdio }
    }

    fn restore_of(plan: &Plan) -> Result<Options> {
        let stdio = ["/dev/null", "pipe:[1]", "pipe:[2]", "pipe:[3]"].map(String::from);
        restore(&RestoreRequest::default(), plan, &prepared(&stdio))
    }

    #[test]
    fn a_plain_dump() {
        let options = dump_of(&CheckpointRequest::default());
        assert_eq!(options.pid, Some(42));
        assert_eq!(options.root.as_deref(), Some("/b/rootfs"));
        assert_eq!(options.freeze_cgroup.as_deref(), Some("/sys/fs/cgroup/box"));
        assert_eq!(options.log_file.as_deref(), Some("dump.log"));
        assert_eq!(options.external, ["net[4711]:extRootNetNS"]);
        assert_eq!(options.ext_mnt[0].key, "/run/x");
        assert_eq!(options.config_file.as_deref(), Some("/etc/criu/runc.conf"));
        assert_eq!(options.manage_cgroups_mode, Some(CgroupsMode::Default.into()));
        assert_eq!(options.empty_ns, Some(0x4000_0000));
        assert_eq!((options.leave_running, options.track_mem), (Some(false), Some(false)));
        assert_eq!((options.network_lock, options.page_server), (None, None));
    }

    #[test]
    fn each_flag_of_both_commands_is_passed_on() {
        let set = |change: fn(&mut CriuRequest)| {
            let mut request = CheckpointRequest::default();
            change(&mut request.criu);
            dump_of(&request)
        };
        let plain = dump_of(&CheckpointRequest::default());
        let yes = Some(true);
        assert_eq!(set(|r| r.tcp_established = true), Options { tcp_established: yes, ..plain.clone() });
        assert_eq!(set(|r| r.tcp_close = true), Options { tcp_close: yes, ..plain.clone() });
        assert_eq!(set(|r| r.ext_unix_sk = true), Options { ext_unix_sk: yes, ..plain.clone() });
        assert_eq!(set(|r| r.shell_job = true), Options { shell_job: yes, ..plain.clone() });
        assert_eq!(set(|r| r.file_locks = true), Options { file_locks: yes, ..plain.clone() });
        assert_eq!(set(|r| r.auto_dedup = true), Options { auto_dedup: yes, ..plain.clone() });
        assert_eq!(set(|r| r.lazy_pages = true), Options { lazy_pages: yes, ..plain.clone() });
        let strict = Some(CgroupsMode::Strict.into());
        assert_eq!(
            set(|r| r.cgroups = Some(CgroupsMode::Strict)),
            Options { manage_cgroups_mode: strict, ..plain.clone() }
        );
        let skip = Some(NetworkLock::Skip.into());
        assert_eq!(set(|r| r.network_lock = Some(NetworkLock::Skip)), Options { network_lock: skip, ..plain });
    }

    #[test]
    fn each_flag_of_a_dump_is_passed_on() {
        let default = CheckpointRequest::default;
        let plain = dump_of(&default());
        let yes = Some(true);
        assert_eq!(
            dump_of(&CheckpointRequest { leave_running: true, ..default() }),
            Options { leave_running: yes, ..plain.clone() }
        );
        assert_eq!(
            dump_of(&CheckpointRequest { tcp_skip_in_flight: true, ..default() }),
            Options { tcp_skip_in_flight: yes, ..plain.clone() }
        );
        assert_eq!(
            dump_of(&CheckpointRequest { link_remap: true, ..default() }),
            Options { link_remap: yes, ..plain.clone() }
        );
        let page_server = Some(PageServer { address: Some("::1".into()), port: Some(65535) });
        assert_eq!(
            dump_of(&CheckpointRequest { page_server: Some(("::1".into(), 65535)), ..default() }),
            Options { page_server, ..plain.clone() }
        );
        assert_eq!(
            dump_of(&CheckpointRequest { parent: Some("../a".into()), ..default() }),
            Options { parent_img: Some("../a".into()), track_mem: yes, ..plain.clone() }
        );
        assert_eq!(
            dump_of(&CheckpointRequest { pre_dump: true, ..default() }),
            Options { track_mem: yes, ext_mnt: Vec::new(), ..plain }
        );
    }

    #[test]
    fn an_annotation_names_crius_configuration_or_none() {
        let file = |value: &str| {
            let annotations = BTreeMap::from([(CRIU_CONFIG.to_owned(), value.to_owned())]);
            dump(&CheckpointRequest::default(), &dumped(&annotations)).unwrap().config_file
        };
        assert_eq!(file("/x").as_deref(), Some("/x"));
        assert_eq!(file(""), None);
    }

    #[test]
    fn a_plain_restore() {
        let options = in_cgroup(restore_of(&plan(|_| ())).unwrap(), Path::new("/a/box")).unwrap();
        let inherited: Vec<_> = options.inherit_fd.iter().map(|inherit| (inherit.key.as_str(), inherit.fd)).collect();
        assert_eq!(inherited, [("extRootNetNS", 9), ("pipe:[1]", 1), ("pipe:[2]", 2)]);
        assert_eq!(options.cg_root, [CgroupRoot { ctrl: Some(String::new()), path: "/a/box".into() }]);
        assert_eq!((options.rst_sibling, options.evasive_devices), (Some(true), Some(true)));
        assert_eq!((options.root.as_deref(), options.pid), (Some("/r"), None));
        assert_eq!((options.lsm_profile, options.join_ns), (None, Vec::new()));
    }

    #[test]
    fn security_modules_words_are_passed_on() {
        let request = RestoreRequest {
            lsm_profile: Some("apparmor:p".into()),
            lsm_mount_context: Some("c".into()),
            ..RestoreRequest::default()
        };
        let options = restore(&request, &plan(|_| ()), &prepared(&[])).unwrap();
        assert_eq!(
            (options.lsm_profile.as_deref(), options.lsm_mount_context.as_deref()),
            (Some("apparmor:p"), Some("c"))
        );
    }

    #[test]
    fn the_configs_labels_are_asked_for_unless_flags_say_others() {
        let labelled = plan(|config| {
            config["process"]["apparmorProfile"] = json!("own");
            config["linux"]["mountLabel"] = json!("u:r:m:s0");
            config["mounts"] = json!([{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}]);
        });
        let options = restore_of(&labelled).unwrap();
        assert_eq!(options.lsm_profile.as_deref(), Some("apparmor:own"));
        assert_eq!(options.lsm_mount_context.as_deref(), Some("u:r:m:s0"));
        let request = RestoreRequest { lsm_profile: Some("apparmor:other".into()), ..RestoreRequest::default() };
        let options = restore(&request, &labelled, &prepared(&[])).unwrap();
        assert_eq!(options.lsm_profile.as_deref(), Some("apparmor:other"));
        let selinux = plan(|config| config["process"]["selinuxLabel"] = json!("u:r:t:s0"));
        assert_eq!(restore_of(&selinux).unwrap().lsm_profile.as_deref(), Some("selinux:u:r:t:s0"));
    }

    #[test]
    fn what_can_be_joined_is_and_the_rest_is_refused() {
        let joining = |kind: &str| {
            plan(|config| {
                let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
                namespaces.retain(|namespace| namespace["type"] != kind);
                namespaces.push(json!({"type": kind, "path": "/proc/1/ns/x"}));
            })
        };
        for (kind, ns) in [("ipc", "ipc"), ("uts", "uts"), ("time", "time")] {
            let options = restore_of(&joining(kind)).unwrap();
            assert_eq!(options.join_ns, [JoinNamespace { ns: ns.into(), ns_file: "/proc/1/ns/x".into() }]);
        }
        // These come as descriptors.
        for kind in ["network", "pid"] {
            assert!(restore_of(&joining(kind)).unwrap().join_ns.is_empty());
        }
        assert_eq!(restore_of(&joining("user")).unwrap_err().field_path(), Some("linux.namespaces"));
        for kind in ["mount", "cgroup"] {
            let error = restore_of(&joining(kind)).unwrap_err();
            assert!(error.field_path().unwrap().starts_with("linux.namespaces["), "{error}");
        }
    }

    #[test]
    fn what_no_restore_can_do_is_refused_by_name() {
        let agent = plan(|config| {
            config["linux"]["seccomp"] = json!({
                "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/s",
                "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
            });
        });
        assert_eq!(restore_of(&agent).unwrap_err().field_path(), Some("linux.seccomp.listenerPath"));
        let mapping = json!([{"containerID": 0, "hostID": 1000, "size": 1}]);
        let mapped = plan(|config| {
            config["mounts"] = json!([{
                "destination": "/x", "type": "bind", "source": "/x", "options": ["bind"],
                "uidMappings": mapping, "gidMappings": mapping,
            }]);
        });
        assert_eq!(restore_of(&mapped).unwrap_err().field_path(), Some("mounts[0].uidMappings"));
        let delegated = plan(|config| config["annotations"] = json!({"run.oci.delegate-cgroup": "below"}));
        let error = restore_of(&delegated).unwrap_err();
        assert!(error.field_path().is_some_and(|field| field.contains("run.oci.delegate-cgroup")), "{error}");
        let link = plan(|config| {
            let options = ["bind", "src-nofollow"];
            config["mounts"] = json!([{"destination": "/x", "type": "bind", "source": "/x", "options": options}]);
        });
        assert_eq!(restore_of(&link).unwrap_err().field_path(), Some("mounts[0]"));
    }

    #[test]
    fn what_is_the_hosts_is_remembered() {
        let plan = plan(|config| {
            config["mounts"] = json!([
                {"destination": "/var/run/x", "type": "bind", "source": "/x", "options": ["bind"]},
                {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},
                {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"},
            ]);
            config["linux"]["namespaces"] = json!([{"type": "mount"}, {"type": "network", "path": "/n"}]);
        });
        let recorded = External::record(&plan).unwrap();
        let external = External::read(recorded.as_deref()).unwrap();
        assert_eq!(
            external,
            External {
                binds: ["/var/run/x", "/sys/fs/cgroup"].map(|path| Cow::from(Path::new(path))).to_vec(),
                namespaces: Kind::Network.bit()
            }
        );
        assert_eq!(External::read(None).unwrap(), External::default());
    }
}
