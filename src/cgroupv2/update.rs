//! New limits for a cgroup in use: all of them, or those that it had.

use std::collections::BTreeSet;

use rustix::io::Errno;

use super::{Cgroup, Unit};
use crate::error::{Annotate, Context, Error, Result};
use crate::plan::{Limit, LimitWrite, Otherwise, UpdatePlan};
use crate::timeline;

impl Cgroup {
    /// Puts new limits in force; and has systemd know them, where it made the cgroup.
    ///
    /// # Errors
    /// Names the field whose value the kernel or systemd doesn't take. The cgroup has the limits then that it had before.
    pub fn update(&self, plan: &UpdatePlan, unit: Option<&Unit>) -> Result<()> {
        let _step = timeline::step("put new limits in force");
        let properties = unit.map(|_| plan.properties()).transpose()?.unwrap_or_default();
        if let Some((memory, both)) = plan.least() {
            self.refuse_less_than_used(memory, both)?;
        }
        let writes = plan.writes(self.swap_limit());
        let before = self.before(&writes);
        let tell = |unit: &Unit| {
            unit.set(&properties)?;
            // systemd writes what it was told in an order of its own, and rounds a quota.
            self.write_limits(&writes)
        };
        self.write_limits(&writes)
            .and_then(|()| unit.filter(|_| !properties.is_empty()).map_or(Ok(()), tell))
            .map_err(|error| self.put_back(&before, error))
    }

    fn swap_limit(&self) -> Limit {
        let now = self.read("memory.swap.max").ok().and_then(|text| text.trim().parse().ok());
        now.map_or(Limit::Max, Limit::At)
    }

    /// In runc's words.
    fn refuse_less_than_used(&self, memory: Limit, both: Limit) -> Result<()> {
        let text = self.read("memory.current").call("read").doing(|| "memory.current")?;
        let used: u64 = text.trim().parse().map_err(|_| Error::new(format!("memory.current says {text:?}")))?;
        for (what, limit, field) in [("memory+swap", both, "swap"), ("memory", memory, "limit")] {
            if let Limit::At(limit) = limit
                && limit <= used
            {
                return Err(Error::new(format!("rejecting {what} limit {limit} <= usage {used}"))
                    .hint("checkBeforeUpdate is set; without it the kernel would kill")
                    .field(format!("linux.resources.memory.{field}")));
            }
        }
        Ok(())
    }

    /// What has to be written to undo the writes, in order.
    fn before(&self, writes: &[LimitWrite]) -> Vec<LimitWrite> {
        let mut undone = BTreeSet::new();
        let back = |write: &LimitWrite| {
            let (file, value) = match &write.otherwise {
                Otherwise::Use(other, value) if self.read(&write.file) == Err(Errno::NOENT) => (*other, value),
                _ => (write.file.as_str(), &write.value),
            };
            let value = undoing(file, &self.now(file)?, value)?;
            let back = LimitWrite { file: file.into(), value, field: write.field.clone(), otherwise: Otherwise::Skip };
            undone.insert((back.file.clone(), back.value.clone())).then_some(back)
        };
        let mut all: Vec<_> = writes.iter().filter_map(back).collect();
        all.reverse();
        all
    }

    /// The text of a file. A cpuset with processes can't be made empty again, so instead of nothing it is what that came to.
    fn now(&self, file: &str) -> Option<String> {
        let text = self.read(file).ok()?;
        let is_empty_set = file.starts_with("cpuset.") && text.trim().is_empty();
        if is_empty_set { self.read(&format!("{file}.effective")).ok() } else { Some(text) }
    }

    fn put_back(&self, before: &[LimitWrite], error: Error) -> Error {
        // Of two that bound each other one goes first.
        let refused = self.refusals(before.iter()).into_iter().map(|(write, _)| write);
        let left: Vec<String> =
            self.refusals(refused).iter().map(|(write, errno)| self.refused(write, *errno).to_string()).collect();
        if left.is_empty() {
            return error;
        }
        Error::new(format!("{error}; and what was changed before could not be put back: {}", left.join(", ")))
    }

    fn refusals<'a>(&self, writes: impl Iterator<Item = &'a LimitWrite>) -> Vec<(&'a LimitWrite, Errno)> {
        writes.filter_map(|write| Some((write, self.set(write).err()?))).collect()
    }
}

/// What undoes the writing of `value` into a file with that text. `None` where that can't be told.
///
/// Some files have a line for each device, of which one is written at a time.
fn undoing(file: &str, text: &str, value: &str) -> Option<String> {
    let text = text.trim();
    let (key, rest) = value.trim().split_once(' ').unwrap_or(("default", value));
    let of_key = text.lines().find(|line| line.split(' ').next() == Some(key));
    match (of_key, file) {
        (Some(line), _) => Some(line.to_owned()),
        // A device that had no line: none of its limits was set.
        (None, "io.max") => {
            let unlimited =
                rest.split(' ').filter_map(|limit| limit.split_once('=')).map(|(name, _)| format!(" {name}=max"));
            Some(format!("{key}{}", unlimited.collect::<String>()))
        }
        (None, "io.weight" | "io.bfq.weight") if key != "default" => Some(format!("{key} default")),
        // What an idle cgroup shows, and none can be given.
        (None, "cpu.weight") if text == "0" => None,
        (None, _) if text.lines().count() == 1 => Some(text.to_owned()),
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_values_are_put_back() {
        for (file, text, value) in [
            ("memory.max", "max\n", "5"),
            ("memory.max", "4096\n", "max"),
            ("cpu.max", "max 100000\n", "5000 10000"),
            ("cpuset.cpus", "0-1\n", "0"),
            ("pids.max", "7\n", "8"),
            ("hugetlb.2MB.max", "max\n", "0"),
            ("io.bfq.weight", "default 100\n", "500"),
        ] {
            assert_eq!(undoing(file, text, value).as_deref(), Some(text.trim()), "{file}");
        }
        assert_eq!(undoing("cpu.weight", "0\n", "100"), None);
    }

    #[test]
    fn lines_of_a_device_are_put_back_alone() {
        let max = "8:0 rbps=1 wbps=max riops=max wiops=max\n8:16 rbps=2 wbps=max riops=max wiops=max\n";
        assert_eq!(undoing("io.max", max, "8:16 rbps=9").as_deref(), Some("8:16 rbps=2 wbps=max riops=max wiops=max"));
        assert_eq!(undoing("io.max", max, "8:32 rbps=9 wiops=3").as_deref(), Some("8:32 rbps=max wiops=max"));
        assert_eq!(undoing("io.max", "", "8:32 wbps=9").as_deref(), Some("8:32 wbps=max"));
        let weights = "default 100\n8:0 50\n";
        assert_eq!(undoing("io.weight", weights, "8:0 70").as_deref(), Some("8:0 50"));
        assert_eq!(undoing("io.weight", weights, "8:16 70").as_deref(), Some("8:16 default"));
        assert_eq!(undoing("io.weight", weights, "70").as_deref(), Some("default 100"));
        assert_eq!(undoing("io.weight", weights, "default 70").as_deref(), Some("default 100"));
        let rdma = "mlx hca_handle=2 hca_object=max\n";
        assert_eq!(undoing("rdma.max", rdma, "mlx hca_handle=9").as_deref(), Some("mlx hca_handle=2 hca_object=max"));
    }

    #[test]
    fn what_is_not_understood_is_left() {
        assert_eq!(undoing("x.y", "a 1\nb 2\n", "c 3"), None);
    }
}
