# SPDX-License-Identifier: MIT
"""Ethernet pseudowires of the user-space data plane alone (dp_driver.c): the headers on the wire
against scapy's idea of them, what is dropped and why, and what passes as it is. RFC 3931 4.1, 4.6,
RFC 4719."""

import socket
import struct
import time

import pytest
from scapy.config import conf

conf.verb = 0
from scapy.layers.inet import IP, TCP, UDP  # noqa: E402
from scapy.layers.inet6 import IPv6  # noqa: E402
from scapy.layers.l2 import ARP, Dot1Q, Ether  # noqa: E402
from scapy.packet import Raw  # noqa: E402

from lab import wait_for  # noqa: E402
from test_dp_user import Driver, inside, udp_socket  # noqa: E402

SEND_SEQ, REQUIRE_SEQ = 1, 2
OURS, THEIRS = 0x11223344, 0x55667788
COOKIES = {0: (b"", b""), 4: (b"\x01\x02\x03\x04", b"\xa1\xa2\xa3\xa4"),
           8: (b"12345678", b"abcdefgh")}
ADDRESS = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
FRAMES = {
    "arp": Ether(dst="ff:ff:ff:ff:ff:ff", src="02:00:00:00:00:09") /
    ARP(pdst="10.0.0.1", psrc="10.0.0.2"),
    "vlan": Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:09") / Dot1Q(vlan=7) /
    IP(src="10.0.0.2", dst="10.0.0.1") / UDP(dport=9) / Raw(b"tagged"),
    "twice": Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:09", type=0x88a8) / Dot1Q(vlan=7) /
    Dot1Q(vlan=8) / IP(src="10.0.0.2", dst="10.0.0.1") / UDP(dport=9) / Raw(b"tagged twice"),
    "any": Ether(dst="01:80:c2:00:00:00", src="02:00:00:00:00:09", type=0x88cc) / Raw(b"lldp"),
    "jumbo": Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:09") /
    IP(src="10.0.0.2", dst="10.0.0.1") / UDP(dport=9) / Raw(b"j" * 8900),
}


class Wire:
    """The plane in one namespace, this file as its peer in another, and a packet socket on the
    pseudowire's interface."""

    def __init__(self, lab, encap="udp", family=4, cookie=0, l2spec=1, flags=0, tag=0):
        self.encap, self.cookie, self.l2spec = encap, cookie, l2spec
        self.ours, self.theirs = lab.ns("ours"), lab.ns("theirs")
        lab.cable(self.ours, self.theirs, ["192.0.2.1/24", "2001:db8::1/64"],
                  ["192.0.2.2/24", "2001:db8::2/64"], "o0", "t0")
        local, remote = ADDRESS[family]
        self.remote = remote
        # no word of the kernel's own on the new interface
        self.ours.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
        self.dp = Driver(self.ours)
        port = ":1701" if encap == "udp" else ""
        brackets = "[%s]" if family == 6 and port else "%s"
        at = brackets % local + port
        assert self.dp.ask("listen 1 " + ("" if port else "ip:") + at, "listen")["error"] == 0
        to = brackets % remote + port
        ours, peers = (c.hex() for c in COOKIES[cookie])
        done = self.dp.ok(
            f"put 1 wire=w0 local={at} remote={to} session={OURS},{THEIRS} encap={encap} mtu=9000 "
            f"l2spec={l2spec} flags={flags} tag={tag}" + (f" cookiein={ours} cookieout={peers}" if ours
                                                else ""))
        assert done["ifname"] == "w0"
        if encap == "udp":
            self.peer = udp_socket(self.theirs, remote, 1701)
            self.to = (local, 1701)
        else:
            self.peer = inside(self.theirs, lambda: socket.socket(
                socket.AF_INET6 if family == 6 else socket.AF_INET, socket.SOCK_RAW, 115))
            self.peer.bind((remote, 0))
            self.peer.settimeout(30)
            self.to = (local, 0)
        self.family = family

        def tap():
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            s.bind(("w0", 0))
            s.settimeout(30)
            return s
        self.tap = inside(self.ours, tap)

    def head(self, session=OURS, cookie=None, seq=None):
        h = b"\x00\x03\x00\x00" if self.encap == "udp" else b""
        h += struct.pack("!I", session) + (COOKIES[self.cookie][0] if cookie is None else cookie)
        if self.l2spec:
            h += struct.pack("!I", 0 if seq is None else 0x40000000 | seq)
        return h

    def send(self, frame, **head):
        self.peer.sendto(self.head(**head) + bytes(frame), self.to)

    def take(self):
        """The next message of the plane: (sequence or None, frame)."""
        while True:
            b = self.peer.recv(70000)
            if self.encap == "ip" and self.family == 4:
                b = b[(b[0] & 15) * 4:]
            if self.encap == "udp":
                assert b[:4] == b"\x00\x03\x00\x00"
                b = b[4:]
            assert b[:4] == struct.pack("!I", THEIRS)
            n = 4 + self.cookie
            assert b[4:n] == COOKIES[self.cookie][1]
            seq = None
            if self.l2spec:
                word = struct.unpack("!I", b[n:n + 4])[0]
                assert word & 0xbf000000 == 0
                seq = word & 0xffffff if word & 0x40000000 else None
                n += 4
            return seq, b[n:]

    def out(self):
        """The next frame that comes out of the interface here."""
        while True:
            frame, (_, _, kind, *_) = self.tap.recvfrom(70000)
            if kind != socket.PACKET_OUTGOING:
                return frame

    def stats(self):
        """Once they rest: a frame is counted after it has left, and may be here before."""
        s = None
        while s != (s := self.dp.stats(1)):
            time.sleep(0.05)
        return s

    def plane(self):
        return self.dp.ask("plane", "plane")


@pytest.mark.parametrize("cookie,l2spec", [(0, 0), (4, 1), (8, 1), (8, 0)])
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("encap", ["udp", "ip"])
def test_frames_pass_as_they_are(lab, encap, family, cookie, l2spec):
    w = Wire(lab, encap, family, cookie, l2spec)
    sent = 0
    for name, frame in FRAMES.items():
        frame = bytes(frame)
        w.send(frame)
        got = w.out()
        # the kernel takes the outer tag off before a packet socket sees it
        tags = 4 if name in ("vlan", "twice") else 0
        assert (got[:12], got[12:]) == (frame[:12], frame[12 + tags:]), name
        w.tap.send(frame)
        seq, got = w.take()
        assert got == frame and seq is None, name
        sent += len(frame)
    s = w.stats()
    assert (s["rx"], s["rx_bytes"], s["tx"], s["tx_bytes"]) == (len(FRAMES), sent, len(FRAMES), sent)
    assert (s["spoof"], s["seq"], s["other"]) == (0, 0, 0)


@pytest.mark.parametrize("encap", ["udp", "ip"])
def test_what_is_dropped_is_counted(lab, encap):
    w = Wire(lab, encap, cookie=8, flags=REQUIRE_SEQ)
    frame = bytes(FRAMES["arp"])
    w.send(frame, seq=0)
    assert w.out() == frame
    w.send(frame, seq=1, cookie=b"12345679")
    w.send(frame, seq=1, cookie=b"")
    w.send(frame, session=OURS + 1, seq=1)
    w.send(frame[:13], seq=1)
    w.peer.sendto(w.head(seq=1)[:-2], w.to)
    w.send(frame)  # no S bit
    w.send(frame, seq=0)  # twice
    w.send(frame, seq=1)
    assert w.out() == frame
    s, p = w.stats(), w.plane()
    # without a cookie, the frame's first octets are taken for one
    assert (s["rx"], s["spoof"], s["seq"], s["other"]) == (2, 2, 2, 2)
    assert (p["rx"], p["spoof"], p["seq"], p["header"], p["unknown"]) == (2, 2, 2, 2, 1)
    # from somebody else who knows the cookie
    w.theirs.run("ip", "addr", "add", "192.0.2.3/24", "dev", "t0")
    other = (udp_socket(w.theirs, "192.0.2.3", 1701) if encap == "udp" else inside(
        w.theirs, lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 115)))
    other.bind(("192.0.2.3", 0)) if encap == "ip" else None
    other.sendto(w.head(seq=2) + frame, w.to)
    wait_for("the count", lambda: w.plane()["path"] == 1)
    w.send(frame, seq=2)  # it has not moved the sequence on
    assert w.out() == frame


def test_sequence_numbers(lab):
    """24 bits that start at 0 and wrap; what is late is dropped (RFC 3931 4.6.1)."""
    w = Wire(lab, cookie=4, flags=SEND_SEQ | REQUIRE_SEQ)
    frame = bytes(FRAMES["arp"])
    for n in range(3):
        w.tap.send(frame)
        assert w.take() == (n, frame)
    # half the space ahead is new, half behind is old; so on to the end of it
    for n in [0, 0x7fffff, 0xfffffe, 0xffffff, 0, 1]:
        w.send(frame, seq=n)
        assert w.out() == frame
    for n in [0xffffff, 1, 0]:
        w.send(frame, seq=n)
    w.send(frame, seq=5)
    assert w.out() == frame
    assert w.stats()["seq"] == 3


def test_both_versions_share_a_socket(lab):
    """Data of L2TPv2 and L2TPv3 on one socket, and control messages of both go up."""
    w = Wire(lab, cookie=8)
    v2 = struct.pack("!HHHHHH", 0xc802, 12, 0, 0, 0, 0)
    v3 = struct.pack("!HHIHH", 0xc803, 12, 77, 0, 0)
    for control in (v2, v3):
        w.peer.sendto(control, w.to)
        p = w.dp.wait("punt")
        assert (p["punt"], p["bytes"]) == ("datagram", control.hex())
    w.dp.ok("net pool=10.9.0.0/16 mtu=1400")
    w.dp.ok("put 2 local=192.0.2.1:1701 remote=192.0.2.2:1701 session=300,301 prefix=10.9.0.1/32 "
            "flags=96")
    inner = bytes(IP(src="10.9.0.1", dst="192.0.2.1") / UDP(sport=9, dport=9) / Raw(b"x"))
    w.peer.sendto(struct.pack("!HHHHH", 2, 10, 300, 0xff03, 0x21) + inner, w.to)
    wait_for("the packet of L2TPv2", lambda: w.dp.stats(2)["rx"] == 1)
    w.send(FRAMES["arp"])
    assert w.out() == bytes(FRAMES["arp"])
    # 10 and 300 as one number are a session of L2TPv3 that is not here
    w.send(FRAMES["arp"], session=10 << 16 | 300)
    wait_for("the count", lambda: w.plane()["unknown"] == 1)
    assert w.dp.stats(2)["rx"] == 1


@pytest.mark.parametrize("family", [4, 6])
def test_control_messages_over_ip_go_up(lab, family):
    w = Wire(lab, "ip", family)
    control = bytes(4) + struct.pack("!HHIHH", 0xc803, 12, 77, 0, 0)
    w.peer.sendto(control, w.to)
    p = w.dp.wait("punt")
    assert (p["punt"], p["bytes"]) == ("datagram", control.hex())
    assert w.remote in p["path"] and "115" not in p["path"]
    for broken in (b"", b"\x00", bytes(4), bytes(5), bytes(12), b"\x00\x00\x00\x01"):
        w.peer.sendto(broken, w.to)
    w.send(FRAMES["arp"])
    assert w.out() == bytes(FRAMES["arp"])
    assert w.plane()["header"] >= 4


def segment(n, seq, flags="A", vlan=False, version=4, **tcp):
    ether = Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:09")
    ip = (IP(src="10.0.0.2", dst="10.0.0.1", id=7 + seq // 1000, flags="DF") if version == 4 else
          IPv6(src="2001:db8:9::2", dst="2001:db8:9::1"))
    body = TCP(sport=1000, dport=2000, seq=seq, ack=5, flags=flags, **tcp) / Raw(
        bytes((seq + i) & 255 for i in range(n)))
    return bytes(ether / Dot1Q(vlan=5) / ip / body if vlan else ether / ip / body)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("vlan", [False, True])
def test_segments_are_joined(lab, vlan, version):
    """Segments of one batch become one packet for the interface: the octets of TCP are the same."""
    w = Wire(lab, cookie=8)
    # the plane is asleep: it takes them in one batch once it has been stopped for a moment
    w.dp.child.send_signal(19)
    for i in range(20):
        w.send(segment(1000, 1000 * i, vlan=vlan, version=version))
    w.dp.child.send_signal(18)
    stream, packets = {}, 0
    while sum(len(s) for s in stream.values()) < 20000:
        frame = Ether(w.out())
        tcp = frame[TCP]
        data = bytes(tcp.payload)[:(frame[IP].len - 40 if version == 4 else frame[IPv6].plen - 20)]
        stream[tcp.seq] = data
        packets += 1
    assert b"".join(stream[s] for s in sorted(stream)) == bytes(
        ((1000 * i + j) & 255) for i in range(20) for j in range(1000))
    assert packets < 20
    s = w.stats()
    assert (s["rx"], s["rx_bytes"]) == (20, 20 * (1000 + 54 + (20 if version == 6 else 0) +
                                                  (4 if vlan else 0)))


def tagged(frame, vlan, kind=0x8100):
    return frame[:12] + struct.pack("!HH", kind, vlan) + frame[12:]


@pytest.mark.parametrize("encap", ["udp", "ip"])
def test_a_tag_in_the_session_alone(lab, encap):
    """RFC 4719 3.1: frames have the tag of the circuit between the two, and whoever takes one out
    writes its own: here none, whatever VLAN the peer has."""
    w = Wire(lab, encap, cookie=8, tag=100)
    for name in ("arp", "any", "jumbo"):
        frame = bytes(FRAMES[name])
        w.tap.send(frame)
        assert w.take() == (None, tagged(frame, 100)), name
        for there in tagged(frame, 100), tagged(frame, 5), tagged(frame, 7, 0x88a8), frame:
            w.send(there)
            assert w.out() == frame, name
    # a tag of the hosts' own is within that of the circuit, and stays
    inner = bytes(FRAMES["vlan"])
    w.tap.send(inner)
    assert w.take() == (None, tagged(inner, 100))
    w.send(tagged(inner, 200))
    assert w.out() == inner[:12] + inner[16:]  # the kernel takes it off before a packet socket
    w.send(inner[:12] + b"\x81\0\0\7\x08")  # no whole tag: as it is
    w.send(tagged(bytes(FRAMES["arp"]), 9))
    while w.out() != bytes(FRAMES["arp"]):
        pass


@pytest.mark.parametrize("version", [4, 6])
def test_tagged_segments_are_joined(lab, version):
    w = Wire(lab, tag=100)
    w.dp.child.send_signal(19)
    for i in range(20):
        w.send(segment(1000, 1000 * i, vlan=True, version=version))
    w.dp.child.send_signal(18)
    stream = {}
    while sum(len(s) for s in stream.values()) < 20000:
        frame = Ether(w.out())
        assert frame.type == (0x800 if version == 4 else 0x86dd)
        data = bytes(frame[TCP].payload)
        stream[frame[TCP].seq] = data[:frame[IP].len - 40 if version == 4 else
                                      frame[IPv6].plen - 20]
    assert b"".join(stream[s] for s in sorted(stream)) == bytes(
        ((1000 * i + j) & 255) for i in range(20) for j in range(1000))


@pytest.mark.parametrize("tags", [(0, 0), (100, 200)])
def test_kernel_traffic_with_offloads(lab, tags):
    """Two planes against each other with real TCP over the TAPs."""
    a, b = lab.ns("a"), lab.ns("b")
    lab.cable(a, b, ["192.0.2.1/24"], ["192.0.2.2/24"], "o0", "t0")
    sides = []
    for ns, local, remote, ids, tag in ((a, "192.0.2.1", "192.0.2.2", "1,2", tags[0]),
                                        (b, "192.0.2.2", "192.0.2.1", "2,1", tags[1])):
        dp = Driver(ns)
        assert dp.ask(f"listen 1 {local}:1701", "listen")["error"] == 0
        dp.ok(f"put 1 wire=w0 local={local}:1701 remote={remote}:1701 session={ids} mtu=1446 "
              f"l2spec=1 flags=3 tag={tag} cookiein=0102030405060708 cookieout=0102030405060708")
        n = local[-1]
        ns.run("ip", "addr", "add", f"10.0.0.{n}/24", "dev", "w0")
        sides.append(dp)
    # What the first one's kernel said before the second one's device was up is lost there.
    before = [dp.stats(1)["other"] for dp in sides]
    a.tcp(b, "10.0.0.2", octets=3_000_000)
    b.tcp(a, "10.0.0.1", octets=3_000_000)
    for dp, other in zip(sides, before):
        s = dp.stats(1)
        assert s["rx"] > 2000 and (s["spoof"], s["seq"], s["other"]) == (0, 0, other), s


def test_far_circuit_and_bridge(lab):
    """The carrier follows the far circuit; the interface stays in its bridge all the time."""
    w = Wire(lab)
    w.ours.run("ip", "link", "add", "br0", "type", "bridge")
    base = ("put 1 wire=w0 local=192.0.2.1:1701 remote=192.0.2.2:1701 "
            f"session={OURS},{THEIRS} mtu=9000 l2spec=1 master=br0 ")
    link = lambda: w.ours.run("ip", "link", "show", "w0").stdout  # noqa: E731
    w.dp.ok(base)
    assert "master br0" in link() and "NO-CARRIER" not in link()
    w.dp.ok(base + f"flags={1 << 12}")
    wait_for("no carrier", lambda: "NO-CARRIER" in link())
    w.dp.ok(base)
    wait_for("a carrier", lambda: "NO-CARRIER" not in link())
    assert "master br0" in link()
    w.dp.ok("del 1")
    assert "w0" not in w.ours.run("ip", "-o", "link").stdout
