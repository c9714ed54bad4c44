# SPDX-License-Identifier: MIT
"""Nothing drops where the kernel carries the data: aditd is killed at every step and at random, under
traffic, with sessions and tunnels that come and go, on a path that loses and re-orders; a second
path loses nothing, and no packet that goes over it is missing. The same with xl2tpd and pppd."""

import os
import random
import re
import signal

import pytest

from faults import LOAD_POINTS, POINTS, built_with_faults, records
from kills import CONF, World, check_clean, check_kept, check_records, plan_of
from lab import BUILD, wait_for
from test_interop import ppp_of
from xl2tpd import Xl2tpd

KERNEL = "data-plane = kernel\n" + CONF
# In places of the data plane in user space nobody comes by.
PLACES = [p for p in POINTS if p not in ("in-del", "in-table")] + LOAD_POINTS
SESSIONS = int(os.environ.get("ADIT_KILLS_SESSIONS", "100"))  # on each of the two paths
KILLS = int(os.environ.get("ADIT_KILLS", "50"))
# As tc netem understands it: what is delayed less than others overtakes them.
BAD = ("loss", "2%", "delay", "10ms", "8ms")


class TwoPaths(World):
    """client --- lns loses and re-orders; clean --- lns does not."""

    def __init__(self, lab):
        super().__init__(lab)
        self.clean = lab.ns("clean")
        lab.cable(self.clean, self.lns, ["198.51.100.2/24"], ["198.51.100.1/24"], "d0", "l1")

    def spoil(self):
        for ns, dev in ((self.client, "c0"), (self.lns, "l0")):
            ns.run("tc", "qdisc", "add", "dev", dev, "root", "netem", *BAD)

    def clean_load(self, *more):
        return self.load(*more, name="clean", ns=self.clean, server="198.51.100.1")


@pytest.fixture
def world(lab):
    if not built_with_faults(BUILD):
        pytest.skip("this build has no places to die at: meson configure -Dfaults=true")
    return TwoPaths(lab)


def test_kills_with_the_kernel_plane(world, lab):
    adit = world.start_lns(KERNEL)
    many = ("--sessions", SESSIONS, "--tunnels", 4, "--window", 12, "--pings", 1, "--limit", 1000,
            "--hold", 5000)
    clean = world.clean_load(*many, "--await", "--records", lab.dir / "clean")
    world.wait_up(clean, SESSIONS)
    world.spoil()
    load = world.load(*many, "--records", lab.dir / "records")
    world.wait_up(load, SESSIONS)
    lasting = world.lasting(2 * SESSIONS)
    clean.child.send_signal(signal.SIGUSR1)
    churn = world.churn(20)
    tunnels = world.passing_tunnels()
    rng = random.Random(2661)
    world.kill_all(plan_of(PLACES * max(1, KILLS // len(PLACES)), KILLS, rng), rng, loaded=SESSIONS)
    # each of them has carried something
    wait_for("traffic of all", lambda: all(s["rx_packets"] for s in adit.sessions()
                                           if s["key"] in lasting))
    tunnels.stop()
    check_kept(lasting, world.since())
    assert {s["plane"] for s in adit.sessions() if s["key"] in lasting} == {"kernel"}

    clean.stop(signal.SIGINT, seconds=120)
    load.stop(signal.SIGINT, seconds=60)
    churn.stop(signal.SIGINT, seconds=60)
    assert "sessions were lost" not in load.text() + clean.text(), load.text() + clean.text()
    wait_for("all sessions to end", lambda: world.up() == 0, seconds=90)
    adit.stop()
    lines = [l for l in adit.accounting_lines() if l["user"] != "passing"]
    rows = records(lab.dir / "clean")
    assert len(rows) == SESSIONS and min(r["sent"] for r in rows) > 0
    check_clean(rows, lines)
    rows += records(lab.dir / "records") + records(lab.dir / "churn")
    uncounted = check_records(rows, lines, KILLS, 2 * SESSIONS, control=800)
    assert uncounted == 0


def test_kills_with_xl2tpd_and_pppd(world, lab):
    """Peers that are not ours, their data in the kernel, too: no numbered ping is missing, and
    the accounting has what pppd has counted."""
    adit = world.start_lns(KERNEL)
    world.lns.run("ip", "addr", "add", "203.0.113.1/32", "dev", "lo")
    peers = []
    for n in (3, 4, 5):
        ns = lab.ns(f"x{n}")
        lab.cable(ns, world.lns, [f"198.18.{n}.2/24"], [f"198.18.{n}.1/24"], "x0", f"x{n}")
        peers.append((ns, Xl2tpd(ns, f"198.18.{n}.2", f"198.18.{n}.1", user=f"user{n}",
                                 password="password")))
    pings = []
    for ns, _ in peers:
        interface, _ = ppp_of(ns)
        ns.run("ip", "route", "add", "203.0.113.1/32", "dev", interface)
        wait_for("an answer", lambda ns=ns: ns.ping("203.0.113.1", 1, wait=2), seconds=30)
        pings.append(ns.pinging("203.0.113.1", 100, 0.2))
    lasting = world.lasting(3)
    assert [s["plane"] for s in adit.sessions()] == ["kernel"] * 3
    rng = random.Random(2661)
    for name in ("random", "before-ready", "random", "in-load"):
        world.kill(name, rng, loaded=3)
    for ping in pings:
        assert ping.lost() == [], ping.text()
    check_kept(lasting, world.since())
    for _, peer in peers:
        peer.command("d", "adit")
    wait_for("all sessions to end", lambda: world.up() == 0, seconds=60)
    adit.stop()
    lines = adit.accounting_lines()
    for _, peer in peers:
        wait_for("the figures of pppd", lambda p=peer: "Sent " in (p.dir / "pppd.log").read_text())
        said = re.search(r"Sent (\d+) bytes, received (\d+) bytes",
                         (peer.dir / "pppd.log").read_text())
        mine = [l for l in lines if l["user"] == re.search(
            'user "(.*)"', (peer.dir / "ppp-options").read_text()).group(1)]
        assert [l["event"] for l in mine] == ["start", "stop"], mine
        assert mine[1]["in_packets"] >= 101 and mine[1]["out_packets"] >= 101, mine
        assert abs(mine[1]["in_octets"] - int(said.group(1))) <= 200, (mine, said.group())
        assert abs(mine[1]["out_octets"] - int(said.group(2))) <= 200, (mine, said.group())
