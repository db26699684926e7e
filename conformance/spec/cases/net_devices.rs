//! Devices of the runtime's network in the container's.

use serde_json::{Value, json};

use crate::case::cases;
use crate::config::join_namespace;
use crate::container::Container;
use crate::network::OwnNetwork;
use crate::outcome::{Not, Verdict, applies, expect};
use crate::subject::Subject;

cases![moved, renamed, a_missing_one, a_taken_name, a_template, addresses_stay, up, not_moved_back];

/// A network that stands in for the host's, with the two ends of a cable: `here` and `there`.
fn network() -> Verdict<OwnNetwork> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    applies(std::env::split_paths(&path).any(|dir| dir.join("ip").is_file()), "takes the program ip")?;
    let network = OwnNetwork::enter();
    network.ip("link add here type veth peer name there");
    Ok(network)
}

fn with(s: &Subject, devices: Value) -> Container<'_> {
    Container::new(s).set("/linux/netDevices", devices)
}

/// The container's devices. A runtime of an older version of the specification has to ignore the property.
fn seen(s: &Subject, devices: Value) -> Verdict<Value> {
    let report = with(s, devices).report_if_supported()?;
    let network = report["network"].clone();
    let none = network.as_object().is_some_and(|devices| devices.keys().all(|name| name == "lo" || name == "sit0"));
    if none && !claims(s) { Err(unknown()) } else { Ok(network) }
}

fn unknown() -> Not {
    Not::Supported("its features don't name netDevices, and it ignores the property".into())
}

/// Whether the runtime says that it can.
fn claims(s: &Subject) -> bool {
    let c = Container::new(s);
    let features: Value = serde_json::from_str(&c.call("features").run().stdout).unwrap_or_default();
    features["linux"]["netDevices"]["enabled"] == true
}

fn has(network: &Value, name: &str) -> Verdict {
    expect(network.get(name).is_some(), format!("the device {name} is inside"), network)
}

fn moved(s: &Subject) -> Verdict {
    let _network = network()?;
    has(&seen(s, json!({"here": {}}))?, "here")
}

fn renamed(s: &Subject) -> Verdict {
    let _network = network()?;
    has(&seen(s, json!({"here": {"name": "inside0"}}))?, "inside0")
}

fn a_missing_one(s: &Subject) -> Verdict {
    let _network = network()?;
    seen(s, json!({"here": {}}))?;
    with(s, json!({"nowhere": {}})).create_refused("there is no such device")
}

fn a_taken_name(s: &Subject) -> Verdict {
    let network = network()?;
    network.ip("link add one type veth peer name two");
    seen(s, json!({"one": {}}))?;
    with(s, json!({"here": {"name": "lo"}})).create_refused("the name is taken inside")
}

fn a_template(s: &Subject) -> Verdict {
    let _network = network()?;
    let inside = seen(s, json!({"here": {"name": "inside%d"}}))?;
    has(&inside, "inside0")
}

fn addresses_stay(s: &Subject) -> Verdict {
    let network = network()?;
    network.ip("addr add 10.9.8.7/24 dev here");
    network.ip("-6 addr add fd00:1::5/64 dev here nodad");
    network.ip("link set here up");
    let inside = seen(s, json!({"here": {}}))?;
    has(&inside, "here")?;
    let addresses = inside["here"]["addresses"].to_string();
    for address in ["10.9.8.7/255.255.255.0", "fd00:1::5/"] {
        expect(addresses.contains(address), format!("the address {address} stays"), &addresses)?;
    }
    Ok(())
}

fn up(s: &Subject) -> Verdict {
    let _network = network()?;
    let inside = seen(s, json!({"here": {}}))?;
    has(&inside, "here")?;
    expect(inside["here"]["up"] == true, "the device is up", &inside)
}

/// A network that outlives the container keeps the device.
fn not_moved_back(s: &Subject) -> Verdict {
    let network = network()?;
    network.ip("link add one type veth peer name two");
    seen(s, json!({"one": {}}))?;
    let other = OtherNetwork::new();
    let c = with(s, json!({"here": {}}))
        .args(["exit", "0"])
        .edit(|config| join_namespace(config, "network", &other.path()));
    c.create_if_supported()?;
    c.start()?;
    c.wait_exit()?;
    c.delete().ok()?;
    let links = network.ip("-br link");
    let back = links.lines().any(|line| line.split(['@', ' ']).next() == Some("here"));
    expect(!back, "the device stays in its network", links)
}

/// A network namespace that a thread holds.
struct OtherNetwork(std::fs::File);

impl OtherNetwork {
    fn new() -> Self {
        let make = || {
            crate::lane::unshare(rustix::thread::UnshareFlags::NEWNET)?;
            std::fs::File::open("/proc/thread-self/ns/net")
        };
        Self(std::thread::spawn(make).join().expect("the thread doesn't panic").expect("make a network namespace"))
    }

    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&self.0))
    }
}
