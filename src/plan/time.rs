//! `linux.timeOffsets`: how far the clocks of a new time namespace are from the machine's.

use oci_spec::runtime::Linux;

use super::namespaces::{Kind, Namespaces};
use crate::error::{Error, Result};

/// The offset of one clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeOffset {
    /// `monotonic` or `boottime`, as the kernel names them too.
    pub clock: &'static str,
    /// Whole seconds.
    pub secs: i64,
    /// Nanoseconds beside them, less than a second.
    pub nanosecs: u32,
}

const CLOCKS: [&str; 2] = ["monotonic", "boottime"];

/// The offsets, in the order of the clocks above.
pub(super) fn offsets(linux: Option<&Linux>, namespaces: &Namespaces) -> Result<Vec<TimeOffset>> {
    let Some(asked) = linux.and_then(|linux| linux.time_offsets().as_ref()).filter(|asked| !asked.is_empty()) else {
        return Ok(Vec::new());
    };
    let whole = |text: &str| Err(Error::new(text).field("linux.timeOffsets"));
    if namespaces.joined(Kind::Time).is_some() {
        return whole("can't change the clocks of a time namespace that exists already");
    }
    if !namespaces.is_new(Kind::Time) {
        return whole("needs a new time namespace in linux.namespaces");
    }
    if let Some(unknown) = asked.keys().find(|name| !CLOCKS.contains(&name.as_str())) {
        let text = format!("{unknown:?} is no clock of a time namespace: those are monotonic and boottime");
        return Err(Error::new(text).field("linux.timeOffsets"));
    }
    let offset = |clock: &'static str| {
        let asked = asked.get(clock)?;
        let (secs, nanosecs) = (asked.secs().unwrap_or(0), asked.nanosecs().unwrap_or(0));
        Some(if nanosecs < 1_000_000_000 {
            Ok(TimeOffset { clock, secs, nanosecs })
        } else {
            let text = format!("{nanosecs} is a second or more");
            Err(Error::new(text).field(format!("linux.timeOffsets.{clock}.nanosecs")))
        })
    };
    CLOCKS.into_iter().filter_map(offset).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn plan(linux: &Value) -> Result<Vec<TimeOffset>> {
        let spec = serde_json::from_value(json!({"ociVersion": "1.3.0", "linux": linux})).unwrap();
        let namespaces = Namespaces::new(&spec);
        offsets(spec.linux().as_ref(), &namespaces)
    }

    fn with(time: &Value, offsets: &Value) -> Result<Vec<TimeOffset>> {
        plan(&json!({"namespaces": [{"type": "mount"}, time], "timeOffsets": offsets}))
    }

    #[test]
    fn each_clock_has_its_offset() {
        let asked = json!({"boottime": {"nanosecs": 999_999_999}, "monotonic": {"secs": -5}});
        let offset = |clock, secs, nanosecs| TimeOffset { clock, secs, nanosecs };
        let planned = with(&json!({"type": "time"}), &asked).unwrap();
        assert_eq!(planned, [offset("monotonic", -5, 0), offset("boottime", 0, 999_999_999)]);
        assert_eq!(with(&json!({"type": "uts"}), &json!({})).unwrap(), []);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let one = json!({"monotonic": {"secs": 1}});
        let new = json!({"type": "time"});
        for (time, asked, start) in [
            (json!({"type": "uts"}), one.clone(), "linux.timeOffsets: needs a new time namespace"),
            (json!({"type": "time", "path": "/proc/1/ns/time"}), one, "linux.timeOffsets: can't change"),
            (new.clone(), json!({"realtime": {"secs": 1}}), "linux.timeOffsets: \"realtime\" is no clock"),
            (new, json!({"boottime": {"nanosecs": 1_000_000_000}}), "linux.timeOffsets.boottime.nanosecs: "),
        ] {
            let error = with(&time, &asked).unwrap_err().to_string();
            assert!(error.starts_with(start), "{error}");
        }
    }
}
