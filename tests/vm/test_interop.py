# SPDX-License-Identifier: MIT
"""adit and peers that are not ours, on a kernel with L2TP and PPP: traffic both ways, each login
method, both families; each scenario with adit's data in the kernel and in user space."""

import re

import pytest

from lab import wait_for
from peers import L2tpns
from xl2tpd import Xl2tpd

USERS = 'alice * "open sesame" *\n'
LNS = """
data-plane = {plane}
pool "subscribers" {{ addresses = {{"10.64.0.0/16"}} prefixes = {{"2001:db8:64::/48"}} }}
profile "home" {{ users = "@DIR@/users" pool = "subscribers" local-address = "10.64.0.1" {profile} }}
peer "anybody" {{ profile = "home" secret = "tunnel secret" {peer} }}
"""
CLIENT = """
data-plane = {plane}
session "office" {{
    server = "{server}"
    secret = "tunnel secret"
    user = "alice"
    password = "open sesame"
    routes = {{"198.51.100.0/24", "2001:db8:2::/64"}}
    {more}
}}
"""
# the words of adit and what pppd calls them
AUTH = {"pap": "pap", "chap": "chap", "mschapv2": "mschap-v2", "eap": "eap"}
PLANES = ["user", "kernel"]
plane = pytest.mark.parametrize("plane", PLANES)
# a login is the same whoever carries the data
login = pytest.mark.parametrize("plane,auth", [*(("kernel", a) for a in AUTH), ("user", "chap")])


class Wire:
    """client --- lns; behind the LNS, on its lo, are 198.51.100.2 and 2001:db8:2::2."""

    def __init__(self, lab):
        self.lab = lab
        self.client, self.lns = lab.ns("client"), lab.ns("lns")
        lab.cable(self.client, self.lns, ["192.0.2.2/24", "2001:db8:1::2/64"],
                  ["192.0.2.1/24", "2001:db8:1::1/64"], "c0", "l0")
        self.lns.run("ip", "addr", "add", "198.51.100.2/32", "dev", "lo")
        self.lns.run("ip", "addr", "add", "2001:db8:2::2/128", "dev", "lo")
        self.lns.sysctl("net.ipv4.ip_forward", 1)
        self.lns.sysctl("net.ipv6.conf.all.forwarding", 1)

    def adit_lns(self, plane="user", profile="", peer=""):
        conf = LNS.format(plane=plane, profile=profile, peer=peer)
        return self.lab.adit(self.lns, conf, users=USERS).start()

    def adit_client(self, plane="user", server="192.0.2.1", more=""):
        adit = self.lab.adit(self.client, CLIENT.format(plane=plane, server=server,
                                                        more=more)).start()
        adit.ctl("connect", "office")
        return adit

    def carries(self, address="198.51.100.2"):
        """Something passes soon, and then nothing is lost: small ones and whole ones."""
        wait_for(f"an answer of {address}", lambda: self.client.ping(address, 1, wait=1),
                 seconds=20)
        assert self.client.ping(address, 3, wait=5) == 3
        assert self.client.ping(address, 1, wait=5, size=1300) == 1


@pytest.fixture
def wire(lab):
    return Wire(lab)


def only(adit):
    sessions = adit.sessions()
    assert len(sessions) == 1, sessions
    return sessions[0]


def ppp_of(ns):
    """The interface of pppd, once it has an address."""
    def look():
        found = re.search(r"^\d+: (ppp\d+) +inet ([0-9.]+)", ns.run(
            "ip", "-o", "-4", "addr", "show").stdout, re.MULTILINE)
        return found and found.groups()
    return wait_for("an interface of pppd", look)


# --- adit as LNS

@login
def test_xl2tpd_as_client(wire, plane, auth):
    lns = wire.adit_lns(plane, profile=f'auth = {{"{auth}"}}')
    others = "".join(f"refuse-{a}\n" for a in AUTH.values() if a != AUTH[auth])
    peer = Xl2tpd(wire.client, "192.0.2.2", "192.0.2.1", options=others)
    interface, address = ppp_of(wire.client)
    wire.client.run("ip", "route", "add", "198.51.100.0/24", "dev", interface)
    wire.carries()
    assert address.startswith("10.64.")
    assert wire.lns.ping(address, 2) == 2
    session = only(lns)
    assert session["user"] == "alice"
    peer.command("d", "adit")
    wait_for("the end of the session", lambda: not lns.sessions(), seconds=20)


@plane
def test_xl2tpd_as_client_with_ipv6(wire, plane):
    """The prefix comes by router advertisement: pppd itself only agrees on interface identifiers."""
    lns = wire.adit_lns(plane)
    wire.client.sysctl("net.ipv6.conf.default.accept_ra", 2)
    peer = Xl2tpd(wire.client, "192.0.2.2", "192.0.2.1", options="+ipv6\n")
    interface, _ = ppp_of(wire.client)
    wait_for("an address by router advertisement", lambda: "2001:db8:64" in wire.client.run(
        "ip", "-6", "addr", "show", "dev", interface).stdout, seconds=20)
    wire.carries("2001:db8:2::2")
    wire.client.tcp(wire.lns, "2001:db8:2::2", octets=100_000)
    peer.daemon.stop()
    wait_for("the end of the session", lambda: not lns.sessions(), seconds=20)


@plane
def test_xl2tpd_as_client_hides(wire, plane):
    """Both hide AVPs (RFC 2661 4.3); data has sequence numbers. xl2tpd could not read a hidden AVP of
    a tunnel's first messages: adit knows that of it."""
    lns = wire.adit_lns(plane, peer="sequencing = true hide = true")
    Xl2tpd(wire.client, "192.0.2.2", "192.0.2.1", hidden=True)
    interface, _ = ppp_of(wire.client)
    wire.client.run("ip", "route", "add", "198.51.100.0/24", "dev", interface)
    wire.carries()
    assert only(lns)["user"] == "alice"


MPPE = "require-mppe-128\n"


def test_xl2tpd_as_client_encrypts(wire):
    """MPPE by the kernel on both sides, stateless, 128 bits: adit demands it."""
    lns = wire.adit_lns("kernel", profile='auth = {"mschapv2"} mppe = require')
    Xl2tpd(wire.client, "192.0.2.2", "192.0.2.1", options=MPPE, ccp=True)
    interface, address = ppp_of(wire.client)
    wire.client.run("ip", "route", "add", "198.51.100.0/24", "dev", interface)
    wire.carries()
    assert wire.lns.ping(address, 2) == 2
    wire.client.tcp(wire.lns, "198.51.100.2", octets=100_000)
    assert only(lns)["user"] == "alice"


# --- adit as client

@login
def test_xl2tpd_as_lns(wire, plane, auth):
    """pppd asks adit to log in by one method."""
    peer = Xl2tpd(wire.lns, "192.0.2.1", options=f"require-{AUTH[auth]}\n")
    client = wire.adit_client(plane, more='auth = {"%s"}' % auth)
    session = only(client)
    assert session["our_ip4"].startswith("10.66.0.")
    wire.carries()
    assert wire.lns.ping(session["our_ip4"], 2) == 2
    wire.client.tcp(wire.lns, "198.51.100.2", octets=100_000)
    client.ctl("disconnect", "office")
    wait_for("pppd to end", lambda: "ppp" not in wire.lns.run("ip", "-o", "link").stdout,
             seconds=20)
    assert peer.daemon.alive()


@plane
def test_xl2tpd_as_lns_hides(wire, plane):
    """Without sequencing: xl2tpd ignores Sequencing Required and sends data without numbers, which
    we drop, as we said that it must not come (RFC 2661 4.4.6)."""
    Xl2tpd(wire.lns, "192.0.2.1", hidden=True)
    client = wire.adit_client(plane, more='hide = true quirks = {"auto", "plain-setup"}')
    wire.carries()
    assert only(client)["state"] == "up"


def test_xl2tpd_as_lns_encrypts(wire):
    Xl2tpd(wire.lns, "192.0.2.1", options="require-mschap-v2\n" + MPPE, ccp=True)
    client = wire.adit_client("kernel", more="mppe = require")
    wire.carries()
    assert wire.lns.ping(only(client)["our_ip4"], 2) == 2
    wire.client.tcp(wire.lns, "198.51.100.2", octets=100_000)


@plane
def test_l2tpns_as_lns(wire, plane):
    L2tpns(wire.lns, "192.0.2.1", secret="tunnel secret", user="alice", password="open sesame")
    client = wire.adit_client(plane)
    session = only(client)
    assert session["our_ip4"].startswith("10.65.")
    wire.carries()
    assert wire.lns.ping(session["our_ip4"], 2) == 2
    client.kill_aditd()
    assert wire.client.ping("198.51.100.2", 3, wait=5) == 3
    client.ctl("disconnect", "office")
