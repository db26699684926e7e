//! containerd's CRI plugin, as a kubelet uses it: through the handler that the `RuntimeClass` of `contrib/` names. `cri` is the client in
//! `cri/`, whose JSON has the fields of the interface; `pod`, `up`, `says` and so on are in `words.sh`.

use crate::case::{Case, exits, fails, has, prints};

pub(crate) const CASES: &[Case] = &[
    // pods
    prints("run", "pod; up; cri exec 0 $c echo inside", "inside").quick(),
    prints("handler_of_the_runtime_class", "pod; cri handler $p", "orlop").quick(),
    fails("handler_that_there_is_not", "cri runp $N missing '{}'", 1, "missing"),
    prints("output", "pod; says '{}' 'echo out; echo err >&2' > /dev/null; cut -d ' ' -f 2,4 /var/log/pods/$N/said.log | sort", "stderr err\nstdout out"),
    prints("exit_code", "pod; says '{}' 'exit 7'; cri state $c", "EXITED 7 Error"),
    prints("created_is_not_running", "pod; c=$(cri create $p c '{}' true); cri state $c", "CREATED"),
    fails("missing_program", "pod; cri run $p c '{}' /missing", 1, "/missing"),
    prints("runs_again", r#"pod; says '{}' 'exit 1' ; c=$(cri run $p said '{"metadata": {"attempt": 1}}' sleep 60); cri state $c"#, "RUNNING"),
    prints("host_name", "pod; says '{}' hostname | grep -cx $N", "1"),
    has("dns", r#"pod '{"dns_config": {"servers": ["192.0.2.1"]}}'; says '{}' 'cat /etc/resolv.conf'"#, "192.0.2.1"),
    prints("sysctl", r#"pod '{"linux": {"sysctls": {"net.ipv4.ip_forward": "1"}}}'; says '{}' 'cat /proc/sys/net/ipv4/ip_forward'"#, "1"),
    prints("address", "pod; cri run $p c '{}' httpd -f -h /etc > /dev/null; soon \"busybox wget -qO- http://$(cri ip $p)/group | grep root\"", "root:x:0:"),
    // several containers
    prints(
        "several_containers",
        r#"pod; own=$(security '"namespace_options": {"pid": 1}'); up "$own" a; a=$c; up "$own" b
        for kind in ipc mnt net pid uts; do [ "$(cri exec 0 $a readlink /proc/self/ns/$kind)" != "$(cri exec 0 $c readlink /proc/self/ns/$kind)" ] || echo $kind; done"#,
        "ipc\nnet\nuts",
    ).quick(),
    prints("loopback_is_shared", "pod; cri run $p a '{}' httpd -f -h /etc > /dev/null; up; soon \"cri exec 0 $c wget -qO- http://127.0.0.1/group | grep root\"", "root:x:0:"),
    prints("own_pid_namespace", r#"pod; says "$(security '"namespace_options": {"pid": 1}')" 'echo $$'"#, "1"),
    has("shared_pid_namespace", "pod; cri run $p a '{}' sleep 61 > /dev/null; says '{}' ps", "sleep 61"),
    has("pid_namespace_of_a_container", r#"pod; c=$(cri run $p a "$(security '"namespace_options": {"pid": 1}')" sleep 62); says "$(security '"namespace_options": {"pid": 3, "target_id": "'$c'"}')" ps"#, "sleep 62"),
    prints("network_of_the_node", r#"net='"namespace_options": {"network": 2}'; pod '{"hostname": "", "linux": {"security_context": {'"$net"'}}}'; says "$(security "$net")" 'readlink /proc/self/ns/net' | grep -cF "$(readlink /proc/self/ns/net)""#, "1"),
    prints("pids_of_the_node", r#"pid='"namespace_options": {"pid": 2}'; pod "$(security "$pid")"; says "$(security "$pid")" 'readlink /proc/self/ns/pid' | grep -cF "$(readlink /proc/self/ns/pid)""#, "1"),
    prints("ipc_of_the_node", r#"ipc='"namespace_options": {"ipc": 2}'; pod "$(security "$ipc")"; says "$(security "$ipc")" 'readlink /proc/self/ns/ipc' | grep -cF "$(readlink /proc/self/ns/ipc)""#, "1"),
    // exec
    exits("exec_exit_code", "pod; up; cri exec 0 $c sh -c 'exit 9'", 9).quick(),
    prints("exec_standard_error", "pod; up; cri exec 0 $c sh -c 'echo err >&2' 2>&1 > /dev/null", "err"),
    fails("exec_missing_program", "pod; up; cri exec 0 $c missing", 1, "executable file not found in $PATH"),
    fails("exec_time_out", "pod; up; cri exec 1 $c sleep 60", 1, "timeout 1s exceeded").quick(),
    prints("exec_time_out_ends_it", "pod; up; cri exec 1 $c sleep 77 2> /dev/null || cri exec 0 $c ps | grep -c 'sleep 7[7]' || true", "0"),
    prints("exec_in_time", "pod; up; cri exec 30 $c echo done", "done"),
    prints("exec_much_output", "pod; up; cri exec 0 $c seq 100000 | wc -l", "100000"),
    prints("exec_streamed", "pod; up; cri stream $c echo inside", "inside"),
    exits("exec_streamed_exit_code", "pod; up; cri stream $c sh -c 'exit 8'", 8),
    prints("exec_streamed_input", "pod; up; echo typed | cri stream -i $c head -n 1", "typed"),
    has("exec_streamed_terminal", "pod; up; cri stream -t $c tty", "/dev/pts/0"),
    prints("attach", "pod; c=$(cri run $p c '{}' sh -c 'while :; do echo attached; sleep 0.2; done'); { cri attach $c || true; } | head -n 1", "attached"),
    has("terminal", "pod; says '{\"tty\": true}' tty", "/dev/pts/0"),
    // the end
    prints("stop", "pod; c=$(cri run $p c '{}' sh -c 'trap \"exit 5\" TERM; echo ready; while :; do sleep 0.1; done'); soon 'grep -q ready /var/log/pods/'$N/c.log; cri stop $c 30; cri state $c", "EXITED 5 Error").quick(),
    prints("stop_kills_after_the_grace_period", "pod; c=$(cri run $p c '{}' sh -c 'trap \"\" TERM; echo ready; while :; do sleep 0.1; done'); soon 'grep -q ready /var/log/pods/'$N/c.log; cri stop $c 1; cri state $c", "EXITED 137 Error"),
    prints("stop_at_once", "pod; up; cri stop $c 0; cri state $c", "EXITED 137 Error"),
    prints("stopped_pod", "pod; up; cri stopp $p; cri state $c", "EXITED 137 Error"),
    fails("removed", "pod; up; cri stop $c 0; cri rm $c; cri state $c", 1, "not found"),
    prints("removed_with_its_cgroup", "pod; up; systemctl is-active cri-containerd-$c.scope; cri stop $c 0; cri rm $c; systemctl is-active cri-containerd-$c.scope || true", "active\ninactive").quick(),
    prints("cgroup_without_systemd", "p=$(cri runp $N orlop-cgroupfs '{\"linux\": {\"cgroup_parent\": \"/'$N'\"}}'); up; test -e /sys/fs/cgroup/$N/$c/cgroup.procs && echo there; cri stopp $p; cri rmp $p; rmdir /sys/fs/cgroup/$N", "there"),
    // resources
    has("stats", "pod; up; cri stats $c", "cpu "),
    exits("stats_of_memory", "pod; up; cri stats $c | grep -E 'cpu [1-9][0-9]* memory [1-9]'", 0).needs(&["memory", "cpu"]),
    prints("memory", r#"pod; says "$(resources '"memory_limit_in_bytes": 67108864')" 'cat /sys/fs/cgroup/memory.max'"#, "67108864").needs(&["memory"]),
    prints("out_of_memory", r#"pod; says "$(resources '"memory_limit_in_bytes": 16777216')" 'dd if=/dev/zero of=/dev/null bs=200M count=1' > /dev/null; cri state $c"#, "EXITED 137 OOMKilled").needs(&["memory"]),
    prints("cpus", r#"pod; says "$(resources '"cpu_period": 100000, "cpu_quota": 50000')" 'cat /sys/fs/cgroup/cpu.max'"#, "50000 100000").needs(&["cpu"]),
    prints("cpu_shares", r#"pod; says "$(resources '"cpu_shares": 512')" 'cat /sys/fs/cgroup/cpu.weight'"#, "59").needs(&["cpu"]),
    prints("cpuset", r#"pod; says "$(resources '"cpuset_cpus": "0"')" nproc"#, "1").needs(&["cpuset"]),
    prints("unified", r#"pod; says "$(resources '"unified": {"memory.high": "50331648"}')" 'cat /sys/fs/cgroup/memory.high'"#, "50331648").needs(&["memory"]),
    prints("oom_score", r#"pod; says "$(resources '"oom_score_adj": 500')" 'cat /proc/self/oom_score_adj'"#, "500"),
    prints("update_of_memory", r#"pod; up "$(resources '"memory_limit_in_bytes": 67108864')"; cri update $c '{"memory_limit_in_bytes": 134217728}'; cri exec 0 $c cat /sys/fs/cgroup/memory.max"#, "134217728").needs(&["memory"]),
    prints("update_of_cpus", r#"pod; up; cri update $c '{"cpu_period": 100000, "cpu_quota": 25000}'; cri exec 0 $c cat /sys/fs/cgroup/cpu.max"#, "25000 100000").needs(&["cpu"]),
    prints("update_of_cpuset", r#"pod; up; cri update $c '{"cpuset_cpus": "0"}'; cri exec 0 $c nproc"#, "1").needs(&["cpuset"]),
    // security contexts
    prints("user", r#"pod; says "$(security '"run_as_user": {"value": 1000}')" 'id -u'"#, "1000"),
    prints("user_by_name", r#"pod; says "$(security '"run_as_username": "user"')" 'id -u'"#, "1000"),
    prints("group", r#"pod; says "$(security '"run_as_user": {"value": 1000}, "run_as_group": {"value": 1001}')" 'id -g'"#, "1001"),
    prints("supplemental_groups", r#"pod; says "$(security '"run_as_user": {"value": 1000}, "supplemental_groups": [2000, 2001]')" 'id -G'"#, "1000 1001 2000 2001"),
    prints("exec_as_the_same", r#"pod; up "$(security '"run_as_user": {"value": 1000}')"; cri exec 0 $c id -u"#, "1000"),
    prints("capabilities_dropped", r#"pod; says "$(security '"capabilities": {"drop_capabilities": ["ALL"]}')" 'grep CapEff /proc/self/status'"#, "CapEff:\t0000000000000000"),
    prints("capabilities_added", r#"pod; says "$(security '"capabilities": {"drop_capabilities": ["ALL"], "add_capabilities": ["NET_ADMIN"]}')" 'grep CapEff /proc/self/status'"#, "CapEff:\t0000000000001000"),
    prints("seccomp_default", r#"pod; says "$(security '"seccomp": {"profile_type": 0}')" 'grep Seccomp: /proc/self/status'"#, "Seccomp:\t2").quick(),
    prints("seccomp_none", r#"pod; says "$(security '"seccomp": {"profile_type": 1}')" 'grep Seccomp: /proc/self/status'"#, "Seccomp:\t0"),
    has("seccomp_of_the_node", r#"echo '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}' > /run/$N; pod; says "$(security '"seccomp": {"profile_type": 2, "localhost_ref": "/run/'$N'"}')" 'mkdir /x'; rm /run/$N"#, "Operation not permitted"),
    prints("no_new_privileges", r#"pod; says "$(security '"no_new_privs": true')" 'grep NoNewPrivs /proc/self/status'"#, "NoNewPrivs:\t1"),
    has("read_only_root", r#"pod; says "$(security '"readonly_rootfs": true')" 'touch /x'"#, "Read-only file system").quick(),
    prints("masked_path", r#"pod; says "$(security '"masked_paths": ["/proc/version"]')" 'wc -c < /proc/version'"#, "0"),
    has("read_only_path", r#"pod; says "$(security '"readonly_paths": ["/proc/sys"]')" 'echo 1 > /proc/sys/kernel/panic'"#, "Read-only file system"),
    prints("privileged", r#"pod "$(security '"privileged": true')"; says "$(security '"privileged": true')" 'mount -t tmpfs none /tmp && echo mounted'"#, "mounted"),
    has("unprivileged", "pod; says '{}' 'mount -t tmpfs none /tmp'", "permission denied"),
    prints("apparmor_default", r#"pod; says "$(security '"apparmor": {"profile_type": 0}')" 'cat /proc/self/attr/apparmor/current'"#, "cri-containerd.apparmor.d (enforce)").needs(&["apparmor"]),
    prints("apparmor_none", r#"pod; says "$(security '"apparmor": {"profile_type": 1}')" 'cat /proc/self/attr/apparmor/current'"#, "unconfined").needs(&["apparmor"]),
    prints(
        "apparmor_of_the_node",
        r#"printf 'profile '$N' flags=(attach_disconnected) {\n file,\n network,\n capability,\n signal,\n deny /etc/passwd r,\n}\n' | apparmor_parser -r; pod
        says "$(security '"apparmor": {"profile_type": 2, "localhost_ref": "localhost/'$N'"}')" 'cat /proc/self/attr/apparmor/current; cat /etc/passwd 2>&1' | sed "s/$N/PROFILE/"
        cri stopp $p; echo "profile $N {}" | apparmor_parser -R"#,
        "PROFILE (enforce)\ncat: can't open '/etc/passwd': Permission denied",
    ).needs(&["apparmor"]),
    prints(
        "user_namespace",
        r#"ids='[{"host_id": 700000, "container_id": 0, "length": 65536}]'; options='"namespace_options": {"pid": 1, "userns_options": {"mode": 0, "uids": '$ids', "gids": '$ids'}}'
        pod "$(security "$options")"; says "$(security "$options")" 'cat /proc/self/uid_map; stat -c %u /etc/passwd' | awk '{$1 = $1} 1'"#,
        "0 700000 65536\n0",
    ).quick(),
    // what else a container may be given
    prints("environment", r#"pod; says '{"envs": [{"key": "A", "value": "b"}]}' 'echo $A'"#, "b"),
    prints("working_directory", r#"pod; says '{"working_dir": "/tmp"}' pwd"#, "/tmp"),
    prints("mount", r#"mkdir /run/$N; echo bound > /run/$N/f; pod; says '{"mounts": [{"container_path": "/b", "host_path": "/run/'$N'"}]}' 'cat /b/f'; rm -r /run/$N"#, "bound"),
    has("mount_read_only", r#"pod; says '{"mounts": [{"container_path": "/b", "host_path": "/etc", "readonly": true}]}' 'touch /b/x'"#, "Read-only file system"),
    prints(
        "mount_propagation",
        r#"mkdir /run/$N; mount -t tmpfs none /run/$N; mount --make-shared /run/$N; pod; up '{"mounts": [{"container_path": "/m", "host_path": "/run/'$N'", "propagation": 1}]}'
        mkdir /run/$N/late; mount -t tmpfs none /run/$N/late; touch /run/$N/late/x; cri exec 0 $c ls /m/late; umount -R /run/$N; rmdir /run/$N"#,
        "x",
    ),
    has("device", r#"pod; says '{"devices": [{"container_path": "/dev/fuse", "host_path": "/dev/fuse", "permissions": "rw"}]}' 'ls -l /dev/fuse'"#, "10, 229"),
    has("hooks", "p=$(cri runp $N orlop-hooks '{}'); up; grep -cF $c /run/hooks-createRuntime; cri stop $c 0; cri rm $c; grep -F $c /run/hooks-poststop", "\"status\":\"stopped\""),
    // many
    prints("ten_containers_at_once", "pod; for i in $(seq 10); do cri run $p c$i '{}' sleep 60 & done | wc -l; wait", "10"),
    prints("ten_pods_at_once", "for i in $(seq 10); do cri runp $N-$i $HANDLER '{}' & done | wc -l; wait", "10"),
    prints("containerd_restarted", "pod; up; systemctl restart containerd; soon 'cri state '$c' > /dev/null 2>&1'; cri exec 0 $c echo still here", "still here").alone(),
];
