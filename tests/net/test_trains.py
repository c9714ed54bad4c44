# SPDX-License-Identifier: MIT
"""Datagrams in trains (UDP_SEGMENT): they are used, and a way that cannot cut them loses nothing."""

import json

from lab import BUILD, wait_for

SESSIONS = 400


def storm(lab, mtu):
    """Sessions that come up at once. Returns datagrams the LNS sent, those the kernel was given,
    and those that failed."""
    client, ns = lab.ns("client"), lab.ns("lns")
    lab.cable(client, ns, ["192.0.2.2/24"], ["192.0.2.1/24"], "c0", "l0")
    for host, device in (client, "c0"), (ns, "l0"):
        host.run("ip", "link", "set", device, "mtu", mtu)
    lns = lab.adit(ns, '''
pool "subscribers" { addresses = {"10.64.0.0/16"} }
profile "home" { users = "@DIR@/users" pool = "subscribers" local-address = "10.64.0.1" }
peer "anybody" { profile = "home" secret = "secret" }
''', users="* * password *\n").start()
    load = client.start(BUILD / "src/load/adit-load", "--server", "192.0.2.1", "--sessions",
                        SESSIONS, "--tunnels", 2, "--window", 200, "--secret", "secret",
                        "--hold", 2)
    wait_for("the generator", lambda: '"up":' in load.text() or not load.alive(), seconds=60)
    result = json.loads(next(line for line in load.text().splitlines() if line[0] == "{"))
    assert result["up"] == SESSIONS, load.text()
    status = lns.json("status")
    names, values = [line.split() for line in ns.run("cat", "/proc/net/snmp").stdout.splitlines()
                     if line.startswith("Udp: ")]
    return status["sent"], int(values[names.index("OutDatagrams")]), status["send_failed"]


def test_datagrams_leave_in_trains(lab):
    sent, given, failed = storm(lab, 1500)
    assert sent > 8 * SESSIONS and failed == 0
    assert given < sent / 2


def test_what_cannot_be_cut_leaves_one_by_one(lab):
    """The pieces are longer than the MTU: the kernel refuses to make them (EMSGSIZE, EINVAL), but
    would cut a single datagram into fragments."""
    sent, given, failed = storm(lab, 68)
    assert sent > 8 * SESSIONS and failed == 0
    assert given > sent / 2
