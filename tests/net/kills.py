# SPDX-License-Identifier: MIT
"""Kills of aditd at every step and at random, under traffic, with sessions that come and go; shared
by tests/net/test_kills.py (data in user space) and tests/vm/test_kernel_kills.py (in the kernel)."""

import os
import signal
import time

from faults import LOAD_POINTS, Faults, check_accounting
from lab import BUILD, wait_for

CONF = """
pool "subscribers" { addresses = {"10.64.0.0/16"} }
profile "home" { users = "@DIR@/users" pool = "subscribers" local-address = "10.64.0.1" }
peer "anybody" { profile = "home" secret = "tunnel secret" }
"""


class World:
    """client --- lns, with places to die at in the LNS."""

    def __init__(self, lab):
        self.lab = lab
        self.client, self.lns = lab.ns("client"), lab.ns("lns")
        lab.cable(self.client, self.lns, ["192.0.2.2/24"], ["192.0.2.1/24"], "c0", "l0")

    def start_lns(self, conf=CONF):
        self.faults = Faults(self.lab.dir / "faults")
        self.adit = self.lab.adit(self.lns, conf, users="* * password *\n")
        return self.adit.start(env=self.faults.env)

    def load(self, *more, name="load", ns=None, server="192.0.2.1"):
        return (ns or self.client).start(BUILD / "src/load/adit-load", "--server", server,
                                         "--secret", "tunnel secret", *more, name=name)

    def wait_up(self, load, sessions):
        wait_for("all sessions", lambda: '"up":' in load.text() or not load.alive(), seconds=120)
        assert f'"up":{sessions},' in load.text(), load.text()

    def lasting(self, sessions):
        """Which sessions there are, and since when, once the LNS knows that all are up: a peer may
        know earlier."""
        wait_for("the LNS to have them up",
                 lambda: self.adit.json("status")["sessions_up"] == sessions, seconds=60)
        return self.since()

    def churn(self, n, *more):
        """Sessions that come and go all the time. They begin when the first one and all tunnels
        are up: a tunnel that is being set up when aditd dies is lost, and they with it."""
        load = self.load("--sessions", 1, "--tunnels", 4, "--pings", 4, "--churn", n, "--hold", 5000,
                         "--limit", 1000, "--records", self.lab.dir / "churn", *more, name="churn")
        self.wait_up(load, 1)
        return load

    def passing_tunnels(self):
        """Tunnels that come and go all the time."""
        return self.client.start(
            "sh", "-c", f"while :; do {BUILD}/src/load/adit-load --server 192.0.2.1 --secret "
            "'tunnel secret' --sessions 3 --tunnels 3 --user passing --limit 10; done",
            name="tunnels")

    def up(self):
        return self.adit.json("status")["sessions"]

    def since(self):
        return {s["key"]: s["since"] for s in self.adit.sessions()}

    def killed(self, old):
        """aditd has died: wait for the next one to serve."""
        wait_for("a new aditd", lambda: self.adit.aditd_pid() not in (None, old))
        self.began = time.monotonic()
        wait_for("it to answer",
                 lambda: self.adit.ctl("status", check=False).returncode == 0)

    def kill(self, name, rng, loaded=150):
        """Let aditd die at this place, or at "random"; `loaded`: how many records there are to be
        read, about, when it starts."""
        old = wait_for("aditd", self.adit.aditd_pid)
        if name == "random":
            time.sleep(rng.random())
        elif name in LOAD_POINTS:
            self.faults.arm(name, 1 + rng.randrange(loaded) if name == "in-load" else 1)
        else:
            self.faults.arm(name, 1 + rng.randrange(3))
            self.faults.wait_death(name)
        if name == "random" or name in LOAD_POINTS:
            os.kill(old, signal.SIGKILL)
        self.killed(old)
        assert not self.faults.armed(), name
        assert self.adit.keeper.alive(), self.adit.text()[-2000:]

    def kill_all(self, plan, rng, loaded=150):
        for i in range(0, len(plan), 2):
            # two at a time: a second death within two seconds is not yet waited for by the keeper
            for name in plan[i:i + 2]:
                self.kill(name, rng, loaded)
            time.sleep(max(0, self.began + 2.05 - time.monotonic()))


def plan_of(points, kills, rng):
    """So many places in some order, filled up with "random"."""
    plan = list(points)
    rng.shuffle(plan)
    plan = plan[:kills]
    return plan + ["random"] * (kills - len(plan))


def check_kept(lasting, now):
    lost = {key for key in lasting if now.get(key) != lasting[key]}
    assert not lost, f"{len(lost)} of {len(lasting)} sessions are not what they were: {lost}"


def check_records(rows, lines, kills, come_and_go, control=0):
    """What the generator saw against the accounting: nothing lost, nothing twice. More than
    `come_and_go` sessions were up."""
    assert sum(r["was_up"] for r in rows) > come_and_go, "too few came and went"
    known = {(l["remote_tunnel"], l["remote_session"], l["tunnel"], l["session"]) for l in lines}
    # of one without accounting the LNS did not know yet that it was up: its peer was told
    lost = [r for r in rows if r["was_up"] and not r["ours"] and
            (r["tunnel"], r["session"], r["remote_tunnel"], r["remote_session"]) in known]
    assert not lost, "\n".join(map(str, lost))
    _, missing, uncounted = check_accounting(lines, rows, control=control)
    sent = sum(r["sent"] for r in rows)
    # 2 % are lost on the path, 2 % may come too late, and a batch at each death
    assert missing < 0.06 * sent + kills * 64, (missing, sent)
    return uncounted


def check_clean(rows, lines):
    """Every packet was answered, and counted. The kernel counts messages of IPCP, too, once there is
    an interface."""
    stops = {(l["remote_tunnel"], l["remote_session"]): l for l in lines if l["event"] == "stop"}
    wrong = []
    for r in rows:
        stop = stops[r["tunnel"], r["session"]]
        counts = (r["sent"], stop["in_packets"], stop["out_packets"], r["received"])
        if r["sent"] != r["received"] or not all(r["sent"] <= n <= r["sent"] + 8
                                                 for n in counts) or \
                stop["in_octets"] < r["sent_octets"] or stop["out_octets"] < r["received_octets"]:
            wrong.append((r["number"], r["ip4"], counts))
    assert not wrong, f"(number, address, (sent, in, out, received)): {wrong}"
