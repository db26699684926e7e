//! What runc prints, byte by byte, beside what this runtime prints: `samples/` was captured from runc 1.5.0-rc.1.
//!
//! Before they are compared, times, pids, ids and paths are replaced by their names, and the runtime's own name by `runc`. An
//! error of Orlop's says more (the field of the config, the step), so of those that name a program only the part that engines read
//! is compared.

use std::fs;

use serde_json::json;

use crate::support::case::cases;
use crate::support::{Call, Container, Need, Output, needs};

cases![
    a_life,
    what_is_not_there,
    programs_that_cannot_be_executed,
    words_that_cannot_be_understood,
    each_sample_is_compared,
];

macro_rules! samples {
    ($($file:literal),* $(,)?) => {
        &[$(($file, include_str!(concat!("samples/", $file)))),*]
    };
}

const SAMPLES: &[(&str, &str)] = samples![
    "create-dup.stderr",
    "create-noargs.stderr",
    "create-notfound.stderr",
    "delete-nonexist.stderr",
    "delete-running.stderr",
    "events-stopped.stderr",
    "exec-isdir.stderr",
    "exec-nonexist.stderr",
    "exec-notfound.stderr",
    "exec-paused.stderr",
    "exec-stopped.stderr",
    "invalid-logformat.stderr",
    "kill-badsig.stderr",
    "kill-nonexist.stderr",
    "kill-stopped.stderr",
    "list-badformat.stderr",
    "list-empty-json.stdout",
    "list-empty-table.stdout",
    "list-json-stopped.stdout",
    "list-json.stdout",
    "list-quiet.stdout",
    "pause-stopped.stderr",
    "ps-json.stdout",
    "ps-stopped.stdout",
    "resume-twice.stderr",
    "spec-exists.stderr",
    "start-nonexist.stderr",
    "start-stopped.stderr",
    "start-twice.stderr",
    "state-created.stdout",
    "state-nonexist.stderr",
    "state-paused.stdout",
    "state-running.stdout",
    "state-stopped.stdout",
    "unknowncommand.stderr",
    "unknownflag.stderr",
    "update-empty.stderr",
];

const EXIT_CODES: &str = include_str!("samples/exit-codes.tsv");

fn container() -> Container {
    needs(Need::Not("crun", "these are runc's"));
    needs(Need::Not("runc", "older releases say some of it otherwise"));
    let c = Container::new().args(["sleep"]).edit(|config| config["annotations"] = json!({"org.example.k": "v"}));
    fs::create_dir_all(c.state_root()).expect("make the state root");
    c.write_config();
    c
}

/// `COMMAND` without a log file, as the samples were made, compared with the sample of that name in what it printed and how it
/// ended.
fn same(c: &Container, sample: &str, words: &[&str]) -> Output {
    let call = Call::runtime(c.dir()).arg("--root").arg(c.state_root()).args(words);
    compare(c, sample, call.run())
}

fn compare(c: &Container, sample: &str, output: Output) -> Output {
    let code = EXIT_CODES.lines().filter_map(|line| line.split_once('\t')).find(|(name, _)| *name == sample);
    let code = code.and_then(|(_, code)| code.parse().ok()).unwrap_or_else(|| panic!("no exit code of {sample}"));
    let output = output.exits(code);
    for (stream, text) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        if let Some(expected) = SAMPLES.iter().find(|(file, _)| *file == format!("{sample}.{stream}")) {
            assert_eq!(normal(c, text), normal(c, expected.1), "{sample}.{stream}");
        }
    }
    output
}

fn normal(c: &Container, text: &str) -> String {
    let mut text = without_times(text);
    let (rootfs, bundle) = (c.rootfs().display().to_string(), c.bundle().display().to_string());
    for (one, name) in [
        (rootfs.as_str(), "ROOTFS"),
        (bundle.as_str(), "BUNDLE"),
        ("/bundle/rootfs", "ROOTFS"),
        ("/bundle/b", "BUNDLE"),
        (c.id(), "ID"),
        ("smp-runc", "ID"),
        ("orlop", "runc"),
        ("process.args[0]: ", ""),
        ("unable to start container process: ", ""),
        ("error during container init: ", ""),
        // An accident of runc's parser.
        ("\\n\"", "\""),
    ] {
        text = text.replace(one, name);
    }
    let numbers = text.split_inclusive(|c: char| !c.is_ascii_digit()).map(|part| {
        let digits = part.trim_end_matches(|c: char| !c.is_ascii_digit());
        if digits.len() > 3 { part.replace(digits, "PID") } else { part.to_owned() }
    });
    numbers.collect::<String>().trim_end().to_owned()
}

/// Without what looks like `2026-11-22T15:33:52.990239614Z`.
fn without_times(text: &str) -> String {
    let is_time = |part: &str| humantime::parse_rfc3339(part).is_ok();
    text.split_inclusive(['"', ' ', '\n'])
        .map(|part| {
            let core = part.trim_end_matches(['"', ' ', '\n']);
            if is_time(core) { part.replace(core, "TIME") } else { part.to_owned() }
        })
        .collect()
}

fn a_life() {
    let c = container();
    let id = c.id();
    same(&c, "list-empty-json", &["list", "--format", "json"]);
    same(&c, "list-empty-table", &["list"]);
    c.create().ok();
    same(&c, "state-created", &["state", id]);
    let dup = Call::runtime(c.dir()).arg("--root").arg(c.state_root()).args(["create", "--bundle"]).arg(c.bundle());
    compare(&c, "create-dup", dup.arg(id).run());
    same(&c, "start", &["start", id]);
    c.wait_for("ready");
    same(&c, "start-twice", &["start", id]);
    same(&c, "state-running", &["state", id]);
    same(&c, "list-json", &["list", "--format", "json"]);
    same(&c, "list-quiet", &["list", "-q"]);
    same(&c, "list-badformat", &["list", "--format", "yaml"]);
    same(&c, "ps-json", &["ps", "--format", "json", id]);
    same(&c, "events-stats", &["events", "--stats", id]);
    same(&c, "update-empty", &["update", "-r", "-", id]);
    same(&c, "exec-ok", &["exec", id, "/probe", "exit", "0"]);
    same(&c, "exec-exit7", &["exec", id, "/probe", "exit", "7"]);
    same(&c, "pause", &["pause", id]);
    same(&c, "state-paused", &["state", id]);
    same(&c, "exec-paused", &["exec", id, "/probe", "exit", "0"]);
    same(&c, "resume", &["resume", id]);
    same(&c, "resume-twice", &["resume", id]);
    same(&c, "delete-running", &["delete", id]);
    same(&c, "kill-badsig", &["kill", id, "BOGUS"]);
    same(&c, "kill-KILL", &["kill", id, "KILL"]);
    c.wait_exit();
    same(&c, "state-stopped", &["state", id]);
    same(&c, "list-json-stopped", &["list", "--format", "json"]);
    same(&c, "ps-stopped", &["ps", "--format", "json", id]);
    same(&c, "events-stopped", &["events", "--stats", id]);
    same(&c, "exec-stopped", &["exec", id, "/probe", "exit", "0"]);
    same(&c, "kill-stopped", &["kill", id, "TERM"]);
    same(&c, "kill-all-stopped", &["kill", "--all", id, "9"]);
    same(&c, "pause-stopped", &["pause", id]);
    same(&c, "start-stopped", &["start", id]);
    same(&c, "delete-stopped", &["delete", id]);
}

fn what_is_not_there() {
    let c = container();
    for command in ["state", "start", "delete"] {
        same(&c, &format!("{command}-nonexist"), &[command, "nope"]);
    }
    same(&c, "kill-nonexist", &["kill", "nope", "TERM"]);
    same(&c, "exec-nonexist", &["exec", "nope", "ls"]);
    same(&c, "delete-force-nonexist", &["delete", "--force", "nope"]);
}

fn programs_that_cannot_be_executed() {
    let c = container().directory("/bin").up();
    same(&c, "exec-notfound", &["exec", c.id(), "/nope"]);
    same(&c, "exec-isdir", &["exec", c.id(), "/bin"]);
    let missing = container().set("/process/args", json!(["/nope"]));
    missing.write_config();
    let create = Call::runtime(c.dir()).arg("--root").arg(c.state_root()).args(["create", "--bundle"]);
    // runc's own error is a plain line here, and not the log's.
    let output = create.arg(missing.bundle()).arg(missing.id()).run().exits(1);
    let expected = SAMPLES.iter().find(|(file, _)| *file == "create-notfound.stderr").expect("a sample").1;
    let told = normal(&missing, &output.stderr).replace("\\\"", "\"");
    assert!(told.contains(&normal(&missing, expected)), "{told}");
}

fn words_that_cannot_be_understood() {
    let c = container();
    same(&c, "create-noargs", &["create"]);
    same(&c, "unknowncommand", &["bogus"]);
    same(&c, "unknownflag", &["create", "--bogus", "x"]);
    same(&c, "invalid-logformat", &["--log-format", "xml", "list"]);
    let bundle = c.bundle().display().to_string();
    same(&c, "spec-exists", &["spec", "--bundle", &bundle]);
}

/// None lies about unused.
fn each_sample_is_compared() {
    let text = include_str!("golden.rs");
    for (file, _) in SAMPLES {
        let (sample, _) = file.split_once('.').expect("a name and a stream");
        let is_named = text.contains(&format!("\"{sample}\"")) || text.matches(file).count() == 2;
        let command = sample.strip_suffix("-nonexist");
        assert!(is_named || command.is_some_and(|command| text.contains(&format!("\"{command}\""))), "{sample}");
    }
}
