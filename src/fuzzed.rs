//! What fuzz targets do with their input, one function for each target in `fuzz/`: it returns, or panics where something is not
//! as it has to be. The unit test at the end runs each over `fuzz/seeds`, where what was found stays.
#![allow(clippy::missing_panics_doc, reason = "to panic is how a target says that something is wrong")]

use std::cell::OnceCell;
use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use oci_spec::runtime::{LinuxSeccomp, Spec};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use rustix::thread::set_no_new_privs;
use serde_json::{Map, Value, json};

use crate::bundle::{self, Bundle};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::plan::{ExecPlan, ExecRequest, Plan, Request};
use crate::seccomp::model::{self, NATIVE, Random, agree};
use crate::seccomp::{Filter, compile, compile_for};
use crate::sync::Sync;
use crate::sys::set_seccomp_filter;
use crate::{cli, init, list};

/// A seccomp profile, as JSON or as choices to make one from: either it is refused with its field, or the kernel takes the program,
/// which says what the profile says, for each kernel that we know.
pub fn seccomp(data: &[u8]) {
    let profile = match serde_json::from_slice(data) {
        Ok(profile) => profile,
        Err(_) => model::profile(&mut Random::Fed(data)),
    };
    for native in NATIVE {
        match compile_for(native, &profile) {
            Ok(filter) => {
                assert!(kernel_takes(&filter), "{native:?} {profile:#?}");
                agree(&profile, native, &mut Random::Seeded(data.len() as u64), 50);
            }
            Err(error) => names(&error, "linux.seccomp"),
        }
    }
}

/// A `config.json`, as text or as choices to change one by: either it is refused with its field, or there is a plan for it, and
/// for a process that joins the container.
pub fn config(data: &[u8]) {
    let text = if data.starts_with(b"{") { data.to_vec() } else { changed_config(&mut Random::Fed(data)) };
    match plan(&text) {
        Ok(plan) => {
            assert!(plan.seccomp.as_ref().is_none_or(kernel_takes));
            let request = ExecRequest { args: vec!["true".into()], ..ExecRequest::default() };
            match ExecPlan::new(&plan.for_exec, None, &request, &host()) {
                Ok(exec) => {
                    let kept = plan.seccomp.map(|filter| Filter { unknown: Vec::new(), ..filter });
                    assert_eq!(exec.seccomp, kept);
                }
                Err(error) => names(&error, ""),
            }
        }
        Err(error) if serde_json::from_slice::<Map<String, Value>>(&text).is_ok() => names(&error, ""),
        Err(_) => (),
    }
}

/// A mount: lines with its destination, type and source, then its options.
pub fn mount_options(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (destination, kind, source) = (line(), line(), line());
    let options: Vec<_> = lines.collect();
    let mut config = base(0);
    config["mounts"] = json!([{"destination": destination, "type": kind, "source": source, "options": options}]);
    if let Err(error) = plan(config.to_string().as_bytes()) {
        names(&error, "mounts[0]");
    }
}

/// The words of a command line, each with a NUL byte behind it: they are understood or refused, and to write them as the parser
/// has them changes nothing.
pub fn argv(data: &[u8]) {
    let words = data.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec()));
    let words: Vec<_> = std::iter::once("orlop".into()).chain(words).collect();
    let normal = cli::normalised(words.clone());
    assert_eq!(cli::normalised(normal.clone()), normal);
    drop(cli::parse(words));
}

/// What one side of a conversation may send to the other.
pub fn messages(data: &[u8]) {
    let error = Error::from_wire(data);
    let again = Error::from_wire(&error.to_wire());
    assert!(error == again || error.to_wire().len() > again.to_wire().len(), "{error} {again}");
    let (parent, child) = Sync::pair().unwrap();
    send(child.as_fd(), data, SendFlags::NOSIGNAL).unwrap();
    drop(child);
    let (first, second) = (parent.next(), parent.next());
    assert!(matches!(first, Ok(Err(_))) == data.is_empty(), "{first:?}");
    assert!(matches!(second, Ok(Err(_))), "{second:?}");
}

/// The files of an image that are looked into: `/etc/passwd` for a home, and the first bytes of a program that the kernel
/// refuses.
pub fn image_files(data: &[u8]) {
    for uid in [0, 1000, u32::MAX] {
        let home = init::home_of(data, uid).unwrap_or_default();
        assert!(!home.iter().any(|byte| b":\n".contains(byte)));
    }
    drop(list::parse_passwd(&String::from_utf8_lossy(data)));
    for errno in [Errno::NOENT, Errno::NOEXEC] {
        drop(init::explain_refusal(data, errno));
    }
}

/// An error about a config names a field of it.
fn names(error: &Error, part: &str) {
    let field = error.field_path().unwrap_or_else(|| panic!("without a field: {error}"));
    assert!(field.starts_with(part), "{error}");
}

/// No machine in particular, with all that one may have.
fn host() -> Host {
    Host::with_cgroups("/sys/fs/cgroup", "/")
}

fn plan(text: &[u8]) -> Result<Plan> {
    let spec: Spec = bundle::read(text, Path::new("/b/config.json"))?;
    let bundle = Bundle { dir: "/b".into(), rootfs: "/b/rootfs".into(), spec };
    let request = Request { id: "c".into(), ..Request::default() };
    Plan::new(&bundle, &request, &host())
}

/// Whether the kernel would install the filter. It checks a program before it finds that there is a listener already, of which
/// it allows one: so this thread is given a listener, and nothing is installed after that.
fn kernel_takes(filter: &Filter) -> bool {
    const NEW_LISTENER: u32 = 1 << 3;
    const TSYNC: u32 = 1;
    const TSYNC_ESRCH: u32 = 1 << 4;
    thread_local!(static LISTENER: OnceCell<Option<OwnedFd>> = const { OnceCell::new() });
    LISTENER.with(|listener| {
        listener.get_or_init(|| {
            set_no_new_privs(true).unwrap();
            let all: LinuxSeccomp = serde_json::from_value(json!({"defaultAction": "SCMP_ACT_ALLOW"})).unwrap();
            match set_seccomp_filter(NEW_LISTENER, &compile(&all).unwrap().program) {
                Ok(listener) => listener,
                Err(Errno::BUSY) => None,
                Err(errno) => panic!("seccomp: {errno}"),
            }
        });
    });
    let synchronised = if filter.flags & TSYNC == 0 { 0 } else { TSYNC_ESRCH };
    let refused = set_seccomp_filter(filter.flags | NEW_LISTENER | synchronised, &filter.program);
    refused.is_err_and(|errno| errno == Errno::BUSY)
}

/// One of the configs that are changed.
fn base(number: usize) -> Value {
    let texts = [
        include_str!("spec/config.json"),
        include_str!("../integration/configs/docker.json"),
        include_str!("../integration/configs/podman.json"),
        include_str!("../fuzz/config.json"),
    ];
    serde_json::from_str(texts[number % texts.len()]).unwrap()
}

/// A config of which some parts were replaced, left out, doubled or added to.
fn changed_config(choices: &mut Random<'_>) -> Vec<u8> {
    let mut config = base(choices.below(4));
    for _ in 0..=choices.below(6) {
        change(&mut config, choices);
    }
    config.to_string().into_bytes()
}

fn change(config: &mut Value, choices: &mut Random<'_>) {
    let elsewhere = node(config, choices).clone();
    match (node(config, choices), choices.below(4)) {
        (Value::Array(all), 0) => drop(all.pop()),
        (Value::Array(all), 1) => all.extend(all.first().cloned()),
        (Value::Array(all), 2) => all.push(value(choices)),
        (Value::Object(all), 0) => {
            let key = all.keys().nth(choices.below(all.len().max(1))).cloned();
            drop(key.and_then(|key| all.remove(&key)));
        }
        (Value::String(text), 0) => text.push_str(choices.pick(STRINGS)),
        (Value::String(text), 1) => *text = text.chars().rev().collect(),
        (place, 3) => *place = elsewhere,
        (place, _) => *place = value(choices),
    }
}

/// A part of a config, by a walk from the root that ends somewhere.
fn node<'a>(config: &'a mut Value, choices: &mut Random<'_>) -> &'a mut Value {
    let children = match &config {
        Value::Array(all) => all.len(),
        Value::Object(all) => all.len(),
        _ => 0,
    };
    if children == 0 || choices.below(6) == 5 {
        return config;
    }
    let child = choices.below(children);
    let child = match config {
        Value::Array(all) => all.get_mut(child),
        Value::Object(all) => all.values_mut().nth(child),
        _ => None,
    };
    node(child.expect("there are that many"), choices)
}

const STRINGS: &[&str] = &[
    "",
    "a",
    "/",
    "..",
    "/..",
    "../../x",
    "/proc",
    "/proc/self",
    "/dev",
    "/dev/null",
    "/sys/fs/cgroup",
    "a\0b",
    "a b",
    "a:b",
    "=",
    "ä",
    "\n",
    ".",
    "-",
    "%",
    "kernel.domainname",
    "net.ipv4.ip_forward",
    "rbind",
    "idmap",
    "rshared",
    "tmpcopyup",
    "remount",
    "system.slice:a:b",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_ALLOW",
    "4294967295",
];

fn value(choices: &mut Random<'_>) -> Value {
    let numbers = [0, 1, -1, 7, 0o777, 4096, 65_535, 1 << 31, u32::MAX.into(), 1 << 32, i64::MAX, i64::MIN];
    match choices.below(8) {
        0 => Value::Null,
        1 => choices.pick(&[true, false]).into(),
        2 => choices.pick(&[json!({}), json!([])]),
        3 => choices.pick(&[json!(u64::MAX), json!(1.5), json!("x".repeat(300)), json!([1]), json!([""])]),
        4 | 5 => choices.pick(&numbers).into(),
        _ => choices.pick(STRINGS).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each_seed(target: &str, run: impl Fn(&[u8])) {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
        let mut seeds: Vec<_> = std::fs::read_dir(seeds).unwrap().map(|seed| seed.unwrap().path()).collect();
        assert!(!seeds.is_empty());
        seeds.sort();
        for seed in seeds {
            println!("{}", seed.display()); // shown when it fails
            run(&std::fs::read(&seed).unwrap());
        }
    }

    #[test]
    fn seeds_of_seccomp() {
        each_seed("seccomp", seccomp);
    }

    #[test]
    fn seeds_of_config() {
        each_seed("config", config);
    }

    #[test]
    fn seeds_of_mount_options() {
        each_seed("mount_options", mount_options);
    }

    #[test]
    fn seeds_of_argv() {
        each_seed("argv", argv);
    }

    #[test]
    fn seeds_of_messages() {
        each_seed("messages", messages);
    }

    #[test]
    fn seeds_of_image_files() {
        each_seed("image_files", image_files);
    }

    /// Otherwise `kernel_takes` could say yes to everything.
    #[test]
    fn the_kernel_refuses_what_is_no_program() {
        let all = serde_json::from_value(json!({"defaultAction": "SCMP_ACT_ALLOW"})).unwrap();
        let mut filter = compile(&all).unwrap();
        assert!(kernel_takes(&filter));
        filter.program.pop();
        assert!(!kernel_takes(&filter));
    }
}
