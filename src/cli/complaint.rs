//! What is said about a command line that cannot be understood, in runc's words where callers look for them.

use std::ffi::OsStr;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::argv::Argv;
use super::words::Line;
use super::{Refusal, Stop, set, version};
use crate::log;

/// Why the parser did not understand: because it was asked for help, or for a fault.
pub(super) fn misread(error: &clap::Error, argv: &Argv) -> Stop {
    match error.kind() {
        ErrorKind::DisplayHelp => Stop::Answer(error.render().to_string()),
        ErrorKind::DisplayVersion => Stop::Answer(version()),
        ErrorKind::InvalidSubcommand => {
            let word = context(error, ContextKind::InvalidSubcommand).unwrap_or_default();
            refuse(argv, String::new(), String::new(), format!("No help topic for '{word}'"), 3)
        }
        _ => {
            let message = complaint(error);
            let notice = format!("Incorrect Usage: {message}\n\n");
            refuse(argv, notice, help(argv.command.as_deref()), message, 1)
        }
    }
}

/// The parser's complaint in runc's words, which callers look for.
fn complaint(error: &clap::Error) -> String {
    let flag = context(error, ContextKind::InvalidArg).unwrap_or_default();
    let flag = flag.split([' ', '=']).next().unwrap_or_default();
    let value = context(error, ContextKind::InvalidValue).unwrap_or_default();
    match error.kind() {
        ErrorKind::UnknownArgument => {
            format!("flag provided but not defined: -{}", flag.trim_start_matches('-'))
        }
        ErrorKind::InvalidValue if value.is_empty() => format!("flag needs an argument: {flag}"),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation | ErrorKind::TooManyValues => {
            format!("invalid value \"{value}\" for flag -{}: parse error", flag.trim_start_matches('-'))
        }
        _ => error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned(),
    }
}

fn context(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text),
        _ => None,
    }
}

/// A refusal, said to the log that was asked for as far as that can be told.
pub(super) fn refuse(argv: &Argv, notice: String, help: String, message: String, code: u8) -> Stop {
    let format = argv.last_value("--log-format").and_then(|name| log::Format::parse(name).ok());
    let file = set(argv.last_value("--log").map(OsStr::to_owned));
    let log = log::Options { file, format, debug: false };
    Stop::Refusal(Box::new(Refusal { log, notice, help, message, code }))
}

/// The help of a command, or of all when there is no such command.
pub(super) fn help(command: Option<&str>) -> String {
    let mut line = Line::with_all();
    line.build();
    match command.and_then(|name| line.find_subcommand_mut(name)) {
        Some(command) => command.render_help().to_string(),
        None => Line::with_all().render_help().to_string(),
    }
}
