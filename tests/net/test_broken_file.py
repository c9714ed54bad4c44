# SPDX-License-Identifier: MIT
"""The configuration file is not right when aditd has to start again: what was in force goes on."""

import signal

import pytest

from lab import BUILD, wait_for
from test_main_job import World, only_session


@pytest.fixture
def world(lab):
    return World(lab)


def restarted(adit, old):
    wait_for("a new aditd", lambda: adit.aditd_pid() not in (None, old))
    wait_for("it to answer", lambda: adit.ctl("status", check=False).returncode == 0)


def test_former_configuration_goes_on(world):
    server, client = world.start_lns(), world.start_client()
    world.wait_ip6()
    before = only_session(server)
    pings = world.client.pinging("198.51.100.2", 10000, 0.05)
    text, users = server.conf.read_text(), server.dir / "users"

    def goes_on(word):
        assert only_session(server)["since"] == before["since"]
        answered = len(pings.answered())
        wait_for("more answers", lambda: len(pings.answered()) > answered + 10)
        wait_for("why", lambda: server.text().count("the configuration that was in force stays so") == word)
        done = server.ctl("reload", check=False)
        assert done.returncode == 1 and f"{server.dir}" in done.stderr, done

    server.conf.write_text(text.replace("profile \"home\" {", "profile \"home\" { nonsense = 1"))
    for n in (1, 2):  # the second time, too
        server.kill_aditd()
        goes_on(n)
    assert "nonsense" in server.text()
    server.conf.unlink()
    old = server.aditd_pid()
    server.keeper.child.send_signal(signal.SIGUSR1)  # a restart on purpose
    restarted(server, old)
    goes_on(3)
    server.conf.write_text(text)
    kept = users.read_text()
    users.write_text("alice * \"open\n")
    server.kill_aditd()
    goes_on(4)
    # a login is still let in, by the users of then
    client.ctl("terminate", "office", check=False)
    client.ctl("disconnect", "office")
    client.ctl("connect", "office")
    wait_for("the session", lambda: world.client.ping("198.51.100.2", 1, wait=1))
    users.write_text(kept + "carol * secret *\n")
    server.ctl("reload")
    # what was read again is what is in force now, also for another keeper that takes over
    done = world.lns.run(BUILD / "src/keeper/adit-keeper", "-c", server.conf, "--upgrade", check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    server.conf.write_text("nonsense")
    server.kill_aditd()
    wait_for("why", lambda: server.text().count("stays so") == 5)
    assert world.client.ping("198.51.100.2") == 3
    # a keeper that starts has nothing else than the file
    server.keeper.stop()
    server.keeper = None
    server.start(wait=False)
    wait_for("its end", lambda: not server.keeper.alive())
    assert f"{server.conf}:1: " in server.keeper.text()
