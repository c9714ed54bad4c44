#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""TCP over an Ethernet pseudowire of adit's user-space plane, over the same of the kernel's plane, on a
kernel that has L2TP (in a guest; see bench/run.py, group "kernel-v3"). Rounds are interleaved.

usage: bench/kernel_v3.py ROUNDS

Prints the figure as one line of JSON.
"""

import json
import pathlib
import statistics
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "net"), str(ROOT / "bench")]

from v3 import Wire, compare  # noqa: E402


def main():
    (user, kernel), ratios = compare(lambda: Wire("user"), lambda _: Wire("kernel"),
                                     int(sys.argv[1]), seconds=5)
    print(f"  user space {user:.0f} Mbit/s, the kernel's l2tpeth {kernel:.0f} Mbit/s; ratios "
          + " ".join(f"{r:.2f}" for r in ratios))
    print(json.dumps({"v3_user_vs_kernel": round(statistics.median(ratios), 2)}), flush=True)


if __name__ == "__main__":
    main()
