//! A case, and running many of them on several runtimes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use super::lane::Lane;
use super::outcome::{Not, Verdict, wrong};
use super::subject::{Subject, begin_case};

type Body = Box<dyn Fn(&Subject) -> Verdict + Send + Sync>;

/// One function of a part's file.
pub(crate) struct Case {
    pub(crate) name: String,
    body: Body,
}

impl Case {
    pub(crate) fn new(module: &str, name: &str, body: impl Fn(&Subject) -> Verdict + Send + Sync + 'static) -> Self {
        let part = module.rsplit("::").next().unwrap_or(module);
        Self { name: format!("{part}::{name}"), body: Box::new(body) }
    }
}

/// Lists a file's cases: `cases![a, b]` makes the `cases()` that are collected.
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        pub(crate) fn cases() -> Vec<crate::case::Case> {
            vec![$(crate::case::Case::new(module_path!(), stringify!($name), $name)),*]
        }
    };
}
pub(crate) use cases;

/// What became of a case with one runtime.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) runtime: String,
    pub(crate) version: String,
    pub(crate) machine: String,
    pub(crate) case: String,
    pub(crate) verdict: Verdict,
    pub(crate) seconds: f64,
}

impl Record {
    pub(crate) fn to_json(&self) -> Value {
        let (outcome, first, second) = match &self.verdict {
            Ok(()) => ("pass", "", ""),
            Err(Not::Right { expected, seen }) => ("fail", expected.as_str(), seen.as_str()),
            Err(Not::Applicable(reason)) => ("not applicable", reason.as_str(), ""),
            Err(Not::Supported(message)) => ("unsupported", message.as_str(), ""),
        };
        json!({"runtime": self.runtime, "version": self.version, "machine": self.machine, "case": self.case,
            "outcome": outcome, "text": first, "seen": second, "seconds": self.seconds})
    }

    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        let verdict = match value["outcome"].as_str()? {
            "pass" => Ok(()),
            "fail" => Err(Not::Right { expected: text("text")?, seen: text("seen")? }),
            "not applicable" => Err(Not::Applicable(text("text")?)),
            "unsupported" => Err(Not::Supported(text("text")?)),
            _ => return None,
        };
        Some(Self {
            runtime: text("runtime")?,
            version: text("version")?,
            machine: text("machine")?,
            case: text("case")?,
            verdict,
            seconds: value["seconds"].as_f64()?,
        })
    }
}

/// As many calls of a case may take as long as a call may.
const CALLS: u32 = 6;

/// Runs one case. Whatever happens in it is the case's: what a runtime prints may be anything.
pub(crate) fn run(case: &Case, subject: &Subject, machine: &str) -> Record {
    let begin = Instant::now();
    begin_case(subject.limit * CALLS);
    let verdict = catch_unwind(AssertUnwindSafe(|| (case.body)(subject))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default();
        Err(wrong("a case that runs to its end", format!("it broke off: {text}")))
    });
    let verdict = verdict.map_err(|not| not.without(&Lane::get().dir().display().to_string()));
    Record {
        runtime: subject.name.clone(),
        version: subject.version.clone(),
        machine: machine.to_owned(),
        case: case.name.clone(),
        verdict,
        seconds: begin.elapsed().as_secs_f64(),
    }
}

/// Runs every pair on `width` threads; `told` hears of each as it is over. The records come in the order of the pairs.
pub(crate) fn run_all(
    pairs: &[(&Case, &Subject)],
    machine: &str,
    width: usize,
    told: impl Fn(&Record) + Sync,
) -> Vec<Record> {
    let next = AtomicUsize::new(0);
    let records = Mutex::new(Vec::new());
    let work = || {
        while let index = next.fetch_add(1, Ordering::Relaxed)
            && let Some((case, subject)) = pairs.get(index)
        {
            let record = run(case, subject, machine);
            told(&record);
            records.lock().expect("nobody panics with it").push((index, record));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..width {
            scope.spawn(work);
        }
    });
    let mut records = records.into_inner().expect("nobody panics with it");
    records.sort_by_key(|(index, _)| *index);
    records.into_iter().map(|(_, record)| record).collect()
}
