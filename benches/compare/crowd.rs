//! Sixty-four at a time.

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use crate::Result;
use crate::container::Container;
use crate::measured::{Bound, Goal, Measured, Sampled, Statistic, Unit};
use crate::session::{Peers, Session};

const AT_A_TIME: usize = 64;

/// How many life cycles each of them goes through in a turn.
const CYCLES: usize = 2;

/// What one runtime's containers took.
struct Crowded {
    runtime: String,
    /// Of each life cycle, in milliseconds.
    times: Vec<f64>,
    /// Of each turn.
    per_second: Vec<f64>,
}

impl Crowded {
    fn new(runtime: &str) -> Self {
        Self { runtime: runtime.to_owned(), times: Vec::new(), per_second: Vec::new() }
    }
}

/// The life cycle of a container among others, and how many of them there are in a second.
pub fn measure(session: &Session) -> Result<Vec<Measured>> {
    let containers: Vec<Vec<Container<'_>>> = (0..AT_A_TIME)
        .map(|i| session.containers(Peers::Runtimes, &format!("crowd-{i}"), &session.configs.default))
        .collect::<Result<_>>()?;
    let names = containers[0].iter().map(|container| container.runtime.name.as_str());
    let mut results: Vec<Crowded> = names.map(Crowded::new).collect();
    for turn in 0..session.rounds_over(50) {
        for i in 0..results.len() {
            let which = (turn + i) % results.len();
            let (times, per_second) = crowd(containers.iter().map(|of_all| &of_all[which]))?;
            results[which].times.extend(times);
            results[which].per_second.push(per_second);
        }
    }
    let sampled = |values: fn(&Crowded) -> &Vec<f64>| {
        results.iter().map(|result| Sampled::new(&result.runtime, values(result).clone())).collect()
    };
    Ok(vec![
        Measured::times(
            format!("create + start + delete, {AT_A_TIME} at a time"),
            Goal { peer: "crun", statistic: Statistic::P99, bound: Bound::AtMost(0.6) },
            sampled(|result| &result.times),
        ),
        Measured {
            what: format!("containers, {AT_A_TIME} at a time"),
            unit: Unit::PerSecond,
            goals: vec![Goal { peer: "crun", statistic: Statistic::Median, bound: Bound::AtLeast(1.7) }],
            sampled: sampled(|result| &result.per_second),
        },
    ])
}

/// All of them at once: each one's times, and how many there were in a second.
fn crowd<'a>(containers: impl Iterator<Item = &'a Container<'a>>) -> Result<(Vec<f64>, f64)> {
    let ready = Barrier::new(AT_A_TIME + 1);
    thread::scope(|scope| {
        let threads: Vec<_> = containers.map(|container| scope.spawn(|| cycles(container, &ready))).collect();
        ready.wait();
        let begin = Instant::now();
        let mut times = Vec::new();
        for thread in threads {
            times.extend(thread.join().map_err(|_| "a thread of the benchmark panicked")??);
        }
        let count = u32::try_from(times.len())?;
        Ok((times, f64::from(count) / begin.elapsed().as_secs_f64()))
    })
}

fn cycles(container: &Container<'_>, ready: &Barrier) -> Result<Vec<f64>> {
    ready.wait();
    (0..CYCLES).map(|_| Ok(container.life_cycle()?.as_secs_f64() * 1e3)).collect()
}
