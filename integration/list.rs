//! `list`: the table, the JSON, the ids.

use std::fs;

use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::{Container, Need, needs};

cases![
    the_table,
    the_json,
    the_ids_alone,
    empty_lists,
    a_stopped_container_has_no_pid,
    a_broken_entry_is_told_and_passed_over,
    an_unknown_format_is_an_error,
    the_short_option,
];

fn the_table() {
    needs(Need::Not("crun", "its columns are others"));
    let one = Container::sleeping();
    let other = Container::beside(&one).args(["sleep"]);
    other.create().ok();
    let table = one.call("list").run().quiet().stdout;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    assert_eq!(rows.len(), 3);
    for (c, status) in [(&one, "running"), (&other, "created")] {
        let row = rows.iter().find(|row| row[0] == c.id()).expect("a row for each");
        assert_eq!(
            (row[1], row[2], row[3]),
            (c.pid().to_string().as_str(), status, c.bundle().to_str().expect("a path"))
        );
        assert_eq!(row[4], c.state()["created"]);
        assert_eq!(row[5], "root");
    }
    // Columns line up, as tools that cut them expect.
    let starts: Vec<Option<usize>> = table.lines().map(|line| line.find('/').or(line.find("BUNDLE"))).collect();
    assert!(starts.iter().all(|start| *start == starts[0]), "{table}");
}

fn the_json() {
    let one = Container::sleeping();
    let other = Container::beside(&one).args(["sleep"]);
    other.create().ok();
    let list = one.call("list").args(["--format", "json"]).run().quiet().json();
    let list = list.as_array().expect("an array");
    assert_eq!(list.len(), 2);
    for c in [&one, &other] {
        let entry = list.iter().find(|entry| entry["id"] == c.id()).expect("an entry for each");
        let state = c.state();
        for key in ["id", "pid", "status", "bundle", "created"] {
            assert_eq!(entry[key], state[key], "{key}");
        }
        assert_eq!(entry["owner"], "root");
    }
}

fn the_ids_alone() {
    let one = Container::sleeping();
    let other = Container::beside(&one).args(["sleep"]);
    other.create().ok();
    for option in ["-q", "--quiet"] {
        let out = one.call("list").arg(option).run().quiet().stdout;
        let mut ids: Vec<&str> = out.lines().collect();
        ids.sort_unstable();
        let mut expected = [one.id(), other.id()];
        expected.sort_unstable();
        assert_eq!(ids, expected);
    }
}

fn empty_lists() {
    needs(Need::Not("crun", "its columns are others"));
    let c = Container::new();
    fs::create_dir(c.state_root()).expect("create an empty root");
    let table = c.call("list").run().quiet().stdout;
    assert_eq!(table.split_whitespace().collect::<Vec<_>>(), ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    assert_eq!(c.call("list").args(["--format", "json"]).run().quiet().json(), Value::Null);
    assert_eq!(c.call("list").arg("-q").run().quiet().stdout, "");
}

fn a_stopped_container_has_no_pid() {
    let c = Container::sleeping();
    c.kill("KILL").ok();
    c.wait_dead();
    let list = c.call("list").args(["--format", "json"]).run().quiet().json();
    assert_eq!((&list[0]["status"], &list[0]["pid"]), (&json!("stopped"), &json!(0)));
}

fn a_broken_entry_is_told_and_passed_over() {
    needs(Need::Not("crun", "it stops there"));
    let c = Container::sleeping();
    let broken = Container::beside(&c).args(["exit", "0"]);
    broken.create().ok();
    broken.start().ok();
    broken.wait_dead();
    let files = fs::read_dir(c.state_root().join(broken.id())).expect("list").flatten().map(|entry| entry.path());
    for file in files.filter(|path| path.is_file()) {
        fs::write(file, "{").expect("damage it");
    }
    let output = c.call("list").args(["--format", "json"]).run().ok();
    assert!(output.stderr.contains(broken.id()), "stderr: {}", output.stderr);
    assert_eq!(output.json().as_array().map(Vec::len), Some(1));
    fs::remove_dir_all(c.state_root().join(broken.id())).expect("remove it");
    crate::support::leftovers::remove_cgroup(&broken.cgroup_dir()).expect("it is empty");
}

fn an_unknown_format_is_an_error() {
    needs(Need::Not("crun", "its text is another"));
    let c = Container::new();
    fs::create_dir(c.state_root()).expect("create an empty root");
    c.call("list").args(["--format", "xml"]).run().fails(["invalid format option"]);
}

fn the_short_option() {
    let c = Container::sleeping();
    assert_eq!(c.call("list").args(["-f", "json"]).run().quiet().json()[0]["id"], c.id());
}
