#!/bin/sh
# benches/run.sh [rounds=N] [NAME=PROGRAM...]
#
# Builds Orlop and the floor, fetches the peers once, measures them side by side, and seccomp profiles beside libseccomp; writes
# docs/benchmarks. Further runtimes can be named; a youki that is installed takes part. Wants root, and a quiet machine.
# Containers need a cgroup2 mount at /sys/fs/cgroup: on a machine that has something else there, the measurement runs in
# a private mount namespace that has it.
set -eu

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
work=$target/benches
mkdir -p "$work"

tools/setup.sh strace libseccomp-dev musl-tools >&2
export CARGO_BUILD_TARGET="${CARGO_BUILD_TARGET:-$(tools/target.sh)}"
benches/peers.sh "$work/peers" >&2
# With musl, whose start is as good as nothing; the kernel's headers are the machine's.
musl-gcc -static -O2 -Wall -Wextra -Werror -idirafter /usr/include -idirafter "/usr/include/$(cc -print-multiarch)" \
    -o "$work/floor" benches/floor.c
cargo build --release >&2
cp "$target/$CARGO_BUILD_TARGET/release/orlop" "$work/orlop"
# What measures starts programs and waits for them. It gains nothing by an optimised build, which would take another minute.
cargo build --quiet --example compare >&2
cargo test --quiet --release --lib libseccomp_says_the_same -- --ignored --nocapture >"$work/seccomp"
youki=$(command -v youki || true)

. benches/lane.sh
lane "$target/$CARGO_BUILD_TARGET/debug/examples/compare" docs/benchmarks \
    orlop="$work/orlop" crun="$work/peers/sid/crun" runc="$work/peers/sid/runc" floor="$work/floor" \
    ${youki:+youki="$youki"} seccomp="$work/seccomp" "$@"
