//! How failures are told: once on stderr, once in the log, in the words that callers match; and the command line itself.

use std::fs;

use serde_json::Value;

use crate::support::case::cases;
use crate::support::{Call, Container, Lane, Need, needs};

cases![
    the_log_is_appended_to,
    the_log_has_one_object_for_each_failure,
    the_log_in_text,
    without_a_log_the_text_is_on_stderr,
    a_success_logs_nothing,
    a_relative_log_is_the_callers,
    an_unknown_log_format_is_an_error,
    a_log_that_cannot_be_opened_is_an_error,
    debug_adds_no_second_error,
    a_containers_own_failure_is_no_error_of_the_runtime,
    an_unknown_command_is_an_error,
    an_unknown_option_is_an_error,
    a_missing_argument_is_an_error,
    a_missing_value_is_an_error,
    an_argument_too_many_is_an_error,
    help_is_no_error,
    options_with_an_equals_sign,
    options_with_one_dash,
    switches_with_a_value,
    systemd_is_an_honest_error,
];

/// The runtime with a root of its own.
fn call(directory: &tempfile::TempDir) -> Call {
    Call::runtime(directory.path()).arg("--root").arg(directory.path().join("root"))
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(Lane::get().dir()).expect("create a directory")
}

fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("each line of the log is an object")).collect()
}

fn the_log_is_appended_to() {
    let directory = directory();
    let log = directory.path().join("log");
    fs::write(&log, "{\"before\":1}\n").expect("write a log");
    call(&directory).arg("--log").arg(&log).args(["--log-format", "json", "state", "none"]).run().exits(1);
    let all = objects(&fs::read_to_string(&log).expect("the log is there"));
    assert_eq!((&all[0]["before"], &all[1]["level"], all.len()), (&1.into(), &"error".into(), 2));
}

fn the_log_has_one_object_for_each_failure() {
    needs(Need::Not("crun", "its text is another"));
    let c = Container::new().set("/process/args", serde_json::json!(["/none"]));
    c.create().fails(["no such file or directory"]);
    c.start().fails(["does not exist"]);
    c.state_fails();
}

fn the_log_in_text() {
    needs(Need::Not("crun", "its layout is another"));
    let directory = directory();
    let log = directory.path().join("log");
    for format in [&[][..], &["--log-format", "text"]] {
        call(&directory).arg("--log").arg(&log).args(format).args(["state", "none"]).run().exits(1);
    }
    let text = fs::read_to_string(&log).expect("the log is there");
    assert_eq!(text.lines().count(), 2);
    for line in text.lines() {
        assert!(
            line.starts_with("time=\"") && line.contains(" level=error msg=\"container does not exist\""),
            "{line}"
        );
    }
}

fn without_a_log_the_text_is_on_stderr() {
    needs(Need::Not("crun", "its text is another"));
    let output = call(&directory()).args(["state", "none"]).run().exits(1);
    assert_eq!(output.stderr.matches("container does not exist").count(), 1);
    assert_eq!(output.stdout, "");
}

fn a_success_logs_nothing() {
    let c = Container::new().args(["exit", "0"]);
    for output in [c.create(), c.start()] {
        assert_eq!(output.quiet().log.as_deref(), Some(""));
    }
    c.wait_dead();
    assert_eq!(c.delete().quiet().log.as_deref(), Some(""));
}

fn a_relative_log_is_the_callers() {
    needs(Need::Not("crun", "it is the bundle's"));
    let c = Container::new();
    let call = Call::runtime(c.dir()).args(["--log", "here.log", "--log-format", "json", "--root"]).arg(c.state_root());
    call.args(["run", "--bundle", "none", c.id()]).cwd(c.dir()).run().exits(1);
    assert_eq!(objects(&fs::read_to_string(c.dir().join("here.log")).expect("it is there")).len(), 1);
}

fn an_unknown_log_format_is_an_error() {
    needs(Need::Not("crun", "its text is another"));
    let output = call(&directory()).args(["--log-format", "xml", "state", "none"]).run().exits(1);
    assert!(
        output.stderr.contains("invalid log-format") || output.stderr.contains("unknown log-format"),
        "{}",
        output.stderr
    );
}

fn a_log_that_cannot_be_opened_is_an_error() {
    let output = call(&directory()).args(["--log", "/none/such/log", "state", "none"]).run().exits(1);
    assert!(output.stderr.contains("/none/such/log"), "{}", output.stderr);
}

fn debug_adds_no_second_error() {
    let directory = directory();
    let log = directory.path().join("log");
    let output =
        call(&directory).arg("--debug").arg("--log").arg(&log).args(["--log-format", "json", "state", "none"]).run();
    output.exits(1);
    let all = objects(&fs::read_to_string(&log).expect("the log is there"));
    assert_eq!(all.iter().filter(|object| object["level"] == "error").count(), 1);
}

fn a_containers_own_failure_is_no_error_of_the_runtime() {
    let c = Container::new().args(["exit", "1"]);
    let output = c.run().exits(1);
    assert_eq!((output.stderr.as_str(), output.log.as_deref()), ("", Some("")));
}

fn an_unknown_command_is_an_error() {
    let output = call(&directory()).arg("bogus").run();
    assert!(output.code.is_some_and(|code| code != 0), "exit {:?}", output.code);
    assert!(output.stderr.contains("bogus"), "{}", output.stderr);
}

fn an_unknown_option_is_an_error() {
    for words in [&["--bogus", "state", "x"][..], &["state", "--bogus", "x"]] {
        let output = call(&directory()).args(words).run();
        assert!(output.code.is_some_and(|code| code != 0), "exit {:?}", output.code);
        assert!(output.stderr.contains("bogus"), "{}", output.stderr);
    }
}

fn a_missing_argument_is_an_error() {
    for command in ["create", "start", "state", "kill", "delete", "run"] {
        let output = call(&directory()).arg(command).run();
        assert!(output.code.is_some_and(|code| code != 0), "{command}: exit {:?}", output.code);
        assert!(!output.stderr.is_empty(), "{command} says nothing");
    }
}

fn a_missing_value_is_an_error() {
    needs(Need::Not("crun", "its text is another"));
    let output = call(&directory()).args(["create", "--bundle"]).run().exits(1);
    assert!(output.stderr.contains("flag needs an argument"), "{}", output.stderr);
}

fn an_argument_too_many_is_an_error() {
    for words in [["state", "x", "y"], ["start", "x", "y"], ["delete", "x", "y"]] {
        let output = call(&directory()).args(words).run();
        assert!(output.code.is_some_and(|code| code != 0), "{words:?}: exit {:?}", output.code);
    }
}

fn help_is_no_error() {
    for words in [&["--help"][..], &["create", "--help"], &["help"], &["-h"], &[]] {
        if Lane::get().kind().is("crun") && !words.contains(&"--help") {
            continue;
        }
        let output = Call::runtime(Lane::get().dir()).args(words).run().quiet();
        assert!(output.stdout.to_lowercase().contains("usage"), "{words:?}: {}", output.stdout);
    }
}

fn options_with_an_equals_sign() {
    let c = Container::new().args(["exit", "3"]);
    let call = Call::runtime(c.dir()).arg(format!("--root={}", c.state_root().display())).arg("--log-format=json");
    let call = call.arg("run").arg(format!("--bundle={}", c.bundle().display()));
    c.run().exits(3);
    call.arg(c.id()).run().exits(3);
}

fn options_with_one_dash() {
    needs(Need::Not("crun", "it takes them for letters"));
    let c = Container::new().args(["exit", "3"]);
    c.call("run").arg("-bundle").arg(c.bundle()).arg("-no-subreaper").arg(c.id()).run().exits(3);
}

fn switches_with_a_value() {
    needs(Need::Not("crun", "its switches take none"));
    let c = Container::sleeping();
    c.call("delete").args(["--force=false", c.id()]).run().fails(["that is not stopped"]);
    c.call("delete").args(["--force=true", c.id()]).run().quiet();
    c.nothing_left();
}

fn systemd_is_an_honest_error() {
    needs(Need::Orlop("its own state of work"));
    // Either it is built, and then it wants a path of systemd's kind, or it says that it isn't.
    let c = Container::new();
    let call = c.prepare(Call::runtime(c.dir()).arg("--systemd-cgroup")).arg("run");
    let message = call.arg("--bundle").arg(c.bundle()).arg(c.id()).run().fails([]).message();
    assert!(message.contains("systemd") || message.contains("cgroupsPath"), "{message}");
    c.nothing_left();
}
