//! `linux.personality`: which execution domain the kernel shows to the container's processes.

use oci_spec::runtime::{LinuxPersonality, LinuxPersonalityDomain};

use crate::error::{Error, Result};

/// An execution domain of [`personality`](https://man7.org/linux/man-pages/man2/personality.2.html).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Personality {
    /// `PER_LINUX`.
    Linux,
    /// `PER_LINUX32`: `uname` tells of a 32-bit machine.
    Linux32,
}

impl Personality {
    /// The specification knows no flags.
    pub(super) fn decide(asked: &LinuxPersonality) -> Result<Self> {
        if let Some(flag) = asked.flags().iter().flatten().next() {
            let text = format!("{flag:?}: the specification defines no flags");
            return Err(Error::new(text).field("linux.personality.flags[0]"));
        }
        Ok(match asked.domain() {
            LinuxPersonalityDomain::PerLinux => Self::Linux,
            LinuxPersonalityDomain::PerLinux32 => Self::Linux32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn two_domains_and_no_flags() {
        let decide = |asked| Personality::decide(&serde_json::from_value(asked).unwrap());
        assert_eq!(decide(json!({"domain": "LINUX"})).unwrap(), Personality::Linux);
        assert_eq!(decide(json!({"domain": "LINUX32", "flags": []})).unwrap(), Personality::Linux32);
        let error = decide(json!({"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]})).unwrap_err().to_string();
        assert!(error.starts_with("linux.personality.flags[0]: "), "{error}");
    }
}
