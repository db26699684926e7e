//! `mounts add` and `mounts remove`: what appears in a container that runs, and what may not.

use std::fs;

use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::{Container, Need, Output, needs};

cases![
    a_directory_appears_and_disappears,
    a_file_appears,
    a_file_system_appears,
    options_are_followed,
    a_missing_target_is_made,
    a_target_that_is_a_symlink_stays_inside,
    all_or_none,
    in_a_user_namespace,
    in_a_paused_container,
    nothing_appears_on_the_host,
    a_proc_file_system_is_refused,
    the_root_is_refused,
    a_bad_file_names_its_field,
    what_is_not_mounted_cannot_be_removed,
    a_container_that_does_not_run,
    a_wrong_number_of_words,
];

/// `mounts ACTION ID FILE` with these mounts.
fn mounts(c: &Container, action: &str, mounts: &Value) -> Output {
    needs(Need::Orlop("runc lacks the command, and crun 1.8 too"));
    let path = c.dir().join("mounts.json");
    fs::write(&path, mounts.to_string()).expect("write the file");
    c.call("mounts").args([action, c.id()]).arg(path).run()
}

fn inside<'a>(c: &Container, words: impl IntoIterator<Item = &'a str>) -> String {
    c.call("exec").args([c.id(), "/probe"]).args(words).run().stdout.trim_end().to_owned()
}

/// A container whose root can be written to, and that has a place for mounts.
fn container() -> Container {
    Container::new().args(["sleep"]).set("/root/readonly", false).directory("/here").file("/file", "own")
}

fn source(c: &Container) -> std::path::PathBuf {
    let source = c.dir().join("source");
    fs::create_dir_all(&source).expect("make the source");
    fs::write(source.join("text"), "from outside").expect("write a file");
    source
}

fn a_directory_appears_and_disappears() {
    let c = container().up();
    let bind = json!([{"destination": "/here", "type": "bind", "source": source(&c), "options": ["bind"]}]);
    mounts(&c, "add", &bind).quiet();
    assert_eq!(inside(&c, ["cat", "/here/text"]), "from outside");
    assert_eq!(inside(&c, ["try-write", "/here/text", "x"]), "ok");
    mounts(&c, "remove", &bind).quiet();
    assert_eq!(inside(&c, ["try-open-read", "/here/text"]), "ENOENT");
}

fn a_file_appears() {
    let c = container().up();
    let bind = json!([{"destination": "/file", "source": source(&c).join("text"), "options": ["bind", "ro"]}]);
    mounts(&c, "add", &bind).quiet();
    assert_eq!(inside(&c, ["cat", "/file"]), "from outside");
    // By the destination alone.
    mounts(&c, "remove", &json!([{"destination": "/file"}])).quiet();
    assert_eq!(inside(&c, ["cat", "/file"]), "own");
}

fn a_file_system_appears() {
    let c = container().up();
    let tmpfs =
        json!([{"destination": "/here", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1700", "nodev"]}]);
    mounts(&c, "add", &tmpfs).quiet();
    let report = c.call("exec").args([c.id(), "/probe", "report", "/here"]).run().quiet().report();
    let mount = report["mounts"].as_array().expect("mounts").iter().find(|mount| mount["target"] == "/here").cloned();
    let mount = mount.expect("a mount at /here");
    assert_eq!((&mount["type"], mount["options"].to_string().contains("nodev")), (&json!("tmpfs"), true));
}

fn options_are_followed() {
    let c = container().up();
    let bind = json!([{"destination": "/here", "source": source(&c), "options": ["rbind", "ro", "noexec"]}]);
    mounts(&c, "add", &bind).quiet();
    assert_eq!(inside(&c, ["try-open-write", "/here/text"]), "EROFS");
}

fn a_missing_target_is_made() {
    let c = container().up();
    let bind = json!([{"destination": "/new/place", "source": source(&c), "options": ["bind"]}]);
    mounts(&c, "add", &bind).quiet();
    assert_eq!(inside(&c, ["cat", "/new/place/text"]), "from outside");
    let readonly = Container::sleeping();
    let bind = json!([{"destination": "/new", "source": source(&readonly), "options": ["bind"]}]);
    mounts(&readonly, "add", &bind).fails(["mounts[0].destination: ", "read-only file system"]);
}

fn a_target_that_is_a_symlink_stays_inside() {
    let c = container();
    let outside = c.dir().join("outside");
    fs::create_dir(&outside).expect("make a directory");
    let c = c.symlink("/link", outside.to_str().expect("text")).up();
    let bind = json!([{"destination": "/link", "source": source(&c), "options": ["bind"]}]);
    mounts(&c, "add", &bind).quiet();
    assert_eq!(fs::read_dir(&outside).expect("list").count(), 0);
    assert_eq!(inside(&c, ["cat", &format!("{}/text", outside.display())]), "from outside");
}

fn all_or_none() {
    let c = container().up();
    let two = json!([
        {"destination": "/here", "source": source(&c), "options": ["bind"]},
        {"destination": "/file/below", "source": source(&c), "options": ["bind"]},
    ]);
    mounts(&c, "add", &two).fails(["mounts[1].destination: ", "not a directory"]);
    assert_eq!(inside(&c, ["try-open-read", "/here/text"]), "ENOENT");
}

fn in_a_user_namespace() {
    let c = container().user_namespace(100_000, 65_536).up();
    let two = json!([
        {"destination": "/here", "source": source(&c), "options": ["bind"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "tmpfs"},
    ]);
    mounts(&c, "add", &two).quiet();
    assert_eq!(inside(&c, ["cat", "/here/text"]), "from outside");
    mounts(&c, "remove", &two).quiet();
    assert_eq!(inside(&c, ["try-open-read", "/here/text"]), "ENOENT");
}

fn in_a_paused_container() {
    let c = container().up();
    c.call("pause").arg(c.id()).run().quiet();
    let bind = json!([{"destination": "/here", "source": source(&c), "options": ["bind"]}]);
    mounts(&c, "add", &bind).quiet();
    c.call("resume").arg(c.id()).run().quiet();
    assert_eq!(inside(&c, ["cat", "/here/text"]), "from outside");
}

fn nothing_appears_on_the_host() {
    let c = container().up();
    let bind = json!([{"destination": "/here", "source": source(&c), "options": ["bind"]}]);
    mounts(&c, "add", &bind).quiet();
    c.nothing_mounted();
    assert_eq!(fs::read_dir(c.rootfs().join("here")).expect("list").count(), 0);
}

fn a_proc_file_system_is_refused() {
    let c = container().up();
    let proc = json!([{"destination": "/here", "type": "proc", "source": "proc"}]);
    mounts(&c, "add", &proc).fails(["mounts[0].type: a proc file system would show the host's processes"]);
    let below = json!([{"destination": "/proc/bus", "type": "tmpfs", "source": "tmpfs"}]);
    mounts(&c, "add", &below).fails(["mounts[0]"]);
}

fn the_root_is_refused() {
    let c = container().up();
    for action in ["add", "remove"] {
        let root = json!([{"destination": "/", "type": "tmpfs", "source": "tmpfs"}]);
        mounts(&c, action, &root).fails(["mounts[0].destination: a mount on / would hide"]);
    }
}

fn a_bad_file_names_its_field() {
    let c = container().up();
    mounts(&c, "add", &json!([{"type": "tmpfs"}])).fails(["mounts[0].destination"]);
    mounts(&c, "add", &json!([{"destination": 3}])).fails(["mounts[0].destination: invalid type"]);
    mounts(&c, "add", &json!({"destination": "/here"})).fails(["mounts: invalid type"]);
    let missing = json!([{"destination": "/here", "source": "/nope", "options": ["bind"]}]);
    mounts(&c, "add", &missing).fails(["mounts[0].source: ", "no such file or directory"]);
    let unknown = json!([{"destination": "/here", "type": "tmpfs", "source": "tmpfs", "options": ["bogus"]}]);
    mounts(&c, "add", &unknown).fails(["mounts[0].options[0]: "]);
    c.call("mounts").args(["add", c.id(), "/nope"]).run().fails(["read /nope: open: no such file or directory"]);
}

fn what_is_not_mounted_cannot_be_removed() {
    let c = container().up();
    let nothing = json!([{"destination": "/here"}]);
    mounts(&c, "remove", &nothing).fails(["mounts[0].destination: unmount \"/here\": ", "nothing is mounted there"]);
    mounts(&c, "remove", &json!([{"destination": "/nope/x"}])).fails(["no such file or directory"]);
}

fn a_container_that_does_not_run() {
    let c = container();
    let bind = json!([{"destination": "/here", "type": "tmpfs", "source": "tmpfs"}]);
    mounts(&c, "add", &bind).fails(["container does not exist"]);
    let c = Container::new().args(["exit", "0"]);
    c.create().ok();
    c.start().ok();
    c.wait_dead();
    mounts(&c, "add", &bind).fails(["container not running"]);
}

fn a_wrong_number_of_words() {
    needs(Need::Orlop("runc lacks the command"));
    let c = container();
    c.call("mounts").args(["add", c.id()]).run().fails(["\"mounts\" requires exactly 3 argument(s)"]);
    c.call("mounts").args(["bogus", c.id(), "x"]).run().fails(["mounts \"bogus\": add and remove are known"]);
}
