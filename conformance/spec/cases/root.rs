//! The root file system.

use serde_json::json;

use super::namespaces::{create_in_own_mounts, sharing_mounts};
use crate::case::cases;
use crate::container::Container;
use crate::outcome::{Verdict, expect, same};
use crate::subject::Subject;

cases![none, no_path, absolute, relative, missing, a_file, readonly, readonly_in_an_inherited_namespace, writable];

fn none(s: &Subject) -> Verdict {
    Container::new(s).unset("/root").create_refused("the config has no root")
}

fn no_path(s: &Subject) -> Verdict {
    Container::new(s).set("/root", json!({"readonly": true})).create_refused("root has no path")
}

fn absolute(s: &Subject) -> Verdict {
    let c = Container::new(s).file("/marked", "");
    let path = c.rootfs();
    let seen = c.set("/root/path", path.display().to_string()).args(["report", "/marked"]).report()?;
    same("the type of /marked", &seen["paths"]["/marked"]["type"], "file")
}

fn relative(s: &Subject) -> Verdict {
    let c = Container::new(s);
    std::fs::rename(c.rootfs(), c.bundle().join("other")).expect("rename the root file system");
    std::fs::write(c.bundle().join("other/marked"), "").expect("write a file");
    let seen = c.set("/root/path", "other").args(["report", "/marked"]).report()?;
    same("the type of /marked", &seen["paths"]["/marked"]["type"], "file")
}

fn missing(s: &Subject) -> Verdict {
    Container::new(s).set("/root/path", "not-there").create_refused("root.path doesn't exist")
}

fn a_file(s: &Subject) -> Verdict {
    let c = Container::new(s).set("/root/path", "file");
    std::fs::write(c.bundle().join("file"), "").expect("write a file");
    c.create_refused("root.path is no directory")
}

fn readonly(s: &Subject) -> Verdict {
    let seen = Container::new(s).set("/root/readonly", true).args(["try-mkdir", "/new"]).says()?;
    expect(seen == "EROFS", "a directory can't be made in the root: EROFS", seen)
}

/// In force, or an error: what can't be applied isn't left out.
fn readonly_in_an_inherited_namespace(s: &Subject) -> Verdict {
    let c = sharing_mounts(s).set("/root/readonly", true).args(["try-mkdir", "/new"]);
    let (_, created) = create_in_own_mounts(&c)?;
    if created.failed() && !created.message().is_empty() {
        return Ok(());
    }
    created.ok()?;
    c.start()?;
    c.wait_exit()?;
    let seen = c.stdout();
    expect(seen.trim() == "EROFS", "an error of create, or a directory can't be made in the root: EROFS", seen)
}

fn writable(s: &Subject) -> Verdict {
    let seen = Container::new(s).args(["try-mkdir", "/new"]).says()?;
    expect(seen == "ok", "a directory can be made in the root", seen)
}
