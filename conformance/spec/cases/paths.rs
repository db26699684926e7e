//! Paths that can't be read, or not be written.

use serde_json::json;

use crate::case::cases;
use crate::container::Container;
use crate::outcome::{Verdict, expect};
use crate::subject::Subject;

cases![masked_file, masked_directory, relative_masked, readonly, relative_readonly];

/// Reading a masked file fails or yields nothing.
fn masked_file(s: &Subject) -> Verdict {
    let c = Container::new(s).file("/secret", "a secret").set("/linux/maskedPaths", json!(["/secret", "/not/there"]));
    let c = c.args(["cat", "/secret"]);
    c.create()?;
    c.start()?;
    c.wait_exit()?;
    expect(c.stdout().is_empty(), "the file has no content", format!("it has {:?}", c.stdout()))
}

fn masked_directory(s: &Subject) -> Verdict {
    let c = Container::new(s).file("/secrets/one", "a secret").set("/linux/maskedPaths", json!(["/secrets"]));
    let c = c.args(["sequence", "report", "/secrets", "--", "try-open-write", "/secrets/new"]);
    c.create()?;
    c.start()?;
    c.wait_exit()?;
    let text = c.stdout();
    let report: serde_json::Value = serde_json::from_str(text.lines().next().unwrap_or_default()).unwrap_or_default();
    let seen = &report["paths"]["/secrets"];
    expect(*seen == json!({}) || seen.is_null(), "the directory shows nothing", seen)
}

fn relative_masked(s: &Subject) -> Verdict {
    Container::new(s).set("/linux/maskedPaths", json!(["proc/kcore"])).create_refused("a masked path is relative")
}

fn readonly(s: &Subject) -> Verdict {
    let c = Container::new(s).file("/kept/file", "").set("/linux/readonlyPaths", json!(["/kept", "/not/there"]));
    let seen = c.args(["try-mkdir", "/kept/new"]).says()?;
    expect(seen == "EROFS", "a directory can't be made there: EROFS", seen)?;
    let seen =
        Container::new(s).args(["try-mkdir", "/new"]).set("/linux/readonlyPaths", json!(["/proc/sys"])).says()?;
    expect(seen == "ok", "a directory can be made elsewhere", seen)
}

fn relative_readonly(s: &Subject) -> Verdict {
    Container::new(s).set("/linux/readonlyPaths", json!(["proc/sys"])).create_refused("a read-only path is relative")
}
