# Read by other scripts. `lane COMMAND...` runs a command where /sys/fs/cgroup is a cgroup2 mount: on a machine that has something else
# there, in a private mount namespace that has it.
lane() {
    if [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then
        "$@"
    else
        unshare --mount --propagation private sh -euc '
            umount --recursive /sys/fs/cgroup
            mount -t cgroup2 cgroup2 /sys/fs/cgroup
            exec "$@"' lane "$@"
    fi
}
