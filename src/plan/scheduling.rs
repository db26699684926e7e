//! How the process competes for the machine: its scheduling policy, its I/O priority, the CPUs of a process that joins.

use oci_spec::runtime::{
    IOPriorityClass, LinuxSchedulerFlag, LinuxSchedulerPolicy, Process as Oci, Scheduler as OciScheduler,
};

use super::number_list;
use crate::error::{Annotate, Error, Result};

/// `process.scheduler` and `process.ioPriority`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scheduling {
    /// The scheduling policy.
    pub scheduler: Option<Scheduler>,
    /// The I/O priority.
    pub io_priority: Option<IoPriority>,
}

/// `process.execCPUAffinity`: the CPUs of a process that joins a container. It says nothing of the container's own process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExecCpus {
    /// Where the runtime makes it.
    pub initial: Option<Vec<u32>>,
    /// Where it runs then.
    pub last: Option<Vec<u32>>,
}

/// A scheduling policy with its parameters, as in [`sched_setattr`](https://man7.org/linux/man-pages/man2/sched_setattr.2.html).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scheduler {
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// From -20, the most, to 19.
    pub nice: i32,
    /// Of the two real-time policies, from 1 to 99, the most.
    pub priority: u32,
    /// Of `SCHED_DEADLINE`, in nanoseconds.
    pub runtime: u64,
    /// Of `SCHED_DEADLINE`, in nanoseconds.
    pub deadline: u64,
    /// Of `SCHED_DEADLINE`, in nanoseconds.
    pub period: u64,
}

impl Scheduler {
    /// The kernel's number of the policy that admits a process only if all its CPUs are there for it.
    pub const DEADLINE: u32 = 6;
}

/// The class and the level in it, as [`ioprio_set`](https://man7.org/linux/man-pages/man2/ioprio_set.2.html) takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IoPriority {
    /// 1 real-time, 2 best-effort, 3 idle.
    pub class: u16,
    /// From 0, the most, to 7.
    pub level: u16,
}

impl Scheduling {
    pub(super) fn decide(process: &Oci) -> Result<Self> {
        Ok(Self {
            scheduler: process.scheduler().as_ref().map(scheduler).transpose()?,
            io_priority: process.io_priority().as_ref().map(io_priority).transpose()?,
        })
    }
}

impl ExecCpus {
    /// Every CPU that there can be.
    pub fn all() -> Vec<u32> {
        (0..=MAX_CPU).collect()
    }

    pub(super) fn decide(process: &Oci) -> Result<Self> {
        let Some(asked) = process.exec_cpu_affinity() else { return Ok(Self::default()) };
        Ok(Self {
            initial: cpus(asked.initial().as_deref(), "process.execCPUAffinity.initial")?,
            last: cpus(asked.cpu_affinity_final().as_deref(), "process.execCPUAffinity.final")?,
        })
    }
}

fn cpus(list: Option<&str>, field: &str) -> Result<Option<Vec<u32>>> {
    list.filter(|list| !list.is_empty()).map(|list| number_list::parse(list, MAX_CPU)).transpose().field(field)
}

/// glibc's `CPU_SETSIZE`.
const MAX_CPU: u32 = 1023;

fn scheduler(asked: &OciScheduler) -> Result<Scheduler> {
    let nice = asked.nice().unwrap_or(0);
    if !(-20..=19).contains(&nice) {
        return Err(Error::new(format!("{nice} is not from -20 to 19")).field("process.scheduler.nice"));
    }
    let policy = policy(*asked.policy());
    let planned = Scheduler {
        policy,
        flags: asked.flags().iter().flatten().copied().map(flag).fold(0, |all, one| all | one),
        nice,
        priority: priority(asked.priority().unwrap_or(0), policy)?,
        runtime: asked.runtime().unwrap_or(0),
        deadline: asked.deadline().unwrap_or(0),
        period: asked.period().unwrap_or(0),
    };
    let of_deadline = [("runtime", planned.runtime), ("deadline", planned.deadline), ("period", planned.period)];
    if policy == Scheduler::DEADLINE {
        return check_deadline(&planned).map(|()| planned);
    }
    match of_deadline.iter().find(|(_, value)| *value != 0) {
        Some((name, _)) => {
            Err(Error::new("is for the policy SCHED_DEADLINE").field(format!("process.scheduler.{name}")))
        }
        None => Ok(planned),
    }
}

/// What the kernel answers with no more than EINVAL: sched(7).
fn check_deadline(planned: &Scheduler) -> Result<()> {
    let &Scheduler { runtime, deadline, period, .. } = planned;
    let wrong = |name: &str, text: &str| Err(Error::new(text).field(format!("process.scheduler.{name}")));
    if runtime < 1024 {
        return wrong("runtime", "the policy SCHED_DEADLINE needs at least 1024 nanoseconds");
    }
    if deadline < runtime {
        return wrong("deadline", "is less than process.scheduler.runtime");
    }
    if period != 0 && period < deadline {
        return wrong("period", "is less than process.scheduler.deadline");
    }
    Ok(())
}

fn priority(priority: i32, policy: u32) -> Result<u32> {
    let field = "process.scheduler.priority";
    let real_time = matches!(policy, 1 | 2);
    match u32::try_from(priority) {
        Ok(0) if !real_time => Ok(0),
        Ok(level @ 1..=99) if real_time => Ok(level),
        _ if real_time => Err(Error::new(format!("{priority} is not from 1 to 99")).field(field)),
        _ => Err(Error::new("is for the policies SCHED_FIFO and SCHED_RR").field(field)),
    }
}

/// The kernel's numbers, `<linux/sched.h>`.
fn policy(policy: LinuxSchedulerPolicy) -> u32 {
    match policy {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => 4,
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => Scheduler::DEADLINE,
    }
}

/// The kernel's bits, `<linux/sched.h>`.
fn flag(flag: LinuxSchedulerFlag) -> u64 {
    match flag {
        LinuxSchedulerFlag::SchedResetOnFork => 0x01,
        LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
        LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
    }
}

fn io_priority(asked: &oci_spec::runtime::LinuxIOPriority) -> Result<IoPriority> {
    let class = match asked.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    match u16::try_from(asked.priority()) {
        Ok(level @ 0..=7) => Ok(IoPriority { class, level }),
        _ => Err(Error::new(format!("{} is not from 0 to 7", asked.priority())).field("process.ioPriority.priority")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn process(change: &Value) -> Oci {
        let mut process = json!({"cwd": "/", "args": ["sh"], "user": {"uid": 0, "gid": 0}});
        process.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        serde_json::from_value(process).unwrap()
    }

    fn decide(change: &Value) -> Result<Scheduling> {
        Scheduling::decide(&process(change))
    }

    fn refusal(scheduler: &Value) -> String {
        decide(&json!({"scheduler": scheduler})).unwrap_err().to_string()
    }

    #[test]
    fn every_policy_and_its_parameters() {
        for (name, number) in [("OTHER", 0), ("BATCH", 3), ("ISO", 4), ("IDLE", 5)] {
            let planned = decide(&json!({"scheduler": {"policy": format!("SCHED_{name}"), "nice": -20}})).unwrap();
            assert_eq!(
                planned.scheduler,
                Some(Scheduler { policy: number, nice: -20, ..Scheduler::default() }),
                "{name}"
            );
        }
        for (name, number) in [("FIFO", 1), ("RR", 2)] {
            let planned = decide(&json!({"scheduler": {"policy": format!("SCHED_{name}"), "priority": 99}})).unwrap();
            assert_eq!(planned.scheduler, Some(Scheduler { policy: number, priority: 99, ..Scheduler::default() }));
        }
        let deadline = json!({"policy": "SCHED_DEADLINE", "runtime": 5000, "deadline": 6000, "period": 7000,
            "flags": ["SCHED_RESET_ON_FORK", "SCHED_FLAG_RECLAIM"]});
        let planned = decide(&json!({"scheduler": deadline})).unwrap().scheduler.unwrap();
        let Scheduler { policy, flags, runtime, deadline, period, .. } = planned;
        assert_eq!((policy, flags, runtime, deadline, period), (6, 3, 5000, 6000, 7000));
    }

    #[test]
    fn every_flag_has_the_kernels_bit() {
        use LinuxSchedulerFlag as F;
        let all = [
            F::SchedResetOnFork,
            F::SchedFlagReclaim,
            F::SchedFlagDLOverrun,
            F::SchedFlagKeepPolicy,
            F::SchedFlagKeepParams,
            F::SchedFlagUtilClampMin,
            F::SchedFlagUtilClampMax,
        ];
        assert_eq!(all.map(flag), [1, 2, 4, 8, 16, 32, 64]);
    }

    #[test]
    fn parameters_that_do_not_fit_name_their_field() {
        for (scheduler, field) in [
            (json!({"policy": "SCHED_OTHER", "nice": 20}), "nice"),
            (json!({"policy": "SCHED_OTHER", "nice": -21}), "nice"),
            (json!({"policy": "SCHED_OTHER", "priority": 1}), "priority"),
            (json!({"policy": "SCHED_FIFO"}), "priority"),
            (json!({"policy": "SCHED_RR", "priority": 100}), "priority"),
            (json!({"policy": "SCHED_RR", "priority": -1}), "priority"),
            (json!({"policy": "SCHED_BATCH", "runtime": 1}), "runtime"),
            (json!({"policy": "SCHED_IDLE", "deadline": 1}), "deadline"),
            (json!({"policy": "SCHED_OTHER", "period": 1}), "period"),
            (json!({"policy": "SCHED_DEADLINE"}), "runtime"),
            (json!({"policy": "SCHED_DEADLINE", "runtime": 2000, "deadline": 1999}), "deadline"),
            (json!({"policy": "SCHED_DEADLINE", "runtime": 2000, "deadline": 3000, "period": 2999}), "period"),
        ] {
            let error = refusal(&scheduler);
            assert!(error.starts_with(&format!("process.scheduler.{field}: ")), "{scheduler}: {error}");
        }
    }

    #[test]
    fn classes_and_levels_of_io() {
        for (name, class) in [("RT", 1), ("BE", 2), ("IDLE", 3)] {
            let asked = json!({"ioPriority": {"class": format!("IOPRIO_CLASS_{name}"), "priority": 7}});
            assert_eq!(decide(&asked).unwrap().io_priority, Some(IoPriority { class, level: 7 }));
        }
        for level in [-1, 8] {
            let error = decide(&json!({"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": level}})).unwrap_err();
            assert!(error.to_string().starts_with("process.ioPriority.priority: "), "{error}");
        }
    }

    #[test]
    fn cpus_of_a_process_that_joins() {
        let decide = |asked| ExecCpus::decide(&process(&json!({"execCPUAffinity": asked})));
        let planned = decide(json!({"initial": "0-2,5", "final": "1"})).unwrap();
        assert_eq!((planned.initial, planned.last), (Some(vec![0, 1, 2, 5]), Some(vec![1])));
        let error = decide(json!({"final": "3-1"})).unwrap_err().to_string();
        assert!(error.starts_with("process.execCPUAffinity.final: "), "{error}");
    }
}
