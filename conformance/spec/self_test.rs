//! The suite's own test: each broken runtime is caught by the case that is meant to.

use super::broken::{BREAKS, Break, MODE, NOTHING, REAL};
use super::case::{self, Case, Record};
use super::outcome::Not;
use super::sentence;
use super::subject::Subject;

/// Breaks `real` in every way. Whether all was caught.
pub(crate) fn run(real: &Subject, cases: &[Case], width: usize) -> bool {
    let whole = wrapped(real, NOTHING);
    let broken: Vec<(&Break, Subject)> = BREAKS.iter().map(|one| (one, wrapped(real, one.name))).collect();
    let find = |name: &str| cases.iter().find(|case| case.name == name).unwrap_or_else(|| panic!("no case {name}"));
    let mut pairs: Vec<(&Case, &Subject)> = broken.iter().map(|(one, subject)| (find(one.case), subject)).collect();
    // What a case says of a break means something only if it is content with the same runtime unbroken.
    let mut named: Vec<&str> = BREAKS.iter().map(|one| one.case).collect();
    named.sort_unstable();
    named.dedup();
    pairs.extend(named.iter().map(|name| (find(name), &whole)));
    let records = case::run_all(&pairs, "", width, |_| ());
    let (of_breaks, of_whole) = records.split_at(BREAKS.len());
    let mut good = 0;
    for (one, record) in BREAKS.iter().zip(of_breaks) {
        match missed(one, record) {
            None => good += 1,
            Some(why) => println!("a runtime that {}: {}: {why}", one.name, one.case),
        }
    }
    let bad: Vec<&Record> = of_whole.iter().filter(|record| record.verdict.is_err()).collect();
    for record in &bad {
        println!("the runtime unbroken: {}: {:?}", record.case, record.verdict);
    }
    let missed = tables_that_pass();
    for table in &missed {
        println!("a table of sentences with a mistake is taken: {table}");
    }
    let failed = BREAKS.len() - good + bad.len() + missed.len();
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("\n{good} of {} broken runtimes are caught by the right case", BREAKS.len());
    println!("\ntest result: {word}. {good} passed; {failed} failed; 0 ignored");
    failed == 0
}

/// Tables with a mistake that nobody tells.
fn tables_that_pass() -> Vec<&'static str> {
    let tables = [
        "a.1 | MUST | no fourth part",
        "a.1 | MUST | neither a case nor a reason |",
        "a.1 | MUST | a reason without words | -",
        "a.1 | OUGHT | no strength | known::case",
        "a1 | MUST | no number | known::case",
        "a.1 | MUST | a case that doesn't exist | unknown::case",
        "a.1 | MUST | twice | known::case\na.1 | MAY | twice | known::case",
        "a.1 | MUST | nobody names the known case | - permission",
    ];
    let cases = std::iter::once("known::case").collect();
    let taken = |table: &&'static str| {
        sentence::read("a", table).is_ok_and(|sentences| sentence::mistakes(&sentences, &cases).is_empty())
    };
    tables.into_iter().filter(taken).collect()
}

/// Why the break was not caught as it should be.
fn missed(one: &Break, record: &Record) -> Option<String> {
    match &record.verdict {
        Err(Not::Right { seen, .. }) if seen.contains(one.says) => None,
        Err(Not::Right { expected, seen }) => {
            let says = one.says;
            let whole = format!("{expected}; {seen}");
            (!whole.contains(says)).then(|| format!("for another reason than {says:?}: {whole}"))
        }
        other => Some(format!("not caught: {other:?}")),
    }
}

fn wrapped(real: &Subject, mode: &str) -> Subject {
    let own = std::env::current_exe().expect("the suite's own path");
    Subject {
        name: mode.to_owned(),
        path: own,
        version: real.version.clone(),
        // A runtime that hangs makes the suite wait for this long.
        limit: real.limit.min(std::time::Duration::from_secs(4)),
        environment: vec![(MODE.into(), mode.into()), (REAL.into(), real.path.display().to_string())],
        no_device_rules: real.no_device_rules.clone(),
    }
}
