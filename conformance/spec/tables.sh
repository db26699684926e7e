#!/bin/sh
# conformance/spec/tables.sh [DIR]
#
# Makes the tables of docs/conformance (or DIR): Orlop as built here and Debian sid's runc and crun, all cases of each on this machine and
# in the virtual machine, which has what a host may lack: controllers, all of root's rights, the kernel's security modules. A row says of
# each runtime what both machines told. Says at the end how long each part took.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
out=${1:-docs/conformance}
target=${CARGO_TARGET_DIR:-target}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

begin=$(date +%s)
took() {
    now=$(date +%s)
    echo "conformance: $1: $((now - begin)) s" >&2
    begin=$now
}
suite() {
    cargo test --quiet --test conformance -- "$@"
}
# A peer that fails somewhere is what the table is for; a run that breaks off isn't.
ended() {
    grep -q '^test result: ' "$work/$1" || {
        echo "conformance: the run \"$1\" did not come to its end" >&2
        tail -n 20 "$work/$1.log" >&2
        exit 1
    }
}

benches/peers.sh "$target/benches/peers" >&2
peers=$target/benches/peers/sid
"$here/travel.sh" "$peers" "$work/peers" /lane/peers
cargo build --quiet --example probe
cargo test --quiet --test conformance --no-run
took "the runtimes"

export ORLOP_VM_SECONDS="${ORLOP_VM_SECONDS:-3600}"
ORLOP_VM_BRINGS=$work/peers ORLOP_VM_RESULTS=$work/vm "$here/vm.sh" --records \
    --runtime orlop=/lane/orlop --runtime runc=/lane/peers/runc --runtime crun=/lane/peers/crun > "$work/vm.log" 2>&1 || true
ended vm
took "in the virtual machine"

three="--runtime orlop --runtime runc=$peers/runc --runtime crun=$peers/crun"
suite --records $three > "$work/host" 2> "$work/host.log" || true
ended host
took "on this machine"
suite --differences --out "$work/out" $three > "$work/differences" 2> "$work/differences.log" || true
ended differences
took "what differs"

suite --render "$work/host" --render "$work/vm" --out "$work/out"
mkdir -p "$out"
cp "$work/out/table.md" "$work/out/table.html" "$work/out/differences.md" "$out/"
