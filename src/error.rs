//! The one error type: where in the config, what was being done, which call, which errno, and the way out where it is known.
//!
//! An error reads as one line: `linux.namespaces[2].path: join network namespace "/run/netns/x": setns: invalid argument`.
//! It crosses from the container's init to the parent unchanged (see `sync`), so a fault reads the same on both sides.

use std::borrow::Cow;
use std::fmt;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// The result of everything in Orlop that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in the parts that a reader needs: the config's field, the steps that led there, the cause and a hint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error(Box<Parts>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Parts {
    field: Option<String>,
    /// Innermost first: each caller appends what it was doing.
    doing: Vec<String>,
    cause: Cause,
    hint: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Cause {
    /// A sentence of our own.
    Text(String),
    /// A system call that failed, with its errno.
    Call(Cow<'static, str>, i32),
}

impl Error {
    /// An error in words. Lower case, no full stop, as it will stand behind a colon.
    pub fn new(text: impl Into<String>) -> Self {
        Self::from_cause(Cause::Text(text.into()))
    }

    /// A system call that failed.
    pub fn call(name: &'static str, errno: Errno) -> Self {
        let error = Self::from_cause(Cause::Call(Cow::Borrowed(name), errno.raw_os_error()));
        if errno == Errno::NOSYS { error.hint("Orlop needs Linux 5.14 or newer") } else { error }
    }

    /// The error as bytes, `WIRE_LIMIT` of them at most: where it quotes more than that, its quotations are shortened.
    pub fn to_wire(&self) -> Vec<u8> {
        let bytes = |error: &Self| serde_json::to_vec(error).unwrap_or_default();
        let whole = bytes(self);
        if whole.len() <= WIRE_LIMIT { whole } else { bytes(&self.shortened()) }
    }

    /// An error that came as bytes.
    pub fn from_wire(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes)
            .unwrap_or_else(|_| Self::new("the container's init failed, and its error can't be read"))
    }

    fn shortened(&self) -> Self {
        let Parts { field, doing, cause, hint } = self.0.as_ref();
        let cause = match cause {
            Cause::Text(text) => Cause::Text(shorten(text)),
            call @ Cause::Call(..) => call.clone(),
        };
        let doing = doing.iter().take(8).map(|step| shorten(step)).collect();
        let (field, hint) = (field.as_deref().map(shorten), hint.as_deref().map(shorten));
        Self(Box::new(Parts { field, doing, cause, hint }))
    }

    fn from_cause(cause: Cause) -> Self {
        Self(Box::new(Parts { field: None, doing: Vec::new(), cause, hint: None }))
    }

    /// Names the field of config.json that the error is about. The innermost name wins.
    #[must_use]
    pub fn field(mut self, path: impl Into<String>) -> Self {
        self.0.field.get_or_insert(path.into());
        self
    }

    /// Says what was being done; the last one added is printed first.
    #[must_use]
    pub fn doing(mut self, what: impl Into<String>) -> Self {
        self.0.doing.push(what.into());
        self
    }

    /// Adds the likely cause or the way out, where it is known. The innermost hint wins.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint.get_or_insert(hint.into());
        self
    }

    /// The errno behind it, when a system call failed.
    pub fn errno(&self) -> Option<Errno> {
        match self.0.cause {
            Cause::Call(_, errno) => Some(Errno::from_raw_os_error(errno)),
            Cause::Text(_) => None,
        }
    }

    /// The config field that it names.
    pub fn field_path(&self) -> Option<&str> {
        self.0.field.as_deref()
    }
}

/// The longest error that is handed from one process to another.
const WIRE_LIMIT: usize = 64 * 1024;

/// The two ends of a long text.
fn shorten(text: &str) -> String {
    const END: usize = 500;
    let (head, tail) = (text.floor_char_boundary(END), text.ceil_char_boundary(text.len().saturating_sub(END)));
    if head >= tail { text.to_owned() } else { format!("{} … {}", &text[..head], &text[tail..]) }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(field) = &self.0.field {
            write!(f, "{field}: ")?;
        }
        for step in self.0.doing.iter().rev() {
            write!(f, "{step}: ")?;
        }
        match &self.0.cause {
            Cause::Text(text) => f.write_str(text)?,
            Cause::Call(name, errno) => write!(f, "{name}: {}", errno_text(Errno::from_raw_os_error(*errno)))?,
        }
        match &self.0.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// The errno in the words that callers of container runtimes match: Go's, which are strerror(3) in lower case.
pub fn errno_text(errno: Errno) -> String {
    match errno {
        Errno::IO => "input/output error".into(),
        Errno::BADF => "bad file descriptor".into(),
        other => nix::errno::Errno::from_raw(other.raw_os_error()).desc().to_lowercase(),
    }
}

/// Turns a raw kernel result into ours, and lets callers add where and why in passing.
pub trait Context<T> {
    /// Names the system call that failed.
    fn call(self, name: &'static str) -> Result<T>;
}

impl<T> Context<T> for std::result::Result<T, Errno> {
    fn call(self, name: &'static str) -> Result<T> {
        self.map_err(|errno| Error::call(name, errno))
    }
}

impl<T> Context<T> for std::io::Result<T> {
    fn call(self, name: &'static str) -> Result<T> {
        self.map_err(|error| match error.raw_os_error() {
            Some(errno) => Error::call(name, Errno::from_raw_os_error(errno)),
            None => Error::new(error.to_string()).doing(name),
        })
    }
}

impl<T> Context<T> for std::result::Result<T, nix::errno::Errno> {
    fn call(self, name: &'static str) -> Result<T> {
        self.map_err(|errno| Error::call(name, Errno::from_raw_os_error(errno as i32)))
    }
}

/// The same additions as on [`Error`], on a result in passing.
pub trait Annotate<T> {
    /// See [`Error::field`].
    fn field(self, path: impl Into<String>) -> Result<T>;
    /// See [`Error::field`]; the path is only built when there is an error.
    fn field_with(self, path: impl FnOnce() -> String) -> Result<T>;
    /// See [`Error::doing`]; the text is only built when there is an error.
    fn doing<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T>;
    /// See [`Error::hint`].
    fn hint(self, hint: impl Into<String>) -> Result<T>;
}

impl<T> Annotate<T> for Result<T> {
    fn field(self, path: impl Into<String>) -> Result<T> {
        self.map_err(|e| e.field(path))
    }
    fn field_with(self, path: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| e.field(path()))
    }
    fn doing<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|e| e.doing(what()))
    }
    fn hint(self, hint: impl Into<String>) -> Result<T> {
        self.map_err(|e| e.hint(hint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_from_the_field_inwards() {
        let error = Error::call("setns", Errno::INVAL)
            .doing("join network namespace \"/run/netns/x\"")
            .field("linux.namespaces[2].path");
        assert_eq!(
            error.to_string(),
            "linux.namespaces[2].path: join network namespace \"/run/netns/x\": setns: invalid argument"
        );
    }

    #[test]
    fn the_outer_step_comes_first_and_the_inner_field_and_hint_win() {
        let error = Error::new("no").doing("inner").hint("a").field("x").doing("outer").hint("b").field("y");
        assert_eq!(error.to_string(), "x: outer: inner: no (a)");
    }

    #[test]
    fn errno_is_worded_as_callers_match_it() {
        assert_eq!(errno_text(Errno::NOENT), "no such file or directory");
        assert_eq!(errno_text(Errno::ACCESS), "permission denied");
        assert_eq!(errno_text(Errno::ISDIR), "is a directory");
        assert_eq!(errno_text(Errno::PERM), "operation not permitted");
        assert_eq!(errno_text(Errno::IO), "input/output error");
        assert_eq!(errno_text(Errno::BADF), "bad file descriptor");
    }

    #[test]
    fn survives_the_crossing_from_child_to_parent() {
        let error = Error::call("mount_setattr", Errno::PERM).doing("a").field("mounts[1]").hint("h");
        assert_eq!(Error::from_wire(&error.to_wire()), error);
    }

    #[test]
    fn a_quotation_that_is_too_long_is_shortened_on_the_way() {
        let long = "ä".repeat(70 * 1024);
        let error =
            Error::call("openat2", Errno::NAMETOOLONG).doing(format!("open /{long}")).field("mounts[7].destination");
        let arrived = Error::from_wire(&error.to_wire());
        assert!(error.to_wire().len() < WIRE_LIMIT);
        let text = arrived.to_string();
        assert!(
            text.starts_with("mounts[7].destination: open /ä") && text.ends_with("openat2: file name too long"),
            "{text}"
        );
    }
}
