# SPDX-License-Identifier: MIT
"""One of the two has lost all its state, keeper, aditd and files: the other one finds out at once,
not when nobody answers its HELLOs any more, and the session is there again."""

import os
import shutil
import signal

import pytest

from lab import ended, wait_for
from test_main_job import USERS, World, client_conf, lns_conf, only_session
from test_wire import OTHER, SITES, Site

# What else would notice it is far away: HELLO comes after a minute, an echo after ten.
ECHO = 'echo-interval = "600 s"'
LOST = "the peer does not know the tunnel any more"


def erase(adit):
    """As after a crash of the machine: nothing is told, nothing is left."""
    aditd = adit.aditd_pid()
    adit.keeper.child.send_signal(signal.SIGSTOP)  # or it would start another aditd
    os.kill(aditd, signal.SIGKILL)
    adit.keeper.child.kill()
    adit.keeper.child.wait(120)
    wait_for("the end of aditd", lambda: ended(aditd))
    for path in adit.dir.iterdir():
        if path.name not in ("adit.conf", "users"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_server_that_has_forgotten(lab):
    """Data of the client shows it: the server says that it knows no such tunnel, the client asks, gets
    no answer, and dials again."""
    world = World(lab)
    lns = world.start_lns(profile=ECHO)
    client = world.start_client(more=ECHO + ' redial-first = "1 s"')
    before = only_session(client)
    erase(lns)
    lns.start()
    assert not lns.sessions()
    wait_for("traffic", lambda: world.client.ping("198.51.100.2", 1, wait=1), seconds=40)
    assert LOST in client.text(), "something else has ended it"
    after = only_session(client)
    assert after["since"] != before["since"]
    assert only_session(lns)["user"] == "alice"


def test_client_that_has_forgotten(lab):
    """It dials again, under another id: the server asks for the former tunnel, which nobody answers."""
    world = World(lab)
    lns = world.start_lns(profile=ECHO)
    client = world.start_client(more=ECHO)
    before = only_session(lns)
    # a host that was heard just now is not doubted
    wait_for("three seconds of silence", lambda: world.client.run("sleep", "3.5"))
    erase(client)
    client.start()
    client.ctl("connect", "office")
    wait_for("the end of the former session",
             lambda: before["key"] not in [s["key"] for s in lns.sessions()], seconds=40)
    assert LOST in lns.text(), "something else has ended it"
    assert only_session(lns)["key"] != before["key"]
    wait_for("traffic", lambda: world.client.ping("198.51.100.2", 1, wait=1))
    stops = [r for r in lns.accounting_lines() if r["event"] == "stop"]
    assert [r["cause"] for r in stops] == ["tunnel-lost"], stops


# ---- L2TPv3 ----

LOST3 = "the peer does not know the connection any more"
HELLO = 'hello-interval = "600 s"'
LISTEN = 'listen "all" { }\nlisten "ip" { encapsulation = ip }\n'


class Ppp:
    """An LNS and its client, with PPP over L2TPv3."""

    def __init__(self, lab, encap, secret):
        self.world = World(lab)
        peer = f'version = 3 from = {{"192.0.2.2"}} {HELLO}'
        client = f'version = 3\n encapsulation = {encap}\n {HELLO}\n {ECHO}\n redial-first = "1 s"'
        server, client = lns_conf(ECHO, peer), client_conf(more=client)
        if not secret:
            server, client = (c.replace('secret = "tunnel secret"', "") for c in (server, client))
        self.server = lab.adit(self.world.lns, LISTEN + server, users=USERS).start()
        self.client = lab.adit(self.world.client, client).start()
        self.wait_traffic()

    def wait_traffic(self):
        wait_for("traffic", lambda: self.world.client.ping("198.51.100.2", 1, wait=1), seconds=60)

    @staticmethod
    def ids(adit):
        return [s["session"] for s in adit.sessions()]


class Ethernet:
    """Two sites with a pseudowire between their bridges, which one of them dials."""

    def __init__(self, lab, encap, secret):
        a, b = self.sites = Site(lab, "a"), Site(lab, "b")
        lab.cable(a.ns, b.ns, ["192.0.2.1/24"], ["192.0.2.2/24"], a_if="wan", b_if="wan")
        for site, connect in (a, "wait"), (b, "auto"):
            site.configure(f'''
                tunnel "t" {{ remote = "{SITES[OTHER[site.name]][0]}" encapsulation = {encap}
                    {'secret = "tunnel secret"' if secret else ""} {HELLO} connect = {connect}
                    redial-first = "1 s" }}
                pseudowire "x" {{ tunnel = "t" bridge = br0 connect = {connect} }}\n''')
            site.adit.start()
        self.server, self.client = a.adit, b.adit
        self.wait_traffic()

    def wait_traffic(self):
        # a request for an IPv4 address is smaller than what has to be said
        wait_for("traffic", lambda: self.sites[1].host.ping("fd09::1", 1, wait=1), seconds=60)

    @staticmethod
    def ids(adit):
        wires = adit.json("show", "pseudowires")["pseudowires"]
        return [w["session"] for w in wires if w["state"] == "up"]


V3 = pytest.mark.parametrize("kind, encap, secret", [
    (kind, encap, secret) for kind in (Ppp, Ethernet) for encap in ("udp", "ip")
    for secret in (True, False)], ids=lambda v: v if isinstance(v, str) else
    v.__name__.lower() if isinstance(v, type) else "secret" if v else "open")


@V3
@pytest.mark.parametrize("who", ["server", "client"])
def test_one_that_has_forgotten_v3(lab, kind, encap, secret, who):
    """Data of a client names a session that the server does not know, which says so. A client dials again,
    and the server asks for the former connection, which nobody answers; a tunnel block has one at a time."""
    pair = kind(lab, encap, secret)
    loser, finder = (pair.server, pair.client)[::1 if who == "server" else -1]
    before = pair.ids(finder)
    erase(loser)
    loser.start()
    pair.wait_traffic()
    wait_for("the end of the former session",
             lambda: not set(before) & set(pair.ids(finder)), seconds=60)
    how = "replaced by a newer connection" if kind is Ethernet and who == "client" else LOST3
    assert how in finder.text(), "something else has ended it"
    assert len(before) == len(pair.ids(finder)) == len(pair.ids(loser)) == 1
