//! Parameters of the kernel.

use serde_json::json;

use crate::case::cases;
use crate::config::drop_namespaces;
use crate::container::Container;
use crate::outcome::{Verdict, expect};
use crate::subject::Subject;

cases![set, not_on_the_host];

fn set(s: &Subject) -> Verdict {
    for (name, value) in [("net.ipv4.ip_unprivileged_port_start", "77"), ("kernel.msgmax", "7777")] {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        let seen = Container::new(s).set("/linux/sysctl", json!({name: value})).args(["cat", &path]).says()?;
        expect(seen == value, format!("{name} is {value}"), seen)?;
    }
    Ok(())
}

/// Without a namespace of its own the parameter is the host's.
fn not_on_the_host(s: &Subject) -> Verdict {
    let path = "/proc/sys/kernel/msgmax";
    let before = std::fs::read_to_string(path).unwrap_or_default();
    // The value that it has: whoever sets it all the same does no harm.
    let c = Container::new(s).edit(|config| drop_namespaces(config, &["ipc"]));
    c.set("/linux/sysctl", json!({"kernel.msgmax": before.trim()})).create_refused("a parameter of the host's")
}
