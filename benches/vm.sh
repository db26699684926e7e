#!/bin/sh
# benches/vm.sh
#
# What takes systemd or a cgroup controller, in the virtual machine: a run with the systemd driver beside the guest's crun, the peak of
# memory of a container with a limit of 512 KiB, and one whose pids.max is 1. The processor is emulated there, so that a ratio tells of
# instructions more than of time.
set -eu

cd "$(dirname "$0")/.."
export CARGO_BUILD_TARGET="${CARGO_BUILD_TARGET:-$(tools/target.sh)}"
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/benches"
cargo build --release
cat > "$target/benches/vm-cases" <<'END'
systemd_driver::beside_the_guests_crun
resources::half_a_mebibyte_starts_a_program
resources::one_process_is_enough
END
ORLOP_VM_RUNTIME=$target/$CARGO_BUILD_TARGET/release/orlop integration/vm/run.sh --only "$target/benches/vm-cases"
