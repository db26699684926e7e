//! Runs the programs of `hooks` in the spec's order, each with the container's state on its standard input.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::error::{Annotate, Context, Error, Result};
use crate::plan::{Hook, HookOutput};
use crate::sys;
use crate::timeline;

/// How much of a failed hook's output its error quotes.
const QUOTED: u64 = 4096;

/// What hooks are run with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Circumstances<'a> {
    /// The container's state, which they read on their standard input.
    pub state: &'a [u8],
    /// What those without an environment of their own get; `None` is the runtime's.
    pub environment: Option<&'a [CString]>,
    /// The files that they write to, where the caller named some.
    pub output: Option<&'a Output>,
    /// The container's init: a hook is of no use any more, and killed, when that is gone.
    pub container: Option<BorrowedFd<'a>>,
}

/// Files of the host that hooks write to. What goes to neither is quoted when a hook fails.
#[derive(Debug, Default)]
pub struct Output {
    stdout: Option<File>,
    stderr: Option<File>,
}

impl Output {
    /// Opens the files, and makes those that are missing.
    ///
    /// # Errors
    /// Names the annotation.
    pub fn open(plan: &HookOutput) -> Result<Self> {
        let open = |(path, field): (Option<&Path>, String)| {
            let file = path.map(|path| File::options().append(true).create(true).mode(0o600).open(path));
            file.transpose().call("open").doing(|| path.unwrap_or(Path::new("")).display().to_string()).field(field)
        };
        let [stdout, stderr] = plan.fields();
        Ok(Self { stdout: open(stdout)?, stderr: open(stderr)? })
    }

    /// For another process.
    pub fn try_clone(&self) -> Result<Self> {
        let copy = |file: &Option<File>| file.as_ref().map(File::try_clone).transpose().call("dup");
        Ok(Self { stdout: copy(&self.stdout)?, stderr: copy(&self.stderr)? })
    }

    /// The open ones.
    pub fn files(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [&self.stdout, &self.stderr].into_iter().flatten().map(AsFd::as_fd)
    }
}

/// Runs every hook.
///
/// # Errors
/// The first hook that can't be run, fails or takes too long; those behind it don't run.
pub fn run(hooks: &[Hook], with: Circumstances<'_>) -> Result<()> {
    hooks.iter().try_for_each(|hook| run_one(hook, with).field(&hook.field))
}

/// Runs every hook, also after one that failed, which is only warned of (runtime.md, Lifecycle: poststop).
pub fn run_all(hooks: &[Hook], with: Circumstances<'_>) {
    for hook in hooks {
        if let Err(error) = run_one(hook, with).field(&hook.field) {
            crate::log::say(&format!("warning: {error}\n"));
        }
    }
}

fn run_one(hook: &Hook, with: Circumstances<'_>) -> Result<()> {
    let _step = timeline::step_with(|| format!("hook {}", hook.path.display()).into());
    // Files, not pipes: a hook that reads nothing or writes much holds nobody up.
    let input = scratch_file(with.state)?;
    let mut output = scratch_file(&[])?;
    let mut command = command(hook, with.environment);
    sys::block_no_signal(&mut command);
    let goes_to = |file: Option<&File>| file.unwrap_or(&output).try_clone().call("dup");
    let (stdout, stderr) = with.output.map_or((None, None), |output| (output.stdout.as_ref(), output.stderr.as_ref()));
    command.stdin(input).stdout(goes_to(stdout)?).stderr(goes_to(stderr)?);
    let path = hook.path.display();
    let spawned = command.spawn().call("execve").doing(|| path.to_string());
    let mut child = spawned.field_with(|| format!("{}.path", hook.field))?;
    let status = wait(&mut child, hook.timeout, with.container).doing(|| path.to_string())?;
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

fn wait(child: &mut Child, timeout: Option<u64>, container: Option<BorrowedFd<'_>>) -> Result<ExitStatus> {
    if timeout.is_none() && container.is_none() {
        return child.wait().call("wait");
    }
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let hook = pidfd_open(pid.ok_or_else(|| Error::new("a process without a pid"))?, PidfdFlags::empty())
        .call("pidfd_open")?;
    let ended = first_gone(hook.as_fd(), container, timeout.map(Duration::from_secs))?;
    if ended == Ended::Hook {
        return child.wait().call("wait");
    }
    child.kill().call("kill")?;
    child.wait().call("wait")?;
    Err(match ended {
        Ended::Container => Error::new("killed, because the container's init died while it ran"),
        Ended::Hook | Ended::Time => {
            Error::new(format!("killed after its timeout of {} s", timeout.unwrap_or_default()))
        }
    })
}

/// What a hook is waited for by.
#[derive(PartialEq, Eq)]
enum Ended {
    Hook,
    Container,
    Time,
}

fn first_gone(hook: BorrowedFd<'_>, container: Option<BorrowedFd<'_>>, timeout: Option<Duration>) -> Result<Ended> {
    // A time that is too far away for the clock never comes.
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        let mut fds: Vec<_> = [Some(hook), container]
            .into_iter()
            .flatten()
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        match poll(&mut fds, left.as_ref()) {
            Ok(0) => return Ok(Ended::Time),
            Ok(_) if !fds[0].revents().is_empty() => return Ok(Ended::Hook),
            Ok(_) => return Ok(Ended::Container),
            Err(Errno::INTR) => (),
            Err(errno) => return Err(Error::call("poll", errno)),
        }
    }
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

    fn reading(state: &[u8]) -> Circumstances<'_> {
        Circumstances { state, ..Circumstances::default() }
    }

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
        run(&[sh("test \"$(cat)\" = state && test \"$A\" = b=c && test -z \"$HOME\"")], reading(b"state")).unwrap();
    }

    #[test]
    fn without_one_of_its_own_it_gets_the_given_environment() {
        let hook = Hook { env: None, ..sh("test \"$B\" = 1 && test -z \"$HOME\"") };
        run(&[hook], Circumstances { environment: Some(&[c"B=1".into()]), ..reading(b"") }).unwrap();
    }

    #[test]
    fn a_failure_names_the_hook_its_status_and_its_words() {
        let error = run(&[sh("echo why >&2; exit 3"), sh("exit 0")], reading(b"")).unwrap_err().to_string();
        assert_eq!(error, "hooks.prestart[0]: /bin/sh: exit status: 3, and said \"why\"");
    }

    #[test]
    fn a_hook_that_ignores_a_large_state_or_writes_much_is_no_trouble() {
        run(&[sh("exit 0")], reading(&vec![b'x'; 1 << 20])).unwrap();
        run(&[sh("head -c 1000000 /dev/zero")], reading(b"")).unwrap();
    }

    #[test]
    fn what_it_writes_goes_where_the_caller_says_and_the_rest_is_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let (out, err) = (dir.path().join("out"), dir.path().join("err"));
        std::fs::write(&out, "before\n").unwrap();
        let both = HookOutput { stdout: Some(out.clone()), stderr: Some(err.clone()) };
        let output = Output::open(&both).unwrap();
        let with = Circumstances { output: Some(&output), ..reading(b"") };
        run(&[sh("echo to out; echo to err >&2"), sh("echo more")], with).unwrap();
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "before\nto out\nmore\n");
        assert_eq!(std::fs::read_to_string(&err).unwrap(), "to err\n");
        let output = Output::open(&HookOutput { stdout: Some(out), stderr: None }).unwrap();
        let with = Circumstances { output: Some(&output), ..reading(b"") };
        let error = run(&[sh("echo out; echo why >&2; exit 3")], with).unwrap_err().to_string();
        assert!(error.ends_with("and said \"why\""), "{error}");
        let missing = HookOutput { stdout: None, stderr: Some(dir.path().join("no/such")) };
        let error = Output::open(&missing).unwrap_err().to_string();
        assert!(error.starts_with("annotations[\"run.oci.hooks.stderr\"]: /"), "{error}");
    }

    #[test]
    fn a_slow_hook_is_killed() {
        let hook = Hook { timeout: Some(1), ..sh("sleep 60") };
        let start = Instant::now();
        let error = run(&[hook], reading(b"")).unwrap_err().to_string();
        assert!(error.contains("timeout of 1 s") && start.elapsed() < Duration::from_secs(20), "{error}");
    }

    #[test]
    fn a_timeout_may_be_longer_than_the_clock_goes() {
        let longest = u64::try_from(i64::MAX).unwrap();
        run(&[Hook { timeout: Some(longest), ..sh("exit 0") }], reading(b"")).unwrap();
    }

    #[test]
    fn a_hook_ends_with_the_container() {
        let mut container = Command::new("/bin/sleep").arg("0.2").spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(container.id()).unwrap()).unwrap();
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        let with = Circumstances { container: Some(pidfd.as_fd()), ..reading(b"") };
        let error = run(&[sh("sleep 60")], with).unwrap_err().to_string();
        container.wait().unwrap();
        assert!(error.contains("the container's init died"), "{error}");
        let own = pidfd_open(rustix::process::getpid(), PidfdFlags::empty()).unwrap();
        run(&[sh("exit 0")], Circumstances { container: Some(own.as_fd()), ..reading(b"") }).unwrap();
    }

    #[test]
    fn a_missing_hook_is_named() {
        let hook = Hook { path: "/nope".into(), ..sh("") };
        let error = run(&[hook], reading(b"")).unwrap_err().to_string();
        assert_eq!(error, "hooks.prestart[0].path: /nope: execve: no such file or directory");
    }

    #[test]
    fn the_last_words_of_many_do_not_stop_the_others() {
        let file = tempfile::NamedTempFile::new().unwrap();
        run_all(&[sh("exit 1"), sh(&format!("echo ran > {}", file.path().display()))], reading(b""));
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "ran\n");
    }
}
