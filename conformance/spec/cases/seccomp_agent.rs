//! What an agent for `SCMP_ACT_NOTIFY` is sent.

use std::time::Duration;

use serde_json::{Value, json};

use super::state::semantic;
use crate::case::cases;
use crate::container::Container;
use crate::outcome::{Verdict, expect, same, wrong};
use crate::socket::{Received, Socket};
use crate::subject::Subject;

cases![listener, one_state, closed, nobody_listens, not_used, metadata, metadata_alone];

fn filter(action: &str, path: &str) -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path, "listenerMetadata": "opaque = data",
        "syscalls": [{"names": ["getpriority"], "action": action}],
    })
}

/// What comes over the connection, by create or by start, while the container lives.
fn received<'s>(s: &'s Subject, check: impl FnOnce(&Container<'s>, Received, Value) -> Verdict) -> Verdict {
    let c = Container::new(s).args(["sleep"]);
    let socket = Socket::new(c.dir(), s.limit);
    let c = c.set("/linux/seccomp", filter("SCMP_ACT_NOTIFY", &socket.path().display().to_string()));
    // It may be sent by create or by start, and start may wait until it is read.
    c.create_if_supported()?;
    let starting = c.call("start").arg(c.id()).spawn();
    let mut received = socket.receive()?;
    // A connection that stays open may be what start waits for.
    let (closed, rest) = received.rest(Duration::from_millis(if received.text.ends_with('}') { 200 } else { 2000 }));
    received.text += &rest;
    let state = serde_json::from_str(&received.text);
    let state = state.map_err(|error| wrong("one state is sent as JSON", format!("{error}: {:?}", received.text)))?;
    received.text = if closed { "closed".into() } else { "open".into() };
    let verdict = check(&c, received, state);
    starting.wait().ok()?;
    verdict
}

fn listener(s: &Subject) -> Verdict {
    received(s, |_, received, state| {
        same("fds", &state["fds"], json!(["seccompFd"]))?;
        let count = received.descriptors.len();
        expect(count == 1, "one descriptor comes with the first message", format!("{count} came"))?;
        let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&received.descriptors[0]));
        let target = std::fs::read_link(link).map(|target| target.display().to_string()).unwrap_or_default();
        expect(target.contains("seccomp notify"), "the descriptor is a seccomp listener", target)
    })
}

fn one_state(s: &Subject) -> Verdict {
    received(s, |c, _, state| {
        let version = state["ociVersion"].as_str().unwrap_or_default();
        expect(
            semantic(version),
            "ociVersion is a semantic version",
            format!("ociVersion is {}", state["ociVersion"]),
        )?;
        same("the id of its state", &state["state"]["id"], c.id())?;
        same("the bundle of its state", &state["state"]["bundle"], c.bundle().display().to_string())?;
        same("the pid", &state["pid"], c.pid()?)
    })
}

fn closed(s: &Subject) -> Verdict {
    received(s, |_, received, _| {
        expect(received.text == "closed", "the connection is closed behind the state", &received.text)
    })
}

fn metadata(s: &Subject) -> Verdict {
    received(s, |_, _, state| same("metadata", &state["metadata"], "opaque = data"))
}

fn nobody_listens(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["sleep"]);
    let path = c.dir().join("nobody");
    c.set("/linux/seccomp", filter("SCMP_ACT_NOTIFY", &path.display().to_string()))
        .refused("nobody listens at listenerPath")
}

fn not_used(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["sleep"]);
    let path = c.dir().join("nobody");
    c.set("/linux/seccomp", filter("SCMP_ACT_ERRNO", &path.display().to_string())).up().map(drop)
}

fn metadata_alone(s: &Subject) -> Verdict {
    let seccomp = json!({
        "defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "alone",
        "syscalls": [{"names": ["getpriority"], "action": "SCMP_ACT_ERRNO"}],
    });
    Container::new(s).set("/linux/seccomp", seccomp).refused("listenerMetadata without listenerPath")
}
