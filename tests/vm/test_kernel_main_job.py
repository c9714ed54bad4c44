# SPDX-License-Identifier: MIT
"""adit with adit where the kernel carries the data: both planes against each other, through a kill
of aditd, and what happens when somebody else removes tunnels and sessions from the kernel."""

import json
import os
import re
import signal
import time

import pytest

from lab import wait_for
from test_interop import CLIENT, LNS, USERS, Wire, only

KERNEL_USER = [("kernel", "kernel"), ("kernel", "user"), ("user", "kernel")]


@pytest.fixture
def wire(lab):
    return Wire(lab)


def up(wire, lns="kernel", client="kernel", more="", **kw):
    ours = wire.adit_lns(lns, **kw), wire.adit_client(client, more=more)
    wait_for("an answer", lambda: wire.client.ping("198.51.100.2", 1, wait=1), seconds=30)
    return ours


def tunnels(ns):
    return ns.run("ip", "l2tp", "show", "tunnel").stdout


def sessions(ns):
    return ns.run("ip", "l2tp", "show", "session").stdout


@pytest.mark.parametrize("lns,client", KERNEL_USER)
def test_both_families_and_tcp(wire, lns, client):
    at_lns, at_client = up(wire, lns, client)
    wire.carries("198.51.100.2")
    wire.carries("2001:db8:2::2")
    wire.client.tcp(wire.lns, "198.51.100.2", octets=100_000)
    wire.client.tcp(wire.lns, "2001:db8:2::2", octets=100_000, port=5002)
    address = only(at_lns)["peer_ip4"]
    assert wire.lns.ping(address, 3, wait=5) == 3
    for adit, plane in ((at_lns, lns), (at_client, client)):
        session = only(adit)
        assert session["plane"] == plane
        # counters of the kernel's plane are a second old
        wait_for("counters", lambda adit=adit: only(adit)["rx_packets"] > 10 and
                 only(adit)["tx_packets"] > 10)
    for ns, plane in ((wire.lns, lns), (wire.client, client)):
        assert bool(tunnels(ns)) == bool(sessions(ns)) == (plane == "kernel")
    at_client.ctl("disconnect", "office")
    wait_for("the LNS to see the end", lambda: not at_lns.sessions(), seconds=20)
    for ns in (wire.lns, wire.client):
        wait_for("an empty kernel", lambda ns=ns: not sessions(ns) and not tunnels(ns), seconds=20)
        assert not re.search(r"l2tp\d|adit1", ns.run("ip", "-o", "link").stdout)


@pytest.mark.parametrize("who", ["lns", "client"])
def test_kill_of_aditd_loses_no_packet(wire, who):
    at_lns, at_client = up(wire)
    adit = at_lns if who == "lns" else at_client
    ping = wire.client.pinging("198.51.100.2", 60, 0.2)
    before = only(adit)["key"]
    time.sleep(2)
    adit.kill_aditd(signal.SIGKILL)
    wait_for("a new aditd", lambda: adit.sessions(), seconds=30)
    assert ping.lost() == [], ping.text()
    session = only(adit)
    assert (session["key"], session["plane"], session["state"]) == (before, "kernel", "up")
    # it is the same session: LCP echoes and the end of it go on as before
    at_client.ctl("disconnect", "office")
    wait_for("the LNS to see the end", lambda: not at_lns.sessions(), seconds=20)
    wait_for("an empty kernel", lambda: not sessions(wire.lns) and not sessions(wire.client))


def test_auto_takes_the_kernel(wire):
    at_lns, at_client = up(wire, "auto", "auto")
    assert only(at_lns)["plane"] == only(at_client)["plane"] == "kernel"
    assert json.loads(at_lns.ctl("--json", "status").stdout)["data_plane"]["kernel"] is True
    doctor = at_lns.ctl("doctor").stdout
    assert "ok       l2tp-netlink" in doctor


def test_numbers_that_the_client_asks_for(wire):
    """Its ICCN waits until the kernel is there to count the first frame (RFC 2661 5.4)."""
    at_client = up(wire, client="kernel", more="sequencing = yes")[1]
    assert only(at_client)["plane"] == "kernel"
    wire.carries("198.51.100.2")
    wire.carries("2001:db8:2::2")
    wire.client.tcp(wire.lns, "198.51.100.2", octets=100_000)


def test_numbers_of_the_lns(wire):
    """An LNS that begins by itself to number (RFC 2661 5.4): its client has followed it, and used some
    numbers, before the kernel knows of the session."""
    at_lns, at_client = up(wire, peer="sequencing = yes")
    assert only(at_lns)["plane"] == only(at_client)["plane"] == "kernel"
    assert "send" in sessions(wire.client), sessions(wire.client)
    wire.carries("198.51.100.2")
    wire.carries("2001:db8:2::2")
    wire.client.tcp(wire.lns, "198.51.100.2", octets=100_000)


def test_foreign_end_of_a_tunnel(wire):
    at_lns, at_client = up(wire)
    tunnel = re.search(r"Tunnel (\d+)", tunnels(wire.lns)).group(1)
    wire.lns.run("ip", "l2tp", "del", "tunnel", "tunnel_id", tunnel)
    wait_for("the end of the session", lambda: not at_lns.sessions(), seconds=20)
    error = json.loads(at_lns.ctl("--json", "show", "errors").stdout)["errors"][0]
    assert error["cause"] == "data-plane", error
    # the client was told and dials again
    wait_for("the next session", lambda: at_lns.sessions() and
             wire.client.ping("198.51.100.2", 1, wait=1), seconds=40)


def check_redial(wire, at_client):
    """Somebody else ended the client's session in the kernel: it knows why, and dials again."""
    wait_for("the end of the session", lambda: at_client.json("show", "errors")["errors"],
             seconds=30)
    assert at_client.json("show", "errors")["errors"][0]["cause"] == "data-plane"
    wait_for("the next session", lambda: wire.client.ping("198.51.100.2", 1, wait=1), seconds=40)


def test_foreign_end_of_a_session(wire):
    at_lns, at_client = up(wire)
    found = re.search(r"Session (\d+) in tunnel (\d+)", sessions(wire.client))
    wire.client.run("ip", "l2tp", "del", "session", "tunnel_id", found.group(2), "session_id",
                    found.group(1))
    check_redial(wire, at_client)


def test_foreign_end_of_an_interface(wire):
    at_lns, at_client = up(wire)
    wire.client.run("ip", "link", "del", only(at_client)["interface"])
    check_redial(wire, at_client)


def test_kill_of_the_keeper_leaves_nothing(wire):
    at_lns, _ = up(wire)
    os.kill(at_lns.keeper.pid, signal.SIGKILL)
    wait_for("an empty kernel", lambda: not tunnels(wire.lns) and not sessions(wire.lns),
             seconds=20)
    at_lns.start()
    # data tells the client that the LNS has begun anew; its HELLO comes after a minute
    wait_for("the next session", lambda: wire.client.ping("198.51.100.2", 1, wait=1) and
             at_lns.sessions(), seconds=90)
    assert only(at_lns)["plane"] == "kernel"
