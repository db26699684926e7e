//! Tells one build of the probe from another: `cargo test --test integration` alone doesn't build it anew.

use std::hash::{DefaultHasher, Hash, Hasher};

/// A hash of the probe's source. The suite compares the probe's answer with its own.
pub(crate) fn hash() -> String {
    let mut hasher = DefaultHasher::new();
    [include_str!("../probe.rs"), include_str!("report.rs"), include_str!("calls.rs"), include_str!("snoop.rs")]
        .hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
