# SPDX-License-Identifier: MIT
"""adit-keeper with an aditd that does what the test says (fake_aditd.py): what it is given, what it
is refused, that the next one gets the same, and that nothing of ours stays behind."""

import json
import os
import pwd
import re
import signal
import socket
import struct
import time

import pytest

from lab import BUILD, ROOT, pending, wait_for

MAGIC = 0x61646B31
HELLO, SOCKET, TUN, TUN_GONE, LINK, ADDR, ROUTE, PIN, RESOLVE, HOOK, READY, RELOAD, STATUS = range(1, 14)
UPGRADE, STOPPING, STOPPED, SOCKET_GONE, FORBIDDEN, REPLY = 15, 16, 17, 18, 50, 100
(T_ERROR, T_TEXT, T_NAME, T_VIA, T_ADDR, T_PREFIX, T_MTU, T_TABLE, T_METRIC, T_ADD, T_HOST, T_PORT,
 T_PROGRAM, T_ENV, T_STATUS, T_STARTS, T_INCARNATION, T_SINCE, T_SIZE, T_ETHERNET, T_MASTER) = range(1, 22)
EPERM, ENOENT, EAGAIN, EBUSY, ENODEV, EINVAL, EOPNOTSUPP, ETIMEDOUT = 1, 2, 11, 16, 19, 22, 95, 110
KEEPER = os.environ.get("ADIT_KEEPER", BUILD / "src/keeper/adit-keeper")

CONFIG = """
listen "here" {{ address = 192.0.2.1 port = 1701 }}
listen "both" {{ port = 1702 }}
pool "home" {{ addresses = 10.1.0.0/24 prefixes = 2001:db8:1::/48 }}
profile "home" {{ users = {dir}/users pool = "home" local-address = 10.1.0.1 }}
peer "all" {{ profile = "home" }}
session "vpn" {{
    server = server.test
    user = "alice"
    password = "x"
    connect = manual
    interface = vpn0
    default-route = yes
    routes = {{ 10.9.0.0/16 }}
    hook-up = {dir}/hook
}}
session "other" {{
    server = 198.51.100.7
    user = "alice"
    password = "x"
    connect = manual
    interface = vpn1
    routes = {{ 10.8.0.0/16 }}
    route-table = 77
    route-metric = 5
}}
"""

HOOK_SCRIPT = """#!/bin/sh
echo "$ADIT_EVENT begin" >> {dir}/hooks
[ -n "$ADIT_SLEEP" ] && sleep "$ADIT_SLEEP"
echo "$ADIT_EVENT end $PATH" >> {dir}/hooks
exit 3
"""


def rss(pid):
    """KiB of memory."""
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))


def tlv(tag, value):
    return struct.pack("!HH", tag, len(value)) + value


def u32(tag, value):
    return tlv(tag, struct.pack("!I", value))


def text(tag, value):
    return tlv(tag, value.encode())


def address(value, port=0):
    family = socket.AF_INET6 if ":" in value else socket.AF_INET
    version = 6 if family == socket.AF_INET6 else 4
    return struct.pack("!HHI", version, port, 0) + socket.inet_pton(family, value).ljust(16, b"\0")


def prefix(value):
    ip, _, length = value.partition("/")
    return tlv(T_PREFIX, address(ip) + bytes([int(length)]))


class Reply:
    def __init__(self, datagram, fds):
        magic, self.id, self.type, zero = struct.unpack("!IIHH", datagram[:12])
        assert magic == MAGIC and zero == 0
        self.fds = fds
        self.values = {}
        rest = datagram[12:]
        while rest:
            tag, length = struct.unpack("!HH", rest[:4])
            self.values.setdefault(tag, []).append(rest[4:4 + length])
            rest = rest[4 + length:]

    def number(self, tag):
        return int.from_bytes(self.values[tag][0], "big")

    @property
    def error(self):
        return self.number(T_ERROR)

    @property
    def text(self):
        return self.values.get(T_TEXT, [b""])[0].decode()

    @property
    def addresses(self):
        found = []
        for value in self.values.get(T_ADDR, []):
            version, port, _ = struct.unpack("!HHI", value[:8])
            ip = (socket.inet_ntop(socket.AF_INET, value[8:12]) if version == 4 else
                  socket.inet_ntop(socket.AF_INET6, value[8:24]))
            found.append((ip, port))
        return found


class Fake:
    """The test's side of a running fake aditd."""

    def __init__(self, directory):
        self.path = wait_for("a fake aditd", lambda: self.find(directory))
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self.path)
        self.pid = int(self.path.rsplit("-", 1)[1])
        self.lines = self.sock.makefile("r")
        self.last = 0
        self.replies = []

    seen = set()

    @classmethod
    def find(cls, directory):
        link = directory / "fake"
        if not link.is_symlink():
            return None
        path = os.readlink(link)
        if path in cls.seen:
            return None
        cls.seen.add(path)
        return path

    def line(self):
        line = self.lines.readline()
        assert line, "the fake aditd is gone"
        return json.loads(line)

    def command(self, line):
        self.sock.sendall(line.encode() + b"\n")
        while True:
            answer = self.line()
            if "datagram" not in answer:
                return answer
            self.replies.append(Reply(bytes.fromhex(answer["datagram"]), answer["fds"]))

    def send(self, kind, *values):
        self.last += 1
        datagram = struct.pack("!IIHH", MAGIC, self.last, kind, 0) + b"".join(values)
        self.sock.sendall(b"send " + datagram.hex().encode() + b"\n")
        return self.last

    def reply(self, number):
        while True:
            for reply in self.replies:
                if reply.id == number:
                    self.replies.remove(reply)
                    return reply
            answer = self.line()
            self.replies.append(Reply(bytes.fromhex(answer["datagram"]), answer["fds"]))

    def ask(self, kind, *values):
        return self.reply(self.send(kind, *values))

    def good(self, kind, *values):
        reply = self.ask(kind, *values)
        assert reply.error == 0, reply.text
        return reply

    def refused(self, kind, *values, error=EPERM):
        reply = self.ask(kind, *values)
        assert reply.error == error, (reply.error, reply.text)
        assert len(reply.text) > 10
        return reply.text

    def value(self, expression):
        return self.command("eval " + expression)["value"]

    def tun(self, name, mtu=1400):
        self.good(TUN, text(T_NAME, name))
        self.good(LINK, text(T_NAME, name), u32(T_MTU, mtu))

    def route(self, name, where, table=0, metric=0, add=1):
        return (ROUTE, text(T_NAME, name), prefix(where), u32(T_TABLE, table), u32(T_METRIC, metric),
                u32(T_ADD, add))

    def addr(self, name, what, add=1):
        return ADDR, text(T_NAME, name), prefix(what), u32(T_ADD, add)


class World:
    """A namespace with a way out, a keeper in it, and its present aditd."""

    def __init__(self, lab, user="nobody", start=True):
        self.lab = lab
        self.ns = lab.ns("keeper")
        self.far = lab.ns("far")
        lab.cable(self.ns, self.far, ["192.0.2.1/24", "2001:db8:2::1/64"],
                  ["192.0.2.2/24", "2001:db8:2::2/64"])
        self.ns.run("ip", "route", "add", "default", "via", "192.0.2.2")
        self.dir = lab.dir
        (self.dir / "fakes").mkdir()
        (self.dir / "fakes").chmod(0o777)
        self.hook = self.dir / "hook"
        self.hook.write_text(HOOK_SCRIPT.format(dir=self.dir))
        self.hook.chmod(0o755)
        (self.dir / "users").write_text("bob * secret 203.0.113.5 2001:db8:5::/56\n")
        self.conf = self.dir / "adit.conf"
        self.write_conf(user=user)
        wait_for("the cable", lambda: "linkdown" not in str(self.state())
                 and "state UP" in self.ns.run("ip", "link", "show", "eth1").stdout)
        self.before = self.state()
        self.process = None
        if start:
            self.start()
            try:
                self.fake = Fake(self.dir / "fakes")
            except AssertionError:
                print(self.log())
                raise

    def write_conf(self, more="", user="nobody"):
        self.conf.write_text(f'control = "{self.dir}/control"\nstate-directory = "{self.dir}"\n'
                             f'user = "{user}"\nlog-level = "debug"\n'
                             + CONFIG.format(dir=self.dir) + more)

    def start(self, **popen):
        environment = dict(os.environ, FAKE_DIR=str(self.dir / "fakes"))
        self.process = self.ns.start(KEEPER, "-c", self.conf, "-f", "--run",
                                     ROOT / "tests/net/fake_aditd.py", name="keeper",
                                     env=environment, **popen)

    def next_fake(self):
        self.fake = Fake(self.dir / "fakes")
        return self.fake

    def state(self):
        out = []
        for words in (["-4", "route", "show", "table", "all"], ["-6", "route", "show", "table", "all"],
                      ["rule", "show"], ["-o", "link", "show"], ["-o", "addr", "show"]):
            out.append(sorted(re.sub(r"(valid_lft|preferred_lft|expires) \S+|qlen \d+", "", line)
                              for line in self.ns.run("ip", *words).stdout.splitlines()
                              # the kernel's own link-local addresses come when they like
                              if "fe80:" not in line and "ff00::/8" not in line))
        return out

    def routes(self, *words):
        return self.ns.run("ip", "route", "show", *words).stdout

    def routes6(self, *words):
        return self.ns.run("ip", "-6", "route", "show", *words).stdout

    def log(self):
        return self.process.text()


@pytest.fixture
def world(lab):
    return World(lab)


def fnv(*parts):
    """The number of a socket as src/daemon/conf_build.c makes it."""
    number = 0x811C9DC5
    for part in parts:
        for octet in part.encode() + b"/":
            number = (number ^ octet) * 0x01000193 & 0xFFFFFFFF
    return number


HERE = fnv("listen here", "192.0.2.1:1701", "")
BOTH6 = fnv("listen both", "[::]:1702", "")


def test_rights_of_aditd(world):
    facts = world.fake.command("facts")
    nobody = pwd.getpwnam("nobody")
    assert facts["uid"] == nobody.pw_uid and facts["gid"] == nobody.pw_gid
    assert facts["groups"] == [nobody.pw_gid]
    assert all(int(c, 16) == 0 for c in facts["caps"])
    assert facts["no_new_privs"] == "1"
    assert facts["args"] == ["-c", str(world.conf)]
    assert facts["fds"] == [0, 1, 2, 3]
    assert facts["environment"]["ADIT_KEEPER_FD"] == "3"
    status = dict(line.split(":\t", 1) for line in
                  open(f"/proc/{world.process.pid}/status").read().splitlines() if ":\t" in line)
    # NET_ADMIN 12, NET_RAW 13, KILL 5, SETGID 6, SETUID 7
    kept = 1 << 12 | 1 << 13 | 1 << 5 | 1 << 6 | 1 << 7
    for word in ("CapPrm", "CapEff", "CapBnd"):
        assert int(status[word], 16) == kept, word


def test_hello(world):
    reply = world.fake.good(HELLO)
    assert len(reply.fds) == 4
    sizes = [int.from_bytes(v, "big") for v in reply.values[T_SIZE]]
    for fd, size in zip(reply.fds, sizes):
        assert world.fake.value(f"os.fstat({fd}).st_size") == size
    assert world.fake.value(f"os.pread({reply.fds[0]}, 8, 0).hex()") == b"aditurnl".hex()
    assert reply.number(T_STARTS) == 1
    assert reply.number(T_INCARNATION) == int((world.dir / "incarnation").read_text())
    assert os.stat(world.dir / "control").st_mode & 0o777 == 0o660
    # a client that connects while nobody accepts waits in the queue
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(world.dir / "control"))
    assert world.fake.value(f"socket.socket(fileno=os.dup({reply.fds[3]})).accept()[0].fileno()") > 0
    # shared memory cannot be cut short
    assert world.fake.value(
        f"(lambda: [os.ftruncate, 'cut'][1])() if not __import__('fcntl').fcntl({reply.fds[0]}, 1034) & 2"
        " else 'sealed'") == "sealed"


def test_sockets(world):
    reply = world.fake.good(SOCKET, u32(T_VIA, HERE))
    assert reply.addresses == [("192.0.2.1", 1701)]
    reply = world.fake.good(SOCKET, u32(T_VIA, BOTH6))
    assert reply.addresses == [("::", 1702)]
    fd = reply.fds[0]
    assert world.fake.value(f"socket.socket(fileno=os.dup({fd})).getsockopt(41, 26)") == 1  # V6ONLY
    assert world.fake.value(f"socket.socket(fileno=os.dup({fd})).getsockopt(41, 49)") == 1  # PKTINFO
    assert "not in the configuration" in world.fake.refused(SOCKET, u32(T_VIA, 12345))
    # one that the configuration has is there for as long as it has it, one that nobody knows is gone
    before = world.ns.run("ss", "-Hlnu").stdout
    for via in (HERE, 12345):
        world.fake.good(SOCKET_GONE, u32(T_VIA, via))
    assert world.ns.run("ss", "-Hlnu").stdout == before and "192.0.2.1:1701" in before


def test_socket_of_another_program(lab):
    world = World(lab)
    other = world.ns.start("/usr/bin/python3", "-c",
                           "import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
                           "s.setsockopt(1, 2, 1); s.bind(('0.0.0.0', 1701)); print('bound', flush=True);"
                           "time.sleep(60)", name="other")
    wait_for("the other program", lambda: "bound" in other.text())
    reply = world.fake.ask(SOCKET, u32(T_VIA, HERE))
    assert "another program" in reply.text and "192.0.2.1:1701" in reply.text
    other.stop()
    world.fake.good(SOCKET, u32(T_VIA, HERE))


def test_tun_addresses_routes(world):
    fake, ns = world.fake, world.ns
    fake.tun("adit0", 1380)
    link = ns.run("ip", "-o", "link", "show", "adit0").stdout
    assert "mtu 1380" in link and ",UP" in link and "group 44311" in link
    assert "inet6" not in ns.run("ip", "addr", "show", "adit0").stdout
    fake.good(*fake.addr("adit0", "fe80::1/64"))
    fake.good(*fake.addr("lo", "10.1.0.1/32"))
    fake.good(*fake.addr("lo", "10.1.0.1/32"))
    assert "10.1.0.1/32" in ns.run("ip", "addr", "show", "lo").stdout
    for where in ("10.1.0.0/24", "10.1.0.128/25", "2001:db8:1::/48", "203.0.113.5/32",
                  "2001:db8:5::/56"):
        fake.good(*fake.route("adit0", where))
        fake.good(*fake.route("adit0", where))
    assert "10.1.0.0/24 dev adit0 proto 173" in world.routes()
    fake.good(*fake.route("adit0", "10.1.0.0/24", add=0))
    fake.good(*fake.route("adit0", "10.1.0.0/24", add=0))
    assert "10.1.0.0/24" not in world.routes()
    fake.good(*fake.addr("lo", "10.1.0.1/32", add=0))
    assert "10.1.0.1/32" not in ns.run("ip", "addr", "show", "lo").stdout
    fake.good(TUN_GONE, text(T_NAME, "adit0"))
    assert ns.run("ip", "link", "show", "adit0", check=False).returncode != 0
    fake.good(TUN_GONE, text(T_NAME, "adit0"))
    # and again: nothing is remembered of what went with the device
    fake.tun("adit0")
    fake.good(*fake.route("adit0", "10.1.0.0/24"))
    assert "10.1.0.0/24 dev adit0" in world.routes()


def test_refusals(world):
    fake, ns = world.fake, world.ns
    fake.refused(TUN, text(T_NAME, "tun0"))
    fake.refused(TUN, text(T_NAME, "eth1"))
    fake.tun("adit0")
    fake.tun("vpn0")
    fake.tun("vpn1")
    fake.refused(*fake.addr("adit0", "192.0.2.77/32"))
    fake.refused(*fake.addr("lo", "127.0.0.2/8"))
    fake.refused(*fake.addr("lo", "10.1.0.2/32"))
    fake.refused(*fake.addr("eth1", "10.1.0.1/32"))
    fake.refused(*fake.addr("vpn0", "224.0.0.1/32"))
    for where in ("0.0.0.0/0", "10.1.0.0/23", "10.2.0.0/24", "198.51.100.1/32", "2001:db8::/32",
                  "203.0.113.4/32", "::/0"):
        fake.refused(*fake.route("adit0", where))
    fake.refused(*fake.route("adit0", "10.1.0.0/24", table=7))
    fake.refused(*fake.route("vpn0", "10.8.0.0/16"))
    fake.refused(*fake.route("vpn1", "10.8.0.0/16"))
    fake.refused(*fake.route("vpn1", "0.0.0.0/0", table=77, metric=5))
    fake.refused(*fake.route("vpn0", "10.9.1.1/16"))
    fake.refused(PIN, tlv(T_ADDR, address("8.8.8.8")), u32(T_ADD, 1))
    fake.refused(RESOLVE, text(T_HOST, "example.net"), u32(T_PORT, 1701))
    fake.refused(HOOK, text(T_NAME, "vpn"), text(T_PROGRAM, "/bin/sh"))
    fake.refused(HOOK, text(T_NAME, "other"), text(T_PROGRAM, str(world.hook)))
    fake.refused(HOOK, text(T_NAME, "nothing"), text(T_PROGRAM, str(world.hook)))
    fake.refused(HOOK, text(T_NAME, "vpn"), text(T_PROGRAM, str(world.hook)),
                 text(T_ENV, "LD_PRELOAD=/tmp/x.so"))
    os.chmod(world.hook, 0o777)
    assert "belong to root" in fake.refused(HOOK, text(T_NAME, "vpn"),
                                            text(T_PROGRAM, str(world.hook)))
    # what is not ours is not touched
    fake.good(*fake.addr("eth1", "192.0.2.1/24", add=0))
    assert "192.0.2.1/24" in ns.run("ip", "addr", "show", "eth1").stdout
    fake.refused(LINK, text(T_NAME, "eth1"), u32(T_MTU, 1280), error=ENODEV)
    assert "refused to aditd" in world.log()
    ns.run("ip", "tuntap", "add", "mode", "tun", "vpn2")
    world.write_conf('session "third" { server = 192.0.2.2 user = "a" password = "b" '
                     'connect = manual interface = vpn2 }\n')
    fake.good(RELOAD)
    assert "not ours" in fake.refused(TUN, text(T_NAME, "vpn2"), error=EBUSY)


def test_a_dial_gets_no_number_of_hosts(world):
    """Each address and host route draws somebody's packets here: a session needs few."""
    fake = world.fake
    fake.tun("vpn0")
    for n in range(8):
        fake.good(*fake.route("vpn0", f"198.18.0.{n}/32"))
        fake.good(*fake.addr("vpn0", f"198.19.0.{n}/32"))
    assert "already" in fake.refused(*fake.route("vpn0", "198.18.0.8/32"))
    fake.refused(*fake.route("vpn0", "2001:db8:99::1/128"))
    assert "already" in fake.refused(*fake.addr("vpn0", "198.19.0.8/32"))
    # one that is there may be asked for again, and one may take another's place
    fake.good(*fake.route("vpn0", "198.18.0.3/32"))
    fake.good(*fake.route("vpn0", "198.18.0.3/32", add=0))
    fake.good(*fake.route("vpn0", "198.18.0.8/32"))
    # what the configuration names is no single host
    fake.good(*fake.route("vpn0", "10.9.0.0/16"))
    # users have as many as there are
    fake.tun("adit0")
    fake.good(*fake.route("adit0", "10.1.0.0/24"))
    for n in range(20):
        fake.good(*fake.route("adit0", f"10.1.0.{n + 10}/32"))


def test_more_than_may_be_asked_for(world):
    """Names, tables, prefixes and programs next to those that are allowed."""
    fake, ns = world.fake, world.ns
    fake.tun("adit0")
    fake.tun("vpn0")
    for name in ("lo", "../adit0", "adit0 ", "ADIT0", "adit0\n", "all", "vpn0x", "", "%s%n"):
        fake.refused(TUN, text(T_NAME, name))
    for where in ("10.1.0.0/0", "10.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32",
                  "0.0.0.0/32", "::1/128", "ff00::/8", "fe80::/10", "::/1", "128.0.0.0/1"):
        fake.refused(*fake.route("adit0", where))
    for where in ("0.0.0.0/1", "128.0.0.0/1", "10.9.0.0/17", "10.8.0.0/15", "::/0", "224.0.0.1/32",
                  "127.0.0.1/32", "ff02::1/128", "::1/128"):
        if where != "::/0":  # that one is configured: default-route
            fake.refused(*fake.route("vpn0", where))
    for table, metric in ((254, 0), (255, 0), (77, 0), (0, 1), (2**32 - 1, 0)):
        fake.refused(*fake.route("vpn0", "10.9.0.0/16", table=table, metric=metric))
    for what in ("0.0.0.0/0", "10.7.0.1/24", "127.0.0.1/32", "ff02::1/128", "::/128", "::1/128",
                 "255.255.255.255/32", "2001:db8::1/48"):
        fake.refused(*fake.addr("vpn0", what))
    for program in ("", "/bin/sh", f"{world.hook} ", f"{world.hook}/../hook", "hook"):
        fake.refused(HOOK, text(T_NAME, "vpn"), text(T_PROGRAM, program))
    for env in ("ADIT_=1", "ADIT_x=1", "PATH=/tmp", "LD_LIBRARY_PATH=/tmp", "ADIT_X\n=1", "IFS=x"):
        fake.refused(HOOK, text(T_NAME, "vpn"), text(T_PROGRAM, str(world.hook)), text(T_ENV, env))
    for host in ("server.test.", "server.test ", "SERVER.TEST@x", "$(id)", "-h"):
        fake.refused(RESOLVE, text(T_HOST, host), u32(T_PORT, 1701))
    for to in ("0.0.0.0", "127.0.0.1", "255.255.255.255", "224.0.0.1", "::1", "ff02::1", "8.8.4.4"):
        fake.refused(PIN, tlv(T_ADDR, address(to)), u32(T_ADD, 1))
    for via in (0, 3, 0xffffffff):
        fake.refused(SOCKET, u32(T_VIA, via))
    assert "proto 173" not in world.routes() and world.process.alive()
    assert "inet 10." not in ns.run("ip", "addr", "show", "vpn0").stdout


def test_requests_that_are_not_for_aditd(world):
    """Masters, devices of others, tap devices that no block wants, and requests of root or of nobody."""
    fake, ns = world.fake, world.ns
    fake.tun("vpn0")
    ns.run("ip", "link", "add", "other0", "type", "bridge")
    ns.run("ip", "link", "set", "other0", "up")
    for master in ("other0", "eth1", "lo", "../x", "other0\n"):
        fake.refused(LINK, text(T_NAME, "vpn0"), u32(T_MTU, 1400), text(T_MASTER, master))
    assert "master" not in ns.run("ip", "link", "show", "vpn0").stdout
    for mtu in (0, 67, 70000):
        fake.refused(LINK, text(T_NAME, "vpn0"), u32(T_MTU, mtu), error=EINVAL)
    # a session of PPP gets no Ethernet device
    fake.refused(TUN, text(T_NAME, "vpn1"), u32(T_ETHERNET, 1))
    assert ns.run("ip", "link", "show", "vpn1", check=False).returncode != 0
    # what is not ours is not removed
    for name in ("eth1", "other0", "lo"):
        fake.ask(TUN_GONE, text(T_NAME, name))
    for name in ("eth1", "other0", "lo"):
        ns.run("ip", "link", "show", name)
    # root's request, a reply, numbers that mean nothing
    for kind in (UPGRADE, REPLY, 0, 20, 49, 51, 99, 255):
        fake.refused(kind, error=EOPNOTSUPP)
    # aditd's last words are only noted
    fake.send(FORBIDDEN, u32(T_STATUS, 101), text(T_NAME, "ptrace"))
    fake.good(STATUS)
    assert world.process.alive()


def test_hundreds_of_requests_in_flight(world):
    """Requests without a pause, good and bad, are all answered, and nothing grows."""
    fake = world.fake
    before = rss(world.process.pid)
    for _ in range(30):
        numbers = []
        for n in range(50):
            numbers.append(fake.send(STATUS))
            numbers.append(fake.send(*fake.route("vpn0", f"8.8.{n}.0/24")))
        answers = [fake.reply(number) for number in numbers]
        assert all(a.error == 0 for a in answers[::2])
        assert all(a.error == EPERM for a in answers[1::2])
    assert rss(world.process.pid) - before < 20_000


def test_what_aditd_says_of_its_end(world):
    """FORBIDDEN is not answered, said only when aditd was ended by its sandbox, and escaped."""
    fake = world.fake
    fake.send(50, text(T_NAME, "exec\x1b[2Jve"), u32(T_STATUS, 59))
    fake.good(STATUS)
    assert not fake.replies and "sandbox" not in world.log()
    os.kill(fake.pid, signal.SIGSYS)
    world.next_fake()
    wait_for("the line", lambda: "the sandbox has ended aditd" in world.log())
    assert "\x1b" not in world.log() and "exec" in world.log() and "(59)" in world.log()


def test_hostile_datagrams(world):
    fake = world.fake
    good = struct.pack("!IIHH", MAGIC, 9, STATUS, 0)
    for bad in (b"\0", good[:11], b"\1" + good[1:], good + b"\0", good + tlv(T_VIA, b"123"),
                good + tlv(T_NAME, b"x" * 5000), good + tlv(T_NAME, b"a\0b"),
                good + u32(T_VIA, 1) * 2, good + tlv(T_ENV, b"=x"),
                good + tlv(T_PREFIX, address("10.0.0.0") + b"\x21"), good + b"\0" * 7000,
                struct.pack("!IIHH", MAGIC, 0, TUN, 0) + text(T_NAME, "adit0")):
        fake.sock.sendall(b"send " + bad.hex().encode() + b"\n")
    fake.good(STATUS)
    assert fake.ask(77).error != 0
    assert fake.ask(TUN).error != 0
    assert world.ns.run("ip", "link", "show", "adit0", check=False).returncode != 0
    assert world.process.alive()


PLANE, BATCH_DEL, BATCH_SEND, BATCH_LIST, BATCH_PROBE = 14, 2, 6, 7, 8
BATCH_DONE, BATCH_LIST_END, BATCH_FOUND, BATCH_PROBE_END = 32, 39, 40, 41


def ask_plane(fake, records, until):
    """Send records to the keeper's plane; the records that come, up to tag `until`."""
    datagram = struct.pack("!IIHH", MAGIC, 0, PLANE, 0) + records
    fake.sock.sendall(b"send " + datagram.hex().encode() + b"\n")
    found = {}
    while until not in found:
        for tag, values in fake.reply(0).values.items():
            found.setdefault(tag, []).extend(values)
    return found


def test_keys_of_the_keepers_own_pseudowires(world):
    for key, refused in ((7, False), (0xFFFFFFFEFFFFFFFF, False), (0xFFFFFFFF00000001, True),
                         (0xFFFFFFFFFFFFFFFF, True)):
        send = tlv(BATCH_SEND, struct.pack("!QBH", key, 0, 0xC021))
        done = ask_plane(world.fake, send + tlv(BATCH_DEL, struct.pack("!QI", key, 3)), BATCH_DONE)
        assert len(done[BATCH_DONE]) == 1
        assert (b"keeper's own pseudowires" in done[BATCH_DONE][0]) == refused
        assert ("keeper's own pseudowires" in world.log()) == refused
    world.fake.good(STATUS)


def test_questions_that_cost_much(world):
    fake = world.fake
    # the list is needed once, at the start of an aditd
    found = ask_plane(fake, tlv(BATCH_LIST, b"") * 2000 + tlv(BATCH_PROBE, b""), BATCH_PROBE_END)
    assert len(found[BATCH_LIST_END]) == 1
    # looking at the kernel takes a while: not for each
    began = time.monotonic()
    found = ask_plane(fake, tlv(BATCH_PROBE, b"") * 500 + tlv(BATCH_DEL, bytes(12)), BATCH_DONE)
    assert time.monotonic() - began < 60
    assert found[BATCH_FOUND]
    os.kill(fake.pid, signal.SIGKILL)
    fake = world.next_fake()
    assert len(ask_plane(fake, tlv(BATCH_LIST, b""), BATCH_LIST_END)[BATCH_LIST_END]) == 1


def test_default_route_and_pin(world):
    fake, ns = world.fake, world.ns
    fake.tun("vpn0")
    fake.good(*fake.addr("vpn0", "10.50.0.2/32"))
    fake.good(PIN, tlv(T_ADDR, address("198.51.100.7")), u32(T_ADD, 1))
    fake.good(*fake.route("vpn0", "10.50.0.1/32"))
    fake.good(*fake.route("vpn0", "10.9.0.0/16"))
    fake.good(*fake.route("vpn0", "0.0.0.0/0"))
    # there is another default route: ours wins as two halves
    routes = world.routes()
    assert "default via 192.0.2.2" in routes and "128.0.0.0/1 dev vpn0" in routes
    assert "dev vpn0" in ns.run("ip", "route", "get", "203.0.113.9").stdout
    assert "via 192.0.2.2" in ns.run("ip", "route", "get", "198.51.100.7").stdout
    assert "dev vpn0" in ns.run("ip", "route", "get", "10.9.3.4").stdout
    # IPv6 has no default route: ours is a plain one
    fake.good(*fake.route("vpn0", "::/0"))
    assert "default dev vpn0" in world.routes6()
    # the way out changes; the pin follows when it is asked for again
    ns.run("ip", "addr", "add", "192.0.2.9/24", "dev", "eth1")
    world.far.run("ip", "addr", "add", "192.0.2.3/24", "dev", "eth1")
    ns.run("ip", "route", "replace", "default", "via", "192.0.2.3")
    assert "via 192.0.2.2" in ns.run("ip", "route", "get", "198.51.100.7").stdout
    fake.good(PIN, tlv(T_ADDR, address("198.51.100.7")), u32(T_ADD, 1))
    assert "via 192.0.2.3" in ns.run("ip", "route", "get", "198.51.100.7").stdout
    fake.good(*fake.route("vpn0", "0.0.0.0/0", add=0))
    fake.good(PIN, tlv(T_ADDR, address("198.51.100.7")), u32(T_ADD, 0))
    routes = world.routes()
    assert "128.0.0.0/1" not in routes and "198.51.100.7" not in routes
    assert "default via 192.0.2.3" in routes


def test_table_and_metric(world):
    fake = world.fake
    fake.tun("vpn1")
    fake.good(*fake.route("vpn1", "10.8.0.0/16", table=77, metric=5))
    assert "10.8.0.0/16 dev vpn1" in world.routes("table", "77")
    assert "metric 5" in world.routes("table", "77")
    # a server on the link, and one with IPv6, need no gateway
    world.write_conf('session "third" { server = 192.0.2.2 user = "a" password = "b" '
                     'connect = manual }\nsession "fourth" { server = "2001:db8:2::2" user = "a" '
                     'password = "b" connect = manual }\n')
    fake.good(RELOAD)
    fake.good(PIN, tlv(T_ADDR, address("192.0.2.2")), u32(T_ADD, 1))
    fake.good(PIN, tlv(T_ADDR, address("2001:db8:2::2", 1701)), u32(T_ADD, 1))
    assert "192.0.2.2 dev eth1 proto 173 scope link" in world.routes()
    assert "2001:db8:2::2 dev eth1 proto 173" in world.routes6()


def test_what_was_there_stays(world):
    fake, ns = world.fake, world.ns
    ns.run("ip", "addr", "add", "10.1.0.1/32", "dev", "lo")
    ns.run("ip", "route", "add", "198.51.100.7", "via", "192.0.2.2")
    fake.good(*fake.addr("lo", "10.1.0.1/32"))
    fake.good(PIN, tlv(T_ADDR, address("198.51.100.7")), u32(T_ADD, 1))
    fake.good(*fake.addr("lo", "10.1.0.1/32", add=0))
    fake.good(PIN, tlv(T_ADDR, address("198.51.100.7")), u32(T_ADD, 0))
    assert "10.1.0.1/32" in ns.run("ip", "addr", "show", "lo").stdout
    assert "198.51.100.7 via" in world.routes()
    fake.tun("vpn0")
    ns.run("ip", "route", "add", "10.9.0.0/16", "via", "192.0.2.2")
    assert "one with the same metric" in fake.refused(*fake.route("vpn0", "10.9.0.0/16"), error=17)


def test_resolve(world):
    etc = world.dir
    fake = world.fake
    world.write_conf('session "lo" { server = localhost user = "a" password = "b" connect = manual }\n')
    fake.good(RELOAD)
    reply = fake.good(RESOLVE, text(T_HOST, "localhost"), u32(T_PORT, 1701))
    assert ("127.0.0.1", 1701) in reply.addresses or ("::1", 1701) in reply.addresses
    reply = fake.ask(RESOLVE, text(T_HOST, "server.test"), u32(T_PORT, 1701))
    assert reply.error in (ENOENT, EAGAIN) and "server.test" in reply.text


def test_hooks(world):
    fake = world.fake
    slow = fake.send(HOOK, text(T_NAME, "vpn"), text(T_PROGRAM, str(world.hook)),
                     text(T_ENV, "ADIT_EVENT=up"), text(T_ENV, "ADIT_SLEEP=3"))
    quick = fake.send(HOOK, text(T_NAME, "vpn"), text(T_PROGRAM, str(world.hook)),
                      text(T_ENV, "ADIT_EVENT=down"))
    # the keeper goes on meanwhile
    begin = time.monotonic()
    fake.good(STATUS)
    assert time.monotonic() - begin < 2.8
    for number in (slow, quick):
        reply = fake.reply(number)
        assert reply.error == 0
        assert os.WEXITSTATUS(reply.number(T_STATUS)) == 3
    lines = (world.dir / "hooks").read_text().splitlines()
    assert [line.split()[:2] for line in lines] == [["up", "begin"], ["up", "end"], ["down", "begin"],
                                                    ["down", "end"]]
    assert "/usr/sbin" in lines[1]


def test_kill_and_same_descriptors(world):
    fake = world.fake
    hello = fake.good(HELLO)
    sock = fake.good(SOCKET, u32(T_VIA, HERE))
    fake.tun("adit0")
    fake.good(*fake.addr("lo", "10.1.0.1/32"))
    fake.good(*fake.route("adit0", "10.1.0.0/24"))
    fake.good(READY)
    inodes = [fake.value(f"os.fstat({fd}).st_ino") for fd in hello.fds]
    fake.value(f"os.pwrite({hello.fds[2]}, b'remember', 4096)")
    pid, port = fake.pid, sock.addresses
    os.kill(pid, signal.SIGKILL)
    # what comes while nobody is there waits
    world.far.run("/usr/bin/python3", "-c", "import socket; s = socket.socket(socket.AF_INET, "
                  "socket.SOCK_DGRAM); s.sendto(b'early', ('192.0.2.1', 1701))")
    fake = world.next_fake()
    assert fake.pid != pid
    again = fake.good(HELLO)
    assert again.number(T_STARTS) == 2
    assert again.number(T_INCARNATION) == hello.number(T_INCARNATION)
    assert again.number(T_SINCE) == hello.number(T_SINCE)
    assert [fake.value(f"os.fstat({fd}).st_ino") for fd in again.fds] == inodes
    assert fake.value(f"os.pread({again.fds[2]}, 8, 4096).decode()") == "remember"
    sock = fake.good(SOCKET, u32(T_VIA, HERE))
    assert sock.addresses == port
    assert fake.value(f"socket.socket(fileno=os.dup({sock.fds[0]})).recv(100).decode()") == "early"
    assert "10.1.0.0/24 dev adit0" in world.routes()
    assert world.ns.run("ip", "link", "show", "adit0").returncode == 0
    fake.good(TUN, text(T_NAME, "adit0"))


def test_what_the_next_one_does_not_want(world):
    fake = world.fake
    fake.tun("adit0")
    fake.tun("vpn0")
    fake.good(*fake.addr("lo", "10.1.0.1/32"))
    fake.good(*fake.route("adit0", "10.1.0.0/24"))
    fake.good(*fake.route("vpn0", "10.9.0.0/16"))
    fake.good(PIN, tlv(T_ADDR, address("198.51.100.7")), u32(T_ADD, 1))
    fake.good(READY)
    os.kill(fake.pid, signal.SIGKILL)
    fake = world.next_fake()
    fake.good(TUN, text(T_NAME, "adit0"))
    fake.good(READY)
    time.sleep(4)
    assert "198.51.100.7" in world.routes() and "10.9.0.0/16" in world.routes()
    wait_for("the sweep", lambda: "198.51.100.7" not in world.routes())
    assert "10.1.0.0/24 dev adit0" in world.routes()
    assert world.ns.run("ip", "link", "show", "vpn0", check=False).returncode != 0
    assert "10.1.0.1/32" not in world.ns.run("ip", "addr", "show", "lo").stdout


def test_restart_signal_and_backoff(world):
    pid = world.fake.pid
    world.fake.good(READY)
    world.process.child.send_signal(signal.SIGUSR1)
    world.next_fake()
    assert world.fake.pid != pid
    # short lives: the first is started again at once, the later ones wait longer and longer
    world.fake.good(READY)
    for _ in range(4):
        begin = time.monotonic()
        os.kill(world.fake.pid, signal.SIGKILL)
        world.next_fake()
        took = time.monotonic() - begin
    assert took > 0.4
    assert "in 400 ms" in world.log()


def test_gives_up_when_aditd_never_serves(world):
    for _ in range(3):
        world.fake.sock.sendall(b"exit 1\n")
        world.next_fake()
    world.fake.sock.sendall(b"exit 1\n")
    assert world.process.child.wait(60) == 1
    assert "giving up" in world.log()
    assert world.state() == world.before


def test_reload(world):
    fake = world.fake
    fake.good(SOCKET, u32(T_VIA, HERE))
    world.process.child.send_signal(signal.SIGHUP)
    told = fake.reply(0)
    assert told.type == RELOAD
    world.conf.write_text("nonsense = 1\n")
    assert "nonsense" in fake.refused(RELOAD, error=22)
    fake.good(SOCKET, u32(T_VIA, HERE))


@pytest.mark.parametrize("how", ["orderly", "deaf", "keeper killed"])
def test_stop_leaves_nothing(lab, how):
    world = World(lab)
    fake = world.fake
    for name in ("adit0", "vpn0", "vpn1"):
        fake.tun(name)
    fake.good(SOCKET, u32(T_VIA, HERE))
    fake.good(*fake.addr("lo", "10.1.0.1/32"))
    fake.good(*fake.addr("vpn0", "2001:db8:7::2/64"))
    fake.good(PIN, tlv(T_ADDR, address("198.51.100.7")), u32(T_ADD, 1))
    fake.good(*fake.route("vpn0", "0.0.0.0/0"))
    fake.good(*fake.route("adit0", "10.1.0.0/24"))
    fake.good(*fake.route("vpn1", "10.8.0.0/16", table=77, metric=5))
    assert world.state() != world.before
    if how == "keeper killed":
        world.process.child.kill()
        world.process.child.wait()
        os.kill(fake.pid, signal.SIGKILL)
        wait_for("the devices to vanish", lambda: world.ns.run(
            "ip", "link", "show", "adit0", check=False).returncode != 0)
        assert "198.51.100.7 via" in world.routes()
        world.start()
        world.next_fake()
        assert "of a former run" in world.log()
    elif how == "deaf":
        fake.command("deaf")
    begin = time.monotonic()
    assert world.process.stop(seconds=20) == 0
    assert how != "deaf" or time.monotonic() - begin > 9
    assert world.state() == world.before
    assert not os.path.exists(world.dir / "control")
    with pytest.raises(ProcessLookupError):
        os.kill(world.fake.pid, 0)


class Asked:
    """Asks the keeper to stop, and waits until its aditd is asked, too."""

    def __init__(self, world):
        self.world, self.fake = world, world.fake
        self.fake.value("str(__import__('signal').pthread_sigmask(0, [2, 15]))")

    def stop(self, how):
        self.world.process.child.send_signal(signal.SIGTERM)
        wait_for("aditd to be asked", lambda: pending(self.fake.pid) & 1 << how - 1)
        self.fake.value(f"str(__import__('signal').sigtimedwait([{how:d}], 0))")


def test_patience_with_one_in_a_hurry(lab):
    """Asked to tell all that are left at once, aditd still needs as long as it takes: it is not killed
    after ten seconds while it says that it goes on."""
    world = World(lab, start=False)
    world.write_conf("stop-rate = 1\n")
    world.start()
    fake = world.next_fake()
    fake.good(READY)
    asked = Asked(world)
    asked.stop(signal.SIGTERM)
    asked.stop(signal.SIGINT)  # at once: the keeper has not heard yet that it began
    until = time.monotonic() + 13
    while time.monotonic() < until:
        fake.good(STOPPING)
        time.sleep(0.5)
    fake.good(STOPPED)
    fake.sock.sendall(b"exit 0\n")
    assert world.process.child.wait(60) == 0
    assert "giving up" not in world.log(), world.log()
    assert world.state() == world.before


@pytest.mark.parametrize("pace", ["stop-rate = 1\n", ""])
def test_patience_has_an_end(lab, pace):
    """aditd says that it tells its peers. Asked once more the keeper has it tell all at once, if the
    configuration has a pace; asked again, or where it has none, it ends aditd."""
    world = World(lab, start=False)
    world.write_conf(pace)
    world.start()
    fake = world.next_fake()
    asked = Asked(world)

    def ended():
        """Until then it goes on saying so."""
        try:
            fake.good(STOPPING)
        except (OSError, AssertionError):
            pass  # it is gone, or the keeper is and has not answered
        return not world.process.alive()

    for how in (signal.SIGTERM, signal.SIGINT) if pace else (signal.SIGTERM,):
        asked.stop(how)
        fake.good(STOPPING)
    world.process.child.send_signal(signal.SIGTERM)
    wait_for("the keeper to end aditd, and itself", ended)
    assert world.process.child.wait() == 0
    assert world.state() == world.before


def test_deaths_during_a_stop_have_an_end(world):
    """Whoever dies before it is done is followed by another one, which is asked when it serves; after three
    the keeper ends by itself."""
    world.fake.tun("adit0")
    world.fake.good(READY)
    world.process.child.send_signal(signal.SIGTERM)  # kills it: it has ended as it was asked
    assert world.process.child.wait(60) == 0
    world.start()
    world.next_fake().good(READY)
    world.fake.command("deaf")
    world.process.child.send_signal(signal.SIGTERM)
    for left in range(2, -1, -1):
        os.kill(world.fake.pid, signal.SIGKILL)
        if left:
            world.next_fake().command("deaf")
            world.fake.good(READY)
    assert world.process.child.wait(60) == 0
    assert world.log().count("it is started again to tell the rest") == 2, world.log()
    assert world.log().count("aditd died again and again while it told the peers") == 1, world.log()
    assert world.state() == world.before


def test_user_that_is_not_there(lab):
    world = World(lab, user="no-such-user")
    assert world.fake.command("facts")["uid"] == pwd.getpwnam("nobody").pw_uid
    assert "there is no user no-such-user: aditd runs as nobody" in world.log()


def test_background(lab):
    world = World(lab, start=False)
    process = world.ns.start(KEEPER, "-c", world.conf, "--background", "--run",
                             ROOT / "tests/net/fake_aditd.py", name="background",
                             env=dict(os.environ, FAKE_DIR=str(world.dir / "fakes")))
    fake = world.next_fake()
    time.sleep(0.3)
    assert process.alive()
    keeper = int(open(f"/proc/{fake.pid}/stat").read().rsplit(")", 1)[1].split()[1])
    fake.good(READY)
    assert process.child.wait(60) == 0
    fake.good(STATUS)
    os.kill(keeper, signal.SIGTERM)
    wait_for("the keeper to end", lambda: not os.path.exists(f"/proc/{keeper}"))
    assert world.state() == world.before
