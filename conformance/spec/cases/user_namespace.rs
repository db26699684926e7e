//! Mappings of user namespaces.

use std::os::unix::fs::MetadataExt;

use serde_json::json;

use crate::case::cases;
use crate::container::Container;
use crate::outcome::{Verdict, expect, same};
use crate::subject::Subject;

cases![users, groups, no_size, files_keep_their_owners];

/// Two rows for each map, which differ.
fn mapped(s: &Subject) -> Container<'_> {
    let row = |inside: u32, outside: u32, size: u32| json!({"containerID": inside, "hostID": outside, "size": size});
    Container::new(s)
        .user_namespace(100_000, 65_536)
        .set("/linux/uidMappings", json!([row(0, 100_000, 1000), row(2000, 300_000, 10)]))
        .set("/linux/gidMappings", json!([row(0, 100_000, 500), row(5000, 400_000, 20)]))
}

fn users(s: &Subject) -> Verdict {
    let report = mapped(s).report_if_supported()?;
    same("the map of users", &report["uidMap"], json!([[0, 100_000, 1000], [2000, 300_000, 10]]))
}

fn groups(s: &Subject) -> Verdict {
    let report = mapped(s).report_if_supported()?;
    same("the map of groups", &report["gidMap"], json!([[0, 100_000, 500], [5000, 400_000, 20]]))
}

fn no_size(s: &Subject) -> Verdict {
    let c = Container::new(s).user_namespace(100_000, 65_536);
    c.set("/linux/uidMappings", json!([{"containerID": 0, "hostID": 100_000}])).create_refused("a mapping has no size")
}

fn files_keep_their_owners(s: &Subject) -> Verdict {
    let c = Container::new(s).user_namespace(100_000, 65_536).file("/file", "");
    let file = c.rootfs().join("file");
    std::os::unix::fs::chown(&file, Some(7), Some(8)).expect("chown");
    c.report_if_supported()?;
    let seen = std::fs::metadata(&file).map(|file| (file.uid(), file.gid())).unwrap_or_default();
    expect(seen == (7, 8), "the file's owner is 7:8 as before", format!("{}:{}", seen.0, seen.1))
}
