//! What systemd gives to a service and hears of it: sockets by `LISTEN_FDS`, readiness by `NOTIFY_SOCKET`.

use std::fs;
use std::io::IoSliceMut;
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::wait::{deadline, readable};
use crate::support::{Call, Container, Exit, Need, Running, needs};

cases![
    activated_sockets_arrive_first,
    activated_sockets_have_names,
    sockets_of_another_process_are_not_passed_on,
    a_missing_socket_is_an_error,
    the_configs_own_words_of_activation_do_not_count,
    start_returns_when_the_program_is_ready,
    a_detached_run_returns_when_the_program_is_ready,
    a_foreground_run_passes_the_readiness_on,
    a_foreground_run_of_a_silent_program_ends,
    only_the_readiness_is_passed_on,
    a_program_that_ends_before_it_is_ready,
    any_user_may_speak,
    without_the_variable_there_is_no_socket,
    an_abstract_socket_will_do,
    a_caller_that_is_not_there_is_an_error,
];

/// A foreground run of `probe report` by a process with those descriptors, from 3 on, and variables.
fn activated(c: &Container, count: usize, options: &[&str], variables: &[(&str, &str)]) -> Call {
    let paths: Vec<String> = (0..count)
        .map(|index| {
            let path = c.dir().join(format!("socket-{index}"));
            fs::write(&path, "").expect("write a file");
            format!("{}={}", index + 3, path.display())
        })
        .collect();
    let mut launch: Vec<&str> = paths.iter().flat_map(|path| ["--fd", path]).collect();
    launch.push("--activated");
    let call = c.prepare(Call::launched(c.dir(), &launch)).arg("run").args(options).arg("--bundle").arg(c.bundle());
    variables.iter().fold(call.arg(c.id()), |call, (name, value)| call.env(name, value))
}

fn listen_variables(report: &Value) -> Vec<String> {
    let env = report["env"].as_array().expect("a list").iter().filter_map(Value::as_str);
    let mut found: Vec<String> = env.filter(|entry| entry.starts_with("LISTEN_")).map(str::to_owned).collect();
    found.sort_unstable();
    found
}

fn descriptors(c: &Container, report: &Value) -> Vec<(String, String)> {
    let fds = report["fds"].as_object().expect("descriptors");
    let prefix = format!("{}/", c.dir().display());
    let name = |target: &Value| target.as_str().unwrap_or_default().trim_start_matches(&prefix).to_owned();
    fds.iter()
        .filter(|(number, _)| number.len() > 1 || *number > &"2".to_owned())
        .map(|(n, t)| (n.clone(), name(t)))
        .collect()
}

fn activated_sockets_arrive_first() {
    let c = Container::new();
    let report = activated(&c, 3, &["--preserve-fds", "1"], &[("LISTEN_FDS", "2")]).run().ok().report();
    let pairs =
        |list: &[(&str, &str)]| list.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect::<Vec<(String, String)>>();
    assert_eq!(descriptors(&c, &report), pairs(&[("3", "socket-0"), ("4", "socket-1"), ("5", "socket-2")]));
    assert_eq!(listen_variables(&report), ["LISTEN_FDS=2", "LISTEN_PID=1"]);
}

fn activated_sockets_have_names() {
    needs(Need::Orlop("others drop the names"));
    let c = Container::new();
    let report = activated(&c, 2, &[], &[("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "web:admin")]).run().ok().report();
    assert_eq!(listen_variables(&report), ["LISTEN_FDNAMES=web:admin", "LISTEN_FDS=2", "LISTEN_PID=1"]);
}

fn sockets_of_another_process_are_not_passed_on() {
    needs(Need::Not("crun", "it doesn't look whose they are"));
    let c = Container::new();
    let call = c.prepare(Call::runtime(c.dir())).arg("run").arg("--bundle").arg(c.bundle()).arg(c.id());
    let report = call.env("LISTEN_FDS", "1").env("LISTEN_PID", "1").run().ok().report();
    assert!(listen_variables(&report).is_empty(), "{report}");
    assert!(descriptors(&c, &report).is_empty());
}

fn a_missing_socket_is_an_error() {
    needs(Need::Orlop("others pass on what there is"));
    let c = Container::new();
    activated(&c, 1, &[], &[("LISTEN_FDS", "2")]).run().fails(["unable to stat preserved-fd 4 (of 2)"]);
    c.nothing_left();
}

fn the_configs_own_words_of_activation_do_not_count() {
    needs(Need::Orlop("others leave both"));
    let c = Container::new().set("/process/env/-", "LISTEN_PID=77").set("/process/env/-", "LISTEN_FDS=9");
    let report = activated(&c, 1, &[], &[("LISTEN_FDS", "1")]).run().ok().report();
    assert_eq!(listen_variables(&report), ["LISTEN_FDS=1", "LISTEN_PID=1"]);
}

/// systemd's end.
struct Service {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Service {
    fn new(c: &Container) -> Self {
        let path = c.dir().join("systemd.sock");
        Self { socket: UnixDatagram::bind(&path).expect("bind the socket"), path }
    }

    /// The next message, and the descriptor that came with it.
    fn hear(&self) -> (String, Option<OwnedFd>) {
        assert!(readable(self.socket.as_fd(), deadline()), "nothing was said");
        let mut text = [0; 4096];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let buffers = &mut [IoSliceMut::new(&mut text)];
        let received =
            rustix::net::recvmsg(&self.socket, buffers, &mut control, RecvFlags::CMSG_CLOEXEC).expect("recvmsg");
        let rights = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        (String::from_utf8_lossy(&text[..received.bytes]).into_owned(), rights)
    }

    fn hears_nothing(&self) {
        assert!(!readable(self.socket.as_fd(), Duration::from_millis(50)), "{:?}", self.hear().0);
    }

    /// Hears all of it, holds the barrier for a moment, and then acknowledges. Meanwhile the command must not return.
    fn is_told(&self, pid: i32, command: &Running) {
        assert_eq!(self.hear().0, "READY=1\n");
        assert_eq!(self.hear().0, format!("MAINPID={pid}\n"));
        let (text, barrier) = self.hear();
        assert_eq!((text.as_str(), barrier.is_some()), ("BARRIER=1", true));
        std::thread::sleep(Duration::from_millis(50));
        assert!(command.is_alive(), "it didn't wait for the acknowledgement");
    }
}

fn speaking<'a>(words: impl IntoIterator<Item = &'a str>) -> Container {
    Container::new().args(["sequence", "notify"].into_iter().chain(words).chain(["--", "sleep"]))
}

fn start_returns_when_the_program_is_ready() {
    needs(Need::Not("crun", "it has no barrier"));
    needs(Need::Not("runc", "the release at hand passes nothing on here"));
    let c = speaking(["STATUS=soon", "READY=1"]);
    let service = Service::new(&c);
    let create = c.create_call([""; 0]).env("NOTIFY_SOCKET", &service.path);
    let output = create.run().quiet();
    service.hears_nothing();
    let start = c.call("start").arg(c.id()).env("NOTIFY_SOCKET", &service.path).spawn();
    service.is_told(c.pid(), &start);
    start.wait().quiet();
    crate::support::until("the program", || {
        fs::read_to_string(&output.stdout_file).ok().filter(|text| text.contains("ready"))
    });
}

fn a_detached_run_returns_when_the_program_is_ready() {
    needs(Need::Not("crun", "it has no barrier"));
    needs(Need::Not("runc", "the release at hand passes nothing on here"));
    let c = speaking(["READY=1"]);
    let service = Service::new(&c);
    let pid_file = c.dir().join("pid");
    let call = c.call("run").arg("--detach").arg("--bundle").arg(c.bundle()).arg("--pid-file").arg(&pid_file);
    let run = call.arg(c.id()).env("NOTIFY_SOCKET", &service.path).spawn();
    let pid = crate::support::until("the pid file", || fs::read_to_string(&pid_file).ok());
    service.is_told(pid.parse().expect("a pid"), &run);
    run.wait().quiet();
}

fn a_foreground_run_passes_the_readiness_on() {
    needs(Need::Orlop("others have other ideas of whose pid to tell"));
    let c = speaking(["READY=1\nSTATUS=up"]);
    let service = Service::new(&c);
    let run = c.call("run").arg("--bundle").arg(c.bundle()).arg(c.id()).env("NOTIFY_SOCKET", &service.path).spawn();
    assert_eq!(service.hear().0, "READY=1\n");
    // It is the parent of the program, and passes on its end: the one to watch.
    assert_eq!(service.hear().0, format!("MAINPID={}\n", run.pid()));
    run.wait_for("ready");
    run.signal(rustix::process::Signal::TERM);
    run.wait().exits(128 + 15);
    c.nothing_left();
}

fn a_foreground_run_of_a_silent_program_ends() {
    needs(Need::Not("runc", "older releases wait for a zombie to say something"));
    let c = Container::new().args(["exit", "3"]);
    let service = Service::new(&c);
    let call = c.call("run").arg("--bundle").arg(c.bundle()).arg(c.id()).env("NOTIFY_SOCKET", &service.path);
    call.run().exits(3);
    service.hears_nothing();
    c.nothing_left();
}

fn only_the_readiness_is_passed_on() {
    needs(Need::Orlop("in the foreground"));
    let c = speaking(["MAINPID=1", "STATUS=x", "RELOADING=1"]);
    let service = Service::new(&c);
    let run = c.call("run").arg("--bundle").arg(c.bundle()).arg(c.id()).env("NOTIFY_SOCKET", &service.path).spawn();
    run.wait_for("ready");
    service.hears_nothing();
    run.signal(rustix::process::Signal::TERM);
    run.wait().exits(128 + 15);
}

fn a_program_that_ends_before_it_is_ready() {
    needs(Need::Not("runc", "older releases wait for a zombie to say something"));
    let c = Container::new().args(["exit", "7"]);
    let service = Service::new(&c);
    c.create_call([""; 0]).env("NOTIFY_SOCKET", &service.path).run().quiet();
    c.call("start").arg(c.id()).env("NOTIFY_SOCKET", &service.path).run().quiet();
    assert_eq!(c.wait_exit(), Exit::Code(7));
    service.hears_nothing();
    c.delete().quiet();
    c.nothing_left();
}

fn any_user_may_speak() {
    needs(Need::Orlop("in the foreground"));
    for in_user_namespace in [false, true] {
        let c = speaking(["READY=1"]).set("/process/user", json!({"uid": 1000, "gid": 1000}));
        let c = if in_user_namespace { c.user_namespace(100_000, 65_536) } else { c };
        let service = Service::new(&c);
        let run = c.call("run").arg("--bundle").arg(c.bundle()).arg(c.id()).env("NOTIFY_SOCKET", &service.path).spawn();
        assert_eq!(service.hear().0, "READY=1\n");
        run.wait_for("ready");
        run.signal(rustix::process::Signal::TERM);
        run.wait().exits(128 + 15);
    }
}

fn without_the_variable_there_is_no_socket() {
    let c = Container::new().args(["report", "/run"]);
    let report = c.run().ok().report();
    assert_eq!(report["paths"]["/run"]["error"], "ENOENT");
    let env = report["env"].as_array().expect("a list");
    assert!(!env.iter().any(|entry| entry.as_str().is_some_and(|entry| entry.starts_with("NOTIFY"))), "{env:?}");
}

fn an_abstract_socket_will_do() {
    needs(Need::Orlop("in the foreground"));
    let c = speaking(["READY=1"]);
    let name = format!("orlop-test-{}", c.id());
    let address = SocketAddr::from_abstract_name(&name).expect("an address");
    let socket = UnixDatagram::bind_addr(&address).expect("bind the socket");
    let service = Service { socket, path: PathBuf::new() };
    let run =
        c.call("run").arg("--bundle").arg(c.bundle()).arg(c.id()).env("NOTIFY_SOCKET", format!("@{name}")).spawn();
    assert_eq!(service.hear().0, "READY=1\n");
    run.wait_for("ready");
    run.signal(rustix::process::Signal::TERM);
    run.wait().exits(128 + 15);
}

fn a_caller_that_is_not_there_is_an_error() {
    needs(Need::Orlop("the text"));
    let c = speaking(["READY=1"]);
    let call = c.call("run").arg("--bundle").arg(c.bundle()).arg(c.id()).env("NOTIFY_SOCKET", "/nope");
    call.run().fails(["NOTIFY_SOCKET /nope: connect: no such file or directory"]);
    c.nothing_left();
}
