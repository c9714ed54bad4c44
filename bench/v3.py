# SPDX-License-Identifier: MIT
"""The figures of Ethernet pseudowires in user space. TCP between two machines over a pseudowire of
adit's user-space plane (a TAP on either side, the data in UDP over a cable as the kernel has it),
over the same TCP on a plain cable whose segmentation and receive offloads are off. Both have the MTU
that adit chooses by itself: what is longer would be cut in two by IP below the pseudowire. And the
same TCP over one of the kernel's own (l2tpeth), where there is such a kernel (bench/kernel_v3.py)."""

import json
import statistics

from lab import Lab, wait_for

NAMES = ("v3_user_tcp_vs_veth", "v3_user_tcp_mbit")


class World:
    """Two machines, a and b, which is 10.7.0.2."""

    def __init__(self):
        self.lab = Lab()
        self.a, self.b = self.lab.ns("a"), self.lab.ns("b")
        try:
            self.build()
            wait_for("a way", lambda: self.a.ping("10.7.0.2", 1, wait=1))
            self.b.start("iperf3", "--server", name="iperf3")
            wait_for("the TCP server", lambda: ":5201" in self.b.run("ss", "-Hltn").stdout)
        except BaseException:
            self.lab.close()
            raise

    def mbit(self, seconds=2):
        done = self.a.run("iperf3", "--json", "--client", "10.7.0.2", "--time", seconds,
                          "--omit", 0.5, timeout=60)
        return json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"] / 1e6


class Plain(World):
    def __init__(self, mtu):
        self.mtu = mtu
        super().__init__()

    def build(self):
        self.lab.cable(self.a, self.b, ["10.7.0.1/24"], ["10.7.0.2/24"], "plain", "plain")
        for ns in self.a, self.b:
            ns.run("ip", "link", "set", "plain", "mtu", self.mtu)
            ns.run("ethtool", "-K", "plain", "tso", "off", "gso", "off", "gro", "off")


class Wire(World):
    def __init__(self, plane="user"):
        self.plane = plane
        super().__init__()

    def build(self):
        self.lab.cable(self.a, self.b, ["192.0.2.1/24"], ["192.0.2.2/24"], "core", "core")
        for n, ns in (1, self.a), (2, self.b):
            self.lab.adit(ns, f"""
                pseudowire "wire" {{
                    data-plane = {self.plane}
                    local = 192.0.2.{n} remote = 192.0.2.{3 - n}
                    local-port = {5000 + n} remote-port = {5003 - n}
                    tunnel-id = {n} peer-tunnel-id = {3 - n}
                    session-id = {n} peer-session-id = {3 - n}
                    cookie = {n:016x} peer-cookie = {3 - n:016x}
                    interface = wire
                }}
                """).start()
            wait_for("the pseudowire", lambda ns=ns: "wire" in ns.run("ip", "-o", "link").stdout)
            ns.run("ip", "addr", "add", f"10.7.0.{n}/24", "dev", "wire")

    def mtu(self):
        return json.loads(self.a.run("ip", "-json", "link", "show", "wire").stdout)[0]["mtu"]


def compare(first, second, rounds, seconds=2):
    """Medians of both, in Mbit/s, and the ratios of the rounds; `second` is told the first world."""
    worlds = []
    try:
        worlds.append(first())
        worlds.append(second(worlds[0]))
        rows = [[w.mbit(seconds) for w in worlds] for _ in range(rounds)]
    finally:
        for world in worlds:
            world.lab.close()
    return [statistics.median(column) for column in zip(*rows)], [a / b for a, b in rows]


def bench_v3(figures, rounds=5):
    (wire, plain), ratios = compare(Wire, lambda w: Plain(w.mtu()), rounds)
    print(f"  pseudowire {wire:.0f} Mbit/s, plain cable without offloads {plain:.0f} Mbit/s; ratios "
          + " ".join(f"{r:.2f}" for r in ratios))
    figures["v3_user_tcp_mbit"] = round(wire)
    figures["v3_user_tcp_vs_veth"] = round(statistics.median(ratios), 2)
