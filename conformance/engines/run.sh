#!/bin/sh
# conformance/engines/run.sh [--vm | --shell] [--runtime PATH] [FILTER...]
#
# Runs the cases on a machine made for them: the guest of the VM lane, whose systemd is booted as pid 1 of private namespaces on this
# host, at full speed; with --vm in the virtual machine. What the host's kernel or its cgroups can't do is told as ignored, and is
# for the virtual machine. PATH is a static program (Orlop, as built here, unless it is said), or of the guest: guest:/usr/sbin/runc.
# ORLOP_ENGINES_QUICK=1 takes the selection of `make test`; ORLOP_ENGINES_ONLY is a file of names for --vm; what the suite says is also put
# into the file ORLOP_ENGINES_RESULTS, or ORLOP_VM_RESULTS for --vm. --shell has the engines set up and gives a shell there instead.
#
# Nothing of this machine changes: the guest's tree is the lower layer of an overlay in memory, and all that engines store goes to a
# directory that is removed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
limit=${ORLOP_ENGINES_SECONDS:-1500}

vm= shell= runtime=
while :; do
    case ${1-} in
    --vm) vm=yes; shift ;;
    --shell) shell=yes; shift ;;
    --runtime) runtime=$2; shift 2 ;;
    *) break ;;
    esac
done

image=$(integration/vm/image.sh)
cargo build --quiet
suite=$(cargo test --quiet --test engines --no-run --message-format=json | sed -n 's/.*"executable":"\([^"]*engines-[^"]*\)".*/\1/p')
[ -x "$suite" ] || { echo "engines: cargo names no program of the suite" >&2; exit 1; }
own=$(dirname "$(dirname "$suite")")/orlop
client=$(cargo build --quiet --manifest-path "$here/cri/Cargo.toml" --target-dir "${CARGO_TARGET_DIR:-target}/cri" --message-format=json |
    sed -n 's/.*"executable":"\([^"]*\/cri\)".*/\1/p')
[ -x "$client" ] || { echo "engines: cargo names no client of the CRI" >&2; exit 1; }

if [ -n "$vm" ]; then
    [ -z "${ORLOP_ENGINES_ONLY-}" ] || set -- --only "$ORLOP_ENGINES_ONLY" "$@"
    ORLOP_VM_SUITE=$suite ORLOP_VM_BRINGS=$client ORLOP_VM_RUNTIME=${runtime:-$own} exec integration/vm/run.sh "$@"
fi

[ "$(id -u)" = 0 ] || { echo "engines: needs root" >&2; exit 1; }
# On a disk: an overlay can't be the upper layer of another one.
work=$(mktemp -d /var/tmp/orlop-engines.XXXXXX)
trap 'rm -rf "$work"' EXIT
mkdir "$work/lane" "$work/data" "$work/tree"
cp "$suite" "$work/lane/engines"
cp "$client" "$work/lane/cri"
case $runtime in
guest:*) inside=${runtime#guest:} ;;
*) cp "${runtime:-$own}" "$work/lane/runtime" && inside=/lane/runtime ;;
esac

# A cgroup of its own, so that nothing of this host's is below the root that the machine's systemd takes for its own.
cgroup=$(awk '$3 == "cgroup2" {print $2; exit}' /proc/self/mounts)/orlop-engines.$$
mkdir "$cgroup"
remove_cgroup() {
    echo 1 > "$cgroup/cgroup.kill"
    find "$cgroup" -depth -type d | while read -r dir; do
        tries=0
        until rmdir "$dir" 2> /dev/null || [ "$tries" = 100 ]; do tries=$((tries + 1)); sleep 0.05; done
    done
    [ ! -d "$cgroup" ] || echo "engines: $cgroup is still in use" >&2
}
# The machine ends with unshare, which minds no other signal than this.
sh -c 'echo $$ > "$0/cgroup.procs" && exec "$@"' "$cgroup" \
    unshare --mount --uts --ipc --net --cgroup --pid --fork --kill-child --propagation private \
    sh "$here/boot.sh" "$image/guest" "$work" > "$work/log" 2>&1 &
outer=$!
trap 'kill -KILL "$outer" 2> /dev/null || true; wait "$outer" 2> /dev/null || true; remove_cgroup; rm -rf "$work"' EXIT
trap 'exit 143' HUP INT TERM

pid=
enter() {
    nsenter --target "$pid" --all --root --wd env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "$@"
}
waited=0
until [ -n "$pid" ] && enter systemctl is-system-running 2> /dev/null | grep -qE 'running|degraded'; do
    pid=$(cat "/proc/$outer/task/$outer/children" 2> /dev/null | tr -d ' ' || true)
    waited=$((waited + 1))
    if [ "$waited" -gt 300 ] || ! kill -0 "$outer" 2> /dev/null; then
        echo "engines: the machine did not come up:" >&2
        tail -n 30 "$work/log" >&2
        exit 1
    fi
    sleep 0.1
done

run_suite() {
    enter timeout -k 20 "$limit" env ORLOP_ENGINES_MACHINE=1 ORLOP_TEST_RUNTIME="$inside" ${ORLOP_ENGINES_QUICK:+ORLOP_ENGINES_QUICK=1} \
        /lane/engines --test-threads="${ORLOP_ENGINES_THREADS:-2}" "$@"
}
if [ -n "$shell" ]; then
    run_suite --list > "$work/log.set-up"
    enter sh
    exit
fi

# What it says is kept for whoever compares lanes or runtimes.
status=0
: > "$work/results"
tail -n +1 -f --pid=$$ "$work/results" &
teller=$!
run_suite "$@" > "$work/results" || status=$?
sleep 0.2
kill "$teller"
[ -z "${ORLOP_ENGINES_RESULTS-}" ] || cp "$work/results" "$ORLOP_ENGINES_RESULTS"
[ "$status" = 0 ] || { echo "engines: the suite's status is $status; the machine's log ends with:" >&2; tail -n 20 "$work/log" >&2; }
exit "$status"
