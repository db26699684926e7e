//! The features document, and whether the runtime keeps what it says there.

use serde_json::{Map, Value, json};

use super::state::semantic;
use crate::case::cases;
use crate::config::{add_namespace, drop_namespaces};
use crate::container::Container;
use crate::outcome::{Not, Verdict, expect, same, wrong};
use crate::subject::Subject;

cases![
    document,
    the_same_on_any_machine,
    versions,
    the_oldest_version_is_accepted,
    the_newest_version_is_accepted,
    only_defined_properties,
    every_hook_works,
    every_mount_option_is_known,
    no_options_of_file_systems,
    annotations,
    unsafe_annotations,
    every_namespace_is_known,
    every_capability_is_known,
    cgroup,
    seccomp,
    every_seccomp_action_is_known,
    every_seccomp_operator_is_known,
    every_seccomp_architecture_is_known,
    every_seccomp_flag_is_known,
    every_supported_seccomp_flag_works,
    security_modules,
    every_memory_policy_is_known,
    every_memory_policy_flag_is_known,
    rdt,
    id_mapped_mounts,
    net_devices,
];

/// The document. To have none is allowed.
fn features(s: &Subject) -> Verdict<Value> {
    Container::new(s).call("features").run().ok_or_unsupported()?.json()
}

/// A list of the document; to say nothing is allowed.
fn listed(s: &Subject, pointer: &str) -> Verdict<Vec<String>> {
    let document = features(s)?;
    match document.pointer(pointer) {
        None | Some(Value::Null) => Err(Not::Supported(format!("its features say nothing of {pointer}"))),
        Some(Value::Array(list)) => Ok(list.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
        Some(other) => Err(wrong(format!("{pointer} is a list of texts"), other)),
    }
}

fn document(s: &Subject) -> Verdict {
    let document = features(s)?;
    expect(document.is_object(), "the features are an object", document)
}

/// With another environment, root and directory it is the same.
fn the_same_on_any_machine(s: &Subject) -> Verdict {
    let first = features(s)?;
    let c = Container::new(s);
    let second = s.call(c.dir(), c.id()).arg("features").cwd(c.dir()).run().ok()?.json()?;
    expect(first == second, "two documents are the same", "they differ")
}

fn version_at(s: &Subject, key: &str) -> Verdict<String> {
    let document = features(s)?;
    let version = document[key].as_str().unwrap_or_default();
    expect(semantic(version), format!("{key} is a semantic version"), &document[key])?;
    Ok(version.to_owned())
}

fn numbers(version: &str) -> Vec<u32> {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    core.split('.').filter_map(|number| number.parse().ok()).collect()
}

fn versions(s: &Subject) -> Verdict {
    let (min, max) = (version_at(s, "ociVersionMin")?, version_at(s, "ociVersionMax")?);
    expect(numbers(&min) <= numbers(&max), "ociVersionMin isn't more than ociVersionMax", format!("{min} and {max}"))
}

fn accepted(s: &Subject, key: &str) -> Verdict {
    let version = version_at(s, key)?;
    Container::new(s).set("/ociVersion", version).args(["sleep"]).create()
}

fn the_oldest_version_is_accepted(s: &Subject) -> Verdict {
    accepted(s, "ociVersionMin")
}

fn the_newest_version_is_accepted(s: &Subject) -> Verdict {
    accepted(s, "ociVersionMax")
}

/// A property, and the version that it came with.
type Property = (&'static str, [u32; 3]);

/// The properties of each object in version 1.3.0, and since which version they are there.
const DEFINED: [(&str, &[Property]); 11] = [
    (
        "",
        &[
            ("ociVersionMin", [1, 1, 0]),
            ("ociVersionMax", [1, 1, 0]),
            ("hooks", [1, 1, 0]),
            ("mountOptions", [1, 1, 0]),
            ("linux", [1, 1, 0]),
            ("annotations", [1, 1, 0]),
            ("potentiallyUnsafeConfigAnnotations", [1, 2, 0]),
        ],
    ),
    (
        "/linux",
        &[
            ("namespaces", [1, 1, 0]),
            ("capabilities", [1, 1, 0]),
            ("cgroup", [1, 1, 0]),
            ("seccomp", [1, 1, 0]),
            ("apparmor", [1, 1, 0]),
            ("selinux", [1, 1, 0]),
            ("intelRdt", [1, 1, 0]),
            ("mountExtensions", [1, 2, 0]),
            ("memoryPolicy", [1, 3, 0]),
            ("netDevices", [1, 3, 0]),
        ],
    ),
    (
        "/linux/cgroup",
        &[
            ("v1", [1, 1, 0]),
            ("v2", [1, 1, 0]),
            ("systemd", [1, 1, 0]),
            ("systemdUser", [1, 1, 0]),
            ("rdma", [1, 1, 0]),
        ],
    ),
    (
        "/linux/seccomp",
        &[
            ("enabled", [1, 1, 0]),
            ("actions", [1, 1, 0]),
            ("operators", [1, 1, 0]),
            ("archs", [1, 1, 0]),
            ("knownFlags", [1, 1, 0]),
            ("supportedFlags", [1, 1, 0]),
        ],
    ),
    ("/linux/apparmor", &[("enabled", [1, 1, 0])]),
    ("/linux/selinux", &[("enabled", [1, 1, 0])]),
    ("/linux/intelRdt", &[("enabled", [1, 1, 0]), ("schemata", [1, 3, 0]), ("monitoring", [1, 3, 0])]),
    ("/linux/mountExtensions", &[("idmap", [1, 2, 0])]),
    ("/linux/mountExtensions/idmap", &[("enabled", [1, 2, 0])]),
    ("/linux/memoryPolicy", &[("modes", [1, 3, 0]), ("flags", [1, 3, 0])]),
    ("/linux/netDevices", &[("enabled", [1, 3, 0])]),
];

fn only_defined_properties(s: &Subject) -> Verdict {
    let document = features(s)?;
    let text = version_at(s, "ociVersionMax")?;
    let mut version = numbers(&text);
    // What is on its way to the next version may have something of it.
    version[1] += u32::from(text.contains(['+', '-']));
    for (place, properties) in DEFINED {
        let object: Option<&Map<String, Value>> = document.pointer(place).and_then(Value::as_object);
        for name in object.into_iter().flatten().map(|(name, _)| name) {
            let since = properties.iter().find(|(property, _)| property == name).map(|(_, since)| since.to_vec());
            let defined = since.is_some_and(|since| since <= version);
            expect(defined, format!("{place} has what version {version:?} defines"), format!("it has {name}"))?;
        }
    }
    Ok(())
}

fn every_hook_works(s: &Subject) -> Verdict {
    for kind in listed(s, "/hooks")? {
        let c = Container::new(s).args(["exit", "0"]).hook(&kind, &[]);
        c.create()?;
        c.start()?;
        c.wait_exit()?;
        c.delete().ok()?;
        c.hook_of(&kind)?;
    }
    Ok(())
}

/// Options that mean nothing without something else.
const NOT_ALONE: [&str; 7] =
    ["idmap", "ridmap", "remount", "tmpcopyup", "copy-symlink", "src-nofollow", "dest-nofollow"];

fn every_mount_option_is_known(s: &Subject) -> Verdict {
    let options = listed(s, "/mountOptions")?;
    let nonsense = bound(s, "nobodyknowsthis");
    let mut unknown = Vec::new();
    for option in options.iter().filter(|option| !NOT_ALONE.contains(&option.as_str())) {
        let seen = bound(s, option);
        if seen.is_some() && seen == nonsense {
            unknown.push(format!("{option}: {}", seen.unwrap_or_default()));
        }
    }
    expect(
        unknown.is_empty(),
        "each option that is listed is another thing than one that nobody knows",
        unknown.join("; "),
    )
}

/// Why a bind mount with that option is refused, without anything that is another text each time. The kernel may not have what it asks
/// for, and then a runtime knows it all the same (features.md, Mount options).
fn bound(s: &Subject, option: &str) -> Option<String> {
    let c = Container::new(s).args(["sleep"]);
    let source = c.source("volume");
    let id = c.id().to_owned();
    let done = c.bind(&source, "/mnt", [option]).try_create();
    (!done.succeeded()).then(|| done.seen().replace(&id, "…").replace(option, "OPTION"))
}

fn no_options_of_file_systems(s: &Subject) -> Verdict {
    let options = listed(s, "/mountOptions")?;
    let own = ["size", "mode", "uid", "gid", "nr_inodes", "ptmxmode", "newinstance", "lowerdir", "hidepid", "subset"];
    let found: Vec<&String> =
        options.iter().filter(|option| own.contains(&option.split('=').next().unwrap_or_default())).collect();
    expect(found.is_empty(), "no option of a single file system is listed", format!("{found:?}"))
}

fn annotations(s: &Subject) -> Verdict {
    let document = features(s)?;
    let annotations = document.get("annotations").filter(|annotations| !annotations.is_null());
    let strings = |map: &Map<String, Value>| map.iter().all(|(key, value)| !key.is_empty() && value.is_string());
    let good = annotations.is_none_or(|annotations| annotations.as_object().is_some_and(strings));
    expect(good, "annotations is a map of texts", format!("{annotations:?}"))
}

fn unsafe_annotations(s: &Subject) -> Verdict {
    let names = listed(s, "/potentiallyUnsafeConfigAnnotations")?;
    let bad: Vec<&String> = names.iter().filter(|name| name.is_empty() || name.contains(char::is_whitespace)).collect();
    expect(bad.is_empty(), "each is a key, or the beginning of one", format!("{bad:?}"))
}

fn every_namespace_is_known(s: &Subject) -> Verdict {
    for kind in listed(s, "/linux/namespaces")? {
        let c = Container::new(s).args(["sleep"]);
        let c = if kind == "user" {
            c.user_namespace(100_000, 65_536)
        } else {
            c.edit(|config| add_namespace(config, &kind))
        };
        c.create()?;
    }
    Ok(())
}

/// Of those that the runtime can give away itself.
fn every_capability_is_known(s: &Subject) -> Verdict {
    let names = listed(s, "/linux/capabilities")?;
    let own = super::capabilities::own_bounding();
    let given: Vec<&String> = names.iter().filter(|name| own.contains(name)).collect();
    let sets = json!({"bounding": given, "permitted": given, "effective": given});
    let seen = Container::new(s).set("/process/capabilities", sets).report()?["capabilities"]["bounding"].clone();
    let count = seen.as_array().map_or(0, Vec::len);
    expect(count == given.len(), format!("bounding is {given:?}"), seen)
}

fn booleans(s: &Subject, place: &str, names: &[&str]) -> Verdict {
    let document = features(s)?;
    let object = document.pointer(place).cloned().unwrap_or_default();
    if object.is_null() {
        return Err(Not::Supported(format!("its features say nothing of {place}")));
    }
    for name in names {
        let value = &object[name];
        expect(value.is_null() || value.is_boolean(), format!("{place}/{name} is true or false"), value)?;
    }
    Ok(())
}

fn cgroup(s: &Subject) -> Verdict {
    booleans(s, "/linux/cgroup", &["v1", "v2", "systemd", "systemdUser", "rdma"])
}

fn seccomp(s: &Subject) -> Verdict {
    booleans(s, "/linux/seccomp", &["enabled"])?;
    let enabled = features(s)?["linux"]["seccomp"]["enabled"] == true;
    let rules = json!([{"names": ["getpriority"], "action": "SCMP_ACT_ERRNO"}]);
    let c = Container::new(s).set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}));
    let report = if enabled { c.report()? } else { c.report_if_supported()? };
    same("Seccomp of the status", &report["seccomp"], 2)
}

/// A filter that names something is taken, whatever it then does.
fn taken(s: &Subject, change: impl FnOnce(&mut Value)) -> Verdict {
    let mut seccomp = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["getpriority"], "action": "SCMP_ACT_ERRNO"}]});
    change(&mut seccomp);
    Container::new(s).args(["sleep"]).set("/linux/seccomp", seccomp).create()
}

fn every_seccomp_action_is_known(s: &Subject) -> Verdict {
    for action in listed(s, "/linux/seccomp/actions")? {
        if action == "SCMP_ACT_NOTIFY" {
            // It takes an agent: seccomp_agent::listener.
            continue;
        }
        taken(s, |seccomp| seccomp["syscalls"][0]["action"] = json!(action))?;
    }
    Ok(())
}

fn every_seccomp_operator_is_known(s: &Subject) -> Verdict {
    for op in listed(s, "/linux/seccomp/operators")? {
        let args = json!([{"index": 0, "value": 1, "valueTwo": 1, "op": op}]);
        taken(s, |seccomp| seccomp["syscalls"][0]["args"] = args)?;
    }
    Ok(())
}

/// Several architectures in a filter have to be of one byte order with the machine's, so each comes alone.
fn every_seccomp_architecture_is_known(s: &Subject) -> Verdict {
    let native = match std::env::consts::ARCH {
        "x86_64" => "SCMP_ARCH_X86_64",
        "aarch64" => "SCMP_ARCH_AARCH64",
        _ => return Err(Not::Applicable("the suite doesn't know this architecture's name".into())),
    };
    let mut refused = Vec::new();
    for arch in listed(s, "/linux/seccomp/archs")? {
        let c = Container::new(s).args(["sleep"]);
        let seccomp = json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": [native, arch],
            "syscalls": [{"names": ["getpriority"], "action": "SCMP_ACT_ERRNO"}]});
        let done = c.set("/linux/seccomp", seccomp).try_create();
        if !done.succeeded() {
            refused.push(format!("{arch}: {}", done.seen()));
        }
    }
    expect(refused.is_empty(), "a filter with each architecture that is listed", refused.join("; "))
}

fn every_seccomp_flag_is_known(s: &Subject) -> Verdict {
    for flag in listed(s, "/linux/seccomp/knownFlags")? {
        let c = Container::new(s).args(["sleep"]);
        let seccomp = json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": [flag],
            "syscalls": [{"names": ["getpriority"], "action": "SCMP_ACT_ERRNO"}]});
        let done = c.set("/linux/seccomp", seccomp).try_create();
        // One that isn't supported may be refused, but as that.
        let known = done.succeeded() || done.failed() && done.stderr.contains(&flag);
        expect(known, format!("{flag} is known"), done.seen())?;
    }
    Ok(())
}

fn every_supported_seccomp_flag_works(s: &Subject) -> Verdict {
    for flag in listed(s, "/linux/seccomp/supportedFlags")? {
        if flag == "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" {
            // It takes an agent.
            continue;
        }
        taken(s, |seccomp| seccomp["flags"] = json!([flag]))?;
    }
    Ok(())
}

fn security_modules(s: &Subject) -> Verdict {
    booleans(s, "/linux/apparmor", &["enabled"])?;
    booleans(s, "/linux/selinux", &["enabled"])
}

/// A policy is known if it is taken, or refused for another reason than its name.
fn policy_is_known(s: &Subject, policy: Value, name: &str) -> Verdict {
    let done = Container::new(s).args(["sleep"]).set("/linux/memoryPolicy", policy).try_create();
    let text = done.stderr.to_lowercase();
    let unknown = text.contains("unknown") || text.contains("no variant") || text.contains("not a valid");
    expect(done.succeeded() || done.failed() && !unknown, format!("{name} is known"), done.seen())
}

fn every_memory_policy_is_known(s: &Subject) -> Verdict {
    for mode in listed(s, "/linux/memoryPolicy/modes")? {
        let alone = ["MPOL_DEFAULT", "MPOL_LOCAL"].contains(&mode.as_str());
        let policy = if alone { json!({"mode": mode}) } else { json!({"mode": mode, "nodes": "0"}) };
        policy_is_known(s, policy, &mode)?;
    }
    Ok(())
}

fn every_memory_policy_flag_is_known(s: &Subject) -> Verdict {
    for flag in listed(s, "/linux/memoryPolicy/flags")? {
        policy_is_known(s, json!({"mode": "MPOL_BIND", "nodes": "0", "flags": [flag]}), &flag)?;
    }
    Ok(())
}

fn rdt(s: &Subject) -> Verdict {
    booleans(s, "/linux/intelRdt", &["enabled", "schemata", "monitoring"])
}

/// Where it says true a mount with mappings is read; where it works it says true.
fn id_mapped_mounts(s: &Subject) -> Verdict {
    booleans(s, "/linux/mountExtensions/idmap", &["enabled"])?;
    let says = features(s)?["linux"]["mountExtensions"]["idmap"]["enabled"] == true;
    let c = Container::new(s).args(["report", "/mnt"]).edit(|config| drop_namespaces(config, &["user"]));
    let source = c.source("volume");
    let map = json!([{"containerID": 0, "hostID": 1000, "size": 65_536}]);
    let mount = json!({"destination": "/mnt", "source": source, "options": ["bind", "idmap"], "uidMappings": map, "gidMappings": map});
    let works = c.mount(mount).report().is_ok_and(|report| report["paths"]["/mnt"]["inside"]["uid"] == 1000);
    expect(says || !works, "idmap is enabled where mappings of a mount work", "they work, and it isn't")
}

fn net_devices(s: &Subject) -> Verdict {
    booleans(s, "/linux/netDevices", &["enabled"])
}
