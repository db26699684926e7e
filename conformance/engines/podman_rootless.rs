//! Podman of a user without rights, in a session of systemd's.

use crate::case::{Case, exits, fails, has, prints};

pub(crate) const CASES: &[Case] = &[
    prints("run", "podman run --rm $I echo hello", "hello").quick(),
    exits("exit_code", "podman run --rm $I sh -c 'exit 7'", 7),
    fails("missing_program", "podman run --rm $I /missing", 127, "not found"),
    prints("root_inside", "podman run --rm $I id -u", "0"),
    has("granted_ids", "podman run --rm $I cat /proc/self/uid_map", "200000"),
    prints("another_user", "podman run --rm --user 1000 $I id -u", "1000"),
    prints("keep_id", "podman run --rm --userns keep-id $I id -u | grep -cx $(id -u)", "1").quick(),
    has("scope", "podman run --rm --cgroupns host $I cat /proc/self/cgroup", "libpod-").quick(),
    prints("cgroupfs", "podman --cgroup-manager cgroupfs run --rm $I echo hello", "hello"),
    has("terminal", "script -qec \"podman run --rm -t $I tty\" /dev/null", "/dev/pts/0"),
    prints("exec", "podman run -d --name $N $I sleep 60 > /dev/null; podman exec $N echo inside", "inside").quick(),
    prints("exec_as", "podman run -d --name $N $I sleep 60 > /dev/null; podman exec -u 1000 $N id -u", "1000"),
    prints(
        "pause",
        "podman run -d --name $N $I sleep 60 > /dev/null; podman pause $N > /dev/null; podman inspect -f '{{.State.Status}}' $N; podman unpause $N > /dev/null",
        "paused",
    ),
    prints(
        "stop",
        "podman run -d --name $N $I sleep 60 > /dev/null; podman stop -t 1 $N > /dev/null 2>&1; podman inspect -f '{{.State.ExitCode}}' $N",
        "137",
    ),
    prints("bind", "mkdir -p ~/$N; echo bound > ~/$N/f; podman run --rm -v ~/$N:/b $I cat /b/f; rm -r ~/$N", "bound"),
    prints(
        "volume",
        "podman volume create $N > /dev/null; podman run --rm -v $N:/v $I touch /v/x; podman run --rm -v $N:/v $I ls /v",
        "x",
    ),
    has("tmpfs", "podman run --rm --tmpfs /t:size=2m $I df /t", "2048"),
    prints("network_none", "podman run --rm --network none $I ls /sys/class/net", "lo"),
    prints(
        "network_host",
        "podman run --rm --network host $I readlink /proc/self/ns/net | grep -cF \"$(readlink /proc/self/ns/net)\"",
        "1",
    ),
    prints("build", "mkdir -p ~/$N; printf 'FROM '$I'\\nRUN echo built > /x\\nCMD cat /x\\n' > ~/$N/Containerfile; podman build -q -t $N ~/$N > /dev/null; podman run --rm localhost/$N; podman rmi $N > /dev/null; rm -r ~/$N", "built"),
    prints(
        "unit_by_quadlet",
        "mkdir -p ~/.config/containers/systemd; printf '[Container]\\nContainerName='$N'\\nImage='$I'\\nExec=sleep 60\\n[Service]\\nTimeoutStopSec=2\\n' > ~/.config/containers/systemd/$N.container
         systemctl --user daemon-reload; systemctl --user start $N; podman exec $N echo inside; systemctl --user stop $N
         rm ~/.config/containers/systemd/$N.container; systemctl --user daemon-reload; systemctl --user reset-failed $N 2> /dev/null || true",
        "inside",
    ),
    prints("pod", "podman pod create --name $N > /dev/null; podman run -d --pod $N --name $N-a $I sleep 60 > /dev/null; podman run --rm --pod $N $I readlink /proc/self/ns/net | grep -cF \"$(podman exec $N-a readlink /proc/self/ns/net)\"", "1").needs(&["program catatonit"]),
    prints("health", "podman run -d --name $N --health-cmd true $I sleep 60 > /dev/null; podman healthcheck run $N && echo healthy", "healthy"),
    prints("preserved_descriptors", "exec 3< /etc/hostname; podman run --rm --preserve-fds 1 $I sh -c 'cat <&3' | cmp - /etc/hostname && echo same", "same"),
    prints("exec_preserved_descriptors", "podman run -d --name $N $I sleep 60 > /dev/null; exec 3< /etc/hostname; podman exec --preserve-fds 1 $N sh -c 'cat <&3' | cmp - /etc/hostname && echo same", "same"),
    prints("runtime_by_path", "podman --runtime /usr/local/sbin/orlop run --rm $I echo hello", "hello"),
    prints("runtime_by_name", "podman --runtime orlop run -d --name $N $I sleep 60 > /dev/null; podman exec $N echo inside", "inside"),
    has("user_namespace", "podman run --rm --userns auto $I cat /proc/self/uid_map", "1024"),
    prints("cgroupfs_exec", "podman --cgroup-manager cgroupfs run -d --name $N $I sleep 60 > /dev/null; podman --cgroup-manager cgroupfs exec $N echo inside; podman --cgroup-manager cgroupfs rm -f -t 0 $N > /dev/null", "inside"),
    has("hooks", "mkdir -p ~/$N; printf '{\"version\": \"1.0.0\", \"hook\": {\"path\": \"/bin/sh\", \"args\": [\"sh\", \"-c\", \"cat > '$HOME/$N'/state\"]}, \"when\": {\"always\": true}, \"stages\": [\"createRuntime\"]}' > ~/$N/h.json; podman --hooks-dir ~/$N run --rm $I true; cat ~/$N/state; rm -r ~/$N", "\"status\":\"creating\""),
    prints("kube_play", "printf 'apiVersion: v1\\nkind: Pod\\nmetadata: {name: '$N'}\\nspec:\\n  terminationGracePeriodSeconds: 0\\n  containers:\\n  - {name: c, image: \"localhost/busybox:latest\", command: [sleep, \"60\"]}\\n' > ~/$N.yaml; podman kube play ~/$N.yaml > /dev/null; podman exec $N-c echo inside; podman kube down ~/$N.yaml > /dev/null; rm ~/$N.yaml", "inside").needs(&["program catatonit"]),
    // The kernel lets nobody map the ids of a mount who isn't root where its file system was made.
    fails("mapped_ids_of_a_volume_are_roots", "code=0; mkdir -p ~/$N; podman run --rm --uidmap 0:1:1000 --gidmap 0:1:1000 -v ~/$N:/b:idmap=uids=0-0-1#1-1-999 $I true || code=$?; rmdir ~/$N; exit $code", 126, "peration not permitted"),
    prints("apparmor", "podman run --rm $I cat /proc/self/attr/apparmor/current", "unconfined").needs(&["apparmor"]),
    prints("seccomp", "podman run --rm $I grep Seccomp: /proc/self/status", "Seccomp:\t2"),
    prints("preserved_groups", "podman run --rm --group-add keep-groups $I echo hello", "hello"),
    prints("pids", "podman run --rm --pids-limit 33 $I cat /sys/fs/cgroup/pids.max", "33").needs(&["pids"]),
    prints("memory", "podman run --rm -m 64m $I cat /sys/fs/cgroup/memory.max", "67108864").needs(&["memory"]),
    prints("cpus", "podman run --rm --cpus 0.5 $I cat /sys/fs/cgroup/cpu.max", "50000 100000").needs(&["cpu"]),
    prints("update", "podman run -d --name $N -m 64m $I sleep 60 > /dev/null; podman update -m 128m $N > /dev/null; podman exec $N cat /sys/fs/cgroup/memory.max", "134217728").needs(&["memory"]),
    fails("checkpoint_is_roots", "podman run -d --name $N $I sleep 60 > /dev/null; podman container checkpoint $N", 125, "requires root"),
];
