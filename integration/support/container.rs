//! A container with everything of its own: id, bundle, state root, cgroup, directory.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, waitpid};
use serde_json::{Value, json};

use super::call::{Call, Output, View, report_in};
use super::case::{Need, needs};
use super::config::{add_user_namespace, default_config};
use super::edit;
use super::lane::Lane;
use super::leftovers::{self, MARK};
use super::wait::{deadline, readable, until};

/// How a container's init ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Code(i32),
    Signal(i32),
}

/// What stands in the bundle's config.json.
enum Config {
    Value(Value),
    Text(String),
    Missing,
}

pub(crate) struct Container {
    id: String,
    dir: PathBuf,
    root: PathBuf,
    config: Config,
    view: View,
    /// Where the process of the last `create` or `run --detach` writes its standard output.
    output: Mutex<PathBuf>,
}

/// Shaping, before the first call.
impl Container {
    /// The default config; the program is `probe report`.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        needs(Need::Root);
        // The letter at the end keeps one id from being the beginning of another.
        let id = format!("t{}-{}c", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = Lane::get().dir().join(&id);
        fs::create_dir_all(dir.join("bundle/rootfs")).expect("create the bundle");
        fs::hard_link(Lane::get().probe(), dir.join("bundle/rootfs/probe")).expect("link the probe");
        let mut config = default_config(&Lane::cgroup(&id));
        if Lane::get().kind().is("crun") && !Lane::has_capability("CAP_SYS_RESOURCE") {
            // crun raises RLIMIT_MEMLOCK before it loads device rules, and may not.
            config["linux"]["resources"] = json!({});
        }
        let config = Config::Value(config);
        Self { root: dir.join("state"), id, dir, config, view: View::Lane, output: Mutex::default() }
    }

    /// A new one with the same state root as `other`.
    pub(crate) fn beside(other: &Self) -> Self {
        let mut new = Self::new();
        new.root.clone_from(&other.root);
        new
    }

    /// The probe's words: `["exit", "3"]`.
    pub(crate) fn args<'a>(self, words: impl IntoIterator<Item = &'a str>) -> Self {
        let args: Vec<&str> = std::iter::once("/probe").chain(words).collect();
        self.edit(|config| config["process"]["args"] = json!(args))
    }

    /// Any change of the config.
    pub(crate) fn edit(mut self, change: impl FnOnce(&mut Value)) -> Self {
        match &mut self.config {
            Config::Value(config) => change(config),
            Config::Text(_) | Config::Missing => panic!("there is no config to edit"),
        }
        self
    }

    /// Sets the value at a JSON pointer, as in `/process/user/uid`; `-` as the last part appends to a list.
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

    /// A bind mount of a path on the host.
    pub(crate) fn bind<'a>(self, source: &Path, target: &str, options: impl IntoIterator<Item = &'a str>) -> Self {
        let options: Vec<&str> = std::iter::once("bind").chain(options).collect();
        self.mount(json!({"destination": target, "type": "bind", "source": source, "options": options}))
    }

    /// A new user namespace in which ids start at `host` outside; its root owns the root file system, as engines arrange it.
    pub(crate) fn user_namespace(self, host: u32, size: u32) -> Self {
        std::os::unix::fs::chown(self.rootfs(), Some(host), Some(host)).expect("chown the root file system");
        self.edit(|config| add_user_namespace(config, host, size))
    }

    /// Adds a hook that records how it was called ([`Container::hooks`]) and then does what `options` of the probe's `hook` say.
    pub(crate) fn hook(self, kind: &str, options: &[&str]) -> Self {
        self.hook_with(kind, options, |_| ())
    }

    /// The same, with a change of the hook's object.
    pub(crate) fn hook_with(self, kind: &str, options: &[&str], change: impl FnOnce(&mut Value)) -> Self {
        let records = self.dir.join("hooks");
        fs::create_dir_all(&records).expect("create the hooks' directory");
        let inside = kind == "startContainer";
        let here = (Lane::get().probe().to_owned(), records.join("log"));
        let (program, file) = if inside { (PathBuf::from("/probe"), PathBuf::from("/hooks/log")) } else { here };
        let mut args = vec![json!("the-hook"), json!("hook"), json!(file), json!(kind)];
        args.extend(options.iter().map(|option| json!(option)));
        let mut hook = json!({"path": program, "args": args});
        change(&mut hook);
        let container = if inside { self.bind(&records, "/hooks", []) } else { self };
        container.edit(|config| edit::add_hook(config, kind, hook))
    }

    /// The bundle's config.json is this text.
    pub(crate) fn config_text(mut self, text: &str) -> Self {
        self.config = Config::Text(text.to_owned());
        self
    }

    /// The bundle has no config.json.
    pub(crate) fn without_config(mut self) -> Self {
        self.config = Config::Missing;
        self
    }

    /// Each of its calls is made from there.
    pub(crate) fn view(mut self, view: View) -> Self {
        self.view = view;
        self
    }

    /// A file in the root file system.
    pub(crate) fn file(self, path: &str, content: &str) -> Self {
        let path = self.rootfs().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().expect("a file has a parent")).expect("create the parents");
        fs::write(path, content).expect("write a file of the root file system");
        self
    }

    /// A directory in the root file system.
    pub(crate) fn directory(self, path: &str) -> Self {
        fs::create_dir_all(self.rootfs().join(path.trim_start_matches('/'))).expect("create a directory");
        self
    }

    /// A symlink in the root file system.
    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        let path = self.rootfs().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().expect("a symlink has a parent")).expect("create the parents");
        std::os::unix::fs::symlink(target, path).expect("create a symlink");
        self
    }
}

/// Where its things are.
impl Container {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// A directory for whatever else the case needs.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn bundle(&self) -> PathBuf {
        self.dir.join("bundle")
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.bundle().join("rootfs")
    }

    pub(crate) fn state_root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn cgroup_dir(&self) -> PathBuf {
        Lane::cgroup_dir(&self.id)
    }

    pub(crate) fn config(&self) -> &Value {
        match &self.config {
            Config::Value(config) => config,
            Config::Text(_) | Config::Missing => panic!("there is no config"),
        }
    }

    fn pid_file(&self) -> PathBuf {
        self.dir.join("pid")
    }

    /// Where its checkpoint goes.
    pub(crate) fn images(&self) -> PathBuf {
        self.dir.join("images")
    }
}

/// The runtime's commands.
impl Container {
    /// `RUNTIME --root ROOT --log FILE --log-format json COMMAND`, ready for further arguments.
    pub(crate) fn call(&self, command: &str) -> Call {
        self.prepare(Call::runtime(&self.dir)).arg(command)
    }

    /// The same for a call whose program isn't the runtime itself, such as [`Call::launched`].
    pub(crate) fn prepare(&self, call: Call) -> Call {
        self.write_config();
        call.arg("--root").arg(&self.root).logged().env(MARK, &self.id).view(self.view)
    }

    pub(crate) fn write_config(&self) {
        let path = self.bundle().join("config.json");
        match &self.config {
            Config::Value(config) => fs::write(path, config.to_string()).expect("write config.json"),
            Config::Text(text) => fs::write(path, text).expect("write config.json"),
            Config::Missing => {}
        }
    }

    /// `run` in the foreground, or detached with `["--detach"]`.
    #[must_use = "an invocation that nobody looks at proves nothing"]
    pub(crate) fn run_with<A: AsRef<OsStr>>(&self, options: impl IntoIterator<Item = A>) -> Output {
        let call = self.call("run").arg("--bundle").arg(self.bundle()).arg("--pid-file").arg(self.pid_file());
        self.remember(call.args(options).arg(&self.id).run())
    }

    #[must_use = "an invocation that nobody looks at proves nothing"]
    pub(crate) fn run(&self) -> Output {
        self.run_with([""; 0])
    }

    #[must_use = "an invocation that nobody looks at proves nothing"]
    pub(crate) fn create(&self) -> Output {
        self.create_with([""; 0])
    }

    #[must_use = "an invocation that nobody looks at proves nothing"]
    pub(crate) fn create_with<A: AsRef<OsStr>>(&self, options: impl IntoIterator<Item = A>) -> Output {
        self.remember(self.create_call(options).run())
    }

    /// `create` before it is made.
    pub(crate) fn create_call<A: AsRef<OsStr>>(&self, options: impl IntoIterator<Item = A>) -> Call {
        let call = self.call("create").arg("--bundle").arg(self.bundle()).arg("--pid-file").arg(self.pid_file());
        call.args(options).arg(&self.id)
    }

    fn remember(&self, output: Output) -> Output {
        self.output.lock().expect("no holder panics").clone_from(&output.stdout_file);
        output
    }

    #[must_use = "an invocation that nobody looks at proves nothing"]
    pub(crate) fn start(&self) -> Output {
        self.call("start").arg(&self.id).run()
    }

    /// `checkpoint` into its own directory for that.
    #[must_use = "an invocation that nobody looks at proves nothing"]
    pub(crate) fn checkpoint_with<A: AsRef<OsStr>>(&self, options: impl IntoIterator<Item = A>) -> Output {
        self.call("checkpoint").arg("--image-path").arg(self.images()).args(options).arg(&self.id).run()
    }

    /// `restore --detach` of what is in a directory.
    #[must_use = "an invocation that nobody looks at proves nothing"]
    pub(crate) fn restore_with<A: AsRef<OsStr>>(&self, images: &Path, options: impl IntoIterator<Item = A>) -> Output {
        let call =
            self.call("restore").arg("--detach").arg("--image-path").arg(images).arg("--bundle").arg(self.bundle());
        call.arg("--pid-file").arg(self.pid_file()).args(options).arg(&self.id).run()
    }

    #[must_use = "an invocation that nobody looks at proves nothing"]
    pub(crate) fn kill(&self, signal: &str) -> Output {
        self.call("kill").arg(&self.id).arg(signal).run()
    }

    #[must_use = "an invocation that nobody looks at proves nothing"]
    pub(crate) fn delete(&self) -> Output {
        self.call("delete").arg(&self.id).run()
    }

    #[must_use = "an invocation that nobody looks at proves nothing"]
    pub(crate) fn delete_by_force(&self) -> Output {
        self.call("delete").arg("--force").arg(&self.id).run()
    }

    /// Created, started, and its program said `ready`.
    pub(crate) fn up(self) -> Self {
        self.create().ok();
        self.start().ok();
        self.wait_for("ready");
        self
    }

    /// The default config with `probe sleep`, up.
    pub(crate) fn sleeping() -> Self {
        Self::new().args(["sleep"]).up()
    }

    /// What `state` prints.
    pub(crate) fn state(&self) -> Value {
        self.call("state").arg(&self.id).run().quiet().json()
    }

    /// `state` fails, because there is no such container.
    pub(crate) fn state_fails(&self) {
        self.call("state").arg(&self.id).run().fails(["does not exist"]);
    }

    pub(crate) fn status(&self) -> String {
        self.state()["status"].as_str().unwrap_or_default().to_owned()
    }
}

/// What became of it.
impl Container {
    /// The pid in the pid file.
    pub(crate) fn pid(&self) -> i32 {
        let text = fs::read_to_string(self.pid_file()).expect("read the pid file");
        text.parse().unwrap_or_else(|error| panic!("pid file {text:?}: {error}"))
    }

    /// What the process of the last `create` or detached `run` has written so far.
    pub(crate) fn stdout(&self) -> String {
        let file = self.output.lock().expect("no holder panics").clone();
        fs::read_to_string(file).unwrap_or_default()
    }

    pub(crate) fn wait_for(&self, text: &str) -> String {
        until(&format!("{text:?} from the container"), || Some(self.stdout()).filter(|so_far| so_far.contains(text)))
    }

    /// The probe's report, as soon as it is written.
    pub(crate) fn report(&self) -> Value {
        until("the probe's report", || report_in(&self.stdout()))
    }

    /// Waits for the end of its init and reaps it, as the caller of a runtime does.
    pub(crate) fn wait_exit(&self) -> Exit {
        wait_exit(self.pid())
    }

    /// Waits for the end of its init, which stays a zombie.
    pub(crate) fn wait_dead(&self) {
        wait_dead(self.pid());
    }

    /// Waits until `state` says that it has stopped, for containers without a pid file.
    pub(crate) fn wait_dead_by_state(&self) {
        until("the container to stop", || (self.status() == "stopped").then_some(()));
    }

    /// What its hooks recorded, in the order in which they ran.
    pub(crate) fn hooks(&self) -> Vec<Value> {
        let log = fs::read_to_string(self.dir.join("hooks/log")).unwrap_or_default();
        log.lines().map(|line| serde_json::from_str(line).expect("hooks write JSON")).collect()
    }

    /// Their kinds alone.
    pub(crate) fn hook_order(&self) -> Vec<String> {
        self.hooks().iter().map(|hook| hook["name"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// No state, cgroup, process or mount of it exists.
    pub(crate) fn nothing_left(&self) {
        let left = leftovers::of_container(&self.id, &self.root, &self.dir);
        assert!(left.is_empty(), "left behind: {}", left.join(", "));
    }

    /// Whether that is so, for what ends by itself.
    pub(crate) fn is_gone(&self) -> bool {
        leftovers::of_container(&self.id, &self.root, &self.dir).is_empty()
    }

    /// No mount of it shows outside.
    pub(crate) fn nothing_mounted(&self) {
        let mounts = leftovers::mounts_below(&self.dir);
        assert!(mounts.is_empty(), "mounted outside: {}", mounts.join(", "));
    }

    fn clean_up(&self) -> Vec<String> {
        let deleted = Call::runtime(&self.dir).arg("--root").arg(&self.root).args(["delete", "--force", &self.id]);
        let output = deleted.view(self.view).run();
        let mut left = leftovers::of_container(&self.id, &self.root, &self.dir);
        left.extend((output.code != Some(0)).then(|| format!("delete --force failed: {}", output.stderr.trim())));
        leftovers::remove(&self.id, &self.dir);
        left
    }
}

/// Waits for the end of a process that the runtime left to this one, and reaps it.
pub(crate) fn wait_exit(pid: i32) -> Exit {
    wait_dead(pid);
    let pid = Pid::from_raw(pid).expect("a pid isn't 0");
    let waited = waitpid(Some(pid), WaitOptions::NOHANG).expect("it is this process's child once the runtime is gone");
    let (_, status) = waited.expect("it has ended");
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or_default()),
    }
}

fn wait_dead(pid: i32) {
    let pidfd = pidfd_open(Pid::from_raw(pid).expect("a pid isn't 0"), PidfdFlags::empty()).expect("open a pidfd");
    assert!(readable(pidfd.as_fd(), deadline()), "process {pid} lives on");
}

/// A process that a detached `exec` left to this one. Whoever adopts it has to reap it, or the container's init can't end, as
/// `pid_namespaces(7)` says: dropping it kills and reaps.
pub(crate) struct Adopted(pub(crate) i32);

impl Adopted {
    /// The one that a pid file names.
    pub(crate) fn from_pid_file(path: &Path) -> Self {
        Self(fs::read_to_string(path).expect("read the pid file").parse().expect("a pid"))
    }
}

impl Drop for Adopted {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.0).expect("a pid isn't 0");
        // It may have ended by itself.
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap_or_default();
        if !std::thread::panicking() {
            wait_exit(self.0);
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let failing = std::thread::panicking();
        let cleaned = catch_unwind(AssertUnwindSafe(|| self.clean_up()));
        if failing {
            return;
        }
        match cleaned {
            Ok(left) => assert!(left.is_empty(), "left behind after delete --force: {}", left.join(", ")),
            Err(payload) => resume_unwind(payload),
        }
        fs::remove_dir_all(&self.dir).expect("remove the container's directory");
    }
}
