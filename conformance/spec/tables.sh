#!/bin/sh
# conformance/spec/tables.sh [DIR]
#
# Makes the tables of docs/conformance (or DIR): Orlop as built here, with Debian sid's runc and crun on this machine, and with the guest's
# in the virtual machine: those parts that rest on controllers, on all of root's rights or on the kernel's security modules, which a host
# may lack. A row says of each runtime what both machines told.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
parts='capabilities:: cgroup:: device_rules:: lifecycle:: ownership:: resources:: scheduling:: security:: unified::'
out=${1:-docs/conformance}
target=${CARGO_TARGET_DIR:-target}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

benches/peers.sh "$target/benches/peers" >&2
cargo build --quiet --example probe
suite() {
    cargo test --quiet --test conformance -- "$@"
}
three="--runtime orlop --runtime runc=$target/benches/peers/sid/runc --runtime crun=$target/benches/peers/sid/crun"

# A peer that fails somewhere is what the table is for.
suite --records $three > "$work/host" || true
suite --differences --out "$work/out" $three > "$work/differences" || true
ORLOP_VM_RESULTS=$work/vm "$here/vm.sh" --records --runtime orlop=/lane/orlop --runtime runc=/usr/sbin/runc --runtime crun=/usr/bin/crun \
    $parts > "$work/vm.log" 2>&1 || true
for lane in host differences vm; do
    grep -q '^test result: ' "$work/$lane" || {
        echo "conformance: the run \"$lane\" did not come to its end" >&2
        tail -n 20 "$work/vm.log" >&2
        exit 1
    }
done

suite --render "$work/host" --render "$work/vm" --out "$work/out"
mkdir -p "$out"
cp "$work/out/table.md" "$work/out/table.html" "$work/out/differences.md" "$out/"
