//! A network that stands in for the host's: nothing of the machine's own is moved or named.

use std::fs::File;
use std::process::Command;

use nix::sched::{CloneFlags, setns, unshare};

/// The calling thread, and what it starts, in a new network namespace until this is dropped.
pub(crate) struct OwnNetwork {
    home: File,
}

impl OwnNetwork {
    pub(crate) fn enter() -> Self {
        let home = File::open("/proc/thread-self/ns/net").expect("open the thread's network namespace");
        unshare(CloneFlags::CLONE_NEWNET).expect("make a network namespace");
        Self { home }
    }

    /// Runs `ip WORDS` in it.
    #[expect(clippy::unused_self, reason = "whoever has one is in it, and nobody else may change a network")]
    pub(crate) fn ip(&self, words: &str) -> String {
        let output = Command::new("ip").args(words.split(' ')).output().expect("run ip");
        assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for OwnNetwork {
    fn drop(&mut self) {
        setns(&self.home, CloneFlags::CLONE_NEWNET).expect("return to the thread's network namespace");
    }
}
