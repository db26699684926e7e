//! The config as a whole.

use serde_json::{Value, json};

use crate::case::cases;
use crate::container::Container;
use crate::outcome::{Verdict, wrong};
use crate::subject::Subject;

cases![no_version, no_semantic_version, older_versions, unknown_properties, invalid_values, wrong_types];

fn no_version(s: &Subject) -> Verdict {
    Container::new(s).unset("/ociVersion").create_refused("the config has no ociVersion")
}

fn no_semantic_version(s: &Subject) -> Verdict {
    Container::new(s).set("/ociVersion", "banana").create_refused("ociVersion is banana")
}

fn older_versions(s: &Subject) -> Verdict {
    for version in ["1.0.0", "1.0.2", "1.1.0", "1.2.0"] {
        Container::new(s).set("/ociVersion", version).args(["sleep"]).create()?;
    }
    Ok(())
}

fn unknown_properties(s: &Subject) -> Verdict {
    for place in ["", "/process", "/root", "/linux", "/process/user", "/mounts/0", "/linux/namespaces/0"] {
        let c = Container::new(s).args(["sleep"]).set(&format!("{place}/nobodyKnows"), json!({"anything": [1, 2]}));
        c.create().map_err(|not| match not {
            crate::outcome::Not::Right { seen, .. } => {
                wrong(format!("an unknown property at {place}/ is ignored"), seen)
            }
            other => other,
        })?;
    }
    Ok(())
}

/// Values that no runtime could mean: each has to be an error of create or start.
fn invalid_values(s: &Subject) -> Verdict {
    let invalid: [(&str, Value); 6] = [
        ("/linux/namespaces/0/type", json!("nonsense")),
        ("/linux/rootfsPropagation", json!("nonsense")),
        ("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 20, "hard": 10}])),
        ("/linux/devices", json!([{"type": "x", "path": "/dev/ours", "major": 1, "minor": 3}])),
        ("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_NONSENSE"})),
        ("/process/oomScoreAdj", json!(1001)),
    ];
    for (place, value) in invalid {
        let what = format!("{place} is {value}");
        Container::new(s).set(place, value).refused(&what)?;
    }
    Ok(())
}

fn wrong_types(s: &Subject) -> Verdict {
    let wrong: [(&str, Value); 7] = [
        ("/process/args", json!("text")),
        ("/process/cwd", json!(7)),
        ("/process/user/uid", json!("root")),
        ("/root", json!("rootfs")),
        ("/mounts", json!({"destination": "/mnt"})),
        ("/hostname", json!(["a"])),
        ("/linux/namespaces", json!("pid")),
    ];
    for (place, value) in wrong {
        let what = format!("{place} is {value}");
        Container::new(s).set(place, value).refused(&what)?;
    }
    Ok(())
}
