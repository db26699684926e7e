//! What a config with many entries costs, and whether it grows no faster than they do.

use serde_json::{Value, json};

use crate::Result;
use crate::container::Container;
use crate::measured::{Goal, Measured};
use crate::session::{Peers, Session, interleaved};

/// A `run` with a quarter of the entries and with all of them, which tells whether it is linear.
pub fn measure(session: &Session) -> Result<Vec<Measured>> {
    let mut all = Vec::new();
    for count in [64, 256] {
        all.push(run(session, &format!("run, {count} masked paths"), 10, &masked(&session.configs.default, count))?);
    }
    for count in [250, 1000] {
        all.push(run(session, &format!("run, {count} bind mounts"), 20, &bound(&session.configs.default, count))?);
    }
    Ok(all)
}

fn run(session: &Session, what: &str, divisor: usize, config: &Value) -> Result<Measured> {
    let containers = session.containers(Peers::FloorWithoutRunc, "growth", config)?;
    // Before it is measured, so that the mount points are there: who makes them first would pay for all.
    let sampled = interleaved(&containers, session.rounds_over(divisor), Container::run)?;
    Ok(Measured::times(what, Goal::at_most("crun", 0.5), sampled))
}

fn masked(config: &Value, count: usize) -> Value {
    let mut config = config.clone();
    config["linux"]["maskedPaths"] = json!((0..count).map(|i| format!("/masked/{i}")).collect::<Vec<_>>());
    config
}

fn bound(config: &Value, count: usize) -> Value {
    let mut config = config.clone();
    let bind = |i| json!({ "destination": format!("/run/{i}"), "type": "bind", "source": "/etc/hostname", "options": ["bind", "ro"] });
    if let Some(mounts) = config["mounts"].as_array_mut() {
        mounts.extend((0..count).map(bind));
    }
    config
}
