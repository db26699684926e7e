//! Makes manual pages of the command line's definitions: `manual DIR`.
#![allow(missing_docs)]

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(dir) = std::env::args_os().nth(1) else {
        eprintln!("usage: manual DIR");
        return ExitCode::FAILURE;
    };
    match fs::create_dir_all(&dir).and_then(|()| manual(Path::new(&dir))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", dir.display());
            ExitCode::FAILURE
        }
    }
}

/// One page for the program and one for each command, `orlop-run.8` and so on, as runc has them.
fn manual(dir: &Path) -> io::Result<()> {
    let mut all = orlop::cli::definitions().disable_help_subcommand(true);
    all.build();
    page(dir, all.clone(), "orlop")?;
    all.get_subcommands().try_for_each(|command| page(dir, command.clone(), &format!("orlop-{}", command.get_name())))
}

fn page(dir: &Path, command: clap::Command, name: &str) -> io::Result<()> {
    let mut text = Vec::new();
    let page = clap_mangen::Man::new(command.display_name(name.to_owned()));
    page.title(name).section("8").manual("System administration").date("").render(&mut text)?;
    fs::write(dir.join(format!("{name}.8")), text)
}
