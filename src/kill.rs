//! `orlop kill`: a signal for the container's init, or for all of it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::state::State;
use crate::sys;

/// What the names mean to programs in containers and to callers: glibc's and Go's numbers, whatever this program is linked with (musl
/// keeps one more to itself).
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// Sends `signal`, a number or a name, to a container's init, or with `all` to every process of the container.
///
/// SIGKILL is for all of a container that has no pid namespace of its own: what its init started doesn't die with it there.
///
/// # Errors
/// `container not running`, unless `all`: of nothing, all have got the signal.
pub fn kill(root: &Path, id: &str, signal: &str, all: bool) -> Result<()> {
    let signal = parse(signal)?;
    let state = State::open(root, id)?;
    let record = state.load()?;
    let init = record.as_ref().map_or(Ok(None), |record| record.init.open())?;
    if init.is_none() && !all {
        return Err(not_running());
    }
    let own_pid_namespace = record.as_ref().is_some_and(|record| record.own_pid_namespace);
    let for_all = all || (signal == libc::SIGKILL && !own_pid_namespace);
    let cgroup = || if init.is_some() { state.cgroup_while_alive(record.as_ref()) } else { state.own_cgroup() };
    match (for_all.then(cgroup).transpose()?.flatten(), init) {
        (Some(cgroup), _) if signal == libc::SIGKILL => cgroup.kill(),
        (Some(cgroup), _) => cgroup.signal(signal),
        (None, Some(init)) => signal_init(&init, signal, all),
        (None, None) => Ok(()),
    }
}

fn signal_init(init: &OwnedFd, signal: i32, all: bool) -> Result<()> {
    match sys::pidfd_send_signal(init.as_fd(), signal) {
        Ok(()) => Ok(()),
        Err(Errno::SRCH) if all => Ok(()),
        Err(Errno::SRCH) => Err(not_running()),
        Err(errno) => Err(Error::call("pidfd_send_signal", errno)),
    }
}

fn not_running() -> Error {
    Error::new("container not running")
}

/// A signal's number from a number or a name, with or without `SIG`, in any case; real-time signals as `RTMIN+1` too.
///
/// # Errors
/// runc's text.
pub fn parse(text: &str) -> Result<i32> {
    let unknown = || Error::new(format!("unknown signal {text:?}"));
    let upper = text.to_ascii_uppercase();
    let by_name = || by_name(upper.strip_prefix("SIG").unwrap_or(&upper));
    let number = text.parse().ok().or_else(by_name).ok_or_else(unknown)?;
    if (0..=RTMAX).contains(&number) { Ok(number) } else { Err(unknown()) }
}

fn by_name(name: &str) -> Option<i32> {
    let offset =
        |text: &str, sign: char| if text.is_empty() { Some(0) } else { text.strip_prefix(sign)?.parse::<i32>().ok() };
    if let Some(rest) = name.strip_prefix("RTMIN") {
        return offset(rest, '+').map(|n| RTMIN + n);
    }
    if let Some(rest) = name.strip_prefix("RTMAX") {
        return offset(rest, '-').map(|n| RTMAX - n);
    }
    let name = match name {
        "IOT" => "ABRT",
        "CLD" => "CHLD",
        "POLL" => "IO",
        "UNUSED" => "SYS",
        other => other,
    };
    format!("SIG{name}").parse::<nix::sys::signal::Signal>().ok().map(|signal| signal as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_in_any_dress() {
        for (text, number) in [
            ("9", 9),
            ("KILL", 9),
            ("SIGKILL", 9),
            ("sigterm", 15),
            ("Hup", 1),
            ("0", 0),
            ("64", 64),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("rtmax-1", 63),
            ("5", 5),
            ("TRAP", 5),
            ("BUS", 7),
            ("IOT", 6),
            ("CLD", 17),
            ("POLL", 29),
            ("IO", 29),
            ("PWR", 30),
            ("STKFLT", 16),
        ] {
            assert_eq!(parse(text).unwrap(), number, "{text}");
        }
    }

    #[test]
    fn anything_else_is_unknown() {
        for text in ["BOGUS", "", "SIG", "65", "-1", "9x", "RTMIN+99", "RTMIN-1", "SIGSIGKILL"] {
            assert_eq!(parse(text).unwrap_err().to_string(), format!("unknown signal {text:?}"));
        }
    }
}
