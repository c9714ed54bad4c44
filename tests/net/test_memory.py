# SPDX-License-Identifier: MIT
"""aditd under a limit of memory: what it cannot take it refuses, what is up stays, the control socket
answers, and when there is memory again newcomers are welcome."""

import json
import re
import resource

import pytest

from lab import BUILD, ROOT, wait_for

CONF = """
pool "subscribers" { addresses = {"10.64.0.0/16"} }
profile "home" { users = "@DIR@/users" pool = "subscribers" local-address = "10.64.0.1" }
peer "anybody" { profile = "home" }
"""


def programs():
    """A build without sanitizers: these reserve more than any limit leaves."""
    for build in (BUILD, ROOT / "build/test-gcc"):
        aditd = build / "src/daemon/aditd"
        if aditd.exists() and b"__asan_init" not in aditd.read_bytes():
            return build
    pytest.skip("there is no build without sanitizers; tools/test.sh makes build/test-gcc")


def data_of(pid):
    """Octets that RLIMIT_DATA counts."""
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"VmData:\s+(\d+) kB", f.read())[1]) * 1024


def test_limit(lab):
    build = programs()
    client, lns = lab.ns("client"), lab.ns("lns")
    lab.cable(client, lns, ["192.0.2.2/24"], ["192.0.2.1/24"], "c0", "l0")
    adit = lab.adit(lns, CONF, users="* * password *\n")
    adit.conf.write_text(adit.conf.read_text().replace('"debug"', '"info"'))
    adit.keeper = lns.start(build / "src/keeper/adit-keeper", "-c", adit.conf, "--run",
                            build / "src/daemon/aditd", name="adit")
    wait_for("aditd to answer", lambda: adit.ctl("status", check=False).returncode == 0)

    def load(*more, name):
        return client.start(BUILD / "src/load/adit-load", "--server", "192.0.2.1", *more, name=name)

    first = load("--sessions", 100, "--hold", 1000, "--pings", 1, name="first")
    wait_for("the sessions", lambda: '"up":100' in first.text(), seconds=60)
    pid = adit.aditd_pid()
    free = resource.prlimit(pid, resource.RLIMIT_DATA)
    most = data_of(pid) + 400_000
    resource.prlimit(pid, resource.RLIMIT_DATA, (most, free[1]))

    beyond = load("--sessions", 3000, "--limit", 20, name="beyond")
    wait_for("memory to be scarce", lambda: "out of memory: whoever asks" in adit.text(), seconds=120)
    assert beyond.child.wait(300) == 1, beyond.text()
    assert re.search(r'"failed":[1-9]', beyond.text()) and "(CDN)" in beyond.text(), beyond.text()
    wait_for("an answer, and the others to have left", lambda: (lambda s: s.returncode == 0 and json.loads(
        s.stdout).get("sessions") == 100)(adit.ctl("status", "--json", check=False)), seconds=120)
    assert adit.aditd_pid() == pid

    resource.prlimit(pid, resource.RLIMIT_DATA, free)
    wait_for("newcomers to be welcome", lambda: adit.json("status")["memory_scarce"] is False, seconds=60)
    assert "there is memory again" in adit.text()
    packets = sum(s["rx_packets"] for s in adit.sessions())
    again = load("--sessions", 20, "--limit", 60, name="again")
    assert again.child.wait(240) == 0, again.text()
    wait_for("data of the first to go on",
             lambda: sum(s["rx_packets"] for s in adit.sessions()) > packets + 100, seconds=120)
    first.stop(seconds=60)
    assert "were lost" not in first.text(), first.text()
    assert adit.aditd_pid() == pid
