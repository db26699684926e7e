#!/bin/sh
# integration/vm/image.sh
#
# Makes what the VM lane boots, once, and prints where it is: a Debian guest with systemd and container engines (disk.img, vmlinuz,
# initrd.img; guest/ is the same as a directory, for what boots it without a machine) and a QEMU to run it with (qemu/). Both are made
# from the same suite of Debian, by mmdebstrap, from the mirror that apt is configured with.
#
# QEMU 7.2 of Debian 12 corrupts the memory of guests that it emulates; 10.0 of Debian 13 does not. So the lane brings its own.
#
# They are kept in ${ORLOP_VM_CACHE:-~/.cache/orlop/vm}/HASH, where HASH is that of this script and the list of packages. A directory
# of that name is complete: it is made beside, and renamed when all is there.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
suite=trixie

[ "$(uname -m)" = x86_64 ] || { echo "the VM lane has a guest for x86_64 only" >&2; exit 1; }

cache=${ORLOP_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/orlop/vm}
image=$cache/$(cat "$here/image.sh" "$here/packages" | sha256sum | cut -c 1-16)
if [ -d "$image" ]; then
    echo "$image"
    exit
fi

"$here/../../tools/setup.sh" mmdebstrap e2fsprogs >&2
mkdir -p "$cache"
# One at a time; whoever waited finds it done.
exec 9> "$cache/lock"
flock 9
[ ! -d "$image" ] || { echo "$image"; exit; }
# What an interrupted build left, of this version or another.
rm -rf "$cache"/new.*
new=$(mktemp -d "$cache/new.XXXXXX")
trap 'rm -rf "$new"' EXIT

mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | sort -u | head -n 1)
[ -n "$mirror" ] || { apt-get update -qq >&2
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | sort -u | head -n 1); }
[ -n "$mirror" ] || { echo "apt has no Debian mirror to take the guest from" >&2; exit 1; }
# An older machine lacks the keys of a newer suite. The guest has no network, and the emulator nothing but the guest.
source="deb [trusted=yes check-valid-until=no] $mirror $suite main"

echo "vm: making the emulator" >&2
mmdebstrap --quiet --variant=extract --include=qemu-system-x86,seabios "$suite" "$new/qemu" "$source" >&2

echo "vm: making the guest" >&2
packages=$(sed '/^#/d' "$here/packages" | paste -s -d ,)
mmdebstrap --quiet --variant=minbase --include="$packages" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    "$suite" "$new/guest" "$source" >&2

# The one unit of its own starts what the second disk brings. Nothing else asks for attention.
cat > "$new/guest/etc/systemd/system/lane.service" <<'UNIT'
[Unit]
Description=What the second disk brings
After=multi-user.target
[Service]
Type=oneshot
Delegate=yes
ExecStartPre=/bin/mkdir -p /lane
ExecStartPre=/bin/mount -o ro /dev/vdb /lane
ExecStart=/lane/start
ExecStopPost=/bin/systemctl poweroff --force --force
StandardInput=null
StandardOutput=file:/dev/ttyS1
StandardError=file:/dev/ttyS1
[Install]
WantedBy=default.target
UNIT
ln -sf /etc/systemd/system/lane.service "$new/guest/etc/systemd/system/multi-user.target.wants/lane.service"
for unit in getty@tty1.service serial-getty@ttyS0.service apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service \
    fstrim.timer dpkg-db-backup.timer systemd-firstboot.service systemd-tmpfiles-clean.timer; do
    ln -sf /dev/null "$new/guest/etc/systemd/system/$unit"
done
# Engines run where cases are about them.
rm -f "$new/guest/etc/systemd/system/"*.wants/docker.* "$new/guest/etc/systemd/system/"*.wants/containerd.* \
    "$new/guest/etc/systemd/system/"*.wants/podman*
echo guest > "$new/guest/etc/hostname"
mv "$(find "$new/guest/boot" -name 'vmlinuz-*')" "$new/vmlinuz"
mv "$(find "$new/guest/boot" -name 'initrd.img-*')" "$new/initrd.img"
mke2fs -q -t ext4 -d "$new/guest" "$new/disk.img" 6G >&2

rm -rf "$image"
mv "$new" "$image"
chmod 755 "$image"
echo "$image"
