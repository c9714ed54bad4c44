# SPDX-License-Identifier: MIT
"""The keeper replaces itself by another program while traffic runs: nothing is lost, aditd notices
nothing; a program that cannot take over changes nothing; a kill on the way leaves nothing behind."""

import os
import shutil
import signal
import struct
import subprocess

import pytest

from faults import Faults, built_with_faults
from journal import memory_of
from lab import BUILD, NO_LEAKS, PYTHON, ended, wait_for
from test_main_job import USERS, World, client_conf, lns_conf, only_session

KEEPER = BUILD / "src/keeper/adit-keeper"


class Upgraded(World):
    """An LNS whose keeper is a copy that the test puts something else in place of."""

    def __init__(self, lab, peer="", profile=""):
        super().__init__(lab)
        (lab.dir / "bin").mkdir()
        self.program = lab.dir / "bin/adit-keeper"
        shutil.copy2(KEEPER, self.program)
        self.env = {**os.environ, **NO_LEAKS}
        self.server = self.lab.adit(self.lns, lns_conf(profile=profile, peer=peer), users=USERS)
        self.start_keeper()

    def start_keeper(self, *more):
        self.server.keeper = self.lns.start(self.program, "-c", self.server.conf, *more, "--run",
                                            BUILD / "src/daemon/aditd", name="lns", env=self.env)
        wait_for("aditd to answer", lambda: self.server.ctl("status", check=False).returncode == 0)

    def install(self, script=None):
        """Put another program in the place of the keeper's."""
        new = self.program.with_suffix(".new")
        if script is None:
            shutil.copy2(KEEPER, new)
        else:
            new.write_text("#!/bin/sh\n" + script)
            new.chmod(0o755)
        new.rename(self.program)

    def upgrade(self):
        return self.lns.run(KEEPER, "-c", self.server.conf, "--upgrade", check=False, timeout=60)

    def clean(self):
        """Has the namespace of the LNS nothing of ours?"""
        links = self.lns.run("ip", "-o", "link").stdout
        return "adit0" not in links and not self.lns.run("ip", "route", "show", "proto", "173").stdout


@pytest.fixture
def world(lab):
    return Upgraded(lab)


def test_upgrade_under_traffic(world):
    """Five replacements of the keeper under a ping: not a packet is lost, and aditd is the same."""
    client = world.start_client()
    world.wait_ip6()
    before, aditd, keeper = only_session(world.server), world.server.aditd_pid(), world.server.keeper.pid
    ping = world.client.pinging("198.51.100.2", 200, 0.02)
    for number in range(1, 6):
        world.install()
        done = world.upgrade()
        assert done.returncode == 0, done.stderr + world.server.text()
        assert f"has taken over, upgrade {number}" in done.stdout
    assert ping.lost() == []
    after = only_session(world.server)
    assert (after["key"], after["since"]) == (before["key"], before["since"])
    assert world.server.aditd_pid() == aditd and world.server.keeper.pid == keeper
    assert os.readlink(f"/proc/{keeper}/exe") == str(world.program)
    # the new keeper knows what the former ones have made, and serves as they did
    world.server.kill_aditd()
    assert only_session(world.server)["key"] == before["key"]
    assert world.client.ping("198.51.100.2") == 3 and world.client.ping("2001:db8:2::2") == 3
    client.ctl("disconnect", "office")
    wait_for("the LNS to see the end", lambda: not world.server.sessions())
    world.server.keeper.stop()
    assert world.clean(), world.lns.run("ip", "-o", "addr").stdout
    assert not os.path.exists(world.server.control) and not os.path.exists(f"{world.server.control}.keeper")


def test_upgrade_by_signal_with_a_hook_under_way(lab):
    """SIGUSR2 is the same as --upgrade; a program that runs is waited for by the next keeper."""
    world = Upgraded(lab)
    hook = lab.dir / "hook"
    hook.write_text(f"#!/bin/sh\necho $ADIT_EVENT begin >> {lab.dir}/hooks\nsleep 2\n"
                    f"echo $ADIT_EVENT end >> {lab.dir}/hooks\n")
    hook.chmod(0o755)
    program = lab.dir / "bin/client-keeper"
    shutil.copy2(KEEPER, program)
    client = lab.adit(world.client, client_conf(more=f'hook-up = "{hook}"'))
    client.keeper = world.client.start(program, "-c", client.conf, "--run", BUILD / "src/daemon/aditd")
    wait_for("aditd to answer", lambda: client.ctl("status", check=False).returncode == 0)
    client.ctl("connect", "office")
    wait_for("the hook", lambda: (lab.dir / "hooks").exists())
    client.keeper.child.send_signal(signal.SIGUSR2)
    wait_for("the new keeper", lambda: "upgrade 1; sessions go on" in client.text())
    wait_for("the end of the hook", lambda: "end" in (lab.dir / "hooks").read_text())
    wait_for("the keeper to reap it", lambda: not subprocess.run(
        ["pgrep", "-P", str(client.keeper.pid), "-x", "hook"], capture_output=True).stdout)
    wait_for("traffic", lambda: world.client.ping("198.51.100.2", 1, wait=1))
    client.ctl("disconnect", "office")
    wait_for("the hook for the end", lambda: "down" in (lab.dir / "hooks").read_text()
             or not client.sessions())


@pytest.mark.parametrize("script, reason", [
    ("echo this is no keeper >&2; exit 1\n", "this is no keeper"),
    ("exit 3\n", "did not say why"),
    ("kill -9 $$\n", "did not say why"),
], ids=["says-why", "silent", "killed"])
def test_program_that_cannot_take_over(world, script, reason):
    world.start_client()
    aditd = world.server.aditd_pid()
    world.install(script)
    ping = world.client.pinging("198.51.100.2", 50, 0.02)
    done = world.upgrade()
    assert done.returncode == 1 and reason in done.stderr, done.stdout + done.stderr
    assert "goes on as it is" in done.stderr and "goes on as it is" in world.server.text()
    assert ping.lost() == []
    assert world.server.aditd_pid() == aditd
    # with the right program it works the next time
    world.install()
    assert world.upgrade().returncode == 0
    assert only_session(world.server)["state"] == "up"


def test_broken_configuration_stops_an_upgrade(world):
    world.start_client()
    text = world.server.conf.read_text()
    world.server.conf.write_text(text + "nonsense = 1\n")
    done = subprocess.run([KEEPER, "-c", world.server.conf, "--upgrade"], capture_output=True, text=True)
    assert done.returncode == 1 and "nonsense" in done.stderr
    world.server.keeper.child.send_signal(signal.SIGUSR2)
    wait_for("the refusal", lambda: "goes on as it is" in world.server.text())
    assert "nonsense" in world.server.text()
    world.server.conf.write_text(text)
    assert world.upgrade().returncode == 0 and world.client.ping("198.51.100.2") == 3


@pytest.mark.parametrize("where, script", [
    # the keeper is killed while the new program looks at the state
    ("check", 'case "$*" in *--check-state*) kill -9 $PPID; exit 1;; esac\n'),
    # the new program is killed when it has taken the place of the former one
    ("exec", 'case "$*" in *--resume*) kill -9 $$;; esac\n'),
    # ... or cannot start after all
    ("start", 'case "$*" in *--resume*) exit 1;; esac\n'),
], ids=lambda v: v if len(v) < 8 else "script")
def test_kill_during_an_upgrade(world, where, script):
    """As if the keeper had been killed at any other time: aditd ends, the next start is clean."""
    world.start_client(more='redial-first = "1 s" echo-interval = "1 s" echo-failures = 3')
    assert world.client.ping("198.51.100.2") == 3
    aditd = world.server.aditd_pid()
    world.install(script + f'exec {KEEPER} "$@"\n')
    assert world.upgrade().returncode == 1
    world.server.keeper.child.wait(120)
    wait_for("aditd to end", lambda: ended(aditd))
    world.install()
    world.start_keeper()
    assert not world.server.sessions()
    wait_for("the client to come back", lambda: any(s["state"] == "up" for s in world.server.sessions()),
             seconds=60)
    wait_for("traffic", lambda: world.client.ping("198.51.100.2", 1, wait=1))


def test_only_root_may_ask(world):
    """Also somebody whom the socket's rights let in (here by the group) is asked who he is."""
    done = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", KEEPER, "-c", world.server.conf,
                           "--upgrade"], capture_output=True, text=True)
    assert done.returncode == 1 and "only root may ask for an upgrade" in done.stderr, done.stderr
    assert "taken over" not in world.server.text()


def test_upgrade_in_the_background(world):
    """The keeper that went into the background logs there after an upgrade, too, and stays there."""
    world.server.keeper.stop()
    done = world.lns.run(world.program, "-c", world.server.conf, "-b", "--run",
                         BUILD / "src/daemon/aditd", timeout=60)
    assert done.returncode == 0
    world.start_client()
    assert world.upgrade().returncode == 0
    status = world.server.json("status")
    assert status["sessions"] == 1
    assert world.client.ping("198.51.100.2") == 3
    pids = [int(p) for p in os.listdir("/proc") if p.isdigit() and
            _cmdline(p).startswith(str(world.program)) and str(world.server.conf) in _cmdline(p)]
    assert len(pids) == 1
    os.kill(pids[0], signal.SIGTERM)
    wait_for("its end", lambda: ended(pids[0]))
    assert world.clean()


def _cmdline(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


class Apart(Upgraded):
    """The two processes as a service manager starts them: the keeper waits for an aditd to come."""

    def start_keeper(self, *more):
        self.server.keeper = self.lns.start(self.program, "-c", self.server.conf, *more, name="lns", env=self.env)
        wait_for("the keeper's socket", lambda: os.path.exists(f"{self.server.control}.keeper"))
        self.start_aditd()

    def start_aditd(self):
        self.number = getattr(self, "number", 0) + 1
        self.aditd = self.lns.start(BUILD / "src/daemon/aditd", "-c", self.server.conf,
                                    name=f"aditd-{self.number}", env=self.env)
        wait_for("aditd to answer", lambda: self.server.ctl("status", check=False).returncode == 0)


def test_aditd_that_comes_by_itself(lab):
    """It is killed, restarted and upgraded under, and finds its sessions each time; a second one, and
    one of another user, are turned away; SIGTERM to the keeper ends all."""
    world = Apart(lab)
    client = world.start_client()
    world.wait_ip6()
    key = only_session(world.server)["key"]
    second = world.lns.run(BUILD / "src/daemon/aditd", "-c", world.server.conf, check=False, env=world.env)
    assert second.returncode == 1 and "another aditd serves" in second.stderr, second.stderr
    other = world.lns.run("setpriv", "--reuid=65534", "--clear-groups", BUILD / "src/daemon/aditd", "-c",
                          world.server.conf, check=False, env=world.env)
    assert other.returncode == 1 and "not the `user`" in other.stderr, other.stderr
    world.aditd.child.kill()
    wait_for("the keeper to see it", lambda: "aditd has gone" in world.server.text())
    world.start_aditd()
    assert only_session(world.server)["key"] == key and world.client.ping("198.51.100.2") == 3
    # USR1 to aditd is a restart, to the keeper it means the same
    for process in (world.aditd, world.server.keeper):
        process.child.send_signal(signal.SIGUSR1)
        assert world.aditd.child.wait(120) == 0
        world.start_aditd()
        assert only_session(world.server)["key"] == key
    ping = world.client.pinging("198.51.100.2", 50, 0.02)
    assert world.upgrade().returncode == 0
    assert ping.lost() == []
    assert world.aditd.alive() and only_session(world.server)["key"] == key
    world.server.keeper.child.send_signal(signal.SIGTERM)
    wait_for("the client to be told", lambda: all(s["state"] != "up" for s in client.sessions()))
    assert world.server.keeper.child.wait(120) == 0 and world.aditd.child.wait(30) == 0
    assert world.clean()


class Finished(Apart):
    """... with a program beside the keeper that finishes what aditd has begun to stop."""

    def start_keeper(self, *more):
        if not built_with_faults(BUILD):
            pytest.skip("this build has no places to die at: meson configure -Dfaults=true")
        shutil.copy2(BUILD / "src/daemon/aditd", self.program.with_name("aditd"))
        self.faults = Faults(self.lab.dir / "faults")
        self.env = {**self.faults.env, **NO_LEAKS}
        super().start_keeper(*more)

    def told_once(self, client):
        """The client was told, and the session has its one stop record."""
        wait_for("the client to be told", lambda: all(s["state"] != "up" for s in client.sessions()), seconds=60)
        assert "the daemon is shutting down" in client.text(), client.text()
        stops = [r for r in self.server.accounting_lines() if r["event"] == "stop"]
        assert [r["cause"] for r in stops] == ["shutdown"], stops


def test_death_in_a_stop_of_aditd_alone(lab):
    """As `systemctl stop adit` does it. The keeper has one of its own tell the rest, and goes on; the next
    aditd is welcome."""
    world = Finished(lab)
    client = world.start_client(more='redial-first = "600 s" redial-cap = "600 s"')
    only_session(world.server)
    world.faults.arm("before-del")
    world.aditd.child.send_signal(signal.SIGTERM)
    assert world.aditd.child.wait(120) and world.faults.deaths() == 1
    wait_for("the rest to be told", lambda: "the peers were told, and all sessions have ended" in
             world.server.text(), seconds=120)
    assert "aditd died while it told the peers that it stops" in world.server.text()
    world.told_once(client)
    world.start_aditd()
    client.ctl("connect", "office")
    assert only_session(world.server)["user"] == "alice"
    # an end in order needs nobody else
    started = world.server.text().count("started ")
    world.aditd.child.send_signal(signal.SIGTERM)
    assert world.aditd.child.wait(120) == 0
    wait_for("the keeper to see it", lambda: "aditd has gone" in world.server.text())
    world.server.keeper.child.send_signal(signal.SIGTERM)
    assert world.server.keeper.child.wait(120) == 0
    assert world.server.text().count("started ") == started == 1, world.server.text()
    assert world.clean()


def test_stop_of_the_keeper_while_aditd_is_away(lab):
    """Nobody is there who could tell the peers: the keeper starts one that does, also when that dies."""
    world = Finished(lab)
    client = world.start_client(more='redial-first = "600 s" redial-cap = "600 s"')
    only_session(world.server)
    world.aditd.child.kill()
    wait_for("the keeper to see it", lambda: "aditd has gone" in world.server.text())
    world.faults.arm("before-del")
    world.server.keeper.child.send_signal(signal.SIGTERM)
    assert world.server.keeper.child.wait(240) == 0
    assert world.faults.deaths() == 1
    world.told_once(client)
    assert world.clean()


HANGS_UP = """
import socket, struct, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(sys.argv[1])
s.send(struct.pack("!IIHH", 0x61646b31, 1, 1, 0))
assert len(s.recvmsg(65536, 4096)[0]) > 12
s.close()
print("hung up", flush=True)
time.sleep(3600)
"""


def test_only_one_aditd_writes(lab):
    """One that hangs up and goes on, with all the memory it was given, is ended before the next one
    reads what it can write. The process is known by a descriptor, not by a number."""
    world = Apart(lab)
    world.aditd.stop(signal.SIGUSR1)
    other = world.lns.start(PYTHON, "-c", HANGS_UP, f"{world.server.control}.keeper", name="other")
    wait_for("it to hang up", lambda: "hung up" in other.text())
    wait_for("the keeper to see it", lambda: "aditd has gone" in world.server.text())
    world.start_aditd()
    assert other.child.wait(120) == -signal.SIGKILL, other.text()
    assert "has hung up but still runs: it is ended" in world.server.text()
    assert world.aditd.alive()


def test_journal_of_an_unknown_version(world):
    """What no program can read is told in one line, and the service goes on without it."""
    world.start_client(more='redial-first = "1 s" echo-interval = "1 s" echo-failures = 3')
    with open(memory_of(world.server.keeper.pid, "adit-journal"), "r+b", buffering=0) as f:
        f.seek(8)
        f.write(b"\x63\0\0\0")
    world.server.kill_aditd()
    lines = [line for line in world.server.text().splitlines() if "begins anew" in line]
    assert len(lines) == 1 and "version 99" in lines[0], lines
    wait_for("the client to come back", lambda: any(s["state"] == "up" for s in world.server.sessions()),
             seconds=60)
    wait_for("traffic", lambda: world.client.ping("198.51.100.2", 1, wait=1))
    # what was up has no stop, and the accounting says so; no number is given out twice
    lines = world.server.accounting_file()
    assert [line["event"] for line in lines] == ["on", "start"] * 2, lines
    ids = [line["id"] for line in lines]
    assert ids == sorted(set(ids)), ids


def siphash(key, data):
    """SipHash-2-4 (Aumasson, Bernstein: a fast short-input PRF), as in src/keeper/store.c."""
    mask = (1 << 64) - 1
    k0, k1 = struct.unpack("<QQ", key)
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rounds(n):
        def rot(x, b):
            return (x << b | x >> (64 - b)) & mask
        for _ in range(n):
            v[0] = v[0] + v[1] & mask
            v[1] = rot(v[1], 13) ^ v[0]
            v[0] = rot(v[0], 32)
            v[2] = v[2] + v[3] & mask
            v[3] = rot(v[3], 16) ^ v[2]
            v[0] = v[0] + v[3] & mask
            v[3] = rot(v[3], 21) ^ v[0]
            v[2] = v[2] + v[1] & mask
            v[1] = rot(v[1], 17) ^ v[2]
            v[2] = rot(v[2], 32)

    padded = data + b"\0" * (7 - len(data) % 8) + bytes([len(data) & 0xFF])
    for word, in struct.iter_unpack("<Q", padded):
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def test_journal_of_a_former_release(world):
    """One that lacks a kind of records that this release keeps is replaced, with what stands in it."""
    world.start_client()
    key = only_session(world.server)["key"]
    path = memory_of(world.server.keeper.pid, "adit-journal")
    os.kill(world.server.keeper.pid, signal.SIGSTOP)  # nobody writes meanwhile
    os.kill(world.server.aditd_pid(), signal.SIGKILL)
    with open(path, "r+b", buffering=0) as f:
        header = bytearray(f.read(4096))
        count, = struct.unpack_from("<I", header, 12)
        key16, check = b"adit journal v1\0", 24 + 16 * 24  # behind the table of classes
        assert struct.unpack_from("<Q", header, check)[0] == siphash(key16, bytes(header[:check]))
        # the last kind of record becomes one of a release that never was
        struct.pack_into("<I", header, 24 + (count - 1) * 24, 200)
        struct.pack_into("<Q", header, check, siphash(key16, bytes(header[:check])))
        f.seek(0)
        f.write(header[:check + 8])
    os.kill(world.server.keeper.pid, signal.SIGCONT)
    wait_for("the next aditd", lambda: "renewed with all its records" in world.server.text())
    wait_for("it to answer", lambda: world.server.ctl("status", check=False).returncode == 0)
    assert only_session(world.server)["key"] == key and world.client.ping("198.51.100.2") == 3
