//! A container of one of the runtimes, and its commands, each timed.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitOptions, waitpid};
use serde_json::{Value, json};

use crate::Result;
use crate::cgroups::parent;
use crate::floor;

/// One program under measurement.
#[derive(Debug)]
pub struct Runtime {
    /// What it is called in tables.
    pub name: String,
    /// Where it is.
    pub program: PathBuf,
    /// Where its state goes: in memory, as /run is where callers keep it.
    pub state: PathBuf,
    /// Where its bundles go.
    pub bundles: PathBuf,
    /// The root file system of all its containers.
    pub rootfs: PathBuf,
}

impl Runtime {
    /// Whether it is no runtime but the least that a `run` takes.
    pub fn is_floor(&self) -> bool {
        self.name == "floor"
    }

    /// The program with its state root.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(&self.state);
        command
    }

    /// `--version`.
    pub fn version(&self) -> Result<Duration> {
        let mut command = Command::new(&self.program);
        command.arg("--version");
        timed(command)
    }

    /// `list`.
    pub fn list(&self) -> Result<Duration> {
        let mut command = self.command();
        command.arg("list");
        timed(command)
    }
}

/// A container, or what is going to be one.
pub struct Container<'a> {
    /// Whose it is.
    pub runtime: &'a Runtime,
    id: String,
    bundle: PathBuf,
    /// What the floor is told, and which program.
    floor: [Vec<String>; 2],
}

impl<'a> Container<'a> {
    /// Writes the bundle of a container. Each has a cgroup of its own: one can be waiting while another runs.
    pub fn new(runtime: &'a Runtime, id: &str, config: &Value) -> Result<Self> {
        let bundle = runtime.bundles.join(id);
        fs::create_dir_all(&bundle)?;
        let floor =
            if runtime.is_floor() { [floor::options(config, &bundle)?, program(config)?] } else { [vec![], vec![]] };
        let container = Self { runtime, id: id.to_owned(), bundle, floor };
        let mut config = config.clone();
        config["root"]["path"] = json!(runtime.rootfs);
        config["linux"]["cgroupsPath"] = json!(container.cgroup());
        fs::write(container.bundle.join("config.json"), serde_json::to_vec_pretty(&config)?)?;
        Ok(container)
    }

    fn cgroup(&self) -> String {
        format!("{}/{}-{}", parent(), self.runtime.name, self.id)
    }

    fn pid_file(&self) -> PathBuf {
        self.bundle.join("pid")
    }

    /// The command of something that takes nothing but the container's id.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = self.runtime.command();
        command.args(words).arg(&self.id).current_dir(&self.bundle);
        command
    }

    fn cgroup_dir(&self) -> String {
        format!("/sys/fs/cgroup{}", self.cgroup())
    }

    /// The floor's `run`; with a pid file it doesn't wait.
    fn floor_command(&self, pid_file: Option<&Path>) -> Command {
        let [options, program] = &self.floor;
        let mut command = Command::new(&self.runtime.program);
        command.arg("run").arg(&self.runtime.rootfs).arg(self.cgroup_dir()).args(options);
        if let Some(file) = pid_file {
            command.arg("--pid-file").arg(file);
        }
        command.arg("--").args(program);
        command
    }

    /// Another word of the floor's, about what runs.
    fn floor_word(&self, word: &str) -> Result<Command> {
        let mut command = Command::new(&self.runtime.program);
        command.arg(word);
        match word {
            "delete" => command.arg(self.cgroup_dir()),
            _ => command.arg(self.init()?.as_raw_nonzero().to_string()),
        };
        Ok(command)
    }

    /// The command of a `run`.
    pub fn run_command(&self) -> Command {
        if self.runtime.is_floor() { self.floor_command(None) } else { self.command(&["run"]) }
    }

    /// The command of a `create`. The floor has no gate: what it creates runs.
    pub fn create_command(&self) -> Command {
        let pid_file = self.pid_file();
        if self.runtime.is_floor() {
            return self.floor_command(Some(&pid_file));
        }
        let mut command = self.runtime.command();
        command.args(["create", "--pid-file"]).arg(pid_file).arg(&self.id).current_dir(&self.bundle);
        command
    }

    pub fn run(&self) -> Result<Duration> {
        timed(self.run_command())
    }

    pub fn create(&self) -> Result<Duration> {
        timed(self.create_command())
    }

    pub fn start(&self) -> Result<Duration> {
        if self.runtime.is_floor() {
            return Ok(Duration::ZERO);
        }
        timed(self.command(&["start"]))
    }

    pub fn delete(&self) -> Result<Duration> {
        if self.runtime.is_floor() {
            return timed(self.floor_word("delete")?);
        }
        timed(self.command(&["delete"]))
    }

    pub fn state(&self) -> Result<Duration> {
        timed(self.command(&["state"]))
    }

    /// `kill`, of that signal's number.
    pub fn kill(&self, signal: &str) -> Result<Duration> {
        if self.runtime.is_floor() {
            return timed(self.floor_word("kill")?);
        }
        timed(self.kill_command(signal))
    }

    /// The command of a `kill`.
    pub fn kill_command(&self, signal: &str) -> Command {
        let mut command = self.command(&["kill"]);
        command.arg(signal);
        command
    }

    /// `exec` of a program that ends at once.
    pub fn exec(&self) -> Result<Duration> {
        if self.runtime.is_floor() {
            let mut command = self.floor_word("exec")?;
            command.arg(self.cgroup_dir()).args(&self.floor[0]);
            return timed(command);
        }
        timed(self.exec_command())
    }

    /// The command of an `exec`.
    pub fn exec_command(&self) -> Command {
        let mut command = self.command(&["exec"]);
        command.arg("/bin/true");
        command
    }

    /// Waits until its init has ended.
    pub fn ended(&self) -> Result<()> {
        wait_for_end(self.init()?)
    }

    /// The three commands together; the program's own time between `start` and its end is not counted.
    pub fn life_cycle(&self) -> Result<Duration> {
        let create = self.create()?;
        let init = self.init()?;
        let start = self.start()?;
        wait_for_end(init)?;
        Ok(create + start + self.delete()?)
    }

    /// SIGKILL by the runtime, the end of everything in it, and `delete`.
    pub fn kill_and_delete(&self) -> Result<Duration> {
        let init = self.init()?;
        let begin = Instant::now();
        self.kill("9")?;
        wait_for_end(init)?;
        self.delete()?;
        Ok(begin.elapsed())
    }

    /// Waits until that many processes are in it. They start by themselves; what comes after is measured, and this isn't.
    pub fn has_processes(&self, count: usize) -> Result<()> {
        let file = format!("/sys/fs/cgroup{}/cgroup.procs", self.cgroup());
        while fs::read_to_string(&file)?.lines().count() < count {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// The pid that the runtime wrote for its caller.
    pub fn init(&self) -> Result<Pid> {
        let number = fs::read_to_string(self.pid_file())?.trim_end().parse()?;
        Ok(Pid::from_raw(number).ok_or("a pid file with a zero")?)
    }

    /// Whatever state it is in, and whatever went wrong.
    pub fn delete_by_force(&self) -> Result<()> {
        if self.runtime.is_floor() {
            return self.kill_and_delete().map(drop);
        }
        timed(self.command(&["delete", "--force"])).map(drop)
    }
}

/// The words of the config's program.
fn program(config: &Value) -> Result<Vec<String>> {
    Ok(serde_json::from_value(config["process"]["args"].clone())?)
}

/// A container's init is our child since its `create` ended, see `Session`.
fn wait_for_end(init: Pid) -> Result<()> {
    waitpid(Some(init), WaitOptions::empty())?;
    Ok(())
}

/// `command` as the last arguments of another program.
pub fn under(mut program: Command, command: &Command) -> Command {
    program.arg(command.get_program()).args(command.get_args());
    if let Some(directory) = command.get_current_dir() {
        program.current_dir(directory);
    }
    program
}

/// Runs the command to its end. Its output goes to a file, not to a pipe: a created container would keep a pipe open.
pub fn timed(mut command: Command) -> Result<Duration> {
    let mut output = tempfile::tempfile()?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output.try_clone()?);
    let begin = Instant::now();
    let status = command.status()?;
    let time = begin.elapsed();
    if !status.success() {
        return Err(format!("{command:?}: {status}\n{}", read_from_start(&mut output)?).into());
    }
    Ok(time)
}

fn read_from_start(file: &mut File) -> Result<String> {
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// Compiles a static program of that name from its text, with the machine's own compiler or with musl's.
///
/// The start of a program that is linked with the GNU C library asks the processor again and again what it is, and each time a virtual
/// machine interrupts that for microseconds. That would be in every figure, for every runtime alike.
pub fn compile(compiler: &str, scratch: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let (source, program) = (scratch.join(format!("{name}.c")), scratch.join(name));
    fs::write(&source, text)?;
    let mut compiler = Command::new(compiler);
    compiler.args(["-static", "-O2", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&program).arg(source);
    timed(compiler)?;
    Ok(program)
}
