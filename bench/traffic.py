# SPDX-License-Identifier: MIT
"""The figures of the user-space data plane: packets a second, and TCP through one session."""

import json
import os
import pathlib
import signal
import statistics
import subprocess
import time

from lab import BUILD, ROOT, Lab, wait_for
from peers import L2tpns

NAMES = ("user_tcp_up_vs_l2tpns", "user_tcp_down_vs_l2tpns", "user_tcp_up_mbit",
         "user_tcp_down_mbit", "user_pps_up_vs_floor", "user_pps_down_vs_floor",
         "user_pps_up_kpps", "user_pps_down_kpps")
SESSIONS = 100
BLAST = BUILD / "bench/bench-blast"
# Programs that do the bare work, the references, are no part of the repository: where they are.
REFERENCES = pathlib.Path(os.environ.get("ADIT_BENCH", ROOT.parent / "shared" / "bench"))
FLOOR = REFERENCES / "tunfloor.c"  # a bare loop between a TUN and a UDP socket


# --- packets a second

def runtime_s(pid):
    """CPU time of a process, to the nanosecond; what it does in the kernel counts."""
    return sum(int((task / "schedstat").read_text().split()[0])
               for task in pathlib.Path(f"/proc/{pid}/task").iterdir()) / 1e9


class PlaneWorld:
    """peer (192.0.2.2) -- lns (192.0.2.1, 10.0.0.0/16 behind the device adit0), and in it the data
    plane alone or the reference."""

    def __init__(self, floor=None):
        self.lab = Lab()
        try:
            self.build(floor)
        except BaseException:
            self.lab.close()
            raise

    def build(self, floor):
        self.lns, self.peer = self.lab.ns("lns"), self.lab.ns("peer")
        self.lab.cable(self.lns, self.peer, ["192.0.2.1/24"], ["192.0.2.2/24"], "wan", "wan")
        self.lns.sysctl("net.ipv4.ip_forward", 1)
        for name in "all", "default":
            self.lns.sysctl(f"net.ipv4.conf.{name}.rp_filter", 0)
        # What comes out of the device ends in the first table: the reference then has the least
        # kernel work around it, so the ratio is the strictest.
        self.lns.run("ip", "route", "add", "blackhole", "203.0.113.0/24")
        argv = [floor, "adit0", "1701"] if floor else [BUILD / "bench/bench-plane"]
        self.process = subprocess.Popen(self.lns.argv(argv), stdin=subprocess.PIPE,
                                        stdout=subprocess.DEVNULL, text=True, bufsize=1)
        self.lab.children.append(self.process)
        if not floor:
            self.rows()
        wait_for("the device", lambda: self.lns.run("ip", "link", "show", "adit0",
                                                    check=False).returncode == 0)
        if floor:
            self.lns.run("ip", "addr", "add", "10.0.255.254/16", "dev", "adit0")
            self.lns.run("ip", "link", "set", "adit0", "up")
        wait_for("the route", lambda: "adit0" in self.lns.run("ip", "route").stdout)
        self.lns.run("ip", "link", "set", "adit0", "txqueuelen", 20_000)
        time.sleep(0.5)

    def rows(self):
        put = self.process.stdin.write
        put("listen 1 192.0.2.1:1701\nnet local=10.0.255.254 pool=10.0.0.0/16 mtu=1400\n")
        for key in range(1, SESSIONS + 1):  # both protocols open, sources checked
            put(f"put {key} local=192.0.2.1:1701 remote=192.0.2.2:1701 flags={32 | 64 | 128} "
                f"prefix=10.0.{key >> 8}.{key & 255}/32\n")

    def packets(self, way):
        out = self.lns.run("ip", "-json", "-stats", "link", "show", "adit0").stdout
        return json.loads(out)[0]["stats64"][way]["packets"]

    def blast(self, way, seconds):
        if way == "up":
            self.peer.run(BLAST, "up", "192.0.2.2:1701", "192.0.2.1:1701", 10, SESSIONS,
                          "203.0.113.1", seconds)
        else:
            self.lns.run(BLAST, "down", SESSIONS, seconds)

    def rate(self, way):
        """Packets a second of CPU: queues are filled while the process stands still, then the CPU
        time is taken that it needs to empty them. So neither the generator's speed nor what else
        the machine does comes in."""
        count = {"up": "rx", "down": "tx"}[way]
        sink = None
        if way == "down":
            self.blast("up", 0.005)  # the reference learns where to send
            sink = subprocess.Popen(self.peer.argv([BLAST, "sink", "192.0.2.2:1701"]),
                                    stdin=subprocess.PIPE)
            time.sleep(0.1)
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            self.blast(way, 0.2)
            before, begun = self.packets(count), runtime_s(self.process.pid)
        finally:
            os.kill(self.process.pid, signal.SIGCONT)
        last, end = before, time.monotonic() + 20
        while True:
            time.sleep(0.1)
            assert time.monotonic() < end, f"no packet came through ({way})"
            now = self.packets(count)
            if now == last and now > before:
                break
            last = now
        seconds = runtime_s(self.process.pid) - begun
        if sink:
            sink.stdin.close()
            sink.wait()
        return (now - before) / seconds


def bench_pps(figures, rounds=15):
    if not FLOOR.exists():
        print(f"  not measured: there is no reference {FLOOR}; ADIT_BENCH names its directory")
        return
    floor = BUILD / "bench/tunfloor"
    subprocess.run(["gcc", "-O2", "-Wall", "-o", floor, FLOOR], check=True)
    print(f"  reference: {FLOOR}")
    worlds = []
    try:
        worlds.append(PlaneWorld(floor))
        worlds.append(PlaneWorld())
        for way in "up", "down":
            rows = [[w.rate(way) for w in worlds] for _ in range(rounds)]
            reference, ours = (statistics.median(column) / 1000 for column in zip(*rows))
            ratio = statistics.median(b / a for a, b in rows)
            print(f"  {way:4} reference {reference:.0f}, data plane {ours:.0f} thousand packets a "
                  f"second of CPU; ratios " + " ".join(f"{b / a:.2f}" for a, b in rows))
            figures[f"user_pps_{way}_kpps"] = round(ours)
            figures[f"user_pps_{way}_vs_floor"] = round(ratio, 3)
    finally:
        for world in worlds:
            world.lab.close()


# --- TCP through one session

CLIENT = '''
session "office" {
    server = "192.0.2.1"
    secret = "secret"
    user = "user"
    password = "password"
    mtu = 1460  # as a session over Ethernet has it; l2tpns holds to the MRU to the octet
    routes = {"203.0.113.0/24"}
}
'''
LNS = '''
pool "subscribers" { addresses = {"10.64.0.0/15"} }
profile "home" { users = "@DIR@/users" pool = "subscribers" local-address = "10.64.0.1" }
peer "anybody" { profile = "home" secret = "secret" }
'''


class TcpWorld:
    """client -- lns with a TCP server behind the session (203.0.113.1)."""

    def __init__(self, kind):
        self.lab = Lab()
        try:
            self.build(kind)
        except BaseException:
            self.lab.close()
            raise

    def build(self, kind):
        client, lns = self.lab.ns("client"), self.lab.ns("lns")
        self.client = client
        self.lab.cable(client, lns, ["192.0.2.2/24"], ["192.0.2.1/24"], "c0", "l0")
        lns.sysctl("net.ipv4.ip_forward", 1)
        lns.run("ip", "addr", "add", "203.0.113.1/32", "dev", "lo")
        if kind == "adit":
            self.measured(self.lab.adit(lns, LNS, users="user * password *\n")).start()
        else:
            L2tpns(lns, "192.0.2.1", secret="secret", user="user", password="password", debug=0)
        self.adit = self.measured(self.lab.adit(client, CLIENT)).start()
        self.adit.ctl("connect", "office")
        wait_for("the session to carry packets",
                 lambda: client.ping("203.0.113.1", count=1, wait=1) == 1)
        lns.start("iperf3", "--server", name="iperf3")
        wait_for("the TCP server", lambda: ":5201" in lns.run("ss", "-Hltn").stdout)

    @staticmethod
    def measured(adit):
        text = adit.conf.read_text().replace('log-level = "debug"', 'log-level = "notice"')
        adit.conf.write_text('data-plane = "user"\n' + text)
        return adit

    def mbit(self, way, seconds=2):
        argv = ["iperf3", "--json", "--client", "203.0.113.1", "--time", seconds, "--omit", 0.5]
        out = self.client.run(*argv, *(["--reverse"] if way == "down" else []), timeout=60,
                              check=False).stdout
        result = json.loads(out)
        assert "end" in result and "sum_received" in result["end"], out
        return result["end"]["sum_received"]["bits_per_second"] / 1e6


def bench_tcp(figures, rounds=5):
    worlds = []
    try:
        worlds.append(TcpWorld("adit"))
        worlds.append(TcpWorld("l2tpns"))
        for way in "up", "down":
            rows = [[w.mbit(way) for w in worlds] for _ in range(rounds)]
            ratios = [a / b for a, b in rows]
            ours, theirs = (statistics.median(column) for column in zip(*rows))
            print(f"  {way:4} adit {ours:.0f} Mbit/s, l2tpns {theirs:.0f} Mbit/s; ratios "
                  + " ".join(f"{r:.1f}" for r in ratios))
            figures[f"user_tcp_{way}_mbit"] = round(ours)
            figures[f"user_tcp_{way}_vs_l2tpns"] = round(statistics.median(ratios), 2)
    finally:
        for world in worlds:
            world.lab.close()
