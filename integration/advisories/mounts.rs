//! Mount targets that lead elsewhere than where they seem to.

use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::json;

use crate::support::Container;
use crate::support::case::cases;

cases![
    a_target_behind_a_link_is_not_made_outside,
    a_target_behind_dots_is_not_made_outside,
    a_file_is_not_made_outside,
    a_device_is_not_made_outside,
    a_working_directory_is_not_made_outside,
    a_target_that_is_a_fifo_does_not_block,
    a_source_is_the_hosts_whatever_was_mounted_before,
    a_source_may_be_a_descriptor_of_another_process,
    a_target_exchanged_all_the_time,
    the_root_may_be_a_symlink,
    nothing_is_looked_up_through_a_descriptors_link,
];

/// A directory of the host that the attack would change; what the image's path leads to.
struct Outside(PathBuf);

impl Outside {
    fn new(c: &Container) -> Self {
        let path = c.dir().join("outside");
        fs::create_dir(&path).expect("make a directory");
        fs::write(path.join("marker"), "marker").expect("write a marker");
        Self(path)
    }

    fn text(&self) -> &str {
        self.0.to_str().expect("a path of text")
    }

    /// Up to the root and down again, from wherever it is read.
    fn with_dots(&self) -> String {
        format!("{}{}", "../".repeat(40), self.text().trim_start_matches('/'))
    }

    fn is_untouched(&self) {
        let names: Vec<_> = fs::read_dir(&self.0).expect("list").flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(names, ["marker"]);
        assert_eq!(fs::read_to_string(self.0.join("marker")).expect("read"), "marker");
    }
}

/// Runs it, whatever comes of it, and looks that nothing outside has changed.
fn run_and_look(c: &Container, outside: &Outside) {
    // In the root the path leads somewhere too, so that some of these containers run and others can't.
    drop(c.run());
    outside.is_untouched();
    c.nothing_mounted();
}

/// CVE-2019-18837, CVE-2021-30465, CVE-2024-45310.
fn a_target_behind_a_link_is_not_made_outside() {
    let c = Container::new().set("/root/readonly", false).args(["exit", "0"]);
    let outside = Outside::new(&c);
    let c = c.symlink("/link", outside.text());
    let c = c.mount(json!({"destination": "/link/made/here", "type": "tmpfs", "source": "tmpfs"}));
    run_and_look(&c, &outside);
}

/// The same, with a relative link.
fn a_target_behind_dots_is_not_made_outside() {
    let c = Container::new().set("/root/readonly", false).args(["exit", "0"]);
    let outside = Outside::new(&c);
    let c = c.symlink("/deep/link", &outside.with_dots());
    let c = c.mount(json!({"destination": "/deep/link/made", "type": "tmpfs", "source": "tmpfs"}));
    run_and_look(&c, &outside);
}

/// CVE-2024-45310: the target of a file's bind mount is a file, and making it must not follow the last link either.
fn a_file_is_not_made_outside() {
    for name in ["made", "marker"] {
        let c = Container::new().set("/root/readonly", false).args(["exit", "0"]);
        let outside = Outside::new(&c);
        let source = c.dir().join("source");
        fs::write(&source, "source").expect("write");
        let c = c.symlink("/link", &format!("{}/{name}", outside.text())).bind(&source, "/link", ["rw"]);
        run_and_look(&c, &outside);
    }
}

/// CVE-2026-41579's kin: a device of the config, below a directory that is a link.
fn a_device_is_not_made_outside() {
    let c = Container::new().set("/root/readonly", false).args(["exit", "0"]);
    let outside = Outside::new(&c);
    let zero = json!([{"path": "/link/zero", "type": "c", "major": 1, "minor": 5}]);
    let c = c.symlink("/link", outside.text()).set("/linux/devices", zero);
    run_and_look(&c, &outside);
}

/// CVE-2024-45310's kin: `process.cwd` is made when it is missing.
fn a_working_directory_is_not_made_outside() {
    let c = Container::new().set("/root/readonly", false).args(["exit", "0"]);
    let outside = Outside::new(&c);
    let c = c.symlink("/link", outside.text()).set("/process/cwd", "/link/made");
    run_and_look(&c, &outside);
}

/// CVE-2024-45310: to open it would wait for somebody at the other end.
fn a_target_that_is_a_fifo_does_not_block() {
    let c = Container::new().args(["cat", "/fifo"]);
    let source = c.dir().join("source");
    fs::write(&source, "the file").expect("write");
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    rustix::fs::mknodat(CWD, c.rootfs().join("fifo"), rustix::fs::FileType::Fifo, mode, 0).expect("make a FIFO");
    assert_eq!(c.bind(&source, "/fifo", ["rw"]).run().ok().stdout, "the file");
}

/// CVE-2021-30465's second half: a source below a place where the container's earlier mounts are.
fn a_source_is_the_hosts_whatever_was_mounted_before() {
    let c = Container::new().file("/volume/marker", "the host's").args(["cat", "/out/marker"]);
    let source = c.rootfs().join("volume");
    let c = c
        .mount(json!({"destination": "/volume", "type": "tmpfs", "source": "tmpfs"}))
        .mount(json!({"destination": "/out", "type": "bind", "source": source, "options": ["bind"]}));
    assert_eq!(c.run().ok().stdout, "the host's");
}

/// CVE-2017-1002101, CVE-2021-25741, CVE-2023-0778: how a caller that opened the source safely hands it over.
fn a_source_may_be_a_descriptor_of_another_process() {
    let c = Container::new().args(["cat", "/out/marker"]);
    let outside = Outside::new(&c);
    let opened = fs::File::open(&outside.0).expect("open a directory");
    let source = format!("/proc/{}/fd/{}", std::process::id(), opened.as_raw_fd());
    assert_eq!(c.bind(Path::new(&source), "/out", ["rw"]).run().ok().stdout, "marker");
}

/// CVE-2021-30465, CVE-2024-45310 as a race, for as long as it is cheap: a directory and a link to the host change places while
/// containers are made. Each runs or is refused; nothing happens outside.
fn a_target_exchanged_all_the_time() {
    let c = Container::new().args(["exit", "0"]);
    let outside = Outside::new(&c);
    let volume = c.dir().join("volume");
    fs::create_dir_all(volume.join("a")).expect("make a directory");
    std::os::unix::fs::symlink(outside.text(), volume.join("b")).expect("make a link");
    let c = c
        .bind(&volume, "/volume", ["rw"])
        .mount(json!({"destination": "/volume/a/made", "type": "tmpfs", "source": "tmpfs"}));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let (a, b) = (volume.join("a"), volume.join("b"));
                renameat_with(CWD, &a, CWD, &b, RenameFlags::EXCHANGE).expect("exchange them");
            }
        });
        for _ in 0..40 {
            drop(c.run());
        }
        done.store(true, Ordering::Relaxed);
    });
    outside.is_untouched();
    c.nothing_mounted();
}

/// Not an attack: some callers give one.
fn the_root_may_be_a_symlink() {
    let c = Container::new().set("/root/path", "link").args(["print", "inside"]);
    std::os::unix::fs::symlink("rootfs", c.bundle().join("link")).expect("make a link");
    assert_eq!(c.run().ok().stdout, "inside\n");
    c.nothing_mounted();
}

/// CVE-2024-21626's kin: the links of procfs lead to what the runtime has open, and a target must not pass through one.
fn nothing_is_looked_up_through_a_descriptors_link() {
    for target in ["/proc/self/fd/3/x", "/proc/self/cwd/x", "/proc/self/root/x"] {
        let c = Container::new().symlink("/link", target);
        let c = c.mount(json!({"destination": "/link", "type": "tmpfs", "source": "tmpfs"}));
        c.create().fails(["mounts[7]"]);
        c.nothing_left();
    }
}
