# SPDX-License-Identifier: MIT
"""L2TPv2 over real sockets where only those show it: ports, checksums, ICMP (RFC 2661 8.1, 8.2), and
an outgoing call that a person asks for (7.5)."""

import struct
import subprocess

from lab import PYTHON, wait_for
from peers import ScapyPeer

LNS = """
pool "subscribers" { addresses = {"10.64.0.0/24"} }
profile "home" { users = "@DIR@/users" pool = "subscribers" local-address = "10.64.0.1" ipv6 = no }
peer "anybody" { profile = "home" }
"""

CLIENT = """
session "up" { server = "192.0.2.1" user = "bob" password = "pw" ipv6 = no %s }
"""

# Every IPv4 packet as hex. SIGTERM: what is there already, then the end.
SNIFF = r'''
import signal, socket
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))  # both directions
s.settimeout(0.2)
print("ready", flush=True)
while True:
    try:
        packet, where = s.recvfrom(4096)
    except TimeoutError:
        if stop:
            break
        continue
    if where[1] == 0x0800:
        print(packet.hex(), flush=True)
'''

# An ICMP port unreachable about a datagram of REMOTE:1701 to LOCAL:PORT.
UNREACHABLE = r'''
import socket, struct, sys
local, remote, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
quoted = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 1, 0, 64, 17, 0, socket.inet_aton(remote),
                     socket.inet_aton(local)) + struct.pack("!HHHH", 1701, port, 20, 0)
body = struct.pack("!BBHI", 3, 3, 0, 0) + quoted
total = sum(struct.unpack("!%dH" % (len(body) // 2), body))
while total >> 16:
    total = (total & 0xffff) + (total >> 16)
body = body[:2] + struct.pack("!H", ~total & 0xffff) + body[4:]
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
for _ in range(5):
    s.sendto(body, (remote, 0))
'''


def two(lab):
    """The namespaces of an LNS, 192.0.2.1, and of a client, 192.0.2.2."""
    lns, client = lab.ns("lns"), lab.ns("client")
    lab.cable(client, lns, ["192.0.2.2/24"], ["192.0.2.1/24"])
    return lns, client


def sniff(lab, ns):
    child = subprocess.Popen(ns.argv([PYTHON, "-c", SNIFF]), stdout=subprocess.PIPE, text=True)
    lab.children.append(child)
    assert child.stdout.readline() == "ready\n"
    return child


def datagrams(child):
    """(source, sport, dport, checksum, payload) of what was seen."""
    child.terminate()
    for line in child.stdout.read().splitlines():
        packet = bytes.fromhex(line)
        head = 4 * (packet[0] & 15)
        if packet[9] == 17:
            sport, dport, _, checksum = struct.unpack("!HHHH", packet[head:head + 8])
            yield packet[12:16], sport, dport, checksum, packet[head + 8:]


def test_ports_and_checksums(lab):
    # Rows: V2-8.1-01, V2-8.1-06, V2-8.1-09
    lns_ns, client_ns = two(lab)
    lns = lab.adit(lns_ns, LNS, users="bob * pw *\n").start()
    seen = sniff(lab, lns_ns)
    client = lab.adit(client_ns, CLIENT % "").start()
    wait_for("the session", lambda: any(s["state"] == "up" for s in client.sessions()))
    assert lns.sessions()
    control = [d for d in datagrams(seen) if d[4][:1] == b"\xc8"]
    first = control[0]
    assert first[4][12:20] == bytes.fromhex("8008000000000001")  # SCCRQ
    assert first[2] == 1701 and first[1] != 1701  # to 1701, from anywhere
    there = [d for d in control if d[0] == bytes([192, 0, 2, 2])]
    back = [d for d in control if d[0] == bytes([192, 0, 2, 1])]
    assert len(there) > 2 and len(back) > 1
    assert {(d[1], d[2]) for d in there} == {(first[1], 1701)}
    assert {(d[1], d[2]) for d in back} == {(1701, first[1])}
    assert all(d[3] for d in control)  # the UDP checksum is on


def test_data_without_checksum(lab):
    # Rows: V2-8.1-07
    lns_ns, client_ns = two(lab)
    lns = lab.adit(lns_ns, LNS, users="bob * pw *\n").start()
    peer = ScapyPeer(client_ns, "192.0.2.2", "192.0.2.1")
    assert peer("open")["ok"] and peer("call")["ok"], lns.text()
    assert peer("ppp", "bob", "pw")["ok"], lns.text()
    seen = sniff(lab, lns_ns)
    assert peer("nochecksum")["ok"]
    assert peer("echo", "10.64.0.1")["answered"], lns.text()
    data = [d for d in datagrams(seen) if d[0] == bytes([192, 0, 2, 2]) and not d[4][0] & 0x80]
    assert data and not any(d[3] for d in data)


def test_icmp_does_not_end_a_tunnel(lab):
    # Rows: V2-8.1-11
    lns_ns, client_ns = two(lab)
    lns = lab.adit(lns_ns, LNS, users="bob * pw *\n").start()
    peer = ScapyPeer(client_ns, "192.0.2.2", "192.0.2.1", port=40000)
    assert peer("open")["ok"] and peer("call")["ok"], lns.text()
    assert peer("ppp", "bob", "pw")["ok"], lns.text()
    client_ns.run(PYTHON, "-c", UNREACHABLE, "192.0.2.2", "192.0.2.1", "40000")
    assert peer("hello")["acked"], lns.text()
    assert peer("echo", "10.64.0.1")["answered"], lns.text()
    assert len(lns.sessions()) == 1


def test_call(lab):
    """A client waits in its tunnel; a person at the LNS has it called; the session is as any other."""
    lns_ns, client_ns = two(lab)
    lns = lab.adit(lns_ns, LNS, users="bob * pw *\n").start()
    client = lab.adit(client_ns, CLIENT % 'wait-for-call = yes number = "0800*"').start()

    def dial():
        return client.json("show", "dials")["dials"][0]["state"]

    wait_for("the tunnel", lambda: dial() == "listening")
    assert lns.sessions() == [] and client.sessions() == []
    tunnel = lns.json("show", "tunnels")["tunnels"][0]
    assert tunnel["places_calls"] is True and tunnel["quirks"] is None
    wrong = lns.ctl("call", "nobody", "0800", check=False)
    assert wrong.returncode == 1 and 'no peer block "nobody"' in wrong.stderr + wrong.stdout
    key = lns.json("call", "anybody", "08001")["session"]
    wait_for("the session", lambda: any(s["state"] == "up" for s in client.sessions()))
    session = wait_for("it at the LNS", lambda: [s for s in lns.sessions() if s["state"] == "up"])[0]
    assert session["key"] == key and session["user"] == "bob"
    assert session["call"] == "outgoing" and session["called"] == "08001"
    assert client_ns.ping("10.64.0.1")
    lns.ctl("terminate", "session", key)
    wait_for("it to wait again", lambda: dial() == "listening")
    assert len(lns.json("show", "tunnels")["tunnels"]) == 1
