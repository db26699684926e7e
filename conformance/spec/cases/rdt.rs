//! Intel RDT where there is none.

use serde_json::json;

use crate::case::cases;
use crate::container::Container;
use crate::outcome::{Verdict, applies};
use crate::subject::Subject;

cases![without_resctrl];

fn without_resctrl(s: &Subject) -> Verdict {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    applies(!mounts.contains(" - resctrl "), "a resctrl file system is mounted")?;
    let c = Container::new(s).set("/linux/intelRdt", json!({"closID": "ours", "l3CacheSchema": "L3:0=f"}));
    c.create_refused("intelRdt without a resctrl file system")
}
