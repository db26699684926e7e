//! Whether restored processes are as confined as the config says, looked at while they stand still for the last time.
//!
//! CRIU gives a process the credentials, filters, namespaces and mounts that the checkpoint's files say, and whoever wrote those
//! may not be who wrote the config (CVE-2026-94603 and its kind). They can't be changed from outside, so a process that has more
//! than the config lets it have is refused, and with it the container. Having less is no matter.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, StatxAttributes, StatxFlags, fstat, open, statx};

use crate::error::{Annotate, Context, Error, Result};
use crate::host::{cgroup_of, read_proc};
use crate::inside::{Inside, is_char_device};
use crate::mountinfo::{self, Entry};
use crate::plan::{Capabilities, Kind, Labels, Mount, MountSource, Plan};
use crate::seccomp::{Filter, SockFilter};
use crate::sources::{Source, Sources};

const KINDS: [Kind; 8] =
    [Kind::Mount, Kind::Cgroup, Kind::Uts, Kind::Ipc, Kind::User, Kind::Pid, Kind::Network, Kind::Time];

/// What the filter's first filters have to be: the one that the config's profile makes. Filters on top of it only take away.
///
/// # Errors
/// Names `linux.seccomp`.
pub(super) fn check_filters(profile: Option<&Filter>, first: &[Vec<u8>]) -> Result<()> {
    let Some(profile) = profile else { return Ok(()) };
    let program = bytes(&profile.program);
    if first.iter().all(|filter| *filter == program) {
        return Ok(());
    }
    Err(Error::new("the checkpoint's processes are under another filter than this profile makes")
        .hint("checkpoints are restored with the profile that they were made under, and by the same release of Orlop")
        .field("linux.seccomp"))
}

/// As the kernel gives it out and CRIU writes it: `struct sock_filter`, in this machine's byte order.
fn bytes(program: &[SockFilter]) -> Vec<u8> {
    let one = |filter: &SockFilter| {
        let [code, k] = [filter.code.to_ne_bytes().to_vec(), filter.k.to_ne_bytes().to_vec()];
        [code, vec![filter.jt, filter.jf], k].concat()
    };
    program.iter().flat_map(one).collect()
}

/// What the config demands of every process.
#[derive(Debug)]
pub(super) struct Demands {
    confinement: Confinement,
    labels: Labels,
    namespaces: Vec<Demanded>,
    cgroup: PathBuf,
    root: Root,
    mounts: Vec<(Mount, Option<Stat>)>,
    masked: Vec<PathBuf>,
    readonly: Vec<PathBuf>,
    devices: Vec<PathBuf>,
}

/// What `/proc/PID/status` has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Confinement {
    /// Every capability that the config names.
    capabilities: u64,
    no_new_privileges: bool,
    seccomp: bool,
    /// Ids on the host that a process has to have, where it has no way to change them.
    uid: Option<u32>,
    gid: Option<u32>,
}

/// What a namespace has to be.
#[derive(Debug)]
enum Demanded {
    /// Not that of this process.
    Other(Kind, (u64, u64)),
    /// This one.
    This(Kind, (u64, u64), String),
}

#[derive(Debug)]
struct Root {
    stat: (u64, u64),
    readonly: bool,
}

impl Demands {
    pub(super) fn of(plan: &Plan, sources: &Sources, joined: &[(Kind, OwnedFd)]) -> Result<Self> {
        let root = fstat(&sources.root).call("fstat")?;
        let source = |source: &Option<Source>| match source {
            Some(Source::Tree(tree)) => fstat(tree).call("fstat").map(Some),
            Some(Source::Link(_)) | None => Ok(None),
        };
        let stats = sources.mounts.iter().map(source).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            confinement: Confinement::of(plan),
            labels: plan.labels.clone(),
            namespaces: namespaces(plan, joined)?,
            cgroup: PathBuf::new(),
            root: Root { stat: (root.st_dev, root.st_ino), readonly: plan.root.readonly },
            mounts: plan.mounts.iter().cloned().zip(stats).collect(),
            masked: plan.masked_paths.clone(),
            readonly: plan.readonly_paths.clone(),
            devices: plan.devices.iter().flat_map(|devices| &devices.nodes).map(|device| device.path.clone()).collect(),
        })
    }

    /// Every process has to be in that cgroup, or below it.
    pub(super) fn in_cgroup(&mut self, cgroup: PathBuf) {
        self.cgroup = cgroup;
    }

    /// Looks at the process of this pid and all that descend from it.
    ///
    /// # Errors
    /// Names the config's field that a process doesn't keep to.
    pub(super) fn check(&self, init: i32) -> Result<()> {
        let processes = descendants(init)?;
        for pid in &processes {
            self.check_process(*pid, init).doing(|| format!("the checkpoint's process {pid}"))?;
        }
        self.check_mounts(init)
    }

    fn check_process(&self, pid: i32, init: i32) -> Result<()> {
        for thread in numbers(&format!("/proc/{pid}/task"))? {
            self.confinement.check(&read_proc(&format!("/proc/{pid}/task/{thread}/status"))?)?;
            self.check_labels(&format!("/proc/{pid}/task/{thread}/attr"))?;
        }
        self.namespaces.iter().try_for_each(|demanded| demanded.check(pid))?;
        if !cgroup_of(&pid.to_string())?.starts_with(&self.cgroup) {
            return Err(Error::new("it is outside of the container's cgroup").field("linux.cgroupsPath"));
        }
        // A mount namespace of its own can't be told from the container's by what is in it.
        if namespace(pid, Kind::Mount)? != namespace(init, Kind::Mount)? && !self.confinement.may_mount() {
            let text = "it has a mount namespace of its own, which it couldn't have made";
            return Err(Error::new(text).field("linux.namespaces"));
        }
        Ok(())
    }

    /// Under what the process runs, which a flag of the caller's may have changed for all of them.
    fn check_labels(&self, attributes: &str) -> Result<()> {
        if let Some(profile) = &self.labels.apparmor {
            let current = read_proc(&format!("{attributes}/apparmor/current"))?;
            check_profile(&current, profile).field("process.apparmorProfile")?;
        }
        if let Some(label) = &self.labels.selinux {
            let current = read_proc(&format!("{attributes}/current"))?;
            check_label(&current, label).field("process.selinuxLabel")?;
        }
        Ok(())
    }

    fn check_mounts(&self, init: i32) -> Result<()> {
        let root = open(format!("/proc/{init}/root"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).call("open")?;
        let stat = fstat(&root).call("fstat")?;
        if (stat.st_dev, stat.st_ino) != self.root.stat {
            return Err(Error::new("the checkpoint's root is another directory").field("root.path"));
        }
        let table = mountinfo::parse(&read_proc(&format!("/proc/{init}/mountinfo"))?);
        let mut found = Found { root: Inside::new(root), table, known: HashSet::new(), trees: Vec::new() };
        found.check_root(self.root.readonly)?;
        for (mount, source) in &self.mounts {
            found.check_mount(mount, source.as_ref()).field(mount.field)?;
        }
        for (i, path) in self.readonly.iter().enumerate() {
            found.check_readonly(path).field_with(|| format!("linux.readonlyPaths[{i}]"))?;
        }
        for (i, path) in self.masked.iter().enumerate() {
            found.check_masked(path).field_with(|| format!("linux.maskedPaths[{i}]"))?;
        }
        if self.confinement.may_mount() {
            return Ok(());
        }
        found.refuse_unknown(&self.devices).field("mounts")
    }
}

impl Confinement {
    fn of(plan: &Plan) -> Self {
        let Capabilities { bounding, effective, permitted, inheritable, ambient } = plan.process.capabilities;
        let capabilities = bounding | effective | permitted | inheritable | ambient;
        let no_new_privileges = plan.process.no_new_privileges;
        let may = |capability: caps::Capability| capabilities & capability.bitmask() != 0;
        let fixed = |capability| no_new_privileges && !may(capability);
        Self {
            capabilities,
            no_new_privileges,
            seccomp: plan.seccomp.is_some(),
            uid: fixed(caps::Capability::CAP_SETUID).then_some(plan.process.user.uid),
            gid: fixed(caps::Capability::CAP_SETGID).then_some(plan.process.user.gid),
        }
    }

    fn may_mount(&self) -> bool {
        self.capabilities & caps::Capability::CAP_SYS_ADMIN.bitmask() != 0
    }

    /// Holds a process's own words against it.
    fn check(&self, status: &str) -> Result<()> {
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            let has = u64::from_str_radix(value(status, set)?, 16).map_err(|_| unreadable(set))?;
            if has & !self.capabilities != 0 {
                let more = has & !self.capabilities;
                let text = format!("it has capabilities that the config doesn't give it: {set} {more:016x}");
                return Err(Error::new(text).field("process.capabilities"));
            }
        }
        if self.no_new_privileges && value(status, "NoNewPrivs")? != "1" {
            return Err(Error::new("it may gain privileges").field("process.noNewPrivileges"));
        }
        if self.seccomp && value(status, "Seccomp")? != "2" {
            return Err(Error::new("it is under no filter").field("linux.seccomp"));
        }
        check_ids(status, "Uid", self.uid).field("process.user.uid")?;
        check_ids(status, "Gid", self.gid).field("process.user.gid")
    }
}

/// The profile's mode is behind it, which whoever loaded it has chosen.
fn check_profile(current: &str, demanded: &str) -> Result<()> {
    let current = current.trim_end_matches(['\n', '\0']);
    if current.rsplit_once(" (").map_or(current, |(name, _)| name) == demanded {
        return Ok(());
    }
    Err(Error::new(format!("it runs under {current:?}")))
}

fn check_label(current: &str, demanded: &str) -> Result<()> {
    let current = current.trim_end_matches(['\n', '\0']);
    if current == demanded { Ok(()) } else { Err(Error::new(format!("it runs under {current:?}"))) }
}

fn check_ids(status: &str, name: &str, demanded: Option<u32>) -> Result<()> {
    let Some(demanded) = demanded else { return Ok(()) };
    let ids = value(status, name)?;
    if ids.split_whitespace().all(|id| id.parse() == Ok(demanded)) {
        return Ok(());
    }
    Err(Error::new(format!("it is somebody else, and couldn't have become so: {}", ids.replace('\t', " "))))
}

fn value<'a>(status: &'a str, name: &str) -> Result<&'a str> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
    line.ok_or_else(|| unreadable(name))
}

fn unreadable(name: &str) -> Error {
    Error::new(format!("its status has no {name}"))
}

fn namespaces(plan: &Plan, joined: &[(Kind, OwnedFd)]) -> Result<Vec<Demanded>> {
    let mut demanded = Vec::new();
    for kind in KINDS.into_iter().filter(|kind| plan.namespaces.is_new(*kind)) {
        let own = fs::metadata(format!("/proc/self/ns/{}", kind.proc_name())).call("stat")?;
        demanded.push(Demanded::Other(kind, identity(&own)));
    }
    for namespace in plan.namespaces.all_joined() {
        let opened = joined.iter().find(|(kind, _)| *kind == namespace.kind);
        let stat = match opened {
            Some((_, fd)) => fstat(fd).call("fstat").map(|stat| (stat.st_dev, stat.st_ino)),
            None => fs::metadata(&namespace.path).call("stat").map(|metadata| identity(&metadata)),
        };
        demanded.push(Demanded::This(namespace.kind, stat.field(&namespace.field)?, namespace.field.clone()));
    }
    Ok(demanded)
}

impl Demanded {
    fn check(&self, pid: i32) -> Result<()> {
        match self {
            Self::Other(kind, own) if namespace(pid, *kind)? == *own => {
                let text = format!("it is in the runtime's own {} namespace", kind.name());
                Err(Error::new(text).field("linux.namespaces"))
            }
            Self::This(kind, demanded, field) if namespace(pid, *kind)? != *demanded => {
                Err(Error::new(format!("it is in another {} namespace", kind.name())).field(field))
            }
            Self::Other(..) | Self::This(..) => Ok(()),
        }
    }
}

fn namespace(pid: i32, kind: Kind) -> Result<(u64, u64)> {
    let path = format!("/proc/{pid}/ns/{}", kind.proc_name());
    fs::metadata(&path).call("stat").doing(|| path).map(|metadata| identity(&metadata))
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// The process and all its children, and theirs.
fn descendants(init: i32) -> Result<Vec<i32>> {
    let mut all = vec![init];
    let mut next = 0;
    while let Some(pid) = all.get(next).copied() {
        for thread in numbers(&format!("/proc/{pid}/task"))? {
            let children = read_proc(&format!("/proc/{pid}/task/{thread}/children"))?;
            all.extend(children.split_whitespace().filter_map(|child| child.parse::<i32>().ok()));
        }
        next += 1;
    }
    Ok(all)
}

/// The entries of a directory of procfs that are numbers.
fn numbers(path: &str) -> Result<Vec<i32>> {
    let entries = fs::read_dir(path).call("open").doing(|| path)?;
    let names = entries.map(|entry| entry.map(|entry| entry.file_name()).call("read"));
    names.filter_map(|name| name.map(|name| name.to_str()?.parse().ok()).transpose()).collect()
}

/// The container's mounts as they were restored.
struct Found {
    root: Inside,
    table: Vec<Entry>,
    /// Those that the config has, by id.
    known: HashSet<u64>,
    /// Where whole trees of the host are.
    trees: Vec<PathBuf>,
}

impl Found {
    fn check_root(&mut self, readonly: bool) -> Result<()> {
        let id = mount_of(&self.root.find(Path::new("/")).call("openat2")?)?.0;
        let entry = self.entry(id).ok_or_else(|| Error::new("the checkpoint has no root").field("root.path"))?;
        if readonly && !entry.has("ro") {
            return Err(Error::new("the checkpoint's root can be written to").field("root.readonly"));
        }
        self.known.insert(id);
        Ok(())
    }

    fn check_mount(&mut self, mount: &Mount, source: Option<&Stat>) -> Result<()> {
        let there = || Error::new(format!("the checkpoint has nothing mounted at {}", mount.target.display()));
        let found = self.root.find(&mount.target).map_err(|_| there())?;
        let (id, is_root) = mount_of(&found)?;
        let entry = self.entry(id).filter(|_| is_root).ok_or_else(there)?;
        check_options(entry, mount)?;
        match &mount.source {
            MountSource::Filesystem { fstype, .. } if mount.fallback.is_none() && entry.fstype != *fstype => {
                return Err(Error::new(format!("the checkpoint has a {} there", entry.fstype)));
            }
            MountSource::HostCgroups => check_source(&found, source)?,
            MountSource::Bind { recursive, .. } => {
                check_source(&found, source)?;
                self.trees.extend(recursive.then(|| mount.target.clone()));
            }
            _ => (),
        }
        self.known.insert(id);
        Ok(())
    }

    fn check_readonly(&mut self, path: &Path) -> Result<()> {
        let Ok(found) = self.root.find(path) else { return Ok(()) };
        let id = mount_of(&found)?.0;
        if self.entry(id).is_some_and(|entry| entry.has("ro")) {
            self.known.insert(id);
            return Ok(());
        }
        Err(Error::new(format!("the checkpoint has {} writable", path.display())))
    }

    fn check_masked(&mut self, path: &Path) -> Result<()> {
        let Ok(found) = self.root.find(path) else { return Ok(()) };
        let (id, is_root) = mount_of(&found)?;
        let stat = fstat(&found).call("fstat")?;
        let hidden = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                self.entry(id).is_some_and(|entry| entry.fstype == "tmpfs" && entry.has("ro")) && stat.st_nlink == 2
            }
            _ => is_char_device(&stat, 1, 3),
        };
        if is_root && hidden {
            self.known.insert(id);
            return Ok(());
        }
        Err(Error::new(format!("the checkpoint doesn't hide {}", path.display())))
    }

    /// Without the right to mount, a container has no mounts but those that it was given.
    fn refuse_unknown(&self, devices: &[PathBuf]) -> Result<()> {
        let of_the_config = |entry: &&Entry| {
            self.known.contains(&entry.id)
                || entry.point == Path::new("/dev/console")
                || devices.contains(&entry.point)
                || self.trees.iter().any(|tree| entry.point.starts_with(tree))
                || self.is_part_of_known(entry)
        };
        match self.table.iter().find(|entry| !of_the_config(entry)) {
            None => Ok(()),
            Some(entry) => {
                let text =
                    format!("the checkpoint has a {} at {}, the config not", entry.fstype, entry.point.display());
                Err(Error::new(text))
            }
        }
    }

    /// A part of a mount that the config has, at the same place: what makes a path read-only, below another that is.
    fn is_part_of_known(&self, entry: &Entry) -> bool {
        let same = |known: &&Entry| known.device == entry.device && entry.parent == known.id && entry.has("ro");
        self.table.iter().filter(|other| self.known.contains(&other.id)).any(|known| same(&known))
    }

    fn entry(&self, id: u64) -> Option<&Entry> {
        self.table.iter().find(|entry| entry.id == id)
    }
}

/// The id of the mount that something is on, and whether it is its root.
fn mount_of(found: &OwnedFd) -> Result<(u64, bool)> {
    let stat = statx(found, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).call("statx")?;
    Ok((stat.stx_mnt_id, stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)))
}

fn check_options(entry: &Entry, mount: &Mount) -> Result<()> {
    let demanded = [
        (libc::MOUNT_ATTR_RDONLY, "ro"),
        (libc::MOUNT_ATTR_NOSUID, "nosuid"),
        (libc::MOUNT_ATTR_NODEV, "nodev"),
        (libc::MOUNT_ATTR_NOEXEC, "noexec"),
    ];
    let set = mount.attr.set | mount.recursive_attr.set | if mount.late_readonly { libc::MOUNT_ATTR_RDONLY } else { 0 };
    match demanded.into_iter().find(|(bit, word)| set & bit != 0 && !entry.has(word)) {
        Some((_, word)) => Err(Error::new(format!("the checkpoint has {} without {word}", mount.target.display()))),
        None => Ok(()),
    }
}

fn check_source(found: &OwnedFd, source: Option<&Stat>) -> Result<()> {
    let there = fstat(found).call("fstat")?;
    match source {
        Some(source) if (source.st_dev, source.st_ino) != (there.st_dev, there.st_ino) => {
            Err(Error::new("the checkpoint has something else mounted there"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tx\nUid:\t1000\t1000\t1000\t1000\nGid:\t100\t100\t100\t100\nCapInh:\t0000000000000000\n\
        CapPrm:\t0000000000000020\nCapEff:\t0000000000000020\nCapBnd:\t0000000000000021\nCapAmb:\t0000000000000000\n\
        NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";

    fn demands() -> Confinement {
        Confinement { capabilities: 0x21, no_new_privileges: true, seccomp: true, uid: Some(1000), gid: Some(100) }
    }

    fn refused(demands: &Confinement, status: &str) -> Option<String> {
        demands.check(status).err().map(|error| error.field_path().unwrap_or_default().to_owned())
    }

    #[test]
    fn a_process_within_its_bounds_passes() {
        assert_eq!(refused(&demands(), STATUS), None);
        let free =
            Confinement { capabilities: u64::MAX, no_new_privileges: false, seccomp: false, uid: None, gid: None };
        let loose = STATUS.replace("NoNewPrivs:\t1", "NoNewPrivs:\t0").replace("Seccomp:\t2", "Seccomp:\t0");
        assert_eq!(refused(&free, &loose), None);
    }

    #[test]
    fn whatever_it_has_more_is_named() {
        for (from, to, field) in [
            ("CapInh:\t0000000000000000", "CapInh:\t0000000000000002", "process.capabilities"),
            ("CapPrm:\t0000000000000020", "CapPrm:\t0000000000200020", "process.capabilities"),
            ("CapEff:\t0000000000000020", "CapEff:\t0000000000200020", "process.capabilities"),
            ("CapBnd:\t0000000000000021", "CapBnd:\t000001ffffffffff", "process.capabilities"),
            ("CapAmb:\t0000000000000000", "CapAmb:\t8000000000000000", "process.capabilities"),
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0", "process.noNewPrivileges"),
            ("Seccomp:\t2", "Seccomp:\t0", "linux.seccomp"),
            ("Seccomp:\t2", "Seccomp:\t1", "linux.seccomp"),
            ("Uid:\t1000\t1000\t1000", "Uid:\t1000\t1000\t0", "process.user.uid"),
            ("Gid:\t100\t100\t100\t100", "Gid:\t0\t0\t0\t0", "process.user.gid"),
        ] {
            assert!(STATUS.contains(from), "{from}");
            assert_eq!(refused(&demands(), &STATUS.replace(from, to)).as_deref(), Some(field), "{to}");
        }
    }

    #[test]
    fn a_profile_is_compared_by_its_name() {
        assert!(check_profile("box (enforce)\n", "box").is_ok());
        assert!(check_profile("box (complain)\n", "box").is_ok());
        assert!(check_profile("unconfined\n", "unconfined").is_ok());
        for current in ["unconfined\n", "other (enforce)\n", "box (enforce) (enforce)\n"] {
            assert!(check_profile(current, "box").is_err(), "{current}");
        }
        assert!(check_label("u:r:t:s0\0", "u:r:t:s0").is_ok() && check_label("u:r:t:s0:c1", "u:r:t:s0").is_err());
    }

    #[test]
    fn a_status_that_leaves_something_out_is_refused() {
        for name in ["CapEff", "NoNewPrivs", "Seccomp", "Uid"] {
            let missing = format!("{name}:");
            let status = STATUS.lines().filter(|line| !line.starts_with(&missing)).collect::<Vec<_>>().join(
                "
",
            );
            assert!(demands().check(&status).unwrap_err().to_string().contains(name));
        }
    }

    #[test]
    fn the_first_filter_has_to_be_the_profiles() {
        let program = vec![SockFilter { code: 6, jt: 0, jf: 0, k: 0x7fff_0000 }];
        let filter = Filter { program, flags: 0, listener: None, unknown: Vec::new() };
        let same = [6_u16.to_ne_bytes().to_vec(), vec![0, 0], 0x7fff_0000_u32.to_ne_bytes().to_vec()].concat();
        assert!(check_filters(None, &[b"x".to_vec()]).is_ok());
        assert!(check_filters(Some(&filter), &[same.clone(), same.clone()]).is_ok());
        let error = check_filters(Some(&filter), &[same, b"other".to_vec()]).unwrap_err();
        assert_eq!(error.field_path(), Some("linux.seccomp"));
    }

    #[test]
    fn this_process_descends_from_itself() {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let mut child = std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
        let all = descendants(own).unwrap();
        child.kill().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        child.wait().unwrap();
        assert!(all[0] == own && all.contains(&pid), "{all:?}");
    }

    #[test]
    fn namespaces_are_told_apart() {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let here = namespace(own, Kind::Pid).unwrap();
        let error = Demanded::Other(Kind::Pid, here).check(own).unwrap_err();
        assert_eq!(error.field_path(), Some("linux.namespaces"));
        assert!(Demanded::Other(Kind::Pid, (0, 0)).check(own).is_ok());
        assert!(Demanded::This(Kind::Pid, here, "f".into()).check(own).is_ok());
        assert_eq!(Demanded::This(Kind::Pid, (0, 0), "f".into()).check(own).unwrap_err().field_path(), Some("f"));
    }
}
