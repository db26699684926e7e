//! `linux.netDevices`: devices of the host in the container's network.

use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::config::drop_namespaces;
use crate::support::wait::until;
use crate::support::{Container, Need, OwnNetwork, needs};

cases![
    a_device_moves_and_is_up,
    a_device_gets_the_name_that_is_given,
    the_kernel_numbers_a_template,
    permanent_global_addresses_are_kept,
    several_devices_move,
    a_device_moves_into_a_users_network,
    hooks_of_the_runtime_find_it_moved,
    it_is_back_when_the_creation_fails,
    it_is_back_when_another_is_missing,
    a_missing_device_is_an_error,
    a_name_that_is_taken_is_an_error,
    a_device_that_may_not_move_is_an_error,
    bad_names_are_refused,
    without_a_network_namespace_it_is_refused,
];

/// A network with the two ends of a cable, `here` and `there`.
fn network() -> OwnNetwork {
    needs(Need::Program("ip"));
    needs(Need::Not("crun", "1.8 knows no network devices"));
    needs(Need::Not("runc", "1.1 knows no network devices"));
    let network = OwnNetwork::enter();
    network.ip("link add here type veth peer name there");
    network
}

fn with(devices: Value) -> Container {
    Container::new().set("/linux/netDevices", devices)
}

/// The container's devices by name: whether they are up, and their addresses.
fn seen(c: &Container) -> Value {
    c.run().ok().report()["network"].clone()
}

fn a_device_moves_and_is_up() {
    let network = network();
    let inside = seen(&with(json!({"here": {}})));
    assert_eq!(inside["here"]["up"], true, "{inside}");
    assert!(inside.get("there").is_none(), "{inside}");
    // With its end of the cable the other goes too, a moment after the container: the kernel takes networks down later.
    until("the cable to go with the container", || (!network.ip("-br link").contains("here")).then_some(()));
}

fn a_device_gets_the_name_that_is_given() {
    let _network = network();
    let inside = seen(&with(json!({"here": {"name": "lan0"}})));
    assert_eq!((inside["lan0"]["up"].clone(), inside.get("here")), (json!(true), None), "{inside}");
}

fn the_kernel_numbers_a_template() {
    let _network = network();
    let inside = seen(&with(json!({"here": {"name": "lan%d"}, "there": {"name": "lan%d"}})));
    assert!(inside.get("lan0").is_some() && inside.get("lan1").is_some(), "{inside}");
}

fn permanent_global_addresses_are_kept() {
    let network = network();
    for words in [
        "addr add 10.9.8.7/24 broadcast 10.9.8.255 dev here",
        "addr add 10.9.8.8/32 dev here",
        "addr add 10.1.1.1/24 dev here scope link",
        "addr add 10.2.2.2/24 dev here valid_lft 600 preferred_lft 600",
        "-6 addr add fd00:1::5/64 dev here nodad",
        "link set here up",
    ] {
        network.ip(words);
    }
    let inside = seen(&with(json!({"here": {"name": "lan0"}})));
    let addresses = inside["lan0"]["addresses"].as_array().expect("a list");
    for kept in ["10.9.8.7/255.255.255.0", "10.9.8.8/255.255.255.255", "fd00:1::5/ffff:ffff:ffff:ffff::"] {
        assert!(addresses.contains(&json!(kept)), "{kept}: {inside}");
    }
    for lost in ["10.1.1.1/255.255.255.0", "10.2.2.2/255.255.255.0"] {
        assert!(!addresses.contains(&json!(lost)), "{lost}: {inside}");
    }
}

fn several_devices_move() {
    let _network = network();
    let inside = seen(&with(json!({"here": {"name": "b"}, "there": {"name": "a"}})));
    assert_eq!((&inside["a"]["up"], &inside["b"]["up"]), (&json!(true), &json!(true)), "{inside}");
}

fn a_device_moves_into_a_users_network() {
    let _network = network();
    let inside = seen(&with(json!({"here": {}})).user_namespace(100_000, 65_536));
    assert_eq!(inside["here"]["up"], true, "{inside}");
}

fn hooks_of_the_runtime_find_it_moved() {
    let network = network();
    let c = with(json!({"here": {}})).hook("createRuntime", &[]).args(["sleep"]).up();
    assert_eq!(c.hook_order(), ["createRuntime"]);
    let left = network.ip("-br link");
    assert!(!left.lines().any(|line| line.starts_with("here")), "{left}");
    c.delete_by_force().ok();
}

/// The device of the host is as it was.
fn assert_back(network: &OwnNetwork) {
    let link = network.ip("-br addr show dev here");
    assert!(link.contains("10.9.8.7/24") && link.contains("UP"), "{link}");
}

/// `here` has an address and is up, and so is its other end.
fn equipped() -> OwnNetwork {
    let network = network();
    for words in ["addr add 10.9.8.7/24 dev here", "link set there up", "link set here up"] {
        network.ip(words);
    }
    network
}

fn it_is_back_when_the_creation_fails() {
    let network = equipped();
    let c = with(json!({"here": {"name": "lan0"}})).set("/process/args", json!(["/no/such/program"]));
    c.run().fails(["/no/such/program"]);
    assert_back(&network);
}

fn it_is_back_when_another_is_missing() {
    let network = equipped();
    with(json!({"here": {}, "nowhere": {}}))
        .run()
        .fails(["linux.netDevices.nowhere", "the host has no network device"]);
    assert_back(&network);
}

fn a_missing_device_is_an_error() {
    let _network = network();
    let c = with(json!({"nowhere": {}}));
    c.run().fails(["linux.netDevices.nowhere", "the host has no network device \"nowhere\""]);
    c.nothing_left();
}

fn a_name_that_is_taken_is_an_error() {
    let network = equipped();
    let c = with(json!({"here": {"name": "lo"}}));
    c.run().fails(["linux.netDevices.here", "the container has a network device \"lo\" already"]);
    assert_back(&network);
}

fn a_device_that_may_not_move_is_an_error() {
    let network = network();
    network.ip("link add bridge0 type bridge");
    let c = with(json!({"bridge0": {}}));
    c.run().fails(["linux.netDevices.bridge0", "rtnetlink: invalid argument"]);
    assert!(network.ip("-br link").contains("bridge0"));
}

fn bad_names_are_refused() {
    for (devices, field) in [
        (json!({"a/b": {}}), "linux.netDevices.a/b: "),
        (json!({"sixteen-bytes-xx": {}}), "linux.netDevices.sixteen-bytes-xx: "),
        (json!({"eth%d": {}}), "linux.netDevices.eth%d: "),
        (json!({"eth7": {"name": ".."}}), "linux.netDevices.eth7.name: "),
        (json!({"eth7": {"name": 5}}), "linux.netDevices.eth7.name: "),
    ] {
        with(devices).run().fails([field]);
    }
}

fn without_a_network_namespace_it_is_refused() {
    let c = with(json!({"eth7": {}})).edit(|config| drop_namespaces(config, &["network"]));
    c.run().fails(["linux.netDevices: needs a network namespace"]);
}
