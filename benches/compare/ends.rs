//! The end of a container that was running.

use crate::Result;
use crate::configs::with_program;
use crate::container::Container;
use crate::measured::{Goal, Measured};
use crate::session::{Peers, Session, interleaved};

/// From SIGKILL to the end of `delete`, with one process and with many.
pub fn measure(session: &Session) -> Result<Vec<Measured>> {
    [1, 200].into_iter().map(|processes| with_processes(session, processes)).collect()
}

fn with_processes(session: &Session, processes: usize) -> Result<Measured> {
    let config = with_program(&session.configs.default, &["/bin/crowd", &processes.to_string()]);
    let containers = session.containers(Peers::All, &format!("ends-{processes}"), &config)?;
    let sampled = interleaved(&containers, session.rounds_over(5), |container: &Container<'_>| {
        container.create()?;
        container.start()?;
        container.has_processes(processes)?;
        container.kill_and_delete()
    })?;
    let noun = if processes == 1 { "process" } else { "processes" };
    Ok(Measured::times(format!("kill 9 + delete, {processes} {noun}"), Goal::at_most("crun", 0.5), sampled))
}
