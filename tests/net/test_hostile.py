# SPDX-License-Identifier: MIT
"""Hostile input over real sockets: what strangers and peers may send at an LNS (doc/hostile.md).

After every case the peer that has a tunnel gets its answer to HELLO, and as many objects are there
as before. The reflection rule holds for all of them: at most one packet for one, and none larger to
an address that has not shown that it is there, as far as the RFC lets us (test_amplification)."""

import json
import os
import pathlib
import re
import signal
import struct
import subprocess
import time

import pytest

from lab import BUILD, PYTHON, wait_for
from peers import ScapyPeer

CONF = """
pool "subscribers" {{ addresses = {{"10.64.0.0/16"}} }}
profile "home" {{ users = "@DIR@/users" pool = "subscribers" local-address = "10.64.0.1" {profile} }}
peer "known" {{ from = {{"192.0.2.2/32"}} profile = "home" {known} }}
peer "anybody" {{ profile = "home" secret = "tunnel secret" }}
{more}
"""

SEND = r'''
import json, socket, sys
# a line: [port, address, seconds, wanted, datagram...]; each goes from one socket, and then what came
# back within some seconds, after as many as are wanted
for line in sys.stdin:
    port, remote, seconds, wanted, *datagrams = json.loads(line)
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    s.bind(("203.0.113.2", port))
    for text in datagrams:
        s.sendto(bytes.fromhex(text), (remote, 1701))
    got = []
    try:
        while True:
            s.settimeout(seconds if len(got) >= wanted else 60)
            got.append(s.recv(4096).hex())
    except TimeoutError:
        pass
    s.close()
    print(json.dumps(got), flush=True)
'''


def avp(number, value, flags=0x8000, vendor=0):
    return struct.pack("!HHH", flags | 6 + len(value), vendor, number) + value


def control(payload=b"", tunnel=0, session=0, ns=0, nr=0, flags=0xC802, length=None):
    return struct.pack("!HHHHHH", flags, 12 + len(payload) if length is None else length, tunnel,
                       session, ns, nr) + payload


def u16(n):
    return struct.pack("!H", n)


def sccrq(more=b"", host=b"lac", tunnel=7):
    return (avp(0, u16(1)) + avp(2, b"\1\0") + avp(3, b"\0\0\0\3") + avp(7, host)
            + avp(9, u16(tunnel)) + more)


class World:
    def __init__(self, lab, profile="", known="", more="", quiet=False, users="* * password *\n"):
        self.lab = lab
        self.peer_ns, self.lns_ns, self.crowd = lab.ns("peer"), lab.ns("lns"), lab.ns("crowd")
        lab.cable(self.peer_ns, self.lns_ns, ["192.0.2.2/24"], ["192.0.2.1/24"], "c0", "l0")
        lab.cable(self.crowd, self.lns_ns, ["203.0.113.2/24"], ["203.0.113.1/24"], "c0", "l1")
        self.lns_ns.run("ip", "route", "add", "10.128.0.0/9", "via", "203.0.113.2")
        self.crowd.run("ip", "route", "add", "blackhole", "10.128.0.0/9")
        for key in ("all", "l0", "l1"):
            self.lns_ns.sysctl(f"net.ipv4.conf.{key}.rp_filter", 0)
        self.lns = lab.adit(self.lns_ns, CONF.format(profile=profile, known=known, more=more),
                            users=users)
        if quiet:
            self.lns.conf.write_text(self.lns.conf.read_text().replace('log-level = "debug"',
                                                                       'log-level = "notice"'))
        self.lns.start()
        self.pid = self.lns.aditd_pid()
        self.peer = ScapyPeer(self.peer_ns, "192.0.2.2", "192.0.2.1", port=1701)
        self.sender = subprocess.Popen(self.crowd.argv([PYTHON, "-c", SEND]), text=True,
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        lab.children.append(self.sender)
        self.tunnel = self.peer("open")
        assert self.tunnel["ok"], self.lns.text()

    def status(self):
        return self.lns.json("status")

    def stranger(self, *payloads, port=0, to="203.0.113.1", seconds=0.25, wanted=0):
        """What datagrams from an address nobody knows are answered with."""
        line = json.dumps([port, to, seconds, wanted] + [p.hex() for p in payloads])
        self.sender.stdin.write(line + "\n")
        self.sender.stdin.flush()
        return [bytes.fromhex(h) for h in json.loads(self.sender.stdout.readline())]

    def check(self, tunnels=1):
        """The known peer is served, the process is the same, nothing stays behind."""
        assert self.peer("hello")["acked"], self.lns.text()
        assert self.lns.aditd_pid() == self.pid, self.lns.text()
        status = self.status()
        assert status["tunnels"] - status["half_open"] == tunnels, status


def drops(world):
    return sum(v for k, v in world.status()["data_plane"].items() if k.startswith("drop"))


def rss(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text).group(1))


@pytest.fixture
def world(lab):
    return World(lab)


# row: (datagram, answered by strangers' rules). Nothing here opens a tunnel.
SILENT = {
    "L01": [b"", b"\xc8", b"\xc8\x02\0\5\0"],
    "L02": [control()[:6], control()[:11]],
    "L04": [control(sccrq(), flags=0xC801), control(sccrq(), flags=0xC803)],
    "L05": [control(sccrq(), flags=0x8802), control(sccrq(), flags=0xC002)],
    "L07": [struct.pack("!HHHHHHH", 0xCA02, 80, 0, 0, 0, 0, 0xFFFF) + sccrq()],
    "L13": [control(avp(0, u16(n))) for n in (2, 3, 6, 10, 11, 12, 14, 15, 16)],
    "L17": [control(sccrq(), tunnel=4711)],
    "A05": [control(avp(9, u16(7)) + sccrq())],
    "A06": [control(struct.pack("!HHH", 0x8000 | n, 0, 0) + b"\0\1" + sccrq()[8:])
            for n in (6, 7, 9, 1023)],
    "S03": [control(sccrq(), ns=1), control(sccrq(), ns=65535)],
    "S09": [control()] * 20,
    "D02": [struct.pack("!HHHH", 0x4002, n, 1, 1) + b"\xff\x03\xc0\x21\1\1\0\4" for n in (0, 5, 65535)],
    "D03": [struct.pack("!HHHH", 0x0202, 1, 1, 0xFFFF) + b"\xff\x03\0\x21"],
}


def test_silence(world):
    """Dropped without a word, from a stranger and from the address of a tunnel."""
    # Hostile: L01, L02, L04, L05, L07, L13, L17, A05, A06, S03, S09, D02, D03
    for row, datagrams in SILENT.items():
        assert world.stranger(*datagrams) == [], row
        assert world.peer("raw", (datagrams[0] or datagrams[1]).hex())["answers"] == [], row
    world.check()


ONE_ANSWER = {
    "A02": [sccrq(struct.pack("!HHH", 0x8000 | n, 0, 22)) for n in range(1, 6)],
    "A03": [sccrq(struct.pack("!HHH", 0x8000 | 200, 0, 22))],
    "A09": [sccrq(avp(0x7FFF, b"x"))],
    "A14": [sccrq(avp(8, b"x", flags=0x8000 | 0x0400))],
    "A15": [sccrq(avp(10, b"\1")), sccrq(avp(5, b"1234567"))],
    "A18": [sccrq(tunnel=0)],
    "A21": [sccrq(avp(10, b"\0\0"))],
    "A23": [sccrq(avp(11, b""))],
    "H01": [sccrq(avp(10, b"x" * 16, flags=0xC000))],
    "A17": [sccrq(host=b"h" * 1017), sccrq(host=b"../\0\n\x1b[2J%n%s\xff")],
    "A30": [sccrq(avp(6, b"\0\1") * 150)],
}


def test_one_answer(world):
    """A request that cannot be taken, or is odd, gets one packet at most; a refusal is not larger."""
    # Hostile: A02, A03, A09, A14, A15, A17, A18, A21, A23, A30, H01
    for row, payloads in ONE_ANSWER.items():
        for payload in payloads:
            datagram = control(payload)
            answers = world.stranger(datagram)
            assert len(answers) <= 1, (row, [a.hex() for a in answers])
            for answer in answers:
                # an SCCRP holds our challenge and our host name, see test_amplification
                assert len(answer) <= max(len(datagram), 130), (row, answer.hex())
    world.check()
    text = world.lns.text()
    assert "\x1b" not in text and "\0" not in text


def test_amplification(world):
    """X01: the smallest request there is, and one as peers send it."""
    # Hostile: X01
    host = world.status()["host_name"].encode()
    bare = control(sccrq(host=b"x"))
    answers = world.stranger(bare, seconds=2.5, wanted=1)  # nothing is repeated by time
    assert len(answers) == 1
    # what RFC 2661 6.2 makes us say, and our challenge
    assert len(answers[0]) == 12 + 8 + 8 + 10 + 8 + 6 + len(host) + 22
    usual = control(sccrq(avp(10, u16(4)) + avp(8, b"v" * 20) + avp(11, b"c" * 16)))
    answers = world.stranger(usual, wanted=1)
    assert len(answers) == 1 and len(answers[0]) <= len(usual) + len(host)
    world.check()


def test_addresses_and_ports(world):
    """L14, L22, L23: right ids from elsewhere; broadcasts; ports that answer anything."""
    # Hostile: L14, L22, L23
    hello = control(avp(0, u16(6)), tunnel=world.tunnel["remote_tunnel"], ns=2, nr=1)
    assert world.stranger(hello) == []
    stop = control(avp(0, u16(4)) + avp(9, u16(world.tunnel["tunnel"])) + avp(1, u16(1)),
                   tunnel=world.tunnel["remote_tunnel"], ns=2, nr=1)
    assert world.stranger(stop) == []
    for to in ("203.0.113.255", "255.255.255.255"):
        assert world.stranger(control(sccrq()), to=to) == []
    for port in (7, 19, 53, 123):
        assert world.stranger(control(sccrq()), port=port) == []
    assert len(world.stranger(control(sccrq()), port=2345, wanted=1)) == 1
    world.check()


def test_data_from_another_host(world):
    """D06, D12: data with the right ids, but from another address, reaches nobody."""
    # Hostile: D06, D08, D09, D12
    call = world.peer("call")
    assert call["ok"]
    frame = struct.pack("!HHH", 0x0002, world.tunnel["remote_tunnel"], call["remote_session"]) \
        + b"\xff\x03\xc0\x21\x09\x01\0\x08\0\0\0\0"
    assert world.stranger(frame) == []
    assert world.peer("ppp", "user", "password")["ok"]
    before = drops(world)
    assert world.stranger(frame) == []
    wait_for("the drop to be counted", lambda: drops(world) == before + 1)
    # D08, D09: nothing in it, next to nothing in it, far too much in it
    head = struct.pack("!HHH", 0x0002, world.tunnel["remote_tunnel"], call["remote_session"])
    for payload in (b"", b"\x21", b"\xff", b"\xff\x03", b"\xff\x03\0\x21" + b"E" * 65000):
        assert world.peer("raw", (head + payload).hex())["answers"] == []
    assert world.peer("hangup")["acked"]
    assert world.peer("raw", frame.hex())["answers"] == []
    world.check()


def test_peer_goes_too_far(world):
    """What ends a session or a tunnel of a peer that has one, and only that."""
    # Hostile: L16, S14, S18
    other = ScapyPeer(world.peer_ns, "192.0.2.2", "192.0.2.1")
    tunnel = other("open")
    icrq = avp(0, u16(10)) + avp(14, u16(70)) + avp(15, b"\0\0\0\1")
    answers = other("raw", control(icrq, tunnel=tunnel["remote_tunnel"], session=999, ns=2,
                                   nr=1).hex(), "14")["answers"]
    assert any(bytes.fromhex(a)[18:20] == u16(14) for a in answers), answers  # CDN
    answers = other("raw", control(sccrq(), tunnel=tunnel["remote_tunnel"], ns=3,
                                   nr=1).hex(), "4")["answers"]
    assert any(bytes.fromhex(a)[18:20] == u16(4) for a in answers), answers  # StopCCN
    other("drain", 0.1)
    world.check(tunnels=2)  # the other one lingers, to acknowledge repeats


def test_proxy_authentication_opens_nothing(world):
    """A29: a LAC that says a user has logged in already: PPP asks the user all the same."""
    # Hostile: A29
    tunnel = world.tunnel["remote_tunnel"]
    lcp = b"\x03\x05\xc2\x23\x05"
    for call, kind in enumerate((2, 4)):  # CHAP without its challenge; "no authentication"
        icrq = avp(0, u16(10)) + avp(14, u16(70 + kind)) + avp(15, b"\0\0\0\1")
        answers = world.peer("raw", control(icrq, tunnel=tunnel, ns=2 + 2 * call, nr=1 + call).hex(),
                             "11")["answers"]
        icrp = next(b for b in map(bytes.fromhex, answers) if b[18:20] == u16(11))
        session = struct.unpack("!H", icrp[26:28])[0]
        proxy = (avp(26, lcp) + avp(27, lcp) + avp(28, lcp) + avp(29, u16(kind)) + avp(30, b"root")
                 + avp(32, u16(1)) + avp(33, b"r" * 16))
        if kind == 4:
            proxy = avp(29, u16(kind)) + avp(30, b"root")
        iccn = avp(0, u16(12)) + avp(24, b"\0\0\0\1") + avp(19, b"\0\0\0\1") + proxy
        answers = world.peer("raw", control(iccn, tunnel=tunnel, session=session, ns=3 + 2 * call,
                                            nr=2 + call).hex(), "data")["answers"]
        frames = [bytes.fromhex(a) for a in answers if not int(a[:2], 16) & 0x80]
        frames = [f for f in frames if u16(70 + kind) in f[:8]]
        assert all(b"\xff\x03\xc0\x21" in f for f in frames), (kind, frames)
        assert any(b"\x03\x05\xc2\x23\x05" in f for f in frames), (kind, frames)
    assert world.status()["sessions_up"] == 0


def test_call_flood_in_one_tunnel(lab):
    """X04: calls beyond the limit are refused with a code, and acknowledged."""
    # Hostile: X04
    world = World(lab, known="max-sessions = 3")
    tunnel, nr = world.tunnel["remote_tunnel"], 1
    refused = set()  # their numbers: one that comes late may come twice
    for n in range(12):
        icrq = avp(0, u16(10)) + avp(14, u16(100 + n)) + avp(15, b"\0\0\0\1")
        for text in world.peer("raw", control(icrq, tunnel=tunnel, ns=2 + n, nr=nr).hex(),
                               "11,14")["answers"]:
            answer = bytes.fromhex(text)
            if len(answer) > 12:
                nr = max(nr, struct.unpack("!H", answer[8:10])[0] + 1)
            if answer[18:20] == u16(14):
                refused.add(answer[8:10])
    assert len(refused) == 9
    assert world.status()["sessions"] == 3


@pytest.mark.parametrize("kind", ["sccrq", "zlb", "data", "junk"])
def test_flood(lab, kind):
    """X01, X09, S09: seconds of it cost no memory without end, no line each, and no peer its answer."""
    # Hostile: X01, X09, S09
    world = World(lab, quiet=True)
    before, lines = rss(world.pid), world.lns.text().count("\n")
    flood = world.crowd.start(BUILD / "bench/bench-flood", 6, 20000, "203.0.113.1", "10.128.0.0/9",
                              kind)
    time.sleep(1)
    waits, sizes = [], []
    while flood.alive():
        begun = time.monotonic()
        assert world.peer("hello")["acked"]
        waits.append(time.monotonic() - begun)
        sizes.append(rss(world.pid))
        time.sleep(0.2)
    print(f"{kind}: {json.loads(flood.text())['sent']} sent, HELLO answered within "
          f"{max(waits) * 1000:.0f} ms, memory {before} -> {max(sizes)} KiB")
    assert sorted(waits)[len(waits) // 2] < 5
    late = sizes[len(sizes) // 2:]
    assert max(late) - min(late) < 30_000
    assert world.status()["half_open"] <= 4096
    assert world.lns.text().count("\n") - lines < 300, world.lns.text()[-3000:]
    world.check()


def test_thousands_of_sessions_end_at_once(lab):
    """X18: one tunnel with many sessions goes; another one is served meanwhile."""
    # Hostile: X18
    world = World(lab, quiet=True)
    load = world.crowd.start(BUILD / "src/load/adit-load", "--server", "203.0.113.1", "--sessions",
                             2000, "--tunnels", 1, "--user", "user", "--password", "password",
                             "--secret", "tunnel secret", "--hold", 120)
    wait_for("the sessions", lambda: '"up":' in load.text() or not load.alive(), seconds=90)
    assert world.status()["sessions_up"] == 2000, load.text()
    load.child.send_signal(signal.SIGTERM)
    waits = []
    for _ in range(20):
        begun = time.monotonic()
        assert world.peer("hello")["acked"]
        waits.append(time.monotonic() - begun)
    wait_for("the end of them", lambda: world.status()["sessions"] == 0, seconds=60)
    print(f"2,000 sessions ended; HELLO answered within {max(waits) * 1000:.0f} ms")
    assert max(waits) < 30
    world.check()


# --- the sandbox

FORBIDDEN = r"""
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
/* In aditd, a thread that was there before the sandbox, and that makes a call that it must not. */
static void *run(void *arg)
{
	while (access(GO, F_OK) != 0)
		usleep(100000);
	socket(AF_PACKET, SOCK_RAW, 0);
	return arg;
}
__attribute__((constructor)) static void begin(void)
{
	char name[64] = "";
	pthread_t t;
	FILE *f = fopen("/proc/self/comm", "r");

	if (f && fgets(name, sizeof(name), f) && strncmp(name, "aditd", 5) == 0)
		pthread_create(&t, NULL, run, NULL);
	if (f)
		fclose(f);
}
"""


def preload(lab):
    """A library that makes aditd do what it must not as soon as a file is there."""
    go, library = lab.dir / "go", lab.dir / "forbidden.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O", f'-DGO="{go}"', "-x", "c", "-", "-o", library,
                    "-lpthread"], input=FORBIDDEN, text=True, check=True)
    environment = dict(os.environ, LD_PRELOAD=str(library))
    environment["ASAN_OPTIONS"] = environment.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    return go, environment


def test_forbidden_call_ends_aditd(lab):
    """The keeper says which call it was, and starts the next one."""
    go, environment = preload(lab)
    ns = lab.ns("lns")
    lns = lab.adit(ns, CONF.format(profile="", known="", more=""), users="* * password *\n")
    lns.start(env=environment)
    assert lns.json("status")["sandbox"] == "on"
    assert re.search(r"sandbox +on", lns.ctl("status").stdout)
    old = lns.aditd_pid()
    go.touch()
    wait_for("the end of aditd", lambda: lns.aditd_pid() != old)
    go.unlink()
    wait_for("the keeper to say so", lambda: "the sandbox has ended aditd" in lns.text())
    line = next(row for row in lns.text().splitlines() if "the sandbox has ended aditd" in row)
    assert "socket (41)" in line and "`sandbox = no` in" in line, line
    wait_for("the next aditd", lambda: lns.ctl("status", check=False).returncode == 0)


def test_sandbox_off(lab):
    go, environment = preload(lab)
    ns = lab.ns("lns")
    lns = lab.adit(ns, CONF.format(profile="", known="", more="sandbox = no"),
                   users="* * password *\n")
    lns.start(env=environment)
    assert lns.json("status")["sandbox"] == "off"
    old = lns.aditd_pid()
    go.touch()
    time.sleep(0.5)
    assert lns.aditd_pid() == old and "sandbox is off" in lns.text()
