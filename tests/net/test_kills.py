# SPDX-License-Identifier: MIT
"""Nothing drops: aditd is killed at every step and at random, under traffic, on a path that loses
and re-orders, with sessions that come and go. What the generator on the other side saw is held
against the sessions and the accounting of the LNS."""

import random
import re

import pytest

from faults import LOAD_POINTS, POINTS, built_with_faults, records
from kills import World, check_kept, check_records, plan_of
from lab import BUILD, wait_for

SESSIONS = 200
KILLS = 50


@pytest.fixture
def world(lab):
    if not built_with_faults(BUILD):
        pytest.skip("this build has no places to die at: meson configure -Dfaults=true")
    return World(lab)


def test_fifty_kills(world, lab):
    adit = world.start_lns()
    seen = lab.dir / "records"
    load = world.load("--sessions", SESSIONS, "--tunnels", 8, "--window", 100, "--pings", 4,
                      "--impair", 2, "--hold", 1000, "--records", seen)
    world.wait_up(load, SESSIONS)
    lasting = world.lasting(SESSIONS)
    churn = world.churn(40, "--impair", 2)
    tunnels = world.passing_tunnels()
    rng = random.Random(2661)
    world.kill_all(plan_of(POINTS * 2 + LOAD_POINTS * 2, KILLS, rng), rng)
    tunnels.stop()
    check_kept(lasting, world.since())

    load.stop(seconds=60)
    churn.stop(seconds=60)
    assert "sessions were lost" not in load.text(), load.text()
    wait_for("all sessions to end", lambda: world.up() == 0, seconds=90)
    adit.stop()
    lines = [l for l in adit.accounting_lines() if l["user"] != "passing"]
    uncounted = check_records(records(seen) + records(lab.dir / "churn"), lines, KILLS,
                              SESSIONS)
    assert uncounted <= 4 * KILLS, uncounted


def test_octets_of_a_stop_record_survive(world, lab):
    """Killed at each step between the end of a session and its stop record: the record has exactly
    what was sent and received."""
    adit = world.start_lns()
    for name in ("before-commit", "before-send", "before-del", "after-del", "in-del", "del-done",
                 "before-lines", "in-append", "after-lines", "in-wipe"):
        seen = lab.dir / f"records-{name}"
        adit.accounting.write_text("")
        load = world.load("--sessions", 1, "--pings", 50, "--ping-count", 20, "--hold", 1000,
                          "--records", seen, name=f"load-{name}")
        wait_for("the session", lambda: '"up":1' in load.text())
        wait_for("traffic", lambda: any(s["rx_packets"] == s["tx_packets"] == 20
                                        for s in adit.sessions()))
        old = adit.aditd_pid()
        world.faults.arm(name)
        adit.ctl("terminate", "user", "user", check=False)
        world.faults.wait_death(name)
        world.killed(old)
        if world.up():  # the request was lost with the process
            adit.ctl("terminate", "user", "user", check=False)
        wait_for("the stop record",
                 lambda: [l for l in adit.accounting_lines() if l["event"] == "stop"])
        wait_for("the end", lambda: world.up() == 0)
        load.child.send_signal(2)
        load.child.wait(120)
        row, = records(seen)
        start, stop = adit.accounting_lines()
        assert (start["event"], stop["event"]) == ("start", "stop") and row["sent"] == 20
        assert stop["in_packets"] == stop["out_packets"] == row["received"] == 20, (name, stop)
        assert stop["in_octets"] == row["sent_octets"], (name, stop, row)
        assert stop["out_octets"] == row["received_octets"], (name, stop, row)


def test_last_words(world):
    """What aditd had to say when it died, and nobody had logged yet, stands in the trace ring: its successor
    logs it, once."""
    adit = world.start_lns()
    old = adit.aditd_pid()
    world.faults.arm("in-send")  # of the answer to the first request: an idle aditd sends nothing
    world.load("--sessions", 1, "--hold", 1000)
    world.faults.wait_death("in-send")
    world.killed(old)
    wait_for("the next one", lambda: "was being set up when the daemon restarted" in adit.text())
    log = adit.text()
    begins = [m.start() for m in re.finditer("adit-keeper info: started ", log)]
    assert len(begins) == 2
    assert "SCCRQ" not in log[:begins[1]], log
    assert log.count("<- SCCRQ") == log.count("-> SCCRP") == 1, log
