//! Buildah, and Podman's build, which run each step in the runtime.

use crate::case::{Case, exits, has, prints};

pub(crate) const CASES: &[Case] = &[
    prints("run", "c=$(buildah from --name $N $I); buildah run --runtime orlop $c echo hello; buildah rm $c > /dev/null", "hello").quick(),
    exits("exit_code", "c=$(buildah from --name $N $I); set +e; buildah run --runtime orlop $c sh -c 'exit 7'; code=$?; buildah rm $c > /dev/null; exit $code", 7),
    prints("build", "mkdir -p /tmp/$N; printf 'FROM '$I'\\nRUN echo built > /x\\nCMD cat /x\\n' > /tmp/$N/Containerfile; buildah build --runtime orlop -q -t $N /tmp/$N > /dev/null; podman run --rm localhost/$N; podman rmi $N > /dev/null; rm -r /tmp/$N", "built").quick(),
    prints("podman_build", "mkdir -p /tmp/$N; printf 'FROM '$I'\\nRUN id -u > /x\\nCMD cat /x\\n' > /tmp/$N/Containerfile; podman build -q -t $N /tmp/$N > /dev/null; podman run --rm localhost/$N; podman rmi $N > /dev/null; rm -r /tmp/$N", "0"),
    prints("in_a_root_of_its_own", "c=$(buildah from --name $N $I); buildah run --runtime orlop --isolation oci $c sh -c 'echo x > /f'; echo $(cat $(buildah mount $c)/f); buildah umount $c > /dev/null; buildah rm $c > /dev/null", "x"),
    prints("volume", "mkdir -p /tmp/$N; echo seen > /tmp/$N/f; c=$(buildah from --name $N $I); buildah run --runtime orlop -v /tmp/$N:/v:ro $c cat /v/f; buildah rm $c > /dev/null; rm -r /tmp/$N", "seen"),
    has("terminal", "c=$(buildah from --name $N $I); script -qec \"buildah run --runtime orlop -t $c tty\" /dev/null; buildah rm $c > /dev/null", "/dev/pts/0"),
    prints("mounted_while_it_builds", "mkdir -p /tmp/$N; echo seen > /tmp/$N/f; printf 'FROM '$I'\\nRUN --mount=type=bind,target=/src cat /src/f > /x\\nCMD cat /x\\n' > /tmp/$N/Containerfile; podman build -q -t $N /tmp/$N > /dev/null; podman run --rm localhost/$N; podman rmi $N > /dev/null; rm -r /tmp/$N", "seen"),
    prints("user_while_it_builds", "mkdir -p /tmp/$N; printf 'FROM '$I'\\nUSER 1000\\nRUN id -u > /tmp/x\\nCMD cat /tmp/x\\n' > /tmp/$N/Containerfile; podman build -q -t $N /tmp/$N > /dev/null; podman run --rm localhost/$N; podman rmi $N > /dev/null; rm -r /tmp/$N", "1000"),
];
