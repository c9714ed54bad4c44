# SPDX-License-Identifier: MIT
"""One of the two has lost all its state, keeper, aditd and files: the other one finds out at once,
not when nobody answers its HELLOs any more, and the session is there again."""

import os
import shutil
import signal

from lab import wait_for
from test_main_job import World, only_session

# What else would notice it is far away: HELLO comes after a minute, an echo after ten.
ECHO = 'echo-interval = "600 s"'
LOST = "the peer does not know the tunnel any more"


def erase(adit):
    """As after a crash of the machine: nothing is told, nothing is left."""
    aditd = adit.aditd_pid()
    adit.keeper.child.send_signal(signal.SIGSTOP)  # or it would start another aditd
    os.kill(aditd, signal.SIGKILL)
    adit.keeper.child.kill()
    adit.keeper.child.wait(120)
    wait_for("the end of aditd", lambda: not _alive(aditd))
    for path in adit.dir.iterdir():
        if path.name not in ("adit.conf", "users"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_server_that_has_forgotten(lab):
    """Data of the client shows it: the server says that it knows no such tunnel, the client asks, gets
    no answer, and dials again."""
    world = World(lab)
    lns = world.start_lns(profile=ECHO)
    client = world.start_client(more=ECHO + ' redial-first = "1 s"')
    before = only_session(client)
    erase(lns)
    lns.start()
    assert not lns.sessions()
    wait_for("traffic", lambda: world.client.ping("198.51.100.2", 1, wait=1), seconds=40)
    assert LOST in client.text(), "something else has ended it"
    after = only_session(client)
    assert after["since"] != before["since"]
    assert only_session(lns)["user"] == "alice"


def test_client_that_has_forgotten(lab):
    """It dials again, under another id: the server asks for the former tunnel, which nobody answers."""
    world = World(lab)
    lns = world.start_lns(profile=ECHO)
    client = world.start_client(more=ECHO)
    before = only_session(lns)
    # a host that was heard just now is not doubted
    wait_for("three seconds of silence", lambda: world.client.run("sleep", "3.5"))
    erase(client)
    client.start()
    client.ctl("connect", "office")
    wait_for("the end of the former session",
             lambda: before["key"] not in [s["key"] for s in lns.sessions()], seconds=40)
    assert LOST in lns.text(), "something else has ended it"
    assert only_session(lns)["key"] != before["key"]
    wait_for("traffic", lambda: world.client.ping("198.51.100.2", 1, wait=1))
    stops = [r for r in lns.accounting_lines() if r["event"] == "stop"]
    assert [r["cause"] for r in stops] == ["tunnel-lost"], stops
