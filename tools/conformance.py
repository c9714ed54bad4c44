#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Keeps doc/conformance.md true: which test shows which row of the conformance table.

    tools/conformance.py              write doc/conformance.md
    tools/conformance.py --check      fail when it is out of date, or a row has no test
    tools/conformance.py --missing    list the rows that have neither a test nor a reason

The rows stand in tests/rfc/rows.txt. A test names the rows that it shows in one of these ways:

    tests/rfc/*/ROW-what-it-shows.txt    a transcript whose file name begins with the row
    # ROW, ROW: ...                      a transcript whose first line begins with rows
    # Rows: ROW, ROW                     anywhere in a transcript or a Python test
     * Rows: ROW, ROW                    in a comment of a C test

A row of L2TPv3 has to have a transcript, which is played over UDP and over IP unless it says `only udp: why` or
`only ip: why` itself; argued.txt says why where none can show it (`elsewhere`), and the page counts.

Rows without a test have a reason in tests/rfc/argued.txt, or stand there as open: what is missing is
said, and the page says so too. A row that the tests show but for something is there as partly. A name that looks like a row after
`Rows:` and is none fails the check, and so does a reason for a row that has a test.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
RFC = ROOT / "tests/rfc"
PAGE = ROOT / "doc/conformance.md"
MOST_ARGUED = 12
TRANSCRIBED = ("V3-", "EP-", "CS-", "VP-")
ONLY = re.compile(r"^only (udp|ip): \S", re.MULTILINE)
IN_WORDS = {"partly": "in part", "elsewhere": "no transcript"}
WORDS = {"argued": "argued", "out": "left out", "open": "**open**"}
SOURCES = ("tests/unit/**/*.c", "tests/sim/*.c", "tests/fuzz/*.c", "tests/net/*.py", "tests/vm/*.py")
ROWS = re.compile(r"^[ \t]*(?:#|\*|/\*|//)[ \t]*Rows:[ \t]*(.+?)(?:[ \t]*\*/)?[ \t]*$", re.MULTILINE)

HEAD = """# Conformance

Which test shows which row. The rows are requirements of the RFCs in our own words
(`tests/rfc/rows.txt`); their ids name the RFC and the section. A transcript is a scenario on the
wire in virtual time (`tests/rfc/l2tp/README`, `tests/rfc/ppp/README`).

This page is written by `tools/conformance.py`; do not edit it.
"""


def read_rows():
    """Parts in order: [(number, title, [(section title, [(row, sentence)])])]."""
    parts = []
    for line in (RFC / "rows.txt").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        head = re.fullmatch(r"\[([\d.]+)\] (.+)", line)
        if head and "." not in head.group(1):
            parts.append((head.group(1), head.group(2), []))
        elif head:
            parts[-1][2].append((f"{head.group(1)} {head.group(2)}", []))
        else:
            row, sentence = line.split("  ", 1)
            parts[-1][2][-1][1].append((row, sentence.strip()))
    return parts


def read_reasons():
    """{row: (kind, reason)} of argued.txt."""
    reasons = {}
    row = None
    for line in (RFC / "argued.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith(" ") and row:
            reasons[row] = (reasons[row][0], f"{reasons[row][1]} {line.strip()}")
        elif line and not line.startswith("#"):
            kind, row, reason = re.fullmatch(r"(argued|partly|elsewhere|out|open) ([^:]+): (.+)", line).groups()
            reasons[row] = (kind, reason)
    return reasons


def rows_of_name(name, known):
    """The row that a file's name begins with."""
    words = name.split("-")
    for n in range(len(words), 0, -1):
        if "-".join(words[:n]) in known:
            return ["-".join(words[:n])]
    return []


def rows_listed(text, where, known, problems):
    """The rows of each `Rows:` line."""
    rows = []
    for m in ROWS.finditer(text):
        for row in re.split(r"[,\s]+", m.group(1).strip().rstrip(".")):
            if row in known:
                rows.append(row)
            elif row:
                problems.append(f"{where}: {row} is no row of tests/rfc/rows.txt")
    return rows


def rows_of_first_line(text, known):
    """The rows before the first colon of a transcript, when it begins with one."""
    rows = []
    for word in re.split(r"[,\s]+", text.split("\n", 1)[0].lstrip("# ").split(": ", 1)[0]):
        if word.rstrip(":") in known:
            rows.append(word.rstrip(":"))
        elif not rows:
            break
    return rows


def read_tests(known, problems):
    """{row: {path of a test}}."""
    tests = {}
    for f in sorted(RFC.glob("*/*.txt")):
        text = f.read_text(encoding="utf-8")
        found = rows_of_name(f.stem, known) + rows_of_first_line(text, known)
        for row in found + rows_listed(text, f.relative_to(ROOT), known, problems):
            tests.setdefault(row, set()).add(str(f.relative_to(ROOT)))
    for pattern in SOURCES:
        for f in sorted(ROOT.glob(pattern)):
            for row in rows_listed(f.read_text(encoding="utf-8"), f.relative_to(ROOT), known, problems):
                tests.setdefault(row, set()).add(str(f.relative_to(ROOT)))
    return tests


def encapsulations(paths):
    """{"udp", "ip"} as far as transcripts among these tests are played over them."""
    over = set()
    for p in paths:
        if p.startswith("tests/rfc/l2tp/"):
            over.add("udp")
        elif p.startswith("tests/rfc/l2tp3/"):
            only = ONLY.search((ROOT / p).read_text(encoding="utf-8"))
            over |= {only.group(1)} if only else {"udp", "ip"}
    return over


def count_transcripts(rows, tests, reasons, problems):
    """A sentence about the rows of L2TPv3 among these."""
    over = {r: encapsulations(tests.get(r, ())) for r in rows if r.startswith(TRANSCRIBED)}
    if not over:
        return ""
    kind = {r: reasons.get(r, ("",))[0] for r in over}
    problems += [f"{r}: no transcript shows it and no reason is given" for r in over
                 if not over[r] and not kind[r]]
    problems += [f"{r}: elsewhere although a transcript shows it" for r in over
                 if over[r] and kind[r] == "elsewhere"]
    problems += [f"{r}: elsewhere, and no test shows it" for r in over
                 if r not in tests and kind[r] == "elsewhere"]
    one = [r for r in over if len(over[r]) == 1]
    return (f" Of {len(over)} rows of L2TPv3 transcripts show {len([r for r in over if len(over[r]) == 2])} over "
            f"UDP and over IP and {len(one)} over the one that they are about ({', '.join(one) or 'none'}); "
            f"{len([r for r in over if not over[r] and r in tests])} are shown elsewhere.")


def count_part(number, sections, tests, reasons, problems):
    """One line about the part; what is wrong with it goes into `problems`."""
    rows = [row for _, rows in sections for row, _ in rows]
    argued = [r for r in rows if reasons.get(r, ("",))[0] == "argued"]
    partly = [r for r in rows if reasons.get(r, ("",))[0] == "partly"]
    out = [r for r in rows if reasons.get(r, ("",))[0] == "out"]
    shown = [r for r in rows if r in tests]
    problems += [f"{r}: no test shows it and no reason is given" for r in rows
                 if r not in tests and r not in reasons]
    open_rows = [r for r in rows if reasons.get(r, ("",))[0] == "open"]
    problems += [f"{r}: argued although a test shows it" for r in argued if r in tests]
    problems += [f"{r}: open although a test shows it" for r in open_rows if r in tests]
    problems += [f"{r}: partly, and no test shows it" for r in partly if r not in tests]
    if len(argued) + len(partly) > MOST_ARGUED:
        problems.append(f"part {number}: {len(argued) + len(partly)} rows are argued, {MOST_ARGUED} at most")
    still = f" {len(open_rows)} are open." if open_rows else ""
    but = f" ({len(partly)} but for a part that is argued)" if partly else ""
    v3 = count_transcripts(rows, tests, reasons, problems)
    return (f"{len(rows)} rows: {len(shown)} shown by tests{but}, {len(argued)} argued, "
            f"{len([r for r in out if r not in tests])} of no concern here.{still}{v3}")


def links(paths):
    """The tests of a row as links from doc/."""
    names = {p: p.removeprefix("tests/").removesuffix(".txt") for p in paths}
    return "<br>".join(f"[{names[p]}](../{p})" for p in sorted(paths))


def page(parts, tests, reasons, problems):
    out = [HEAD]
    for number, title, sections in parts:
        out.append(f"\n# {number}. {title}\n")
        out.append(count_part(number, sections, tests, reasons, problems))
        for name, rows in sections:
            out += [f"\n## {name}\n", "| Row | Requirement | Shown by |", "| --- | --- | --- |"]
            for row, sentence in rows:
                where = links(tests[row]) if row in tests else "nothing"
                kind, reason = reasons.get(row, ("", ""))
                if kind in ("partly", "elsewhere") and row in tests:
                    where += f"<br>{IN_WORDS[kind]}: {reason}"
                elif kind and row not in tests:
                    where = f"{WORDS[kind]}: {reason}"
                out.append(f"| {row} | {sentence} | {where} |")
    return "\n".join(out) + "\n"


def build():
    """(text of the page, what is wrong)."""
    problems = []
    parts = read_rows()
    known = {row for _, _, sections in parts for _, rows in sections for row, _ in rows}
    reasons = read_reasons()
    problems += [f"argued.txt: {row} is no row of tests/rfc/rows.txt" for row in reasons if row not in known]
    return page(parts, read_tests(known, problems), reasons, problems), problems


def problems_of_page():
    """For lint.py: what is wrong, the page being out of date included."""
    text, problems = build()
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        problems.append("doc/conformance.md is out of date: run tools/conformance.py")
    return problems


def main():
    if sys.argv[1:] == ["--check"]:
        found = problems_of_page()
    elif sys.argv[1:] == ["--missing"]:
        found = build()[1]
    elif not sys.argv[1:]:
        text, found = build()
        PAGE.write_text(text, encoding="utf-8")
        found = []
    else:
        sys.exit(__doc__)
    for problem in found:
        print(problem)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
