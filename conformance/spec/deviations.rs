//! Where a runtime does something else than the specification says, on purpose: shown in every table, with the reason, and no failure
//! of the suite's.

/// Runtime, case, reason.
const KNOWN: [(&str, &str, &str); 3] = [
    (
        "orlop",
        "namespaces::inherited_mount",
        "the container's mounts and its root would be the host's, which nobody means; the error says so",
    ),
    (
        "orlop",
        "operations::delete_of_a_created_one",
        "engines delete what they created and did not start, without force, and every runtime lets them",
    ),
    (
        "orlop",
        "user::umask_of_the_caller",
        "without a umask in the config it is 022, as in runc and crun: Docker's daemon has a umask of 0, which would make every file of \
         a container everybody's",
    ),
];

/// Why that runtime fails that case, where it does so on purpose.
pub(crate) fn of(runtime: &str, case: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(name, known, _)| *name == runtime && *known == case).map(|(_, _, reason)| *reason)
}
