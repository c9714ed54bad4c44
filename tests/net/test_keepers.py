# SPDX-License-Identifier: MIT
"""Several keepers: one after the other, and side by side in one network namespace. What each puts into
the kernel has marks of its own, and nobody but its owner, or who knows that it is dead, takes it away."""

import os
import re

from lab import NO_LEAKS, ROOT, wait_for
from test_keeper import KEEPER, STATUS, World

# What a keeper has whose guard still clears up: its name and its control socket, though it has ended. It
# is done as soon as somebody asks whose the name is.
FORMER = """
import os, select, socket, sys
control, name = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
for s, at in ((control, sys.argv[1]), (name, "\\0adit-keeper")):
    s.bind(at)
    s.listen(64)
if os.fork() == 0:
    print("has the name", flush=True)
    select.select([name], [], [])
os._exit(0)
"""


def test_former_keeper_that_is_dead(lab):
    world = World(lab, start=False)
    former = world.ns.start("/usr/bin/python3", "-c", FORMER, world.dir / "control", name="former")
    wait_for("the former keeper to die", lambda: "has the name" in former.text() and not former.alive())
    world.start()
    world.next_fake().good(STATUS)
    assert world.log().count("the keeper before this one has died: waiting") == 1, world.log()
    assert "another adit-keeper runs" not in world.log()
    assert "@adit-keeper" in world.ns.run("ss", "-xlH").stdout


def test_two_keepers_of_one_control_socket(lab):
    world = World(lab)
    world.fake.tun("adit0")
    second = world.ns.start(KEEPER, "-c", world.conf, "--run", ROOT / "tests/net/fake_aditd.py",
                            name="second", env=dict(os.environ, FAKE_DIR=str(world.dir / "fakes")))
    assert second.child.wait(60) == 1
    assert "runs already" in second.text()
    assert world.ns.run("ip", "link", "show", "adit0").returncode == 0
    world.fake.good(STATUS)


# Names are free for all: somebody without rights has two, one as if its keeper were dead, the other as if
# another keeper swept what is there.
STRANGER = """
import os, select, socket
os.setuid(65534)
names = [socket.socket(socket.AF_UNIX) for _ in range(2)]
names[0].bind("\\0adit-keeper")
names[0].listen(64)
names[1].bind("\\0adit-keeper-2")
if os.fork() == 0:
    print("has the names", flush=True)
    select.select([], [], [])
os._exit(0)
"""


def test_names_of_somebody_without_rights(lab):
    world = World(lab, start=False)
    stranger = world.ns.start("/usr/bin/python3", "-c", STRANGER, name="stranger")
    wait_for("the stranger", lambda: "has the names" in stranger.text() and not stranger.alive())
    world.start()
    world.next_fake().good(STATUS)
    assert "has died" not in world.log()
    assert "@adit-keeper-3" in world.ns.run("ss", "-xlH").stdout
    assert re.search(r"the name @adit-keeper is that of process \d+ of user 65534, which is no adit-keeper, so "
                     r"routes and addresses of this adit-keeper have the protocol number 160 instead of 173;",
                     world.log())


class Keepers:
    """Some of one namespace, with a device, addresses and routes of its own each."""

    def __init__(self, lab):
        self.lab, self.ns = lab, lab.ns("keepers")
        self.ns.run("ip", "link", "set", "lo", "up")

    def keeper(self, number, more=""):
        return self.lab.adit(self.ns, f"""
{more}
interface = tun{number}
listen "here" {{ address = 127.0.0.{number} }}
pool "p" {{ addresses = 10.1.{number}.0/24 }}
profile "home" {{ users = @DIR@/users pool = "p" local-address = 10.1.{number}.1 }}
peer "all" {{ profile = "home" }}
""", name=f"keeper{number}", users="")

    def of(self, number):
        lines = []
        for words in ("route",), ("-o", "addr"), ("-o", "link"):
            lines += [line for line in self.ns.run("ip", *words).stdout.splitlines()
                      if f"10.1.{number}." in line or f"tun{number}" in line]
        return sorted(lines)

    def there(self, number, proto, group):
        return wait_for("its device, routes and address", lambda: (
            f" proto {proto} " in str(self.of(number)) and
            f" group {group} " in str(self.of(number)) and
            f"inet 10.1.{number}.1/32" in str(self.of(number)) and self.of(number)))

    def leave(self, number, proto):
        """As a pin would be left."""
        self.ns.run("ip", "route", "add", f"10.1.{number}.77/32", "dev", "lo", "proto", proto)

    def kill(self, keeper, number):
        keeper.keeper.child.kill()
        keeper.keeper.child.wait()
        wait_for("its device to go", lambda: not self.of(number))


def test_two_keepers_of_one_namespace(lab):
    """What one finds of a former run, or takes away when it ends, is its own: nothing of the other
    is touched. The second one has taken the next number, since its configuration has the same."""
    all_of = Keepers(lab)
    of, there = all_of.of, all_of.there
    one, two = all_of.keeper(1).start(), all_of.keeper(2)
    there(1, 173, 44311)
    two.start()
    there(2, 159, 44312)
    assert two.text().count("another adit-keeper runs in this network namespace") == 1
    all_of.kill(one, 1)
    for number, proto in (1, 173), (2, 159):
        all_of.leave(number, proto)
    before = of(2)
    one.start()
    there(1, 173, 44311)
    assert "removed 1 addresses, routes and interfaces of a former run" in one.text()
    assert of(2) == before and "10.1.2.77" in str(before)
    one.stop()
    assert of(2) == before and not of(1)
    # the number that is free now is the configured one
    mine = there(1, 173, 44311) if one.start() else None
    two.stop()
    assert of(1) == mine and not of(2)


def test_leftovers_of_a_keeper_that_is_not_started_again(lab):
    """Whoever starts next in the namespace removes them, under whatever number, and nothing of the
    keeper that lives."""
    all_of = Keepers(lab)
    one, two = all_of.keeper(1).start(), all_of.keeper(2).start()
    all_of.there(1, 173, 44311)
    all_of.there(2, 159, 44312)
    all_of.kill(two, 2)
    for number, proto in (1, 173), (2, 159):
        all_of.leave(number, proto)
    ip = all_of.ns.run
    assert ip("ip", "tuntap", "add", "tun2left", "mode", "tun").returncode == 0
    assert ip("ip", "link", "set", "tun2left", "group", "44312").returncode == 0
    before = all_of.of(1)
    assert len(all_of.of(2)) == 2 and "10.1.1.77" in str(before)
    three = all_of.keeper(3, "interface-groups = 3").start()
    all_of.there(3, 160, 44313)
    assert "removed 2 addresses, routes and interfaces of a former run" in three.text()
    assert not all_of.of(2) and all_of.of(1) == before
    three.stop()
    assert all_of.of(1) == before
    one.stop()


# Every name of a keeper is taken.
NAMES = """
import os, socket, time
os.setuid(65534)
names = [socket.socket(socket.AF_UNIX) for _ in range(15)]
for number, s in enumerate(names, 1):
    s.bind("\\0adit-keeper" + (f"-{number}" if number > 1 else ""))
    s.listen(64)
print(f"process {os.getpid()} has the names", flush=True)
time.sleep(1000)
"""


def test_keeper_without_a_name(lab):
    """What it put into the kernel would be removed by whoever has its number: it does not begin."""
    ns = lab.ns("keepers")
    stranger = ns.start("/usr/bin/python3", "-c", NAMES, name="stranger")
    wait_for("the stranger", lambda: "has the names" in stranger.text())
    has = stranger.text().split(" has ")[0]
    keeper = lab.adit(ns, """
interface-groups = 2
interface = tun2
listen "here" { address = 127.0.0.2 }
pool "p" { addresses = 10.1.2.0/24 }
profile "home" { users = @DIR@/users pool = "p" local-address = 10.1.2.1 }
peer "all" { profile = "home" }
""", users="")
    done = ns.run(KEEPER, "-c", keeper.conf, "--run", check=False, timeout=60, env={**os.environ, **NO_LEAKS})
    assert done.returncode == 1
    assert f"the name @adit-keeper-2 is that of {has} of user 65534, which is no adit-keeper" in done.stderr
    assert "tun2" not in ns.run("ip", "-o", "link").stdout
