//! Annotations that change what is done. They are crun's, and engines set them; all others are passed through.
//!
//! Whoever may annotate a container is not always who may configure it (in Kubernetes it is the author of a pod), so that values are
//! checked more strictly than the config's own fields, and `features` lists them as potentially unsafe.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::error::{Annotate, Error, Result};

const MOUNT_CONTEXT: &str = "run.oci.mount_context_type";

/// All of them, in the order of the alphabet.
pub const NAMES: [&str; 1] = [MOUNT_CONTEXT];

/// What the annotations ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Annotated {
    /// `run.oci.mount_context_type`
    pub mount_context: MountContext,
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
        Ok(Self {
            mount_context: given(MOUNT_CONTEXT).map_or(Ok(MountContext::default()), mount_context).of(MOUNT_CONTEXT)?,
        })
    }
}

/// A result about an annotation.
trait Of<T> {
    fn of(self, annotation: &str) -> Result<T>;
}

impl<T> Of<T> for Result<T> {
    fn of(self, annotation: &str) -> Result<T> {
        self.field_with(|| format!("annotations[{annotation:?}]"))
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

    #[test]
    fn names_are_in_the_alphabets_order() {
        assert!(NAMES.is_sorted());
    }
}
