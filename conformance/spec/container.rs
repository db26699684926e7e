//! A container with everything of its own: id, bundle, state root, cgroup, directory.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags};
use serde_json::{Value, json};

use super::config::{add_user_namespace, usual};
use super::edit;
use super::lane::Lane;
use super::leftovers;
use super::outcome::{Verdict, expect, wrong};
use super::subject::{Call, Done, Subject, end_of, text_of};

pub(crate) struct Container<'s> {
    subject: &'s Subject,
    id: String,
    dir: PathBuf,
    root: PathBuf,
    pub(crate) config: Value,
    /// Where the process of the last `create` or `run` writes.
    output: RefCell<PathBuf>,
}

/// Shaping, before the first call.
impl<'s> Container<'s> {
    pub(crate) fn new(subject: &'s Subject) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // The letter at the end keeps one id from being the beginning of another.
        let id = format!("s{}-{}c", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = Lane::get().dir().join(&id);
        fs::create_dir_all(dir.join("bundle/rootfs")).expect("create the bundle");
        fs::hard_link(Lane::get().probe(), dir.join("bundle/rootfs/probe")).expect("link the probe");
        let mut config = usual(&Lane::cgroup(&id));
        if subject.no_device_rules.is_some() {
            config["linux"]["resources"] = json!({});
        }
        Self { subject, root: dir.join("state"), id, dir, config, output: RefCell::default() }
    }

    /// A new one with the same state root.
    pub(crate) fn beside(&self) -> Self {
        let mut new = Self::new(self.subject);
        new.root.clone_from(&self.root);
        new
    }

    /// The probe's words: `["exit", "3"]`.
    pub(crate) fn args<'a>(self, words: impl IntoIterator<Item = &'a str>) -> Self {
        let args: Vec<&str> = std::iter::once("/probe").chain(words).collect();
        self.edit(|config| config["process"]["args"] = json!(args))
    }

    pub(crate) fn edit(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.config);
        self
    }

    /// Sets the value at a JSON pointer; `-` as the last part appends to a list.
    pub(crate) fn set(self, pointer: &str, value: impl Into<Value>) -> Self {
        self.edit(|config| edit::set(config, pointer, value.into()))
    }

    /// Removes the value at a JSON pointer.
    pub(crate) fn unset(self, pointer: &str) -> Self {
        self.edit(|config| edit::unset(config, pointer))
    }

    pub(crate) fn mount(self, mount: Value) -> Self {
        self.set("/mounts/-", mount)
    }

    pub(crate) fn bind<'a>(self, source: &Path, target: &str, options: impl IntoIterator<Item = &'a str>) -> Self {
        let options: Vec<&str> = std::iter::once("rbind").chain(options).collect();
        self.mount(json!({"destination": target, "type": "none", "source": source, "options": options}))
    }

    /// A new user namespace, whose root owns the root file system.
    pub(crate) fn user_namespace(self, host: u32, size: u32) -> Self {
        std::os::unix::fs::chown(self.rootfs(), Some(host), Some(host)).expect("chown the root file system");
        self.edit(|config| add_user_namespace(config, host, size))
    }

    /// A hook that records how it was called ([`Container::hooks`]), and does what the probe's options say.
    pub(crate) fn hook(self, kind: &str, options: &[&str]) -> Self {
        self.hook_with(kind, options, |_| ())
    }

    /// The same, with a change of the hook's object.
    pub(crate) fn hook_with(self, kind: &str, options: &[&str], change: impl FnOnce(&mut Value)) -> Self {
        let records = self.dir.join("hooks");
        fs::create_dir_all(&records).expect("create the hooks' directory");
        let container = if kind == "startContainer" && self.config["hooks"][kind].is_null() {
            self.bind(&records, "/hooks", [])
        } else {
            self
        };
        let outside = (Lane::get().probe().to_owned(), records.join("log"));
        let inside = (PathBuf::from("/probe"), PathBuf::from("/hooks/log"));
        let (program, file) = if kind == "startContainer" { inside } else { outside };
        let mut args = vec![json!("the-hook"), json!("hook"), json!(file), json!(kind)];
        args.extend(options.iter().map(|option| json!(option)));
        let mut hook = json!({"path": program, "args": args});
        change(&mut hook);
        container.edit(|config| edit::add_hook(config, kind, hook))
    }

    pub(crate) fn file(self, path: &str, content: &str) -> Self {
        let path = self.rootfs().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().expect("a file has a parent")).expect("create the parents");
        fs::write(path, content).expect("write a file of the root file system");
        self
    }

    pub(crate) fn directory(self, path: &str) -> Self {
        fs::create_dir_all(self.rootfs().join(path.trim_start_matches('/'))).expect("create a directory");
        self
    }

    /// A directory on the host with a file `inside` in it.
    pub(crate) fn source(&self, name: &str) -> PathBuf {
        let dir = self.dir.join(name);
        fs::create_dir_all(&dir).expect("create a directory");
        fs::write(dir.join("inside"), name).expect("write a file");
        dir
    }
}

/// Where its things are.
impl Container<'_> {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn bundle(&self) -> PathBuf {
        self.dir.join("bundle")
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.bundle().join("rootfs")
    }

    pub(crate) fn cgroup_dir(&self) -> PathBuf {
        Lane::cgroup_dir(&self.id)
    }

    pub(crate) fn pid_file(&self) -> PathBuf {
        self.dir.join("pid")
    }
}

/// The runtime's commands.
impl Container<'_> {
    /// `RUNTIME --root ROOT COMMAND`.
    pub(crate) fn call(&self, command: &str) -> Call {
        self.subject.call(&self.dir, &self.id).arg("--root").arg(&self.root).arg(command)
    }

    pub(crate) fn write_config(&self) {
        fs::write(self.bundle().join("config.json"), self.config.to_string()).expect("write config.json");
    }

    pub(crate) fn create_call(&self) -> Call {
        self.write_config();
        self.call("create").arg("--bundle").arg(self.bundle()).arg("--pid-file").arg(self.pid_file())
    }

    /// `create`, whatever comes of it.
    pub(crate) fn try_create(&self) -> Done {
        self.remember(self.create_call().arg(&self.id).run())
    }

    pub(crate) fn remember(&self, done: Done) -> Done {
        *self.output.borrow_mut() = done.files.with_extension("out");
        done
    }

    pub(crate) fn create(&self) -> Verdict {
        self.try_create().ok().map(drop)
    }

    /// `create`; a refusal with a message ends the case as unsupported.
    pub(crate) fn create_if_supported(&self) -> Verdict {
        self.try_create().ok_or_unsupported().map(drop)
    }

    pub(crate) fn try_start(&self) -> Done {
        self.call("start").arg(&self.id).run()
    }

    pub(crate) fn start(&self) -> Verdict {
        self.try_start().ok().map(drop)
    }

    pub(crate) fn kill(&self, signal: &str) -> Done {
        self.call("kill").arg(&self.id).arg(signal).run()
    }

    pub(crate) fn delete(&self) -> Done {
        self.call("delete").arg(&self.id).run()
    }

    pub(crate) fn try_state(&self) -> Done {
        self.call("state").arg(&self.id).run()
    }

    pub(crate) fn state(&self) -> Verdict<Value> {
        self.try_state().ok()?.json()
    }

    pub(crate) fn status(&self) -> Verdict<String> {
        Ok(self.state()?["status"].as_str().unwrap_or("(none)").to_owned())
    }

    pub(crate) fn has_status(&self, status: &str) -> Verdict {
        let seen = self.status()?;
        expect(seen == status, format!("the status is {status}"), format!("the status is {seen}"))
    }

    /// Created, started, and its program said `ready`.
    pub(crate) fn up(self) -> Verdict<Self> {
        self.create()?;
        self.start()?;
        self.wait_for("ready")?;
        Ok(self)
    }

    /// A refused config is an error of create, or of start where create may leave it to that; and the program doesn't run.
    pub(crate) fn refused(&self, what: &str) -> Verdict {
        let created = self.try_create();
        if created.failed() {
            return Ok(());
        }
        let created = created.ok()?;
        let started = self.try_start();
        expect(started.failed(), format!("an error: {what}"), format!("{}; {}", created.seen(), started.seen()))?;
        expect(self.stdout().is_empty(), "the program doesn't run", self.stdout())
    }

    /// A refused config is an error of create.
    pub(crate) fn create_refused(&self, what: &str) -> Verdict {
        self.try_create().error(what)
    }
}

/// What became of it.
impl Container<'_> {
    pub(crate) fn pid(&self) -> Verdict<i32> {
        let text = fs::read_to_string(self.pid_file()).unwrap_or_default();
        text.trim().parse().map_err(|_| wrong("the pid file has a pid", format!("it has {text:?}")))
    }

    /// What its process has written so far.
    pub(crate) fn stdout(&self) -> String {
        text_of(&self.output.borrow())
    }

    pub(crate) fn stderr(&self) -> String {
        text_of(&self.output.borrow().with_extension("err"))
    }

    /// Asks until there is an answer, or the limit is reached.
    pub(crate) fn until<T>(&self, what: &str, mut ask: impl FnMut() -> Option<T>) -> Verdict<T> {
        let end = end_of(self.subject.limit);
        loop {
            if let Some(answer) = ask() {
                return Ok(answer);
            }
            if Instant::now() > end {
                let seconds = self.subject.limit.as_secs();
                return Err(wrong(
                    what,
                    format!("not within {seconds} s; its output: {:?} {:?}", self.stdout(), self.stderr()),
                ));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn wait_for(&self, text: &str) -> Verdict<String> {
        self.until(&format!("the program prints {text:?}"), || {
            Some(self.stdout()).filter(|so_far| so_far.contains(text))
        })
    }

    /// Waits for the end of its process: the code, or 128 and the signal.
    pub(crate) fn wait_exit(&self) -> Verdict<i32> {
        let pid = self.pid()?;
        // Threads of a dead leader may keep it from being reaped for a moment.
        let gone = || leftovers::stat(pid).is_none_or(|(_, parent)| parent != std::process::id().cast_signed());
        let ended = || {
            if leftovers::is_alive(pid) {
                None
            } else {
                leftovers::reap(pid).map(Some).or_else(|| gone().then_some(None))
            }
        };
        let code = self.until("its process ends", ended)?;
        code.ok_or_else(|| wrong("its process is left to the caller", "it isn't the caller's child"))
    }

    /// Created, started and over; what it printed, as JSON.
    pub(crate) fn report(&self) -> Verdict<Value> {
        self.create()?;
        self.report_of_created()
    }

    /// The same; a create that is refused with a message ends the case as unsupported.
    pub(crate) fn report_if_supported(&self) -> Verdict<Value> {
        self.create_if_supported()?;
        self.report_of_created()
    }

    pub(crate) fn report_of_created(&self) -> Verdict<Value> {
        self.start()?;
        let text = self.printed()?;
        let line = text.lines().last().unwrap_or_default();
        serde_json::from_str(line)
            .map_err(|error| wrong("the program reports what it sees", format!("{error}: {line:?}")))
    }

    /// Waits for its end and returns all that it printed.
    fn printed(&self) -> Verdict<String> {
        let pid = self.pid()?;
        self.until("its program ends", || (!leftovers::is_alive(pid)).then_some(()))?;
        let text = self.stdout();
        if text.is_empty() {
            Err(wrong("the program runs", format!("it printed nothing; {}", self.stderr())))
        } else {
            Ok(text)
        }
    }

    /// Created, started and over; what it printed, as text.
    pub(crate) fn says(&self) -> Verdict<String> {
        self.create()?;
        self.start()?;
        Ok(self.printed()?.trim().to_owned())
    }

    /// What its hooks recorded, in the order in which they ran.
    pub(crate) fn hooks(&self) -> Vec<Value> {
        let log = fs::read_to_string(self.dir.join("hooks/log")).unwrap_or_default();
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    pub(crate) fn hook_names(&self) -> Vec<String> {
        self.hooks().iter().map(|hook| hook["name"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// What its hook of that kind recorded.
    pub(crate) fn hook_of(&self, kind: &str) -> Verdict<Value> {
        let found = self.hooks().into_iter().find(|hook| hook["name"] == kind);
        found.ok_or_else(|| {
            wrong(format!("the {kind} hook is called"), format!("hooks called: {:?}", self.hook_names()))
        })
    }

    /// No cgroup, process or mount of it exists, and no state.
    pub(crate) fn nothing_left(&self) -> Verdict {
        // The kernel may take a moment for the last process.
        let mut left = Vec::new();
        let gone = self.until("", || {
            left = leftovers::of_container(&self.id, &self.dir);
            left.is_empty().then_some(())
        });
        if gone.is_err() {
            return Err(wrong("nothing is left of the container", left.join(", ")));
        }
        let state = self.try_state();
        expect(state.failed(), "the container is unknown afterwards", state.seen())
    }

    /// The device and inode of the mount, file or namespace at a path below `/proc/PID` of its process.
    pub(crate) fn namespace(&self, kind: &str) -> Verdict<String> {
        namespace_of(&self.pid()?.to_string(), kind)
    }
}

/// The namespace of a process: its link's text.
pub(crate) fn namespace_of(pid: &str, kind: &str) -> Verdict<String> {
    let link = format!("/proc/{pid}/ns/{kind}");
    let target = fs::read_link(&link).map_err(|error| wrong("the process is alive", format!("{link}: {error}")))?;
    Ok(target.to_string_lossy().into_owned())
}

/// Whether a pid is a process that lives.
pub(crate) fn lives(pid: i32) -> bool {
    leftovers::is_alive(pid)
        && Pid::from_raw(pid).is_some_and(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).is_ok())
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let known = fs::read_dir(&self.root).is_ok_and(|mut entries| entries.next().is_some());
        if known {
            // What it can't delete is removed by hand.
            drop(self.call("delete").arg("--force").arg(&self.id).run());
        }
        leftovers::remove(&self.id, &self.dir);
        // A mount that can't be removed keeps its directory, which the lane's end tells.
        fs::remove_dir_all(&self.dir).unwrap_or_default();
    }
}
