//! The command line: runc's flags, defaults and complaints.
//!
//! [`parse`] turns words into an [`Invocation`], in which everything is settled: paths are absolute, defaults are in
//! place, the container has an id. It runs nothing. A command line that cannot be understood becomes a [`Stop`].

mod argv;
mod complaint;
mod criu;
mod decimal;
mod duration;
mod limits;
mod size;
mod words;

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use clap::FromArgMatches;
use clap::error::ErrorKind;
use clap_complete::Shell;

use self::argv::Argv;
use self::complaint::{help, misread, refuse};
use self::words::{Creation, Execution, Global, Limits, Line, Names, Words};
use crate::error::{Annotate, Context, Error, Result};
use crate::plan::{ExecRequest, Schemata};
use crate::state::OCI_VERSION;
use crate::{checkpoint, create, events, exec, features, list, log, restore, run, timeline, update};

/// The words of a command line in the parser's spelling.
#[cfg(any(test, fuzzing))]
pub(crate) fn normalised(words: Vec<OsString>) -> Vec<OsString> {
    argv::normalise(words).words
}

/// What to do, with nothing left to decide.
pub struct Invocation {
    /// Where to complain.
    pub log: log::Options,
    /// The directory that holds the state of all containers.
    pub root: PathBuf,
    /// Whether the caller named that directory.
    pub explicit_root: bool,
    /// Where the times of its steps go, if anywhere.
    pub timeline: Option<timeline::Output>,
    /// The command.
    pub command: Command,
}

/// A command with its settled arguments.
#[allow(missing_docs, reason = "the fields are named like the flags")]
pub enum Command {
    Create(create::Options),
    Run(run::Options),
    Start { id: String },
    State { id: String },
    Kill { id: String, signal: String, all: bool },
    Delete { id: String, force: bool },
    List { format: list::Format, quiet: bool },
    Exec(Box<exec::Options>),
    Ps { id: String, format: list::Format, options: Vec<OsString> },
    AddMounts { id: String, file: PathBuf },
    RemoveMounts { id: String, file: PathBuf },
    Events { id: String, manner: events::Manner },
    Update { id: String, source: update::Source, schemata: Schemata },
    Pause { id: String },
    Resume { id: String },
    Spec { bundle: PathBuf, rootless: bool },
    Checkpoint(Box<checkpoint::Options>),
    Restore(Box<restore::Options>),
    Completion { script: String },
    Features,
}

/// Why there is nothing to do.
pub enum Stop {
    /// Help or the version was asked for: this goes to standard output, and all is well.
    Answer(String),
    /// The command line is wrong.
    Refusal(Box<Refusal>),
}

/// What is said about a command line that is wrong.
pub struct Refusal {
    /// Where to complain, as far as it could be understood.
    pub log: log::Options,
    /// Goes to standard error, ahead of the error itself.
    pub notice: String,
    /// Goes to standard output.
    pub help: String,
    /// The error.
    pub message: String,
    /// The exit code.
    pub code: u8,
}

/// Understands a command line, the program's name first.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Invocation, Stop> {
    let argv = argv::normalise(args);
    let (global, words) = read(&argv).map_err(|error| misread(&error, &argv))?;
    let Some(words) = words else { return Err(Stop::Answer(help(None))) };
    settle(global, words).map_err(|wrong| wrong.stop(&argv))
}

/// Reads a line by the definitions of its own command: to make those of all takes longer than many a command. They are made when
/// the line can't be read, because help and complaints speak of all.
fn read(argv: &Argv) -> Result<(Global, Option<Words>), clap::Error> {
    let mut matches = match Line::with_one(argv.command.as_deref()).try_get_matches_from(&argv.words) {
        Err(error) if error.kind() != ErrorKind::DisplayVersion => Line::with_all().try_get_matches_from(&argv.words),
        read => read,
    }?;
    let global = Line::from_arg_matches_mut(&mut matches)?.global;
    let words = matches.subcommand_name().is_some().then(|| Words::from_arg_matches_mut(&mut matches)).transpose()?;
    Ok((global, words))
}

/// What `--version` prints. Docker splits the first line at the word "version".
pub fn version() -> String {
    format!("orlop version {}\ncommit: {}\nspec: {}\n", features::VERSION, features::COMMIT, OCI_VERSION)
}

/// The definitions of all commands and flags, for what is made of them: completions, and the manual pages of `tools/manual.rs`.
#[doc(hidden)]
pub fn definitions() -> clap::Command {
    Line::with_all()
}

/// Why words make no command.
enum Wrong {
    /// The number of arguments: the help is shown as well.
    Count(String),
    /// A value.
    Value(Error),
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Self {
        Self::Value(error)
    }
}

impl Wrong {
    fn stop(self, argv: &Argv) -> Stop {
        let (help, message) = match self {
            Self::Count(message) => (format!("Incorrect Usage.\n\n{}", help(argv.command.as_deref())), message),
            Self::Value(error) => (String::new(), error.to_string()),
        };
        refuse(argv, String::new(), help, message, 1)
    }
}

fn settle(global: Global, words: Words) -> Result<Invocation, Wrong> {
    check_rootless(global.rootless.as_deref())?;
    let given_root = set(global.root.clone());
    let root = settle_root(given_root.as_deref())?;
    let command = settle_command(&global, &root, words)?;
    let timeline = set(global.timeline.clone()).map(timeline_output).transpose()?;
    Ok(Invocation { log: log_options(global)?, root, explicit_root: given_root.is_some(), timeline, command })
}

fn settle_command(global: &Global, root: &Path, words: Words) -> Result<Command, Wrong> {
    Ok(match words {
        Words::Create(creation) => Command::Create(create_options(global, root, creation)?),
        Words::Run { creation, detach, keep, no_subreaper } => {
            Command::Run(run::Options { create: run_options(global, root, creation)?, detach, keep, no_subreaper })
        }
        Words::Start(names) => Command::Start { id: names.one("start")? },
        Words::State(names) => Command::State { id: names.one("state")? },
        Words::Kill { all, names } => kill(names, all)?,
        Words::Delete { force, names } => Command::Delete { id: names.one("delete")?, force },
        Words::Exec(execution) => Command::Exec(Box::new(exec_options(root, *execution)?)),
        Words::Ps { format, names } => {
            let (id, options) = names.some("ps")?;
            Command::Ps { id, format: table_or_json(format.as_deref())?, options }
        }
        Words::Mounts(names) => mounts(names.exactly("mounts")?)?,
        Words::Events { interval, stats, names } => {
            let id = names.one("events")?;
            Command::Events { id, manner: manner_of_events(interval.as_deref(), stats)? }
        }
        Words::Update(limits) => update(*limits)?,
        Words::Pause(names) => Command::Pause { id: names.one("pause")? },
        Words::Resume(names) => Command::Resume { id: names.one("resume")? },
        Words::List { format, quiet, names } => {
            names.none("list")?;
            Command::List { format: table_or_json(format.as_deref())?, quiet }
        }
        Words::Spec { bundle, rootless, names } => {
            names.none("spec")?;
            Command::Spec { bundle: absolute(set(bundle).unwrap_or_else(|| ".".into()))?, rootless }
        }
        Words::Checkpoint(dump) => Command::Checkpoint(Box::new(criu::checkpoint(root, *dump)?)),
        Words::Restore(restoration) => {
            Command::Restore(Box::new(criu::restore(root, global.systemd_cgroup()?, *restoration)?))
        }
        Words::Completion(names) => Command::Completion { script: completion(&names.one("completion")?)? },
        Words::Features(names) => {
            names.none("features")?;
            Command::Features
        }
    })
}

impl Names {
    fn none(self, command: &str) -> Result<(), Wrong> {
        let [] = self.exactly(command)?;
        Ok(())
    }

    fn one(self, command: &str) -> Result<String, Wrong> {
        let [id] = self.exactly(command)?;
        Ok(text(&id))
    }

    /// An id, and what else there is.
    fn some(self, command: &str) -> Result<(String, Vec<OsString>), Wrong> {
        let mut names = self.names.into_iter();
        let id = names
            .next()
            .ok_or_else(|| Wrong::Count(format!("orlop: \"{command}\" requires a minimum of 1 argument(s)")))?;
        Ok((text(&id), names.collect()))
    }

    fn exactly<const N: usize>(self, command: &str) -> Result<[OsString; N], Wrong> {
        let names = self.names.try_into();
        names.map_err(|_| Wrong::Count(format!("orlop: \"{command}\" requires exactly {N} argument(s)")))
    }
}

/// An id is plain ASCII; what is not text becomes a character that no id may contain, and is refused with it.
fn text(word: &OsStr) -> String {
    word.to_string_lossy().into_owned()
}

fn kill(names: Names, all: bool) -> Result<Command, Wrong> {
    let mut names = names.names.into_iter();
    match (names.next(), names.next(), names.next()) {
        (Some(id), signal, None) => {
            Ok(Command::Kill { id: text(&id), signal: text(&signal.unwrap_or_else(|| "SIGTERM".into())), all })
        }
        (None, ..) => Err(Wrong::Count("orlop: \"kill\" requires a minimum of 1 argument(s)".into())),
        (.., Some(_)) => Err(Wrong::Count("orlop: \"kill\" requires a maximum of 2 argument(s)".into())),
    }
}

fn table_or_json(name: Option<&OsStr>) -> Result<list::Format> {
    match name.map_or(Some("table"), OsStr::to_str) {
        Some("table") => Ok(list::Format::Table),
        Some("json") => Ok(list::Format::Json),
        _ => Err(Error::new("invalid format option")),
    }
}

/// By hand, `run` takes a bundle as well: an argument with a slash in it, as no id can have one.
fn run_options(global: &Global, root: &Path, mut creation: Creation) -> Result<create::Options, Wrong> {
    let mut made_up = None;
    if let [word] = creation.names.names.as_mut_slice()
        && word.as_encoded_bytes().contains(&b'/')
    {
        if creation.bundle.is_some() {
            return Err(Error::new("the bundle is named twice: as an argument and with --bundle").into());
        }
        let bundle = absolute(std::mem::take(word))?;
        *word = made_up_id(&bundle)?.into();
        made_up = Some(bundle.into_os_string());
    }
    creation.bundle = made_up.or(creation.bundle);
    create_options_for("run", global, root, creation)
}

fn create_options(global: &Global, root: &Path, creation: Creation) -> Result<create::Options, Wrong> {
    create_options_for("create", global, root, creation)
}

fn create_options_for(
    command: &str,
    global: &Global,
    root: &Path,
    creation: Creation,
) -> Result<create::Options, Wrong> {
    Ok(create::Options {
        root: root.to_owned(),
        id: creation.names.one(command)?,
        bundle: absolute(set(creation.bundle).unwrap_or_else(|| ".".into()))?,
        pid_file: set(creation.pid_file).map(absolute).transpose()?,
        console_socket: set(creation.console_socket).map(absolute).transpose()?,
        pidfd_socket: set(creation.pidfd_socket).map(absolute).transpose()?,
        no_pivot: creation.no_pivot,
        no_new_keyring: creation.no_new_keyring,
        preserve_fds: creation.preserve_fds,
        systemd_cgroup: global.systemd_cgroup()?,
    })
}

/// With a file the flags for limits of the cgroup say nothing, as with runc.
fn update(mut flags: Limits) -> Result<Command, Wrong> {
    let id = std::mem::take(&mut flags.names).one("update")?;
    let schema = |flag: Option<OsString>| set(flag).as_deref().map(text);
    let schemata = Schemata {
        l3_cache: schema(flags.l3_cache_schema.take()),
        memory_bandwidth: schema(flags.mem_bw_schema.take()),
    };
    let source = match set(flags.resources.take()) {
        Some(file) if file == "-" => update::Source::StandardInput,
        Some(file) => update::Source::File(absolute(file)?),
        None => update::Source::Text(limits::as_resources(flags)?.to_string()),
    };
    Ok(Command::Update { id, source, schemata })
}

/// What runc's flags mean: an interval has to be one also where there is nothing to wait for.
fn manner_of_events(interval: Option<&OsStr>, once: bool) -> Result<events::Manner> {
    let interval = interval.map_or("5s".into(), OsStr::to_string_lossy);
    let length = duration::parse(&interval)
        .ok_or_else(|| Error::new(format!("invalid value {interval:?} for flag -interval: parse error")))?;
    if length.is_zero() {
        return Err(Error::new("duration interval must be greater than 0"));
    }
    Ok(if once { events::Manner::Once } else { events::Manner::Every(length) })
}

fn mounts([action, id, file]: [OsString; 3]) -> Result<Command> {
    let (id, file) = (text(&id), absolute(file)?);
    match action.to_str() {
        Some("add") => Ok(Command::AddMounts { id, file }),
        Some("remove") => Ok(Command::RemoveMounts { id, file }),
        _ => Err(Error::new(format!("mounts {:?}: add and remove are known", text(&action)))),
    }
}

fn completion(shell: &str) -> Result<String> {
    let shell = match shell {
        "bash" => Shell::Bash,
        "zsh" => Shell::Zsh,
        "fish" => Shell::Fish,
        other => return Err(Error::new(format!("unknown shell {other:?}: bash, zsh and fish are known"))),
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut definitions(), "orlop", &mut script);
    String::from_utf8(script).map_err(|error| Error::new(error.to_string()))
}

fn exec_options(root: &Path, execution: Execution) -> Result<exec::Options, Wrong> {
    let (id, args) = execution.names.some("exec")?;
    let given = |value: Option<OsString>| set(value).as_deref().map(text);
    let texts = |values: Vec<OsString>| values.iter().map(|value| text(value)).collect();
    let request = ExecRequest {
        args,
        cwd: set(execution.cwd).map(PathBuf::from),
        env: texts(execution.env),
        tty: execution.tty,
        user: given(execution.user),
        groups: texts(execution.additional_gids),
        capabilities: texts(execution.cap),
        no_new_privileges: execution.no_new_privs,
        apparmor: given(execution.apparmor),
        label: given(execution.process_label),
        preserve_fds: execution.preserve_fds,
    };
    Ok(exec::Options {
        root: root.to_owned(),
        id,
        request,
        process: set(execution.process).map(absolute).transpose()?,
        detach: execution.detach,
        pid_file: set(execution.pid_file).map(absolute).transpose()?,
        console_socket: set(execution.console_socket).map(absolute).transpose()?,
        pidfd_socket: set(execution.pidfd_socket).map(absolute).transpose()?,
        ignore_paused: execution.ignore_paused,
        cgroups: texts(execution.cgroup),
    })
}

impl Global {
    fn systemd_cgroup(&self) -> Result<bool> {
        match self.cgroup_manager.as_deref().map(OsStr::to_string_lossy).as_deref() {
            None => Ok(self.systemd_cgroup),
            Some("systemd") => Ok(true),
            Some("cgroupfs") => Ok(false),
            Some("disabled") => {
                Err(Error::new("--cgroup-manager=disabled: a container without a cgroup is not supported"))
            }
            Some(other) => Err(Error::new(format!("invalid cgroup-manager: {other}"))),
        }
    }
}

fn check_rootless(value: Option<&OsStr>) -> Result<()> {
    match value {
        Some(value) if !value.is_empty() && value != "auto" && argv::boolean(value).is_none() => Err(Error::new(
            format!("invalid value \"{}\" for flag -rootless: not true, false or auto", value.display()),
        )),
        _ => Ok(()),
    }
}

fn log_options(global: Global) -> Result<log::Options> {
    let debug = match global.log_level.as_deref().map(OsStr::to_string_lossy).as_deref() {
        None | Some("error" | "warning" | "warn" | "info") => global.debug,
        Some("debug" | "trace") => true,
        Some(other) => return Err(Error::new(format!("invalid log-level: {other}"))),
    };
    let format = global.log_format.as_deref().map(log::Format::parse).transpose()?;
    Ok(log::Options { file: set(global.log), format, debug })
}

fn timeline_output(file: OsString) -> Result<timeline::Output> {
    if file == "-" { Ok(timeline::Output::Table) } else { absolute(file).map(timeline::Output::Trace) }
}

/// An empty value is as good as none: callers pass `--pid-file "$UNSET"`.
fn set(value: Option<OsString>) -> Option<OsString> {
    value.filter(|value| !value.is_empty())
}

fn absolute(path: impl Into<PathBuf>) -> Result<PathBuf> {
    std::path::absolute(path.into()).call("getcwd").doing(|| "find the current directory")
}

fn settle_root(given: Option<&OsStr>) -> Result<PathBuf> {
    let root = absolute(given.map_or_else(default_root, PathBuf::from))?;
    if is_slash(&root) { Err(Error::new("--root must not be /")) } else { Ok(root) }
}

/// Whether an absolute path is the root directory by its words, as in `/tmp/..`.
fn is_slash(path: &Path) -> bool {
    let depth = path.components().fold(0_usize, |depth, component| match component {
        Component::Normal(_) => depth + 1,
        Component::ParentDir => depth.saturating_sub(1),
        _ => depth,
    });
    depth == 0
}

fn default_root() -> PathBuf {
    let euid = rustix::process::geteuid().as_raw();
    let user = std::env::var_os("USER");
    root_for(euid, std::env::var_os("XDG_RUNTIME_DIR"), user.as_deref(), crate::host::in_user_namespace)
}

/// A user's own directory for a user, and for one who is root only in a user namespace; else the machine's.
fn root_for(euid: u32, xdg: Option<OsString>, user: Option<&OsStr>, in_userns: impl FnOnce() -> bool) -> PathBuf {
    let own = |xdg: &OsString| !xdg.is_empty() && (euid != 0 || (user != Some(OsStr::new("root")) && in_userns()));
    xdg.filter(own).map_or_else(|| "/run".into(), PathBuf::from).join("orlop")
}

/// The bundle's name, as far as it can be part of an id, and something to tell two runs apart.
fn made_up_id(bundle: &Path) -> Result<String> {
    let mut random = [0; 3];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).call("getrandom")?;
    let [a, b, c] = random;
    Ok(format!("{}-{a:02x}{b:02x}{c:02x}", id_stem(bundle)))
}

fn id_stem(bundle: &Path) -> String {
    let name = bundle.file_name().unwrap_or(OsStr::new("bundle")).to_string_lossy();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "_+.-".contains(c) { c } else { '_' };
    name.chars().take(64).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn parse_line(line: &str) -> Result<Invocation, Stop> {
        parse(std::iter::once("orlop").chain(line.split_whitespace()).map(OsString::from))
    }

    fn command(line: &str) -> Command {
        match parse_line(line) {
            Ok(invocation) => invocation.command,
            Err(Stop::Answer(text)) => panic!("{line}: answered: {text}"),
            Err(Stop::Refusal(refusal)) => panic!("{line}: refused: {}", refusal.message),
        }
    }

    fn create(line: &str) -> create::Options {
        match command(line) {
            Command::Create(options) => options,
            _ => panic!("{line}: not a create"),
        }
    }

    fn run(line: &str) -> run::Options {
        match command(line) {
            Command::Run(options) => options,
            _ => panic!("{line}: not a run"),
        }
    }

    fn refusal(line: &str) -> Refusal {
        match parse_line(line) {
            Err(Stop::Refusal(refusal)) => *refusal,
            _ => panic!("{line}: not refused"),
        }
    }

    fn answer(line: &str) -> String {
        match parse_line(line) {
            Err(Stop::Answer(text)) => text,
            _ => panic!("{line}: not answered"),
        }
    }

    #[test]
    fn the_parsers_flags_are_the_ones_that_are_rewritten() {
        let mut line = definitions();
        line.build();
        let mut values = BTreeSet::new();
        let mut switches = BTreeSet::new();
        let args = line.get_subcommands().chain([&line]).flat_map(clap::Command::get_arguments);
        for arg in args.filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version")) {
            let names = if arg.get_action().takes_values() { &mut values } else { &mut switches };
            names.extend(arg.get_long().map(str::to_owned));
            names.extend(arg.get_short().map(String::from));
        }
        // The two that are both: see the comments on the lists.
        assert!(values.remove("f") && switches.remove("rootless"));
        assert!(values.remove("no-new-privs"));
        assert_eq!(Vec::from_iter(values), argv::VALUES);
        assert_eq!(Vec::from_iter(switches), argv::SWITCHES);
    }

    #[test]
    fn the_definition_is_sound() {
        definitions().debug_assert();
    }

    #[test]
    fn a_line_is_read_by_its_own_commands_definitions() {
        for command in definitions().get_subcommands().map(clap::Command::get_name) {
            let defined = Line::with_one(Some(command));
            assert_eq!(defined.get_subcommands().map(clap::Command::get_name).collect::<Vec<_>>(), [command]);
        }
        for none in [None, Some("bogus"), Some("help")] {
            assert!(!Line::with_one(none).has_subcommands());
        }
    }

    #[test]
    fn containerd_creates() {
        let invocation = parse_line(
            "--root /run/containerd/runc/default --log /b/log.json --log-format json --systemd-cgroup create \
             --bundle /b --pid-file /b/init.pid --console-socket /tmp/pty.sock --no-pivot ctr",
        );
        let Ok(Invocation { log, root, explicit_root: true, timeline: None, command: Command::Create(options) }) =
            invocation
        else {
            panic!("not understood");
        };
        assert_eq!(log.file.as_deref(), Some(OsStr::new("/b/log.json")));
        assert_eq!(log.format, Some(log::Format::Json));
        assert_eq!(root, Path::new("/run/containerd/runc/default"));
        assert_eq!(options.root, root);
        assert_eq!(options.id, "ctr");
        assert_eq!(options.bundle, Path::new("/b"));
        assert_eq!(options.pid_file.as_deref(), Some(Path::new("/b/init.pid")));
        assert_eq!(options.console_socket.as_deref(), Some(Path::new("/tmp/pty.sock")));
        assert!(options.no_pivot && options.systemd_cgroup && !options.no_new_keyring);
    }

    #[test]
    fn podman_creates_and_kills() {
        let line = "--systemd-cgroup --log-format=json --log /l create --bundle /b --pid-file /p --preserve-fds 3 id";
        assert_eq!(create(line).preserve_fds, 3);
        assert!(
            matches!(command("kill id 9"), Command::Kill { id, signal, all: false } if id == "id" && signal == "9")
        );
        assert!(matches!(command("kill --all id 9"), Command::Kill { all: true, .. }));
        assert!(matches!(command("kill id"), Command::Kill { signal, .. } if signal == "SIGTERM"));
        assert!(matches!(command("kill id -9"), Command::Kill { signal, .. } if signal == "-9"));
    }

    #[test]
    fn buildkit_runs() {
        let options = run("--log /l --log-format json run --bundle /b --keep id");
        assert!(options.keep && !options.detach && !options.no_subreaper);
        assert!(run("run -d -no-subreaper id").no_subreaper);
    }

    #[test]
    fn paths_become_absolute_and_the_bundle_defaults_to_the_current_directory() {
        let here = std::env::current_dir().unwrap();
        let options = create("create --pid-file p --console-socket s id");
        assert_eq!(options.bundle, here);
        assert_eq!(options.pid_file, Some(here.join("p")));
        assert_eq!(options.console_socket, Some(here.join("s")));
        assert_eq!(create("--root r create id").root, here.join("r"));
    }

    #[test]
    fn an_empty_value_is_none() {
        let options = create("--root= --log= create --pid-file= --console-socket= --bundle= id");
        assert_eq!((options.pid_file, options.console_socket), (None, None));
        assert_eq!(options.bundle, std::env::current_dir().unwrap());
    }

    #[test]
    fn flags_may_come_late_or_twice() {
        assert!(matches!(command("delete id --force"), Command::Delete { force: true, .. }));
        assert!(matches!(command("delete --force id --force=false"), Command::Delete { force: false, .. }));
        assert_eq!(create("create --bundle /a --bundle /b id").bundle, Path::new("/b"));
        assert_eq!(create("--root /a create id --root /b").root, Path::new("/b"));
    }

    #[test]
    fn flags_of_other_runtimes_are_accepted() {
        assert!(create("--cgroup-manager systemd create id").systemd_cgroup);
        assert!(!create("--systemd-cgroup --cgroup-manager=cgroupfs create id").systemd_cgroup);
        for line in ["--rootless=true state id", "--rootless auto state id", "--log-level error state id"] {
            assert!(matches!(command(line), Command::State { .. }));
        }
        assert!(parse_line("--log-level debug state id").is_ok_and(|invocation| invocation.log.debug));
    }

    #[test]
    fn values_that_cannot_be_followed_are_refused() {
        let message = |line| refusal(line).message;
        assert_eq!(message("--root / state id"), "--root must not be /");
        assert_eq!(message("--root /tmp/.. state id"), "--root must not be /");
        assert_eq!(message("--log-format xml state id"), "invalid log-format: xml");
        assert_eq!(message("--log-level loud state id"), "invalid log-level: loud");
        assert_eq!(message("--cgroup-manager magic create id"), "invalid cgroup-manager: magic");
        assert!(message("--cgroup-manager disabled run id").contains("without a cgroup is not supported"));
        assert!(message("--rootless maybe state id").starts_with("invalid value \"maybe\" for flag -rootless"));
        assert_eq!(message("list --format yaml"), "invalid format option");
        let wrong = refusal("create --preserve-fds x id");
        assert_eq!(wrong.message, "invalid value \"x\" for flag -preserve-fds: parse error");
        assert_eq!(message("delete --force=maybe id"), "invalid value \"maybe\" for flag -force: parse error");
    }

    #[test]
    fn the_number_of_arguments_is_checked_in_runcs_words() {
        for (line, complaint) in [
            ("create", "\"create\" requires exactly 1 argument(s)"),
            ("run a b", "\"run\" requires exactly 1 argument(s)"),
            ("state", "\"state\" requires exactly 1 argument(s)"),
            ("start a b", "\"start\" requires exactly 1 argument(s)"),
            ("delete", "\"delete\" requires exactly 1 argument(s)"),
            ("kill", "\"kill\" requires a minimum of 1 argument(s)"),
            ("kill a b c", "\"kill\" requires a maximum of 2 argument(s)"),
            ("update", "\"update\" requires exactly 1 argument(s)"),
            ("update a b", "\"update\" requires exactly 1 argument(s)"),
            ("events", "\"events\" requires exactly 1 argument(s)"),
            ("list x", "\"list\" requires exactly 0 argument(s)"),
            ("spec x", "\"spec\" requires exactly 0 argument(s)"),
            ("features x", "\"features\" requires exactly 0 argument(s)"),
        ] {
            let refusal = refusal(line);
            assert_eq!(refusal.message, format!("orlop: {complaint}"));
            assert_eq!((refusal.code, refusal.notice.as_str()), (1, ""));
            let usage = format!("orlop {}", line.split(' ').next().unwrap());
            assert!(refusal.help.starts_with("Incorrect Usage.\n\n") && refusal.help.contains(&usage), "{line}");
        }
    }

    #[test]
    fn unknown_flags_are_refused_with_the_help_of_their_command() {
        let refusal = refusal("create --bogus id");
        assert_eq!(refusal.message, "flag provided but not defined: -bogus");
        assert_eq!(refusal.notice, "Incorrect Usage: flag provided but not defined: -bogus\n\n");
        assert!(refusal.help.contains("Usage: orlop create [OPTIONS] <container-id>"), "{}", refusal.help);
        assert_eq!(refusal.code, 1);
    }

    #[test]
    fn a_flag_of_another_command_is_unknown() {
        assert_eq!(refusal("create --detach id").message, "flag provided but not defined: -detach");
        assert_eq!(refusal("--preserve-fds").message, "flag provided but not defined: -preserve-fds");
    }

    #[test]
    fn a_missing_value_is_refused_in_the_words_that_podman_looks_for() {
        assert_eq!(refusal("create --console-socket").message, "flag needs an argument: --console-socket");
        assert_eq!(refusal("--root").message, "flag needs an argument: --root");
    }

    #[test]
    fn the_flags_of_update_are_resources() {
        let resources = |line: &str| match command(line) {
            Command::Update { source: update::Source::Text(text), .. } => {
                serde_json::from_str::<serde_json::Value>(&text).unwrap()
            }
            _ => panic!("{line}: not an update by flags"),
        };
        assert_eq!(resources("update id"), serde_json::json!({}));
        let all = "update --memory 1k --memory-swap -1 --memory-reservation 5 --cpu-share 2 --cpu-quota -1 --cpu-period 3 \
                   --cpu-burst 4 --cpu-idle 0 --cpu-rt-period 6 --cpu-rt-runtime 7 --cpuset-cpus 0-1 --cpuset-mems 0 \
                   --pids-limit -1 --blkio-weight 10 --kernel-memory 1 --kernel-memory-tcp 1 id";
        assert_eq!(
            resources(all),
            serde_json::json!({
                "memory": {"limit": 1024, "swap": -1, "reservation": 5},
                "cpu": {"shares": 2, "quota": -1, "period": 3, "burst": 4, "idle": 0, "realtimePeriod": 6,
                    "realtimeRuntime": 7, "cpus": "0-1", "mems": "0"},
                "pids": {"limit": -1},
                "blockIO": {"weight": 10},
            })
        );
        // As runc has it, 0 is none of a weight, and a limit of processes.
        assert_eq!(resources("update --blkio-weight 0 --memory= id"), serde_json::json!({}));
        assert_eq!(resources("update id --pids-limit 0"), serde_json::json!({"pids": {"limit": 0}}));
    }

    #[test]
    fn what_an_update_reads() {
        let source = |line: &str| match command(line) {
            Command::Update { source, .. } => source,
            _ => panic!("{line}: not an update"),
        };
        for line in ["update -r - id", "update --resources=- id", "update id -resources -"] {
            assert_eq!(source(line), update::Source::StandardInput, "{line}");
        }
        assert_eq!(source("update --pids-limit 5 -r /f id"), update::Source::File("/f".into()));
        let schemata = Schemata { l3_cache: Some("L3:0=f".into()), memory_bandwidth: None };
        let line = "update --l3-cache-schema L3:0=f --mem-bw-schema= -r - id";
        assert!(matches!(command(line), Command::Update { schemata: found, .. } if found == schemata));
    }

    #[test]
    fn how_events_are_told() {
        let manner = |line: &str| match command(line) {
            Command::Events { manner, .. } => manner,
            _ => panic!("{line}: not events"),
        };
        let every = |milliseconds| events::Manner::Every(std::time::Duration::from_millis(milliseconds));
        assert_eq!(manner("events id"), every(5000));
        assert_eq!(manner("events -interval 100ms id"), every(100));
        assert_eq!(manner("events --stats --interval=1h id"), events::Manner::Once);
        for (line, message) in [
            ("events --interval 0 id", "duration interval must be greater than 0"),
            ("events --interval -1s --stats id", "duration interval must be greater than 0"),
            ("events --interval soon id", "invalid value \"soon\" for flag -interval: parse error"),
        ] {
            assert_eq!(refusal(line).message, message);
        }
    }

    #[test]
    fn an_unknown_command_has_its_own_code() {
        for line in ["bogus", "help bogus", "--debug attach id ls"] {
            assert_eq!(refusal(line).code, 3, "{line}");
        }
        assert_eq!(refusal("bogus").message, "No help topic for 'bogus'");
    }

    #[test]
    fn a_refusal_goes_to_the_log_that_was_asked_for() {
        let log = refusal("--log /l --log-format json create --bogus id").log;
        assert_eq!(log.file.as_deref(), Some(OsStr::new("/l")));
        assert_eq!(log.format, Some(log::Format::Json));
    }

    #[test]
    fn help_and_version_are_answers() {
        let usage = "Usage: orlop [GLOBAL OPTIONS] <COMMAND> [OPTIONS]";
        for line in ["", "help", "--help", "-h"] {
            assert!(answer(line).contains(usage), "{line}");
        }
        for line in ["help create", "create --help", "create -h", "create id --help"] {
            assert!(answer(line).contains("Usage: orlop create [OPTIONS] <container-id>"), "{line}");
        }
        for line in ["--version", "-v", "-version"] {
            assert_eq!(answer(line), version());
        }
        assert!(version().starts_with("orlop version 0.") && version().ends_with("\nspec: 1.3.0\n"));
    }

    #[test]
    fn completions_know_the_commands_and_their_flags() {
        for (shell, flag) in [("bash", "--ignore-paused"), ("zsh", "--ignore-paused"), ("fish", "ignore-paused")] {
            let Command::Completion { script } = command(&format!("completion {shell}")) else { panic!("{shell}") };
            assert!(script.contains(flag) && script.contains("resume"), "{shell}");
        }
        assert_eq!(refusal("completion tcsh").message, "unknown shell \"tcsh\": bash, zsh and fish are known");
    }

    #[test]
    fn each_commands_help_fits_a_screen_and_has_an_example() {
        for command in definitions().get_subcommands() {
            let text = answer(&format!("{} --help", command.get_name()));
            let lines = text.lines().count();
            assert!(lines <= 48 && text.lines().all(|line| line.len() <= 120), "{}: {lines} lines", command.get_name());
            let example = text.lines().last().unwrap_or_default();
            assert!(example.contains(&format!(":  orlop {}", command.get_name())), "{example}");
        }
    }

    #[test]
    fn run_takes_a_bundle_and_makes_up_an_id() {
        let options = run("run /some/bundle/").create;
        assert_eq!(options.bundle, Path::new("/some/bundle"));
        let random = options.id.strip_prefix("bundle-").unwrap();
        assert!(random.len() == 6 && random.bytes().all(|byte| byte.is_ascii_hexdigit()), "{random}");
        assert_ne!(run("run /some/bundle/").create.id, options.id);
    }

    #[test]
    fn run_takes_an_id_as_runc_does() {
        let options = run("run -b /some/bundle id").create;
        assert_eq!((options.bundle.as_path(), options.id.as_str()), (Path::new("/some/bundle"), "id"));
        assert_eq!(run("run id").create.bundle, std::env::current_dir().unwrap());
        assert!(refusal("run -b /x ./y").message.contains("named twice"));
    }

    #[test]
    fn only_run_takes_a_bundle() {
        assert_eq!(create("create some/bundle").id, "some/bundle");
    }

    #[test]
    fn made_up_ids_are_made_of_what_an_id_may_have() {
        assert_eq!(id_stem(Path::new("/a/my bundle:é+1")), "my_bundle__+1");
        assert_eq!(id_stem(Path::new("/a/..")), "bundle");
        assert_eq!(id_stem(Path::new(&format!("/{}", "x".repeat(200)))).len(), 64);
    }

    #[test]
    fn the_state_of_users_is_kept_apart() {
        let root = |euid, xdg: &str, user, in_userns| {
            root_for(euid, Some(OsString::from(xdg)), user, || in_userns).to_str().unwrap().to_owned()
        };
        let (root_user, other) = (Some(OsStr::new("root")), Some(OsStr::new("joe")));
        assert_eq!(root_for(1000, None, other, || true), Path::new("/run/orlop"));
        assert_eq!(root(1000, "", other, true), "/run/orlop");
        assert_eq!(root(1000, "/run/user/1000", other, false), "/run/user/1000/orlop");
        assert_eq!(root(0, "/run/user/0", other, false), "/run/orlop");
        assert_eq!(root(0, "/run/user/1000", other, true), "/run/user/1000/orlop");
        assert_eq!(root(0, "/run/user/1000", None, true), "/run/user/1000/orlop");
        assert_eq!(root(0, "/run/user/1000", root_user, true), "/run/orlop");
    }

    #[test]
    fn spec_and_list_have_defaults() {
        let here = std::env::current_dir().unwrap();
        assert!(matches!(command("spec"), Command::Spec { bundle, rootless: false } if bundle == here));
        assert!(matches!(command("spec -b /b --rootless"), Command::Spec { rootless: true, .. }));
        assert!(matches!(command("list"), Command::List { format: list::Format::Table, quiet: false }));
        assert!(matches!(command("list -f json -q"), Command::List { format: list::Format::Json, quiet: true }));
    }
}
