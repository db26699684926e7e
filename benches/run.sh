#!/bin/sh
# benches/run.sh [rounds=N] [NAME=PROGRAM...]
#
# Builds Orlop and the floor, fetches the peers once, and measures them; seccomp profiles are measured beside libseccomp.
# Further runtimes can be named. Wants root.
# Containers need a cgroup2 mount at /sys/fs/cgroup: on a machine that has something else there, the measurement runs in
# a private mount namespace that has it.
set -eu

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
work=$target/benches
mkdir -p "$work"

tools/setup.sh strace libseccomp-dev >&2
benches/peers.sh "$work/peers" >&2
cc -static -O2 -Wall -Wextra -Werror -o "$work/floor" benches/floor.c
cargo build --release >&2
# A copy: cargo bench builds the program again, without panic=abort, in the same place.
cp "$target/$(rustc -vV | sed -n 's/^host: //p')/release/orlop" "$work/orlop"

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

lane cargo bench --quiet --bench compare -- \
    orlop="$work/orlop" crun="$work/peers/sid/crun" runc="$work/peers/sid/runc" floor="$work/floor" "$@"

# Into a file first: a pipe would hide that it failed.
cargo test --quiet --release --lib libseccomp_says_the_same -- --ignored --nocapture >"$work/seccomp"
printf '\n' && sed -n '/^## Seccomp/,/^|.*varied/p' "$work/seccomp"
