//! Offsets of the clocks.

use serde_json::{Value, json};

use crate::case::cases;
use crate::config::add_namespace;
use crate::container::Container;
use crate::outcome::{Verdict, expect};
use crate::subject::Subject;

cases![seconds, nanoseconds];

const HOUR: i64 = 3600;

fn report(s: &Subject, nanoseconds: u32) -> Verdict<Value> {
    let offsets = json!({
        "monotonic": {"secs": 10 * HOUR, "nanosecs": nanoseconds},
        "boottime": {"secs": 20 * HOUR, "nanosecs": nanoseconds},
    });
    Container::new(s)
        .edit(|config| add_namespace(config, "time"))
        .set("/linux/timeOffsets", offsets)
        .report_if_supported()
}

fn within(what: &str, seen: &Value, expected: i64) -> Verdict {
    let seen = seen.as_i64().unwrap_or_default();
    expect((seen - expected).abs() < HOUR, format!("{what} is about {expected} s"), format!("{seen} s"))
}

fn now(clock: rustix::time::ClockId) -> i64 {
    rustix::time::clock_gettime(clock).tv_sec
}

fn seconds(s: &Subject) -> Verdict {
    let clocks = report(s, 0)?["clocks"].clone();
    within("the monotonic clock", &clocks["monotonic"], now(rustix::time::ClockId::Monotonic) + 10 * HOUR)?;
    within("the clock since boot", &clocks["boottime"], now(rustix::time::ClockId::Boottime) + 20 * HOUR)
}

/// As the kernel tells them.
fn nanoseconds(s: &Subject) -> Verdict {
    let offsets = json!({"monotonic": {"secs": 1, "nanosecs": 123_456_789}});
    let c = Container::new(s).edit(|config| add_namespace(config, "time")).set("/linux/timeOffsets", offsets);
    let c = c.args(["cat", "/proc/self/timens_offsets"]);
    c.create_if_supported()?;
    c.start()?;
    c.wait_exit()?;
    let seen = c.stdout().split_whitespace().collect::<Vec<_>>().join(" ");
    expect(seen.starts_with("monotonic 1 123456789"), "the offset is 1 s and 123456789 ns", seen)
}
