//! Published attacks on container runtimes, each in a form that either succeeds or doesn't, whatever the timing.
//!
//! A case's doc names the advisories. What other files hold already isn't repeated here; `docs/security.md` has the whole list.
//! Where an attack would write to a parameter of the kernel, its target is one of the container's own UTS namespace.

mod cwd;
mod descriptors;
mod dev;
mod exec;
mod identity;
mod labels;
mod live_mounts;
mod mounts;
mod own_binary;
mod proc;
mod state;

use crate::support::Case;

pub(crate) fn cases() -> Vec<Case> {
    [
        mounts::cases(),
        proc::cases(),
        dev::cases(),
        cwd::cases(),
        descriptors::cases(),
        exec::cases(),
        labels::cases(),
        live_mounts::cases(),
        own_binary::cases(),
        identity::cases(),
        state::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
