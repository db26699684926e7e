//! A process of the container that looks into every other process that it can see, as fast as it can.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;

use nix::sys::signal::Signal;
use serde_json::json;

/// What was found, each thing once, with how often.
#[derive(Default)]
struct Found {
    processes: BTreeSet<u32>,
    exes: BTreeMap<String, u32>,
    writable: BTreeSet<String>,
    descriptors: BTreeMap<String, u32>,
    roots: u32,
    directories: BTreeMap<String, u32>,
    capabilities: u64,
    memories: u32,
}

/// Snoops until SIGTERM comes, and prints what was found.
pub(crate) fn snoop() -> super::Step {
    super::block_all()?;
    super::print("ready")?;
    let own = (std::process::id(), inode("/")?);
    let mut found = Found::default();
    while !told_to_stop() {
        for pid in pids().filter(|pid| *pid != own.0) {
            found.look_into(pid, own.1);
        }
    }
    let Found { processes, exes, writable, descriptors, roots, directories, capabilities, memories } = found;
    super::print(
        &json!({
            "processes": processes.len(), "exes": exes, "writable": writable, "descriptors": descriptors,
            "otherRoots": roots, "directories": directories, "capabilities": capabilities, "memories": memories,
        })
        .to_string(),
    )
}

fn told_to_stop() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    let mask = line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (Signal::SIGTERM as i32 - 1) & 1 == 1
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn inode(path: &str) -> std::io::Result<(u64, u64)> {
    fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

impl Found {
    fn look_into(&mut self, pid: u32, own_root: (u64, u64)) {
        self.processes.insert(pid);
        let path = |name: &str| format!("/proc/{pid}/{name}");
        let link = |name: &str| fs::read_link(path(name)).map(|target| target.to_string_lossy().into_owned());
        if let Ok(exe) = link("exe") {
            if fs::OpenOptions::new().write(true).open(path("exe")).is_ok() {
                self.writable.insert(exe.clone());
            }
            *self.exes.entry(exe).or_default() += 1;
        }
        self.roots += u32::from(inode(&path("root")).is_ok_and(|root| root != own_root));
        if let Ok(directory) = link("cwd") {
            *self.directories.entry(directory).or_default() += 1;
        }
        for entry in fs::read_dir(path("fd")).into_iter().flatten().flatten() {
            let number: u32 = entry.file_name().to_str().and_then(|name| name.parse().ok()).unwrap_or_default();
            if number > 2
                && let Ok(target) = fs::read_link(entry.path())
            {
                let target = target.to_string_lossy();
                // A program looks at its own memory map while it starts.
                if !target.starts_with("/proc/") {
                    let kind = target.split(':').next().unwrap_or_default().to_owned();
                    *self.descriptors.entry(kind).or_default() += 1;
                }
            }
        }
        let status = fs::read_to_string(path("status")).unwrap_or_default();
        let sets = status.lines().filter_map(|line| line.strip_prefix("CapPrm:").or(line.strip_prefix("CapBnd:")));
        self.capabilities |=
            sets.filter_map(|set| u64::from_str_radix(set.trim(), 16).ok()).fold(0, |all, set| all | set);
        self.memories += u32::from(fs::File::open(path("mem")).is_ok());
    }
}
