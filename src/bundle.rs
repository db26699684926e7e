//! The bundle: what was asked for. Reads `config.json`, and refuses what the runtime-spec forbids, with the field's path.
//!
//! OCI types stop here and in `plan`. This room knows nothing of cgroups, and touches the host only to read the bundle.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Capability, Hook, Linux, LinuxIdMapping, LinuxNamespaceType, LinuxResources, Process, Spec};

use rustix::fs::{Mode, OFlags, open, readlink};
use rustix::io::Errno;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Annotate, Context, Error, Result};
use crate::timeline;

/// A bundle that was read and found valid: `config.json` as the spec's types, and the directories that it is about.
#[derive(Debug)]
pub struct Bundle {
    /// The bundle's directory, absolute and without symbolic links.
    pub dir: PathBuf,
    /// The container's root file system, absolute and without symbolic links.
    pub rootfs: PathBuf,
    /// The config, validated.
    pub spec: Spec,
}

impl Bundle {
    /// Reads and validates the bundle in `dir`.
    ///
    /// # Errors
    /// Names the field, or the line and column where it is no JSON.
    pub fn open(dir: &Path) -> Result<Self> {
        let _step = timeline::step("read config.json");
        let dir = real_path(dir).call("open").doing(|| format!("bundle {}", dir.display()))?;
        let path = dir.join("config.json");
        let text = fs::read(&path)
            .call("open")
            .doing(|| format!("read {}", path.display()))
            .hint("a bundle is a directory with a config.json; `orlop spec` writes one")?;
        let spec = read(&text, &path)?;
        let rootfs = find_rootfs(&dir, &spec)?;
        Ok(Self { dir, rootfs, spec })
    }
}

/// Reads the text of a `config.json` and refuses what is not valid.
pub(crate) fn read(text: &[u8], path: &Path) -> Result<Spec> {
    let mut spec: Spec = parse(text, path, "")?;
    forget_empty_pids(&mut spec, text);
    check_io_class(spec.process().as_ref(), text, "/process/ioPriority/class")?;
    validate(&spec)?;
    Ok(spec)
}

/// A process as `exec --process` describes it: a file with what is `process` in a `config.json`.
#[derive(Debug)]
pub struct ProcessFile {
    /// The process, as the spec's type; not validated yet, because a container may complete it.
    pub process: Process,
}

impl ProcessFile {
    /// Reads the file.
    ///
    /// # Errors
    /// Names the field as in a config, or the line and column where it is no JSON.
    pub fn open(path: &Path) -> Result<Self> {
        let text = fs::read(path).call("open").doing(|| format!("read --process {}", path.display()))?;
        let process = parse(&text, path, "process")?;
        check_io_class(Some(&process), &text, "/ioPriority/class")?;
        Ok(Self { process })
    }
}

/// Mounts for a container that runs already: a file with what is `mounts` in a `config.json`.
#[derive(Debug)]
pub struct MountsFile {
    /// The mounts, as the spec's type.
    pub mounts: Vec<oci_spec::runtime::Mount>,
}

impl MountsFile {
    /// Reads and validates the file.
    ///
    /// # Errors
    /// Names the field as in a config, or the line and column where it is no JSON.
    pub fn open(path: &Path) -> Result<Self> {
        let text = fs::read(path).call("open").doing(|| format!("read {}", path.display()))?;
        let mounts: Vec<_> = parse_value(&text, path, "mounts")?;
        check_mounts(&mounts)?;
        Ok(Self { mounts })
    }
}

/// Limits for `update`: what is `linux.resources` in a `config.json`.
#[derive(Debug)]
pub struct ResourcesFile {
    /// The limits, as the spec's type.
    pub resources: LinuxResources,
}

impl ResourcesFile {
    /// Reads the file.
    ///
    /// # Errors
    /// Names the field as in a config, or the line and column where it is no JSON.
    pub fn open(path: &Path) -> Result<Self> {
        let text = fs::read(path).call("open").doing(|| format!("read {}", path.display()))?;
        Self::read(&text, path)
    }

    /// Reads standard input to its end.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_standard_input() -> Result<Self> {
        let mut text = Vec::new();
        std::io::stdin().lock().read_to_end(&mut text).call("read").doing(|| "standard input")?;
        Self::read(&text, Path::new("standard input"))
    }

    /// Reads the text, which is from there.
    ///
    /// # Errors
    /// As [`Self::open`]; runc's text where there is none.
    pub fn read(text: &[u8], from: &Path) -> Result<Self> {
        if text.trim_ascii().is_empty() {
            return Err(Error::new("EOF"));
        }
        let mut resources = parse(text, from, "linux.resources")?;
        forget_empty_pids_of(&mut resources, text, "/pids/limit");
        Ok(Self { resources })
    }
}

/// Parses the text of a `config.json`, or of the part of it that `field` names.
fn parse<T: DeserializeOwned>(text: &[u8], path: &Path, field: &str) -> Result<T> {
    if !text.trim_ascii_start().starts_with(b"{") && !text.trim_ascii().is_empty() {
        return Err(Error::new("is not a JSON object").doing(path.display().to_string()));
    }
    parse_value(text, path, field)
}

fn parse_value<T: DeserializeOwned>(text: &[u8], path: &Path, field: &str) -> Result<T> {
    serde_json::from_slice(text).or_else(|error| {
        if error.is_data() || is_json(text) {
            let again = respelled(text).and_then(|value| serde_json::from_value(value).ok());
            again.ok_or_else(|| misfit::<T>(text, path, field))
        } else {
            Err(syntax(text, &error).doing(path.display().to_string()))
        }
    })
}

/// To oci-spec 0.10 a limit of processes that isn't there is 0, which is the least of all limits. Only one of the two texts means that.
fn forget_empty_pids(spec: &mut Spec, text: &[u8]) {
    if let Some(resources) = spec.linux_mut().as_mut().and_then(|linux| linux.resources_mut().as_mut()) {
        forget_empty_pids_of(resources, text, "/linux/resources/pids/limit");
    }
}

fn forget_empty_pids_of(resources: &mut LinuxResources, text: &[u8], limit: &str) {
    if resources.pids().as_ref().is_none_or(|pids| pids.limit() != 0) {
        return;
    }
    let said = serde_json::from_slice::<serde_json::Value>(text).ok();
    if said.is_none_or(|said| said.pointer(limit).is_none_or(serde_json::Value::is_null)) {
        resources.set_pids(None);
    }
}

/// To oci-spec 0.10 a class that isn't there is one. The specification wants it said.
fn check_io_class(process: Option<&Process>, text: &[u8], at: &str) -> Result<()> {
    if process.is_none_or(|process| process.io_priority().is_none()) {
        return Ok(());
    }
    let said = serde_json::from_slice::<serde_json::Value>(text).ok();
    let has = said.is_some_and(|said| said.pointer(at).is_some_and(serde_json::Value::is_string));
    if has { Ok(()) } else { Err(missing("process.ioPriority.class")) }
}

/// Names that oci-spec 0.10 spells in a way of its own.
const RESPELLED: [(&str, &str); 2] =
    [("SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_D_L_OVERRUN"), ("SCHED_FLAG_RESET_ON_FORK", "SCHED_RESET_ON_FORK")];

/// The config in words that oci-spec knows: what it spells differently, and without capabilities that nobody knows, which the
/// specification wants to be warned of (config.md, Linux Process). Nothing where that changes nothing.
fn respelled(text: &[u8]) -> Option<serde_json::Value> {
    let mut value: serde_json::Value = serde_json::from_slice(text).ok()?;
    // A process alone is a config's part of that name.
    let process = if value.get("process").is_some() { &mut value["process"] } else { &mut value };
    let mut changed = false;
    for flag in process.pointer_mut("/scheduler/flags").and_then(|flags| flags.as_array_mut()).into_iter().flatten() {
        if let Some((_, own)) = RESPELLED.iter().find(|(word, _)| *flag == *word) {
            *flag = (*own).into();
            changed = true;
        }
    }
    let sets = process.pointer_mut("/capabilities").and_then(|sets| sets.as_object_mut()).into_iter().flatten();
    for (set, names) in sets.filter_map(|(set, names)| Some((set, names.as_array_mut()?))) {
        let before = names.len();
        names.retain(|name| is_capability(name, set));
        changed |= names.len() != before;
    }
    changed.then_some(value)
}

/// Whether it is one that the specification's types know. What is no text isn't a name, and is refused as that.
fn is_capability(name: &serde_json::Value, set: &str) -> bool {
    let known = !name.is_string() || Capability::deserialize(name).is_ok();
    if !known {
        tracing::warn!("process.capabilities.{set}: {name} is unknown, and left out");
    }
    known
}

/// The parser calls it a syntax error too when there is `false` or a number where one of some words has to be.
fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
}

/// Valid JSON, but not a config. Only this path pays for the parser that remembers where it is.
fn misfit<T: DeserializeOwned>(text: &[u8], file: &Path, field: &str) -> Error {
    let mut json = serde_json::Deserializer::from_slice(text);
    let Err(located) = serde_path_to_error::deserialize::<_, T>(&mut json) else {
        return Error::new("was understood on the second reading only; did it change?")
            .doing(file.display().to_string());
    };
    let (path, inner) = (located.path().to_string(), located.inner().to_string());
    let path = match path.as_str() {
        "." => field.to_owned(),
        path if field.is_empty() => path.to_owned(),
        index if index.starts_with('[') => format!("{field}{index}"),
        path => format!("{field}.{path}"),
    };
    match inner.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        Some(name) if path.is_empty() => missing(name),
        Some(name) => missing(&format!("{path}.{name}")),
        None if inner.starts_with("expected value") => Error::new("is of the wrong type").field(path),
        None if path.is_empty() => Error::new(inner).doing("config.json"),
        None => Error::new(inner).field(path),
    }
}

/// No JSON. The parser counts a line break as the next line's column 0; people look for it at the end of its own line.
fn syntax(text: &[u8], error: &serde_json::Error) -> Error {
    let message = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    let words = message.strip_suffix(&position).unwrap_or(&message);
    let (mut line, mut column) = (error.line(), error.column());
    if column == 0 && line > 1 {
        line -= 1;
        column = text.split(|b| *b == b'\n').nth(line - 1).map_or(0, <[u8]>::len) + 1;
    }
    Error::new(format!("not valid JSON: {words} at line {line} column {column}"))
}

fn find_rootfs(dir: &Path, spec: &Spec) -> Result<PathBuf> {
    let root = spec.root().as_ref().ok_or_else(|| missing("root"))?;
    if root.path().as_os_str().is_empty() {
        return Err(missing("root.path"));
    }
    let path = dir.join(root.path());
    let rootfs = real_path(&path).call("open").doing(|| format!("root file system {}", path.display()));
    let rootfs = rootfs.field("root.path")?;
    if !rootfs.is_dir() {
        return Err(Error::new(format!("root file system {} is not a directory", path.display())).field("root.path"));
    }
    if rootfs == Path::new("/") {
        return Err(Error::new("the host's own root can't be a container's").field("root.path"));
    }
    Ok(rootfs)
}

/// The path without symbolic links, as the kernel knows it: three system calls, where realpath(3) makes one a component.
fn real_path(path: &Path) -> Result<PathBuf, Errno> {
    let opened = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let real = readlink(format!("/proc/self/fd/{}", opened.as_raw_fd()), Vec::new())?;
    Ok(PathBuf::from(OsString::from_vec(real.into_bytes())))
}

fn missing(field: &str) -> Error {
    Error::new("is required and missing").field(field)
}

/// Refuses a config that breaks a MUST of the spec, whatever the machine.
fn validate(spec: &Spec) -> Result<()> {
    check_version(spec.version())?;
    check_process(spec.process().as_ref().ok_or_else(|| missing("process"))?)?;
    if let Some(linux) = spec.linux() {
        check_linux(linux)?;
    }
    check_names(spec)?;
    check_mounts(spec.mounts().as_deref().unwrap_or_default())?;
    check_annotations(spec)?;
    check_hooks(spec)
}

/// Semantic versioning, and the same major version as ours (config.md, Specification version).
fn check_version(version: &str) -> Result<()> {
    let refuse = |text: String| Err(Error::new(text).field("ociVersion"));
    if version.is_empty() {
        return Err(missing("ociVersion"));
    }
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<_> = core.split('.').map(str::parse::<u32>).collect();
    match numbers.as_slice() {
        [Ok(1), Ok(_), Ok(_)] => Ok(()),
        [Ok(major), Ok(_), Ok(_)] => {
            refuse(format!("version {version} has major version {major}, and only 1 is known"))
        }
        _ => refuse(format!("{version:?} is not a SemVer version")),
    }
}

/// Refuses a process that no container can have.
pub fn check_process(process: &Process) -> Result<()> {
    let cwd = process.cwd();
    if cwd.as_os_str().is_empty() {
        return Err(missing("process.cwd"));
    }
    if !cwd.is_absolute() {
        return Err(Error::new(format!("{:?} is not an absolute path", cwd.display().to_string())).field("process.cwd"));
    }
    if process.args().as_ref().is_none_or(Vec::is_empty) {
        return Err(Error::new("needs at least one entry, the program").field("process.args"));
    }
    for (i, one) in process.args().iter().flatten().enumerate() {
        refuse_nul(one, || format!("process.args[{i}]"))?;
    }
    for (i, one) in process.env().iter().flatten().enumerate() {
        refuse_nul(one, || format!("process.env[{i}]"))?;
    }
    refuse_nul(cwd, || "process.cwd".into())?;
    check_user(process)?;
    check_rlimits(process)
}

fn refuse_nul(text: impl AsRef<OsStr>, field: impl FnOnce() -> String) -> Result<()> {
    if text.as_ref().as_encoded_bytes().contains(&0) {
        Err(Error::new("contains a NUL byte").field(field()))
    } else {
        Ok(())
    }
}

/// 2^32-1 means "no change" to setresuid(2), and so would leave the process root.
fn check_user(process: &Process) -> Result<()> {
    let user = process.user();
    let reserved = |field: String| Error::new("4294967295 is reserved and can't be an id").field(field);
    if user.uid() == u32::MAX {
        return Err(reserved("process.user.uid".into()));
    }
    if user.gid() == u32::MAX {
        return Err(reserved("process.user.gid".into()));
    }
    for (i, gid) in user.additional_gids().iter().flatten().enumerate() {
        if *gid == u32::MAX {
            return Err(reserved(format!("process.user.additionalGids[{i}]")));
        }
    }
    if let Some(umask) = user.umask()
        && umask > 0o777
    {
        return Err(Error::new(format!("{umask} is more than 511 (octal 0777)")).field("process.user.umask"));
    }
    Ok(())
}

fn check_rlimits(process: &Process) -> Result<()> {
    let limits = process.rlimits().as_deref().unwrap_or_default();
    for (i, limit) in limits.iter().enumerate() {
        if limits[..i].iter().any(|earlier| earlier.typ() == limit.typ()) {
            return Err(Error::new(format!("{} is set twice", limit.typ())).field(format!("process.rlimits[{i}].type")));
        }
        if limit.soft() > limit.hard() {
            let text = format!("the soft limit {} is above the hard limit {}", limit.soft(), limit.hard());
            return Err(Error::new(text).field(format!("process.rlimits[{i}].soft")));
        }
    }
    Ok(())
}

fn check_linux(linux: &Linux) -> Result<()> {
    let namespaces = linux.namespaces().as_deref().unwrap_or_default();
    for (i, namespace) in namespaces.iter().enumerate() {
        if namespaces[..i].iter().any(|earlier| earlier.typ() == namespace.typ()) {
            let text = format!("the {} namespace is listed twice", namespace_name(namespace.typ()));
            return Err(Error::new(text).field(format!("linux.namespaces[{i}].type")));
        }
        if let Some(path) = namespace.path().as_ref().filter(|path| !path.as_os_str().is_empty())
            && !path.is_absolute()
        {
            let text = format!("{:?} is not an absolute path", path.display().to_string());
            return Err(Error::new(text).field(format!("linux.namespaces[{i}].path")));
        }
    }
    check_mappings(linux)?;
    check_paths(linux.masked_paths().as_deref(), "linux.maskedPaths")?;
    check_paths(linux.readonly_paths().as_deref(), "linux.readonlyPaths")
}

fn check_mappings(linux: &Linux) -> Result<()> {
    let user = linux.namespaces().iter().flatten().find(|n| n.typ() == LinuxNamespaceType::User);
    let has_path = user.is_some_and(|n| n.path().as_ref().is_some_and(|path| !path.as_os_str().is_empty()));
    let both = [("linux.uidMappings", linux.uid_mappings()), ("linux.gidMappings", linux.gid_mappings())];
    for (field, mappings) in both {
        let mappings = mappings.as_deref().unwrap_or_default();
        match user {
            None if !mappings.is_empty() => {
                return Err(Error::new("needs a user namespace in linux.namespaces").field(field));
            }
            Some(_) if !has_path && mappings.is_empty() => {
                return Err(Error::new("a new user namespace needs at least one mapping").field(field));
            }
            _ => mappings.iter().enumerate().try_for_each(|(i, m)| check_mapping(m, || format!("{field}[{i}]")))?,
        }
    }
    Ok(())
}

fn check_mapping(mapping: &LinuxIdMapping, field: impl FnOnce() -> String) -> Result<()> {
    if mapping.size() == 0 {
        return Err(Error::new("a mapping of no ids").field(format!("{}.size", field())));
    }
    let fits = |first: u32| first.checked_add(mapping.size()).is_some();
    if fits(mapping.container_id()) && fits(mapping.host_id()) {
        return Ok(());
    }
    Err(Error::new("reaches beyond the largest id, 4294967294").field(format!("{}.size", field())))
}

fn check_paths(paths: Option<&[String]>, field: &str) -> Result<()> {
    for (i, path) in paths.unwrap_or_default().iter().enumerate() {
        if !path.starts_with('/') {
            return Err(Error::new(format!("{path:?} is not an absolute path")).field(format!("{field}[{i}]")));
        }
    }
    Ok(())
}

/// Host and domain names belong to the UTS namespace, and without one of its own a container would rename the host.
fn check_names(spec: &Spec) -> Result<()> {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let has_uts = namespaces.is_some_and(|all| all.iter().any(|n| n.typ() == LinuxNamespaceType::Uts));
    for (field, name) in [("hostname", spec.hostname()), ("domainname", spec.domainname())] {
        let Some(name) = name.as_ref().filter(|name| !name.is_empty()) else { continue };
        if !has_uts {
            return Err(Error::new("needs a uts namespace in linux.namespaces").field(field));
        }
        refuse_nul(name, || field.into())?;
        if name.len() > 64 {
            return Err(Error::new(format!("has {} bytes, and the kernel takes 64", name.len())).field(field));
        }
    }
    Ok(())
}

fn check_mounts(mounts: &[oci_spec::runtime::Mount]) -> Result<()> {
    for (i, mount) in mounts.iter().enumerate() {
        if mount.destination().as_os_str().is_empty() {
            return Err(missing(&format!("mounts[{i}].destination")));
        }
        let strings = [Some(mount.destination()), mount.source().as_ref()];
        for path in strings.into_iter().flatten() {
            refuse_nul(path, || format!("mounts[{i}]"))?;
        }
        for (j, option) in mount.options().iter().flatten().enumerate() {
            refuse_nul(option, || format!("mounts[{i}].options[{j}]"))?;
        }
        for (name, mappings) in [("uidMappings", mount.uid_mappings()), ("gidMappings", mount.gid_mappings())] {
            for (j, mapping) in mappings.iter().flatten().enumerate() {
                check_mapping(mapping, || format!("mounts[{i}].{name}[{j}]"))?;
            }
        }
    }
    Ok(())
}

fn check_annotations(spec: &Spec) -> Result<()> {
    if spec.annotations().as_ref().is_some_and(|all| all.contains_key("")) {
        return Err(Error::new("a key is empty").field("annotations"));
    }
    Ok(())
}

fn check_hooks(spec: &Spec) -> Result<()> {
    let Some(hooks) = spec.hooks() else { return Ok(()) };
    #[allow(deprecated)] // prestart is deprecated, and Docker sends it with every container
    let kinds = [
        ("prestart", hooks.prestart()),
        ("createRuntime", hooks.create_runtime()),
        ("createContainer", hooks.create_container()),
        ("startContainer", hooks.start_container()),
        ("poststart", hooks.poststart()),
        ("poststop", hooks.poststop()),
    ];
    for (kind, list) in kinds {
        for (i, hook) in list.iter().flatten().enumerate() {
            check_hook(hook, &format!("hooks.{kind}[{i}]"))?;
        }
    }
    Ok(())
}

fn check_hook(hook: &Hook, field: &str) -> Result<()> {
    if !hook.path().is_absolute() {
        let text = format!("{:?} is not an absolute path", hook.path().display().to_string());
        return Err(Error::new(text).field(format!("{field}.path")));
    }
    if hook.timeout().is_some_and(|seconds| seconds <= 0) {
        return Err(Error::new("must be more than zero seconds").field(format!("{field}.timeout")));
    }
    let strings = hook.args().iter().flatten().chain(hook.env().iter().flatten());
    for text in strings {
        refuse_nul(text, || field.to_string())?;
    }
    Ok(())
}

/// The spec's word for a namespace.
pub fn namespace_name(kind: LinuxNamespaceType) -> &'static str {
    match kind {
        LinuxNamespaceType::Mount => "mount",
        LinuxNamespaceType::Cgroup => "cgroup",
        LinuxNamespaceType::Uts => "uts",
        LinuxNamespaceType::Ipc => "ipc",
        LinuxNamespaceType::User => "user",
        LinuxNamespaceType::Pid => "pid",
        LinuxNamespaceType::Network => "network",
        LinuxNamespaceType::Time => "time",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A valid config after one change.
    fn changed(change: impl FnOnce(&mut Value)) -> Result<Spec> {
        let mut config = json!({
            "ociVersion": "1.3.0",
            "root": {"path": "rootfs"},
            "process": {"cwd": "/", "args": ["sh"], "user": {"uid": 0, "gid": 0}},
            "linux": {"namespaces": [{"type": "mount"}]}
        });
        change(&mut config);
        read(config.to_string().as_bytes(), Path::new("/b/config.json"))
    }

    /// The message that it gets.
    fn refusal(change: impl FnOnce(&mut Value)) -> String {
        changed(change).err().map_or(String::new(), |error| error.to_string())
    }

    #[test]
    fn the_valid_config_is_valid() {
        assert_eq!(refusal(|_| ()), "");
    }

    #[test]
    fn a_limit_of_processes_that_is_not_there_is_none() {
        let limit = |pids: Value| {
            let config = json!({"ociVersion": "1.3.0", "linux": {"resources": {"pids": pids}}});
            let text = serde_json::to_vec(&config).unwrap();
            let mut spec: Spec = serde_json::from_slice(&text).unwrap();
            forget_empty_pids(&mut spec, &text);
            let resources = spec.linux().as_ref().unwrap().resources().clone().unwrap();
            resources.pids().as_ref().map(oci_spec::runtime::LinuxPids::limit)
        };
        assert_eq!(limit(json!({})), None);
        assert_eq!(limit(json!({"limit": 0})), Some(0));
        assert_eq!(limit(json!({"limit": -1})), Some(-1));
    }

    #[test]
    fn broken_json_says_line_and_column() {
        let broken = |text: &[u8]| parse::<Spec>(text, Path::new("/b/config.json"), "").unwrap_err().to_string();
        let error = broken(b"{\n  \"ociVersion\": ,\n}");
        assert!(error.starts_with("/b/config.json: not valid JSON") && error.contains("line 2 column 17"), "{error}");
        assert!(broken(b"{\n  \"a\n").contains("line 2 column 5"), "{}", broken(b"{\n  \"a\n"));
        assert!(broken(b"[]").contains("not a JSON object") && broken(b"").contains("line 1 column 0"));
    }

    #[test]
    fn wrong_types_name_the_field() {
        let error = refusal(|c| c["process"]["args"] = json!("sh"));
        assert!(error.starts_with("process.args: invalid type: string \"sh\""), "{error}");
        let error = refusal(|c| c["mounts"] = json!([{"destination": "/x", "options": [3]}]));
        assert!(error.starts_with("mounts[0].options[0]: "), "{error}");
        let error = refusal(|c| c["linux"]["namespaces"][0]["type"] = json!(false));
        assert_eq!(error, "linux.namespaces[0].type: is of the wrong type");
    }

    #[test]
    fn unknown_names_name_the_field() {
        let rlimits = json!([{"type": "RLIMIT_BOGUS", "hard": 1, "soft": 1}]);
        let error = refusal(|c| c["process"]["rlimits"] = rlimits);
        assert!(error.starts_with("process.rlimits[0].type: ") && error.contains("RLIMIT_BOGUS"), "{error}");
        let error = refusal(|c| c["process"]["capabilities"] = json!({"bounding": [7]}));
        assert!(error.starts_with("process.capabilities.bounding[0]: "), "{error}");
    }

    #[test]
    fn unknown_capabilities_are_left_out() {
        let sets = json!({"bounding": ["CAP_KILL", "CAP_BOGUS"], "effective": ["CAP_BOGUS"]});
        let spec = changed(|c| c["process"]["capabilities"] = sets).unwrap();
        let sets = spec.process().as_ref().unwrap().capabilities().clone().unwrap();
        assert_eq!(sets.bounding().as_ref().unwrap().len(), 1);
        assert!(sets.effective().as_ref().unwrap().is_empty());
    }

    #[test]
    fn a_priority_of_io_has_a_class() {
        let error = refusal(|c| c["process"]["ioPriority"] = json!({"priority": 4}));
        assert_eq!(error, "process.ioPriority.class: is required and missing");
    }

    #[test]
    fn required_fields_are_required() {
        let cases = [
            ("ociVersion", "ociVersion"),
            ("process", "process"),
            ("root", ""), // found when the root file system is looked for
        ];
        for (key, field) in cases {
            let error = refusal(|c| {
                c.as_object_mut().unwrap().remove(key);
            });
            assert!(error.starts_with(field) && (field.is_empty() || error.contains("required")), "{key}: {error}");
        }
        let error = refusal(|c| drop(c["process"].as_object_mut().unwrap().remove("cwd")));
        assert_eq!(error, "process.cwd: is required and missing");
        assert!(refusal(|c| c["process"]["args"] = json!([])).starts_with("process.args: "));
        assert!(refusal(|c| c["process"]["cwd"] = json!("tmp")).starts_with("process.cwd: "));
    }

    #[test]
    fn versions() {
        for good in ["1.0.0", "1.3.0", "1.2.0-rc.1+dev", "1.0.2-dev"] {
            assert!(check_version(good).is_ok(), "{good}");
        }
        for bad in ["", "1.0", "2.0.0", "one", "0.9.0", "1.0.x"] {
            assert!(check_version(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn namespaces_are_listed_once_by_absolute_path() {
        let twice = json!([{"type": "pid"}, {"type": "pid"}]);
        assert!(refusal(|c| c["linux"]["namespaces"] = twice).starts_with("linux.namespaces[1].type: "));
        let relative = json!([{"type": "pid", "path": "x"}]);
        assert!(refusal(|c| c["linux"]["namespaces"] = relative).starts_with("linux.namespaces[0].path: "));
        let unknown = json!([{"type": "bogus"}]);
        assert!(refusal(|c| c["linux"]["namespaces"] = unknown).starts_with("linux.namespaces[0].type: "));
    }

    #[test]
    fn mappings_belong_to_a_user_namespace() {
        let map = json!([{"containerID": 0, "hostID": 1000, "size": 1}]);
        assert!(refusal(|c| c["linux"]["uidMappings"] = map.clone()).starts_with("linux.uidMappings: needs a user"));
        assert!(refusal(|c| c["linux"]["namespaces"] = json!([{"type": "user"}])).starts_with("linux.uidMappings: "));
        let empty = json!([{"containerID": 0, "hostID": 1000, "size": 0}]);
        let error = refusal(|c| {
            c["linux"]["namespaces"] = json!([{"type": "user"}]);
            c["linux"]["uidMappings"] = empty.clone();
            c["linux"]["gidMappings"] = map.clone();
        });
        assert!(error.starts_with("linux.uidMappings[0].size: "), "{error}");
    }

    #[test]
    fn names_need_a_uts_namespace() {
        assert!(refusal(|c| c["hostname"] = json!("x")).starts_with("hostname: needs a uts namespace"));
        let long = "x".repeat(65);
        let error = refusal(|c| {
            c["linux"]["namespaces"] = json!([{"type": "uts"}]);
            c["hostname"] = json!(long);
        });
        assert!(error.starts_with("hostname: has 65 bytes"), "{error}");
    }

    #[test]
    fn the_reserved_id_is_refused() {
        let user = json!({"uid": 4_294_967_295_u32, "gid": 0});
        assert!(refusal(|c| c["process"]["user"] = user).starts_with("process.user.uid: "));
        let too_large = json!({"uid": 4_294_967_296_u64, "gid": 0});
        assert!(refusal(|c| c["process"]["user"] = too_large).starts_with("process.user.uid: "));
    }

    #[test]
    fn rlimits_are_set_once_and_in_order() {
        let twice = json!([{"type": "RLIMIT_CPU", "hard": 1, "soft": 1}, {"type": "RLIMIT_CPU", "hard": 1, "soft": 1}]);
        assert!(refusal(|c| c["process"]["rlimits"] = twice).starts_with("process.rlimits[1].type: "));
        let crossed = json!([{"type": "RLIMIT_CPU", "hard": 1, "soft": 2}]);
        assert!(refusal(|c| c["process"]["rlimits"] = crossed).starts_with("process.rlimits[0].soft: "));
    }

    #[test]
    fn hooks_have_absolute_paths_and_positive_timeouts() {
        let error = refusal(|c| c["hooks"] = json!({"poststop": [{"path": "x"}]}));
        assert!(error.starts_with("hooks.poststop[0].path: "), "{error}");
        let error = refusal(|c| c["hooks"] = json!({"prestart": [{"path": "/x", "timeout": 0}]}));
        assert!(error.starts_with("hooks.prestart[0].timeout: "), "{error}");
    }
}
