//! Users, groups, capabilities and variables that the config didn't give.

use std::fs;

use rustix::fs::{XattrFlags, setxattr};
use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::config::join_namespace;
use crate::support::{Call, Container, Need, needs};

cases![
    the_callers_groups_do_not_arrive,
    the_callers_capabilities_do_not_arrive,
    a_files_inheritable_capabilities_give_a_user_nothing,
    a_user_id_that_means_no_change_is_refused,
    a_group_id_that_means_no_change_is_refused,
    an_id_that_wraps_is_refused,
    a_user_of_the_highest_id_is_that_user,
    nothing_is_inheritable_in_the_default_config,
    the_containers_passwd_gives_no_groups,
    a_variable_without_a_value_takes_nothing_from_the_caller,
    a_home_of_two_lines_is_written_nowhere,
    hundreds_of_mappings_arrive_as_they_are,
    what_is_too_long_is_refused,
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

/// CVE-2022-29162, CVE-2022-24769, as published: the image's file has inheritable capabilities, and the caller of the
/// runtime too.
fn a_files_inheritable_capabilities_give_a_user_nothing() {
    needs(Need::Capability("CAP_SETFCAP"));
    let net_raw = json!(["CAP_NET_RAW"]);
    let effective = |inheritable: &Value| {
        let sets = json!({"bounding": net_raw, "permitted": net_raw, "effective": net_raw, "inheritable": inheritable});
        let c = Container::new()
            .set("/process/user", json!({"uid": 1000, "gid": 1000}))
            .set("/process/capabilities", sets)
            .set("/process/noNewPrivileges", false)
            .set("/process/args", json!(["/capable", "report"]));
        let file = c.rootfs().join("capable");
        fs::copy(c.rootfs().join("probe"), &file).expect("copy the probe");
        // struct vfs_cap_data of capabilities(7): revision 2, effective; none permitted; CAP_NET_RAW (13) inheritable.
        let words: [u32; 5] = [0x0200_0001, 0, 1 << 13, 0, 0];
        let data: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        setxattr(&file, "security.capability", &data, XattrFlags::empty()).expect("give the file capabilities");
        launched(&c, &["--inheritable", "CAP_NET_RAW"])["capabilities"]["effective"].clone()
    };
    assert_eq!(effective(&json!([])), json!([]));
    // So the file is what it seems to be.
    assert_eq!(effective(&net_raw), net_raw);
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
    fs::create_dir(&dir).expect("make a directory");
    Call::runtime(c.dir()).arg("spec").cwd(&dir).run().quiet();
    let text = fs::read_to_string(dir.join("config.json")).expect("read the config");
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

/// CVE-2022-4318: the second line would be a user of the image.
fn a_home_of_two_lines_is_written_nowhere() {
    let passwd = "root:x:0:0:root:/root:/bin/sh\n";
    let c = Container::new().file("/etc/passwd", passwd).set("/root/readonly", false);
    let c = c.set("/process/env", json!(["HOME=/x\nevil::0:0::/:/bin/sh"]));
    assert_eq!(c.run().ok().report()["env"], json!(["HOME=/x\nevil::0:0::/:/bin/sh"]));
    assert_eq!(fs::read_to_string(c.rootfs().join("etc/passwd")).expect("read"), passwd);
}

/// CVE-2021-43784: lengths that wrapped made other mappings of them. The kernel takes 340 lines, and no more than a
/// page.
fn hundreds_of_mappings_arrive_as_they_are() {
    let lines = |count: u32| {
        (0..count).map(|id| json!({"containerID": id, "hostID": 100_000 + id * 2, "size": 1})).collect::<Vec<_>>()
    };
    let with = |c: Container, count| c.set("/linux/uidMappings", lines(count)).set("/linux/gidMappings", lines(count));
    let report = with(Container::new().user_namespace(100_000, 1), 250).run().ok().report();
    let expected: Value = (0..250).map(|id| json!([id, 100_000 + id * 2, 1])).collect();
    assert_eq!((&report["uidMap"], &report["gidMap"]), (&expected, &expected));
    let c = with(Container::new().user_namespace(100_000, 1), 5000);
    c.create().fails(["linux.uidMappings"]);
    c.nothing_left();
}

/// CVE-2021-43784: other long values, which are refused whole and not cut off.
fn what_is_too_long_is_refused() {
    let long = format!("/{}", "x/".repeat(35 * 1024));
    let c = Container::new().set("/process/cwd", long.as_str());
    c.create().fails(["process.cwd"]);
    let c = Container::new().edit(|config| join_namespace(config, "uts", &long)).unset("/hostname");
    c.create().fails(["linux.namespaces"]);
    let c = Container::new().mount(json!({"destination": long, "type": "tmpfs", "source": "tmpfs"}));
    c.create().fails(["mounts[7]"]);
    c.nothing_left();
}
