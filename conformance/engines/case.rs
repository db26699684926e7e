//! A case: a script, and what a user is to see.

/// One script and one expectation.
pub(crate) struct Case {
    /// Its name, after the engine's.
    pub name: &'static str,
    /// For `sh -eu`. `$N` is a name of the case's own: a container, volume, pod or network that is called so is removed at the end, and
    /// so are those whose names begin so. `$I` is the image: busybox. `soon 'COMMAND'` waits until the command succeeds.
    pub script: &'static str,
    /// What is to be seen.
    pub expect: Expect,
    /// Cgroup controllers, and other things that not every machine has: see `Machine::has`.
    pub needs: &'static [&'static str],
    /// Whether it is one of the selection that `make test` runs.
    pub quick: bool,
    /// Whether nothing else may run meanwhile.
    pub alone: bool,
}

/// What is to be seen.
pub(crate) enum Expect {
    /// This on standard output, without the last newline, and success.
    Prints(&'static str),
    /// This somewhere on standard output, and success.
    Has(&'static str),
    /// This exit code.
    Exits(i32),
    /// This exit code, and this somewhere on standard error.
    Fails(i32, &'static str),
}

impl Case {
    /// # Errors
    /// When what was seen is something else.
    pub(crate) fn check(&self, code: Option<i32>, stdout: &str, stderr: &str) -> Result<(), String> {
        let expected = match self.expect {
            Expect::Prints(text) => {
                (code == Some(0) && stdout.trim_end() == text).then_some(()).ok_or(format!("to print {text:?}"))
            }
            Expect::Has(text) => {
                (code == Some(0) && stdout.contains(text)).then_some(()).ok_or(format!("{text:?} in what it prints"))
            }
            Expect::Exits(status) => (code == Some(status)).then_some(()).ok_or(format!("exit code {status}")),
            Expect::Fails(status, text) => (code == Some(status) && stderr.contains(text))
                .then_some(())
                .ok_or(format!("exit code {status} and {text:?} on standard error")),
        };
        expected.map_err(|what| {
            let code = code.map_or("the time limit".into(), |code| code.to_string());
            format!("expected {what}\n$ {}\nexit {code}\nstdout: {stdout}\nstderr: {stderr}", self.script.trim())
        })
    }

    pub(crate) const fn needs(mut self, needs: &'static [&'static str]) -> Self {
        self.needs = needs;
        self
    }

    /// Has it in the selection of `make test`.
    pub(crate) const fn quick(mut self) -> Self {
        self.quick = true;
        self
    }

    /// Has nothing else run meanwhile.
    pub(crate) const fn alone(mut self) -> Self {
        self.alone = true;
        self
    }
}

const fn case(name: &'static str, script: &'static str, expect: Expect) -> Case {
    Case { name, script, expect, needs: &[], quick: false, alone: false }
}

pub(crate) const fn prints(name: &'static str, script: &'static str, text: &'static str) -> Case {
    case(name, script, Expect::Prints(text))
}

pub(crate) const fn has(name: &'static str, script: &'static str, text: &'static str) -> Case {
    case(name, script, Expect::Has(text))
}

pub(crate) const fn exits(name: &'static str, script: &'static str, status: i32) -> Case {
    case(name, script, Expect::Exits(status))
}

pub(crate) const fn fails(name: &'static str, script: &'static str, status: i32, text: &'static str) -> Case {
    case(name, script, Expect::Fails(status, text))
}
