//! A process that joins a running container: the container's recorded config, changed as the caller of `exec` asks.
//!
//! The words of the command line change the process that the container was created with. A `--process` file takes its
//! place; what the file leaves out and the container has all the same (limits, capabilities, confinement) is the container's.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use oci_spec::runtime::{Capability, LinuxCapabilities, LinuxMemoryPolicy, LinuxPersonality, Process as Oci, Spec};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::process::Process;
use super::{Labels, MemoryPolicy, MountLabel, Namespaces, Personality, Request, keyring};
use crate::bundle::{ProcessFile, check_process};
use crate::error::{Annotate, Error, Result};
use crate::host::Host;
use crate::seccomp::Filter;

/// What the caller of `exec` asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecRequest {
    /// The program and its arguments; empty with a `--process` file.
    pub args: Vec<OsString>,
    /// `--cwd`.
    pub cwd: Option<PathBuf>,
    /// `--env`, each `NAME=VALUE`.
    pub env: Vec<String>,
    /// `--tty`.
    pub tty: bool,
    /// `--user`: a user id, and a group id behind a colon.
    pub user: Option<String>,
    /// `--additional-gids`.
    pub groups: Vec<String>,
    /// `--cap`.
    pub capabilities: Vec<String>,
    /// `--no-new-privs`, where it is given.
    pub no_new_privileges: Option<bool>,
    /// `--apparmor`.
    pub apparmor: Option<String>,
    /// `--process-label`.
    pub label: Option<String>,
    /// `--preserve-fds`.
    pub preserve_fds: u32,
}

/// A process that joins a container, decided in full.
#[derive(Debug)]
pub struct ExecPlan {
    /// The container's namespaces, as `CLONE_NEW*` bits.
    pub namespaces: u64,
    /// The program and what it runs as.
    pub process: Process,
    /// What the program runs under.
    pub labels: Labels,
    /// Which system calls the process may make.
    pub seccomp: Option<Filter>,
    /// The execution domain.
    pub personality: Option<Personality>,
    /// From which NUMA nodes the process gets memory.
    pub memory_policy: Option<MemoryPolicy>,
    /// The name of the container's session keyring.
    pub keyring: Option<CString>,
    /// How many descriptors from 3 on are inherited.
    pub preserve_fds: u32,
}

/// What of a container's config a process that joins it has to know, as the state keeps it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Recorded {
    process: Oci,
    pub(super) namespaces: u64,
    keyring: Option<CString>,
    /// The container's own, ready made: to read a profile and to compile it again takes ten times as long.
    seccomp: Option<Filter>,
    #[serde(default)]
    personality: Option<LinuxPersonality>,
    #[serde(default)]
    memory_policy: Option<LinuxMemoryPolicy>,
    #[serde(default)]
    pub(super) mount_label: Option<MountLabel>,
    #[serde(default)]
    keep_groups: bool,
}

impl Recorded {
    pub(super) fn read(text: &RawValue) -> Result<Self> {
        serde_json::from_str(text.get())
            .map_err(|error| Error::new(error.to_string()).doing("the container's recorded config"))
    }
}

/// The part of the config that is kept for [`ExecPlan::new`].
pub(super) fn record(
    spec: &Spec,
    namespaces: &Namespaces,
    request: &Request,
    seccomp: Option<&Filter>,
    mount_label: Option<&MountLabel>,
    keep_groups: bool,
) -> Result<Box<RawValue>> {
    let process = spec.process().clone().ok_or_else(|| Error::new("is required and missing").field("process"))?;
    let linux = spec.linux().as_ref();
    let recorded = Recorded {
        process,
        namespaces: namespaces.all_bits(),
        keyring: keyring(request)?,
        seccomp: seccomp.cloned(),
        personality: linux.and_then(|linux| linux.personality().clone()),
        memory_policy: linux.and_then(|linux| linux.memory_policy().clone()),
        mount_label: mount_label.cloned(),
        keep_groups,
    };
    serde_json::value::to_raw_value(&recorded).map_err(|error| Error::new(error.to_string()))
}

impl ExecPlan {
    /// Decides everything about the process that joins the container of that record.
    ///
    /// # Errors
    /// Names the field of the process, or the flag, that can't be honoured.
    pub fn new(recorded: &RawValue, file: Option<ProcessFile>, request: &ExecRequest, host: &Host) -> Result<Self> {
        let recorded = Recorded::read(recorded)?;
        let Recorded { process: own, namespaces, keyring, seccomp, personality, memory_policy, .. } = recorded;
        let (asked, args) = match file {
            Some(file) => (complete(file.process, &own), None),
            None => (change(own, request)?, Some(words(&request.args)?)),
        };
        let mut process = decide(&asked)?;
        process.args = args.unwrap_or(process.args);
        if recorded.keep_groups {
            process.user.keep_groups();
        }
        let labels = Labels::decide(&asked, host)?;
        let personality = personality.as_ref().map(Personality::decide).transpose()?;
        let memory_policy = memory_policy.as_ref().map(MemoryPolicy::decide).transpose()?;
        let preserve_fds = request.preserve_fds;
        Ok(Self { namespaces, process, labels, seccomp, personality, memory_policy, keyring, preserve_fds })
    }

    /// Whether the container of that record has a namespace of that kind.
    ///
    /// # Errors
    /// When the record can't be read.
    pub fn container_has(recorded: &RawValue, kind: super::Kind) -> Result<bool> {
        Ok(Recorded::read(recorded)?.namespaces & kind.bit() != 0)
    }

    /// Whether the container has a namespace of that kind.
    pub fn has(&self, kind: super::Kind) -> bool {
        self.namespaces & kind.bit() != 0
    }
}

fn decide(process: &Oci) -> Result<Process> {
    check_process(process)?;
    Process::decide(process)
}

/// A word may be any bytes, and a config's string only text.
fn words(args: &[OsString]) -> Result<Vec<CString>> {
    let nul = |_| Error::new("contains a NUL byte").field("process.args");
    args.iter().map(|word| CString::new(word.as_bytes()).map_err(nul)).collect()
}

/// What a `--process` file leaves out is as the container has it.
fn complete(mut asked: Oci, own: &Oci) -> Oci {
    let unset = |text: &Option<String>| text.as_ref().is_none_or(String::is_empty);
    if asked.capabilities().is_none() {
        asked.set_capabilities(own.capabilities().clone());
    }
    if asked.rlimits().as_ref().is_none_or(Vec::is_empty) {
        asked.set_rlimits(own.rlimits().clone());
    }
    if unset(asked.apparmor_profile()) {
        asked.set_apparmor_profile(own.apparmor_profile().clone());
    }
    if unset(asked.selinux_label()) {
        asked.set_selinux_label(own.selinux_label().clone());
    }
    if asked.scheduler().is_none() {
        asked.set_scheduler(own.scheduler().clone());
    }
    if asked.io_priority().is_none() {
        asked.set_io_priority(*own.io_priority());
    }
    if asked.exec_cpu_affinity().is_none() {
        asked.set_exec_cpu_affinity(own.exec_cpu_affinity().clone());
    }
    asked.set_oom_score_adj(asked.oom_score_adj().or(own.oom_score_adj()));
    let umask = asked.user().umask().or(own.user().umask());
    asked.user_mut().set_umask(umask);
    asked
}

/// The container's process, changed by the flags.
fn change(mut process: Oci, request: &ExecRequest) -> Result<Oci> {
    if request.args.is_empty() {
        return Err(Error::new("process args cannot be empty"));
    }
    // The words themselves follow later, byte for byte.
    process.set_args(Some(request.args.iter().map(|word| word.to_string_lossy().into_owned()).collect()));
    process.set_terminal(Some(request.tty));
    if let Some(cwd) = &request.cwd {
        process.set_cwd(cwd.clone());
    }
    // As in runc, an empty word leaves the container's.
    if let Some(profile) = request.apparmor.as_ref().filter(|profile| !profile.is_empty()) {
        process.set_apparmor_profile(Some(profile.clone()));
    }
    if let Some(label) = request.label.as_ref().filter(|label| !label.is_empty()) {
        process.set_selinux_label(Some(label.clone()));
    }
    if let Some(value) = request.no_new_privileges {
        process.set_no_new_privileges(Some(value));
    }
    if !request.env.is_empty() {
        let env = process.env().iter().flatten().chain(&request.env).cloned().collect();
        process.set_env(Some(env));
    }
    set_user(&mut process, request)?;
    add_capabilities(&mut process, &request.capabilities)?;
    Ok(process)
}

fn set_user(process: &mut Oci, request: &ExecRequest) -> Result<()> {
    if let Some(user) = &request.user {
        let wrong = || Error::new("is no UID or UID:GID; names don't exist here").doing(format!("--user {user:?}"));
        let (uid, gid) = user.split_once(':').map_or((user.as_str(), None), |(uid, gid)| (uid, Some(gid)));
        let number = |text: &str| text.parse::<u32>().map_err(|_| wrong());
        process.user_mut().set_uid(number(uid)?);
        if let Some(gid) = gid {
            process.user_mut().set_gid(number(gid)?);
        }
    }
    if !request.groups.is_empty() {
        let number = |text: &String| {
            text.parse::<u32>().map_err(|_| Error::new(format!("{text:?} is no group id")).doing("--additional-gids"))
        };
        let mut groups = process.user().additional_gids().clone().unwrap_or_default();
        groups.extend(request.groups.iter().map(number).collect::<Result<Vec<_>>>()?);
        process.user_mut().set_additional_gids(Some(groups));
    }
    Ok(())
}

/// As in runc: into the bounding, permitted and effective sets, never into the inheritable one (CVE-2022-29162), and into the
/// ambient one only where the container has inheritable capabilities, without which there is no ambient one.
fn add_capabilities(process: &mut Oci, names: &[String]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let added = names.iter().map(|name| capability(name)).collect::<Result<Vec<_>>>()?;
    let mut sets = process.capabilities().clone().unwrap_or_else(nothing);
    let with = |set: &Option<std::collections::HashSet<Capability>>| {
        Some(set.iter().flatten().chain(&added).copied().collect())
    };
    let (bounding, effective, permitted) = (with(sets.bounding()), with(sets.effective()), with(sets.permitted()));
    sets.set_bounding(bounding).set_effective(effective).set_permitted(permitted);
    if sets.inheritable().as_ref().is_some_and(|set| !set.is_empty()) {
        let ambient = with(sets.ambient());
        sets.set_ambient(ambient);
    }
    process.set_capabilities(Some(sets));
    Ok(())
}

/// The crate's own default is some capabilities, not none.
fn nothing() -> LinuxCapabilities {
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(None).set_effective(None).set_permitted(None).set_inheritable(None).set_ambient(None);
    sets
}

fn capability(name: &str) -> Result<Capability> {
    let upper = name.to_ascii_uppercase();
    let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
    serde_json::from_value(serde_json::Value::String(full))
        .map_err(|_| Error::new(format!("unknown capability {name:?}")))
        .doing(|| "--cap")
}

#[cfg(test)]
mod tests {
    use super::*;
    use caps::Capability as Cap;
    use serde_json::{Value, json};

    fn recorded() -> Box<RawValue> {
        recorded_with(None)
    }

    fn recorded_with(seccomp: Option<&Filter>) -> Box<RawValue> {
        let caps = json!(["CAP_KILL"]);
        let config = json!({
            "ociVersion": "1.3.0",
            "process": {
                "terminal": true, "cwd": "/srv", "args": ["/init"], "env": ["A=1", "B=2"],
                "user": {"uid": 5, "gid": 6, "umask": 7, "additionalGids": [8]},
                "capabilities": {"bounding": caps, "permitted": caps, "effective": caps},
                "rlimits": [{"type": "RLIMIT_CORE", "soft": 1, "hard": 1}],
                "noNewPrivileges": true, "oomScoreAdj": 9, "apparmorProfile": "own", "selinuxLabel": "u:r:own:s0"
            },
            "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}]}
        });
        let spec: Spec = serde_json::from_value(config).unwrap();
        let namespaces = Namespaces::new(&spec);
        record(&spec, &namespaces, &Request { id: "box".into(), ..Request::default() }, seccomp, None, false).unwrap()
    }

    fn by_words(change: impl FnOnce(&mut ExecRequest)) -> Result<ExecPlan> {
        let mut request = ExecRequest { args: vec!["ls".into(), "-l".into()], ..ExecRequest::default() };
        change(&mut request);
        ExecPlan::new(&recorded(), None, &request, &Host::with_security_modules(true, true))
    }

    fn by_file(process: Value) -> Result<ExecPlan> {
        let file = ProcessFile { process: serde_json::from_value(process).unwrap() };
        ExecPlan::new(&recorded(), Some(file), &ExecRequest::default(), &Host::with_security_modules(true, true))
    }

    fn env(plan: &ExecPlan) -> Vec<&str> {
        plan.process.env.iter().map(|entry| entry.to_str().unwrap()).collect()
    }

    #[test]
    fn words_run_in_the_containers_own_process() {
        let plan = by_words(|_| ()).unwrap();
        let process = &plan.process;
        assert_eq!(process.args, [c"ls".to_owned(), c"-l".to_owned()]);
        assert_eq!(process.cwd, PathBuf::from("/srv"));
        assert_eq!(process.terminal, None); // never without --tty
        let user = &process.user;
        assert_eq!((user.uid, user.gid, user.umask, user.groups.as_slice()), (5, 6, 7, &[8][..]));
        assert!(process.no_new_privileges && process.rlimits.len() == 1 && process.oom_score_adj == Some(9));
        assert_eq!(plan.keyring.as_deref(), Some(c"_ses.box"));
        assert!(plan.has(super::super::Kind::Pid) && !plan.has(super::super::Kind::Network));
    }

    #[test]
    fn each_flag_changes_its_field() {
        assert!(by_words(|r| r.tty = true).unwrap().process.terminal.is_some());
        assert_eq!(by_words(|r| r.cwd = Some("/x".into())).unwrap().process.cwd, PathBuf::from("/x"));
        let plan = by_words(|r| r.env = vec!["A=3".into(), "C=4".into()]).unwrap();
        assert_eq!(env(&plan), ["B=2", "A=3", "C=4"]);
        assert!(!by_words(|r| r.no_new_privileges = Some(false)).unwrap().process.no_new_privileges);
        assert_eq!(by_words(|r| r.preserve_fds = 2).unwrap().preserve_fds, 2);
    }

    #[test]
    fn a_user_has_a_group_of_their_own_only_where_it_is_named() {
        let user = |text: &str| by_words(|r| r.user = Some(text.into())).unwrap().process.user;
        assert_eq!((user("7").uid, user("7").gid), (7, 6));
        assert_eq!((user("7:9").uid, user("7:9").gid), (7, 9));
        assert_eq!(by_words(|r| r.groups = vec!["3".into()]).unwrap().process.user.groups, [8, 3]);
    }

    #[test]
    fn bad_users_and_groups_name_the_flag() {
        for bad in ["root", "1:", ":1", "-1", "1:x", "4294967296", ""] {
            let error = by_words(|r| r.user = Some(bad.into())).unwrap_err().to_string();
            assert!(error.starts_with(&format!("--user {bad:?}: ")), "{error}");
        }
        let reserved = by_words(|r| r.user = Some("4294967295".into())).unwrap_err().to_string();
        assert!(reserved.starts_with("process.user.uid: "), "{reserved}");
        let error = by_words(|r| r.groups = vec!["-3".into()]).unwrap_err().to_string();
        assert!(error.starts_with("--additional-gids: "), "{error}");
    }

    #[test]
    fn added_capabilities_are_never_inheritable() {
        let sets = by_words(|r| r.capabilities = vec!["net_raw".into()]).unwrap().process.capabilities;
        let both = Cap::CAP_KILL.bitmask() | Cap::CAP_NET_RAW.bitmask();
        assert_eq!((sets.bounding, sets.permitted, sets.effective), (both, both, both));
        assert_eq!((sets.inheritable, sets.ambient), (0, 0));
        let error = by_words(|r| r.capabilities = vec!["CAP_BOGUS".into()]).unwrap_err().to_string();
        assert_eq!(error, "--cap: unknown capability \"CAP_BOGUS\"");
    }

    #[test]
    fn labels_are_the_containers_unless_the_caller_names_others() {
        let own = (Some("own"), Some("u:r:own:s0"));
        let of = |plan: &ExecPlan| (plan.labels.apparmor.clone(), plan.labels.selinux.clone());
        let is = |plan: &ExecPlan, (apparmor, selinux): (Option<&str>, Option<&str>)| {
            assert_eq!(of(plan), (apparmor.map(String::from), selinux.map(String::from)));
        };
        is(&by_words(|_| ()).unwrap(), own);
        is(&by_words(|r| r.apparmor = Some(String::new())).unwrap(), own);
        is(&by_words(|r| r.apparmor = Some("other".into())).unwrap(), (Some("other"), own.1));
        is(&by_words(|r| r.label = Some("u:r:other:s0".into())).unwrap(), (own.0, Some("u:r:other:s0")));
        let file = json!({"cwd": "/", "args": ["x"], "user": {"uid": 0, "gid": 0}});
        is(&by_file(file.clone()).unwrap(), own);
        let mut named = file;
        named["apparmorProfile"] = json!("other");
        is(&by_file(named).unwrap(), (Some("other"), own.1));
    }

    #[test]
    fn labels_of_a_machine_without_the_module_are_refused() {
        let request = ExecRequest { args: vec!["ls".into()], ..ExecRequest::default() };
        let host = Host::with_security_modules(false, true);
        let error = ExecPlan::new(&recorded(), None, &request, &host).unwrap_err().to_string();
        assert!(error.starts_with("process.apparmorProfile: "), "{error}");
    }

    #[test]
    fn the_containers_filter_is_in_force_for_whoever_joins() {
        let rules = json!([{"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}, {"names": ["clone"], "action": "SCMP_ACT_LOG",
            "args": [{"index": 0, "value": 0x7e02_0000, "op": "SCMP_CMP_MASKED_EQ"}]}]);
        let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules, "listenerPath": "/run/agent"});
        let filter = crate::seccomp::compile(&serde_json::from_value(profile.clone()).unwrap()).unwrap();
        let record = recorded_with(Some(&filter));
        let plan = |record: &RawValue| {
            let request = ExecRequest { args: vec!["ls".into()], ..ExecRequest::default() };
            ExecPlan::new(record, None, &request, &Host::with_security_modules(true, true))
        };
        assert_eq!(plan(&record).unwrap().seccomp, Some(filter));
        for damaged in [json!({"program": "00", "flags": 0}), profile] {
            let mut record: Value = serde_json::from_str(record.get()).unwrap();
            record["seccomp"] = damaged;
            let error = plan(&serde_json::value::to_raw_value(&record).unwrap()).unwrap_err().to_string();
            assert!(error.starts_with("the container's recorded config: "), "{error}");
        }
    }

    #[test]
    fn nothing_to_run_is_refused_in_runcs_words() {
        assert_eq!(by_words(|r| r.args.clear()).unwrap_err().to_string(), "process args cannot be empty");
    }

    #[test]
    fn a_file_takes_the_place_of_the_process_and_leaves_the_containers_confinement() {
        let plan = by_file(json!({"cwd": "/", "args": ["x"], "user": {"uid": 0, "gid": 0}})).unwrap();
        let process = &plan.process;
        assert_eq!((process.args.as_slice(), process.env.len()), (&[c"x".to_owned()][..], 0));
        assert_eq!((process.user.uid, process.user.umask, process.user.groups.len()), (0, 7, 0));
        assert_eq!(process.capabilities.bounding, Cap::CAP_KILL.bitmask());
        assert_eq!((process.rlimits.len(), process.oom_score_adj), (1, Some(9)));
        assert!(!process.no_new_privileges); // as in runc, this one is the file's alone
    }

    #[test]
    fn a_file_that_says_none_gets_none() {
        let file =
            json!({"cwd": "/", "args": ["x"], "user": {"uid": 0, "gid": 0}, "capabilities": {}, "oomScoreAdj": 1});
        let process = by_file(file).unwrap().process;
        assert_eq!((process.capabilities.bounding, process.oom_score_adj), (0, Some(1)));
    }

    #[test]
    fn a_bad_file_names_its_field() {
        let error = by_file(json!({"cwd": "x", "args": ["x"], "user": {"uid": 0, "gid": 0}})).unwrap_err().to_string();
        assert!(error.starts_with("process.cwd: "), "{error}");
        let error = by_file(json!({"cwd": "/", "args": [], "user": {"uid": 0, "gid": 0}})).unwrap_err().to_string();
        assert!(error.starts_with("process.args: "), "{error}");
    }
}
