//! The agent that answers calls with the action `SCMP_ACT_NOTIFY` in the kernel's place: it is given the filter's listener.
//!
//! Owns the form of what it is sent (runtime.md of the specification, "The Container Process State").

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::error::{Annotate, Context, Error, Result};
use crate::seccomp::Listener;
use crate::state::OCI_VERSION;
use crate::sync::send_fd;

/// A connected agent.
#[derive(Debug)]
pub struct Agent {
    socket: UnixStream,
    metadata: String,
}

/// What became of a process that announced its program, and had a listener to hand over before it. Its filter may have kept it from
/// saying why that failed.
pub fn never_came() -> Error {
    Error::new("the process ended before it handed its listener over")
        .hint("the profile has to allow sendmsg")
        .field("linux.seccomp.listenerPath")
}

/// What the agent reads beside the descriptor.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProcessState<'a> {
    oci_version: &'static str,
    /// The names of the descriptors that come along.
    fds: [&'static str; 1],
    /// The confined process, in the runtime's pid namespace.
    pid: i32,
    #[serde(skip_serializing_if = "str::is_empty")]
    metadata: &'a str,
    state: &'a RawValue,
}

impl Agent {
    /// Connects to the agent, before anything that could not be undone.
    ///
    /// # Errors
    /// Names `linux.seccomp.listenerPath`.
    pub fn connect(listener: &Listener) -> Result<Self> {
        let socket = UnixStream::connect(&listener.path)
            .call("connect")
            .doing(|| format!("the seccomp agent at {}", listener.path.display()))
            .field("linux.seccomp.listenerPath")?;
        Ok(Self { socket, metadata: listener.metadata.clone() })
    }

    /// Gives it the listener of a process, with the container's state as hooks see it.
    ///
    /// # Errors
    /// Names `linux.seccomp.listenerPath`.
    pub fn hand_over(&self, listener: &OwnedFd, pid: i32, state: &[u8]) -> Result<()> {
        self.send(listener, pid, state).doing(|| "hand the listener over").field("linux.seccomp.listenerPath")
    }

    fn send(&self, listener: &OwnedFd, pid: i32, state: &[u8]) -> Result<()> {
        let state = serde_json::from_slice(state).map_err(json)?;
        let message =
            ProcessState { oci_version: OCI_VERSION, fds: ["seccompFd"], pid, metadata: &self.metadata, state };
        let text = serde_json::to_vec(&message).map_err(json)?;
        send_fd(self.socket.as_fd(), &text, listener.as_fd())
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn json(error: serde_json::Error) -> Error {
    Error::new(error.to_string())
}
