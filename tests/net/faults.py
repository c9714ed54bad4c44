# SPDX-License-Identifier: MIT
"""Deaths of aditd at named places (src/base/fault.h), and accounting held against what the load
generator saw (adit-load --records)."""

import json
import mmap
import os
import struct

from lab import wait_for

# Every step of the drain loop, of writing a record, of the accounting file, of the data plane's
# table and of the way back at the start.
POINTS = ["before-commit", "in-commit", "in-write", "in-place", "in-wipe",
          "before-send", "in-send", "after-send", "before-lines", "in-append", "after-lines",
          "before-put", "after-put", "put-done", "before-del", "after-del", "in-del", "del-done", "in-table"]
LOAD_POINTS = ["in-load", "loaded", "before-sweep", "before-ready"]

# More echo requests than a session sends until both sides agree that it is up: the last message of
# its set-up may be lost, and a row that carries data may be a moment older than its record.
MOMENT = 20


class Faults:
    """The file that aditd looks into."""

    def __init__(self, path):
        self.path = path
        path.write_bytes(bytes(64))
        path.chmod(0o666)
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 64)

    @property
    def env(self):
        return {**os.environ, "ADIT_FAULTS": str(self.path)}

    def arm(self, name, count=1):
        self.map[48:52] = struct.pack("=I", count)
        self.map[0:48] = name.encode().ljust(48, b"\0")

    def armed(self):
        return self.map[0] != 0

    def disarm(self):
        self.map[0:48] = bytes(48)

    def deaths(self):
        return struct.unpack("=I", self.map[52:56])[0]

    def wait_death(self, name, seconds=20):
        wait_for(f"a death at {name}", lambda: not self.armed(), seconds=seconds, step=0.01)


def built_with_faults(build):
    """Does this aditd know the places?"""
    return b"ADIT_FAULTS" in (build / "src/daemon/aditd").read_bytes()


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def check_accounting(lines, seen, role="server", control=0):
    """Accounting of the LNS against the sessions the generator has seen: each that was up has one
    start and one stop, nothing stands there twice, and the octets are those that were sent and
    received, as far as the path did not lose them. The forwarding thread dies, too: what it was about
    to count is not counted. `control`: octets of messages of PPP that may be counted with each
    session, as the kernel does. Returns (sessions, packets that are missing of what was sent, packets
    that were received and not counted)."""
    lines = [l for l in lines if l["role"] == role]
    starts = {l["id"]: l for l in lines if l["event"] == "start"}
    stops = {l["id"]: l for l in lines if l["event"] == "stop"}
    numbers = [(l["id"], l["seq"]) for l in lines]
    assert len(numbers) == len(set(numbers)), "a line stands there twice"
    assert len(starts) == sum(l["event"] == "start" for l in lines), "two starts of one session"
    assert len(stops) == sum(l["event"] == "stop" for l in lines), "two stops of one session"
    assert set(starts) == set(stops), sorted(set(starts) ^ set(stops))
    by_ids = {}
    for s in starts.values():
        ids = (s["remote_tunnel"], s["remote_session"], s["tunnel"], s["session"])
        assert ids not in by_ids, s
        by_ids[ids] = s["id"]
    missing = uncounted = 0
    for r in seen:
        ids = (r["tunnel"], r["session"], r["remote_tunnel"], r["remote_session"])
        key = by_ids.pop(ids, None)
        if not r["was_up"] or (not key and r["received"] <= MOMENT):
            continue  # it was being set up when aditd died, and has been told so
        assert key, f"no accounting of a session that was up: {r}"
        stop = stops[key]
        assert starts[key]["ip4"] == r["ip4"], (starts[key], r)
        # what the path lost was sent by one and not received by the other; never the other way
        assert stop["in_octets"] <= r["sent_octets"] + control, (stop, r)
        uncounted += max(0, r["received"] - stop["out_packets"])
        assert control or stop["out_octets"] == 100 * stop["out_packets"], (stop, r)
        missing += r["sent"] - stop["in_packets"]
        if r["sent"] >= 2 * MOMENT:
            assert stop["in_packets"] > 0, (stop, r)
        assert stop["in_packets"] >= r["received"] - 64, (stop, r)
    assert not by_ids, f"accounting of sessions that nobody has seen: {by_ids}"
    return len(stops), missing, uncounted
