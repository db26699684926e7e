//! The flags of `update` as the JSON of a `linux.resources`, so that there is one reader for both.

use std::fmt::Display;
use std::str::FromStr;

use serde_json::{Map, Value, json};

use super::words::Limits;
use super::{set, size, text};
use crate::error::{Error, Result};

/// What the flags name, and nothing else.
///
/// # Errors
/// Begins as runc's: `invalid value for cpu-share: `.
pub(super) fn as_resources(flags: Limits) -> Result<Value> {
    let word = |value| set(value).as_deref().map(text);
    let mut memory = Map::new();
    let mut cpu = Map::new();
    for (field, flag, value) in [
        ("limit", "memory", flags.memory),
        ("reservation", "memory-reservation", flags.memory_reservation),
        ("swap", "memory-swap", flags.memory_swap),
    ] {
        put(&mut memory, field, word(value).map(|text| bytes(flag, &text)).transpose()?);
    }
    for (field, flag, value) in [
        ("shares", "cpu-share", flags.cpu_share),
        ("period", "cpu-period", flags.cpu_period),
        ("burst", "cpu-burst", flags.cpu_burst),
        ("realtimePeriod", "cpu-rt-period", flags.cpu_rt_period),
    ] {
        put(&mut cpu, field, word(value).map(|text| number::<u64>(flag, &text)).transpose()?);
    }
    for (field, flag, value) in [
        ("quota", "cpu-quota", flags.cpu_quota),
        ("idle", "cpu-idle", flags.cpu_idle),
        ("realtimeRuntime", "cpu-rt-runtime", flags.cpu_rt_runtime),
    ] {
        put(&mut cpu, field, word(value).map(|text| number::<i64>(flag, &text)).transpose()?);
    }
    put(&mut cpu, "cpus", word(flags.cpuset_cpus));
    put(&mut cpu, "mems", word(flags.cpuset_mems));
    let mut all = Map::new();
    put(&mut all, "memory", (!memory.is_empty()).then_some(memory));
    put(&mut all, "cpu", (!cpu.is_empty()).then_some(cpu));
    put(&mut all, "pids", flags.pids_limit.map(|limit| json!({"limit": limit})));
    put(&mut all, "blockIO", flags.blkio_weight.filter(|weight| *weight != 0).map(|weight| json!({"weight": weight})));
    Ok(all.into())
}

fn put(object: &mut Map<String, Value>, field: &str, value: Option<impl Into<Value>>) {
    object.extend(value.map(|value| (field.to_owned(), value.into())));
}

fn number<T: FromStr<Err: Display>>(flag: &str, text: &str) -> Result<T> {
    text.parse().map_err(|error| Error::new(format!("invalid value for {flag}: parsing {text:?}: {error}")))
}

fn bytes(flag: &str, text: &str) -> Result<i64> {
    size::parse(text).map_err(|error| Error::new(format!("invalid value for {flag}: {error}")))
}
