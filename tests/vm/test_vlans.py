# SPDX-License-Identifier: MIT
"""Pseudowires as ports of a bridge that looks at VLANs, on a kernel that can: one VLAN without a tag,
whose number may be another at the peer, some with theirs, all others kept out; and one of the type
Ethernet VLAN, whose tag is rewritten. On one side in the kernel's plane, on the other in user space
(RFC 4719)."""

import json
import socket
import struct

import pytest

from lab import Lab, wait_for
from test_dp_user import inside
from test_wires import Port, arrives, frame_to

UNTAGGED = {"a": 7, "b": 9}
OWN = {"a": 30, "b": 40}  # of the pseudowire of type Ethernet VLAN


def tag(vid):
    return struct.pack(">HH", 0x8100, vid)


class Site:
    """A bridge with a port for hosts of one VLAN and one for several, and a host at each."""

    def __init__(self, lab, name, plane):
        self.lab, self.name, self.plane = lab, name, plane
        self.ns, self.host = lab.ns(name), lab.ns(f"h{name}")
        self.number = ord(name) - ord("a") + 1
        for ns in self.ns, self.host:
            ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
        for port in "access", "trunk":
            lab.cable(self.ns, self.host, a_if=port, b_if=port)
            self.host.run("ip", "link", "set", port, "mtu", "1400")
        self.bridge()
        # VLAN 30 of a port here is VLAN 40 of one there
        lab.cable(self.ns, self.host, a_if="port", b_if="port")
        self.own = f"port.{OWN[name]}"
        self.ns.run("ip", "link", "add", "link", "port", "name", self.own, "type", "vlan", "id",
                    OWN[name])
        self.ns.run("ip", "link", "add", "br1", "type", "bridge")
        for device in self.own, "br1":
            self.ns.run("ip", "link", "set", device, "up")
        self.ns.run("ip", "link", "set", self.own, "master", "br1")
        self.adit = None

    def bridge(self):
        """br0, with the hosts' ports."""
        self.ns.run("ip", "link", "add", "br0", "type", "bridge", "vlan_filtering", "1")
        self.ns.run("ip", "link", "set", "br0", "up")
        for port in "access", "trunk":
            self.ns.run("ip", "link", "set", port, "master", "br0")
            self.ns.run("bridge", "vlan", "del", "dev", port, "vid", "1")
        self.ns.run("bridge", "vlan", "add", "dev", "access", "vid", UNTAGGED[self.name], "pvid",
                    "untagged")
        self.ns.run("bridge", "vlan", "add", "dev", "trunk", "vid", "20-40")

    def start(self):
        self.adit = self.lab.adit(self.ns, f"""
            data-plane = {self.plane}
            pseudowire "x" {{
                remote = 192.0.2.{3 - self.number}
                secret = wonderland
                bridge = br0
                vlan = {UNTAGGED[self.name]}
                tagged-vlans = {{20, 30-32}}
            }}
            pseudowire "y" {{
                remote = 192.0.2.{3 - self.number}
                secret = wonderland
                type = vlan
                tag = {OWN[self.name]}
                bridge = br1
                circuit = {self.own}
            }}
            """)
        self.adit.start()

    def wire(self, name="x"):
        wires = self.adit.json("show", "pseudowires")["pseudowires"]
        return next(w for w in wires if w["name"] == name)

    def up(self):
        return all(self.wire(name)["state"] == "up" for name in "xy")

    def vlans(self):
        """Those of the pseudowire: what is without a tag, and all."""
        shown = json.loads(self.ns.run("bridge", "-json", "vlan", "show", "dev", "x").stdout)
        entries = shown[0]["vlans"]
        numbers = [n for e in entries for n in range(e["vlan"], e.get("vlanEnd", e["vlan"]) + 1)]
        plain = [e["vlan"] for e in entries if set(e.get("flags", [])) == {
            "PVID", "Egress Untagged"}]
        assert sum(bool(e.get("flags")) for e in entries) == 1, entries
        return plain, sorted(numbers)


class News:
    """What the kernel says of an interface of a site, in its order: whether it is up, in a bridge, and
    which VLANs it has there."""

    LINK, BRVLAN = 1, 33  # groups
    NEWLINK, NEWVLAN, DELVLAN = 16, 112, 113

    def __init__(self, site, name):
        links = json.loads(site.ns.run("ip", "-json", "link", "show", name).stdout)
        self.index = links[0]["ifindex"]
        self.up, self.master, self.vlans = True, None, set()
        self.socket = inside(site.ns, lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0))
        self.socket.bind((0, 0))
        for group in self.LINK, self.BRVLAN:
            self.socket.setsockopt(270, 1, group)

    @staticmethod
    def attributes(data):
        while len(data) >= 4:
            size, kind = struct.unpack_from("HH", data)
            yield kind & 0x3fff, data[4:size]
            data = data[size + 3 & ~3:]

    def messages(self):
        while True:
            try:
                data = self.socket.recv(65536, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            while len(data) >= 16:
                size, kind = struct.unpack_from("IH", data)
                yield kind, data[16:size]
                data = data[size + 3 & ~3:]

    def vlan(self, kind, data):
        for _, entry in self.attributes(data[8:]):
            fields = dict(self.attributes(entry))
            first = struct.unpack_from("HH", fields[1])[1]
            last = struct.unpack_from("H", fields[2])[0] if 2 in fields else first
            change = self.vlans.update if kind == self.NEWVLAN else self.vlans.difference_update
            change(range(first, last + 1))

    def states(self):
        """What it was after each message: up in a bridge or not, and its VLANs."""
        for kind, data in self.messages():
            if struct.unpack_from("i", data, 4)[0] != self.index:
                continue
            if kind == self.NEWLINK and data[0] == 0:
                self.up = bool(struct.unpack_from("I", data, 8)[0] & 1)
                self.master = dict(self.attributes(data[16:])).get(10)
            elif kind in (self.NEWVLAN, self.DELVLAN):
                self.vlan(kind, data)
            yield self.up and self.master is not None, set(self.vlans)


@pytest.fixture
def sites():
    lab = Lab()
    try:
        both = Site(lab, "a", "kernel"), Site(lab, "b", "user")
        lab.cable(both[0].ns, both[1].ns, ["192.0.2.1/24"], ["192.0.2.2/24"], a_if="wan",
                  b_if="wan")
        for site in both:
            site.start()
        yield both
    finally:
        lab.close()


def through(there, back, kind, tags, arrive_as):
    """A frame from one host to the other, which has these tags then."""
    frame = frame_to(back[kind], there[kind], 100, tags)
    want = frame_to(back[kind], there[kind], 100, arrive_as)
    assert arrives(there[kind], back[kind], frame, False, lambda f: f == want), (kind, tags)


def rewritten(sites):
    """VLAN 30 on one side is VLAN 40 on the other; between the two a frame has the tag of who sent it
    (RFC 4719, 3.1)."""
    for there, back in sites, sites[::-1]:
        out, to, wan = Port(there.host, "port"), Port(back.host, "port"), Port(back.ns, "wan")
        try:
            for inner in b"", tag(5):
                sent = frame_to(to, out, 100, tag(OWN[there.name]) + inner)
                want = frame_to(to, out, 100, tag(OWN[back.name]) + inner)
                assert arrives(out, to, sent, False, lambda f, want=want: f == want)
                assert wan.wait(lambda f, sent=sent: f.endswith(sent), 60)
        finally:
            for port in out, to, wan:
                port.close()


def circuits(site, *names):
    """What adit show sessions has of them, ours and the peer's; adit show pseudowires agrees."""
    sessions = {s["user"]: (s["circuit"], s["peer_circuit"]) for s in site.adit.sessions()}
    wires = {n: (site.wire(n)["circuit"], site.wire(n)["peer_circuit"]) for n in names}
    return wires if all(sessions[n] == wires[n] for n in names) else (sessions, wires)


def circuit_of_one_vlan(a, b):
    """The VLAN is down and its port is not: that is told of its pseudowire alone, on both sides."""
    for state in "down", "up":
        a.ns.run("ip", "link", "set", a.own, state)
        wait_for("the word", lambda state=state: b.wire("y")["peer_circuit"] == state, seconds=60)
        assert circuits(a, "x", "y") == {"x": ("up", "up"), "y": (state, "up")}
        assert circuits(b, "x", "y") == {"x": ("up", "up"), "y": ("up", state)}


def test_vlans_of_a_bridge(sites):
    a, b = sites
    wait_for("the pseudowires", lambda: a.up() and b.up(), seconds=60)
    for name in "xy":
        assert [s.wire(name)["plane"] for s in sites] == ["kernel", "user"]
    assert (a.wire()["vlan"], a.wire()["tagged_vlans"], a.wire()["tag"]) == (
        7, ["20", "30-32"], None)
    assert [(w["vlan"], w["tagged_vlans"], w["tag"], w["type"]) for w in
            (s.wire("y") for s in sites)] == [(None, [], 30, "vlan"), (None, [], 40, "vlan")]
    assert a.wire("y")["mtu"] == a.wire()["mtu"] - 4
    rewritten(sites)
    circuit_of_one_vlan(a, b)
    circuit_of_one_vlan(b, a)
    for site in sites:
        assert site.vlans() == ([UNTAGGED[site.name]],
                                sorted([UNTAGGED[site.name], 20, 30, 31, 32]))
    ports = [{kind: Port(s.host, kind) for kind in ("access", "trunk")} for s in sites]
    try:
        for there, back in ports, ports[::-1]:
            through(there, back, "access", b"", b"")  # VLAN 7 here, 9 there
            for vid in 20, 30, 32:
                through(there, back, "trunk", tag(vid), tag(vid))
            # one that the bridges have and the pseudowire has not, then one that it has
            kept = frame_to(back["trunk"], there["trunk"], 100, tag(33))
            sure = frame_to(back["trunk"], there["trunk"], 100, tag(31))
            there["trunk"].send(kept)
            seen = []
            assert arrives(there["trunk"], back["trunk"], sure, False,
                           lambda f: seen.append(f) or f == sure)
            assert kept not in seen
    finally:
        for port in [p for side in ports for p in side.values()]:
            port.close()
    for site in sites:
        site.adit.kill_aditd()  # it takes up what is there
    wait_for("the same again", lambda: a.up() and b.up(), seconds=60)
    rewritten(sites)
    assert a.vlans() == ([7], [7, 20, 30, 31, 32])


def test_bridge_goes_and_comes(sites):
    """The bridge of either plane's pseudowire is deleted, and made again: frames flow again by
    themselves, of the same VLANs, and never of the bridge's default one."""
    a, b = sites
    wait_for("the pseudowires", lambda: a.up() and b.up(), seconds=60)
    sessions = [s.wire()["session"] for s in sites]
    for site in sites:
        site.ns.run("ip", "link", "del", "br0")
        wait_for("a word", lambda site=site: "x carries nothing, there is no bridge br0 any more"
                 in site.adit.text(), seconds=60)
        assert site.wire()["bridge"] is None and site.wire("y")["bridge"] == "br1"
        news = News(site, "x")
        site.bridge()
        wait_for("the interface in the bridge", lambda site=site: site.wire()["bridge"] == "br0",
                 seconds=60)
        wait_for("a word", lambda site=site: "x is put into bridge br0 again" in site.adit.text())
        assert site.vlans() == ([UNTAGGED[site.name]],
                                sorted([UNTAGGED[site.name], 20, 30, 31, 32]))
        own = {UNTAGGED[site.name], 20, 30, 31, 32}
        states = list(news.states())
        news.socket.close()
        assert any(1 in vlans for _, vlans in states) and states[-1] == (True, own)
        assert all(vlans <= own for is_open, vlans in states if is_open), states
        # taken out, and put back by somebody who knows of no VLANs
        site.ns.run("sh", "-c", "ip link set x nomaster; ip link set x master br0")
        wait_for("a word", lambda site=site: "x is given its VLANs in bridge br0 again" in
                 site.adit.text())
        assert site.vlans() == ([UNTAGGED[site.name]], sorted(own))
    ports = [Port(s.host, "access") for s in sites]
    try:
        for there, back in ports, ports[::-1]:
            through({"access": there}, {"access": back}, "access", b"", b"")
    finally:
        for port in ports:
            port.close()
    assert [s.wire()["session"] for s in sites] == sessions
