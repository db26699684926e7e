//! Time namespaces: new, joined, and their clocks.

use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::config::join_namespace;
use crate::support::{Container, Need, needs};

cases![
    a_new_one_has_its_own_clocks,
    without_offsets_its_clocks_are_the_machines,
    it_is_joined_by_path,
    exec_has_the_containers_clocks,
    it_belongs_to_the_containers_user_namespace,
    it_is_made_in_a_joined_user_namespace,
    bad_offsets_are_refused,
    a_clock_before_its_start_is_refused,
];

fn own_monotonic() -> i64 {
    rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_sec
}

fn own_boottime() -> i64 {
    rustix::time::clock_gettime(rustix::time::ClockId::Boottime).tv_sec
}

fn own_namespace() -> String {
    std::fs::read_link("/proc/self/ns/time").expect("read the link").to_string_lossy().into_owned()
}

/// A time namespace with those offsets in the config.
fn with(c: Container, offsets: &Value) -> Container {
    c.edit(|config| {
        config["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({"type": "time"}));
    })
    .set("/linux/timeOffsets", offsets.clone())
}

/// About that many seconds ahead of this process's clocks. A case takes less than 90 s.
fn assert_ahead(clocks: &Value, monotonic: i64, boottime: i64) {
    let seen = |clock: &str| clocks[clock].as_i64().expect("a clock");
    let (ahead, ahead_boot) = (own_monotonic() - seen("monotonic"), own_boottime() - seen("boottime"));
    assert!((-monotonic..-monotonic + 90).contains(&ahead), "monotonic: {clocks}");
    assert!((-boottime..-boottime + 90).contains(&ahead_boot), "boottime: {clocks}");
}

fn a_new_one_has_its_own_clocks() {
    let c =
        with(Container::new(), &json!({"monotonic": {"secs": 86_400, "nanosecs": 5}, "boottime": {"secs": 604_800}}));
    let report = c.run().ok().report();
    assert_ahead(&report["clocks"], 86_400, 604_800);
    assert_ne!(report["namespaces"]["time"], own_namespace());
}

fn without_offsets_its_clocks_are_the_machines() {
    let report = with(Container::new(), &json!({})).run().ok().report();
    assert_ahead(&report["clocks"], 0, 0);
    assert_ne!(report["namespaces"]["time"], own_namespace());
}

fn it_is_joined_by_path() {
    let first = with(Container::new().args(["sleep"]), &json!({"monotonic": {"secs": 5000}})).up();
    let path = format!("/proc/{}/ns/time", first.pid());
    let c = Container::new().edit(|config| join_namespace(config, "time", &path));
    let report = c.run().ok().report();
    assert_ahead(&report["clocks"], 5000, 0);
    assert_eq!(own_namespace(), std::fs::read_link("/proc/self/ns/time").expect("read the link").to_string_lossy());
}

fn exec_has_the_containers_clocks() {
    let c = with(Container::new().args(["sleep"]), &json!({"boottime": {"secs": 5000}})).up();
    let report = c.call("exec").arg(c.id()).args(["/probe", "report"]).run().ok().report();
    assert_ahead(&report["clocks"], 0, 5000);
}

fn it_belongs_to_the_containers_user_namespace() {
    let c = with(Container::new().user_namespace(100_000, 65_536), &json!({"monotonic": {"secs": 5000}}));
    assert_ahead(&c.run().ok().report()["clocks"], 5000, 0);
}

fn it_is_made_in_a_joined_user_namespace() {
    needs(Need::Orlop("in a joined user namespace the others are that one's"));
    let first = Container::new().user_namespace(100_000, 65_536).args(["sleep"]).up();
    let path = format!("/proc/{}/ns/user", first.pid());
    let c = with(Container::new().user_namespace(100_000, 65_536), &json!({"monotonic": {"secs": 5000}}))
        .edit(|config| join_namespace(config, "user", &path));
    assert_ahead(&c.run().ok().report()["clocks"], 5000, 0);
}

fn bad_offsets_are_refused() {
    let offset = json!({"monotonic": {"secs": 1}});
    Container::new().set("/linux/timeOffsets", offset.clone()).run().fails(["linux.timeOffsets", "time namespace"]);
    let joined = Container::new()
        .edit(|config| join_namespace(config, "time", "/proc/1/ns/time"))
        .set("/linux/timeOffsets", offset);
    joined.run().fails(["linux.timeOffsets", "exists already"]);
    let unknown = with(Container::new(), &json!({"realtime": {"secs": 1}}));
    unknown.run().fails(["linux.timeOffsets", "realtime"]);
    let too_many = with(Container::new(), &json!({"monotonic": {"nanosecs": 1_000_000_000}}));
    too_many.run().fails(["linux.timeOffsets.monotonic.nanosecs"]);
    let word = with(Container::new(), &json!({"monotonic": {"secs": "1"}}));
    word.run().fails(["linux.timeOffsets.monotonic.secs"]);
}

fn a_clock_before_its_start_is_refused() {
    let c = with(Container::new(), &json!({"monotonic": {"secs": -1_000_000_000}}));
    c.run().fails(["linux.timeOffsets.monotonic", "before its start"]);
    c.nothing_left();
}
