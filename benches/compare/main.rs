//! Measures container runtimes side by side, in one session and interleaved: `make bench`.
//!
//! Usage: `compare OUTPUT-DIRECTORY NAME=PROGRAM… [rounds=N] [seccomp=FILE] [only=PART]`. The name `orlop` is the runtime that the goals are about; the
//! name `floor` is the program of `floor.c`, which takes part in some of it; the file has what `make oracle` prints. One part alone is
//! printed, and written nowhere. Wants root and a cgroup2 mount at /sys/fs/cgroup.
//!
//! `compare order SCRIPT PROGRAM` measures nothing: it finds out which functions of the program are used, see `order`.
//!
//! A command is timed from before its birth to its end, by a blocking wait. Nothing is asserted about times.

mod cgroups;
mod conditions;
mod configs;
mod container;
mod crowd;
mod ends;
mod floor;
mod growth;
mod life;
mod measured;
mod memory;
mod order;
mod picture;
mod report;
mod seccomp;
mod session;
mod system_calls;
mod thousand;
mod timeline;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::measured::Measured;
use crate::session::Session;

/// Whatever went wrong, in words for the person who started this.
type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.as_slice() {
        [word, script, program] if word == "order" => order::write(Path::new(script), Path::new(program)),
        _ => compare(arguments.into_iter()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What can be measured, in this order. What a thousand containers leave to the kernel would fall into the times of others.
const PARTS: [(&str, Part); 8] = [
    ("life", life::measure),
    ("engines", life::with_engines_configs),
    ("crowd", crowd::measure),
    ("ends", ends::measure),
    ("growth", growth::measure),
    ("memory", memory::measure),
    ("calls", system_calls::measure),
    ("thousand", thousand::measure),
];

type Part = fn(&Session) -> Result<Vec<Measured>>;

fn compare(arguments: impl Iterator<Item = String>) -> Result<()> {
    let Arguments { output, programs, rounds, seccomp, only } = parse(arguments)?;
    let session = Session::open(programs, rounds)?;
    if let Some(only) = only {
        let part = PARTS.into_iter().find(|(name, _)| *name == only).ok_or("no such part")?.1;
        let all = part(&session)?;
        println!("{}\n{}", report::goals(&all), report::figures(&all));
        return Ok(());
    }
    let conditions = conditions::describe(&session)?;
    let steps = timeline::measure(&session)?;
    let mut all = Vec::new();
    for (_, part) in PARTS {
        all.extend(part(&session)?);
    }

    let profiles = seccomp.map(|file| seccomp::read(&file)).transpose()?;
    all.extend(profiles.iter().flat_map(|profiles| profiles.measured.clone()));

    fs::create_dir_all(&output)?;
    fs::write(output.join("results.md"), report::markdown(&conditions, &all, &steps, profiles.as_ref()))?;
    picture::bars(&output.join("bars.svg"), &all)?;
    picture::latency(&output.join("latency.svg"), &all)?;
    println!("{}", report::goals(&all));
    println!("All of it, with pictures: {}", output.display());
    Ok(())
}

struct Arguments {
    output: PathBuf,
    programs: Vec<(String, PathBuf)>,
    rounds: usize,
    seccomp: Option<PathBuf>,
    only: Option<String>,
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Arguments> {
    let usage = "usage: compare OUTPUT-DIRECTORY NAME=PROGRAM... [rounds=N] [seccomp=FILE] [only=PART]";
    let output = arguments.next().ok_or(usage)?;
    let (mut rounds, mut seccomp, mut only, mut programs) = (200, None, None, Vec::new());
    for argument in arguments {
        match argument.split_once('=') {
            Some(("rounds", number)) => rounds = number.parse()?,
            Some(("seccomp", file)) => seccomp = Some(PathBuf::from(file)),
            Some(("only", part)) => only = Some(part.to_owned()),
            Some((name, program)) => programs.push((name.to_owned(), fs::canonicalize(program)?)),
            None => return Err(format!("{argument}: not of the form NAME=PROGRAM").into()),
        }
    }
    if programs.is_empty() || rounds == 0 {
        return Err(usage.into());
    }
    Ok(Arguments { output: Path::new(&output).to_owned(), programs, rounds, seccomp, only })
}
