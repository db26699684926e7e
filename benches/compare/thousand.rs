//! A thousand containers, and what is asked about them.

use crate::Result;
use crate::configs::with_program;
use crate::container::Container;
use crate::measured::{Goal, Measured};
use crate::session::{Peers, Session, interleaved};

const CONTAINERS: usize = 1000;

/// A signal that a waiting container takes without noticing: SIGWINCH.
const HARMLESS: &str = "28";

/// `state`, `kill` and `list` where there are a thousand.
pub fn measure(session: &Session) -> Result<Vec<Measured>> {
    let mut config = with_program(&session.configs.default, &["/bin/pause"]);
    // The kernel takes a while to end a thousand network namespaces, and no one of these commands looks at one.
    if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
        namespaces.retain(|namespace| namespace["type"] != "network");
    }
    for i in 1..CONTAINERS {
        for container in session.containers(Peers::WithoutRunc, &format!("one-of-{i}"), &config)? {
            container.create()?;
        }
    }
    let last = session.containers(Peers::WithoutRunc, "the-last", &config)?;
    last.iter().try_for_each(|container| container.create().map(drop))?;
    let state = interleaved(&last, session.rounds, Container::state)?;
    let kill = interleaved(&last, session.rounds, |container| container.kill(HARMLESS))?;
    let list = interleaved(&last, session.rounds_over(10), |container| container.runtime.list())?;
    session.cgroups.empty()?;
    let measured = |name, sampled| {
        Measured::times(format!("{name}, {CONTAINERS} containers"), Goal::at_most("crun", 0.5), sampled)
    };
    Ok(vec![measured("state", state), measured("kill", kill), measured("list", list)])
}
