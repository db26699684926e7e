#!/bin/sh
# conformance/engines/boot.sh GUEST WORK
#
# Becomes the pid 1 of a machine without a kernel of its own: run.sh has put it into new namespaces. GUEST is the tree to boot, WORK has
# lane/ (what is under test), data/ (what engines store) and tree/ (an empty directory).
set -eu
guest=$1 work=$2

mount -t tmpfs tmpfs "$work/tree"
mkdir "$work/tree/upper" "$work/tree/layer" "$work/tree/root"
mount -t overlay overlay -o "lowerdir=$guest,upperdir=$work/tree/upper,workdir=$work/tree/layer" "$work/tree/root"
cd "$work/tree/root"

mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
# crun gives /dev/null to whoever a program runs as. In a directory that everybody may write to, as a tmpfs is by itself, nobody else could
# open it with O_CREAT any more: the kernel protects what others own there.
mount -t tmpfs -o mode=755 tmpfs dev
while read -r name major minor; do
    mkdir -p "$(dirname "dev/$name")"
    mknod -m 666 "dev/$name" c "$major" "$minor"
done << NODES
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
fuse 10 229
net/tun 10 200
NODES
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
mount -t tmpfs tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for engine in docker containerd containers; do
    mkdir -p "$work/data/$engine" "var/lib/$engine"
    mount --bind "$work/data/$engine" "var/lib/$engine"
done
mkdir -p "$work/data/home" home lane
mount --bind "$work/data/home" home
mount --bind "$work/lane" lane
# There is no hardware, no clock and no console to look after.
for unit in systemd-udevd.service systemd-udevd-kernel.socket systemd-udevd-control.socket systemd-networkd.service systemd-timesyncd.service \
    systemd-journald-audit.socket systemd-udev-trigger.service systemd-modules-load.service systemd-sysctl.service lane.service \
    getty.target console-getty.service; do
    ln -sf /dev/null "etc/systemd/system/$unit"
done
ln -sf /lib/systemd/system/multi-user.target etc/systemd/system/default.target
hostname deck
ip link set lo up
mkdir -p oldroot
pivot_root . oldroot
umount -l /oldroot
exec env -i container=lane PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --log-target=console --log-level=warning --show-status=false
