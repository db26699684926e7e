#!/bin/sh
# conformance/spec/tables.sh [DIR]
#
# Makes the tables of docs/conformance (or DIR): Orlop as built here, with Debian sid's runc and crun on this machine, and with the guest's
# in the virtual machine, which has the controllers that a host may lack. A row says of each runtime what both machines told.
set -eu

cd "$(dirname "$0")/../.."
out=${1:-docs/conformance}
target=${CARGO_TARGET_DIR:-target}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

benches/peers.sh "$target/benches/peers" >&2
cargo build --quiet --example probe
cargo build --quiet
suite=$(cargo test --quiet --test conformance --no-run --message-format=json | sed -n 's/.*"executable":"\([^"]*conformance-[^"]*\)".*/\1/p')
[ -x "$suite" ] || { echo "conformance: cargo names no program of the suite" >&2; exit 1; }
own=$(dirname "$(dirname "$suite")")/orlop
peers=$target/benches/peers/sid

# A peer that fails somewhere is what the table is for.
"$suite" --records --runtime "orlop=$own" --runtime "runc=$peers/runc" --runtime "crun=$peers/crun" > "$work/host" || true
"$suite" --differences --out "$work/out" --runtime "orlop=$own" --runtime "runc=$peers/runc" --runtime "crun=$peers/crun" > "$work/differences" || true
ORLOP_VM_SUITE=$suite ORLOP_VM_RUNTIME=$own ORLOP_VM_RESULTS=$work/vm \
    integration/vm/run.sh --records --runtime orlop=/lane/orlop --runtime runc=/usr/sbin/runc --runtime crun=/usr/bin/crun > "$work/vm.log" 2>&1 || true
for lane in host vm; do
    grep -q '^test result: ' "$work/$lane" || { echo "conformance: the $lane lane did not come to its end" >&2; tail -n 20 "$work/vm.log" >&2; exit 1; }
done

"$suite" --render "$work/host" --render "$work/vm" --out "$work/out"
mkdir -p "$out"
cp "$work/out/table.md" "$work/out/table.html" "$work/out/differences.md" "$out/"
