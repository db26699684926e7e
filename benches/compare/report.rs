//! The results as Markdown.

use std::fmt::Write as _;

use crate::measured::{Bound, Goal, Measured, Statistic};
use crate::seccomp::Profiles;
use crate::timeline::Step;

/// The whole page.
pub fn markdown(conditions: &str, all: &[Measured], steps: &[Step], profiles: Option<&Profiles>) -> String {
    format!(
        "# Results\n\n\
         Written by `make bench`. What is measured, and how: [README.md](README.md).\n\n\
         {conditions}\n{}\n{}\n{}\n{}\n{}",
        goals(all),
        figures(all),
        linearity(all),
        timeline(steps),
        profiles.map_or("", |profiles| profiles.table.as_str()),
    )
}

/// Each goal with the ratio that was measured, and whether it is met.
pub fn goals(all: &[Measured]) -> String {
    let mut text = String::from(
        "## Goals\n\nThe floor is what the kernel alone takes for it: a goal below the floor's own ratio to the other can't be met.\n\n\
         | what | goal | ratio | | Orlop | the other | the floor | its ratio to the other | Orlop's to it |\n\
         |---|---|--:|---|--:|--:|--:|--:|--:|\n",
    );
    for measured in all {
        for goal in &measured.goals {
            let Some((ratio, met)) = measured.verdict(*goal) else { continue };
            let print = |runtime| {
                let value = measured.by(runtime).map(|sampled| measured.unit.print(sampled.of(goal.statistic)));
                format!("{} {}", value.unwrap_or_default(), measured.unit.name())
            };
            let (own, other) = (print("orlop"), print(goal.peer));
            let verdict = if met { "met" } else { "**not met**" };
            let floor = floor(measured, *goal);
            // Writing to a String cannot fail, here and below.
            writeln!(
                text,
                "| {} | {} | {ratio:.2} | {verdict} | {own} | {other} | {floor} |",
                measured.what,
                goal.print()
            )
            .ok();
        }
    }
    text
}

/// The cells about the floor, where it took part: its figure, its ratio to the peer, Orlop's ratio to it.
fn floor(measured: &Measured, goal: Goal) -> String {
    let of = |runtime| measured.by(runtime).map(|sampled| sampled.of(goal.statistic));
    match (of("floor"), of(goal.peer), of("orlop")) {
        (Some(floor), Some(peer), Some(own)) if goal.peer != "floor" => {
            let figure = format!("{} {}", measured.unit.print(floor), measured.unit.name());
            format!("{figure} | {:.2} | {:.2}", floor / peer, own / floor)
        }
        _ => "- | - | -".into(),
    }
}

/// Every figure of every runtime.
pub fn figures(all: &[Measured]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for sampled in all.iter().flat_map(|measured| &measured.sampled) {
        if !names.contains(&sampled.runtime.as_str()) {
            names.push(&sampled.runtime);
        }
    }
    let mut text = format!("## Figures: median (p99)\n\n| what | unit | {} |\n|---|---|", names.join(" | "));
    text += &"--:|".repeat(names.len());
    text.push('\n');
    for measured in all {
        let cell = |name: &&str| {
            measured.by(name).map_or("-".into(), |sampled| {
                let (median, p99) = (sampled.of(Statistic::Median), sampled.of(Statistic::P99));
                let (median_text, p99_text) = (measured.unit.print(median), measured.unit.print(p99));
                if sampled.values().len() == 1 { median_text } else { format!("{median_text} ({p99_text})") }
            })
        };
        let cells: Vec<String> = names.iter().map(cell).collect();
        writeln!(text, "| {} | {} | {} |", measured.what, measured.unit.name(), cells.join(" | ")).ok();
    }
    text
}

/// Whether a config with four times the entries costs four times what they add to a plain `run`.
fn linearity(all: &[Measured]) -> String {
    let median = |what: &str, runtime: &str| {
        let measured = all.iter().find(|measured| measured.what == what)?;
        Some(measured.by(runtime)?.of(Statistic::Median))
    };
    let mut text = String::from(
        "## What one entry of a long config adds to a `run`, in microseconds\n\n\
         | runtime | of 64 masked paths | of 256 | of 250 bind mounts | of 1000 |\n|---|--:|--:|--:|--:|\n",
    );
    for runtime in ["orlop", "crun", "youki", "floor"] {
        let each = |count: u32, noun: &str| {
            let more = median(&format!("run, {count} {noun}"), runtime)? - median("run", runtime)?;
            Some(format!("{:.1}", more / f64::from(count) * 1e3))
        };
        let cells =
            [each(64, "masked paths"), each(256, "masked paths"), each(250, "bind mounts"), each(1000, "bind mounts")];
        if let [Some(a), Some(b), Some(c), Some(d)] = cells {
            writeln!(text, "| {runtime} | {a} | {b} | {c} | {d} |").ok();
        }
    }
    text
}

fn timeline(steps: &[Step]) -> String {
    let mut text = String::from(
        "## Where the time of a `run` goes\n\n\
         Medians of `orlop run --timeline`, in milliseconds. A step may be part of the one above it, and the two sides work at the \
         same time.\n\n| at | took | orlop | the container's process |\n|--:|--:|---|---|\n",
    );
    for step in steps {
        let took = step.took.map_or("-".into(), |took| format!("{took:.3}"));
        let (outside, inside) = if step.inside { ("", step.name.as_str()) } else { (step.name.as_str(), "") };
        writeln!(text, "| {:.3} | {took} | {outside} | {inside} |", step.begin).ok();
    }
    text
}

/// Whether it is a time, a size or a number of calls.
pub fn less_is_better(measured: &Measured) -> bool {
    measured.goals.iter().all(|goal| matches!(goal.bound, Bound::AtMost(_)))
}
