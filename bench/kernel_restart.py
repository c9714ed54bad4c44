#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What restarts cost where the kernel carries the data, measured on a kernel that has L2TP and PPP (in
a guest; see bench/run.py, group "kernel-restart").

usage: bench/kernel_restart.py [SESSIONS [SESSIONS]]    of the kills of aditd (2,000), of the keeper's
                                                        death (1,000)

Prints one line of JSON for each figure: sessions that three kills of aditd cost, as the LNS, its peer
and the kernel see it, whoever has lost most; seconds from the kill of the keeper until the next
one serves and the kernel has none of the former's interfaces, sessions and tunnels.
"""

import json
import pathlib
import re
import signal
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "vm"), str(ROOT / "tests" / "net"), str(ROOT / "bench")]

from lab import Lab, wait_for  # noqa: E402
from run import kernel_lns, generate, report, two_hosts  # noqa: E402

KILLS = 3
LIMIT = 3600  # s, for all sessions to come up


def interfaces(ns):
    return ns.run("ip", "-o", "link", timeout=600).stdout.count(": l2tp")


def tunnels(ns):
    return ns.run("ip", "l2tp", "show", "tunnel", timeout=600).stdout


def come_up(lab, sessions):
    client, ns = two_hosts(lab)
    lns = kernel_lns(lab, ns).start()
    load = generate(client, sessions, "--hold", 2 * LIMIT, "--limit", LIMIT, "--window", 20)
    report(load, sessions, seconds=LIMIT)
    wait_for("the kernel to carry them", lambda: interfaces(ns) == sessions, seconds=600)
    return ns, lns, load


def lost_sessions(sessions):
    lab = Lab()
    try:
        ns, lns, load = come_up(lab, sessions)
        for _ in range(KILLS):
            time.sleep(3)
            lns.kill_aditd()
        time.sleep(5)
        missing = max(sessions - lns.json("status")["sessions_up"], sessions - interfaces(ns))
        load.child.send_signal(signal.SIGINT)
        load.child.wait(LIMIT)
        said = re.search(r"(\d+) sessions were lost while held", load.text())
        return max(missing, int(said.group(1)) if said else 0)
    finally:
        lab.close()


def clean_s(sessions):
    lab = Lab()
    try:
        ns, lns, load = come_up(lab, sessions)
        load.child.kill()
        begun, aditd = time.monotonic(), lns.aditd_pid()
        lns.keeper.child.kill()
        lns.keeper.child.wait(600)
        wait_for("aditd to end", lambda: not pathlib.Path(f"/proc/{aditd}/fd/0").exists())
        ended = time.monotonic() - begun
        lns.start()
        wait_for("a clean kernel", lambda: interfaces(ns) == 0 and not tunnels(ns), seconds=600)
        assert "the keeper before this one has died; nothing" in lns.text(), lns.text()[-2000:]
        return ended, time.monotonic() - begun
    finally:
        lab.close()


def main():
    sizes = [int(a) for a in sys.argv[1:]] + [2_000, 1_000][len(sys.argv) - 1:]
    lost = lost_sessions(sizes[0])
    print(f"  {KILLS} kills of aditd, {sizes[0]} sessions in the kernel: {lost} lost", flush=True)
    print(json.dumps({"kernel_restart_lost_sessions": lost}), flush=True)
    ended, seconds = clean_s(sizes[1])
    print(f"  {sizes[1]} sessions: the keeper's process is gone {ended:.1f} s after its kill, the next one "
          f"serves and all is clean after {seconds:.1f} s", flush=True)
    print(json.dumps({"kernel_keeper_clean_s_1k": round(seconds, 1)}), flush=True)


if __name__ == "__main__":
    main()
