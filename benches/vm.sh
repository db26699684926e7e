#!/bin/sh
# benches/vm.sh
#
# What takes systemd or a cgroup controller, in the virtual machine, beside the guest's crun: a run with the systemd driver, the smallest
# memory.max that starts a program, a pids.max of 1. Writes docs/benchmarks/vm.md. The processor is emulated there, so that a ratio
# tells of instructions more than of time.
set -eu

cd "$(dirname "$0")/.."
export CARGO_BUILD_TARGET="${CARGO_BUILD_TARGET:-$(tools/target.sh)}"
target=${CARGO_TARGET_DIR:-target}
results=$target/benches/vm-results
mkdir -p "$target/benches"
cargo build --release
echo measured::beside_the_guests_crun > "$target/benches/vm-cases"
ORLOP_VM_RUNTIME=$target/$CARGO_BUILD_TARGET/release/orlop ORLOP_VM_RESULTS=$results ORLOP_TEST_ROUNDS=${ROUNDS:-20} \
    integration/vm/run.sh --only "$target/benches/vm-cases"

guest=$(sed -n 's/^lane: start \(.*\), controllers.*/\1/p' "$results")
crun=$(sed -n 's/^measured with: //p' "$results")
page=$target/benches/vm.md
cat > "$page" <<END
# In the virtual machine

Written by \`make bench-vm\`. What takes systemd or cgroup controllers, in the guest in which \`make vm-test\` runs. Its processor is
emulated: a ratio tells of instructions, and a time of nothing but itself. What is measured runs interleaved, alone.

$(date +%F), $guest, $crun.

| what | goal | ratio | Orlop | crun |
|---|---|--:|--:|--:|
END
sed -n 's/^measured: //p' "$results" >> "$page"
mv "$page" docs/benchmarks/vm.md
