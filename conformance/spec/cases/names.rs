//! The names of the machine.

use crate::case::cases;
use crate::container::Container;
use crate::outcome::{Verdict, same};
use crate::subject::Subject;

cases![host, domain];

fn host(s: &Subject) -> Verdict {
    same(
        "the host's name",
        &Container::new(s).set("/hostname", "a-name.of-ours").report()?["hostname"],
        "a-name.of-ours",
    )
}

fn domain(s: &Subject) -> Verdict {
    same("the domain's name", &Container::new(s).set("/domainname", "ours.test").report()?["domainname"], "ours.test")
}
