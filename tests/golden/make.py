#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Writes the golden records of this release: what an aditd has in its journal that serves and dials, with
every kind of record, and what it has to be read with. tests/unit/daemon/test_golden.c loads them.

    ADIT_BUILD=build/x tests/golden/make.py > tests/golden/aditd-VERSION.records      (as root)

Lines: `now` of the clock of the records, in microseconds; `conf`, a line of the configuration; `seen`, how many
sessions are up, tunnels, pseudowires, accounting lines there are; `record`, kind, id, octets in hex.
"""

import json
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "net"))

from journal import ACCT, PW_SESSION, SESSION, Journal  # noqa: E402
from lab import BUILD, Lab, wait_for  # noqa: E402

CONF = """host-name = "golden"
max-sessions = 50
max-tunnels = 20
pool "subscribers" { addresses = {"10.64.0.0/16"} prefixes = {"2001:db8:64::/48"} }
profile "home" { users = "/nowhere/users" pool = "subscribers" local-address = "10.64.0.1" interim-interval = "600 s" session-timeout = "30 d" }
peer "anybody" { profile = "home" secret = "tunnel secret" }
session "office" { server = "192.0.2.3" secret = "other secret" user = "alice" password = "open sesame" routes = {"198.51.100.0/24"} }
tunnel "t" { remote = "192.0.2.3" secret = "wonderland" }
pseudowire "agreed" { tunnel = "t" }
pseudowire "silent" { tunnel = "t" }
"""
PEER = """
data-plane = user
pool "p" { addresses = {"10.65.0.0/24"} prefixes = {"2001:db8:65::/48"} }
profile "home" { users = "@DIR@/users" pool = "p" local-address = "10.65.0.1" }
peer "anybody" { profile = "home" secret = "other secret" }
pseudowire "agreed" { remote = "192.0.2.1" secret = "wonderland" }
"""


def main():
    lab = Lab()
    try:
        one, peer, clients = lab.ns("one"), lab.ns("peer"), lab.ns("clients")
        lab.cable(one, clients, ["192.0.2.1/25"], ["192.0.2.2/25"])
        lab.cable(one, peer, [], ["192.0.2.3/32"], a_if="core0", b_if="core1")
        one.run("ip", "route", "add", "192.0.2.3/32", "dev", "core0")
        peer.run("ip", "route", "add", "192.0.2.1/32", "dev", "core1")
        far = lab.adit(peer, PEER, users='alice * "open sesame" *\n').start()
        adit = lab.adit(one, 'data-plane = "user"\n' + CONF.replace("/nowhere", "@DIR@"),
                        users='carol * password *\ndave * password 10.64.7.7\n')
        # no space: the lines of accounting stay in the journal
        adit.conf.write_text(adit.conf.read_text().replace(str(adit.accounting), "/dev/full"))
        adit.start()
        for user, sessions in (("carol", 2), ("dave", 1)):
            clients.start(BUILD / "src/load/adit-load", "--server", "192.0.2.1", "--secret", "tunnel secret",
                          "--sessions", sessions, "--tunnels", 1, "--user", user, "--password", "password", "--hold", 600,
                          name=user)
        adit.ctl("connect", "office")
        adit.ctl("disconnect", "silent")
        wait_for("all that is to be in it", lambda: sum(s["state"] == "up" and "our_ip4" in s
                                                           for s in adit.sessions()) == 4 and
                 any(w["state"] == "up" for w in adit.json("show", "pseudowires")["pseudowires"]))
        time.sleep(3)  # until nothing is on its way
        records = Journal(adit.keeper.pid).records()
        version = adit.json("status")["version"]
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
        kinds = [kind for kind, _ in records]
        assert kinds.count(SESSION) == 4 and kinds.count(ACCT) >= 3 and kinds.count(PW_SESSION) == 2, kinds
        tunnels = [t for t in adit.json("show", "tunnels")["tunnels"] if t["state"] == "up"]
        print(f"# Records of aditd {version}, written by tests/golden/make.py; never changed.")
        print(f"now {now}")
        for line in CONF.splitlines():
            print(f"conf {line}")
        print(f"seen 4 {sum(t['version'] == 2 for t in tunnels)} 1 {kinds.count(ACCT)}")
        for s in sorted((s for s in adit.sessions() if "our_ip4" in s), key=lambda s: s["key"]):
            print(f"session {s['key']} {s['user']} {s['peer_ip4'] if s['role'] == 'server' else s['our_ip4']}")
        for (kind, ident), octets in sorted(records.items()):
            print(f"record {kind} {ident:x} {octets.hex()}")
    except AssertionError:
        print(lab.logs(), file=sys.stderr)
        raise
    finally:
        lab.close()


if __name__ == "__main__":
    main()
