//! `linux.memoryPolicy`.

use crate::error::{Annotate, Context, Result};
use crate::plan::MemoryPolicy;
use crate::sys;

/// This process, and what it executes, from now on.
pub(super) fn apply(policy: Option<&MemoryPolicy>) -> Result<()> {
    let Some(policy) = policy else { return Ok(()) };
    sys::set_mempolicy(policy.mode, &policy.nodes)
        .call("set_mempolicy")
        .hint("the machine, or the cgroup's cpuset, may lack the nodes; /sys/devices/system/node/online lists the machine's")
        .field("linux.memoryPolicy")
}
