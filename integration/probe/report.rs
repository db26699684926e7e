//! What a process can see of itself, as JSON. Each function answers `null` where the kernel gives no answer.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::process::Resource;
use serde_json::{Map, Value, json};

/// Everything, with listings of /dev and of the paths given.
pub(crate) fn report(paths: &[String]) -> Value {
    let status = Status::read();
    json!({
        "pid": std::process::id(),
        "ppid": rustix::process::getppid().map_or(0, rustix::process::Pid::as_raw_pid),
        "sid": rustix::process::getsid(None).map_or(0, rustix::process::Pid::as_raw_pid),
        "uid": status.ids("Uid", rustix::process::getuid().as_raw()),
        "gid": status.ids("Gid", rustix::process::getgid().as_raw()),
        "groups": groups(),
        "umask": umask(),
        "cwd": cwd(),
        "exe": link("/proc/self/exe"),
        "args": arguments(),
        "env": environment(),
        "hostname": uts(rustix::system::uname().nodename()),
        "domainname": uts(rustix::system::uname().domainname()),
        "capabilities": status.capabilities(),
        "noNewPrivs": status.number("NoNewPrivs"),
        "seccomp": status.number("Seccomp"),
        "signals": status.signals(),
        "rlimits": rlimits(),
        "scheduling": super::calls::scheduling(),
        "ioPriority": super::calls::io_priority(),
        "memoryPolicy": super::calls::memory_policy(),
        "cpus": status.field("Cpus_allowed_list"),
        "personality": super::calls::native(&[libc::SYS_personality, 0xffff_ffff]),
        "machine": uts(rustix::system::uname().machine()),
        "clocks": clocks(),
        "oomScoreAdj": text("/proc/self/oom_score_adj").and_then(|text| text.trim().parse::<i64>().ok()),
        "network": network(),
        "namespaces": namespaces("self"),
        "mounts": mounts(),
        "cgroup": text("/proc/self/cgroup"),
        "fds": fds(),
        "uidMap": id_map("/proc/self/uid_map"),
        "gidMap": id_map("/proc/self/gid_map"),
        "setgroups": text("/proc/self/setgroups").map(|text| text.trim().to_owned()),
        "keys": text("/proc/keys"),
        "tty": tty(),
        "dev": listing("/dev"),
        "paths": paths.iter().map(|path| (path.clone(), entry_or_listing(path))).collect::<Map<_, _>>(),
    })
}

fn text(path: &str) -> Option<String> {
    fs::read(path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The AppArmor profile that this process runs under.
pub(crate) fn apparmor() -> Option<String> {
    text("/proc/self/attr/apparmor/current").map(|label| label.trim().to_owned())
}

fn link(path: impl AsRef<Path>) -> Option<String> {
    fs::read_link(path).ok().map(|target| target.to_string_lossy().into_owned())
}

fn uts(name: &std::ffi::CStr) -> String {
    name.to_string_lossy().into_owned()
}

/// Seconds of the clocks that a time namespace has.
fn clocks() -> Value {
    use rustix::time::{ClockId, clock_gettime};
    json!({"monotonic": clock_gettime(ClockId::Monotonic).tv_sec, "boottime": clock_gettime(ClockId::Boottime).tv_sec})
}

pub(crate) fn cwd() -> Value {
    // The system call itself, because a directory outside the root shows there as "(unreachable)/…".
    rustix::process::getcwd(Vec::new()).map_or(Value::Null, |path| path.to_string_lossy().into_owned().into())
}

pub(crate) fn arguments() -> Vec<String> {
    std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect()
}

pub(crate) fn environment() -> Vec<String> {
    std::env::vars_os().map(|(name, value)| format!("{}={}", name.to_string_lossy(), value.to_string_lossy())).collect()
}

fn groups() -> Vec<u32> {
    rustix::process::getgroups().unwrap_or_default().into_iter().map(rustix::process::Gid::as_raw).collect()
}

fn umask() -> u32 {
    let mask = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(mask);
    mask.as_raw_mode()
}

/// `/proc/self/status`, where it can be read.
struct Status(Option<String>);

impl Status {
    fn read() -> Self {
        Self(text("/proc/self/status"))
    }

    fn field(&self, name: &str) -> Option<&str> {
        let lines = self.0.as_deref()?.lines();
        lines.filter_map(|line| line.split_once(':')).find(|(key, _)| *key == name).map(|(_, value)| value.trim())
    }

    fn number(&self, name: &str) -> Value {
        self.field(name).and_then(|value| value.parse::<u64>().ok()).map_or(Value::Null, Value::from)
    }

    fn ids(&self, name: &str, real: u32) -> Value {
        let ids = self
            .field(name)
            .map(|value| value.split_whitespace().filter_map(|id| id.parse::<u32>().ok()).collect::<Vec<_>>());
        match ids.unwrap_or_default()[..] {
            [real, effective, saved, fs] => json!({"real": real, "effective": effective, "saved": saved, "fs": fs}),
            _ => json!({"real": real, "effective": null, "saved": null, "fs": null}),
        }
    }

    fn mask(&self, name: &str) -> Option<u64> {
        self.field(name).and_then(|value| u64::from_str_radix(value, 16).ok())
    }

    fn capabilities(&self) -> Value {
        let set = |name| self.mask(name).map(capability_names);
        json!({
            "inheritable": set("CapInh"), "permitted": set("CapPrm"), "effective": set("CapEff"),
            "bounding": set("CapBnd"), "ambient": set("CapAmb"),
        })
    }

    fn signals(&self) -> Value {
        let numbers = |mask: u64| (0..64).filter(|bit| mask >> bit & 1 == 1).map(|bit| bit + 1).collect::<Vec<u32>>();
        let set = |name| self.mask(name).map(numbers);
        json!({"blocked": set("SigBlk"), "ignored": set("SigIgn"), "caught": set("SigCgt")})
    }
}

/// The kernel's capabilities in the order of their numbers.
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

fn capability_names(mask: u64) -> Vec<String> {
    let name = |bit: usize| CAPABILITIES.get(bit).map_or(format!("CAP_{bit}"), |name| format!("CAP_{name}"));
    (0..64).filter(|bit| mask >> bit & 1 == 1).map(name).collect()
}

fn rlimits() -> Value {
    use Resource as R;
    let all = [
        ("RLIMIT_CPU", R::Cpu),
        ("RLIMIT_FSIZE", R::Fsize),
        ("RLIMIT_DATA", R::Data),
        ("RLIMIT_STACK", R::Stack),
        ("RLIMIT_CORE", R::Core),
        ("RLIMIT_RSS", R::Rss),
        ("RLIMIT_NPROC", R::Nproc),
        ("RLIMIT_NOFILE", R::Nofile),
        ("RLIMIT_MEMLOCK", R::Memlock),
        ("RLIMIT_AS", R::As),
        ("RLIMIT_LOCKS", R::Locks),
        ("RLIMIT_SIGPENDING", R::Sigpending),
        ("RLIMIT_MSGQUEUE", R::Msgqueue),
        ("RLIMIT_NICE", R::Nice),
        ("RLIMIT_RTPRIO", R::Rtprio),
        ("RLIMIT_RTTIME", R::Rttime),
    ];
    let one = |resource| {
        let limit = rustix::process::getrlimit(resource);
        json!({"soft": limit.current, "hard": limit.maximum})
    };
    all.into_iter().map(|(name, resource)| (name.to_owned(), one(resource))).collect::<Map<_, _>>().into()
}

pub(crate) fn namespaces(pid: &str) -> Value {
    let kinds = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];
    kinds
        .map(|kind| (kind.to_owned(), link(format!("/proc/{pid}/ns/{kind}")).into()))
        .into_iter()
        .collect::<Map<_, _>>()
        .into()
}

/// The network devices by name: whether they are up, and their addresses with the masks.
fn network() -> Value {
    let mut devices = Map::new();
    for one in nix::ifaddrs::getifaddrs().into_iter().flatten() {
        let up = one.flags.contains(nix::net::if_::InterfaceFlags::IFF_UP);
        let device = devices.entry(one.interface_name.clone()).or_insert_with(|| json!({"up": up, "addresses": []}));
        let address = one.address.as_ref().and_then(ip).zip(one.netmask.as_ref().and_then(ip));
        if let (Some((address, mask)), Some(list)) = (address, device["addresses"].as_array_mut()) {
            list.push(format!("{address}/{mask}").into());
        }
    }
    devices.into()
}

fn ip(address: &nix::sys::socket::SockaddrStorage) -> Option<std::net::IpAddr> {
    let four = address.as_sockaddr_in().map(|address| address.ip().into());
    four.or_else(|| address.as_sockaddr_in6().map(|address| address.ip().into()))
}

fn mounts() -> Option<Vec<Value>> {
    Some(text("/proc/self/mountinfo")?.lines().map(mount).collect())
}

fn mount(line: &str) -> Value {
    let (left, right) = line.split_once(" - ").unwrap_or((line, ""));
    let (left, right): (Vec<&str>, Vec<&str>) = (left.split(' ').collect(), right.split(' ').collect());
    let at = |fields: &[&str], index: usize| fields.get(index).copied().unwrap_or_default().to_owned();
    let list = |fields: &[&str], index| at(fields, index).split(',').map(str::to_owned).collect::<Vec<_>>();
    json!({
        "id": at(&left, 0).parse::<u64>().ok(), "parent": at(&left, 1).parse::<u64>().ok(), "device": at(&left, 2),
        "root": at(&left, 3), "target": at(&left, 4), "options": list(&left, 5), "propagation": left.get(6..),
        "type": at(&right, 0), "source": at(&right, 1), "superOptions": list(&right, 2),
    })
}

/// The open descriptors, without the one that reads the directory.
pub(crate) fn fds() -> Value {
    let Ok(directory) = fs::read_dir("/proc/self/fd") else { return Value::Null };
    let names = directory.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>();
    let open = |name: String| link(format!("/proc/self/fd/{name}")).map(|target| (name, Value::from(target)));
    names.into_iter().filter_map(open).collect::<Map<_, _>>().into()
}

fn id_map(path: &str) -> Option<Vec<Vec<u64>>> {
    let row = |line: &str| line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    Some(text(path)?.lines().map(row).collect())
}

fn tty() -> Value {
    let size = rustix::termios::tcgetwinsize(std::io::stdin()).ok();
    let name = rustix::termios::ttyname(std::io::stdin(), Vec::new()).ok();
    let number = text("/proc/self/stat").and_then(|stat| {
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(4).and_then(|tty| tty.parse::<i64>().ok()))
    });
    json!({
        "stdin": rustix::termios::isatty(std::io::stdin()),
        "stdout": rustix::termios::isatty(std::io::stdout()),
        "stderr": rustix::termios::isatty(std::io::stderr()),
        "columns": size.map(|size| size.ws_col), "rows": size.map(|size| size.ws_row),
        "name": name.map(|name| name.to_string_lossy().into_owned()),
        "controlling": number,
    })
}

fn entry_or_listing(path: &str) -> Value {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => listing(path),
        _ => entry(path),
    }
}

/// A directory's entries by name.
pub(crate) fn listing(path: &str) -> Value {
    let Ok(directory) = fs::read_dir(path) else { return Value::Null };
    let one = |found: fs::DirEntry| (found.file_name().to_string_lossy().into_owned(), entry(found.path()));
    directory.flatten().map(one).collect::<Map<_, _>>().into()
}

/// One inode: type, mode, owner, device number, link target; or the errno's name as `error`.
pub(crate) fn entry(path: impl AsRef<Path>) -> Value {
    let path = path.as_ref();
    match fs::symlink_metadata(path) {
        Ok(metadata) => json!({
            "type": file_type(&metadata), "mode": metadata.mode() & 0o7777, "uid": metadata.uid(), "gid": metadata.gid(),
            "major": rustix::fs::major(metadata.rdev()), "minor": rustix::fs::minor(metadata.rdev()),
            "size": metadata.len(), "inode": metadata.ino(), "target": link(path),
        }),
        Err(error) => {
            json!({"error": super::errno_name(&error), "path": String::from_utf8_lossy(path.as_os_str().as_bytes())})
        }
    }
}

fn file_type(metadata: &fs::Metadata) -> &'static str {
    let kind = metadata.file_type();
    match () {
        () if kind.is_dir() => "dir",
        () if kind.is_symlink() => "symlink",
        () if kind.is_char_device() => "char",
        () if kind.is_block_device() => "block",
        () if kind.is_fifo() => "fifo",
        () if kind.is_socket() => "socket",
        () => "file",
    }
}
