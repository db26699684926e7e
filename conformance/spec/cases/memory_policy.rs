//! The NUMA memory policy.

use serde_json::{Value, json};

use crate::case::cases;
use crate::container::Container;
use crate::outcome::{Not, Verdict, applies, same};
use crate::subject::Subject;

cases![no_mode, mode, nodes, flags];

/// The policy that the program has. A runtime of an older version of the specification has to ignore the property.
fn seen(s: &Subject, policy: Value) -> Verdict<Value> {
    let plain = Container::new(s).report()?["memoryPolicy"].clone();
    applies(plain.is_object(), format!("this kernel has no memory policies: {plain}"))?;
    let seen = Container::new(s).set("/linux/memoryPolicy", policy).report_if_supported()?["memoryPolicy"].clone();
    if seen == plain && !claims(s) {
        return Err(Not::Supported("its features don't name memoryPolicy, and it ignores the property".into()));
    }
    Ok(seen)
}

fn claims(s: &Subject) -> bool {
    let c = Container::new(s);
    let features: Value = serde_json::from_str(&c.call("features").run().stdout).unwrap_or_default();
    features["linux"]["memoryPolicy"]["modes"].is_array()
}

fn no_mode(s: &Subject) -> Verdict {
    if !claims(s) {
        return Err(Not::Supported("its features don't name memoryPolicy, and it ignores the property".into()));
    }
    Container::new(s).set("/linux/memoryPolicy", json!({"nodes": "0"})).refused("memoryPolicy has no mode")
}

fn mode(s: &Subject) -> Verdict {
    for (name, number) in [("MPOL_BIND", 2), ("MPOL_INTERLEAVE", 3), ("MPOL_PREFERRED", 1)] {
        same(name, &seen(s, json!({"mode": name, "nodes": "0"}))?["mode"], number)?;
    }
    same("MPOL_LOCAL", &seen(s, json!({"mode": "MPOL_LOCAL"}))?["mode"], 4)
}

fn nodes(s: &Subject) -> Verdict {
    same("the nodes", &seen(s, json!({"mode": "MPOL_BIND", "nodes": "0"}))?["nodes"], 1)
}

fn flags(s: &Subject) -> Verdict {
    let seen = seen(s, json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}))?;
    same("mode and flags", &seen["mode"], 0x8002)
}
