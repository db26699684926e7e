//! Annotations that change what is done. They are crun's, and engines set them; all others are passed through.
//!
//! Whoever may annotate a container is not always who may configure it (in Kubernetes it is the author of a pod), so that values are
//! checked more strictly than the config's own fields, and `features` lists them as potentially unsafe.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Annotate, Error, Result};

/// A cgroup below the container's.
pub const DELEGATE: &str = "run.oci.delegate-cgroup";
const HOOKS_STDERR: &str = "run.oci.hooks.stderr";
const HOOKS_STDOUT: &str = "run.oci.hooks.stdout";
const KEEP_GROUPS: &str = "run.oci.keep_original_groups";
const MOUNT_CONTEXT: &str = "run.oci.mount_context_type";
/// The socket that gets a pidfd of the init.
pub const PIDFD_RECEIVER: &str = "run.oci.pidfd_receiver";
/// A cgroup below systemd's scope.
pub const SUBGROUP: &str = "run.oci.systemd.subgroup";

/// All of them, in the order of the alphabet.
pub const NAMES: [&str; 7] =
    [DELEGATE, HOOKS_STDERR, HOOKS_STDOUT, KEEP_GROUPS, MOUNT_CONTEXT, PIDFD_RECEIVER, SUBGROUP];

/// What the annotations ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Annotated {
    /// The cgroup below the container's in which its processes are, and which they manage: `run.oci.delegate-cgroup`.
    pub delegated: Option<PathBuf>,
    /// `run.oci.hooks.stdout` and `run.oci.hooks.stderr`
    pub hook_output: HookOutput,
    /// Whether processes keep the supplementary groups of whoever calls the runtime: `run.oci.keep_original_groups`.
    pub keep_groups: bool,
    /// `run.oci.mount_context_type`
    pub mount_context: MountContext,
    /// `run.oci.pidfd_receiver`
    pub pidfd_receiver: Option<PathBuf>,
    /// The cgroup below systemd's scope that is the container's: `run.oci.systemd.subgroup`.
    pub subgroup: Option<PathBuf>,
}

/// The files that hooks write to, which are made where they are missing and added to where they are not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookOutput {
    /// Absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout: Option<PathBuf>,
    /// Absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<PathBuf>,
}

impl HookOutput {
    /// The files, each with the field that names it.
    pub fn fields(&self) -> [(Option<&Path>, String); 2] {
        [(self.stdout.as_deref(), field(HOOKS_STDOUT)), (self.stderr.as_deref(), field(HOOKS_STDERR))]
    }

    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        self.stdout.is_none() && self.stderr.is_none()
    }
}

/// Of what `linux.mountLabel` is the context: mount(8), SELinux.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum MountContext {
    /// Of all files and the file system itself, whatever its files say of themselves.
    #[default]
    Whole,
    /// Of the file system, and not of the files in it.
    Filesystem,
    /// Of files that have none of their own.
    Unlabelled,
    /// Of the root directory, before anybody sees it.
    Root,
}

impl MountContext {
    /// The option's name.
    pub fn option(self) -> &'static str {
        match self {
            Self::Whole => "context",
            Self::Filesystem => "fscontext",
            Self::Unlabelled => "defcontext",
            Self::Root => "rootcontext",
        }
    }

    /// The kind that the option of that name sets.
    pub fn of_option(name: &str) -> Option<Self> {
        [Self::Whole, Self::Filesystem, Self::Unlabelled, Self::Root].into_iter().find(|kind| kind.option() == name)
    }
}

impl Annotated {
    /// # Errors
    /// Names the annotation.
    pub(super) fn decide(annotations: Option<&HashMap<String, String>>) -> Result<Self> {
        let Some(annotations) = annotations else { return Ok(Self::default()) };
        let given = |name: &str| annotations.get(name).map(String::as_str);
        let path = |name: &str| given(name).map(|text| host_path(text).of(name)).transpose();
        let cgroup = |name: &str| given(name).map_or(Ok(None), cgroup_below).of(name);
        Ok(Self {
            delegated: cgroup(DELEGATE)?,
            hook_output: HookOutput { stdout: path(HOOKS_STDOUT)?, stderr: path(HOOKS_STDERR)? },
            keep_groups: given(KEEP_GROUPS).map_or(Ok(false), switch).of(KEEP_GROUPS)?,
            mount_context: given(MOUNT_CONTEXT).map_or(Ok(MountContext::default()), mount_context).of(MOUNT_CONTEXT)?,
            pidfd_receiver: path(PIDFD_RECEIVER)?,
            subgroup: cgroup(SUBGROUP)?,
        })
    }
}

/// A result about an annotation.
trait Of<T> {
    fn of(self, annotation: &str) -> Result<T>;
}

impl<T> Of<T> for Result<T> {
    fn of(self, annotation: &str) -> Result<T> {
        self.field_with(|| field(annotation))
    }
}

/// An annotation as errors name it.
pub fn field(annotation: &str) -> String {
    format!("annotations[{annotation:?}]")
}

/// Whoever wrote it wrote a path of the host, so that there is no directory that it could mean to be relative to.
fn host_path(text: &str) -> Result<PathBuf> {
    let path = Path::new(text);
    let climbs = path.components().any(|part| part == Component::ParentDir);
    if path.is_absolute() && !climbs && !text.contains('\0') {
        return Ok(path.into());
    }
    Err(Error::new(format!("{text:?} is no absolute path without \"..\"")))
}

/// crun takes a slash at the beginning as well. Nothing is none.
fn cgroup_below(text: &str) -> Result<Option<PathBuf>> {
    let path: PathBuf = Path::new(text).components().filter(|part| *part != Component::RootDir).collect();
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    if !plain || text.chars().any(char::is_control) {
        return Err(Error::new(format!("{text:?} is no path of a cgroup below another")));
    }
    Ok(Some(path).filter(|path| !path.as_os_str().is_empty()))
}

fn switch(text: &str) -> Result<bool> {
    match text {
        "1" => Ok(true),
        "0" => Ok(false),
        _ => Err(Error::new(format!("{text:?} is neither 1 nor 0"))),
    }
}

fn mount_context(text: &str) -> Result<MountContext> {
    MountContext::of_option(text)
        .ok_or_else(|| Error::new(format!("{text:?} is none of context, fscontext, defcontext and rootcontext")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(pairs: &[(&str, &str)]) -> Result<Annotated> {
        let annotations = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Annotated::decide(Some(&annotations))
    }

    #[test]
    fn without_any_nothing_is_asked_for() {
        assert_eq!(Annotated::decide(None).unwrap(), Annotated::default());
        assert_eq!(decide(&[("org.example", "../x"), ("run.oci.handler", "krun")]).unwrap(), Annotated::default());
    }

    #[test]
    fn kinds_of_mount_contexts() {
        for (text, kind) in [
            ("context", MountContext::Whole),
            ("fscontext", MountContext::Filesystem),
            ("defcontext", MountContext::Unlabelled),
            ("rootcontext", MountContext::Root),
        ] {
            assert_eq!(decide(&[(MOUNT_CONTEXT, text)]).unwrap().mount_context, kind);
            assert_eq!(kind.option(), text);
        }
        for bad in ["", "Context", "context=x", "seclabel"] {
            let error = decide(&[(MOUNT_CONTEXT, bad)]).unwrap_err().to_string();
            assert!(error.starts_with("annotations[\"run.oci.mount_context_type\"]: "), "{error}");
        }
    }

    fn refused(name: &str, values: &[&str]) {
        for value in values {
            let error = decide(&[(name, value)]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("annotations[{name:?}]: ")), "{value:?}: {error}");
        }
    }

    #[test]
    fn paths_of_the_host_are_absolute_and_do_not_climb() {
        let annotated = decide(&[
            ("run.oci.hooks.stdout", "/var/log/out"),
            ("run.oci.hooks.stderr", "/dev/stderr"),
            ("run.oci.pidfd_receiver", "/run/pidfd.sock"),
        ]);
        let Annotated { hook_output, pidfd_receiver, .. } = annotated.unwrap();
        assert_eq!(hook_output.stdout, Some("/var/log/out".into()));
        assert_eq!(hook_output.stderr, Some("/dev/stderr".into()));
        assert_eq!(pidfd_receiver, Some("/run/pidfd.sock".into()));
        for name in ["run.oci.hooks.stdout", "run.oci.hooks.stderr", "run.oci.pidfd_receiver"] {
            refused(name, &["", "out", "./out", "/var/../etc/passwd", "/..", "/a\0b"]);
        }
    }

    #[test]
    fn cgroups_are_below_the_containers() {
        for (text, path) in
            [("init", Some("init")), ("/init", Some("init")), ("a/b", Some("a/b")), ("", None), ("/", None)]
        {
            let annotated = decide(&[("run.oci.delegate-cgroup", text), ("run.oci.systemd.subgroup", text)]).unwrap();
            assert_eq!(annotated.delegated, path.map(PathBuf::from), "{text}");
            assert_eq!(annotated.subgroup, path.map(PathBuf::from), "{text}");
        }
        for name in ["run.oci.delegate-cgroup", "run.oci.systemd.subgroup"] {
            refused(name, &["..", "a/../..", "/..", "./..", "a\nb", "a\0"]);
        }
    }

    #[test]
    fn groups_are_kept_or_not() {
        assert!(decide(&[("run.oci.keep_original_groups", "1")]).unwrap().keep_groups);
        assert!(!decide(&[("run.oci.keep_original_groups", "0")]).unwrap().keep_groups);
        refused("run.oci.keep_original_groups", &["", "true", "yes", "2"]);
    }

    #[test]
    fn names_are_in_the_alphabets_order() {
        assert!(NAMES.is_sorted());
    }
}
