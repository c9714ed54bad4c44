#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The main job, shown: a client dials an LNS with L2TP and PPP, carries IPv4 and IPv6 to a host behind
# the LNS, and does not notice that the LNS's daemon is killed meanwhile. Everything happens in three
# network namespaces and a temporary directory; at the end nothing is left.
#
#   client 192.0.2.2 ----- 192.0.2.1 LNS 198.51.100.1 ----- 198.51.100.2 host
#          2001:db8:1::2      2001:db8:1::1  2001:db8:2::1     2001:db8:2::2
#
# KEEP=1 leaves it running and says how to look around; `tests/net/demo.sh clean` removes it.
set -euo pipefail
cd "$(dirname "$0")/../.."

build=${ADIT_BUILD:-build/release}
dir=/tmp/adit-demo
C=adit-demo-client L=adit-demo-lns H=adit-demo-host
python=/usr/bin/python3
failed=0

bold() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
show() { printf '\033[2m$ %s\033[0m\n' "$*"; }
in_ns() { local ns=$1; shift; nsenter --net=/run/netns/"$ns" -- "$@"; }
ctl() { local who=$1; shift; "$build"/src/ctl/adit --control "$dir/$who/control" "$@"; }

stop_keeper() { # who: end it by the pid it was started with, wait until it is gone
    local pid
    pid=$(cat "$dir/$1/pid" 2>/dev/null) || return 0
    kill "$pid" 2>/dev/null || return 0
    for _ in $(seq 150); do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.1
    done
    echo "the keeper of the $1 did not stop within 15 s" >&2
    kill -9 "$pid" 2>/dev/null || true
    return 1
}

clean() {
    local status=0 ns
    stop_keeper client || status=1
    stop_keeper lns || status=1
    for ns in $C $L $H; do
        [ -e /run/netns/$ns ] && ip netns del $ns
    done
    rm -rf "$dir"
    return $status
}

die() {
    echo "FAILED: $*" >&2
    for who in lns client; do
        [ -f "$dir/$who/log" ] && { echo "--- last lines of the $who's log"; tail -n 30 "$dir/$who/log"; } >&2
    done
    exit 1
}

check() { # what, command...: run it, say whether it worked
    local what=$1; shift
    if "$@"; then
        echo "   ok: $what"
    else
        echo "   FAILED: $what"
        failed=1
    fi
}

wait_for() { # what, seconds, command...
    local what=$1 seconds=$2; shift 2
    for _ in $(seq $((seconds * 10))); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.1
    done
    die "waited $seconds s in vain for $what"
}

if [ "${1:-}" = clean ]; then
    clean
    exit
fi
[ "$(id -u)" = 0 ] || { echo "demo: run it as root: it makes network namespaces (sudo make demo)" >&2; exit 1; }
[ -x "$build/src/daemon/aditd" ] || { echo "demo: build first: make" >&2; exit 1; }
clean >/dev/null 2>&1 || true
trap 'status=$?; [ "${KEEP:-0}" = 1 ] && [ $status = 0 ] || clean || status=1; exit $status' EXIT

bold "Three hosts: client, LNS, and a host behind the LNS"
mkdir -p $dir/lns $dir/client
for ns in $C $L $H; do ip netns add $ns; in_ns $ns ip link set lo up; done
ip link add c0 netns $C type veth peer name l0 netns $L
ip link add l1 netns $L type veth peer name h0 netns $H
address() { # namespace, device, address; no duplicate address detection, which would take a second
    case $3 in
    *:*) in_ns "$1" ip addr add "$3" dev "$2" nodad ;;
    *) in_ns "$1" ip addr add "$3" dev "$2" ;;
    esac
}
for a in "$C c0 192.0.2.2/24" "$L l0 192.0.2.1/24" "$L l1 198.51.100.1/24" "$H h0 198.51.100.2/24" \
         "$C c0 2001:db8:1::2/64" "$L l0 2001:db8:1::1/64" "$L l1 2001:db8:2::1/64" "$H h0 2001:db8:2::2/64"; do
    address $a
done
for x in "$C c0" "$L l0" "$L l1" "$H h0"; do set -- $x; in_ns $1 ip link set $2 up; done
in_ns $L sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
# the two sites of the pseudowire: each has a bridge
for x in "$L 10.99.0.1/30" "$C 10.99.0.2/30"; do
    set -- $x
    in_ns $1 ip link add br0 type bridge
    in_ns $1 ip addr add $2 dev br0
    in_ns $1 ip link set br0 up
done
in_ns $H ip route add default via 198.51.100.1
in_ns $H ip -6 route add default via 2001:db8:2::1

cat >$dir/lns/users <<'E2'
# client   server  secret        addresses
alice      *       "open sesame" *
E2
chmod 600 $dir/lns/users
cat >$dir/lns/adit.conf <<E2
control = "$dir/lns/control"
state-directory = "$dir/lns"
accounting = "$dir/lns/accounting.jsonl"
pool "subscribers" { addresses = {"10.64.0.0/16"} prefixes = {"2001:db8:64::/48"} }
profile "home" { users = "$dir/lns/users" pool = "subscribers" local-address = "10.64.0.1" dns = {"198.51.100.2"} }
peer "anybody" { profile = "home" secret = "tunnel secret" }
pseudowire "sites" { remote = "192.0.2.2" secret = "another secret" bridge = br0 }
E2
cat >$dir/client/adit.conf <<E2
control = "$dir/client/control"
state-directory = "$dir/client"
session "office" {
    server = "192.0.2.1"
    secret = "tunnel secret"
    user = "alice"
    password = "open sesame"
    routes = {"198.51.100.0/24", "2001:db8:2::/64"}
}
pseudowire "sites" { remote = "192.0.2.1" secret = "another secret" bridge = br0 }
E2
chown -R adit $dir 2>/dev/null || chown -R nobody $dir
for who in lns client; do
    echo "--- $who: adit.conf"
    sed 's/^/    /' $dir/$who/adit.conf
done

bold "The LNS and the client start"
for who in lns client; do
    ns=adit-demo-$who
    nsenter --net=/run/netns/$ns -- "$build"/src/keeper/adit-keeper -c $dir/$who/adit.conf --run "$build"/src/daemon/aditd \
        >$dir/$who/log 2>&1 </dev/null &
    echo $! >$dir/$who/pid
    disown
done
wait_for "the LNS's daemon" 10 ctl lns status
wait_for "the client's daemon" 10 ctl client status
show "adit connect office"
ctl client connect office || die "the session did not come up"

bold "Both sides"
show "adit status          (on the LNS)"; ctl lns status
show "adit show sessions   (on the LNS)"; ctl lns show sessions
show "adit show sessions   (on the client)"; ctl client show sessions
show "ip route             (on the client)"; in_ns $C ip route; in_ns $C ip -6 route | grep -v fe80 || true

bold "IPv4 and IPv6 through the session, to the host behind the LNS"
wait_for "an IPv6 address on the client" 10 in_ns $C ping -6 -n -c 1 -W 1 2001:db8:2::2
check "ping over IPv4" in_ns $C ping -n -q -c 3 -i 0.2 198.51.100.2
check "ping over IPv6" in_ns $C ping -6 -n -q -c 3 -i 0.2 2001:db8:2::2
tcp() { # address
    in_ns $H timeout 60 $python tests/net/tcp.py receive "$1" 5001 20000000 >$dir/tcp.log 2>&1 &
    local pid=$!
    wait_for "the TCP listener" 5 grep -q listening $dir/tcp.log
    in_ns $C timeout 60 $python tests/net/tcp.py send "$1" 5001 20000000 && wait $pid
}
check "20 MB by TCP over IPv4" tcp 198.51.100.2
check "20 MB by TCP over IPv6" tcp 2001:db8:2::2

bold "A bridge between two sites: an Ethernet pseudowire (L2TPv3), one line on each side"
wire_up() { ctl "$1" show pseudowires state=up | grep -q sites; }
wait_for "the pseudowire on the LNS" 20 wire_up lns
wait_for "the pseudowire on the client" 20 wire_up client
show "adit show pseudowires  (on the LNS)"; ctl lns show pseudowires
wait_for "the bridges to forward" 40 in_ns $C ping -n -c 1 -W 1 10.99.0.1
show "bridge link            (on the client)"; in_ns $C bridge link
check "ping from bridge to bridge" in_ns $C ping -n -q -c 3 -i 0.2 10.99.0.1

bold "kill -9 of the LNS's aditd while a ping runs"
in_ns $C ping -n -c 40 -i 0.1 198.51.100.2 >$dir/ping.log 2>&1 &
ping=$!
sleep 1
before=$(ctl lns show sessions --json) client_before=$(ctl client show sessions --json)
old=$(pgrep -P "$(cat $dir/lns/pid)" -x aditd)
show "kill -9 $old"
kill -9 "$old"
new_aditd() { local p; p=$(pgrep -P "$(cat $dir/lns/pid)" -x aditd) && [ "$p" != "$old" ]; }
wait_for "a new aditd" 10 new_aditd
wait_for "the new aditd to answer" 10 ctl lns status
wait $ping || true
tail -n 3 $dir/ping.log
ctl lns status
key() { $python -c 'import json,sys; print(*(s["key"] for s in json.load(sys.stdin)["sessions"]))'; }
ups() { $python -c 'import json,sys; print(*(s[k] for s in json.load(sys.stdin)["sessions"] for k in ("key", "state", "since")))'; }
check "session and pseudowire are the same as before" [ "$(key <<<"$before")" = "$(ctl lns show sessions --json | key)" ]
received=$(sed -n 's/.* \([0-9]*\) received.*/\1/p' $dir/ping.log)
check "at most 10 of 40 pings were lost while the daemon was away ($received received)" [ "${received:-0}" -ge 30 ]
check "ping still works" in_ns $C ping -n -q -c 2 -i 0.2 198.51.100.2
check "and from bridge to bridge" in_ns $C ping -n -q -c 2 -i 0.2 10.99.0.1
show "adit show sessions   (on the client)"; ctl client show sessions
check "the client saw no interruption" [ "$(ups <<<"$client_before")" = "$(ctl client show sessions --json | ups)" ]

if [ "${KEEP:-0}" = 1 ]; then
    bold "Left running. To look around:"
    cat <<E2
    nsenter --net=/run/netns/$C          a shell on the client (also $L, $H)
    $build/src/ctl/adit --control $dir/lns/control show sessions
    $build/src/ctl/adit --control $dir/client/control monitor
    tests/net/demo.sh clean              takes everything down
E2
    exit $failed
fi

bold "Everything is taken down"
show "adit disconnect office"
ctl client disconnect office
ctl client disconnect sites
no_session() { [ -z "$(ctl lns show sessions --json | key)" ]; }
wait_for "the LNS to have no session" 10 no_session
wait_for "the accounting of the end" 10 grep -q '"event":"stop"' $dir/lns/accounting.jsonl
show "accounting of the LNS"
cat $dir/lns/accounting.jsonl
check "accounting has one start and one stop" [ "$(grep -c '"event":"start"' $dir/lns/accounting.jsonl)$(grep -c '"event":"stop"' $dir/lns/accounting.jsonl)" = 11 ]
check "both daemons stopped and nothing is left" clean
left=$(ip netns list | grep -c adit-demo || true)
check "no namespace is left" [ "$left" = 0 ]
[ $failed = 0 ] && bold "The demo succeeded" || bold "The demo FAILED"
exit $failed
