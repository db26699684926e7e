//! Under what conditions it was measured.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use crate::Result;
use crate::container::Runtime;
use crate::session::Session;

/// The machine, the day, and the versions, as Markdown.
pub fn describe(session: &Session) -> Result<String> {
    let mut text = format!(
        "{}, Linux {}, {} cores ({}), load {} at the start. {} rounds, interleaved.\n\n\
         | runtime | version | size of the program |\n|---|---|--:|\n",
        today()?,
        fs::read_to_string("/proc/sys/kernel/osrelease")?.trim_end(),
        std::thread::available_parallelism()?,
        processor()?,
        fs::read_to_string("/proc/loadavg")?.split(' ').next().unwrap_or_default(),
        session.rounds,
    );
    for runtime in &session.runtimes {
        let kibibytes = fs::metadata(&runtime.program)?.len() / 1024;
        writeln!(text, "| {} | {} | {kibibytes} KiB |", runtime.name, version(runtime)?)?;
    }
    writeln!(text, "\nShared libraries don't count to a program's size. {}", dependencies()?)?;
    Ok(text)
}

fn today() -> Result<String> {
    let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    Ok(now.split('T').next().ok_or("a date has a T")?.to_owned())
}

fn processor() -> Result<String> {
    let text = fs::read_to_string("/proc/cpuinfo")?;
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    Ok(name.map_or("unknown", |(_, name)| name).to_owned())
}

/// The last word of the first line that it prints.
fn version(runtime: &Runtime) -> Result<String> {
    if runtime.is_floor() {
        return Ok("the system calls that can't be left out".into());
    }
    let output = Command::new(&runtime.program).arg("--version").output()?;
    let text = String::from_utf8(output.stdout)?;
    let first = text.lines().next().unwrap_or_default();
    Ok(first.rsplit(' ').next().unwrap_or_default().to_owned())
}

fn dependencies() -> Result<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let words = ["tree", "--edges", "normal", "--prefix", "none", "--format", "{p}"];
    let tree = Command::new(cargo).args(words).output()?;
    if !tree.status.success() {
        return Err(format!("cargo tree: {}", String::from_utf8_lossy(&tree.stderr)).into());
    }
    let text = String::from_utf8(tree.stdout)?;
    let mut crates: Vec<&str> = text.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    crates.sort_unstable();
    crates.dedup();
    Ok(format!("Crates in Orlop's tree, build scripts and proc macros included: {}.", crates.len() - 1))
}
