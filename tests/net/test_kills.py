# SPDX-License-Identifier: MIT
"""Nothing drops: aditd is killed at every step and at random, under traffic, on a path that loses
and re-orders, with sessions that come and go. What the generator on the other side saw is held
against the sessions and the accounting of the LNS."""

import os
import random
import re

import pytest

from faults import LOAD_POINTS, POINTS, Faults, built_with_faults, records
from kills import CONF, World, check_kept, check_records, plan_of
from lab import BUILD, NO_LEAKS, ended, wait_for

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
        start, stop = adit.accounting_file()
        assert (start["event"], stop["event"]) == ("start", "stop") and row["sent"] == 20
        assert stop["in_packets"] == stop["out_packets"] == row["received"] == 20, (name, stop)
        assert stop["in_octets"] == row["sent_octets"], (name, stop, row)
        assert stop["out_octets"] == row["received_octets"], (name, stop, row)


def begun(adit):
    """The lines that say that nothing of before goes on."""
    return [line["id"] for line in adit.accounting_file() if line["event"] == "on"]


@pytest.mark.parametrize("name", [None, "before-commit", "in-commit", "in-write", "before-lines", "in-append",
                                  "after-lines", "before-ready"])
def test_accounting_begins_once(world, name):
    """Wherever the first aditd dies: the file begins with one line that says so."""
    adit = world.lab.adit(world.lns, CONF, users="* * password *\n")
    world.faults = Faults(world.lab.dir / "faults")
    if name:
        world.faults.arm(name)
    adit.start(env=world.faults.env)
    if name:
        world.faults.wait_death(name)
    wait_for("aditd to serve", lambda: adit.ctl("status", check=False).returncode == 0)
    line, = wait_for("the line", adit.accounting_file)
    assert (line["event"], line["seq"]) == ("on", 1) and set(line) == {"time", "event", "id", "seq"}, line
    adit.kill_aditd()
    assert adit.accounting_file() == [line]


def test_what_a_dead_keeper_owes(world):
    """Its sessions have ended, and nobody can say what they had. That they have ended the next accounting
    says, behind their starts; a death of aditd alone, an upgrade or an orderly stop owe nothing."""
    adit = world.lab.adit(world.lns, CONF, users="* * password *\n")
    adit.start(env={**os.environ, **NO_LEAKS})
    first, = wait_for("the first line", lambda: begun(adit))
    load = world.load("--sessions", 5, "--hold", 1000)
    world.wait_up(load, 5)
    starts = wait_for("their starts", lambda: len(adit.accounting_lines()) == 5 and adit.accounting_lines())
    adit.kill_aditd()
    world.lns.run(BUILD / "src/keeper/adit-keeper", "-c", adit.conf, "--upgrade", timeout=60)
    assert begun(adit) == [first] and adit.json("status")["sessions"] == 5
    aditd = adit.aditd_pid()
    adit.keeper.child.kill()
    adit.keeper.child.wait(120)
    wait_for("the end of aditd", lambda: ended(aditd))
    adit.start(env={**os.environ, **NO_LEAKS})
    wait_for("the next line", lambda: begun(adit)[1:])
    assert adit.json("status")["sessions"] == 0
    load.child.kill()
    world.wait_up(world.load("--sessions", 1, "--hold", 1000, name="another"), 1)
    wait_for("its start", lambda: len(adit.accounting_lines()) == 6)
    adit.stop()
    lines = adit.accounting_file()
    assert [line["event"] for line in lines] == ["on"] + 5 * ["start"] + ["on", "start", "stop"]
    assert lines[1:6] == starts
    assert max(line["id"] for line in lines[:6]) < lines[6]["id"] < lines[7]["id"] == lines[8]["id"]
    adit.start(env={**os.environ, **NO_LEAKS})
    wait_for("the third line", lambda: begun(adit)[2:])
    assert adit.accounting_file()[:-1] == lines


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
