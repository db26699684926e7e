//! What `floor.c` is told, in place of a config.

use std::fs;
use std::path::Path;

use orlop::seccomp::compile;
use serde_json::Value;

use crate::Result;

/// The options of its `run` and its `exec`, so that they make what the config asks for. What of a config it doesn't know it has no
/// option for: that is for who chooses what it takes part in.
pub fn options(config: &Value, bundle: &Path) -> Result<Vec<String>> {
    let mut options = Vec::new();
    let mut option = |name: &str, value: String| options.extend([name.to_owned(), value]);
    let masked = count(&config["linux"]["maskedPaths"], Value::as_str, "/masked/");
    if masked > 0 {
        option("--masked", masked.to_string());
    }
    let bound = count(&config["mounts"], |mount| mount["destination"].as_str(), "/run/");
    if bound > 0 {
        option("--bound", bound.to_string());
    }
    if let Some(profile) = config["linux"].get("seccomp") {
        let file = bundle.join("seccomp");
        fs::write(&file, filter(profile)?)?;
        option("--seccomp", file.to_string_lossy().into_owned());
        options.push("--docker".to_owned());
    }
    Ok(options)
}

fn count(list: &Value, path: impl Fn(&Value) -> Option<&str>, below: &str) -> usize {
    let all = list.as_array().into_iter().flatten();
    all.filter(|entry| path(entry).is_some_and(|path| path.starts_with(below))).count()
}

/// As the kernel takes it: compiled before, since a runtime could keep it.
fn filter(profile: &Value) -> Result<Vec<u8>> {
    let filter = compile(&serde_json::from_value(profile.clone())?).map_err(|error| error.to_string())?;
    let bytes = |code: u16, jt: u8, jf: u8, k: u32| [&code.to_ne_bytes()[..], &[jt, jf], &k.to_ne_bytes()].concat();
    Ok(filter.program.iter().flat_map(|one| bytes(one.code, one.jt, one.jf, one.k)).collect())
}
