# SPDX-License-Identifier: MIT
"""Static L2TPv3 Ethernet pseudowires against plain `ip l2tp`: both encapsulations and families, with
and without cookies, in a bridge; through reloads, kills of aditd, and foreign hands."""

import re
import signal

import pytest

from lab import ROOT, wait_for

WIRE = """
pseudowire "{name}" {{
    encapsulation = {encap}
    local = "{local}" remote = "{remote}" {ports}
    tunnel-id = {t} peer-tunnel-id = {pt} session-id = {s} peer-session-id = {ps}
    interface = {interface} {more}
}}
"""
ADDRESSES = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8:1::1", "2001:db8:1::2")}


class Two:
    """ours (adit) --- theirs (iproute2)"""

    def __init__(self, lab):
        self.lab = lab
        self.ours, self.theirs = lab.ns("ours"), lab.ns("theirs")
        lab.cable(self.ours, self.theirs, ["192.0.2.1/24", "2001:db8:1::1/64"],
                  ["192.0.2.2/24", "2001:db8:1::2/64"], "o0", "t0")

    def peer(self, encap="udp", family=4, cookies=False, n=1, tunnel=None):
        local, remote = ADDRESSES[family][::-1]
        t = tunnel or n  # an earlier one, or one of its own
        ports = ("udp_sport", 6000 + t, "udp_dport", 5000 + t) if encap == "udp" else ()
        if t == n:
            self.theirs.run("ip", "l2tp", "add", "tunnel", "tunnel_id", 2000 + n, "peer_tunnel_id",
                            1000 + n, "encap", encap, "local", local, "remote", remote, *ports)
        cookie = ("cookie", "0123456789abcdef", "peer_cookie", "89abcdef") if cookies else ()
        self.theirs.run("ip", "l2tp", "add", "session", "name", f"w{n}", "tunnel_id", 2000 + t,
                        "session_id", 2100 + n, "peer_session_id", 1100 + n, *cookie)
        self.theirs.run("ip", "link", "set", f"w{n}", "up")
        self.theirs.run("ip", "addr", "add", f"10.7.{n}.2/24", "dev", f"w{n}")

    def conf(self, encap="udp", family=4, cookies=False, n=1, more="", tunnel=None):
        local, remote = ADDRESSES[family]
        t = tunnel or n
        ports = f"local-port = {5000 + t} remote-port = {6000 + t}" if encap == "udp" else ""
        if cookies:
            more += ' cookie = "0123456789abcdef" peer-cookie = "89abcdef"'
        return WIRE.format(name=f"p{n}", encap=encap, local=local, remote=remote, ports=ports,
                           t=1000 + t, pt=2000 + t, s=1100 + n, ps=2100 + n, interface=f"p{n}",
                           more=more)

    def address(self, n=1):
        self.ours.run("ip", "addr", "add", f"10.7.{n}.1/24", "dev", f"p{n}")

    def pings(self, n=1, size=None, source=None):
        wait_for("an answer", lambda: self.ours.ping(f"10.7.{n}.2", 1, wait=1), seconds=20)
        assert self.ours.ping(f"10.7.{n}.2", 3, wait=5) == 3
        assert self.theirs.ping(f"10.7.{n}.1", 1, wait=5) == 1
        if size:
            assert self.ours.ping(f"10.7.{n}.2", 1, wait=5, size=size) == 1


@pytest.fixture
def two(lab):
    return Two(lab)


def wires(adit):
    return {w["name"]: w for w in adit.json("show", "pseudowires")["pseudowires"]}


def wait_up(adit, *names):
    wait_for("the pseudowires", lambda: all(wires(adit).get(n, {}).get("state") == "up"
                                            for n in names), seconds=30)


@pytest.mark.parametrize("cookies", [False, True])
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("encap", ["udp", "ip"])
def test_against_iproute2(two, encap, family, cookies):
    two.peer(encap, family, cookies)
    adit = two.lab.adit(two.ours, two.conf(encap, family, cookies)).start()
    wait_up(adit, "p1")
    two.address()
    # Rows: V3-4.1-08, EP-3-02
    mtu = wires(adit)["p1"]["mtu"]
    assert mtu == 1500 - (40 if family == 6 else 20) - (12 if encap == "udp" else 0) - 4 - 4 - 14 \
        - (4 if cookies else 0)
    two.pings(size=mtu - 28)
    wait_for("counters", lambda: wires(adit)["p1"]["rx_packets"] > 3)
    adit.stop()
    wait_for("an empty kernel", lambda: "Tunnel" not in
             two.ours.run("ip", "l2tp", "show", "tunnel").stdout, seconds=20)


def test_the_example(two):
    """doc/examples/ip-l2tp.conf, and the commands in it, as they are printed."""
    text = (ROOT / "doc/examples/ip-l2tp.conf").read_text()
    commands = re.sub(r" \\\n# +", " ", text)
    commands = re.findall(r"^# +(ip .*)$", commands, re.M)
    assert len(commands) == 3
    for ns, own, far in (two.ours, "192.0.2.1", "198.51.100.2"), (two.theirs, "198.51.100.2",
                                                                  "192.0.2.1"):
        ns.run("ip", "addr", "replace", f"{own}/32", "dev", "lo")
        if ns is two.theirs:
            ns.run("ip", "addr", "del", "192.0.2.2/24", "dev", "t0")
        ns.run("ip", "route", "replace", f"{far}/32", "dev", "o0" if ns is two.ours else "t0",
               "src", own)
    for command in commands:
        two.theirs.run(*command.split())
    two.theirs.run("ip", "addr", "add", "10.7.1.2/24", "dev", "wire0")
    adit = two.lab.adit(two.ours, text).start()
    wait_up(adit, "linux")
    two.ours.run("ip", "addr", "add", "10.7.1.1/24", "dev", "wire0")
    two.pings(size=wires(adit)["linux"]["mtu"] - 28)


def test_wrong_cookie_passes_nothing(two):
    two.peer(cookies=True)
    adit = two.lab.adit(two.ours, two.conf(
        more='cookie = "0123456789abcdee" peer-cookie = "89abcdef"')).start()
    wait_up(adit, "p1")
    two.address()
    assert two.ours.ping("10.7.1.2", 2, wait=2) == 0


def test_bridge_reload_kill_and_foreign_hands(two):
    two.ours.run("ip", "link", "add", "br0", "type", "bridge")
    two.ours.run("ip", "link", "set", "br0", "up")
    two.ours.run("ip", "addr", "add", "10.7.1.1/24", "dev", "br0")
    two.peer(n=1)
    two.peer(n=2, encap="ip", family=6)
    adit = two.lab.adit(two.ours, two.conf(more="bridge = br0")).start()
    wait_up(adit, "p1")
    assert "master br0" in two.ours.run("ip", "link", "show", "p1").stdout
    two.pings()

    # a second one by reload; the first one does not lose a packet of it, nor by a kill of aditd
    ping = two.ours.pinging("10.7.1.2", 60, 0.2)
    two.ours.run("ip", "link", "set", "o0", "mtu", 1450)  # the reload finds a narrower path
    adit.conf.write_text(adit.preamble() + two.conf(more="bridge = br0") +
                         two.conf(n=2, encap="ip", family=6))
    adit.ctl("reload")
    wait_up(adit, "p1", "p2")
    wait_for("the MTUs", lambda: [wires(adit)[n]["mtu"] for n in ("p1", "p2")] ==
             [1450 - 54, 1450 - 62], seconds=60)
    assert " mtu 1396 " in two.ours.run("ip", "link", "show", "p1").stdout
    two.address(2)
    two.pings(2)
    adit.kill_aditd(signal.SIGKILL)
    wait_up(adit, "p1", "p2")
    assert ping.lost() == [], ping.text()

    # somebody else removes it: it is made again
    two.ours.run("ip", "l2tp", "del", "tunnel", "tunnel_id", 1001)
    wait_for("the warning", lambda: "removed by another program" in adit.text(), seconds=20)
    wait_up(adit, "p1")
    two.pings()

    # and the second one goes again
    adit.conf.write_text(adit.preamble() + two.conf(more="bridge = br0"))
    adit.ctl("reload")
    wait_for("its end", lambda: "p2" not in two.ours.run("ip", "-o", "link").stdout, seconds=20)
    assert list(wires(adit)) == ["p1"]
    two.pings()


@pytest.mark.parametrize("encap", ["udp", "ip"])
def test_sessions_of_one_tunnel(two, encap):
    """Three sessions in one tunnel, as `ip l2tp` has them: the kernel before 6.10 carries one tunnel
    over UDP between two addresses and ports. What happens to some the others do not notice."""

    def conf(*some):
        return "".join(two.conf(encap, n=n, tunnel=1) for n in some)

    def tunnels():
        return two.ours.run("ip", "l2tp", "show", "tunnel").stdout.count("Tunnel ")

    def only(*some):
        adit.conf.write_text(adit.preamble() + conf(*some))
        adit.ctl("reload")
        wait_for("these", lambda: sorted(wires(adit)) == [f"p{n}" for n in some])
        wait_up(adit, *wires(adit))
        for n in {1, 3} & set(some):
            if not two.ours.run("ip", "-o", "-4", "addr", "show", "dev", f"p{n}").stdout:
                two.address(n)
            two.pings(n)

    for n in (1, 2, 3):
        two.peer(encap, n=n, tunnel=1)
    adit = two.lab.adit(two.ours, conf(2)).start()
    wait_up(adit, "p2")
    two.address(2)
    two.pings(2)
    ping = two.ours.pinging("10.7.2.2", 100, 0.2)
    only(1, 2, 3)
    only(1, 2)
    only(2, 3)
    two.ours.run("ip", "l2tp", "del", "session", "tunnel_id", 1001, "session_id", 1103)
    wait_for("the warning", lambda: "removed by another program" in adit.text(), seconds=20)
    only(2, 3)
    assert tunnels() == 1
    assert ping.lost() == [], ping.text()
    # the one that the tunnel was made for goes, which is still another's
    only(3)
    two.ours.run("ip", "l2tp", "del", "tunnel", "tunnel_id", 1001)
    wait_for("both warnings", lambda: adit.text().count("removed by another program") == 2, seconds=20)
    only(3)
    adit.stop()
    wait_for("an empty kernel", lambda: not tunnels(), seconds=20)


def test_no_route_yet(two):
    two.ours.run("ip", "link", "set", "o0", "down")
    two.peer()
    adit = two.lab.adit(two.ours, two.conf()).start()
    wait_for("a word", lambda: "tried again" in adit.text(), seconds=20)
    assert wires(adit)["p1"]["state"] == "down" and wires(adit)["p1"]["text"]
    two.ours.run("ip", "link", "set", "o0", "up")
    wait_up(adit, "p1")
    two.address()
    two.pings()
