//! AppArmor and SELinux, where the kernel has them.

use crate::case::cases;
use crate::container::Container;
use crate::outcome::{Verdict, applies, expect};
use crate::subject::Subject;

cases![apparmor, selinux, mount_label];

fn apparmor(s: &Subject) -> Verdict {
    let on = std::fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.trim() == "Y");
    applies(on, "this kernel has no AppArmor")?;
    let c = Container::new(s).set("/process/apparmorProfile", "unconfined").args(["cat", "/proc/self/attr/current"]);
    c.create_if_supported()?;
    c.start()?;
    c.wait_exit()?;
    let seen = c.stdout();
    expect(seen.trim() == "unconfined", "the program is unconfined", seen)?;
    Container::new(s).set("/process/apparmorProfile", "nobody-loaded-this").refused("a profile that isn't loaded")
}

fn selinux_is_on() -> Verdict {
    applies(std::path::Path::new("/sys/fs/selinux/enforce").exists(), "this kernel has no SELinux, or it is off")
}

fn selinux(s: &Subject) -> Verdict {
    selinux_is_on()?;
    Container::new(s).set("/process/selinuxLabel", "nonsense").refused("a label that SELinux doesn't know")
}

fn mount_label(s: &Subject) -> Verdict {
    selinux_is_on()?;
    Container::new(s).set("/linux/mountLabel", "nonsense").refused("a label that SELinux doesn't know")
}
