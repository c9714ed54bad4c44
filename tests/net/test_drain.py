# SPDX-License-Identifier: MIT
"""An LNS is emptied before it is stopped: newcomers are refused, what is up is ended at a chosen
pace, a restart in the middle goes on with it."""

import re
import time

import pytest

from lab import BUILD, wait_for

CONF = """
pool "subscribers" { addresses = {"10.64.0.0/16"} }
profile "home" { users = "@DIR@/users" pool = "subscribers" local-address = "10.64.0.1" }
peer "anybody" { profile = "home" }
"""


@pytest.fixture
def world(lab):
    class World:
        client, lns = lab.ns("client"), lab.ns("lns")

        def load(self, *more, name="load"):
            return self.client.start(BUILD / "src/load/adit-load", "--server", "192.0.2.1", *more,
                                     name=name)

    w = World()
    lab.cable(w.client, w.lns, ["192.0.2.2/24"], ["192.0.2.1/24"], "c0", "l0")
    w.adit = lab.adit(w.lns, CONF, users="* * password *\n").start()
    return w


def test_drain(world):
    adit = world.adit
    load = world.load("--sessions", 120, "--tunnels", 3, "--hold", 600)
    wait_for("all sessions", lambda: '"up":120' in load.text())
    status = adit.json("status")
    assert status["state"] == "running" and status["oldest_session"] and status["starts"] == 1
    assert "oldest      session is up since" in adit.ctl("status").stdout

    begun = time.monotonic()
    adit.ctl("drain", "--rate", 20, "--no-wait")
    status = adit.json("status")
    assert status["state"] == "draining" and status["drain_rate"] == 20
    # a newcomer is told why; in a tunnel that is there a call is refused, too
    late = world.load("--sessions", 1, "--limit", 2, name="late")
    assert late.child.wait(15) == 1
    assert "shutting down" in late.text(), late.text()
    adit.kill_aditd()  # it goes on where it was
    assert adit.json("status")["state"] == "draining"
    assert adit.json("status")["starts"] == 2
    out = adit.ctl("drain", "--rate", 20, timeout=60).stdout
    left = [int(n) for n in re.findall(r"(\d+) sessions left", out)]
    assert left == sorted(left, reverse=True) and "no session is left" in out, out
    assert time.monotonic() - begun >= 120 / 20 - 1, "faster than it was told to"
    wait_for("the tunnels to be closed", lambda: adit.json("status")["tunnels"] == 0 or all(
        t["state"] == "closed" or t["sessions"] == 0 for t in adit.json("show", "tunnels")["tunnels"]))
    lines = adit.accounting_lines()
    stops = [l for l in lines if l["event"] == "stop"]
    assert len(stops) == 120 and {l["cause"] for l in stops} == {"shutdown"}, stops[:2]
    load.stop(2)
    assert "120 sessions were lost while held" in load.text(), load.text()
    assert "draining" in adit.text() and "drained: no session is left" in adit.text() or \
        wait_for("the log to tell", lambda: "drained: no session is left" in adit.text(), seconds=20)

    assert "welcome again" in adit.ctl("drain", "end").stdout
    again = world.load("--sessions", 1, "--limit", 10, name="again")
    assert again.child.wait(20) == 0, again.text()


def test_drain_without_a_pace_waits(world):
    adit = world.adit
    load = world.load("--sessions", 5, "--hold", 3)
    wait_for("all sessions", lambda: '"up":5' in load.text())
    adit.ctl("drain", "--rate", 0, "--no-wait")
    assert adit.json("status")["sessions"] == 5
    assert load.child.wait(20) == 0, load.text()
    out = adit.ctl("drain", "--rate", 0).stdout
    assert "no session is left" in out
