#!/bin/sh
# integration/vm/run.sh [--shell | --only FILE] [FILTER...]
#
# Runs the integration suite in a virtual machine: a real systemd, every cgroup v2 controller, all of root's capabilities. FILTER and
# further words are the test runner's own. --only runs the cases that FILE names, a line each, and those of the modules that it
# names (`cgroup::`). --shell gives a root shell there instead (leave it with `poweroff -f`). Another program than the integration suite
# (conformance/engines/run.sh has one) is named by ORLOP_VM_SUITE, with a file or a directory that it needs beside it as ORLOP_VM_BRINGS,
# and the runtime that it is to test as ORLOP_VM_RUNTIME: a static program, or guest:/path for one of the guest's own.
#
# What is under test travels in on a disk made for this run; the image itself is not changed. The suite writes to the guest's second
# serial port, systemd and the kernel to the first. Only a log with the suite's last line and the status 0 in it is a pass: a guest
# that doesn't boot, hangs, panics or stops in between has failed, and its own log says why.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."

# How long the whole of it may take, and how much longer than on a real machine the suite may wait for anything.
limit=${ORLOP_VM_SECONDS:-1500}
patience=${ORLOP_TEST_PATIENCE:-8}

shell= only=
case ${1-} in
--shell) shell=yes; shift ;;
--only) only=$2; shift 2 ;;
esac

image=$("$here/image.sh")
suite=${ORLOP_VM_SUITE-}
if [ -z "$suite" ]; then
    cargo build --quiet --example probe
    cargo build --quiet
    suite=$(cargo test --quiet --test integration --no-run --message-format=json | sed -n 's/.*"executable":"\([^"]*integration-[^"]*\)".*/\1/p')
fi
[ -x "$suite" ] || { echo "vm: cargo names no program of the suite" >&2; exit 1; }
built=$(dirname "$(dirname "$suite")")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# A shell that a signal ends would leave the machine running.
trap 'exit 143' HUP INT TERM
mkdir -p "$work/lane/deps" "$work/lane/examples"
runtime=${ORLOP_VM_RUNTIME:-$built/orlop}
case $runtime in
guest:*) runtime=${runtime#guest:} ;;
*) cp "$runtime" "$work/lane/orlop" && runtime=/lane/orlop ;;
esac
if [ -n "${ORLOP_VM_SUITE-}" ]; then
    cp "$suite" "$work/lane/suite"
    [ ! -x "$built/examples/probe" ] || cp "$built/examples/probe" "$work/lane/probe"
    [ -z "${ORLOP_VM_BRINGS-}" ] || cp -R "$ORLOP_VM_BRINGS" "$work/lane/"
else
    cp "$suite" "$work/lane/deps/integration"
    cp "$built/examples/probe" "$work/lane/examples/probe"
fi
for word in "$@"; do printf '%s\n' "$word"; done > "$work/lane/words"
cp "$here/guest.sh" "$work/lane/start"
printf 'limit=%s\npatience=%s\nrounds=%s\nruntime=%s\nquick=%s\n' "$((limit - 60))" "$patience" "${ORLOP_TEST_ROUNDS-}" "$runtime" \
    "${ORLOP_ENGINES_QUICK-}" > "$work/lane/settings"
[ -z "$shell" ] || touch "$work/lane/shell"
[ -z "$only" ] || cp "$only" "$work/lane/only"
size=$(($(du -sm "$work/lane" | cut -f 1) * 5 / 4 + 16))
mke2fs -q -t ext4 -d "$work/lane" "$work/lane.img" "${size}M" > "$work/mke2fs"

# The emulator's own loader and libraries: it is of another release than this machine.
lib=$image/qemu/usr/lib/x86_64-linux-gnu
qemu() {
    QEMU_MODULE_DIR=$lib/qemu "$(find "$lib" -maxdepth 1 -name 'ld-linux*.so.*')" --library-path "$lib:$lib/pulseaudio" \
        "$image/qemu/usr/bin/qemu-system-x86_64" -L "$image/qemu/usr/share/qemu" -L "$image/qemu/usr/share/seabios" \
        -accel tcg,thread=multi -cpu qemu64 -smp 2 -m 2048 -nodefaults -display none -no-reboot \
        -kernel "$image/vmlinuz" -initrd "$image/initrd.img" \
        -append "console=ttyS0 root=/dev/vda rw panic=-1 quiet mitigations=off systemd.show_status=no" \
        -drive "file=$image/disk.img,format=raw,if=virtio,cache=unsafe,snapshot=on" \
        -drive "file=$work/lane.img,format=raw,if=virtio,readonly=on" "$@"
}

if [ -n "$shell" ]; then
    qemu -serial "file:$work/log" -serial mon:stdio
    exit
fi

: > "$work/log"
: > "$work/results"
qemu -serial "file:$work/log" -serial "file:$work/results" &
machine=$!
trap 'kill "$machine" 2> /dev/null; rm -rf "$work"' EXIT
# The suite's lines as they come.
tail -n +1 -f --pid="$machine" "$work/results" 2> /dev/null | sed -u -e 's/\r$//' -e '/^lane: /d' &
waited=0
while kill -0 "$machine" 2> /dev/null && [ "$waited" -lt "$limit" ]; do
    sleep 1
    waited=$((waited + 1))
done
late=
if kill -0 "$machine" 2> /dev/null; then
    late="the machine did not end within $limit s"
    kill "$machine"
fi
wait || true
trap 'rm -rf "$work"' EXIT

# For whoever compares the lanes, whatever the verdict is.
[ -z "${ORLOP_VM_RESULTS-}" ] || tr -d '\r' < "$work/results" > "$ORLOP_VM_RESULTS"
"$here/verdict.sh" "$work/log" "$work/results" "$late"
