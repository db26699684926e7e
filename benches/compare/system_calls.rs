//! How many system calls a `run` makes.

use std::fs;
use std::process::Command;

use crate::Result;
use crate::container::{Container, timed, under};
use crate::measured::{Goal, Measured, Sampled, Unit};
use crate::session::{Peers, Session};

/// All system calls of all the processes of a `run`, the container's own among them.
pub fn measure(session: &Session) -> Result<Vec<Measured>> {
    let containers = session.containers(Peers::All, "traced", &session.configs.default)?;
    let count = |container: &Container<'_>| Ok(Sampled::new(&container.runtime.name, vec![count(container)?]));
    Ok(vec![Measured {
        what: "system calls of a run".into(),
        unit: Unit::Calls,
        goals: vec![Goal::at_most("crun", 0.5)],
        sampled: containers.iter().map(count).collect::<Result<_>>()?,
    }])
}

fn count(container: &Container<'_>) -> Result<f64> {
    let summary = container.runtime.bundles.join("strace");
    let mut strace = Command::new("strace");
    strace.args(["--follow-forks", "--summary-only", "--output"]).arg(&summary);
    timed(under(strace, &container.run_command())).map_err(|error| format!("strace: {error}"))?;
    let text = fs::read_to_string(summary)?;
    let total = text.lines().find(|line| line.ends_with(" total")).ok_or("strace printed no total")?;
    Ok(total.split_whitespace().nth(3).ok_or("strace printed no calls")?.parse()?)
}
