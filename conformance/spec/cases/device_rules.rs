//! Which devices can be accessed.

use serde_json::{Value, json};

use crate::case::cases;
use crate::container::Container;
use crate::outcome::{Verdict, applies, expect};
use crate::subject::Subject;

cases![order, all, any_minor, read_alone, bad_access];

/// A runtime that loads no rules on this machine can't be asked.
pub(crate) fn can_be_tested(s: &Subject) -> Verdict {
    let why = s.no_device_rules.clone().unwrap_or_default();
    applies(
        s.no_device_rules.is_none(),
        format!("this machine keeps the runtime from loading rules for devices: {why}"),
    )
}

/// With the capability that reading 1:11, the kernel's log, takes besides.
pub(crate) fn with_syslog(c: Container<'_>) -> Container<'_> {
    let names = json!(["CAP_SYSLOG"]);
    c.set("/process/capabilities", json!({"bounding": names, "permitted": names, "effective": names}))
}

/// What opening /dev/ours comes to, 1:11 in a container with these rules.
fn opened(s: &Subject, rules: &[Value], word: &str) -> Verdict<String> {
    can_be_tested(s)?;
    // What the root file system has is no device of the config's, which runtimes add rules for.
    let c = with_syslog(Container::new(s).args([word, "/ours"]).set("/linux/resources/devices", json!(rules)));
    let device = rustix::fs::makedev(1, 11);
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, c.rootfs().join("ours"), rustix::fs::FileType::CharacterDevice, mode, device)
        .expect("make a device");
    c.says()
}

fn is(s: &Subject, rules: &[Value], word: &str, expected: &str) -> Verdict {
    let seen = opened(s, rules, word)?;
    expect(seen == expected, format!("{word} with {}: {expected}", json!(rules)), seen)
}

const READ: &str = "try-open-read";
const WRITE: &str = "try-open-write";

fn deny_all() -> Value {
    json!({"allow": false, "access": "rwm"})
}

fn allow(access: &str) -> Value {
    json!({"allow": true, "type": "c", "major": 1, "minor": 11, "access": access})
}

fn order(s: &Subject) -> Verdict {
    is(s, &[deny_all(), allow("rw")], READ, "ok")?;
    is(
        s,
        &[deny_all(), allow("rw"), json!({"allow": false, "type": "c", "major": 1, "minor": 11, "access": "r"})],
        READ,
        "EPERM",
    )
}

fn all(s: &Subject) -> Verdict {
    is(s, &[deny_all()], READ, "EPERM")?;
    is(s, &[json!({"allow": true, "access": "rwm"})], READ, "ok")
}

fn any_minor(s: &Subject) -> Verdict {
    is(s, &[deny_all(), json!({"allow": true, "type": "c", "major": 1, "access": "r"})], READ, "ok")?;
    is(s, &[deny_all(), json!({"allow": true, "type": "c", "major": 2, "access": "r"})], READ, "EPERM")?;
    is(s, &[deny_all(), json!({"allow": true, "type": "b", "major": 1, "access": "r"})], READ, "EPERM")
}

fn read_alone(s: &Subject) -> Verdict {
    is(s, &[deny_all(), allow("r")], READ, "ok")?;
    is(s, &[deny_all(), allow("r")], WRITE, "EPERM")?;
    is(s, &[deny_all(), allow("w")], READ, "EPERM")
}

fn bad_access(s: &Subject) -> Verdict {
    let c = Container::new(s).set("/linux/resources", json!({"devices": [deny_all(), allow("rx")]}));
    c.create_refused("an access of rx")
}
