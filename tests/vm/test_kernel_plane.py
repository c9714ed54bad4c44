# SPDX-License-Identifier: MIT
"""The kernel plane alone (kernel_driver.c) on a kernel with L2TP: sessions that carry traffic between
two namespaces, what others delete, what is missing, pseudowires against plain `ip l2tp`."""

import json
import os
import pathlib
import queue
import signal
import struct
import subprocess
import threading
import time

import pytest

from lab import BUILD, PATIENCE, wait_for

IP4, IP6, CLIENT, MPPE, KEYS = 1 << 5, 1 << 6, 1 << 9, 1 << 10, 1 << 11
SEND_SEQ, NEED_SEQ = 1, 2
PREPARED, ACTIVE = 1, 2
PPP, ETH, JOINED = 1, 2, 3
LCP_ECHO = "c0210907000801020304"


class Driver:
    """kernel_driver in a namespace."""

    def __init__(self, ns, *wrap, frames=0):
        self.ns = ns
        self.log = open(ns.lab.dir / f"{ns.short}-kernel_driver.log", "ab")
        self.child = subprocess.Popen(
            ns.argv([*wrap, BUILD / "tests/unit/dp/kernel_driver"]), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self.log, text=True, bufsize=1, env=os.environ)
        ns.lab.children.append(self.child)
        self.lines = queue.Queue()
        self.kept = []
        threading.Thread(target=self.read, daemon=True).start()
        self.probe = self.ask("probe", kind="probe")
        if "l2tp-netlink" not in self.probe["gaps"]:
            assert self.ask(f"open {frames}", kind="open")["error"] == 0

    def read(self):
        for line in self.child.stdout:
            self.lines.put(json.loads(line))

    def do(self, line):
        self.child.stdin.write(line + "\n")

    def wait(self, seconds=20, **want):
        """The next line with these values; others are kept for later."""
        def fits(line):
            return all(line.get(k) == v for k, v in want.items())
        for i, line in enumerate(self.kept):
            if fits(line):
                return self.kept.pop(i)
        end = time.monotonic() + seconds * PATIENCE
        while True:
            try:
                line = self.lines.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {want} from the plane, but {self.kept}") from None
            if fits(line):
                return line
            self.kept.append(line)

    def ask(self, line, seconds=20, **want):
        self.do(line)
        return self.wait(seconds, **want)

    def ok(self, line, seconds=20):
        """A request that must succeed: its first words are verb and key."""
        verb, key = line.split()[:2]
        done = self.ask(line, seconds, kind="done", op=verb, key=int(key))
        assert done["result"] == "ok", done
        return done

    def tunnel(self, key, peer, local, remote, **more):
        values = {"ID": key, "PEER": peer, "local": local, "remote": remote, **more}
        return self.ok(f"tunnel {key} " + " ".join(f"{k}={v}" for k, v in values.items()))

    def row(self, verb, key, tunnel, peer, **more):
        values = {"lt": tunnel, "rt": peer, "flags": IP4, **more}
        return f"{verb} {key} {tunnel} " + " ".join(f"{k}={v}" for k, v in values.items())

    def put(self, key, tunnel, peer, **more):
        return self.ok(self.row("put", key, tunnel, peer, **more))

    def all(self):
        return self.ask("all", kind="all")

    def quit(self):
        self.do("quit")
        assert self.child.wait(30 * PATIENCE) == 0
        text = (self.ns.lab.dir / f"{self.ns.short}-kernel_driver.log").read_text()
        assert "runtime error" not in text and "Sanitizer" not in text, text


@pytest.fixture
def wire(lab):
    """Two namespaces and a cable."""
    a, b = lab.ns("a"), lab.ns("b")
    cable(a, b)
    a.run("ip", "addr", "add", "10.1.0.1/32", "dev", "lo")
    b.run("ip", "addr", "add", "10.2.0.1/32", "dev", "lo")
    for ns, own in ((a, "2001:db8:a::1"), (b, "2001:db8:b::1")):
        ns.run("ip", "-6", "addr", "add", f"{own}/128", "dev", "lo")
    return a, b


def cable(a, b, name="cable", net="192.0.2", net6="2001:db8:c"):
    subprocess.run(["ip", "link", "add", name, "netns", a.name, "type", "veth", "peer", "name",
                    name, "netns", b.name], check=True)
    for ns, host in ((a, 1), (b, 2)):
        ns.run("ip", "addr", "add", f"{net}.{host}/24", "dev", name)
        ns.run("ip", "-6", "addr", "add", f"{net6}::{host}/64", "dev", name, "nodad")
        ns.run("ip", "link", "set", name, "up")


def pair(wire, **more):
    """A tunnel between the two, as ids 101 and 201, and a driver at each end."""
    a, b = wire
    da, db = Driver(a), Driver(b)
    da.tunnel(101, 201, "192.0.2.1:1701", "192.0.2.2:1701", **more)
    db.tunnel(201, 101, "192.0.2.2:1701", "192.0.2.1:1701", **more)
    return da, db


def links(ns, kind):
    out = json.loads(ns.run("ip", "-j", "-d", "link", "show").stdout or "[]")
    return [link for link in out if link and (link.get("linkinfo", {}).get("info_kind") == kind or
                                              link.get("link_type") == kind)]


def both_up(da, db, **more):
    da.put(1, 101, 201, **{"ls": 7, "rs": 8, "prefix": "10.2.0.1/32", "source4": "10.1.0.1", **more})
    db.put(1, 201, 101, **{"ls": 8, "rs": 7, "prefix": "10.1.0.1/32", "source4": "10.2.0.1", **more})


def test_a_session_carries_packets_both_ways(wire):
    a, b = wire
    da, db = pair(wire)
    da.put(1, 101, 201, ls=7, rs=8, flags=IP4 | IP6, prefix="10.2.0.1/32", source4="10.1.0.1",
           ifname="user1", mtu=1380, txqlen=321)
    # the name of a dialled session is the configuration's, that of a user's gets a number
    da.do(da.row("put", 2, 101, 201, ls=9, rs=9, flags=IP4 | CLIENT, ifname="user1"))
    taken = da.wait(kind="done", key=2)
    assert taken["result"] == "failed" and "user1" in taken["text"], taken
    assert da.put(2, 101, 201, ls=9, rs=9, ifname="user1")["ifname"].startswith("user1-")
    da.ok("del 2")
    db.put(1, 201, 101, ls=8, rs=7, flags=IP4 | IP6, prefix="10.1.0.1/32", source4="10.2.0.1")
    assert a.ping("10.2.0.1") == 3 and b.ping("10.1.0.1") == 3
    assert a.ping("10.2.0.1", size=1352) == 3  # 1380 in all
    link = json.loads(a.run("ip", "-j", "link", "show", "user1").stdout)[0]
    assert (link["mtu"], link["txqlen"]) == (1380, 321)
    # control frames reach the owner on the other side, and not the kernel
    assert da.ask(f"send 1 {LCP_ECHO}", kind="sent")["result"] == 0
    assert db.wait(kind="frame", key=1)["bytes"] == LCP_ECHO
    assert db.ask("send 1 80570101000a0a0102030405", kind="sent")["result"] == 0
    assert da.wait(kind="frame", key=1)["bytes"] == "80570101000a0a0102030405"
    da.ask("stats", kind="done", op="stats")
    assert da.ask("stat 1", kind="stat")["rx"] >= 9
    assert da.all()["descriptors"] == 3
    last = da.ok("del 1")
    assert last["rx"] >= 9 and last["tx"] >= 9
    assert not links(a, "ppp")
    assert da.ok("tunneldel 101") and "101" not in a.run("ip", "l2tp", "show", "tunnel").stdout
    da.quit()
    db.quit()
    assert not links(b, "ppp") and b.run("ip", "l2tp", "show", "tunnel").stdout.strip() == ""


def test_sequence_numbers_go_through_a_pipe_first(wire):
    a, _ = wire
    da, db = pair(wire)
    for d, here, there in ((da, 101, 201), (db, 201, 101)):
        d.put(1, here, there, ls=7, rs=7, flags=SEND_SEQ | NEED_SEQ, state=PREPARED)
    assert da.all()["descriptors"] == 1 and not links(a, "ppp")
    da.do(f"send 1 {LCP_ECHO}")
    assert db.wait(kind="frame")["bytes"] == LCP_ECHO
    both = {"ls": 7, "rs": 7, "flags": IP4 | SEND_SEQ | NEED_SEQ}
    da.put(1, 101, 201, prefix="10.2.0.1/32", source4="10.1.0.1", **both)
    db.put(1, 201, 101, prefix="10.1.0.1/32", source4="10.2.0.1", **both)
    assert a.ping("10.2.0.1") == 3
    shown = a.run("ip", "l2tp", "show", "session").stdout
    assert "sequence numbering: send recv" in shown, shown


def test_nothing_passes_before_its_protocol_is_open(wire):
    a, b = wire
    da, db = pair(wire)
    both_up(da, db, ls=7, rs=7)
    da.put(1, 101, 201, ls=7, rs=7, flags=0, prefix="10.2.0.1/32", source4="10.1.0.1")
    assert a.ping("10.2.0.1", count=1, wait=1) == 0
    assert "10.2.0.1" not in a.run("ip", "route").stdout
    da.put(1, 101, 201, ls=7, rs=7, prefix="10.2.0.1/32", source4="10.1.0.1")
    assert a.ping("10.2.0.1") == 3 and b.ping("10.1.0.1") == 3


def test_mppe_of_the_kernel(wire):
    a, b = wire
    da, db = pair(wire)
    if "mppe" in da.probe["gaps"]:
        pytest.skip(da.probe["gaps"]["mppe"])
    key1, key2 = "00112233445566778899aabbccddeeff", "ffeeddccbbaa99887766554433221100"
    ends = ((da, 101, 201, key1, key2, "10.2.0.1", "10.1.0.1"),
            (db, 201, 101, key2, key1, "10.1.0.1", "10.2.0.1"))
    for d, here, there, send, recv, _, _ in ends:
        d.put(1, here, there, ls=7, rs=7, flags=KEYS, sendkey=send, recvkey=recv)
    option = "12060100" "0040"  # stateless, 128 bits
    for one, other in ((da, db), (db, da)):
        one.do(f"send 1 80fd0101000a{option}")
        assert other.wait(kind="frame")["bytes"] == f"80fd0101000a{option}"
        other.do(f"send 1 80fd0201000a{option}")
        assert one.wait(kind="frame")["bytes"] == f"80fd0201000a{option}"
    for d, here, there, send, recv, far, own in ends:
        d.put(1, here, there, ls=7, rs=7, flags=IP4 | MPPE, mppe="01000040", sendkey=send,
              recvkey=recv, prefix=f"{far}/32", source4=own)
    assert a.ping("10.2.0.1", count=5) == 5
    # what goes over the cable is compressed datagrams (00fd), and no address of the inside
    watch = ("import socket;s=socket.socket(socket.AF_PACKET,socket.SOCK_DGRAM,0x0800);"
             "s.bind(('cable',0x0800));s.settimeout(20);print('ready',flush=True);"
             "print(*[s.recv(2000).hex() for _ in range(4)],sep='\\n')")
    seen = b.start("/usr/bin/python3", "-c", watch, name="watch")
    wait_for("the watcher", lambda: "ready" in seen.text())
    assert a.ping("10.2.0.1", count=5) == 5
    wait_for("four packets", lambda: not seen.alive())
    lines = seen.text().split()[1:]
    assert len(lines) == 4 and all("ff0300fd" in line for line in lines), lines
    assert not any("0a0100010a020001" in line for line in lines), lines


def test_a_thousand_sessions_come_and_go(wire):
    a, _ = wire
    da, _ = pair(wire)
    start = time.monotonic()
    da.do(f"puts 1000 1000 101 lt=101 rt=201 flags={IP4} ls=1 rs=1 prefix=10.7.0.1/32")
    for key in range(1000, 2000):
        done = da.wait(seconds=200, kind="done", op="put", key=key)
        assert done["result"] == "ok", done
    up = time.monotonic() - start
    state = da.all()
    assert (state["sessions"], state["descriptors"], state["busy"]) == (1000, 3000, 0)
    assert len(links(a, "ppp")) == 1000
    assert a.run("ip", "route").stdout.count("proto 173") == 1000
    start = time.monotonic()
    da.do("tunneldel 101")
    gone = {da.wait(seconds=200, kind="gone")["key"] for _ in range(1000)}
    assert gone == set(range(1000, 2000))
    da.wait(kind="done", op="tunneldel", result="ok")
    print(f"1,000 sessions up in {up:.1f} s, down in {time.monotonic() - start:.1f} s")
    assert not links(a, "ppp") and da.all()["sessions"] == 0
    da.quit()


def test_what_others_delete_is_told(wire):
    a, _ = wire
    da, db = pair(wire)
    both_up(da, db, ifname="user1")
    a.run("ip", "link", "del", "user1")
    gone = da.wait(kind="gone", key=1)
    assert "another program" in gone["text"], gone
    assert da.all()["sessions"] == 0
    both_up(da, db, ifname="user1")
    assert a.ping("10.2.0.1") == 3
    a.run("ip", "l2tp", "del", "session", "tunnel_id", "101", "session_id", "7")
    assert "deleted the session" in da.wait(kind="gone", key=1)["text"]
    wait_for("the interface to go", lambda: not links(a, "ppp"))
    both_up(da, db, ifname="user1")
    a.run("ip", "l2tp", "del", "tunnel", "tunnel_id", "101")
    assert da.wait(kind="gone", key=1)
    assert "deleted the tunnel" in da.wait(kind="tunnel-gone", key=101)["text"]
    assert da.all()["descriptors"] == 0
    da.tunnel(101, 201, "192.0.2.1:1701", "192.0.2.2:1701")
    both_up(da, db, ifname="user1")
    assert a.ping("10.2.0.1") == 3
    da.quit()


LISTENER = pathlib.Path(__file__).resolve().parent / "listener.py"


def netlink_of(ns, pid, column):
    """What /proc/net/netlink says of this process: 4 is octets that wait, 8 messages that were lost."""
    inodes = set()
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        target = os.readlink(fd)
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    lines = ns.run("cat", "/proc/net/netlink").stdout.splitlines()[1:]
    return sum(int(line.split()[column]) for line in lines if line.split()[-1] in inodes)


def test_what_others_delete_unheard_is_told(wire):
    """ENOBUFS on the multicast group: what was lost there is found by asking the kernel."""
    a, _ = wire
    da, db = pair(wire)
    both_up(da, db, ifname="user1")
    da.put(2, 101, 201, ls=17, rs=18, prefix="10.2.0.2/32", ifname="user2")
    pid = da.child.pid
    for what in ("session", "tunnel"):
        # the kernel tells of a loss once until the queue was read to its end
        wait_for("an empty queue", lambda: netlink_of(a, pid, 4) == 0)
        os.kill(pid, signal.SIGSTOP)
        try:
            before = netlink_of(a, pid, 8)

            def overrun():
                a.run("/usr/bin/python3", LISTENER, "noise", 500, timeout=120)
                return netlink_of(a, pid, 8) > before
            wait_for("notifications to be lost", overrun, seconds=120)
            ids = ["tunnel_id", "101"] + (["session_id", "7"] if what == "session" else [])
            a.run("ip", "l2tp", "del", what, *ids)
        finally:
            os.kill(pid, signal.SIGCONT)
        gone = da.wait(60, kind="gone", key=1 if what == "session" else 2)
        assert "another program has deleted the" in gone["text"], gone
        if what == "session":
            assert da.all()["sessions"] == 1  # the other one has taken no harm
            wait_for("the interface to go", lambda: len(links(a, "ppp")) == 1)
    assert "deleted the tunnel" in da.wait(60, kind="tunnel-gone", key=101)["text"]
    assert da.all()["descriptors"] == 0
    wait_for("the interfaces to go", lambda: not links(a, "ppp"))
    da.tunnel(101, 201, "192.0.2.1:1701", "192.0.2.2:1701")
    both_up(da, db, ifname="user1")
    assert a.ping("10.2.0.1") == 3
    da.quit()


def test_requests_that_fail_although_they_were_carried_out(wire):
    """ENOBUFS because of a listener that does not read: the plane looks before it believes it."""
    a, _ = wire
    noise = a.start("/usr/bin/python3", LISTENER, "full")
    wait_for("a full queue", lambda: "full" in noise.text() or not noise.alive(), seconds=60)
    assert noise.alive(), noise.text()
    print("of the requests that filled it, failed:", noise.text().split()[-1])
    da, db = pair(wire)
    both_up(da, db)
    assert a.ping("10.2.0.1") == 3
    da.tunnel(102, 202, "192.0.2.1:5001", "192.0.2.2:5001", version=3, managed=0)
    db.tunnel(202, 102, "192.0.2.2:5001", "192.0.2.1:5001", version=3, managed=0)
    wires = {"version": 3, "ends": ETH, "flags": 0, "l2spec": 1, "mtu": 1400, "ifname": "pw1"}
    da.put(2, 102, 202, ls=70001, rs=70002, **wires)
    db.put(2, 202, 102, ls=70002, rs=70001, **wires)
    for ns, host in zip(wire, (1, 2)):
        ns.run("ip", "addr", "add", f"10.5.0.{host}/24", "dev", "pw1")
    assert a.ping("10.5.0.2") == 3
    for d, tunnels in ((da, (101, 102)), (db, (201, 202))):
        assert d.all()["sessions"] == 2
        d.ok("del 1")
        d.ok("del 2")
        for tunnel in tunnels:
            d.ok(f"tunneldel {tunnel}")
        d.quit()
    noise.stop(signal.SIGINT, seconds=60)
    for ns in wire:
        assert not ns.run("ip", "l2tp", "show", "tunnel").stdout.strip()
        assert not links(ns, "ppp")


def test_ids_and_addresses_of_others_are_left_alone(wire):
    a, _ = wire
    a.run("ip", "l2tp", "add", "tunnel", "tunnel_id", "101", "peer_tunnel_id", "9", "encap", "udp",
          "local", "192.0.2.1", "remote", "192.0.2.2", "udp_sport", "5000", "udp_dport", "5000")
    d = Driver(a)
    request = "tunnel {0} ID={0} PEER=201 local=192.0.2.1:1701 remote=192.0.2.2:1701"
    taken = d.ask(request.format(101), kind="done")
    assert taken["result"] == "id-taken" and "in use" in taken["text"], taken
    assert d.ask(request.format(102), kind="done")["result"] == "ok"
    second = d.ask(request.format(103), kind="done")
    one_only = "one-tunnel-per-address" in d.probe["gaps"]
    assert second["result"] == ("tuple-taken" if one_only else "ok"), second
    d.quit()
    assert "Tunnel 101" in a.run("ip", "l2tp", "show", "tunnel").stdout


def test_out_of_descriptors(wire):
    a, _ = wire
    da, db = pair(wire)
    assert da.ask(f"fill {len(os.listdir(f'/proc/{da.child.pid}/fd')) + 1}", kind="fill")
    da.do(da.row("put", 1, 101, 201, ls=7, rs=8, prefix="10.2.0.1/32"))
    failed = da.wait(kind="done", op="put")
    assert failed["result"] == "failed" and "LimitNOFILE" in failed["text"], failed
    assert da.all()["descriptors"] == 0 and not links(a, "ppp")
    da.ask("fill 100000", kind="fill")
    both_up(da, db)
    assert a.ping("10.2.0.1") == 3
    da.quit()


def test_no_dev_ppp(wire):
    a, _ = wire
    d = Driver(a, "unshare", "-m", "sh", "-c", 'mount -t tmpfs none /dev && exec "$0"')
    assert "mknod /dev/ppp" in d.probe["gaps"]["dev-ppp"]
    d.tunnel(101, 201, "192.0.2.1:1701", "192.0.2.2:1701")
    refused = d.ask(d.row("put", 1, 101, 201), kind="done", op="put")
    assert refused["result"] == "cannot" and "mknod /dev/ppp" in refused["text"], refused
    d.quit()


def test_no_module(wire):
    """Only in a guest: modules belong to the whole machine."""
    if os.environ.get("VM_ACCEL", "none") == "none":
        pytest.skip("this is no guest")
    subprocess.run(["modprobe", "-r", "l2tp_eth"], check=True)
    helper = open("/proc/sys/kernel/modprobe").read().strip()
    try:
        with open("/proc/sys/kernel/modprobe", "w") as f:
            f.write("/bin/false\n")
        d = Driver(wire[0])
        assert "modprobe l2tp_eth" in d.probe["gaps"]["l2tp-eth"]
        d.tunnel(101, 201, "192.0.2.1:1701", "192.0.2.2:1701", version=3)
        row = d.row("put", 1, 101, 201, version=3, ends=ETH)
        refused = d.ask(row, kind="done", op="put")
        assert refused["result"] == "cannot" and "modprobe l2tp_eth" in refused["text"], refused
    finally:
        with open("/proc/sys/kernel/modprobe", "w") as f:
            f.write(helper + "\n")
    d.quit()


def plain_l2tp(ns, encap, local, remote, cookie, peer_cookie):
    ports = ["udp_sport", "5001", "udp_dport", "5001"] if encap == "udp" else []
    ns.run("ip", "l2tp", "add", "tunnel", "tunnel_id", "201", "peer_tunnel_id", "101", "encap",
           encap, "local", local, "remote", remote, *ports)
    cookies = ["cookie", cookie, "peer_cookie", peer_cookie] if cookie else []
    ns.run("ip", "l2tp", "add", "session", "name", "wire0", "tunnel_id", "201", "session_id",
           "70002", "peer_session_id", "70001", *cookies)
    ns.run("ip", "addr", "add", "10.5.0.2/24", "dev", "wire0")
    ns.run("ip", "link", "set", "wire0", "up")


@pytest.mark.parametrize("encap,family,cookie,managed", [
    ("udp", 4, "", False), ("udp", 6, "", True), ("udp", 4, "0123456789abcdef", True),
    ("udp", 6, "01234567", False), ("ip", 4, "", True), ("ip", 6, "", False),
    ("ip", 4, "0123456789abcdef", False), ("ip", 6, "01234567", True)])
def test_pseudowire_against_plain_ip_l2tp(wire, encap, family, cookie, managed):
    a, b = wire
    local, remote = (("192.0.2.1", "192.0.2.2") if family == 4 else
                     ("2001:db8:c::1", "2001:db8:c::2"))
    peer_cookie = cookie[::-1]
    plain_l2tp(b, encap, remote, local, cookie, peer_cookie)
    d = Driver(a)

    def end(address):
        if encap == "ip":
            return address
        return f"[{address}]:5001" if family == 6 else f"{address}:5001"
    d.tunnel(101, 201, end(local), end(remote), version=3, encap=int(encap == "ip"),
             managed=int(managed))
    a.run("ip", "link", "add", "br0", "type", "bridge")
    a.run("ip", "link", "set", "br0", "up")
    a.run("ip", "addr", "add", "10.5.0.1/24", "dev", "br0")
    cookies = {"cookie_out": peer_cookie, "cookie_in": cookie} if cookie else {}
    done = d.put(1, 101, 201, version=3, encap=int(encap == "ip"), ends=ETH, ls=70001, rs=70002,
                 l2spec=1, ifname="pw1", master="br0", mtu=1400, flags=0, **cookies)
    assert done["ifname"] == "pw1"
    link = json.loads(a.run("ip", "-j", "link", "show", "pw1").stdout)[0]
    assert link["mtu"] == 1400 and link["master"] == "br0" and "UP" in link["flags"]
    assert a.ping("10.5.0.2") == 3 and b.ping("10.5.0.1") == 3
    d.ok("del 1")
    d.ok("tunneldel 101")
    assert not a.run("ip", "l2tp", "show", "tunnel").stdout.strip()
    d.quit()


def test_what_a_former_run_left_is_swept(wire):
    a, _ = wire
    d = Driver(a)
    d.tunnel(101, 201, "192.0.2.1:5001", "192.0.2.2:5001", version=3, managed=0)
    d.put(1, 101, 201, version=3, ends=ETH, ls=70001, rs=70002, ifname="pw1", flags=0)
    a.run("ip", "l2tp", "add", "tunnel", "tunnel_id", "55", "peer_tunnel_id", "9", "encap", "udp",
          "local", "192.0.2.1", "remote", "192.0.2.2", "udp_sport", "5055", "udp_dport", "5055")
    a.run("ip", "l2tp", "add", "session", "name", "theirs", "tunnel_id", "55", "session_id", "1",
          "peer_session_id", "1")
    assert d.ask("sweep", kind="sweep")["count"] == 0  # it is known
    d.child.kill()
    d.child.wait(10)
    assert "pw1" in a.run("ip", "link").stdout
    d = Driver(a)
    assert d.ask("sweep", kind="sweep")["count"] == 1
    assert "pw1" not in a.run("ip", "link").stdout
    shown = a.run("ip", "l2tp", "show", "tunnel").stdout
    assert "Tunnel 101" not in shown and "Tunnel 55" in shown
    d.quit()


def test_two_sessions_are_joined(lab):
    """a - m - b: m has no interface for them, and sees no frame."""
    a, m, b = lab.ns("a"), lab.ns("m"), lab.ns("b")
    cable(a, m, "west", "192.0.2", "2001:db8:1")
    cable(m, b, "east", "198.51.100", "2001:db8:2")
    a.run("ip", "addr", "add", "10.1.0.1/32", "dev", "lo")
    b.run("ip", "addr", "add", "10.2.0.1/32", "dev", "lo")
    da, dm, db = Driver(a), Driver(m), Driver(b)
    if "bridge" in dm.probe["gaps"]:
        pytest.skip(dm.probe["gaps"]["bridge"])
    da.tunnel(101, 301, "192.0.2.1:1701", "192.0.2.2:1701")
    dm.tunnel(301, 101, "192.0.2.2:1701", "192.0.2.1:1701")
    dm.tunnel(302, 201, "198.51.100.1:1701", "198.51.100.2:1701")
    db.tunnel(201, 302, "198.51.100.2:1701", "198.51.100.1:1701")
    dm.put(1, 301, 101, ls=11, rs=7, ends=JOINED, partner=2, flags=0)
    dm.put(2, 302, 201, ls=12, rs=8, ends=JOINED, partner=1, flags=0)
    da.put(1, 101, 301, ls=7, rs=11, prefix="10.2.0.1/32", source4="10.1.0.1")
    db.put(1, 201, 302, ls=8, rs=12, prefix="10.1.0.1/32", source4="10.2.0.1")
    wait_for("two descriptors to stay", lambda: dm.all()["descriptors"] == 2)
    wait_for("a ping through both", lambda: a.ping("10.2.0.1", count=1) == 1)
    da.do(f"send 1 {LCP_ECHO}")
    assert db.wait(kind="frame", bytes=LCP_ECHO)
    assert not links(m, "ppp")
    dm.ask("stats", kind="done", op="stats")
    assert dm.ask("stat 1", kind="stat")["rx"] >= 2
    dm.ok("del 1")
    assert "joined" in dm.wait(kind="gone", key=2)["text"]
    dm.quit()


def test_a_flood_of_control_frames_is_cut(wire):
    a, b = wire
    da, db = Driver(a), Driver(b, frames=20)
    da.tunnel(101, 201, "192.0.2.1:1701", "192.0.2.2:1701")
    db.tunnel(201, 101, "192.0.2.2:1701", "192.0.2.1:1701")
    both_up(da, db)
    for _ in range(400):
        da.do(f"send 1 {LCP_ECHO}")
    for _ in range(400):
        da.wait(kind="sent")
    time.sleep(1)
    state = db.all()
    assert 0 < state["frames"] < 300, state
    assert a.ping("10.2.0.1") == 3  # data is not held up


def test_ipv6_of_the_link_comes_up(wire):
    """A router solicitation inside the session reaches the owner, with its session's key."""
    a, _ = wire
    da, db = pair(wire)
    both_up(da, db, ls=7, rs=7, flags=IP4 | IP6, ifname="user1")
    packet = (struct.pack("!IHBB", 6 << 28, 8, 58, 255) + bytes.fromhex("fe80" + "00" * 13 + "01") +
              bytes.fromhex("ff02" + "00" * 13 + "02") + bytes.fromhex("85007d3800000000"))
    script = ("import socket;s=socket.socket(socket.AF_PACKET,socket.SOCK_DGRAM,0x86dd);"
              f"s.sendto(bytes.fromhex('{packet.hex()}'),('user1',0x86dd))")
    for _ in range(5):
        a.run("/usr/bin/python3", "-c", script)
    local = db.wait(kind="local", key=1)
    assert local["bytes"] == packet.hex()


def test_the_interface_lies_in_another_namespace_or_a_vrf(wire, lab):
    a, _ = wire
    user = lab.ns("user")
    user.run("ip", "addr", "add", "10.1.0.1/32", "dev", "lo")
    da, db = pair(wire)
    assert da.ask(f"netns 5 /run/netns/{user.name}", kind="netns")["result"] == 0
    a.run("ip", "link", "add", "vrf1", "type", "vrf", "table", "77")
    a.run("ip", "link", "set", "vrf1", "up")
    da.put(1, 101, 201, ls=7, rs=8, netns=5, ifname="inside", prefix="10.2.0.1/32",
           source4="10.1.0.1")
    db.put(1, 201, 101, ls=8, rs=7, prefix="10.1.0.1/32", source4="10.2.0.1")
    assert user.ping("10.2.0.1") == 3
    assert "inside" not in a.run("ip", "link").stdout
    da.ask("stats", kind="done", op="stats")
    assert da.ask("stat 1", kind="stat")["rx"] >= 3
    assert da.ok("del 1")["rx"] >= 3
    assert "inside" not in user.run("ip", "link").stdout
    da.put(2, 101, 201, ls=9, rs=9, master="vrf1", ifname="invrf", table=77,
           prefix="10.2.0.1/32")
    assert "master vrf1" in a.run("ip", "link", "show", "invrf").stdout
    assert "10.2.0.1 dev invrf" in a.run("ip", "route", "show", "table", "77").stdout
    missing = da.ask(da.row("put", 3, 101, 201, ls=10, rs=10, master="nobody"), kind="done", key=3)
    assert "no bridge or VRF nobody" in missing["text"], missing
    da.quit()


def test_a_client_gets_its_address_and_the_default_route(wire):
    a, b = wire
    b.run("ip", "addr", "add", "203.0.113.9/32", "dev", "lo")
    da, db = pair(wire)
    a.run("ip", "addr", "flush", "dev", "lo")
    a.run("ip", "route", "add", "192.0.2.2/32", "dev", "cable")
    da.put(1, 101, 201, ls=7, rs=8, flags=IP4 | 1 << 9, ifname="out", host="10.9.0.7/32",
           peer4="10.9.0.1", route="0.0.0.0/0")
    db.put(1, 201, 101, ls=8, rs=7, prefix="10.9.0.7/32")
    shown = a.run("ip", "addr", "show", "out").stdout
    assert "inet 10.9.0.7 peer 10.9.0.1/32" in shown, shown
    assert a.ping("203.0.113.9") == 3
    routes = a.run("ip", "route").stdout
    assert "0.0.0.0/1 dev out" in routes and "128.0.0.0/1 dev out" in routes, routes
    da.quit()
