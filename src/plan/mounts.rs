//! What is mounted: each entry of `mounts` made plain.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::Spec;

use super::annotations::MountContext;
use super::lsm::MountLabel;
use super::mount_options::{Word, word};
use super::namespaces::{IdMap, IdMaps, Kind, Namespaces, ranges};
use crate::error::{Annotate, Error, Result};
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
        /// What is done with a symbolic link.
        link: SourceLink,
    },
    /// The cgroup2 hierarchy of the host, as no cgroup namespace hides it.
    HostCgroups,
    /// The mount that is there, with other attributes and its file system with these options.
    Remount(Vec<FsOption>),
}

/// What becomes of a bind mount's source that is a symbolic link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SourceLink {
    /// What it leads to is mounted.
    #[default]
    Followed,
    /// `src-nofollow`: the link is mounted as what it is.
    Itself,
    /// `copy-symlink`: the same link is made at the target, and nothing is mounted.
    Copied,
}

/// Whose ids the files of a mount are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountIds {
    /// Container ids are those on disk, host ids the ones that the files get.
    Ranges(IdMaps),
    /// As in the user namespace that this file stands for.
    Like(PathBuf),
}

/// Another owner for the files of a bind mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMapped {
    /// What asks for it: `mounts[3].uidMappings` or the option.
    pub field: String,
    /// Whether for everything mounted below too.
    pub recursive: bool,
    /// Which.
    pub ids: MountIds,
}

/// The place of a mount in the config's list, for errors to name: `mounts[3]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MountField(usize);

impl Display for MountField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mounts[{}]", self.0)
    }
}

impl From<MountField> for String {
    fn from(field: MountField) -> Self {
        field.to_string()
    }
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
    /// Its place in the config.
    pub field: MountField,
    /// Where, absolute inside the container, without `.` and `..`.
    pub target: PathBuf,
    /// What.
    pub source: MountSource,
    /// Attributes of the mount itself.
    pub attr: MountAttr,
    /// Attributes of it and everything below it.
    pub recursive_attr: MountAttr,
    /// Propagation, applied in this order.
    pub propagation: Cow<'static, [Propagation]>,
    /// Made read-only at the very end, when nothing needs to be created on it any more.
    pub late_readonly: bool,
    /// What its target may be.
    pub proc: ProcTarget,
    /// A mapping of the files' owners.
    pub id_mapped: Option<Box<IdMapped>>,
    /// A tmpfs that starts with what its mount point had in it.
    pub copy_up: bool,
    /// A symbolic link in the target's place is mounted on.
    pub target_itself: bool,
    /// What is bound read-only where the kernel doesn't let the container make the file system.
    pub fallback: Option<PathBuf>,
    /// The SELinux context of a file system that takes one.
    pub label: Option<FsLabel>,
}

/// How a file system gets its SELinux context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FsLabel {
    /// As an option when it is made.
    Option(MountLabel),
    /// On its root directory afterwards: mqueue takes no options, and is labelled as a whole by that.
    Root(String),
}

/// What the container is, as far as its mounts depend on it.
pub(super) struct Surroundings<'a> {
    pub bundle: &'a Path,
    pub namespaces: &'a Namespaces,
    pub ids: Option<&'a IdMaps>,
    pub label: Option<&'a MountLabel>,
}

pub(super) fn plan(spec: &Spec, around: &Surroundings<'_>) -> Result<Vec<Mount>> {
    let inherited = inherited_propagation(spec);
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    let mut all = Vec::with_capacity(mounts.len());
    for (i, mount) in mounts.iter().enumerate() {
        let field = MountField(i);
        all.push(plan_one(mount, field, around, inherited).field(field)?);
    }
    Ok(all)
}

/// What a bind mount keeps of the host's peer groups when the config says nothing: it receives, and sends nothing back.
///
/// runc has the same through the propagation of the container's old root, which `linux.rootfsPropagation` sets.
fn inherited_propagation(spec: &Spec) -> &'static [Propagation] {
    let word = spec.linux().as_ref().and_then(|linux| linux.rootfs_propagation().as_deref()).unwrap_or("rslave");
    match word {
        "shared" | "rshared" => &[],
        "private" | "rprivate" | "unbindable" | "runbindable" => {
            &[Propagation { kind: libc::MS_PRIVATE, recursive: true }]
        }
        _ => &[Propagation { kind: libc::MS_SLAVE, recursive: true }],
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
    link: SourceLink,
    target_itself: bool,
    /// The places of the words in `options`.
    copy_up: Option<usize>,
    id_map: Option<IdMapOption>,
}

/// `idmap`, `ridmap` or crun's `idmap=uids=…;gids=…`.
struct IdMapOption {
    index: usize,
    recursive: bool,
    ranges: Option<String>,
}

impl Options {
    fn parse(options: &[String], field: MountField) -> Result<Self> {
        let mut parsed = Self::default();
        for (j, option) in options.iter().enumerate() {
            parsed.add(j, option).field_with(|| format!("{field}.options[{j}]"))?;
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
            Some(Word::Super(name)) => self.data.push(FsOption { index, key: name.into(), value: None }),
            Some(Word::IdMap(recursive)) => self.id_map = Some(IdMapOption { index, recursive, ranges: None }),
            Some(Word::CopyUp) => self.copy_up = Some(index),
            Some(Word::Link(link)) => self.link = link,
            Some(Word::TargetItself) => self.target_itself = true,
            Some(Word::Nothing) => (),
            None => match option.split_once('=') {
                Some((name @ ("idmap" | "ridmap"), ranges)) => {
                    let ranges = Some(ranges.to_owned());
                    self.id_map = Some(IdMapOption { index, recursive: name == "ridmap", ranges });
                }
                _ => self.data.extend(data(index, option)?),
            },
        }
        Ok(())
    }
}

/// A later word overrules an earlier one.
fn change(attr: &mut MountAttr, set: u64, clear: u64) {
    attr.set = (attr.set & !clear) | set;
    attr.clear = (attr.clear & !set) | clear;
}

fn data(index: usize, option: &str) -> Result<Option<FsOption>> {
    let (key, value) = option.split_once('=').map_or((option, None), |(key, value)| (key, Some(value)));
    // mount(2)'s way to have commas in it, which the kernel takes off there and fsconfig(2) doesn't.
    let unquoted = |value: &'_ str| value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).map(str::len);
    let value = value.map(|value| match unquoted(value) {
        Some(length) if MountContext::of_option(key).is_some() => &value[1..=length],
        _ => value,
    });
    if value.is_some_and(|value| value.len() > 255) {
        return Err(Error::new(format!("the value of {key:?} has more than 255 bytes, and the kernel takes no more")));
    }
    let option = FsOption { index, key: key.into(), value: value.map(str::to_owned) };
    Ok((!option.key.is_empty() || option.value.is_some()).then_some(option))
}

fn plan_one(
    mount: &oci_spec::runtime::Mount,
    field: MountField,
    around: &Surroundings<'_>,
    inherited: &'static [Propagation],
) -> Result<Mount> {
    let options = Options::parse(mount.options().as_deref().unwrap_or_default(), field)?;
    let target = clean(mount.destination());
    if target.as_os_str() == "/" {
        return Err(
            Error::new("a mount on / would hide the whole root file system").field(format!("{field}.destination"))
        );
    }
    let source = source(mount, field, &options, around)?;
    check_extensions(&options, &source, field)?;
    let is_bind = matches!(source, MountSource::Bind { .. } | MountSource::HostCgroups);
    let mut attr = options.attr;
    let late_readonly = target.as_os_str() == "/dev" && !is_bind && attr.set & libc::MOUNT_ATTR_RDONLY != 0;
    if late_readonly {
        attr.set &= !libc::MOUNT_ATTR_RDONLY;
    }
    if is_bind {
        // `rw`, `exec` and the like are what a mount is anyway; they don't lift what the host's mount forbids.
        attr.clear &= libc::MOUNT_ATTR__ATIME;
    }
    Ok(Mount {
        field,
        proc: proc_target(&target, &source)?,
        id_mapped: id_mapped(mount, field, &options, &source, around)?.map(Box::new),
        copy_up: options.copy_up.is_some(),
        target_itself: options.target_itself,
        fallback: fallback(&source, around.namespaces),
        label: around.label.and_then(|label| fs_label(label, &source)),
        propagation: propagation(options.propagation, if is_bind { inherited } else { &[] }),
        recursive_attr: options.recursive_attr,
        target,
        source,
        attr,
        late_readonly,
    })
}

/// Words that mean something for one kind of mount only.
fn check_extensions(options: &Options, source: &MountSource, field: MountField) -> Result<()> {
    let is_tmpfs = matches!(source, MountSource::Filesystem { fstype, .. } if fstype == "tmpfs");
    match options.copy_up {
        Some(index) if !is_tmpfs => {
            Err(Error::new("only a tmpfs can start with what is at its place")
                .field(format!("{field}.options[{index}]")))
        }
        _ => Ok(()),
    }
}

/// As runc: proc, sysfs and cgroup have labels of their own in the policy, and a bind mount shows the files with theirs. What the
/// config labels itself stays so.
fn fs_label(label: &MountLabel, source: &MountSource) -> Option<FsLabel> {
    let MountSource::Filesystem { fstype, options, .. } = source else { return None };
    match fstype.as_str() {
        "proc" | "sysfs" | "cgroup2" => None,
        "mqueue" => Some(FsLabel::Root(label.context.clone())),
        _ if options.iter().any(|option| MountContext::of_option(&option.key).is_some()) => None,
        _ => Some(FsLabel::Option(label.clone())),
    }
}

/// sysfs belongs to a network namespace, and its owner alone may mount it. A container in a user namespace that keeps the
/// caller's network gets the caller's /sys to look at.
fn fallback(source: &MountSource, namespaces: &Namespaces) -> Option<PathBuf> {
    let is_sysfs = matches!(source, MountSource::Filesystem { fstype, .. } if fstype == "sysfs");
    (is_sysfs && namespaces.has(Kind::User) && !namespaces.is_new(Kind::Network)).then(|| "/sys".into())
}

/// What `uidMappings`, `gidMappings` and the options say about the owners of files.
fn id_mapped(
    mount: &oci_spec::runtime::Mount,
    field: MountField,
    options: &Options,
    source: &MountSource,
    around: &Surroundings<'_>,
) -> Result<Option<IdMapped>> {
    let (uids, gids) = (mount.uid_mappings().as_deref(), mount.gid_mappings().as_deref());
    let explicit = match (uids, gids) {
        (None, None) => None,
        (Some([_, ..]), Some([_, ..])) => Some(IdMaps { uids: ranges(uids), gids: ranges(gids) }),
        (None | Some([]), _) => {
            return Err(no_mappings("gidMappings", "uidMappings").field(format!("{field}.uidMappings")));
        }
        (_, None | Some([])) => {
            return Err(no_mappings("uidMappings", "gidMappings").field(format!("{field}.gidMappings")));
        }
    };
    let (field, ids) = match (explicit, &options.id_map) {
        (None, None) => return Ok(None),
        (Some(ids), _) => (format!("{field}.uidMappings"), Ok(MountIds::Ranges(ids))),
        (None, Some(option)) => (format!("{field}.options[{}]", option.index), option.ids(around)),
    };
    if !matches!(source, MountSource::Bind { .. }) {
        return Err(Error::new("only a bind mount can be id-mapped").field(field));
    }
    let recursive = options.id_map.as_ref().is_some_and(|option| option.recursive);
    match ids {
        Ok(ids) => Ok(Some(IdMapped { field, recursive, ids })),
        Err(error) => Err(error.field(field)),
    }
}

fn no_mappings(given: &str, missing: &str) -> Error {
    Error::new(format!("{missing} has to be there, with at least one mapping, where {given} is"))
}

impl IdMapOption {
    fn ids(&self, around: &Surroundings<'_>) -> Result<MountIds> {
        if let Some(text) = &self.ranges {
            return parse_id_maps(text, around.ids).map(MountIds::Ranges);
        }
        match (around.ids, around.namespaces.joined(Kind::User)) {
            (Some(ids), _) => Ok(MountIds::Ranges(ids.clone())),
            (None, Some(joined)) => Ok(MountIds::Like(joined.path.clone())),
            (None, None) => Err(Error::new("needs uidMappings and gidMappings, or a user namespace to take them from")),
        }
    }
}

/// crun's `uids=0-1-10#10-11-10;gids=@0-100-10`: the id on disk, the host's id, how many. With `@` the second is an id inside
/// the container.
fn parse_id_maps(text: &str, container: Option<&IdMaps>) -> Result<IdMaps> {
    let (mut uids, mut gids) = (None, None);
    for part in text.split(';') {
        match part.split_once('=') {
            Some(("uids", list)) => uids = Some(parse_ranges(list, container.map(|ids| &*ids.uids))?),
            Some(("gids", list)) => gids = Some(parse_ranges(list, container.map(|ids| &*ids.gids))?),
            _ => return Err(Error::new(format!("{part:?} is neither uids=… nor gids=…"))),
        }
    }
    match (uids, gids) {
        (Some(uids), Some(gids)) => Ok(IdMaps { uids, gids }),
        _ => Err(Error::new("needs both uids=… and gids=…")),
    }
}

fn parse_ranges(list: &str, container: Option<&[IdMap]>) -> Result<Vec<IdMap>> {
    list.split('#').map(|range| parse_range(range, container)).collect()
}

fn parse_range(text: &str, container: Option<&[IdMap]>) -> Result<IdMap> {
    let wrong = || Error::new(format!("{text:?} is not a range of ids such as 0-1000-10"));
    let (relative, plain) = text.strip_prefix('@').map_or((false, text), |plain| (true, plain));
    let numbers: Vec<u32> = plain.split('-').map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
    let [on_disk, host, size] = numbers[..] else { return Err(wrong()) };
    let range = IdMap { container: on_disk, host, size };
    if size == 0 || on_disk.checked_add(size).is_none() || host.checked_add(size).is_none() {
        return Err(wrong());
    }
    if !relative {
        return Ok(range);
    }
    let outside = container.unwrap_or_default().iter().find_map(|map| map.outside(host, size));
    let outside = outside.ok_or_else(|| Error::new(format!("{text:?} is not in one range of the container's own")))?;
    Ok(IdMap { host: outside, ..range })
}

fn propagation(explicit: Vec<Propagation>, inherited: &'static [Propagation]) -> Cow<'static, [Propagation]> {
    let leaves_peers = |p: &Propagation| p.recursive && [libc::MS_PRIVATE, libc::MS_SLAVE].contains(&p.kind);
    match explicit.first() {
        None => Cow::Borrowed(inherited),
        // A "shared" of the config's is a peer group of the container's own, not membership in the host's.
        Some(first) if !leaves_peers(first) => Cow::Owned([inherited, &explicit].concat()),
        Some(_) => Cow::Owned(explicit),
    }
}

fn source(
    mount: &oci_spec::runtime::Mount,
    field: MountField,
    options: &Options,
    around: &Surroundings<'_>,
) -> Result<MountSource> {
    let fstype = mount.typ().as_deref().unwrap_or_default();
    let source = mount.source().as_deref().unwrap_or(Path::new(""));
    if options.remount {
        return Ok(MountSource::Remount(options.data.clone()));
    }
    if options.bind.is_some() || fstype == "bind" {
        return bind(source, field, options, around.bundle);
    }
    match fstype {
        "" | "none" => {
            Err(Error::new("needs a file system type, or the option bind or rbind").field(format!("{field}.type")))
        }
        "cgroup" if !around.namespaces.has(Kind::Cgroup) => Ok(MountSource::HostCgroups),
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

fn bind(source: &Path, field: MountField, options: &Options, bundle: &Path) -> Result<MountSource> {
    if source.as_os_str().is_empty() {
        return Err(Error::new("a bind mount needs a source").field(format!("{field}.source")));
    }
    if let Some(FsOption { index, key, .. }) = options.data.iter().find(|option| !is_super_flag(option)) {
        let text = format!("bind mounts cannot have any filesystem-specific options applied, such as {key:?}");
        return Err(Error::new(text).field(format!("{field}.options[{index}]")));
    }
    let path = if source.is_absolute() { source.to_owned() } else { bundle.join(source) };
    Ok(MountSource::Bind { path, recursive: options.bind == Some(true), link: options.link })
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
    let below = match target.as_os_str().as_bytes().strip_prefix(b"/proc") {
        Some([]) => {
            return match source {
                MountSource::Bind { .. } => Ok(ProcTarget::BoundProc),
                MountSource::Remount(_) => Ok(ProcTarget::Itself),
                _ => Err(inside_proc(target)),
            };
        }
        Some([b'/', below @ ..]) => below,
        _ => return Ok(ProcTarget::Refused),
    };
    if PROC_FILES.iter().any(|allowed| below == allowed.as_bytes()) {
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
    if is_clean(path) {
        return path.to_owned();
    }
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

/// Whether that is what it is already, as most are.
fn is_clean(path: &Path) -> bool {
    let is_name = |part: &[u8]| !matches!(part, b"" | b"." | b"..");
    let below_root = path.as_os_str().as_bytes().strip_prefix(b"/");
    below_root.is_some_and(|names| names.split(|byte| *byte == b'/').all(is_name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn plan_with(mounts: &Value, linux: &Value) -> Result<Vec<Mount>> {
        plan_labelled(mounts, linux, None)
    }

    fn plan_labelled(mounts: &Value, linux: &Value, label: Option<&MountLabel>) -> Result<Vec<Mount>> {
        let spec: Spec =
            serde_json::from_value(json!({"ociVersion": "1.3.0", "mounts": mounts, "linux": linux})).unwrap();
        let namespaces = Namespaces::new(&spec);
        let ids = IdMaps::new(&spec, &namespaces);
        plan(&spec, &Surroundings { bundle: Path::new("/bundle"), namespaces: &namespaces, ids: ids.as_ref(), label })
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
        assert_eq!((mount.attr.set, mount.attr.clear, &*mount.propagation), (set, 0, &[][..]));
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
        assert_eq!(
            mount.source,
            MountSource::Bind { path: "/bundle/data".into(), recursive: true, link: SourceLink::Followed }
        );
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
        assert_eq!(*one(&bind(json!(["bind"]))).propagation, [SLAVE]);
        assert_eq!(*one(&bind(json!(["bind", "rprivate"]))).propagation, [private]);
        assert_eq!(*one(&bind(json!(["bind", "rshared"]))).propagation, [SLAVE, shared]);
        let linux = json!({"namespaces": [{"type": "mount"}], "rootfsPropagation": "shared"});
        let plan = |options| plan_with(&json!([bind(options)]), &linux).unwrap().remove(0).propagation;
        assert_eq!(*plan(json!(["bind", "rshared"])), [shared]);
        assert_eq!(*plan(json!(["bind"])), []);
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
    fn a_target_is_one_way_of_many_to_say_it() {
        for path in ["/a/b", "a/b", "/a//b", "/a/b/", "/./a/b", "/a/./b", "/a/x/../b", "/../a/b", "//a/b"] {
            assert_eq!(clean(Path::new(path)).as_os_str(), "/a/b", "{path}");
        }
        for path in ["/", "", "/..", "//", "a/.."] {
            assert_eq!(clean(Path::new(path)).as_os_str(), "/", "{path}");
        }
        assert_eq!(clean(Path::new("/..a/.b")).as_os_str(), "/..a/.b");
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
        assert_eq!(one(&json!({"destination": "/process", "type": "tmpfs"})).proc, ProcTarget::Refused);
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
        assert!(idmap.starts_with("mounts[0].options[2]: needs uidMappings"), "{idmap}");
        let map = json!([{"containerID": 0, "hostID": 5, "size": 1}]);
        let half = refusal(&json!({"destination": "/x", "source": "/y", "options": ["bind"], "uidMappings": map}));
        assert!(half.starts_with("mounts[0].gidMappings: "), "{half}");
        let made = json!({"destination": "/x", "type": "tmpfs", "uidMappings": map, "gidMappings": map});
        assert!(refusal(&made).starts_with("mounts[0].uidMappings: only a bind mount"));
        let copied = refusal(&json!({"destination": "/x", "type": "ramfs", "options": ["tmpcopyup"]}));
        assert!(copied.starts_with("mounts[0].options[0]: "), "{copied}");
        assert!(refusal(&json!({"destination": "/x"})).starts_with("mounts[0].type: "));
        assert!(refusal(&json!({"destination": "/x", "type": "bind"})).starts_with("mounts[0].source: "));
    }

    /// The mapping of a bind mount with these options, in a container whose ids 0 and 1 to 1000 are 0 and 2 to 1001 outside.
    fn id_mapping(options: &Value) -> Result<IdMapped> {
        let ids = json!([{"containerID": 0, "hostID": 0, "size": 1}, {"containerID": 1, "hostID": 2, "size": 1000}]);
        let linux =
            json!({"namespaces": [{"type": "mount"}, {"type": "user"}], "uidMappings": ids, "gidMappings": ids});
        let mount = json!({"destination": "/x", "source": "/y", "options": options});
        plan_with(&json!([mount]), &linux).map(|mut mounts| *mounts.remove(0).id_mapped.unwrap())
    }

    #[test]
    fn a_mapping_is_the_containers_or_the_options() {
        let own = id_mapping(&json!(["rbind", "ridmap"])).unwrap();
        assert!(own.recursive && matches!(own.ids, MountIds::Ranges(ref ids) if ids.uids.len() == 2));
        let text = "idmap=uids=@1-3-10#20-30-1;gids=0-100-10";
        let given = id_mapping(&json!(["bind", text])).unwrap();
        let range = |container, host, size| IdMap { container, host, size };
        let (uids, gids) = (vec![range(1, 4, 10), range(20, 30, 1)], vec![range(0, 100, 10)]);
        let ids = MountIds::Ranges(IdMaps { uids, gids });
        assert_eq!(given, IdMapped { field: "mounts[0].options[1]".into(), recursive: false, ids });
        for wrong in ["", "uids=0-0-1", "uids=0-0;gids=0-0-1", "uids=@2000-2000-1;gids=0-0-1", "uids=@0-0-5;gids=0-0-1"]
        {
            let error = id_mapping(&json!(["bind", format!("idmap={wrong}")])).unwrap_err().to_string();
            assert!(error.starts_with("mounts[0].options[1]: "), "{wrong}: {error}");
        }
    }

    #[test]
    fn sysfs_has_a_stand_in_where_the_network_is_the_callers() {
        let ids = json!([{"containerID": 0, "hostID": 1000, "size": 1}]);
        let fallback = |kinds: &[&str]| {
            let list: Vec<Value> = kinds.iter().map(|kind| json!({"type": kind})).collect();
            let linux = json!({"namespaces": list, "uidMappings": ids, "gidMappings": ids});
            plan_with(&json!([{"destination": "/sys", "type": "sysfs"}]), &linux).unwrap().remove(0).fallback
        };
        assert_eq!(fallback(&["mount", "user"]), Some("/sys".into()));
        assert_eq!(fallback(&["mount", "user", "network"]), None);
        assert_eq!(fallback(&["mount"]), None);
    }

    #[test]
    fn file_systems_are_labelled_as_by_runc() {
        let label = MountLabel { context: "u:r:t:s0".into(), of: MountContext::Filesystem };
        let labelled = |fstype: &str, options: &Value| {
            let mount = json!({"destination": "/x", "type": fstype, "source": "/s", "options": options});
            let linux = json!({"namespaces": [{"type": "mount"}, {"type": "cgroup"}]});
            plan_labelled(&json!([mount]), &linux, Some(&label)).unwrap().remove(0).label
        };
        let option = Some(FsLabel::Option(label.clone()));
        for (fstype, expected) in [
            ("tmpfs", option.clone()),
            ("devpts", option.clone()),
            ("overlay", option),
            ("mqueue", Some(FsLabel::Root("u:r:t:s0".into()))),
            ("proc", None),
            ("sysfs", None),
            ("cgroup", None),
            ("cgroup2", None),
        ] {
            assert_eq!(labelled(fstype, &json!([])), expected, "{fstype}");
        }
        assert_eq!(labelled("none", &json!(["bind"])), None);
        assert_eq!(labelled("tmpfs", &json!(["remount"])), None);
        assert_eq!(labelled("tmpfs", &json!(["rootcontext=u:r:own:s0"])), None);
    }

    #[test]
    fn the_quotes_of_a_context_are_mounts_own() {
        let options = |option: &str| {
            let mount = one(&json!({"destination": "/x", "type": "tmpfs", "source": "x", "options": [option]}));
            let MountSource::Filesystem { options, .. } = mount.source else { panic!("{option}") };
            options[0].value.clone().unwrap()
        };
        assert_eq!(options("context=\"u:r:t:s0:c1,c2\""), "u:r:t:s0:c1,c2");
        assert_eq!(options("context=u:r:t:s0"), "u:r:t:s0");
        assert_eq!(options("context=\""), "\"");
        assert_eq!(options("size=\"1\""), "\"1\"");
    }
}
