//! Buildah, and Podman's build, which run each step in the runtime.

use crate::case::{Case, exits, prints};

pub(crate) const CASES: &[Case] = &[
    prints("run", "c=$(buildah from --name $N $I); buildah run --runtime orlop $c echo hello; buildah rm $c > /dev/null", "hello").quick(),
    exits("exit_code", "c=$(buildah from --name $N $I); set +e; buildah run --runtime orlop $c sh -c 'exit 7'; code=$?; buildah rm $c > /dev/null; exit $code", 7),
    prints("build", "mkdir -p /tmp/$N; printf 'FROM '$I'\\nRUN echo built > /x\\nCMD cat /x\\n' > /tmp/$N/Containerfile; buildah build --runtime orlop -q -t $N /tmp/$N > /dev/null; podman run --rm localhost/$N; podman rmi $N > /dev/null; rm -r /tmp/$N", "built").quick(),
    prints("podman_build", "mkdir -p /tmp/$N; printf 'FROM '$I'\\nRUN id -u > /x\\nCMD cat /x\\n' > /tmp/$N/Containerfile; podman build -q -t $N /tmp/$N > /dev/null; podman run --rm localhost/$N; podman rmi $N > /dev/null; rm -r /tmp/$N", "0").quick(),
    prints("mounted_while_it_builds", "mkdir -p /tmp/$N; echo seen > /tmp/$N/f; printf 'FROM '$I'\\nRUN --mount=type=bind,target=/src cat /src/f > /x\\nCMD cat /x\\n' > /tmp/$N/Containerfile; podman build -q -t $N /tmp/$N > /dev/null; podman run --rm localhost/$N; podman rmi $N > /dev/null; rm -r /tmp/$N", "seen"),
    prints("user_while_it_builds", "mkdir -p /tmp/$N; printf 'FROM '$I'\\nUSER 1000\\nRUN id -u > /tmp/x\\nCMD cat /tmp/x\\n' > /tmp/$N/Containerfile; podman build -q -t $N /tmp/$N > /dev/null; podman run --rm localhost/$N; podman rmi $N > /dev/null; rm -r /tmp/$N", "1000"),
];
