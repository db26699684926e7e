//! What is open when the program begins.

use std::path::Path;

use crate::case::cases;
use crate::container::Container;
use crate::lane::Lane;
use crate::outcome::{Verdict, expect};
use crate::subject::Subject;

cases![three_and_no_more];

/// Even if the caller has more open.
fn three_and_no_more(s: &Subject) -> Verdict {
    let c = Container::new(s);
    // The suite's own caller may have left some open, too.
    let free = (9..1024).find(|number| !Path::new("/proc/self/fd").join(number.to_string()).exists()).unwrap_or(9);
    let call = c.create_call().arg(c.id()).launched(Lane::get().probe(), &["--fd", &format!("{free}=/etc")]);
    c.remember(call.run()).ok()?;
    let report = c.report_of_created()?;
    let mut open: Vec<&String> = report["fds"].as_object().into_iter().flatten().map(|(number, _)| number).collect();
    open.sort();
    expect(open == ["0", "1", "2"], "0, 1 and 2 are open", format!("{}", report["fds"]))
}
