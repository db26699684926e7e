//! What is mounted: each entry of `mounts` made plain.

use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::Spec;

use super::mount_options::{Word, word};
use super::namespaces::{Kind, Namespaces};
use crate::error::{Error, Result};
use crate::sys::MountAttr;

/// How later mounts travel between a mount and its peers: `MS_SHARED`, `MS_PRIVATE`, `MS_SLAVE` or `MS_UNBINDABLE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Propagation {
    /// The kind's bit.
    pub kind: u64,
    /// Whether the mounts below get it too.
    pub recursive: bool,
}

/// An option of a file system, as fsconfig(2) takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FsOption {
    /// Its place in `options`.
    pub index: usize,
    /// The word, or what stands before the `=`.
    pub key: String,
    /// What stands behind the `=`.
    pub value: Option<String>,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountSource {
    /// A file system, made anew in the container's namespaces.
    Filesystem {
        /// `tmpfs`, `proc`, …
        fstype: String,
        /// What `/proc/mounts` shows as its device.
        source: String,
        /// Its options, in order.
        options: Vec<FsOption>,
    },
    /// A file or tree of the host.
    Bind {
        /// Absolute.
        path: PathBuf,
        /// Whether with everything mounted below.
        recursive: bool,
    },
    /// The cgroup2 hierarchy of the host, as no cgroup namespace hides it.
    HostCgroups,
    /// The mount that is there, with other attributes.
    Remount,
}

/// Whether a mount may have a target inside procfs, which would hide what the runtime and the container rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcTarget {
    /// An ordinary mount: refused when its target turns out to be inside procfs.
    Refused,
    /// procfs or sysfs itself: its target must be a directory that is reached without any symbolic link (CVE-2019-19921).
    Itself,
    /// procfs of the host bound to /proc: as `Itself`, and the source must be the root of a procfs.
    BoundProc,
    /// One of the files below /proc that lxcfs and others replace.
    Allowed,
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Its place in the config, `mounts[3]`.
    pub field: String,
    /// Where, absolute inside the container, without `.` and `..`.
    pub target: PathBuf,
    /// What.
    pub source: MountSource,
    /// Attributes of the mount itself.
    pub attr: MountAttr,
    /// Attributes of it and everything below it.
    pub recursive_attr: MountAttr,
    /// Propagation, applied in this order.
    pub propagation: Vec<Propagation>,
    /// Made read-only at the very end, when nothing needs to be created on it any more.
    pub late_readonly: bool,
    /// What its target may be.
    pub proc: ProcTarget,
}

pub(super) fn plan(spec: &Spec, bundle: &Path, namespaces: &Namespaces) -> Result<Vec<Mount>> {
    let inherited = inherited_propagation(spec);
    let one = |(i, mount): (usize, &oci_spec::runtime::Mount)| {
        let field = format!("mounts[{i}]");
        plan_one(mount, &field, bundle, namespaces, inherited).map_err(|error| error.field(field))
    };
    spec.mounts().iter().flatten().enumerate().map(one).collect()
}

/// What a bind mount keeps of the host's peer groups when the config says nothing: it receives, and sends nothing back.
///
/// runc has the same through the propagation of the container's old root, which `linux.rootfsPropagation` sets.
fn inherited_propagation(spec: &Spec) -> Option<Propagation> {
    let word = spec.linux().as_ref().and_then(|linux| linux.rootfs_propagation().as_deref()).unwrap_or("rslave");
    match word {
        "shared" | "rshared" => None,
        "private" | "rprivate" | "unbindable" | "runbindable" => {
            Some(Propagation { kind: libc::MS_PRIVATE, recursive: true })
        }
        _ => Some(Propagation { kind: libc::MS_SLAVE, recursive: true }),
    }
}

/// `mounts[].options`, sorted by what they do.
#[derive(Default)]
struct Options {
    attr: MountAttr,
    recursive_attr: MountAttr,
    propagation: Vec<Propagation>,
    data: Vec<FsOption>,
    bind: Option<bool>,
    remount: bool,
}

impl Options {
    fn parse(options: &[String], field: &str) -> Result<Self> {
        let mut parsed = Self::default();
        for (j, option) in options.iter().enumerate() {
            parsed.add(j, option).map_err(|error| error.field(format!("{field}.options[{j}]")))?;
        }
        Ok(parsed)
    }

    fn add(&mut self, index: usize, option: &str) -> Result<()> {
        match word(option) {
            Some(Word::Attr { set, clear }) => change(&mut self.attr, set, clear),
            Some(Word::RecursiveAttr { set, clear }) => change(&mut self.recursive_attr, set, clear),
            Some(Word::Propagate(propagation)) => self.propagation.push(propagation),
            Some(Word::Bind(recursive)) => self.bind = Some(recursive || self.bind == Some(true)),
            Some(Word::Remount) => self.remount = true,
            Some(Word::Super(Some(name))) => self.data.push(FsOption { index, key: name.into(), value: None }),
            Some(Word::Super(None) | Word::Nothing) => (),
            None => self.data.extend(data(index, option)?),
        }
        Ok(())
    }
}

/// A later word overrules an earlier one.
fn change(attr: &mut MountAttr, set: u64, clear: u64) {
    attr.set = (attr.set & !clear) | set;
    attr.clear = (attr.clear & !set) | clear;
}

/// Words that need support of their own, which is not there yet, must not be handed to a file system as data.
const NOT_YET: [&str; 6] = ["idmap", "ridmap", "tmpcopyup", "copy-symlink", "src-nofollow", "dest-nofollow"];

fn data(index: usize, option: &str) -> Result<Option<FsOption>> {
    let (key, value) = option.split_once('=').map_or((option, None), |(key, value)| (key, Some(value)));
    if NOT_YET.contains(&key) {
        return Err(Error::new(format!("mount option {key:?} is not supported yet")));
    }
    if value.is_some_and(|value| value.len() > 255) {
        return Err(Error::new(format!("the value of {key:?} has more than 255 bytes, and the kernel takes no more")));
    }
    let option = FsOption { index, key: key.into(), value: value.map(str::to_owned) };
    Ok((!option.key.is_empty() || option.value.is_some()).then_some(option))
}

fn plan_one(
    mount: &oci_spec::runtime::Mount,
    field: &str,
    bundle: &Path,
    namespaces: &Namespaces,
    inherited: Option<Propagation>,
) -> Result<Mount> {
    if mount.uid_mappings().is_some() || mount.gid_mappings().is_some() {
        return Err(Error::new("id-mapped mounts are not supported yet").field(format!("{field}.uidMappings")));
    }
    let options = Options::parse(mount.options().as_deref().unwrap_or_default(), field)?;
    let target = clean(mount.destination());
    if target == Path::new("/") {
        return Err(
            Error::new("a mount on / would hide the whole root file system").field(format!("{field}.destination"))
        );
    }
    let source = source(mount, field, &options, bundle, namespaces)?;
    let is_bind = matches!(source, MountSource::Bind { .. } | MountSource::HostCgroups);
    let mut attr = options.attr;
    let late_readonly = target == Path::new("/dev") && !is_bind && attr.set & libc::MOUNT_ATTR_RDONLY != 0;
    if late_readonly {
        attr.set &= !libc::MOUNT_ATTR_RDONLY;
    }
    if is_bind {
        // `rw`, `exec` and the like are what a mount is anyway; they don't lift what the host's mount forbids.
        attr.clear &= libc::MOUNT_ATTR__ATIME;
    }
    Ok(Mount {
        field: field.into(),
        proc: proc_target(&target, &source)?,
        propagation: propagation(options.propagation, inherited.filter(|_| is_bind)),
        recursive_attr: options.recursive_attr,
        target,
        source,
        attr,
        late_readonly,
    })
}

fn propagation(explicit: Vec<Propagation>, inherited: Option<Propagation>) -> Vec<Propagation> {
    let leaves_peers = |p: &Propagation| p.recursive && [libc::MS_PRIVATE, libc::MS_SLAVE].contains(&p.kind);
    // A "shared" of the config's is a peer group of the container's own, not membership in the host's.
    let inherited = inherited.filter(|_| !explicit.first().is_some_and(leaves_peers));
    inherited.into_iter().chain(explicit).collect()
}

fn source(
    mount: &oci_spec::runtime::Mount,
    field: &str,
    options: &Options,
    bundle: &Path,
    namespaces: &Namespaces,
) -> Result<MountSource> {
    let fstype = mount.typ().as_deref().unwrap_or_default();
    let source = mount.source().clone().unwrap_or_default();
    if options.remount {
        return Ok(MountSource::Remount);
    }
    if options.bind.is_some() || fstype == "bind" {
        return bind(&source, field, options, bundle);
    }
    match fstype {
        "" | "none" => {
            Err(Error::new("needs a file system type, or the option bind or rbind").field(format!("{field}.type")))
        }
        "cgroup" if !namespaces.has(Kind::Cgroup) => Ok(MountSource::HostCgroups),
        _ => Ok(MountSource::Filesystem {
            // Callers say "cgroup" for either version.
            fstype: if fstype == "cgroup" { "cgroup2".into() } else { fstype.into() },
            source: source.display().to_string(),
            options: if fstype == "cgroup" { cgroup2_options(&options.data) } else { options.data.clone() },
        }),
    }
}

/// Without what only version 1 knows, which engines may send for either.
fn cgroup2_options(options: &[FsOption]) -> Vec<FsOption> {
    let v2 = |option: &&FsOption| {
        option.key == "nsdelegate" || option.key.starts_with("memory_") || option.key == "favordynmods"
    };
    options.iter().filter(v2).cloned().collect()
}

fn bind(source: &Path, field: &str, options: &Options, bundle: &Path) -> Result<MountSource> {
    if source.as_os_str().is_empty() {
        return Err(Error::new("a bind mount needs a source").field(format!("{field}.source")));
    }
    if let Some(FsOption { index, key, .. }) = options.data.iter().find(|option| !is_super_flag(option)) {
        let text = format!("bind mounts cannot have any filesystem-specific options applied, such as {key:?}");
        return Err(Error::new(text).field(format!("{field}.options[{index}]")));
    }
    Ok(MountSource::Bind { path: bundle.join(source), recursive: options.bind == Some(true) })
}

/// `sync` and the like are harmless on a bind mount, which has no super block of its own to set them on.
fn is_super_flag(option: &FsOption) -> bool {
    matches!(word(&option.key), Some(Word::Super(_)))
}

/// What may be replaced below /proc; runc's list.
const PROC_FILES: [&str; 11] = [
    "cpuinfo",
    "diskstats",
    "meminfo",
    "stat",
    "swaps",
    "uptime",
    "loadavg",
    "slabinfo",
    "sys/kernel/ns_last_pid",
    "sys/crypto/fips_enabled",
    "net/dev",
];

fn proc_target(target: &Path, source: &MountSource) -> Result<ProcTarget> {
    let is = |name: &str| matches!(source, MountSource::Filesystem { fstype, .. } if fstype == name);
    if is("proc") || is("sysfs") {
        return Ok(ProcTarget::Itself);
    }
    let Ok(below) = target.strip_prefix("/proc") else { return Ok(ProcTarget::Refused) };
    if below.as_os_str().is_empty() {
        return match source {
            MountSource::Bind { .. } => Ok(ProcTarget::BoundProc),
            MountSource::Remount => Ok(ProcTarget::Itself),
            _ => Err(inside_proc(target)),
        };
    }
    if PROC_FILES.iter().any(|allowed| below == Path::new(allowed)) {
        return Ok(ProcTarget::Allowed);
    }
    Err(inside_proc(target))
}

/// The refusal of a mount that would hide a part of procfs (CVE-2019-16884).
pub fn inside_proc(target: &Path) -> Error {
    Error::new(format!("{:?} cannot be mounted because it is inside /proc", target.display().to_string()))
        .hint("the runtime and the container's security settings rely on the files there")
}

/// An absolute path without `.`, `..` and double slashes; what is relative is taken from `/`, as runc does.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => (),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn plan_with(mounts: &Value, linux: &Value) -> Result<Vec<Mount>> {
        let spec: Spec =
            serde_json::from_value(json!({"ociVersion": "1.3.0", "mounts": mounts, "linux": linux})).unwrap();
        plan(&spec, Path::new("/bundle"), &Namespaces::new(&spec)?)
    }

    fn one(mount: &Value) -> Mount {
        plan_with(&json!([mount]), &json!({"namespaces": [{"type": "mount"}, {"type": "cgroup"}]})).unwrap().remove(0)
    }

    fn refusal(mount: &Value) -> String {
        let linux = json!({"namespaces": [{"type": "mount"}]});
        plan_with(&json!([mount]), &linux).unwrap_err().to_string()
    }

    const SLAVE: Propagation = Propagation { kind: libc::MS_SLAVE, recursive: true };

    #[test]
    fn a_file_system_with_attributes_and_data() {
        let mount = one(&json!({"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
            "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k", "sync"]}));
        let option =
            |index, key: &str, value: Option<&str>| FsOption { index, key: key.into(), value: value.map(Into::into) };
        let options = vec![option(3, "mode", Some("1777")), option(4, "size", Some("65536k")), option(5, "sync", None)];
        let source = MountSource::Filesystem { fstype: "tmpfs".into(), source: "shm".into(), options };
        assert_eq!(mount.source, source);
        let set = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC | libc::MOUNT_ATTR_NODEV;
        assert_eq!((mount.attr.set, mount.attr.clear, mount.propagation), (set, 0, vec![]));
    }

    #[test]
    fn the_last_word_wins() {
        let mount =
            one(&json!({"destination": "/x", "type": "tmpfs", "options": ["ro", "rw", "noatime", "strictatime"]}));
        assert_eq!(mount.attr.set, libc::MOUNT_ATTR_STRICTATIME);
        assert_eq!(mount.attr.clear, libc::MOUNT_ATTR__ATIME | libc::MOUNT_ATTR_RDONLY);
    }

    #[test]
    fn a_relative_bind_source_is_the_bundles() {
        let mount = one(&json!({"destination": "/x", "source": "data", "options": ["rbind", "ro"]}));
        assert_eq!(mount.source, MountSource::Bind { path: "/bundle/data".into(), recursive: true });
        assert_eq!(mount.attr.set, libc::MOUNT_ATTR_RDONLY);
    }

    #[test]
    fn rw_does_not_lift_what_the_hosts_mount_forbids() {
        let mount =
            one(&json!({"destination": "/x", "source": "/y", "options": ["bind", "rw", "exec", "suid", "dev"]}));
        assert_eq!((mount.attr.set, mount.attr.clear), (0, 0));
    }

    #[test]
    fn a_bind_mount_receives_from_the_host_and_never_sends_unless_the_root_does() {
        let bind = |options: Value| json!({"destination": "/x", "source": "/y", "options": options});
        let shared = Propagation { kind: libc::MS_SHARED, recursive: true };
        let private = Propagation { kind: libc::MS_PRIVATE, recursive: true };
        assert_eq!(one(&bind(json!(["bind"]))).propagation, [SLAVE]);
        assert_eq!(one(&bind(json!(["bind", "rprivate"]))).propagation, [private]);
        assert_eq!(one(&bind(json!(["bind", "rshared"]))).propagation, [SLAVE, shared]);
        let linux = json!({"namespaces": [{"type": "mount"}], "rootfsPropagation": "shared"});
        let plan = |options| plan_with(&json!([bind(options)]), &linux).unwrap().remove(0).propagation;
        assert_eq!(plan(json!(["bind", "rshared"])), [shared]);
        assert_eq!(plan(json!(["bind"])), []);
    }

    #[test]
    fn targets_are_absolute_and_clean() {
        for (given, clean_path) in [("a/./b//c", "/a/b/c"), ("/a/../b", "/b"), ("../../x", "/x"), ("/", "/")] {
            assert_eq!(clean(Path::new(given)), Path::new(clean_path));
        }
        assert!(refusal(&json!({"destination": "/..", "type": "tmpfs"})).starts_with("mounts[0].destination: "));
    }

    #[test]
    fn a_dev_that_is_read_only_becomes_so_last() {
        let mount = one(&json!({"destination": "/dev", "type": "tmpfs", "options": ["ro", "nosuid"]}));
        assert!(mount.late_readonly && mount.attr.set == libc::MOUNT_ATTR_NOSUID);
        let bound = one(&json!({"destination": "/dev", "source": "/dev", "options": ["bind", "ro"]}));
        assert!(!bound.late_readonly && bound.attr.set == libc::MOUNT_ATTR_RDONLY);
    }

    #[test]
    fn nothing_is_mounted_over_proc_but_proc() {
        for path in ["/proc", "/proc/self", "/proc/self/attr", "/proc/sys", "proc/sys/kernel", "/x/../proc"] {
            let error = refusal(&json!({"destination": path, "type": "tmpfs"}));
            assert!(error.starts_with("mounts[0]: ") && error.contains("inside /proc"), "{path}: {error}");
        }
        assert_eq!(one(&json!({"destination": "/proc", "type": "proc"})).proc, ProcTarget::Itself);
        assert_eq!(one(&json!({"destination": "/elsewhere", "type": "proc"})).proc, ProcTarget::Itself);
        assert_eq!(
            one(&json!({"destination": "/proc", "source": "/proc", "options": ["rbind"]})).proc,
            ProcTarget::BoundProc
        );
        let lxcfs = json!({"destination": "/proc/meminfo", "source": "/x", "options": ["bind"]});
        assert_eq!(one(&lxcfs).proc, ProcTarget::Allowed);
    }

    #[test]
    fn cgroup_means_the_second_version_and_the_namespaces_own_view() {
        let cgroup = json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]});
        assert!(matches!(one(&cgroup).source, MountSource::Filesystem { ref fstype, .. } if fstype == "cgroup2"));
        let linux = json!({"namespaces": [{"type": "mount"}]});
        assert_eq!(plan_with(&json!([cgroup]), &linux).unwrap()[0].source, MountSource::HostCgroups);
    }

    #[test]
    fn what_cannot_be_done_is_refused_with_its_field() {
        let data = refusal(&json!({"destination": "/x", "source": "/y", "options": ["bind", "size=1"]}));
        assert!(data.starts_with("mounts[0].options[1]: bind mounts cannot have"), "{data}");
        let idmap = refusal(&json!({"destination": "/x", "source": "/y", "options": ["bind", "ro", "idmap"]}));
        assert!(idmap.starts_with("mounts[0].options[2]: "), "{idmap}");
        assert!(refusal(&json!({"destination": "/x"})).starts_with("mounts[0].type: "));
        assert!(refusal(&json!({"destination": "/x", "type": "bind"})).starts_with("mounts[0].source: "));
    }
}
