//! The two ends that terminal cases need: a pseudoterminal of the suite's own, and a socket that receives a container's.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use super::wait::{deadline, readable};

/// A pseudoterminal: the suite reads and types at the master, programs get the terminal.
pub(crate) struct Pty {
    master: std::fs::File,
    pub(crate) terminal: Option<OwnedFd>,
    seen: String,
}

impl Pty {
    pub(crate) fn new(columns: u16, rows: u16) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags).expect("open a pseudoterminal");
        rustix::pty::unlockpt(&master).expect("unlock it");
        let terminal = rustix::pty::ioctl_tiocgptpeer(&master, flags).expect("open its other end");
        let pty = Self { master: master.into(), terminal: Some(terminal), seen: String::new() };
        pty.resize(columns, rows);
        pty
    }

    /// The master that a runtime sent.
    pub(crate) fn from_master(master: OwnedFd) -> Self {
        Self { master: master.into(), terminal: None, seen: String::new() }
    }

    pub(crate) fn terminal(&self) -> &OwnedFd {
        self.terminal.as_ref().expect("the suite's own pseudoterminal has both ends")
    }

    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&self.master, size).expect("set the size");
    }

    pub(crate) fn size(&self) -> (u16, u16) {
        let size = rustix::termios::tcgetwinsize(&self.master).expect("get the size");
        (size.ws_col, size.ws_row)
    }

    pub(crate) fn type_text(&self, text: &str) {
        rustix::io::write(&self.master, text.as_bytes()).expect("type");
    }

    /// Everything that came out so far, read until `text` is in it.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        while !self.seen.contains(text) {
            assert!(self.read(deadline()), "the terminal ended without {text:?}: {:?}", self.seen);
        }
        self.seen.clone()
    }

    /// Everything until all holders of the terminal have closed it.
    pub(crate) fn drain(&mut self) -> String {
        self.terminal = None;
        while self.read(deadline()) {}
        self.seen.clone()
    }

    /// Reads once; false at the end.
    fn read(&mut self, within: Duration) -> bool {
        assert!(readable(self.master.as_fd(), within), "nothing more from the terminal after {:?}", self.seen);
        let mut buffer = [0; 4096];
        match self.master.read(&mut buffer) {
            // A pseudoterminal whose other end is closed answers EIO.
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
                true
            }
        }
    }
}

/// The socket that `--console-socket` or `--pidfd-socket` names.
pub(crate) struct ConsoleSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ConsoleSocket {
    pub(crate) fn new(dir: &Path) -> Self {
        let path = dir.join("console.sock");
        Self { listener: UnixListener::bind(&path).expect("bind the console socket"), path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The one terminal that arrives, and the text that came with it.
    pub(crate) fn receive(&self) -> (Pty, String) {
        let (master, text) = self.receive_fd();
        (Pty::from_master(master), text)
    }

    /// The one descriptor that arrives, whatever it is of, and the text that came with it.
    pub(crate) fn receive_fd(&self) -> (OwnedFd, String) {
        assert!(readable(self.listener.as_fd(), deadline()), "nobody connected to the console socket");
        let (stream, _) = self.listener.accept().expect("accept");
        assert!(readable(stream.as_fd(), deadline()), "nothing was sent to the console socket");
        let mut payload = [0; 4096];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let buffers = &mut [std::io::IoSliceMut::new(&mut payload)];
        let received = rustix::net::recvmsg(&stream, buffers, &mut control, RecvFlags::CMSG_CLOEXEC).expect("recvmsg");
        let rights = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        });
        let descriptors: Vec<OwnedFd> = rights.flatten().collect();
        let [one] = <[OwnedFd; 1]>::try_from(descriptors).expect("exactly one descriptor");
        (one, String::from_utf8_lossy(&payload[..received.bytes]).into_owned())
    }
}
