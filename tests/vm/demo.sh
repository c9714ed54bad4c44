#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# How a subscriber gets into the kernel, shown as it happens, on a kernel with L2TP (`make demo
# GUEST=1` runs this in a guest with Debian's stock kernel):
#
#   1 a UDP socket for the tunnel, and control messages on it
#   2 the tunnel in the kernel, made of that socket
#   3 the messages of the session, and PPP's negotiation in user space
#   4 the session and its interface in the kernel: from here on no packet sees user space
#
# Then a bridge between the two, by an Ethernet pseudowire that the kernels carry, too.
#
#   client 192.0.2.2 ----- 192.0.2.1 LNS, 198.51.100.2 on its lo
set -euo pipefail
cd "$(dirname "$0")/../.."

build=$(realpath "${ADIT_BUILD:-build/release}")
dir=$(mktemp -d /tmp/adit-demo-XXXXXX)
C=adit-demo-client L=adit-demo-lns
python=/usr/bin/python3
failed=0
pids=()

bold() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
show() { printf '\033[2m$ %s\033[0m\n' "$1"; shift; "$@"; }
in_ns() { local ns=$1; shift; nsenter --net=/run/netns/"$ns" -- "$@"; }
ctl() { local who=$1; shift; "$build"/src/ctl/adit --control "$dir/$who/control" "$@"; }

clean() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do
        for _ in $(seq 150); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    done
    for ns in $C $L; do ip netns del $ns 2>/dev/null || true; done
    rm -rf "$dir"
}
trap clean EXIT

check() { # what, command...
    local what=$1; shift
    if "$@"; then echo "   ok: $what"; else echo "   FAILED: $what"; failed=1; fi
}
wait_for() { # what, command...
    local what=$1; shift
    for _ in $(seq 600); do "$@" >/dev/null 2>&1 && return 0; sleep 0.1; done
    echo "FAILED: waited 60 s in vain for $what" >&2
    tail -n 30 "$dir"/*/log >&2
    exit 1
}

[ "$(id -u)" = 0 ] || { echo "demo: run it as root: it makes network namespaces" >&2; exit 1; }
[ -c /dev/ppp ] || { echo "demo: this kernel has no PPP; run: make demo GUEST=1" >&2; exit 1; }
[ -x "$build/src/daemon/aditd" ] || { echo "demo: build first: make" >&2; exit 1; }

bold "Linux $(uname -r), a client and an LNS; data-plane = kernel"
mkdir -p "$dir/lns" "$dir/client"
for ns in $C $L; do ip netns add $ns; in_ns $ns ip link set lo up; done
ip link add c0 netns $C type veth peer name l0 netns $L
in_ns $C ip addr add 192.0.2.2/24 dev c0
in_ns $L ip addr add 192.0.2.1/24 dev l0
in_ns $L ip addr add 198.51.100.2/32 dev lo
in_ns $C ip link set c0 up
in_ns $L ip link set l0 up
in_ns $L sysctl -qw net.ipv4.ip_forward=1
# the two sites of the pseudowire: each has a bridge
for x in "$L 10.99.0.1/30" "$C 10.99.0.2/30"; do
    set -- $x
    in_ns $1 ip link add br0 type bridge
    in_ns $1 ip addr add $2 dev br0
    in_ns $1 ip link set br0 up
done
echo 'alice * "open sesame" *' >"$dir/lns/users"
chmod 600 "$dir/lns/users"
cat >"$dir/lns/adit.conf" <<E2
control = "$dir/lns/control"
state-directory = "$dir/lns"
data-plane = kernel
pool "subscribers" { addresses = {"10.64.0.0/16"} }
profile "home" { users = "$dir/lns/users" pool = "subscribers" local-address = "10.64.0.1" ipv6 = false }
peer "anybody" { profile = "home" secret = "tunnel secret" }
pseudowire "sites" { remote = 192.0.2.2 secret = "another secret" bridge = br0 connect = wait }
E2
cat >"$dir/client/adit.conf" <<E2
control = "$dir/client/control"
state-directory = "$dir/client"
data-plane = kernel
session "office" {
    server = "192.0.2.1"
    secret = "tunnel secret"
    user = "alice"
    password = "open sesame"
    connect = manual
    routes = {"198.51.100.0/24"}
}
pseudowire "sites" { remote = 192.0.2.1 secret = "another secret" bridge = br0 connect = manual }
E2
chmod 755 "$dir"
chown -R adit "$dir" 2>/dev/null || chown -R nobody "$dir"
for who in lns client; do
    nsenter --net=/run/netns/adit-demo-$who -- "$build"/src/keeper/adit-keeper -c "$dir/$who/adit.conf" \
        --run "$build"/src/daemon/aditd >"$dir/$who/log" 2>&1 </dev/null &
    pids+=($!)
done
wait_for "the LNS's daemon" ctl lns status
wait_for "the client's daemon" ctl client status
show "adit doctor          (on the client)" ctl client doctor || true

in_ns $C $python tests/vm/watch.py c0 >"$dir/watch" 2>&1 &
pids+=($!)
wait_for "the watcher" grep -q watching "$dir/watch"
bold "The client dials: what goes over its wire and what its kernel gets"
show "adit connect office" ctl client connect office
sleep 2
grep -v watching "$dir/watch"
order() { # the four steps, in this order
    $python - "$dir/watch" <<'E2'
import sys
text = open(sys.argv[1]).read()
steps = ["SCCRQ", "SCCCN", "ICRQ", "ICCN", "first LCP", "first IPCP", "there is session", "there is interface"]
at = [text.find(s) for s in steps]
sys.exit(0 if -1 not in at and at[:6] == sorted(at[:6]) and "there is tunnel" in text and
         text.find("there is tunnel") < text.find("there is session") else 1)
E2
}
check "control messages, the tunnel in the kernel, the session's messages and PPP, the session in the kernel" order

bold "A bridge between two sites: an Ethernet pseudowire (L2TPv3), one line on each side"
show "adit connect sites" ctl client connect sites
wire_up() { ctl "$1" show pseudowires state=up | grep -q sites; }
wait_for "the pseudowire on the LNS" wire_up lns
wait_for "the pseudowire on the client" wire_up client
show "adit show pseudowires  (on the LNS)" ctl lns show pseudowires
show "bridge link            (on the client)" in_ns $C bridge link
wait_for "the bridges to forward" in_ns $C ping -n -c 1 -W 1 10.99.0.1
check "ping from bridge to bridge" in_ns $C ping -n -q -c 3 -i 0.2 -W 5 10.99.0.1

bold "What the kernels hold now"
for ns in $L $C; do
    show "ss -uan                (on ${ns#adit-demo-})" in_ns $ns ss -uan
    show "ip l2tp show tunnel    (on ${ns#adit-demo-})" in_ns $ns ip l2tp show tunnel
    show "ip l2tp show session   (on ${ns#adit-demo-})" in_ns $ns ip l2tp show session
done
show "ip addr, ip route      (on the client)" in_ns $C ip -br addr
in_ns $C ip route
check "ping through the session" in_ns $C ping -n -c 5 -i 0.2 -W 5 198.51.100.2
show "adit show sessions     (on the LNS)" ctl lns show sessions

bold "kill -9 of the client's aditd: the kernel goes on, and so does the next aditd"
pings=()
for to in 198.51.100.2 10.99.0.1; do
    in_ns $C ping -n -q -c 30 -i 0.2 -W 5 $to >"$dir/ping-$to" &
    pings+=($!)
done
sleep 1
old=$(pgrep -P "${pids[1]}" -x aditd)
kill -9 "$old"
wait "${pings[@]}" || true
cat "$dir"/ping-*
check "no packet of the session was lost" grep -q "30 received" "$dir/ping-198.51.100.2"
check "no packet from bridge to bridge was lost" grep -q "30 received" "$dir/ping-10.99.0.1"
wait_for "the next aditd" ctl client status

bold "The client hangs up"
show "adit disconnect office" ctl client disconnect office
show "adit disconnect sites" ctl client disconnect sites
empty() { [ -z "$(in_ns $C ip l2tp show session)$(in_ns $L ip l2tp show session)" ]; }
wait_for "empty kernels" empty
sleep 1
grep gone "$dir/watch"
[ $failed = 0 ] && bold "The demo succeeded" || bold "The demo FAILED"
exit $failed
