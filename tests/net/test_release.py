# SPDX-License-Identifier: MIT
"""The programs of the commit before this one serve a client under traffic; then those of this one take
their place, keeper and aditd. Nothing is lost, and the sessions are the same."""

import os
import pathlib
import shutil
import signal
import subprocess

import pytest

from lab import BUILD, NO_LEAKS, ROOT, wait_for
from test_main_job import World, USERS, client_conf, lns_conf, only_session

PROGRAMS = ("src/keeper/adit-keeper", "src/daemon/aditd")
SHOWN = ("key", "user", "since", "peer_ip4", "peer_ip6", "tunnel", "session", "remote_tunnel", "remote_session",
         "state", "mtu", "interface")


def git(*argv, **kw):
    # whoever runs the tests need not be the owner of the clone
    return subprocess.run(["git", "-c", "safe.directory=*", "-C", ROOT, *argv], capture_output=True, **kw)


def build(commit):
    """The programs of a commit, made without the options of this build; None: they cannot be made."""
    place = BUILD / "former" / commit[:12]
    if all((place / "build" / p).exists() for p in PROGRAMS):
        return place / "build"
    shutil.rmtree(place.parent, ignore_errors=True)
    (place / "src").mkdir(parents=True)
    text = git("archive", commit, check=True).stdout
    subprocess.run(["tar", "x", "-C", place / "src"], input=text, check=True)
    setup = subprocess.run(["meson", "setup", place / "build", place / "src", "-Doptimization=0", "-Dwerror=false",
                            "-Dtests=false"], capture_output=True, text=True)
    if setup.returncode == 0 and subprocess.run(["ninja", "-C", place / "build", *PROGRAMS],
                                                stdout=subprocess.DEVNULL).returncode == 0:
        return place / "build"
    print(f"commit {commit} cannot be built", setup.stderr)
    return None


@pytest.fixture(scope="module")
def former():
    """Of the commit before; should that one not build, of one before it."""
    commits = [c.stdout.decode().strip() for c in (git("rev-parse", "--verify", "-q", f"HEAD~{n}^{{commit}}")
                                                   for n in (1, 2, 3, 4)) if c.returncode == 0]
    if not commits:
        print("the commit before this one is not here (no clone of git, or one of depth 1): "
              "these programs are their own former release")
        return BUILD
    built = next((b for b in map(build, commits) if b), None)
    assert built, f"none of {commits} can be built"
    return built


class Former(World):
    def __init__(self, lab, programs):
        super().__init__(lab)
        self.bin = lab.dir / "bin"
        self.bin.mkdir()
        self.env = {**os.environ, **NO_LEAKS}
        for p in PROGRAMS:
            self.install(programs / p)
        self.server = lab.adit(self.lns, lns_conf(), users=USERS)
        self.server.keeper = self.lns.start(self.bin / "adit-keeper", "-c", self.server.conf, "--run",
                                            self.bin / "aditd", name="lns", env=self.env)
        wait_for("aditd to answer", lambda: self.server.ctl("status", check=False).returncode == 0)

    def install(self, program):
        """As a package manager does: a new file takes the place of the old one."""
        new = self.bin / (program.name + ".new")
        shutil.copy2(program, new)
        new.rename(self.bin / program.name)

    def runs(self, name, pid):
        """Is this process the program that is installed now, and which build of it?"""
        try:
            return pathlib.Path(f"/proc/{pid}/exe").stat().st_ino == (self.bin / name).stat().st_ino
        except OSError:
            return False

    def serves(self):
        return self.server.ctl("status", check=False).returncode == 0


def test_upgrade_from_the_commit_before(lab, former):
    """aditd alone, then the keeper, then both are as of now; a session, its addresses and its accounting
    go on over all of it."""
    world = Former(lab, former)
    client = world.start_client()
    world.wait_ip6()
    before = only_session(world.server)
    start, = world.server.accounting_lines()
    pings = world.client.pinging("198.51.100.2", 6000, 0.02)

    def same():
        after = only_session(world.server)
        assert {k: after.get(k) for k in SHOWN} == {k: before.get(k) for k in SHOWN}
        wait_for("more answers", lambda: len(pings.answered()) > answered + 20, seconds=60)

    answered = 0
    world.install(BUILD / "src/daemon/aditd")
    old = world.server.aditd_pid()
    world.server.keeper.child.send_signal(signal.SIGUSR1)
    wait_for("the new aditd", lambda: world.server.aditd_pid() not in (None, old), seconds=60)
    wait_for("it to serve", world.serves, seconds=60)
    assert world.runs("aditd", world.server.aditd_pid())
    same()

    answered = len(pings.answered())
    world.install(BUILD / "src/keeper/adit-keeper")
    done = world.lns.run(BUILD / "src/keeper/adit-keeper", "-c", world.server.conf, "--upgrade", check=False,
                         timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert world.runs("adit-keeper", world.server.keeper.pid)
    same()

    answered = len(pings.answered())
    world.server.kill_aditd()
    same()
    assert pings.stop() == [], "requests without an answer"
    assert client.sessions()[0]["since"] == only_session(client)["since"]
    client.ctl("disconnect", "office")
    wait_for("the stop record", lambda: [l for l in world.server.accounting_lines() if l["event"] == "stop"])
    lines = world.server.accounting_lines()
    assert [l["event"] for l in lines] == ["start", "stop"] and lines[1]["id"] == start["id"]
    assert lines[1]["in_packets"] >= len(pings.answered())
