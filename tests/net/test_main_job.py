# SPDX-License-Identifier: MIT
"""The main job on real sockets: an LNS and a client that carry IPv4 and IPv6, alone and with peers
that are not ours, through restarts and kills."""

import json
import os
import re
import signal
import subprocess
import time

import pytest

from lab import BUILD, PYTHON, ROOT, wait_for
from peers import L2tpns, ScapyPeer

USERS = 'alice * "open sesame" *\nbob * hunter2 10.64.7.7\n'
LNS = """
pool "subscribers" {{ addresses = {{"10.64.0.0/16"}} prefixes = {{"2001:db8:64::/48"}} }}
profile "home" {{ users = "@DIR@/users" pool = "subscribers" local-address = "10.64.0.1" dns = {{"198.51.100.2"}} {profile} }}
peer "anybody" {{ profile = "home" secret = "tunnel secret" {peer} }}
"""
CLIENT = """
session "office" {{
    server = "{server}"
    secret = "tunnel secret"
    user = "{user}"
    password = "{password}"
    routes = {{"198.51.100.0/24", "2001:db8:2::/64"}}
    {more}
}}
"""


def lns_conf(profile="", peer=""):
    return LNS.format(profile=profile, peer=peer)


def client_conf(server="192.0.2.1", user="alice", password="open sesame", more=""):
    return CLIENT.format(server=server, user=user, password=password, more=more)


class World:
    """client --- lns --- host, with addresses of both families."""

    def __init__(self, lab):
        self.lab = lab
        self.client, self.lns, self.host = lab.ns("client"), lab.ns("lns"), lab.ns("host")
        lab.cable(self.client, self.lns, ["192.0.2.2/24", "2001:db8:1::2/64"],
                  ["192.0.2.1/24", "2001:db8:1::1/64"], "c0", "l0")
        lab.cable(self.lns, self.host, ["198.51.100.1/24", "2001:db8:2::1/64"],
                  ["198.51.100.2/24", "2001:db8:2::2/64"], "l1", "h0")
        self.lns.sysctl("net.ipv4.ip_forward", 1)
        self.lns.sysctl("net.ipv6.conf.all.forwarding", 1)
        self.host.run("ip", "route", "add", "default", "via", "198.51.100.1")
        self.host.run("ip", "-6", "route", "add", "default", "via", "2001:db8:2::1")

    def start_lns(self, users=USERS, **kw):
        return self.lab.adit(self.lns, lns_conf(**kw), users=users).start()

    def start_client(self, connect=True, name="adit", **kw):
        adit = self.lab.adit(self.client, client_conf(**kw), name=name).start()
        if connect:
            adit.ctl("connect", "office")
        return adit

    def wait_ip6(self):
        wait_for("IPv6 through the session", lambda: self.client.ping("2001:db8:2::2", 1, wait=1))


@pytest.fixture
def world(lab):
    return World(lab)


def wait_stops(adit, count=1):
    """The line of an end is written a moment after the session is gone."""
    wait_for("the accounting of the end", lambda: count == sum(
        r["event"] == "stop" for r in adit.accounting_lines()), seconds=60)


def only_session(adit):
    sessions = adit.sessions()
    assert len(sessions) == 1, sessions
    return sessions[0]


@pytest.mark.parametrize("server", ["192.0.2.1", "2001:db8:1::1"])
def test_lns_and_client_carry_both_families(world, server):
    lns, client = world.start_lns(), world.start_client(server=server)
    # connect returns with the first family; the other one may take a moment more
    wait_for("IPv4 through the session", lambda: world.client.ping("198.51.100.2", 1, wait=1))
    world.wait_ip6()
    assert world.client.ping("198.51.100.2") == 3
    assert world.client.ping("2001:db8:2::2") == 3
    world.client.tcp(world.host, "198.51.100.2")
    world.client.tcp(world.host, "2001:db8:2::2")
    at_lns, at_client = only_session(lns), only_session(client)
    assert at_lns["user"] == "alice"
    # 1500 less IP, UDP, L2TP with Length, FF 03 and protocol: what each side asked the other to send
    assert at_lns["mtu"] == at_client["mtu"] == (1440 if ":" in server else 1460)
    # a packet of exactly the session's MTU passes, one octet more does not
    assert world.client.ping("198.51.100.2", 2, size=at_client["mtu"] - 28) == 2
    assert world.client.ping("198.51.100.2", 1, wait=1, size=at_client["mtu"] - 27) == 0
    client.ctl("disconnect", "office")
    wait_for("the LNS to see the end", lambda: not lns.sessions())
    wait_stops(lns)
    start, stop = [r for r in lns.accounting_lines() if r["event"] in ("start", "stop")]
    assert start["id"] == stop["id"] and stop["user"] == "alice"
    assert (start["event"], stop["event"]) == ("start", "stop")


def test_pap(world):
    lns = world.start_lns(profile='auth = {"pap"}')
    world.start_client()
    assert only_session(lns)["user"] == "alice"
    assert world.client.ping("198.51.100.2", 1) == 1


def test_fixed_address(world):
    world.start_lns()
    client = world.start_client(user="bob", password="hunter2")
    addresses = world.client.run("ip", "-j", "addr", "show", "dev",
                                 only_session(client)["interface"]).stdout
    assert "10.64.7.7" in addresses


def test_wrong_password_is_explained_on_both_sides(world):
    lns, client = world.start_lns(), world.start_client(connect=False, password="wrong",
                                                         more='connect = manual')
    done = client.ctl("connect", "office", check=False)
    assert done.returncode != 0
    assert re.search(r"refused our login", done.stdout + done.stderr)
    errors = lns.ctl("show", "errors").stdout
    assert "alice" in errors and "password was wrong" in errors


def test_wrong_secret_is_explained(world):
    world.start_lns()
    client = world.lab.adit(world.client, client_conf(more="connect = manual").replace(
        "tunnel secret", "another")).start()
    done = client.ctl("connect", "office", check=False)
    assert done.returncode != 0 and "secret" in done.stdout + done.stderr


def test_kill_of_the_lns_daemon_under_traffic(world):
    lns, client = world.start_lns(), world.start_client()
    world.wait_ip6()
    before = only_session(lns)
    client_before = only_session(client)
    ping = world.client.pinging("198.51.100.2", 100_000, 0.05)
    for _ in range(4):
        sofar = max(ping.answered(), default=0)
        wait_for("it to go on", lambda n=sofar: max(ping.answered(), default=0) > n + 20)
        lns.kill_aditd()
    ping.stop()
    received = len(ping.answered())
    after = only_session(lns)
    assert after["key"] == before["key"] and after["since"] == before["since"]
    assert after["rx_packets"] >= received
    assert only_session(client)["key"] == client_before["key"]
    # control still works in both directions after the kills
    client.ctl("disconnect", "office")
    wait_for("the LNS to see the end", lambda: not lns.sessions())
    wait_stops(lns)
    events = [r["event"] for r in lns.accounting_lines()]
    assert events.count("start") == 1 and events.count("stop") == 1
    stop = lns.accounting_lines()[-1]
    assert stop["in_packets"] >= received


def test_kill_of_the_client_daemon(world):
    lns, client = world.start_lns(), world.start_client()
    world.wait_ip6()
    before = only_session(client)
    client.kill_aditd()
    assert only_session(client)["key"] == before["key"]
    assert world.client.ping("198.51.100.2") == 3
    assert world.client.ping("2001:db8:2::2") == 3
    assert only_session(lns)["user"] == "alice"
    client.ctl("disconnect", "office")
    wait_for("the LNS to see the end", lambda: not lns.sessions())


def test_restart_of_the_daemon_by_the_keeper(world):
    """An upgrade: the keeper starts the new binary, sessions stay."""
    lns, client = world.start_lns(), world.start_client()
    before, old = only_session(lns)["key"], lns.aditd_pid()
    lns.keeper.child.send_signal(signal.SIGUSR1)
    wait_for("a new aditd", lambda: lns.aditd_pid() not in (None, old))
    wait_for("it to answer", lambda: lns.ctl("status", check=False).returncode == 0)
    assert only_session(lns)["key"] == before
    assert world.client.ping("198.51.100.2") == 3
    assert only_session(client)["state"] == "up"


def test_default_route_does_not_cut_the_tunnel(lab):
    """The server is behind a gateway, and everything is routed into the session."""
    client, gateway, lns = lab.ns("client"), lab.ns("gw"), lab.ns("lns")
    lab.cable(client, gateway, ["192.0.2.2/24"], ["192.0.2.254/24"])
    lab.cable(gateway, lns, ["203.0.113.254/24"], ["203.0.113.1/24"])
    gateway.sysctl("net.ipv4.ip_forward", 1)
    client.run("ip", "route", "add", "default", "via", "192.0.2.254")
    lns.run("ip", "route", "add", "192.0.2.0/24", "via", "203.0.113.254")
    lns.run("ip", "addr", "add", "198.51.100.2/32", "dev", "lo")
    server = lab.adit(lns, lns_conf(), users=USERS).start()
    dialler = lab.adit(client, client_conf(server="203.0.113.1", more="default-route = true")
                       .replace('"198.51.100.0/24", "2001:db8:2::/64"', "")).start()
    dialler.ctl("connect", "office")
    for _ in range(5):
        assert client.ping("198.51.100.2", 2) == 2
        time.sleep(0.5)
    assert "192.0.2.254" in client.run("ip", "route", "get", "203.0.113.1").stdout
    dialler.ctl("disconnect", "office")
    wait_for("the LNS to see the end", lambda: not server.sessions())
    routes = client.run("ip", "route").stdout
    assert "203.0.113.1" not in routes and "default via 192.0.2.254" in routes


def test_redial_after_the_lns_was_away(world):
    lns, client = world.start_lns(), world.start_client(more='redial-first = "1 s"')
    first = only_session(client)["key"]
    lns.stop()
    wait_for("the client to notice", lambda: all(s["state"] != "up" for s in client.sessions()))
    lns.start()
    wait_for("the client to come back", lambda: any(
        s["state"] == "up" for s in client.sessions()), seconds=30)
    assert only_session(client)["key"] != first
    assert world.client.ping("198.51.100.2", 2) == 2


def test_dns_name_and_hooks(world, lab):
    lns = world.start_lns()
    hook = lab.dir / "hook"
    out = lab.dir / "hook.out"
    hook.write_text(f'#!/bin/sh\necho "$ADIT_NAME $ADIT_IFNAME $ADIT_LOCAL_IP4 ${{ADIT_CAUSE:-up}}"'
                    f' >> {out}\n')
    hook.chmod(0o755)
    etc = lab.dir / "hosts"
    etc.write_text("127.0.0.1 localhost\n192.0.2.1 lns.example.net\n")
    client = lab.adit(world.client, client_conf(
        server="lns.example.net", more=f'hook-up = "{hook}"\nhook-down = "{hook}"'))
    client.keeper = world.client.start(
        "unshare", "--mount", "--propagation", "private", "sh", "-c",
        f"mount --bind {etc} /etc/hosts && exec {BUILD}/src/keeper/adit-keeper -c {client.conf} "
        f"--run {BUILD}/src/daemon/aditd", name="adit")
    wait_for("aditd", lambda: client.ctl("status", check=False).returncode == 0)
    client.ctl("connect", "office")
    session = only_session(client)
    wait_for("the up hook", out.exists)
    assert out.read_text().split()[:2] == ["office", session["interface"]]
    client.ctl("disconnect", "office")
    wait_for("the down hook", lambda: len(out.read_text().splitlines()) == 2)
    assert not lns.sessions() or wait_for("the end", lambda: not lns.sessions())


def test_answers_leave_from_the_address_asked(world):
    """A multi-homed LNS: the second address answers by itself (RFC 2661 8.1)."""
    world.lns.run("ip", "addr", "add", "192.0.2.77/24", "dev", "l0")
    world.start_lns()
    client = world.start_client(server="192.0.2.77")
    assert world.client.ping("198.51.100.2") == 3
    assert only_session(client)["remote"].startswith("192.0.2.77")


def test_several_tunnels_between_two_hosts(world):
    lns = world.start_lns()
    two = client_conf().replace("{{", "{") + client_conf().replace('"office"', '"second"').replace(
        '"198.51.100.0/24", "2001:db8:2::/64"', "")
    client = world.lab.adit(world.client, two).start()
    client.ctl("connect", "office")
    client.ctl("connect", "second")
    assert len(lns.sessions()) == 2 and len(client.sessions()) == 2
    assert len(lns.json("show", "tunnels")["tunnels"]) == 2
    assert world.client.ping("198.51.100.2") == 3


def test_terminate_and_monitor(world):
    lns, client = world.start_lns(), world.start_client(more="connect = manual")
    monitor = world.lns.start(BUILD / "src/ctl/adit", "--control", lns.control, "monitor")
    # it says nothing until something happens: so something does until it listens
    wait_for("the monitor", lambda: lns.ctl("reload") and monitor.text(), seconds=60)
    lns.ctl("terminate", "user", "alice")
    wait_for("the client to see it",
             lambda: all(s["state"] != "up" for s in client.sessions()))
    wait_stops(lns)
    assert lns.accounting_lines()[-1]["cause"] == "admin"
    wait_for("the monitor to tell", lambda: "alice" in monitor.text(), seconds=60)
    monitor.stop(signal.SIGINT)


def test_l2tpns_as_lns(world):
    """Debian's l2tpns on the other side: PPP, traffic both ways, clean end."""
    peer = L2tpns(world.lns, "192.0.2.1", secret="tunnel secret", user="alice",
                  password="open sesame")
    client = world.start_client()
    session = only_session(client)
    assert session["our_ip4"].startswith("10.65.")
    assert world.client.ping("198.51.100.2") == 3
    assert world.host.ping(session["our_ip4"]) == 3
    world.client.tcp(world.host, "198.51.100.2")
    client.kill_aditd()
    assert world.client.ping("198.51.100.2") == 3
    client.ctl("disconnect", "office")
    assert peer.daemon.alive()


def test_scapy_as_client(world):
    """A client made of scapy: login, traffic, spoofing refused, a reboot of the peer."""
    lns = world.start_lns(peer="challenge = true")
    peer = ScapyPeer(world.client, "192.0.2.2", "192.0.2.1", secret="tunnel secret", port=1701)
    assert peer("open")["ok"]
    assert peer("call")["ok"]
    up = peer("ppp", "bob", "hunter2")
    assert up == {"ok": True, "address": "10.64.7.7", "auth": 0xc223}
    assert peer("echo", "198.51.100.2")["answered"]
    assert not peer("echo", "198.51.100.2", "10.64.9.9")["answered"], "a spoofed source passed"
    assert peer("hello")["acked"]
    # the host reboots: same address and port, new ids; it gets in at once
    peer("restart")
    begun = time.monotonic()
    assert peer("open")["ok"] and peer("call")["ok"]
    assert time.monotonic() - begun < 20
    assert peer("hangup")["acked"] and peer("stop")["acked"]
    assert lns.ctl("status").returncode == 0


def test_strangers_get_no_answer_bigger_than_the_question(world):
    lns = world.start_lns()
    peer = ScapyPeer(world.client, "192.0.2.2", "192.0.2.1", secret="tunnel secret")
    for hexes in ("00", "c802", "c8020014ffff000000000000", "0002123456780021450000",
                  "c803000c0000000000000000", "4802000c000000000000ffff"):
        assert peer("raw", hexes)["answers"] == []
    sccrq = "c802001400000000000000008008000000000001"  # nothing but the Message Type
    for answer in peer("raw", sccrq)["answers"]:
        assert len(answer) <= len(sccrq)
    assert peer("open")["ok"]
    assert lns.keeper.alive()


def test_tshark_decodes_all_we_send(world, tmp_path):
    """The referee: every packet of a whole life, both roles, without a malformed mark."""
    pcap = world.lab.dir / "life.pcap"
    dump = world.client.start("tcpdump", "-i", "c0", "-U", "--immediate-mode", "-w", pcap,
                              "udp", "port", "1701")
    wait_for("tcpdump", lambda: "listening on" in dump.text())
    lns = world.start_lns(profile='session-timeout = "1 h"',
                          peer='challenge = true hello-interval = "1 s"')
    client = world.start_client(more='hello-interval = "1 s"')
    world.wait_ip6()
    assert world.client.ping("198.51.100.2", 2) == 2
    time.sleep(2.5)
    lns.kill_aditd()
    client.ctl("disconnect", "office")
    wait_for("the end", lambda: not lns.sessions())
    peer = ScapyPeer(world.client, "192.0.2.2", "192.0.2.1", secret="tunnel secret")
    assert peer("open")["ok"] and peer("call")["ok"]
    assert not peer("ppp", "alice", "wrong")["ok"]
    time.sleep(0.5)
    lns.stop()
    client.stop()
    dump.stop(signal.SIGINT)
    out = subprocess.run(["tshark", "-n", "-r", str(pcap), "-T", "fields", "-e", "frame.number",
                          "-e", "_ws.malformed", "-e", "_ws.expert.message", "-e",
                          "l2tp.avp.message_type", "-E", "occurrence=a"],
                         capture_output=True, text=True, check=True).stdout
    rows = [line.split("\t") for line in out.splitlines()]
    assert all(len(row) == 4 for row in rows), [row for row in rows if len(row) != 4]
    assert len(rows) > 40
    bad = [row for row in rows if row[1]
           or re.search(r"malformed|bad length|too short|undecoded|reserved", row[2], re.I)]
    assert not bad, subprocess.run(["tshark", "-n", "-r", str(pcap), "-Y",
                                    f"frame.number == {bad[0][0]}", "-V", "-x"],
                                   capture_output=True, text=True).stdout
    seen = {word for row in rows for word in row[3].split(",") if word}
    for kind in (1, 2, 3, 4, 6, 10, 11, 12, 14):
        assert any(re.search(rf"\b{kind}\b", word) for word in seen), (kind, seen)


def test_many_sessions_stay_up_through_a_kill(world):
    """Breadth: 2,000 sessions in ten tunnels stay up through a kill of the daemon."""
    lns = world.start_lns(users='* * password *\n')
    load = world.client.start(BUILD / "src/load/adit-load", "--server", "192.0.2.1", "--sessions",
                              2000, "--tunnels", 10, "--secret", "tunnel secret", "--ip6",
                              "--hold", 12)
    wait_for("all sessions", lambda: '"up":2000' in load.text() or not load.alive(), seconds=90)
    assert '"up":2000' in load.text(), load.text()
    lns.kill_aditd()
    assert lns.json("status")["sessions"] == 2000
    assert load.child.wait(60) == 0, load.text()
    wait_for("all to end", lambda: lns.json("status")["sessions"] == 0)
    wait_stops(lns, 2000)
    lines = lns.accounting_lines()
    starts = [r["id"] for r in lines if r["event"] == "start"]
    stops = [r["id"] for r in lines if r["event"] == "stop"]
    assert len(starts) == len(set(starts)) == 2000
    assert sorted(starts) == sorted(stops)
