//! How long profiles take to compile, beside libseccomp: measured by the oracle of `src/seccomp/tests`, and read from what it prints.

use std::fs;
use std::path::Path;

use crate::Result;
use crate::measured::{Goal, Measured, Sampled, Unit};

/// The oracle's table, and what was to be reached of it.
pub struct Profiles {
    /// Markdown.
    pub table: String,
    pub measured: Vec<Measured>,
}

/// The columns of both compilers' microseconds, the profile's name being the first.
const COMPILED: [usize; 2] = [7, 8];

/// Reads what the oracle printed into a file.
pub fn read(file: &Path) -> Result<Profiles> {
    let text = fs::read_to_string(file)?;
    let begin = text.find("## Seccomp").ok_or("the oracle printed no table")?;
    let lines = text[begin..].lines().take_while(|line| line.is_empty() || line.starts_with(['#', '|']));
    let table: String = lines.flat_map(|line| [line, "\n"]).collect();
    let docker = table.lines().find(|line| line.starts_with("| Docker ")).ok_or("the oracle measured no Docker")?;
    let cells: Vec<&str> = docker.trim_matches('|').split('|').map(str::trim).collect();
    let [ours, theirs] = COMPILED.map(|column| cells.get(column).copied().unwrap_or_default());
    let sampled = |runtime: &str, cell: &str| -> Result<Sampled> { Ok(Sampled::new(runtime, vec![cell.parse()?])) };
    let measured = Measured {
        what: "seccomp compile, Docker's profile".into(),
        unit: Unit::Microseconds,
        goals: vec![Goal::at_most("libseccomp", 0.2)],
        sampled: vec![sampled("orlop", ours)?, sampled("libseccomp", theirs)?],
    };
    Ok(Profiles { table, measured: vec![measured] })
}
