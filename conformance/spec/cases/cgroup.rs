//! Where the cgroup is.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::case::cases;
use crate::container::Container;
use crate::lane::Lane;
use crate::leftovers;
use crate::outcome::{Not, Verdict, expect};
use crate::subject::Subject;

cases![in_use, frozen, absolute, the_same_each_time, the_same_relative_each_time, default_path, invalid_path];

/// The cgroup of the container's process, as the kernel has it.
fn place(c: &Container) -> Verdict<String> {
    let table = fs::read_to_string(format!("/proc/{}/cgroup", c.pid()?)).unwrap_or_default();
    Ok(table.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("(none)").to_owned())
}

fn absolute(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["sleep"]);
    let path = Lane::cgroup(&format!("{}/deeper/down", c.id()));
    let c = c.set("/linux/cgroupsPath", path.clone());
    c.create()?;
    let seen = place(&c)?;
    // A runtime may keep a cgroup of its own above the process.
    expect(
        seen == path || seen.starts_with(&format!("{path}/")),
        format!("the process is in {path}"),
        format!("it is in {seen}"),
    )
}

fn created_twice(s: &Subject, path: impl Fn(&Container) -> String) -> Verdict {
    let c = Container::new(s).args(["sleep"]);
    let path = path(&c);
    let c = c.set("/linux/cgroupsPath", path);
    let mut places = Vec::new();
    for _ in 0..2 {
        c.create_if_supported()?;
        places.push(place(&c)?);
        c.kill("KILL").ok()?;
        c.wait_exit()?;
        c.delete().ok()?;
    }
    leftovers::remove_cgroup(&at(&places[0])).unwrap_or_default();
    expect(places[0] == places[1], format!("the process is in {} again", places[0]), format!("it is in {}", places[1]))
}

fn at(place: &str) -> PathBuf {
    PathBuf::from("/sys/fs/cgroup").join(place.trim_start_matches('/'))
}

fn the_same_each_time(s: &Subject) -> Verdict {
    created_twice(s, |c| Lane::cgroup(c.id()))
}

fn the_same_relative_each_time(s: &Subject) -> Verdict {
    created_twice(s, |c| format!("relative/{}", c.id()))
}

fn default_path(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["sleep"]).unset("/linux/cgroupsPath");
    c.create()?;
    let seen = place(&c)?;
    c.kill("KILL").ok()?;
    c.wait_exit()?;
    c.delete().ok()?;
    expect(!at(&seen).exists() || seen == own(), "its cgroup goes with it", format!("{seen} is still there"))
}

fn own() -> String {
    Lane::cgroup("self")
}

/// The container takes that cgroup, or says that it can't.
fn taken_or_refused(c: &Container) -> Verdict {
    let path = c.config["linux"]["cgroupsPath"].as_str().unwrap_or_default().to_owned();
    let done = c.try_create();
    if done.failed() {
        return Ok(());
    }
    done.ok()?;
    let seen = place(c)?;
    let stays = !seen.split('/').any(|part| part == "..");
    expect(stays, format!("an error, or a place for {path}"), seen)
}

fn invalid_path(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["sleep"]);
    let path = format!("{}/../../../etc", Lane::cgroup(c.id()));
    taken_or_refused(&c.set("/linux/cgroupsPath", path))
}

/// Whether create looks at what is in its cgroup is the runtime's to say; if it does, it has to fail. What has to hold in any case:
/// whoever was there lives on when the container goes.
fn in_use(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["exit", "0"]);
    fs::create_dir_all(c.cgroup_dir()).expect("make a cgroup");
    let mut other = Command::new(Lane::get().probe());
    let mut other = other.arg("sleep").stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("run the probe");
    fs::write(c.cgroup_dir().join("cgroup.procs"), other.id().to_string()).expect("move a process");
    let done = c.try_create();
    let verdict = if done.failed() {
        Ok(())
    } else {
        Err(Not::Supported("it makes no such check, and shares the cgroup".into()))
    };
    // It may have been killed with the container.
    other.kill().unwrap_or_default();
    other.wait().map(drop).unwrap_or_default();
    verdict
}

fn frozen(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["sleep"]);
    fs::create_dir_all(c.cgroup_dir()).expect("make a cgroup");
    fs::write(c.cgroup_dir().join("cgroup.freeze"), "1").expect("freeze a cgroup");
    let done = c.try_create();
    fs::write(c.cgroup_dir().join("cgroup.freeze"), "0").unwrap_or_default();
    if done.late.is_some() {
        return Err(Not::Right {
            expected: "an error, or a container: the cgroup is frozen".into(),
            seen: done.seen(),
        });
    }
    if done.failed() { Ok(()) } else { Err(Not::Supported("it makes no such check".into())) }
}
