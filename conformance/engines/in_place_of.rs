//! What engines call: a script that runs this program, which counts the call and then becomes the runtime under test. So nobody has to
//! believe which runtime was used.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The first argument of such a call.
pub(crate) const WORD: &str = "in-place-of";

/// A byte for each call.
pub(crate) const CALLS: &str = "/run/engines-calls";

/// The script.
pub(crate) fn script(suite: &Path, runtime: &Path) -> String {
    format!("#!/bin/sh\nexec {} {WORD} {} \"$@\"\n", suite.display(), runtime.display())
}

/// How often the runtime was called.
pub(crate) fn calls() -> u64 {
    fs::metadata(CALLS).map_or(0, |calls| calls.len())
}

/// Counts the call, and has the runtime make it.
///
/// On a machine without controllers the limits that engines set unasked are taken out of the config first, and so is what root can't
/// have where it lacks `CAP_SYS_RESOURCE`, high resource limits and a low OOM score: with them nothing would start there, whichever the
/// runtime.
pub(crate) fn the_runtime(args: &[OsString]) -> io::Error {
    let call = || {
        OpenOptions::new().append(true).open(CALLS)?.write_all(b".")?;
        let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
        if args.iter().any(|arg| arg == "create" || arg == "run") && !controllers.contains("memory") {
            without_limits(&bundle_of(args).join("config.json"))?;
        }
        io::Result::Ok(())
    };
    match (call(), args.split_first()) {
        (Ok(()), Some((runtime, args))) => Command::new(runtime).args(args).exec(),
        (Err(error), _) => error,
        (_, None) => io::Error::other("no runtime was named"),
    }
}

/// The bundle that a call is about.
fn bundle_of(args: &[OsString]) -> PathBuf {
    let named = args.iter().position(|arg| arg == "--bundle" || arg == "-b").and_then(|at| args.get(at + 1));
    named.map_or_else(|| PathBuf::from("."), PathBuf::from)
}

fn without_limits(config: &Path) -> io::Result<()> {
    let mut spec: Value = serde_json::from_slice(&fs::read(config)?)?;
    if let Some(resources) = spec.pointer_mut("/linux/resources").and_then(Value::as_object_mut) {
        resources.retain(|name, _| name == "devices");
    }
    if let Some(process) = spec.pointer_mut("/process").and_then(Value::as_object_mut) {
        if let Some(limits) = process.get_mut("rlimits").and_then(Value::as_array_mut) {
            limits.retain(|limit| limit["hard"].as_u64().is_some_and(|hard| hard <= 20_000));
        }
        process.retain(|name, value| name != "oomScoreAdj" || value.as_i64().is_some_and(|score| score >= 0));
    }
    fs::write(config, serde_json::to_vec(&spec)?)
}
