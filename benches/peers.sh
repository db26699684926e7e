#!/bin/sh
# benches/peers.sh DIR [SUITE...]
#
# Puts Debian's crun and runc of each suite (default: sid) into DIR/SUITE and makes them runnable on this machine,
# whatever its own C library is: DIR/SUITE/crun and DIR/SUITE/runc are plain executables whose interpreter and library
# path point into DIR/SUITE, so that a measurement contains no wrapper. DIR must not be moved afterwards.
#
# The packages come from the Debian mirror that apt is configured with. Their signatures are not checked, because an
# older machine lacks the keys of a newer suite: what this script fetches is for measurements on a scratch machine.
set -eu

[ $# -ge 1 ] || { echo "usage: $0 DIR [SUITE...]" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)
shift
[ $# -ge 1 ] || set -- sid

fetch() {
    suite=$1 root=$2
    command -v mmdebstrap >/dev/null || apt-get install -y --no-install-recommends mmdebstrap >&2
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | sort -u | head -n 1)
    [ -n "$mirror" ] || { echo "$0: apt has no Debian mirror; run apt-get update first" >&2; exit 1; }
    rm -rf "$root"
    mmdebstrap --quiet --variant=extract --include=crun,runc,patchelf "$suite" "$root" \
        "deb [trusted=yes check-valid-until=no] $mirror $suite main"
}

# Makes one program use the loader and the libraries that came with it.
adopt() {
    root=$1 program=$2
    lib=$(dirname "$(find "$root/usr/lib" -name libseccomp.so.2)")
    loader=$(find "$lib" -maxdepth 1 -name 'ld-linux*.so.*')
    "$loader" --library-path "$lib" "$root/usr/bin/patchelf" \
        --set-interpreter "$loader" --force-rpath --set-rpath "$lib" "$root/$program"
    ln -sf "$program" "$root/$(basename "$program")"
}

for suite in "$@"; do
    root=$dir/$suite
    # The link to runc is the last thing made: where it exists, the suite is complete.
    if [ ! -e "$root/runc" ]; then
        fetch "$suite" "$root"
        adopt "$root" usr/bin/crun
        adopt "$root" usr/sbin/runc
    fi
    for peer in crun runc; do
        version=$("$root/$peer" --version)
        echo "$root/$peer: $version" | head -n 1
    done
done
