//! The machine that the cases have to themselves, and how a case is run there.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::RwLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::case::Case;
use crate::set_up;

/// What each script may use.
const WORDS: &str = include_str!("words.sh");

/// The machine, prepared.
pub(crate) struct Machine {
    pub(crate) runtime: PathBuf,
    controllers: String,
    patience: u32,
    /// Held by a case that restarts an engine under the feet of others, and read by all others.
    alone: RwLock<()>,
}

impl Machine {
    /// Configures and starts the engines.
    pub(crate) fn prepare() -> Result<Self, String> {
        let runtime = std::env::var_os("ORLOP_TEST_RUNTIME").ok_or("ORLOP_TEST_RUNTIME names no runtime")?;
        let runtime = fs::canonicalize(runtime).map_err(|error| format!("ORLOP_TEST_RUNTIME: {error}"))?;
        if !Path::new("/run/systemd/system").exists() || std::env::var_os("ORLOP_ENGINES_MACHINE").is_none() {
            return Err(
                "the cases change the machine that they run on: conformance/engines/run.sh makes one for them".into()
            );
        }
        let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
        let patience = std::env::var("ORLOP_TEST_PATIENCE").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
        let machine = Self { runtime, controllers, patience, alone: RwLock::new(()) };
        set_up::engines(&machine).map_err(|error| error.to_string())?;
        Ok(machine)
    }

    /// Whether the machine has a controller, a program, or AppArmor.
    pub(crate) fn has(&self, need: &str) -> bool {
        match need.strip_prefix("program ") {
            Some(program) => ["/usr/bin", "/usr/sbin"].iter().any(|dir| Path::new(dir).join(program).exists()),
            None if need == "apparmor" => {
                fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.trim() == "Y")
            }
            None => self.controllers.split_ascii_whitespace().any(|one| one == need),
        }
    }

    /// What the runtime says that it is.
    pub(crate) fn version(&self) -> String {
        let output = Command::new(&self.runtime).arg("--version").output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        text.lines().next().unwrap_or("it doesn't say what it is").to_owned()
    }

    /// Runs a case, and removes what has its name. The time is that of the case's own script.
    pub(crate) fn run(&self, engine: &str, case: &Case) -> (Result<(), String>, Duration) {
        let (_with_others, _alone) = if case.alone {
            (None, Some(self.alone.write().expect("nobody panics with it")))
        } else {
            (Some(self.alone.read().expect("nobody panics with it")), None)
        };
        // No name is the beginning of another one: what begins so is of this case.
        let name = format!("{}-in-{engine}", case.name).replace('_', "-");
        let (patience, image, handler) = (self.patience, set_up::IMAGE, set_up::handler());
        let script = format!(
            "set -eu\nN={name} I={image} HANDLER={handler} PATIENCE={patience}\nexport N I\n{WORDS}\n{}",
            case.script
        );
        let script = if engine == "podman_rootless" { as_user(&script) } else { script };
        let begin = Instant::now();
        let ended = self.shell(&script);
        let took = begin.elapsed();
        let outcome = match ended {
            Ok((code, stdout, stderr)) => case.check(code, &stdout, &stderr),
            Err(error) => Err(error.to_string()),
        };
        let tidied = self.tidy(engine, &name);
        (outcome.and_then(|()| tidied.map_err(|error| error.to_string())), took)
    }

    fn tidy(&self, engine: &str, name: &str) -> io::Result<()> {
        let all = |command: &str, list: &str, remove: &str| {
            format!("for one in $({command} {list} | grep '^{name}'); do {command} {remove} $one > /dev/null; done\n")
        };
        match engine {
            "docker" | "compose" => self.must(
                &[
                    // A machine that is in no swarm has no services; whoever makes one leaves it.
                    all("docker", "ps -a --format '{{.Names}}'", "rm -f -v"),
                    all("docker", "volume ls -q", "volume rm"),
                    all("docker", "network ls --format '{{.Name}}'", "network rm"),
                ]
                .concat(),
            ),
            "podman" | "podman_rootless" | "buildah" => {
                let script = [
                    all("podman", "pod ls --format '{{.Name}}'", "pod rm -f -t 0"),
                    all("podman", "ps -a --format '{{.Names}}'", "rm -f -v -t 0"),
                    all("podman", "volume ls -q", "volume rm"),
                ]
                .concat();
                self.must(&if engine == "podman_rootless" { as_user(&script) } else { script })
            }
            "cri" => self.must(&format!("for one in $(cri pods {name}); do cri stopp $one; cri rmp $one; done")),
            _ => self.must(&format!(
                "for one in $(ctr task ls -q | grep '^{name}'); do ctr task rm -f $one > /dev/null; done\n\
                 for one in $(ctr container ls -q | grep '^{name}'); do ctr container rm $one; done"
            )),
        }
    }

    /// Runs what has to work.
    pub(crate) fn must(&self, script: &str) -> io::Result<()> {
        match self.shell(script)? {
            (Some(0), ..) => Ok(()),
            (code, stdout, stderr) => {
                Err(io::Error::other(format!("$ {script}\nexit {code:?}\nstdout: {stdout}\nstderr: {stderr}")))
            }
        }
    }

    /// Runs a script; its exit code (none at the time limit) and what it said.
    ///
    /// What it says goes to files: a container that it leaves running would keep a pipe open.
    fn shell(&self, script: &str) -> io::Result<(Option<i32>, String, String)> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let [out, err] = ["out", "err"].map(|kind| format!("/run/engines-{number}.{kind}"));
        let mut shell = Command::new("sh")
            .args(["-c", script])
            .env_clear()
            .envs([
                ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
                ("HOME", "/root"),
                ("LANG", "C.UTF-8"),
            ])
            .stdin(Stdio::null())
            .stdout(File::create(&out)?)
            .stderr(File::create(&err)?)
            .process_group(0)
            .spawn()?;
        let end = Instant::now() + Duration::from_mins(1) * self.patience;
        let code = loop {
            if let Some(status) = shell.try_wait()? {
                break Some(status.code().unwrap_or(255));
            }
            if Instant::now() > end {
                let group = Pid::from_raw(shell.id().cast_signed()).ok_or(io::ErrorKind::NotFound)?;
                kill_process_group(group, Signal::KILL)?;
                shell.wait()?;
                break None;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let said = |path: &str| fs::read(path).map(|text| String::from_utf8_lossy(&text).into_owned());
        let (stdout, stderr) = (said(&out)?, said(&err)?);
        fs::remove_file(out)?;
        fs::remove_file(err)?;
        Ok((code, stdout, stderr))
    }
}

/// The script, run by the user without rights, in that user's session.
pub(crate) fn as_user(script: &str) -> String {
    let quoted = script.replace('\'', r"'\''");
    format!(
        "uid=$(id -u boatswain); cd /home/boatswain; exec setpriv --reuid boatswain --regid boatswain --init-groups env -i HOME=/home/boatswain USER=boatswain \
         PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin XDG_RUNTIME_DIR=/run/user/$uid \
         DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/$uid/bus sh -c '{quoted}'"
    )
}
