//! AppArmor profiles and SELinux labels: what the program runs under, and that it never runs without one that it should have.

use std::fs;

use serde_json::json;

use crate::support::apparmor::Profile;
use crate::support::case::cases;
use crate::support::{Call, Container, Need, needs};

cases![
    a_profile_confines_the_program,
    a_profile_confines_a_program_that_may_gain_privileges,
    a_profile_confines_in_a_user_namespace,
    a_profile_confines_under_seccomp,
    unconfined_is_a_profile_as_well,
    a_start_container_hook_is_confined_and_others_are_not,
    a_process_that_joins_is_confined_as_the_container_is,
    a_process_that_joins_by_file_is_confined_as_the_container_is,
    a_process_that_joins_has_the_profile_of_the_flag,
    a_process_that_joins_has_the_profile_of_its_file,
    a_process_that_joins_as_a_user_is_confined,
    a_profile_that_is_not_loaded_fails_create,
    a_profile_that_is_not_loaded_fails_exec,
    without_apparmor_a_profile_is_an_error,
    without_apparmor_exec_with_a_profile_is_an_error,
    without_selinux_labels_are_errors,
    without_selinux_exec_with_a_label_is_an_error,
    an_annotation_says_what_the_mount_label_is_of,
    labels_that_are_no_labels_are_refused,
    an_empty_label_is_none,
];

const CURRENT: [&str; 2] = ["cat", "/proc/self/attr/apparmor/current"];

/// Prints what it runs under, and whether it may read a file that the profile denies.
fn confined(profile: &Profile) -> Container {
    let c = Container::new().file("/forbidden", "").set("/process/apparmorProfile", profile.name());
    c.args([&["sequence"][..], &CURRENT[..], &["--", "try-open-read", "/forbidden"]].concat())
}

fn is_confined(c: &Container, profile: &Profile) {
    assert_eq!(c.run().quiet().stdout, format!("{}\nEACCES\n", profile.enforced()));
    c.nothing_left();
}

fn a_profile_confines_the_program() {
    needs(Need::AppArmor);
    let profile = Profile::loaded();
    is_confined(&confined(&profile), &profile);
}

fn a_profile_confines_a_program_that_may_gain_privileges() {
    needs(Need::AppArmor);
    let profile = Profile::loaded();
    is_confined(&confined(&profile).set("/process/noNewPrivileges", false), &profile);
}

fn a_profile_confines_in_a_user_namespace() {
    needs(Need::AppArmor);
    let profile = Profile::loaded();
    is_confined(&confined(&profile).user_namespace(100_000, 65_536), &profile);
}

/// A filter that forbids whatever the runtime would have to do for a label after it.
fn a_profile_confines_under_seccomp() {
    needs(Need::AppArmor);
    let profile = Profile::loaded();
    let rule = json!({"names": ["fsopen", "fsmount", "openat2"], "action": "SCMP_ACT_ERRNO"});
    let seccomp = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
    for no_new_privileges in [true, false] {
        let c = confined(&profile).set("/linux/seccomp", seccomp.clone());
        is_confined(&c.set("/process/noNewPrivileges", no_new_privileges), &profile);
    }
}

fn unconfined_is_a_profile_as_well() {
    needs(Need::AppArmor);
    let c = Container::new().args(CURRENT).set("/process/apparmorProfile", "unconfined");
    assert_eq!(c.run().quiet().stdout, "unconfined\n");
}

/// What runs the container's own files runs confined, as with runc and crun.
fn a_start_container_hook_is_confined_and_others_are_not() {
    needs(Need::AppArmor);
    let profile = Profile::loaded();
    let c = confined(&profile).args(["exit", "0"]);
    let c = ["createRuntime", "createContainer", "startContainer"].iter().fold(c, |c, kind| c.hook(kind, &[]));
    c.run().quiet();
    let labels: Vec<_> = c.hooks().iter().map(|hook| hook["apparmor"].clone()).collect();
    assert_eq!(json!(labels), json!(["unconfined", "unconfined", profile.enforced()]));
}

fn a_process_that_joins_is_confined_as_the_container_is() {
    needs(Need::AppArmor);
    let profile = Profile::loaded();
    let c = confined(&profile).args(["sleep"]).up();
    let joined = c.call("exec").args([c.id(), "/probe", "sequence"]).args(CURRENT);
    let joined = joined.args(["--", "try-open-read", "/forbidden"]).run().quiet();
    assert_eq!(joined.stdout, format!("{}\nEACCES\n", profile.enforced()));
}

fn by_file(c: &Container, change: &serde_json::Value) -> Call {
    let args = [&["/probe"][..], &CURRENT[..]].concat();
    let mut process = json!({"cwd": "/", "args": args, "user": {"uid": 0, "gid": 0}});
    process.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
    let path = c.dir().join("process.json");
    fs::write(&path, process.to_string()).expect("write the file");
    c.call("exec").arg("--process").arg(path).arg(c.id())
}

fn exec_fails(call: Call, texts: &[&str]) {
    let output = call.run().exits(255);
    assert!(!output.stdout.contains("ran"), "the program ran");
    let message = output.message();
    assert!(texts.iter().all(|text| message.contains(text)), "{message}");
}

fn a_process_that_joins_by_file_is_confined_as_the_container_is() {
    needs(Need::AppArmor);
    let profile = Profile::loaded();
    let c = confined(&profile).args(["sleep"]).up();
    assert_eq!(by_file(&c, &json!({})).run().quiet().stdout.trim_end(), profile.enforced());
}

fn a_process_that_joins_has_the_profile_of_the_flag() {
    needs(Need::AppArmor);
    let (own, other) = (Profile::loaded(), Profile::loaded());
    let c = confined(&own).args(["sleep"]).up();
    for (flag, expected) in
        [(other.name(), other.enforced()), ("unconfined", "unconfined".into()), ("", own.enforced())]
    {
        let call = c.call("exec").args(["--apparmor", flag, c.id(), "/probe"]).args(CURRENT);
        assert_eq!(call.run().quiet().stdout.trim_end(), expected, "{flag}");
    }
}

fn a_process_that_joins_has_the_profile_of_its_file() {
    needs(Need::AppArmor);
    let (own, other) = (Profile::loaded(), Profile::loaded());
    let c = confined(&own).args(["sleep"]).up();
    let named = json!({"apparmorProfile": other.name()});
    assert_eq!(by_file(&c, &named).run().quiet().stdout.trim_end(), other.enforced());
}

fn a_process_that_joins_as_a_user_is_confined() {
    needs(Need::AppArmor);
    let profile = Profile::loaded();
    let c = confined(&profile).args(["sleep"]).user_namespace(100_000, 65_536).up();
    let call = c.call("exec").args(["--user", "1000:1000", c.id(), "/probe"]).args(CURRENT);
    assert_eq!(call.run().quiet().stdout.trim_end(), profile.enforced());
}

fn a_profile_that_is_not_loaded_fails_create() {
    needs(Need::AppArmor);
    needs(Need::Orlop("the field and the way out are its own words"));
    let c = Container::new().set("/process/apparmorProfile", "orlop-test-nobody-loaded-this");
    c.create().fails(["process.apparmorProfile: ", "orlop-test-nobody-loaded-this", "is loaded"]);
    c.nothing_left();
}

fn a_profile_that_is_not_loaded_fails_exec() {
    needs(Need::AppArmor);
    needs(Need::Orlop("the field and the way out are its own words"));
    let c = Container::sleeping();
    let call = c.call("exec").args(["--apparmor", "orlop-test-nobody-loaded-this", c.id(), "/probe", "exit", "0"]);
    exec_fails(call, &["process.apparmorProfile: ", "is loaded"]);
}

fn without_apparmor_a_profile_is_an_error() {
    needs(Need::NoAppArmor);
    needs(Need::Not("crun", "it ignores the field there"));
    for profile in ["docker-default", "unconfined"] {
        let c = Container::new().set("/process/apparmorProfile", profile);
        c.create().fails(["apparmor"]);
        c.nothing_left();
    }
}

fn without_apparmor_exec_with_a_profile_is_an_error() {
    needs(Need::NoAppArmor);
    needs(Need::Not("crun", "it ignores the flag there"));
    let c = Container::sleeping();
    let call = c.call("exec").args(["--apparmor", "docker-default", c.id(), "/probe", "print", "ran"]);
    exec_fails(call, &["apparmor"]);
    exec_fails(by_file(&c, &json!({"apparmorProfile": "docker-default"})), &["apparmor"]);
}

fn without_selinux_labels_are_errors() {
    needs(Need::NoSelinux);
    needs(Need::Orlop("runc has a sentence for the process alone, crun ignores labels"));
    for pointer in ["/process/selinuxLabel", "/linux/mountLabel"] {
        let c = Container::new().set(pointer, "system_u:system_r:container_t:s0:c1,c2");
        let field = pointer.trim_start_matches('/').replace('/', ".");
        let text = "selinux label is specified in config, but selinux is disabled or not supported";
        c.create().fails([field.as_str(), text]);
        c.nothing_left();
    }
}

fn without_selinux_exec_with_a_label_is_an_error() {
    needs(Need::NoSelinux);
    needs(Need::Orlop("runc and crun write it where nobody reads it"));
    let c = Container::sleeping();
    let call = c.call("exec").args(["--process-label", "u:r:t:s0", c.id(), "/probe", "print", "ran"]);
    exec_fails(call, &["process.selinuxLabel", "selinux is disabled or not supported"]);
}

fn an_annotation_says_what_the_mount_label_is_of() {
    needs(Need::Orlop("the field is named"));
    let c = Container::new().set("/annotations", json!({"run.oci.mount_context_type": "seclabel"}));
    c.create().fails(["annotations[\"run.oci.mount_context_type\"]", "none of context, fscontext"]);
    c.nothing_left();
    let c = Container::new().set("/annotations", json!({"run.oci.mount_context_type": "rootcontext"}));
    c.run().ok();
}

/// What would reach the kernel cut off, or as two words.
fn labels_that_are_no_labels_are_refused() {
    needs(Need::Orlop("the field is named"));
    for (pointer, field) in [
        ("/process/apparmorProfile", "process.apparmorProfile"),
        ("/process/selinuxLabel", "process.selinuxLabel"),
        ("/linux/mountLabel", "linux.mountLabel"),
    ] {
        for bad in ["a\nb", &"x".repeat(5000)] {
            let c = Container::new().set(pointer, bad);
            c.create().fails([field]);
            c.nothing_left();
        }
    }
}

fn an_empty_label_is_none() {
    needs(Need::Not("crun", "it writes an empty label to the kernel"));
    let c = Container::new().set("/process/apparmorProfile", "").set("/process/selinuxLabel", "");
    c.set("/linux/mountLabel", "").args(["exit", "0"]).run().quiet();
}
