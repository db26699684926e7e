//! One session: the runtimes, where they work, and the order in which they are measured.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, set_child_subreaper};
use serde_json::Value;
use tempfile::TempDir;

use crate::Result;
use crate::cgroups::Cgroups;
use crate::configs::Configs;
use crate::container::{Container, Runtime, compile};
use crate::measured::Sampled;

/// Measured and not counted: what is read from disk or set up only once falls into these.
const WARM_UP: usize = 5;

const TRUE: &str = "int main(void) { return 0; }\n";

const PAUSE: &str = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n";

/// That many processes, the first one among them.
const CROWD: &str = "\
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	int more = argc == 2 ? atoi(argv[1]) - 1 : 0;
	while (more-- > 0 && fork() > 0) {}
	for (;;) pause();
}
";

/// `peak FILE PROGRAM ARGUMENT...` runs the program, and writes into the file how large it and its descendants got at most, in
/// KiB. The kernel counts to a process what it shared with its parent before its execve, so that parent has to be smaller than
/// what is measured.
const PEAK: &str = "\
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	int status;
	struct rusage usage;
	pid_t child = argc > 2 ? vfork() : -1;
	if (child == 0) { execv(argv[2], argv + 2); _exit(127); }
	if (child < 0 || wait4(child, &status, 0, &usage) != child) return 126;
	FILE *file = fopen(argv[1], \"w\");
	if (!file || fprintf(file, \"%ld\", usage.ru_maxrss) < 0 || fclose(file)) return 125;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 124;
}
";

/// Everything that a measurement needs.
pub struct Session {
    /// In the order in which they were named.
    pub runtimes: Vec<Runtime>,
    /// What their containers are configured with.
    pub configs: Configs,
    /// How often the cheapest things are measured; the others as often as the time allows.
    pub rounds: usize,
    /// The program `PEAK`.
    pub peak: PathBuf,
    /// Ended and removed when the session ends.
    pub cgroups: Cgroups,
    _scratch: [TempDir; 2],
}

impl Session {
    /// Makes the directories, programs and configs.
    pub fn open(programs: Vec<(String, PathBuf)>, rounds: usize) -> Result<Self> {
        let scratch = tempfile::Builder::new().prefix("orlop-bench-").tempdir()?;
        let states = tempfile::Builder::new().prefix("orlop-bench-").tempdir_in("/dev/shm")?;
        // A container's init becomes our child when its `create` ends, so that its end can be waited for.
        set_child_subreaper(Pid::from_raw(1))?;
        let inside = [
            compile("musl-gcc", scratch.path(), "true", TRUE)?,
            compile("cc", scratch.path(), "true-gnu", TRUE)?,
            compile("musl-gcc", scratch.path(), "pause", PAUSE)?,
            compile("musl-gcc", scratch.path(), "crowd", CROWD)?,
        ];
        let runtime = |(name, program): (String, PathBuf)| -> Result<Runtime> {
            let directory = scratch.path().join(format!("for-{name}"));
            let rootfs = directory.join("rootfs");
            furnish(&rootfs, &inside)?;
            Ok(Runtime { state: states.path().join(&name), bundles: directory.join("bundles"), name, program, rootfs })
        };
        let runtimes = programs.into_iter().map(runtime).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            configs: Configs::new(&runtimes[0].program, scratch.path())?,
            runtimes,
            rounds,
            peak: compile("musl-gcc", scratch.path(), "peak", PEAK)?,
            cgroups: Cgroups::create()?,
            _scratch: [scratch, states],
        })
    }

    /// A part of the rounds, for what takes longer; at least two.
    pub fn rounds_over(&self, divisor: usize) -> usize {
        (self.rounds / divisor).max(2)
    }

    /// A container of each runtime that can do what is asked, by the name of a config's bundle.
    pub fn containers(&self, peers: Peers, id: &str, config: &Value) -> Result<Vec<Container<'_>>> {
        let asked = self.runtimes.iter().filter(|runtime| peers.include(&runtime.name));
        asked.map(|runtime| Container::new(runtime, id, config)).collect()
    }
}

/// With whom something is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peers {
    /// Everybody, the floor too.
    All,
    /// Every runtime.
    Runtimes,
    /// Without runc, where it would take most of the session and no goal is about it.
    WithoutRunc,
    /// The same with the floor.
    FloorWithoutRunc,
}

impl Peers {
    fn include(self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Runtimes => name != "floor",
            Self::FloorWithoutRunc => name != "runc",
            Self::WithoutRunc => name != "floor" && name != "runc",
        }
    }
}

/// As many files and directories there are to be masked.
const MASKED: usize = 256;

/// What each runtime's containers are made of.
fn furnish(rootfs: &Path, programs: &[PathBuf]) -> Result<()> {
    for directory in ["bin", "dev", "etc", "proc", "run", "sys"] {
        fs::create_dir_all(rootfs.join(directory))?;
    }
    for i in 0..MASKED {
        let path = rootfs.join("masked").join(i.to_string());
        if i % 2 == 0 { fs::create_dir_all(path)? } else { fs::write(path, "")? }
    }
    for program in programs {
        fs::copy(program, rootfs.join("bin").join(program.file_name().ok_or("a program has a name")?))?;
    }
    Ok(())
}

/// Measures one thing with each runtime's container in turn. Each round starts with another one: what one leaves to the kernel,
/// such as the end of a network namespace, falls into the time of the next.
///
/// A peer that can't do it is left out, with its reason on standard error.
///
/// # Errors
/// When Orlop can't.
pub fn interleaved<'a>(
    containers: &[Container<'a>],
    rounds: usize,
    measure: impl Fn(&Container<'a>) -> Result<Duration>,
) -> Result<Vec<Sampled>> {
    let mut able = Vec::new();
    for container in containers {
        match measure(container) {
            Ok(_) => able.push((container, Vec::new())),
            Err(error) if container.runtime.name == "orlop" => return Err(error),
            Err(error) => eprintln!("compare: without {}: {error}", container.runtime.name),
        }
    }
    let warm_up = WARM_UP.min(rounds);
    for round in 0..rounds + warm_up {
        for turn in 0..able.len() {
            let i = (round + turn) % able.len();
            let time = measure(able[i].0)?;
            if round >= warm_up {
                able[i].1.push(time.as_secs_f64() * 1e3);
            }
        }
    }
    Ok(able.into_iter().map(|(container, times)| Sampled::new(&container.runtime.name, times)).collect())
}
