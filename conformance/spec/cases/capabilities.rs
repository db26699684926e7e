//! The five sets of capabilities.

use serde_json::{Value, json};

use crate::case::cases;
use crate::container::Container;
use crate::outcome::{Verdict, expect};
use crate::subject::Subject;

cases![
    effective,
    bounding,
    inheritable,
    permitted,
    ambient,
    an_unknown_one_is_told,
    an_unknown_one_does_not_fail,
    one_that_cannot_be_given
];

/// All five sets differ, as far as the kernel allows.
fn sets() -> Value {
    json!({
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_SETUID", "CAP_MKNOD"],
        "permitted": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_SETUID"],
        "effective": ["CAP_CHOWN", "CAP_KILL"],
        "inheritable": ["CAP_NET_RAW", "CAP_KILL", "CAP_CHOWN"],
        "ambient": ["CAP_NET_RAW", "CAP_CHOWN"],
    })
}

/// As a user other than root, so that execve(2) gives what is ambient and nothing else.
fn set(s: &Subject, name: &str, uid: u32, expected: &[&str]) -> Verdict {
    let c =
        Container::new(s).set("/process/capabilities", sets()).set("/process/user", json!({"uid": uid, "gid": uid}));
    let report = c.report()?;
    let seen: Vec<&str> =
        report["capabilities"][name].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let as_sets = |names: &[&str]| names.iter().map(ToString::to_string).collect::<std::collections::BTreeSet<_>>();
    expect(as_sets(&seen) == as_sets(expected), format!("{name} is {expected:?}"), format!("{name} is {seen:?}"))
}

fn bounding(s: &Subject) -> Verdict {
    set(s, "bounding", 0, &["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_SETUID", "CAP_MKNOD"])
}

fn inheritable(s: &Subject) -> Verdict {
    set(s, "inheritable", 1000, &["CAP_NET_RAW", "CAP_KILL", "CAP_CHOWN"])
}

/// With noNewPrivileges execve(2) gives root no more than was permitted.
fn permitted(s: &Subject) -> Verdict {
    set(s, "permitted", 0, &["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_SETUID"])?;
    set(s, "permitted", 1000, &["CAP_NET_RAW", "CAP_CHOWN"])
}

/// Execve(2) makes effective what root is permitted, and for others what is ambient.
fn effective(s: &Subject) -> Verdict {
    set(s, "effective", 0, &["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_SETUID"])?;
    set(s, "effective", 1000, &["CAP_NET_RAW", "CAP_CHOWN"])
}

fn ambient(s: &Subject) -> Verdict {
    set(s, "ambient", 1000, &["CAP_NET_RAW", "CAP_CHOWN"])
}

/// A capability that no kernel has.
fn with_unknown(s: &Subject) -> Container<'_> {
    let names = json!(["CAP_KILL", "CAP_NONSENSE"]);
    let sets = json!({"bounding": names, "permitted": names, "effective": names});
    Container::new(s).set("/process/capabilities", sets)
}

fn an_unknown_one_does_not_fail(s: &Subject) -> Verdict {
    let report = with_unknown(s).report()?;
    let seen = &report["capabilities"]["bounding"];
    expect(*seen == json!(["CAP_KILL"]), "the known one is there", seen)
}

/// Where a warning goes is the runtime's to say; it has to go somewhere.
fn an_unknown_one_is_told(s: &Subject) -> Verdict {
    let c = with_unknown(s);
    c.write_config();
    let log = c.dir().join("log");
    let call = |debug: &[&str]| {
        let c = with_unknown(s);
        c.write_config();
        let done = s.call(c.dir(), c.id()).args(debug).arg("--log").arg(&log).arg("--root").arg(c.dir().join("state"));
        let done =
            done.arg("create").arg("--bundle").arg(c.bundle()).arg("--pid-file").arg(c.pid_file()).arg(c.id()).run();
        format!("{}{}", done.stderr, crate::subject::text_of(&log))
    };
    let told = |text: &str| text.to_uppercase().contains("NONSENSE");
    let usual = call(&[]);
    let seen = if told(&usual) { usual } else { call(&["--debug"]) };
    expect(told(&seen), "CAP_NONSENSE is named on standard error or in the log", format!("{seen:?}"))
}

/// The suite's own bounding set, which no runtime that it starts can give more than.
pub(crate) fn own_bounding() -> Vec<String> {
    let set = caps::read(None, caps::CapSet::Bounding).unwrap_or_default();
    set.iter().map(ToString::to_string).collect()
}

fn one_that_cannot_be_given(s: &Subject) -> Verdict {
    let own = own_bounding();
    let all = caps::all().iter().map(ToString::to_string).collect::<Vec<_>>();
    let missing = all.iter().find(|name| !own.contains(name) && !["CAP_PERFMON", "CAP_BPF"].contains(&name.as_str()));
    let Some(missing) = missing else {
        return Err(crate::outcome::Not::Applicable("the runtime has every capability".into()));
    };
    let names = json!(["CAP_KILL", missing]);
    let sets = json!({"bounding": names, "permitted": names, "effective": names});
    let seen = Container::new(s).set("/process/capabilities", sets).report()?["capabilities"]["permitted"].clone();
    expect(seen == json!(["CAP_KILL"]), format!("what can be given is there, without {missing}"), seen)
}
