//! The foreground: this process's terminal and signals stand for the container's as long as that runs.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

use crate::error::{Context, Error, Result};
use crate::notify::Notify;
use crate::sys;
use crate::timeline;

/// Signals that mean this process and not the container.
const OWN: [Signal; 7] =
    [Signal::SIGPIPE, Signal::SIGURG, Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGILL, Signal::SIGFPE, Signal::SIGABRT];

/// Bytes that are safe to write where poll(2) says that writing is possible: a pipe then takes this many at once.
const CHUNK: usize = 4096;

/// Signals held back, to be passed on, and the container's terminal, once there is one.
pub(crate) struct Foreground {
    signals: SignalFd,
    relay: Option<Relay>,
    notify: Option<Notify>,
}

impl Foreground {
    /// Holds signals back from now on.
    pub(crate) fn begin() -> Result<Self> {
        let mut mask = SigSet::all();
        for signal in OWN {
            mask.remove(signal);
        }
        mask.thread_swap_mask(SigmaskHow::SIG_SETMASK).call("sigprocmask")?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).call("signalfd")?;
        Ok(Self { signals, relay: None, notify: None })
    }

    /// Takes over the container's terminal, before its program may look at it.
    pub(crate) fn attach(&mut self, terminal: Option<OwnedFd>) -> Result<()> {
        self.relay = terminal.map(Relay::begin).transpose()?;
        Ok(())
    }

    /// Tells the caller when the program says that it is ready.
    pub(crate) fn listen(&mut self, notify: Option<Notify>) {
        self.notify = notify;
    }

    /// Passes signals and, with a terminal, everything typed and printed, until the container's init is gone.
    pub(crate) fn stay_with(&mut self, init: &OwnedFd) -> Result<()> {
        let _step = timeline::step("stay with the program");
        loop {
            let mut fds = vec![PollFd::new(init, PollFlags::IN), PollFd::new(&self.signals, PollFlags::IN)];
            let ends = self.relay.as_ref().map(|relay| relay.interests(&mut fds)).unwrap_or_default();
            fds.extend(self.notify.as_ref().map(|notify| PollFd::new(notify, PollFlags::IN)));
            match poll(&mut fds, None) {
                Ok(_) => (),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(Error::call("poll", errno)),
            }
            let ready: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
            if !ready[1].is_empty() {
                self.pass_signals(init.as_fd())?;
            }
            // The program is a child of this one, which is what the caller watches, and stays as long.
            let said = self.notify.as_ref().filter(|_| ready.last().is_some_and(|flags| !flags.is_empty()));
            if said.map_or(Ok(false), |notify| notify.pass_on(std::process::id().cast_signed()))? {
                self.notify = None;
            }
            if let Some(relay) = &mut self.relay {
                ends.iter().zip(&ready[2..]).try_for_each(|(end, flags)| relay.move_bytes(*end, *flags))?;
            }
            if !ready[0].is_empty() {
                return self.relay.take().map_or(Ok(()), Relay::finish);
            }
        }
    }

    fn pass_signals(&mut self, init: BorrowedFd<'_>) -> Result<()> {
        while let Some(signal) = self.signals.read_signal().call("read").map_err(|e| e.doing("signalfd"))? {
            let number = i32::try_from(signal.ssi_signo).unwrap_or_default();
            if number == libc::SIGCHLD {
                reap_orphans(init)?;
                continue;
            }
            if let Some(relay) = self.relay.as_ref().filter(|_| number == libc::SIGWINCH) {
                relay.copy_size();
                continue;
            }
            match sys::pidfd_send_signal(init, number) {
                Ok(()) | Err(Errno::SRCH) => (),
                Err(errno) => tracing::debug!("signal {number} can't be passed on: {errno}"),
            }
        }
        Ok(())
    }
}

/// Collects the container's orphans, which this process adopts, but not its init, whose exit code is wanted later.
fn reap_orphans(init: BorrowedFd<'_>) -> Result<()> {
    let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
    loop {
        let first = match waitid(Id::All, ended | WaitPidFlag::WNOWAIT) {
            Ok(status) => status.pid(),
            Err(nix::errno::Errno::ECHILD) => None,
            Err(errno) => return Err(errno).call("waitid"),
        };
        // Asked after the look at the queue: an init that died before it is recognised.
        let init = waitid(Id::PIDFd(init), ended | WaitPidFlag::WNOWAIT).call("waitid")?.pid();
        match first {
            Some(orphan) if Some(orphan) != init => drop(waitid(Id::Pid(orphan), ended).call("waitid")?),
            // When the init is first in the queue the end is near, and the others are collected by who adopts us.
            _ => return Ok(()),
        }
    }
}

/// Bytes on their way from one descriptor to another.
#[derive(Default)]
struct Flow {
    waiting: Vec<u8>,
    /// Nothing more comes in.
    ended: bool,
    /// Nothing more can go out; what comes in is dropped, so that the sender is never held up.
    closed: bool,
}

/// One of the three ends that bytes come from or go to.
#[derive(Debug, Clone, Copy)]
enum End {
    /// Standard input.
    Input,
    /// The main side of the container's terminal.
    Main,
    /// Standard output.
    Output,
}

/// Copies between this process's standard streams and the container's terminal, with never more than a chunk in between:
/// a slow side slows the other one down, and holds up nothing else.
struct Relay {
    main: OwnedFd,
    /// The caller's terminal as it was, when it is one.
    before: Option<Termios>,
    input: Flow,
    output: Flow,
}

impl Relay {
    fn begin(main: OwnedFd) -> Result<Self> {
        let mut relay = Self { main, before: None, input: Flow::default(), output: Flow::default() };
        relay.copy_size();
        if isatty(stdin()) {
            let before = tcgetattr(stdin()).call("tcgetattr")?;
            let mut raw = before.clone();
            raw.make_raw();
            tcsetattr(stdin(), OptionalActions::Now, &raw).call("tcsetattr")?;
            relay.before = Some(before);
        }
        Ok(relay)
    }

    /// The container's terminal gets the size of the caller's, where that is one.
    fn copy_size(&self) {
        let size = [stdin(), stdout()].into_iter().find_map(|stream| tcgetwinsize(stream).ok());
        if let Some(Err(errno)) = size.map(|size| tcsetwinsize(&self.main, size)) {
            tracing::debug!("the terminal's size can't be set: {errno}");
        }
    }

    /// Adds what to wait for, and says which end each entry is. An end that nothing is wanted of is left out: its hang-up
    /// would wake us again and again.
    fn interests<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) -> Vec<End> {
        let input_free = self.input.waiting.is_empty();
        let output_free = self.output.waiting.is_empty();
        let when = |wanted: bool, flag: PollFlags| if wanted { flag } else { PollFlags::empty() };
        let main = when(output_free && !self.output.ended, PollFlags::IN) | when(!input_free, PollFlags::OUT);
        let wanted = [
            (End::Input, stdin(), when(input_free && !self.input.ended, PollFlags::IN)),
            (End::Main, self.main.as_fd(), main),
            (End::Output, stdout(), when(!output_free, PollFlags::OUT)),
        ];
        let wanted = wanted.into_iter().filter(|(_, _, flags)| !flags.is_empty());
        let add = |(end, fd, flags)| {
            fds.push(PollFd::from_borrowed_fd(fd, flags));
            end
        };
        wanted.map(add).collect()
    }

    fn move_bytes(&mut self, end: End, ready: PollFlags) -> Result<()> {
        match end {
            End::Input if !ready.is_empty() => self.input.fill(stdin()),
            End::Output if !ready.is_empty() => {
                self.output.drain(stdout());
                Ok(())
            }
            End::Main => {
                if ready.contains(PollFlags::OUT) {
                    self.input.drain(self.main.as_fd());
                }
                let readable = ready.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR);
                if readable && self.output.waiting.is_empty() { self.output.fill(self.main.as_fd()) } else { Ok(()) }
            }
            End::Input | End::Output => Ok(()),
        }
    }

    /// The program is gone: prints what it had written, as far as that is there.
    fn finish(mut self) -> Result<()> {
        loop {
            while !self.output.waiting.is_empty() && !self.output.closed {
                wait_writable(stdout())?;
                self.output.drain(stdout());
            }
            let mut fds = [PollFd::new(&self.main, PollFlags::IN)];
            let none = rustix::event::Timespec::default();
            if self.output.ended || poll(&mut fds, Some(&none)).call("poll")? == 0 {
                return Ok(());
            }
            self.output.waiting.clear();
            self.output.fill(self.main.as_fd())?;
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(before) = &self.before
            && let Err(errno) = tcsetattr(stdin(), OptionalActions::Flush, before)
        {
            tracing::debug!("the terminal can't be set back: {errno}");
        }
    }
}

fn wait_writable(fd: BorrowedFd<'_>) -> Result<()> {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
    match poll(&mut fds, None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(Error::call("poll", errno)),
    }
}

impl Flow {
    fn fill(&mut self, from: BorrowedFd<'_>) -> Result<()> {
        let mut chunk = [0; CHUNK];
        match rustix::io::read(from, &mut chunk) {
            // A terminal answers EIO when nobody has its other side open any more. And a caller's standard input may be a directory,
            // or a file for writing only: nothing to read, and no reason to end the container.
            Ok(0) | Err(Errno::IO | Errno::ISDIR | Errno::BADF) => self.ended = true,
            Ok(length) if self.closed => tracing::trace!("{length} bytes dropped"),
            Ok(length) => self.waiting.extend_from_slice(&chunk[..length]),
            Err(Errno::AGAIN | Errno::INTR) => (),
            Err(errno) => return Err(Error::call("read", errno)),
        }
        Ok(())
    }

    fn drain(&mut self, to: BorrowedFd<'_>) {
        match rustix::io::write(to, &self.waiting) {
            Ok(length) => drop(self.waiting.drain(..length)),
            Err(Errno::AGAIN | Errno::INTR) => (),
            Err(errno) => {
                // Nobody listens any more, which is nothing to complain of; or a disk is full, say.
                if !matches!(errno, Errno::PIPE | Errno::IO) {
                    let error = Error::call("write", errno);
                    crate::log::say(&format!("warning: {error}: the terminal's output is dropped from here on\r\n"));
                }
                self.closed = true;
                self.waiting.clear();
            }
        }
    }
}
