//! `linux.memoryPolicy`: from which NUMA nodes the container's processes get their memory.

use oci_spec::runtime::{LinuxMemoryPolicy, MemoryPolicyFlagType, MemoryPolicyModeType};

use super::number_list;
use crate::error::{Annotate, Error, Result};

/// The arguments of [`set_mempolicy`](https://man7.org/linux/man-pages/man2/set_mempolicy.2.html).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryPolicy {
    /// `MPOL_*`, with the flags.
    pub mode: i32,
    /// The nodes as a bit mask, the lowest 64 first; empty where the mode takes none.
    pub nodes: Vec<u64>,
}

/// Higher than any kernel's `MAX_NUMNODES`; what is above this machine's own limit the kernel refuses.
const MAX_NODE: u32 = 65_535;

impl MemoryPolicy {
    pub(super) fn decide(asked: &LinuxMemoryPolicy) -> Result<Self> {
        let field = "linux.memoryPolicy.nodes";
        let list = asked.nodes().as_deref().filter(|list| !list.is_empty());
        let nodes = list.map(|list| number_list::parse(list, MAX_NODE)).transpose().field(field)?;
        let mode = mode(asked.mode());
        match (needs_nodes(mode), &nodes) {
            (Some(true), None) => {
                return Err(Error::new(format!("is required for {}", asked.mode())).field(field));
            }
            (Some(false), Some(_)) => {
                return Err(Error::new(format!("{} takes no nodes", asked.mode())).field(field));
            }
            _ => (),
        }
        let flags = asked.flags().iter().flatten().copied().map(flag).fold(0, |all, one| all | one);
        if flags & STATIC_NODES != 0 && flags & RELATIVE_NODES != 0 {
            let text = "MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other";
            return Err(Error::new(text).field("linux.memoryPolicy.flags"));
        }
        Ok(Self { mode: mode | flags, nodes: mask(&nodes.unwrap_or_default()) })
    }
}

fn mask(nodes: &[u32]) -> Vec<u64> {
    let words = nodes.iter().max().map_or(0, |last| *last as usize / 64 + 1);
    let mut mask = vec![0_u64; words];
    for node in nodes {
        mask[*node as usize / 64] |= 1 << (node % 64);
    }
    mask
}

/// Whether the mode must have nodes, or must have none; `None`: it may have some.
fn needs_nodes(mode: i32) -> Option<bool> {
    match mode {
        libc::MPOL_DEFAULT | libc::MPOL_LOCAL => Some(false),
        libc::MPOL_PREFERRED => None,
        _ => Some(true),
    }
}

// Not in the libc crate: <linux/mempolicy.h>.
const PREFERRED_MANY: i32 = 5;
const WEIGHTED_INTERLEAVE: i32 = 6;
const NUMA_BALANCING: i32 = 1 << 13;
const RELATIVE_NODES: i32 = 1 << 14;
const STATIC_NODES: i32 = 1 << 15;

fn mode(mode: MemoryPolicyModeType) -> i32 {
    match mode {
        MemoryPolicyModeType::MpolDefault => libc::MPOL_DEFAULT,
        MemoryPolicyModeType::MpolPreferred => libc::MPOL_PREFERRED,
        MemoryPolicyModeType::MpolBind => libc::MPOL_BIND,
        MemoryPolicyModeType::MpolInterleave => libc::MPOL_INTERLEAVE,
        MemoryPolicyModeType::MpolLocal => libc::MPOL_LOCAL,
        MemoryPolicyModeType::MpolPreferredMany => PREFERRED_MANY,
        MemoryPolicyModeType::MpolWeightedInterleave => WEIGHTED_INTERLEAVE,
    }
}

fn flag(flag: MemoryPolicyFlagType) -> i32 {
    match flag {
        MemoryPolicyFlagType::MpolFNumaBalancing => NUMA_BALANCING,
        MemoryPolicyFlagType::MpolFRelativeNodes => RELATIVE_NODES,
        MemoryPolicyFlagType::MpolFStaticNodes => STATIC_NODES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn decide(asked: &Value) -> Result<MemoryPolicy> {
        MemoryPolicy::decide(&serde_json::from_value(asked.clone()).unwrap())
    }

    #[test]
    fn every_mode_has_the_kernels_number() {
        for (name, number, nodes) in [
            ("DEFAULT", 0, ""),
            ("PREFERRED", 1, "0"),
            ("BIND", 2, "0"),
            ("INTERLEAVE", 3, "0"),
            ("LOCAL", 4, ""),
            ("PREFERRED_MANY", 5, "0"),
            ("WEIGHTED_INTERLEAVE", 6, "0"),
        ] {
            let planned = decide(&json!({"mode": format!("MPOL_{name}"), "nodes": nodes})).unwrap();
            assert_eq!((planned.mode, planned.nodes.len()), (number, nodes.len()), "{name}");
        }
    }

    #[test]
    fn nodes_become_bits_and_flags_join_the_mode() {
        let planned = decide(&json!({"mode": "MPOL_BIND", "nodes": "0-1,64,1030", "flags": ["MPOL_F_STATIC_NODES"]}));
        let planned = planned.unwrap();
        assert_eq!(planned.mode, 2 | 1 << 15);
        assert_eq!((planned.nodes.len(), planned.nodes[0], planned.nodes[1], planned.nodes[16]), (17, 3, 1, 1 << 6));
    }

    #[test]
    fn what_the_kernel_would_refuse_without_a_word_names_its_field() {
        for (asked, field) in [
            (json!({"mode": "MPOL_BIND"}), "nodes"),
            (json!({"mode": "MPOL_LOCAL", "nodes": "0"}), "nodes"),
            (json!({"mode": "MPOL_DEFAULT", "nodes": "0"}), "nodes"),
            (json!({"mode": "MPOL_BIND", "nodes": "x"}), "nodes"),
            (json!({"mode": "MPOL_BIND", "nodes": "70000"}), "nodes"),
            (
                json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"]}),
                "flags",
            ),
        ] {
            let error = decide(&asked).unwrap_err().to_string();
            assert!(error.starts_with(&format!("linux.memoryPolicy.{field}: ")), "{asked}: {error}");
        }
    }
}
