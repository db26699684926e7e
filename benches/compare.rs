//! Measures container runtimes side by side, in one session and interleaved, and prints Markdown tables.
//!
//! Usage: `compare NAME=PROGRAM… [rounds=N]`. The first runtime writes the config with its `spec` command; the name
//! `floor` is the program of `floor.c`, which knows `run` only. Wants root and a cgroup2 mount at /sys/fs/cgroup.
//!
//! A command is timed from before its birth to its end, by a blocking wait. Nothing is asserted about times.

use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use rustix::process::{Pid, WaitOptions, set_child_subreaper, waitpid};
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Every container of this program lives below this cgroup, so that no runtime can mistake the root cgroup for its own.
const CGROUP: &str = "/orlop-bench";
const WARM_UP: usize = 5;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("peak-rss") => peak_rss(&arguments[1..]),
        _ => compare(&arguments),
    };
    match outcome {
        Ok(report) => {
            print!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(arguments: &[String]) -> Result<String> {
    let (rounds, runtimes) = parse(arguments)?;
    let scratch = tempfile::Builder::new().prefix("orlop-bench-").tempdir()?;
    // In memory, as /run is where callers keep it.
    let states = tempfile::Builder::new().prefix("orlop-bench-").tempdir_in("/dev/shm")?;
    let _cgroups = Cgroups::create()?;
    // A container's init becomes our child when its `create` ends, so that its end can be waited for.
    set_child_subreaper(Pid::from_raw(1))?;
    let bench = Bench::prepare(runtimes, scratch.path(), states.path(), rounds)?;
    let mut report = conditions(rounds)?;
    report += &bench.run()?;
    report += &bench.other_commands()?;
    report += &dependencies()?;
    Ok(report)
}

fn parse(arguments: &[String]) -> Result<(usize, Vec<(String, PathBuf)>)> {
    let mut rounds = 200;
    let mut runtimes = Vec::new();
    for argument in arguments {
        match argument.split_once('=') {
            Some(("rounds", number)) => rounds = number.parse()?,
            Some((name, program)) => runtimes.push((name.to_owned(), fs::canonicalize(program)?)),
            None => return Err(format!("{argument}: not of the form NAME=PROGRAM").into()),
        }
    }
    if runtimes.is_empty() || rounds == 0 {
        return Err("usage: compare NAME=PROGRAM... [rounds=N]".into());
    }
    Ok((rounds, runtimes))
}

/// The parent of all the cgroups here; removed at the end, with what the runtimes left in it.
struct Cgroups(PathBuf);

impl Cgroups {
    fn create() -> Result<Self> {
        let path = Path::new("/sys/fs/cgroup").join(CGROUP.trim_start_matches('/'));
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Cgroups {
    /// Ends what a failed measurement left running. The killed are our children by now, so waiting for them is exact.
    fn remove(&self) -> Result<()> {
        fs::write(self.0.join("cgroup.kill"), "1")?;
        while waitpid(None, WaitOptions::empty()).is_ok() {}
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir(entry.path())?;
            }
        }
        Ok(fs::remove_dir(&self.0)?)
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("compare: remove {}: {error}", self.0.display());
        }
    }
}

/// One program under measurement, with its own bundle, state and cgroup.
struct Runtime {
    name: String,
    program: PathBuf,
    directory: PathBuf,
    state: PathBuf,
}

impl Runtime {
    fn is_floor(&self) -> bool {
        self.name == "floor"
    }

    fn bundle(&self) -> PathBuf {
        self.directory.join("bundle")
    }

    fn pid_file(&self) -> PathBuf {
        self.directory.join("pid")
    }

    /// An absolute cgroupsPath for the container of that id.
    fn cgroup(&self, id: &str) -> String {
        format!("{CGROUP}/{}-{id}", self.name)
    }

    fn write_bundle(&self, config: &Value, programs: &[PathBuf]) -> Result<()> {
        for directory in ["bin", "dev", "proc", "sys"] {
            fs::create_dir_all(self.bundle().join("rootfs").join(directory))?;
        }
        for program in programs {
            let name = program.file_name().ok_or("a program has a name")?;
            fs::copy(program, self.bundle().join("rootfs/bin").join(name))?;
        }
        self.write_config(config, "run")
    }

    /// Each container has a cgroup of its own: one id can be waiting while another runs.
    fn write_config(&self, config: &Value, id: &str) -> Result<()> {
        let mut config = config.clone();
        config["linux"]["cgroupsPath"] = json!(self.cgroup(id));
        Ok(fs::write(self.bundle().join("config.json"), serde_json::to_vec_pretty(&config)?)?)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(&self.state).args(words).current_dir(self.bundle());
        command
    }

    fn run_command(&self) -> Command {
        if self.is_floor() {
            let mut command = Command::new(&self.program);
            command.arg(self.bundle().join("rootfs")).arg(format!("/sys/fs/cgroup{}", self.cgroup("run")));
            return command;
        }
        self.command(&["run", "run"])
    }

    fn run(&self) -> Result<Duration> {
        timed(self.run_command())
    }

    fn create(&self, id: &str) -> Result<Duration> {
        let mut command = self.command(&["create", "--pid-file"]);
        command.arg(self.pid_file()).arg(id);
        timed(command)
    }

    /// The three commands together; the program's own time between `start` and its end is not counted.
    fn life_cycle(&self) -> Result<Duration> {
        let create = self.create("run")?;
        let init: i32 = fs::read_to_string(self.pid_file())?.parse()?;
        let start = timed(self.command(&["start", "run"]))?;
        waitpid(Pid::from_raw(init), WaitOptions::empty())?;
        Ok(create + start + timed(self.command(&["delete", "run"]))?)
    }

    fn state(&self) -> Result<Duration> {
        timed(self.command(&["state", "waiting"]))
    }

    fn exec(&self) -> Result<Duration> {
        timed(self.command(&["exec", "running", "/bin/true"]))
    }

    fn version(&self) -> Result<Duration> {
        let mut command = Command::new(&self.program);
        command.arg("--version");
        timed(command)
    }
}

/// Runs the command to its end. Its output goes to a file, not to a pipe: a created container would keep a pipe open.
fn timed(mut command: Command) -> Result<Duration> {
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

struct Bench {
    runtimes: Vec<Runtime>,
    config: Value,
    rounds: usize,
}

impl Bench {
    fn prepare(programs: Vec<(String, PathBuf)>, scratch: &Path, states: &Path, rounds: usize) -> Result<Self> {
        let runtime = |(name, program): (String, PathBuf)| Runtime {
            directory: scratch.join(&name),
            state: states.join(&name),
            name,
            program,
        };
        let runtimes: Vec<Runtime> = programs.into_iter().map(runtime).collect();
        let config = default_config(&runtimes[0].program, scratch)?;
        let programs = [
            compile(scratch, "true", "int main(void) { return 0; }\n")?,
            compile(scratch, "pause", "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n")?,
        ];
        runtimes.iter().try_for_each(|runtime| runtime.write_bundle(&config, &programs))?;
        Ok(Self { runtimes, config, rounds })
    }

    /// Times one thing with each runtime in turn. Each round starts with another one: what one leaves to the kernel,
    /// such as the end of a network namespace, falls into the time of the next.
    fn interleaved(&self, runtimes: &[&Runtime], measure: impl Fn(&Runtime) -> Result<Duration>) -> Result<Vec<Times>> {
        let mut times = vec![Times::default(); runtimes.len()];
        for round in 0..self.rounds + WARM_UP {
            for turn in 0..runtimes.len() {
                let i = (round + turn) % runtimes.len();
                let time = measure(runtimes[i])?;
                if round >= WARM_UP {
                    times[i].0.push(time);
                }
            }
        }
        for times in &mut times {
            times.0.sort_unstable();
        }
        Ok(times)
    }

    fn run(&self) -> Result<String> {
        let all: Vec<&Runtime> = self.runtimes.iter().collect();
        let times = self.interleaved(&all, Runtime::run)?;
        let median = |name| all.iter().position(|runtime| runtime.name == name).map(|i| times[i].median());
        let (crun, floor) = (median("crun"), median("floor"));
        let mut table = String::from(
            "## `run` of a static /bin/true, default `spec` config\n\n\
             | runtime | median ms | p10 ms | p99 ms | / crun | / floor | peak RSS MiB | system calls | binary MiB |\n\
             |---|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        );
        for (runtime, times) in all.iter().zip(&times) {
            writeln!(
                table,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                runtime.name,
                milliseconds(times.median()),
                milliseconds(times.percentile(10)),
                milliseconds(times.percentile(99)),
                ratio(times.median(), crun),
                ratio(times.median(), floor),
                mebibytes(peak_rss_of(runtime)?),
                system_calls(runtime)?,
                mebibytes(fs::metadata(&runtime.program)?.len()),
            )?;
        }
        let least = mebibytes(own_peak_rss()?);
        writeln!(
            table,
            "\nPeak RSS of one process; below {least} MiB it can't be told apart. Shared libraries don't count as binary.\n"
        )?;
        Ok(table)
    }

    fn other_commands(&self) -> Result<String> {
        let real: Vec<&Runtime> = self.runtimes.iter().filter(|runtime| !runtime.is_floor()).collect();
        let life_cycle = self.interleaved(&real, Runtime::life_cycle)?;
        let state = self.with_waiting(&real, |bench| bench.interleaved(&real, Runtime::state))?;
        let exec = self.with_running(&real, |bench| bench.interleaved(&real, Runtime::exec))?;
        let version = self.interleaved(&real, Runtime::version)?;
        let mut table = String::from(
            "## Other commands: median (p99), ms\n\n\
             | runtime | create + start + delete | state | exec | --version |\n|---|--:|--:|--:|--:|\n",
        );
        for (i, runtime) in real.iter().enumerate() {
            let times = [&life_cycle[i], &state[i], &exec[i], &version[i]].map(Times::summary);
            writeln!(table, "| {} | {} |", runtime.name, times.join(" | "))?;
        }
        Ok(table + "\n")
    }

    /// Does the work while each runtime has a container that waits for its start.
    fn with_waiting<T>(&self, runtimes: &[&Runtime], work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        for runtime in runtimes {
            runtime.write_config(&self.config, "waiting")?;
            runtime.create("waiting")?;
        }
        let done = work(self);
        for runtime in runtimes {
            timed(runtime.command(&["delete", "--force", "waiting"]))?;
        }
        done
    }

    /// Does the work while each runtime has a container whose program waits for its end.
    fn with_running<T>(&self, runtimes: &[&Runtime], work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let mut config = self.config.clone();
        config["process"]["args"] = json!(["/bin/pause"]);
        for runtime in runtimes {
            runtime.write_config(&config, "running")?;
            runtime.create("running")?;
            timed(runtime.command(&["start", "running"]))?;
        }
        let done = work(self);
        for runtime in runtimes {
            timed(runtime.command(&["delete", "--force", "running"]))?;
        }
        done
    }
}

/// What the runtime's `spec` writes, without a terminal and with `true` as the program.
fn default_config(runtime: &Path, scratch: &Path) -> Result<Value> {
    let mut spec = Command::new(runtime);
    spec.arg("spec").current_dir(scratch);
    timed(spec)?;
    let mut config: Value = serde_json::from_slice(&fs::read(scratch.join("config.json"))?)?;
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["/bin/true"]);
    Ok(config)
}

/// A static program of that name.
fn compile(scratch: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let (source, program) = (scratch.join(format!("{name}.c")), scratch.join(name));
    fs::write(&source, text)?;
    let mut compiler = Command::new("cc");
    compiler.args(["-static", "-O2", "-o"]).arg(&program).arg(source);
    timed(compiler)?;
    Ok(program)
}

/// Times of one thing with one runtime, shortest first.
#[derive(Debug, Clone, Default)]
struct Times(Vec<Duration>);

impl Times {
    fn median(&self) -> Duration {
        self.percentile(50)
    }

    fn percentile(&self, percent: usize) -> Duration {
        self.0[(self.0.len() * percent).div_ceil(100) - 1]
    }

    fn summary(&self) -> String {
        format!("{} ({})", milliseconds(self.median()), milliseconds(self.percentile(99)))
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1e3)
}

fn ratio(time: Duration, to: Option<Duration>) -> String {
    to.map_or("-".into(), |to| format!("{:.2}", time.as_secs_f64() / to.as_secs_f64()))
}

/// One decimal, rounded to the nearest.
fn mebibytes(bytes: u64) -> String {
    let tenths = (bytes * 10 + (1 << 19)) >> 20;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// The largest resident set of one process of a `run`, measured by a fresh copy of this program: the kernel keeps the
/// maximum over all the children of a process, and counts what the child shared with its parent before its execve.
fn peak_rss_of(runtime: &Runtime) -> Result<u64> {
    let run = runtime.run_command();
    let mut copy = Command::new(std::env::current_exe()?);
    copy.arg("peak-rss").arg(run.get_program()).args(run.get_args()).current_dir(runtime.bundle());
    answer(copy)
}

fn own_peak_rss() -> Result<u64> {
    let mut copy = Command::new(std::env::current_exe()?);
    copy.args(["peak-rss", "true"]);
    answer(copy)
}

fn answer(mut command: Command) -> Result<u64> {
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// The body of `compare peak-rss PROGRAM ARGUMENT…`.
fn peak_rss(words: &[String]) -> Result<String> {
    let status = Command::new(&words[0]).args(&words[1..]).stdout(Stdio::null()).status()?;
    if !status.success() {
        return Err(format!("{words:?}: {status}").into());
    }
    let kibibytes = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss();
    Ok(format!("{}\n", u64::try_from(kibibytes)? * 1024))
}

/// All system calls of all the processes of a `run`, the container's own among them.
fn system_calls(runtime: &Runtime) -> Result<String> {
    let (run, summary) = (runtime.run_command(), runtime.directory.join("strace"));
    let mut strace = Command::new("strace");
    strace.args(["--follow-forks", "--summary-only", "--output"]).arg(&summary);
    strace.arg(run.get_program()).args(run.get_args()).current_dir(runtime.bundle());
    timed(strace).map_err(|error| format!("strace: {error}"))?;
    let text = fs::read_to_string(summary)?;
    let total = text.lines().find(|line| line.ends_with(" total")).ok_or("strace printed no total")?;
    Ok(total.split_whitespace().nth(3).ok_or("strace printed no calls")?.to_owned())
}

fn conditions(rounds: usize) -> Result<String> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().ok_or("an empty /proc/loadavg")?;
    let cores = std::thread::available_parallelism()?;
    Ok(format!(
        "Linux {}, {cores} cores, load {load} at the start, {rounds} rounds, interleaved.\n\n",
        kernel.trim_end()
    ))
}

fn dependencies() -> Result<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree =
        Command::new(cargo).args(["tree", "--edges", "normal", "--prefix", "none", "--format", "{p}"]).output()?;
    if !tree.status.success() {
        return Err(format!("cargo tree: {}", String::from_utf8_lossy(&tree.stderr)).into());
    }
    let text = String::from_utf8(tree.stdout)?;
    let mut crates: Vec<&str> = text.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    crates.sort_unstable();
    crates.dedup();
    Ok(format!("Crates in Orlop's tree, build scripts and proc macros included: {}.\n", crates.len() - 1))
}
