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
# HOST-LOG is that of libtest's --logfile: `ignored NAME`, `ok NAME`.
sed -n 's/^ignored \([^ ]*\).*/\1/p' "$host" | sort > "$work/ignored"
{ cat "$work/ignored"; printf '%s\n' $modules; } > "$work/only"

echo "vm: $(wc -l < "$work/ignored") cases that the host can't run, and: $modules"
ORLOP_VM_RESULTS=$work/results "$here/run.sh" --only "$work/only"

sed -n 's/^test \([^ ]*\) *\.\.\. ignored.*/\1/p' "$work/results" | sort > "$work/both"
comm -12 "$work/ignored" "$work/both" > "$work/never"
if [ -s "$work/never" ]; then
    echo "vm: no lane could run: $(paste -s -d ' ' "$work/never")"
    [ "${ORLOP_TEST_STRICT-}" != 1 ] || exit 1
fi
