//! What a case rests on: one line of set-up, a deadline for every child, and a look at what is left afterwards.
//!
//! A case is a function without arguments, named in its file's `cases![…]`:
//!
//! ```ignore
//! fn exit_code_is_the_programs() {
//!     let c = Container::new().args(["exit", "3"]);
//!     c.run().exits(3);
//! }
//! ```
//!
//! - [`Container`] owns an id, a bundle whose only file is the probe, a state root, a cgroup and a temporary directory, all
//!   its own. `args`, `edit`, `mount`, `hook`, … shape its config; `create`, `start`, `run`, `kill`, `delete`, `call` drive
//!   the runtime. Dropping it deletes by force and fails the case when the runtime left anything behind; a case that wants
//!   to see that before the forced delete says `nothing_left()`.
//! - [`Output`] is a finished call: `ok()`, `exits(code)`, `fails(["text", …])` say what was expected of it. `fails` also
//!   holds the runtime to one message on stderr and one object in the log.
//! - [`needs`] first in a case reports it as ignored, with the reason, where it can't be meaningful.
//! - [`Call`] is one invocation before it is made: environment, descriptors, view of the machine, terminal.
//! - [`HostMount`] is a tmpfs on the host for the length of a case.
//! - [`OwnNetwork`] stands in for the host's network.
//! - [`Pty`], [`ConsoleSocket`]: the two ends that terminal cases need.
//!
//! Nothing here may use Orlop's library: the suite sees the built program from outside, or another runtime's.

pub(crate) mod agent;
pub(crate) mod apparmor;
pub(crate) mod call;
pub(crate) mod case;
pub(crate) mod config;
pub(crate) mod container;
pub(crate) mod edit;
pub(crate) mod host_mount;
pub(crate) mod lane;
pub(crate) mod leftovers;
pub(crate) mod machine;
pub(crate) mod network;
pub(crate) mod processes;
pub(crate) mod terminal;
pub(crate) mod wait;

pub(crate) use call::{Call, Output, Running, View};
pub(crate) use case::{Case, Need, needs};
pub(crate) use container::{Container, Exit};
pub(crate) use host_mount::HostMount;
pub(crate) use lane::Lane;
pub(crate) use network::OwnNetwork;
pub(crate) use terminal::{ConsoleSocket, Pty};
pub(crate) use wait::until;
