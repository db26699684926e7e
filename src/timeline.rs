//! `--timeline`: when each named step of a command began and ended, in this process and in those that it makes.
//!
//! A step says its name itself, with one line at its beginning, and is over when that line's value goes out of scope:
//!
//! ```ignore
//! let _step = timeline::step("make the devices");
//! ```
//!
//! Without `--timeline` that is one look at a variable, and no system call. With it, the times go to memory that the child shares
//! until it executes its program; nothing of this is ever in a file or behind a descriptor that the container could have. The
//! caller's side writes the file when the command is done, also when it failed.
//!
//! Each entry in the shared memory is some words: when it began and ended, by whom, and its name. Times are nanoseconds of
//! `CLOCK_REALTIME`, because a time namespace moves the other clocks.

use std::borrow::Cow;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use crate::error::{Annotate, Context, Error, Result};
use crate::table::{self, Rows};
use crate::{log, sys};

/// Where a timeline goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A table, to standard error.
    Table,
    /// A trace for <https://ui.perfetto.dev> and `chrome://tracing`.
    Trace(PathBuf),
}

/// How many steps are remembered. A container with a thousand mounts has that many steps and some.
const CAPACITY: usize = 4096;

/// Of a name; what is longer is cut off.
const NAME_WORDS: usize = 6;

/// Words of an entry before its name.
const BEGIN: usize = 0;
const END: usize = 1;
const PROCESS: usize = 2;
const NAME: usize = 3;

const ENTRY_WORDS: usize = NAME + NAME_WORDS;

/// The shared memory: how many steps began, then the entries.
static MEMORY: OnceLock<&'static [AtomicU64]> = OnceLock::new();

/// Which process this is: 0 for the caller's side, one more with each birth.
static PROCESS_NUMBER: AtomicU64 = AtomicU64::new(0);

/// Whether this process has begun its last step.
static OVER: AtomicBool = AtomicBool::new(false);

/// A timeline being recorded.
#[derive(Debug)]
pub struct Recording {
    output: Output,
    begin: u64,
}

/// Starts to remember steps.
///
/// # Errors
/// When the file can't be written: better known before there is a container.
pub fn begin(output: Output) -> Result<Recording> {
    if let Output::Trace(path) = &output {
        // Not kept open: a descriptor is something that a container could get.
        File::create(path).call("open").doing(|| describe(path))?;
    }
    let memory = sys::shared_words(1 + CAPACITY * ENTRY_WORDS).call("mmap").doing(|| "--timeline")?;
    MEMORY.set(memory).map_err(|_| Error::new("one timeline at a time"))?;
    // The processor's time until here: execve(2), the kernel's part of it included, and starting over.
    let start_up = clock_gettime(ClockId::ProcessCPUTime);
    let start_up = Duration::try_from(start_up).map_or(0, nanoseconds);
    let now = now();
    let begin = now.saturating_sub(start_up);
    if let Some(entry) = Entry::new(begin, "start, and start over from a protected file") {
        entry.word(END).store(now, Ordering::Relaxed);
    }
    Ok(Recording { output, begin })
}

/// A step under way.
#[must_use = "it is over as soon as this is dropped"]
pub struct Step(Option<Entry>);

/// Begins a step of that name.
pub fn step(name: &str) -> Step {
    step_with(|| Cow::Borrowed(name))
}

/// Begins a step whose name has to be made up, which is only done when somebody wants to know.
pub fn step_with<'a>(name: impl FnOnce() -> Cow<'a, str>) -> Step {
    if MEMORY.get().is_none() || OVER.load(Ordering::Relaxed) {
        return Step(None);
    }
    Step(Entry::new(now(), &name()))
}

/// Begins the last step of this process, which ends with its program. From here on nothing is recorded: a filter of system calls
/// may be in force, and reading the clock may be one.
pub fn last_step(name: &str) {
    std::mem::forget(step(name));
    OVER.store(true, Ordering::Relaxed);
}

/// Called by a process that was just born.
pub fn born() {
    PROCESS_NUMBER.fetch_add(1, Ordering::Relaxed);
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(entry) = self.0.as_ref().filter(|_| !OVER.load(Ordering::Relaxed)) {
            entry.word(END).store(now(), Ordering::Relaxed);
        }
    }
}

/// A place in the shared memory.
struct Entry(&'static [AtomicU64]);

impl Entry {
    /// The next free place; `None` where there is none left.
    fn new(begin: u64, name: &str) -> Option<Self> {
        let (count, entries) = MEMORY.get()?.split_first()?;
        let index = usize::try_from(count.fetch_add(1, Ordering::Relaxed)).ok()?;
        let entry = Self(entries.chunks_exact(ENTRY_WORDS).nth(index)?);
        let mut bytes = [0; NAME_WORDS * 8];
        let length = name.floor_char_boundary(bytes.len());
        bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
        for (word, bytes) in entry.0[NAME..].iter().zip(bytes.as_chunks().0) {
            word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
        entry.word(PROCESS).store(PROCESS_NUMBER.load(Ordering::Relaxed), Ordering::Relaxed);
        // Last: an entry without a beginning is not there yet.
        entry.word(BEGIN).store(begin, Ordering::Release);
        Some(entry)
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        &self.0[index]
    }

    /// `None` for one that is not there yet.
    fn read(&self, zero: u64) -> Option<Seen> {
        let begin = self.word(BEGIN).load(Ordering::Acquire);
        let end = self.word(END).load(Ordering::Relaxed);
        let name: Vec<u8> = self.0[NAME..].iter().flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes()).collect();
        let name = String::from_utf8_lossy(&name);
        (begin != 0).then(|| Seen {
            begin: begin.saturating_sub(zero),
            took: (end != 0).then(|| end.saturating_sub(begin)),
            process: self.word(PROCESS).load(Ordering::Relaxed),
            name: name.trim_end_matches('\0').to_owned(),
        })
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, nanoseconds)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A step as it is shown: nanoseconds since the command began.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    begin: u64,
    /// `None` when it didn't come to its end in the process that began it, as the last one.
    took: Option<u64>,
    process: u64,
    name: String,
}

impl Recording {
    /// Writes what was remembered.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn finish(self) -> Result<()> {
        let mut all = read(self.begin);
        all.sort_by_key(|step| (step.begin, std::cmp::Reverse(step.took)));
        match &self.output {
            Output::Table => log::say(&as_table(&all)),
            Output::Trace(path) => {
                fs::write(path, as_trace(&all).to_string()).call("write").doing(|| describe(path))?;
            }
        }
        Ok(())
    }
}

fn read(zero: u64) -> Vec<Seen> {
    let Some((_, entries)) = MEMORY.get().and_then(|memory| memory.split_first()) else { return Vec::new() };
    entries.chunks_exact(ENTRY_WORDS).map_while(|words| Entry(words).read(zero)).collect()
}

fn describe(path: &Path) -> String {
    format!("--timeline {}", path.display())
}

/// Whose step it is. A process that joins a container or a namespace may have to make another one in its place.
fn side(process: u64) -> &'static str {
    match process {
        0 => "orlop",
        1 => "the container's process",
        _ => "its replacement",
    }
}

/// The format of Chrome's traces: complete events in microseconds, and one that only begins for the last step of a process.
fn as_trace(all: &[Seen]) -> Value {
    let mut processes: Vec<u64> = all.iter().map(|step| step.process).collect();
    processes.sort_unstable();
    processes.dedup();
    let names = processes.into_iter().map(
        |process| json!({ "ph": "M", "name": "thread_name", "pid": 1, "tid": process, "args": { "name": side(process) } }),
    );
    let events = all.iter().map(|step| {
        let mut event =
            json!({ "ph": "B", "name": step.name, "pid": 1, "tid": step.process, "ts": microseconds(step.begin) });
        if let Some(took) = step.took {
            event["ph"] = json!("X");
            event["dur"] = json!(microseconds(took));
        }
        event
    });
    json!({ "displayTimeUnit": "ms", "traceEvents": names.chain(events).collect::<Vec<_>>() })
}

#[allow(clippy::cast_precision_loss, reason = "a step takes less than the 52 days that a double counts in nanoseconds")]
fn microseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e3
}

/// A line for each step; the steps within another one are indented.
fn as_table(all: &[Seen]) -> String {
    let milliseconds = |nanoseconds| format!("{:.3}", microseconds(nanoseconds) / 1e3);
    let mut rows = Rows::default();
    for (i, step) in all.iter().enumerate() {
        let took = step.took.map_or("-".into(), milliseconds);
        let name = "  ".repeat(depth(&all[..i], step)) + &step.name;
        rows.add([&milliseconds(step.begin), &took, &side(step.process), &name]);
    }
    table::render(["AT (ms)", "TOOK (ms)", "WHO", "STEP"], &[rows])
}

/// How many of the earlier steps of the same process were still under way.
fn depth(earlier: &[Seen], step: &Seen) -> usize {
    let around =
        |other: &&Seen| other.process == step.process && other.took.is_some_and(|took| other.begin + took > step.begin);
    earlier.iter().filter(around).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(begin: u64, took: Option<u64>, process: u64, name: &str) -> Seen {
        Seen { begin, took, process, name: name.into() }
    }

    fn two_sides() -> Vec<Seen> {
        vec![
            seen(0, Some(5_000_000), 0, "wait"),
            seen(1_000_000, Some(2_000_000), 1, "mount"),
            seen(1_500_000, Some(500_000), 1, "mount /proc"),
            seen(4_000_000, None, 1, "execute"),
        ]
    }

    #[test]
    fn a_trace_has_complete_events_and_one_that_only_begins() {
        let trace = as_trace(&two_sides());
        let events = trace["traceEvents"].as_array().unwrap();
        let kinds: Vec<_> = events.iter().map(|event| event["ph"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["M", "M", "X", "X", "X", "B"]);
        assert_eq!(
            events[4],
            json!({ "ph": "X", "name": "mount /proc", "pid": 1, "tid": 1, "ts": 1500.0, "dur": 500.0 })
        );
    }

    #[test]
    fn a_table_indents_what_is_part_of_another_step_of_the_same_process() {
        let expected = "\
AT (ms)     TOOK (ms)   WHO                       STEP
0.000       5.000       orlop                     wait
1.000       2.000       the container's process   mount
1.500       0.500       the container's process     mount /proc
4.000       -           the container's process   execute
";
        assert_eq!(as_table(&two_sides()), expected);
    }

    #[test]
    fn without_a_recording_nothing_is_remembered() {
        drop(step("unseen"));
        drop(step_with(|| unreachable!("a name that nobody reads")));
        assert_eq!(read(0), Vec::new());
    }
}
