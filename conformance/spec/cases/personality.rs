//! The execution domain.

use serde_json::json;

use crate::case::cases;
use crate::container::Container;
use crate::outcome::{Verdict, applies, expect};
use crate::subject::Subject;

cases![no_domain, linux32, flags];

fn no_domain(s: &Subject) -> Verdict {
    Container::new(s).set("/linux/personality", json!({"flags": []})).refused("personality has no domain")
}

fn linux32(s: &Subject) -> Verdict {
    applies(std::env::consts::ARCH == "x86_64", "another architecture has other words for 32 bits")?;
    let report = Container::new(s).set("/linux/personality", json!({"domain": "LINUX32"})).report_if_supported()?;
    expect(report["machine"] == "i686", "uname says i686", &report["machine"])?;
    let report = Container::new(s).set("/linux/personality", json!({"domain": "LINUX"})).report_if_supported()?;
    expect(report["machine"] == "x86_64", "uname says x86_64", &report["machine"])
}

/// No flag is a valid value; a warning would do for an unknown property, but this one is known.
fn flags(s: &Subject) -> Verdict {
    let c = Container::new(s).set("/linux/personality", json!({"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]}));
    c.refused("a flag, of which none is valid")
}
