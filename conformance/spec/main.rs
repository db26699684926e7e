//! The runtime specification, sentence by sentence, against any runtime's program: `make conformance RUNTIME=/usr/bin/crun`.
//!
//! `sentences/*.txt` lists what the specification says, [`cases`] tries it, [`report`] prints both as tables. The cases drive a runtime
//! by its command line alone, with bundles made here and a static probe inside; of Orlop nothing is used. Whatever a runtime does
//! instead of answering (hang, crash, print garbage, leave things behind) is a case's failure, and never the suite's.
//!
//! [`differences`] runs the same bundles on several runtimes and compares what can be seen; [`broken`] is a runtime with one thing
//! broken, of which [`self_test`] expects that the right case tells.

mod arguments;
mod broken;
mod case;
mod cases;
mod config;
mod container;
mod deviations;
mod differences;
#[path = "../../integration/support/edit.rs"]
mod edit;
mod lane;
mod leftovers;
#[path = "../../integration/support/machine.rs"]
mod machine;
#[path = "../../integration/support/network.rs"]
mod network;
mod outcome;
#[path = "../../integration/support/processes.rs"]
mod processes;
mod report;
mod self_test;
mod sentence;
mod socket;
mod subject;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use arguments::Arguments;
use case::{Case, Record};
use lane::Lane;
use report::{Mark, Table, mark_of};
use sentence::Sentence;
use subject::Subject;

fn main() -> ExitCode {
    if let Some(mode) = std::env::var_os(broken::MODE) {
        return broken::main(&mode.to_string_lossy());
    }
    match Arguments::read(std::env::args().skip(1)).and_then(|arguments| perform(&arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("conformance: {why}");
            ExitCode::from(2)
        }
    }
}

/// Whether all is well.
fn perform(arguments: &Arguments) -> Result<bool, String> {
    let sentences = sentence::all()?;
    let cases = cases::all();
    checked(&sentences, &cases)?;
    if arguments.list {
        for case in &cases {
            println!("{}: test", case.name);
        }
        return Ok(true);
    }
    if arguments.check {
        print!("{}", sentence::coverage_text(&sentences));
        return Ok(true);
    }
    if !arguments.render.is_empty() {
        let records = read_records(&arguments.render)?;
        write_tables(arguments, &Table::new(&sentences, &records))?;
        return Ok(true);
    }
    let here = Lane::enter().map_err(|error| format!("cannot set up the lane: {error}"));
    here?;
    case_panics_are_quiet();
    let outcome = in_lane(arguments, &sentences, &cases);
    let left = Lane::get().leave();
    if !left.is_empty() {
        println!("left behind at the end:\n  {}", left.join("\n  "));
    }
    outcome.map(|well| well && left.is_empty())
}

fn checked(sentences: &[Sentence], cases: &[Case]) -> Result<(), String> {
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    let mut mistakes = sentence::mistakes(sentences, &names);
    if names.len() != cases.len() {
        mistakes.push("two cases have one name".into());
    }
    if mistakes.is_empty() { Ok(()) } else { Err(format!("the table of sentences:\n  {}", mistakes.join("\n  "))) }
}

fn case_panics_are_quiet() {
    std::panic::set_hook(Box::new(|_| ()));
}

fn in_lane(arguments: &Arguments, sentences: &[Sentence], cases: &[Case]) -> Result<bool, String> {
    let subjects = arguments.subjects()?;
    for subject in &subjects {
        println!("{}: {} ({})", subject.name, subject.version, subject.path.display());
        if let Some(why) = &subject.no_device_rules {
            println!("{}: no rules for devices on this machine: {why}", subject.name);
        }
    }
    if arguments.self_test {
        let subject = subjects.first().ok_or("no runtime")?;
        return Ok(self_test::run(subject, cases, arguments.jobs));
    }
    if arguments.differences {
        return differences::run(&subjects, arguments.out.as_deref());
    }
    let chosen: Vec<&Case> = cases.iter().filter(|case| arguments.wants(&case.name)).collect();
    if chosen.is_empty() {
        return Err("no case has such a name".into());
    }
    let pairs: Vec<(&Case, &Subject)> =
        subjects.iter().flat_map(|subject| chosen.iter().map(move |case| (*case, subject))).collect();
    let records = case::run_all(&pairs, &Lane::get().machine(), arguments.jobs, |record| tell(arguments, record));
    let table = Table::new(sentences, &records);
    write_tables(arguments, &table)?;
    print!("\n{}\n{}", sentence::coverage_text(sentences), table.summary());
    Ok(conclude(&records))
}

fn tell(arguments: &Arguments, record: &Record) {
    if arguments.records {
        println!("record {}", record.to_json());
    }
    let mark = mark_of(record);
    if mark != Mark::Pass || arguments.loud {
        println!("{}: {}: {}{}", record.runtime, record.case, mark.word(), report::lines(record));
    }
}

/// The last line is that of Rust's own tests, which other programs look for.
fn conclude(records: &[Record]) -> bool {
    let count = |wanted: &[Mark]| records.iter().filter(|record| wanted.contains(&mark_of(record))).count();
    let (passed, failed) = (count(&[Mark::Pass]), count(&[Mark::Fail]));
    let ignored = records.len() - passed - failed;
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {passed} passed; {failed} failed; {ignored} ignored");
    failed == 0
}

fn write_tables(arguments: &Arguments, table: &Table) -> Result<(), String> {
    let Some(dir) = &arguments.out else { return Ok(()) };
    fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let date = today();
    let records: String = table.records().map(|record| format!("{}\n", record.to_json())).collect::<Vec<_>>().concat();
    let files = [
        ("results.tap", report::tap(table)),
        ("results.xml", report::junit(table)),
        ("results.json", records),
        ("table.md", report::markdown(table, &date)),
        ("table.html", report::html(table, &date)),
    ];
    for (name, text) in files {
        let path = dir.join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// Records of earlier runs: lines of `results.json`, or of what `--records` printed.
fn read_records(files: &[String]) -> Result<Vec<Record>, String> {
    let mut records = Vec::new();
    for file in files {
        let text = fs::read_to_string(Path::new(file)).map_err(|error| format!("{file}: {error}"))?;
        let lines = text.lines().map(|line| line.strip_prefix("record ").unwrap_or(line));
        for line in lines.filter(|line| line.starts_with('{')) {
            let value = serde_json::from_str(line).map_err(|error| format!("{file}: {error}"))?;
            records.push(Record::from_json(&value).ok_or_else(|| format!("{file}: no record: {line}"))?);
        }
    }
    Ok(records)
}

fn today() -> String {
    let text = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    text.split('T').next().unwrap_or_default().to_owned()
}
