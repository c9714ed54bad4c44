# SPDX-License-Identifier: MIT
"""What the manual (adit.conf(5), data-plane) says about the packet filter: the TCP segment size of
sessions that the kernel carries, and source addresses that are not theirs."""

import json
import pathlib
import re
import subprocess

from lab import wait_for
from test_interop import Wire, only

ROOT = pathlib.Path(__file__).resolve().parents[2]


def rules():
    """As they stand in the manual."""
    text = (ROOT / "doc/man/adit.conf.5.scd").read_text()
    block = re.search(r"```\n(\ttable inet adit \{.*?)```", text, re.S).group(1)
    return "\n".join(line.strip() for line in block.splitlines()) + "\n"


def mss(ns, port):
    """The segment size that this end of the connection at `port` sends with."""
    out = ns.run("ss", "-tniOH", "sport", "=", f":{port}").stdout
    found = [int(m) for line in out.splitlines() if line.startswith("ESTAB")
             for m in re.findall(r"\bmss:(\d+)", line)]
    return found and found[0]


def connection(wire, inside, target, port):
    """(what the server sends with, what the client sends with) over a new connection."""
    server = inside.start("/usr/bin/python3", "-c", f"""
import socket, time
s = socket.create_server(("{target}", {port}), family=socket.AF_INET6 if ":" in "{target}" else
                         socket.AF_INET)
print("listening", flush=True)
c, _ = s.accept()
c.recv(1)
c.send(b"x")
c.recv(1)
""", name=f"server{port}")
    wait_for("the server", lambda: "listening" in server.text(), seconds=60)
    client = wire.client.start("/usr/bin/python3", "-c", f"""
import socket, time
s = socket.create_connection(("{target}", {port}), timeout=120)
s.send(b"x")
s.recv(1)
print(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG), flush=True)
time.sleep(600)
""", name=f"client{port}")
    wait_for("the connection", lambda: client.text().strip() or not client.alive(), seconds=60)
    got = wait_for("its segment size", lambda: mss(inside, port), seconds=60)
    for process in (client, server):
        process.child.kill()
        process.child.wait()
    return got


def test_rules_of_the_manual(lab):
    wire = Wire(lab)
    inside = lab.ns("inside")
    lab.cable(wire.lns, inside, ["198.51.100.129/25"], ["198.51.100.130/25"], "i0", "s0")
    inside.run("ip", "route", "add", "default", "via", "198.51.100.129")
    lns, client = wire.adit_lns("kernel"), wire.adit_client("user", more="mss-clamp = no")
    wire.carries()
    assert only(lns)["plane"] == "kernel"
    device = only(lns)["interface"]
    mtu = json.loads(wire.lns.run("ip", "-j", "link", "show", device).stdout)[0]["mtu"]
    # as a machine behind the client does that knows nothing of the tunnel
    wire.client.run("ip", "route", "add", "198.51.100.130", "dev", "adit1", "advmss", "1460")
    wait_for("the way", lambda: wire.client.ping("198.51.100.130", 1, wait=1), seconds=30)
    before = connection(wire, inside, "198.51.100.130", 7001)
    assert before > mtu - 52, (before, mtu)  # without rules it sends too much at a time

    done = subprocess.run(wire.lns.argv(["nft", "-f", "-"]), input=rules(), text=True,
                          capture_output=True)
    assert done.returncode == 0, done.stderr
    after = connection(wire, inside, "198.51.100.130", 7002)
    assert after <= mtu - 40, (after, mtu)

    # what a session needs for itself passes: solicitations of routers, too
    client.ctl("disconnect", "office")
    wait_for("the end of the session", lambda: not lns.sessions(), seconds=30)
    client.ctl("connect", "office")
    wire.carries()
    wire.carries("2001:db8:2::2")

    # a source that is not the session's does not pass, one that is does
    wire.client.run("ip", "addr", "add", "203.0.113.5/32", "dev", "lo")
    inside.run("ip", "route", "add", "203.0.113.5", "via", "198.51.100.129")
    spoof = ["ping", "-n", "-q", "-c", "3", "-i", "0.2", "-W", "1", "-I", "203.0.113.5",
             "198.51.100.130"]

    def dropped():
        out = wire.lns.run("nft", "list", "counter", "inet", "adit", "spoofed").stdout
        return int(re.search(r"packets (\d+)", out).group(1))
    others = dropped()
    answers = wire.client.run(*spoof, check=False).stdout
    assert " 0 received" in answers, answers
    wait_for("packets that are dropped", lambda: dropped() >= others + 3, seconds=30)
    assert wire.client.ping("198.51.100.130", 3) == 3
