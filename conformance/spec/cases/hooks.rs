//! Hooks: which, when, where, with what, and what their failure does.

use std::time::Instant;

use serde_json::{Value, json};

use super::state::follows_the_schema;
use crate::case::cases;
use crate::container::{Container, lives, namespace_of};
use crate::lane::Lane;
use crate::outcome::{Verdict, expect, same};
use crate::subject::Subject;

cases![
    prestart_is_called,
    create_runtime_is_called,
    create_container_is_called,
    start_container_is_called,
    poststart_is_called,
    poststop_is_called,
    a_failing_prestart_hook,
    a_failing_create_runtime_hook,
    a_failing_create_container_hook,
    a_failing_start_container_hook,
    destroyed_after_a_failing_start_container_hook,
    a_failing_poststart_hook,
    destroyed_after_a_failing_poststart_hook,
    a_failing_poststop_hook,
    state_has_the_pid_outside,
    state_has_the_pid_inside,
    no_path,
    a_relative_path,
    arguments,
    environment,
    timeout,
    timeout_of_zero,
    prestart_outside,
    create_runtime_outside,
    create_container_inside,
    start_container_inside,
    poststart_outside,
    poststop_outside,
    order,
    state_on_standard_input,
    prestart_during_create,
    kinds_in_order,
    create_runtime_during_create,
    create_container_during_create,
    start_container_during_start,
    poststart_during_start,
    poststop_during_delete,
];

const KINDS: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// A container with a hook of that kind, from created to deleted.
fn through<'s>(s: &'s Subject, kinds: &[&str]) -> Verdict<Container<'s>> {
    let c = kinds.iter().fold(Container::new(s).args(["exit", "0"]), |c, kind| c.hook(kind, &[]));
    c.create()?;
    c.start()?;
    c.wait_exit()?;
    c.delete().ok()?;
    Ok(c)
}

fn is_called(s: &Subject, kind: &str) -> Verdict {
    let c = through(s, &[kind])?;
    let names = c.hook_names();
    expect(names == [kind], format!("the {kind} hook is called once"), format!("hooks called: {names:?}"))
}

fn prestart_is_called(s: &Subject) -> Verdict {
    is_called(s, "prestart")
}

fn create_runtime_is_called(s: &Subject) -> Verdict {
    is_called(s, "createRuntime")
}

fn create_container_is_called(s: &Subject) -> Verdict {
    is_called(s, "createContainer")
}

fn start_container_is_called(s: &Subject) -> Verdict {
    is_called(s, "startContainer")
}

fn poststart_is_called(s: &Subject) -> Verdict {
    is_called(s, "poststart")
}

fn poststop_is_called(s: &Subject) -> Verdict {
    is_called(s, "poststop")
}

/// A hook of create fails: an error, no process, no container, and poststop hooks are called.
fn failing_during_create(s: &Subject, kind: &str) -> Verdict {
    let c = Container::new(s).args(["sleep"]).hook(kind, &["--exit", "7"]).hook("poststop", &[]);
    c.create_refused(&format!("a {kind} hook exits with 7"))?;
    c.nothing_left()?;
    let names = c.hook_names();
    expect(
        names == [kind, "poststop"],
        "poststop hooks are called after it is destroyed",
        format!("hooks called: {names:?}"),
    )
}

fn a_failing_prestart_hook(s: &Subject) -> Verdict {
    failing_during_create(s, "prestart")
}

fn a_failing_create_runtime_hook(s: &Subject) -> Verdict {
    failing_during_create(s, "createRuntime")
}

fn a_failing_create_container_hook(s: &Subject) -> Verdict {
    failing_during_create(s, "createContainer")
}

/// A container one of whose hooks of start failed.
fn failed_at_start<'s>(s: &'s Subject, kind: &str) -> Verdict<Container<'s>> {
    let c = Container::new(s).args(["sleep"]).hook(kind, &["--exit", "7"]).hook("poststop", &[]);
    c.create()?;
    c.try_start().error(&format!("a {kind} hook exits with 7"))?;
    Ok(c)
}

/// A hook of start fails: an error, and no process.
fn failing_during_start(s: &Subject, kind: &str) -> Verdict {
    let c = failed_at_start(s, kind)?;
    let pid = c.pid()?;
    c.until("the container is stopped", || (!lives(pid)).then_some(()))
}

/// And the container is destroyed without anybody asking for it, and poststop hooks are called.
fn destroyed_after_failing(s: &Subject, kind: &str) -> Verdict {
    let c = failed_at_start(s, kind)?;
    let state = c.try_state();
    expect(state.failed(), "the container is destroyed", state.stdout.replace(char::is_whitespace, ""))?;
    c.nothing_left()?;
    let names = c.hook_names();
    expect(
        names == [kind, "poststop"],
        "poststop hooks are called after it is destroyed",
        format!("hooks called: {names:?}"),
    )
}

fn a_failing_start_container_hook(s: &Subject) -> Verdict {
    failing_during_start(s, "startContainer")
}

fn destroyed_after_a_failing_start_container_hook(s: &Subject) -> Verdict {
    destroyed_after_failing(s, "startContainer")
}

fn a_failing_poststart_hook(s: &Subject) -> Verdict {
    failing_during_start(s, "poststart")
}

fn destroyed_after_a_failing_poststart_hook(s: &Subject) -> Verdict {
    destroyed_after_failing(s, "poststart")
}

fn a_failing_poststop_hook(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["exit", "0"]).hook("poststop", &["--exit", "7"]).hook("poststop", &["second"]);
    c.create()?;
    c.start()?;
    c.wait_exit()?;
    c.delete().ok()?;
    let names = c.hook_names();
    expect(names.len() == 2, "the poststop hooks behind it are called", format!("hooks called: {names:?}"))?;
    c.nothing_left()
}

fn state_has_the_pid_outside(s: &Subject) -> Verdict {
    for kind in ["createRuntime", "poststart"] {
        let c = Container::new(s).args(["sleep"]).hook(kind, &[]);
        c.create()?;
        c.start()?;
        same(&format!("the pid that a {kind} hook is told"), &c.hook_of(kind)?["state"]["pid"], c.pid()?)?;
    }
    Ok(())
}

fn state_has_the_pid_inside(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["sleep"]).hook("startContainer", &[]);
    c.create()?;
    c.start()?;
    c.wait_for("ready")?;
    same("the pid that a startContainer hook is told", &c.hook_of("startContainer")?["state"]["pid"], 1)
}

fn no_path(s: &Subject) -> Verdict {
    let c = Container::new(s).hook_with("createRuntime", &[], |hook| {
        hook.as_object_mut().expect("an object").remove("path");
    });
    c.create_refused("a hook has no path")
}

fn a_relative_path(s: &Subject) -> Verdict {
    for kind in ["createRuntime", "poststop"] {
        let c = Container::new(s).args(["exit", "0"]).hook_with(kind, &[], |hook| hook["path"] = json!("bin/true"));
        c.create_refused(&format!("the path of a {kind} hook is relative"))?;
    }
    Ok(())
}

fn arguments(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["sleep"]).hook("createRuntime", &["one", "two words", ""]);
    c.create()?;
    let seen = &c.hook_of("createRuntime")?["args"];
    let log = c.dir().join("hooks/log");
    same("the arguments", seen, json!(["the-hook", "hook", log, "createRuntime", "one", "two words", ""]))
}

fn environment(s: &Subject) -> Verdict {
    let c = Container::new(s)
        .args(["sleep"])
        .hook_with("createRuntime", &[], |hook| hook["env"] = json!(["A=1", "B=two words"]));
    c.create()?;
    same("the environment", &c.hook_of("createRuntime")?["env"], json!(["A=1", "B=two words"]))
}

fn timeout(s: &Subject) -> Verdict {
    let c = Container::new(s)
        .args(["sleep"])
        .hook_with("createRuntime", &["--sleep", "60"], |hook| hook["timeout"] = json!(1));
    let begin = Instant::now();
    c.create_refused("a hook takes longer than its timeout")?;
    let seconds = begin.elapsed().as_secs();
    expect(seconds < s.limit.as_secs(), "the hook is ended after 1 s", format!("after {seconds} s"))
}

fn timeout_of_zero(s: &Subject) -> Verdict {
    for timeout in [0, -1] {
        let c =
            Container::new(s).args(["sleep"]).hook_with("createRuntime", &[], |hook| hook["timeout"] = json!(timeout));
        c.create_refused(&format!("a timeout of {timeout}"))?;
    }
    Ok(())
}

/// The namespaces that a hook reported, as kinds that are the suite's own.
fn own_namespaces(hook: &Value, kinds: &[&str]) -> Verdict<Vec<String>> {
    let mut own = Vec::new();
    for kind in kinds {
        if hook["namespaces"][kind] == namespace_of("self", kind)? {
            own.push((*kind).to_owned());
        }
    }
    Ok(own)
}

const TOLD_BY: [&str; 5] = ["mnt", "net", "ipc", "uts", "pid"];

/// The hook's program is found outside, where no `/the-suites-directory` is inside, and runs in the runtime's namespaces.
fn outside(s: &Subject, kind: &str) -> Verdict {
    let c = through(s, &[kind])?;
    let hook = c.hook_of(kind)?;
    let own = own_namespaces(&hook, &TOLD_BY)?;
    expect(
        own == TOLD_BY,
        "the hook runs in the runtime's namespaces",
        format!("of {TOLD_BY:?} these are the runtime's: {own:?}"),
    )
}

fn prestart_outside(s: &Subject) -> Verdict {
    outside(s, "prestart")
}

fn create_runtime_outside(s: &Subject) -> Verdict {
    outside(s, "createRuntime")
}

fn poststart_outside(s: &Subject) -> Verdict {
    outside(s, "poststart")
}

fn poststop_outside(s: &Subject) -> Verdict {
    outside(s, "poststop")
}

/// The hook runs in the namespaces of the container: those that it can be told by without the right /proc.
fn inside(s: &Subject, kind: &str) -> Verdict {
    let c = Container::new(s).args(["sleep"]).hook(kind, &[]);
    c.create()?;
    c.start()?;
    c.wait_for("ready")?;
    let hook = c.hook_of(kind)?;
    for namespace in ["mnt", "net", "uts"] {
        let expected = c.namespace(namespace)?;
        same(&format!("the {namespace} namespace of the {kind} hook"), &hook["namespaces"][namespace], expected)?;
    }
    Ok(())
}

/// Its path is the runtime's: the program in the bundle isn't at that path inside.
fn create_container_inside(s: &Subject) -> Verdict {
    inside(s, "createContainer")
}

/// Its path is the container's: no `/probe` is outside.
fn start_container_inside(s: &Subject) -> Verdict {
    inside(s, "startContainer")
}

fn order(s: &Subject) -> Verdict {
    for kind in KINDS {
        let c = Container::new(s).args(["exit", "0"]);
        let c = ["1", "2", "3"].iter().fold(c, |c, number| c.hook(kind, &[number]));
        c.create()?;
        c.start()?;
        c.wait_exit()?;
        c.delete().ok()?;
        let numbers: Vec<Value> = c.hooks().iter().map(|hook| hook["args"][4].clone()).collect();
        same(&format!("the order of the {kind} hooks"), &json!(numbers), json!(["1", "2", "3"]))?;
    }
    Ok(())
}

fn state_on_standard_input(s: &Subject) -> Verdict {
    let c = through(s, &KINDS)?;
    for hook in c.hooks() {
        let (name, state) = (hook["name"].as_str().unwrap_or_default(), &hook["state"]);
        same(&format!("the id that a {name} hook is told"), &state["id"], c.id())?;
        same(&format!("the bundle that a {name} hook is told"), &state["bundle"], c.bundle().display().to_string())?;
        follows_the_schema(state)?;
    }
    expect(c.hooks().len() == KINDS.len(), "six hooks are called", format!("hooks called: {:?}", c.hook_names()))
}

fn kinds_in_order(s: &Subject) -> Verdict {
    let names = through(s, &KINDS)?.hook_names();
    expect(names == KINDS, format!("the order is {KINDS:?}"), format!("{names:?}"))
}

/// The hook was called by create, the container's namespaces exist, and its process hasn't entered its root yet.
fn during_create(s: &Subject, kind: &str) -> Verdict {
    let c = Container::new(s).args(["sleep"]).hook(kind, &[]);
    c.create()?;
    let hook = c.hook_of(kind)?;
    let status = hook["state"]["status"].as_str().unwrap_or_default();
    let early = ["creating", "created"].contains(&status);
    expect(early, "the hook is told that the container is created", format!("it is told {status:?}"))?;
    if kind == "createContainer" {
        // Before the root is entered the hook sees the file tree of the runtime's.
        let seen = hook["root"].as_object().is_some_and(|root| !root.contains_key("probe"));
        return expect(seen, "the root isn't entered yet", format!("the hook sees {}", hook["root"]));
    }
    let pid = hook["state"]["pid"].as_i64().unwrap_or_default();
    same("the pid that the hook is told", &json!(pid), c.pid()?)
}

fn prestart_during_create(s: &Subject) -> Verdict {
    during_create(s, "prestart")
}

fn create_runtime_during_create(s: &Subject) -> Verdict {
    during_create(s, "createRuntime")
}

fn create_container_during_create(s: &Subject) -> Verdict {
    during_create(s, "createContainer")
}

fn start_container_during_start(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["cat", "/hooks/log"]).hook("startContainer", &[]);
    c.create()?;
    let early = c.hook_names();
    expect(early.is_empty(), "create calls no startContainer hook", format!("hooks called: {early:?}"))?;
    c.start()?;
    c.wait_exit()?;
    expect(
        c.stdout().contains("startContainer"),
        "the hook is over when the program runs",
        format!("the program read {:?}", c.stdout()),
    )
}

fn poststart_during_start(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["sleep"]).hook("poststart", &[]);
    c.create()?;
    let early = c.hook_names();
    expect(early.is_empty(), "create calls no poststart hook", format!("hooks called: {early:?}"))?;
    c.start()?;
    let hook = c.hook_of("poststart")?;
    same("the status that a poststart hook is told", &hook["state"]["status"], "running")
}

fn poststop_during_delete(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["exit", "0"]).hook("poststop", &[]);
    c.create()?;
    c.start()?;
    c.wait_exit()?;
    let early = c.hook_names();
    expect(early.is_empty(), "no poststop hook is called before delete", format!("hooks called: {early:?}"))?;
    c.delete().ok()?;
    let hook = c.hook_of("poststop")?;
    same("the status that a poststop hook is told", &hook["state"]["status"], "stopped")?;
    expect(!Lane::cgroup_dir(c.id()).exists(), "the container is deleted", "its cgroup is there")
}
