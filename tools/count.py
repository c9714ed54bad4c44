#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Count tests from what the runners wrote, and show what failed.

usage: count.py COUNTS FILE...

FILE is meson's testlog.json, a JUnit file of pytest (.xml), or TAP (.tap). The numbers of passed,
failed and skipped tests are appended to COUNTS as one line; failures are printed with the end of
their output. A program that speaks TAP counts as many tests as it reports; when it ends badly
without saying which of them failed, that is a failure of its own.
"""

import json
import pathlib
import re
import sys
import xml.etree.ElementTree as ET

TAP = re.compile(r"^(not )?ok\b([^#]*)(#\s*(skip|todo).*)?", re.IGNORECASE)


def tail(text, lines=30):
    return "\n".join("    " + line for line in text.rstrip().splitlines()[-lines:])


def around(text):
    """The lines about each "not ok", or the end when there is none."""
    lines = text.rstrip().splitlines()
    wanted = sorted({k for i, line in enumerate(lines) if line.startswith("not ok")
                     for k in range(i - 3, i + 12) if 0 <= k < len(lines)})
    if not wanted:
        return tail(text)
    return "\n".join("    " + lines[k] for k in wanted[:60])


def tap(text):
    """(passed, [failed names], skipped) of a TAP stream, None when it is none."""
    if not re.search(r"^1\.\.\d+", text, re.MULTILINE):
        return None
    passed, failed, skipped = 0, [], 0
    for line in text.splitlines():
        m = TAP.match(line)
        if not m:
            continue
        if m.group(3):
            skipped += 1
        elif m.group(1):
            failed.append(m.group(2).strip(" -"))
        else:
            passed += 1
    plan = sum(int(n) for n in re.findall(r"^1\.\.(\d+)", text, re.MULTILINE))
    if plan != passed + len(failed) + skipped:
        failed.append(f"{plan} tests were planned, {passed + len(failed) + skipped} ran")
    return passed, failed, skipped


def from_meson(path):
    passed = failed = skipped = 0
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        t = json.loads(line)
        out = t.get("stdout") or ""
        told = tap(out)
        result = t["result"]
        if told:
            passed += told[0]
            skipped += told[2]
            bad = told[1]
            if result not in ("OK", "SKIP") and not bad:
                bad = [f"{result}, exit status {t.get('returncode')}"]
            failed += len(bad)
        elif result == "OK":
            passed += 1
            bad = []
        elif result == "SKIP":
            skipped += 1
            bad = []
        else:
            failed += 1
            bad = [f"{result}, exit status {t.get('returncode')}"]
        if bad:
            print(f"FAILED {t['name']}: {'; '.join(bad)}")
            print(around(out))
            print(tail(t.get("stderr") or ""))
    return passed, failed, skipped


def from_junit(path):
    passed = failed = skipped = 0
    for case in ET.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        bad = [x for x in case if x.tag in ("failure", "error")]
        if bad:
            failed += 1
            print(f"FAILED {name}")
            for x in bad:
                print(tail((x.get("message") or "") + "\n" + (x.text or ""), 60))
        elif any(x.tag == "skipped" for x in case):
            skipped += 1
            print(f"skipped {name}")
        else:
            passed += 1
    return passed, failed, skipped


def from_tap(path):
    text = path.read_text(encoding="utf-8", errors="replace")
    told = tap(text) or (0, ["it ended before it said how many tests there are"], 0)
    if told[1]:
        print(f"FAILED: {'; '.join(told[1])}")
        print(tail(text, 60))
    return told[0], len(told[1]), told[2]


def main():
    total = [0, 0, 0]
    for name in sys.argv[2:]:
        path = pathlib.Path(name)
        if not path.exists():
            print(f"FAILED: the runner left no {path.name}")
            counts = (0, 1, 0)
        elif path.suffix == ".xml":
            counts = from_junit(path)
        elif path.suffix == ".tap":
            counts = from_tap(path)
        else:
            counts = from_meson(path)
        total = [a + b for a, b in zip(total, counts)]
    if sum(total) == 0:
        print("FAILED: it has no tests")
        total[1] = 1
    with open(sys.argv[1], "a", encoding="utf-8") as f:
        print(*total, file=f)


main()
