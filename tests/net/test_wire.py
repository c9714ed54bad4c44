# SPDX-License-Identifier: MIT
"""Pseudowires with a control connection between two daemons, in the user-space plane: a bridge between
two sites over UDP and over IP, circuits whose cables are pulled, a killed aditd, a changed secret."""

import json
import os
import signal
import time

import pytest

from lab import wait_for

SITES = {"a": ("192.0.2.1", "2001:db8::1"), "b": ("192.0.2.2", "2001:db8::2")}
OTHER = {"a": "b", "b": "a"}


class Site:
    """A router with a bridge, and a host behind it."""

    def __init__(self, lab, name):
        self.lab, self.name = lab, name
        self.ns = lab.ns(name)
        self.host = lab.ns(f"h{name}")
        lab.cable(self.ns, self.host, a_if="eth1", b_if="eth0",
                  b_addresses=[f"10.9.0.{ord(name) - 96}/24", f"fd09::{ord(name) - 96}/64"])
        self.ns.run("ip", "link", "add", "br0", "type", "bridge")
        self.ns.run("ip", "link", "set", "eth1", "master", "br0")
        self.ns.run("ip", "link", "set", "br0", "up")
        # what fits through the pseudowire: a bridge sends nothing back to who sends more
        self.host.run("ip", "link", "set", "eth0", "mtu", "1400")
        self.adit = None

    def configure(self, config):
        self.adit = self.lab.adit(self.ns, 'data-plane = "user"\n' + config)

    def write(self, config):
        self.adit.conf.write_text(self.adit.preamble() + 'data-plane = "user"\n' + config)

    def reload(self, config):
        self.write(config)
        return self.adit.ctl("reload").stdout

    def wire(self, name="x"):
        wires = self.adit.json("show", "pseudowires")["pseudowires"]
        return next((w for w in wires if w["name"] == name), {})

    def up(self, name="x"):
        return self.wire(name).get("state") == "up"


@pytest.fixture
def sites(lab):
    a, b = Site(lab, "a"), Site(lab, "b")
    lab.cable(a.ns, b.ns, [f"{SITES['a'][0]}/24", f"{SITES['a'][1]}/64"],
              [f"{SITES['b'][0]}/24", f"{SITES['b'][1]}/64"], a_if="wan", b_if="wan")
    return a, b


def short(site, family=0, more="", secret="secret = wonderland"):
    """The block that one side takes."""
    return f'pseudowire "x" {{ remote = "{SITES[OTHER[site.name]][family]}" {secret} ' \
           f'bridge = br0 {more} }}\n'


def start(a, b, config_a, config_b):
    a.configure(config_a)
    b.configure(config_b)
    for site in (a, b):
        site.adit.start()
    both_up(a, b)


def both_up(a, b):
    wait_for("the pseudowire on both sides", lambda: a.up() and b.up(), 40)


def bridged(a, b):
    wait_for("frames from site to site", lambda: a.host.ping("10.9.0.2", count=1, wait=1) == 1, 20)


@pytest.mark.parametrize("encap", ["udp", "ip"])
@pytest.mark.parametrize("family", [0, 1], ids=["v4", "v6"])
def test_bridge_of_two_sites(sites, encap, family):
    """One short block a side: ARP, neighbour discovery, TCP."""
    a, b = sites
    more = f"encapsulation = {encap}"
    start(a, b, short(a, family, more), short(b, family, more))
    bridged(a, b)
    wire = a.wire()
    assert wire["encapsulation"] == encap
    assert wire["interface"] == "x" and wire["bridge"] == "br0"
    assert wire["cookie_length"] == wire["peer_cookie_length"] == 8
    assert wire["remote_session"] == b.wire()["session"]
    assert b.host.ping("10.9.0.1") == 3
    assert a.host.ping("fd09::2") == 3
    a.host.tcp(b.host, "10.9.0.2")
    tunnels = a.adit.json("show", "tunnels")["tunnels"]
    assert [t["version"] for t in tunnels] == [3]


def test_no_such_circuit(sites):
    """The circuit is an interface that does not exist: the log says so once each time, and the table
    while it is so."""
    a, b = sites
    start(a, b, short(a, more="circuit = eth9"), short(b))
    lacks = "there is no interface eth9"

    def told():
        return sum(lacks in line and "warning" in line for line in a.adit.text().splitlines())

    def says(text, circuit):
        wait_for(f"the text {text}", lambda: (a.wire()["text"], a.wire()["circuit"]) == (text, circuit))

    says(lacks, "down")
    wait_for("the log to say so", lambda: told() == 1)
    assert lacks in a.adit.ctl("show", "pseudowires").stdout and a.up()
    # there, and down for another reason
    a.ns.run("ip", "link", "add", "eth9", "type", "veth", "peer", "name", "eth8")
    says(None, "down")
    for name in ("eth8", "eth9"):
        a.ns.run("ip", "link", "set", name, "up")
    says(None, "up")
    wait_for("the other side to hear", lambda: b.wire()["peer_circuit"] == "up")
    assert told() == 1
    a.ns.run("ip", "link", "del", "eth9")
    says(lacks, "down")
    wait_for("the log to say so again", lambda: told() == 2)


def test_circuit_on_both_sides(sites):
    """A cable is pulled: both sides say so, and the far interface has no carrier."""
    a, b = sites
    start(a, b, short(a, more="circuit = eth1"), short(b, more="circuit = eth1"))
    bridged(a, b)
    for pulled, far in ((a, b), (b, a)):
        wait_for("circuits that are up", lambda: all(
            s.wire()["circuit"] == s.wire()["peer_circuit"] == "up" for s in (a, b)))
        pulled.host.run("ip", "link", "set", "eth0", "down")
        wait_for("the circuit to be down here", lambda: pulled.wire()["circuit"] == "down")
        wait_for("the circuit to be down there", lambda: far.wire()["peer_circuit"] == "down")
        wait_for("the carrier to be gone", lambda: "NO-CARRIER" in far.ns.run(
            "ip", "link", "show", "x").stdout)
        assert far.wire()["circuit"] == pulled.wire()["peer_circuit"] == "up"
        assert [(s["circuit"], s["peer_circuit"]) for site in (pulled, far)
                for s in site.adit.sessions()] == [("down", "up"), ("up", "down")]
        pulled.host.run("ip", "link", "set", "eth0", "up")
    bridged(a, b)


def test_circuit_after_changes(sites):
    """The interface is made anew, by both sides at once: its circuit is up again, and the other side
    hears of it, though nothing else happens."""
    a, b = sites
    start(a, b, short(a), short(b))
    bridged(a, b)
    for n in range(12):
        before = [s.wire()["session"] for s in (a, b)]
        more = f"cookie-length = {4 + n % 2 * 4}"
        for site in (a, b):
            site.reload(short(site, more=more))
        wait_for("new sessions", lambda: all(
            s.wire().get("session") not in (None, 0, old) and s.up()
            for s, old in zip((a, b), before)))
        wait_for("circuits that are up", lambda: all(
            s.wire()["circuit"] == s.wire()["peer_circuit"] == "up" for s in (a, b)), 2)


@pytest.mark.parametrize("encap", ["udp", "ip"])
def test_killed_aditd_loses_nothing(sites, encap):
    a, b = sites
    more = f"encapsulation = {encap}"
    start(a, b, short(a, more=more), short(b, more=more))
    bridged(a, b)
    before = a.wire(), b.wire()
    for site in (a, b, a):
        site.adit.kill_aditd()
        assert a.host.ping("10.9.0.2", count=3) == 3
        for s, was in zip((a, b), before):
            assert {k: s.wire()[k] for k in ("session", "remote_session", "tunnel", "state")} == \
                   {k: was[k] for k in ("session", "remote_session", "tunnel", "state")}
    # and the two still speak with each other
    b.adit.ctl("disconnect", "x")
    wait_for("the end", lambda: not a.up())
    b.adit.kill_aditd()  # what was taken down stays down
    assert b.wire()["state"] == "idle"
    b.adit.ctl("connect", "x")
    both_up(a, b)
    bridged(a, b)


def test_mtu_of_the_path(sites):
    """The interface has what fits on the way to the peer, and follows it at a reload."""
    # Rows: V3-4.1-08
    a, b = sites

    def path(mtu):
        for site in (a, b):
            site.ns.run("ip", "link", "set", "wan", "mtu", str(mtu))

    def link(site):
        return json.loads(site.ns.run("ip", "-j", "link", "show", "x").stdout)[0]["mtu"]

    path(1400)
    start(a, b, short(a), short(b))
    for site in (a, b):  # less IP, UDP, flags, session, cookie, sublayer, Ethernet
        wait_for("the MTU", lambda s=site: s.wire()["mtu"] == link(s) == 1400 - 20 - 8 - 4 - 4 - 8 - 4 - 14)
        assert site.adit.json("show", "tunnels")["tunnels"][0]["path_mtu"] == 1400
    path(9000)
    a.reload(short(a))
    wait_for("the larger MTU", lambda: a.wire()["mtu"] == link(a) == 9000 - 62)
    assert link(b) == 1400 - 62
    bridged(a, b)
    assert "in fragments" not in a.adit.text()
    a.reload(short(a, more="mtu = 8939"))
    wait_for("a word", lambda: 'pseudowire "x": mtu = 8939 is more than the path to 192.0.2.2 takes in one '
             "piece: larger frames are sent in fragments; set mtu = 8938, or leave it out" in a.adit.text())
    both_up(a, b)
    assert a.wire()["mtu"] == link(a) == 8939
    a.reload(short(a, more="mtu = 8938"))
    wait_for("what fits", lambda: a.up() and a.wire()["mtu"] == 8938)
    assert a.adit.text().count("in fragments") == 1


def test_secret_changed_in_two_steps(sites):
    a, b = sites

    def tunnel(site, secrets):
        return f'tunnel "t" {{ remote = {SITES[OTHER[site.name]][0]} {secrets} redial-first = ' \
               '"100 ms" redial-cap = "1 s" }\npseudowire "x" { tunnel = t bridge = br0 }\n'

    start(a, b, tunnel(a, "secret = one"), tunnel(b, "secret = one"))
    session = a.wire()["session"]
    for for_a, for_b in (("secret = one old-secret = two", "secret = one old-secret = two"),
                         ("secret = two old-secret = one", "secret = one old-secret = two"),
                         ("secret = two old-secret = one", "secret = two old-secret = one"),
                         ("secret = two", "secret = two")):
        a.reload(tunnel(a, for_a))
        b.reload(tunnel(b, for_b))
    assert a.wire()["session"] == session and a.up() and b.up()
    for site in (a, b):
        site.adit.ctl("disconnect", "x")
        wait_for("the end", lambda: not a.up() and not b.up())
        site.adit.ctl("connect", "x")
        both_up(a, b)
    bridged(a, b)


def test_killed_aditd_after_a_change(sites):
    """What was set up anew while its former row still went is taken up by the next aditd."""
    a, b = sites
    start(a, b, short(a), short(b))
    bridged(a, b)
    was = a.wire()["session"]
    a.reload(short(a, more="mtu = 1300"))
    wait_for("a new session", lambda: a.up() and b.up() and a.wire()["session"] != was)
    bridged(a, b)
    before = a.wire()
    for _ in range(2):
        a.adit.kill_aditd()
        assert {k: a.wire()[k] for k in ("session", "key", "state", "since")} == \
               {k: before[k] for k in ("session", "key", "state", "since")}
        assert a.host.ping("10.9.0.2", count=3) == 3
    assert not a.adit.json("show", "errors")["errors"]


def test_reload_and_reasons(sites):
    """What a reload drops is said before; a peer that refuses is shown with its words."""
    a, b = sites
    two = 'pseudowire "y" { remote = %s secret = wonderland }\n'
    start(a, b, short(a) + two % SITES["b"][0], short(b))
    wait_for("a reason", lambda: a.wire("y")["text"])
    assert "Remote End ID" in a.wire("y")["text"]
    assert "Remote End ID" in a.adit.ctl("show", "pseudowires", "name=y").stdout
    failures = a.adit.json("show", "errors")["errors"]
    assert {(f["who"], f["remote"]) for f in failures} == {("y", f"{SITES['b'][0]}:1701")}
    assert failures[0]["cause"] == "peer-closed-session" and "End ID" in failures[0]["text"]
    session = a.wire()["session"]
    b.reload(short(b) + two % SITES["a"][0])
    wait_for("the other one", lambda: a.up("y") and b.up("y"), 60)
    assert a.wire()["session"] == session
    told = a.reload(short(a, more="mtu = 1200") + two % SITES["b"][0])
    assert 'pseudowire "x" is ended and set up anew' in told
    wait_for("the log", lambda: '"x" ended because the configuration was changed' in a.adit.text())
    both_up(a, b)
    wait_for("its new MTU", lambda: a.wire()["mtu"] == 1200 and a.up())
    assert a.up("y") and a.wire()["session"] != session
    bridged(a, b)
    told = a.reload(two % SITES["b"][0])
    assert 'pseudowire "x" is ended' in told
    wait_for("its end there", lambda: not b.up())
    assert {f["who"] for f in a.adit.json("show", "errors")["errors"]} == {"y"}  # x was wanted
    assert "x" in {f["who"] for f in b.adit.json("show", "errors")["errors"]}
    assert a.ns.run("ip", "link", "show", "x", check=False).returncode != 0


def test_last_block_removed(sites):
    """The socket goes with the last block: not before the peer has acknowledged that."""
    a, b = sites
    start(a, b, short(a), short(b))
    way = ["route", "blackhole", SITES["b"][0]]
    a.ns.run("ip", way[0], "add", *way[1:])
    a.reload("")  # what is sent now is lost
    a.ns.run("ip", way[0], "del", *way[1:])
    wait_for("its end there", lambda: not b.up(), 20)
    assert b.wire()["cause"] == "peer-closed-tunnel", b.wire()
    wait_for("the socket to go", lambda: ":1701" not in a.ns.run("ss", "-nuaH").stdout, 60)


def test_block_removed_while_away(sites):
    """The next aditd finds no block for what it takes up, nor a socket: the peer is told all the same."""
    a, b = sites
    start(a, b, short(a), short(b))
    a.adit.conf.write_text(a.adit.preamble() + 'data-plane = "user"\n')
    a.adit.kill_aditd()
    wait_for("its end there", lambda: not b.up(), 10)
    assert b.wire()["cause"] == "peer-closed-tunnel", b.wire()
    a.adit.kill_aditd()
    assert "damaged" not in a.adit.text()


def test_both_versions_on_one_socket(sites):
    """An LNS for others and a pseudowire share port 1701."""
    a, b = sites
    lns = 'listen "all" { }\npool "p" { addresses = 10.7.0.0/24 }\n' \
          'profile "q" { pool = p auth = none }\npeer "anybody" { profile = q }\n'
    lac = f'session "s" {{ server = {SITES["a"][0]} }}\n'
    start(a, b, lns + short(a), lac + short(b))
    bridged(a, b)
    wait_for("the session of L2TPv2", lambda: any(
        s["state"] == "up" for s in b.adit.sessions()), 30)
    versions = sorted(t["version"] for t in a.adit.json("show", "tunnels")["tunnels"])
    assert versions == [2, 3]


def test_a_corrected_block_starts_over(sites):
    """What was wrong with a block is not said of it any more when that is corrected."""
    a, b = sites
    a.configure(f'pseudowire "x" {{ remote = {SITES["b"][0]} secret = wonderland bridge = br0 }}\n')
    b.configure('pseudowire "x" { remote = 192.0.2.77 connect = wait secret = wonderland }\n')
    for site in (a, b):
        site.adit.start()
    wait_for("a reason", lambda: a.wire()["because"] and a.wire()["attempts"])
    assert a.wire()["text"] == "no block here for this peer"
    assert a.wire()["mtu"] is None
    # to nobody, so that nothing new fails before anybody looks
    a.reload('pseudowire "x" { remote = 192.0.2.78 connect = wait secret = wonderland }\n')
    wire = a.wire()
    assert (wire["because"], wire["text"], wire["cause"], wire["attempts"]) == (None, None, None, 0)
    a.reload(short(a))
    b.reload(short(b))
    both_up(a, b)
    assert a.wire()["mtu"] > 1300


def test_status_has_what_is_down(sites):
    """`adit status` counts blocks, and says of each that is not up why, down to ten of them."""
    a, b = sites
    block = 'pseudowire "%s" { remote = %s secret = wonderland }\n'
    start(a, b, short(a) + block % ("y", SITES["b"][0]), short(b))

    def down(name):
        lines = a.adit.ctl("status").stdout.splitlines()
        return next((line for line in lines if line.startswith(f"pseudowire  {name}: ")), "")

    wait_for("a reason", lambda: "Remote End ID y" in down("y"))
    assert "; down because the peer closed the session" in down("y"), down("y")
    text, status = a.adit.ctl("status").stdout, a.adit.json("status")
    assert "pseudowires 2, of these 1 up\n" in text and "; tunnels 1, half open 0\n" in text, text
    assert (status["pseudowires"], status["pseudowires_up"], status["tunnels"]) == (2, 1, 1)
    assert status["oldest_session"] == a.wire()["since"]
    assert not down("x") and [w["name"] for w in status["pseudowires_down"]] == ["y"]
    a.adit.ctl("disconnect", "x")
    assert "pseudowires 2, of these 0 up\n" in a.adit.ctl("status").stdout
    assert down("x") == "pseudowire  x: idle; down because an administrator closed it"
    assert a.adit.json("status")["oldest_session"] is None
    a.adit.ctl("disconnect", "y")
    assert down("y") == "pseudowire  y: idle; down because an administrator closed it"
    a.reload("".join(block % (f"w{n}", SITES["b"][0]) for n in range(13)))
    lines = a.adit.ctl("status").stdout.splitlines()
    assert sum(line.startswith("pseudowire  w") for line in lines) == 10, lines
    assert "            and 3 more; see adit show pseudowires" in lines
    assert "pseudowires 13, of these 0 up" in lines


def test_drain_and_stop(sites):
    """A drain ends pseudowires, too, and the peer is told; a stop with a pace does it by itself."""
    a, b = sites
    start(a, b, "stop-rate = 5\n" + short(a), short(b))
    status = a.adit.json("status")
    assert (status["pseudowires"], status["pseudowires_up"]) == (1, 1)
    assert "pseudowires 1, of these 1 up\n" in a.adit.ctl("status").stdout
    out = a.adit.ctl("drain", "--rate", 0, "--no-wait").stdout
    assert "draining" in out and a.up() and b.up()
    out = a.adit.ctl("drain", "--rate", 10, timeout=120).stdout
    assert "no session is left" in out, out
    wait_for("the other side to hear of it", lambda: not b.up(), 60)
    assert "shutting down" in b.adit.text(), b.adit.text()
    a.adit.kill_aditd()
    assert a.adit.json("status")["state"] == "draining" and not a.up()
    a.adit.ctl("drain", "end")
    wait_for("the pseudowire on both sides", lambda: a.up() and b.up(), 90)
    assert a.adit.keeper.stop(seconds=90) == 0
    assert "stopping: telling the peers, one after the other" in a.adit.text()
    wait_for("the other side to hear of it", lambda: not b.up(), 60)


def master(site, name="x"):
    text = site.ns.run("ip", "-o", "link", "show", name).stdout
    return text.split(" master ")[1].split()[0] if " master " in text else None


def bridge_again(site, name="br0"):
    site.ns.run("ip", "link", "add", name, "type", "bridge")
    site.ns.run("ip", "link", "set", "eth1", "master", name)
    site.ns.run("ip", "link", "set", name, "up")


def test_bridge_goes_and_comes(sites):
    """A bridge is deleted: one line says so. It is made again: frames flow again, by themselves."""
    a, b = sites
    start(a, b, short(a), short(b))
    bridged(a, b)
    session = a.wire()["session"]
    for n in range(1, 3):
        a.ns.run("ip", "link", "del", "br0")
        wait_for("a word", lambda: a.adit.text().count("there is no bridge br0 any more") == n)
        assert master(a) is None and a.wire()["bridge"] is None
        bridge_again(a)
        bridged(a, b)
        assert master(a) == a.wire()["bridge"] == "br0"
    wait_for("both words", lambda: a.adit.text().count("x is put into bridge br0 again") == 2)
    # so fast that nobody sees it go
    a.ns.run("sh", "-c", "ip link del br0; ip link add br0 type bridge; "
             "ip link set eth1 master br0; ip link set br0 up")
    bridged(a, b)
    assert a.wire()["session"] == session


def test_interface_of_the_host_is_left(sites):
    """The name of an interface that the host has already: that is none of ours, and is not moved."""
    a, b = sites
    a.ns.run("ip", "link", "add", "x", "type", "veth", "peer", "name", "y")
    a.ns.run("ip", "link", "set", "x", "up")
    a.configure(short(a))
    b.configure(short(b))
    a.adit.start()
    b.adit.start()
    wait_for("it to be refused", lambda: not a.up() and "x" in a.adit.ctl("show", "errors").stdout, 40)
    a.reload(short(a, more="mtu = 1400"))
    # news of another interface are heard after those of this one
    a.ns.run("ip", "link", "add", "br7", "type", "bridge")
    time.sleep(1)
    assert master(a) is None


def test_taken_out_of_the_bridge(sites):
    """What an administrator does on purpose is said once and left so. What is in no bridge is put
    back by a reload, what is in another one is not."""
    a, b = sites
    start(a, b, short(a), short(b))
    bridged(a, b)

    def taken_out():
        """Again and again: what has just been made may not have been seen in its bridge yet."""
        a.ns.run("ip", "link", "set", "x", "nomaster")
        return "was taken out of bridge br0" in a.adit.text()

    wait_for("a word", taken_out)
    assert master(a) is None and a.wire()["bridge"] is None
    assert a.reload(short(a)) == 'pseudowire "x": x is put into bridge br0 again\n'
    assert master(a) == a.wire()["bridge"] == "br0"
    assert a.reload(short(a)) == "nothing changed\n"
    bridged(a, b)
    a.ns.run("ip", "link", "add", "br1", "type", "bridge")
    a.ns.run("ip", "link", "set", "x", "master", "br1")
    wait_for("a word", lambda: "was put into another bridge and stays there" in a.adit.text())
    a.reload(short(a))
    a.adit.kill_aditd()
    wait_for("the next aditd to have it", a.up)
    assert master(a) == "br1"
    a.ns.run("ip", "link", "del", "br0")
    bridge_again(a)
    assert master(a) == a.wire()["bridge"] == "br1"
    a.ns.run("ip", "link", "set", "x", "nomaster")
    a.reload(short(a))
    bridged(a, b)
    assert a.adit.text().count("was put into another bridge") == 1


def rename(site, old, new):
    site.ns.run("ip", "link", "set", old, "down")
    site.ns.run("ip", "link", "set", old, "name", new)
    site.ns.run("ip", "link", "set", new, "up")


def test_shown_where_it_is(sites):
    """What `adit show pseudowires` says of an interface is what an administrator has made of it: moved,
    its bridge renamed, itself renamed; while aditd looks, and while it was away."""
    a, b = sites
    start(a, b, short(a), short(b))
    bridged(a, b)
    for name in ("br1", "br2"):
        a.ns.run("ip", "link", "add", name, "type", "bridge")
        a.ns.run("ip", "link", "set", name, "up")
    a.ns.run("ip", "link", "set", "x", "master", "br1")
    assert a.wire()["bridge"] == "br1"
    rename(a, "br1", "lan")
    assert a.wire()["bridge"] == "lan"
    os.kill(a.adit.aditd_pid(), signal.SIGSTOP)
    a.ns.run("ip", "link", "set", "x", "master", "br2")
    a.adit.kill_aditd()
    wait_for("the next aditd to see it", lambda: a.up() and a.wire()["bridge"] == "br2")
    a.ns.run("ip", "link", "set", "x", "nomaster")
    assert a.wire()["bridge"] is None
    a.ns.run("ip", "link", "set", "x", "master", "br0")
    bridged(a, b)
    rename(a, "x", "cable")
    assert a.wire()["interface"] == "cable" and a.wire()["bridge"] == "br0"
    assert a.wire()["circuit"] == "up"
    bridged(a, b)


def away(site, told, *configs):
    """These are written while aditd is away, whether somebody tells the keeper of each or not; then the
    next aditd has the last one."""
    os.kill(site.adit.aditd_pid(), signal.SIGSTOP)
    for config in configs:
        site.write(config)
        if told:
            reread = site.adit.text().count("the configuration was read again")
            site.adit.keeper.child.send_signal(signal.SIGHUP)
            wait_for("the keeper to have it", lambda: site.adit.text().count(
                "the configuration was read again") > reread)
    site.adit.kill_aditd()
    wait_for("the next aditd to have it", site.up)


@pytest.mark.parametrize("told", [True, False], ids=["told", "not-told"])
def test_no_bridge_when_aditd_comes_back(sites, told):
    """`bridge` goes from the file while aditd is away, whether somebody has told the keeper or not: the
    next aditd takes the interface out of it. With `bridge` again it is put in."""
    a, b = sites
    start(a, b, short(a), short(b))
    bridged(a, b)
    away(a, told, short(a).replace("bridge = br0", ""))
    wait_for("it to be out", lambda: master(a) is None)
    assert a.wire()["bridge"] is None
    away(a, told, short(a))
    bridged(a, b)
    assert "refused to aditd" not in a.adit.text()


@pytest.mark.parametrize("told", [True, False], ids=["told", "not-told"])
def test_another_interface_when_aditd_comes_back(sites, told):
    """`interface` changes while aditd is away: the next one sets up what is there, and is told that
    the former interface goes. Nobody has done anything wrong, so nobody is warned."""
    a, b = sites
    start(a, b, short(a), short(b))
    bridged(a, b)
    away(a, told, short(a, more="interface = y"), short(a, more="interface = z"))
    wait_for("the other interface", lambda: a.wire()["interface"] == "z" and a.up())
    bridged(a, b)
    wait_for("the former one to go",
             lambda: a.ns.run("ip", "link", "show", "x", check=False).returncode != 0)
    assert not [line for line in a.adit.text().splitlines()
                if "warning" in line and "refused to aditd" in line]
