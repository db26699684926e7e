//! The same bundles on several runtimes: what the program sees, what `state` tells, what the calls come to.
//!
//! Everything that can be seen is one list of paths and values. What isn't the same everywhere has to be on [`ALLOWED`], with the
//! reason why the specification leaves it open, or it is a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::config::{add_namespace, drop_namespaces};
use super::container::{Container, namespace_of};
use super::leftovers;
use super::report::{add, cell};
use super::subject::{Done, Subject};

type Shape = for<'s> fn(Container<'s>) -> Container<'s>;

/// Bundles that every runtime should run alike.
const BUNDLES: [(&str, Shape); 18] = [
    ("usual", |c| c),
    ("readonly", |c| c.set("/root/readonly", true)),
    ("user", |c| c.set("/process/user", json!({"uid": 1000, "gid": 1001, "additionalGids": [5, 6], "umask": 0o077}))),
    ("capabilities", |c| {
        let names = json!(["CAP_CHOWN", "CAP_NET_RAW"]);
        let sets =
            json!({"bounding": names, "permitted": names, "effective": names, "inheritable": names, "ambient": names});
        c.set("/process/capabilities", sets).set("/process/user", json!({"uid": 1000, "gid": 1000}))
    }),
    ("no-capabilities", |c| c.set("/process/capabilities", json!({}))),
    ("limits", |c| c.set("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]))),
    ("privileges", |c| c.set("/process/noNewPrivileges", false)),
    ("environment", |c| {
        c.set("/process/env", json!(["A=1", "B=", "PATH=/bin"])).directory("/work").set("/process/cwd", "/work")
    }),
    ("names", |c| c.set("/hostname", "one").set("/domainname", "two")),
    ("sysctl", |c| c.set("/linux/sysctl", json!({"net.ipv4.ip_unprivileged_port_start": "77"}))),
    ("user-namespace", |c| c.user_namespace(100_000, 65_536)),
    ("all-namespaces", |c| c.user_namespace(100_000, 65_536).edit(|config| add_namespace(config, "time"))),
    ("few-namespaces", |c| c.edit(|config| drop_namespaces(config, &["network", "ipc", "cgroup"]))),
    ("masked", |c| {
        let c = c.file("/secret", "a secret").directory("/secrets").file("/kept/file", "");
        c.set("/linux/maskedPaths", json!(["/secret", "/secrets"]))
            .set("/linux/readonlyPaths", json!(["/kept", "/proc/sys"]))
    }),
    ("mounts", |c| {
        let source = c.source("volume");
        let tmpfs = json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777"]});
        c.bind(&source, "/data", ["ro", "nosuid"]).mount(tmpfs)
    }),
    ("cgroup-mount", |c| {
        let options = json!(["nosuid", "noexec", "nodev", "relatime", "ro"]);
        c.mount(json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": options}))
    }),
    ("devices", |c| {
        let device =
            json!({"path": "/dev/ours", "type": "c", "major": 1, "minor": 11, "fileMode": 0o640, "uid": 1, "gid": 2});
        c.set("/linux/devices", json!([device]))
    }),
    ("oom-score", |c| c.set("/process/oomScoreAdj", 500)),
];

/// Bundles that can't be run: who refuses them when.
const BAD: [(&str, Shape); 10] = [
    ("no-program", |c| c.set("/process/args", json!(["/not/there"]))),
    ("program-not-in-path", |c| c.set("/process/args", json!(["not-there"]))),
    ("no-root", |c| c.set("/root/path", "not-there")),
    ("no-source", |c| c.bind(Path::new("/not/there"), "/mnt", [])),
    ("unknown-namespace", |c| c.set("/linux/namespaces/0/type", "nonsense")),
    ("unknown-limit", |c| c.set("/process/rlimits", json!([{"type": "RLIMIT_NONSENSE", "soft": 1, "hard": 1}]))),
    ("soft-above-hard", |c| c.set("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 20, "hard": 10}]))),
    ("unknown-sysctl", |c| c.set("/linux/sysctl", json!({"nonsense.of.ours": "1"}))),
    ("unknown-file-system", |c| c.mount(json!({"destination": "/mnt", "type": "nonsensefs", "source": "x"}))),
    ("failing-hook", |c| c.hook("createRuntime", &["--exit", "3"])),
];

/// What may differ, by the beginning of its path behind the bundle's name, and why.
const ALLOWED: &[(&str, &str)] = &[
    ("program/keys", "session keyrings are in no sentence"),
    ("program/signals/ignored", "which of the C library's own signals stay ignored is in no sentence"),
    ("program/dev/core", "a runtime may supply more than the default devices"),
    ("program/mounts/\u{2215}sys/file system", "whether `ro` is said to the file system as well as to its mount"),
    (
        "program/mounts/\u{2215}dev\u{2215}*/options",
        "how a default device gets into a user namespace, and with which further options",
    ),
    ("program/mounts/\u{2215}sys\u{2215}fs\u{2215}cgroup/source", "the source of a cgroup mount is a dummy"),
    (
        "program/mounts/\u{2215}sys\u{2215}fs\u{2215}cgroup/options",
        "a further option, nosymfollow, which takes nothing away",
    ),
    ("program/mounts/\u{2215}secret*", "what a masked path is covered with"),
    ("exec of nothing there", "which code an error has; `exec` is in no sentence"),
    ("*/create", "which code an error has"),
];

/// Runs all bundles on all runtimes and tells what differs. Whether all of it may.
pub(crate) fn run(subjects: &[Subject], out: Option<&Path>) -> Result<bool, String> {
    if subjects.len() < 2 {
        return Err("differences take two runtimes".into());
    }
    let mut seen: BTreeMap<String, BTreeMap<&str, Value>> = BTreeMap::new();
    for subject in subjects {
        for (path, value) in observe(subject) {
            seen.entry(path).or_default().insert(&subject.name, value);
        }
    }
    let differing: Vec<_> = seen.iter().filter(|(_, values)| !alike(values, subjects.len())).collect();
    let (open, wrong): (Vec<_>, Vec<_>) = differing.into_iter().partition(|(path, _)| allowed(path).is_some());
    let text = told(subjects, seen.len(), &open, &wrong);
    print!("{text}");
    if let Some(dir) = out {
        let path = dir.join("differences.md");
        fs::create_dir_all(dir)
            .and_then(|()| fs::write(&path, &text))
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let word = if wrong.is_empty() { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {} passed; {} failed; 0 ignored", seen.len() - wrong.len(), wrong.len());
    Ok(wrong.is_empty())
}

type Seen<'a> = (&'a String, &'a BTreeMap<&'a str, Value>);

fn alike(values: &BTreeMap<&str, Value>, runtimes: usize) -> bool {
    values.len() == runtimes && values.values().collect::<Vec<_>>().windows(2).all(|pair| pair[0] == pair[1])
}

fn allowed(path: &str) -> Option<&'static str> {
    let (_, behind) = path.split_once('/')?;
    let parts: Vec<&str> = behind.split('/').collect();
    let fits = |pattern: &str| {
        let wanted: Vec<&str> = pattern.split('/').collect();
        wanted.len() <= parts.len() && wanted.iter().zip(&parts).all(|(wanted, part)| fits_part(wanted, part))
    };
    ALLOWED.iter().find(|(pattern, _)| fits(pattern)).map(|(_, reason)| *reason)
}

/// `*` stands for anything.
fn fits_part(wanted: &str, part: &str) -> bool {
    match wanted.split_once('*') {
        Some((begin, end)) => part.len() >= begin.len() + end.len() && part.starts_with(begin) && part.ends_with(end),
        None => wanted == part,
    }
}

fn told(subjects: &[Subject], all: usize, open: &[Seen], wrong: &[Seen]) -> String {
    let mut text = String::from("# The same bundles on several runtimes\n\n");
    for subject in subjects {
        add(&mut text, format_args!("- {}: {}\n", subject.name, subject.version));
    }
    add(
        &mut text,
        format_args!(
            "\n{all} things were looked at: {} are the same everywhere, {} differ where the specification leaves it open, {} differ otherwise.\n",
            all - open.len() - wrong.len(),
            open.len(),
            wrong.len()
        ),
    );
    let columns: String = subjects.iter().map(|subject| format!(" {} |", subject.name)).collect::<Vec<_>>().concat();
    for (title, rows) in [("What must not differ", wrong), ("What may differ", open)] {
        if rows.is_empty() {
            continue;
        }
        add(
            &mut text,
            format_args!("\n## {title}\n\n| what |{columns} why |\n|---|{}---|\n", "---|".repeat(subjects.len())),
        );
        for (path, values) in rows {
            let value = |subject: &Subject| values.get(subject.name.as_str()).map_or("–".to_owned(), short);
            let cells: String =
                subjects.iter().map(|subject| format!(" {} |", cell(&value(subject)))).collect::<Vec<_>>().concat();
            add(&mut text, format_args!("| {} |{cells} {} |\n", cell(path), allowed(path).unwrap_or_default()));
        }
    }
    text
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() > 60 { text.chars().take(59).chain(['…']).collect() } else { text }
}

/// All that can be seen of one runtime, by path.
fn observe(subject: &Subject) -> BTreeMap<String, Value> {
    let mut seen = BTreeMap::new();
    for (name, shape) in BUNDLES {
        flatten(name, &life(&shape(Container::new(subject))), &mut seen);
    }
    for (name, shape) in BAD {
        flatten(&format!("bad/{name}"), &refusal(&shape(Container::new(subject).args(["sleep"]))), &mut seen);
    }
    flatten("calls", &calls(subject), &mut seen);
    seen
}

/// What a call came to.
fn class(done: &Done) -> Value {
    match (done.late, done.code) {
        (Some(_), _) => json!("hangs"),
        (_, Some(code)) => json!(code),
        (_, None) => json!("crashes"),
    }
}

/// A container from create to delete, and its program's report.
fn life(c: &Container) -> Value {
    let created = c.try_create();
    let mut seen = json!({"create": class(&created)});
    if !created.succeeded() {
        seen["message"] = json!(created.message());
        return seen;
    }
    seen["created"] = state(c);
    seen["start"] = class(&c.try_start());
    let ended = c.wait_exit();
    seen["exit"] = json!(ended.ok());
    seen["stopped"] = state(c);
    seen["delete"] = class(&c.delete());
    seen["left"] = json!(leftovers::of_container(c.id(), c.dir()).len());
    let report = c.stdout();
    let report = serde_json::from_str(report.lines().last().unwrap_or_default()).unwrap_or_default();
    seen["program"] = plain(report, c);
    seen
}

/// What the specification says of the state; further properties are everybody's own.
fn state(c: &Container) -> Value {
    let mut state = c.try_state().json().unwrap_or_default();
    let known = ["id", "status", "bundle", "annotations"];
    let has =
        json!({"ociVersion": state["ociVersion"].is_string(), "pid": state["pid"].as_u64().is_some_and(|pid| pid > 0)});
    if let Some(state) = state.as_object_mut() {
        state.retain(|name, value| known.contains(&name.as_str()) && *value != json!({}) && !value.is_null());
    }
    for (name, value) in has.as_object().into_iter().flatten() {
        state[format!("has {name}")] = value.clone();
    }
    renamed(&state, c)
}

/// Who refuses a bundle: create, start, or nobody.
fn refusal(c: &Container) -> Value {
    let created = c.try_create();
    if !created.succeeded() {
        return json!({"refused by": "create", "create": class(&created)});
    }
    let started = c.try_start();
    let by = if started.succeeded() { "nobody" } else { "start" };
    json!({"refused by": by, "start": class(&started)})
}

/// Calls that fail, and one that doesn't.
fn calls(subject: &Subject) -> Value {
    let c = Container::new(subject).args(["sleep"]);
    let mut seen = json!({});
    for command in ["state", "start", "kill", "delete"] {
        seen[format!("{command} of nothing")] = class(&c.call(command).arg("nothing").run());
    }
    seen["create"] = class(&c.try_create());
    seen["create again"] = class(&c.try_create());
    seen["start"] = class(&c.try_start());
    seen["start again"] = class(&c.try_start());
    seen["delete of a running one"] = class(&c.delete());
    seen["kill with an unknown signal"] = class(&c.kill("NONSENSE"));
    seen["exec"] = class(&c.call("exec").arg(c.id()).args(["/probe", "exit", "42"]).run());
    seen["kill"] = class(&c.kill("KILL"));
    drop(c.wait_exit());
    seen["kill of a stopped one"] = class(&c.kill("KILL"));
    seen["delete"] = class(&c.delete());
    // In a container of its own: who is left of it is the caller's to reap, and keeps an init from ending (pid_namespaces(7)).
    let other = Container::new(subject).args(["sleep"]);
    drop((other.try_create(), other.try_start()));
    seen["exec of nothing there"] = class(&other.call("exec").arg(other.id()).arg("/not/there").run());
    let run = Container::new(subject).args(["exit", "7"]);
    run.write_config();
    seen["run"] = class(&run.call("run").arg("--bundle").arg(run.bundle()).arg(run.id()).run());
    seen
}

/// A report without what is another each time.
fn plain(mut report: Value, c: &Container) -> Value {
    let Some(object) = report.as_object_mut() else { return report };
    object.remove("clocks");
    for (kind, value) in object.get_mut("namespaces").and_then(Value::as_object_mut).into_iter().flatten() {
        let own = namespace_of("self", kind).unwrap_or_default();
        *value = json!(if *value == own { "the runtime's" } else { "its own" });
    }
    if let Some(mounts) = object.get("mounts").and_then(Value::as_array) {
        let mounts = by_target(mounts);
        object.insert("mounts".into(), mounts);
    }
    if let Some(groups) = object.get_mut("groups").and_then(Value::as_array_mut) {
        groups.sort_by_key(Value::as_u64);
    }
    without_inodes(&mut report);
    renamed(&report, c)
}

/// Mounts by where they are; the kernel's numbers are left out.
fn by_target(mounts: &[Value]) -> Value {
    let mut table = Map::new();
    for mount in mounts {
        let target = mount["target"].as_str().unwrap_or_default().replace('/', "\u{2215}");
        let words = |key: &str| {
            let words = mount[key].as_array().into_iter().flatten().filter_map(Value::as_str);
            words.map(|word| word.split(':').next().unwrap_or(word).to_owned()).collect::<BTreeSet<_>>()
        };
        let plain = json!({"type": mount["type"], "root": mount["root"], "source": mount["source"], "options": words("options"),
            "propagation": words("propagation"), "file system": words("superOptions")});
        // A second mount at the same place.
        let name = if table.contains_key(&target) { format!("{target} (on top)") } else { target };
        table.insert(name, plain);
    }
    table.into()
}

fn without_inodes(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.remove("inode");
            object.remove("size");
            object.values_mut().for_each(without_inodes);
        }
        Value::Array(list) => list.iter_mut().for_each(without_inodes),
        _ => {}
    }
}

/// With words in place of the container's own names.
fn renamed(value: &Value, c: &Container) -> Value {
    let text = value.to_string().replace(&c.dir().display().to_string(), "DIR").replace(c.id(), "ID");
    // Where the calls write.
    let mut parts = text.split("DIR/call-");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text += "DIR/output";
        text += part.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '-');
    }
    serde_json::from_str(&text).unwrap_or_default()
}

fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(object) if !object.is_empty() => {
            for (name, value) in object {
                flatten(&format!("{path}/{}", name.replace('/', "\u{2215}")), value, into);
            }
        }
        other => {
            into.insert(path.to_owned(), other.clone());
        }
    }
}
