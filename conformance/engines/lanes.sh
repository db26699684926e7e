#!/bin/sh
# conformance/engines/lanes.sh [--runtime PATH]
#
# Runs all cases: on this host, and in the virtual machine those that the host could not run. Then says which no lane could run; with
# ORLOP_TEST_STRICT=1 there may be none.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

status=0
ORLOP_ENGINES_RESULTS=$work/host "$here/run.sh" "$@" || status=1
ignored() {
    sed -n 's/^test \(\[.*\] *\)\{0,1\}\([a-z_]*::[a-z_]*\) *\.\.\. ignored.*/\2/p' "$1" | sort
}
ignored "$work/host" > "$work/only"
echo "engines: $(wc -l < "$work/only") cases that the host can't run"
[ -s "$work/only" ] || exit "$status"

ORLOP_ENGINES_ONLY=$work/only ORLOP_VM_RESULTS=$work/machine "$here/run.sh" --vm "$@" || status=1
if [ -s "$work/machine" ]; then
    ignored "$work/machine" > "$work/never"
    if [ -s "$work/never" ]; then
        echo "engines: no lane could run: $(paste -s -d ' ' "$work/never")"
        [ "${ORLOP_TEST_STRICT-}" != 1 ] || status=1
    fi
fi
exit "$status"
