# SPDX-License-Identifier: MIT
# Process 1 of the guest after initrd.sh: makes the machine whole, runs the command that guest.py
# left in build/, hands its exit status back and switches off.
root=$1
run=$root/build/$2
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8

# /tmp and /run are the guest's own; the repository stays in its place, also when that is there.
mkdir -p /mnt/root
mount --rbind "$root" /mnt/root
mount -t tmpfs -o mode=1777 tmp /tmp
mount -t tmpfs -o mode=755 run /run
if [ ! -e "$root" ]; then
    mkdir -p "$root"
    mount --rbind /mnt/root "$root"
fi
mkdir -p /dev/pts /dev/shm /run/lock
mount -t devpts -o gid=5,mode=620 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t cgroup2 cgroup /sys/fs/cgroup 2>/dev/null
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
ln -sf /proc/self/fd/1 /dev/stdout
ln -sf /proc/self/fd/2 /dev/stderr
hostname guest
ip link set lo up
ulimit -n 1048576
for m in l2tp_core l2tp_netlink l2tp_ppp l2tp_eth l2tp_ip l2tp_ip6 pppox ppp_generic ppp_async \
    pppoe ppp_mppe tun veth bridge 8021q; do
    modprobe $m || echo "init: there is no module $m"
done
for port in /sys/class/virtio-ports/*; do
    [ "$(cat "$port/name")" = out ] && out=/dev/${port##*/}
done
cat >/run/adit-command <<EOF
exec 3>"$out"
echo "guest: $(uname -r)" >&3
setsid -w sh "$run/cmd" >&3 2>&3 3>&- </dev/null
echo \$? >"$run/status.new"
mv "$run/status.new" "$run/status"
sync
echo o >/proc/sysrq-trigger
while :; do sleep 1; done
EOF
if ! grep -q adit.systemd /proc/cmdline; then
    exec sh /run/adit-command
fi

# With systemd as process 1: the command is a service of it, and nothing else is started but what
# every system has.
mkdir -p /run/systemd/system
cat >/run/systemd/system/adit-command.service <<EOF
[Unit]
Wants=basic.target systemd-journald.service
After=basic.target systemd-journald.service
[Service]
Environment=HOME=/root LANG=C.UTF-8
LimitNOFILE=1048576
ExecStart=/bin/sh /run/adit-command
EOF
# What would wait for devices or consoles that are not there.
for unit in systemd-udevd systemd-udev-trigger systemd-firstboot systemd-remount-fs \
    systemd-random-seed systemd-resolved systemd-timesyncd systemd-networkd systemd-pstore \
    ldconfig systemd-journal-catalog-update systemd-update-done systemd-hwdb-update \
    systemd-machine-id-commit; do
    ln -sf /dev/null "/run/systemd/system/$unit.service"
done
: >/etc/fstab
exec /lib/systemd/systemd --system --unit=adit-command.service --show-status=no \
    --log-level=notice --log-target=journal-or-kmsg
