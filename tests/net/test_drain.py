# SPDX-License-Identifier: MIT
"""An LNS is emptied before it is stopped: newcomers are refused, what is up is ended at a chosen
pace, a restart in the middle goes on with it."""

import datetime
import json
import os
import re
import signal
import time

import pytest

from faults import Faults, built_with_faults
from lab import BUILD, halt, pending, wait_for

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
    wait_for("the LNS to have them up", lambda: adit.json("status")["sessions_up"] == 120)
    status = adit.json("status")
    assert status["state"] == "running" and status["oldest_session"] and status["starts"] == 1
    assert "oldest      session is up since" in adit.ctl("status").stdout
    since = {s["key"]: s["since"] for s in adit.sessions()}
    assert status["oldest_session"] == min(since.values())
    wait_for("the next second", lambda: datetime.datetime.now(datetime.timezone.utc)
             > datetime.datetime.fromisoformat(status["since"]) + datetime.timedelta(seconds=2))
    before = status

    begun = time.monotonic()
    adit.ctl("drain", "--rate", 20, "--no-wait")
    status = adit.json("status")
    assert status["state"] == "draining" and status["drain_rate"] == 20
    # a newcomer is told why; in a tunnel that is there a call is refused, too
    late = world.load("--sessions", 1, "--limit", 2, name="late")
    assert late.child.wait(60) == 1
    assert "shutting down" in late.text(), late.text()
    adit.kill_aditd()  # it goes on where it was
    assert adit.json("status")["state"] == "draining"
    status = adit.json("status")
    assert status["starts"] == 2 and status["since"] > before["since"]
    assert status["keeper_since"] == before["keeper_since"]
    # the oldest ones go first; who is left is as old as before
    assert status["oldest_session"] in since.values()
    rest = {s["key"]: s["since"] for s in adit.sessions() if s["state"] == "up"}
    assert rest and all(since[key] == rest[key] for key in rest)
    assert status["oldest_session"] <= min(rest.values())
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
    assert again.child.wait(60) == 0, again.text()


def test_drain_without_a_pace_waits(world):
    adit = world.adit
    load = world.load("--sessions", 5, "--hold", 3)
    wait_for("all sessions", lambda: '"up":5' in load.text())
    adit.ctl("drain", "--rate", 0, "--no-wait")
    assert adit.json("status")["sessions"] == 5
    assert load.child.wait(60) == 0, load.text()
    out = adit.ctl("drain", "--rate", 0).stdout
    assert "no session is left" in out


STOP = CONF + "stop-rate = 40\n"


@pytest.fixture
def paced(lab, world):
    world.adit.stop()
    world.adit = lab.adit(world.lns, STOP, users="* * password *\n", name="paced").start()
    return world


def up(world, sessions):
    load = world.load("--sessions", sessions, "--tunnels", 6, "--hold", 600)
    wait_for("all sessions", lambda: f'"up":{sessions}' in load.text(), seconds=60)
    return load


def stops_of(adit):
    return [l for l in adit.accounting_lines() if l["event"] == "stop"]


def test_stop_with_a_pace(paced):
    """SIGTERM to the keeper: one peer after the other is told, everybody can see how far it is, and the
    keeper waits longer than the ten seconds it else has."""
    adit = paced.adit
    load = up(paced, 600)
    begun = time.monotonic()
    adit.keeper.child.send_signal(signal.SIGTERM)
    status = wait_for("it to say so", lambda: (lambda s: s["state"] == "stopping" and s)(adit.json("status")))
    assert status["drain_rate"] == 40
    refused = adit.ctl("drain", "end", check=False)
    assert refused.returncode == 1 and "aditd is stopping" in refused.stderr, refused.stderr
    left = [600]
    while (now := adit.ctl("status", "--json", check=False)).returncode == 0:
        left.append(json.loads(now.stdout)["sessions"])
        time.sleep(0.5)
    assert adit.keeper.child.wait(120) == 0
    assert time.monotonic() - begun >= 600 / 40 - 1, "faster than it was told to"
    assert left == sorted(left, reverse=True), left
    assert "draining: newcomers are refused, 600 sessions end, 40 a second" in adit.text()
    assert re.search(r"draining: \d+ sessions are left", adit.text()), "the log does not tell how far it is"
    assert len(stops_of(adit)) == 600 and {l["cause"] for l in stops_of(adit)} == {"shutdown"}
    load.stop(2)
    assert "600 sessions were lost while held" in load.text(), load.text()


def test_stop_in_a_hurry(paced):
    """Asked once more, it tells all that are left at once; each has its stop record."""
    adit = paced.adit
    adit.conf.write_text(adit.conf.read_text().replace("stop-rate = 40", "stop-rate = 1"))
    assert "stop-rate" in adit.ctl("reload").stdout
    load = up(paced, 60)
    adit.keeper.child.send_signal(signal.SIGTERM)
    wait_for("the keeper to be patient", lambda: adit.json("status")["sessions"] < 60, seconds=60)
    adit.keeper.child.send_signal(signal.SIGTERM)
    assert adit.keeper.child.wait(60) == 0
    assert len(stops_of(adit)) == 60 and {l["cause"] for l in stops_of(adit)} == {"shutdown"}
    load.stop(2)
    assert "60 sessions were lost while held" in load.text(), load.text()


def test_stop_from_a_terminal(lab, world):
    """Ctrl-C goes to all in the foreground, but aditd is asked by the keeper alone: asked by both, it would
    be in a hurry."""
    world.adit.stop()
    adit = lab.adit(world.lns, CONF + "stop-rate = 1\n", users="* * password *\n", name="shown").start()
    load = up(world, 60)
    aditd = adit.aditd_pid()
    halt(aditd)
    os.killpg(adit.keeper.pid, signal.SIGINT)
    wait_for("aditd to be asked", lambda: pending(aditd) & 1 << signal.SIGTERM - 1)
    os.kill(aditd, signal.SIGCONT)
    wait_for("the pace", lambda: adit.json("status")["state"] == "stopping")
    assert adit.json("status")["sessions"] > 40
    os.killpg(adit.keeper.pid, signal.SIGINT)
    assert adit.keeper.child.wait(60) == 0
    assert len(stops_of(adit)) == 60 and {l["cause"] for l in stops_of(adit)} == {"shutdown"}
    load.stop(2)
    assert "60 sessions were lost while held" in load.text(), load.text()


def test_asked_twice_in_one_breath(paced):
    """Both before the keeper has heard that aditd has begun."""
    adit = paced.adit
    load = up(paced, 200)
    aditd = adit.aditd_pid()
    halt(aditd)
    for sig in (signal.SIGTERM, signal.SIGINT):
        adit.keeper.child.send_signal(signal.SIGTERM)
        wait_for("aditd to be asked", lambda: pending(aditd) & 1 << sig - 1)
    os.kill(aditd, signal.SIGCONT)
    assert adit.keeper.child.wait(60) == 0
    assert "giving up" not in adit.text(), adit.text()
    assert len(stops_of(adit)) == 200 and {l["cause"] for l in stops_of(adit)} == {"shutdown"}
    load.stop(2)
    assert "200 sessions were lost while held" in load.text(), load.text()


@pytest.mark.parametrize("rate, place, again", [(40, "before-del", 15), (0, "before-del", 15),
                                                (0, "in-append", 1)])
def test_death_during_a_stop(lab, world, rate, place, again):
    """aditd dies while it tells the peers: the next one goes on with those that are left. Each session has
    one stop record, and each peer is told."""
    if not built_with_faults(BUILD):
        pytest.skip("this build has no places to die at: meson configure -Dfaults=true")
    world.adit.stop()
    faults = Faults(lab.dir / "faults")
    adit = lab.adit(world.lns, CONF + (f"stop-rate = {rate}\n" if rate else ""),
                    users="* * password *\n", name="mortal").start(env=faults.env)
    world.adit = adit
    load = up(world, 60)
    faults.arm(place, again)
    adit.keeper.child.send_signal(signal.SIGTERM)
    assert adit.keeper.child.wait(240) == 0
    assert faults.deaths() == 1
    assert adit.text().count("aditd died while it told the peers that we stop") == 1, adit.text()
    lines = adit.accounting_lines()
    assert len({(l["id"], l["seq"]) for l in lines}) == len(lines), "a line stands there twice"
    assert len(stops_of(adit)) == 60 and len({l["id"] for l in stops_of(adit)}) == 60
    assert {l["cause"] for l in stops_of(adit)} == {"shutdown"}
    load.stop(2)
    assert "60 sessions were lost while held" in load.text(), load.text()


def test_stop_while_aditd_is_away(lab, world):
    """It was killed a moment before: the next one starts into the stop."""
    adit = world.adit
    load = up(world, 20)
    adit.keeper.child.send_signal(signal.SIGSTOP)  # so that it sees both at once
    adit.keeper.child.send_signal(signal.SIGTERM)
    os.kill(adit.aditd_pid(), signal.SIGKILL)
    adit.keeper.child.send_signal(signal.SIGCONT)
    assert adit.keeper.child.wait(240) == 0
    assert len(stops_of(adit)) == 20 and {l["cause"] for l in stops_of(adit)} == {"shutdown"}
    load.stop(2)
    assert "20 sessions were lost while held" in load.text(), load.text()
