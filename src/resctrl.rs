//! resctrl, through which the kernel gives out shares of caches and of the memory's bandwidth: the groups that a container is in.
//!
//! Owns every path below that mount. Knows neither bundles nor what happens inside a container.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use crate::error::{Annotate, Context, Error, Result};
use crate::plan::{Class, IntelRdt, Shares, shares_agree};

/// The groups that a container's processes are in, as the state remembers them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Groups {
    /// The class of service.
    pub class: PathBuf,
    /// The monitoring group in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitor: Option<PathBuf>,
}

/// The groups of a container under way: those that were made for it are removed when this is dropped, unless they are kept.
#[derive(Debug)]
pub struct NewGroups {
    groups: Groups,
    /// Whether the class is the container's own, and was there already when it is not.
    own: bool,
    made: Vec<PathBuf>,
}

impl NewGroups {
    /// Makes the groups that are missing, and gives their class its shares. `note` is told of each that `delete` will have to
    /// remove, before it is made.
    ///
    /// # Errors
    /// Names the field of `linux.intelRdt`, with the kernel's own words where it has any.
    pub fn make(plan: &IntelRdt, note: impl Fn(&Path) -> Result<()>) -> Result<Self> {
        let new = Self::make_missing(plan, note)?;
        new.give_shares(plan)?;
        Ok(new)
    }

    /// [`Self::make`], where the config has `linux.intelRdt`.
    pub fn make_if_asked(plan: Option<&IntelRdt>, note: impl Fn(&Path) -> Result<()>) -> Result<Option<Self>> {
        plan.map(|plan| Self::make(plan, note)).transpose()
    }

    fn make_missing(plan: &IntelRdt, note: impl Fn(&Path) -> Result<()>) -> Result<Self> {
        let field = "linux.intelRdt.closID";
        let name = match &plan.class {
            Class::Own(name) | Class::Shared(name) | Class::Existing(name) => name.as_str(),
            Class::Default => "",
        };
        let class = if name.is_empty() { plan.root.clone() } else { plan.root.join(name) };
        let groups = Groups { class: class.clone(), monitor: None };
        let mut new = Self { groups, own: matches!(plan.class, Class::Own(_)), made: Vec::new() };
        match &plan.class {
            Class::Own(_) => new.make_own(class, &plan.root, &note).field("linux.intelRdt")?,
            Class::Shared(_) => new.own = make_dir(&class, &plan.root).field(field)?,
            Class::Existing(_) if !class.is_dir() => {
                let error = Error::call("open", Errno::NOENT).doing(class.display().to_string());
                return Err(error.hint("without shares in the config, the class has to be there already").field(field));
            }
            Class::Existing(_) | Class::Default => (),
        }
        if let Some(name) = &plan.monitor {
            let monitor = new.groups.class.join("mon_groups").join(name);
            new.groups.monitor = Some(monitor.clone());
            new.make_own(monitor, &plan.root, &note).field("linux.intelRdt.enableMonitoring")?;
        }
        Ok(new)
    }

    /// A group of that name that is there already is somebody else's, and would be removed with the container.
    fn make_own(&mut self, group: PathBuf, root: &Path, note: &impl Fn(&Path) -> Result<()>) -> Result<()> {
        let taken = || Error::call("mkdir", Errno::EXIST).doing(group.display().to_string());
        let hint = "a group of the container's name is there; linux.intelRdt.closID names one that others use too";
        if group.exists() {
            return Err(taken().hint(hint));
        }
        note(&group)?;
        if !make_dir(&group, root)? {
            return Err(taken().hint(hint));
        }
        self.made.push(group);
        Ok(())
    }

    fn give_shares(&self, plan: &IntelRdt) -> Result<()> {
        let file = self.groups.class.join("schemata");
        plan.shares.iter().try_for_each(|shares| self.give(shares, &file, &plan.root).field(shares.field))
    }

    fn give(&self, shares: &Shares, file: &Path, root: &Path) -> Result<()> {
        if shares.has_to_agree && !self.own {
            let existing = fs::read_to_string(file).call("read").doing(|| file.display().to_string())?;
            if !shares_agree(&shares.lines, &existing) {
                let text = format!("{} has other shares: {:?}", self.groups.class.display(), existing.trim());
                return Err(Error::new(text).hint("a class that exists is joined, and not changed, by this field"));
            }
        }
        write(file, &shares.lines).map_err(|error| with_kernels_words(error, root))
    }

    /// What the state has to remember.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// The container goes on living in them.
    pub fn keep(mut self) {
        self.made.clear();
    }
}

impl Drop for NewGroups {
    fn drop(&mut self) {
        while let Some(group) = self.made.pop() {
            remove(&group).unwrap_or_else(|error| tracing::warn!("{error}"));
        }
    }
}

/// What a class had before it was changed.
#[derive(Debug)]
pub struct Before {
    file: PathBuf,
    lines: String,
}

impl Before {
    /// Gives it that again.
    pub fn put_back(&self) -> Result<()> {
        write(&self.file, &self.lines)
    }
}

impl Groups {
    /// Gives the class of service other shares: all of them, or those that it had and an error.
    ///
    /// # Errors
    /// Names the field of `linux.intelRdt`, with the kernel's own words where it has any.
    pub fn change(&self, shares: &[Shares], root: &Path) -> Result<Before> {
        let file = self.class.join("schemata");
        let lines =
            fs::read_to_string(&file).call("read").doing(|| file.display().to_string()).field("linux.intelRdt")?;
        let before = Before { file, lines };
        for Shares { lines, field, .. } in shares {
            if let Err(error) = write(&before.file, lines) {
                let error = with_kernels_words(error, root).field(*field);
                return Err(match before.put_back() {
                    Ok(()) => error,
                    Err(failure) => Error::new(format!("{error}; and what it had could not be put back: {failure}")),
                });
            }
        }
        Ok(before)
    }

    /// Puts a process into them. What it makes from then on is in them too.
    ///
    /// # Errors
    /// Names `linux.intelRdt`. A group that somebody removed is no error: its processes are in the default one, and so is this.
    pub fn take_in(&self, pid: Pid) -> Result<()> {
        // The class first: to change it takes a process out of its monitoring group.
        [Some(&self.class), self.monitor.as_ref()].into_iter().flatten().try_for_each(|group| {
            match write(&group.join("tasks"), &pid.as_raw_nonzero().to_string()) {
                Err(error) if error.errno() == Some(Errno::NOENT) && !group.exists() => Ok(()),
                written => written.field("linux.intelRdt"),
            }
        })
    }
}

/// Removes a group that was made for a container. Gone already is as good.
pub fn remove(group: &Path) -> Result<()> {
    match rustix::fs::rmdir(group) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(Error::call("rmdir", errno).doing(group.display().to_string())),
    }
}

/// Whether it had to be made.
fn make_dir(group: &Path, root: &Path) -> Result<bool> {
    match rustix::fs::mkdir(group, rustix::fs::Mode::from_raw_mode(0o755)) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) if group.is_dir() => Ok(false),
        Err(errno) => {
            let error = Error::call("mkdir", errno).doing(group.display().to_string());
            Err(match errno {
                Errno::NOSPC => error.hint("the CPU has no more classes, or monitoring groups, to give"),
                Errno::NOENT => error.hint("this CPU can't monitor"),
                _ => with_kernels_words(error, root),
            })
        }
    }
}

/// In one write, as the kernel wants it.
fn write(file: &Path, text: &str) -> Result<()> {
    File::options()
        .write(true)
        .open(file)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .call("write")
        .doing(|| format!("{:?} to {}", text.trim_end(), file.display()))
}

/// resctrl says in a file what it didn't like.
fn with_kernels_words(error: Error, root: &Path) -> Error {
    match fs::read_to_string(root.join("info/last_cmd_status")) {
        Ok(text) if text.trim() != "ok" && !text.trim().is_empty() => error.hint(text.trim().to_owned()),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// A directory that stands for resctrl: the test does what the kernel does with a group that was made.
    struct Tree {
        dir: tempfile::TempDir,
        noted: RefCell<Vec<PathBuf>>,
    }

    impl Tree {
        fn new() -> Self {
            let tree = Self { dir: tempfile::tempdir().unwrap(), noted: RefCell::default() };
            fs::create_dir(tree.dir.path().join("info")).unwrap();
            fs::write(tree.dir.path().join("info/last_cmd_status"), "ok\n").unwrap();
            tree.fill("", "MB:0=100\nL3:0=fffff\n");
            tree
        }

        fn path(&self, below: &str) -> PathBuf {
            if below.is_empty() { self.dir.path().into() } else { self.dir.path().join(below) }
        }

        fn fill(&self, group: &str, schemata: &str) {
            fs::create_dir_all(self.path(group).join("mon_groups")).unwrap();
            fs::write(self.path(group).join("schemata"), schemata).unwrap();
            fs::write(self.path(group).join("tasks"), "").unwrap();
        }

        fn empty(&self, group: &str) {
            for file in ["schemata", "tasks"] {
                drop(fs::remove_file(self.path(group).join(file)));
            }
            drop(fs::remove_dir(self.path(group).join("mon_groups")));
        }

        fn read(&self, file: &str) -> String {
            fs::read_to_string(self.path(file)).unwrap()
        }

        fn plan(&self, class: Class, lines: &[(&str, bool)], monitor: bool) -> IntelRdt {
            let shares = |(lines, has_to_agree): &(&str, bool)| Shares {
                field: "linux.intelRdt.l3CacheSchema",
                lines: (*lines).into(),
                has_to_agree: *has_to_agree,
            };
            IntelRdt {
                root: self.path(""),
                class,
                shares: lines.iter().map(shares).collect(),
                monitor: monitor.then(|| "box".into()),
            }
        }

        fn make_missing(&self, plan: &IntelRdt) -> Result<NewGroups> {
            NewGroups::make_missing(plan, |group| {
                assert!(!group.exists(), "noted before it is made");
                self.noted.borrow_mut().push(group.into());
                Ok(())
            })
        }
    }

    fn own() -> Class {
        Class::Own("box".into())
    }

    #[test]
    fn a_class_of_its_own_is_made_noted_filled_and_removed() {
        let tree = Tree::new();
        let plan = tree.plan(own(), &[("L3:0=7f0\n", true)], false);
        let new = tree.make_missing(&plan).unwrap();
        assert_eq!(*tree.noted.borrow(), [tree.path("box")]);
        tree.fill("box", "L3:0=fffff\n");
        new.give_shares(&plan).unwrap();
        assert!(tree.read("box/schemata").starts_with("L3:0=7f0\n"));
        new.groups().take_in(Pid::from_raw(4321).unwrap()).unwrap();
        assert_eq!((tree.read("box/tasks"), tree.read("tasks")), ("4321".into(), String::new()));
        tree.empty("box");
        drop(new);
        assert!(!tree.path("box").exists());
    }

    #[test]
    fn what_is_kept_stays_until_it_is_removed() {
        let tree = Tree::new();
        let new = tree.make_missing(&tree.plan(own(), &[], false)).unwrap();
        new.keep();
        assert!(tree.path("box").is_dir());
        remove(&tree.path("box")).unwrap();
        remove(&tree.path("box")).unwrap();
        assert!(!tree.path("box").exists());
    }

    #[test]
    fn a_group_of_the_containers_name_is_not_taken_for_its_own() {
        let tree = Tree::new();
        tree.fill("box", "");
        let error = tree.make_missing(&tree.plan(own(), &[], false)).unwrap_err();
        assert_eq!((error.field_path(), error.errno()), (Some("linux.intelRdt"), Some(Errno::EXIST)));
        assert!(tree.noted.borrow().is_empty() && tree.path("box").is_dir());
    }

    #[test]
    fn a_shared_class_is_made_once_and_stays() {
        let tree = Tree::new();
        let plan = tree.plan(Class::Shared("gold".into()), &[("L3:0=f\n", true)], false);
        let first = tree.make_missing(&plan).unwrap();
        tree.fill("gold", "L3:0=fffff\n");
        first.give_shares(&plan).unwrap();
        drop(first);
        assert!(tree.noted.borrow().is_empty() && tree.path("gold").is_dir());
        // Whoever comes next has to want the same.
        tree.fill("gold", "L3:0=0000f\n");
        NewGroups::make(&plan, |_| unreachable!()).unwrap();
        tree.fill("gold", "L3:0=000ff\n");
        let error = NewGroups::make(&plan, |_| unreachable!()).unwrap_err().to_string();
        assert!(error.starts_with("linux.intelRdt.l3CacheSchema: ") && error.contains("has other shares"), "{error}");
        assert_eq!(tree.read("gold/schemata"), "L3:0=000ff\n");
    }

    #[test]
    fn what_need_not_agree_is_written() {
        let tree = Tree::new();
        tree.fill("gold", "");
        let plan = tree.plan(Class::Shared("gold".into()), &[("L3:0=f\nMB:0=10\n", false)], false);
        NewGroups::make(&plan, |_| unreachable!()).unwrap();
        assert_eq!(tree.read("gold/schemata"), "L3:0=f\nMB:0=10\n");
    }

    #[test]
    fn a_class_without_shares_has_to_be_there() {
        let tree = Tree::new();
        let plan = tree.plan(Class::Existing("gold".into()), &[], false);
        let error = NewGroups::make(&plan, |_| unreachable!()).unwrap_err();
        assert_eq!(error.field_path(), Some("linux.intelRdt.closID"));
        assert!(!tree.path("gold").exists());
        tree.fill("gold", "L3:0=f\n");
        let new = NewGroups::make(&plan, |_| unreachable!()).unwrap();
        assert_eq!(tree.read("gold/schemata"), "L3:0=f\n");
        assert_eq!(new.groups().class, tree.path("gold"));
    }

    #[test]
    fn the_default_class_is_the_root() {
        let tree = Tree::new();
        let new = NewGroups::make(&tree.plan(Class::Default, &[], false), |_| unreachable!()).unwrap();
        new.groups().take_in(Pid::from_raw(7).unwrap()).unwrap();
        assert_eq!(tree.read("tasks"), "7");
    }

    #[test]
    fn a_monitoring_group_is_the_containers_whosever_the_class_is() {
        let tree = Tree::new();
        tree.fill("gold", "");
        let plan = tree.plan(Class::Existing("gold".into()), &[], true);
        let new = tree.make_missing(&plan).unwrap();
        let monitor = tree.path("gold/mon_groups/box");
        assert_eq!(new.groups().monitor.as_ref(), Some(&monitor));
        assert_eq!(*tree.noted.borrow(), std::slice::from_ref(&monitor));
        fs::write(monitor.join("tasks"), "").unwrap();
        new.groups().take_in(Pid::from_raw(9).unwrap()).unwrap();
        assert_eq!((tree.read("gold/tasks"), tree.read("gold/mon_groups/box/tasks")), ("9".into(), "9".into()));
        fs::remove_file(monitor.join("tasks")).unwrap();
        drop(new);
        assert!(!monitor.exists() && tree.path("gold").is_dir());
    }

    #[test]
    fn without_monitoring_its_field_is_named() {
        let tree = Tree::new();
        fs::remove_dir(tree.path("mon_groups")).unwrap();
        let error = tree.make_missing(&tree.plan(Class::Default, &[], true)).unwrap_err();
        assert_eq!(error.field_path(), Some("linux.intelRdt.enableMonitoring"));
        assert!(error.to_string().ends_with("(this CPU can't monitor)"), "{error}");
    }

    #[test]
    fn the_kernels_words_are_told() {
        let tree = Tree::new();
        fs::write(tree.path("info/last_cmd_status"), "Mask f1 has non-consecutive 1-bits\n").unwrap();
        fs::remove_file(tree.path("schemata")).unwrap();
        let plan = tree.plan(Class::Default, &[("L3:0=f1\n", false)], false);
        let error = NewGroups::make(&plan, |_| unreachable!()).unwrap_err().to_string();
        assert!(error.ends_with("(Mask f1 has non-consecutive 1-bits)"), "{error}");
    }

    #[test]
    fn new_shares_are_written_and_the_old_ones_put_back() {
        let tree = Tree::new();
        tree.fill("gold", "L3:0=fffff\n");
        let groups = Groups { class: tree.path("gold"), monitor: None };
        let shares = tree.plan(own(), &[("L3:0=0000f\n", true)], false).shares;
        let before = groups.change(&shares, &tree.path("")).unwrap();
        assert_eq!(tree.read("gold/schemata"), "L3:0=0000f\n");
        before.put_back().unwrap();
        assert_eq!(tree.read("gold/schemata"), "L3:0=fffff\n");
        let gone = Groups { class: tree.path("gone"), monitor: None };
        assert_eq!(gone.change(&shares, &tree.path("")).unwrap_err().field_path(), Some("linux.intelRdt"));
    }

    #[test]
    fn a_group_that_somebody_removed_is_no_error_to_join() {
        let groups = Groups { class: "/nonexistent/gold".into(), monitor: None };
        groups.take_in(Pid::from_raw(1).unwrap()).unwrap();
    }
}
