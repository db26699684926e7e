//! Seccomp: compiles a profile (`linux.seccomp`) to the classic BPF program that the kernel runs on each system call.
//!
//! Pure: it makes no system call, reads no file and knows no process. `sys` installs what it returns.
//!
//! The program looks at the architecture first, then finds the call's number by a binary search over runs of numbers
//! that fare alike, and looks at arguments only where a rule does. The answers are those of libseccomp as runc uses it,
//! including what profiles in use rely on without the spec saying so:
//!
//! - The kernel's own ABI is always covered; one that the profile does not list kills the thread.
//! - A rule that says the same as the default is dropped. The first rule for a call without conditions is final; among
//!   rules with conditions the first that holds decides.
//! - Conditions have to hold together, but if two of a rule are about the same argument any one is enough.
//! - 32-bit ABIs, x32 among them, compare the lower halves of arguments.
//! - A rule without conditions for a call that 32-bit x86 also reaches by `socketcall` or `ipc` holds there too.
//! - Calls with a number above all that the profile names get ENOSYS, unless the default lets calls through.
//! - Names that no ABI has are passed over.

mod arch;
mod bpf;
#[cfg(any(test, fuzzing))]
pub(crate) mod model;
mod profile;
mod stored;
mod table;
mod verdict;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSeccompFilterFlag, LinuxSeccompOperator};
use serde::{Deserialize, Serialize};

pub use arch::Abi;
pub use bpf::SockFilter;

use crate::error::{Error, Result};
use profile::Profile;

/// How many instructions the kernel takes (`BPF_MAXINSNS`).
pub const MAX_INSTRUCTIONS: usize = 4096;

/// A profile, ready for seccomp(2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// The program.
    #[serde(with = "stored")]
    pub program: Vec<SockFilter>,
    /// `SECCOMP_FILTER_FLAG_*`, with `NEW_LISTENER` if there is a listener.
    pub flags: u32,
    /// Who answers the calls with the action `SCMP_ACT_NOTIFY`, if the profile has any.
    pub listener: Option<Listener>,
    /// Names in the profile that no ABI has. They have no effect, and may be typing errors.
    #[serde(skip)]
    pub unknown: Vec<String>,
}

/// The agent that answers for the kernel, and what it is to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// The socket on which it waits for the listener's file descriptor.
    pub path: PathBuf,
    /// Goes to it unread.
    pub metadata: String,
}

/// Compiles a profile for the ABI of this program.
///
/// # Errors
/// A profile that contradicts itself or the spec, with the field's path, and one that is too large for the kernel.
pub fn compile(profile: &LinuxSeccomp) -> Result<Filter> {
    compile_for(Abi::NATIVE, profile)
}

/// Compiles a profile for a kernel whose own ABI is `native`.
///
/// # Errors
/// As [`compile`].
pub fn compile_for(native: Abi, profile: &LinuxSeccomp) -> Result<Filter> {
    let profile = Profile::read(profile, native)?;
    let program = verdict::program(&profile)?;
    if program.len() > MAX_INSTRUCTIONS {
        let text = format!(
            "compiles to {} instructions of BPF, and the kernel takes {MAX_INSTRUCTIONS} at most",
            program.len()
        );
        return Err(Error::new(text).hint("fewer conditions on arguments make it shorter").field("linux.seccomp"));
    }
    for name in &profile.unknown {
        tracing::debug!("linux.seccomp: no system call is called {name}");
    }
    Ok(Filter { program, flags: profile.flags, listener: profile.listener, unknown: profile.unknown })
}

/// The names of the actions that a profile may have.
pub fn actions() -> Vec<String> {
    use LinuxSeccompAction as Action;
    let all = [
        Action::ScmpActAllow,
        Action::ScmpActErrno,
        Action::ScmpActKill,
        Action::ScmpActKillProcess,
        Action::ScmpActKillThread,
        Action::ScmpActLog,
        Action::ScmpActNotify,
        Action::ScmpActTrace,
        Action::ScmpActTrap,
    ];
    all.iter().map(ToString::to_string).collect()
}

/// The names of the operators that a condition may have.
pub fn operators() -> Vec<String> {
    use LinuxSeccompOperator as Operator;
    let all = [
        Operator::ScmpCmpEq,
        Operator::ScmpCmpGe,
        Operator::ScmpCmpGt,
        Operator::ScmpCmpLe,
        Operator::ScmpCmpLt,
        Operator::ScmpCmpMaskedEq,
        Operator::ScmpCmpNe,
    ];
    all.iter().map(ToString::to_string).collect()
}

/// The names of the architectures that have an effect in a profile, on one machine or another.
pub fn architectures() -> [&'static str; Abi::ALL.len()] {
    Abi::ALL.map(Abi::name)
}

const FLAGS: [LinuxSeccompFilterFlag; 4] = [
    LinuxSeccompFilterFlag::SeccompFilterFlagLog,
    LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow,
    LinuxSeccompFilterFlag::SeccompFilterFlagTsync,
    LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv,
];

/// The names of the flags that a profile may have.
pub fn known_flags() -> Vec<String> {
    supported_flags(|_| true)
}

/// Those of the flags that the kernel has. `kernel_has` is asked for each `SECCOMP_FILTER_FLAG_*`.
pub fn supported_flags(kernel_has: impl Fn(u32) -> bool) -> Vec<String> {
    let supported = FLAGS.iter().filter(|flag| kernel_has(profile::flag_bit(**flag)));
    supported.map(ToString::to_string).collect()
}
