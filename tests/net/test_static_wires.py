# SPDX-License-Identifier: MIT
"""Static pseudowires in user space, adit on both sides: hosts behind two bridges are one network,
with tags, broadcasts and jumbo frames, over UDP and IP, IPv4 and IPv6, with and without cookies;
through a reload and kills of aditd; and what a stranger sends is dropped."""

import json
import os
import signal
import socket
import struct

import pytest
from scapy.config import conf

conf.verb = 0
from scapy.layers.inet import IP, UDP  # noqa: E402
from scapy.layers.l2 import Dot1Q, Ether  # noqa: E402
from scapy.packet import Raw  # noqa: E402

from lab import wait_for  # noqa: E402
from test_dp_user import inside  # noqa: E402

ADDRESSES = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8:1::1", "2001:db8:1::2")}
COOKIES = ("0123456789abcdef", "89abcdef")


class Site:
    """A host behind a bridge with adit's pseudowire in it."""

    def __init__(self, lab, n):
        self.n = n
        self.lab = lab
        self.gate, self.host = lab.ns(f"gate{n}"), lab.ns(f"host{n}")
        lab.cable(self.gate, self.host, b_addresses=[f"10.7.0.{n}/24"], a_if="in", b_if="h0")
        self.gate.run("ip", "link", "add", "br0", "type", "bridge")
        self.gate.run("ip", "link", "set", "in", "master", "br0")
        self.gate.run("ip", "link", "set", "br0", "up")

    def conf(self, encap="udp", family=4, cookies=False, more="", name="site", session=100):
        us, them = ADDRESSES[family][self.n - 1], ADDRESSES[family][2 - self.n]
        port = f"local-port = {5000 + self.n} remote-port = {5003 - self.n}" if encap == "udp" else ""
        if cookies:
            mine, theirs = COOKIES[self.n - 1], COOKIES[2 - self.n]
            more += f' cookie = "{mine}" peer-cookie = "{theirs}"'
        return f"""
            pseudowire "{name}" {{
                data-plane = user
                encapsulation = {encap} local = "{us}" remote = "{them}" {port}
                tunnel-id = {self.n} peer-tunnel-id = {3 - self.n}
                session-id = {session + self.n} peer-session-id = {session + 3 - self.n}
                interface = "{name}" bridge = br0 {more}
            }}
            """

    def start(self, **kw):
        self.adit = self.lab.adit(self.gate, self.conf(**kw)).start()

    def wire(self, name="site"):
        return {w["name"]: w for w in self.adit.json("show", "pseudowires")["pseudowires"]}[name]

    def up(self):
        wait_for("the pseudowire", lambda: self.wire()["state"] == "up", seconds=30)
        assert self.wire()["plane"] == "user"


@pytest.fixture
def sites(lab):
    a, b = Site(lab, 1), Site(lab, 2)
    lab.cable(a.gate, b.gate, ["192.0.2.1/24", "2001:db8:1::1/64"],
              ["192.0.2.2/24", "2001:db8:1::2/64"], "core", "core")
    return a, b


def both(sites, **kw):
    for s in sites:
        s.start(**kw)
    for s in sites:
        s.up()


def pings(sites, size=None):
    a, _ = sites
    wait_for("an answer", lambda: a.host.ping("10.7.0.2", 1, wait=1), seconds=20)
    assert a.host.ping("10.7.0.2", 3, wait=5, size=size) == 3


@pytest.mark.parametrize("cookies", [False, True])
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("encap", ["udp", "ip"])
def test_two_sites_are_one_network(sites, encap, family, cookies):
    a, b = sites
    both(sites, encap=encap, family=family, cookies=cookies, more="mtu = 9000")
    for s in sites:
        for ns, device in ((s.host, "h0"), (s.gate, "in")):
            ns.run("ip", "link", "set", device, "mtu", 8900)
    pings(sites)
    # Rows: V3-4.1-08, EP-3-02
    pings(sites, size=8800)  # the outer datagrams are cut and put together
    assert "lladdr" in a.host.run("ip", "neigh", "show", "10.7.0.2").stdout  # ARP has passed

    def tap():
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        s.bind(("h0", 0))
        s.settimeout(10)
        return s
    out, to = inside(a.host, tap), inside(b.host, tap)
    frame = bytes(Ether(dst="ff:ff:ff:ff:ff:ff", src="02:00:00:00:00:77") / Dot1Q(vlan=99) /
                  IP(src="10.9.9.9", dst="10.9.9.8") / UDP(dport=9) / Raw(b"tagged broadcast"))
    out.send(frame)
    while True:
        got, (_, _, kind, *_) = to.recvfrom(9000)
        if kind != socket.PACKET_OUTGOING and b"tagged broadcast" in got:
            break
    assert got in (frame, frame[:12] + frame[16:])  # the kernel takes the tag off for us
    a.host.tcp(b.host, "10.7.0.2", octets=1_000_000)
    w = b.wire()
    assert w["rx_packets"] > 5 and w["drop_spoof"] == 0


def test_mtu_of_the_path(sites):
    """What fits on the path in one piece, when it is made and at each reload (RFC 3931 4.1.4): less
    IP, UDP, L2TP with a sublayer, and the Ethernet header."""
    # Rows: V3-4.1-08
    a, _ = sites

    def shown(mtu):
        links = {i["ifname"]: i for i in json.loads(a.gate.run("ip", "-json", "link").stdout)}
        return "site" in links and a.wire()["mtu"] == links["site"]["mtu"] == mtu
    a.gate.run("ip", "link", "set", "core", "mtu", 1400)
    a.start()
    a.up()
    wait_for("an MTU for 1400", lambda: shown(1400 - 20 - 8 - 4 - 4 - 4 - 14))
    a.gate.run("ip", "link", "set", "core", "mtu", 1450)
    a.adit.ctl("reload")
    wait_for("an MTU for 1450", lambda: shown(1450 - 54))
    a.adit.kill_aditd()
    a.up()
    wait_for("the same", lambda: shown(1450 - 54))
    a.adit.conf.write_text(a.adit.preamble() + a.conf(more="mtu = 1300"))
    a.adit.ctl("reload")
    wait_for("the configured one", lambda: shown(1300))
    assert "in fragments" not in a.adit.text()
    a.adit.conf.write_text(a.adit.preamble() + a.conf(more="mtu = 1397"))
    a.adit.ctl("reload")
    wait_for("one that is too large", lambda: shown(1397))
    wait_for("a word", lambda: 'pseudowire "site": mtu = 1397 is more than the path to 192.0.2.2 takes in '
             "one piece: larger frames are sent in fragments; set mtu = 1396, or leave it out"
             in a.adit.text())


def test_kills_and_reloads(sites):
    a, b = sites
    both(sites, cookies=True)
    pings(sites)
    ping = a.host.pinging("10.7.0.2", 80, 0.1)
    for s in sites:
        s.adit.kill_aditd()
        s.up()
    b.adit.conf.write_text(b.adit.preamble() + b.conf(cookies=True) +
                           b.conf(name="other", session=200, more="").replace(
                               "tunnel-id = 2 peer-tunnel-id = 1",
                               "tunnel-id = 12 peer-tunnel-id = 11"))
    b.adit.ctl("reload")
    wait_for("the second one", lambda: b.wire("other")["state"] == "up", seconds=30)
    # at most the one frame that the killed process had in its hands
    assert len(ping.lost()) <= 2, ping.text()
    # another cookie here is another pseudowire, which the peer does not know
    b.adit.conf.write_text(b.adit.preamble() + b.conf(cookies=False))
    b.adit.ctl("reload")
    wait_for("the change", lambda: b.wire()["state"] == "up" and
             b.wire()["cookie_length"] == 0, seconds=30)
    assert a.host.ping("10.7.0.2", 2, wait=1) == 0
    b.adit.conf.write_text(b.adit.preamble())
    b.adit.ctl("reload")
    wait_for("its end", lambda: "site" not in b.gate.run("ip", "-o", "link").stdout, seconds=20)


def test_changed_while_aditd_is_away(sites):
    """What the file says of a pseudowire when the next aditd begins is what there is, at once."""
    a, b = sites
    both(sites)
    pings(sites)

    def away(config):
        os.kill(a.adit.aditd_pid(), signal.SIGSTOP)
        a.adit.conf.write_text(a.adit.preamble() + config)
        a.adit.kill_aditd()
        a.up()

    def master():
        return json.loads(a.gate.run("ip", "-j", "link", "show", "site").stdout)[0].get("master")

    away(a.conf(more="mtu = 1300").replace("bridge = br0", ""))
    assert a.wire()["bridge"] is master() is None
    assert "mtu 1300" in a.gate.run("ip", "link", "show", "site").stdout
    away(a.conf())
    pings(sites)
    assert master() == "br0"
    assert "is not up" not in a.adit.text()


@pytest.mark.parametrize("encap", ["udp", "ip"])
def test_sessions_of_one_tunnel(sites, encap):
    """Two pseudowires with the same tunnel: each has its own frames, and goes without the other."""
    for s in sites:
        s.start(encap=encap)
        s.up()
    both_text = [s.conf(encap=encap) + s.conf(encap=encap, name="more", session=200).replace(
        "bridge = br0", "") for s in sites]
    for s, text in zip(sites, both_text):
        s.adit.conf.write_text(s.adit.preamble() + text)
        s.adit.ctl("reload")
        wait_for("the second one", lambda s=s: s.wire("more")["state"] == "up")
        s.gate.run("ip", "addr", "add", f"10.8.0.{s.n}/24", "dev", "more")
    pings(sites)
    a = sites[0]
    wait_for("an answer", lambda: a.gate.ping("10.8.0.2", 1, wait=1), seconds=20)
    assert a.gate.ping("10.8.0.2", 3, wait=5) == 3
    assert a.wire("more")["rx_packets"] >= 4
    ping = a.host.pinging("10.7.0.2", 30, 0.1)
    for s in sites:
        s.adit.conf.write_text(s.adit.preamble() + s.conf(encap=encap))
        s.adit.ctl("reload")
    assert ping.lost() == [], ping.text()
    wait_for("its end", lambda: "more" not in a.gate.run("ip", "-o", "link").stdout)


def test_a_stranger_is_dropped(sites):
    a, b = sites
    a.start(cookies=True)
    a.up()
    s = inside(b.gate, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    s.bind(("192.0.2.2", 5002))
    frame = bytes(Ether(dst="ff:ff:ff:ff:ff:ff", src="02:00:00:00:00:66") / Raw(b"x" * 60))
    head = b"\x00\x03\x00\x00" + struct.pack("!I", 101)
    for cookie in (b"", bytes(8), bytes.fromhex("0123456789abcdee")):
        s.sendto(head + cookie + bytes(4) + frame, ("192.0.2.1", 5001))
    wait_for("the counts", lambda: a.wire()["drop_spoof"] == 3)
    assert a.wire()["rx_packets"] == 0
    s.sendto(head + bytes.fromhex("0123456789abcdef") + bytes(4) + frame, ("192.0.2.1", 5001))
    wait_for("the right one", lambda: a.wire()["rx_packets"] == 1)
    # Many that wait are written in one call.
    pid = a.adit.aditd_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        for _ in range(100):
            s.sendto(head + bytes.fromhex("0123456789abcdef") + bytes(4) + frame,
                     ("192.0.2.1", 5001))
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for("all of them", lambda: a.wire()["rx_packets"] == 101)
    assert a.adit.aditd_pid() == pid


def test_no_bridge_yet(sites):
    a, _ = sites
    a.gate.run("ip", "link", "del", "br0")
    a.start()
    wait_for("a word", lambda: "tried again" in a.adit.text(), seconds=20)
    assert a.wire()["state"] == "down" and "br0" in a.wire()["text"]
    a.gate.run("ip", "link", "add", "br0", "type", "bridge")
    a.up()
    assert "master br0" in a.gate.run("ip", "link", "show", "site").stdout


def test_bridge_goes_and_comes(sites):
    """A bridge is deleted: that is said once. It is made again: frames flow again by themselves, though
    aditd was killed meanwhile. Who takes the interface out means it, until a reload."""
    a, _ = sites
    both(sites)
    pings(sites)

    def text():
        return a.adit.text()

    def bridge():
        for line in ("add br0 type bridge", "set in master br0", "set br0 up"):
            a.gate.run("ip", "link", *line.split())
    for n in 1, 2:
        a.gate.run("ip", "link", "del", "br0")
        wait_for("a word", lambda n=n: text().count("there is no bridge br0 any more") == n)
        assert a.wire()["bridge"] is None and a.wire()["state"] == "up"
        if n == 2:
            a.adit.kill_aditd()
            a.up()
        bridge()
        pings(sites)
        assert a.wire()["bridge"] == "br0"
    wait_for("a word", lambda: text().count("site is put into bridge br0 again") == 2)

    def taken_out():
        a.gate.run("ip", "link", "set", "site", "nomaster")
        return "was taken out of bridge br0" in text()
    wait_for("a word", taken_out)
    assert a.wire()["bridge"] is None
    assert a.adit.ctl("reload").stdout == 'pseudowire "site": site is put into bridge br0 again\n'
    pings(sites)
    assert a.wire()["bridge"] == "br0"
