# SPDX-License-Identifier: MIT
"""L2TPv3 directly over IP where several sockets take one packet: the kernel gives a copy to each raw
socket that matches, and one of them handles it."""

import json
import socket
import struct

import pytest

from lab import wait_for
from test_dp_user import sniffer
from test_main_job import USERS, World, client_conf, lns_conf, only_session

SERVER = {4: "192.0.2.1", 6: "2001:db8:1::1"}
CLIENT = {4: "192.0.2.2", 6: "2001:db8:1::2"}
SITE = {4: "192.0.2.3", 6: "2001:db8:1::3"}  # the client's other address: of its pseudowire
STOPCCN, HELLO, ACK = 4, 6, 20
L2TP = 115


class Wire:
    """The control messages that one interface has seen."""

    def __init__(self, ns, device):
        self.sniff = sniffer(ns, device)
        self.sniff.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sniff.setblocking(False)
        self.before = 0  # repetitions that were seen until begin()

    def begin(self, *adits):
        self.messages()
        self.before = sum(repeated(a) for a in adits)

    def messages(self):
        """(did we send it, message type or None for an acknowledgement, connection, Ns)"""
        found = []
        while True:
            try:
                packet, (_, protocol, kind, *_) = self.sniff.recvfrom(70000)
            except BlockingIOError:
                return found
            if protocol == 0x0800 and packet[9] == L2TP:
                body = packet[(packet[0] & 15) * 4:]
            elif protocol == 0x86dd and packet[6] == L2TP:
                body = packet[40:]
            else:
                continue
            if body[:4] != bytes(4):
                continue
            _, length, connection, ns, _ = struct.unpack("!HHIHH", body[4:16])
            kind = "out" if kind == socket.PACKET_OUTGOING else "in"
            mtype = struct.unpack("!H", body[22:24])[0] if length > 12 else None
            found.append((kind, None if mtype == ACK else mtype, connection, ns))


def tunnel(remote, more):
    """A pseudowire without a bridge, so that it carries nothing by itself."""
    return f'tunnel "t" {{ remote = "{remote}" encapsulation = ip redial-first = "1 s" {more} }}\n' \
           'pseudowire "x" { tunnel = "t" }\n'


def wire_up(adit):
    wires = adit.json("show", "pseudowires")["pseudowires"]
    return [w["state"] for w in wires] == ["up"]


def drops(adit):
    plane = adit.json("status")["data_plane"]
    return [plane[k] for k in ("drop_path", "drop_header", "drop_unknown")]


def repeated(adit):
    return sum(t["duplicates"] for t in adit.json("show", "tunnels")["tunnels"])


def traffic(world):
    wait_for("traffic", lambda: world.client.ping("198.51.100.2", 1, wait=1), seconds=60)


def only_once(world, server, client, wire):
    """What was sent once was handled once, and refused by nobody."""
    sent = [m for m in wire.messages() if m[1] is not None]
    assert sent, "nothing was seen"
    assert STOPCCN not in [m[1] for m in sent], sent
    again = len(sent) - len(set(sent))
    assert repeated(server) + repeated(client) - wire.before <= again, sent
    before = [drops(adit) for adit in (server, client)]
    assert [d[:2] for d in before] == [[0, 0], [0, 0]], before
    assert world.client.ping("198.51.100.2", 5) == 5
    assert [drops(adit) for adit in (server, client)] == before


# What listens at the server, and how it dials: each makes sockets that overlap.
SOCKETS = {
    "own-any": ('listen "ip" {{ encapsulation = ip address = "{0}" }}', ""),
    "two": ('listen "ip" {{ encapsulation = ip }}\n'
            'listen "one" {{ encapsulation = ip address = "{0}" }}', ""),
    "device": ('listen "ip" {{ encapsulation = ip device = l0 }}', ""),
    "own-address": ('listen "ip" {{ encapsulation = ip device = l0 }}', 'local = "{0}"'),
}


def start(lab, family, listen, dial):
    world = World(lab)
    for address, length in ((SITE[4], 24), (SITE[6], 64)):
        world.client.run("ip", "addr", "add", f"{address}/{length}", "dev", "c0",
                         *(["nodad"] if length == 64 else []))
    config = lns_conf(peer="version = 3") + listen.format(SERVER[family]) + "\n" + \
        tunnel(SITE[family], dial.format(SERVER[family]))
    server = lab.adit(world.lns, 'data-plane = "user"\n' + config, users=USERS).start()
    wire = Wire(world.lns, "l0")
    more = 'version = 3\n    encapsulation = ip\n    redial-first = "1 s"' \
        f'\n    source-address = "{CLIENT[family]}"'
    client = lab.adit(world.client, 'data-plane = "user"\n' +
                      client_conf(server=SERVER[family], more=more) +
                      tunnel(SERVER[family], f'connect = wait local = "{SITE[family]}"')).start()
    client.ctl("connect", "office")
    traffic(world)
    wait_for("the pseudowire", lambda: wire_up(server) and wire_up(client), 40)
    return world, server, client, wire


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("sockets", SOCKETS)
def test_each_packet_once(lab, family, sockets):
    world, server, client, wire = start(lab, family, *SOCKETS[sockets])
    only_once(world, server, client, wire)
    client.ctl("disconnect", "office")
    wait_for("the end of the session", lambda: not [
        s for s in server.sessions() if s.get("user") == "alice"])
    wait_for("the end of its connection", lambda: len(server.json("show", "tunnels")["tunnels"]) == 1)
    wire.begin(server, client)
    client.ctl("connect", "office")
    traffic(world)
    only_once(world, server, client, wire)


@pytest.mark.parametrize("family", [4, 6])
def test_sockets_that_come_and_go(lab, family):
    """A reload makes and removes sockets that a connection's packets would go to as well: it stays, on
    the socket that it was set up with, and so it does in the next aditd."""
    listen = {
        "any": 'listen "ip" {{ encapsulation = ip }}\n',
        "one": 'listen "one" {{ encapsulation = ip address = "{0}" }}\n',
        "renamed": 'listen "other" {{ encapsulation = ip }}\n',
        "device": 'listen "device" {{ encapsulation = ip device = l0 }}\n',
    }
    world, server, client, wire = start(lab, family, listen["any"], "")
    session = only_session_of(server)
    for what in (("any", "one"), ("one",), ("renamed",), ("renamed", "device"), ("any",)):
        config = lns_conf(peer="version = 3") + "".join(listen[w] for w in what).format(SERVER[family])
        server.conf.write_text(server.preamble() + 'data-plane = "user"\n' +
                               config.replace("@DIR@", str(server.dir)) + tunnel(SITE[family], ""))
        server.ctl("reload")
        wire.begin(server, client)
        traffic(world)
        # a message for each connection, and one that opens another
        for adit in server, client:
            adit.ctl("disconnect", "x")
            wait_for("the end of the pseudowire", lambda: not wire_up(server) and not wire_up(client))
            adit.ctl("connect", "x")
            wait_for("the pseudowire", lambda: wire_up(server) and wire_up(client), 40)
        assert only_session_of(server) == session, what
        only_once(world, server, client, wire)
        if "any" in what:
            server.kill_aditd()
            traffic(world)
            wire.begin(server, client)
            client.ctl("disconnect", "x")
            wait_for("the end of the pseudowire", lambda: not wire_up(server))
            client.ctl("connect", "x")
            wait_for("the pseudowire", lambda: wire_up(server) and wire_up(client), 40)
            assert only_session_of(server) == session, what
            only_once(world, server, client, wire)


def only_session_of(adit):
    session, = [s["key"] for s in adit.sessions() if s.get("user") == "alice"]
    return session
