//! The `orlop` program: understand the command line, do the one thing that it says, say once what failed.

use std::io::{self, Write};
use std::process::ExitCode;

use dlmalloc::GlobalDlmalloc;
use orlop::cli::{self, Command, Invocation, Refusal, Stop};
use orlop::error::{Annotate, Context, Error, Result};
use orlop::log::{self, Log};
use orlop::{
    caller, checkpoint, create, delete, events, exec, features, kill, list, mounts, own_binary, pause, ps, restore,
    run, spec, start, state, timeline, update,
};

/// musl's own allocator asks the kernel for memory, or gives some back, ninety times in a `run`; this one does at a handful of times.
#[global_allocator]
static ALLOCATOR: GlobalDlmalloc = GlobalDlmalloc;

fn main() -> ExitCode {
    caller::settle_signals();
    own_binary::protect_early(std::env::args_os());
    match cli::parse(std::env::args_os()) {
        Ok(invocation) => obey(&invocation),
        Err(Stop::Answer(text)) => answer(&text),
        Err(Stop::Refusal(refusal)) => refuse(&refusal),
    }
}

fn obey(invocation: &Invocation) -> ExitCode {
    let log = match Log::open(&invocation.log) {
        Ok(log) => log,
        Err(error) => return fail(&Log::to_stderr(), &error.to_string()),
    };
    match execute_timed(invocation) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            log.failure(&in_runcs_words(&invocation.command, &error));
            failure_of(&invocation.command)
        }
    }
}

/// A command that failed has a timeline too, which says where.
fn execute_timed(invocation: &Invocation) -> Result<u8> {
    let recording = invocation.timeline.clone().map(timeline::begin).transpose()?;
    let done = execute(invocation);
    let written = recording.map_or(Ok(()), timeline::Recording::finish);
    let code = done?;
    written.map(|()| code)
}

fn execute(invocation: &Invocation) -> Result<u8> {
    let root = &invocation.root;
    match &invocation.command {
        Command::Create(options) => own_binary::protect().and_then(|()| create::create(options))?,
        Command::Run(options) => return own_binary::protect().and_then(|()| run::run(options)),
        Command::Start { id } => start::start(root, id)?,
        Command::State { id } => print(&state::state(root, id)?)?,
        Command::Kill { id, signal, all } => kill::kill(root, id, signal, *all)?,
        Command::Delete { id, force } => delete::delete(root, id, *force)?,
        Command::Exec(options) => return own_binary::protect().and_then(|()| exec::exec(options)),
        Command::Ps { id, format, options } => print(&ps::ps(root, id, *format, options)?)?,
        Command::AddMounts { id, file } => own_binary::protect().and_then(|()| mounts::add(root, id, file))?,
        Command::RemoveMounts { id, file } => own_binary::protect().and_then(|()| mounts::remove(root, id, file))?,
        Command::Events { id, manner } => events::events(root, id, *manner, print)?,
        Command::Update { id, source, schemata } => update::update(root, id, source, schemata)?,
        Command::Pause { id } => pause::pause(root, id)?,
        Command::Resume { id } => pause::resume(root, id)?,
        Command::List { format, quiet } => print(&list::list(root, *format, *quiet, invocation.explicit_root)?)?,
        Command::Checkpoint(options) => checkpoint::checkpoint(options)?,
        Command::Restore(options) => return own_binary::protect().and_then(|()| restore::restore(options)),
        Command::Spec { bundle, rootless } => spec::spec(bundle, *rootless)?,
        Command::Completion { script } => print(script)?,
        Command::Features => print(&features::features()?)?,
    }
    Ok(0)
}

/// Engines show the message as it is, so two commands say that it was they who failed.
fn in_runcs_words(command: &Command, error: &Error) -> String {
    match command {
        Command::Create(_) => format!("orlop create failed: {error}"),
        Command::Run(_) => format!("orlop run failed: {error}"),
        Command::Exec(_) => format!("exec failed: {error}"),
        _ => error.to_string(),
    }
}

/// Whoever runs a process in a container tells its exit code from a failure to run it, as with runc.
fn failure_of(command: &Command) -> ExitCode {
    if matches!(command, Command::Exec(_)) { ExitCode::from(u8::MAX) } else { ExitCode::FAILURE }
}

fn answer(text: &str) -> ExitCode {
    match print(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&Log::to_stderr(), &error.to_string()),
    }
}

fn refuse(refusal: &Refusal) -> ExitCode {
    let log = Log::open(&refusal.log).unwrap_or_else(|error| {
        log::say(&format!("{error}\n"));
        Log::to_stderr()
    });
    log::say(&refusal.notice);
    if let Err(error) = print(&refusal.help) {
        log::say(&format!("{error}\n"));
    }
    log.failure(&refusal.message);
    ExitCode::from(refusal.code)
}

fn fail(log: &Log, message: &str) -> ExitCode {
    log.failure(message);
    ExitCode::FAILURE
}

fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).call("write").doing(|| "print")
}
