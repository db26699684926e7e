#!/bin/sh
# benches/order.sh
#
# Finds out which functions the start and end of containers enter, and writes them down for the linker: tools/order.ld. Wants root,
# x86-64, and a cgroup2 mount at /sys/fs/cgroup as benches/run.sh does.
set -eu

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
export CARGO_BUILD_TARGET="${CARGO_BUILD_TARGET:-$(tools/target.sh)}"
tools/setup.sh musl-tools >&2
cargo rustc --release --bin orlop -- -C strip=none >&2
cargo build --quiet --example compare >&2

. benches/lane.sh
lane "$target/$CARGO_BUILD_TARGET/debug/examples/compare" order tools/order.ld "$target/$CARGO_BUILD_TARGET/release/orlop"
