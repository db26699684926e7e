//! An AppArmor profile that is loaded for the length of a case.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Lets everything pass but what a case denies. Its name is its own.
pub(crate) struct Profile {
    name: String,
    text: String,
}

impl Profile {
    /// Without the right to read `/forbidden`.
    pub(crate) fn loaded() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("orlop-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let everything = "file, capability, network, mount, umount, pivot_root, signal, ptrace, unix, dbus,";
        let flags = "flags=(attach_disconnected,mediate_deleted)";
        let text = format!("profile {name} {flags} {{ {everything} deny /forbidden r, }}\n");
        let profile = Self { name, text };
        profile.parser("--add");
        profile
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// As procfs shows it of a process that runs under it.
    pub(crate) fn enforced(&self) -> String {
        format!("{} (enforce)", self.name)
    }

    fn parser(&self, action: &str) {
        let mut parser = Command::new("apparmor_parser")
            .args([action, "--skip-cache", "--quiet"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("run apparmor_parser");
        parser.stdin.take().expect("it is piped").write_all(self.text.as_bytes()).expect("write the profile");
        assert!(parser.wait().expect("wait").success(), "apparmor_parser {action} {}", self.text);
    }

    /// Whether this machine confines programs by AppArmor.
    pub(crate) fn can_be() -> bool {
        fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with(b"Y"))
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        self.parser("--remove");
    }
}
