# SPDX-License-Identifier: MIT
"""PPP over L2TPv3 (RFC 3931) where the kernel carries the data, at one end or both: over UDP and
directly over IP, both families, with numbers; through kills of aditd."""

import re
import signal
import socket
import struct
import time

import pytest

from lab import wait_for
from test_dp_user import inside
from test_interop import CLIENT, LNS, USERS, Wire, only
from test_raw import CLIENT as CLIENT_IP, HELLO, L2TP, Wire as Sniffer, drops, repeated

# With numbers it is the client's plane that is there before the first frame, see src/access/pipe.c:
# the server's may be too late on a slow machine, and then carries them in user space.
WAYS = [("udp", 4, "kernel", "kernel", ""), ("udp", 6, "user", "kernel", "sequencing = yes"),
        ("ip", 4, "kernel", "user", ""), ("ip", 6, "kernel", "kernel", "sequencing = yes")]
SERVER = {4: "192.0.2.1", 6: "2001:db8:1::1"}
SLI = 16
ACTIVE, STANDBY = 1, 0x40  # bits of Circuit Status


@pytest.fixture
def wire(lab):
    return Wire(lab)


def start_lns(wire, encap, plane, peer=""):
    listen = 'listen "%s" { encapsulation = %s }\n' % (encap, encap)
    conf = LNS.format(plane=plane, profile="", peer="version = 3 " + peer)
    return wire.lab.adit(wire.lns, conf + listen, users=USERS).start()


def start_client(wire, encap, family, plane, more=""):
    conf = CLIENT.format(plane=plane, server=SERVER[family],
                         more=f"version = 3\n    encapsulation = {encap}\n    {more}")
    return wire.lab.adit(wire.client, conf).start()


def kernel_sessions(ns):
    return ns.run("ip", "l2tp", "show", "session").stdout


def room(encap, family, numbers):
    """Of 1500 octets: IP, UDP and its first four octets, session id, cookie, sublayer, PPP."""
    return 1500 - (20 if family == 4 else 40) - (12 if encap == "udp" else 0) - 4 - 8 \
        - (4 if numbers else 0) - 4


def kills_lose_nothing(wire, *both):
    ping = wire.client.pinging("198.51.100.2", 30, 0.2)
    for adit in both:
        before = only(adit)
        time.sleep(1)
        adit.kill_aditd(signal.SIGKILL)
        wait_for("a new aditd", lambda adit=adit: adit.sessions(), seconds=60)
        after = only(adit)
        for name in "key", "plane", "state":
            assert after[name] == before[name]
    assert ping.lost() == [], ping.text()


@pytest.mark.parametrize("encap,family,lns,client,numbers", WAYS)
def test_both_planes(wire, encap, family, lns, client, numbers):
    at_lns, at_client = start_lns(wire, encap, lns), start_client(wire, encap, family, client, numbers)
    at_client.ctl("connect", "office")
    wire.carries("198.51.100.2")
    wire.carries("2001:db8:2::2")
    wire.client.tcp(wire.lns, "198.51.100.2", octets=100_000)
    for adit, ns, plane in (at_lns, wire.lns, lns), (at_client, wire.client, client):
        session = only(adit)
        assert session["version"] == 3
        assert session["mtu"] == room(encap, family, numbers)
        tunnel, = adit.json("show", "tunnels")["tunnels"]
        assert (tunnel["encapsulation"], tunnel["plane"]) == (encap, plane)
        if adit is at_client or not numbers:
            assert session["plane"] == plane
            assert bool(kernel_sessions(ns)) == (plane == "kernel")
    assert wire.client.ping("198.51.100.2", 1, wait=5, size=session["mtu"] - 28) == 1
    # counters of the kernel's plane are a second old
    wait_for("counters", lambda: only(at_lns)["rx_packets"] > 10 and
             only(at_client)["tx_packets"] > 10)
    if lns == client:
        kills_lose_nothing(wire, at_lns, at_client)
    at_client.ctl("disconnect", "office")
    wait_for("the LNS to see the end", lambda: not at_lns.sessions(), seconds=60)
    for ns in wire.lns, wire.client:
        wait_for("an empty kernel", lambda ns=ns: not kernel_sessions(ns), seconds=60)
        assert not re.search(r"l2tp\d|adit1", ns.run("ip", "-o", "link").stdout)


@pytest.mark.parametrize("family", [4, 6])
def test_what_the_kernel_has_is_left_to_it(wire, family):
    """A raw socket is given a copy of all that comes over IP: data of sessions that the kernel carries is
    not looked at, and control messages, which the tunnel's own socket has, too, are handled once."""
    at_lns = start_lns(wire, "ip", "kernel", 'hello-interval = "1 s"')
    at_client = start_client(wire, "ip", family, "kernel", 'hello-interval = "1 s"')
    sniffer = Sniffer(wire.lns, "l0")
    at_client.ctl("connect", "office")
    wire.carries("198.51.100.2")
    both = at_lns, at_client
    wait_for("both to be in the kernel", lambda: [only(a)["plane"] for a in both] == ["kernel"] * 2)
    for adit in both:
        wait_for("the tunnel to be in the kernel", lambda adit=adit: [
            t["plane"] for t in adit.json("show", "tunnels")["tunnels"]] == ["kernel"])
    sniffer.begin(*both)
    before = [drops(a) for a in both]
    sent = []

    def hello():
        sent.extend(m for m in sniffer.messages() if m[1] is not None)
        return [m[1] for m in sent].count(HELLO) >= 4

    assert wire.client.ping("198.51.100.2", 20) == 20
    wait_for("HELLO", hello, seconds=60)
    wait_for("answers", lambda: wire.client.ping("198.51.100.2", 1) == 1)
    assert sum(map(repeated, both)) - sniffer.before <= len(sent) - len(set(sent)), sent
    assert [drops(a) for a in both] == before


class Line:
    """The client as LAC: its aditd, which has no circuit, does not say what this one says (RFC 3931 6.14)."""

    def __init__(self, wire, sniffer, at_lns):
        self.socket = inside(wire.client, lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, L2TP))
        self.socket.bind((CLIENT_IP[4], 0))
        self.session = only(at_lns)
        seen = [m for m in sniffer.messages() if m[1] is not None]
        self.ns, self.nr = ([m[3] + 1 for m in seen if m[0] == way][-1] for way in ("out", "in"))
        self.at_lns = at_lns

    def says(self, status, circuit):
        values = (0, struct.pack("!H", SLI)), (63, struct.pack("!I", self.session["remote_session"])), \
            (64, struct.pack("!I", self.session["session"])), (71, struct.pack("!H", status))
        avps = b"".join(struct.pack("!HHH", 0x8000 | 6 + len(v), 0, number) + v for number, v in values)
        message = struct.pack("!IHHIHH", 0, 0xc803, 12 + len(avps), self.session["tunnel"], self.ns, self.nr)
        self.ns += 1
        self.socket.sendto(message + avps, (SERVER[4], 0))
        wait_for(f"the circuit to be {circuit}", lambda: only(self.at_lns)["peer_circuit"] == circuit)


def test_circuit_that_takes_no_data(wire):
    """RFC 3931 5.4.5, RFC 5641 2: nothing goes to a client whose circuit is down or stands by, nor does it
    go elsewhere: the route stays. What the client sends comes in."""
    # Rows: V3-5.4.5-02, CS-2-01
    wire.lns.run("ip", "route", "add", "default", "via", CLIENT_IP[4])  # where it would go
    sniffer = Sniffer(wire.client, "c0")
    unsigned = 'secret = "tunnel secret"', ""  # so that somebody else may speak for the client
    at_lns = wire.lab.adit(wire.lns, LNS.format(plane="kernel", profile="", peer="version = 3").replace(
        *unsigned) + 'listen "ip" { encapsulation = ip }\n', users=USERS).start()
    at_client = wire.lab.adit(wire.client, CLIENT.format(
        plane="user", server=SERVER[4], more="version = 3\n    encapsulation = ip").replace(*unsigned)).start()
    at_client.ctl("connect", "office")
    wire.carries()
    session = only(at_lns)
    assert session["plane"] == "kernel"
    routes = wire.lns.run("ip", "route").stdout
    line, client = Line(wire, sniffer, at_lns), session["peer_ip4"]
    for status in 0, ACTIVE | STANDBY:
        line.says(status, "down")
        wait_for("data to stop", lambda: wire.lns.ping(client, 1, wait=1) == 0)
        before = only(at_lns)["rx_packets"]
        assert wire.client.ping("198.51.100.2", 2, wait=1) == 0
        assert wire.lns.run("ip", "route").stdout == routes
        wait_for("what the client has sent", lambda: only(at_lns)["rx_packets"] >= before + 2)
        line.says(ACTIVE, "up")
        wait_for("data to go on", lambda: wire.lns.ping(client, 1, wait=1) == 1)
        assert wire.client.ping("198.51.100.2", 2) == 2
    assert only(at_lns)["since"] == session["since"]
