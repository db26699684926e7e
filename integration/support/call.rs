//! One invocation of a program, with a deadline, and what came of it.
//!
//! Output goes to files, never to pipes: a container keeps `create`'s standard streams open for as long as it lives, so a
//! reader of a pipe would wait for the container instead of the runtime.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::Value;

use super::case::note;
use super::lane::{self, Kind, Lane};
use super::wait::{deadline, readable, until};

/// From where the program sees the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// As the suite does: /sys/fs/cgroup is cgroup2.
    Lane,
    /// As the machine really is.
    Outside,
    /// As the suite does, in a mount namespace of the program's own.
    Private,
    /// /sys/fs/cgroup is an empty tmpfs.
    WithoutCgroups,
    /// /sys/kernel/cgroup is an empty tmpfs: the kernel doesn't say what can be delegated.
    WithoutDelegation,
    /// As the suite does, on a machine where [`Lane::USER`] has a name and was granted 1,000 ids from [`Lane::GRANTED`] on.
    Granted,
}

/// An invocation that hasn't been made yet.
pub(crate) struct Call {
    command: Command,
    what: String,
    files: PathBuf,
    log: Option<PathBuf>,
    view: View,
}

impl Call {
    /// `program`, with its output kept in `dir`. Standard input is empty.
    pub(crate) fn new(dir: &Path, program: impl AsRef<OsStr>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let files = dir.join(format!("call-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let mut command = Command::new(program.as_ref());
        command.stdin(Stdio::null());
        let what = program.as_ref().to_string_lossy().into_owned();
        Self { command, what, files, log: None, view: View::Lane }
    }

    /// The runtime under test, without any argument yet; see [`super::Container::call`] for one about a container.
    pub(crate) fn runtime(dir: &Path) -> Self {
        Self::new(dir, Lane::get().runtime())
    }

    /// The runtime under test, started by the probe's `launch` with `options` (see there).
    pub(crate) fn launched(dir: &Path, options: &[&str]) -> Self {
        let call = Self::new(dir, Lane::get().probe());
        call.arg("launch").args(options).arg("--").arg(Lane::get().runtime())
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.what.push(' ');
        self.what.push_str(&arg.as_ref().to_string_lossy());
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(self, args: impl IntoIterator<Item = A>) -> Self {
        args.into_iter().fold(self, Call::arg)
    }

    /// Adds `--log FILE --log-format json`, which [`Output::fails`] then holds the runtime to.
    pub(crate) fn logged(mut self) -> Self {
        let log = self.files.with_extension("log");
        self.log = Some(log.clone());
        self.arg("--log").arg(log).arg("--log-format").arg("json")
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn env_clear(mut self) -> Self {
        self.command.env_clear();
        self
    }

    pub(crate) fn cwd(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    pub(crate) fn stdin(mut self, text: &str) -> Self {
        let path = self.files.with_extension("in");
        std::fs::write(&path, text).expect("write the standard input's file");
        self.command.stdin(File::open(&path).expect("open the standard input's file"));
        self
    }

    pub(crate) fn stdin_file(mut self, file: File) -> Self {
        self.command.stdin(file);
        self
    }

    pub(crate) fn view(mut self, view: View) -> Self {
        self.view = view;
        self
    }

    /// Runs to the end.
    #[must_use = "an invocation that nobody looks at proves nothing"]
    pub(crate) fn run(self) -> Output {
        self.spawn().wait()
    }

    /// Starts it, with standard output and error in files.
    pub(crate) fn spawn(mut self) -> Running {
        let create = |extension| File::create(self.files.with_extension(extension)).expect("create an output file");
        self.command.stdout(create("out")).stderr(create("err"));
        self.start()
    }

    /// Starts it with its standard output going there, and standard error in a file.
    pub(crate) fn spawn_into(mut self, output: OwnedFd) -> Running {
        let error = File::create(self.files.with_extension("err")).expect("create an output file");
        self.command.stdout(output).stderr(error);
        self.start()
    }

    /// Starts it with all three standard streams on a terminal.
    pub(crate) fn spawn_on(mut self, terminal: &OwnedFd) -> Running {
        let end = || Stdio::from(terminal.try_clone().expect("duplicate the terminal"));
        self.command.stdin(end()).stdout(end()).stderr(end());
        self.start()
    }

    fn start(mut self) -> Running {
        let started = Instant::now();
        let child = match self.view {
            View::Lane => self.command.spawn(),
            view => std::thread::scope(|scope| {
                let command = &mut self.command;
                let spawn = scope.spawn(move || enter(view).and_then(|()| command.spawn()));
                spawn.join().expect("the thread that spawns doesn't panic")
            }),
        };
        let child = child.unwrap_or_else(|error| panic!("{}: {error}", self.what));
        let pid = Pid::from_child(&child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).expect("open a pidfd for a child");
        Running { child, pidfd, what: self.what, files: self.files, log: self.log, started }
    }
}

/// Gives this thread, and so what it spawns, that view.
fn enter(view: View) -> std::io::Result<()> {
    match view {
        View::Lane => {}
        View::Outside => {
            lane::unshare_directories()?;
            let kind = Some(rustix::thread::LinkNameSpaceType::Mount);
            rustix::thread::move_into_link_name_space(Lane::get().outside(), kind)?;
        }
        View::Private => lane::unshare_mounts()?,
        View::WithoutCgroups => hide("/sys/fs/cgroup")?,
        View::WithoutDelegation => hide("/sys/kernel/cgroup")?,
        View::Granted => {
            lane::unshare_mounts()?;
            Lane::get().grant_ids()?;
        }
    }
    Ok(())
}

/// Puts an empty tmpfs there, in a mount namespace of this thread's own.
fn hide(path: &str) -> std::io::Result<()> {
    lane::unshare_mounts()?;
    Ok(rustix::mount::mount("none", path, "tmpfs", rustix::mount::MountFlags::empty(), None)?)
}

/// An invocation under way.
pub(crate) struct Running {
    child: Child,
    pidfd: OwnedFd,
    what: String,
    files: PathBuf,
    log: Option<PathBuf>,
    started: Instant,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // It may be over already, which is for the caller to find out by its exit.
        pidfd_send_signal(&self.pidfd, signal).unwrap_or_default();
    }

    pub(crate) fn is_alive(&self) -> bool {
        !readable(self.pidfd.as_fd(), Duration::ZERO)
    }

    /// What it has written to standard output so far.
    pub(crate) fn stdout(&self) -> String {
        text_of(&self.files.with_extension("out"))
    }

    /// Waits until its standard output contains `text`.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        until(&format!("{text:?} from {}", self.what), || Some(self.stdout()).filter(|so_far| so_far.contains(text)))
    }

    /// Waits for its end; at the deadline kills it and fails the case with what was seen.
    #[must_use = "an invocation that nobody looks at proves nothing"]
    pub(crate) fn wait(mut self) -> Output {
        let in_time = readable(self.pidfd.as_fd(), deadline());
        if !in_time {
            self.signal(Signal::KILL);
        }
        let status = self.child.wait().expect("wait for a child");
        let output = self.output(status);
        assert!(in_time, "still running after {} s:\n{}", deadline().as_secs(), output.text());
        output
    }

    fn output(&self, status: ExitStatus) -> Output {
        let output = Output {
            what: self.what.clone(),
            code: status.code(),
            signal: status.signal(),
            stdout: text_of(&self.files.with_extension("out")),
            stderr: text_of(&self.files.with_extension("err")),
            stdout_file: self.files.with_extension("out"),
            log: self.log.as_deref().map(text_of),
            took: self.started.elapsed(),
        };
        note(output.text());
        output
    }
}

fn text_of(path: &Path) -> String {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// A finished invocation. Each of its tests gives it back, so that they chain.
pub(crate) struct Output {
    what: String,
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) stdout_file: PathBuf,
    /// The text of the log file; none where logging wasn't asked for.
    pub(crate) log: Option<String>,
    pub(crate) took: Duration,
}

impl Output {
    /// It succeeded.
    pub(crate) fn ok(self) -> Self {
        self.exits(0)
    }

    /// It exited with that code.
    pub(crate) fn exits(self, code: i32) -> Self {
        assert!(self.code == Some(code), "expected exit code {code}:\n{}", self.text());
        self
    }

    /// It succeeded and said nothing on stderr.
    pub(crate) fn quiet(self) -> Self {
        assert!(self.stderr.is_empty(), "expected nothing on stderr:\n{}", self.text());
        self.ok()
    }

    /// It failed, with a message that contains each of the texts.
    ///
    /// Orlop is also held to its exit code, 1, and to the rule that a failure is told once: one object in the log, its
    /// message once on stderr.
    pub(crate) fn fails<'a>(self, texts: impl IntoIterator<Item = &'a str>) -> Self {
        let output = match Lane::get().kind() {
            Kind::Orlop => self.exits(1),
            Kind::Other(_) => self.exits_with_an_error(),
        };
        let message = output.message();
        for text in texts {
            assert!(message.contains(text), "expected {text:?} in the message:\n{}", output.text());
        }
        output
    }

    fn exits_with_an_error(self) -> Self {
        assert!(self.code.is_some_and(|code| code != 0), "expected an error:\n{}", self.text());
        self
    }

    /// The failure's message: the log's under Orlop, whatever was said anywhere under another runtime.
    pub(crate) fn message(&self) -> String {
        if Lane::get().kind() != &Kind::Orlop {
            return format!("{}\n{}", self.stderr, self.log.as_deref().unwrap_or_default()).replace("\\\"", "\"");
        }
        let Some(log) = &self.log else { return self.stderr.clone() };
        let message = only_error(log).unwrap_or_else(|why| panic!("the log {why}:\n{}", self.text()));
        let times = self.stderr.matches(&message).count();
        assert!(times == 1, "the message stands {times} times on stderr:\n{}", self.text());
        message
    }

    /// Standard output as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON ({error}):\n{}", self.text()))
    }

    /// The probe's report: the line of standard output that is one.
    pub(crate) fn report(&self) -> Value {
        report_in(&self.stdout).unwrap_or_else(|| panic!("no report:\n{}", self.text()))
    }

    fn text(&self) -> String {
        let status = match (self.code, self.signal) {
            (Some(code), _) => format!("exit {code}"),
            (None, signal) => format!("signal {}", signal.unwrap_or_default()),
        };
        let log = self.log.as_deref().map(|log| format!("\n  log: {}", shortened(log))).unwrap_or_default();
        let (out, err) = (shortened(&self.stdout), shortened(&self.stderr));
        format!("$ {}\n  {status} in {} ms\n  stdout: {out}\n  stderr: {err}{log}", self.what, self.took.as_millis())
    }
}

pub(crate) fn report_in(text: &str) -> Option<Value> {
    // What another word printed before it may lack its newline.
    let start = text.find("{\"args\":")?;
    serde_json::from_str(text[start..].lines().next()?).ok()
}

/// The message of a log that holds exactly one line: an error object with `level`, `msg` and an RFC 3339 `time`.
fn only_error(log: &str) -> Result<String, String> {
    let [line] = log.lines().collect::<Vec<_>>()[..] else {
        return Err(format!("has {} lines instead of one", log.lines().count()));
    };
    let object: Value = serde_json::from_str(line).map_err(|error| format!("is not JSON: {error}"))?;
    let time = object["time"].as_str().unwrap_or_default();
    humantime::parse_rfc3339(time).map_err(|error| format!("has a time that isn't RFC 3339: {error}"))?;
    match (object["level"].as_str(), object["msg"].as_str()) {
        (Some("error"), Some(message)) => Ok(message.to_owned()),
        _ => Err("has no error with a msg".into()),
    }
}

fn shortened(text: &str) -> String {
    let text = text.trim_end();
    match text.char_indices().nth(400) {
        Some((at, _)) => format!("{} … ({} bytes)", &text[..at], text.len()),
        None => text.to_owned(),
    }
}
