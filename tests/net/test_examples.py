# SPDX-License-Identifier: MIT
"""The configurations of doc/examples, and those of the README, are ones that aditd takes."""

import re
import subprocess

import pytest

from lab import BUILD, ROOT

EXAMPLES = sorted((ROOT / "doc/examples").glob("*.conf"))
README = (ROOT / "README.md").read_text()
BLOCKS = [b for b in re.findall(r"^```\n(.*?)^```", README, re.M | re.S)
          if re.match(r"(pool|session|pseudowire) ", b)]
USERS = 'alice * "open sesame" *\n'


def check(tmp_path, text):
    (tmp_path / "users").write_text(USERS)
    conf = tmp_path / "adit.conf"
    conf.write_text(text.replace("/etc/adit/users", str(tmp_path / "users")))
    return subprocess.run([BUILD / "src/daemon/aditd", "-n", "-c", conf], capture_output=True,
                          text=True, timeout=20)


@pytest.mark.parametrize("text", [e.read_text() for e in EXAMPLES] + BLOCKS,
                         ids=[e.stem for e in EXAMPLES] + [b.split()[0] for b in BLOCKS])
def test_it_loads(tmp_path, text):
    done = check(tmp_path, text)
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_some():
    assert {"bridge", "cisco", "ip-l2tp"} < {e.stem for e in EXAMPLES} and len(BLOCKS) == 4


def test_a_mistake_would_be_seen(tmp_path):
    assert check(tmp_path, EXAMPLES[0].read_text().replace("remote", "rmote")).returncode != 0
