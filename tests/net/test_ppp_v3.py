# SPDX-License-Identifier: MIT
"""PPP over L2TPv3 (pseudowires of type PPP, RFC 3931) between an LNS and a client of ours, and the
version that comes of what either side is set to (4.7.3)."""

import pytest

from lab import wait_for
from test_main_job import USERS, World, client_conf, lns_conf, only_session, wait_stops


@pytest.fixture
def world(lab):
    return World(lab)


def carried(world):
    wait_for("IPv4 through the session", lambda: world.client.ping("198.51.100.2", 1, wait=1))
    world.wait_ip6()


def test_ppp_over_l2tpv3(world):
    """Both families, TCP with long packets, the MTU that is told, accounting, and kills of either side."""
    lns = world.start_lns(peer="version = 3")
    client = world.start_client(more="version = 3")
    carried(world)
    world.client.tcp(world.host, "198.51.100.2")
    at_lns, at_client = only_session(lns), only_session(client)
    assert at_lns["version"] == at_client["version"] == 3
    assert at_lns["user"] == "alice"
    assert at_lns["plane"] == at_client["plane"] == "user"
    assert at_lns["session"] == at_client["remote_session"] >= 1 << 31
    # 1500 less IP, UDP, flags and session id 8, cookie 8, FF 03 and protocol
    assert at_lns["mtu"] == at_client["mtu"] == 1452
    assert world.client.ping("198.51.100.2", 2, size=at_client["mtu"] - 28) == 2
    for adit in lns, client:
        adit.kill_aditd()
        carried(world)
        assert only_session(adit)["state"] == "up"
    tunnels = lns.json("show", "tunnels")["tunnels"]
    assert [(t["version"], t["state"], t["sessions"]) for t in tunnels] == [(3, "up", 1)]
    client.ctl("disconnect", "office")
    wait_for("the LNS to see the end", lambda: not lns.sessions())
    wait_stops(lns)
    start, stop = [r for r in lns.accounting_lines() if r["event"] in ("start", "stop")]
    assert start["id"] == stop["id"] and stop["user"] == "alice"
    assert stop["in_octets"] > 0 and stop["out_octets"] > 0


@pytest.mark.parametrize("peer, version", [("any", 3), ("2", 2)])
def test_either_version(world, peer, version):
    """A client that is content with either gets what the LNS has."""
    lns = world.start_lns(peer="version = " + peer)
    client = world.start_client(server="2001:db8:1::1", more="version = any")
    carried(world)
    assert only_session(lns)["version"] == only_session(client)["version"] == version


@pytest.mark.parametrize("server, mtu", [("192.0.2.1", 1460), ("2001:db8:1::1", 1440)])
def test_directly_over_ip(world, server, mtu):
    """Protocol 115 by a raw socket (RFC 3931 4.1.1), with numbers that the client asks for, and through
    kills of either side."""
    listen = 'listen "ip" { encapsulation = ip }\n'
    lns = world.lab.adit(world.lns, lns_conf(peer="version = 3") + listen, users=USERS).start()
    client = world.start_client(server=server,
                                more="version = 3\n    encapsulation = ip\n    sequencing = yes")
    carried(world)
    world.client.tcp(world.host, "198.51.100.2")
    world.client.tcp(world.host, "2001:db8:2::2")
    # 1500 less IP, session id, cookie 8, sublayer, FF 03 and protocol
    assert only_session(lns)["mtu"] == only_session(client)["mtu"] == mtu
    assert world.client.ping("198.51.100.2", 2, size=mtu - 28) == 2
    for adit in lns, client:
        tunnel, = adit.json("show", "tunnels")["tunnels"]
        assert (tunnel["version"], tunnel["encapsulation"]) == (3, "ip")
        adit.kill_aditd()
        carried(world)
        assert only_session(adit)["state"] == "up"
    client.ctl("disconnect", "office")
    wait_for("the LNS to see the end", lambda: not lns.sessions())


# Control messages alone: the T bit behind the UDP header.
DEAF = """
table inet deaf {
    chain in {
        type filter hook input priority 0
        udp dport 1701 @th,64,1 1 counter drop
    }
}
"""


@pytest.mark.parametrize("version", [2, 3])
def test_data_counts_as_life(world, version):
    """Who has data is there, and is not asked (RFC 2661 6.5, RFC 3931 4.4): a session goes on while its
    peer's control connection stands still, and not one HELLO is sent that could remain unanswered."""
    lns = world.start_lns(peer=f'version = {version} hello-interval = "1 s" retries = 1')
    client = world.start_client(more=f'version = {version}\n    hello-interval = "600 s"')
    carried(world)
    before = only_session(lns)["since"]
    pings = world.client.pinging("198.51.100.2", 40, 0.25)
    wait_for("data for two seconds", lambda: len(pings.answered()) > 8)
    world.lns.run("nft", DEAF)
    assert pings.lost() == []
    assert "packets 0 " in world.lns.run("nft", "list", "table", "inet", "deaf").stdout
    assert only_session(lns)["since"] == before
    assert only_session(client)["state"] == "up"


def test_outgoing_call(world):
    """The LNS calls (OCRQ): the number is the Remote End ID."""
    lns = world.start_lns(peer="version = 3")
    client = world.start_client(connect=False, more="version = 3\n    wait-for-call = yes\n    "
                                                    'number = "0800*"')
    wait_for("the tunnel", lambda: lns.json("show", "tunnels")["tunnels"])
    lns.ctl("call", "anybody", "0700")
    wait_for("the refusal", lambda: "no session block of the configuration takes this call" in
             lns.ctl("show", "errors").stdout, seconds=60)
    lns.ctl("call", "anybody", "08001")
    carried(world)
    for adit in lns, client:
        session = only_session(adit)
        assert (session["version"], session["call"], session["called"]) == (3, "outgoing", "08001")
