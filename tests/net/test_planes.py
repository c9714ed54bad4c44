# SPDX-License-Identifier: MIT
"""Which data plane carries a session, and what is said about it. On a kernel without L2TP `auto`
falls back and says why; the kernel's plane itself is tested in tests/vm."""

import pytest

from lab import wait_for
from test_main_job import World, client_conf, lns_conf, only_session, USERS


@pytest.fixture
def world(lab):
    return World(lab)


def start(world, plane, client_plane=None, connect=True):
    lns = world.lab.adit(world.lns, f"data-plane = {plane}\n" + lns_conf(), users=USERS).start()
    client = world.lab.adit(world.client, f"data-plane = {client_plane or plane}\n" +
                            client_conf()).start()
    if connect:
        client.ctl("connect", "office")
    return lns, client


def test_auto_says_where_and_why(world):
    lns, client = start(world, "auto")
    plane = lns.json("status")["data_plane"]
    where = "kernel" if plane["kernel"] else "user"
    for adit in (lns, client):
        session = only_session(adit)
        tunnel, = adit.json("show", "tunnels")["tunnels"]
        assert session["plane"] == tunnel["plane"] == where
        # null where there is nothing to explain
        assert session["plane_why"] == tunnel["plane_why"] == plane["kernel_missing"]
        assert where in adit.ctl("show", "sessions").stdout
    said = [line for line in lns.text().splitlines() if "the kernel cannot carry" in line]
    assert len(said) == (where == "user"), said
    assert world.client.ping("198.51.100.2") == 3
    # what was tried out, and what mends it
    doctor = lns.ctl("doctor").stdout.splitlines()
    assert len(doctor) > 5 and all(line.startswith(("ok  ", "missing  ")) for line in doctor)
    findings = lns.json("doctor")["findings"]
    assert len(findings) == len(doctor)
    if where == "user":
        missing = [f for f in findings if not f["ok"]]
        assert missing and plane["kernel_missing"] in [f["text"] for f in missing]
    assert f"kernel      {'carries' if where == 'kernel' else 'does not carry'} sessions" \
        in lns.ctl("status").stdout
    # after a kill the new aditd says the same
    lns.kill_aditd()
    assert only_session(lns)["plane"] == where
    assert world.client.ping("198.51.100.2") == 3


def test_user_is_user_anywhere(world):
    lns, _ = start(world, "user")
    session = only_session(lns)
    assert (session["plane"], session["plane_why"]) == \
        ("user", "the configuration says data-plane = user")
    assert "l2tp" not in world.lns.run("ip", "-o", "link").stdout


def test_kernel_or_nothing(world):
    lns, client = start(world, "kernel", "user", connect=False)
    if lns.json("status")["data_plane"]["kernel"]:
        client.ctl("connect", "office")
        assert only_session(lns)["plane"] == "kernel"
        return
    why = lns.json("status")["data_plane"]["kernel_missing"]
    assert f"data-plane = kernel cannot be carried out, such sessions will fail: {why}" \
        in lns.text()
    wait_for("the failure", lambda: lns.json("show", "errors")["errors"])
    error = lns.json("show", "errors")["errors"][0]
    assert error["cause"] == "data-plane"
    assert error["text"][:100] == why[:100]
    # no shared device for sessions that may not be carried in user space
    assert "adit0" not in world.lns.run("ip", "-o", "link").stdout
