# SPDX-License-Identifier: MIT
"""Where a policy of the host's IPsec wants ESP for L2TP (RFC 3931 4.1.3, RFC 3193; IPSEC in
adit.conf(5)), nothing leaves in the clear, and what comes in the clear is not heard."""

import pytest

from lab import wait_for
from test_wire import OTHER, SITES, both_up, bridged, short, sites  # noqa: F401 (sites is a fixture)


def policy(site, encap, way):
    own, far = SITES[site.name][0], SITES[OTHER[site.name]][0]
    src, dst = (own, far) if way == "out" else (far, own)
    which = ("proto", 115) if encap == "ip" else ("proto", "udp", "sport", 1701, "dport", 1701)
    site.ns.run("ip", "xfrm", "policy", "add", "dir", way, "src", src, "dst", dst, *which,
                "tmpl", "src", src, "dst", dst, "proto", "esp", "mode", "transport",
                "level", "required")


@pytest.mark.parametrize("encap", ["udp", "ip"])
@pytest.mark.parametrize("way", ["in", "out"])
def test_nothing_in_the_clear(sites, encap, way):  # noqa: F811
    # Rows: V3-4.1-09
    a, b = sites
    more = f"encapsulation = {encap}"
    policy(b, encap, way)
    dump = b.ns.start("tcpdump", "-i", "wan", "-n", "-l", "--immediate-mode",
                      "udp port 1701 or ip proto 115")
    wait_for("tcpdump", lambda: "listening on" in dump.text())
    a.configure(short(a, more=more + (" connect = wait" if way == "out" else "")))
    b.configure(short(b, more=more + (" connect = wait" if way == "in" else "")))
    for site in (a, b):
        site.adit.start()
    if way == "in":  # who asks in the clear is not heard, and has no answer
        wait_for("requests", lambda: dump.text().count(" > ") >= 3, 30)
        assert f"{SITES['b'][0]} >" not in dump.text() and f"{SITES['b'][0]}.1701 >" not in dump.text()
        assert not b.adit.json("show", "tunnels")["tunnels"]
    else:  # we ask, and without keys it does not get out
        wait_for("a request", lambda: "SCCRQ" in b.adit.text(), 30)
        wait_for("it again", lambda: b.adit.text().count("SCCRQ") >= 3, 30)
        assert " > " not in dump.text()
    # It was the policy and nothing else.
    b.ns.run("ip", "xfrm", "policy", "flush")
    both_up(a, b)
    bridged(a, b)
