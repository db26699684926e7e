//! The program's user.

use serde_json::{Value, json};

use crate::case::cases;
use crate::container::Container;
use crate::lane::Lane;
use crate::outcome::{Verdict, expect, same};
use crate::subject::Subject;

cases![uid, gid, umask, umask_of_the_caller, additional_groups];

fn ids(s: &Subject, key: &str) -> Verdict {
    let report = Container::new(s).set("/process/user", json!({"uid": 1234, "gid": 4321})).report()?;
    let id = if key == "uid" { 1234 } else { 4321 };
    same(key, &report[key], json!({"real": id, "effective": id, "saved": id, "fs": id}))
}

fn uid(s: &Subject) -> Verdict {
    ids(s, "uid")
}

fn gid(s: &Subject) -> Verdict {
    ids(s, "gid")
}

fn umask(s: &Subject) -> Verdict {
    for mask in [0o077, 0o002, 0] {
        same("umask", &Container::new(s).set("/process/user/umask", mask).report()?["umask"], mask)?;
    }
    Ok(())
}

fn umask_of_the_caller(s: &Subject) -> Verdict {
    let c = Container::new(s);
    let call = c.create_call().arg(c.id()).launched(Lane::get().probe(), &["--umask", "027"]);
    c.remember(call.run()).ok()?;
    same("umask", &c.report_of_created()?["umask"], 0o027)
}

fn additional_groups(s: &Subject) -> Verdict {
    let user = json!({"uid": 1234, "gid": 4321, "additionalGids": [5, 6, 70_000]});
    let report = Container::new(s).set("/process/user", user).report()?;
    let seen: Vec<u64> = report["groups"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    let further: Vec<u64> = seen.iter().copied().filter(|group| *group != 4321).collect();
    expect(further == [5, 6, 70_000], "the further groups are 5, 6 and 70000", format!("{seen:?}"))
}
