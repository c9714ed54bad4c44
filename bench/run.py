#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Measure and print the figures of adit; write them to build/bench.json.

usage: bench/run.py [GROUP...]     groups: engine setup restart client flood tcp pps v3
                                   kernel (kernel-1k, kernel-10k: one half of it) kernel-attach
                                   kernel-restart kernel-wires kernel-v3; none = all

The file is flat, name -> number; what was not measured in this run is null. Figures that depend on
the machine are given as a ratio to a reference that is measured in the same run, rounds interleaved.
doc/performance.md says what each figure means.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[1]
os.environ.setdefault("ADIT_BUILD", str(ROOT / "build" / "release"))
sys.path.insert(0, str(ROOT / "tests" / "net"))

from lab import BUILD, Lab, wait_for  # noqa: E402
from peers import L2TPNS_CONFIG, L2tpns  # noqa: E402
import guests  # noqa: E402
import restart  # noqa: E402
import traffic  # noqa: E402
import v3  # noqa: E402

NAMES = ("engine_us_per_session", "engine_growth_100k", "engine_bytes_per_session",
         "user_setup_cpu_vs_l2tpns", "user_setup_cpu_us", "l2tpns_setup_cpu_us",
         "user_setup_growth",
         "restart_gap_ms", *restart.NAMES, "client_pss_kib",
         "flood_known_peer_delay_ms", "flood_per_second", "flood_memory_kib",
         "flood_memory_growth_kib", *traffic.NAMES, *v3.NAMES, *guests.NAMES)
SECRET, USER, PASSWORD = "secret", "user", "password"
WINDOW = 250  # set-ups under way at a time, when everybody comes back at once


# --- the engines alone

def engine(sessions, tunnels):
    out = subprocess.run([BUILD / "bench/bench-engine", str(sessions), str(tunnels)], check=True,
                         capture_output=True, text=True).stdout
    return json.loads(out)


def bench_engine(figures):
    small, large, middle = [], [], []
    for _ in range(3):  # interleaved: the machine's speed drifts
        small += [engine(1_000, 1)["us_per_session"] for _ in range(15)]
        middle.append(engine(10_000, 10))
        large.append(engine(100_000, 100)["us_per_session"])
    figures["engine_us_per_session"] = round(
        statistics.median(m["us_per_session"] for m in middle), 2)
    figures["engine_bytes_per_session"] = round(
        statistics.median(m["bytes_per_session"] for m in middle))
    figures["engine_growth_100k"] = round(
        statistics.median(large) / statistics.median(small), 3)
    print(f"  1,000 sessions: {statistics.median(small):.1f} us each, "
          f"100,000: {statistics.median(large):.1f} us each")


# --- real sockets

def cpu_us(pids):
    """CPU time of these processes, all threads, in microseconds."""
    tick = os.sysconf("SC_CLK_TCK")
    total = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) * 1_000_000 // tick
    return total


def two_hosts(lab):
    client, lns = lab.ns("client"), lab.ns("lns")
    lab.cable(client, lns, ["192.0.2.2/24", "2001:db8:1::2/64"],
              ["192.0.2.1/24", "2001:db8:1::1/64"], "c0", "l0")
    return client, lns


def adit_lns(lab, ns, more=""):
    return lab.adit(ns, f'''
pool "subscribers" {{ addresses = {{"10.64.0.0/15"}} prefixes = {{"2001:db8:60::/44"}} }}
profile "home" {{ users = "@DIR@/users" pool = "subscribers" local-address = "10.64.0.1" }}
peer "anybody" {{ profile = "home" secret = "{SECRET}" {more} }}
''', users=f"* * {PASSWORD} *\n")


def kernel_lns(lab, ns):
    """An LNS whose sessions the kernel carries."""
    return quiet(lab.adit(ns, f'''
data-plane = kernel
pool "subscribers" {{ addresses = {{"10.64.0.0/15"}} }}
profile "home" {{
    users = "@DIR@/users"
    pool = "subscribers"
    local-address = "10.64.0.1"
    ipv6 = false
    echo-interval = never
}}
peer "anybody" {{ profile = "home" secret = "{SECRET}" }}
''', users=f"* * {PASSWORD} *\n"))


def quiet(adit):
    """The lab's nodes log everything; a measured one logs what a real one does."""
    adit.conf.write_text(adit.conf.read_text().replace('log-level = "debug"',
                                                       'log-level = "notice"'))
    return adit


def generate(client, sessions, *more, name="adit-load"):
    return client.start(BUILD / "src/load/adit-load", "--server", "192.0.2.1", "--sessions",
                        sessions, "--tunnels", 10, "--user", USER, "--password", PASSWORD,
                        "--secret", SECRET, "--window", WINDOW, *more, name=name)


def report(load, sessions, seconds=180, least=None):
    """What the generator says; all sessions came up, or `least` of them."""
    wait_for("the generator", lambda: '"up":' in load.text() or not load.alive(), seconds=seconds)
    line = next(line for line in load.text().splitlines() if line.startswith("{"))
    result = json.loads(line)
    assert result["up"] >= (least or sessions), load.text()
    return result


def setup_adit(sessions):
    lab = Lab()
    try:
        client, ns = two_hosts(lab)
        lns = quiet(adit_lns(lab, ns)).start()
        pids = [lns.keeper.pid, lns.aditd_pid()]
        before = cpu_us(pids)
        result = report(generate(client, sessions, "--abandon"), sessions)
        return (cpu_us(pids) - before) / sessions, result
    finally:
        lab.close()


def setup_l2tpns(sessions):
    lab = Lab()
    try:
        client, ns = two_hosts(lab)
        lns = L2tpns(ns, "192.0.2.1", secret=SECRET, user=USER, password=PASSWORD, debug=0)
        before = cpu_us(lns.pids())
        # on a busy machine some of its sessions run into a time limit: no reason to stop
        result = report(generate(client, sessions, "--abandon"), sessions,
                        least=sessions * 98 // 100)
        return (cpu_us(lns.pids()) - before) / sessions, result
    finally:
        lab.close()


def comings(sessions, rounds):
    """Sessions come, all of them, and go, on one daemon: CPU for each set-up, round by round."""
    lab = Lab()
    try:
        client, ns = two_hosts(lab)
        lns = quiet(adit_lns(lab, ns)).start()
        pids = [lns.keeper.pid, lns.aditd_pid()]
        us = []
        for n in range(rounds):
            before = cpu_us(pids)
            load = generate(client, sessions, "--hold", 3, name=f"round-{n}")
            report(load, sessions)
            us.append((cpu_us(pids) - before) / sessions)
            wait_for("the generator's end", lambda: not load.alive(), seconds=120)
            wait_for("the last session's end", lambda: lns.json("status")["sessions"] == 0,
                     seconds=120)
            time.sleep(1)
        print("  rounds on one daemon: " + ", ".join(f"{u:.1f}" for u in us) + " us a session")
        return us
    finally:
        lab.close()


def growth(sessions, rounds=3, daemons=3):
    """The worst of the later rounds over the first, of the medians of some daemons."""
    first, *later = (statistics.median(column) for column in
                     zip(*(comings(sessions, rounds) for _ in range(daemons))))
    return max(later) / first


def bench_setup(figures, sessions=10_000, rounds=3):
    print("  reference: l2tpns of Debian with this configuration, pool 10.65.0.0/17 (its RADIUS "
          "server is not counted):")
    for line in L2TPNS_CONFIG.strip().splitlines():
        print(f"    {line}")
    ours, theirs = [], []
    for _ in range(rounds):
        us, result = setup_adit(sessions)
        ours.append(us)
        print(f"  adit   {us:6.1f} us CPU a session, {result['per_second']} sessions/s")
        us, result = setup_l2tpns(sessions)
        theirs.append(us)
        print(f"  l2tpns {us:6.1f} us CPU a session, {result['per_second']} sessions/s")
    figures["user_setup_cpu_us"] = round(statistics.median(ours), 1)
    figures["l2tpns_setup_cpu_us"] = round(statistics.median(theirs), 1)
    figures["user_setup_cpu_vs_l2tpns"] = round(
        statistics.median(a / b for a, b in zip(ours, theirs)), 3)
    figures["user_setup_growth"] = round(growth(sessions), 3)


# --- how long nobody answers

PROBE = r'''
import os, socket, struct, sys, time
# an L2TP peer of a few lines: opens a tunnel, then asks with HELLO after HELLO, each repeated every
# millisecond until it is acknowledged; prints when each was first sent and when it was answered
def avp(n, v): return struct.pack("!HHH", 0x8000 | 6 + len(v), 0, n) + v
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("192.0.2.2", 0)); s.connect(("192.0.2.1", 1701)); s.settimeout(2)
remote = 0; ns = 0; nr = 0
def send(kind, body=b""):
    p = avp(0, struct.pack("!H", kind)) + body if kind else b""
    s.send(struct.pack("!HHHHHH", 0xc802, 12 + len(p), remote, 0, ns, nr) + p)
import hashlib
send(1, avp(2, b"\1\0") + avp(3, bytes(4)) + avp(7, b"probe") + avp(9, b"\0\1") + avp(10, b"\0\10"))
d = s.recv(2048); nr = 1; ns = 1
at = 12; found = {}
while at < len(d):
    l = struct.unpack("!H", d[at:at+2])[0] & 1023; found[struct.unpack("!H", d[at+4:at+6])[0]] = d[at+6:at+l]; at += l
remote = struct.unpack("!H", found[9])[0]
send(3); ns = 2; s.recv(2048)
s.settimeout(0.001)
print("ready", flush=True)
end = time.clock_gettime(time.CLOCK_BOOTTIME) + float(sys.argv[1])
while (first := time.clock_gettime(time.CLOCK_BOOTTIME)) < end:
    done = False
    while not done:
        send(6)
        try:
            d = s.recv(2048)
            if len(d) > 12: nr = struct.unpack("!H", d[8:10])[0] + 1
            done = struct.unpack("!H", d[10:12])[0] == (ns + 1) & 0xffff
        except (TimeoutError, ConnectionRefusedError):
            if time.clock_gettime(time.CLOCK_BOOTTIME) > end + 5: sys.exit("no answer any more")
    ns = ns + 1 & 0xffff
    print(first, time.clock_gettime(time.CLOCK_BOOTTIME), flush=True)
    time.sleep(0.002)
'''


def gap_ms(sessions):
    lab = Lab()
    try:
        client, ns = two_hosts(lab)
        lns = quiet(adit_lns(lab, ns, "challenge = false")).start()
        load = generate(client, sessions, "--hold", 60)
        report(load, sessions)
        probe = client.start("/usr/bin/python3", "-c", PROBE, "6", name="probe")
        wait_for("the probe", lambda: "ready" in probe.text() or not probe.alive())
        time.sleep(2)
        old = lns.aditd_pid()
        killed = time.clock_gettime(time.CLOCK_BOOTTIME)
        os.kill(old, 9)
        assert probe.child.wait(30) == 0, probe.text()
        rows = [tuple(map(float, line.split())) for line in probe.text().splitlines()[1:]]
        answered = min(end for begin, end in rows if end > killed and begin > killed - 0.5
                       and end - killed > 0.001)
        assert lns.aditd_pid() not in (None, old)
        assert lns.json("status")["sessions"] == sessions
        return (answered - killed) * 1000
    finally:
        lab.close()


def bench_restart(figures, sessions=10_000, rounds=3):
    gaps = [gap_ms(sessions) for _ in range(rounds)]
    print("  from kill -9 to the first answer: " + ", ".join(f"{g:.0f} ms" for g in gaps))
    figures["restart_gap_ms"] = round(statistics.median(gaps), 1)
    restart.bench(sys.modules[__name__], figures, sessions)


# --- memory of a client

def pss_kib(pids):
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total


def bench_client(figures):
    lab = Lab()
    try:
        client, ns = two_hosts(lab)
        quiet(adit_lns(lab, ns)).start()
        adit = quiet(lab.adit(client, f'''
session "office" {{
    server = "192.0.2.1"
    secret = "{SECRET}"
    user = "{USER}"
    password = "{PASSWORD}"
}}
''')).start()
        adit.ctl("connect", "office")
        time.sleep(1)
        figures["client_pss_kib"] = pss_kib([adit.keeper.pid, adit.aditd_pid()])
    finally:
        lab.close()


# --- a flood of requests from forged addresses

FLOOD_RATE, FLOOD_SECONDS = 100_000, 30
ASKER = r'''
import os, socket, struct, sys, time
# A LAC that we know, of a few lines. In turn: a session in a tunnel that is up (ICRQ .. the first LCP
# packet of the LNS), and a new tunnel (SCCRQ .. the acknowledgement of SCCCN) from the same address.
# What gets no answer is repeated after a second, as every peer does. Prints milliseconds.
local, remote, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
def avp(n, v): return struct.pack("!HHH", 0x8000 | 6 + len(v), 0, n) + v
def u16(n): return struct.pack("!H", n)
class Tunnel:
    def __init__(self):
        self.s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.s.bind((local, 0)); self.s.connect((remote, 1701)); self.s.settimeout(1)
        self.remote = self.ns = self.nr = 0
        self.id = int.from_bytes(os.urandom(2), "big") | 1
    def send(self, kind, body=b"", sid=0, ns=None):
        p = avp(0, u16(kind)) + body if kind else b""
        self.s.send(struct.pack("!HHHHHH", 0xc802, 12 + len(p), self.remote, sid,
                                self.ns if ns is None else ns, self.nr) + p)
    def ask(self, kind, body, want, sid=0):
        """Send until the answer: a message type, 0 an acknowledgement, -1 a data packet."""
        ns = self.ns; self.ns = ns + 1 & 0xffff
        for _ in range(6):
            self.send(kind, body, sid, ns)
            try:
                while True:
                    d = self.s.recv(2048)
                    if not d[0] & 0x80:
                        if want == -1: return {}
                        continue
                    if want == 0 and (struct.unpack("!H", d[10:12])[0] - ns - 1) & 0xffff < 0x8000: return {}
                    if len(d) == 12: continue
                    found, at = {}, 12
                    while at < len(d):
                        n = struct.unpack("!H", d[at:at+2])[0] & 1023
                        found[struct.unpack("!H", d[at+4:at+6])[0]] = d[at+6:at+n]; at += n
                    if struct.unpack("!H", d[8:10])[0] == self.nr:
                        self.nr = self.nr + 1 & 0xffff
                    else:
                        self.send(0)
                        continue
                    if struct.unpack("!H", found[0])[0] == want: return found
                    self.send(0)
            except TimeoutError:
                print("again", flush=True)
        sys.exit(f"no answer to message {kind}")
    def open(self):
        found = self.ask(1, avp(2, b"\1\0") + avp(3, b"\0\0\0\3") + avp(7, b"known") + avp(9, u16(self.id))
                         + avp(10, u16(16)), 2)
        self.remote = struct.unpack("!H", found[9])[0]
        self.ask(3, b"", 0)
    def session(self):
        sid = int.from_bytes(os.urandom(2), "big") | 1
        found = self.ask(10, avp(14, u16(sid)) + avp(15, bytes(4)), 11)
        peer = struct.unpack("!H", found[14])[0]
        self.ask(12, avp(24, bytes(4)) + avp(19, b"\0\0\0\1"), -1, peer)
        return sid, peer
    def hangup(self, sid, peer):
        self.ask(14, avp(1, u16(3)) + avp(14, u16(sid)), 0, peer)
    def close(self):
        self.ask(4, avp(9, u16(self.id)) + avp(1, u16(1)), 0)
        self.s.close()
t = Tunnel(); t.open()
print("ready", flush=True)
end = time.monotonic() + seconds
while time.monotonic() < end:
    begun = time.monotonic(); ids = t.session(); done = time.monotonic()
    print("session", (done - begun) * 1000, flush=True)
    t.hangup(*ids)
    new = Tunnel()
    begun = time.monotonic(); new.open(); done = time.monotonic()
    print("tunnel", (done - begun) * 1000, flush=True)
    new.close()
    time.sleep(0.01)
'''


def rss_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def p99(values):
    return sorted(values)[max(0, -(-len(values) * 99 // 100) - 1)]


def asker(ns, seconds):
    return ns.start("/usr/bin/python3", "-c", ASKER, "192.0.2.2", "192.0.2.1", seconds,
                    name=f"asker-{time.monotonic_ns()}")


def delays(process, seconds):
    assert process.child.wait(seconds + 60) == 0, process.text()
    rows = [line.split() for line in process.text().splitlines()[1:]]
    return {kind: [float(row[1]) for row in rows if row[0] == kind]
            for kind in ("session", "tunnel")}


def bench_flood(figures, seconds=FLOOD_SECONDS):
    """A known peer's wait with and without the flood, and what the flood costs."""
    lab = Lab()
    try:
        known, ns = two_hosts(lab)
        crowd = lab.ns("crowd")
        lab.cable(crowd, ns, ["203.0.113.2/24"], ["203.0.113.1/24"], "c0", "l1")
        ns.run("ip", "route", "add", "10.128.0.0/9", "via", "203.0.113.2")
        crowd.run("ip", "route", "add", "blackhole", "10.128.0.0/9")
        for key in ("all", "l1", "default"):
            ns.sysctl(f"net.ipv4.conf.{key}.rp_filter", 0)
        lns = quiet(lab.adit(ns, f'''
pool "subscribers" {{ addresses = {{"10.64.0.0/16"}} }}
profile "home" {{ users = "@DIR@/users" pool = "subscribers" local-address = "10.64.0.1" }}
peer "known-lac" {{ from = {{"192.0.2.2/32"}} profile = "home" }}
peer "anybody" {{ profile = "home" secret = "{SECRET}" }}
''', users=f"* * {PASSWORD} *\n")).start()
        pid = lns.aditd_pid()
        calm = delays(asker(known, seconds / 3), seconds)
        before, cpu = rss_kib(pid), cpu_us([pid])
        rows = []
        flood = crowd.start(BUILD / "bench/bench-flood", seconds, FLOOD_RATE, "203.0.113.1",
                            "10.128.0.0/9")
        time.sleep(1)
        process = asker(known, seconds - 2)
        begun = time.monotonic()
        while flood.alive():
            rows.append((time.monotonic() - begun, rss_kib(pid)))
            time.sleep(0.5)
        cpu = cpu_us([pid]) - cpu
        storm = delays(process, seconds)
        sent = json.loads(flood.text())
        assert lns.aditd_pid() == pid and lns.json("status")["half_open"] <= 4096
        after = delays(asker(known, seconds / 3), seconds)
    finally:
        lab.close()
    wait = {}
    for kind in ("session", "tunnel"):
        quiet_p99 = p99(calm[kind] + after[kind])
        wait[kind] = p99(storm[kind]) - quiet_p99
        print(f"  {kind}: 99th percentile {quiet_p99:.1f} ms without ({len(calm[kind] + after[kind])}"
              f" times), {p99(storm[kind]):.1f} ms with the flood ({len(storm[kind])} times), median "
              f"{statistics.median(storm[kind]):.1f} ms")
    third = [max(kib for at, kib in rows if n * seconds / 3 <= at < (n + 1) * seconds / 3)
             for n in range(3)]
    print(f"  {sent['sent']} requests in {sent['seconds']} s ({sent['sent'] / sent['seconds']:.0f} a "
          f"second), {cpu / 1000 / sent['seconds']:.0f} ms CPU of aditd a second")
    print(f"  memory of aditd: {before} KiB before, in thirds of the flood at most "
          f"{third[0]}, {third[1]}, {third[2]} KiB")
    figures["flood_per_second"] = round(sent["sent"] / sent["seconds"])
    figures["flood_known_peer_delay_ms"] = round(max(*wait.values(), 0), 1)
    figures["flood_memory_kib"] = max(kib for _, kib in rows) - before
    figures["flood_memory_growth_kib"] = third[2] - third[1]


def write(figures):
    (ROOT / "build" / "bench.json").write_text(json.dumps(figures, indent=2) + "\n")


GROUPS = {"engine": bench_engine, "setup": bench_setup, "restart": bench_restart,
          "client": bench_client, "flood": bench_flood, "tcp": traffic.bench_tcp,
          "pps": traffic.bench_pps, "v3": v3.bench_v3,
          "kernel": lambda f: guests.bench_kernel(f, lambda: write(f)),
          "kernel-attach": lambda f: guests.bench_attach(f, lambda: write(f)),
          "kernel-restart": lambda f: guests.bench_restart(f, lambda: write(f)),
          "kernel-wires": lambda f: guests.bench_wires(f, lambda: write(f)),
          "kernel-v3": lambda f: guests.bench_v3(f, lambda: write(f))}
# One half of a group each, when asked for.
HALVES = {"kernel-1k": lambda f: guests.bench_size(f, "1k", lambda: write(f)),
          "kernel-10k": lambda f: guests.bench_size(f, "10k", lambda: write(f))}


def main():
    wanted = sys.argv[1:] or list(GROUPS)
    groups = {**GROUPS, **HALVES}
    unknown = [g for g in wanted if g not in groups]
    if unknown:
        sys.exit(f"bench: no group {unknown[0]}; there are: {' '.join(groups)}")
    figures = dict.fromkeys(NAMES)
    failed = []
    for group in wanted:
        print(f"== {group}", flush=True)
        begun = time.monotonic()
        try:
            groups[group](figures)
        except Exception:  # the others are measured all the same
            traceback.print_exc()
            failed.append(group)
        print(f"  ({time.monotonic() - begun:.0f} s)", flush=True)
        write(figures)
    for name, value in figures.items():
        print(f"{name:32} {'not measured' if value is None else value}")
    if failed:
        sys.exit(f"bench: failed: {' '.join(failed)}")


if __name__ == "__main__":
    main()
