//! The normative sentences of the specification as data: `sentences/*.txt`.
//!
//! A line is `section.number | strength | paraphrase | how it is tested`. The last part names cases, or starts with a dash and says
//! why no case can exist. The specification's own text is not repeated.

use std::collections::{BTreeMap, BTreeSet};

use super::report::add;

/// The release that the numbers follow.
pub(crate) const SPECIFICATION: &str = "1.3.0";

const FILES: [(&str, &str); 6] = [
    ("runtime", include_str!("sentences/runtime.txt")),
    ("runtime-linux", include_str!("sentences/runtime-linux.txt")),
    ("config", include_str!("sentences/config.txt")),
    ("config-linux", include_str!("sentences/config-linux.txt")),
    ("features", include_str!("sentences/features.txt")),
    ("features-linux", include_str!("sentences/features-linux.txt")),
];

/// The order in which numbers are printed. REQUIRED is a MUST about a property; STATES is what a field does where the specification says
/// so without one of RFC 2119's words.
pub(crate) const STRENGTHS: [&str; 8] =
    ["MUST", "MUST NOT", "REQUIRED", "SHOULD", "SHOULD NOT", "MAY", "MAY NOT", "STATES"];

/// Reasons that many sentences share.
const REASONS: [(&str, &str); 13] = [
    ("author", "a duty of whoever writes the config or the specification, which no runtime can break"),
    ("permission", "a permission: whatever a runtime does is right"),
    ("platform", "about another platform"),
    ("reader", "a duty of whoever reads the document"),
    ("json", "JSON has no other keys"),
    ("string", "a text is one or the other"),
    ("zero", "runtimes read a missing number as 0, which is a valid one, and the specification names no error"),
    ("false", "runtimes read a missing boolean as false, and the specification names no error"),
    ("kernel", "what the kernel does, not the runtime"),
    ("inner", "over before anybody outside could look"),
    ("later", "what the runtime doesn't do later shows in net_devices::not_moved_back alone"),
    ("v1", "cgroup v1, which cgroup v2 has nothing like"),
    ("update", "about `update`, which isn't one of the specification's operations"),
];

/// Reasons that a machine could take away.
const MACHINES: [(&str, &str); 2] = [
    ("rdt", "takes a CPU with Intel RDT, which no lane of this suite has"),
    ("rdma", "takes an RDMA device, which no lane of this suite has"),
];

pub(crate) enum Tested {
    By(Vec<&'static str>),
    Not(&'static str),
}

pub(crate) struct Sentence {
    pub(crate) file: &'static str,
    /// `file.section.number`.
    pub(crate) id: String,
    pub(crate) strength: &'static str,
    pub(crate) words: &'static str,
    pub(crate) tested: Tested,
}

impl Sentence {
    pub(crate) fn cases(&self) -> &[&'static str] {
        match &self.tested {
            Tested::By(cases) => cases,
            Tested::Not(_) => &[],
        }
    }
}

/// All of them, or what is wrong with the table.
pub(crate) fn all() -> Result<Vec<Sentence>, String> {
    let files = FILES.iter().map(|(file, text)| read(file, text));
    Ok(files.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// The sentences of one file.
pub(crate) fn read(file: &'static str, text: &'static str) -> Result<Vec<Sentence>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines.map(|(number, line)| parse(file, line).map_err(|why| format!("{file}.txt:{}: {why}", number + 1))).collect()
}

fn parse(file: &'static str, line: &'static str) -> Result<Sentence, String> {
    let parts: Vec<&str> = line.split('|').map(str::trim).collect();
    let [id, strength, words, tested] = parts[..] else { return Err(format!("{} parts instead of 4", parts.len())) };
    if !id.split('.').all(|part| !part.is_empty()) || !id.contains('.') {
        return Err(format!("{id:?} is no section.number"));
    }
    if !STRENGTHS.contains(&strength) {
        return Err(format!("{strength:?} is no strength"));
    }
    let tested = match tested.strip_prefix('-').map(str::trim) {
        Some("") => return Err("neither a case nor a reason".into()),
        Some(reason) => {
            let known = REASONS.iter().chain(&MACHINES).find(|(key, _)| *key == reason);
            Tested::Not(known.map_or(reason, |(_, sentence)| sentence))
        }
        None if tested.is_empty() => return Err("neither a case nor a reason".into()),
        None => Tested::By(tested.split_whitespace().collect()),
    };
    Ok(Sentence { file, id: format!("{file}.{id}"), strength, words, tested })
}

/// What is wrong between the table and the cases; empty is good.
pub(crate) fn mistakes(sentences: &[Sentence], cases: &BTreeSet<&str>) -> Vec<String> {
    let mut mistakes = Vec::new();
    let mut ids = BTreeSet::new();
    let mut named = BTreeSet::new();
    for sentence in sentences {
        if !ids.insert(&sentence.id) {
            mistakes.push(format!("{} comes twice", sentence.id));
        }
        for case in sentence.cases() {
            named.insert(*case);
            if !cases.contains(case) {
                mistakes.push(format!("{} names {case}, which is no case", sentence.id));
            }
        }
    }
    mistakes.extend(cases.difference(&named).map(|case| format!("no sentence names the case {case}")));
    mistakes
}

/// For each file, and for all, how many sentences of each strength there are and how many of those have a case.
pub(crate) fn coverage(sentences: &[Sentence]) -> BTreeMap<&str, BTreeMap<&str, (usize, usize)>> {
    let mut table: BTreeMap<&str, BTreeMap<&str, (usize, usize)>> = BTreeMap::new();
    for sentence in sentences {
        for file in [sentence.file, "all"] {
            let (all, covered) = table.entry(file).or_default().entry(sentence.strength).or_default();
            *all += 1;
            *covered += usize::from(!sentence.cases().is_empty());
        }
    }
    table
}

/// The same as text.
pub(crate) fn coverage_text(sentences: &[Sentence]) -> String {
    let table = coverage(sentences);
    let mut text = String::from("sentences with a case, of all:\n");
    let row = |cells: &[String]| cells.iter().fold(String::new(), |row, cell| row + &format!("{cell:>11}"));
    let head: Vec<String> = STRENGTHS.iter().map(ToString::to_string).collect();
    add(&mut text, format_args!("{:<15}{}\n", "", row(&[head, vec!["together".into()]].concat())));
    for file in FILES.iter().map(|(file, _)| *file).chain(["all"]) {
        let of = |strength: &str| table.get(file).and_then(|row| row.get(strength)).copied().unwrap_or_default();
        let together =
            STRENGTHS.iter().map(|strength| of(strength)).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let cell = |(all, covered): (usize, usize)| if all == 0 { "-".into() } else { format!("{covered}/{all}") };
        let cells: Vec<String> = STRENGTHS.iter().map(|strength| cell(of(strength))).chain([cell(together)]).collect();
        add(&mut text, format_args!("{file:<15}{}\n", row(&cells)));
    }
    text
}
