#!/bin/sh
# conformance/spec/travel.sh ROOT DIR PLACE
#
# Puts the runc and the crun of ROOT, which benches/peers.sh made, into DIR with the libraries that they need: plain executables for a
# machine that finds DIR at PLACE, whatever its own C library is.
set -eu

[ $# -eq 3 ] || { echo "usage: $0 ROOT DIR PLACE" >&2; exit 2; }
root=$(cd "$1" && pwd) dir=$2 place=$3
lib=$(dirname "$(find "$root/usr/lib" -name libseccomp.so.2)")
loader=$(find "$lib" -maxdepth 1 -name 'ld-linux*.so.*')
mkdir -p "$dir"
for program in "$root/usr/sbin/runc" "$root/usr/bin/crun"; do
    copy=$dir/$(basename "$program")
    "$loader" --list "$program" | sed -n "s|.* => \($lib/.*\) (.*|\1|p" | while IFS= read -r library; do
        cp -L "$library" "$dir/"
    done
    cp "$program" "$copy"
    "$loader" --library-path "$lib" "$root/usr/bin/patchelf" \
        --set-interpreter "$place/$(basename "$loader")" --force-rpath --set-rpath "$place" "$copy"
done
cp -L "$loader" "$dir/"
