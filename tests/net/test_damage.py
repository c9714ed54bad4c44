# SPDX-License-Identifier: MIT
"""The journal is damaged while aditd is away: whatever stands there, the next one starts, says in one line
what is lost, keeps the sessions whose records are whole and serves newcomers."""

import errno
import os
import random
import signal
import subprocess

from journal import ACCT, SESSION, STATE, TUNNEL, Journal, tlvs
from lab import BUILD, wait_for

CONF = """
pool "subscribers" { addresses = {"10.64.0.0/16"} }
profile "home" { users = "@DIR@/users" pool = "subscribers" local-address = "10.64.0.1" }
peer "anybody" { profile = "home" }
max-sessions = 100
max-tunnels = 20
"""
SESSIONS, TUNNELS = 24, 4
# Tags of records (src/access/save.h) with clocks and numbers that go on: of messages, of PPP's own requests, of
# rows, of keys.
MOVING = {TUNNEL: {7}, SESSION: {8, 16, 20}, STATE: {1}}
PASSING = ("seconds", "heard", "rtt_ms", "sent", "received", "retransmits", "duplicates")


class World:
    def __init__(self, lab, place=None):
        self.client, self.lns = lab.ns("client"), lab.ns("lns")
        lab.cable(self.client, self.lns, ["192.0.2.2/24"], ["192.0.2.1/24"], "c0", "l0")
        self.adit = lab.adit(self.lns, CONF, users="* * password *\n")
        if place:  # for what is written to the disk
            self.adit.accounting = place / "accounting.jsonl"
            text = self.adit.conf.read_text().replace(f'state-directory = "{self.adit.dir}"',
                                                      f'state-directory = "{place}"')
            self.adit.conf.write_text(text.replace(f'accounting = "{self.adit.dir}/', f'accounting = "{place}/'))
        self.adit.start()

    def state(self):
        """All that is told of tunnels and sessions, but clocks and what this process has counted."""
        def rows(all, by):
            return [{k: v for k, v in row.items() if k not in PASSING} for row in sorted(all, key=lambda r: r[by])]
        return rows(self.adit.json("show", "tunnels")["tunnels"], "id"), rows(self.adit.sessions(), "key")

    def load(self, *more, name="load"):
        return self.client.start(BUILD / "src/load/adit-load", "--server", "192.0.2.1", *more, name=name)

    def up(self):
        load = self.load("--sessions", SESSIONS, "--tunnels", TUNNELS, "--hold", 600)
        wait_for("all sessions", lambda: f'"up":{SESSIONS}' in load.text(), seconds=60)
        wait_for("their accounting", lambda: len(self.adit.accounting_lines()) == SESSIONS)
        return load

    def while_away(self, what):
        """Kill aditd, do something to the journal, and have the next one come."""
        keeper, old = self.adit.keeper.pid, self.adit.aditd_pid()
        os.kill(keeper, signal.SIGSTOP)
        try:
            os.kill(old, signal.SIGKILL)
            what(Journal(keeper))
        finally:
            os.kill(keeper, signal.SIGCONT)
        wait_for("a new aditd", lambda: self.adit.aditd_pid() not in (None, old), seconds=30)
        wait_for("it to answer", lambda: self.adit.ctl("status", check=False).returncode == 0, seconds=30)

    def told(self):
        return [line for line in self.adit.text().splitlines() if "the journal is damaged, these" in line]

    def newcomer(self):
        late = self.load("--sessions", 1, "--limit", 30, "--user", "late", name="late")
        assert late.child.wait(60) == 0, late.text()


def test_what_is_whole_goes_on(lab):
    """One tunnel, three sessions and the numbers given out are spoiled: all others go on as they were."""
    world = World(lab)
    world.up()
    before = {s["key"]: s for s in world.adit.sessions()}

    def spoil(journal):
        journal.spoil(TUNNEL, 1)
        for which in (0, 5, 11):
            journal.spoil(SESSION, which)
        journal.spoil(STATE, 0)

    world.while_away(spoil)
    line, = world.told()
    assert "1 record of the numbers given out, 1 tunnel, 3 sessions;" in line, line
    after = {s["key"]: s for s in world.adit.sessions() if s["state"] == "up"}
    # a tunnel has six sessions; how many of the three are its own is not said
    assert SESSIONS - 9 <= len(after) <= SESSIONS - 6, len(after)
    assert all(before[key]["since"] == s["since"] and before[key]["peer_ip4"] == s["peer_ip4"]
               for key, s in after.items())
    # those of the tunnel that is lost have a stop record, their own records were whole
    wait_for("their stop records", lambda: sum(l["event"] == "stop" for l in world.adit.accounting_lines())
             >= SESSIONS - len(after) - 3)
    world.newcomer()
    lines = world.adit.accounting_lines()
    starts = [l["id"] for l in lines if l["event"] == "start"]
    assert len(starts) == len(set(starts)), "a number was given out twice"


def test_anything_may_stand_there(lab):
    """Bits flipped at random, in records and heads, and whole pages of noise or nothing: aditd lives."""
    world = World(lab)
    world.up()
    rng = random.Random(5)

    def bits(journal):
        slots = [s for kind in (TUNNEL, SESSION, STATE) for s in journal.slots(kind)]
        for at, length in rng.sample(slots, len(slots) // 2):
            for _ in range(rng.randrange(1, 4)):
                journal.flip(at + rng.randrange(48 + length), rng.randrange(8))

    def pages(journal):
        for kind in (TUNNEL, SESSION, STATE):
            offset, slot, high = journal.classes[kind]
            for at in range(offset, offset + journal.each * high * slot, 4096):
                if rng.randrange(2):
                    journal.file.seek(at)
                    journal.file.write(rng.randbytes(4096) if rng.randrange(2) else bytes(4096))

    for what in (bits, bits, bits, pages):
        world.while_away(what)
        assert world.adit.keeper.alive()
    assert world.told()
    assert world.adit.json("status")["state"] == "running"
    world.newcomer()


def test_cannot_be_cut(lab):
    """A journal that became shorter would end whoever reads it: the memory is sealed, what it loses is only
    what stands in it. Here everything behind its first pages."""
    world = World(lab)
    world.up()

    def cut(journal):
        for size in (0, 4096, journal.size // 2):
            try:
                os.ftruncate(journal.file.fileno(), size)
                raise AssertionError("the journal can be cut")
            except PermissionError:
                pass
        offset, slot, high = journal.classes[SESSION]
        begin, end = (offset + journal.each * slot * n for n in (high // 2, high))
        for at in range(begin, end, 4096):
            journal.file.seek(at)
            journal.file.write(bytes(min(4096, end - at)))

    world.while_away(cut)
    left = [s for s in world.adit.sessions() if s["state"] == "up"]
    assert 0 < len(left) < SESSIONS and world.adit.keeper.alive()
    world.newcomer()


def test_nothing_changes_over_a_kill(lab):
    """All that is told of tunnels and sessions is the same after a kill -9 as before: numbers, windows,
    options, addresses, limits, counters of data, times of their beginnings."""
    world = World(lab)
    world.up()
    # what the peers still had to acknowledge is acknowledged, what they sent is counted
    before = wait_for("rest", lambda: (lambda a, b: a if a == b else None)(world.state(), world.state()))
    saved = Journal(world.adit.keeper.pid).records()
    world.adit.kill_aditd()
    after = world.state()
    assert len(before[0]) == TUNNELS and len(before[1]) == SESSIONS
    for old, new in zip(before[0] + before[1], after[0] + after[1]):
        assert new == old, {k: (old[k], new[k]) for k in old if old[k] != new.get(k)}
    world.adit.kill_aditd()
    assert world.state() == before
    # ... and all that is saved has the same name, and is saved again as it was
    again = Journal(world.adit.keeper.pid).records()
    assert again.keys() == saved.keys()
    assert [kind for kind, _ in saved].count(SESSION) == SESSIONS
    for name, old in saved.items():
        old, new = tlvs(old), tlvs(again[name])
        assert old.keys() == new.keys(), name
        changed = {tag for tag in old if old[tag] != new[tag]}
        assert changed <= MOVING[name[0]], (name, changed)


def test_disk_full(lab):
    """No space for accounting and state: sessions come and go, one line says so; killed meanwhile, too; when
    there is space again every record is written, once."""
    small = lab.dir / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", small], check=True)
    try:
        full_disk(lab, small)
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def full_disk(lab, small):
    world = World(lab, small)
    adit = world.adit
    (small / "filler").write_bytes(b"")
    with open(small / "filler", "wb", buffering=0) as f:
        while True:
            try:
                if not f.write(bytes(4096)):
                    break
            except OSError as error:
                assert error.errno == errno.ENOSPC
                break
    load = world.load("--sessions", SESSIONS, "--tunnels", TUNNELS, "--hold", 600)
    wait_for("all sessions", lambda: f'"up":{SESSIONS}' in load.text(), seconds=60)
    refused = "accounting records cannot be written"
    wait_for("the log to tell", lambda: refused in adit.text())
    adit.kill_aditd()
    load.stop(signal.SIGINT, 60)
    wait_for("all sessions to end", lambda: not adit.sessions(), seconds=60)
    adit.kill_aditd()
    world.newcomer()
    assert adit.text().count(refused) <= 3, "once for each aditd"
    (small / "filler").unlink()
    wait_for("the log to tell", lambda: "accounting records are written" in adit.text(), seconds=60)
    wait_for("all records", lambda: len(adit.accounting_lines()) == 2 * SESSIONS + 2, seconds=60)
    lines = adit.accounting_lines()
    for event in ("start", "stop"):
        ids = [l["id"] for l in lines if l["event"] == event]
        assert len(ids) == len(set(ids)) == SESSIONS + 1, event
