//! The configs: the default one, and those that engines send.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::Result;
use crate::container::timed;

/// As captured, without what a machine for measurements may lack: `AppArmor`, limits that take a cgroup controller, and limits above
/// the machine's own. They lack it for every runtime alike. The integration suite runs the same files.
const ENGINES: [(&str, &str); 3] = [
    ("Docker", include_str!("../../integration/configs/docker.json")),
    ("containerd", include_str!("../../integration/configs/ctr.json")),
    ("Podman", include_str!("../../integration/configs/podman.json")),
];

/// Configs for a container whose program is `/bin/true`.
pub struct Configs {
    /// What the runtime's `spec` writes, without a terminal.
    pub default: Value,
    /// By the engine's name.
    pub engines: Vec<(&'static str, Value)>,
}

impl Configs {
    pub fn new(runtime: &Path, scratch: &Path) -> Result<Self> {
        let mut spec = Command::new(runtime);
        spec.arg("spec").current_dir(scratch);
        timed(spec)?;
        let default = serde_json::from_slice(&fs::read(scratch.join("config.json"))?)?;
        let engines = ENGINES.iter().map(|(name, text)| Ok((*name, of_engine(text, scratch)?)));
        Ok(Self { default: without_terminal(default), engines: engines.collect::<Result<_>>()? })
    }
}

/// With another program.
pub fn with_program(config: &Value, args: &[&str]) -> Value {
    let mut config = config.clone();
    config["process"]["args"] = json!(args);
    config
}

fn without_terminal(mut config: Value) -> Value {
    config["process"]["terminal"] = json!(false);
    with_program(&config, &["/bin/true"])
}

fn of_engine(text: &str, scratch: &Path) -> Result<Value> {
    let mut config = without_terminal(serde_json::from_str(text)?);
    // The oldest that says all of it: crun refuses a config from the future.
    config["ociVersion"] = json!("1.0.2");
    // To raise a limit takes a capability that root may lack here.
    config["process"].as_object_mut().into_iter().for_each(|process| drop(process.remove("rlimits")));
    // crun asks for the controller even where nothing is limited.
    let devices = config["linux"]["resources"]["devices"].take();
    config["linux"]["resources"] = json!({ "devices": devices });
    for (index, mount) in config["mounts"].as_array_mut().into_iter().flatten().enumerate() {
        if mount["type"] == "bind" {
            let source = scratch.join(format!("source-{index}"));
            if mount["destination"] == "/dev/shm" {
                fs::create_dir_all(&source)?;
            } else {
                fs::write(&source, "")?;
            }
            mount["source"] = json!(source);
        }
    }
    Ok(config)
}
