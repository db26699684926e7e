//! Shares of caches by resctrl. What it takes is a CPU that has it; how groups are made, joined and removed is tested on a directory
//! that stands for resctrl, by the unit tests of `src/resctrl.rs`.

use serde_json::json;

use crate::support::case::cases;
use crate::support::{Container, Need, needs};

cases![without_resctrl_it_is_an_error, bad_values_are_refused];

fn without_resctrl_it_is_an_error() {
    needs(Need::Orlop("runc and crun name another field, or none"));
    needs(Need::NoResctrl);
    for rdt in
        [json!({}), json!({"closID": "gold"}), json!({"schemata": ["L3:0=f"]}), json!({"enableMonitoring": true})]
    {
        let c = Container::new().set("/linux/intelRdt", rdt);
        c.create().fails(["linux.intelRdt: no resctrl file system is mounted"]);
        c.nothing_left();
    }
}

/// Whatever the machine has.
fn bad_values_are_refused() {
    needs(Need::Orlop("the field is named"));
    for (rdt, field) in [
        (json!({"closID": ".."}), "closID"),
        (json!({"closID": "a/b"}), "closID"),
        (json!({"closID": "info"}), "closID"),
        (json!({"memBwSchema": "L3:0=f"}), "memBwSchema"),
        (json!({"schemata": ["L3:0=f", "MB:0=10\nL3:1=f"]}), "schemata[1]"),
        (json!({"schemata": "L3:0=f"}), "schemata"),
    ] {
        let c = Container::new().set("/linux/intelRdt", rdt);
        c.create().fails([format!("linux.intelRdt.{field}").as_str()]);
        c.nothing_left();
    }
}
