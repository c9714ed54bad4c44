# SPDX-License-Identifier: MIT
"""Where the interfaces of sessions lie: VRF, namespace, name and queue, adit with adit."""

import json

import pytest

from lab import wait_for
from test_interop import Wire, only


@pytest.fixture
def wire(lab):
    return Wire(lab)


def link(ns, name):
    found = json.loads(ns.run("ip", "-j", "link", "show", "dev", name, check=False).stdout or "[]")
    return found[0] if found else None


def test_vrf_and_name(wire):
    ns = wire.lns
    ns.run("ip", "link", "add", "red", "type", "vrf", "table", "77")
    ns.run("ip", "link", "set", "red", "up")
    for family, address in (("-4", "198.51.100.2/32"), ("-6", "2001:db8:2::2/128")):
        ns.run("ip", family, "addr", "del", address, "dev", "lo")
        ns.run("ip", family, "addr", "add", address, "dev", "red")
    ns.run("ip", "link", "add", "ppp-alice", "type", "dummy")  # the name is taken
    lns = wire.adit_lns("kernel", 'vrf = red interface-name = "ppp-%u" queue-length = 50')
    client = wire.adit_client("user")
    wire.carries()
    wire.carries("2001:db8:2::2")
    session = only(lns)
    assert session["plane"] == "kernel"
    name = session["interface"]
    assert name.startswith("ppp-alice-"), session
    assert (link(ns, name)["master"], link(ns, name)["txqlen"]) == ("red", 50)
    inside = ns.run("ip", "-4", "route", "show", "vrf", "red").stdout
    assert f"dev {name}" in inside and "10.64.0.1" in inside, inside
    assert name not in ns.run("ip", "route").stdout
    assert "10.64.0.1/32" in ns.run("ip", "addr", "show", "dev", "red").stdout
    assert "10.64.0.1" not in ns.run("ip", "addr", "show", "dev", "lo").stdout
    # it stays there over a restart of aditd
    lns.kill_aditd()
    wire.carries()
    client.ctl("disconnect", "office")
    wait_for("the LNS to see the end", lambda: not lns.sessions(), seconds=20)
    assert not link(ns, name)
    lns.stop()
    assert "10.64.0.1" not in ns.run("ip", "addr", "show", "dev", "red").stdout


def test_namespace(wire):
    far = wire.lab.ns("far")
    far.run("ip", "link", "set", "lo", "up")
    far.sysctl("net.ipv6.conf.all.forwarding", 1)
    for address in ("198.51.100.2/32", "2001:db8:2::2/128"):
        far.run("ip", "addr", "add", address, "dev", "lo")
        wire.lns.run("ip", "addr", "del", address, "dev", "lo")
    lns = wire.adit_lns("kernel", f'namespace = "{far.name}" interface-name = "ppp-%u"')
    wire.adit_client("user")
    wire.carries()
    wire.carries("2001:db8:2::2")  # its prefix came by router advertisement
    assert only(lns)["interface"] == "ppp-alice"
    assert link(far, "ppp-alice") and not link(wire.lns, "ppp-alice")
    assert "10.64.0.1" in far.run("ip", "-4", "addr", "show", "dev", "ppp-alice").stdout
    lns.stop()
    assert not link(far, "ppp-alice")
