#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Keeps doc/hostile.md true: which test shows what we do about which hostile input.

    tools/hostile.py             write doc/hostile.md
    tools/hostile.py --check     fail when it is out of date, or a row has no test
    tools/hostile.py --missing   list the rows without a test

The rows stand in tests/rfc/hostile.txt, with the tests that cannot be found by themselves:

    tests/rfc/*/ROW-what-it-shows.txt    a transcript whose file name begins with the row
    # V2-4.1-08, ROW: ...                a transcript whose first line begins with it
    # Hostile: ROW, ROW                  anywhere in a transcript, or in a function of a Python test
     * Hostile: ROW    (badinput ROW)    in a comment of a C test
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
ROWS = ROOT / "tests/rfc/hostile.txt"
PAGE = ROOT / "doc/hostile.md"
ROW = re.compile(r"\b[LAHSDXP]\d\d\b")
NAMED = re.compile(r"(?:Hostile: |\(badinput )((?:[LAHSDXP]\d\d(?:, )?)+)")

HEAD = """# Hostile input

What strangers and peers may send at us, what we do about it, and which test shows it. A *stranger*
is an address with which no tunnel is up; a *peer* has one. The rows are ours
(`tests/rfc/hostile.txt`); this page is written by `tools/hostile.py`, do not edit it.

After every case a HELLO (or an LCP echo) gets its answer, as many objects are there as before, and
no sanitizer has anything to say. Two rules hold for all rows:

- **To strangers, one packet for one.** An SCCRP is not repeated by time, only when the SCCRQ comes
  again. RFC 2661 has no cookie, so the SCCRP goes to whoever the SCCRQ claims to be from. It is no
  larger than the SCCRQ as far as we can help it: Receive Window Size, Firmware Revision and Vendor
  Name are left out where they would make it so. What the RFC makes us say can be larger than the
  smallest request there is (53 octets) only by our host name, our bearer capabilities (10 octets),
  our challenge (22) and the response to a challenge of fewer than 16 octets; a request of a real
  peer is larger than its answer. Refusals are never larger than what they refuse.
- **Strangers cost nothing.** Control messages come up in four classes with a rate each: of known
  sources and of others, with and without a tunnel id (`src/dp/admit.h`). Requests are counted for
  each source, too. A source is known when a tunnel was up with it lately, when we ask it, or when
  it lies in a small `from` of a peer block (IPv4 /24 or longer, IPv6 /48 or longer). Half-open
  tunnels are bounded for each source and over all, and those of such `from` networks are not
  pushed out by others (`src/l2tp/halfopen.c`). `bench/run.py flood` measures it.

Whoever takes aditd over nevertheless is held by two things: the list of system calls in
`src/daemon/filter.c` (`tests/unit/daemon/test_filter.c`, `test_forbidden_call_ends_aditd` of
`tests/net/test_hostile.py`), and the keeper, which gives it only what the configuration says
(`src/keeper/rights.c`; `tests/net/test_keeper.py`).
"""


def read_rows():
    """[(title, [(row, input, reaction, [tests])])]"""
    parts = []
    for line in ROWS.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            parts.append((line.strip("[]"), []))
            continue
        fields = [f.strip() for f in line.split("|")]
        row, what, reaction = fields[:3]
        parts[-1][1].append((row, what, reaction, fields[3].split() if len(fields) > 3 else []))
    return parts


def add(found, rows, test):
    for row in rows:
        if test not in found.setdefault(row, []):
            found[row].append(test)


def tests_found():
    """{row: [test]}; a test is "path" or "path#function"."""
    found = {}
    for path in sorted((ROOT / "tests/rfc").glob("*/*.txt")):
        text = path.read_text(encoding="utf-8")
        name = str(path.relative_to(ROOT))
        add(found, ROW.findall(path.name.split("-")[0]), name)
        add(found, ROW.findall(text.split("\n", 1)[0].split(":")[0]), name)
        for rows in NAMED.findall(text):
            add(found, ROW.findall(rows), name)
    for pattern in ("tests/unit/*/*.c", "tests/sim/*.c", "tests/net/*.py"):
        for path in sorted(ROOT.glob(pattern)):
            function = ""
            for line in path.read_text(encoding="utf-8").splitlines():
                start = re.match(r"def (\w+)", line)
                function = f"#{start.group(1)}" if start else function
                for rows in NAMED.findall(line):
                    add(found, ROW.findall(rows), str(path.relative_to(ROOT)) + function)
    return found


def missing_test(test):
    """What is wrong with a test named in hostile.txt, or None."""
    name, _, function = test.partition("#")
    path = ROOT / "tests" / name
    if not path.exists():
        return f"there is no tests/{name}"
    if function and not re.search(rf"\b{function}\(", path.read_text(encoding="utf-8")):
        return f"there is no {function} in tests/{name}"
    return None


def link(test):
    path, _, function = test.partition("#")
    name = path.removeprefix("tests/").removesuffix(".txt")
    return f"[{name}{' ' + function if function else ''}](../{path})"


def page():
    """The page, and what is wrong."""
    found, problems = tests_found(), []
    known = set()
    out = [HEAD]
    for title, rows in read_rows():
        out += [f"\n## {title}\n", "| Row | Input | Reaction | Shown by |", "| --- | --- | --- | --- |"]
        for row, what, reaction, named in rows:
            known.add(row)
            tests = list(found.get(row, []))
            for test in named:
                wrong = missing_test(test)
                if wrong:
                    problems.append(f"tests/rfc/hostile.txt: {row}: {wrong}")
                elif "tests/" + test not in tests:
                    tests.append("tests/" + test)
            if not tests:
                problems.append(f"tests/rfc/hostile.txt: {row} has no test")
            out.append(f"| {row} | {what} | {reaction} | {'<br>'.join(map(link, tests))} |")
    return "\n".join(out) + "\n", problems, known


def problems_of_page():
    text, problems, _ = page()
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        problems.append("doc/hostile.md is out of date; run tools/hostile.py")
    return problems


def main():
    text, problems, _ = page()
    if "--missing" in sys.argv or "--check" in sys.argv:
        if "--check" in sys.argv:
            problems = problems_of_page()
        print("\n".join(problems) or "every row has a test")
        return 1 if problems else 0
    PAGE.write_text(text, encoding="utf-8")
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
