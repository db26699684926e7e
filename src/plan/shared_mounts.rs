//! A container without a mount namespace shares the runtime's mounts. Its root is entered where it is, and whatever asks for a mount, or
//! for a change of one, is refused: it would be the host's.

use oci_spec::runtime::{Process, Root, Spec};

use super::Request;
use super::namespaces::{Kind, Namespaces};
use crate::error::{Error, Result};

/// The way out.
const HINT: &str = "add a mount namespace to linux.namespaces";

/// # Errors
/// Names the first field that takes a mount namespace, where the container has none.
pub(super) fn check(spec: &Spec, request: &Request, namespaces: &Namespaces) -> Result<()> {
    if namespaces.has(Kind::Mount) {
        return Ok(());
    }
    if let Some((field, why)) = asks_for_mounts(spec) {
        return Err(Error::new(why).hint(HINT).field(field));
    }
    if request.notify.is_some() {
        let text = "NOTIFY_SOCKET has a socket mounted in the container, and that would be mounted on the host";
        return Err(Error::new(text).hint(format!("{HINT}, or unset the variable")));
    }
    Ok(())
}

/// The field, and what would have to be done for it.
fn asks_for_mounts(spec: &Spec) -> Option<(&'static str, &'static str)> {
    let linux = spec.linux().as_ref();
    let some = |list: Option<&Vec<String>>| list.is_some_and(|list| !list.is_empty());
    let asked = [
        (spec.mounts().as_ref().is_some_and(|mounts| !mounts.is_empty()), "mounts", "would be mounted on the host"),
        (
            some(linux.and_then(|linux| linux.masked_paths().as_ref())),
            "linux.maskedPaths",
            "would be mounted over, on the host too",
        ),
        (
            some(linux.and_then(|linux| linux.readonly_paths().as_ref())),
            "linux.readonlyPaths",
            "would be mounted over, on the host too",
        ),
        (
            spec.root().as_ref().and_then(Root::readonly).unwrap_or(false),
            "root.readonly",
            "would make a mount of the host's read-only",
        ),
        (
            linux.and_then(|linux| linux.rootfs_propagation().as_ref()).is_some_and(|word| !word.is_empty()),
            "linux.rootfsPropagation",
            "would change how the host's mounts travel",
        ),
        (
            spec.process().as_ref().and_then(Process::terminal).unwrap_or(false),
            "process.terminal",
            "takes a devpts and a mount on /dev/console, which would be the host's",
        ),
    ];
    asked.into_iter().find(|(is_asked, ..)| *is_asked).map(|(_, field, why)| (field, why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn checked(change: &Value, request: &Request, namespaces: &Namespaces) -> Result<()> {
        let mut config = json!({"ociVersion": "1.3.0", "process": {"cwd": "/", "user": {"uid": 0, "gid": 0}}});
        config.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        check(&serde_json::from_value(config).unwrap(), request, namespaces)
    }

    #[test]
    fn what_takes_a_mount_namespace_is_refused_without_one() {
        for (change, field) in [
            (json!({"mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}]}), "mounts"),
            (json!({"linux": {"maskedPaths": ["/x"]}}), "linux.maskedPaths"),
            (json!({"linux": {"readonlyPaths": ["/x"]}}), "linux.readonlyPaths"),
            (json!({"root": {"path": "rootfs", "readonly": true}}), "root.readonly"),
            (json!({"linux": {"rootfsPropagation": "private"}}), "linux.rootfsPropagation"),
            (json!({"process": {"cwd": "/", "user": {"uid": 0, "gid": 0}, "terminal": true}}), "process.terminal"),
        ] {
            let error = checked(&change, &Request::default(), &Namespaces::default()).unwrap_err();
            assert_eq!(error.field_path(), Some(field), "{error}");
            assert!(error.to_string().contains(HINT), "{error}");
            let own = Namespaces::of_bits(Kind::Mount.bit());
            checked(&change, &Request::default(), &own).unwrap();
        }
    }

    #[test]
    fn what_asks_for_nothing_of_the_kind_is_fine() {
        let nothing = json!({
            "mounts": [], "root": {"path": "rootfs", "readonly": false},
            "linux": {"maskedPaths": [], "readonlyPaths": [], "rootfsPropagation": ""},
        });
        checked(&nothing, &Request::default(), &Namespaces::default()).unwrap();
    }

    #[test]
    fn systemds_socket_is_a_mount_too() {
        let request = Request { notify: Some("/run/orlop/box/notify".into()), ..Request::default() };
        let error = checked(&json!({}), &request, &Namespaces::default()).unwrap_err().to_string();
        assert!(error.starts_with("NOTIFY_SOCKET"), "{error}");
    }
}
