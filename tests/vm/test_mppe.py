# SPDX-License-Identifier: MIT
"""Encryption from end to end: CCP in adit, MPPE in the kernel; adit with adit."""

import os
import signal

import pytest

from lab import wait_for
from test_interop import Wire, only

MPPE = 'auth = {{"{auth}"}} mppe = {mppe}'


@pytest.fixture
def wire(lab):
    return Wire(lab)


@pytest.mark.parametrize("auth", ["mschapv2", "eap"])
def test_adit_with_adit(wire, auth):
    lns = wire.adit_lns("kernel", profile=MPPE.format(auth=auth, mppe="require"))
    client = wire.adit_client("kernel", more="mppe = require")
    wire.carries()
    wire.carries("2001:db8:2::2")
    wire.client.tcp(wire.lns, "198.51.100.2", octets=100_000)
    assert only(lns)["plane"] == only(client)["plane"] == "kernel"
    # both daemons go and come again: keys and CCP stay
    lns.kill_aditd()
    client.kill_aditd()
    wire.carries()
    client.ctl("disconnect", "office")
    wait_for("the LNS to see the end", lambda: not lns.sessions(), seconds=20)


def test_in_user_space(wire):
    """Preferred, the session of a plane that cannot encrypt goes on in clear."""
    lns = wire.adit_lns("user", profile=MPPE.format(auth="mschapv2", mppe="prefer"))
    wire.adit_client("kernel", more="mppe = prefer")
    wire.carries()
    assert only(lns)["plane"] == "user"


# Data messages from the LNS with IPv4 inside, as protocol 0021 and as 00fd, within some seconds.
WATCH = """
import socket, struct, sys, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
s.bind(("c0", 0x0800))
s.settimeout(0.2)
print("ready", flush=True)
clear = sealed = 0
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    try:
        p = s.recv(2048)
    except TimeoutError:
        continue
    if p[9] != 17 or p[12:16] != socket.inet_aton("192.0.2.1") or p[28] & 0x80:
        continue
    at = 28 + 6 + (2 if p[28] & 0x40 else 0) + (4 if p[28] & 0x08 else 0)
    at += 2 if p[at:at + 2] == b"\\xff\\x03" else 0
    clear += p[at:at + 2] == b"\\x00\\x21"
    sealed += p[at:at + 2] == b"\\x00\\xfd"
print(clear, sealed)
"""
FORGE = """
import sys
from scapy.all import IP, UDP, Raw, send
tunnel, session = int(sys.argv[2]), int(sys.argv[3])
send(IP(src="192.0.2.2", dst="192.0.2.1") / UDP(sport=int(sys.argv[1]), dport=1701) /
     Raw(b"\\0\\2" + tunnel.to_bytes(2, "big") + session.to_bytes(2, "big") +
         bytes.fromhex("ff0380fd01770004")), verbose=0)
"""


def test_forged_ccp_opens_nothing(wire):
    """A Configure-Request of CCP, whoever sent it, ends the kernel's encryption: nothing follows in
    clear, also when aditd does not get to see it. Then CCP begins anew and data goes on."""
    lns = wire.adit_lns("kernel", profile=MPPE.format(auth="mschapv2", mppe="require"))
    client = wire.adit_client("kernel", more="mppe = require")
    wire.carries()
    ours, theirs = only(lns), only(client)

    def watched(name, seconds=6):
        watch = wire.client.start("/usr/bin/python3", "-c", WATCH, str(seconds), name=name)
        wait_for("the watcher", lambda: "ready" in watch.text(), seconds=60)
        wire.lns.ping(ours["peer_ip4"], 5, wait=1)
        wait_for("its figures", lambda: len(watch.text().split()) == 3, seconds=60)
        return [int(n) for n in watch.text().split()[1:]]

    clear, sealed = watched("watch-before")
    assert clear == 0 and sealed > 0
    stopped = lns.aditd_pid()
    os.kill(stopped, signal.SIGSTOP)
    try:
        wire.client.run("/usr/bin/python3", "-c", FORGE, theirs["local"].rpartition(":")[2],
                        str(theirs["remote_tunnel"]), str(theirs["remote_session"]), timeout=120)
        clear, sealed = watched("watch-after")
        assert clear == 0, (clear, sealed)
        assert sealed == 0, "the forged packet has not reached the kernel"
    finally:
        os.kill(stopped, signal.SIGCONT)
    wire.carries()
