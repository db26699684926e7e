#!/bin/sh
# conformance/spec/vm.sh [WORD...]
#
# Runs the suite in the machine of the VM lane (integration/vm/run.sh), which has systemd, all controllers of cgroup v2 and all of root's
# capabilities. The words are the suite's own. Orlop as built here is /lane/orlop there, and tried unless a runtime is named;
# --runtime crun=/usr/bin/crun and --runtime runc=/usr/sbin/runc are the guest's. Without words it is Orlop with the parts that a host
# may not be able to try.
set -eu

cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || set -- capabilities:: cgroup:: device_rules:: lifecycle:: ownership:: resources:: scheduling:: security:: unified::
cargo build --quiet --example probe
cargo build --quiet
suite=$(cargo test --quiet --test conformance --no-run --message-format=json | sed -n 's/.*"executable":"\([^"]*conformance-[^"]*\)".*/\1/p')
[ -x "$suite" ] || { echo "conformance: cargo names no program of the suite" >&2; exit 1; }
ORLOP_VM_SUITE=$suite ORLOP_VM_RUNTIME=$(dirname "$(dirname "$suite")")/orlop exec integration/vm/run.sh "$@"
