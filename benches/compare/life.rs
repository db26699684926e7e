//! One container at a time: its commands, with the default config and with those of engines.

use serde_json::Value;

use crate::Result;
use crate::configs::with_program;
use crate::container::Container;
use crate::measured::{Goal, Measured, Sampled};
use crate::session::{Peers, Session, interleaved};

/// `run`, once more with a program that takes long to start by itself, the life cycle in three commands, `exec` and `--version`.
pub fn measure(session: &Session) -> Result<Vec<Measured>> {
    let config = &session.configs.default;
    let run = interleaved(&session.containers(Peers::All, "run", config)?, session.rounds, Container::run)?;
    let mut run = Measured::times("run", Goal::at_most("crun", 0.5), run);
    run.goals.push(Goal::at_most("floor", 1.6));
    let gnu = with_program(config, &["/bin/true-gnu"]);
    let gnu = interleaved(&session.containers(Peers::WithoutRunc, "run-gnu", &gnu)?, session.rounds, Container::run)?;
    let life = session.containers(Peers::Runtimes, "life", config)?;
    Ok(vec![
        run,
        Measured::times("run, /bin/true of the GNU C library", Goal::at_most("crun", 0.5), gnu),
        Measured::times(
            "create + start + delete",
            Goal::at_most("crun", 0.5),
            // runc's delete sleeps for a tenth of a second.
            interleaved(&life, session.rounds_over(2), Container::life_cycle)?,
        ),
        Measured::times("exec", Goal::at_most("crun", 0.5), exec(session, Peers::All, config)?),
        Measured::times(
            "--version",
            Goal::at_most("crun", 0.5),
            interleaved(&life, session.rounds, |container| container.runtime.version())?,
        ),
    ])
}

/// The same with the configs of engines, seccomp profiles included.
pub fn with_engines_configs(session: &Session) -> Result<Vec<Measured>> {
    let mut all = Vec::new();
    for (engine, config) in &session.configs.engines {
        let goal = Goal::at_most("crun", 0.4);
        let containers = session.containers(Peers::WithoutRunc, &format!("of-{engine}"), config)?;
        // The others differ from it by a mount or two.
        let with_floor = if *engine == "Docker" { Peers::FloorWithoutRunc } else { Peers::WithoutRunc };
        let run = session.containers(with_floor, &format!("of-{engine}"), config)?;
        let run = interleaved(&run, session.rounds, Container::run)?;
        let life = interleaved(&containers, session.rounds_over(2), Container::life_cycle)?;
        all.push(Measured::times(format!("run, {engine}'s config"), goal, run));
        all.push(Measured::times(format!("create + start + delete, {engine}'s config"), goal, life));
        all.push(Measured::times(format!("exec, {engine}'s config"), goal, exec(session, with_floor, config)?));
    }
    Ok(all)
}

/// `exec` into a container whose program waits for its end.
fn exec(session: &Session, peers: Peers, config: &Value) -> Result<Vec<Sampled>> {
    let running = session.containers(peers, "running", &with_program(config, &["/bin/pause"]))?;
    for container in &running {
        container.create()?;
        container.start()?;
    }
    let sampled = interleaved(&running, session.rounds, Container::exec);
    running.iter().try_for_each(Container::delete_by_force)?;
    sampled
}
