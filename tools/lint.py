#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The rules of this repository that a program can check. Prints TAP; run it from anywhere.

Layers: a file includes only what stands below it. The engines use libc and nettle alone, read no
clock, do no I/O and have no static data that changes, so that they run in virtual time and side
by side. Bytes of a packet are read through src/base/wire.h, never through a cast.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
os.chdir(ROOT)

# What each directory of src/ may include besides itself and include/adit.
LAYERS = {
    "base": set(),
    "l2tp": {"base"},
    "ppp": {"base"},
    "ip6": {"base"},
    "access": {"base", "l2tp", "ppp", "ip6"},
    "dp": {"base", "l2tp", "ppp", "ip6", "access"},
    "daemon": {"base", "l2tp", "ppp", "ip6", "access", "dp", "keeper"},
    "keeper": {"base", "l2tp", "ppp", "ip6", "access", "dp", "daemon"},
    "ctl": {"base", "daemon"},
    "load": {"base", "l2tp", "ppp", "ip6"},
}
ENGINES = ("base", "l2tp", "ppp", "ip6", "access")
# Headers that hold plain values for a lower layer to speak about.
SHARED = {"dp/dp.h", "ctl/varlink.h"}

ENGINE_HEADERS = {
    "assert.h", "ctype.h", "errno.h", "inttypes.h", "limits.h", "stdarg.h", "stdatomic.h",
    "stdbool.h", "stddef.h", "stdint.h", "stdio.h", "stdlib.h", "string.h", "strings.h",
    "arpa/inet.h", "netinet/in.h", "sys/socket.h", "sanitizer/asan_interface.h",
}
CALLS = re.compile(
    r"\b(clock_gettime|clock|gettimeofday|time|localtime\w*|gmtime\w*|nanosleep|sleep|usleep|"
    r"socket|bind|connect|send|sendto|sendmsg|recv|recvfrom|recvmsg|open|openat|fopen|read|write|"
    r"ioctl|poll|select|epoll_\w+|getrandom|rand|random|srand|getenv|system|popen|fork|"
    r"pthread_\w+|printf|fprintf|puts|perror|syslog|exit|abort|getaddrinfo|gethostby\w+)\s*\(")
BYTES = r"(?:bytes|buf|data|raw|packet|pkt|frame|payload|msg|octets|p|in)"
CAST = re.compile(r"\(\s*(?:const\s+)?(?:struct\s+\w+|u?int(?:16|32|64)_t)\s*\*\s*\)\s*\(?\s*"
                  r"(?:\(\s*(?:const\s+)?void\s*\*\s*\)\s*)?" + BYTES + r"\b(?!->|\()")
LONGEST = 1100
WORDS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")

count = 0
failed = 0


def report(name, problems):
    global count, failed
    count += 1
    print(f"{'not ok' if problems else 'ok'} {count} - {name}", flush=True)
    for p in problems[:40]:
        print(f"# {p}")
    if len(problems) > 40:
        print(f"# ... and {len(problems) - 40} more")
    failed += bool(problems)


def all_files():
    """What git keeps; in an unpacked archive, what is there besides build/."""
    if (ROOT / ".git").exists() and shutil.which("git"):
        out = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True).stdout
        names = [pathlib.Path(x) for x in out.decode().split("\0") if x]
    else:
        names = [p.relative_to(ROOT) for p in ROOT.rglob("*")]
    return sorted(p for p in names if p.is_file() and p.parts[0] not in ("build", ".git"))


FILES = all_files()


def listing(*patterns):
    """Files that match a pattern or are below a directory of this name."""
    return [p for p in FILES
            if any(p.match(x) or pathlib.Path(x) in p.parents for x in patterns)]


def text_of(path):
    return path.read_text(encoding="utf-8")


def code_of(path):
    """The text with comments and strings blanked, line numbers kept."""
    def blank(m):
        return re.sub(r"[^\n]", " ", m.group(0))
    return re.sub(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"", blank, text_of(path), flags=re.DOTALL)


def numbered(path, pattern, text):
    for m in pattern.finditer(text):
        yield f"{path}:{text.count(chr(10), 0, m.start()) + 1}: {m.group(0).strip()}"


C_FILES = listing("*.c", "*.h")
SOURCES = [f for f in C_FILES if f.parts[0] == "src"]
ENGINE_FILES = [f for f in SOURCES if f.parts[1] in ENGINES] + [
    f for f in C_FILES if f.parts[0] == "include"]


def check_format():
    tool = shutil.which("clang-format-14") or shutil.which("clang-format")
    if not tool:
        return ["there is no clang-format; tools/setup.sh lint installs it"]
    problems = []
    for f in C_FILES:
        done = subprocess.run([tool, "--dry-run", "-Werror", str(f)], capture_output=True, text=True)
        if done.returncode:
            problems.append(done.stderr.splitlines()[0] if done.stderr else f"{f}: not formatted")
    return problems


def check_layers():
    problems = []
    for f in SOURCES:
        here = f.parts[1]
        for m in re.finditer(r'^#\s*include\s+"([^"]+)"', text_of(f), re.MULTILINE):
            name = m.group(1)
            if "/" not in name or (f.parent / name).exists():
                continue
            there = name.split("/")[0]
            if there == here or name in SHARED:
                continue
            if there not in LAYERS.get(here, set()):
                problems.append(f"{f} includes {name}; {here} may not know {there}")
    return problems


def check_engine_headers():
    problems = []
    for f in ENGINE_FILES:
        for m in re.finditer(r"^#\s*include\s+<([^>]+)>", text_of(f), re.MULTILINE):
            name = m.group(1)
            if name not in ENGINE_HEADERS and not name.startswith(("adit/", "nettle/")):
                problems.append(f"{f} includes <{name}>")
    return problems


def check_engine_calls():
    return [p for f in ENGINE_FILES for p in numbered(f, CALLS, code_of(f))]


def check_casts():
    return [p for f in SOURCES if f.parts[1] in ENGINES for p in numbered(f, CAST, code_of(f))]


def check_static_data():
    """No symbol of the engines' library is in a section that can be written."""
    for build in ("build/test-gcc", "build/release", "build/test-clang"):
        library = pathlib.Path(build, "libadit-engines.a")
        if library.exists():
            break
    else:
        library = None
    problems = []
    if library is None:  # not built here: compile the sources for the look alone
        objects = pathlib.Path("build/lint")
        objects.mkdir(parents=True, exist_ok=True)
        names = []
        for f in ENGINE_FILES:
            if f.suffix == ".c":
                o = objects / (str(f).replace("/", "_") + ".o")
                done = subprocess.run(["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-Iinclude", "-Isrc", "-c",
                                       str(f), "-o", str(o)], capture_output=True, text=True)
                if done.returncode:
                    return [f"{f} does not compile", *done.stderr.splitlines()[:5]]
                names.append(str(o))
    else:
        names = [str(library)]
    out = subprocess.run(["nm", "-A", *names], check=True, capture_output=True, text=True).stdout
    for line in out.splitlines():
        m = re.search(r" ([dDbBCsS]) (\S+)$", line)
        # Constant tables of pointers land in .data.rel.ro, which nm also calls "d".
        if m and not (m.group(1) in "dD" and read_only(line, m.group(2))):
            problems.append(line)
    return problems


def read_only(line, symbol):
    """True when the symbol of this line of `nm -A` stands in .data.rel.ro."""
    where = line.split(":")
    archive, member = (where[0], where[1]) if where[0].endswith(".a") else (where[0], None)
    out = subprocess.run(["objdump", "-t", archive], check=True, capture_output=True, text=True).stdout
    inside = member is None
    for entry in out.splitlines():
        if member and entry.startswith(member + ":"):
            inside = True
        elif member and re.match(r"\S+\.o:", entry):
            inside = False
        if inside and entry.endswith(" " + symbol) and ".data.rel.ro" in entry:
            return True
    return False


def check_public_headers():
    problems = []
    for f in listing("include/adit/*.h"):
        for tool, language, standard in (("gcc", "c", "gnu17"), ("g++", "c++", "c++17"),
                                         ("clang", "c", "gnu17")):
            if not shutil.which(tool):
                if tool != "clang":
                    problems.append(f"there is no {tool}; tools/setup.sh lint installs it")
                continue
            done = subprocess.run([tool, f"-std={standard}", "-Wall", "-Wextra", "-Werror", "-Iinclude",
                                   "-fsyntax-only", "-x", language, "-"], input=f"#include <{f.relative_to('include')}>\n",
                                  capture_output=True, text=True)
            if done.returncode:
                problems += [f"{f} does not compile alone as {language} with {tool}:",
                             *done.stderr.splitlines()[:6]]
    return problems


def check_lengths():
    return [f"{f}: {n} lines, {LONGEST} at most" for f in SOURCES
            if (n := text_of(f).count("\n")) > LONGEST]


def check_words():
    files = [f for f in listing("src", "include", "tests", "bench", "tools", "doc", "*.md", "Makefile")
             if f.suffix in (".c", ".h", ".py", ".sh", ".md", ".build", ".scd", "") and f.name != "lint.py"
             and "corpus" not in f.parts]
    return [p for f in files for p in numbered(f, WORDS, text_of(f))]


def check_spaces():
    problems = []
    for f in listing("src", "include", "tests", "bench", "tools", "doc", "*.md", "Makefile", ".ci"):
        if f.suffix not in (".c", ".h", ".py", ".sh", ".md", ".build", ".scd", ".ini", "") or "corpus" in f.parts:
            continue
        text = text_of(f)
        if text and not text.endswith("\n"):
            problems.append(f"{f}: no newline at the end")
        problems += [f"{f}:{i}: space at the end of the line"
                     for i, line in enumerate(text.split("\n"), 1) if line != line.rstrip()]
    return problems


def check_heads():
    """Each C file says under which licence it stands and what it does."""
    problems = []
    for f in C_FILES:
        head = text_of(f)[:2000]
        if not head.startswith("/* SPDX-License-Identifier: MIT\n"):
            problems.append(f"{f}: does not begin with its licence")
        elif len(head.split("*/")[0]) < 45:
            problems.append(f"{f}: does not say what it is for")
    return problems


def check_conformance():
    sys.path.insert(0, str(ROOT / "tools"))
    sys.dont_write_bytecode = True
    import conformance
    return conformance.problems_of_page()


def check_hostile():
    import hostile
    return hostile.problems_of_page()


report("C files are formatted as .clang-format says", check_format())
report("includes go downwards only", check_layers())
report("engines include libc and nettle alone", check_engine_headers())
report("engines read no clock and do no I/O", check_engine_calls())
report("packet bytes are not cast to structures", check_casts())
report("engines have no static data that changes", check_static_data())
report("public headers compile alone, as C and as C++", check_public_headers())
report(f"no source file has more than {LONGEST} lines", check_lengths())
report("nothing is left to be done", check_words())
report("no space at line ends", check_spaces())
report("each C file names its licence and its purpose", check_heads())
report("each row of conformance has a test or a reason", check_conformance())
report("each row of hostile input has a test", check_hostile())
print(f"1..{count}")
sys.exit(1 if failed else 0)
