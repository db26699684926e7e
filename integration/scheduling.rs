//! How the process competes: scheduling policy, I/O priority, CPUs; its execution domain; where its memory comes from.

use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::{Container, Need, needs};

cases![
    a_policy_and_its_niceness,
    every_policy,
    real_time_has_a_priority,
    a_deadline_has_its_times,
    flags_of_the_scheduler,
    the_callers_scheduling_stays_without_one,
    bad_schedulers_are_refused,
    the_kernels_refusal_names_the_scheduler,
    io_priority_of_every_class,
    bad_io_priorities_are_refused,
    exec_is_scheduled_as_the_container,
    exec_by_file_is_scheduled_as_the_file_says,
    exec_runs_on_its_cpus,
    exec_without_cpus_stays_where_it_is,
    the_init_is_not_bound_to_the_cpus_of_exec,
    exec_on_cpus_that_are_not_there,
    cpus_that_are_no_list_are_refused,
    a_32_bit_machine_is_shown,
    the_callers_personality_does_not_arrive,
    bad_personalities_are_refused,
    memory_comes_from_the_nodes,
    bad_memory_policies_are_refused,
];

fn report(c: &Container) -> Value {
    c.run().ok().report()
}

fn scheduled(scheduler: Value) -> Value {
    report(&Container::new().set("/process/scheduler", scheduler))["scheduling"].clone()
}

fn a_policy_and_its_niceness() {
    let seen = scheduled(json!({"policy": "SCHED_BATCH", "nice": 7}));
    assert_eq!((&seen["policy"], &seen["nice"]), (&json!(3), &json!(7)));
    let seen = scheduled(json!({"policy": "SCHED_OTHER", "nice": -5}));
    assert_eq!((&seen["policy"], &seen["nice"]), (&json!(0), &json!(-5)));
}

fn every_policy() {
    for (name, number) in [("OTHER", 0), ("BATCH", 3), ("IDLE", 5)] {
        assert_eq!(scheduled(json!({"policy": format!("SCHED_{name}")}))["policy"], number, "{name}");
    }
}

fn real_time_has_a_priority() {
    needs(Need::Capability("CAP_SYS_NICE"));
    for (name, number) in [("FIFO", 1), ("RR", 2)] {
        let seen = scheduled(json!({"policy": format!("SCHED_{name}"), "priority": 12}));
        assert_eq!((&seen["policy"], &seen["priority"]), (&json!(number), &json!(12)), "{name}");
    }
}

fn a_deadline_has_its_times() {
    needs(Need::Capability("CAP_SYS_NICE"));
    let seen = scheduled(json!({
        "policy": "SCHED_DEADLINE", "runtime": 1_000_000, "deadline": 500_000_000, "period": 1_000_000_000
    }));
    assert_eq!(seen["policy"], 6);
    assert_eq!((&seen["runtime"], &seen["deadline"]), (&json!(1_000_000), &json!(500_000_000)));
    assert_eq!(seen["period"], 1_000_000_000);
}

fn flags_of_the_scheduler() {
    let seen = scheduled(json!({"policy": "SCHED_OTHER", "nice": 3, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}));
    assert_eq!((&seen["flags"], &seen["nice"]), (&json!(1), &json!(3)));
    needs(Need::Capability("CAP_SYS_NICE"));
    let overrun = json!({"policy": "SCHED_DEADLINE", "runtime": 1_000_000, "deadline": 1_000_000_000,
        "flags": ["SCHED_FLAG_DL_OVERRUN"]});
    assert_eq!(scheduled(overrun)["flags"], 4);
}

fn the_callers_scheduling_stays_without_one() {
    assert_eq!(report(&Container::new())["scheduling"]["policy"], 0);
}

fn bad_schedulers_are_refused() {
    for (scheduler, field) in [
        (json!({"policy": "SCHED_FAST"}), "process.scheduler.policy"),
        (json!({"policy": "SCHED_OTHER", "nice": 20}), "process.scheduler.nice"),
        (json!({"policy": "SCHED_OTHER", "priority": 3}), "process.scheduler.priority"),
        (json!({"policy": "SCHED_FIFO"}), "process.scheduler.priority"),
        (json!({"policy": "SCHED_OTHER", "flags": ["SCHED_FAST"]}), "process.scheduler.flags[0]"),
        (json!({"policy": "SCHED_OTHER", "runtime": 5}), "process.scheduler.runtime"),
        (json!({}), "process.scheduler.policy"),
    ] {
        Container::new().set("/process/scheduler", scheduler).run().fails([field]);
    }
}

fn the_kernels_refusal_names_the_scheduler() {
    let c = Container::new().set("/process/scheduler", json!({"policy": "SCHED_ISO"}));
    c.run().fails(["process.scheduler", "sched_setattr: invalid argument"]);
    c.nothing_left();
}

fn io_priority_of_every_class() {
    for (name, class) in [("RT", 1), ("BE", 2), ("IDLE", 3)] {
        let asked = json!({"class": format!("IOPRIO_CLASS_{name}"), "priority": 5});
        let seen = report(&Container::new().set("/process/ioPriority", asked))["ioPriority"].clone();
        assert_eq!(seen, json!([class, 5]), "{name}");
    }
}

fn bad_io_priorities_are_refused() {
    for (asked, field) in [
        (json!({"class": "IOPRIO_CLASS_FAST", "priority": 0}), "process.ioPriority.class"),
        (json!({"class": "IOPRIO_CLASS_BE", "priority": 8}), "process.ioPriority.priority"),
        (json!({"class": "IOPRIO_CLASS_BE", "priority": -1}), "process.ioPriority.priority"),
    ] {
        Container::new().set("/process/ioPriority", asked).run().fails([field]);
    }
}

/// A container that waits, with those fields.
fn waiting(fields: &[(&str, Value)]) -> Container {
    let c = fields.iter().fold(Container::new(), |c, (field, value)| c.set(field, value.clone()));
    c.args(["sleep"]).up()
}

fn exec_report(c: &Container) -> Value {
    c.call("exec").arg(c.id()).args(["/probe", "report"]).run().ok().report()
}

fn exec_is_scheduled_as_the_container() {
    let c = waiting(&[
        ("/process/scheduler", json!({"policy": "SCHED_BATCH", "nice": 4, "flags": ["SCHED_FLAG_RESET_ON_FORK"]})),
        ("/process/ioPriority", json!({"class": "IOPRIO_CLASS_IDLE", "priority": 6})),
        ("/linux/personality", json!({"domain": "LINUX32"})),
        ("/linux/memoryPolicy", json!({"mode": "MPOL_BIND", "nodes": "0"})),
    ]);
    let seen = exec_report(&c);
    assert_eq!((&seen["scheduling"]["policy"], &seen["scheduling"]["nice"]), (&json!(3), &json!(4)));
    assert_eq!(seen["scheduling"]["flags"], 1);
    assert_eq!(seen["ioPriority"], json!([3, 6]));
    assert_eq!(seen["personality"], 8);
    assert_eq!(seen["memoryPolicy"], json!({"mode": 2, "nodes": 1}));
}

fn exec_by_file_is_scheduled_as_the_file_says() {
    let c = waiting(&[("/process/scheduler", json!({"policy": "SCHED_BATCH"}))]);
    let process = json!({
        "cwd": "/", "args": ["/probe", "report"], "user": {"uid": 0, "gid": 0},
        "scheduler": {"policy": "SCHED_IDLE"}, "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 1}
    });
    let file = c.dir().join("process.json");
    std::fs::write(&file, process.to_string()).expect("write the file");
    let seen = c.call("exec").arg("--process").arg(&file).arg(c.id()).run().ok().report();
    assert_eq!(seen["scheduling"]["policy"], 5);
    assert_eq!(seen["ioPriority"], json!([2, 1]));
}

fn exec_runs_on_its_cpus() {
    needs(Need::Cpus(2));
    let c = waiting(&[("/process/execCPUAffinity", json!({"initial": "0", "final": "1"}))]);
    assert_eq!(exec_report(&c)["cpus"], "1");
    let c = waiting(&[("/process/execCPUAffinity", json!({"initial": "0"}))]);
    assert_eq!(exec_report(&c)["cpus"], "0");
}

fn exec_without_cpus_stays_where_it_is() {
    let c = waiting(&[]);
    let own = std::fs::read_to_string("/proc/self/status").expect("read status");
    let own = own.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("the field").trim();
    assert_eq!(exec_report(&c)["cpus"], own);
}

fn the_init_is_not_bound_to_the_cpus_of_exec() {
    needs(Need::Cpus(2));
    let affinity = json!({"initial": "0", "final": "0"});
    let seen = report(&Container::new().set("/process/execCPUAffinity", affinity));
    assert_ne!(seen["cpus"], "0");
}

fn exec_on_cpus_that_are_not_there() {
    let c = waiting(&[("/process/execCPUAffinity", json!({"final": "1000"}))]);
    let output = c.call("exec").arg(c.id()).args(["/probe", "report"]).run().exits(255);
    let message = output.message();
    assert!(message.contains("process.execCPUAffinity.final: sched_setaffinity: "), "{message}");
}

fn cpus_that_are_no_list_are_refused() {
    for wrong in ["a", "1-", "0,,1", "3-1", "5000"] {
        let c = Container::new().set("/process/execCPUAffinity", json!({"initial": wrong}));
        c.run().fails(["process.execCPUAffinity.initial"]);
    }
}

fn a_32_bit_machine_is_shown() {
    let seen = report(&Container::new().set("/linux/personality", json!({"domain": "LINUX32"})));
    assert_eq!(seen["personality"], 8);
    if cfg!(target_arch = "x86_64") {
        assert_eq!(seen["machine"], "i686");
    }
}

fn the_callers_personality_does_not_arrive() {
    let seen = report(&Container::new().set("/linux/personality", json!({"domain": "LINUX"})));
    assert_eq!(seen["personality"], 0);
}

fn bad_personalities_are_refused() {
    for (asked, field) in [
        (json!({"domain": "BSD"}), "linux.personality.domain"),
        (json!({"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]}), "linux.personality.flags[0]"),
        (json!({}), "linux.personality.domain"),
    ] {
        Container::new().set("/linux/personality", asked).run().fails([field]);
    }
}

fn memory_comes_from_the_nodes() {
    let policy = |asked: Value| report(&Container::new().set("/linux/memoryPolicy", asked))["memoryPolicy"].clone();
    for (name, mode) in [("PREFERRED", 1), ("BIND", 2), ("INTERLEAVE", 3), ("PREFERRED_MANY", 5)] {
        let seen = policy(json!({"mode": format!("MPOL_{name}"), "nodes": "0"}));
        assert_eq!(seen, json!({"mode": mode, "nodes": 1}), "{name}");
    }
    assert_eq!(policy(json!({"mode": "MPOL_LOCAL"}))["mode"], 4);
    let flagged = policy(json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}));
    assert_eq!(flagged["mode"], 2 | 1 << 15);
}

fn bad_memory_policies_are_refused() {
    for (asked, field) in [
        (json!({"mode": "MPOL_NEAR"}), "linux.memoryPolicy.mode"),
        (json!({"mode": "MPOL_BIND"}), "linux.memoryPolicy.nodes"),
        (json!({"mode": "MPOL_BIND", "nodes": "a"}), "linux.memoryPolicy.nodes"),
        (json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_X"]}), "linux.memoryPolicy.flags[0]"),
        (json!({"mode": "MPOL_BIND", "nodes": "1023"}), "linux.memoryPolicy: set_mempolicy: invalid argument"),
    ] {
        let c = Container::new().set("/linux/memoryPolicy", asked);
        c.run().fails([field]);
        c.nothing_left();
    }
}
