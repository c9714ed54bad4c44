#!/bin/sh
# Install the Debian packages that building, testing, measuring or fuzzing needs. Says what it
# installs; does nothing when all is there. No service is started by it, and none that it brings is
# left enabled.
#
#   tools/setup.sh [build|demo|guest|test|bench|fuzz|lint]    build when nothing is said
#
# What stands in the variables is what doc/architecture.md names, and what the tests call.
set -eu

build='gcc libc6-dev make meson ninja-build pkg-config libuv1-dev libmnl-dev nettle-dev
    libconfuse-dev libjansson-dev libseccomp-dev scdoc'
run='iproute2 iputils-ping procps util-linux python3'
clang='clang llvm libclang-rt-dev libcmocka-dev'
lint='clang-format g++ libcmocka-dev'
peers='python3-pytest python3-pytest-xdist python3-scapy python3-pyroute2 tshark tcpdump nftables l2tpns iperf3 ethtool'
# The guest's kernel and the peers that need it are unpacked below build/ by tests/vm/guest.py.
vm='qemu-system-x86 systemd-sysv'
cross='gcc-i686-linux-gnu libc6-dev-i386-cross gcc-s390x-linux-gnu libc6-dev-s390x-cross
    musl-tools qemu-user dpkg-dev patch debian-archive-keyring'

purpose=${1:-build}
case $purpose in
build) packages="$build" ;;
demo) packages="$build $run" ;;
guest) packages="$build $run $vm" ;;
test) packages="$build $run $clang $lint $peers $vm $cross" ;;
bench) packages="$build $run $peers $vm libcmocka-dev" ;;
fuzz) packages="$build $clang python3" ;;
lint) packages="$build $lint python3" ;;
*)
    echo "usage: tools/setup.sh [build|demo|guest|test|bench|fuzz|lint]" >&2
    exit 2
    ;;
esac

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "This is not a Debian system. Install what these Debian packages hold, then go on:" >&2
    echo "   " $packages >&2
    exit 1
fi

missing=
for p in $packages; do
    # Only a package that is really there counts, not one whose configuration files are left.
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] ||
        missing="$missing $p"
done
[ -z "$missing" ] && exit 0

if [ "$(id -u)" != 0 ]; then
    echo "These packages are missing. Run this as root, or install them:" >&2
    echo "    apt-get install --no-install-recommends$missing" >&2
    exit 1
fi

echo "Installing Debian packages to $purpose:$missing"
policy=/usr/sbin/policy-rc.d
made_policy=
log=$(mktemp)
clean() {
    [ -z "$made_policy" ] || rm -f "$policy"
    rm -f "$log"
}
trap clean EXIT
trap 'exit 1' HUP INT TERM
# Debian asks this program before it starts a service; 101 is "no".
if [ ! -e "$policy" ]; then
    made_policy=1
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
services_before=$(ls /etc/systemd/system/*.wants/ 2>/dev/null || true)
if ! { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y \
    --no-install-recommends -o Acquire::Retries=3 -o Dpkg::Options::=--force-confold \
    install $missing; } >"$log" 2>&1 </dev/null; then
    tail -n 25 "$log" >&2
    echo "The packages could not be installed; the lines above are apt-get's." >&2
    exit 1
fi
# What the peers bring to start at the next boot is for tests only.
for unit in l2tpns.service iperf3.service; do
    case $services_before in
    *"$unit"*) ;;
    *) [ ! -e "/etc/systemd/system/multi-user.target.wants/$unit" ] ||
        systemctl disable "$unit" >/dev/null 2>&1 || true ;;
    esac
done
