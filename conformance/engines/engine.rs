//! The machine that the cases have to themselves: engines that are set up for the runtime under test, and an image of busybox.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use crate::case::Case;

/// What engines call in the runtime's place, see [`in_place_of`]: nobody has to believe which runtime was used.
const WRAPPER: &str = "/usr/local/sbin/orlop";

/// The first argument of a call that stands for the runtime.
pub(crate) const WRAP: &str = "in-place-of";

/// A byte for each call.
const CALLS: &str = "/run/engines-calls";

/// What the applets of the image's busybox are called.
const APPLETS: &str = "sh ls cat echo true false sleep id ps mount touch env hostname kill grep head tail ip wget nc httpd stat pwd \
                       test mkdir rm sync dd stty tty wc df printf date trap cut sed sort tr seq readlink chmod chown nproc";

/// Who the case is at.
const IMAGE: &str = "localhost/busybox:latest";

/// The machine, prepared.
pub(crate) struct Machine {
    runtime: PathBuf,
    controllers: String,
    patience: u32,
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
        let machine = Self { runtime, controllers, patience };
        machine.set_up().map_err(|error| error.to_string())?;
        Ok(machine)
    }

    fn set_up(&self) -> io::Result<()> {
        let own = std::env::current_exe()?;
        let wrapper = format!("#!/bin/sh\nexec {} {WRAP} {} \"$@\"\n", own.display(), self.runtime.display());
        // Some engines take the first runc that they find, whatever they are told.
        for path in [WRAPPER, "/usr/local/sbin/runc"] {
            write(path, &wrapper)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        }
        File::create(CALLS)?.set_permissions(fs::Permissions::from_mode(0o666))?;
        write(
            "/etc/docker/daemon.json",
            &format!(
                r#"{{"default-runtime": "orlop", "runtimes": {{"orlop": {{"path": "{WRAPPER}"}}}}, "storage-driver": "overlay2"}}"#
            ),
        )?;
        let limit = if self.has("pids") { "" } else { "pids_limit = -1\n" };
        let containers = format!(
            "[containers]\n{limit}[engine]\nruntime = \"orlop\"\nevents_logger = \"file\"\n[engine.runtimes]\norlop = [\"{WRAPPER}\"]\n"
        );
        write("/etc/containers/containers.conf", &containers)?;
        write(
            "/etc/containers/storage.conf",
            "[storage]\ndriver = \"overlay\"\nrunroot = \"/run/containers/storage\"\ngraphroot = \"/var/lib/containers/storage\"\n",
        )?;
        write("/etc/containers/policy.json", r#"{"default": [{"type": "insecureAcceptAnything"}]}"#)?;
        self.make_route()?;
        self.make_image()?;
        self.must("systemctl start containerd docker")?;
        self.must("docker import /run/engines-image.tar localhost/busybox:latest")?;
        self.must("podman import /run/engines-image.tar localhost/busybox:latest")?;
        self.must(
            "docker save localhost/busybox:latest > /run/engines-oci.tar && ctr image import /run/engines-oci.tar",
        )?;
        self.make_user()
    }

    /// A way out for engines that give up where there is none.
    fn make_route(&self) -> io::Result<()> {
        self.must(
            "ip route | grep -q ^default || { ip link add out0 type veth peer name out1; ip link set out1 up; ip addr add 192.0.2.2/24 dev out0; ip link set out0 up; \
             ip route add default via 192.0.2.1; }",
        )
    }

    fn make_image(&self) -> io::Result<()> {
        let dir = "/run/engines-image";
        self.must(&format!(
            "mkdir -p {dir}/bin {dir}/etc {dir}/tmp {dir}/root {dir}/var && chmod 1777 {dir}/tmp && cp /usr/bin/busybox {dir}/bin/ && \
             for applet in {APPLETS}; do ln -sf busybox {dir}/bin/$applet; done"
        ))?;
        write(&format!("{dir}/etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n")?;
        write(&format!("{dir}/etc/group"), "root:x:0:\nuser:x:1000:\nother:x:1001:user\n")?;
        self.must(&format!("tar -C {dir} -cf /run/engines-image.tar ."))
    }

    /// Somebody without rights, with a session of systemd's and granted ids.
    fn make_user(&self) -> io::Result<()> {
        self.must(
            "id boatswain > /dev/null 2>&1 || { useradd --create-home --shell /bin/sh boatswain; \
             echo boatswain:200000:65536 > /etc/subuid; cp /etc/subuid /etc/subgid; \
             echo containers:400000:1000000 >> /etc/subuid; cp /etc/subuid /etc/subgid; }; \
             systemctl start user@$(id -u boatswain).service; chmod 644 /run/engines-image.tar",
        )?;
        let home = "/home/boatswain/.config/containers";
        write(&format!("{home}/storage.conf"), "[storage]\ndriver = \"overlay\"\n")?;
        self.must("chown -R boatswain:boatswain /home/boatswain")?;
        self.must(&as_user("podman import /run/engines-image.tar localhost/busybox:latest"))
    }

    /// Whether the machine has a controller, or a program.
    pub(crate) fn has(&self, need: &str) -> bool {
        match need.strip_prefix("program ") {
            Some(program) => ["/usr/bin", "/usr/sbin"].iter().any(|dir| Path::new(dir).join(program).exists()),
            None => self.controllers.split_ascii_whitespace().any(|one| one == need),
        }
    }

    /// How often the runtime was called.
    pub(crate) fn calls() -> u64 {
        fs::metadata(CALLS).map_or(0, |calls| calls.len())
    }

    /// What the runtime says that it is.
    pub(crate) fn version(&self) -> String {
        let output = Command::new(&self.runtime).arg("--version").output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        text.lines().next().unwrap_or("it doesn't say what it is").to_owned()
    }

    /// Runs a case, and removes what has its name.
    pub(crate) fn run(&self, engine: &str, case: &Case) -> (Result<(), String>, Duration) {
        let name = format!("{}-{}", engine.replace('_', "-"), case.name.replace('_', "-"));
        let script = format!("set -eu\nN={name} I={IMAGE}\nexport N I\n{}", case.script);
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
            _ => self.must(&format!(
                "for one in $(ctr task ls -q | grep '^{name}'); do ctr task kill -s KILL $one; sleep 0.1; ctr task rm -f $one 2> /dev/null || true; done; \
                 for one in $(ctr container ls -q | grep '^{name}'); do ctr container rm $one; done"
            )),
        }
    }

    /// Runs what has to work.
    fn must(&self, script: &str) -> io::Result<()> {
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
fn as_user(script: &str) -> String {
    let quoted = script.replace('\'', r"'\''");
    format!(
        "uid=$(id -u boatswain); cd /home/boatswain; exec setpriv --reuid boatswain --regid boatswain --init-groups env -i HOME=/home/boatswain USER=boatswain \
         PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin XDG_RUNTIME_DIR=/run/user/$uid \
         DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/$uid/bus sh -c '{quoted}'"
    )
}

/// Stands for the runtime: counts the call, and has the runtime make it.
///
/// On a machine without controllers the limits that engines set unasked are taken out of the config first, and so are resource limits
/// above those that root has where it lacks `CAP_SYS_RESOURCE`: with them nothing would start there, whichever the runtime.
pub(crate) fn in_place_of(args: &[OsString]) -> io::Error {
    let call = || {
        OpenOptions::new().append(true).open(CALLS)?.write_all(b".")?;
        let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
        if args.iter().any(|arg| arg == "create" || arg == "run") && !controllers.contains("memory") {
            without_limits(&bundle_of(args).join("config.json"))?;
        }
        io::Result::Ok(())
    };
    match (call(), args.split_first()) {
        (Ok(()), Some((runtime, args))) => Command::new(runtime).args(args).exec(),
        (Err(error), _) => error,
        (_, None) => io::Error::other("no runtime was named"),
    }
}

/// The bundle that a call is about.
fn bundle_of(args: &[OsString]) -> PathBuf {
    let named = args.iter().position(|arg| arg == "--bundle" || arg == "-b").and_then(|at| args.get(at + 1));
    named.map_or_else(|| PathBuf::from("."), PathBuf::from)
}

fn without_limits(config: &Path) -> io::Result<()> {
    let mut spec: Value = serde_json::from_slice(&fs::read(config)?)?;
    if let Some(resources) = spec.pointer_mut("/linux/resources").and_then(Value::as_object_mut) {
        resources.retain(|name, _| name == "devices");
    }
    if let Some(process) = spec.pointer_mut("/process").and_then(Value::as_object_mut) {
        if let Some(limits) = process.get_mut("rlimits").and_then(Value::as_array_mut) {
            limits.retain(|limit| limit["hard"].as_u64().is_some_and(|hard| hard <= 20_000));
        }
    }
    fs::write(config, serde_json::to_vec(&spec)?)
}

fn write(path: &str, text: &str) -> io::Result<()> {
    if let Some(parent) = Path::new(path).parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text)
}
