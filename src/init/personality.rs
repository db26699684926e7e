//! `linux.personality`.

use nix::sys::personality::{self, Persona};

use crate::error::{Annotate, Error, Result};
use crate::plan::Personality;
use rustix::io::Errno;

/// `PER_LINUX32` of `<linux/personality.h>`; `PER_LINUX` is 0.
const LINUX32: i32 = 8;

/// This process, and what it executes, from now on.
pub(super) fn take_on(asked: Option<Personality>) -> Result<()> {
    let persona = match asked {
        None => return Ok(()),
        Some(Personality::Linux) => Persona::empty(),
        Some(Personality::Linux32) => Persona::from_bits_retain(LINUX32),
    };
    personality::set(persona)
        .map_err(|errno| Error::call("personality", Errno::from_raw_os_error(errno as i32)))
        .field("linux.personality.domain")
        .map(drop)
}
