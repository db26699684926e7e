//! Mounts, apart from what each option does.

use serde_json::json;

use super::filesystems::mount_at;
use super::namespaces::{create_in_own_mounts, sharing_mounts};
use crate::case::cases;
use crate::container::Container;
use crate::outcome::{Verdict, expect, same};
use crate::subject::Subject;

cases![
    order,
    in_an_inherited_namespace,
    no_destination,
    relative_destination,
    bind_absolute,
    bind_relative,
    bind_of_any_type,
    type_of_the_kernel,
    unknown_type,
    an_option_of_mount_8,
    options_of_the_file_system,
    an_option_that_nobody_knows,
];

/// Of two at one place the second is on top; and what is below the first is hidden by it unless it comes later.
fn order(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["sequence", "cat", "/a/inside", "--", "report", "/a/deeper"]);
    let (first, second) = (c.source("first"), c.source("second"));
    std::fs::create_dir(second.join("deeper")).expect("create a directory");
    let third = c.source("third");
    let c = c.bind(&first, "/a", []).bind(&second, "/a", []).bind(&third, "/a/deeper", []);
    c.create()?;
    c.start()?;
    c.wait_exit()?;
    let text = c.stdout();
    expect(
        text.starts_with("second{"),
        "the second mount is on top of the first",
        format!("/a/inside is {:?}", &text[..text.len().min(20)]),
    )?;
    expect(text.contains("\"inside\""), "the third mount is in the second", "it isn't there")
}

/// Without a mount namespace in the config they are made in the runtime's.
fn in_an_inherited_namespace(s: &Subject) -> Verdict {
    let c = sharing_mounts(s).args(["cat", "/mnt/inside"]);
    let source = c.source("volume");
    let c = c.bind(&source, "/mnt", []);
    let (_, created) = create_in_own_mounts(&c)?;
    created.ok()?;
    c.start()?;
    c.wait_exit()?;
    expect(c.stdout() == "volume", "the file of the source is there", c.stdout())
}

fn no_destination(s: &Subject) -> Verdict {
    Container::new(s).mount(json!({"type": "tmpfs", "source": "tmpfs"})).create_refused("a mount has no destination")
}

fn relative_destination(s: &Subject) -> Verdict {
    let c = Container::new(s).mount(json!({"destination": "relative/place", "type": "tmpfs", "source": "tmpfs"}));
    // Whoever takes it as relative to something else would take the program's directory.
    let report = c.directory("/work").set("/process/cwd", "/work").report_if_supported()?;
    same("the type of the mount", &mount_at(&report, "/relative/place")?["type"], "tmpfs")
}

fn bind_absolute(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["cat", "/mnt/inside"]);
    let source = c.source("volume");
    let seen = c.bind(&source, "/mnt", []).says()?;
    expect(seen == "volume", "the file of the source is there", seen)
}

fn bind_relative(s: &Subject) -> Verdict {
    let c = Container::new(s).args(["cat", "/mnt/inside"]);
    std::fs::create_dir(c.bundle().join("volume")).expect("create a directory");
    std::fs::write(c.bundle().join("volume/inside"), "of the bundle").expect("write a file");
    let seen = c.bind(std::path::Path::new("volume"), "/mnt", []).says()?;
    expect(seen == "of the bundle", "the source is looked for in the bundle", seen)
}

fn bind_of_any_type(s: &Subject) -> Verdict {
    for (kind, option) in [(Some("tmpfs"), "bind"), (Some("nonsense"), "rbind"), (None, "bind")] {
        let c = Container::new(s).args(["cat", "/mnt/inside"]);
        let mut mount = json!({"destination": "/mnt", "source": c.source("volume"), "options": [option]});
        if let Some(kind) = kind {
            mount["type"] = json!(kind);
        }
        let seen = c.mount(mount).says()?;
        expect(seen == "volume", format!("{option} makes it a bind mount, of type {kind:?}"), seen)?;
    }
    Ok(())
}

fn type_of_the_kernel(s: &Subject) -> Verdict {
    for kind in ["tmpfs", "ramfs", "mqueue"] {
        let report =
            Container::new(s).mount(json!({"destination": "/mnt", "type": kind, "source": "ours"})).report()?;
        same("the type of the mount", &mount_at(&report, "/mnt")?["type"], kind)?;
    }
    Ok(())
}

fn unknown_type(s: &Subject) -> Verdict {
    let c = Container::new(s).mount(json!({"destination": "/mnt", "type": "nonsensefs", "source": "ours"}));
    c.create_refused("a file system that the kernel doesn't know")
}

/// mount(8) says that a later option wins over an earlier one.
fn an_option_of_mount_8(s: &Subject) -> Verdict {
    let options = json!(["noexec", "exec", "ro", "rw", "nosuid"]);
    let c =
        Container::new(s).mount(json!({"destination": "/mnt", "type": "tmpfs", "source": "ours", "options": options}));
    let report = c.report()?;
    let seen = &mount_at(&report, "/mnt")?["options"];
    let has = |option: &str| seen.as_array().is_some_and(|seen| seen.iter().any(|one| one == option));
    expect(has("rw") && has("nosuid") && !has("noexec"), "the later of two opposite options wins", seen)
}

fn options_of_the_file_system(s: &Subject) -> Verdict {
    let options = json!(["size=123k", "mode=0710", "nr_inodes=77"]);
    let c =
        Container::new(s).mount(json!({"destination": "/mnt", "type": "tmpfs", "source": "ours", "options": options}));
    let report = c.report()?;
    let seen = &mount_at(&report, "/mnt")?["superOptions"];
    for option in ["size=124k", "mode=710", "nr_inodes=77"] {
        let has = seen.as_array().is_some_and(|seen| seen.iter().any(|one| one == option));
        expect(has, format!("the file system has {option}"), seen)?;
    }
    Ok(())
}

fn an_option_that_nobody_knows(s: &Subject) -> Verdict {
    let c = Container::new(s)
        .mount(json!({"destination": "/mnt", "type": "tmpfs", "source": "ours", "options": ["nonsense=1"]}));
    c.create_refused("the file system doesn't know the option")
}
