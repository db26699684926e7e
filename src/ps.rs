//! `orlop ps`: the processes of a container, as their pids or as lines of the host's ps(1).

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::cgroupv2::Cgroup;
use crate::error::{Annotate, Context, Error, Result};
use crate::list::Format;
use crate::state::State;

/// The text that `orlop ps` prints: host pids, or the lines of `ps OPTIONS` (`-ef` where there are none) that are about them.
///
/// # Errors
/// When ps can't be run, or prints no column called PID.
pub fn ps(root: &Path, id: &str, format: Format, options: &[OsString]) -> Result<String> {
    let pids = pids(&State::open(root, id)?)?;
    match format {
        Format::Json => as_json(&pids),
        Format::Table => filter(&host_ps(options)?, &pids),
    }
}

fn pids(state: &State) -> Result<Vec<i32>> {
    let Some(record) = state.load()? else { return Ok(Vec::new()) };
    let Some(path) = &record.cgroup else {
        return Err(Error::new("the container has no cgroup of its own, and its processes are known by nothing else"));
    };
    Cgroup::open(path)?.map_or(Ok(Vec::new()), |cgroup| cgroup.pids())
}

/// One line, `null` for none, as runc.
fn as_json(pids: &[i32]) -> Result<String> {
    if pids.is_empty() {
        return Ok("null\n".into());
    }
    serde_json::to_string(pids).map(|text| text + "\n").map_err(|error| Error::new(error.to_string()))
}

fn host_ps(options: &[OsString]) -> Result<String> {
    let mut command = Command::new("ps");
    command.stdin(Stdio::null());
    if options.is_empty() {
        command.arg("-ef")
    } else {
        command.args(options)
    };
    let output = command.output().call("execve").doing(|| "run ps")?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::new(format!("{}: {}", output.status, said.trim())).doing("run ps"))
}

/// The header, and the lines whose PID is one of `pids`.
fn filter(table: &str, pids: &[i32]) -> Result<String> {
    let mut lines = table.lines();
    let header = lines.next().unwrap_or_default();
    let column = header.split_whitespace().position(|title| title == "PID");
    let column = column.ok_or_else(|| Error::new("couldn't find PID field in ps output"))?;
    let is_ours = |line: &&str| {
        let pid = line.split_whitespace().nth(column).and_then(|pid| pid.parse().ok());
        pid.is_some_and(|pid| pids.binary_search(&pid).is_ok())
    };
    Ok([header].into_iter().chain(lines.filter(is_ours)).flat_map(|line| [line, "\n"]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "UID   PID  PPID CMD\nroot    1     0 init 7\nroot    7     1 sleep 1\nroot   71     1 sleep\n";

    #[test]
    fn the_lines_of_the_containers_processes_stay() {
        assert_eq!(filter(TABLE, &[7]).unwrap(), "UID   PID  PPID CMD\nroot    7     1 sleep 1\n");
        assert_eq!(filter(TABLE, &[]).unwrap(), "UID   PID  PPID CMD\n");
    }

    #[test]
    fn a_table_without_pids_is_an_error_in_runcs_words() {
        let error = filter("UID CMD\nroot init\n", &[1]).unwrap_err().to_string();
        assert_eq!(error, "couldn't find PID field in ps output");
    }

    #[test]
    fn no_process_is_null() {
        assert_eq!(as_json(&[]).unwrap(), "null\n");
        assert_eq!(as_json(&[3, 4]).unwrap(), "[3,4]\n");
    }
}
