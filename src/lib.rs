//! Orlop, an OCI container runtime.
//!
//! A reader who wants to know how a container starts reads two functions: [`create::container`] on the caller's side and
//! `init::init` on the container's.
#![cfg(target_os = "linux")]

mod agent;
pub mod bundle;
pub mod caller;
pub mod cgroupv2;
pub mod checkpoint;
pub mod cli;
mod console;
pub mod create;
pub mod criu;
pub mod delete;
pub mod error;
pub mod events;
pub mod exec;
pub mod features;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
mod gate;
mod hooks;
pub mod host;
mod init;
mod inside;
pub mod kill;
pub mod list;
pub mod log;
mod mountinfo;
pub mod mounts;
mod net_devices;
mod notify;
pub mod own_binary;
pub mod pause;
pub mod plan;
pub mod ps;
mod resctrl;
pub mod restore;
pub mod run;
pub mod seccomp;
mod sources;
mod spawn;
pub mod spec;
pub mod start;
pub mod state;
mod sync;
mod sys;
mod table;
pub mod timeline;
pub mod update;
