//! What Orlop says when something fails, and where: standard error and the file of `--log`, in logrus' text or JSON form.
//!
//! | the log is | the failure goes to | in the form |
//! |---|---|---|
//! | a file | the file, and standard error | one line of the chosen format; the bare message |
//! | standard error, a terminal | the terminal | `orlop: message` |
//! | standard error, anything else | it | one line of the chosen format |
//!
//! Engines parse the file: containerd takes the last line whose level is `error`, Podman wants exactly one line. So
//! nothing but the failure is written there, unless `--debug` asks for more.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal, Write as _};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use crate::error::{Annotate, Context, Error, Result};

/// Where the log goes and in which form, as the command line says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// The file to append to; standard error when absent.
    pub file: Option<OsString>,
    /// The form that was asked for, if any was.
    pub format: Option<Format>,
    /// Whether to tell each step as well.
    pub debug: bool,
}

/// The form of a line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// `time="2026-11-22T15:33:54Z" level=error msg="container does not exist"`
    #[default]
    Text,
    /// `{"level":"error","msg":"container does not exist","time":"2026-11-22T15:33:54Z"}`
    Json,
}

impl Format {
    /// Reads the value of `--log-format`.
    pub fn parse(name: &OsStr) -> Result<Self> {
        match name.to_str() {
            Some("text") => Ok(Self::Text),
            Some("json") => Ok(Self::Json),
            _ => Err(Error::new(format!("invalid log-format: {}", name.display()))),
        }
    }
}

/// An open log.
pub struct Log {
    file: Option<Arc<File>>,
    format: Option<Format>,
}

impl Log {
    /// Opens the file, and with `--debug` starts to write down every step.
    pub fn open(options: &Options) -> Result<Self> {
        let file = options.file.as_deref().map(append_to).transpose()?.map(Arc::new);
        let log = Self { file, format: options.format };
        if options.debug {
            log.trace_steps()?;
        }
        Ok(log)
    }

    /// A log without a file, for what goes wrong before there is one.
    pub fn to_stderr() -> Self {
        Self { file: None, format: None }
    }

    /// Says once, in every place that listens, that the command failed.
    pub fn failure(&self, message: &str) {
        let Some(file) = &self.file else { return say(&self.stderr_line(message, io::stderr().is_terminal())) };
        if let Err(error) = file.as_ref().write_all(self.line("error", message).as_bytes()) {
            say(&format!("write the log: {error}\n"));
        }
        say(&format!("{message}\n"));
    }

    fn stderr_line(&self, message: &str, terminal: bool) -> String {
        if self.format.is_none() && terminal {
            format!("orlop: {}\n", message.strip_prefix("orlop ").unwrap_or(message))
        } else {
            self.line("error", message)
        }
    }

    fn line(&self, level: &str, message: &str) -> String {
        line(self.format.unwrap_or_default(), level, message, BTreeMap::new(), SystemTime::now())
    }

    fn trace_steps(&self) -> Result<()> {
        let steps = tracing_subscriber::fmt()
            .with_max_level(Level::DEBUG)
            .log_internal_errors(false)
            .event_format(Steps { format: self.format.unwrap_or_default() });
        match &self.file {
            Some(file) => steps.with_writer(Appender::new(file)?).init(),
            None => steps.with_writer(io::stderr).init(),
        }
        Ok(())
    }
}

fn append_to(path: &OsStr) -> Result<File> {
    File::options()
        .append(true)
        .create(true)
        .open(path)
        .call("open")
        .doing(|| format!("open the log file {}", Path::new(path).display()))
}

/// Writes to standard error. It may be closed or full, and nowhere is left to say so.
pub fn say(text: &str) {
    io::stderr().write_all(text.as_bytes()).ok();
}

/// The log file, for as long as its descriptor is that.
///
/// A container's init inherits the log, closes every descriptor before it waits, and opens others under the same numbers.
/// A line meant for the log must not end up in one of them.
struct Appender {
    file: Arc<File>,
    device: u64,
    inode: u64,
}

impl Appender {
    fn new(file: &Arc<File>) -> Result<Self> {
        let stat = file.metadata().call("fstat").doing(|| "look at the log file")?;
        Ok(Self { file: Arc::clone(file), device: stat.dev(), inode: stat.ino() })
    }

    fn is_the_log(&self) -> bool {
        self.file.metadata().is_ok_and(|stat| (stat.dev(), stat.ino()) == (self.device, self.inode))
    }
}

impl io::Write for &Appender {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.is_the_log() { self.file.as_ref().write(line) } else { Ok(line.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Appender {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

/// Writes trace events as lines of the log.
struct Steps {
    format: Format,
}

impl<S, N> FormatEvent<S, N> for Steps
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut step = Step::default();
        event.record(&mut step);
        let level = level_name(*event.metadata().level());
        writer.write_str(&line(self.format, level, &step.message, step.fields, SystemTime::now()))
    }
}

/// The names that logrus gives to the levels.
fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

#[derive(Default)]
struct Step {
    message: String,
    fields: BTreeMap<&'static str, String>,
}

impl Visit for Step {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => drop(self.fields.insert(name, value.to_owned())),
        }
    }
}

fn line(format: Format, level: &str, msg: &str, fields: BTreeMap<&str, String>, at: SystemTime) -> String {
    let time = humantime::format_rfc3339_seconds(at);
    match format {
        Format::Text => {
            let mut line = format!("time=\"{time}\" level={level} msg={}", quoted(msg));
            for (name, value) in fields {
                line = line + " " + name + "=" + &quoted(&value);
            }
            line + "\n"
        }
        Format::Json => {
            let mut object = fields;
            object.extend([("level", level.to_owned()), ("msg", msg.to_owned()), ("time", time.to_string())]);
            serde_json::json!(object).to_string() + "\n"
        }
    }
}

/// The text as logrus writes it: in quotes only where a bare word could be misread.
fn quoted(text: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/@^+".contains(&byte);
    if text.bytes().all(bare) { text.to_owned() } else { go_quoted(text) }
}

/// A string literal of Go's, as `%q` prints it.
fn go_quoted(text: &str) -> String {
    let mut literal = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => literal.extend(['\\', character]),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\t' => literal.push_str("\\t"),
            control if control.is_ascii_control() => literal.extend(format!("\\x{:02x}", u32::from(control)).chars()),
            control if control.is_control() => literal.extend(format!("\\u{:04x}", u32::from(control)).chars()),
            other => literal.push(other),
        }
    }
    literal + "\""
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::new(1_795_361_634, 999_999_999)
    }

    fn error_line(format: Format, msg: &str) -> String {
        line(format, "error", msg, BTreeMap::new(), at())
    }

    #[test]
    fn text_lines_are_logrus() {
        assert_eq!(
            error_line(Format::Text, "container does not exist"),
            "time=\"2026-11-22T15:33:54Z\" level=error msg=\"container does not exist\"\n"
        );
        assert_eq!(error_line(Format::Text, "EOF"), "time=\"2026-11-22T15:33:54Z\" level=error msg=EOF\n");
        assert_eq!(
            error_line(Format::Text, "unknown signal \"BOGUS\"\n\u{1b}\u{85}é\\"),
            "time=\"2026-11-22T15:33:54Z\" level=error msg=\"unknown signal \\\"BOGUS\\\"\\n\\x1b\\u0085é\\\\\"\n"
        );
    }

    #[test]
    fn json_lines_have_their_keys_in_order() {
        assert_eq!(
            error_line(Format::Json, "a \"b\""),
            "{\"level\":\"error\",\"msg\":\"a \\\"b\\\"\",\"time\":\"2026-11-22T15:33:54Z\"}\n"
        );
    }

    #[test]
    fn fields_join_the_line() {
        let fields = BTreeMap::from([("step", "mount".to_owned()), ("at", "/dev shm".to_owned())]);
        assert_eq!(
            line(Format::Text, "debug", "done", fields.clone(), at()),
            "time=\"2026-11-22T15:33:54Z\" level=debug msg=done at=\"/dev shm\" step=mount\n"
        );
        assert_eq!(
            line(Format::Json, "debug", "done", fields, at()),
            "{\"at\":\"/dev shm\",\"level\":\"debug\",\"msg\":\"done\",\"step\":\"mount\",\"time\":\"2026-11-22T15:33:54Z\"}\n"
        );
    }

    #[test]
    fn formats_have_two_names() {
        assert_eq!(Format::parse(OsStr::new("json")).unwrap(), Format::Json);
        assert_eq!(Format::parse(OsStr::new("text")).unwrap(), Format::Text);
        assert_eq!(Format::parse(OsStr::new("xml")).unwrap_err().to_string(), "invalid log-format: xml");
    }

    #[test]
    fn a_failure_is_appended_to_the_file_as_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.json");
        std::fs::write(&path, "before\n").unwrap();
        let options = Options { file: Some(path.clone().into()), format: Some(Format::Json), debug: false };
        Log::open(&options).unwrap().failure("no");
        let text = std::fs::read_to_string(&path).unwrap();
        let (before, line) = text.split_once('\n').unwrap();
        assert_eq!(before, "before");
        assert!(
            line.starts_with("{\"level\":\"error\",\"msg\":\"no\",\"time\":\"") && line.ends_with("Z\"}\n"),
            "{line}"
        );
    }

    #[test]
    fn a_person_at_a_terminal_reads_the_message_alone() {
        let log = Log::to_stderr();
        assert_eq!(log.stderr_line("container not running", true), "orlop: container not running\n");
        assert_eq!(log.stderr_line("orlop run failed: no", true), "orlop: run failed: no\n");
        assert!(log.stderr_line("no", false).ends_with(" level=error msg=no\n"));
        let json = Log { file: None, format: Some(Format::Json) };
        assert!(json.stderr_line("no", true).starts_with("{\"level\":\"error\""));
    }

    #[test]
    fn nothing_is_written_to_what_took_the_logs_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut appender = Appender::new(&Arc::new(append_to(path.as_os_str()).unwrap())).unwrap();
        appender.make_writer().write_all(b"one\n").unwrap();
        appender.inode += 1;
        appender.make_writer().write_all(b"two\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\n");
    }

    #[test]
    fn a_log_that_cannot_be_opened_is_named() {
        let options = Options { file: Some("/nonexistent/log".into()), ..Options::default() };
        let error = Log::open(&options).err().unwrap();
        assert_eq!(error.to_string(), "open the log file /nonexistent/log: open: no such file or directory");
    }
}
