# SPDX-License-Identifier: MIT
"""Pseudowires as ports of a bridge that looks at VLANs, on a kernel that can: one VLAN without a tag,
whose number may be another at the peer, some with theirs, all others kept out; on one side in the
kernel's plane, on the other in user space (RFC 4719)."""

import json
import struct

import pytest

from lab import Lab, wait_for
from test_wires import Port, arrives, frame_to

UNTAGGED = {"a": 7, "b": 9}


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
        self.ns.run("ip", "link", "add", "br0", "type", "bridge", "vlan_filtering", "1")
        self.ns.run("ip", "link", "set", "br0", "up")
        for port in "access", "trunk":
            lab.cable(self.ns, self.host, a_if=port, b_if=port)
            self.ns.run("ip", "link", "set", port, "master", "br0")
            self.ns.run("bridge", "vlan", "del", "dev", port, "vid", "1")
            self.host.run("ip", "link", "set", port, "mtu", "1400")
        self.ns.run("bridge", "vlan", "add", "dev", "access", "vid", UNTAGGED[name], "pvid",
                    "untagged")
        self.ns.run("bridge", "vlan", "add", "dev", "trunk", "vid", "20-40")
        self.adit = None

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
            """)
        self.adit.start()

    def wire(self):
        return self.adit.json("show", "pseudowires")["pseudowires"][0]

    def vlans(self):
        """Those of the pseudowire: what is without a tag, and all."""
        shown = json.loads(self.ns.run("bridge", "-json", "vlan", "show", "dev", "x").stdout)
        entries = shown[0]["vlans"]
        numbers = [n for e in entries for n in range(e["vlan"], e.get("vlanEnd", e["vlan"]) + 1)]
        plain = [e["vlan"] for e in entries if set(e.get("flags", [])) == {
            "PVID", "Egress Untagged"}]
        assert sum(bool(e.get("flags")) for e in entries) == 1, entries
        return plain, sorted(numbers)


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


def test_vlans_of_a_bridge(sites):
    a, b = sites
    wait_for("the pseudowire", lambda: a.wire()["state"] == b.wire()["state"] == "up", seconds=60)
    assert [s.wire()["plane"] for s in sites] == ["kernel", "user"]
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
    a.adit.kill_aditd()  # it takes up what is there
    wait_for("the same again", lambda: a.wire()["state"] == "up", seconds=60)
    assert a.vlans() == ([7], [7, 20, 30, 31, 32])
