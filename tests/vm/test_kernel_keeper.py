# SPDX-License-Identifier: MIT
"""The keeper where the kernel carries the data: its death ends the sessions, and the next one removes
what it left, but nothing of others; its replacement by another program under traffic loses nothing."""

import os
import signal
import subprocess

import pytest

from faults import built_with_faults, records
from kills import CONF, World, check_clean
from lab import BUILD, wait_for
from test_pseudowire import WIRE

SESSIONS = 15
MANY = ("--sessions", SESSIONS, "--tunnels", 3, "--window", 12, "--limit", 1000, "--hold", 5000)
KERNEL = "data-plane = kernel\n" + CONF
PSEUDOWIRE = WIRE.format(
    name="p1", encap="udp", local="192.0.2.1", remote="192.0.2.2", t=1001, pt=2001, s=1101, ps=2101,
    ports="local-port = 5001 remote-port = 6001", interface="p1", more="")
OURS = 0x0AD10001  # a group of interfaces that adit marks its sessions with
KEEPER = BUILD / "src/keeper/adit-keeper"


@pytest.fixture
def world(lab):
    return World(lab)


def plain_l2tp(ns, tunnel, peer, session, peer_session, local, remote, sport, dport, name):
    ns.run("ip", "l2tp", "add", "tunnel", "tunnel_id", tunnel, "peer_tunnel_id", peer, "encap", "udp",
           "local", local, "remote", remote, "udp_sport", sport, "udp_dport", dport)
    ns.run("ip", "l2tp", "add", "session", "name", name, "tunnel_id", tunnel, "session_id", session,
           "peer_session_id", peer_session)
    ns.run("ip", "link", "set", name, "up")


def far_end(world):
    """The other end of p1."""
    plain_l2tp(world.client, 2001, 1001, 2101, 1101, "192.0.2.2", "192.0.2.1", 6001, 5001, "w1")
    world.client.run("ip", "addr", "add", "10.7.1.2/24", "dev", "w1")


def theirs(world):
    """A pseudowire and an interface on the LNS that are none of adit's."""
    plain_l2tp(world.lns, 4001, 3001, 4101, 3101, "192.0.2.1", "192.0.2.2", 7001, 8001, "theirs")
    plain_l2tp(world.client, 3001, 4001, 3101, 4101, "192.0.2.2", "192.0.2.1", 8001, 7001, "w2")
    world.lns.run("ip", "addr", "add", "10.7.2.1/24", "dev", "theirs")
    world.client.run("ip", "addr", "add", "10.7.2.2/24", "dev", "w2")
    world.lns.run("ip", "link", "add", "other", "group", 4711, "type", "dummy")
    wait_for("a ping of theirs", lambda: world.client.ping("10.7.2.1", 1, wait=2))


def ended(pid):
    """Is the process gone, with all that it had open?"""
    return not os.path.exists(f"/proc/{pid}/fd/0")


def links(ns):
    return {line.split(":")[1].split("@")[0].strip()
            for line in ns.run("ip", "-o", "link").stdout.splitlines()}


def kernel_sessions(ns):
    return ns.run("ip", "l2tp", "show", "session").stdout


def come_up(world, name):
    load = world.load(*MANY, name=name)
    world.wait_up(load, SESSIONS)
    world.lasting(SESSIONS)
    assert len([n for n in links(world.lns) if n.startswith("l2tp")]) == SESSIONS
    return load


def guards(adit):
    """Processes that would clear up after the keeper."""
    out = subprocess.run(["pgrep", "-P", str(adit.keeper.pid), "-x", "adit-guard"],
                         capture_output=True, text=True).stdout
    return [int(pid) for pid in out.split()]


@pytest.mark.parametrize("who", ["keeper", "all"])
def test_death_of_the_keeper(world, lab, who):
    far_end(world)
    theirs(world)
    world.adit = adit = lab.adit(world.lns, KERNEL + PSEUDOWIRE, users="* * password *\n").start()
    wait_for("the pseudowire", lambda: "p1" in links(world.lns))
    load = come_up(world, "load")
    before, aditd = links(world.lns), adit.aditd_pid()
    assert "of a former run" not in adit.text()
    guard, = wait_for("the guard", lambda: guards(adit))
    if who == "all":
        os.kill(guard, signal.SIGKILL)
        wait_for("the keeper to say it", lambda: "ended the process adit-guard" in adit.text())
    else:
        os.kill(guard, signal.SIGSTOP)
    os.kill(adit.keeper.pid, signal.SIGKILL)
    if who == "all":
        os.kill(aditd, signal.SIGKILL)
    adit.keeper.child.wait(600)
    # the kernel's own tunnel of the pseudowire is still there, and somebody has made more that looks
    # as if it were ours
    assert "p1" in links(world.lns)
    world.lns.run("ip", "link", "add", "left1", "group", OURS, "type", "dummy")
    world.lns.run("ip", "link", "add", "left2", "group", OURS + 5, "type", "dummy")
    adit.conf.write_text(adit.conf.read_text().replace(PSEUDOWIRE, ""))
    adit.start(wait=False)
    if who == "keeper":
        # nothing is closed yet; the new one waits for that
        assert not ended(aditd) and before <= links(world.lns)
        wait_for("the next keeper to wait", lambda: "waiting until its" in adit.text())
        os.kill(guard, signal.SIGCONT)
    wait_for("the former aditd to end", lambda: ended(aditd))
    wait_for("the next one to answer", lambda: adit.ctl("status", check=False).returncode == 0)
    assert adit.text().count("of sessions of a former run") == 1, adit.text()
    assert adit.text().count("the keeper before this one has died; nothing") == 1, adit.text()
    # the guard had ended before the new one began
    assert who == "all" or not os.path.exists(f"/proc/{guard}/exe")
    wait_for("all that was ours to go", lambda: not {n for n in links(world.lns) if
                                                     n.startswith(("l2tp", "left", "p1"))})
    assert before - links(world.lns) == {n for n in before if n.startswith("l2tp")} | {"p1"}
    shown = world.lns.run("ip", "l2tp", "show", "tunnel").stdout
    assert "Tunnel 4001" in shown and shown.count("Tunnel ") == 1, shown
    assert "Session 4101" in kernel_sessions(world.lns) and "other" in links(world.lns)
    assert world.client.ping("10.7.2.1", 3, wait=20) == 3
    assert world.up() == 0
    load.child.kill()
    come_up(world, "again").child.kill()


def test_upgrade_of_the_keeper_under_traffic(world, lab):
    far_end(world)
    world.adit = adit = lab.adit(world.lns, KERNEL + PSEUDOWIRE, users="* * password *\n").start()
    wait_for("the pseudowire", lambda: "p1" in links(world.lns))
    world.lns.run("ip", "addr", "add", "10.7.1.1/24", "dev", "p1")
    wait_for("an answer over it", lambda: world.client.ping("10.7.1.1", 1, wait=2))
    load = world.load(*MANY, "--pings", 4, "--await", "--records", lab.dir / "records")
    world.wait_up(load, SESSIONS)
    before, aditd = world.lasting(SESSIONS), adit.aditd_pid()
    load.child.send_signal(signal.SIGUSR1)
    guard = wait_for("a guard", lambda: guards(adit))
    ping = world.client.pinging("10.7.1.1", 80, 0.1)
    for number in range(1, 4):
        done = world.lns.run(KEEPER, "-c", adit.conf, "--upgrade", check=False, timeout=60)
        assert done.returncode == 0, done.stderr + adit.text()
        assert f"has taken over, upgrade {number}" in done.stdout
        assert world.since() == before and adit.aditd_pid() == aditd
        # another one: what the former shared is closed, so that sessions can end
        former, guard = guard, wait_for("a guard", lambda: guards(adit))
        assert len(guard) == 1 and guard != former
    adit.kill_aditd()
    assert world.since() == before
    assert ping.lost() == [], ping.text()
    load.stop(signal.SIGINT, seconds=120)
    assert "sessions were lost" not in load.text(), load.text()
    wait_for("all sessions to end", lambda: world.up() == 0, seconds=90)
    adit.stop()
    rows = records(lab.dir / "records")
    assert len(rows) == SESSIONS and min(r["sent"] for r in rows) > 0
    check_clean(rows, adit.accounting_lines())


@pytest.mark.skipif(not built_with_faults(BUILD), reason="this build has no places to wait at: "
                    "meson configure -Dfaults=true")
def test_stop_where_the_kernel_is_slow(world):
    """A session has its stop record when it has left the kernel, and those of a tunnel leave together: here
    after eight seconds and more. The stop is not over before."""
    adit = world.start_lns(KERNEL)
    load = world.load("--sessions", 24, "--window", 12, "--limit", 1000, "--hold", 5000)
    world.wait_up(load, 24)
    world.lasting(24)
    world.faults.arm("in-close", 1000)  # each of the two descriptors of a session, a few side by side
    adit.keeper.child.send_signal(signal.SIGTERM)
    assert adit.keeper.child.wait(120) == 0
    assert "giving up" not in adit.text() and "nothing ends any more" not in adit.text(), adit.text()
    lines = adit.accounting_lines()
    stops = [l["id"] for l in lines if l["event"] == "stop"]
    assert len(stops) == len(set(stops)) == 24, stops
    assert {l["cause"] for l in lines if l["event"] == "stop"} == {"shutdown"}
    assert not [n for n in links(world.lns) if n.startswith("l2tp")]
    assert not kernel_sessions(world.lns)
    load.stop(2)
    assert "24 sessions were lost while held" in load.text(), load.text()


def marked(ns, protocol):
    return sorted(line for line in ns.run("ip", "route", "show", "proto", protocol).stdout.splitlines())


def test_two_keepers_of_one_namespace(world, lab):
    """Each has interface groups and a protocol of its own: what dies, or is cleaned and begins anew
    beside it, costs the other not a packet."""
    world.lns.run("ip", "addr", "add", "192.0.2.3/24", "dev", "l0")
    adit = world.adit = lab.adit(world.lns, KERNEL + 'listen "one" { address = 192.0.2.1 }\n',
                                 users="* * password *\n").start()
    other = lab.adit(world.lns, "interface-groups = 2\nsession-interface = other\n" +
                     KERNEL.replace("10.64.", "10.65.") + 'listen "two" { address = 192.0.2.3 }\n',
                     name="other", users="* * password *\n").start()
    load = come_up(world, "load")
    others = world.load(*MANY, "--pings", 4, "--await", "--records", lab.dir / "records",
                        name="others", server="192.0.2.3")
    world.wait_up(others, SESSIONS)
    wait_for("the sessions", lambda: [s["plane"] for s in other.sessions()] == ["kernel"] * SESSIONS)
    others.child.send_signal(signal.SIGUSR1)
    # the address of each on lo is none of these
    before = marked(world.lns, 159)
    assert len(marked(world.lns, 173)) == len(before) == SESSIONS
    wait_for("the guards", lambda: guards(adit) and guards(other))
    os.kill(adit.keeper.pid, signal.SIGKILL)
    load.child.kill()
    adit.keeper.child.wait(600)
    wait_for("the guard to clear up", lambda: not [n for n in links(world.lns) if n.startswith("l2tp")],
             seconds=120)
    assert marked(world.lns, 159) == before
    adit.start()
    come_up(world, "again").child.kill()
    assert marked(world.lns, 159) == before
    adit.stop()
    assert marked(world.lns, 159) == before and not marked(world.lns, 173)
    others.stop(signal.SIGINT, seconds=120)
    assert "sessions were lost" not in others.text(), others.text()
    wait_for("all sessions to end", lambda: not other.sessions(), seconds=90)
    other.stop()
    assert not marked(world.lns, 159)
    assert "of a former run" not in other.text()
    rows = records(lab.dir / "records")
    assert len(rows) == SESSIONS and min(r["sent"] for r in rows) > 0
    check_clean(rows, other.accounting_lines())


def test_leftovers_of_a_keeper_that_is_not_started_again(world, lab):
    """A pseudowire of the kernel's own socket outlives its keeper and the guard: whoever starts next
    removes it, whatever groups it has itself, and none of a keeper that lives."""
    far_end(world)
    second = WIRE.format(name="p2", encap="udp", local="192.0.2.1", remote="192.0.2.2", t=1002, pt=2002,
                         s=1102, ps=2102, ports="local-port = 5002 remote-port = 6002", interface="p2",
                         more="")

    def keeper(number, wire):
        address = f"192.0.2.{10 + number}"
        world.lns.run("ip", "addr", "add", f"{address}/24", "dev", "l0")
        return lab.adit(world.lns, f"interface-groups = {number}\nsession-interface = s{number}\n" +
                        KERNEL.replace("10.64.", f"10.{64 + number}.") + wire +
                        f'listen "here" {{ address = {address} }}\n',
                        name=f"keeper{number}", users="* * password *\n").start()

    one, two = keeper(1, PSEUDOWIRE), keeper(2, second)
    wait_for("the pseudowires", lambda: {"p1", "p2"} <= set(links(world.lns)))
    world.lns.run("ip", "addr", "replace", "10.7.1.1/24", "dev", "p1")
    wait_for("a ping", lambda: world.client.ping("10.7.1.1", 1, wait=2))
    pinging = world.client.start("ping", "-i", "0.2", "10.7.1.1", name="ping")
    os.kill(two.keeper.pid, signal.SIGKILL)
    two.keeper.child.wait(600)
    wait_for("the guard to be done",
             lambda: "@adit-keeper-groups-2" not in world.lns.run("ss", "-xlH").stdout, seconds=120)
    assert "p2" in links(world.lns)
    three = keeper(3, "")
    assert three.text().count("removed 1 interfaces and routes of sessions of a former run") == 1
    assert "p2" not in links(world.lns) and "p1" in links(world.lns)
    tunnels = world.lns.run("ip", "l2tp", "show", "tunnel").stdout
    assert "Tunnel 1001" in tunnels and tunnels.count("Tunnel ") == 1, tunnels
    pinging.stop(signal.SIGINT)
    assert " 0% packet loss" in pinging.text(), pinging.text()
    three.stop()
    one.stop()
    assert "of a former run" not in one.text()
