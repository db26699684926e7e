//! CRIU, which makes checkpoints and restores them: its process, the conversation with it, what it leaves in its log, and two of
//! the files that it reads.
//!
//! `criu swrk FD` serves requests that come over a SEQPACKET socket, in CRIU's own messages ([`rpc`]). This room knows those, and
//! neither plans nor what a container is.

mod images;
mod log;
pub mod rpc;

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use prost::Message;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, SendAncillaryBuffer, SendFlags, SocketFlags, SocketType, sendmsg, socketpair};

pub use images::{Images, Stdio};
pub use log::Log;

use self::rpc::{Features, Kind, Options, Request, Response};
use crate::caller::ignored_signals;
use crate::error::{Annotate, Context, Error, Result};
use crate::sync::receive;
use crate::sys;

/// The oldest release whose messages mean what is asked here: Debian 12's.
const OLDEST: (i32, i32) = (3, 17);

/// Where programs are looked for when the caller has no PATH.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The program, found and opened.
#[derive(Debug)]
pub struct Program {
    file: OwnedFd,
}

impl Program {
    /// Looks for `criu` on PATH, which is the caller's: nothing of a container's has been entered yet (CVE-2026-84042).
    ///
    /// # Errors
    /// Names it and the way out.
    pub fn find() -> Result<Self> {
        let path = std::env::var_os("PATH").filter(|path| !path.is_empty()).unwrap_or_else(|| USUAL_PATH.into());
        let candidates: Vec<PathBuf> =
            std::env::split_paths(&path).filter(|dir| dir.is_absolute()).map(|dir| dir.join("criu")).collect();
        let program = candidates.iter().find_map(|path| open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok());
        let file = program.filter(|file| sys::may_execute(file.as_fd()).is_ok()).ok_or_else(|| {
            Error::new("criu: executable file not found in $PATH")
                .hint("CRIU makes and restores checkpoints: install the package criu, 3.17 or newer")
        })?;
        Ok(Self { file })
    }

    /// Becomes the program, which serves what comes over the connection and has the descriptors `kept` too.
    ///
    /// # Errors
    /// Returns only when it can't be executed.
    pub fn execute(&self, served: &Served, kept: &[OwnedFd]) -> Result<Infallible> {
        sys::reset_signals(ignored_signals()?).call("sigprocmask")?;
        for fd in kept.iter().chain([&served.socket, &served.images]).chain(&served.work) {
            fcntl_setfd(fd, FdFlags::empty()).call("fcntl")?;
        }
        let args = [c"criu".to_owned(), c"swrk".to_owned(), number(&served.socket)];
        let env: Vec<CString> = std::env::vars_os().filter_map(|(name, value)| variable(name, &value)).collect();
        let Err(errno) = nix::unistd::fexecve(&self.file, &args, &env);
        Err(Error::call("execve", Errno::from_raw_os_error(errno as i32)).doing("criu"))
    }
}

fn number(fd: &OwnedFd) -> CString {
    CString::new(fd.as_raw_fd().to_string()).unwrap_or_default()
}

fn variable(mut name: OsString, value: &OsStr) -> Option<CString> {
    name.push("=");
    name.push(value);
    CString::new(name.into_vec()).ok()
}

/// CRIU's end of the conversation, and the directories that it works with. Made by the process that becomes CRIU: that is the one
/// in which CRIU looks its caller's descriptors up, and what it mounts in a directory has to be of its own mount namespace.
#[derive(Debug)]
pub struct Served {
    socket: OwnedFd,
    images: OwnedFd,
    work: Option<OwnedFd>,
}

impl Served {
    /// Opens the directories here. What comes along is for the caller to make a [`Connection`] of.
    pub fn new(images: &Images, work: Option<&Images>) -> Result<(Self, OwnedFd)> {
        let (callers, socket) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).call("socketpair")?;
        Ok((Self { socket, images: images.open_again()?, work: work.map(Images::open_again).transpose()? }, callers))
    }

    /// The directories' numbers, for the caller too.
    pub fn numbers(&self) -> String {
        let work = self.work.as_ref().map(|work| format!(" {}", work.as_raw_fd()));
        format!("{}{}", self.images.as_raw_fd(), work.unwrap_or_default())
    }
}

/// A point on CRIU's way at which it waits until its caller has done its part.
#[derive(Debug)]
pub struct Notice {
    /// CRIU's name of the point.
    pub script: String,
    /// The pid of the first restored process, at two of the points.
    pub pid: Option<i32>,
    /// What came along: the main side of a terminal.
    pub fd: Option<OwnedFd>,
}

/// The conversation with a CRIU that was started.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    images: i32,
    work: Option<i32>,
}

impl Connection {
    /// With the CRIU that a process has become, by what it sent before.
    pub fn new(socket: Option<OwnedFd>, numbers: &[u8]) -> Result<Self> {
        let mut numbers = std::str::from_utf8(numbers).unwrap_or_default().split(' ').map(str::parse);
        match (socket, numbers.next(), numbers.next().transpose()) {
            (Some(socket), Some(Ok(images)), Ok(work)) => Ok(Self { socket, images, work }),
            _ => Err(Error::new("the process that was to become CRIU sent nonsense")),
        }
    }

    /// Refuses a CRIU that would take what is asked for something else, or pass over it.
    ///
    /// # Errors
    /// Says which release is there.
    pub fn check_version(&self) -> Result<()> {
        let request = Request { kind: Kind::Version.into(), keep_open: Some(true), ..Request::default() };
        let version = self.ask(&request).doing(|| "ask CRIU for its version")?.version.unwrap_or_default();
        if (version.major, version.minor) >= OLDEST {
            return Ok(());
        }
        let (major, minor) = OLDEST;
        Err(Error::new(format!(
            "CRIU {}.{} is too old: it has to be {major}.{minor} at least",
            version.major, version.minor
        )))
    }

    /// What of these this CRIU can do on this kernel.
    pub fn features(&self, asked: Features) -> Result<Features> {
        let request = Request {
            kind: Kind::FeatureCheck.into(),
            keep_open: Some(true),
            features: Some(asked),
            ..Request::default()
        };
        Ok(self.ask(&request).doing(|| "ask CRIU for its features")?.features.unwrap_or_default())
    }

    fn ask(&self, request: &Request) -> Result<Response> {
        self.send(request)?;
        let (response, _) = self.next()?;
        if response.success { Ok(response) } else { Err(failure(&response)) }
    }

    /// Has CRIU do it, and `heed` hears of each point on the way. What `heed` returns as an error ends it.
    ///
    /// # Errors
    /// That of `heed`, or what CRIU says, with what it wrote to its log.
    pub fn run(
        &self,
        kind: Kind,
        options: Options,
        log: &Log,
        mut heed: impl FnMut(Notice) -> Result<()>,
    ) -> Result<()> {
        let options = Options { images_dir_fd: self.images, work_dir_fd: self.work, ..options };
        self.send(&Request { kind: kind.into(), options: Some(Box::new(options)), ..Request::default() })?;
        let mut refused = None;
        loop {
            // Whatever comes of a refusal, the refusal is what it came of.
            let (response, fd) = match self.next() {
                Err(error) => return Err(refused.unwrap_or_else(|| log.explain(error))),
                Ok(next) => next,
            };
            let Some(notify) = response.notify.as_ref().filter(|_| response.kind() == Kind::Notify) else {
                return match refused {
                    Some(error) => Err(error),
                    None if response.success && response.kind() == kind => Ok(()),
                    None => Err(log.explain(failure(&response))),
                };
            };
            let heeded = heed(Notice { script: notify.script().into(), pid: notify.pid, fd });
            let answer =
                Request { kind: Kind::Notify.into(), notify_success: Some(heeded.is_ok()), ..Request::default() };
            refused = refused.or(heeded.err());
            if let Err(error) = self.send(&answer) {
                return Err(refused.unwrap_or_else(|| log.explain(error)));
            }
        }
    }

    fn send(&self, request: &Request) -> Result<()> {
        let bytes = request.encode_to_vec();
        let mut space: [MaybeUninit<u8>; 0] = [];
        let mut control = SendAncillaryBuffer::new(&mut space);
        sendmsg(&self.socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)
            .map(drop)
            .map_err(|errno| if errno == Errno::PIPE { gone() } else { Error::call("sendmsg", errno) })
    }

    fn next(&self) -> Result<(Response, Option<OwnedFd>)> {
        let (bytes, fd) = receive(self.socket.as_fd())?.ok_or_else(gone)?;
        let response = Response::decode(&bytes[..]);
        response.map(|response| (response, fd)).map_err(|error| Error::new(format!("CRIU's answer: {error}")))
    }
}

fn gone() -> Error {
    Error::new("CRIU went away without an answer")
}

fn failure(response: &Response) -> Error {
    match (response.error().trim(), response.errno()) {
        ("", 0) => Error::new("CRIU failed"),
        ("", errno) => Error::call("criu", Errno::from_raw_os_error(errno)),
        (text, _) => Error::new(text),
    }
}

/// The number of a descriptor for CRIU, which knows it as its own or finds it through this process.
pub fn fd_number(fd: BorrowedFd<'_>) -> i32 {
    fd.as_raw_fd()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(dir: &tempfile::TempDir) -> Log {
        Images::open(dir.path()).unwrap().log("x.log").unwrap()
    }

    fn connection() -> (Connection, OwnedFd) {
        let dir = tempfile::tempdir().unwrap();
        let images = Images::open(dir.path()).unwrap();
        let (served, callers) = Served::new(&images, Some(&images)).unwrap();
        let connection = Connection::new(Some(callers), served.numbers().as_bytes()).unwrap();
        assert_eq!(
            (connection.images, connection.work),
            (served.images.as_raw_fd(), Some(served.work.unwrap().as_raw_fd()))
        );
        (connection, served.socket)
    }

    /// A CRIU that answers each request with the next of these.
    fn answering(responses: Vec<Response>) -> (Connection, std::thread::JoinHandle<Vec<Request>>) {
        let (connection, served) = connection();
        let server = std::thread::spawn(move || {
            let mut heard = Vec::new();
            for response in responses {
                let (bytes, _) = receive(served.as_fd()).unwrap().unwrap();
                heard.push(Request::decode(&bytes[..]).unwrap());
                rustix::net::send(&served, &response.encode_to_vec(), SendFlags::empty()).unwrap();
            }
            heard
        });
        (connection, server)
    }

    fn answer(kind: Kind, success: bool) -> Response {
        Response { kind: kind.into(), success, ..Response::default() }
    }

    fn point(script: &str, pid: Option<i32>) -> Response {
        let notify = Some(rpc::Notify { script: Some(script.into()), pid });
        Response { notify, ..answer(Kind::Notify, true) }
    }

    #[test]
    fn an_old_criu_is_refused() {
        for (version, accepted) in [((3, 16), false), ((3, 17), true), ((4, 1), true), ((2, 99), false)] {
            let version = Some(rpc::Version { major: version.0, minor: version.1 });
            let (connection, server) = answering(vec![Response { version, ..answer(Kind::Version, true) }]);
            assert_eq!(connection.check_version().is_ok(), accepted, "{version:?}");
            assert_eq!(server.join().unwrap()[0].keep_open, Some(true));
        }
    }

    #[test]
    fn each_point_is_heeded_and_answered() {
        let dir = tempfile::tempdir().unwrap();
        let (connection, server) =
            answering(vec![point("setup-namespaces", Some(5)), point("pre-resume", None), answer(Kind::Restore, true)]);
        let mut heard = Vec::new();
        let heed = |notice: Notice| {
            heard.push((notice.script, notice.pid));
            Ok(())
        };
        connection.run(Kind::Restore, Options::default(), &log(&dir), heed).unwrap();
        assert_eq!(heard, [("setup-namespaces".to_owned(), Some(5)), ("pre-resume".to_owned(), None)]);
        let requests = server.join().unwrap();
        assert_eq!(requests[0].kind(), Kind::Restore);
        let options = requests[0].options.as_ref().unwrap();
        assert_eq!((options.images_dir_fd, options.work_dir_fd), (connection.images, connection.work));
        assert!(requests[1..].iter().all(|request| request.notify_success == Some(true)));
    }

    #[test]
    fn a_refusal_is_told_and_outlives_what_criu_makes_of_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("x.log"), "(1) Error (a.c:1): another\n").unwrap();
        for end in [answer(Kind::Restore, false), answer(Kind::Restore, true)] {
            let (connection, server) = answering(vec![point("pre-resume", None), end]);
            let heed = |_| Err(Error::new("not like this"));
            let error = connection.run(Kind::Restore, Options::default(), &log(&dir), heed).unwrap_err();
            assert_eq!(error.to_string(), "not like this");
            assert_eq!(server.join().unwrap()[1].notify_success, Some(false));
        }
    }

    #[test]
    fn a_failure_is_told_by_the_log_or_the_answer() {
        let dir = tempfile::tempdir().unwrap();
        let failed = |error: Option<&str>, errno| {
            let failed = Response { error: error.map(Into::into), errno, ..answer(Kind::Dump, false) };
            let (connection, server) = answering(vec![failed]);
            let error = connection.run(Kind::Dump, Options::default(), &log(&dir), |_| Ok(())).unwrap_err().to_string();
            server.join().unwrap();
            error
        };
        assert_eq!(failed(Some("no such pid\n"), Some(3)), "no such pid");
        assert_eq!(failed(None, Some(17)), "criu: file exists");
        assert_eq!(failed(None, None), "CRIU failed");
        std::fs::write(dir.path().join("x.log"), "(1.5) Error (a.c:1): this is why\n").unwrap();
        assert!(failed(Some("vague"), Some(3)).starts_with("Error (a.c:1): this is why (see /"));
    }

    #[test]
    fn a_criu_that_dies_is_missed() {
        let (connection, served) = connection();
        drop(served);
        let error = connection.check_version().unwrap_err().to_string();
        assert_eq!(error, "ask CRIU for its version: CRIU went away without an answer");
    }

    #[test]
    fn what_introduces_a_connection_has_to_make_sense() {
        let socket = || Some(OwnedFd::from(std::fs::File::open("/dev/null").unwrap()));
        assert!(Connection::new(socket(), b"4").is_ok() && Connection::new(socket(), b"4 5").is_ok());
        for (socket, numbers) in [(None, &b"4"[..]), (socket(), b""), (socket(), b"x"), (socket(), b"4 y")] {
            assert!(Connection::new(socket, numbers).is_err(), "{numbers:?}");
        }
    }
}
