//! Where in the cgroup hierarchy the container goes, and which devices it may use.

use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType, Spec};

use super::annotations::Annotated;
use super::namespaces::{IdMaps, Kind, Namespaces};
use super::systemd::Scope;
use super::{Request, Resources};
use crate::cgroupv2::devices::{Access, Kind as DeviceClass, Rule};
use crate::error::{Error, Result};
use crate::host::Host;

/// The container's cgroup, decided.
#[derive(Debug, Clone)]
pub struct CgroupPlan {
    /// Where cgroup2 is mounted on the host.
    pub root: PathBuf,
    /// Below the root, without a leading slash and without `.` and `..`; in a scope, below the cgroup of the systemd that makes it.
    pub path: PathBuf,
    /// What systemd makes, where `--systemd-cgroup` leaves it to systemd.
    pub scope: Option<Scope>,
    /// Below that scope, where the container's processes are and its limits are set.
    pub subgroup: Option<PathBuf>,
    /// Below the container's cgroup, without limits: the container's processes are there, and manage it.
    pub delegated: Option<PathBuf>,
    /// Whether the container starts all the same where this user may not make a cgroup: nothing in the config needs one.
    pub optional: bool,
    /// What the container may use.
    pub resources: Resources,
    /// Whose it becomes, so that the container can manage cgroups of its own below it: a uid of the runtime's user namespace.
    pub owner: Option<u32>,
    /// The device rules, in order, the runtime's own at the end. `None` where they can't be enforced.
    pub devices: Option<Vec<Rule>>,
}

impl CgroupPlan {
    pub(super) fn new(
        spec: &Spec,
        request: &Request,
        namespaces: &Namespaces,
        host: &Host,
        annotated: &Annotated,
    ) -> Result<Self> {
        let linux = spec.linux().as_ref();
        let asked = linux.and_then(|linux| linux.resources().as_ref());
        asked.map_or(Ok(()), Resources::refuse_what_v2_lacks)?;
        let resources = asked.map(Resources::convert).transpose()?.unwrap_or_default();
        let devices = devices(spec, namespaces, host)?;
        let owner = owner(spec, namespaces, host);
        let root = host.cgroup_root()?.into();
        let delegated = annotated.delegated.clone();
        if request.systemd_cgroup {
            let scope = Scope::new(spec, request, host, &resources, devices.as_deref())?;
            return Ok(Self {
                root,
                path: scope.path(),
                scope: Some(scope),
                subgroup: annotated.subgroup.clone(),
                delegated,
                optional: false,
                resources,
                owner,
                devices,
            });
        }
        let asked = linux.and_then(|linux| linux.cgroups_path().as_ref()).filter(|path| !path.as_os_str().is_empty());
        let path = match asked {
            Some(path) if path.is_absolute() => below_root(path),
            Some(path) => below_root(&parent_of_own(host)?.join(path)),
            None => below_root(&parent_of_own(host)?.join(&request.id)),
        };
        if path.as_os_str().is_empty() {
            let text = "is the root of the cgroup hierarchy, which can't be a container's";
            return Err(Error::new(text).field("linux.cgroupsPath"));
        }
        let optional = asked.is_none() && host.is_rootless() && resources.is_empty() && delegated.is_none();
        Ok(Self { root, path, scope: None, subgroup: None, delegated, optional, resources, owner, devices })
    }

    /// Its directory.
    pub fn dir(&self) -> PathBuf {
        self.root.join(&self.path)
    }
}

/// Cgroups with processes and controllers have no children, so a container's cgroup is a sibling of the runtime's own.
fn parent_of_own(host: &Host) -> Result<PathBuf> {
    Ok(host.own_cgroup()?.parent().unwrap_or(Path::new("/")).into())
}

/// The path below the hierarchy's root. `..` stops there (GHSA-5g49-rx9x-qfc6 and its kind).
fn below_root(path: &Path) -> PathBuf {
    let mut below = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => below.push(name),
            Component::ParentDir => {
                below.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => (),
        }
    }
    below
}

/// config-linux.md, Cgroup ownership: a container with a cgroup namespace of its own that mounts its cgroup for writing owns it.
///
/// A user who is not root has nothing to give away, and root's is root's already.
fn owner(spec: &Spec, namespaces: &Namespaces, host: &Host) -> Option<u32> {
    let writable = |mount: &oci_spec::runtime::Mount| {
        let read_only = mount.options().iter().flatten().any(|option| option == "ro");
        mount.destination() == Path::new("/sys/fs/cgroup")
            && mount.source().as_deref() == Some(Path::new("cgroup"))
            && !read_only
    };
    let is_its_own = namespaces.is_new(Kind::Cgroup) && spec.mounts().iter().flatten().any(writable);
    let uid = spec.process().as_ref().filter(|_| is_its_own && !host.is_rootless())?.user().uid();
    let owner = match IdMaps::new(spec, namespaces) {
        Some(ids) => ids.uids.iter().find_map(|range| {
            let offset = uid.checked_sub(range.container).filter(|offset| *offset < range.size)?;
            range.host.checked_add(offset)
        }),
        None if namespaces.has(Kind::User) => None,
        None => Some(uid),
    };
    owner.filter(|uid| *uid != 0)
}

/// The config's rules, then the devices that every container has. What no rule allows is denied, as in runc.
///
/// In a user namespace the kernel refuses device programs, and lets no device node be made anyway.
fn devices(spec: &Spec, namespaces: &Namespaces, host: &Host) -> Result<Option<Vec<Rule>>> {
    if namespaces.has(Kind::User) || !host.is_root() {
        return Ok(None);
    }
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let listed = resources.and_then(|resources| resources.devices().as_deref()).unwrap_or_default();
    let rules = listed.iter().enumerate().map(|(i, rule)| device_rule(rule, &format!("linux.resources.devices[{i}]")));
    let mut rules: Vec<Rule> = rules.collect::<Result<_>>()?;
    rules.extend(crate::cgroupv2::devices::default_rules());
    Ok(Some(rules))
}

fn device_rule(rule: &LinuxDeviceCgroup, field: &str) -> Result<Rule> {
    let kind = match rule.typ() {
        None | Some(LinuxDeviceType::A) => DeviceClass::Any,
        Some(LinuxDeviceType::C | LinuxDeviceType::U) => DeviceClass::Char,
        Some(LinuxDeviceType::B) => DeviceClass::Block,
        Some(LinuxDeviceType::P) => return Err(Error::new("p is no kind of device").field(format!("{field}.type"))),
    };
    let number = |n: Option<i64>, name: &str| match n {
        // runc's and the engines' way to write "all".
        None | Some(-1) => Ok(None),
        Some(n) => u32::try_from(n)
            .map(Some)
            .map_err(|_| Error::new(format!("{n} is not a device number")).field(format!("{field}.{name}"))),
    };
    let letters = rule.access().as_deref().filter(|access| !access.is_empty()).unwrap_or("rwm");
    let access = Access::parse(letters).ok_or_else(|| {
        Error::new(format!("{letters:?} has other letters than r, w and m")).field(format!("{field}.access"))
    })?;
    Ok(Rule {
        allow: rule.allow(),
        kind,
        major: number(rule.major(), "major")?,
        minor: number(rule.minor(), "minor")?,
        access,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn plan_with(linux: &Value, own: &str) -> Result<CgroupPlan> {
        let spec: Spec = serde_json::from_value(json!({"ociVersion": "1.3.0", "linux": linux})).unwrap();
        let request = Request { id: "box".into(), ..Request::default() };
        let host = Host::with_cgroups("/sys/fs/cgroup", own);
        CgroupPlan::new(&spec, &request, &Namespaces::default(), &host, &Annotated::default())
    }

    fn path(cgroups_path: &Value, own: &str) -> String {
        plan_with(&json!({"cgroupsPath": cgroups_path}), own).unwrap().path.display().to_string()
    }

    #[test]
    fn absolute_relative_and_none() {
        assert_eq!(path(&json!("/a/b"), "/user/me"), "a/b");
        assert_eq!(path(&json!("a/b"), "/user/me"), "user/a/b");
        assert_eq!(path(&json!(""), "/user/me"), "user/box");
        assert_eq!(path(&json!(null), "/"), "box");
    }

    #[test]
    fn no_path_leads_out_of_the_hierarchy_or_to_its_root() {
        assert_eq!(path(&json!("/../../x"), "/"), "x");
        assert_eq!(path(&json!("../../../x"), "/user/me"), "x");
        for root in ["/", "/..", "/a/..", "../.."] {
            let error = plan_with(&json!({"cgroupsPath": root}), "/user/me").unwrap_err().to_string();
            assert!(error.starts_with("linux.cgroupsPath: is the root"), "{root}: {error}");
        }
    }

    fn owner_of(options: &[&str], linux: &Value, uid: u32) -> Option<u32> {
        let mount = json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": options});
        let process = json!({"cwd": "/", "user": {"uid": uid, "gid": 0}});
        let config = json!({"ociVersion": "1.3.0", "process": process, "mounts": [mount], "linux": linux});
        let spec: Spec = serde_json::from_value(config).unwrap();
        owner(&spec, &Namespaces::new(&spec), &Host::with_cgroups("/sys/fs/cgroup", "/"))
    }

    #[test]
    fn a_cgroup_that_the_container_may_write_is_its_own() {
        let (mount, cgroup) = (json!({"type": "mount"}), json!({"type": "cgroup"}));
        let maps = json!([{"containerID": 0, "hostID": 100_000, "size": 1000}]);
        let with_user =
            json!({"namespaces": [mount, cgroup, {"type": "user"}], "uidMappings": maps, "gidMappings": maps});
        let alone = json!({"namespaces": [mount, cgroup]});
        let joined = json!({"namespaces": [mount, cgroup, {"type": "user", "path": "/x"}]});
        assert_eq!(owner_of(&["nosuid"], &with_user, 0), Some(100_000));
        assert_eq!(owner_of(&["nosuid"], &with_user, 7), Some(100_007));
        assert_eq!(owner_of(&["nosuid"], &with_user, 1000), None);
        assert_eq!(owner_of(&["ro"], &with_user, 0), None);
        assert_eq!(owner_of(&[], &alone, 7), Some(7));
        assert_eq!(owner_of(&[], &alone, 0), None);
        assert_eq!(owner_of(&[], &joined, 7), None);
        assert_eq!(owner_of(&[], &json!({"namespaces": [mount]}), 7), None);
    }

    #[test]
    fn bad_device_rules_name_their_field() {
        let error = |rule: &Value| {
            let rule: LinuxDeviceCgroup = serde_json::from_value(rule.clone()).unwrap();
            device_rule(&rule, "linux.resources.devices[0]").unwrap_err().to_string()
        };
        assert!(error(&json!({"allow": true, "access": "rx"})).starts_with("linux.resources.devices[0].access: "));
        assert!(error(&json!({"allow": true, "major": -2})).starts_with("linux.resources.devices[0].major: "));
        assert!(error(&json!({"allow": true, "type": "p"})).starts_with("linux.resources.devices[0].type: "));
    }
}
