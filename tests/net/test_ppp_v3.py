# SPDX-License-Identifier: MIT
"""PPP over L2TPv3 (pseudowires of type PPP, RFC 3931) between an LNS and a client of ours, and the
version that comes of what either side is set to (4.7.3)."""

import pytest

from lab import wait_for
from test_main_job import World, only_session, wait_stops


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
