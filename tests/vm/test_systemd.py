# SPDX-License-Identifier: MIT
"""The suite as two units of systemd, which is process 1 here (tests/vm/guest.py --systemd): installed,
started, restarted, upgraded and hung under a ping, stopped."""

import json
import os
import re
import signal
import subprocess

import pytest

from lab import BUILD, PATIENCE, wait_for

pytestmark = pytest.mark.skipif(not os.path.isdir("/run/systemd/system"),
                                reason="needs systemd as process 1: tests/vm/guest.py --systemd")

CONF = """
user = "adit"
data-plane = {plane}
accounting = "/var/lib/adit/accounting.jsonl"
pool "subscribers" {{ addresses = {{"10.64.0.0/16"}} prefixes = {{"2001:db8:64::/48"}} }}
profile "home" {{ users = "/etc/adit/users" pool = "subscribers" local-address = "10.64.0.1" }}
peer "anybody" {{ profile = "home" secret = "tunnel secret" }}
"""
CLIENT = """
data-plane = user
session "office" {
    server = "192.0.2.1"
    secret = "tunnel secret"
    user = "alice"
    password = "open sesame"
    redial-first = "1 s"
}
"""
UNITS = ("adit-keeper", "adit")


def run(*argv, check=True, timeout=60):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True,
                          timeout=timeout * PATIENCE)
    if check and done.returncode:
        raise AssertionError(f"{argv}: {done.stdout}{done.stderr}{journal()}")
    return done


def journal():
    return run("journalctl", "--no-pager", "-o", "short-monotonic", "-n", "80", "-u", "adit", "-u",
               "adit-keeper", check=False).stdout


def prop(unit, name):
    return run("systemctl", "show", "-P", name, f"{unit}.service").stdout.strip()


def active(unit):
    return prop(unit, "ActiveState") == "active"


@pytest.fixture(scope="module")
def installed():
    """Into this guest's own layer of the file system."""
    run("meson", "install", "-C", BUILD, "--no-rebuild", timeout=120)
    run("systemd-sysusers")
    run("systemd-tmpfiles", "--create", "/usr/local/lib/tmpfiles.d/adit.conf")
    os.makedirs("/etc/adit", exist_ok=True)
    with open("/etc/adit/users", "w", encoding="utf-8") as f:
        f.write('alice * "open sesame" *\n')
    run("chgrp", "adit", "/etc/adit/users")
    os.chmod("/etc/adit/users", 0o640)
    # hanging is to be noticed soon, but a translated machine has to keep up
    os.makedirs("/run/systemd/system/adit.service.d", exist_ok=True)
    with open("/run/systemd/system/adit.service.d/test.conf", "w", encoding="utf-8") as f:
        f.write(f"[Service]\nWatchdogSec={2 * PATIENCE:g}\n")
    run("systemctl", "daemon-reload")


class Site:
    """The units on this machine, a client in a namespace."""

    def __init__(self, lab, plane):
        self.lab = lab
        with open("/etc/adit/adit.conf", "w", encoding="utf-8") as f:
            f.write(CONF.format(plane=plane))
        run("chgrp", "adit", "/etc/adit/adit.conf")
        os.chmod("/etc/adit/adit.conf", 0o640)
        self.client_ns = lab.ns("client")
        run("ip", "link", "add", "l0", "type", "veth", "peer", "name", "c0", "netns", self.client_ns.name)
        run("ip", "addr", "add", "192.0.2.1/24", "dev", "l0")
        run("ip", "link", "set", "l0", "up")
        self.client_ns.run("ip", "addr", "add", "192.0.2.2/24", "dev", "c0")
        self.client_ns.run("ip", "link", "set", "c0", "up")
        self.client = lab.adit(self.client_ns, CLIENT, name="client")

    def connect(self):
        run("systemctl", "start", "adit")
        self.client.start()
        self.client.ctl("connect", "office")
        wait_for("traffic", lambda: self.client_ns.ping("10.64.0.1", 1, wait=1))

    def sessions(self):
        return json.loads(run("adit", "show", "sessions", "--json").stdout)["sessions"]

    def ping(self):
        return self.client_ns.pinging("10.64.0.1", 10000, 0.1)

    def end_ping(self, ping):
        """Packets that were lost."""
        sofar = len(ping.answered())
        wait_for("more answers", lambda: len(ping.answered()) > sofar + 5)
        return ping.stop()


@pytest.fixture
def site_of(installed, lab):
    """Makes the Site of a data plane, whose units are stopped after the test."""
    yield lambda plane: Site(lab, plane)
    print(journal())
    run("systemctl", "stop", "adit-keeper", "adit", check=False)
    run("ip", "link", "del", "l0", check=False)


def test_units(site_of):
    """With the data in the kernel; tests/net/test_upgrade.py has the other plane."""
    site = site_of("kernel")
    links = run("ip", "-o", "link").stdout.count("\n")
    site.connect()
    assert all(active(unit) for unit in UNITS)
    only, = site.sessions()
    assert "pp" in run("ip", "-o", "link", "show", "type", "ppp").stdout
    with open(f"/proc/{prop('adit', 'MainPID')}/status", encoding="utf-8") as f:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
    assert int(status["CapPrm"], 16) == 0 and int(status["CapBnd"], 16) == 0
    assert status["Uid"].split()[0] != "0" and status["Seccomp"] == "2"

    # a restart of aditd alone, and a replacement of the keeper: not a packet is lost
    ping = site.ping()
    before, keeper = prop("adit", "MainPID"), prop("adit-keeper", "MainPID")
    run("systemctl", "restart", "adit")
    assert prop("adit", "MainPID") != before
    assert [s["key"] for s in site.sessions()] == [only["key"]]
    assert site.end_ping(ping) == [], ping.text()
    ping = site.ping()
    run("systemctl", "reload", "adit-keeper")
    assert "has taken over, upgrade 1" in journal()
    assert prop("adit-keeper", "MainPID") == keeper and active("adit-keeper")
    run("systemctl", "reload", "adit")
    assert [s["key"] for s in site.sessions()] == [only["key"]]
    assert site.end_ping(ping) == [], ping.text()

    # an aditd that hangs is replaced by the watchdog
    before = prop("adit", "MainPID")
    os.kill(int(before), signal.SIGSTOP)
    wait_for("the watchdog", lambda: prop("adit", "MainPID") not in (before, "0") and active("adit"), 60)
    assert "atchdog" in run("journalctl", "--no-pager", "-u", "adit").stdout
    assert [s["key"] for s in site.sessions()] == [only["key"]]
    assert site.client_ns.ping("10.64.0.1", 3) == 3

    # stopping the keeper stops aditd first, which tells the peers; nothing stays behind
    run("systemctl", "stop", "adit-keeper")
    assert not any(active(unit) for unit in UNITS)
    wait_for("the client to be told", lambda: all(s["state"] != "up" for s in site.client.sessions()))
    assert run("ip", "-o", "link").stdout.count("\n") == links
    assert not run("ip", "route", "show", "proto", "173").stdout
    assert not os.path.exists("/run/adit/control") and not os.path.exists("/run/adit/control.keeper")
    assert [prop(unit, "Result") for unit in UNITS] == ["success", "success"]
    assert "made a system call" not in journal()


PACE, TIMEOUT, CROWD = 3, 10, 72


def test_stop_with_a_pace(site_of):
    """`systemctl stop adit` takes longer than TimeoutStopSec, and everybody can see how far it is. Then aditd
    is killed: the keeper has one of its own tell the rest. Each peer is told, each session has its one
    stop record, and the next start finds nothing of it."""
    drop_in = "/run/systemd/system/adit.service.d/z-stop.conf"
    site = site_of("user")
    with open("/etc/adit/users", "w", encoding="utf-8") as f:
        f.write("* * password *\n")
    with open("/etc/adit/adit.conf", "a", encoding="utf-8") as f:
        f.write(f"stop-rate = {PACE}\n")
    with open(drop_in, "w", encoding="utf-8") as f:
        f.write(f"[Service]\nTimeoutStopSec={TIMEOUT}\nWatchdogSec=60\n")
    run("systemctl", "daemon-reload")
    try:
        slow_stop(site)
    finally:
        os.unlink(drop_in)
        run("systemctl", "daemon-reload")


def slow_stop(site):
    accounting = "/var/lib/adit/accounting.jsonl"
    if os.path.exists(accounting):
        os.unlink(accounting)
    run("systemctl", "start", "adit")
    load = site.client_ns.start(BUILD / "src/load/adit-load", "--server", "192.0.2.1", "--secret", "tunnel secret",
                                "--sessions", CROWD, "--hold", 600, name="load")
    wait_for("all sessions", lambda: f'"up":{CROWD}' in load.text(), 60)
    pid = int(prop("adit", "MainPID"))
    stop = subprocess.Popen(["systemctl", "stop", "adit"])

    def left():
        found = re.fullmatch(rf"Stopping: (\d+) sessions? are left, {PACE} a second are told",
                             prop("adit", "StatusText"))
        return int(found[1]) if found else CROWD

    wait_for("more than there is time for", lambda: left() <= CROWD - (TIMEOUT + 2) * PACE, 60)
    assert "Stopping: " in run("systemctl", "status", "adit", check=False).stdout
    assert prop("adit", "ActiveState") == "deactivating" and int(prop("adit", "MainPID")) == pid
    os.kill(pid, signal.SIGKILL)
    assert stop.wait(60 * PATIENCE) == 0
    assert not active("adit") and active("adit-keeper")
    wait_for("the rest to be told", lambda: "the peers were told, and all sessions have ended" in journal(), 120)
    with open(accounting, encoding="utf-8") as f:
        stops = [r for r in map(json.loads, f) if r["event"] == "stop"]
    assert len(stops) == len({r["id"] for r in stops}) == CROWD
    assert {r["cause"] for r in stops} == {"shutdown"}
    load.stop(2)
    assert f"{CROWD} sessions were lost while held" in load.text(), load.text()
    run("systemctl", "start", "adit")
    assert site.sessions() == []
    run("systemctl", "stop", "adit-keeper")
    assert [prop(unit, "Result") for unit in UNITS] == ["success", "success"]
    assert "made a system call" not in journal()
