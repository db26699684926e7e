//! What each mount option does, as the program's table of mounts tells.

use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};
use serde_json::{Value, json};

use super::filesystems::mount_at;
use crate::case::Case;
use crate::container::Container;
use crate::outcome::{Verdict, expect};
use crate::subject::Subject;

/// An option of a tmpfs. Then which words its mount has and lacks, and which its file system.
type Plain =
    (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str], &'static [&'static str]);

const PLAIN: [Plain; 30] = [
    ("async", &[], &[], &[], &["sync"]),
    ("atime", &[], &["noatime"], &[], &[]),
    ("defaults", &["rw"], &["nosuid", "nodev", "noexec"], &[], &["sync"]),
    ("dev", &[], &["nodev"], &[], &[]),
    ("diratime", &[], &["nodiratime"], &[], &[]),
    ("dirsync", &[], &[], &["dirsync"], &[]),
    ("exec", &[], &["noexec"], &[], &[]),
    ("iversion", &[], &[], &[], &[]),
    ("lazytime", &[], &[], &["lazytime"], &[]),
    ("loud", &[], &[], &[], &[]),
    ("mand", &[], &[], &[], &[]),
    ("noatime", &["noatime"], &[], &[], &[]),
    ("nodev", &["nodev"], &[], &[], &[]),
    ("nodiratime", &["nodiratime"], &[], &[], &[]),
    ("noexec", &["noexec"], &[], &[], &[]),
    ("noiversion", &[], &[], &[], &[]),
    ("nolazytime", &[], &[], &[], &["lazytime"]),
    ("nomand", &[], &[], &[], &[]),
    ("norelatime", &[], &[], &[], &[]),
    ("nostrictatime", &["relatime"], &[], &[], &[]),
    ("nosuid", &["nosuid"], &[], &[], &[]),
    ("nosymfollow", &["nosymfollow"], &[], &[], &[]),
    ("relatime", &["relatime"], &["noatime"], &[], &[]),
    ("ro", &["ro"], &["rw"], &[], &[]),
    ("rw", &["rw"], &["ro"], &[], &[]),
    ("silent", &[], &[], &[], &[]),
    ("strictatime", &[], &["relatime", "noatime"], &[], &[]),
    ("suid", &[], &["nosuid"], &[], &[]),
    ("symfollow", &[], &["nosymfollow"], &[], &[]),
    ("sync", &[], &[], &["sync"], &[]),
];

/// An option for a bind mount with another mount below it; the flags of that one on the host; which words both have and lack.
type Recursive = (&'static str, MountFlags, &'static [&'static str], &'static [&'static str]);

const RECURSIVE: [Recursive; 17] = [
    ("ratime", MountFlags::NOATIME, &[], &["noatime"]),
    ("rdev", MountFlags::NODEV, &[], &["nodev"]),
    ("rdiratime", MountFlags::NODIRATIME, &[], &["nodiratime"]),
    ("rexec", MountFlags::NOEXEC, &[], &["noexec"]),
    ("rnoatime", MountFlags::empty(), &["noatime"], &[]),
    ("rnodiratime", MountFlags::empty(), &["nodiratime"], &[]),
    ("rnoexec", MountFlags::empty(), &["noexec"], &[]),
    ("rnorelatime", MountFlags::empty(), &[], &["noatime"]),
    ("rnostrictatime", MountFlags::STRICTATIME, &["relatime"], &[]),
    ("rnosuid", MountFlags::empty(), &["nosuid"], &[]),
    ("rnosymfollow", MountFlags::empty(), &["nosymfollow"], &[]),
    ("rrelatime", MountFlags::NOATIME, &["relatime"], &["noatime"]),
    ("rro", MountFlags::empty(), &["ro"], &["rw"]),
    ("rrw", MountFlags::RDONLY, &["rw"], &["ro"]),
    ("rstrictatime", MountFlags::NOATIME, &[], &["relatime", "noatime"]),
    ("rsuid", MountFlags::NOSUID, &[], &["nosuid"]),
    ("rsymfollow", MountFlags::empty(), &[], &["nosymfollow"]),
];

/// What propagates from a mount that does so on the host, and whether mounts below are like it.
const PROPAGATION: [(&str, &str, bool); 8] = [
    ("private", "", false),
    ("slave", "master:", false),
    ("shared", "shared:", false),
    ("unbindable", "unbindable", false),
    ("rprivate", "", true),
    ("rslave", "master:", true),
    ("rshared", "shared:", true),
    ("runbindable", "unbindable", true),
];

/// Options that the specification wants of a runtime if it can.
const SHOULD: [&str; 5] = ["nosymfollow", "symfollow", "mand", "nomand", "tmpcopyup"];

pub(crate) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for one in &PLAIN {
        cases.push(Case::new(module_path!(), one.0, move |s: &Subject| plain(s, one)));
    }
    for one in &RECURSIVE {
        cases.push(Case::new(module_path!(), one.0, move |s: &Subject| recursive(s, one)));
    }
    for (name, tag, below) in PROPAGATION {
        cases.push(Case::new(module_path!(), name, move |s: &Subject| propagates(s, name, tag, below)));
    }
    cases.push(Case::new(module_path!(), "bind", bind));
    cases.push(Case::new(module_path!(), "rbind", rbind));
    cases.push(Case::new(module_path!(), "remount", remount));
    cases.push(Case::new(module_path!(), "tmpcopyup", tmpcopyup));
    cases
}

fn words(mount: &Value, key: &str) -> Vec<String> {
    mount[key].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The mount has and lacks these words.
fn like(report: &Value, target: &str, key: &str, has: &[&str], lacks: &[&str]) -> Verdict {
    let seen = words(mount_at(report, target)?, key);
    let good = has.iter().all(|word| seen.iter().any(|one| one == word));
    let bad = lacks.iter().any(|word| seen.iter().any(|one| one == word));
    let list = |words: &[&str]| words.join(", ");
    let wanted = match (has.is_empty(), lacks.is_empty()) {
        (false, true) => format!("{target} has {}", list(has)),
        (true, _) => format!("{target} doesn't have {}", list(lacks)),
        (false, false) => format!("{target} has {} and not {}", list(has), list(lacks)),
    };
    expect(good && !bad, wanted, format!("{target} has {}", seen.join(",")))
}

fn report(c: &Container, option: &str) -> Verdict<Value> {
    if SHOULD.contains(&option) { c.report_if_supported() } else { c.report() }
}

fn plain(s: &Subject, (option, has, lacks, fs_has, fs_lacks): &Plain) -> Verdict {
    let c =
        Container::new(s).mount(json!({"destination": "/mnt", "type": "tmpfs", "source": "ours", "options": [option]}));
    let report = report(&c, option)?;
    like(&report, "/mnt", "options", has, lacks)?;
    like(&report, "/mnt", "superOptions", fs_has, fs_lacks)
}

/// A mount on the host with another below it.
fn nested(c: &Container, below: MountFlags) -> PathBuf {
    let source = c.source("volume");
    mount_bind(&source, &source).expect("bind a directory to itself");
    std::fs::create_dir(source.join("below")).expect("create a directory");
    mount("ours", source.join("below"), "tmpfs", below, None).expect("mount a tmpfs");
    source
}

fn bound<'s>(c: Container<'s>, source: &Path, options: &[&str]) -> Container<'s> {
    c.mount(json!({"destination": "/mnt", "type": "none", "source": source, "options": options}))
}

fn recursive(s: &Subject, (option, flags, has, lacks): &Recursive) -> Verdict {
    let c = Container::new(s);
    let source = nested(&c, *flags);
    let report = bound(c, &source, &["rbind", option]).report_if_supported()?;
    like(&report, "/mnt", "options", has, lacks)?;
    like(&report, "/mnt/below", "options", has, lacks)
}

fn propagates(s: &Subject, option: &str, tag: &str, below: bool) -> Verdict {
    let c = Container::new(s);
    let source = nested(&c, MountFlags::empty());
    mount_change(&source, MountPropagationFlags::SHARED | MountPropagationFlags::REC).expect("share a mount");
    let report = bound(c, &source, &["rbind", option]).report()?;
    let targets = if below { vec!["/mnt", "/mnt/below"] } else { vec!["/mnt"] };
    for target in targets {
        let seen = words(mount_at(&report, target)?, "propagation");
        let good = if tag.is_empty() { seen.is_empty() } else { seen.iter().any(|one| one.starts_with(tag)) };
        // What is shared may also be somebody's slave.
        let wanted =
            if tag.is_empty() { format!("{target} has no propagation") } else { format!("{target} has {tag}") };
        expect(good, wanted, format!("{target} has {seen:?}"))?;
    }
    Ok(())
}

fn bind(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["report", "/mnt", "/mnt/below"]);
    let source = nested(&c, MountFlags::empty());
    std::fs::write(source.join("below/deep"), "").expect("write a file");
    let report = bound(c, &source, &["bind"]).report()?;
    expect(!report["paths"]["/mnt"]["inside"].is_null(), "the source's files are there", &report["paths"]["/mnt"])?;
    expect(
        report["paths"]["/mnt/below"] == json!({}),
        "what is mounted below isn't there",
        &report["paths"]["/mnt/below"],
    )
}

fn rbind(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["report", "/mnt/below"]);
    let source = nested(&c, MountFlags::empty());
    std::fs::write(source.join("below/deep"), "").expect("write a file");
    let report = bound(c, &source, &["rbind"]).report()?;
    expect(
        !report["paths"]["/mnt/below"]["deep"].is_null(),
        "what is mounted below is there",
        &report["paths"]["/mnt/below"],
    )
}

fn remount(s: &Subject) -> Verdict {
    let mount =
        |options: &[&str]| json!({"destination": "/mnt", "type": "tmpfs", "source": "ours", "options": options});
    let c = Container::new(s).mount(mount(&["size=123k"])).mount(mount(&["remount", "ro", "nosuid"]));
    let report = c.report()?;
    like(&report, "/mnt", "options", &["ro", "nosuid"], &[])?;
    let count = report["mounts"].as_array().into_iter().flatten().filter(|mount| mount["target"] == "/mnt").count();
    expect(count == 1, "there is one mount at /mnt", format!("there are {count}"))
}

fn tmpcopyup(s: &Subject) -> Verdict {
    let c = Container::new(s).file("/mnt/here", "").args(["report", "/mnt"]);
    let c = c.mount(json!({"destination": "/mnt", "type": "tmpfs", "source": "ours", "options": ["tmpcopyup"]}));
    let report = c.report_if_supported()?;
    expect(!report["paths"]["/mnt"]["here"].is_null(), "the directory's files are copied", &report["paths"]["/mnt"])
}
