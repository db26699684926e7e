//! Waiting with an end: nothing in the suite waits without a deadline.

use std::os::fd::BorrowedFd;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long anything may take before the case fails. Far above what is usual, because machines can be slow; and as many times that
/// as `ORLOP_TEST_PATIENCE` says, for a machine that is emulated.
pub(crate) fn deadline() -> Duration {
    static PATIENCE: LazyLock<u32> =
        LazyLock::new(|| std::env::var("ORLOP_TEST_PATIENCE").ok().and_then(|times| times.parse().ok()).unwrap_or(1));
    Duration::from_secs(20) * *PATIENCE
}

/// How often a case repeats what it looks at, where `ORLOP_TEST_ROUNDS` doesn't say.
pub(crate) fn rounds(usual: usize) -> usize {
    std::env::var("ORLOP_TEST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(usual)
}

/// Asks again and again until there is an answer; panics with `what` at the deadline.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "waited {} s for {what}", deadline().as_secs());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether the descriptor becomes readable (or hangs up) in time.
pub(crate) fn readable(fd: BorrowedFd<'_>, within: Duration) -> bool {
    let end = Instant::now() + within;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: i64::from(left.subsec_nanos()) };
        match poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&timeout)) {
            Ok(ready) => return ready > 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => panic!("poll: {errno}"),
        }
    }
}
