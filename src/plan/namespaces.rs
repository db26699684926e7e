//! Which namespaces are made, which are joined, and how ids are mapped.

use std::path::PathBuf;

use oci_spec::runtime::{LinuxIdMapping, LinuxNamespaceType, Spec};

use crate::error::{Error, Result};
use crate::host::{Host, MountsOf};

/// A kind of namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Mount points.
    Mount,
    /// The root of what is seen of the cgroup hierarchy.
    Cgroup,
    /// Host and domain name.
    Uts,
    /// System V IPC and POSIX message queues.
    Ipc,
    /// User and group ids, capabilities.
    User,
    /// Process ids.
    Pid,
    /// Network devices, ports, routes.
    Network,
    /// The monotonic and the boot-time clock.
    Time,
}

impl Kind {
    /// The kernel's `CLONE_NEW*` bit.
    pub fn bit(self) -> u64 {
        let bit = match self {
            Self::Mount => libc::CLONE_NEWNS,
            Self::Cgroup => libc::CLONE_NEWCGROUP,
            Self::Uts => libc::CLONE_NEWUTS,
            Self::Ipc => libc::CLONE_NEWIPC,
            Self::User => libc::CLONE_NEWUSER,
            Self::Pid => libc::CLONE_NEWPID,
            Self::Network => libc::CLONE_NEWNET,
            Self::Time => libc::CLONE_NEWTIME,
        };
        u64::from(bit.cast_unsigned())
    }

    /// Its name below `/proc/PID/ns`.
    pub fn proc_name(self) -> &'static str {
        match self {
            Self::Mount => "mnt",
            Self::Cgroup => "cgroup",
            Self::Uts => "uts",
            Self::Ipc => "ipc",
            Self::User => "user",
            Self::Pid => "pid",
            Self::Network => "net",
            Self::Time => "time",
        }
    }

    /// The spec's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mount => "mount",
            Self::Network => "network",
            other => other.proc_name(),
        }
    }

    fn from_spec(kind: LinuxNamespaceType) -> Self {
        match kind {
            LinuxNamespaceType::Mount => Self::Mount,
            LinuxNamespaceType::Cgroup => Self::Cgroup,
            LinuxNamespaceType::Uts => Self::Uts,
            LinuxNamespaceType::Ipc => Self::Ipc,
            LinuxNamespaceType::User => Self::User,
            LinuxNamespaceType::Pid => Self::Pid,
            LinuxNamespaceType::Network => Self::Network,
            LinuxNamespaceType::Time => Self::Time,
        }
    }
}

/// A namespace that exists already and is entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// What it is a namespace of.
    pub kind: Kind,
    /// A file that stands for it, `/proc/1/ns/net` or a bind mount of that.
    pub path: PathBuf,
    /// The path's place in the config.
    pub field: String,
}

/// All namespaces that the container does not share with the caller.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Namespaces {
    new: u64,
    joined: Vec<Joined>,
}

impl Namespaces {
    /// As the config lists them. A type that isn't listed is the runtime's own (config-linux.md, Namespaces).
    pub(super) fn new(spec: &Spec) -> Self {
        let mut namespaces = Self::default();
        let listed = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_deref()).unwrap_or_default();
        for (i, namespace) in listed.iter().enumerate() {
            let kind = Kind::from_spec(namespace.typ());
            match namespace.path().clone().filter(|path| !path.as_os_str().is_empty()) {
                Some(path) => {
                    namespaces.joined.push(Joined { kind, path, field: format!("linux.namespaces[{i}].path") });
                }
                None => namespaces.new |= kind.bit(),
            }
        }
        namespaces
    }

    /// Takes care that nothing is mounted among the host's mounts, nor its root taken away: the container's are put in order in the
    /// mount namespace that it has. The path of the runtime's own says the same as no entry at all.
    ///
    /// # Errors
    /// For the mount namespace of the machine's first process, where that is not the runtime's own.
    pub(super) fn spare_the_hosts_mounts(mut self, host: &Host) -> Result<Self> {
        let Some(joined) = self.joined(Kind::Mount) else { return Ok(self) };
        match host.mounts_of(&joined.path) {
            MountsOf::Others => Ok(self),
            MountsOf::Runtime => {
                self.joined.retain(|joined| joined.kind != Kind::Mount);
                Ok(self)
            }
            MountsOf::FirstProcess => {
                let text = "is that of process 1: the container's mounts and its root would be the host's";
                Err(Error::new(text).field(&joined.field))
            }
        }
    }

    /// Whether the container gets a fresh one.
    pub fn is_new(&self, kind: Kind) -> bool {
        self.new & kind.bit() != 0
    }

    /// The existing one that is entered.
    pub fn joined(&self, kind: Kind) -> Option<&Joined> {
        self.joined.iter().find(|joined| joined.kind == kind)
    }

    /// All that are entered.
    pub fn all_joined(&self) -> &[Joined] {
        &self.joined
    }

    /// Whether the container has one that is not the caller's.
    pub fn has(&self, kind: Kind) -> bool {
        self.is_new(kind) || self.joined(kind).is_some()
    }

    /// The namespaces of a container that runs already, by their `CLONE_NEW*` bits.
    pub(super) fn of_bits(bits: u64) -> Self {
        Self { new: bits, joined: Vec::new() }
    }

    /// The `CLONE_NEW*` bits of all that are not the caller's.
    pub fn all_bits(&self) -> u64 {
        self.joined.iter().fold(self.new, |bits, joined| bits | joined.kind.bit())
    }

    /// The `CLONE_NEW*` bits of all new ones.
    pub fn new_bits(&self) -> u64 {
        self.new
    }
}

/// One range of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdMap {
    /// The first id inside.
    pub container: u32,
    /// The first id outside.
    pub host: u32,
    /// How many.
    pub size: u32,
}

impl IdMap {
    fn has(&self, id: u32) -> bool {
        id.checked_sub(self.container).is_some_and(|offset| offset < self.size)
    }

    /// What `size` ids from `id` on are outside, where this range has all of them.
    pub(super) fn outside(&self, id: u32, size: u32) -> Option<u32> {
        let offset = id.checked_sub(self.container)?;
        (offset.checked_add(size)? <= self.size).then(|| self.host + offset)
    }
}

/// The mappings of a new user namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMaps {
    /// `linux.uidMappings`.
    pub uids: Vec<IdMap>,
    /// `linux.gidMappings`.
    pub gids: Vec<IdMap>,
}

impl IdMaps {
    pub(super) fn new(spec: &Spec, namespaces: &Namespaces) -> Option<Self> {
        let linux = spec.linux().as_ref()?;
        namespaces.is_new(Kind::User).then(|| Self {
            uids: ranges(linux.uid_mappings().as_deref()),
            gids: ranges(linux.gid_mappings().as_deref()),
        })
    }

    /// Refuses a user that the new namespace doesn't have.
    pub(super) fn check_user(&self, user: &super::User) -> Result<()> {
        let check = |id: u32, ranges: &[IdMap], field: String, mappings: &str| {
            if ranges.iter().any(|range| range.has(id)) {
                return Ok(());
            }
            Err(Error::new(format!("{id} is not mapped in {mappings}")).field(field))
        };
        check(user.uid, &self.uids, "process.user.uid".into(), "linux.uidMappings")?;
        check(user.gid, &self.gids, "process.user.gid".into(), "linux.gidMappings")?;
        user.groups.iter().enumerate().try_for_each(|(i, gid)| {
            check(*gid, &self.gids, format!("process.user.additionalGids[{i}]"), "linux.gidMappings")
        })
    }

    /// Whether nothing but this one id of the host is mapped.
    pub fn is_only(ranges: &[IdMap], host: u32) -> bool {
        matches!(ranges, [range] if range.host == host && range.size == 1)
    }

    /// The lines of `/proc/PID/uid_map` or `gid_map`.
    pub fn text(ranges: &[IdMap]) -> String {
        let lines: Vec<_> = ranges.iter().map(|r| format!("{} {} {}\n", r.container, r.host, r.size)).collect();
        lines.concat()
    }
}

pub(super) fn ranges(mappings: Option<&[LinuxIdMapping]>) -> Vec<IdMap> {
    let range = |m: &LinuxIdMapping| IdMap { container: m.container_id(), host: m.host_id(), size: m.size() };
    mappings.unwrap_or_default().iter().map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plan(namespaces: &serde_json::Value) -> Namespaces {
        let config = json!({"ociVersion": "1.3.0", "linux": {"namespaces": namespaces}});
        Namespaces::new(&serde_json::from_value(config).unwrap())
    }

    #[test]
    fn new_and_joined() {
        let list = json!([{"type": "mount"}, {"type": "pid"}, {"type": "network", "path": "/run/netns/x"}, {"type": "uts", "path": ""}]);
        let plan = plan(&list);
        assert!(plan.is_new(Kind::Mount) && plan.is_new(Kind::Pid) && plan.is_new(Kind::Uts));
        assert!(!plan.is_new(Kind::Network) && plan.has(Kind::Network) && !plan.has(Kind::Ipc));
        let joined = plan.joined(Kind::Network).unwrap();
        assert_eq!((joined.path.to_str(), joined.field.as_str()), (Some("/run/netns/x"), "linux.namespaces[2].path"));
    }

    #[test]
    fn the_hosts_mounts_are_spared() {
        let list = |path: &str| plan(&json!([{"type": "pid"}, {"type": "mount", "path": path}]));
        let spared = |path: &str, of| list(path).spare_the_hosts_mounts(&Host::with_mounts_of(of));
        assert!(!spared("/proc/self/ns/mnt", MountsOf::Runtime).unwrap().has(Kind::Mount));
        assert!(spared("/run/mine", MountsOf::Others).unwrap().has(Kind::Mount));
        let error = spared("/proc/1/ns/mnt", MountsOf::FirstProcess).unwrap_err().to_string();
        assert!(error.starts_with("linux.namespaces[1].path: is that of process 1"), "{error}");
    }

    #[test]
    fn a_user_has_to_be_mapped() {
        let one = |container| vec![IdMap { container, host: 1000, size: 2 }];
        let maps = IdMaps { uids: one(0), gids: one(5) };
        let refusal = |uid, gid, groups: &[u32]| {
            let user = super::super::User { uid, gid, groups: groups.to_vec(), keeps_groups: false, umask: 0 };
            maps.check_user(&user).err().map(|error| error.field_path().unwrap_or_default().to_owned())
        };
        assert_eq!(refusal(1, 6, &[5, 6]), None);
        assert_eq!(refusal(2, 5, &[]).unwrap(), "process.user.uid");
        assert_eq!(refusal(0, 4, &[]).unwrap(), "process.user.gid");
        assert_eq!(refusal(0, 5, &[5, 7]).unwrap(), "process.user.additionalGids[1]");
    }

    #[test]
    fn a_map_is_written_line_by_line() {
        let ranges = [IdMap { container: 0, host: 1000, size: 1 }, IdMap { container: 1, host: 100_000, size: 65536 }];
        assert_eq!(IdMaps::text(&ranges), "0 1000 1\n1 100000 65536\n");
    }
}
