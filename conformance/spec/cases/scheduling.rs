//! Scheduler, I/O priority, CPUs.

use serde_json::{Value, json};

use crate::case::cases;
use crate::container::Container;
use crate::outcome::{Verdict, applies, expect, same};
use crate::subject::Subject;

cases![
    no_policy,
    policies,
    nice,
    priority,
    flags,
    deadline,
    no_io_class,
    io_priority,
    affinity_is_not_for_init,
    affinity_of_exec,
    affinity_without_final,
];

fn seen(s: &Subject, scheduler: Value) -> Verdict<Value> {
    let c = Container::new(s).set("/process/scheduler", scheduler);
    Ok(c.report_if_supported()?["scheduling"].clone())
}

fn no_policy(s: &Subject) -> Verdict {
    Container::new(s).set("/process/scheduler", json!({"nice": 1})).refused("scheduler has no policy")
}

/// Realtime policies take time that the cgroup was given, which not every machine gives.
fn policies(s: &Subject) -> Verdict {
    for (name, number) in [("SCHED_OTHER", 0), ("SCHED_BATCH", 3), ("SCHED_IDLE", 5)] {
        same(name, &seen(s, json!({"policy": name}))?["policy"], number)?;
    }
    Ok(())
}

fn nice(s: &Subject) -> Verdict {
    same("nice", &seen(s, json!({"policy": "SCHED_OTHER", "nice": 7}))?["nice"], 7)?;
    same("nice", &seen(s, json!({"policy": "SCHED_BATCH"}))?["nice"], 0)
}

/// Whether the suite itself may be scheduled in real time where containers are.
fn realtime(s: &Subject, scheduler: Value) -> Verdict<Value> {
    let c = Container::new(s).set("/process/scheduler", scheduler);
    let done = c.try_create();
    let refused = done.failed()
        && ["not permitted", "Permission", "busy", "invalid argument"]
            .iter()
            .any(|why| done.stderr.to_lowercase().contains(&why.to_lowercase()));
    applies(!refused, format!("this machine gives no realtime: {}", done.message()))?;
    done.ok_or_unsupported()?;
    let started = c.try_start();
    applies(
        !started.failed() || started.succeeded(),
        format!("this machine gives no realtime: {}", started.message()),
    )?;
    let pid = c.pid()?;
    c.until("its program ends", || (!crate::leftovers::is_alive(pid)).then_some(()))?;
    let report: Value = serde_json::from_str(&c.stdout()).unwrap_or_default();
    expect(!report.is_null(), "the program runs", c.stderr())?;
    Ok(report["scheduling"].clone())
}

fn priority(s: &Subject) -> Verdict {
    let seen = realtime(s, json!({"policy": "SCHED_FIFO", "priority": 10}))?;
    same("the policy", &seen["policy"], 1)?;
    same("the priority", &seen["priority"], 10)?;
    let seen = realtime(s, json!({"policy": "SCHED_RR", "priority": 3}))?;
    same("the policy", &seen["policy"], 2)?;
    same("the priority", &seen["priority"], 3)
}

fn flags(s: &Subject) -> Verdict {
    let seen = seen(s, json!({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_RESET_ON_FORK"]}))?;
    same("the flags", &seen["flags"], 1)
}

fn deadline(s: &Subject) -> Verdict {
    let times =
        json!({"policy": "SCHED_DEADLINE", "runtime": 10_000_000, "deadline": 30_000_000, "period": 40_000_000});
    let seen = realtime(s, times)?;
    same("the policy", &seen["policy"], 6)?;
    same("the runtime", &seen["runtime"], 10_000_000)?;
    same("the deadline", &seen["deadline"], 30_000_000)?;
    same("the period", &seen["period"], 40_000_000)
}

fn no_io_class(s: &Subject) -> Verdict {
    Container::new(s).set("/process/ioPriority", json!({"priority": 4})).refused("ioPriority has no class")
}

fn io_priority(s: &Subject) -> Verdict {
    for (class, number, priority) in [("IOPRIO_CLASS_BE", 2, 6), ("IOPRIO_CLASS_BE", 2, 0), ("IOPRIO_CLASS_IDLE", 3, 4)]
    {
        let c = Container::new(s).set("/process/ioPriority", json!({"class": class, "priority": priority}));
        let seen = c.report_if_supported()?["ioPriority"].clone();
        same(class, &seen, json!([number, priority]))?;
    }
    Ok(())
}

/// The CPUs that the suite may use, and one of them that is neither all of them nor none.
fn two_cpus() -> Verdict<(String, u32)> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list =
        status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default().trim().to_owned();
    let first: u32 = list.split([',', '-']).next().and_then(|cpu| cpu.parse().ok()).unwrap_or_default();
    applies(list != first.to_string(), "takes two CPUs")?;
    Ok((list, first))
}

fn affinity_is_not_for_init(s: &Subject) -> Verdict {
    let (all, one) = two_cpus()?;
    let c = Container::new(s)
        .set("/process/execCPUAffinity", json!({"initial": one.to_string(), "final": one.to_string()}));
    same("the CPUs of init", &c.report_if_supported()?["cpus"], all)
}

/// What `exec` with such a process sees.
fn executed(s: &Subject, affinity: Value) -> Verdict<Value> {
    let c = Container::new(s).args(["sleep"]).up()?;
    let mut process = c.config["process"].clone();
    process["args"] = json!(["/probe", "report"]);
    process["execCPUAffinity"] = affinity;
    let file = c.dir().join("process.json");
    std::fs::write(&file, process.to_string()).expect("write the process");
    let done = c.call("exec").arg("--process").arg(&file).arg(c.id()).run().ok_or_unsupported()?;
    Ok(done.json()?["cpus"].clone())
}

fn affinity_of_exec(s: &Subject) -> Verdict {
    let (_, one) = two_cpus()?;
    let seen = executed(s, json!({"initial": one.to_string(), "final": one.to_string()}))?;
    same("the CPUs of an executed process", &seen, one.to_string())
}

/// Without `final` the kernel decides; whoever left `initial` in force would be seen by it where the kernel moves the process to a
/// cpuset, and where it doesn't, `initial` stays.
fn affinity_without_final(s: &Subject) -> Verdict {
    let (all, one) = two_cpus()?;
    let seen = executed(s, json!({"initial": one.to_string()}))?;
    let good = [one.to_string(), all.clone()].iter().any(|list| seen == list.as_str());
    expect(good, format!("the CPUs are {one}, or the cgroup's {all}"), seen)
}
