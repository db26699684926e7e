//! The program: where, with what, and what it is found by.

use serde_json::json;

use crate::case::cases;
use crate::container::Container;
use crate::outcome::{Verdict, expect, same};
use crate::subject::Subject;

cases![
    no_directory,
    a_relative_directory,
    directory,
    environment,
    no_arguments,
    arguments,
    found_in_path,
    not_found,
    not_executable,
    no_new_privileges,
    new_privileges,
    oom_score,
    oom_score_unset,
];

fn no_directory(s: &Subject) -> Verdict {
    Container::new(s).unset("/process/cwd").refused("process has no cwd")
}

fn a_relative_directory(s: &Subject) -> Verdict {
    Container::new(s).directory("/work").set("/process/cwd", "work").refused("cwd is relative")
}

fn directory(s: &Subject) -> Verdict {
    let report = Container::new(s).directory("/some/where").set("/process/cwd", "/some/where").report()?;
    same("the working directory", &report["cwd"], "/some/where")
}

fn environment(s: &Subject) -> Verdict {
    let expected =
        ["PATH=/bin:/usr/bin", "HOME=/some/where", "EMPTY=", "SPACES=a b  c", "EQUALS=a=b", "UNICODE=\u{fc}"];
    let report = Container::new(s).set("/process/env", json!(expected)).report()?;
    let mut seen: Vec<&str> = report["env"].as_array().into_iter().flatten().filter_map(|one| one.as_str()).collect();
    let mut expected = expected.to_vec();
    seen.sort_unstable();
    expected.sort_unstable();
    expect(seen == expected, format!("the environment is {expected:?}"), format!("{seen:?}"))
}

fn no_arguments(s: &Subject) -> Verdict {
    Container::new(s).set("/process/args", json!([])).refused("args is empty")?;
    Container::new(s).unset("/process/args").refused("process has no args")
}

fn arguments(s: &Subject) -> Verdict {
    let args = json!(["/probe", "report", "", "two words", "-x", "\u{fc}"]);
    let report = Container::new(s).set("/process/args", args.clone()).report()?;
    same("the arguments", &report["args"], args)
}

fn found_in_path(s: &Subject) -> Verdict {
    let c = Container::new(s).directory("/first").directory("/second");
    for dir in ["first", "second"] {
        let place = c.rootfs().join(dir).join("found");
        std::fs::hard_link(c.rootfs().join("probe"), place).expect("link the probe");
    }
    // What stands earlier in PATH and can't be executed is passed over.
    let c = c.file("/zero/found", "no program");
    let c = c
        .set("/process/env", json!(["PATH=/none:/zero:/first:/second"]))
        .set("/process/args", json!(["found", "report"]));
    let report = c.report()?;
    same("the program", &report["exe"], "/first/found")
}

fn not_found(s: &Subject) -> Verdict {
    Container::new(s).set("/process/args", json!(["/not/there"])).refused("the program doesn't exist")?;
    Container::new(s).set("/process/args", json!(["not-there"])).refused("the program isn't in PATH")
}

fn not_executable(s: &Subject) -> Verdict {
    Container::new(s)
        .file("/text", "no program")
        .set("/process/args", json!(["/text"]))
        .refused("the program can't be executed")
}

fn no_new_privileges(s: &Subject) -> Verdict {
    same("no_new_privs", &Container::new(s).set("/process/noNewPrivileges", true).report()?["noNewPrivs"], 1)
}

fn new_privileges(s: &Subject) -> Verdict {
    same("no_new_privs", &Container::new(s).set("/process/noNewPrivileges", false).report()?["noNewPrivs"], 0)
}

fn oom_score(s: &Subject) -> Verdict {
    for score in [500, 0, 1000] {
        same("oom_score_adj", &Container::new(s).set("/process/oomScoreAdj", score).report()?["oomScoreAdj"], score)?;
    }
    Ok(())
}

fn oom_score_unset(s: &Subject) -> Verdict {
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    let own: i64 = own.trim().parse().unwrap_or_default();
    same("oom_score_adj", &Container::new(s).report()?["oomScoreAdj"], own)
}
