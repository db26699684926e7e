#!/bin/sh
# integration/vm/verdict.sh LOG RESULTS [LATE]
#
# What a run of the virtual machine was worth: 0 only when the suite ran to its end there and nothing failed. LOG is what the machine
# said (first serial port), RESULTS what the suite said (second), LATE why the machine was stopped from outside.
set -eu

log=$1 results=$(mktemp) late=${3-}
trap 'rm -f "$results"' EXIT
tr -d '\r' < "$2" > "$results"

fail() {
    echo "vm: FAILED: $1" >&2
    echo "vm: the machine's log ends with:" >&2
    tail -n 40 "$log" | tr -d '\r' | sed 's/^/    /' >&2
    exit 1
}

status=$(sed -n 's/^lane: exit \([0-9]*\)$/\1/p' "$results")
if grep -q 'Kernel panic' "$log"; then
    fail "the guest's kernel panicked"
fi
if [ -z "$status" ]; then
    [ -z "$late" ] || fail "$late"
    grep -q '^lane: start' "$results" || fail "the guest did not come up"
    fail "the suite did not come to its end"
fi
passed=$(sed -n 's/^test result: .* \([0-9]*\) passed;.*/\1/p' "$results")
case $status in
0) [ "${passed:-0}" -gt 0 ] || fail "no case ran" ;;
124 | 137) fail "the suite took too long" ;;
*) fail "the suite's status is $status" ;;
esac
echo "vm: $(sed -n 's/^lane: start //p' "$results"): $passed passed"
