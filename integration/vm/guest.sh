#!/bin/sh
# Runs in the guest, from the second disk: the suite, with all that it says on the second serial port.
. /lane/settings
echo "lane: start Linux $(uname -r), systemd $(systemctl --version | sed -n '1s/systemd \([0-9]*\).*/\1/p'), controllers: $(cat /sys/fs/cgroup/cgroup.controllers)"
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
# /tmp is in memory here, and some cases want a disk.
export TMPDIR=/var/tmp
export ORLOP_TEST_RUNTIME=$runtime ORLOP_TEST_PATIENCE=$patience ORLOP_TEST_ROUNDS=$rounds
if [ -e /lane/shell ]; then
    setsid -c sh -i < /dev/ttyS1 > /dev/ttyS1 2>&1
    exit
fi
[ ! -e /lane/only ] || export ORLOP_TEST_ONLY=/lane/only
set --
while IFS= read -r word; do set -- "$@" "$word"; done < /lane/words
if [ -e /lane/suite ]; then
    export ORLOP_ENGINES_MACHINE=1
    [ -z "$quick" ] || export ORLOP_ENGINES_QUICK=1
    timeout -k 20 "$limit" /lane/suite --test-threads=2 "$@"
else
    timeout -k 20 "$limit" /lane/deps/integration --test-threads=2 "$@"
fi
echo "lane: exit $?"
sync
