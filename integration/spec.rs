//! `spec`: the config that it writes, and that containers run from it.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::config::{default_config, drop_mount};
use crate::support::{Call, Container, Lane, Need, needs};

cases![
    it_writes_the_default_config,
    it_writes_a_rootless_config,
    it_writes_into_the_bundle_named,
    it_does_not_overwrite_one,
    its_file_is_readable_text,
    it_asks_for_a_terminal,
    a_container_runs_from_it,
    a_container_runs_from_the_rootless_one,
    a_missing_bundle_is_an_error,
];

fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(Lane::get().dir()).expect("create a directory")
}

fn written(options: &[&str]) -> Value {
    let directory = directory();
    Call::runtime(directory.path()).arg("spec").args(options).cwd(directory.path()).run().quiet();
    read(directory.path())
}

fn read(bundle: &std::path::Path) -> Value {
    let text = fs::read_to_string(bundle.join("config.json")).expect("spec has written a config");
    serde_json::from_str(&text).expect("and it is JSON")
}

/// What the suite's own default config has that `spec` doesn't write, and the reverse.
fn as_spec_writes(mut config: Value, written: &Value) -> Value {
    config["linux"].as_object_mut().expect("an object").remove("cgroupsPath");
    config["process"]["terminal"] = json!(true);
    config["process"]["args"] = json!(["sh"]);
    config["ociVersion"] = written["ociVersion"].clone();
    config["hostname"] = written["hostname"].clone();
    config
}

fn it_writes_the_default_config() {
    needs(Need::Not("crun", "it fills in what may be left out"));
    let config = written(&[]);
    assert!(config["hostname"].as_str().is_some_and(|name| !name.is_empty()));
    assert!(config["ociVersion"].as_str().is_some_and(|version| version.starts_with("1.")));
    let mut expected = as_spec_writes(default_config("unused"), &config);
    let mut config = config;
    // Older releases gave ambient capabilities too.
    if Lane::get().kind().is("runc") {
        config["process"]["capabilities"]["ambient"].take();
        expected["process"]["capabilities"]["ambient"].take();
    }
    assert_eq!(config, expected);
}

fn it_writes_a_rootless_config() {
    needs(Need::Not("crun", "it leaves the maps to the run"));
    let config = written(&["--rootless"]);
    let kinds: Vec<&Value> =
        config["linux"]["namespaces"].as_array().expect("namespaces").iter().map(|n| &n["type"]).collect();
    assert_eq!(json!(kinds), json!(["pid", "ipc", "uts", "mount", "cgroup", "user"]));
    let id = rustix::process::geteuid().as_raw();
    assert_eq!(config["linux"]["uidMappings"], json!([{"containerID": 0, "hostID": id, "size": 1}]));
    let id = rustix::process::getegid().as_raw();
    assert_eq!(config["linux"]["gidMappings"], json!([{"containerID": 0, "hostID": id, "size": 1}]));
    assert!(config["linux"].get("resources").is_none_or(Value::is_null));
    let mounts = config["mounts"].as_array().expect("mounts");
    let sys = mounts.iter().find(|mount| mount["destination"] == "/sys").expect("a mount at /sys");
    assert_eq!(
        *sys,
        json!({"destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]})
    );
    assert!(!config["mounts"].to_string().contains("gid="), "{}", config["mounts"]);
}

fn it_writes_into_the_bundle_named() {
    for option in ["--bundle", "-b"] {
        let directory = directory();
        Call::runtime(directory.path()).args(["spec", option]).arg(directory.path()).cwd("/").run().quiet();
        assert_eq!(read(directory.path())["root"], json!({"path": "rootfs", "readonly": true}));
    }
}

fn it_does_not_overwrite_one() {
    let directory = directory();
    fs::write(directory.path().join("config.json"), "mine").expect("write a config");
    let output = Call::runtime(directory.path()).arg("spec").cwd(directory.path()).run();
    let text =
        if Lane::get().kind().is("crun") { "already exists" } else { "File config.json exists. Remove it first" };
    output.fails([text]);
    assert_eq!(fs::read_to_string(directory.path().join("config.json")).expect("it is there"), "mine");
}

fn its_file_is_readable_text() {
    needs(Need::Not("crun", "it indents with blanks"));
    let directory = directory();
    Call::launched(directory.path(), &["--umask", "022"]).arg("spec").cwd(directory.path()).run().quiet();
    let path = directory.path().join("config.json");
    assert_eq!(fs::metadata(&path).expect("it is there").mode() & 0o777, 0o644);
    let text = fs::read_to_string(path).expect("it is text");
    assert!(text.starts_with("{\n\t\"ociVersion\": \""), "{}", &text[..60]);
    assert!(text.contains("\n\t\t\t\"destination\": \"/proc\","), "fields keep the spec's order");
}

fn it_asks_for_a_terminal() {
    assert_eq!(written(&[])["process"]["terminal"], true);
}

/// Runs what `spec OPTIONS` writes, with the probe for a program.
fn runs(options: &[&str], change: impl FnOnce(&mut Value)) -> Value {
    let mut config = written(options);
    let c = Container::new();
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["/probe", "report"]);
    config["linux"]["cgroupsPath"] = c.config()["linux"]["cgroupsPath"].clone();
    config["linux"]["resources"] = c.config()["linux"]["resources"].clone();
    change(&mut config);
    let c = c.edit(|whole| *whole = config);
    let report = c.run().quiet().report();
    c.nothing_left();
    report
}

fn a_container_runs_from_it() {
    assert_eq!(runs(&[], |_| ())["pid"], 1);
}

fn a_container_runs_from_the_rootless_one() {
    needs(Need::Not("crun", "it leaves the maps to the run"));
    let report = runs(&["--rootless"], |config| {
        // The host's network namespace belongs to another user namespace, and with it its sysfs.
        drop_mount(config, "/sys/fs/cgroup");
        config["linux"].as_object_mut().expect("an object").remove("resources");
    });
    assert_eq!((&report["pid"], &report["uid"]["effective"]), (&json!(1), &json!(0)));
}

fn a_missing_bundle_is_an_error() {
    let directory = directory();
    Call::runtime(directory.path()).args(["spec", "--bundle", "/none/such"]).run().fails(["o such file or directory"]);
}
