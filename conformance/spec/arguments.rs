//! The suite's own command line.

use std::path::PathBuf;
use std::time::Duration;

use super::container::Container;
use super::lane::Lane;
use super::subject::Subject;

const USAGE: &str = "conformance [OPTION...] [CASE...]
  --runtime [NAME=]PATH  a runtime to test; can be repeated
  --out DIR              write results.tap, results.xml, results.json, table.md and table.html there
  --jobs N               as many cases at once
  --loud                 tell of passes, too
  --records              print each result as a line of JSON, for --render
  --render FILE          make tables of earlier results instead of testing; can be repeated
  --differences          compare what the runtimes do with the same bundles
  --self-test            expect that runtimes with one thing broken are caught
  --check                check the table of sentences alone, and print its coverage; needs no root
  --list                 list the cases
CASE is a name, or a part of one.";

#[derive(Default)]
pub(crate) struct Arguments {
    runtimes: Vec<String>,
    filters: Vec<String>,
    pub(crate) out: Option<PathBuf>,
    pub(crate) jobs: usize,
    pub(crate) loud: bool,
    pub(crate) records: bool,
    pub(crate) render: Vec<String>,
    pub(crate) differences: bool,
    pub(crate) self_test: bool,
    pub(crate) check: bool,
    pub(crate) list: bool,
}

impl Arguments {
    pub(crate) fn read(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut read = Self { jobs: 4, ..Self::default() };
        // `--flag=value` is two words.
        let mut words = words.flat_map(|word| match word.split_once('=').filter(|(flag, _)| flag.starts_with("--")) {
            Some((flag, value)) => vec![flag.to_owned(), value.to_owned()],
            None => vec![word],
        });
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} wants a value\n{USAGE}"));
            match word.as_str() {
                "--runtime" => read.runtimes.push(value()?),
                "--out" => read.out = Some(value()?.into()),
                "--jobs" | "--test-threads" => {
                    read.jobs = value()?.parse().map_err(|error| format!("{word}: {error}"))?;
                }
                "--render" => read.render.push(value()?),
                "--loud" => read.loud = true,
                "--records" => read.records = true,
                "--differences" => read.differences = true,
                "--self-test" => read.self_test = true,
                "--check" => read.check = true,
                "--list" => read.list = true,
                flag if flag.starts_with('-') => return Err(format!("there is no {flag}\n{USAGE}")),
                filter => read.filters.push(filter.to_owned()),
            }
        }
        Ok(read)
    }

    pub(crate) fn wants(&self, case: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| case.contains(filter.as_str()))
    }

    /// The runtimes: those of the command line, or `ORLOP_TEST_RUNTIME`, or Orlop as built here.
    pub(crate) fn subjects(&self) -> Result<Vec<Subject>, String> {
        let own = std::env::var("ORLOP_TEST_RUNTIME").unwrap_or_else(|_| env!("CARGO_BIN_EXE_orlop").to_owned());
        let texts = if self.runtimes.is_empty() { vec![own] } else { self.runtimes.clone() };
        let texts = texts.iter().map(|text| if text == "orlop" { env!("CARGO_BIN_EXE_orlop") } else { text });
        texts.map(|text| prepared(text, Lane::get().limit())).collect()
    }
}

/// A machine may keep a runtime from loading rules for devices, which no sentence but a few is about.
fn prepared(text: &str, limit: Duration) -> Result<Subject, String> {
    let mut subject = Subject::parse(text, limit)?;
    let with_rules = Container::new(&subject).args(["exit", "0"]).try_create();
    if with_rules.failed() {
        let without = Container::new(&subject).args(["exit", "0"]).unset("/linux/resources").try_create();
        if without.succeeded() {
            subject.no_device_rules = Some(with_rules.message());
        }
    }
    Ok(subject)
}
