# SPDX-License-Identifier: MIT
"""The user-space data plane alone (dp_driver.c) on real devices and cables. The peer is this file:
UDP sockets in its namespace, IP packets by scapy. What comes out of the plane's device is routed by
the kernel to a host behind it, and back."""

import ctypes
import json
import os
import pathlib
import queue
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest
from scapy.config import conf

conf.verb = 0
from scapy.layers.inet import ICMP, IP, TCP, UDP  # noqa: E402
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6  # noqa: E402

from lab import BUILD, wait_for

SEND_SEQ, REQUIRE_SEQ, LENGTH, ACFC, PFC, IP4, IP6, ANTISPOOF, CLAMP, CLIENT = (
    1 << n for n in range(10))
LNS_FLAGS = IP4 | IP6 | ANTISPOOF
TUNNEL = 10
PROTO4, PROTO6, LCP = 0x0021, 0x0057, 0xc021
libc = ctypes.CDLL(None, use_errno=True)


def inside(ns, make):
    """Call `make` in the namespace: a socket made there stays there."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{ns.name}", os.O_RDONLY)
    try:
        assert libc.setns(there, 0x40000000) == 0
        return make()
    finally:
        assert libc.setns(here, 0x40000000) == 0
        os.close(here)
        os.close(there)


def udp_socket(ns, address, port=0):
    def make():
        s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET,
                          socket.SOCK_DGRAM)
        s.bind((address, port))
        s.settimeout(30)
        return s
    return inside(ns, make)


def sniffer(ns, device):
    def make():
        s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        s.bind((device, 0))
        s.settimeout(30)
        return s
    return inside(ns, make)


def next_ip(sniff):
    """The next IP packet that comes in, nothing else."""
    while True:
        packet, (_, protocol, kind, *_) = sniff.recvfrom(4000)
        if protocol in (0x0800, 0x86dd) and kind != socket.PACKET_OUTGOING:
            return packet


def data(session, packet, proto=None, tunnel=TUNNEL, seq=None):
    """A data message with an IP packet, or with octets of another PPP protocol."""
    packet = bytes(packet)
    if proto is None:
        proto = PROTO4 if packet[0] >> 4 == 4 else PROTO6
    flags = 2 | (0x0800 if seq is not None else 0)
    head = struct.pack("!HHH", flags, tunnel, session)
    if seq is not None:
        head += struct.pack("!HH", seq, 0)
    return head + struct.pack("!HH", 0xff03, proto) + packet


def opened(message):
    """The session id and the IP packet of a data message with a plain header."""
    flags, _, session, address, proto = struct.unpack("!HHHHH", message[:10])
    assert flags & 0xceff == 2 and address == 0xff03
    return session, (IP if proto == PROTO4 else IPv6)(message[10:])


class Driver:
    """dp_driver in a namespace."""

    def __init__(self, ns, **env):
        self.log = open(ns.lab.dir / f"{ns.short}-dp_driver.log", "wb")
        self.child = subprocess.Popen(
            ns.argv([BUILD / "tests/unit/dp/dp_driver"]), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self.log, text=True, bufsize=1,
            env={**os.environ, **env})
        self.lab = ns.lab
        self.lab.children.append(self.child)
        self.lines = queue.Queue()
        self.kept = []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.child.stdout:
            self.lines.put(json.loads(line))

    def do(self, line):
        self.child.stdin.write(line + "\n")

    def wait(self, kind, seconds=5):
        """The next line of this kind; others are kept for later."""
        for i, line in enumerate(self.kept):
            if kind in line:
                return self.kept.pop(i)
        end = time.monotonic() + seconds
        while True:
            try:
                line = self.lines.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {kind!r} from the data plane") from None
            if kind in line:
                return line
            self.kept.append(line)

    def ask(self, line, kind):
        self.do(line)
        return self.wait(kind)

    def ok(self, line):
        done = self.ask(line, "done")
        assert done["error"] == 0, done["text"]
        return done

    def stats(self, key):
        return self.ask(f"stats {key}", "stats")

    def plane(self):
        return self.ask("plane", "plane")

    def stop(self):
        self.lab.children.remove(self.child)
        self.child.stdin.close()
        assert self.child.wait(60) == 0


class World:
    """peer (192.0.2.2, .3) -- lns (192.0.2.1, .9, pools) -- host (198.51.100.2)"""

    def __init__(self, lab, **env):
        self.lab = lab
        self.lns, self.peer, self.host = lab.ns("lns"), lab.ns("peer"), lab.ns("host")
        for ns in self.lns, self.peer, self.host:  # else nobody answers for the first second
            ns.sysctl("net.ipv6.conf.default.accept_dad", 0)
        lab.cable(self.lns, self.peer,
                  ["192.0.2.1/24", "192.0.2.9/24", "2001:db8::1/64"],
                  ["192.0.2.2/24", "192.0.2.3/24", "2001:db8::2/64"], "wan", "wan")
        lab.cable(self.lns, self.host, ["198.51.100.1/24", "2001:db8:100::1/64"],
                  ["198.51.100.2/24", "2001:db8:100::2/64"], "lan", "lan")
        self.host.run("ip", "route", "add", "default", "via", "198.51.100.1")
        self.host.run("ip", "route", "add", "default", "via", "2001:db8:100::1")
        self.lns.sysctl("net.ipv4.ip_forward", 1)
        self.lns.sysctl("net.ipv6.conf.all.forwarding", 1)
        self.dp = Driver(self.lns, **env)
        assert self.dp.ask("listen 1 [::]:1701", "listen")["error"] == 0
        self.dp.ok("net local=10.0.0.254 pool=10.0.0.0/24 pool=2001:db8:aaaa::/48 mtu=1400")
        self.sock = udp_socket(self.peer, "192.0.2.2", 1701)

    def put(self, key=1, flags=LNS_FLAGS, more="", local="192.0.2.1:1701",
            remote="192.0.2.2:1701"):
        self.dp.ok(f"put {key} local={local} remote={remote} flags={flags} "
                   f"prefix=10.0.0.{key}/32 prefix=2001:db8:aaaa:{key}::/64 {more}")

    def send(self, packet, session=1, sock=None, to="192.0.2.1", **kw):
        (sock or self.sock).sendto(data(session, packet, **kw), (to, 1701))

    def receive(self, want=lambda packet: True, sock=None):
        """The next IP packet the plane sends that is wanted; none within 30 s raises."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            message = (sock or self.sock).recv(4000)
            session, packet = opened(message)
            if want(packet):
                return session, packet
        raise TimeoutError("no packet that is wanted")

    def silence(self, sock, seconds=0.3):
        sock.settimeout(seconds)
        try:
            got = sock.recv(4000)
        except TimeoutError:
            return True
        finally:
            sock.settimeout(30)
        raise AssertionError(f"unexpected: {got.hex()}")


@pytest.fixture
def world(lab):
    return World(lab)


def echo4(source, ttl=64, payload=b"x" * 56, ident=7):
    return IP(src=source, dst="198.51.100.2", ttl=ttl) / ICMP(id=ident) / payload


def test_both_families_both_ways(world):
    world.put()
    world.send(echo4("10.0.0.1"))
    session, answer = world.receive(lambda p: ICMP in p)
    assert session == 1001
    assert (answer.src, answer.dst, answer[ICMP].type) == ("198.51.100.2", "10.0.0.1", 0)
    assert answer.ttl == 63, "the LNS is one hop"
    world.send(IPv6(src="2001:db8:aaaa:1::77", dst="2001:db8:100::2") /
               ICMPv6EchoRequest(id=3, data=b"y" * 40))
    session, answer = world.receive(lambda p: IPv6 in p and p.nh == 58 and bytes(p)[40] == 129)
    assert answer.dst == "2001:db8:aaaa:1::77"
    # the LNS's own address inside, and time to live
    world.send(IP(src="10.0.0.1", dst="10.0.0.254") / ICMP())
    assert world.receive(lambda p: ICMP in p)[1].src == "10.0.0.254"
    world.send(echo4("10.0.0.1", ttl=1))
    assert world.receive(lambda p: ICMP in p)[1][ICMP].type == 11
    stats = wait_for("the counters", lambda: (s := world.dp.stats(1))["tx"] >= 4 and s)
    assert stats["rx"] == 4 and stats["rx_bytes"] == 84 + 88 + 28 + 84
    done = world.dp.ok("del 1")
    assert done["rx"] == 4
    world.send(echo4("10.0.0.1"))
    assert world.silence(world.sock)


def test_what_must_not_pass(world):
    world.put(1)
    world.put(2)
    host = sniffer(world.host, "lan")
    other_port = udp_socket(world.peer, "192.0.2.2")
    other_host = udp_socket(world.peer, "192.0.2.3", 1701)
    world.send(echo4("10.0.0.2"))                        # the neighbour's address
    world.send(echo4("10.0.0.77"))                       # nobody's address
    world.send(IPv6(src="2001:db8:aaaa:2::1", dst="2001:db8:100::2") / ICMPv6EchoRequest())
    world.send(echo4("10.0.0.1"), sock=other_port)       # wrong port
    world.send(echo4("10.0.0.1"), sock=other_host)       # wrong host
    world.send(echo4("10.0.0.1"), to="192.0.2.9")        # to another address of ours
    world.send(echo4("10.0.0.1"), tunnel=11)             # wrong tunnel
    world.send(echo4("10.0.0.1", ident=99))              # the one that is right
    seen = []
    while True:
        packet = next_ip(host)
        if packet[0] >> 4 == 4 and packet[9] == 1:
            seen.append(IP(packet))
            if seen[-1][ICMP].id == 99:
                break
    assert len(seen) == 1
    plane = world.dp.plane()
    assert plane["spoof"] == 3 and plane["path"] == 3 and plane["unknown"] == 1
    assert world.dp.stats(1)["spoof"] == 3
    # broadcast to the port is nobody's tunnel
    def make():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        s.bind(("192.0.2.2", 0))
        return s
    shout = inside(world.peer, make)
    shout.sendto(bytes.fromhex("c802000c0000000000000000"), ("192.0.2.255", 1701))
    wait_for("the drop to be counted", lambda: world.dp.plane()["header"] == 1)


def test_what_comes_up(world):
    world.put()
    control = bytes.fromhex("c802000c000a000000010001")
    world.sock.sendto(control, ("192.0.2.1", 1701))
    punt = world.dp.wait("punt")
    assert punt["punt"] == "datagram" and punt["bytes"] == control.hex()
    assert punt["path"] == "192.0.2.1:1701 -> 192.0.2.2:1701"
    world.send(bytes.fromhex("0901000800000000"), proto=LCP)
    punt = world.dp.wait("punt")
    assert (punt["punt"], punt["key"], punt["bytes"]) == ("ppp", 1, "c0210901000800000000")
    world.send(bytes.fromhex("0101000400"), session=55, proto=LCP)   # being set up
    assert world.dp.wait("punt")["punt"] == "datagram"
    solicit = IPv6(src="fe80::1", dst="ff02::2", hlim=255) / bytes.fromhex("8500000000000000")
    world.send(solicit)
    punt = world.dp.wait("punt")
    assert punt["punt"] == "local" and punt["bytes"] == bytes(solicit).hex()
    # the control plane's own frames leave with the priority bit
    assert world.dp.ask("send 1 c0210a01000800000000", "send")["send"] == 0
    assert world.sock.recv(100) == bytes.fromhex("0102001403e9ff03c0210a01000800000000")


def test_too_big(world):
    world.put(more="mtu=1300")
    out = world.host.run("ping", "-n", "-c1", "-W2", "-M", "do", "-s", "1350", "10.0.0.1",
                         check=False).stdout
    assert "mtu = 1300" in out
    out = world.host.run("ping", "-n", "-c1", "-W2", "-M", "do", "-s", "1320",
                         "2001:db8:aaaa:1::1", check=False).stdout
    assert "mtu=1300" in out.replace("mtu = ", "mtu=")
    assert world.dp.stats(1)["mtu"] >= 1
    # allowed to be cut: two fragments that make up the whole
    world.host.run("ip", "route", "flush", "cache")
    big = udp_socket(world.host, "198.51.100.2")
    big.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER = DONT
    big.sendto(b"z" * 1360, ("10.0.0.1", 9))
    pieces = [world.receive(lambda p: IP in p and p.proto == 17)[1] for _ in range(2)]
    assert all(len(p) <= 1300 for p in pieces)
    assert sum(len(p) - 20 for p in pieces) == 1368
    assert pieces[0].flags.MF and not pieces[1].flags.MF
    for p in pieces:
        sum_was = p.chksum
        del p.chksum
        assert IP(bytes(p)).chksum == sum_was


def test_mss_both_ways(world):
    world.put(flags=LNS_FLAGS | CLAMP, more="mss4=1300 mss6=1250")
    host = sniffer(world.host, "lan")
    for family, mss in (4, 1300), (6, 1250):
        source = "10.0.0.1" if family == 4 else "2001:db8:aaaa:1::1"
        target = "198.51.100.2" if family == 4 else "2001:db8:100::2"
        def make():
            s = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6)
            s.bind((target, 7000))
            s.listen()
            return s
        server = inside(world.host, make)
        head = IP(src=source, dst=target) if family == 4 else IPv6(src=source, dst=target)
        # odd offset: one NOP before the option
        world.send(head / TCP(sport=5000, dport=7000, flags="S",
                              options=[("NOP", None), ("MSS", 1460)]))
        while True:  # up: what the host gets
            packet = next_ip(host)
            got = (IP if packet[0] >> 4 == 4 else IPv6)(packet)
            if TCP in got and got[TCP].dport == 7000:
                break
        assert dict(got[TCP].options)["MSS"] == mss
        # down: the host took the SYN, so its checksum was right; its answer is clamped as well
        session, answer = world.receive(lambda p: TCP in p)
        assert answer[TCP].flags == "SA" and dict(answer[TCP].options)["MSS"] == mss
        was = answer[TCP].chksum
        del answer[TCP].chksum
        assert type(answer)(bytes(answer))[TCP].chksum == was
        server.close()


def test_source_address_of_a_multi_homed_host(world):
    world.put(local="192.0.2.9:1701")
    connected = udp_socket(world.peer, "192.0.2.2", 2000)
    connected.connect(("192.0.2.9", 1701))  # hears .9 only
    world.put(2, more="session=2,1002", local="192.0.2.9:1701", remote="192.0.2.2:2000")
    connected.send(data(2, echo4("10.0.0.2")))
    assert world.receive(lambda p: ICMP in p, sock=connected)[0] == 1002
    assert world.dp.ask("send 2 c02109010004", "send")["send"] == 0
    assert connected.recv(100).endswith(bytes.fromhex("c02109010004"))
    # the same over IPv6 outside
    six = udp_socket(world.peer, "2001:db8::2", 1701)
    six.connect(("2001:db8::1", 1701))
    world.put(3, local="[2001:db8::1]:1701", remote="[2001:db8::2]:1701")
    six.send(data(3, echo4("10.0.0.3")))
    assert world.receive(lambda p: ICMP in p, sock=six)[0] == 1003


def test_sequence_numbers(world):
    world.put(flags=LNS_FLAGS | SEND_SEQ | REQUIRE_SEQ, more="ns=65535")
    for seq in 0, 1, 3, 2, 3, 4:
        world.send(echo4("10.0.0.1", ident=seq), seq=seq)
    world.send(echo4("10.0.0.1", ident=77))  # without
    for ns, ident in (65535, 0), (0, 1), (1, 3), (2, 4):
        message = world.sock.recv(2000)
        assert struct.unpack("!HHHH", message[:8]) == (0x0802, 20, 1001, ns)
        assert IP(message[14:])[ICMP].id == ident
    assert world.silence(world.sock)
    assert world.dp.stats(1)["seq"] == 3


def test_a_packet_of_the_tunnel_routed_into_it(world):
    world.put(more="prefix=192.0.2.2/32")
    world.lns.run("ip", "route", "replace", "192.0.2.2/32", "dev", "adit0")
    before = world.dp.plane()["other"]
    world.host.run("ping", "-n", "-c1", "-W1", "10.0.0.1", check=False)
    # the echo goes into the session, the datagram with it into the device again, and there it ends
    wait_for("the packet to be dropped", lambda: world.dp.plane()["other"] > before)
    assert world.dp.plane()["tx"] <= 3


@pytest.mark.parametrize("without", [0, 1, 2, 4, 7])
def test_a_client_and_its_server(lab, without):
    """Two planes: what a client's row asks of its host, and TCP through both."""
    server, client = lab.ns("server"), lab.ns("client")
    lab.cable(server, client, ["192.0.2.1/24"], ["192.0.2.2/24"], "wan", "wan")
    client.run("ip", "route", "add", "default", "via", "192.0.2.1")
    lns = Driver(server, DP_NO_OFFLOAD=str(without))
    assert lns.ask("listen 1 192.0.2.1:1701", "listen")["error"] == 0
    lns.ok("net local=10.0.0.254 local=2001:db8:f::1 pool=10.0.0.0/24 pool=2001:db8:a::/48 mtu=1440")
    lns.ok(f"put 1 local=192.0.2.1:1701 remote=192.0.2.2:1701 flags={LNS_FLAGS} mtu=1440 "
           "session=1,2 prefix=10.0.0.1/32 prefix=2001:db8:a:1::/64")
    cpe = Driver(client, PIN_VIA="via 192.0.2.1", DP_NO_OFFLOAD=str(without))
    assert cpe.ask("listen 1 192.0.2.2:1701", "listen")["error"] == 0
    done = cpe.ok(f"put 1 local=192.0.2.2:1701 remote=192.0.2.1:1701 flags={IP4 | IP6 | CLIENT} "
                  "mtu=1440 tunnel=20,10 session=2,1 host=10.0.0.1 host=2001:db8:a:1::1 "
                  "peer4=10.0.0.254 route=0.0.0.0/0 route=::/0 pin=1 metric=5")
    assert done["ifname"] == "adit1"
    routes = client.run("ip", "route").stdout
    assert "default dev adit1 scope link metric 5" in routes
    assert "10.0.0.254 dev adit1" in routes and "192.0.2.1 via 192.0.2.1" in routes
    assert client.ping("10.0.0.254") == 3
    assert client.ping("2001:db8:f::1") == 3
    assert client.ping("10.0.0.254", count=1, size=1412) == 1
    client.tcp(server, "10.0.0.254", octets=3_000_000)
    client.tcp(server, "2001:db8:f::1", octets=3_000_000)
    server.tcp(client, "10.0.0.1", octets=3_000_000, port=5002)
    assert lns.plane()["offloads"] == cpe.plane()["offloads"] == 7 & ~without
    cpe.ok("del 1")
    assert "adit1" not in client.run("ip", "link").stdout
    assert "192.0.2.1 via" not in client.run("ip", "route").stdout
    cpe.stop()
    lns.stop()


def test_the_device_is_taken_away(world):
    world.put()
    world.send(echo4("10.0.0.1"))
    world.receive(lambda p: ICMP in p)
    world.lns.run("ip", "link", "del", "adit0")
    wait_for("the device to come back", lambda: "10.0.0.0/24" in
             world.lns.run("ip", "route", "show", "dev", "adit0", check=False).stdout)
    world.send(echo4("10.0.0.1"))
    assert world.receive(lambda p: ICMP in p)[1].dst == "10.0.0.1"


def test_down_and_up_again(world):
    """A device that is down costs packets, not the plane."""
    world.put()
    world.lns.run("ip", "link", "set", "adit0", "down")
    for _ in range(20):
        world.send(echo4("10.0.0.1"))
    wait_for("the drops", lambda: world.dp.stats(1)["other"] == 20)
    world.lns.run("ip", "link", "set", "adit0", "up")
    world.lns.run("ip", "route", "replace", "10.0.0.0/24", "dev", "adit0")
    world.send(echo4("10.0.0.1"))
    assert world.receive(lambda p: ICMP in p)[1].dst == "10.0.0.1"


# --- offloads: many packets at once

def train(world, messages, session=None):
    """Send messages of one length in one send (UDP_SEGMENT); the last may be shorter."""
    size = len(messages[0])
    assert all(len(m) == size for m in messages[:-1]) and len(messages[-1]) <= size
    world.sock.sendmsg([b"".join(messages)], [(socket.SOL_UDP, 103, struct.pack("=H", size))], 0,
                       ("192.0.2.1", 1701))


def tcp_segments(count, size=1000, source="10.0.0.1", seq=1):
    v6 = ":" in source
    for i in range(count):
        head = (IPv6(src=source, dst="2001:db8:100::2") if v6 else
                IP(src=source, dst="198.51.100.2", id=1 + i, flags="DF"))
        yield bytes(head / TCP(sport=4000, dport=9, seq=seq + i * size, flags="A") /
                    (bytes([i]) * size))


def seen_on(sniff, seconds=1.0):
    """TCP packets that come in within a time, at most until there is silence."""
    sniff.settimeout(seconds)
    out = []
    try:
        while True:
            packet = next_long(sniff)
            p = (IP if packet[0] >> 4 == 4 else IPv6)(packet)
            if TCP in p and p[TCP].sport == 4000:
                out.append(p)
    except TimeoutError:
        return out


def next_long(sniff):
    while True:
        packet, (_, protocol, kind, *_) = sniff.recvfrom(70000)
        if protocol in (0x0800, 0x86dd) and kind != socket.PACKET_OUTGOING:
            return packet


@pytest.mark.parametrize("source", ["10.0.0.1", "2001:db8:aaaa:1::1"])
def test_segments_are_joined_once_their_checksums_are_right(world, source):
    world.put()
    device = sniffer(world.lns, "adit0")
    segments = list(tcp_segments(20, source=source))
    bad = bytearray(segments[9])
    bad[-1] ^= 1
    train(world, [data(1, p) for p in segments[:9] + [bytes(bad)] + segments[10:]])
    seen = seen_on(device)
    # nine, the bad one as it came, ten: each a packet of its own
    assert [len(bytes(p[TCP].payload)) for p in seen] == [9000, 1000, 10000]
    assert bytes(seen[1]) == bytes(bad)
    stats = world.dp.stats(1)
    assert stats["rx"] == 20 and stats["rx_bytes"] == sum(map(len, segments))


def test_sessions_in_one_train_are_kept_apart(world):
    """Control, data of two sessions, a neighbour's address and an unknown session, all in one."""
    world.put(1)
    world.put(2)
    device = sniffer(world.lns, "adit0")
    one, two = list(tcp_segments(3, 100)), list(tcp_segments(3, 100, source="10.0.0.2"))
    size = len(data(1, one[0]))
    control = bytes.fromhex("c802") + struct.pack("!HHHHH", size, 10, 0, 1, 1) + bytes(size - 12)
    train(world, [data(1, one[0]), data(2, two[0]), control, data(1, two[1]), data(9, one[1]),
                  data(1, one[1]), data(2, two[1]), data(1, one[2])])
    seen = seen_on(device)
    assert [(p.src, len(bytes(p[TCP].payload))) for p in seen] == [("10.0.0.1", 300),
                                                                  ("10.0.0.2", 200)]
    punt = world.dp.wait("punt")
    assert punt["punt"] == "datagram" and punt["bytes"] == control.hex()
    assert world.dp.stats(1)["spoof"] == 1


@pytest.mark.parametrize("flags,head", [
    (LNS_FLAGS, 10), (LNS_FLAGS | LENGTH, 12), (LNS_FLAGS | ACFC | PFC, 7),
    (LNS_FLAGS | SEND_SEQ, 14)])
def test_a_long_packet_is_cut(world, flags, head):
    """The kernel gives 64 KiB at once; what leaves are messages of the right form, Ns of each."""
    world.put(flags=flags, more="mtu=1400 ns=65530")
    # A TCP connection from the LNS itself: its kernel makes long packets for the device.
    def connect():
        s = socket.socket()
        s.setblocking(False)
        s.bind(("10.0.0.254", 7000))
        s.connect_ex(("10.0.0.1", 80))
        return s
    server = inside(world.lns, connect)

    def message(wanted):
        world.sock.settimeout(30)
        got = world.sock.recv(4000)
        packet = got[wanted:]
        return got, IP(packet)
    _, syn = message(head)
    syn_ack = IP(src="10.0.0.1", dst="10.0.0.254") / TCP(
        sport=80, dport=7000, flags="SA", seq=9, ack=syn[TCP].seq + 1, window=65535,
        options=[("MSS", 1360), ("WScale", 8)])
    world.send(syn_ack)
    _, ack = message(head)
    assert ack[TCP].flags == "A"
    text = bytes(range(256)) * 40
    server.send(text)
    got, n, ns = b"", 0, None
    while len(got) < len(text):
        octets, p = message(head)
        if TCP not in p or not p[TCP].payload:
            continue
        assert p.len <= 1400 and len(octets) == p.len + head
        if flags & LENGTH:
            assert struct.unpack("!H", octets[2:4])[0] == len(octets)
        if flags & SEND_SEQ:
            now = struct.unpack("!H", octets[6:8])[0]
            assert ns is None or now == (ns + 1) & 0xffff
            ns = now
        again = IP(bytes(p))
        del again.chksum, again[TCP].chksum
        assert bytes(IP(bytes(again))) == bytes(p)
        assert p[TCP].seq == syn[TCP].seq + 1 + len(got)
        got += bytes(p[TCP].payload)[:p.len - 20 - p[TCP].dataofs * 4]
        n += 1
        world.send(IP(src="10.0.0.1", dst="10.0.0.254") / TCP(
            sport=80, dport=7000, flags="A", seq=10, window=65535,
            ack=p[TCP].seq + p.len - 20 - p[TCP].dataofs * 4))
    assert got == text and n >= 8
    server.close()


def backlog(world, packets):
    """Packets for the device that the plane finds all at once."""
    sender = udp_socket(world.host, "198.51.100.2")
    sender.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER = DONT
    sender.sendto(b"", ("10.0.0.1", 9))  # neighbours are found
    world.receive(lambda p: UDP in p)
    tasks = pathlib.Path(f"/proc/{world.dp.child.pid}/task")
    os.kill(world.dp.child.pid, signal.SIGSTOP)
    try:
        # a thread that runs on the other CPU goes on for a moment
        wait_for("its threads to stand still", lambda: all(
            (t / "stat").read_text().rsplit(")", 1)[1].split()[0] == "T" for t in tasks.iterdir()))
        for text, key in packets:
            sender.sendto(text, (f"10.0.0.{key}", 9))
        time.sleep(0.2)
    finally:
        os.kill(world.dp.child.pid, signal.SIGCONT)


def test_packets_of_one_length_leave_as_a_train(world):
    """Of several sessions of a tunnel; a shorter one ends the train, a longer one begins another."""
    for key in 1, 2, 3:
        world.put(key)
    texts = [(bytes([i]) * n, key) for i, (n, key) in enumerate(
        [(500, 1), (500, 2), (500, 1), (500, 3), (200, 2), (500, 1), (900, 1), (900, 2)])]
    world.sock.setsockopt(socket.SOL_UDP, 104, 1)  # UDP_GRO
    trains, got = [], []
    backlog(world, texts)
    while len(got) < len(texts):
        message, control, _, _ = world.sock.recvmsg(65536, 100)
        size = next((struct.unpack("=i", value)[0] for _, kind, value in control if kind == 104),
                    len(message))
        pieces = [message[i:i + size] for i in range(0, len(message), size)]
        trains.append(len(pieces))
        got += [opened(p) for p in pieces]
    assert trains == [5, 1, 2]
    assert [(bytes(p[UDP].payload), session) for session, p in got] == [
        (text, 1000 + key) for text, key in texts]
    assert [world.dp.stats(key)["tx"] for key in (1, 2, 3)] == [5, 3, 1]


def test_a_way_that_takes_no_trains(world):
    """Datagrams larger than the outer MTU: each is cut by IP, so they leave one by one."""
    world.put()
    world.lns.run("ip", "link", "set", "wan", "mtu", 1200)
    texts = [(bytes([i]) * 1300, 1) for i in range(6)]
    for tx in 7, 14:  # found out, then known
        backlog(world, texts)
        for text, _ in texts:
            assert bytes(world.receive(lambda p: UDP in p)[1][UDP].payload) == text
        stats = wait_for("the counters", lambda: (s := world.dp.stats(1))["tx"] == tx and s)
        assert stats["other"] == stats["mtu"] == 0
