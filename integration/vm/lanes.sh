#!/bin/sh
# integration/vm/lanes.sh HOST-LOG
#
# Runs in the virtual machine what the host could not: the cases that its log calls ignored, and those of the modules below, whatever
# the host made of them. Then says which cases no lane could run. With ORLOP_TEST_STRICT=1 there may be none.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
host=$1
# What rests on the whole cgroup tree, on systemd, or on root's full rights.
modules='cgroup:: delete:: events:: features:: lifecycle:: pause:: resources:: rlimits:: rootless:: scheduling:: state:: update::'

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# HOST-LOG and the machine's results are the runner's lines: `test NAME ... ignored (needs …)`, and its closing one, which counts them.
ignored() {
    sed -n 's/^test \([^ ]*\) *\.\.\. ignored.*/\1/p' "$1" | sort
}
ignored "$host" > "$work/ignored"
counted=$(sed -n 's/^test result: .* \([0-9]*\) ignored;.*/\1/p' "$host")
[ "$counted" = "$(wc -l < "$work/ignored")" ] || { echo "vm: $host counts ${counted:-no} ignored cases, and names others" >&2; exit 1; }
{ cat "$work/ignored"; printf '%s\n' $modules; } > "$work/only"

echo "vm: $(wc -l < "$work/ignored") cases that the host can't run, and: $modules"
ORLOP_VM_RESULTS=$work/results "$here/run.sh" --only "$work/only"

ignored "$work/results" > "$work/both"
comm -12 "$work/ignored" "$work/both" > "$work/never"
if [ -s "$work/never" ]; then
    echo "vm: no lane could run: $(paste -s -d ' ' "$work/never")"
    [ "${ORLOP_TEST_STRICT-}" != 1 ] || exit 1
fi
