//! Annotations.

use serde_json::json;

use crate::case::cases;
use crate::container::Container;
use crate::outcome::{Verdict, same};
use crate::subject::Subject;

cases![no_map, empty, empty_key, keys_of_images, unknown_keys, a_value_that_is_no_string, empty_value];

fn no_map(s: &Subject) -> Verdict {
    Container::new(s).set("/annotations", json!(["a", "b"])).create_refused("annotations is a list")
}

fn empty(s: &Subject) -> Verdict {
    let c = Container::new(s).set("/annotations", json!({})).args(["sleep"]);
    c.create()?;
    c.has_status("created")
}

fn empty_key(s: &Subject) -> Verdict {
    Container::new(s).set("/annotations", json!({"": "value"})).create_refused("an annotation's key is empty")
}

fn kept(s: &Subject, key: &str, value: &str) -> Verdict {
    let c = Container::new(s).set("/annotations", json!({key: value})).args(["sleep"]);
    c.create()?;
    same(&format!("the annotation {key}"), &c.state()?["annotations"][key], value)
}

fn keys_of_images(s: &Subject) -> Verdict {
    kept(s, "org.opencontainers.image.os", "linux")?;
    kept(s, "org.opencontainers.image.stopSignal", "SIGUSR1")
}

fn unknown_keys(s: &Subject) -> Verdict {
    kept(s, "org.example.nobody.knows", "anything")?;
    kept(s, "no-domain-at-all", "anything")
}

fn a_value_that_is_no_string(s: &Subject) -> Verdict {
    Container::new(s)
        .set("/annotations", json!({"org.example.number": 1}))
        .create_refused("an annotation's value is a number")
}

fn empty_value(s: &Subject) -> Verdict {
    kept(s, "org.example.empty", "")
}
