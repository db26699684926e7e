//! How much memory a container takes: while it is created, and while it waits for its start.

use std::fs;
use std::process::Command;

use crate::Result;
use crate::container::{Container, timed, under};
use crate::measured::{Goal, Measured, Sampled, Unit};
use crate::session::{Peers, Session};

/// A page more or less is what a process happens to touch.
const TIMES: usize = 5;

/// The peak of `create`, the peak of the init that it leaves, and that init's share of what it has mapped.
pub fn measure(session: &Session) -> Result<Vec<Measured>> {
    let containers = session.containers(Peers::Runtimes, "weighed", &session.configs.default)?;
    let mut results: [Vec<Sampled>; 3] = Default::default();
    for container in &containers {
        let weighed = (0..TIMES).map(|_| weigh(session, container)).collect::<Result<Vec<_>>>()?;
        for (i, result) in results.iter_mut().enumerate() {
            let values = weighed.iter().map(|one| one[i]).collect();
            result.push(Sampled::new(&container.runtime.name, values));
        }
    }
    let [create, init, share] = results;
    let measured = |what: &str, goals: &[Goal], sampled| Measured {
        what: what.into(),
        unit: Unit::Kibibytes,
        goals: goals.to_vec(),
        sampled,
    };
    let goal = Goal::at_most("crun", 0.75);
    Ok(vec![
        measured("peak resident memory of create", &[goal], create),
        measured("peak resident memory of the created init", &[goal], init),
        measured("the created init's share of memory (PSS)", &[], share),
    ])
}

/// In KiB, in the order of [`measure`].
fn weigh(session: &Session, container: &Container<'_>) -> Result<[f64; 3]> {
    let result = container.runtime.bundles.join("peak");
    let mut peak = Command::new(&session.peak);
    peak.arg(&result);
    timed(under(peak, &container.create_command()))?;
    let init = container.init()?.as_raw_nonzero();
    let status = fs::read_to_string(format!("/proc/{init}/status"))?;
    let rollup = fs::read_to_string(format!("/proc/{init}/smaps_rollup"))?;
    let weighed = [fs::read_to_string(result)?.parse()?, line(&status, "VmHWM:")?, line(&rollup, "Pss:")?];
    container.delete_by_force()?;
    Ok(weighed)
}

/// The number in a line such as `VmHWM:      2048 kB`.
fn line(text: &str, name: &str) -> Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or_else(|| format!("procfs has no {name}"))?;
    Ok(line.split_whitespace().next().ok_or("a line without a number")?.parse()?)
}
