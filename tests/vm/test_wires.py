# SPDX-License-Identifier: MIT
"""Pseudowires that are agreed between two daemons, on a kernel with L2TP: every pair of encapsulation,
data plane on either side, cookie, digest and sequencing (RFC 3931, RFC 4719), between hosts behind
bridges. One pair of daemons has them all; each row of the table is a control connection of its own.
"""

import contextlib
import itertools
import os
import re
import select
import signal
import socket
import struct
import threading
import time
from collections import namedtuple

import pytest

from kernel import CLONE_NEWNET, COOKIE, PEER_COOKIE, L2tp, libc
from lab import PATIENCE, Lab, wait_for

SO_RCVBUFFORCE = 33
SOL_PACKET, PACKET_AUXDATA, PACKET_IGNORE_OUTGOING = 263, 8, 23
TP_STATUS_VLAN_VALID, TP_STATUS_VLAN_TPID_VALID = 1 << 4, 1 << 6
MARK = 0x88B5  # IEEE 802, for local experiments
VLAN = struct.pack(">HH", 0x8100, 3 << 13 | 7)

Row = namedtuple("Row", "encap plane_a plane_b cookie digest seq mtu cable", defaults=(1400, "wan"))
# All pairs of the first six, then more of what is usual, in jumbo frames and on bad cables.
ROWS = [
    Row("udp6", "kernel", "user", 0, "none", True),
    Row("ip6", "user", "kernel", 4, "md5", True, 8000),
    Row("ip4", "user", "user", 8, "sha1", False),
    Row("udp4", "kernel", "kernel", 4, "two", False),
    Row("ip6", "user", "user", 0, "two", False, 8000),
    Row("udp6", "kernel", "kernel", 8, "md5", False, 8000),
    Row("udp4", "user", "kernel", 0, "sha1", True, 8000),
    Row("ip4", "user", "kernel", 4, "none", False, 8000),
    Row("ip4", "kernel", "user", 8, "two", True, 8000),
    Row("ip6", "kernel", "user", 4, "sha1", True),
    Row("udp4", "user", "user", 8, "md5", False, 8000),
    Row("ip4", "kernel", "user", 0, "md5", True),
    Row("ip6", "kernel", "kernel", 8, "none", True),
    Row("udp6", "user", "kernel", 4, "two", True),
    Row("udp4", "user", "user", 8, "none", False),
    Row("udp6", "user", "kernel", 0, "sha1", False),
    Row("udp4", "kernel", "kernel", 8, "sha1", False, 1400, "bad"),
    Row("ip6", "kernel", "kernel", 8, "sha1", True, 1400, "bad"),
    Row("udp6", "kernel", "user", 8, "sha1", True, 1400, "bad"),
    Row("ip4", "user", "kernel", 8, "sha1", False, 1400, "bad"),
]
FACTORS = [("udp4", "udp6", "ip4", "ip6"), ("kernel", "user"), ("kernel", "user"), (0, 4, 8),
           ("none", "md5", "sha1", "two"), (False, True)]
# As tc netem understands it: what is delayed less than others overtakes them.
BAD = ("delay", "3ms", "2ms", "loss", "5%")
OTHER_COOKIE = {0: 0, 4: 8, 8: 4}  # of side b, so that the two lengths differ
DIGESTS = {"none": ("digest = none",) * 2,
           "md5": ("digest = md5 secret = wonderland",) * 2,
           "sha1": ("digest = sha1 secret = wonderland",) * 2,
           "two": ("secret = looking old-secret = glass", "secret = glass old-secret = looking")}


def name_of(row):
    return "-".join([row.encap, row.plane_a, row.plane_b, f"cookie{row.cookie}", row.digest,
                     "seq" if row.seq else "noseq", str(row.mtu), row.cable])


def test_rows_have_all_pairs():
    for i, j in itertools.combinations(range(len(FACTORS)), 2):
        for pair in itertools.product(FACTORS[i], FACTORS[j]):
            assert pair in {(row[i], row[j]) for row in ROWS}, pair


# --- hosts that send frames

@contextlib.contextmanager
def inside(ns):
    """This thread in a namespace."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{ns.name}", os.O_RDONLY)
    try:
        assert libc.setns(there, CLONE_NEWNET) == 0
        yield
    finally:
        libc.setns(home, CLONE_NEWNET)
        os.close(home)
        os.close(there)


class Port:
    """Raw frames at an interface in a namespace."""

    def __init__(self, ns, ifname):
        with inside(ns):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            self.socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 23)
            self.socket.bind((ifname, 3))  # ETH_P_ALL
            self.mac = self.socket.getsockname()[4]
        self.socket.setblocking(False)

    def close(self):
        self.socket.close()

    def send(self, frame):
        self.socket.send(frame)

    def frames(self):
        """What is there, with the tags that the kernel has taken off."""
        while True:
            try:
                data, more, _, _ = self.socket.recvmsg(65536, 256)
            except BlockingIOError:
                return
            for level, kind, value in more:
                status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", value[:20])
                if (level, kind) == (SOL_PACKET, PACKET_AUXDATA) and status & TP_STATUS_VLAN_VALID:
                    tpid = tpid if status & TP_STATUS_VLAN_TPID_VALID else 0x8100
                    data = data[:12] + struct.pack(">HH", tpid, tci) + data[12:]
            yield data

    def numbers(self):
        """Those of numbered(), of all that is there."""
        return [struct.unpack(">I", f[14:18])[0] for f in self.frames()
                if f[12:14] == struct.pack(">H", MARK)]

    def wait(self, fits, seconds):
        """The first frame for which `fits` is true, or None when the time is over."""
        end = time.monotonic() + seconds * PATIENCE
        while True:
            for frame in self.frames():
                if fits(frame):
                    return frame
            left = end - time.monotonic()
            if left <= 0:
                return None
            select.select([self.socket], [], [], left)


def arrives(sender, receiver, frame, sure, fits=None):
    """Does it come out as it went in? Where frames are lost it is sent again now and then."""
    for _ in range(1 if sure else 60):
        sender.send(frame)
        if receiver.wait(fits or (lambda f: f == frame), 20 if sure else 0.3):
            return True
    return False


def frame_to(port, source, size, tags=b"", fill=0):
    head = port.mac + source.mac + tags + struct.pack(">H", MARK)
    body = bytes((i * 7 + fill) & 0xFF for i in range(size - 14))
    return head + body


def numbered(port, source, n):
    return (port.mac + source.mac + struct.pack(">HI", MARK, n)).ljust(60, b"\0")


# --- the two sites

class Site:
    def __init__(self, lab, name):
        self.name, self.lab = name, lab
        self.ns, self.host = lab.ns(name), lab.ns(f"h{name}")
        self.host.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
        self.own, self.far = (1, 2) if name == "a" else (2, 1)
        self.adit = None
        self.wires = {}

    def batch(self, ns, lines):
        file = self.lab.dir / f"batch-{ns.short}"
        file.write_text("\n".join(lines) + "\n")
        ns.run("ip", "-batch", file, timeout=60)

    def addresses(self):
        lines = []
        for n, row in enumerate(ROWS):
            lines += [f"addr add 198.18.{n}.{self.own}/24 dev {row.cable}",
                      f"addr add fd00:{n + 1:x}::{self.own}/64 dev {row.cable} nodad"]
        self.batch(self.ns, lines)

    def hosts(self):
        """A bridge for each row, and an interface of the host behind it."""
        here, there = [], []
        for n, row in enumerate(ROWS):
            here += [f"link add b{n} type bridge", f"link add e{n} type veth peer name eth{n} "
                     f"netns {self.host.name}",
                     f"link set e{n} mtu 8100 master b{n} up", f"link set b{n} up"]
            there += [f"link set eth{n} mtu {row.mtu} up",
                      f"addr add 10.9.{n}.{self.own}/24 dev eth{n}"]
        self.ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
        self.batch(self.ns, here)
        self.batch(self.host, there)

    def config(self):
        out = ["data-plane = kernel"]
        for n, row in enumerate(ROWS):
            remote, local = ((f"198.18.{n}.{self.far}", f"198.18.{n}.{self.own}")
                             if row.encap.endswith("4") else
                             (f"fd00:{n + 1:x}::{self.far}", f"fd00:{n + 1:x}::{self.own}"))
            cookie = row.cookie if self.name == "a" else OTHER_COOKIE[row.cookie]
            plane = row.plane_a if self.name == "a" else row.plane_b
            out.append(f"""
tunnel "t{n}" {{
    remote = "{remote}" local = "{local}" encapsulation = {row.encap[:-1]}
    {DIGESTS[row.digest][self.own - 1]}
    data-plane = {plane} redial-first = "200 ms" redial-cap = "2 s"
}}
pseudowire "w{n}" {{
    tunnel = "t{n}" bridge = b{n} circuit = e{n} cookie-length = {cookie}
    sequencing = {"yes" if row.seq else "no"} mtu = {row.mtu}
}}""")
        return "\n".join(out)

    def look(self):
        self.wires = {w["name"]: w for w in self.adit.json("show", "pseudowires")["pseudowires"]}
        return self.wires

    def wire(self, n):
        return self.look()[f"w{n}"]

    def ports(self):
        """What the bridges make of the interfaces of pseudowires."""
        text = self.ns.run("bridge", "-d", "link", "show").stdout
        return dict(re.findall(r"^\d+: (w\d+): .* state (\w+)", text, re.M))


class World:
    def __init__(self):
        self.lab = Lab()
        try:
            self.build()
        except BaseException:
            print(self.lab.logs())
            self.lab.close()
            raise

    def build(self):
        self.a, self.b = self.sites = Site(self.lab, "a"), Site(self.lab, "b")
        for cable in ("wan", "bad"):
            self.lab.cable(self.a.ns, self.b.ns, a_if=cable, b_if=cable)
        for site in self.sites:
            site.ns.run("ip", "link", "set", "wan", "mtu", "9000")
            site.ns.run("tc", "qdisc", "add", "dev", "bad", "root", "netem", *BAD)
            site.addresses()
            site.hosts()
            site.adit = self.lab.adit(site.ns, site.config()).start()
        try:
            wait_for("all pseudowires", self.all_up, seconds=20)
        except AssertionError:
            print(*[w for site in self.sites for w in site.wires.values()
                    if w["state"] != "up" or "down" in (w["circuit"], w["peer_circuit"])],
                  sep="\n")
            raise

    def all_up(self):
        return all(w["state"] == "up" and w["circuit"] == w["peer_circuit"] == "up"
                   for site in self.sites for w in site.look().values())


@pytest.fixture(scope="module")
def world():
    world = World()
    try:
        yield world
    finally:
        world.lab.close()


# --- what is looked at, in each row

def check_shown(world, n, row):
    """Both sides tell the truth, and the same."""
    a, b = world.a.wires[f"w{n}"], world.b.wires[f"w{n}"]
    for site, own, other, plane in ((world.a, a, b, row.plane_a), (world.b, b, a, row.plane_b)):
        assert own["plane"] == plane, own
        assert own["encapsulation"] == row.encap[:-1]
        assert own["session"] == other["remote_session"]
        assert own["tunnel"] == other["remote_tunnel"]
        assert own["local"] == other["remote"]
        assert own["cookie_length"] == other["peer_cookie_length"]
        assert own["bridge"] == f"b{n}" and own["interface"] == f"w{n}"
        assert own["mtu"] == row.mtu
        link = site.ns.run("ip", "-d", "link", "show", f"w{n}").stdout
        assert f"mtu {row.mtu} " in link and f"master b{n} " in link
        assert ("tun type tap" in link) == (plane == "user"), link
    assert a["cookie_length"] == row.cookie
    assert b["cookie_length"] == OTHER_COOKIE[row.cookie]


def in_kernel(site, what):
    """Blocks of `ip l2tp show`, by the first number."""
    text = site.ns.run("ip", "l2tp", "show", what).stdout
    return {int(block.split()[1].rstrip(",")): block
            for block in re.split(rf"^(?={what.title()} )", text, flags=re.M) if block.strip()}


def check_kernel(world, n, row):
    """`ip l2tp` has what is shown, and nothing of what is in user space."""
    for site, plane in ((world.a, row.plane_a), (world.b, row.plane_b)):
        wire, sessions = site.wires[f"w{n}"], in_kernel(site, "session")
        if plane == "user":
            assert wire["session"] not in sessions
            continue
        text = sessions[wire["session"]]
        assert f"interface name: w{n}\n" in text
        assert f"Peer session {wire['remote_session']}, " in text
        tunnel = int(re.search(r"in tunnel (\d+)", text).group(1))
        with inside(site.ns):  # iproute2 prints cookies of the session before it, too
            l2tp = L2tp()
            found = l2tp.get_session(tunnel, wire["session"])
            l2tp.close()
        assert len(found.get(COOKIE, b"")) == wire["peer_cookie_length"]
        assert len(found.get(PEER_COOKIE, b"")) == wire["cookie_length"]
        assert ("sequence numbering:" in text) == row.seq, text
        assert f"encap {row.encap[:-1].upper()}" in in_kernel(site, "tunnel")[tunnel]


def check_frames(world, n, row):
    sure = row.cable == "wan"
    ports = [Port(site.host, f"eth{n}") for site in world.sites]
    try:
        for sender, receiver, own, far in ((*ports, 1, 2), (*ports[::-1], 2, 1)):
            sizes = [(60, b""), (60, VLAN), (60, struct.pack(">HH", 0x88A8, 9) + VLAN),
                     (row.mtu + 14, b""), (row.mtu + 14, VLAN)]
            for fill, (size, tags) in enumerate(sizes):
                frame = frame_to(receiver, sender, size, tags, fill)
                assert arrives(sender, receiver, frame, sure), (size, tags)
            # to all; the host there answers
            ask = b"\xff" * 6 + sender.mac + struct.pack(
                ">HHHBBH", 0x0806, 1, 0x0800, 6, 4, 1) + sender.mac + bytes([10, 9, n, own]) + \
                bytes(6) + bytes([10, 9, n, far])
            assert arrives(sender, sender, ask.ljust(60, b"\0"), sure,
                           lambda f: f[12:14] == b"\x08\x06" and f[20:22] == b"\0\2" and
                           f[22:28] == receiver.mac), "no answer by ARP"
    finally:
        for port in ports:
            port.close()
    host = world.a.host
    if sure:
        assert host.ping(f"10.9.{n}.2", 2, wait=10, size=row.mtu - 28) == 2
    else:
        wait_for("an answer", lambda: host.ping(f"10.9.{n}.2", 1, wait=1), seconds=20)


def check_order(world, n, row):
    """A cable that loses and re-orders: nothing arrives twice, and with sequence numbers nothing
    after what was sent later (RFC 3931 4.6)."""
    sender, receiver = [Port(site.host, f"eth{n}") for site in world.sites]
    try:
        for i in range(200):
            sender.send(numbered(receiver, sender, i))
        got = []
        end = time.monotonic() + 2 * PATIENCE
        while time.monotonic() < end and len(got) < 150:
            ready = select.select([receiver.socket], [], [], 0.2 * PATIENCE)[0]
            got += receiver.numbers()
            if row.seq and not ready:
                break
        print(f"{name_of(row)}: {len(got)} of 200 arrive, "
              f"{sum(x > y for x, y in zip(got, got[1:]))} late")
        assert len(got) == len(set(got))
        # the kernel drops nearly all of so bad a train when it is to keep the order
        assert got == sorted(got) if row.seq else len(got) > 20
    finally:
        sender.close()
        receiver.close()


def check_counted(world, n):
    def counted():
        return all(site.wire(n)[k] > 3 for site in world.sites
                   for k in ("rx_packets", "tx_packets", "rx_bytes", "tx_bytes"))
    wait_for("counters", counted, seconds=20)


@pytest.mark.parametrize("n", range(len(ROWS)), ids=lambda n: name_of(ROWS[n]))
def test_row(world, n):
    row = ROWS[n]
    for site in world.sites:
        site.look()
    check_shown(world, n, row)
    check_kernel(world, n, row)
    check_frames(world, n, row)
    if row.cable == "bad":
        check_order(world, n, row)
    check_counted(world, n)


# --- all of them at once

class Train:
    """A numbered frame every few milliseconds from one host to the other."""

    def __init__(self, sender, receiver):
        self.sender, self.receiver = sender, receiver
        self.sent, self.got = 0, []
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=t, daemon=True) for t in (self.send, self.take)]
        for thread in self.threads:
            thread.start()

    def send(self):
        os.sched_setaffinity(0, {0})  # else frames overtake each other on their way
        while not self.ended.wait(0.005):
            self.sender.send(numbered(self.receiver, self.sender, self.sent))
            self.sent += 1

    def take(self):
        while not self.ended.is_set():
            select.select([self.receiver.socket], [], [], 0.1)
            self.got += self.receiver.numbers()

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()

    def end(self):
        """All that was sent has arrived, once."""
        self.stop()
        end = time.monotonic() + 20 * PATIENCE
        while len(self.got) < self.sent and time.monotonic() < end:
            select.select([self.receiver.socket], [], [], 0.2)
            self.got += self.receiver.numbers()
        assert sorted(self.got) == list(range(self.sent))


def same_everywhere(values, want):
    return len(values) == len(ROWS) and set(values) == {want}


def pull(world, pulled, far):
    """All cables of one site at once: both sides say so, and the bridges there no longer send into
    the pseudowires."""
    for to in "down", "up":
        pulled.batch(pulled.host, [f"link set eth{n} {to}" for n in range(len(ROWS))])
        wait_for(f"the circuits to be {to} on both sides", lambda: same_everywhere(
            [w["circuit"] for w in pulled.look().values()], to) and same_everywhere(
            [w["peer_circuit"] for w in far.look().values()], to), seconds=40)
        assert same_everywhere([w["circuit"] for w in far.wires.values()], "up")
        assert same_everywhere([w["peer_circuit"] for w in pulled.wires.values()], "up")
        for site in world.sites:
            assert same_everywhere([w["state"] for w in site.wires.values()], "up")
        port = {"down": "disabled", "up": "forwarding"}[to]
        wait_for("the bridges to know", lambda: same_everywhere(far.ports().values(), port),
                 seconds=20)
        assert same_everywhere(pulled.ports().values(), "forwarding")
    # an interface of the kernel stays up, as an administrator sees it
    assert "state DOWN" not in far.ns.run("ip", "link", "show", "w3").stdout


def test_cables_are_pulled(world):
    pull(world, world.a, world.b)
    pull(world, world.b, world.a)


KILLED = [n for n, row in enumerate(ROWS)
          if row[1:3] == ("kernel", "kernel") and row.cable == "wan"]


def test_killed_aditd_loses_no_frame(world):
    """What the kernel carries flows on while aditd is killed on either side; then the two speak on
    with each other."""
    wait_for("all pseudowires", world.all_up, seconds=60)
    ids = [[w["session"] for w in site.wires.values()] for site in world.sites]
    ports = {(site, n): Port(site.host, f"eth{n}") for site in world.sites for n in KILLED}
    trains = []
    try:
        for n in KILLED:
            there, back = ports[world.a, n], ports[world.b, n]
            assert arrives(there, back, frame_to(back, there, 60, VLAN), False)
            trains += [Train(there, back), Train(back, there)]
        for site in (world.a, world.b, world.a):
            site.adit.kill_aditd(signal.SIGKILL)
        for train in trains:
            train.end()
        print(f"{sum(t.sent for t in trains)} frames in {len(trains)} trains, none lost")
    finally:
        for train in trains:
            train.stop()
        for port in ports.values():
            port.close()
    wait_for("all pseudowires", world.all_up, seconds=60)
    assert ids == [[w["session"] for w in site.wires.values()] for site in world.sites]
    assert len(KILLED) == 3
    pull(world, world.b, world.a)


def test_one_side_ends_it(world):
    """Every pseudowire, by one side or the other; nothing is left of it on either."""
    sessions = {site: [w["session"] for w in site.look().values()] for site in world.sites}
    for n in range(len(ROWS)):
        world.sites[n % 2].adit.ctl("disconnect", f"w{n}")
    for site in world.sites:
        wait_for("their end", lambda: not any(w["state"] == "up" for w in site.look().values()),
                 seconds=40)
        wait_for("the end of their interfaces", lambda: not re.search(
            r" w\d+[:@]", site.ns.run("ip", "-o", "link").stdout), seconds=40)
        assert not set(sessions[site]) & set(in_kernel(site, "session"))
    for n in range(len(ROWS)):  # who did not do it is told why
        wire = world.sites[1 - n % 2].wires[f"w{n}"]
        assert "administrator" in f"{wire['text']} {wire['because']}", wire
    for site in world.sites:
        site.adit.stop()
        wait_for("an empty kernel", lambda: not in_kernel(site, "tunnel"), seconds=20)
