//! The program, what it runs as and within which limits.

use std::ffi::CString;
use std::path::PathBuf;

use oci_spec::runtime::{Capability, PosixRlimitType, Spec};
use rustix::process::Resource;

use super::{ExecCpus, Scheduling};
use crate::error::{Error, Result};

/// The container's process, or one that joins it.
#[derive(Debug, Clone)]
pub struct Process {
    /// argv, at least one.
    pub args: Vec<CString>,
    /// The whole environment. `HOME` may be added from the container's passwd file.
    pub env: Vec<CString>,
    /// Where it starts, absolute inside the container.
    pub cwd: PathBuf,
    /// Its terminal, if it has one of its own.
    pub terminal: Option<Terminal>,
    /// Who it is.
    pub user: User,
    /// What it may do.
    pub capabilities: Capabilities,
    /// Limits, each resource once.
    pub rlimits: Vec<Rlimit>,
    /// Whether no execve(2) gives it more privileges.
    pub no_new_privileges: bool,
    /// What the kernel's OOM killer adds to its badness.
    pub oom_score_adj: Option<i32>,
    /// How it competes for the machine.
    pub scheduling: Scheduling,
    /// On which CPUs it runs, if it joins a container.
    pub exec_cpus: ExecCpus,
    /// Whether it is told its pid in `LISTEN_PID`.
    pub is_activated: bool,
}

/// Sockets of systemd's socket activation, from descriptor 3 on: `sd_listen_fds(3)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenFds {
    /// `LISTEN_FDS`.
    pub count: u32,
    /// `LISTEN_FDNAMES`.
    pub names: Option<String>,
}

/// A pseudo terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terminal {
    /// Rows and columns, where the config says.
    pub size: Option<(u16, u16)>,
}

/// Numeric identity; names don't exist at this deck.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct User {
    /// User id inside the container.
    pub uid: u32,
    /// Group id inside the container.
    pub gid: u32,
    /// The supplementary groups, exactly these.
    pub groups: Vec<u32>,
    /// Whether it keeps those of whoever called the runtime instead.
    pub keeps_groups: bool,
    /// The file mode creation mask.
    pub umask: u32,
}

/// The five capability sets, as bits. What the config doesn't list is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// What can ever be gained.
    pub bounding: u64,
    /// What is checked.
    pub effective: u64,
    /// What can be made effective.
    pub permitted: u64,
    /// What passes through execve(2) of a file that has it inheritable.
    pub inheritable: u64,
    /// What passes through any execve(2).
    pub ambient: u64,
}

impl Capabilities {
    /// Those that whoever has no more than `own` can give away.
    pub(crate) fn within(&self, own: u64) -> Self {
        Self {
            bounding: self.bounding,
            effective: self.effective & own,
            permitted: self.permitted & own,
            inheritable: self.inheritable & own,
            ambient: self.ambient & own,
        }
    }
}

/// One resource limit.
#[derive(Debug, Clone, Copy)]
pub struct Rlimit {
    /// Which resource.
    pub resource: Resource,
    /// The spec's name of it.
    pub name: PosixRlimitType,
    /// The soft limit; `None` is unlimited.
    pub soft: Option<u64>,
    /// The hard limit; `None` is unlimited.
    pub hard: Option<u64>,
}

impl User {
    /// As with crun, the config's own groups don't count then.
    pub(super) fn keep_groups(&mut self) {
        self.keeps_groups = true;
        self.groups.clear();
    }
}

impl Process {
    pub(super) fn new(spec: &Spec) -> Result<Self> {
        let process = spec.process().as_ref().ok_or_else(|| Error::new("is required and missing").field("process"))?;
        Self::decide(process)
    }

    /// Decides what the spec's `process` says.
    pub(super) fn decide(process: &oci_spec::runtime::Process) -> Result<Self> {
        Ok(Self {
            args: strings(process.args().as_deref(), "process.args")?,
            env: environment(process.env().as_deref().unwrap_or_default())?,
            cwd: process.cwd().clone(),
            terminal: process.terminal().unwrap_or(false).then(|| terminal(process)),
            user: user(process.user()),
            capabilities: capabilities(process)?,
            rlimits: process.rlimits().iter().flatten().map(rlimit).collect(),
            no_new_privileges: process.no_new_privileges().unwrap_or(false),
            oom_score_adj: process.oom_score_adj(),
            scheduling: Scheduling::decide(process)?,
            exec_cpus: ExecCpus::decide(process)?,
            is_activated: false,
        })
    }

    /// Hands sockets of socket activation on. The pid, which systemd's protocol wants as well, is known to the process alone.
    pub(super) fn activate(&mut self, listen: &ListenFds) -> Result<()> {
        let ListenFds { count, names } = listen;
        let names = names.iter().map(|names| format!("LISTEN_FDNAMES={names}"));
        let variables =
            strings(Some(&[format!("LISTEN_FDS={count}")].into_iter().chain(names).collect::<Vec<_>>()), "env")?;
        self.env.retain(|entry| !entry.as_bytes().starts_with(b"LISTEN_"));
        self.env.extend(variables);
        self.is_activated = true;
        Ok(())
    }

    /// The value of a variable in its environment.
    pub fn variable(&self, name: &str) -> Option<&[u8]> {
        let value = |entry: &'_ CString| -> Option<usize> {
            entry.as_bytes().strip_prefix(name.as_bytes())?.strip_prefix(b"=").map(<[u8]>::len)
        };
        self.env.iter().find_map(|entry| value(entry).map(|len| &entry.as_bytes()[entry.as_bytes().len() - len..]))
    }
}

fn strings(list: Option<&[String]>, field: &str) -> Result<Vec<CString>> {
    let one = |(i, text): (usize, &String)| {
        CString::new(text.as_str()).map_err(|_| Error::new("contains a NUL byte").field(format!("{field}[{i}]")))
    };
    list.unwrap_or_default().iter().enumerate().map(one).collect()
}

/// The environment with each variable once, the last value winning, as it does in runc. What has no `=` passes as it is:
/// a value from the runtime's own environment is never filled in (CVE-2026-57231).
fn environment(list: &[String]) -> Result<Vec<CString>> {
    let name = |entry: &String| entry.split_once('=').map(|(name, _)| name.to_owned());
    let mut seen = std::collections::HashSet::new();
    let mut last: Vec<String> =
        list.iter().rev().filter(|entry| name(entry).is_none_or(|name| seen.insert(name))).cloned().collect();
    last.reverse();
    strings(Some(&last), "process.env")
}

fn terminal(process: &oci_spec::runtime::Process) -> Terminal {
    let cells = |n: u64| u16::try_from(n).unwrap_or(u16::MAX);
    Terminal { size: process.console_size().map(|size| (cells(size.height()), cells(size.width()))) }
}

fn user(user: &oci_spec::runtime::User) -> User {
    User {
        uid: user.uid(),
        gid: user.gid(),
        groups: user.additional_gids().clone().unwrap_or_default(),
        keeps_groups: false,
        umask: user.umask().unwrap_or(0o022),
    }
}

fn capabilities(process: &oci_spec::runtime::Process) -> Result<Capabilities> {
    let Some(sets) = process.capabilities() else { return Ok(Capabilities::default()) };
    let bits = |set: Option<&std::collections::HashSet<Capability>>| set.into_iter().flatten().copied().map(bit).sum();
    let mut planned = Capabilities {
        bounding: bits(sets.bounding().as_ref()),
        effective: bits(sets.effective().as_ref()),
        permitted: bits(sets.permitted().as_ref()),
        inheritable: bits(sets.inheritable().as_ref()),
        ambient: bits(sets.ambient().as_ref()),
    };
    if planned.effective & !planned.permitted != 0 {
        let text = "has capabilities that process.capabilities.permitted lacks, which the kernel doesn't allow";
        return Err(Error::new(text).field("process.capabilities.effective"));
    }
    // crun's own default config asks for ambient capabilities that are not inheritable. The kernel grants none of those,
    // and runc goes on without them.
    planned.ambient &= planned.permitted & planned.inheritable;
    Ok(planned)
}

/// The capability's bit, by the number that the caps crate knows for the same name.
fn bit(capability: Capability) -> u64 {
    use std::str::FromStr;
    let name = capability.to_string();
    let name = if name.starts_with("CAP_") { name } else { format!("CAP_{name}") };
    caps::Capability::from_str(&name).map_or(0, |known| known.bitmask())
}

fn rlimit(limit: &oci_spec::runtime::PosixRlimit) -> Rlimit {
    let value = |n: u64| (n != u64::MAX).then_some(n);
    Rlimit { resource: resource(limit.typ()), name: limit.typ(), soft: value(limit.soft()), hard: value(limit.hard()) }
}

fn resource(name: PosixRlimitType) -> Resource {
    match name {
        PosixRlimitType::RlimitCpu => Resource::Cpu,
        PosixRlimitType::RlimitFsize => Resource::Fsize,
        PosixRlimitType::RlimitData => Resource::Data,
        PosixRlimitType::RlimitStack => Resource::Stack,
        PosixRlimitType::RlimitCore => Resource::Core,
        PosixRlimitType::RlimitRss => Resource::Rss,
        PosixRlimitType::RlimitNproc => Resource::Nproc,
        PosixRlimitType::RlimitNofile => Resource::Nofile,
        PosixRlimitType::RlimitMemlock => Resource::Memlock,
        PosixRlimitType::RlimitAs => Resource::As,
        PosixRlimitType::RlimitLocks => Resource::Locks,
        PosixRlimitType::RlimitSigpending => Resource::Sigpending,
        PosixRlimitType::RlimitMsgqueue => Resource::Msgqueue,
        PosixRlimitType::RlimitNice => Resource::Nice,
        PosixRlimitType::RlimitRtprio => Resource::Rtprio,
        PosixRlimitType::RlimitRttime => Resource::Rttime,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn plan(change: impl FnOnce(&mut Value)) -> Result<Process> {
        let mut process = json!({"cwd": "/", "args": ["sh"], "user": {"uid": 0, "gid": 0}});
        change(&mut process);
        Process::new(&serde_json::from_value(json!({"ociVersion": "1.3.0", "process": process})).unwrap())
    }

    #[test]
    fn what_is_not_given_is_nothing() {
        let process = plan(|_| ()).unwrap();
        assert_eq!(process.capabilities, Capabilities::default());
        assert_eq!((process.user.groups.len(), process.user.umask), (0, 0o022));
        assert!(process.terminal.is_none() && process.rlimits.is_empty() && !process.no_new_privileges);
    }

    #[test]
    fn every_capability_of_the_spec_has_the_kernels_number() {
        for known in caps::all() {
            let name = known.to_string();
            let process = plan(|p| p["capabilities"] = json!({"bounding": [name]})).unwrap();
            assert_eq!(process.capabilities.bounding, known.bitmask(), "{name}");
        }
        assert_eq!(caps::Capability::CAP_CHECKPOINT_RESTORE.bitmask(), 1 << 40);
    }

    #[test]
    fn no_more_is_given_away_than_there_is() {
        let all = Capabilities { bounding: 7, effective: 7, permitted: 7, inheritable: 7, ambient: 7 };
        let some = Capabilities { bounding: 7, effective: 5, permitted: 5, inheritable: 5, ambient: 5 };
        assert_eq!((all.within(13), all.within(u64::MAX)), (some, all));
    }

    #[test]
    fn capabilities_that_the_kernel_would_refuse_are_refused_here() {
        let error = plan(|p| p["capabilities"] = json!({"effective": ["CAP_KILL"]})).unwrap_err().to_string();
        assert!(error.starts_with("process.capabilities.effective: "), "{error}");
    }

    #[test]
    fn ambient_capabilities_are_those_that_the_kernel_can_grant() {
        let sets = json!({"permitted": ["CAP_KILL", "CAP_CHOWN"], "inheritable": ["CAP_CHOWN"], "ambient": ["CAP_KILL", "CAP_CHOWN"]});
        let process = plan(|p| p["capabilities"] = sets).unwrap();
        assert_eq!(process.capabilities.ambient, caps::Capability::CAP_CHOWN.bitmask());
    }

    #[test]
    fn the_last_value_of_a_variable_wins_and_a_bare_word_stays() {
        let process = plan(|p| p["env"] = json!(["A=1", "B=2", "A=3", "BARE", "C="])).unwrap();
        let env: Vec<_> = process.env.iter().map(|e| e.to_str().unwrap()).collect();
        assert_eq!(env, ["B=2", "A=3", "BARE", "C="]);
        assert_eq!(process.variable("A"), Some(&b"3"[..]));
        assert_eq!(process.variable("C"), Some(&b""[..]));
        assert_eq!(process.variable("BARE"), None);
    }

    #[test]
    fn the_largest_number_is_unlimited() {
        let limits = json!([{"type": "RLIMIT_CORE", "soft": 0, "hard": u64::MAX}]);
        let process = plan(|p| p["rlimits"] = limits).unwrap();
        assert_eq!((process.rlimits[0].soft, process.rlimits[0].hard), (Some(0), None));
    }

    #[test]
    fn all_sixteen_rlimits() {
        let names =
            "CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME";
        for name in names.split(' ') {
            let limits = json!([{"type": format!("RLIMIT_{name}"), "soft": 1, "hard": 2}]);
            assert_eq!(plan(|p| p["rlimits"] = limits).unwrap().rlimits.len(), 1, "{name}");
        }
    }
}
