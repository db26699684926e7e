//! New limits for a container that is there already: what the caller names goes into what the container has.
//!
//! As with runc the two are put together in the config's own terms, where memory and swap are one number and a quota belongs to a
//! period. Written is what was named, and what hangs together with it; everything else stays as the kernel has it. Devices are none
//! of `update`'s business.

use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxHugepageLimit, LinuxMemory, LinuxResources, LinuxThrottleDevice, LinuxWeightDevice,
    Spec,
};
use serde_json::value::RawValue;

use super::resources::{Limit, Resources, Write};
use super::systemd::{self, Property};
use crate::bundle::ResourcesFile;
use crate::error::{Error, Result};

/// An update, decided in full.
#[derive(Debug)]
pub struct UpdatePlan {
    limits: Resources,
    /// What the container's state has to remember when it is done.
    pub record: Box<RawValue>,
}

/// The part of the config that is kept for [`UpdatePlan::new`].
pub(super) fn record(spec: &Spec) -> Result<Box<RawValue>> {
    let linux = spec.linux().as_ref();
    let resources = linux.and_then(|linux| linux.resources().as_ref()).cloned().unwrap_or_default();
    as_record(resources)
}

fn as_record(mut resources: LinuxResources) -> Result<Box<RawValue>> {
    resources.set_devices(None);
    serde_json::value::to_raw_value(&resources).map_err(|error| Error::new(error.to_string()))
}

impl UpdatePlan {
    /// Decides what is written, beside `recorded`.
    ///
    /// # Errors
    /// Names the field whose value can't be meant.
    pub fn new(recorded: &RawValue, asked: ResourcesFile) -> Result<Self> {
        let asked = asked.resources;
        let had: Option<LinuxResources> = serde_json::from_str(recorded.get())
            .map_err(|error| Error::new(error.to_string()).doing("the container's recorded limits"))?;
        let all = merged(had.unwrap_or_default(), &asked);
        let limits = Resources::convert(&to_write(asked, &all)).map_err(|error| explained(error, &all))?;
        Ok(Self { limits, record: as_record(all)? })
    }

    /// What is to be written, in order, into a cgroup that allows that much swap at the moment.
    ///
    /// Memory that gets less is moved to swap as far as that goes, and what is left over costs a process its life: so more swap
    /// is allowed before the limit of memory is set, and less of it afterwards.
    pub fn writes(&self, swap_now: Limit) -> Vec<Write> {
        let mut writes = self.limits.writes();
        if self.limits.memory.swap.is_some_and(|swap| swap.is_less_than(swap_now)) {
            let position = |file: &str| writes.iter().position(|write| write.file == file);
            if let (Some(swap), Some(memory)) = (position("memory.swap.max"), position("memory.max")) {
                writes[swap..=memory].rotate_left(1);
            }
        }
        writes
    }

    /// What systemd is told of it, where it made the cgroup.
    ///
    /// # Errors
    /// Names the field where systemd has no such value.
    pub fn properties(&self) -> Result<Vec<Property>> {
        systemd::properties(&self.limits)
    }

    /// The limits of memory, and of memory and swap, that may not be less than what is used: `checkBeforeUpdate`.
    pub fn least(&self) -> Option<(Limit, Limit)> {
        let memory = &self.limits.memory;
        let max = memory.max.filter(|_| memory.check_before_update)?;
        let both = match (max, memory.swap) {
            (Limit::At(max), Some(Limit::At(swap))) => Limit::At(max.saturating_add(swap)),
            _ => Limit::Max,
        };
        Some((max, both))
    }
}

impl Limit {
    fn is_less_than(self, other: Self) -> bool {
        match (self, other) {
            (Self::At(one), Self::At(other)) => one < other,
            (Self::At(_), Self::Max) => true,
            (Self::Max, _) => false,
        }
    }
}

/// A limit of memory and swap that the container had may not go with a new limit of memory.
fn explained(error: Error, all: &LinuxResources) -> Error {
    match all.memory().as_ref().and_then(LinuxMemory::swap) {
        Some(swap) if error.field_path() == Some("linux.resources.memory.swap") => {
            error.hint(format!("of memory and swap together the container has {swap}; name both"))
        }
        _ => error,
    }
}

/// What is named, and of memory and CPU time what belongs to it.
fn to_write(mut asked: LinuxResources, all: &LinuxResources) -> LinuxResources {
    if asked.memory().as_ref().is_some_and(|memory| *memory != LinuxMemory::default()) {
        asked.set_memory(*all.memory());
    }
    if let Some(named) = asked.cpu().as_ref().filter(|cpu| **cpu != LinuxCpu::default()) {
        let mut cpu = all.cpu().clone().unwrap_or_default();
        cpu.set_cpus(named.cpus().clone()).set_mems(named.mems().clone());
        if is_about_cpus_alone(named) {
            cpu = named.clone();
        }
        asked.set_cpu(Some(cpu));
    }
    asked
}

fn is_about_cpus_alone(cpu: &LinuxCpu) -> bool {
    let mut rest = cpu.clone();
    rest.set_cpus(None).set_mems(None);
    rest == LinuxCpu::default()
}

/// Everything that the container has afterwards.
fn merged(mut all: LinuxResources, asked: &LinuxResources) -> LinuxResources {
    if let Some(asked) = asked.memory() {
        let had = all.memory().unwrap_or_default();
        all.set_memory(Some(memory(had, asked)));
    }
    if let Some(asked) = asked.cpu() {
        let had = all.cpu().clone().unwrap_or_default();
        all.set_cpu(Some(cpu(had, asked)));
    }
    if asked.pids().is_some() {
        all.set_pids(*asked.pids());
    }
    if let Some(asked) = asked.block_io() {
        let had = all.block_io().clone().unwrap_or_default();
        all.set_block_io(Some(block_io(had, asked)));
    }
    if let Some(asked) = asked.hugepage_limits() {
        let mut pages = all.hugepage_limits().clone().unwrap_or_default();
        replace(&mut pages, asked, |one: &LinuxHugepageLimit| one.page_size().clone());
        all.set_hugepage_limits(Some(pages));
    }
    if let Some(asked) = asked.rdma() {
        let mut devices = all.rdma().clone().unwrap_or_default();
        devices.extend(asked.iter().map(|(name, limits)| (name.clone(), *limits)));
        all.set_rdma(Some(devices));
    }
    if let Some(asked) = asked.unified() {
        let mut files = all.unified().clone().unwrap_or_default();
        files.extend(asked.clone());
        all.set_unified(Some(files));
    }
    all
}

fn memory(mut all: LinuxMemory, asked: &LinuxMemory) -> LinuxMemory {
    // Without a limit of memory there is none of memory and swap either.
    let forgotten = (asked.limit() == Some(-1)).then_some(0);
    all.set_limit(asked.limit().or(all.limit()));
    all.set_swap(asked.swap().or(forgotten).or(all.swap()));
    all.set_reservation(asked.reservation().or(all.reservation()));
    all.set_check_before_update(asked.check_before_update().or(all.check_before_update()));
    all
}

fn cpu(mut all: LinuxCpu, asked: &LinuxCpu) -> LinuxCpu {
    let named = |list: &Option<String>| list.clone().filter(|list| !list.is_empty());
    all.set_shares(asked.shares().or(all.shares()));
    all.set_idle(asked.idle().or(all.idle()));
    all.set_burst(asked.burst().or(all.burst()));
    // Zero says nothing about either.
    all.set_quota(asked.quota().filter(|quota| *quota != 0).or(all.quota()));
    all.set_period(asked.period().filter(|period| *period != 0).or(all.period()));
    all.set_cpus(named(asked.cpus()).or_else(|| all.cpus().clone()));
    all.set_mems(named(asked.mems()).or_else(|| all.mems().clone()));
    all
}

fn block_io(mut all: LinuxBlockIo, asked: &LinuxBlockIo) -> LinuxBlockIo {
    let of_device = |one: &LinuxWeightDevice| (one.major(), one.minor());
    all.set_weight(asked.weight().or(all.weight()));
    let weights = with(all.weight_device().as_deref(), asked.weight_device().as_deref(), of_device);
    all.set_weight_device(weights);
    let throttles = |had: Option<&[LinuxThrottleDevice]>, asked: Option<&[LinuxThrottleDevice]>| {
        with(had, asked, |one| (one.major(), one.minor()))
    };
    let read_bps = throttles(all.throttle_read_bps_device().as_deref(), asked.throttle_read_bps_device().as_deref());
    all.set_throttle_read_bps_device(read_bps);
    let write_bps = throttles(all.throttle_write_bps_device().as_deref(), asked.throttle_write_bps_device().as_deref());
    all.set_throttle_write_bps_device(write_bps);
    let read_iops = throttles(all.throttle_read_iops_device().as_deref(), asked.throttle_read_iops_device().as_deref());
    all.set_throttle_read_iops_device(read_iops);
    let write_iops =
        throttles(all.throttle_write_iops_device().as_deref(), asked.throttle_write_iops_device().as_deref());
    all.set_throttle_write_iops_device(write_iops);
    all
}

fn with<T: Clone, K: PartialEq>(had: Option<&[T]>, asked: Option<&[T]>, key: impl Fn(&T) -> K) -> Option<Vec<T>> {
    let mut all = had.map(<[T]>::to_vec);
    if let Some(asked) = asked {
        replace(all.get_or_insert_default(), asked, key);
    }
    all
}

/// A later word about the same thing replaces an earlier one.
fn replace<T: Clone, K: PartialEq>(all: &mut Vec<T>, asked: &[T], key: impl Fn(&T) -> K) {
    for one in asked {
        all.retain(|earlier| key(earlier) != key(one));
        all.push(one.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;

    fn plan(had: &Value, asked: &Value) -> Result<UpdatePlan> {
        let recorded = serde_json::value::to_raw_value(had).unwrap();
        UpdatePlan::new(&recorded, ResourcesFile::read(asked.to_string().as_bytes(), Path::new("test")).unwrap())
    }

    /// `FILE=VALUE`, in order.
    fn writes(had: &Value, asked: &Value) -> Vec<String> {
        let writes = plan(had, asked).unwrap().writes(Limit::At(0));
        writes.iter().map(|write| format!("{}={}", write.file, write.value)).collect()
    }

    fn remembered(had: &Value, asked: &Value) -> Value {
        serde_json::from_str(plan(had, asked).unwrap().record.get()).unwrap()
    }

    fn everything() -> Value {
        json!({
            "memory": {"limit": 100, "swap": 150, "reservation": 50, "checkBeforeUpdate": true},
            "cpu": {"shares": 1024, "quota": 5000, "period": 10_000, "burst": 10, "cpus": "0-1", "mems": "0"},
            "pids": {"limit": 5},
            "blockIO": {"weight": 500, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 600}]},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 4}],
            "rdma": {"mlx": {"hcaHandles": 3}},
            "unified": {"memory.high": "90"},
        })
    }

    #[test]
    fn nothing_asked_is_nothing_written_and_all_remembered() {
        for asked in [json!({}), json!({"memory": {}, "cpu": {}, "blockIO": {}, "pids": {}, "unified": {}})] {
            assert!(writes(&everything(), &asked).is_empty(), "{asked}");
            assert_eq!(remembered(&everything(), &asked), remembered(&everything(), &json!({})));
        }
        assert!(writes(&Value::Null, &json!({})).is_empty());
    }

    #[test]
    fn what_is_not_named_is_not_written() {
        for (asked, expected) in [
            (json!({"pids": {"limit": 7}}), vec!["pids.max=7"]),
            (json!({"cpu": {"cpus": "1"}}), vec!["cpuset.cpus=1"]),
            (json!({"blockIO": {"weight": 10}}), vec!["io.bfq.weight=10"]),
            (json!({"unified": {"memory.low": "1"}}), vec!["memory.low=1"]),
            (
                json!({"hugepageLimits": [{"pageSize": "1GB", "limit": 0}]}),
                vec!["hugetlb.1GB.max=0", "hugetlb.1GB.rsvd.max=0"],
            ),
            (json!({"rdma": {"other": {"hcaObjects": 1}}}), vec!["rdma.max=other hca_object=1"]),
        ] {
            assert_eq!(writes(&everything(), &asked), expected, "{asked}");
        }
    }

    #[test]
    fn devices_stay_out_of_it() {
        let asked = json!({"devices": [{"allow": true, "access": "rwm"}]});
        assert!(writes(&everything(), &asked).is_empty());
        assert_eq!(remembered(&everything(), &asked)["devices"], Value::Null);
    }

    #[test]
    fn swap_is_what_is_left_of_both() {
        let had = json!({"memory": {"limit": 100, "swap": 150}});
        for (asked, expected) in [
            (json!({"limit": 120}), vec!["memory.swap.max=30", "memory.max=120"]),
            (json!({"swap": 200}), vec!["memory.swap.max=100", "memory.max=100"]),
            (json!({"swap": -1}), vec!["memory.swap.max=max", "memory.max=100"]),
            (json!({"limit": -1}), vec!["memory.swap.max=max", "memory.max=max"]),
            (json!({"limit": 200, "swap": 0}), vec!["memory.max=200"]),
            (json!({"reservation": 10}), vec!["memory.swap.max=50", "memory.max=100", "memory.low=10"]),
        ] {
            assert_eq!(writes(&had, &json!({"memory": asked})), expected, "{asked}");
        }
    }

    #[test]
    fn a_limit_above_what_both_may_have_says_what_to_do() {
        let error =
            plan(&json!({"memory": {"limit": 100, "swap": 150}}), &json!({"memory": {"limit": 200}})).unwrap_err();
        assert_eq!(error.field_path(), Some("linux.resources.memory.swap"));
        assert!(error.to_string().ends_with("the container has 150; name both)"), "{error}");
    }

    #[test]
    fn swap_that_gets_less_comes_after_the_limit_of_memory() {
        let files = |now| -> Vec<String> {
            let asked = json!({"memory": {"limit": 100, "swap": 150, "reservation": 5}, "pids": {"limit": 1}});
            plan(&json!({}), &asked).unwrap().writes(now).into_iter().map(|write| write.file).collect()
        };
        let more = ["pids.max", "memory.swap.max", "memory.max", "memory.low"];
        let less = ["pids.max", "memory.max", "memory.swap.max", "memory.low"];
        assert_eq!(files(Limit::At(49)), more);
        assert_eq!(files(Limit::At(50)), more);
        assert_eq!(files(Limit::At(51)), less);
        assert_eq!(files(Limit::Max), less);
    }

    #[test]
    fn a_quota_belongs_to_a_period() {
        let had = json!({"cpu": {"quota": 5000, "period": 10_000}});
        for (asked, expected) in [
            (json!({"quota": 7000}), "cpu.max=7000 10000"),
            (json!({"period": 20_000}), "cpu.max=5000 20000"),
            (json!({"quota": 7000, "period": 20_000}), "cpu.max=7000 20000"),
            (json!({"quota": 7000, "period": 0}), "cpu.max=7000 10000"),
            (json!({"quota": -1}), "cpu.max=max 10000"),
        ] {
            assert_eq!(writes(&had, &json!({"cpu": asked})), [expected], "{asked}");
        }
        assert_eq!(writes(&json!({}), &json!({"cpu": {"quota": 7000}})), ["cpu.max=7000 100000"]);
    }

    #[test]
    fn an_idle_container_has_no_weight_and_gets_its_own_back() {
        let had = json!({"cpu": {"shares": 1024}});
        assert_eq!(writes(&had, &json!({"cpu": {"idle": 1}})), ["cpu.idle=1"]);
        let idle = remembered(&had, &json!({"cpu": {"idle": 1}}));
        assert_eq!(writes(&idle, &json!({"cpu": {"shares": 2}})), ["cpu.idle=1"]);
        assert_eq!(writes(&idle, &json!({"cpu": {"idle": 0}})), ["cpu.idle=0", "cpu.weight=100"]);
    }

    #[test]
    fn a_second_update_builds_on_the_first() {
        let first = remembered(&everything(), &json!({"memory": {"limit": 110}, "cpu": {"period": 20_000}}));
        assert_eq!(writes(&first, &json!({"memory": {"swap": 200}}))[..2], ["memory.swap.max=90", "memory.max=110"]);
        assert!(writes(&first, &json!({"cpu": {"quota": 1000}})).contains(&"cpu.max=1000 20000".to_owned()));
        assert_eq!(first["cpu"]["cpus"], "0-1");
        assert_eq!(first["pids"]["limit"], 5);
    }

    #[test]
    fn lists_and_files_are_replaced_one_by_one() {
        let asked = json!({
            "blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}, {"major": 8, "minor": 16, "rate": 2}]},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 8}, {"pageSize": "1GB", "limit": 0}],
            "unified": {"memory.high": "80", "memory.low": "1"},
        });
        let after = remembered(&everything(), &asked);
        let rates: Vec<_> =
            after["blockIO"]["throttleReadBpsDevice"].as_array().unwrap().iter().map(|one| &one["rate"]).collect();
        assert_eq!(rates, [1, 2]);
        assert_eq!(after["blockIO"]["weight"], 500);
        assert_eq!(after["hugepageLimits"].as_array().unwrap().len(), 2);
        assert_eq!(after["unified"], json!({"memory.high": "80", "memory.low": "1"}));
    }

    #[test]
    fn memory_in_use_is_looked_at_when_that_is_asked_for() {
        let least = |had: &Value, asked: &Value| plan(had, asked).unwrap().least();
        let had = json!({"memory": {"limit": 100, "swap": 150, "checkBeforeUpdate": true}});
        let smaller = json!({"memory": {"limit": 90}});
        assert_eq!(least(&had, &smaller), Some((Limit::At(90), Limit::At(150))));
        assert_eq!(least(&had, &json!({"pids": {"limit": 1}})), None);
        assert_eq!(least(&json!({}), &smaller), None);
        assert_eq!(
            least(&json!({}), &json!({"memory": {"limit": 90, "checkBeforeUpdate": true}})),
            Some((Limit::At(90), Limit::Max))
        );
        assert_eq!(least(&had, &json!({"memory": {"limit": 90, "checkBeforeUpdate": false}})), None);
    }

    #[test]
    fn values_that_cannot_be_meant_are_refused() {
        for (asked, field) in [
            (json!({"cpu": {"idle": 2}}), "cpu.idle"),
            (json!({"blockIO": {"weight": 5}}), "blockIO.weight"),
            (json!({"unified": {"cgroup.kill": "1"}}), "unified[\"cgroup.kill\"]"),
            (json!({"memory": {"limit": -5}}), "memory.limit"),
        ] {
            let error = plan(&everything(), &asked).unwrap_err();
            assert_eq!(error.field_path(), Some(format!("linux.resources.{field}").as_str()));
        }
    }

    #[test]
    fn systemd_is_told_what_is_written() {
        let names = |asked: &Value| -> Vec<String> {
            let properties = plan(&everything(), asked).unwrap().properties().unwrap();
            properties.into_iter().map(|property| property.name).collect()
        };
        assert_eq!(names(&json!({"pids": {"limit": 3}})), ["TasksMax"]);
        assert_eq!(names(&json!({"memory": {"limit": 110}})), ["MemoryLow", "MemoryMax", "MemorySwapMax"]);
    }
}
