//! What `state` tells.

use serde_json::{Value, json};

use crate::case::cases;
use crate::container::{Container, lives};
use crate::outcome::{Verdict, expect, same};
use crate::subject::Subject;

cases![version, id, statuses, no_other_word_for_a_known_status, pid, bundle, annotations, no_annotations, schema];

fn created(s: &Subject) -> Verdict<(Container<'_>, Value)> {
    let c =
        Container::new(s).args(["sleep"]).set("/annotations", json!({"org.example.one": "1", "org.example.two": ""}));
    c.create()?;
    let state = c.state()?;
    Ok((c, state))
}

fn version(s: &Subject) -> Verdict {
    let (_c, state) = created(s)?;
    let version = state["ociVersion"].as_str().unwrap_or_default();
    expect(semantic(version), "ociVersion is a semantic version", format!("ociVersion is {}", state["ociVersion"]))
}

/// Three numbers with dots between them, and what may follow.
pub(crate) fn semantic(text: &str) -> bool {
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<&str> = core.split('.').collect();
    numbers.len() == 3 && numbers.iter().all(|number| number.parse::<u32>().is_ok())
}

fn id(s: &Subject) -> Verdict {
    let (c, state) = created(s)?;
    same("id", &state["id"], c.id())
}

fn statuses(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["sleep"]);
    c.create()?;
    c.has_status("created")?;
    c.start()?;
    c.has_status("running")?;
    c.kill("KILL").ok()?;
    c.wait_exit()?;
    c.has_status("stopped")
}

/// What waits, is stopped by a signal or has let go of its terminal is running all the same.
fn no_other_word_for_a_known_status(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["sleep"]).up()?;
    c.has_status("running")?;
    c.kill("STOP").ok()?;
    c.has_status("running")?;
    c.kill("CONT").ok()?;
    c.has_status("running")
}

fn pid(s: &Subject) -> Verdict {
    let (c, state) = created(s)?;
    same("pid of a created container", &state["pid"], c.pid()?)?;
    c.start()?;
    c.wait_for("ready")?;
    let pid = c.state()?["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
    expect(lives(pid), "pid is a process that lives", format!("pid is {pid}"))?;
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = String::from_utf8_lossy(&words).replace('\0', " ");
    expect(words.trim() == "/probe sleep", "pid is the container's process", format!("pid {pid} is {words:?}"))
}

fn bundle(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["sleep"]);
    c.write_config();
    // As a relative path, so that it has to be made absolute.
    let call =
        c.call("create").cwd(c.dir()).arg("--bundle").arg("bundle").arg("--pid-file").arg(c.pid_file()).arg(c.id());
    c.remember(call.run()).ok()?;
    same("bundle", &c.state()?["bundle"], c.bundle().display().to_string())
}

fn annotations(s: &Subject) -> Verdict {
    let (_c, state) = created(s)?;
    let seen = &state["annotations"];
    same("the annotation org.example.one", &seen["org.example.one"], "1")?;
    same("the annotation org.example.two", &seen["org.example.two"], "")
}

fn no_annotations(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["sleep"]);
    c.create()?;
    let state = c.state()?;
    let annotations = state.get("annotations");
    let own = |value: &Value| value.as_object().is_some_and(|map| map.values().all(Value::is_string));
    expect(annotations.is_none_or(own), "annotations is absent or a map", format!("annotations is {annotations:?}"))
}

fn schema(s: &Subject) -> Verdict {
    let (c, created) = created(s)?;
    follows_the_schema(&created)?;
    c.start()?;
    c.wait_for("ready")?;
    follows_the_schema(&c.state()?)?;
    c.kill("KILL").ok()?;
    c.wait_exit()?;
    follows_the_schema(&c.state()?)
}

/// The types of the properties, and which have to be there.
pub(crate) fn follows_the_schema(state: &Value) -> Verdict {
    let text =
        |key: &str| expect(state[key].is_string(), format!("{key} is a text"), format!("{key} is {}", state[key]));
    text("ociVersion")?;
    text("id")?;
    text("status")?;
    text("bundle")?;
    let status = state["status"].as_str().unwrap_or_default();
    let known = ["creating", "created", "running", "stopped"].contains(&status);
    expect(known, "status is one of the schema's", format!("status is {status}"))?;
    let pid = state.get("pid");
    expect(pid.is_none_or(Value::is_u64), "pid is a number of at least 0", format!("pid is {pid:?}"))?;
    let annotations = state.get("annotations");
    let strings = |value: &Value| value.as_object().is_some_and(|map| map.values().all(Value::is_string));
    expect(annotations.is_none_or(strings), "annotations is a map of texts", format!("annotations is {annotations:?}"))
}
