#!/bin/busybox sh
# First program of the guest (tests/vm/guest.py): finds the root by 9p and goes there.
PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for m in /modules/*; do
    insmod "$m" || echo "initrd: $m cannot be loaded"
done
for word in $(cat /proc/cmdline); do
    case $word in
    adit.root=*) root=${word#*=} ;;
    adit.run=*) run=${word#*=} ;;
    esac
done

mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir /mnt/host /mnt/layer /mnt/upper /mnt/work /mnt/new
share() {
    mount -t 9p -o "trans=virtio,version=9p2000.L,msize=512000,$3" "$1" "$2"
}
share host /mnt/host ro,cache=loose
share layer /mnt/layer ro,cache=loose
mount -t overlay -o lowerdir=/mnt/layer:/mnt/host,upperdir=/mnt/upper,workdir=/mnt/work root /mnt/new
share build "/mnt/new$root/build" cache=loose
for d in proc sys dev; do
    mount --move /$d /mnt/new/$d
done
exec switch_root /mnt/new /bin/sh "$root/tests/vm/init.sh" "$root" "$run"
