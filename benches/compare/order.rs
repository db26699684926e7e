//! Which functions of Orlop's are used where containers start and end, for the linker: `make order`, docs/decisions/0016-order.md.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::Result;
use crate::configs::with_program;
use crate::container::{Container, compile, timed, under};
use crate::session::{Peers, Session};

const ENTERED: &str = include_str!("../entered.c");

/// Whose process enters a function. In memory the functions are in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    /// The program's, before it starts over, and once more after that.
    Start,
    /// The container's, on its way to its program. Often the runtime's own too.
    Container,
    /// Only the runtime's own.
    Runtime,
}

/// Writes the linker's script: the functions that `run`, `create`, `start`, `exec`, `state`, `kill` and `delete` enter, with the default
/// config and with Docker's.
///
/// The program has to have its symbols.
pub fn write(script: &Path, program: &Path) -> Result<()> {
    let program = fs::canonicalize(program)?;
    let session = Session::open(vec![("orlop".to_owned(), program.clone())], 1)?;
    let scratch = tempfile::Builder::new().prefix("orlop-order-").tempdir()?;
    let functions = Functions::of(&program)?;
    let tracer = Tracer::new(scratch.path(), &functions)?;

    // Where the home directory comes from when no variable says it.
    fs::write(session.runtimes[0].rootfs.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    let mut used = BTreeMap::new();
    let docker = session.configs.engines.iter().find(|(name, _)| *name == "Docker").ok_or("Docker's config")?;
    for config in [&session.configs.default, &docker.1] {
        let [run] = containers(&session, "run", config)?;
        used = functions.used(used, &tracer.trace(&run.run_command())?)?;
        let [container] = containers(&session, "waits", &with_program(config, &["/bin/pause"]))?;
        for command in [
            container.create_command(),
            container.command(&["start"]),
            container.exec_command(),
            container.command(&["state"]),
            container.kill_command("9"),
        ] {
            used = functions.used(used, &tracer.trace(&command)?)?;
        }
        container.ended()?;
        used = functions.used(used, &tracer.trace(&container.command(&["delete"]))?)?;
    }
    fs::write(script, linker_script(&used)?)?;
    println!("{}: {} functions", script.display(), used.len());
    Ok(())
}

fn containers<'a>(session: &'a Session, id: &str, config: &Value) -> Result<[Container<'a>; 1]> {
    session.containers(Peers::Runtimes, id, config)?.try_into().map_err(|_| "one runtime, please".into())
}

/// Finds out which functions a command enters.
struct Tracer {
    program: PathBuf,
    functions: PathBuf,
    output: PathBuf,
}

impl Tracer {
    fn new(scratch: &Path, functions: &Functions) -> Result<Self> {
        let addresses = scratch.join("functions");
        let lines: Vec<String> = functions.0.keys().map(|address| format!("{address:x}")).collect();
        fs::write(&addresses, lines.join("\n"))?;
        Ok(Self {
            program: compile("cc", scratch, "entered", ENTERED)?,
            functions: addresses,
            output: scratch.join("output"),
        })
    }

    /// What `entered.c` wrote.
    fn trace(&self, command: &Command) -> Result<String> {
        let mut tracer = Command::new(&self.program);
        tracer.arg(&self.output).arg(&self.functions);
        timed(under(tracer, command))?;
        Ok(fs::read_to_string(&self.output)?)
    }
}

/// The functions of a program by where they begin.
struct Functions(BTreeMap<u64, String>);

impl Functions {
    fn of(program: &Path) -> Result<Self> {
        let Output { status, stdout, .. } = Command::new("nm").arg("--defined-only").arg(program).output()?;
        let text = String::from_utf8(stdout)?;
        let mut functions = BTreeMap::new();
        for line in text.lines() {
            if let [address, "t" | "T" | "w" | "W", name] = *line.split_whitespace().collect::<Vec<_>>() {
                functions.insert(u64::from_str_radix(address, 16)?, name.to_owned());
            }
        }
        if functions.is_empty() {
            return Err(format!("nm found no functions in {}: {status}", program.display()).into());
        }
        Ok(Self(functions))
    }

    /// Those known to be used, and the ones that were entered now.
    fn used(&self, mut used: BTreeMap<String, Whose>, entered: &str) -> Result<BTreeMap<String, Whose>> {
        for line in entered.lines() {
            let (whose, address) = line.split_once(' ').ok_or("a line without an address")?;
            let whose = match whose {
                "s" => Whose::Start,
                "c" => Whose::Container,
                _ => Whose::Runtime,
            };
            let name = self.0.get(&u64::from_str_radix(address, 16)?).ok_or("no function begins there")?;
            let known = used.entry(in_any_build(name)).or_insert(whose);
            *known = whose.min(*known);
        }
        Ok(used)
    }
}

/// A pattern for the name of a function in whatever build: a mangled name has hashes of the crates in it (`Cs…_`, rustc's book,
/// "v0 Symbol Format"), and the optimiser marks a function that it made visible.
fn in_any_build(name: &str) -> String {
    let name = name.split(".llvm.").next().unwrap_or(name);
    let mut parts = name.split("Cs");
    let mut pattern = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let hash = part.split_once('_').filter(|(hash, rest)| {
            hash.len() >= 8
                && hash.chars().all(|c| c.is_ascii_alphanumeric())
                && rest.starts_with(|c: char| c.is_ascii_digit())
        });
        pattern.push_str("Cs");
        pattern.push_str(&hash.map_or_else(|| part.to_owned(), |(_, rest)| format!("*_{rest}")));
    }
    if name.starts_with("_R") { pattern + "*" } else { pattern }
}

fn linker_script(used: &BTreeMap<String, Whose>) -> Result<String> {
    let mut script = "\
/* In which order functions come in the program, so that the start of a container touches few of its pages. Made by `make order`, not to
   be edited; docs/decisions/0016-order.md says why. What is missing here, or is no longer there, does no harm but a page fault. */
SECTIONS
{
"
    .to_owned();
    for (whose, section, comment) in [
        (Whose::Start, "start", "What the program enters before it starts over, and once more after that."),
        (Whose::Container, "container", "What the container's process enters on its way to its program."),
        (Whose::Runtime, "runtime", "What only the runtime's own process enters."),
    ] {
        writeln!(script, "  /* {comment} */\n  .text.{section} : {{")?;
        for (name, _) in used.iter().filter(|(name, of)| **of == whose && name.starts_with("_R")) {
            // Perhaps `.text.unlikely`.
            writeln!(script, "    *(.text*{name})")?;
        }
        if whose == Whose::Start {
            writeln!(script, "    *self-contained/crt1.o(.text .text.*)")?;
            writeln!(script, "    *(.text.main)")?;
            // musl's functions are small, few, and wanted everywhere. In an archive that was compiled without a section for each.
            writeln!(script, "    *self-contained/libc.a:*(.text .text.*)")?;
        }
        writeln!(script, "  }}")?;
    }
    script.push_str("}\nINSERT BEFORE .text;\n");
    Ok(script)
}
