//! `events`: what a container uses, as runc lays it out, and when the kernel killed in it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::{Container, Exit, Need, Running, needs, until};

cases![
    once_it_is_one_line,
    the_numbers_are_the_kernels,
    each_controller_that_is_there_has_its_part,
    block_devices_are_counted,
    throttling_is_counted,
    it_goes_on_until_the_last_process_is_gone,
    it_ends_with_a_container_that_was_there_at_first,
    a_container_that_waits_has_events,
    a_paused_container_has_events,
    a_kill_for_want_of_memory_is_told,
    the_kill_of_the_init_is_told_before_the_end,
    a_stopped_container_is_not_running,
    a_missing_container_does_not_exist,
    intervals_that_are_none_are_refused,
    flags_as_go_programs_read_them,
    a_reader_that_goes_away_ends_it,
];

fn others_lack_it() {
    needs(Need::Not("crun", "it has no such command"));
}

fn stats(c: &Container) -> Value {
    let output = c.call("events").arg("--stats").arg(c.id()).run().quiet();
    assert_eq!(output.stdout.lines().count(), 1, "{}", output.stdout);
    output.json()
}

fn stream(c: &Container, interval: &str) -> Running {
    c.call("events").args(["--interval", interval, c.id()]).spawn()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn file(c: &Container, name: &str) -> String {
    fs::read_to_string(c.cgroup_dir().join(name)).expect("a file of the cgroup").trim().to_owned()
}

fn once_it_is_one_line() {
    others_lack_it();
    let c = Container::sleeping();
    let event = stats(&c);
    assert_eq!((&event["type"], &event["id"]), (&json!("stats"), &json!(c.id())));
    let data = event["data"].as_object().expect("an object");
    for key in ["cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "intel_rdt"] {
        assert!(data[key].is_object(), "{key}: {event}");
    }
    assert_eq!((data.len(), &data["network_interfaces"]), (8, &Value::Null));
    assert_eq!(data["intel_rdt"], json!({}));
}

fn the_numbers_are_the_kernels() {
    others_lack_it();
    let c = Container::new().args(["sequence", "spawn", "2", "--", "spin", "50", "--", "sleep"]).up();
    let before = usage(&file(&c, "cpu.stat"));
    let data = stats(&c)["data"].clone();
    let after = usage(&file(&c, "cpu.stat"));
    let total = data["cpu"]["usage"]["total"].as_u64().expect("nanoseconds");
    assert!((before * 1000..=after * 1000).contains(&total), "{before} {total} {after}");
    assert!(total > 1_000_000, "it was busy for a while, and that is {total} ns");
    assert_eq!(data["pids"], json!({"current": 3}));
    if Path::new("/proc/pressure/cpu").exists() {
        assert!(data["cpu"]["psi"].is_object() && data["blkio"]["psi"].is_object(), "{data}");
    }
}

fn usage(cpu_stat: &str) -> u64 {
    let line = cpu_stat.lines().find_map(|line| line.strip_prefix("usage_usec ")).expect("the time");
    line.parse().expect("a number")
}

fn each_controller_that_is_there_has_its_part() {
    others_lack_it();
    for controller in ["memory", "pids", "hugetlb"] {
        needs(Need::Controller(controller));
    }
    let c = Container::new().args(["sleep"]);
    let c = c.set("/linux/resources/memory", json!({"limit": 64 << 20, "swap": 80 << 20}));
    let c = c.set("/linux/resources/pids", json!({"limit": 9})).up();
    let data = stats(&c)["data"].clone();
    let memory = &data["memory"];
    assert_eq!((&memory["usage"]["limit"], &memory["usage"]["failcnt"]), (&json!(64 << 20), &json!(0)));
    assert_eq!((&memory["swap"]["limit"], memory["swap"].get("max")), (&json!(80 << 20), None));
    let used = memory["usage"]["usage"].as_u64().expect("bytes");
    let most = memory["usage"]["max"].as_u64().expect("bytes");
    assert!(used > 0 && most >= used && most < 64 << 20, "{memory}");
    let listed = file(&c, "memory.stat").lines().count();
    assert_eq!(memory["raw"].as_object().expect("an object").len(), listed);
    assert_eq!(data["pids"], json!({"current": 1, "limit": 9}));
    assert_eq!(data["hugetlb"]["2MB"], json!({"failcnt": 0}));
}

fn block_devices_are_counted() {
    others_lack_it();
    needs(Need::Controller("io"));
    let c = Container::new().args(["sequence", "write-out", "/out/file", "2", "--", "sleep"]);
    let out = c.dir().join("out");
    fs::create_dir(&out).expect("make a directory");
    let c = c.bind(&out, "/out", []).up();
    let data = stats(&c)["data"].clone();
    for (list, least) in [("ioServiceBytesRecursive", 2 << 20), ("ioServicedRecursive", 1)] {
        let entries = data["blkio"][list].as_array().expect("a list");
        let written: u64 =
            entries.iter().filter(|one| one["op"] == "Write").filter_map(|one| one["value"].as_u64()).sum();
        assert!(written >= least, "{list}: {entries:?}");
        assert!(entries.iter().all(|one| one["major"].is_u64()), "{list}: {entries:?}");
    }
}

fn throttling_is_counted() {
    others_lack_it();
    needs(Need::Controller("cpu"));
    let c = Container::new().args(["sequence", "spin", "600", "--", "sleep"]);
    let c = c.set("/linux/resources/cpu", json!({"quota": 10_000, "period": 100_000})).up();
    let throttling = stats(&c)["data"]["cpu"]["throttling"].clone();
    for counter in ["periods", "throttledPeriods", "throttledTime"] {
        assert!(throttling[counter].as_u64().is_some_and(|count| count > 0), "{throttling}");
    }
}

fn it_goes_on_until_the_last_process_is_gone() {
    others_lack_it();
    let c = Container::sleeping();
    let events = stream(&c, "20ms");
    until("three lines", || (lines(&events.stdout()).len() >= 3).then_some(()));
    assert!(events.is_alive());
    c.kill("KILL").quiet();
    let told = events.wait().ok();
    assert!(told.stderr.is_empty(), "{}", told.stderr);
    assert!(lines(&told.stdout).iter().all(|event| event["type"] == "stats"));
}

fn it_ends_with_a_container_that_was_there_at_first() {
    others_lack_it();
    let c = Container::sleeping();
    // Nothing is told for an hour, and its end all the same.
    let events = stream(&c, "1h");
    std::thread::sleep(Duration::from_millis(100));
    assert!(events.is_alive());
    c.delete_by_force().quiet();
    assert_eq!(events.wait().ok().stdout, "");
}

fn a_container_that_waits_has_events() {
    others_lack_it();
    let c = Container::new().args(["sleep"]);
    c.create().ok();
    assert_eq!(stats(&c)["data"]["pids"]["current"], 1);
}

fn a_paused_container_has_events() {
    others_lack_it();
    let c = Container::sleeping();
    c.call("pause").arg(c.id()).run().quiet();
    assert_eq!(stats(&c)["data"]["pids"]["current"], 1);
}

fn a_kill_for_want_of_memory_is_told() {
    others_lack_it();
    needs(Need::Controller("memory"));
    let c = Container::new().args(["sleep"]);
    let c = c.set("/linux/resources/memory", json!({"limit": 16 << 20, "swap": 16 << 20})).up();
    let events = stream(&c, "1h");
    std::thread::sleep(Duration::from_millis(300));
    c.call("exec").args([c.id(), "/probe", "eat", "64"]).run().exits(137);
    until("the event", || events.stdout().contains("oom").then_some(()));
    c.kill("KILL").quiet();
    let told = lines(&events.wait().ok().stdout);
    assert_eq!(told[0], json!({"type": "oom", "id": c.id()}));
}

fn the_kill_of_the_init_is_told_before_the_end() {
    others_lack_it();
    needs(Need::Not("runc", "it may see the end first"));
    needs(Need::Controller("memory"));
    let c = Container::new().args(["eat", "64"]);
    let c = c.set("/linux/resources/memory", json!({"limit": 16 << 20, "swap": 16 << 20}));
    c.create().ok();
    let events = stream(&c, "1h");
    std::thread::sleep(Duration::from_millis(300));
    c.start().ok();
    assert_eq!(c.wait_exit(), Exit::Signal(9));
    assert_eq!(lines(&events.wait().ok().stdout), [json!({"type": "oom", "id": c.id()})]);
}

fn a_stopped_container_is_not_running() {
    others_lack_it();
    let c = Container::new().args(["exit", "0"]);
    c.create().ok();
    c.start().ok();
    c.wait_dead();
    for options in [&["--stats"][..], &[]] {
        let text = format!("container with id {} is not running", c.id());
        assert_eq!(c.call("events").args(options).arg(c.id()).run().exits(1).message(), text);
    }
}

fn a_missing_container_does_not_exist() {
    others_lack_it();
    let c = Container::new();
    c.call("events").arg(c.id()).run().fails(["container does not exist"]);
}

fn intervals_that_are_none_are_refused() {
    others_lack_it();
    let c = Container::sleeping();
    for none in ["0", "0s", "-5s"] {
        let output = c.call("events").args(["--interval", none, "--stats", c.id()]).run();
        assert_eq!(output.exits(1).message(), "duration interval must be greater than 0");
    }
    for wrong in ["5", "soon", "", "1x"] {
        let output = c.call("events").args(["--interval", wrong, c.id()]).run().exits(1);
        assert!(output.stderr.contains("for flag -interval: "), "{}", output.stderr);
    }
}

fn flags_as_go_programs_read_them() {
    others_lack_it();
    let c = Container::sleeping();
    for words in [["-stats", "-interval=1m30s", c.id()], [c.id(), "--stats=true", "--interval=1.5h"]] {
        assert_eq!(c.call("events").args(words).run().quiet().json()["type"], "stats");
    }
}

fn a_reader_that_goes_away_ends_it() {
    others_lack_it();
    needs(Need::Orlop("the error's text"));
    let c = Container::sleeping();
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("make a pipe");
    let events = c.call("events").args(["--interval", "50ms", c.id()]).spawn_into(writer);
    drop(reader);
    events.wait().fails(["write: broken pipe"]);
    assert_eq!(c.status(), "running");
}
