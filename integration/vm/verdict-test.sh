#!/bin/sh
# Shows that verdict.sh lets nothing pass that isn't: run by `make check`.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

start='lane: start Linux 6, systemd 257, controllers: cpu'
good='test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out'

# verdict STATUS TEXT LOG RESULTS [LATE]
verdict() {
    expected=$1 text=$2
    printf '%s\n' "$3" > "$work/log"
    printf '%b\n' "$4" > "$work/results"
    status=0
    "$here/verdict.sh" "$work/log" "$work/results" "${5-}" > "$work/said" 2>&1 || status=$?
    if [ "$status" != "$expected" ] || ! grep -q -- "$text" "$work/said"; then
        echo "verdict-test: expected $expected and '$text', got $status:" >&2
        cat "$work/said" >&2
        exit 1
    fi
}

verdict 0 '3 passed' 'quiet' "$start\n$good\nlane: exit 0"
verdict 0 '3 passed' 'quiet' "$start\r\n$good\r\nlane: exit 0\r"
verdict 1 'did not come up' 'quiet' ''
verdict 1 'did not come to its end' 'quiet' "$start\n$good"
verdict 1 'did not come to its end' 'quiet' "$start\n$good\nlane: exi"
verdict 1 'panicked' '[  1.0] Kernel panic - not syncing' "$start\n$good\nlane: exit 0"
verdict 1 'status is 101' 'quiet' "$start\ntest result: FAILED. 2 passed; 1 failed\nlane: exit 101"
verdict 1 'no case ran' 'quiet' "$start\ntest result: ok. 0 passed; 0 failed; 9 ignored\nlane: exit 0"
verdict 1 'no case ran' 'quiet' "$start\nlane: exit 0"
verdict 1 'took too long' 'quiet' "$start\nlane: exit 124"
verdict 1 'within 5 s' 'quiet' "$start\n$good" 'the machine did not end within 5 s'
echo "verdict-test: eleven endings are told apart"
