# SPDX-License-Identifier: MIT
"""The journal is damaged while aditd is away: whatever stands there, the next one starts, says in one line
what is lost, keeps the sessions whose records are whole and serves newcomers."""

import os
import random
import signal
import struct

from lab import BUILD, wait_for
from test_upgrade import memory_of

CONF = """
pool "subscribers" { addresses = {"10.64.0.0/16"} }
profile "home" { users = "@DIR@/users" pool = "subscribers" local-address = "10.64.0.1" }
peer "anybody" { profile = "home" }
max-sessions = 100
max-tunnels = 20
"""
TUNNEL, SESSION, ACCT, STATE = 1, 2, 3, 4
SESSIONS, TUNNELS = 24, 4


class Journal:
    """The keeper's memory, as src/keeper/store.c lays it out."""

    def __init__(self, keeper):
        self.file = open(memory_of(keeper, "adit-journal"), "r+b", buffering=0)
        header = self.file.read(544)
        count, = struct.unpack_from("<I", header, 12)
        self.size, = struct.unpack_from("<Q", header, 16)
        self.classes = {}
        for i in range(count):
            kind, most, records, slot, offset = struct.unpack_from("<IIIIQ", header, 24 + 24 * i)
            high, = struct.unpack_from("<I", header, 416 + 8 * i)
            self.classes[kind] = (offset, slot, high)

    def slots(self, kind):
        """Offsets of the slots in use: (offset, length of the record)."""
        offset, slot, high = self.classes[kind]
        for n in range(2 * high):
            self.file.seek(offset + n * slot)
            mark, length = struct.unpack("<II", self.file.read(8))
            if mark:
                yield offset + n * slot, length

    def flip(self, at, bit=0):
        self.file.seek(at)
        octet = self.file.read(1)[0]
        self.file.seek(at)
        self.file.write(bytes([octet ^ (1 << bit)]))

    def spoil(self, kind, which):
        """The bytes of both slots of the pair number `which` in use."""
        offset, slot, high = self.classes[kind]
        pairs = sorted({(at - offset) // (2 * slot) for at, _ in self.slots(kind)})
        first = offset + pairs[which] * 2 * slot
        for at, length in self.slots(kind):
            if first <= at < first + 2 * slot:
                self.flip(at + 48 + length // 2)


class World:
    def __init__(self, lab):
        self.client, self.lns = lab.ns("client"), lab.ns("lns")
        lab.cable(self.client, self.lns, ["192.0.2.2/24"], ["192.0.2.1/24"], "c0", "l0")
        self.adit = lab.adit(self.lns, CONF, users="* * password *\n").start()

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
            for at in range(offset, offset + 2 * high * slot, 4096):
                if rng.randrange(2):
                    journal.file.seek(at)
                    journal.file.write(rng.randbytes(4096) if rng.randrange(2) else bytes(4096))

    for what in (bits, bits, bits, pages):
        world.while_away(what)
        assert world.adit.keeper.alive()
    assert world.told()
    assert world.adit.json("status")["state"] == "running"
    world.newcomer()
