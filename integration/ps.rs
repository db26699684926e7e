//! `ps`: the processes of a container, as pids and as lines of the host's ps.

use std::fs;

use crate::support::case::cases;
use crate::support::config::drop_namespaces;
use crate::support::{Container, Need, needs};

cases![
    json_has_the_host_pids,
    json_of_no_process_is_null,
    the_table_is_the_hosts_ps,
    the_table_takes_options_of_ps,
    an_option_that_ps_refuses,
    a_table_without_pids_is_an_error,
    processes_in_cgroups_below_count,
    processes_that_outlived_the_init_count,
    a_paused_container_has_processes,
    an_unknown_format_is_an_error,
    a_missing_container_does_not_exist,
    an_environment_without_a_path_does_for_json,
];

fn json(c: &Container) -> Vec<i32> {
    let output = c.call("ps").args(["--format", "json", c.id()]).run().quiet();
    assert_eq!(output.stdout.lines().count(), 1);
    serde_json::from_str(&output.stdout).expect("a list of numbers")
}

fn json_has_the_host_pids() {
    let c = Container::sleeping();
    assert_eq!(json(&c), [c.pid()]);
    let c = Container::new().args(["sequence", "spawn", "3", "--", "sleep"]).up();
    let pids = json(&c);
    assert!(pids.len() == 4 && pids.contains(&c.pid()), "{pids:?}");
    needs(Need::Not("crun", "it has no such option"));
    c.call("ps").args(["-f", "json", c.id()]).run().quiet();
}

fn json_of_no_process_is_null() {
    needs(Need::Not("crun", "it prints an empty list"));
    let c = Container::new().args(["exit", "0"]);
    c.create().ok();
    c.start().ok();
    c.wait_dead();
    assert_eq!(c.call("ps").args(["--format", "json", c.id()]).run().quiet().stdout, "null\n");
}

fn the_table_is_the_hosts_ps() {
    needs(Need::Program("ps"));
    needs(Need::Not("crun", "it prints pids alone"));
    let c = Container::sleeping();
    for options in [&[][..], &["--format", "table"], &["-f", "table"]] {
        let table = c.call("ps").args(options).arg(c.id()).run().quiet().stdout;
        let [header, line] = table.lines().collect::<Vec<_>>()[..] else { panic!("not two lines: {table:?}") };
        assert_eq!(
            header.split_whitespace().collect::<Vec<_>>(),
            "UID PID PPID C STIME TTY TIME CMD".split(' ').collect::<Vec<_>>()
        );
        let fields: Vec<&str> = line.split_whitespace().collect();
        assert_eq!((fields[1], fields[7]), (c.pid().to_string().as_str(), "/probe"));
    }
}

fn the_table_takes_options_of_ps() {
    needs(Need::Program("ps"));
    needs(Need::Not("crun", "it passes no options on"));
    let c = Container::sleeping();
    for options in [&["-e", "-o", "pid,comm"][..], &["-eo", "pid,comm"]] {
        let table = c.call("ps").arg(c.id()).args(options).run().quiet().stdout;
        let words: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words, [vec!["PID", "COMMAND"], vec![c.pid().to_string().as_str(), "probe"]]);
    }
}

fn an_option_that_ps_refuses() {
    needs(Need::Program("ps"));
    needs(Need::Not("crun", "it passes no options on"));
    let c = Container::sleeping();
    let output = c.call("ps").args([c.id(), "--no-such-option"]).run();
    assert_eq!(output.code, Some(1));
    needs(Need::Orlop("the text"));
    output.fails(["run ps: exit status: 1: "]);
}

fn a_table_without_pids_is_an_error() {
    needs(Need::Program("ps"));
    needs(Need::Not("crun", "it passes no options on"));
    let c = Container::sleeping();
    c.call("ps").args([c.id(), "-e", "-o", "comm"]).run().fails(["couldn't find PID field in ps output"]);
}

fn processes_in_cgroups_below_count() {
    let c = Container::new().args(["sequence", "spawn", "1", "--", "sleep"]).up();
    let below = c.cgroup_dir().join("a/b");
    fs::create_dir_all(&below).expect("make cgroups");
    fs::write(below.join("cgroup.procs"), c.pid().to_string()).expect("move the init");
    let pids = json(&c);
    assert!(pids.len() == 2 && pids.contains(&c.pid()), "{pids:?}");
}

fn processes_that_outlived_the_init_count() {
    needs(Need::Not("crun", "older releases refuse a stopped container"));
    needs(Need::Not("runc", "older releases leave the cgroup behind"));
    let c = Container::new().args(["sequence", "spawn", "2", "--", "exit", "0"]);
    let c = c.edit(|config| drop_namespaces(config, &["pid"]));
    c.create().ok();
    c.start().ok();
    c.wait_dead();
    assert_eq!(json(&c).len(), 2);
}

fn a_paused_container_has_processes() {
    let c = Container::sleeping();
    c.call("pause").arg(c.id()).run().quiet();
    assert_eq!(json(&c), [c.pid()]);
}

fn an_unknown_format_is_an_error() {
    needs(Need::Not("crun", "its text is another"));
    let c = Container::sleeping();
    c.call("ps").args(["--format", "xml", c.id()]).run().fails(["invalid format option"]);
}

fn a_missing_container_does_not_exist() {
    needs(Need::Not("crun", "its text is another"));
    let c = Container::new();
    c.call("ps").arg(c.id()).run().fails(["container does not exist"]);
    c.call("ps").run().fails(["requires a minimum of 1 argument(s)"]);
}

fn an_environment_without_a_path_does_for_json() {
    let c = Container::sleeping();
    let output = c.call("ps").args(["--format", "json", c.id()]).env_clear().run().quiet();
    assert_eq!(output.stdout.trim(), format!("[{}]", c.pid()));
}
