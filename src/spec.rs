//! `orlop spec`: writes a config.json to start from.
//!
//! The two documents are kept as files beside this one, so that what is written can be read without running anything.
//! They are runc's word for word, but for the host name: tools and people edit them with patterns that expect it.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use crate::error::{Annotate, Context, Error, Result};

const CONFIG: &str = include_str!("spec/config.json");
const ROOTLESS: &str = include_str!("spec/rootless.json");

/// Writes `config.json` into the bundle. A file that is there is never touched, and a half-written one never stays.
pub fn spec(bundle: &Path, rootless: bool) -> Result<()> {
    let path = bundle.join("config.json");
    let mut file = new_file(&path)?;
    let written = file.write_all(document(rootless).as_bytes()).call("write");
    if written.is_err() {
        fs::remove_file(&path).call("unlink").doing(|| format!("remove the half-written {}", path.display()))?;
    }
    written.doing(|| format!("write {}", path.display()))
}

fn new_file(path: &Path) -> Result<File> {
    match File::create_new(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(Error::new("File config.json exists. Remove it first"))
        }
        opened => opened.call("open").doing(|| format!("write {}", path.display())),
    }
}

fn document(rootless: bool) -> String {
    if rootless {
        rootless_document(rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
    } else {
        CONFIG.to_owned()
    }
}

/// The caller is the only user that an unprivileged user may map, so it becomes root inside.
fn rootless_document(uid: u32, gid: u32) -> String {
    ROOTLESS
        .replace("\"hostID\": UID", &format!("\"hostID\": {uid}"))
        .replace("\"hostID\": GID", &format!("\"hostID\": {gid}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn json(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_rootless_document_is_the_other_one_less_what_needs_root() {
        let mut expected = json(CONFIG);
        let linux = expected["linux"].as_object_mut().unwrap();
        linux.remove("resources");
        linux.insert("uidMappings".into(), json!([{"containerID": 0, "hostID": 1000, "size": 1}]));
        linux.insert("gidMappings".into(), json!([{"containerID": 0, "hostID": 100, "size": 1}]));
        let namespaces = linux["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "network");
        namespaces.push(json!({"type": "user"}));
        for mount in expected["mounts"].as_array_mut().unwrap() {
            match mount["destination"].as_str().unwrap() {
                "/dev/pts" => mount["options"].as_array_mut().unwrap().retain(|option| option != "gid=5"),
                "/sys" => {
                    let options = json!(["rbind", "nosuid", "noexec", "nodev", "ro"]);
                    *mount = json!({"destination": "/sys", "type": "none", "source": "/sys", "options": options});
                }
                _ => {}
            }
        }
        assert_eq!(json(&rootless_document(1000, 100)), expected);
    }

    #[test]
    fn both_are_indented_by_tabs_and_end_without_a_newline() {
        for text in [CONFIG, &rootless_document(0, 0)] {
            assert!(text.starts_with("{\n\t\"ociVersion\": \"1.3.0\",\n\t\"process\": {\n\t\t\"terminal\": true,"));
            assert!(text.ends_with("\n\t}\n}"));
        }
    }

    #[test]
    fn writes_the_document_once() {
        let bundle = tempfile::tempdir().unwrap();
        let config = bundle.path().join("config.json");
        spec(bundle.path(), false).unwrap();
        assert_eq!(fs::read_to_string(&config).unwrap(), CONFIG);
        fs::write(&config, "mine").unwrap();
        let error = spec(bundle.path(), false).unwrap_err();
        assert_eq!(error.to_string(), "File config.json exists. Remove it first");
        assert_eq!(fs::read_to_string(&config).unwrap(), "mine");
    }

    #[test]
    fn a_missing_bundle_is_named() {
        let error = spec(Path::new("/nonexistent/bundle"), false).unwrap_err();
        assert_eq!(error.to_string(), "write /nonexistent/bundle/config.json: open: no such file or directory");
    }
}
