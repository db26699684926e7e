//! What the suite says of a run: TAP and `JUnit` for machines, Markdown and HTML for people.

use std::collections::BTreeMap;
use std::fmt::{Arguments, Write};

use super::case::Record;
use super::deviations;
use super::outcome::Not;
use super::sentence::{SPECIFICATION, STRENGTHS, Sentence, Tested, coverage_text};

/// Adds to a text.
pub(crate) fn add(text: &mut String, piece: Arguments) {
    text.write_fmt(piece).expect("a string takes all");
}

fn add_line(text: &mut String, line: Arguments) {
    add(text, line);
    text.push('\n');
}

/// What a sentence comes to with one runtime: the worst of its cases, of those that say anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    Fail,
    /// Fails, as [`deviations`] explains.
    Deviates,
    Pass,
    Unsupported,
    NotApplicable,
    /// No case ran.
    Open,
}

impl Mark {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Deviates => "deviates",
            Self::Pass => "pass",
            Self::Unsupported => "unsupported",
            Self::NotApplicable => "not applicable",
            Self::Open => "not run",
        }
    }
}

pub(crate) fn mark_of(record: &Record) -> Mark {
    match &record.verdict {
        Ok(()) => Mark::Pass,
        Err(Not::Right { .. }) if deviations::of(&record.runtime, &record.case).is_some() => Mark::Deviates,
        Err(Not::Right { .. }) => Mark::Fail,
        Err(Not::Supported(_)) => Mark::Unsupported,
        Err(Not::Applicable(_)) => Mark::NotApplicable,
    }
}

/// The records of a table: one for each case and runtime, where the same was run on several machines.
pub(crate) struct Table<'a> {
    pub(crate) sentences: &'a [Sentence],
    pub(crate) runtimes: Vec<String>,
    best: BTreeMap<(String, String), Record>,
    machines: Vec<(String, String, String)>,
}

/// Of two machines the first that a sentence is about counts; for one version of a runtime the worse of both.
fn says_more(record: &Record, before: &Record) -> bool {
    let (mark, known) = (mark_of(record), mark_of(before));
    (known == Mark::NotApplicable || record.version == before.version) && mark < known
}

impl<'a> Table<'a> {
    pub(crate) fn new(sentences: &'a [Sentence], records: &[Record]) -> Self {
        let mut table = Self { sentences, runtimes: Vec::new(), best: BTreeMap::new(), machines: Vec::new() };
        for record in records {
            if !table.runtimes.contains(&record.runtime) {
                table.runtimes.push(record.runtime.clone());
            }
            let machine = (record.runtime.clone(), record.version.clone(), record.machine.clone());
            if !table.machines.contains(&machine) {
                table.machines.push(machine);
            }
            let key = (record.case.clone(), record.runtime.clone());
            if table.best.get(&key).is_none_or(|before| says_more(record, before)) {
                table.best.insert(key, record.clone());
            }
        }
        table
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = &Record> {
        self.best.values()
    }

    /// The mark of a sentence, and the records behind it.
    pub(crate) fn mark(&self, sentence: &Sentence, runtime: &str) -> (Mark, Vec<&Record>) {
        let find = |case: &&str| self.best.get(&((*case).to_owned(), runtime.to_owned()));
        let records: Vec<&Record> = sentence.cases().iter().filter_map(find).collect();
        (records.iter().map(|record| mark_of(record)).min().unwrap_or(Mark::Open), records)
    }

    /// For each strength how many sentences of each mark.
    fn counts(&self, runtime: &str) -> BTreeMap<&str, BTreeMap<Mark, usize>> {
        let mut counts: BTreeMap<&str, BTreeMap<Mark, usize>> = BTreeMap::new();
        for sentence in self.sentences.iter().filter(|sentence| !sentence.cases().is_empty()) {
            *counts.entry(sentence.strength).or_default().entry(self.mark(sentence, runtime).0).or_default() += 1;
        }
        counts
    }

    /// For people at a terminal.
    pub(crate) fn summary(&self) -> String {
        let mut text = String::new();
        for runtime in &self.runtimes {
            let counts = self.counts(runtime);
            let lines = STRENGTHS.iter().filter_map(|strength| Some((strength, counts.get(strength)?)));
            for (strength, marks) in lines {
                let marks: Vec<String> = marks.iter().map(|(mark, count)| format!("{count} {}", mark.word())).collect();
                add_line(&mut text, format_args!("{runtime}: {strength}: {}", marks.join(", ")));
            }
        }
        text
    }
}

/// The command that repeats one case.
fn repeat(record: &Record) -> String {
    format!("make conformance RUNTIME={} CASE={}", record.runtime, record.case)
}

/// What a reader is told of a record that is no pass.
fn told(record: &Record) -> Vec<(&'static str, String)> {
    match &record.verdict {
        Ok(()) => Vec::new(),
        Err(Not::Right { expected, seen }) => {
            let mut told = vec![("expected", expected.clone()), ("seen", seen.clone()), ("again", repeat(record))];
            let known = deviations::of(&record.runtime, &record.case);
            told.extend(known.map(|reason| ("why it stays", reason.to_owned())));
            told
        }
        Err(Not::Applicable(reason)) => vec![("not applicable", reason.clone())],
        Err(Not::Supported(message)) => vec![("unsupported", message.clone())],
    }
}

/// Test Anything Protocol, version 14.
pub(crate) fn tap(table: &Table) -> String {
    let mut text = format!("TAP version 14\n1..{}\n", table.best.len());
    for (number, record) in table.records().enumerate() {
        let name = format!("{} - {}: {}", number + 1, record.runtime, record.case);
        let line = match mark_of(record) {
            Mark::Fail => format!("not ok {name}"),
            Mark::Deviates => format!("not ok {name} # TODO a known deviation"),
            Mark::Pass => format!("ok {name}"),
            mark => format!("ok {name} # SKIP {}", mark.word()),
        };
        text += &line;
        text.push('\n');
        let told = told(record);
        if !told.is_empty() {
            text += "  ---\n";
            for (key, value) in told {
                add_line(&mut text, format_args!("  {key}: {}", serde_json::Value::from(value)));
            }
            text += "  ...\n";
        }
    }
    text
}

/// `JUnit`'s XML: a suite for each runtime.
pub(crate) fn junit(table: &Table) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for runtime in &table.runtimes {
        let records: Vec<&Record> = table.records().filter(|record| record.runtime == *runtime).collect();
        let count = |wanted: &[Mark]| records.iter().filter(|record| wanted.contains(&mark_of(record))).count();
        let skipped = count(&[Mark::Deviates, Mark::Unsupported, Mark::NotApplicable]);
        let (name, all, failed) = (escaped(runtime), records.len(), count(&[Mark::Fail]));
        let head =
            format_args!("<testsuite name=\"{name}\" tests=\"{all}\" failures=\"{failed}\" skipped=\"{skipped}\">\n");
        add(&mut text, head);
        for record in records {
            let (part, case) = record.case.split_once("::").unwrap_or(("", &record.case));
            let said: Vec<String> = told(record).into_iter().map(|(key, value)| format!("{key}: {value}")).collect();
            let said = escaped(&said.join("\n"));
            let inner = match mark_of(record) {
                Mark::Pass => String::new(),
                Mark::Fail => format!("<failure>{said}</failure>"),
                _ => format!("<skipped message=\"{said}\"/>"),
            };
            let time = record.seconds;
            let head = format_args!("<testcase classname=\"{name}.{part}\" name=\"{case}\" time=\"{time:.3}\">");
            add(&mut text, head);
            text += &inner;
            text += "</testcase>\n";
        }
        text += "</testsuite>\n";
    }
    text + "</testsuites>\n"
}

/// For XML and HTML; control characters become spaces, since XML has no way to write them.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\n' => out.push('\n'),
            control if control.is_control() => out.push(' '),
            other => out.push(other),
        }
    }
    out
}

/// For a cell of a Markdown table.
pub(crate) fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ").replace('<', "&lt;")
}

/// The head of both tables: what was run where.
fn head(table: &Table, date: &str) -> Vec<String> {
    let mut lines = vec![format!("Runtime specification {SPECIFICATION}; run on {date}.")];
    lines
        .extend(table.machines.iter().map(|(runtime, version, machine)| format!("{runtime}: {version}, on {machine}")));
    lines
}

pub(crate) fn markdown(table: &Table, date: &str) -> String {
    let mut text = String::from("# The runtime specification, sentence by sentence\n\n");
    text += "Made by `make conformance`; what the words mean is at the end.\n\n";
    for line in head(table, date) {
        add(&mut text, format_args!("- {line}\n"));
    }
    add(&mut text, format_args!("\n```\n{}```\n", coverage_text(table.sentences)));
    text +=
        "\n## In numbers\n\n| strength | runtime | pass | fail | deviates | unsupported | not applicable | not run |\n";
    text += "|---|---|---|---|---|---|---|---|\n";
    let marks = [Mark::Pass, Mark::Fail, Mark::Deviates, Mark::Unsupported, Mark::NotApplicable, Mark::Open];
    for strength in STRENGTHS {
        for runtime in &table.runtimes {
            let counts = table.counts(runtime);
            let of = |mark: &Mark| counts.get(strength).and_then(|marks| marks.get(mark)).copied().unwrap_or_default();
            if counts.contains_key(strength) {
                let cells: Vec<String> = marks.iter().map(|mark| of(mark).to_string()).collect();
                add(&mut text, format_args!("| {strength} | {runtime} | {} |\n", cells.join(" | ")));
            }
        }
    }
    let mut notes = Vec::new();
    let mut last = "";
    for sentence in table.sentences {
        if sentence.file != last {
            last = sentence.file;
            let columns: String =
                table.runtimes.iter().map(|runtime| format!(" {runtime} |")).collect::<Vec<_>>().concat();
            add(&mut text, format_args!("\n## {last}.md\n\n| sentence | strength | in our words |{columns}\n"));
            add(&mut text, format_args!("|---|---|---|{}\n", "---|".repeat(table.runtimes.len())));
        }
        add(&mut text, format_args!("| {} | {} | {} |", sentence.id, sentence.strength, cell(sentence.words)));
        match &sentence.tested {
            Tested::Not(_) => text += &" – |".repeat(table.runtimes.len()),
            Tested::By(_) => {
                for runtime in &table.runtimes {
                    let (mark, records) = table.mark(sentence, runtime);
                    let noted = if matches!(mark, Mark::Pass | Mark::Open) {
                        String::new()
                    } else {
                        note(&mut notes, &records, mark)
                    };
                    add(&mut text, format_args!(" {}{noted} |", mark.word()));
                }
            }
        }
        text.push('\n');
    }
    text += "\n## Notes\n\n";
    for (number, (record, told)) in notes.iter().enumerate() {
        add(&mut text, format_args!("{}. <a id=\"n{}\"></a>{record}: {}\n", number + 1, number + 1, told));
    }
    text += "\n## Sentences without a case\n\n| sentence | strength | in our words | why |\n|---|---|---|---|\n";
    for sentence in table.sentences {
        if let Tested::Not(why) = sentence.tested {
            add(
                &mut text,
                format_args!(
                    "| {} | {} | {} | {} |\n",
                    sentence.id,
                    sentence.strength,
                    cell(sentence.words),
                    cell(why)
                ),
            );
        }
    }
    text + "\n## The words\n\n\
        *pass*: all cases of the sentence that could run did pass. *fail*: one didn't; the note has the command that repeats it.\n\
        *deviates*: it fails, on purpose; the note says why. *unsupported*: the runtime refuses, with the message in the note, what it\n\
        may refuse. *not applicable*: it says nothing about that machine. *–*: no case can exist, as the last table says. STATES is what\n\
        a field does where the specification says so without one of RFC 2119's words.\n"
}

/// The reference to a note, which is made unless it is there.
fn note(notes: &mut Vec<(String, String)>, records: &[&Record], mark: Mark) -> String {
    let mut references = String::new();
    for record in records.iter().filter(|record| mark_of(record) == mark) {
        let words: Vec<String> = told(record).iter().map(|(key, value)| format!("*{key}* {}", cell(value))).collect();
        let entry = (format!("{}, {}", record.version, record.case), words.join("; "));
        let at = notes.iter().position(|known| *known == entry).unwrap_or_else(|| {
            notes.push(entry);
            notes.len() - 1
        });
        add(&mut references, format_args!(" [{0}](#n{0})", at + 1));
    }
    references
}

pub(crate) fn html(table: &Table, date: &str) -> String {
    let mut text = String::from(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Runtime specification</title>\n<style>\n\
         body{font:15px/1.4 sans-serif;margin:2em auto;max-width:80em;padding:0 1em}table{border-collapse:collapse;width:100%}\n\
         td,th{border:1px solid #ccc;padding:.2em .5em;text-align:left;vertical-align:top}th{position:sticky;top:0;background:#fff}\n\
         .pass{background:#e2f4e2}.fail{background:#f9d6d5}.deviates{background:#fbe9c8}.unsupported{background:#eee}\n\
         .not{color:#777}code{white-space:pre-wrap}summary{cursor:pointer}\n</style>\n",
    );
    text += "<h1>The runtime specification, sentence by sentence</h1>\n<ul>\n";
    for line in head(table, date) {
        add(&mut text, format_args!("<li>{}</li>\n", escaped(&line)));
    }
    let columns: String =
        table.runtimes.iter().map(|runtime| format!("<th>{}</th>", escaped(runtime))).collect::<Vec<_>>().concat();
    add(
        &mut text,
        format_args!("</ul>\n<table>\n<tr><th>sentence</th><th>strength</th><th>in our words</th>{columns}</tr>\n"),
    );
    for sentence in table.sentences {
        add(
            &mut text,
            format_args!(
                "<tr id=\"{0}\"><td>{0}</td><td>{1}</td><td>{2}</td>",
                sentence.id,
                sentence.strength,
                escaped(sentence.words)
            ),
        );
        for runtime in &table.runtimes {
            if let Tested::Not(why) = sentence.tested {
                add(&mut text, format_args!("<td class=\"not\">{}</td>", escaped(why)));
                continue;
            }
            let (mark, records) = table.mark(sentence, runtime);
            let class = mark.word().split(' ').next().unwrap_or_default();
            let said: Vec<String> = records
                .iter()
                .filter(|record| mark_of(record) == mark)
                .flat_map(|record| told(record))
                .map(|(key, value)| format!("<b>{key}</b> <code>{}</code>", escaped(&value)))
                .collect();
            let (word, said) = (mark.word(), said.join("<br>"));
            let inner = format!("<details><summary>{word}</summary>{said}</details>");
            let inner = if said.is_empty() { word } else { &inner };
            add(&mut text, format_args!("<td class=\"{class}\">{inner}</td>"));
        }
        text += "</tr>\n";
    }
    text + "</table>\n</html>\n"
}

/// What a person at a terminal is told below a record's line.
pub(crate) fn lines(record: &Record) -> String {
    told(record).into_iter().fold(String::new(), |text, (key, value)| text + &format!("\n    {key}: {value}"))
}
