//! Where a runtime does something else than the specification says, on purpose: shown in every table, with the reason, and no failure
//! of the suite's.

/// Runtime, case, reason.
const KNOWN: [(&str, &str, &str); 3] = [
    (
        "orlop",
        "mounts::in_an_inherited_namespace",
        "they would be mounted on the host, and stay there when the container is gone, as with runc and crun; the error names them, and \
         the mount namespace that is missing",
    ),
    (
        "orlop",
        "operations::delete_of_a_created_one",
        "containerd's shim deletes a task that was created and never started, without force (createdState.Delete), and every runtime \
         lets it",
    ),
    (
        "orlop",
        "user::umask_of_the_caller",
        "without a umask in the config it is 022, as in runc and crun: containerd and Docker name none, and a daemon's own umask, which a \
         unit or a shell sets, would be that of all containers",
    ),
];

/// Why that runtime fails that case, where it does so on purpose.
pub(crate) fn of(runtime: &str, case: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(name, known, _)| *name == runtime && *known == case).map(|(_, _, reason)| *reason)
}
