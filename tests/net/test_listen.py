# SPDX-License-Identifier: MIT
"""`listen` blocks: the mark of what leaves, and sockets in another network namespace."""

import signal

import pytest

from lab import BUILD, PYTHON, wait_for
from test_main_job import USERS, World, client_conf, lns_conf, only_session, wait_stops
from test_wire import Site, both_up, bridged, short, start

LNS = """
data-plane = {plane}
listen "lines" {{ {listen} }}
pool "subscribers" {{ addresses = {{"10.64.0.0/16"}} }}
profile "home" {{ users = "@DIR@/users" pool = "subscribers" local-address = "10.64.0.1" }}
peer "anybody" {{ profile = "home" secret = "tunnel secret" }}
"""
CLIENT = """
data-plane = {plane}
session "office" {{
    server = "192.0.2.1"
    secret = "tunnel secret"
    user = "alice"
    password = "open sesame"
    routes = {{"198.51.100.0/24"}}
    {more}
}}
"""


def lns_of(lab, ns, plane, listen):
    ns.run("ip", "addr", "add", "198.51.100.2/32", "dev", "lo")
    return lab.adit(ns, LNS.format(plane=plane, listen=listen), users="* * open\\ sesame *\n")


def connect(lab, ns, plane, more=""):
    client = lab.adit(ns, CLIENT.format(plane=plane, more=more)).start()
    client.ctl("connect", "office")
    return client


def carries(ns):
    wait_for("an answer", lambda: ns.ping("198.51.100.2", 1, wait=1), seconds=30)
    assert ns.ping("198.51.100.2", 3) == 3


def marked(lab, plane):
    """The way to the client is only in a routing table that the mark chooses."""
    ns, client = lab.ns("lns"), lab.ns("client")
    lab.cable(client, ns, ["192.0.2.2/24"], ["192.0.2.1/24"], "c0", "l0")
    client.run("ip", "addr", "add", "203.0.113.9/32", "dev", "lo")
    ns.run("ip", "route", "add", "203.0.113.9", "via", "192.0.2.2", "table", "77")
    ns.run("ip", "rule", "add", "fwmark", "77", "table", "77")
    for name in ("all", "l0"):
        ns.sysctl(f"net.ipv4.conf.{name}.rp_filter", 0)
    assert ns.run("ip", "route", "get", "203.0.113.9", check=False).returncode != 0
    lns = lns_of(lab, ns, plane, "mark = 77").start()
    connect(lab, client, plane, 'source-address = "203.0.113.9"')
    carries(client)
    session, = lns.sessions()
    assert session["plane"] == plane
    return lns, client


def test_mark(lab):
    marked(lab, "user")


def test_namespace(lab):
    outside, ns, client = lab.ns("outside"), lab.ns("lns"), lab.ns("client")
    lab.cable(client, outside, ["192.0.2.2/24"], ["192.0.2.1/24"], "c0", "o0")
    lns = lns_of(lab, ns, "auto", f'namespace = "{outside.name}"').start()
    connect(lab, client, "user")
    carries(client)
    session, = lns.sessions()
    assert session["plane"] == "user"
    assert ":1701" in outside.run("ss", "-nuaH").stdout
    assert ":1701" not in ns.run("ss", "-nuaH").stdout
    # the keeper has the socket, so the next aditd gets it again
    lns.kill_aditd(signal.SIGKILL)
    wait_for("a new aditd", lambda: lns.ctl("status", check=False).returncode == 0 and
             lns.sessions(), seconds=60)
    carries(client)
    # the right to enter another one is gone
    text = lns.conf.read_text()
    lns.conf.write_text(text.replace(outside.name, client.name))
    said = lns.ctl("reload").stdout
    assert "restart adit-keeper" in said and client.name in said, said


def test_a_namespace_that_is_not_there(lab):
    ns = lab.ns("lns")
    lns = lns_of(lab, ns, "user", 'namespace = "nowhere-at-all"').start()
    wait_for("what to do", lambda: "ip netns add nowhere-at-all" in lns.text())


# as xl2tpd does it: who sets the option as well can take datagrams away from it
HOLDER = """
import signal, socket
for family in (socket.AF_INET, socket.AF_INET6):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind(("", 1701))
    globals()["keep%d" % family] = s
print("holds it", flush=True)
signal.pause()
"""


def holder(ns):
    process = ns.start(PYTHON, "-c", HOLDER, name="holder")
    wait_for("another program on port 1701", lambda: "holds it" in process.text())


def test_what_others_have_in_a_namespace(lab):
    """It is told for each socket, the other sockets there are made; and what we hold there ourselves says
    nothing of the same port elsewhere."""
    outside, ns = lab.ns("outside"), lab.ns("lns")
    holder(outside)
    lns = lns_of(lab, ns, "user", f'namespace = "{outside.name}" }}\n'
                 f'listen "second" {{ namespace = "{outside.name}" port = 1702')
    lns.start(wait=False)
    for address in ("0.0.0.0:1701", "[::]:1701"):
        wait_for("both to be told", lambda: f"listen lines, UDP {address}: could not bind" in lns.text())
    wait_for("the other port", lambda: outside.run("ss", "-nuaH").stdout.count(":1702") == 2)


def test_what_others_have_here(lab):
    outside, ns = lab.ns("outside"), lab.ns("lns")
    holder(ns)
    lns = lns_of(lab, ns, "user", f'namespace = "{outside.name}" }}\nlisten "here" {{')
    lns.start(wait=False)
    wait_for("it to be told", lambda: "listen here, UDP 0.0.0.0:1701: could not bind" in lns.text())
    assert outside.run("ss", "-nuaH").stdout.count(":1701") == 2


ALL = 'listen "all" { }\n'
ONE = 'listen "one" { address = "192.0.2.1" }\n'


def ports(ns):
    """The addresses of UDP sockets of IPv4."""
    return {line.split()[3] for line in ns.run("ss", "-nua4H").stdout.splitlines()}


@pytest.mark.parametrize("listen", [ALL + ONE, ONE], ids=["beside", "instead"])
@pytest.mark.parametrize("version", [2, 3])
def test_a_narrower_listener(lab, version, listen):
    """A reload brings a listener for one address, beside one for all or in its place, which all packets to
    it come by from then on: a tunnel of before goes on, data and control both ways, through a kill, too; and
    newcomers are served."""
    world = World(lab)
    conf = lns_conf(peer=f"version = {version}")
    lns = lab.adit(world.lns, ALL + conf, users=USERS).start()
    client = world.start_client(more=f"version = {version}\n    echo-interval = \"1 s\"")
    carries(world.client)
    before = only_session(lns)
    text = lns.conf.read_text()
    lns.conf.write_text(text.replace(ALL, listen))
    assert "no socket" not in lns.ctl("reload").stdout
    for again in range(2):
        assert ports(world.lns) == {"0.0.0.0:1701", "192.0.2.1:1701"}
        carries(world.client)
        world.wait_ip6()
        assert only_session(lns)["key"] == before["key"]
        if not again:
            lns.kill_aditd()
    client.ctl("disconnect", "office")
    wait_for("its end to be heard", lambda: not lns.sessions())
    wait_stops(lns)
    assert [r["cause"] for r in lns.accounting_lines() if r["event"] == "stop"] == ["peer-closed-session"]
    if listen == ONE:
        wait_for("the former socket to go", lambda: ports(world.lns) == {"192.0.2.1:1701"}, 60)
    client.ctl("connect", "office")
    carries(world.client)


def test_a_narrower_listener_by_an_upgrade(lab):
    """The keeper that comes after an upgrade reads the configuration anew, too: the tunnels keep the
    socket that is in it no more, over the next aditd, and it goes with them."""
    world = World(lab)
    lns = lab.adit(world.lns, ALL + lns_conf(), users=USERS).start()
    client = world.start_client(more='echo-interval = "1 s"')
    carries(world.client)
    before = only_session(lns)
    lns.conf.write_text(lns.conf.read_text().replace(ALL, ONE))
    world.lns.run(BUILD / "src/keeper/adit-keeper", "-c", lns.conf, "--upgrade", timeout=60)
    wait_for("the reload", lambda: ports(world.lns) == {"0.0.0.0:1701", "192.0.2.1:1701"})
    for _ in range(2):
        carries(world.client)
        assert only_session(lns)["key"] == before["key"]
        lns.kill_aditd()
    carries(world.client)
    client.ctl("disconnect", "office")
    wait_for("the former socket to go", lambda: ports(world.lns) == {"192.0.2.1:1701"}, 60)
    client.ctl("connect", "office")
    carries(world.client)
    assert "have lost the socket" not in lns.text()


def test_a_narrower_listener_of_a_pseudowire(lab):
    a, b = Site(lab, "a"), Site(lab, "b")
    lab.cable(a.ns, b.ns, ["192.0.2.1/24"], ["192.0.2.2/24"], a_if="wan", b_if="wan")
    start(a, b, ALL + short(a), short(b))
    bridged(a, b)
    before = a.wire()["session"]
    a.reload(ALL + ONE + short(a))
    assert a.host.ping("10.9.0.2") == 3
    assert a.wire()["session"] == before
    b.adit.ctl("disconnect", "x")
    wait_for("its end to be heard", lambda: not a.up())
    b.adit.ctl("connect", "x")
    both_up(a, b)
    bridged(a, b)
