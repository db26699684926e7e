//! Shares of the last-level cache and of the memory's bandwidth: `linux.intelRdt`.
//!
//! Source: config-linux.md, Intel RDT, as of 1.3; the kernel's filesystems/resctrl.rst for what the files hold.

use std::path::PathBuf;

use oci_spec::runtime::LinuxIntelRdt;

use crate::error::{Annotate, Error, Result};
use crate::host::Host;

/// What the container gets of resctrl, decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntelRdt {
    /// Where resctrl is mounted.
    pub root: PathBuf,
    /// Whose share it has.
    pub class: Class,
    /// What its class gets, in the order in which it is written.
    pub shares: Vec<Shares>,
    /// The name of a monitoring group of its own.
    pub monitor: Option<String>,
}

/// A class of service: a directory of resctrl.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// Made for the container, named after it, and removed with it.
    Own(String),
    /// Made where it is missing, and left there for others.
    Shared(String),
    /// Somebody else has made it.
    Existing(String),
    /// That of everything which isn't in another one: the root.
    Default,
}

/// Lines for the file `schemata`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shares {
    /// What asks for them.
    pub field: &'static str,
    /// Each with its newline, which the kernel insists on.
    pub lines: String,
    /// Whether a class that exists already has to have these, and is not changed.
    pub has_to_agree: bool,
}

/// New shares for a container that is there already, as the caller of `update` writes them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schemata {
    /// `--l3-cache-schema`.
    pub l3_cache: Option<String>,
    /// `--mem-bw-schema`.
    pub memory_bandwidth: Option<String>,
}

impl Schemata {
    /// The shares in the order in which they are written; none where nothing is asked for.
    ///
    /// # Errors
    /// Names the field of the config that a flag stands for.
    pub fn shares(&self) -> Result<Vec<Shares>> {
        let mut rdt = LinuxIntelRdt::default();
        rdt.set_l3_cache_schema(self.l3_cache.clone()).set_mem_bw_schema(self.memory_bandwidth.clone());
        shares(&rdt)
    }
}

/// What resctrl itself has in its root.
const RESERVED: [&str; 3] = ["info", "mon_data", "mon_groups"];

impl IntelRdt {
    pub(super) fn decide(rdt: &LinuxIntelRdt, id: &str, host: &Host) -> Result<Self> {
        let shares = shares(rdt)?;
        let class = class(rdt, id, shares.is_empty()).field("linux.intelRdt.closID")?;
        let monitor = rdt.enable_monitoring().unwrap_or(false).then(|| id.to_owned());
        let root = host.resctrl().map_err(|error| error.field("linux.intelRdt"))?.to_owned();
        Ok(Self { root, class, shares, monitor })
    }
}

fn class(rdt: &LinuxIntelRdt, id: &str, must_be_there: bool) -> Result<Class> {
    match rdt.clos_id().as_deref().filter(|name| !name.is_empty()) {
        None => Ok(Class::Own(id.into())),
        Some("/") => Ok(Class::Default),
        Some(name) if name == "." || name == ".." || name.contains('/') || name.chars().any(char::is_control) => {
            Err(Error::new(format!("{name:?} is no plain name")))
        }
        Some(name) if RESERVED.contains(&name) => Err(Error::new(format!("{name:?} is a directory of resctrl's own"))),
        Some(name) if must_be_there => Ok(Class::Existing(name.into())),
        Some(name) => Ok(Class::Shared(name.into())),
    }
}

fn shares(rdt: &LinuxIntelRdt) -> Result<Vec<Shares>> {
    let set = |text: &'_ Option<String>| text.clone().filter(|text| !text.is_empty());
    let mut shares = Vec::new();
    if let Some(line) = set(rdt.l3_cache_schema()) {
        shares.push(Shares { field: "linux.intelRdt.l3CacheSchema", lines: line + "\n", has_to_agree: true });
    }
    if let Some(line) = set(rdt.mem_bw_schema()) {
        let field = "linux.intelRdt.memBwSchema";
        if !line.starts_with("MB:") || line.contains('\n') {
            return Err(Error::new(format!("{line:?} is not one line that starts with MB:")).field(field));
        }
        shares.push(Shares { field, lines: line + "\n", has_to_agree: true });
    }
    let lines = rdt.schemata().as_deref().unwrap_or_default();
    if let Some(i) = lines.iter().position(|line| line.contains('\n')) {
        return Err(Error::new("has more than one line").field(format!("linux.intelRdt.schemata[{i}]")));
    }
    if !lines.is_empty() {
        let lines = lines.join("\n") + "\n";
        // In a write of its own: the kernel refuses to set a share twice in one.
        shares.push(Shares { field: "linux.intelRdt.schemata", lines, has_to_agree: false });
    }
    Ok(shares)
}

/// Whether the shares that `lines` ask for are those of a class whose file has `existing`. What isn't mentioned is left alone by the
/// kernel, so it may be anything.
pub fn agree(lines: &str, existing: &str) -> bool {
    lines.lines().filter_map(Line::parse).all(|wanted| {
        let mut there = existing.lines().filter_map(Line::parse);
        there.find(|line| line.resource == wanted.resource).is_some_and(|line| line.has(&wanted))
    })
}

/// `L3:0=7f0;1=1f`: a resource, and for each of its domains (a cache, most often) a bit mask or a number.
struct Line<'a> {
    resource: &'a str,
    shares: Vec<(&'a str, &'a str)>,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (resource, shares) = line.split_once(':')?;
        let pair = |share: &'a str| share.split_once('=').map(|(domain, value)| (domain.trim(), value.trim()));
        Some(Self { resource: resource.trim(), shares: shares.split(';').filter_map(pair).collect() })
    }

    fn has(&self, wanted: &Self) -> bool {
        let number = |value: &str| match self.resource {
            "MB" | "SMBA" => value.parse().ok(),
            _ => u64::from_str_radix(value.trim_start_matches("0x"), 16).ok(),
        };
        wanted.shares.iter().all(|(domain, value)| {
            let there = self.shares.iter().find(|(there, _)| there == domain);
            there.is_some_and(|(_, there)| there == value || number(there).is_some_and(|n| number(value) == Some(n)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn decide(rdt: &Value) -> Result<IntelRdt> {
        IntelRdt::decide(&serde_json::from_value(rdt.clone()).unwrap(), "box", &Host::with_resctrl(Some("/rdt")))
    }

    fn class_of(rdt: &Value) -> Class {
        decide(rdt).unwrap().class
    }

    #[test]
    fn whose_share_it_is() {
        assert_eq!(class_of(&json!({})), Class::Own("box".into()));
        assert_eq!(class_of(&json!({"closID": "", "schemata": ["L3:0=f"]})), Class::Own("box".into()));
        assert_eq!(class_of(&json!({"closID": "gold"})), Class::Existing("gold".into()));
        assert_eq!(class_of(&json!({"closID": "gold", "l3CacheSchema": ""})), Class::Existing("gold".into()));
        assert_eq!(class_of(&json!({"closID": "gold", "memBwSchema": "MB:0=20"})), Class::Shared("gold".into()));
        assert_eq!(class_of(&json!({"closID": "gold", "schemata": ["L2:0=f"]})), Class::Shared("gold".into()));
        assert_eq!(class_of(&json!({"closID": "/"})), Class::Default);
    }

    #[test]
    fn a_class_has_a_plain_name() {
        for bad in [".", "..", "a/b", "/a", "a/", "a\n", "info", "mon_groups", "mon_data"] {
            let error = decide(&json!({"closID": bad})).unwrap_err().to_string();
            assert!(error.starts_with("linux.intelRdt.closID: "), "{bad}: {error}");
        }
    }

    #[test]
    fn shares_are_written_in_the_specifications_order() {
        let all = json!({"schemata": ["L2:0=f", "MB:0=70"], "memBwSchema": "MB:0=20", "l3CacheSchema": "L3:0=7f0"});
        let shares = decide(&all).unwrap().shares;
        let texts: Vec<_> = shares.iter().map(|shares| (shares.lines.as_str(), shares.has_to_agree)).collect();
        assert_eq!(texts, [("L3:0=7f0\n", true), ("MB:0=20\n", true), ("L2:0=f\nMB:0=70\n", false)]);
        assert!(decide(&json!({"schemata": []})).unwrap().shares.is_empty());
    }

    #[test]
    fn lines_are_lines() {
        for (rdt, field) in [
            (json!({"memBwSchema": "L3:0=f"}), "linux.intelRdt.memBwSchema"),
            (json!({"memBwSchema": "MB:0=20\nL3:0=f"}), "linux.intelRdt.memBwSchema"),
            (json!({"schemata": ["L3:0=f", "L3:1=f\nMB:0=1"]}), "linux.intelRdt.schemata[1]"),
        ] {
            let error = decide(&rdt).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{field}: ")), "{error}");
        }
    }

    #[test]
    fn an_update_has_the_same_shares() {
        let schemata = Schemata { l3_cache: Some("L3:0=7f0".into()), memory_bandwidth: Some("MB:0=20".into()) };
        assert_eq!(
            schemata.shares().unwrap(),
            decide(&json!({"l3CacheSchema": "L3:0=7f0", "memBwSchema": "MB:0=20"})).unwrap().shares
        );
        assert!(Schemata::default().shares().unwrap().is_empty());
        let wrong = Schemata { memory_bandwidth: Some("L3:0=f".into()), ..Schemata::default() };
        assert_eq!(wrong.shares().unwrap_err().field_path(), Some("linux.intelRdt.memBwSchema"));
    }

    #[test]
    fn a_monitoring_group_is_named_after_the_container() {
        assert_eq!(decide(&json!({"enableMonitoring": true})).unwrap().monitor.as_deref(), Some("box"));
        for no in [json!({"enableMonitoring": false}), json!({"enableCMT": true, "enableMBM": true})] {
            assert_eq!(decide(&no).unwrap().monitor, None, "{no}");
        }
    }

    #[test]
    fn a_machine_without_it_is_an_error() {
        let rdt = serde_json::from_value(json!({"closID": "gold"})).unwrap();
        let error = IntelRdt::decide(&rdt, "box", &Host::with_resctrl(None)).unwrap_err().to_string();
        assert!(error.starts_with("linux.intelRdt: no resctrl file system is mounted"), "{error}");
    }

    #[test]
    fn shares_agree_by_what_they_mean() {
        let existing = "    MB:0= 20;1=100\n    L3:0=007f0;1=fffff\nL3DATA:0=f\n";
        for same in
            ["L3:0=7f0", "L3:0=7F0;1=fffff\n", "L3:1=0xfffff;0=7f0", "MB:0=20", "L3:0=7f0\nMB:1=100", "L3DATA:0=f;"]
        {
            assert!(agree(same, existing), "{same}");
        }
        for other in ["L3:0=7f1", "MB:0=32", "MB:0=0x14", "L3:2=f", "L3CODE:0=f", "L2:0=f", "L3:0=7f0\nMB:1=10"] {
            assert!(!agree(other, existing), "{other}");
        }
    }
}
