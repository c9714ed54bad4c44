#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Figures of Ethernet pseudowires in the kernel's data plane, on a kernel that has L2TP (in a
guest; see bench/run.py, group "kernel-wires").

usage: bench/kernel_wires.py bare|adit COUNT

Prints the seconds of COUNT pseudowires as JSON: of the bare netlink calls (bench/wires.c), or of adit
in one control connection with a far end that has no data plane. The time begins when the far end
does, and ends when aditd has said of each that it is up. For one number in each guest: what the
kernel still has to do when many interfaces were taken away would be counted as the next one's.

The interfaces are without IPv6, as ports of a bridge should be: each of them joins groups, tells of
them and asks for routers a second later, and the longer a run takes the more of that falls into it.
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


def tell(seconds):
    """... before all is taken away again, which takes longer still."""
    print(json.dumps({"seconds": round(seconds, 3)}), flush=True)


def plain(lab, name):
    """A namespace whose interfaces have no IPv6."""
    ns = lab.ns(name)
    ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    return ns


class Lines:
    """How many of them a log has so far that say this; what was read once is not read again."""

    def __init__(self, path, says):
        self.file, self.says, self.count = open(path, "rb"), says, 0

    def __call__(self):
        while line := self.file.readline():
            if not line.endswith(b"\n"):
                self.file.seek(-len(line), 1)
                break
            self.count += self.says in line
        return self.count


def bare(count):
    """The bare calls."""
    lab = Lab()
    try:
        tell(float(plain(lab, "bare").run(WIRES, "bare", count, timeout=LIMIT).stdout))
    finally:
        lab.close()


def adit(count):
    """aditd and its keeper, with the protocol."""
    lab, node = Lab(), None
    try:
        near, far = plain(lab, "near"), lab.ns("far")
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
        up = Lines(node.keeper.log, b" is up on w")
        wait_for("the pseudowires", lambda: child.poll() is not None or up() >= count,
                 seconds=LIMIT, step=0.1)
        taken = time.monotonic() - begun
        assert child.poll() is None, node.text()[-2000:]
        links = near.run("ip", "-o", "link", timeout=600).stdout.count(" mtu 1442 ")
        assert links == count, f"{links} interfaces of {count} pseudowires"
        tell(taken)
    finally:
        if node:  # many interfaces end with it
            node.keeper.child.kill()
            node.keeper.child.wait(LIMIT)
        lab.close()


def main():
    {"bare": bare, "adit": adit}[sys.argv[1]](int(sys.argv[2]))


if __name__ == "__main__":
    main()
