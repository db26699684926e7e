//! A profile as the compiler needs it, read from `linux.seccomp` and found valid.

use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSeccompOperator, LinuxSyscall,
};
use seccompiler::SeccompCmpOp;

use super::Listener;
use super::arch::{Abi, Call, Names};
use crate::error::{Annotate, Error, Result};

/// What the kernel does with a call: the value that a filter returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Action(pub u32);

impl Action {
    pub(super) const KILL_THREAD: Self = Self(libc::SECCOMP_RET_KILL_THREAD);
    pub(super) const NO_SUCH_CALL: Self = Self(libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned());

    /// Whether a call that the profile does not know goes on to the kernel or to a tracer, either of which can say ENOSYS itself.
    fn lets_new_calls_through(self) -> bool {
        let action = self.0 & libc::SECCOMP_RET_ACTION_FULL;
        [libc::SECCOMP_RET_ALLOW, libc::SECCOMP_RET_LOG, libc::SECCOMP_RET_TRACE].contains(&action)
    }
}

/// One comparison of an argument.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    pub index: u8,
    pub op: SeccompCmpOp,
    pub value: u64,
}

/// What to do with some calls.
#[derive(Debug)]
pub(super) struct Rule {
    pub calls: Vec<Call>,
    pub action: Action,
    /// Without any, the rule holds whatever the arguments are.
    pub conditions: Vec<Condition>,
}

/// Lists of conditions that all have to hold, and one list is enough.
pub(super) type Alternatives<'a> = std::slice::Chunks<'a, Condition>;

impl Rule {
    /// All conditions have to hold, unless two are about the same argument: then any one is enough. That is how runc has always
    /// read them.
    pub(super) fn alternatives(&self) -> Alternatives<'_> {
        let all = self.conditions.as_slice();
        let repeats = |(i, one): (usize, &Condition)| all[..i].iter().any(|other| other.index == one.index);
        let any_is_enough = all.iter().enumerate().any(repeats);
        all.chunks(if any_is_enough { 1 } else { all.len().max(1) })
    }
}

/// The whole profile.
#[derive(Debug)]
pub(super) struct Profile {
    pub default: Action,
    pub rules: Vec<Rule>,
    /// Those that the profile lists and the kernel offers, and the kernel's own.
    pub abis: Vec<Abi>,
    pub flags: u32,
    pub listener: Option<Listener>,
    /// Names that no ABI has.
    pub unknown: Vec<String>,
}

impl Profile {
    /// Reads a profile for a kernel whose own ABI is `native`.
    pub(super) fn read(source: &LinuxSeccomp, native: Abi) -> Result<Self> {
        let default = read_default(source)?;
        let syscalls = source.syscalls().as_deref().unwrap_or_default();
        let (mut rules, mut names) = (Vec::with_capacity(syscalls.len()), Names::default());
        for (i, syscall) in syscalls.iter().enumerate() {
            let field = |part: &str| format!("linux.seccomp.syscalls[{i}].{part}");
            rules.push(read_rule(syscall, field, &mut names)?);
        }
        let listener = read_listener(source, syscalls)?;
        let flags = read_flags(source, listener.is_some());
        Ok(Self { default, rules, abis: read_abis(source, native), flags, listener, unknown: names.unknown })
    }

    /// The answer to calls above all that the profile names. Those are newer than the profile, and programs take ENOSYS
    /// as the sign to use an older call, where EPERM makes them give up.
    pub(super) fn answer_to_new_calls(&self) -> Action {
        if self.default.lets_new_calls_through() { self.default } else { Action::NO_SUCH_CALL }
    }
}

fn read_default(source: &LinuxSeccomp) -> Result<Action> {
    if source.default_action() == LinuxSeccompAction::ScmpActNotify {
        return Err(Error::new("SCMP_ACT_NOTIFY cannot be used as default action")
            .hint("the runtime's own calls would wait for an agent that has not got the listener yet")
            .field("linux.seccomp.defaultAction"));
    }
    read_action(source.default_action(), source.default_errno_ret()).field("linux.seccomp.defaultErrnoRet")
}

/// The value for the kernel. An error is about the number that goes with the action.
fn read_action(action: LinuxSeccompAction, errno: Option<u32>) -> Result<Action> {
    let limit = match action {
        LinuxSeccompAction::ScmpActErrno => 4095, // MAX_ERRNO: the kernel would lower it to this in silence
        LinuxSeccompAction::ScmpActTrace => libc::SECCOMP_RET_DATA,
        _ => return errno.map_or_else(|| Ok(base(action)), |_| Err(no_errno(action))),
    };
    let errno = errno.unwrap_or(libc::EPERM.cast_unsigned());
    if errno > limit {
        return Err(Error::new(format!("{errno} is too large for {action}, whose limit is {limit}")));
    }
    Ok(Action(base(action).0 | errno))
}

fn no_errno(action: LinuxSeccompAction) -> Error {
    Error::new(format!("{action} has no errno to return")).hint("SCMP_ACT_ERRNO and SCMP_ACT_TRACE have")
}

fn base(action: LinuxSeccompAction) -> Action {
    Action(match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => libc::SECCOMP_RET_KILL_THREAD,
        LinuxSeccompAction::ScmpActKillProcess => libc::SECCOMP_RET_KILL_PROCESS,
        LinuxSeccompAction::ScmpActTrap => libc::SECCOMP_RET_TRAP,
        LinuxSeccompAction::ScmpActErrno => libc::SECCOMP_RET_ERRNO,
        LinuxSeccompAction::ScmpActNotify => libc::SECCOMP_RET_USER_NOTIF,
        LinuxSeccompAction::ScmpActTrace => libc::SECCOMP_RET_TRACE,
        LinuxSeccompAction::ScmpActLog => libc::SECCOMP_RET_LOG,
        LinuxSeccompAction::ScmpActAllow => libc::SECCOMP_RET_ALLOW,
    })
}

fn read_rule(source: &LinuxSyscall, field: impl Fn(&str) -> String, names: &mut Names) -> Result<Rule> {
    if source.names().is_empty() {
        return Err(Error::new("needs at least one name").field(field("names")));
    }
    let mut calls = Vec::with_capacity(source.names().len());
    for (i, name) in source.names().iter().enumerate() {
        check_name(name, source.action()).field_with(|| field(&format!("names[{i}]")))?;
        calls.extend(names.find(name));
    }
    let action = read_action(source.action(), source.errno_ret()).field_with(|| field("errnoRet"))?;
    let args = source.args().iter().flatten().enumerate();
    let conditions = args.map(|(i, arg)| read_arg(arg).field_with(|| field(&format!("args[{i}].index"))));
    Ok(Rule { calls, action, conditions: conditions.collect::<Result<_>>()? })
}

/// What the container's process still calls between installing the filter and the moment at which the agent has the listener.
/// If one of these waited for the agent, it would wait forever.
const BEFORE_THE_AGENT: [&str; 2] = ["sendmsg", "write"];

fn check_name(name: &str, action: LinuxSeccompAction) -> Result<()> {
    if name.is_empty() {
        return Err(Error::new("an empty string is not a valid syscall"));
    }
    if action == LinuxSeccompAction::ScmpActNotify && BEFORE_THE_AGENT.contains(&name) {
        return Err(Error::new(format!("SCMP_ACT_NOTIFY cannot be used for the {name} syscall"))
            .hint("the runtime needs it to hand over the listener, without which nobody could answer"));
    }
    Ok(())
}

fn read_arg(arg: &LinuxSeccompArg) -> Result<Condition> {
    let Some(index) = u8::try_from(arg.index()).ok().filter(|index| *index < 6) else {
        return Err(Error::new(format!("{} is no argument of a system call, which are 0 to 5", arg.index())));
    };
    let (op, value) = match arg.op() {
        LinuxSeccompOperator::ScmpCmpNe => (SeccompCmpOp::Ne, arg.value()),
        LinuxSeccompOperator::ScmpCmpLt => (SeccompCmpOp::Lt, arg.value()),
        LinuxSeccompOperator::ScmpCmpLe => (SeccompCmpOp::Le, arg.value()),
        LinuxSeccompOperator::ScmpCmpEq => (SeccompCmpOp::Eq, arg.value()),
        LinuxSeccompOperator::ScmpCmpGe => (SeccompCmpOp::Ge, arg.value()),
        LinuxSeccompOperator::ScmpCmpGt => (SeccompCmpOp::Gt, arg.value()),
        // Engines leave a valueTwo of 0 out: Docker's rule for clone has none.
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            (SeccompCmpOp::MaskedEq(arg.value()), arg.value_two().unwrap_or_default())
        }
    };
    Ok(Condition { index, op, value })
}

/// The kernel's own ABI comes first, listed or not: a filter that kills all that the container does is nobody's wish.
fn read_abis(source: &LinuxSeccomp, native: Abi) -> Vec<Abi> {
    let listed = source.architectures().as_deref().unwrap_or_default();
    let is_listed = |abi: &Abi| listed.iter().any(|arch| arch.to_string() == abi.name());
    let offered = Abi::ALL.into_iter().filter(|abi| abi.kernel() == native && *abi != native);
    std::iter::once(native).chain(offered.filter(is_listed)).collect()
}

fn read_listener(source: &LinuxSeccomp, syscalls: &[LinuxSyscall]) -> Result<Option<Listener>> {
    let path = source.listener_path().clone().filter(|path| !path.as_os_str().is_empty());
    let metadata = source.listener_metadata().clone().unwrap_or_default();
    if path.is_none() && !metadata.is_empty() {
        return Err(Error::new("must not be set without listenerPath").field("linux.seccomp.listenerMetadata"));
    }
    let Some(rule) = syscalls.iter().position(|rule| rule.action() == LinuxSeccompAction::ScmpActNotify) else {
        return Ok(None);
    };
    let path = path.ok_or_else(|| {
        Error::new(format!("is required, as syscalls[{rule}] has the action SCMP_ACT_NOTIFY"))
            .field("linux.seccomp.listenerPath")
    })?;
    Ok(Some(Listener { path, metadata }))
}

/// Flags of seccomp(2) that libc does not have.
const FLAG_WAIT_KILLABLE_RECV: u32 = 1 << 5;

/// The bit of a flag in seccomp(2).
pub(super) fn flag_bit(flag: LinuxSeccompFilterFlag) -> u32 {
    match flag {
        LinuxSeccompFilterFlag::SeccompFilterFlagTsync => bit(libc::SECCOMP_FILTER_FLAG_TSYNC),
        LinuxSeccompFilterFlag::SeccompFilterFlagLog => bit(libc::SECCOMP_FILTER_FLAG_LOG),
        LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => bit(libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW),
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => FLAG_WAIT_KILLABLE_RECV,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the kernel's flags are 32 bits wide; libc says unsigned long")]
const fn bit(flag: libc::c_ulong) -> u32 {
    flag as u32
}

/// The flags, and those that a listener needs. Without any in the profile the filter does not slow down speculation, as in runc.
fn read_flags(source: &LinuxSeccomp, listens: bool) -> u32 {
    const DEFAULT: &[LinuxSeccompFilterFlag] = &[LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow];
    let named = source.flags().as_deref().unwrap_or(DEFAULT);
    let flags = named.iter().fold(0, |all, flag| all | flag_bit(*flag));
    if !listens {
        // The kernel refuses it without a listener, where it would mean nothing.
        return flags & !FLAG_WAIT_KILLABLE_RECV;
    }
    // The kernel returns either the listener or the thread that could not be synchronised, unless asked for ESRCH instead.
    let tsync =
        if flags & bit(libc::SECCOMP_FILTER_FLAG_TSYNC) == 0 { 0 } else { libc::SECCOMP_FILTER_FLAG_TSYNC_ESRCH };
    flags | bit(libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | tsync)
}
