//! A runtime under test, and one call of it: with a limit, its output in files, and whatever it does taken as it comes.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::leftovers::MARK;
use super::outcome::{Not, Verdict, expect, wrong};

thread_local! {
    /// When the case that this thread runs has to be over.
    static CASE_END: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Gives what this thread does from now on that long, whatever each of its calls may take.
pub(crate) fn begin_case(limit: Duration) {
    CASE_END.set(Some(Instant::now() + limit));
}

/// When something that may take `limit` has to be over.
pub(crate) fn end_of(limit: Duration) -> Instant {
    let end = Instant::now() + limit;
    CASE_END.get().map_or(end, |case| case.min(end))
}

pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) version: String,
    /// How long one call may take.
    pub(crate) limit: Duration,
    pub(crate) environment: Vec<(String, String)>,
    /// Why it can't load rules for devices on this machine; then no config has any.
    pub(crate) no_device_rules: Option<String>,
}

impl Subject {
    /// `NAME=PATH`, or a path alone, whose last part is the name, or a name alone, which is looked for in PATH.
    pub(crate) fn parse(text: &str, limit: Duration) -> Result<Self, String> {
        let (name, path) = text.split_once('=').map_or((None, text), |(name, path)| (Some(name), path));
        let path = if path.contains('/') { PathBuf::from(path) } else { found(path) };
        let path = path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))?;
        let own = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let name = name.map_or(own, str::to_owned);
        let mut subject =
            Self { name, path, version: String::new(), limit, environment: Vec::new(), no_device_rules: None };
        subject.version = subject.ask_version();
        Ok(subject)
    }

    fn ask_version(&self) -> String {
        let dir = std::env::temp_dir();
        let done = self.call(&dir, "none").arg("--version").run();
        let first = done.stdout.lines().next().unwrap_or_default();
        for extension in ["out", "err"] {
            // Nobody else looks there, and what stays is empty.
            std::fs::remove_file(done.files.with_extension(extension)).unwrap_or_default();
        }
        if first.is_empty() { format!("version unknown: {}", done.seen()) } else { first.to_owned() }
    }

    /// A call for the container `id`, whose files go to `dir`.
    pub(crate) fn call(&self, dir: &Path, id: &str) -> Call {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let files = dir.join(format!("call-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        let mut command = Command::new(&self.path);
        command.stdin(Stdio::null()).env(MARK, id).envs(self.environment.iter().map(|(name, value)| (name, value)));
        Call { command, what: self.name.clone(), files, limit: self.limit }
    }
}

/// A program of PATH.
fn found(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file()).unwrap_or_else(|| name.into())
}

/// A call that hasn't been made yet.
pub(crate) struct Call {
    command: Command,
    what: String,
    files: PathBuf,
    limit: Duration,
}

impl Call {
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.what.push(' ');
        self.what.push_str(&arg.as_ref().to_string_lossy());
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(self, args: impl IntoIterator<Item = A>) -> Self {
        args.into_iter().fold(self, Call::arg)
    }

    pub(crate) fn cwd(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Makes the call through the probe's `launch` with these options: with another umask, say.
    pub(crate) fn launched(mut self, probe: &Path, options: &[&str]) -> Self {
        let mut command = Command::new(probe);
        command.arg("launch").args(options).arg("--").arg(self.command.get_program()).args(self.command.get_args());
        for (name, value) in self.command.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command.stdin(Stdio::null());
        self.command = command;
        self
    }

    pub(crate) fn run(self) -> Done {
        self.spawn().wait()
    }

    pub(crate) fn spawn(mut self) -> Running {
        let create = |extension| File::create(self.files.with_extension(extension));
        let child = create("out").and_then(|out| Ok((out, create("err")?))).and_then(|(out, err)| {
            self.command.stdout(out).stderr(err);
            self.command.spawn()
        });
        Running {
            child: child.map_err(|error| error.to_string()),
            what: self.what,
            files: self.files,
            limit: self.limit,
        }
    }
}

pub(crate) struct Running {
    child: Result<Child, String>,
    what: String,
    files: PathBuf,
    limit: Duration,
}

impl Running {
    /// Waits for its end, and ends it at the limit.
    pub(crate) fn wait(self) -> Done {
        let mut done = Done { what: self.what, files: self.files.clone(), ..Done::default() };
        let mut child = match self.child {
            Ok(child) => child,
            Err(error) => {
                done.stderr = format!("can't be executed: {error}");
                return done;
            }
        };
        let end = end_of(self.limit);
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(1)),
                _ => {
                    done.late = Some(self.limit);
                    // It may end at this very moment.
                    child.kill().unwrap_or_default();
                    break child.wait().ok();
                }
            }
        };
        done.code = status.and_then(|status| status.code());
        done.signal = status.and_then(|status| status.signal());
        done.stdout = text_of(&self.files.with_extension("out"));
        done.stderr = text_of(&self.files.with_extension("err"));
        done
    }
}

/// At most a megabyte: a runtime may print without end.
pub(crate) fn text_of(path: &Path) -> String {
    let read = || {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(File::open(path)?, 1 << 20), &mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    read().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// A call that is over.
#[derive(Default)]
pub(crate) struct Done {
    pub(crate) what: String,
    pub(crate) files: PathBuf,
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    /// The limit that it reached.
    pub(crate) late: Option<Duration>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    pub(crate) fn succeeded(&self) -> bool {
        self.code == Some(0) && self.late.is_none()
    }

    /// An error is an exit by itself with another code than 0: neither a crash nor silence.
    pub(crate) fn failed(&self) -> bool {
        self.code.is_some_and(|code| code != 0) && self.late.is_none()
    }

    /// Its command, without what the suite adds.
    fn command(&self) -> &str {
        self.what.split(' ').find(|word| COMMANDS.contains(word)).unwrap_or("it")
    }

    /// What happened, in a line.
    pub(crate) fn seen(&self) -> String {
        let message = self.message();
        let said = if message.is_empty() { "nothing said".to_owned() } else { message };
        match (self.late, self.code, self.signal) {
            (Some(limit), ..) => format!("{}: no end after {} s", self.command(), limit.as_secs()),
            (_, Some(code), _) => format!("{}: exit code {code}: {said}", self.command()),
            (_, _, Some(signal)) => format!("{}: died of signal {signal}: {said}", self.command()),
            _ => format!("{}: {said}", self.command()),
        }
    }

    /// The last line that it said on standard error, without a logger's dressing.
    pub(crate) fn message(&self) -> String {
        let line = self.stderr.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        let dressed = line.find("msg=").filter(|_| line.starts_with("time="));
        let bare = dressed.map_or(line, |at| line[at + 4..].trim_matches('"'));
        let mut text = bare.replace("\\\"", "\"");
        if let Some((end, _)) = text.char_indices().nth(300) {
            text.truncate(end);
            text.push('…');
        }
        text
    }

    pub(crate) fn ok(self) -> Verdict<Self> {
        if self.succeeded() { Ok(self) } else { Err(wrong(format!("{} succeeds", self.command()), self.seen())) }
    }

    /// It is an error.
    pub(crate) fn error(&self, of: &str) -> Verdict {
        expect(self.failed(), format!("an error: {of}"), self.seen())
    }

    /// It is an error that the sentence allows, and then the case ends here.
    pub(crate) fn ok_or_unsupported(self) -> Verdict<Self> {
        if self.failed() && !self.message().is_empty() { Err(Not::Supported(self.message())) } else { self.ok() }
    }

    pub(crate) fn json(&self) -> Verdict<Value> {
        serde_json::from_str(&self.stdout).map_err(|error| {
            let begin: String = self.stdout.chars().take(120).collect();
            wrong(format!("{} prints JSON", self.command()), format!("{error}: {begin:?}"))
        })
    }
}

const COMMANDS: [&str; 9] = ["create", "start", "state", "kill", "delete", "run", "exec", "features", "pause"];
