//! Orlop, an OCI container runtime.
//!
//! A reader who wants to know how a container starts reads two functions: [`create::create`] on the caller's side and
//! `init::init` on the container's.
#![cfg(target_os = "linux")]

pub mod error;
