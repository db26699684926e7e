//! Where the time of a `run` goes, by Orlop's own `--timeline`.

use std::collections::HashMap;
use std::fs;

use serde_json::Value;

use crate::Result;
use crate::container::timed;
use crate::measured::{Sampled, Statistic};
use crate::session::{Peers, Session};

/// A named step of a `run`.
pub struct Step {
    pub name: String,
    /// Whether it is the child's.
    pub inside: bool,
    /// In milliseconds since the command began, the median.
    pub begin: f64,
    /// In milliseconds, the median; `None` for the one that ends with the program.
    pub took: Option<f64>,
}

/// The times of a step in each round, in milliseconds.
#[derive(Default)]
struct Times {
    begin: Vec<f64>,
    took: Vec<f64>,
}

/// The steps in the order in which they begin. Several of one name on one side are told apart by their number.
pub fn measure(session: &Session) -> Result<Vec<Step>> {
    let containers = session.containers(Peers::WithoutRunc, "timed", &session.configs.default)?;
    let Some(container) = containers.iter().find(|container| container.runtime.name == "orlop") else {
        return Ok(Vec::new());
    };
    let file = container.runtime.bundles.join("timeline");
    let mut all = HashMap::new();
    for _ in 0..session.rounds_over(2) {
        let mut run = container.run_command();
        run.arg("--timeline").arg(&file);
        timed(run)?;
        add(&mut all, &serde_json::from_slice(&fs::read(&file)?)?)?;
    }
    let median = |values| Sampled::new("orlop", values).of(Statistic::Median);
    let step = |((name, inside, _), times): (Key, Times)| Step {
        name,
        inside,
        begin: median(times.begin),
        took: (!times.took.is_empty()).then(|| median(times.took)),
    };
    let mut steps: Vec<Step> = all.into_iter().map(step).collect();
    steps.sort_by(|a, b| a.begin.total_cmp(&b.begin));
    Ok(steps)
}

/// Its name, whether it is the child's, and how many of that name there were before.
type Key = (String, bool, usize);

fn add(all: &mut HashMap<Key, Times>, trace: &Value) -> Result<()> {
    let mut seen: HashMap<(String, bool), usize> = HashMap::new();
    for event in trace["traceEvents"].as_array().ok_or("a trace without events")? {
        let (Some(name), Some(begin)) = (event["name"].as_str(), event["ts"].as_f64()) else { continue };
        let inside = event["tid"] != 0;
        let before = seen.entry((name.to_owned(), inside)).or_default();
        let times = all.entry((name.to_owned(), inside, *before)).or_default();
        *before += 1;
        times.begin.push(begin / 1e3);
        times.took.extend(event["dur"].as_f64().map(|took| took / 1e3));
    }
    Ok(())
}
