# SPDX-License-Identifier: MIT
"""Figures of restarts: sessions that are lost by a kill of aditd, and what the journal costs.
bench/run.py runs them, in its group "restart"."""

import os
import pathlib
import re
import signal
import statistics
import time

from lab import Lab

NAMES = ("restart_lost_sessions", "journal_cost_ratio")
KILLS = 3


def lost_sessions(run, sessions):
    """Sessions that are no longer there after kills of aditd under way, as the LNS or its peer sees
    it, whoever has lost more."""
    lab = Lab()
    try:
        client, ns = run.two_hosts(lab)
        lns = run.quiet(run.adit_lns(lab, ns)).start()
        load = run.generate(client, sessions, "--hold", 600)
        run.report(load, sessions)
        for _ in range(KILLS):
            time.sleep(2.1)
            lns.kill_aditd()
        time.sleep(2)
        missing = sessions - lns.json("status")["sessions_up"]
        load.child.send_signal(signal.SIGINT)
        load.child.wait(120)
        said = re.search(r"(\d+) sessions were lost while held", load.text())
        return max(missing, int(said.group(1)) if said else 0)
    finally:
        lab.close()


def threads_us(pid):
    """CPU time of a process's threads in microseconds. What /proc/PID/stat has is in ticks of 10 ms,
    and 5,000 set-ups take twenty of them."""
    return sum(int((task / "schedstat").read_text().split()[0])
               for task in pathlib.Path(f"/proc/{pid}/task").iterdir()) / 1000


def setup_cpu(run, sessions, journal):
    """CPU time of aditd alone for each set-up, in microseconds."""
    lab = Lab()
    try:
        client, ns = run.two_hosts(lab)
        env = {**os.environ, **({} if journal else {"ADIT_NO_JOURNAL": "1"})}
        lns = run.quiet(run.adit_lns(lab, ns)).start(env=env)
        pid = lns.aditd_pid()
        before = threads_us(pid)
        run.report(run.generate(client, sessions, "--abandon"), sessions)
        return (threads_us(pid) - before) / sessions
    finally:
        lab.close()


def bench(run, figures, sessions=10_000, rounds=15):
    figures["restart_lost_sessions"] = lost_sessions(run, sessions)
    print(f"  {KILLS} kills, {sessions} sessions: {figures['restart_lost_sessions']} lost")
    pairs = []
    for i in range(rounds):  # each of the two comes first every second time
        pair = {journal: setup_cpu(run, sessions // 2, journal)
                for journal in ((True, False) if i % 2 else (False, True))}
        pairs.append((pair[True], pair[False]))
    print("  aditd's CPU for a set-up with and without the journal: "
          + ", ".join(f"{a:.0f}/{b:.0f} us" for a, b in pairs))
    figures["journal_cost_ratio"] = round(statistics.median(a / b for a, b in pairs), 3)
