//! What this machine is: where its cgroup2 hierarchy is, who we are. Probed lazily, each fact once.

use std::cell::OnceCell;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open, statfs};
use rustix::io::read;

use crate::error::{Context, Error, Result};

const CGROUP2_SUPER_MAGIC: i64 = 0x6367_7270;

const SELINUX_MAGIC: i64 = 0xf97c_ff8c;

const RESCTRL_MAGIC: i64 = 0x0765_5821;

/// Whose mounts are those of a mount namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountsOf {
    /// This process's own.
    Runtime,
    /// Those of the machine's first process, and not this one's.
    FirstProcess,
    /// Anybody else's, as far as can be seen.
    Others,
}

/// The machine, as far as a plan depends on it.
#[derive(Debug, Default)]
pub struct Host {
    cgroup_root: OnceCell<PathBuf>,
    own_cgroup: OnceCell<PathBuf>,
    root: OnceCell<bool>,
    in_user_namespace: OnceCell<bool>,
    apparmor: OnceCell<bool>,
    selinux: OnceCell<bool>,
    resctrl: OnceCell<Option<PathBuf>>,
    /// The answer of [`Self::mounts_of`] on a machine that is described by hand.
    mounts_of: OnceCell<MountsOf>,
}

impl Host {
    /// The machine that this process runs on.
    pub fn probe() -> Self {
        Self::default()
    }

    /// A machine described by hand, for tests of decisions.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn with_cgroups(root: &str, own: &str) -> Self {
        let host = Self::default();
        host.cgroup_root.set(root.into()).unwrap();
        host.own_cgroup.set(own.into()).unwrap();
        host.root.set(true).unwrap();
        host.in_user_namespace.set(false).unwrap();
        host.apparmor.set(true).unwrap();
        host.selinux.set(true).unwrap();
        host.resctrl.set(Some("/sys/fs/resctrl".into())).unwrap();
        host.mounts_of.set(MountsOf::Others).unwrap();
        host
    }

    /// A machine with or without these security modules.
    #[cfg(test)]
    pub(crate) fn with_security_modules(apparmor: bool, selinux: bool) -> Self {
        Self { apparmor: OnceCell::from(apparmor), selinux: OnceCell::from(selinux), ..Self::default() }
    }

    /// A machine on which the one mount namespace that is asked for is that.
    #[cfg(test)]
    pub(crate) fn with_mounts_of(of: MountsOf) -> Self {
        Self { mounts_of: OnceCell::from(of), ..Self::default() }
    }

    /// The same for root of a user namespace.
    #[cfg(test)]
    pub(crate) fn in_a_user_namespace(own: &str) -> Self {
        Self { in_user_namespace: OnceCell::from(true), ..Self::with_cgroups("/sys/fs/cgroup", own) }
    }

    /// A machine with resctrl there, or without.
    #[cfg(test)]
    pub(crate) fn with_resctrl(root: Option<&str>) -> Self {
        Self { resctrl: OnceCell::from(root.map(PathBuf::from)), ..Self::default() }
    }

    /// Where cgroup2 is mounted: `/sys/fs/cgroup`, or `/sys/fs/cgroup/unified` on a hybrid host.
    ///
    /// # Errors
    /// When neither is a cgroup2 mount.
    pub fn cgroup_root(&self) -> Result<&Path> {
        if self.cgroup_root.get().is_none() {
            let found = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].into_iter().find(|path| is_cgroup2(path));
            let root = found.ok_or_else(|| {
                Error::new("no cgroup2 file system at /sys/fs/cgroup or /sys/fs/cgroup/unified").hint(
                    "Orlop drives cgroup v2 only; boot with systemd.unified_cgroup_hierarchy=1 or mount cgroup2 there",
                )
            })?;
            self.cgroup_root.get_or_init(|| root.into());
        }
        Ok(self.cgroup_root.get().map_or(Path::new("/sys/fs/cgroup"), PathBuf::as_path))
    }

    /// The cgroup that this process is in, below [`Self::cgroup_root`], starting with a slash.
    pub fn own_cgroup(&self) -> Result<&Path> {
        if self.own_cgroup.get().is_none() {
            let own = cgroup_of("self")?;
            self.own_cgroup.get_or_init(|| own);
        }
        Ok(self.own_cgroup.get().map_or(Path::new("/"), PathBuf::as_path))
    }

    /// Whether this process is root, in whatever user namespace it is.
    pub fn is_root(&self) -> bool {
        *self.root.get_or_init(|| rustix::process::geteuid().is_root())
    }

    /// Whether AppArmor confines programs here.
    pub fn has_apparmor(&self) -> bool {
        // A file of the module's, whatever is mounted: securityfs may not be, in a container.
        let enabled =
            || std::fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with(b"Y"));
        *self.apparmor.get_or_init(enabled)
    }

    /// Whether SELinux labels processes and files here, with a policy that says what the labels mean. Before one is loaded everything
    /// is labelled `kernel`.
    pub fn has_selinux(&self) -> bool {
        let mounted = || statfs("/sys/fs/selinux").is_ok_and(|fs| fs.f_type == SELINUX_MAGIC);
        let labelled = || read_proc("/proc/thread-self/attr/current").is_ok_and(|label| !is_without_policy(&label));
        *self.selinux.get_or_init(|| mounted() && labelled())
    }

    /// Where resctrl is mounted: at `/sys/fs/resctrl`, where everybody has it, or elsewhere.
    ///
    /// # Errors
    /// When it isn't mounted.
    pub fn resctrl(&self) -> Result<&Path> {
        let missing = || {
            Error::new("no resctrl file system is mounted").hint(
                "it takes a CPU that has it (rdt_a in /proc/cpuinfo) and `mount -t resctrl resctrl /sys/fs/resctrl`",
            )
        };
        self.resctrl.get_or_init(find_resctrl).as_deref().ok_or_else(missing)
    }

    /// Whose mount namespace that file stands for.
    pub fn mounts_of(&self, path: &Path) -> MountsOf {
        let identity = |path: &Path| std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
        let is = |process: &str| identity(path).is_some_and(|file| Some(file) == identity(Path::new(process)));
        match self.mounts_of.get() {
            Some(known) => *known,
            None if is("/proc/self/ns/mnt") => MountsOf::Runtime,
            None if is("/proc/1/ns/mnt") => MountsOf::FirstProcess,
            None => MountsOf::Others,
        }
    }

    /// Whether this process may not be expected to own any cgroup: an unprivileged user's, or root's in a user namespace.
    pub fn is_rootless(&self) -> bool {
        !self.is_root() || *self.in_user_namespace.get_or_init(in_user_namespace)
    }
}

/// Whether this process is in another user namespace than the first, which maps everybody to themselves. A map that can't be
/// read is taken for the first one's.
pub fn in_user_namespace() -> bool {
    let identity = "0 0 4294967295";
    read_proc("/proc/self/uid_map").is_ok_and(|map| map.split_whitespace().collect::<Vec<_>>().join(" ") != identity)
}

/// The cgroup that a process is in, a pid or `self`, below [`Host::cgroup_root`], starting with a slash.
///
/// # Errors
/// When the process is gone.
pub fn cgroup_of(process: &str) -> Result<PathBuf> {
    let path = format!("/proc/{process}/cgroup");
    let text = read_proc(&path)?;
    let own = text.lines().find_map(|line| line.strip_prefix("0::"));
    own.map(PathBuf::from).ok_or_else(|| Error::new(format!("{path} has no cgroup2 line")))
}

/// This process's user as the surrounding user namespace knows it, which is who it is to a service outside.
///
/// # Errors
/// When the map of this user namespace can't be read.
pub fn outer_uid() -> Result<u32> {
    let own = rustix::process::geteuid().as_raw();
    let map = read_proc("/proc/self/uid_map")?;
    let outer = map.lines().find_map(|line| {
        let fields: Vec<u32> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
        let [inside, outside, count] = fields[..] else { return None };
        own.checked_sub(inside).filter(|offset| *offset < count).and_then(|offset| outside.checked_add(offset))
    });
    Ok(outer.unwrap_or(own))
}

/// Reads a file of the host's procfs, as such a file is made to be read: in one go.
///
/// # Errors
/// Names the file.
pub fn read_proc(path: &str) -> Result<String> {
    let mut text = Vec::with_capacity(4096);
    // Not by the standard library, whose `open` asks musl for one more call each time.
    let file = open(path, OFlags::CLOEXEC, Mode::empty()).call("open").map_err(|error| error.doing(path))?;
    loop {
        let mut part = [0; 4096];
        let length = read(&file, &mut part).call("read").map_err(|error| error.doing(path))?;
        text.extend_from_slice(&part[..length]);
        if length < part.len() {
            return String::from_utf8(text).map_err(|_| Error::new("is not text").doing(path));
        }
    }
}

fn find_resctrl() -> Option<PathBuf> {
    let usual = PathBuf::from("/sys/fs/resctrl");
    let is_it = |path: &PathBuf| statfs(path).is_ok_and(|fs| fs.f_type == RESCTRL_MAGIC);
    let elsewhere = || resctrl_mount(&read_proc("/proc/self/mountinfo").ok()?).filter(is_it);
    Some(usual).filter(is_it).or_else(elsewhere)
}

/// The mount point of the first resctrl in a `proc_pid_mountinfo(5)`.
fn resctrl_mount(table: &str) -> Option<PathBuf> {
    let line = table.lines().find(|line| line.contains(" - resctrl "))?;
    line.split(' ').nth(4).map(PathBuf::from)
}

fn is_without_policy(label: &str) -> bool {
    label.trim_end_matches(['\0', '\n']) == "kernel"
}

fn is_cgroup2(path: &str) -> bool {
    statfs(path).is_ok_and(|fs| fs.f_type == CGROUP2_SUPER_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resctrl_is_found_by_its_type() {
        let cgroups = "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let resctrl = "90 23 0:77 / /mnt/rdt rw,relatime shared:9 - resctrl resctrl rw\n";
        assert_eq!(resctrl_mount(&format!("{cgroups}{resctrl}")), Some("/mnt/rdt".into()));
        assert_eq!(resctrl_mount(cgroups), None);
    }

    #[test]
    fn a_kernel_without_a_policy_labels_everything_kernel() {
        assert!(is_without_policy("kernel\0") && is_without_policy("kernel"));
        assert!(!is_without_policy("system_u:system_r:kernel_t:s0\0") && !is_without_policy(""));
    }
}
