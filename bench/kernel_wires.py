#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Figures of Ethernet pseudowires in the kernel's data plane, on a kernel that has L2TP (in a
guest; see bench/run.py, group "kernel-wires").

usage: bench/kernel_wires.py SMALL LARGE    numbers of pseudowires, 1000 and 10000

Prints one line of JSON for each figure, when it is there: set-ups a second of LARGE pseudowires in
one control connection, over the same of the bare netlink calls (bench/wires.c); and how much dearer
one of LARGE is than one of SMALL, over the same of the bare calls. The far end has no data plane.
The time begins when the far end does, and ends when aditd has said of each that it is up.
"""

import json
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "net"), str(ROOT / "bench")]

from lab import BUILD, Lab, wait_for  # noqa: E402
from run import quiet  # noqa: E402

WIRES = BUILD / "bench" / "bench-wires"
LIMIT = 3600  # s


def bare(count):
    """Seconds of the bare calls."""
    lab = Lab()
    try:
        return float(lab.ns("bare").run(WIRES, "bare", count, timeout=LIMIT).stdout)
    finally:
        lab.close()


def adit(count):
    """Seconds of aditd and its keeper, with the protocol."""
    lab, node = Lab(), None
    try:
        near, far = lab.ns("near"), lab.ns("far")
        lab.cable(near, far, ["192.0.2.1/24"], ["192.0.2.2/24"], "n0", "f0")
        wires = (f"pseudowire w{n} {{ tunnel = t connect = wait mtu = 1442 }}\n"
                 for n in range(count))
        node = quiet(lab.adit(near, "data-plane = kernel\n"
                                    "tunnel t { remote = 192.0.2.2 connect = wait }\n"
                                    + "".join(wires))).start()
        begun = time.monotonic()
        child = subprocess.Popen(
            far.argv([WIRES, "far", "192.0.2.2:1701", "192.0.2.1:1701", count]),
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        lab.children.append(child)
        log = pathlib.Path(node.keeper.log)
        wait_for("the pseudowires", lambda: child.poll() is not None or
                 log.read_bytes().count(b" is up on w") >= count, seconds=LIMIT, step=0.1)
        taken = time.monotonic() - begun
        assert child.poll() is None, node.text()[-2000:]
        links = near.run("ip", "-o", "link", timeout=600).stdout.count(" mtu 1442 ")
        assert links == count, f"{links} interfaces of {count} pseudowires"
        return taken
    finally:
        if node:  # many interfaces end with it
            node.keeper.child.kill()
            node.keeper.child.wait(LIMIT)
        lab.close()


def main():
    small, large = int(sys.argv[1]), int(sys.argv[2])
    cost = {}
    for count in small, large:
        plain, ours = bare(count), adit(count)
        cost[count] = plain / count, ours / count
        print(f"  {count} pseudowires: bare {count / plain:.0f}/s, adit {count / ours:.0f}/s",
              flush=True)
        if count == large:
            print(json.dumps({"v3_setup_vs_bare_10k": round(plain / ours, 3)}), flush=True)
    growth = [cost[large][i] / cost[small][i] for i in (0, 1)]
    print(f"  cost of one, {large} over {small}: bare {growth[0]:.2f}, adit {growth[1]:.2f}")
    print(json.dumps({"v3_growth_vs_bare_growth": round(growth[1] / growth[0], 3)}), flush=True)


if __name__ == "__main__":
    main()
