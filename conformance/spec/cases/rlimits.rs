//! Limits of the process.

use serde_json::{Value, json};

use crate::case::cases;
use crate::container::Container;
use crate::outcome::{Verdict, same};
use crate::subject::Subject;

cases![no_type, unknown, every_type, soft, hard, twice];

/// Those of getrlimit(2).
const TYPES: [&str; 16] = [
    "RLIMIT_AS",
    "RLIMIT_CORE",
    "RLIMIT_CPU",
    "RLIMIT_DATA",
    "RLIMIT_FSIZE",
    "RLIMIT_LOCKS",
    "RLIMIT_MEMLOCK",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_NOFILE",
    "RLIMIT_NPROC",
    "RLIMIT_RSS",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
    "RLIMIT_SIGPENDING",
    "RLIMIT_STACK",
];

fn with(s: &Subject, limits: Value) -> Container<'_> {
    Container::new(s).set("/process/rlimits", limits)
}

fn no_type(s: &Subject) -> Verdict {
    with(s, json!([{"soft": 10, "hard": 10}])).refused("a limit has no type")
}

fn unknown(s: &Subject) -> Verdict {
    with(s, json!([{"type": "RLIMIT_NONSENSE", "soft": 10, "hard": 10}])).refused("a limit of an unknown type")
}

/// Each is lowered from what the suite has, which takes no privilege.
fn every_type(s: &Subject) -> Verdict {
    let own = Container::new(s).report()?["rlimits"].clone();
    let lower = |value: &Value| value.as_u64().map_or(1 << 40, |value| value / 2);
    let limit =
        |kind: &&str| json!({"type": kind, "soft": lower(&own[kind]["hard"]) / 2, "hard": lower(&own[kind]["hard"])});
    let limits: Vec<Value> = TYPES.iter().map(limit).collect();
    let report = with(s, json!(limits)).report()?;
    for limit in limits {
        let kind = limit["type"].as_str().unwrap_or_default();
        let seen = &report["rlimits"][kind];
        same(kind, seen, json!({"soft": limit["soft"], "hard": limit["hard"]}))?;
    }
    Ok(())
}

fn soft(s: &Subject) -> Verdict {
    let report = with(s, json!([{"type": "RLIMIT_NOFILE", "soft": 123, "hard": 456}])).report()?;
    same("the soft limit", &report["rlimits"]["RLIMIT_NOFILE"]["soft"], 123)
}

fn hard(s: &Subject) -> Verdict {
    let report = with(s, json!([{"type": "RLIMIT_NOFILE", "soft": 123, "hard": 456}])).report()?;
    same("the hard limit", &report["rlimits"]["RLIMIT_NOFILE"]["hard"], 456)
}

fn twice(s: &Subject) -> Verdict {
    let one = json!({"type": "RLIMIT_NOFILE", "soft": 123, "hard": 456});
    with(s, json!([one, one])).refused("a type comes twice")
}
