//! Changes of a config. The suite of the specification has them too.

use serde_json::{Value, json};

/// Sets the value at a JSON pointer, as in `/process/user/uid`; `-` as the last part appends to a list.
pub(crate) fn set(config: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').expect("a JSON pointer has a slash");
    match config.pointer_mut(parent).unwrap_or_else(|| panic!("nothing at {parent}")) {
        Value::Array(list) if key == "-" => list.push(value),
        Value::Array(list) => list[key.parse::<usize>().expect("an index")] = value,
        other => other[key] = value,
    }
}

/// Removes the value at a JSON pointer.
pub(crate) fn unset(config: &mut Value, pointer: &str) {
    let (parent, key) = pointer.rsplit_once('/').expect("a JSON pointer has a slash");
    let parent = config.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
    parent.remove(key).unwrap_or_else(|| panic!("nothing at {pointer}"));
}

/// Adds a hook to those of its kind.
pub(crate) fn add_hook(config: &mut Value, kind: &str, hook: Value) {
    match config["hooks"][kind].as_array_mut() {
        Some(hooks) => hooks.push(hook),
        None => config["hooks"][kind] = json!([hook]),
    }
}

fn list<'a>(config: &'a mut Value, pointer: &str) -> &'a mut Vec<Value> {
    config.pointer_mut(pointer).and_then(Value::as_array_mut).expect("a config has that list")
}

/// The namespaces without those of the kinds named.
pub(crate) fn drop_namespaces(config: &mut Value, kinds: &[&str]) {
    list(config, "/linux/namespaces").retain(|namespace| !kinds.iter().any(|kind| namespace["type"] == *kind));
}

/// Joins the namespace at `path` in place of a new one of that kind.
pub(crate) fn join_namespace(config: &mut Value, kind: &str, path: &str) {
    drop_namespaces(config, &[kind]);
    list(config, "/linux/namespaces").push(json!({"type": kind, "path": path}));
}

/// A new user namespace in which the container's ids start at `host` outside.
pub(crate) fn add_user_namespace(config: &mut Value, host: u32, size: u32) {
    list(config, "/linux/namespaces").push(json!({"type": "user"}));
    let map = json!([{"containerID": 0, "hostID": host, "size": size}]);
    config["linux"]["uidMappings"] = map.clone();
    config["linux"]["gidMappings"] = map;
}

/// Removes the mount at a destination.
pub(crate) fn drop_mount(config: &mut Value, destination: &str) {
    list(config, "/mounts").retain(|mount| mount["destination"] != destination);
}
