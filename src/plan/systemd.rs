//! The systemd driver, decided: which scope the container gets, below which slice, and with which properties.
//!
//! Sources: systemd.resource-control(5), org.freedesktop.systemd1(5), and runc's docs/systemd.md for what engines send.

mod gvariant;
mod resources;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;

use super::{Request, Resources};
use crate::cgroupv2::devices::{self, Rule};
use crate::error::{Annotate, Error, Result};
use crate::host::Host;

pub use gvariant::{Kind, Value};
pub use resources::properties;

/// A transient unit that systemd makes around the container's init.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Its name, `cri-containerd-0123.scope`.
    pub unit: String,
    /// The slice that it is in, `kubepods-besteffort.slice`.
    pub slice: String,
    /// Whether the user's own systemd makes it, and not the machine's.
    pub user: bool,
    /// What systemd is told of it, the process apart.
    pub properties: Vec<Property>,
}

/// A property of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// As systemd's D-Bus interface calls it.
    pub name: String,
    /// In the type that systemd wants.
    pub value: Value,
    /// Whether a systemd that doesn't know it may do without, because the cgroup's own file says the same.
    pub dispensable: bool,
}

impl Property {
    fn new(name: &str, value: impl Into<Value>) -> Self {
        Self { name: name.into(), value: value.into(), dispensable: false }
    }
}

impl Scope {
    /// # Errors
    /// Names `linux.cgroupsPath`, or the annotation.
    pub(super) fn new(
        spec: &Spec,
        request: &Request,
        host: &Host,
        limits: &Resources,
        rules: Option<&[Rule]>,
    ) -> Result<Self> {
        let path = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_ref());
        let path = path.map(|path| path.display().to_string()).filter(|path| !path.is_empty());
        let user = is_of_a_user(host)?;
        let (unit, slice) = names(path.as_deref(), &request.id, user).field("linux.cgroupsPath")?;
        let mut properties = own_properties(&request.id, &slice);
        for (name, text) in spec.annotations().iter().flatten() {
            if let Some(property) = name.strip_prefix(ANNOTATION) {
                let property = from_annotation(property, text).field_with(|| format!("annotations[{name:?}]"))?;
                set(&mut properties, property);
            }
        }
        for property in
            rules.map(device_properties).unwrap_or_default().into_iter().chain(resources::properties(limits)?)
        {
            set(&mut properties, property);
        }
        Ok(Self { unit, slice, user, properties })
    }

    /// Where its cgroup is, below that of the systemd that makes it.
    pub fn path(&self) -> PathBuf {
        // Cannot fail: the slice was expanded when the scope was planned.
        slice_path(&self.slice).unwrap_or_default().join(&self.unit)
    }
}

/// Whether it is the user's own systemd that makes the scope. Root of a user namespace may be a user who is root in there alone,
/// or root of a machine in a container, which has a systemd of its own: below a user's slice it is the former.
fn is_of_a_user(host: &Host) -> Result<bool> {
    if !host.is_rootless() || !host.is_root() {
        return Ok(!host.is_root());
    }
    let own = host.own_cgroup()?.to_string_lossy().into_owned();
    let slices = own.split('/').filter_map(|part| part.strip_prefix("user-")?.strip_suffix(".slice"));
    Ok(slices.into_iter().any(|uid| uid.parse().is_ok_and(|uid: u32| uid != 0)))
}

/// A later word on the same property replaces an earlier one.
fn set(properties: &mut Vec<Property>, property: Property) {
    properties.retain(|earlier| earlier.name != property.name);
    properties.push(property);
}

/// What every container's scope has, as with runc; and `CollectMode`, so that systemd forgets also one that ended badly.
fn own_properties(id: &str, slice: &str) -> Vec<Property> {
    let mut properties = vec![
        Property::new("Description", format!("OCI container {id}")),
        Property::new("Slice", slice.to_owned()),
        Property::new("Delegate", true),
        Property::new("DefaultDependencies", false),
        Property::new("CollectMode", "inactive-or-failed".to_owned()),
    ];
    let accounting = ["MemoryAccounting", "CPUAccounting", "IOAccounting", "TasksAccounting"];
    properties.extend(accounting.map(|name| Property::new(name, true)));
    properties
}

/// The unit's name and its slice's, from `slice:prefix:name`.
fn names(path: Option<&str>, id: &str, user: bool) -> Result<(String, String)> {
    let parts: Vec<&str> = path.map_or_else(|| vec!["", "orlop", id], |path| path.split(':').collect());
    let [slice, prefix, name] = parts[..] else {
        // runc's sentence.
        let text = format!(
            "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got {:?} instead",
            path.unwrap_or_default()
        );
        return Err(Error::new(text).hint("a path in the hierarchy is for a container without --systemd-cgroup"));
    };
    let slice = match slice {
        "" if user => "user.slice",
        "" => "system.slice",
        slice => slice,
    };
    slice_path(slice)?;
    if Path::new(name).extension() == Some(OsStr::new("slice")) {
        return Err(Error::new(format!("{name:?} is a slice, and a slice holds no processes, only scopes")));
    }
    let unit = format!("{prefix}-{name}.scope");
    if !is_unit_name(&unit) {
        let text = format!("{unit:?} can't be a unit's name");
        return Err(Error::new(text).hint("it has letters, digits and : - _ . \\ only, 255 characters at most"));
    }
    Ok((unit, slice.into()))
}

/// systemd.unit(5). Instances (`@`) are left out: a scope has none.
fn is_unit_name(name: &str) -> bool {
    name.len() <= 255 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b":-_.\\".contains(&b))
}

/// `a-b.slice` is below `a.slice`: systemd.slice(5). `-.slice` is the root.
fn slice_path(slice: &str) -> Result<PathBuf> {
    let invalid = || Error::new(format!("invalid slice name: {slice}"));
    let name = slice.strip_suffix(".slice").filter(|_| is_unit_name(slice)).ok_or_else(invalid)?;
    if name == "-" {
        return Ok(PathBuf::new());
    }
    if name.split('-').any(str::is_empty) {
        return Err(invalid());
    }
    let ends = name.match_indices('-').map(|(end, _)| end).chain([name.len()]);
    Ok(ends.map(|end| format!("{}.slice", &name[..end])).collect())
}

/// The beginning of the names of annotations that set a property of the scope.
pub const ANNOTATION: &str = "org.systemd.property.";

/// What an annotation may set. Whoever may annotate a container (in Kubernetes the author of a pod) is not therefore allowed
/// to move processes into it (`PIDs`), to start other units with it (`Wants`), or to leave its slice; so this is a list of what
/// resource control has, and of what engines send.
const ANNOTATED: &[(&str, Kind)] = &[
    ("After", Kind::Texts),
    ("AllowedCPUs", Kind::Bytes),
    ("AllowedMemoryNodes", Kind::Bytes),
    ("Before", Kind::Texts),
    ("CPUQuotaPerSecUSec", Kind::U64),
    ("CPUQuotaPeriodUSec", Kind::U64),
    ("CPUWeight", Kind::U64),
    ("CollectMode", Kind::Text),
    ("DefaultDependencies", Kind::Bool),
    ("Description", Kind::Text),
    ("IOWeight", Kind::U64),
    ("IPAccounting", Kind::Bool),
    ("KillSignal", Kind::I32),
    ("ManagedOOMMemoryPressure", Kind::Text),
    ("ManagedOOMMemoryPressureLimit", Kind::U32),
    ("ManagedOOMPreference", Kind::Text),
    ("ManagedOOMSwap", Kind::Text),
    ("MemoryHigh", Kind::U64),
    ("MemoryLow", Kind::U64),
    ("MemoryMax", Kind::U64),
    ("MemoryMin", Kind::U64),
    ("MemorySwapMax", Kind::U64),
    ("MemoryZSwapMax", Kind::U64),
    ("OOMPolicy", Kind::Text),
    ("RuntimeMaxUSec", Kind::U64),
    ("StartupCPUWeight", Kind::U64),
    ("StartupIOWeight", Kind::U64),
    ("TasksMax", Kind::U64),
    ("TimeoutStopUSec", Kind::U64),
];

fn from_annotation(name: &str, text: &str) -> Result<Property> {
    let known = |name: &str| ANNOTATED.iter().find(|(known, _)| *known == name);
    if let Some((name, kind)) = known(name) {
        return Ok(Property::new(name, gvariant::parse(text, *kind)?));
    }
    // As in unit files, a time without its unit is in seconds.
    let in_microseconds = name.strip_suffix("Sec").map(|stem| format!("{stem}USec"));
    match in_microseconds.as_deref().and_then(known) {
        Some((name, _)) => Ok(Property::new(name, gvariant::parse_seconds(text)?)),
        None => Err(Error::new("is no property that an annotation may set")
            .hint("resource limits, KillSignal, TimeoutStopUSec, After, Before and a few more may be set")),
    }
}

/// The device rules in systemd's words. Orlop's own program says the same and more; with this, systemd knows and shows it.
///
/// What systemd has no words for is left to Orlop's program alone.
fn device_properties(rules: &[Rule]) -> Vec<Property> {
    if devices::allows_everything(rules) {
        return Vec::new();
    }
    let allowed = allowed_devices(rules);
    let strict = |allowed| [Property::new("DevicePolicy", "strict".to_owned()), Property::new("DeviceAllow", allowed)];
    allowed.map(strict).into_iter().flatten().collect()
}

fn allowed_devices(rules: &[Rule]) -> Option<Vec<(String, String)>> {
    let entry = |rule: &Rule| Some((systemd_device(rule)?, rule.access.letters()));
    devices::allow_list(rules)?.iter().map(entry).collect()
}

fn systemd_device(rule: &Rule) -> Option<String> {
    let kind = if rule.kind == devices::Kind::Block { "block" } else { "char" };
    match (rule.major, rule.minor) {
        (Some(major), Some(minor)) => Some(format!("/dev/{kind}/{major}:{minor}")),
        (Some(major), None) => Some(format!("{kind}-{major}")),
        (None, None) => Some(format!("{kind}-*")),
        (None, Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroupv2::devices::{Access, Kind as Class};
    use serde_json::{Value as Json, json};

    fn scope(config: &Json) -> Result<Scope> {
        let mut config = config.clone();
        config["ociVersion"] = json!("1.3.0");
        let spec: Spec = serde_json::from_value(config).unwrap();
        let request = Request { id: "box".into(), ..Request::default() };
        Scope::new(&spec, &request, &Host::with_cgroups("/sys/fs/cgroup", "/"), &Resources::default(), None)
    }

    fn at(path: &str) -> Result<Scope> {
        scope(&json!({"linux": {"cgroupsPath": path}}))
    }

    fn property(scope: &Scope, name: &str) -> Option<Value> {
        scope.properties.iter().find(|property| property.name == name).map(|property| property.value.clone())
    }

    #[test]
    fn units_and_slices_have_the_names_that_engines_expect() {
        for (path, slice, unit, below) in [
            ("", "system.slice", "orlop-box.scope", "system.slice/orlop-box.scope"),
            (":docker:1f", "system.slice", "docker-1f.scope", "system.slice/docker-1f.scope"),
            ("machine.slice:libpod:1f", "machine.slice", "libpod-1f.scope", "machine.slice/libpod-1f.scope"),
            ("-.slice:a:b", "-.slice", "a-b.scope", "a-b.scope"),
            ("a-b-c.slice:x:y", "a-b-c.slice", "x-y.scope", "a.slice/a-b.slice/a-b-c.slice/x-y.scope"),
            ("system.slice::b", "system.slice", "-b.scope", "system.slice/-b.scope"),
        ] {
            let scope = at(path).unwrap();
            assert_eq!((scope.slice.as_str(), scope.unit.as_str()), (slice, unit), "{path}");
            assert_eq!(scope.path(), PathBuf::from(below), "{path}");
        }
    }

    #[test]
    fn a_user_has_a_slice_of_its_own() {
        let (unit, slice) = names(None, "box", true).unwrap();
        assert_eq!((unit.as_str(), slice.as_str()), ("orlop-box.scope", "user.slice"));
    }

    #[test]
    fn root_in_a_user_namespace_is_a_user_or_the_root_of_a_container() {
        for (own, user) in [
            ("/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope", true),
            ("/user.slice/user-1000.slice/session-2.scope", true),
            ("/user.slice/user-0.slice/session-2.scope", false),
            ("/system.slice/docker.service", false),
            ("/", false),
        ] {
            assert_eq!(is_of_a_user(&Host::in_a_user_namespace(own)), Ok(user), "{own}");
        }
        assert_eq!(is_of_a_user(&Host::with_cgroups("/sys/fs/cgroup", "/user.slice/user-1000.slice")), Ok(false));
    }

    #[test]
    fn other_paths_are_refused_by_name() {
        for (path, text) in [
            ("/a/b", "expected cgroupsPath to be of format \"slice:prefix:name\""),
            ("a:b", "expected cgroupsPath"),
            ("a.slice:b:c:d", "expected cgroupsPath"),
            ("a:b:c", "invalid slice name: a"),
            (".slice:b:c", "invalid slice name: .slice"),
            ("-a.slice:b:c", "invalid slice name: -a.slice"),
            ("a--b.slice:b:c", "invalid slice name: a--b.slice"),
            ("a/b.slice:b:c", "invalid slice name: a/b.slice"),
            ("a.slice:b:c.slice", "\"c.slice\" is a slice"),
            ("a.slice:b:c/d", "\"b-c/d.scope\" can't be a unit's name"),
            ("a.slice:b:c@d", "\"b-c@d.scope\" can't be a unit's name"),
        ] {
            let error = at(path).unwrap_err().to_string();
            assert!(error.starts_with(&format!("linux.cgroupsPath: {text}")), "{path}: {error}");
        }
        assert!(at(&format!("a.slice:b:{}", "c".repeat(250))).is_err());
    }

    #[test]
    fn every_scope_is_delegated_accounted_for_and_forgotten_at_its_end() {
        let scope = at("").unwrap();
        for (name, value) in [
            ("Delegate", Value::Bool(true)),
            ("MemoryAccounting", Value::Bool(true)),
            ("TasksAccounting", Value::Bool(true)),
            ("DefaultDependencies", Value::Bool(false)),
            ("Slice", Value::Text("system.slice".into())),
            ("CollectMode", Value::Text("inactive-or-failed".into())),
        ] {
            assert_eq!(property(&scope, name), Some(value), "{name}");
        }
    }

    #[test]
    fn annotations_of_engines_become_properties() {
        let texts = |all: &[&str]| Value::Texts(all.iter().map(ToString::to_string).collect());
        for (name, text, property_name, value) in [
            ("KillSignal", "15", "KillSignal", Value::I32(15)),
            ("TimeoutStopUSec", "uint64 10000000", "TimeoutStopUSec", Value::U64(10_000_000)),
            ("TimeoutStopSec", "uint64 10", "TimeoutStopUSec", Value::U64(10_000_000)),
            ("TimeoutStopSec", "1.5", "TimeoutStopUSec", Value::U64(1_500_000)),
            ("DefaultDependencies", "true", "DefaultDependencies", Value::Bool(true)),
            ("After", "['crio.service']", "After", texts(&["crio.service"])),
            ("MemoryHigh", "0x1000", "MemoryHigh", Value::U64(4096)),
            ("AllowedCPUs", "[byte 0x03]", "AllowedCPUs", Value::Bytes(vec![3])),
            ("CollectMode", "'inactive'", "CollectMode", Value::Text("inactive".into())),
        ] {
            let scope = scope(&json!({"annotations": {format!("org.systemd.property.{name}"): text}})).unwrap();
            assert_eq!(property(&scope, property_name), Some(value), "{name}={text}");
            let times = scope.properties.iter().filter(|property| property.name == property_name).count();
            assert_eq!(times, 1, "{name}");
        }
    }

    #[test]
    fn other_annotations_are_refused_by_name() {
        for (name, text) in [
            ("PIDs", "[uint32 1]"),
            ("Wants", "['x.service']"),
            ("Slice", "'-.slice'"),
            ("Delegate", "false"),
            ("BPFProgram", "[]"),
            ("OnFailure", "['x.service']"),
            ("", "1"),
            ("KillSignal", "'x'"),
            ("KillSignal", "uint64 9"),
            ("KillSignal", ""),
            ("TimeoutStopSec", "soon"),
            ("TimeoutStopSec", "-1"),
            ("MemoryMax", "-1"),
            ("MemoryMax", "18446744073709551616"),
            ("After", "['x'"),
            ("After", "'x'"),
            ("AllowedCPUs", "[256]"),
            ("DefaultDependencies", "yes"),
        ] {
            let annotation = format!("org.systemd.property.{name}");
            let error = scope(&json!({"annotations": {annotation: text}})).unwrap_err().to_string();
            let field = format!("annotations[\"org.systemd.property.{name}\"]: ");
            assert!(error.starts_with(&field), "{name}={text}: {error}");
        }
    }

    #[test]
    fn other_annotations_than_systemds_are_nobodys_business_here() {
        assert!(scope(&json!({"annotations": {"org.systemd": "1", "x.org.systemd.property.PIDs": "1"}})).is_ok());
    }

    fn rule(allow: bool, kind: Class, major: Option<u32>, minor: Option<u32>, access: &str) -> Rule {
        Rule { allow, kind, major, minor, access: Access::parse(access).unwrap() }
    }

    #[test]
    fn devices_are_told_to_systemd_as_far_as_it_has_words_for_them() {
        let deny_all = rule(false, Class::Any, None, None, "rwm");
        let null = rule(true, Class::Char, Some(1), Some(3), "rw");
        let list = |rules: &[Rule]| {
            allowed_devices(rules).map(|all| all.iter().map(|(d, a)| format!("{d} {a}")).collect::<Vec<_>>().join(", "))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(list(&[deny_all, null]), some("/dev/char/1:3 rw"));
        assert_eq!(list(&[null, deny_all]), some(""));
        assert_eq!(list(&[rule(true, Class::Block, Some(8), None, "r")]), some("block-8 r"));
        assert_eq!(list(&[rule(true, Class::Any, None, None, "m")]), some("char-* m, block-* m"));
        assert_eq!(list(&[null, rule(true, Class::Char, None, None, "m")]), some("/dev/char/1:3 rw, char-* m"));
        // A hole in what is allowed, a minor number of every driver, and two halves of one opening.
        assert_eq!(
            list(&[rule(true, Class::Char, Some(1), None, "rw"), rule(false, Class::Char, Some(1), Some(3), "w")]),
            None
        );
        assert_eq!(list(&[rule(true, Class::Char, None, Some(3), "rw")]), None);
        assert_eq!(
            list(&[rule(true, Class::Char, Some(1), None, "r"), rule(true, Class::Char, Some(1), Some(3), "w")]),
            None
        );
    }

    #[test]
    fn without_device_rules_systemd_is_told_nothing_of_devices() {
        assert_eq!(property(&at("").unwrap(), "DevicePolicy"), None);
        assert!(device_properties(&[rule(true, Class::Any, None, None, "rwm")]).is_empty());
        let names: Vec<String> = device_properties(&devices::default_rules()).into_iter().map(|p| p.name).collect();
        assert_eq!(names, ["DevicePolicy", "DeviceAllow"]);
    }
}
