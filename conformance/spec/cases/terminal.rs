//! The terminal.

use serde_json::{Value, json};

use crate::case::cases;
use crate::container::Container;
use crate::outcome::{Verdict, expect, same, wrong};
use crate::socket::{Received, Socket};
use crate::subject::Subject;

cases![on_the_standard_streams, none, size, size_without_one, console];

/// Created with a terminal whose other end is here, started and over; what the program printed.
fn report(c: &Container, s: &Subject) -> Verdict<Value> {
    let socket = Socket::new(c.dir(), s.limit);
    let call = c.create_call().arg("--console-socket").arg(socket.path()).arg(c.id());
    let creating = call.spawn();
    let received = socket.receive();
    c.remember(creating.wait()).ok()?;
    let mut received: Received = received?;
    let master = received.descriptors.pop().ok_or_else(|| wrong("the terminal is sent", "no descriptor came"))?;
    c.start()?;
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    while crate::socket::readable(std::os::fd::AsFd::as_fd(&master), s.limit) {
        match rustix::io::read(&master, &mut buffer) {
            // The other end is closed: EIO.
            Ok(0) | Err(_) => break,
            Ok(count) => text.extend_from_slice(&buffer[..count]),
        }
    }
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find(|line| line.starts_with('{')).unwrap_or_default();
    serde_json::from_str(line).map_err(|_| wrong("the program writes to the terminal", format!("{text:?}")))
}

fn with_terminal(s: &Subject) -> Container<'_> {
    Container::new(s).set("/process/terminal", true)
}

fn on_the_standard_streams(s: &Subject) -> Verdict {
    let tty = &report(&with_terminal(s), s)?["tty"];
    for stream in ["stdin", "stdout", "stderr"] {
        same(&format!("{stream} is a terminal"), &tty[stream], true)?;
    }
    expect(tty["controlling"] != 0, "it is the process's controlling terminal", tty)
}

fn none(s: &Subject) -> Verdict {
    let tty = &Container::new(s).report()?["tty"];
    same("standard input is a terminal", &tty["stdin"], false)
}

fn size(s: &Subject) -> Verdict {
    let c = with_terminal(s).set("/process/consoleSize", json!({"height": 33, "width": 123}));
    let tty = &report(&c, s)?["tty"];
    same("the columns", &tty["columns"], 123)?;
    same("the rows", &tty["rows"], 33)
}

fn size_without_one(s: &Subject) -> Verdict {
    let c = Container::new(s).set("/process/consoleSize", json!({"height": 33, "width": 123}));
    let tty = &c.report()?["tty"];
    same("standard input is a terminal", &tty["stdin"], false)
}

fn console(s: &Subject) -> Verdict {
    let seen = report(&with_terminal(s), s)?;
    let console = &seen["dev"]["console"];
    // The ends of pseudoterminals have the numbers from 136 on. A link to one shows the same.
    let bound = console["type"] == "char" && console["major"].as_u64().is_some_and(|major| (136..144).contains(&major));
    let linked =
        console["target"].as_str().is_some_and(|target| target.trim_start_matches("/dev/").starts_with("pts/"));
    expect(bound || linked, "/dev/console is the pseudoterminal", console)
}
