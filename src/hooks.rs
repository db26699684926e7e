//! Runs the programs of `hooks` in the spec's order, each with the container's state on its standard input.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::error::{Annotate, Context, Error, Result};
use crate::plan::Hook;
use crate::spawn::wait_gone;
use crate::sys;

/// How much of a failed hook's output its error quotes.
const QUOTED: u64 = 4096;

/// Runs every hook. `state` is what they read; `environment` is what those without one of their own get (`None`: the runtime's).
///
/// # Errors
/// The first hook that can't be run, fails or takes too long; those behind it don't run.
pub fn run(hooks: &[Hook], state: &[u8], environment: Option<&[CString]>) -> Result<()> {
    hooks.iter().try_for_each(|hook| run_one(hook, state, environment).field(&hook.field))
}

/// Runs every hook, also after one that failed, which is only warned of (runtime.md, Lifecycle: poststop).
pub fn run_all(hooks: &[Hook], state: &[u8]) {
    for hook in hooks {
        if let Err(error) = run_one(hook, state, None).field(&hook.field) {
            crate::log::say(&format!("warning: {error}\n"));
        }
    }
}

fn run_one(hook: &Hook, state: &[u8], environment: Option<&[CString]>) -> Result<()> {
    // Files, not pipes: a hook that reads nothing or writes much holds nobody up.
    let input = scratch_file(state)?;
    let mut output = scratch_file(&[])?;
    let mut command = command(hook, environment);
    sys::block_no_signal(&mut command);
    let copy = |file: &File| file.try_clone().call("dup");
    command.stdin(input).stdout(copy(&output)?).stderr(copy(&output)?);
    let path = hook.path.display();
    let mut child =
        command.spawn().call("execve").doing(|| path.to_string()).field_with(|| format!("{}.path", hook.field))?;
    let status = wait(&mut child, hook.timeout).doing(|| path.to_string())?;
    if status.success() {
        return Ok(());
    }
    Err(Error::new(format!("{status}{}", quote(&mut output)?)).doing(path.to_string()))
}

fn scratch_file(text: &[u8]) -> Result<File> {
    let mut file = File::from(memfd_create("hook", MemfdFlags::CLOEXEC).call("memfd_create")?);
    file.write_all(text).call("write")?;
    file.rewind().call("lseek")?;
    Ok(file)
}

fn command(hook: &Hook, environment: Option<&[CString]>) -> Command {
    let mut command = Command::new(&hook.path);
    if let Some((name, args)) = hook.args.split_first() {
        command.arg0(name).args(args);
    }
    let own = hook.env.as_ref().map(|list| list.iter().map(|entry| OsStr::new(entry.as_str())).collect::<Vec<_>>());
    let given = || environment.map(|list| list.iter().map(|entry| OsStr::from_bytes(entry.as_bytes())).collect());
    if let Some(list) = own.or_else(given) {
        let split = |entry: &OsStr| entry.as_bytes().iter().position(|b| *b == b'=');
        let pairs = list.into_iter().filter_map(|entry| split(entry).map(|at| entry.as_bytes().split_at(at)));
        command.env_clear().envs(pairs.map(|(name, value)| (OsStr::from_bytes(name), OsStr::from_bytes(&value[1..]))));
    }
    command
}

fn wait(child: &mut Child, timeout: Option<u64>) -> Result<ExitStatus> {
    let Some(seconds) = timeout else { return child.wait().call("wait") };
    let pid =
        i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(|| Error::new("a process without a pid"))?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).call("pidfd_open")?;
    if wait_gone(pidfd.as_fd(), Some(Duration::from_secs(seconds)))? {
        return child.wait().call("wait");
    }
    child.kill().call("kill")?;
    child.wait().call("wait")?;
    Err(Error::new(format!("killed after its timeout of {seconds} s")))
}

fn quote(output: &mut File) -> Result<String> {
    output.rewind().call("lseek")?;
    let mut text = Vec::new();
    output.take(QUOTED).read_to_end(&mut text).call("read")?;
    let text = String::from_utf8_lossy(&text);
    let text = text.trim();
    Ok(if text.is_empty() { String::new() } else { format!(", and said {text:?}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn sh(script: &str) -> Hook {
        let args = ["sh", "-c", script].map(String::from).to_vec();
        Hook {
            field: "hooks.prestart[0]".into(),
            path: "/bin/sh".into(),
            args,
            env: Some(vec!["A=b=c".into()]),
            timeout: None,
        }
    }

    #[test]
    fn reads_the_state_and_has_its_environment_only() {
        run(&[sh("test \"$(cat)\" = state && test \"$A\" = b=c && test -z \"$HOME\"")], b"state", None).unwrap();
    }

    #[test]
    fn without_one_of_its_own_it_gets_the_given_environment() {
        let hook = Hook { env: None, ..sh("test \"$B\" = 1 && test -z \"$HOME\"") };
        run(&[hook], b"", Some(&[c"B=1".into()])).unwrap();
    }

    #[test]
    fn a_failure_names_the_hook_its_status_and_its_words() {
        let error = run(&[sh("echo why >&2; exit 3"), sh("exit 0")], b"", None).unwrap_err().to_string();
        assert_eq!(error, "hooks.prestart[0]: /bin/sh: exit status: 3, and said \"why\"");
    }

    #[test]
    fn a_hook_that_ignores_a_large_state_or_writes_much_is_no_trouble() {
        run(&[sh("exit 0")], &vec![b'x'; 1 << 20], None).unwrap();
        run(&[sh("head -c 1000000 /dev/zero")], b"", None).unwrap();
    }

    #[test]
    fn a_slow_hook_is_killed() {
        let hook = Hook { timeout: Some(1), ..sh("sleep 60") };
        let start = Instant::now();
        let error = run(&[hook], b"", None).unwrap_err().to_string();
        assert!(error.contains("timeout of 1 s") && start.elapsed() < Duration::from_secs(20), "{error}");
    }

    #[test]
    fn a_missing_hook_is_named() {
        let hook = Hook { path: "/nope".into(), ..sh("") };
        let error = run(&[hook], b"", None).unwrap_err().to_string();
        assert_eq!(error, "hooks.prestart[0].path: /nope: execve: no such file or directory");
    }

    #[test]
    fn the_last_words_of_many_do_not_stop_the_others() {
        let file = tempfile::NamedTempFile::new().unwrap();
        run_all(&[sh("exit 1"), sh(&format!("echo ran > {}", file.path().display()))], b"");
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "ran\n");
    }
}
