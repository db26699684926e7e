//! Masked and read-only paths.

use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::{Container, Need, needs};

cases![
    a_masked_file_reads_empty,
    a_masked_directory_is_empty_and_read_only,
    masked_directories_share_one_file_system,
    masked_paths_that_do_not_exist_are_passed_over,
    masked_paths_below_a_mount,
    the_default_configs_masks,
    a_read_only_path_stays_readable,
    the_default_configs_read_only_paths,
    a_read_only_path_keeps_its_other_flags,
    a_read_only_path_covers_what_is_below,
    read_only_paths_that_do_not_exist_are_passed_over,
    other_paths_stay_writable,
    both_in_a_user_namespace,
    many_masked_paths,
    the_same_path_many_times,
];

fn masking(paths: Value) -> Container {
    Container::new().set("/linux/maskedPaths", paths)
}

fn a_masked_file_reads_empty() {
    let c = masking(json!(["/proc/version"])).args(["sequence", "cat", "/proc/version", "--", "stat", "/proc/version"]);
    let seen = c.run().ok().json()["/proc/version"].clone();
    assert_eq!((&seen["type"], &seen["major"], &seen["minor"]), (&json!("char"), &json!(1), &json!(3)));
}

fn a_masked_directory_is_empty_and_read_only() {
    let words = ["sequence", "ls", "/sys/kernel", "--", "try-mkdir", "/sys/kernel/x"];
    assert_eq!(masking(json!(["/sys/kernel"])).args(words).run().ok().stdout, "{}\nEROFS\n");
}

fn masked_directories_share_one_file_system() {
    needs(Need::Orlop("one empty file system for all masked directories"));
    let report = masking(json!(["/sys/kernel", "/proc/fs", "/proc/irq"]))
        .set("/linux/readonlyPaths", json!([]))
        .run()
        .ok()
        .report();
    let mounts = report["mounts"].as_array().expect("mounts");
    let device =
        |target: &str| mounts.iter().find(|mount| mount["target"] == target).map(|mount| mount["device"].clone());
    assert!(device("/sys/kernel").is_some());
    assert_eq!(device("/sys/kernel"), device("/proc/fs"));
    assert_eq!(device("/sys/kernel"), device("/proc/irq"));
}

fn masked_paths_that_do_not_exist_are_passed_over() {
    masking(json!(["/proc/none", "/none", "/sys/none/below"])).run().quiet();
}

fn masked_paths_below_a_mount() {
    let c = masking(json!(["/mnt/secret", "/mnt/directory"]));
    let source = c.dir().join("source");
    std::fs::create_dir_all(source.join("directory/x")).expect("create");
    std::fs::write(source.join("secret"), "secret").expect("write");
    let c = c.bind(&source, "/mnt", ["rw"]).args(["sequence", "cat", "/mnt/secret", "--", "ls", "/mnt/directory"]);
    assert_eq!(c.run().ok().stdout, "{}\n");
    assert_eq!(std::fs::read_to_string(source.join("secret")).expect("read"), "secret");
}

fn the_default_configs_masks() {
    let c = Container::new().args([
        "sequence",
        "cat",
        "/proc/keys",
        "--",
        "cat",
        "/proc/timer_list",
        "--",
        "ls",
        "/sys/firmware",
    ]);
    let out = c.run().ok().stdout;
    assert!(out == "{}\n" || out == "null\n", "{out}");
}

fn a_read_only_path_stays_readable() {
    let words = ["sequence", "cat", "/proc/sys/kernel/ostype", "--", "try-open-write", "/proc/sys/kernel/domainname"];
    assert_eq!(Container::new().args(words).run().ok().stdout, "Linux\nEROFS\n");
}

fn the_default_configs_read_only_paths() {
    let report = Container::new().run().ok().report();
    for path in ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"] {
        assert!(!std::path::Path::new(path).exists() || is_read_only(&report, path), "{path} isn't read-only");
    }
}

/// Whether a read-only mount lies exactly there.
fn is_read_only(report: &Value, path: &str) -> bool {
    let mounts = report["mounts"].as_array().expect("mounts");
    let mount = mounts.iter().find(|mount| mount["target"] == path);
    mount.is_some_and(|mount| mount["options"].as_array().is_some_and(|options| options.contains(&json!("ro"))))
}

fn a_read_only_path_keeps_its_other_flags() {
    needs(Need::Not("crun", "older releases lose them"));
    let c = Container::new().set("/mounts/0/options", json!(["nosuid", "noexec", "nodev"]));
    let report = c.run().ok().report();
    let mounts = report["mounts"].as_array().expect("mounts");
    let options = &mounts.iter().find(|mount| mount["target"] == "/proc/sys").expect("a mount")["options"];
    for option in ["ro", "nosuid", "noexec", "nodev"] {
        assert!(options.as_array().expect("a list").contains(&json!(option)), "{options}");
    }
}

fn a_read_only_path_covers_what_is_below() {
    let c = Container::new()
        .set("/root/readonly", false)
        .directory("/kept/below")
        .set("/linux/readonlyPaths", json!(["/kept"]));
    let c = c.args(["sequence", "try-mkdir", "/kept/below/x", "--", "try-mkdir", "/free"]);
    assert_eq!(c.run().ok().stdout, "EROFS\nok\n");
}

fn read_only_paths_that_do_not_exist_are_passed_over() {
    Container::new().set("/linux/readonlyPaths", json!(["/proc/none", "/none/x"])).run().quiet();
}

fn other_paths_stay_writable() {
    let words = ["sequence", "try-open-write", "/proc/self/comm", "--", "try-mkdir", "/dev/shm/x"];
    assert_eq!(Container::new().args(words).run().ok().stdout, "ok\nok\n");
}

fn both_in_a_user_namespace() {
    let c = masking(json!(["/proc/version", "/sys/kernel"])).user_namespace(100_000, 65_536);
    let output = c.args(["sequence", "cat", "/proc/version", "--", "ls", "/sys/kernel", "--", "report"]).run().ok();
    assert!(output.stdout.starts_with("{}\n"), "{}", output.stdout);
    assert!(is_read_only(&output.report(), "/proc/sys"));
}

/// A copy of what is mounted on a cover, and not of the cover alone, would double with each time.
fn the_same_path_many_times() {
    let c = masking(json!(vec!["/sys/kernel"; 100])).args(["ls", "/sys/kernel"]);
    assert_eq!(c.run().ok().stdout, "{}\n");
    let c = masking(json!(vec!["/proc/version"; 100])).args(["cat", "/proc/version"]);
    assert_eq!(c.run().ok().stdout, "");
    let c = Container::new().set("/linux/readonlyPaths", json!(vec!["/sys/kernel"; 100]));
    c.args(["exit", "0"]).run().ok();
}

fn many_masked_paths() {
    let c = (0..300).fold(Container::new(), |c, index| c.directory(&format!("/many/{index}/x")));
    let paths: Vec<String> = (0..300).map(|index| format!("/many/{index}")).collect();
    let c = c.set("/linux/maskedPaths", json!(paths)).args(["sequence", "ls", "/many/0", "--", "ls", "/many/299"]);
    assert_eq!(c.run().ok().stdout, "{}\n{}\n");
}
