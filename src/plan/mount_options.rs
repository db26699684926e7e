//! The words of `mounts[].options`, as the runtime-spec's table lists them (config.md, Linux mount options).

use super::mounts::{Propagation, SourceLink};

/// What a word does to the attributes of a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// Sets and clears attributes of this mount.
    Attr { set: u64, clear: u64 },
    /// The same for this mount and every one below it.
    RecursiveAttr { set: u64, clear: u64 },
    /// How later mounts travel between this and its peers.
    Propagate(Propagation),
    /// A bind mount, with `true` of a whole tree.
    Bind(bool),
    /// Changes a mount that is there.
    Remount,
    /// A flag of the file system's super block, by the name that fsconfig(2) takes.
    Super(&'static str),
    /// Maps the owners of files, with `true` in everything mounted below too.
    IdMap(bool),
    /// A tmpfs starts with what its mount point had in it.
    CopyUp,
    /// What becomes of a bind source that is a symbolic link.
    Link(SourceLink),
    /// A symbolic link in the target's place is mounted on, not followed.
    TargetItself,
    /// Says nothing.
    Nothing,
}

const RDONLY: u64 = libc::MOUNT_ATTR_RDONLY;
const NOSUID: u64 = libc::MOUNT_ATTR_NOSUID;
const NODEV: u64 = libc::MOUNT_ATTR_NODEV;
const NOEXEC: u64 = libc::MOUNT_ATTR_NOEXEC;
const NODIRATIME: u64 = libc::MOUNT_ATTR_NODIRATIME;
const NOSYMFOLLOW: u64 = libc::MOUNT_ATTR_NOSYMFOLLOW;
/// The access time modes are values of one field, which has to be cleared as a whole before one is set.
const ATIME: u64 = libc::MOUNT_ATTR__ATIME;
const NOATIME: u64 = libc::MOUNT_ATTR_NOATIME;
const STRICTATIME: u64 = libc::MOUNT_ATTR_STRICTATIME;
/// The kernel's default mode, and the field's zero value.
const RELATIME: u64 = libc::MOUNT_ATTR_RELATIME;

const fn set(bit: u64) -> Word {
    Word::Attr { set: bit, clear: 0 }
}

const fn clear(bit: u64) -> Word {
    Word::Attr { set: 0, clear: bit }
}

const fn atime(mode: u64) -> Word {
    Word::Attr { set: mode, clear: ATIME }
}

const fn propagate(kind: u64, recursive: bool) -> Word {
    Word::Propagate(Propagation { kind, recursive })
}

const PRIVATE: u64 = libc::MS_PRIVATE;
const SHARED: u64 = libc::MS_SHARED;
const SLAVE: u64 = libc::MS_SLAVE;
const UNBINDABLE: u64 = libc::MS_UNBINDABLE;

/// Sorted by name. What is not here is data for the file system.
const WORDS: &[(&str, Word)] = &[
    ("async", Word::Super("async")),
    ("atime", atime(RELATIME)),
    ("bind", Word::Bind(false)),
    ("copy-symlink", Word::Link(SourceLink::Copied)),
    ("defaults", Word::Nothing),
    ("dest-nofollow", Word::TargetItself),
    ("dev", clear(NODEV)),
    ("diratime", clear(NODIRATIME)),
    ("dirsync", Word::Super("dirsync")),
    ("exec", clear(NOEXEC)),
    ("idmap", Word::IdMap(false)),
    // ext4 alone could be told to count the changes of a file, and does so unasked since Linux 6.1; others always did.
    ("iversion", Word::Nothing),
    ("lazytime", Word::Super("lazytime")),
    ("loud", Word::Nothing),
    ("mand", Word::Super("mand")),
    ("noatime", atime(NOATIME)),
    ("nodev", set(NODEV)),
    ("nodiratime", set(NODIRATIME)),
    ("noexec", set(NOEXEC)),
    ("noiversion", Word::Nothing),
    ("nolazytime", Word::Super("nolazytime")),
    ("nomand", Word::Super("nomand")),
    ("norelatime", atime(STRICTATIME)),
    ("nostrictatime", atime(RELATIME)),
    ("nosuid", set(NOSUID)),
    ("nosymfollow", set(NOSYMFOLLOW)),
    ("private", propagate(PRIVATE, false)),
    ("rasync", Word::Super("async")),
    ("ratime", recursive(atime(RELATIME))),
    ("rbind", Word::Bind(true)),
    ("rdev", recursive(clear(NODEV))),
    ("rdiratime", recursive(clear(NODIRATIME))),
    ("rdirsync", Word::Super("dirsync")),
    ("relatime", atime(RELATIME)),
    ("remount", Word::Remount),
    ("rexec", recursive(clear(NOEXEC))),
    ("ridmap", Word::IdMap(true)),
    ("rmand", Word::Super("mand")),
    ("rnoatime", recursive(atime(NOATIME))),
    ("rnodev", recursive(set(NODEV))),
    ("rnodiratime", recursive(set(NODIRATIME))),
    ("rnoexec", recursive(set(NOEXEC))),
    ("rnomand", Word::Super("nomand")),
    ("rnorelatime", recursive(atime(STRICTATIME))),
    ("rnostrictatime", recursive(atime(RELATIME))),
    ("rnosuid", recursive(set(NOSUID))),
    ("rnosymfollow", recursive(set(NOSYMFOLLOW))),
    ("ro", set(RDONLY)),
    ("rprivate", propagate(PRIVATE, true)),
    ("rrelatime", recursive(atime(RELATIME))),
    ("rro", recursive(set(RDONLY))),
    ("rrw", recursive(clear(RDONLY))),
    ("rshared", propagate(SHARED, true)),
    ("rslave", propagate(SLAVE, true)),
    ("rstrictatime", recursive(atime(STRICTATIME))),
    ("rsuid", recursive(clear(NOSUID))),
    ("rsymfollow", recursive(clear(NOSYMFOLLOW))),
    ("rsync", Word::Super("sync")),
    ("runbindable", propagate(UNBINDABLE, true)),
    ("rw", clear(RDONLY)),
    ("shared", propagate(SHARED, false)),
    ("silent", Word::Nothing),
    ("slave", propagate(SLAVE, false)),
    ("src-nofollow", Word::Link(SourceLink::Itself)),
    ("strictatime", atime(STRICTATIME)),
    ("suid", clear(NOSUID)),
    ("symfollow", clear(NOSYMFOLLOW)),
    ("sync", Word::Super("sync")),
    ("tmpcopyup", Word::CopyUp),
    ("unbindable", propagate(UNBINDABLE, false)),
];

const fn recursive(word: Word) -> Word {
    match word {
        Word::Attr { set, clear } => Word::RecursiveAttr { set, clear },
        other => other,
    }
}

/// What `option` means, or `None` where it is data for the file system.
pub(super) fn word(option: &str) -> Option<Word> {
    WORDS.binary_search_by_key(&option, |(name, _)| name).ok().map(|i| WORDS[i].1)
}

/// The propagation that a word names, `rslave` for instance.
pub(super) fn propagation(option: &str) -> Option<Propagation> {
    match word(option)? {
        Word::Propagate(propagation) => Some(propagation),
        _ => None,
    }
}

/// Every option that is understood, sorted, as `features` lists them.
pub fn names() -> impl Iterator<Item = &'static str> {
    WORDS.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_the_search_finds_every_word() {
        assert!(WORDS.is_sorted_by_key(|(name, _)| *name));
        assert!(names().all(|name| word(name).is_some()));
        assert_eq!(word("mode=755"), None);
    }

    #[test]
    fn every_option_of_the_specs_table_is_there() {
        let must = "async atime bind defaults dev diratime dirsync exec iversion lazytime loud noatime nodev \
            nodiratime noexec noiversion nolazytime norelatime nostrictatime nosuid private rbind relatime remount ro \
            rprivate rshared rslave runbindable rw shared silent slave strictatime suid sync unbindable \
            rro rrw rnosuid rsuid rnodev rdev rnoexec rexec rnodiratime rdiratime rrelatime rnorelatime rnoatime ratime \
            rstrictatime rnostrictatime nosymfollow symfollow rnosymfollow rsymfollow tmpcopyup idmap ridmap";
        for name in must.split_whitespace() {
            assert!(word(name).is_some(), "{name}");
        }
    }

    #[test]
    fn access_time_modes_replace_each_other() {
        for name in ["noatime", "relatime", "strictatime", "atime", "norelatime", "nostrictatime"] {
            assert!(matches!(word(name), Some(Word::Attr { clear: ATIME, .. })), "{name}");
        }
    }

    #[test]
    fn r_options_are_their_plain_twins_made_recursive() {
        for (name, twin) in [("rro", "ro"), ("rnosuid", "nosuid"), ("rexec", "exec"), ("rnoatime", "noatime")] {
            assert_eq!(word(name), word(twin).map(recursive), "{name}");
        }
    }
}
