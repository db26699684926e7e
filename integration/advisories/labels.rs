//! Whatever stands where procfs should, the program runs under its AppArmor profile, and nothing of the container's is written in
//! its place.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::json;

use crate::support::apparmor::Profile;
use crate::support::case::cases;
use crate::support::config::drop_mount;
use crate::support::wait::rounds;
use crate::support::{Container, Need, needs};

cases![
    without_procfs_the_images_files_take_no_label,
    without_procfs_the_images_files_take_no_label_of_a_process_that_joins,
    a_false_procfs_of_the_callers_is_refused,
    a_profile_holds_while_links_are_exchanged,
];

/// Files of the image with the names of those that labels are written to.
const ATTRIBUTES: [&str; 6] = [
    "/proc/self/attr/exec",
    "/proc/self/attr/apparmor/exec",
    "/proc/thread-self/attr/exec",
    "/proc/thread-self/attr/apparmor/exec",
    "/proc/1/task/1/attr/apparmor/exec",
    "/proc/1/attr/apparmor/exec",
];

/// A container whose `/proc` is a directory of the image.
fn with_images_proc(profile: &Profile) -> Container {
    let c = Container::new().edit(|config| drop_mount(config, "/proc")).unset("/linux/maskedPaths");
    let c = c.unset("/linux/readonlyPaths").file("/forbidden", "").set("/process/apparmorProfile", profile.name());
    ATTRIBUTES.iter().fold(c, |c, path| c.file(path, "of the image"))
}

fn images_files_are_untouched(c: &Container) {
    for path in ATTRIBUTES {
        let file: PathBuf = c.rootfs().join(path.trim_start_matches('/'));
        assert_eq!(fs::read_to_string(file).expect("read"), "of the image", "{path}");
    }
}

/// CVE-2019-16884, CVE-2019-19921: a plain file takes the label, and the program runs without.
fn without_procfs_the_images_files_take_no_label() {
    needs(Need::AppArmor);
    let profile = Profile::loaded();
    let c = with_images_proc(&profile).args(["try-open-read", "/forbidden"]);
    assert_eq!(c.run().quiet().stdout, "EACCES\n");
    images_files_are_untouched(&c);
}

/// The same for `exec`, in a container that has had all the time in the world to prepare.
fn without_procfs_the_images_files_take_no_label_of_a_process_that_joins() {
    needs(Need::AppArmor);
    let profile = Profile::loaded();
    let c = with_images_proc(&profile).args(["sleep"]).up();
    let joined = c.call("exec").args([c.id(), "/probe", "try-open-read", "/forbidden"]);
    assert_eq!(joined.run().quiet().stdout, "EACCES\n");
    images_files_are_untouched(&c);
}

/// CVE-2019-16884 with the field that it was about: a mount that hides procfs never meets a label.
fn a_false_procfs_of_the_callers_is_refused() {
    needs(Need::AppArmor);
    let profile = Profile::loaded();
    for target in ["/proc", "/proc/self/attr", "/proc/thread-self/attr/apparmor"] {
        let c = Container::new().set("/process/apparmorProfile", profile.name());
        let c = c.mount(json!({"destination": target, "type": "tmpfs", "source": "tmpfs"}));
        c.create().fails(["mounts[7]", "inside /proc"]);
        c.nothing_left();
    }
}

/// CVE-2025-52881 as a race: a mount's target in a shared volume is now a directory, now a link to where labels are written. Each
/// container is refused, or confined.
fn a_profile_holds_while_links_are_exchanged() {
    needs(Need::AppArmor);
    let profile = Profile::loaded();
    let c = Container::new().set("/process/apparmorProfile", profile.name());
    let c = c.args(["cat", "/proc/self/attr/apparmor/current"]);
    let volume = c.dir().join("volume");
    fs::create_dir_all(volume.join("a")).expect("make a directory");
    std::os::unix::fs::symlink("/proc/self/attr", volume.join("b")).expect("make a link");
    let c = c.bind(&volume, "/volume", ["rw"]);
    let c = c.mount(json!({"destination": "/volume/a", "type": "tmpfs", "source": "tmpfs"}));
    let done = AtomicBool::new(false);
    let mut confined = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let (a, b) = (volume.join("a"), volume.join("b"));
                renameat_with(CWD, &a, CWD, &b, RenameFlags::EXCHANGE).expect("exchange them");
            }
        });
        for _ in 0..rounds(40) {
            let output = c.run();
            if output.code == Some(0) {
                assert_eq!(output.stdout.trim_end(), profile.enforced());
                confined += 1;
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(confined > 0, "none ran, so that nothing was tried");
    c.nothing_mounted();
}
