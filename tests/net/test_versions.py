# SPDX-License-Identifier: MIT
"""L2TPv2 and L2TPv3 on one UDP port (RFC 3931 4.7): each request is answered in the version that it is
for, and a peer that speaks only v2 is served in v2, whatever else the configuration has of it."""

import struct

from lab import PYTHON, wait_for

SERVER = """
pool "subscribers" { addresses = {"10.64.0.0/16"} }
profile "home" { users = "@DIR@/users" pool = "subscribers" local-address = "10.64.0.1" }
peer "anybody" { profile = "home" }
"""

# Sends a datagram from a port of its own and tells the first that comes back.
ASK = """
import json, socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 0))
s.settimeout(20)
s.sendto(bytes.fromhex(sys.argv[2]), ("192.0.2.1", 1701))
print(s.recv(4096).hex())
"""


def avp(number, value, flags=0x8000):
    return struct.pack("!HHH", flags | 6 + len(value), 0, number) + value


def message(version, *avps):
    body = b"".join(avps)
    return struct.pack("!HHIHH", 0xC800 | version, 12 + len(body), 0, 0, 0) + body


V2 = [avp(2, b"\1\0"), avp(3, b"\0\0\0\3"), avp(7, b"peer"), avp(9, b"\0\7")]


def v3(flags):
    """Router ID, Assigned Control Connection ID, Pseudowire Capabilities: Ethernet."""
    return [avp(60, b"\0\0\0\1", flags), avp(61, b"\0\0\0\7", flags), avp(62, b"\0\5", flags)]


SCCRQ = avp(0, b"\0\1")
REQUESTS = {"v2": message(2, SCCRQ, *V2), "v3": message(3, SCCRQ, avp(7, b"peer"), *v3(0x8000)),
            "either": message(2, SCCRQ, *V2, *v3(0))}


def cabled(lab):
    a, b = lab.ns("a"), lab.ns("b")
    lab.cable(a, b, ["192.0.2.1/24"], ["192.0.2.2/24", "192.0.2.3/24"])
    return a, b


def test_each_request_in_its_version(lab):
    """192.0.2.2 has a tunnel block, 192.0.2.3 has none: it is nobody's pseudowire, but a LAC like any."""
    # Rows: V3-4.7-05
    a, b = cabled(lab)
    adit = lab.adit(a, SERVER + """
tunnel "t" { remote = 192.0.2.2 local = 192.0.2.1 connect = wait }
pseudowire "x" { tunnel = t }
""", users="* * password *\n").start()

    def ask(source, request):
        got = bytes.fromhex(b.run(PYTHON, "-c", ASK, source, REQUESTS[request].hex()).stdout)
        return got[1], struct.unpack("!H", got[18:20])[0]

    sccrp, stopccn = 2, 4
    assert ask("192.0.2.2", "v2") == (2, sccrp), adit.text()
    assert ask("192.0.2.2", "v3") == (3, sccrp), adit.text()
    assert ask("192.0.2.2", "either") == (3, sccrp), adit.text()
    assert ask("192.0.2.3", "v2") == (2, sccrp), adit.text()
    assert ask("192.0.2.3", "either") == (2, sccrp), adit.text()
    assert ask("192.0.2.3", "v3") == (3, stopccn), adit.text()


def test_peer_that_has_v2_alone(lab):
    """A session and a pseudowire to one server, which has no L2TPv3."""
    a, b = cabled(lab)
    server = lab.adit(b, SERVER, users="* * password *\n").start()
    adit = lab.adit(a, 'data-plane = "user"\n' + """
listen "all" { address = 192.0.2.1 }
session "office" { server = 192.0.2.2 user = al password = password }
tunnel "t" { remote = 192.0.2.2 retries = 1 redial-first = "100 ms" }
pseudowire "x" { tunnel = t }
""").start()

    def wire():
        return adit.json("show", "pseudowires")["pseudowires"][0]

    wait_for("the session in v2", lambda: any(s["state"] == "up" for s in adit.sessions()), 40)
    wait_for("the pseudowire to say why not", lambda: wire()["because"], 40)
    assert wire()["state"] != "up"
    assert [t["version"] for t in adit.json("show", "tunnels")["tunnels"]] == [2]
    assert [t["version"] for t in server.json("show", "tunnels")["tunnels"]] == [2]
    assert any(s["state"] == "up" for s in server.sessions())
