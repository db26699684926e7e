//! What the documents say about this suite.

use std::collections::BTreeSet;

use crate::support::case::cases;

cases![each_case_that_they_name_exists];

const DOCUMENTS: [(&str, &str); 2] = [
    ("docs/compatibility.md", include_str!("../docs/compatibility.md")),
    ("docs/security.md", include_str!("../docs/security.md")),
];

/// Renamed and removed cases must not go on holding a promise. `…::name` is a case of the module that was named last.
fn each_case_that_they_name_exists() {
    let names: BTreeSet<String> = crate::cases().iter().map(|case| case.name().to_owned()).collect();
    let modules: BTreeSet<&str> =
        names.iter().filter_map(|name| name.rsplit_once("::")).map(|(module, _)| module).collect();
    let mut found = 0;
    for (document, text) in DOCUMENTS {
        let mut last = "";
        for quoted in text.split('`').skip(1).step_by(2) {
            let Some((module, case)) = quoted.rsplit_once("::") else { continue };
            let module = if module == "…" { last } else { module };
            // What isn't a module of this suite is the library's, or all of a module's cases.
            if modules.contains(module) && !modules.contains(quoted) {
                let name = format!("{module}::{case}");
                assert!(names.contains(&name), "{document} names {name}, which is no case");
                (last, found) = (module, found + 1);
            }
        }
    }
    assert!(found > 50, "only {found} cases are named, so something is wrong with this test");
}
