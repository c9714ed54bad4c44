#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Say how many lines of the sources that a fuzz target drives its corpus reaches.

usage: fuzz_cover.py TARGET LEAST_PER_CENT COVERAGE.json    (of llvm-cov export -summary-only)

Prints a TAP line; the exit status is 1 when the target reaches too little or drives nothing.
"""

import json
import os
import re
import sys

target, least, path = sys.argv[1], float(sys.argv[2]), sys.argv[3]
with open(f"tests/fuzz/{target}.c", encoding="utf-8") as f:
    head = f.read().split("*/")[0]
drives = []
for line in head.splitlines():
    found = re.match(r"[\s/*]*drives:\s*(.*)", line)
    if found:
        drives += found.group(1).split()
with open(path, encoding="utf-8") as f:
    files = {os.path.realpath(x["filename"]): x["summary"]["lines"]
             for x in json.load(f)["data"][0]["files"]}
lines = reached = 0
told = []
for name in drives:
    here = files.get(os.path.realpath(name))
    if here is None:
        told.append(f"# {name}: not part of the target")
        lines += 1
        continue
    lines += here["count"]
    reached += here["covered"]
    told.append(f"# {name}: {here['covered']} of {here['count']} lines")
share = 100 * reached / lines if lines else 0
good = share >= least
print(f"{'ok' if good else 'not ok'} - corpus of {target}: {share:.1f} % of {lines} lines reached, "
      f"{least:.0f} % wanted")
if not drives:
    print(f"# tests/fuzz/{target}.c has no line 'drives: FILE...'")
for line in told:
    print(line)
sys.exit(0 if good else 1)
