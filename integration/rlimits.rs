//! Resource limits of the process, of every kind that the kernel has.

use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::{Container, Need, needs};

cases![
    every_kind_is_set,
    unlimited_stays_unlimited,
    the_callers_limits_stay_where_none_is_configured,
    a_limit_can_be_raised
];

/// Each kind with limits that are below what this machine's root has.
const KINDS: [(&str, u64, u64); 16] = [
    ("RLIMIT_CPU", 1000, 2000),
    ("RLIMIT_FSIZE", 1_000_000_000, 2_000_000_000),
    ("RLIMIT_DATA", 1_000_000_000, 2_000_000_000),
    ("RLIMIT_STACK", 4_000_000, 8_000_000),
    ("RLIMIT_CORE", 0, 1000),
    ("RLIMIT_RSS", 1_000_000_000, 2_000_000_000),
    ("RLIMIT_NPROC", 500, 600),
    ("RLIMIT_NOFILE", 200, 300),
    ("RLIMIT_MEMLOCK", 4096, 8192),
    ("RLIMIT_AS", 1_000_000_000, 2_000_000_000),
    ("RLIMIT_LOCKS", 10, 20),
    ("RLIMIT_SIGPENDING", 10, 20),
    ("RLIMIT_MSGQUEUE", 1000, 2000),
    ("RLIMIT_NICE", 0, 0),
    ("RLIMIT_RTPRIO", 0, 0),
    ("RLIMIT_RTTIME", 1_000_000, 2_000_000),
];

fn limits(c: &Container) -> Value {
    c.run().ok().report()["rlimits"].clone()
}

fn every_kind_is_set() {
    let all: Vec<Value> =
        KINDS.iter().map(|(kind, soft, hard)| json!({"type": kind, "soft": soft, "hard": hard})).collect();
    let seen = limits(&Container::new().set("/process/rlimits", json!(all)));
    for (kind, soft, hard) in KINDS {
        assert_eq!(seen[kind], json!({"soft": soft, "hard": hard}), "{kind}");
    }
}

fn unlimited_stays_unlimited() {
    let seen = limits(&Container::new().set(
        "/process/rlimits",
        json!([{"type": "RLIMIT_CPU", "soft": u64::MAX, "hard": u64::MAX}, {"type": "RLIMIT_FSIZE", "soft": 5_000_000_000_u64, "hard": u64::MAX}]),
    ));
    assert_eq!(seen["RLIMIT_CPU"], json!({"soft": null, "hard": null}));
    assert_eq!(seen["RLIMIT_FSIZE"], json!({"soft": 5_000_000_000_u64, "hard": null}));
}

fn the_callers_limits_stay_where_none_is_configured() {
    let mine = rustix::process::getrlimit(rustix::process::Resource::Core);
    let seen = limits(&Container::new().unset("/process/rlimits"));
    assert_eq!(seen["RLIMIT_CORE"], json!({"soft": mine.current, "hard": mine.maximum}));
}

fn a_limit_can_be_raised() {
    needs(Need::Capability("CAP_SYS_RESOURCE"));
    let limit = json!([{"type": "RLIMIT_NPROC", "soft": 2_000_000, "hard": 2_000_000}]);
    assert_eq!(limits(&Container::new().set("/process/rlimits", limit))["RLIMIT_NPROC"]["hard"], 2_000_000);
}
