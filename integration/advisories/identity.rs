//! Users, groups, capabilities and variables that the config didn't give.

use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::{Call, Container};

cases![
    the_callers_groups_do_not_arrive,
    the_callers_capabilities_do_not_arrive,
    a_user_id_that_means_no_change_is_refused,
    a_group_id_that_means_no_change_is_refused,
    an_id_that_wraps_is_refused,
    a_user_of_the_highest_id_is_that_user,
    nothing_is_inheritable_in_the_default_config,
    the_containers_passwd_gives_no_groups,
    a_variable_without_a_value_takes_nothing_from_the_caller,
];

/// Called by somebody with more groups, or capabilities, than usual.
fn launched(c: &Container, options: &[&str]) -> Value {
    let call = c.prepare(Call::launched(c.dir(), options)).arg("run").arg("--bundle").arg(c.bundle());
    call.arg(c.id()).run().ok().report()
}

/// CVE-2022-2989, CVE-2022-2990, CVE-2022-2995, CVE-2023-25173: groups that may do more, or less, than others.
fn the_callers_groups_do_not_arrive() {
    let c = Container::new().set("/process/user", json!({"uid": 1000, "gid": 1000, "additionalGids": [7]}));
    assert_eq!(launched(&c, &["--groups", "4242,4243"])["groups"], json!([7]));
    let c = Container::new();
    assert_eq!(launched(&c, &["--groups", "4242,4243"])["groups"], json!([]));
}

/// CVE-2022-29162, CVE-2022-27650, CVE-2025-27612, CVE-2016-8867: inheritable ones turn into permitted ones at execve.
fn the_callers_capabilities_do_not_arrive() {
    for user in [0, 1000] {
        let c = Container::new().set("/process/user/uid", user);
        let sets = launched(&c, &["--inheritable", "CAP_CHOWN"])["capabilities"].clone();
        assert_eq!((&sets["inheritable"], &sets["ambient"]), (&json!([]), &json!([])), "user {user}");
        assert_eq!(sets["bounding"], json!(["CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_AUDIT_WRITE"]));
    }
}

/// CVE-2024-40635: setresuid(2) takes it for "leave it", which is root.
fn a_user_id_that_means_no_change_is_refused() {
    let c = Container::new().set("/process/user/uid", u32::MAX);
    c.create().fails(["process.user.uid"]);
    c.nothing_left();
}

fn a_group_id_that_means_no_change_is_refused() {
    let c = Container::new().set("/process/user/gid", u32::MAX);
    c.create().fails(["process.user.gid"]);
    let c = Container::new().set("/process/user/additionalGids", json!([5, u32::MAX]));
    c.create().fails(["process.user.additionalGids[1]"]);
    c.nothing_left();
}

/// CVE-2024-40635: 2^32 isn't 0.
fn an_id_that_wraps_is_refused() {
    for id in [json!(4_294_967_296_u64), json!(-1), json!(18_446_744_073_709_551_615_u64), json!("0"), json!(0.5)] {
        let c = Container::new().set("/process/user/uid", id);
        c.create().fails(["process.user.uid"]);
        c.nothing_left();
    }
}

fn a_user_of_the_highest_id_is_that_user() {
    let highest = u32::MAX - 1;
    let c = Container::new().set("/process/user", json!({"uid": highest, "gid": highest}));
    let report = c.run().ok().report();
    assert_eq!((&report["uid"]["saved"], &report["gid"]["saved"]), (&json!(highest), &json!(highest)));
}

/// CVE-2022-29162, CVE-2022-24769: what `spec` writes.
fn nothing_is_inheritable_in_the_default_config() {
    let c = Container::new();
    let dir = c.dir().join("spec");
    std::fs::create_dir(&dir).expect("make a directory");
    Call::runtime(c.dir()).arg("spec").cwd(&dir).run().quiet();
    let text = std::fs::read_to_string(dir.join("config.json")).expect("read the config");
    let config: Value = serde_json::from_str(&text).expect("JSON");
    let sets = &config["process"]["capabilities"];
    assert!(sets["bounding"].as_array().is_some_and(|names| !names.is_empty()));
    let empty = |set: &Value| set.as_array().is_none_or(Vec::is_empty);
    assert!(empty(&sets["inheritable"]) && empty(&sets["ambient"]), "{sets}");
}

/// CVE-2016-3697's kin: membership that the image claims.
fn the_containers_passwd_gives_no_groups() {
    let c = Container::new()
        .file("/etc/passwd", "attacker:x:1000:0::/:/bin/sh\n")
        .file("/etc/group", "wheel:x:10:attacker,1000\n")
        .set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let report = c.run().ok().report();
    assert_eq!((&report["groups"], &report["gid"]["real"]), (&json!([]), &json!(1000)));
}

/// CVE-2026-57231: the image's environment names variables of the host.
fn a_variable_without_a_value_takes_nothing_from_the_caller() {
    let c = Container::new().set("/process/env", json!(["HOME=/", "SECRET", "*"]));
    let call = c.call("run").env("SECRET", "the caller's").arg("--bundle").arg(c.bundle());
    assert_eq!(call.arg(c.id()).run().ok().report()["env"], json!(["HOME=/"]));
}
