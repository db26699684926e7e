//! Callers write flags as Go programs read them; this rewrites a command line into the one spelling that the parser knows.
//!
//! | a caller may write | it becomes |
//! |---|---|
//! | `-root X`, `--root X`, `-root=X` | `--root=X`, also when X begins with a dash |
//! | `-no-subreaper` | `--no-subreaper` |
//! | `--systemd-cgroup=true`, `=1`, `=T` | `--systemd-cgroup` |
//! | `--force=false`, `=0`, `=F` | nothing, and an earlier `--force` goes too |
//! | `kill ID -9`, `exec ID ls -l` | `kill -- ID -9`, `exec -- ID ls -l`: what follows the id is left alone |
//!
//! It owns spelling alone: an unknown flag passes through for the parser to refuse.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// The flags that take a value. (`-f` is missing: it is a switch of `delete` and takes a value in `list` and `ps`.)
pub(super) const VALUES: &[&str] = &[
    "additional-gids",
    "apparmor",
    "b",
    "blkio-weight",
    "bundle",
    "c",
    "cap",
    "cgroup",
    "cgroup-manager",
    "console-socket",
    "cpu-burst",
    "cpu-idle",
    "cpu-period",
    "cpu-quota",
    "cpu-rt-period",
    "cpu-rt-runtime",
    "cpu-share",
    "cpuset-cpus",
    "cpuset-mems",
    "cwd",
    "e",
    "empty-ns",
    "env",
    "format",
    "g",
    "image-path",
    "interval",
    "kernel-memory",
    "kernel-memory-tcp",
    "l3-cache-schema",
    "log",
    "log-format",
    "log-level",
    "lsm-mount-context",
    "lsm-profile",
    "manage-cgroups-mode",
    "mem-bw-schema",
    "memory",
    "memory-reservation",
    "memory-swap",
    "network-lock",
    "p",
    "page-server",
    "parent-path",
    "pid-file",
    "pidfd-socket",
    "pids-limit",
    "preserve-fds",
    "process",
    "process-label",
    "r",
    "resources",
    "root",
    "rootless",
    "status-fd",
    "timeline",
    "u",
    "user",
    "work-path",
];

/// The flags that are on or off. (`--rootless` is one in `spec` and takes a value before the command. `--no-new-privs` is
/// missing: off is something else than not given there, and the parser takes its value.)
pub(super) const SWITCHES: &[&str] = &[
    "a",
    "all",
    "auto-dedup",
    "d",
    "debug",
    "detach",
    "ext-unix-sk",
    "f",
    "file-locks",
    "force",
    "ignore-paused",
    "keep",
    "lazy-pages",
    "leave-running",
    "link-remap",
    "no-new-keyring",
    "no-pivot",
    "no-subreaper",
    "pre-dump",
    "q",
    "quiet",
    "shell-job",
    "stats",
    "systemd-cgroup",
    "t",
    "tcp-close",
    "tcp-established",
    "tcp-skip-in-flight",
    "tty",
];

/// The commands whose first word that is no flag ends the flags, because what follows it belongs to somebody else.
const OPAQUE: &[&str] = &["exec", "kill", "ps"];

/// A command line in the parser's spelling.
#[derive(Debug)]
pub(super) struct Argv {
    /// The words, the program's name first.
    pub(super) words: Vec<OsString>,
    /// The first word that is no flag.
    pub(super) command: Option<String>,
}

impl Argv {
    /// The last value given for a flag before the command line was understood as a whole.
    pub(super) fn last_value(&self, flag: &str) -> Option<&OsStr> {
        self.words.iter().rev().find_map(|word| {
            let value = word.as_bytes().strip_prefix(flag.as_bytes())?.strip_prefix(b"=")?;
            Some(OsStr::from_bytes(value))
        })
    }
}

/// Rewrites the words of a command line; the first one is the program's name.
pub(super) fn normalise(args: impl IntoIterator<Item = OsString>) -> Argv {
    let mut args = args.into_iter();
    let mut argv = Argv { words: Vec::from_iter(args.next()), command: None };
    while let Some(arg) = args.next() {
        match split(&arg) {
            Some((name, value)) => argv.flag(name, value, &mut args),
            None if arg == "--" || argv.command.as_deref().is_some_and(|command| OPAQUE.contains(&command)) => {
                argv.words.push("--".into());
                argv.words.extend((arg != "--").then_some(arg));
                argv.words.extend(args.by_ref());
            }
            None => {
                argv.command.get_or_insert_with(|| arg.to_string_lossy().into_owned());
                argv.words.push(arg);
            }
        }
    }
    argv
}

/// The name and the attached value of a flag; nothing when the word is not a flag.
fn split(arg: &OsStr) -> Option<(&str, Option<&OsStr>)> {
    let bytes = arg.as_bytes().strip_prefix(b"-")?;
    let bytes = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let (name, value) = match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) => (&bytes[..at], Some(OsStr::from_bytes(&bytes[at + 1..]))),
        None => (bytes, None),
    };
    let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty())?;
    Some((name, value))
}

impl Argv {
    fn flag(&mut self, name: &str, value: Option<&OsStr>, rest: &mut impl Iterator<Item = OsString>) {
        let flag = if name.len() == 1 { format!("-{name}") } else { format!("--{name}") };
        match value.map(OsStr::to_owned) {
            Some(value) => self.valued(name, flag, &value),
            None if self.takes_a_value(name) => match rest.next() {
                Some(value) => self.push(flag, &value),
                None => self.words.push(flag.into()),
            },
            None => self.words.push(flag.into()),
        }
    }

    fn takes_a_value(&self, name: &str) -> bool {
        match name {
            "f" => matches!(self.command.as_deref(), Some("list" | "ps")),
            "rootless" => self.command.is_none(),
            _ => VALUES.contains(&name),
        }
    }

    fn is_a_switch(&self, name: &str) -> bool {
        SWITCHES.contains(&name) || (name == "rootless" && self.command.is_some())
    }

    fn valued(&mut self, name: &str, flag: String, value: &OsStr) {
        match boolean(value).filter(|_| self.is_a_switch(name)) {
            Some(true) => self.words.push(flag.into()),
            Some(false) => self.words.retain(|word| *word != *flag),
            None => self.push(flag, value),
        }
    }

    fn push(&mut self, flag: String, value: &OsStr) {
        let mut word = OsString::from(flag);
        word.push("=");
        word.push(value);
        self.words.push(word);
    }
}

/// A truth value as Go's `strconv.ParseBool` reads it.
pub(super) fn boolean(value: &OsStr) -> Option<bool> {
    match value.to_str()? {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(line: &str) -> String {
        let args = std::iter::once("orlop").chain(line.split(' ')).map(OsString::from);
        let words = normalise(args).words;
        words[1..].iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn one_dash_or_two() {
        assert_eq!(normal("-root /r create -bundle /b id"), "--root=/r create --bundle=/b id");
        assert_eq!(normal("restore -no-subreaper id"), "restore --no-subreaper id");
        assert_eq!(normal("-b=/b -d -h -v"), "-b=/b -d -h -v");
    }

    #[test]
    fn a_value_is_the_next_word_whatever_it_is() {
        assert_eq!(normal("create --bundle --pid-file id"), "create --bundle=--pid-file id");
        assert_eq!(normal("create --bundle --"), "create --bundle=--");
        assert_eq!(normal("create --bundle"), "create --bundle");
    }

    #[test]
    fn switches_with_values() {
        assert_eq!(normal("--systemd-cgroup=true delete -f=T id"), "--systemd-cgroup delete -f id");
        assert_eq!(normal("delete --force --force=false id"), "delete id");
        assert_eq!(normal("delete --force=false --force id"), "delete --force id");
        assert_eq!(normal("delete --force=maybe id"), "delete --force=maybe id");
        assert_eq!(normal("list -f=json"), "list -f=json");
    }

    #[test]
    fn rootless_has_a_value_before_the_command_and_none_after() {
        assert_eq!(normal("--rootless auto spec --rootless"), "--rootless=auto spec --rootless");
        assert_eq!(normal("--rootless=true spec --rootless=true"), "--rootless=true spec --rootless");
    }

    #[test]
    fn flags_may_follow_the_id_except_in_kill() {
        assert_eq!(normal("delete id -force"), "delete id --force");
        assert_eq!(normal("kill -all id -9"), "kill --all -- id -9");
        assert_eq!(normal("kill -- id 9"), "kill -- id 9");
    }

    #[test]
    fn what_follows_the_id_of_exec_and_ps_is_left_alone() {
        assert_eq!(normal("exec -tty -e A=B id ls -root x -- -e"), "exec --tty -e=A=B -- id ls -root x -- -e");
        assert_eq!(normal("exec -d=true -no-new-privs=false id ls"), "exec -d --no-new-privs=false -- id ls");
        assert_eq!(normal("exec --process /p --detach id"), "exec --process=/p --detach -- id");
        assert_eq!(normal("ps -f json id -ef"), "ps -f=json -- id -ef");
        assert_eq!(normal("exec -- id ls"), "exec -- id ls");
    }

    #[test]
    fn two_dashes_end_the_flags() {
        assert_eq!(normal("state -- -root"), "state -- -root");
    }

    #[test]
    fn unknown_flags_and_a_lone_dash_pass_through() {
        assert_eq!(normal("create -bogus=1 --nope id"), "create --bogus=1 --nope id");
        assert_eq!(normal("state -"), "state -");
    }

    #[test]
    fn the_command_is_the_first_word_that_is_no_flag_or_value() {
        let argv = normalise(["orlop", "--root", "x", "--debug", "state", "y"].map(OsString::from));
        assert_eq!(argv.command.as_deref(), Some("state"));
    }

    #[test]
    fn the_last_value_of_a_flag_counts() {
        let argv = normalise(["orlop", "--log", "a", "-log=b", "--log-format", "json"].map(OsString::from));
        assert_eq!(argv.last_value("--log"), Some(OsStr::new("b")));
        assert_eq!(argv.last_value("--log-format"), Some(OsStr::new("json")));
        assert_eq!(argv.last_value("--root"), None);
    }

    #[test]
    fn words_need_not_be_utf8() {
        let odd = OsStr::from_bytes(b"/\xff");
        let argv = normalise(["orlop".into(), "--root".into(), odd.to_owned()]);
        assert_eq!(argv.last_value("--root"), Some(odd));
    }
}
