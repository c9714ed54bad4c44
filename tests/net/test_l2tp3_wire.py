# SPDX-License-Identifier: MIT
"""The referee for L2TPv3: tshark reads every control message that we send, over UDP and over IP, and
agrees with our digests."""

import hashlib
import hmac
import re
import signal
import subprocess

import pytest
import scapy.layers.inet  # noqa: F401 (for rdpcap to know it)
import scapy.utils

from lab import BUILD, ROOT, wait_for
from test_wire import OTHER, SITES, bridged, sites, start  # noqa: F401 (sites is a fixture)

SCRIPTS = ROOT / "tests/rfc/l2tp3"
RUNNER = BUILD / "tests/rfc/rfc_l2tp3"
STOPCCN = bytes.fromhex("8008000000000004")  # its Message Type AVP
OURS = "(ip.src == 192.0.2.1 or ipv6.src == 2001:db8::1)"


def tshark(pcap, only, *fields, secret=""):
    """A list for each packet with a list of the values of each field."""
    argv = ["tshark", "-n", "-r", str(pcap), "-Y", only, "-T", "fields", "-E", "occurrence=a",
            "-E", "separator=/t"]
    if secret:
        argv += ["-o", f"l2tp.shared_secret:{secret}"]
    for field in ("frame.number", *fields):
        argv += ["-e", field]
    out = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    return [line.split("\t") for line in out.splitlines()]


def capture(tmp_path, encap, *scripts):
    """What was said in these transcripts over UDP, or over IP instead."""
    pcap = tmp_path / "said.pcap"
    over = ["-i"] if encap == "ip" else []
    subprocess.run([RUNNER, *over, "-w", pcap, *scripts], check=True, stdout=subprocess.DEVNULL)
    return pcap


@pytest.mark.parametrize("encap", ["udp", "ip"])
def test_tshark_decodes_every_message(tmp_path, encap):
    """All transcripts: no control message of ours is malformed, and every type is among them."""
    pcap = capture(tmp_path, encap, SCRIPTS)
    rows = tshark(pcap, f"{OURS} and l2tp.type == 1", "_ws.malformed", "l2tp.avp.message_type", "ip.proto")
    assert len(rows) > 400
    assert not [row for row in rows if row[1]]
    for kind in (1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 14, 15, 16, 20):
        proto = "115" if encap == "ip" else "17"
        assert any(row[2] == str(kind) and row[3] == proto for row in rows), kind


@pytest.mark.parametrize("encap", ["udp", "ip"])
@pytest.mark.parametrize("script", [
    "V3-4.3-01-nonce-obliges", "V3-4.3-04-with-sha1", "V3-5.3-01-hidden-by-the-derived-key",
    "V3-4.3-07-sccrq-has-no-nonces-in-front"])
def test_tshark_agrees_with_digests(tmp_path, script, encap):
    """SCCRQ without nonces, all else with both; MD5 and SHA-1, UDP and IP; and a wrong secret is seen."""
    pcap = capture(tmp_path, encap, SCRIPTS / f"{script}.txt")
    for secret, wrong in (("hush", False), ("other", True)):
        rows = tshark(pcap, OURS, "_ws.expert.message", "l2tp.avp.message_digest", secret=secret)
        assert len(rows) >= 3
        assert all(row[2] for row in rows)
        assert [("Incorrect Digest" in row[1]) for row in rows] == [wrong] * len(rows)


def avps(msg):
    """(attribute, value) of a control message, vendor 0."""
    at = 12
    while at < len(msg):
        size = int.from_bytes(msg[at:at + 2], "big") & 0x3ff
        if msg[at + 2:at + 4] == b"\0\0":
            yield int.from_bytes(msg[at + 4:at + 6], "big"), msg[at + 6:at + size]
        at += size


def check_digests(pcap, secret, kind_of):
    """Each control message by Python's hmac (RFC 3931 5.4.1). Connections may cross, so any nonce that
    its sender and its receiver ever told will do; an SCCRQ is made without, a refusal without the
    nonce of who refuses, which the other never hears of."""
    key = hmac.new(secret, b"\2", hashlib.md5).digest()
    messages = []
    for packet in scapy.utils.rdpcap(str(pcap)):
        ip = packet.getlayer(1)
        body = bytes(ip.payload)
        start = 8 if ip.proto == 17 else 4
        if ip.proto == 17 and body[start] & 0x80 or ip.proto == 115 and not any(body[:4]):
            size = int.from_bytes(body[start + 2:start + 4], "big")
            messages.append((ip.src, body[start:start + size]))
    nonces = {}
    for source, msg in messages:
        nonces.setdefault(source, {b""}).update(v for attribute, v in avps(msg) if attribute == 73)
    for source, msg in messages:
        (_, kind), (attribute, digest) = list(avps(msg))[:2]
        assert attribute == 59
        hash_of, size = ((hashlib.md5, 16), (hashlib.sha1, 20))[digest[0]]
        zeroed = msg[:27] + bytes(size) + msg[27 + size:]
        first = [b""] if kind == b"\0\1" else nonces[source]
        others = [b""] if kind == b"\0\1" else set().union(*(n for s, n in nonces.items() if s != source))
        assert any(hmac.digest(key, own + peer + zeroed, hash_of) == digest[1:]
                   for own in first for peer in others), (source, msg.hex())
        assert hash_of is kind_of
    assert len(messages) >= 10


# All pairs of the three.
@pytest.mark.parametrize("encap, cookie, digest", [
    ("udp", 8, "sha1"), ("udp", 4, "md5"), ("udp", 0, "sha1"),
    ("ip", 8, "md5"), ("ip", 4, "sha1"), ("ip", 0, "md5")])
def test_life_of_a_pseudowire(sites, encap, cookie, digest):  # noqa: F811
    """Two daemons: set-up, frames with cookies, end: nothing malformed, digests right, checksums on."""
    # Rows: V3-4.1-07
    a, b = sites
    pcap = a.lab.dir / "wire.pcap"
    dump = a.ns.start("tcpdump", "-i", "wan", "-U", "--immediate-mode", "-w", pcap,
                      "port 1701 or ip proto 115")
    wait_for("tcpdump", lambda: "listening on" in dump.text())

    def conf(site, more=""):
        return f"""
tunnel "t" {{ remote = "{SITES[OTHER[site.name]][0]}" encapsulation = {encap} secret = wonderland
    digest = {digest} }}
pseudowire "x" {{ tunnel = "t" bridge = br0 cookie-length = {cookie} {more} }}
"""
    # One side asks: where requests for a session cross, tshark does not know which one data is of.
    start(a, b, conf(a), conf(b, "connect = wait"))
    bridged(a, b)
    a.adit.ctl("disconnect", "x")
    wait_for("the end", lambda: not b.up())
    a.adit.stop()
    b.adit.stop()
    # What tcpdump has not read when it is stopped is lost; the StopCCN comes after all the rest.
    wait_for("the StopCCN in the capture", lambda: STOPCCN in pcap.read_bytes(), seconds=60)
    dump.stop(signal.SIGINT)
    rows = tshark(pcap, "l2tp.type == 1", "_ws.malformed", "l2tp.avp.message_type", "udp.checksum")
    seen = {row[2] for row in rows}
    assert {"1", "2", "3", "10", "11", "12", "4", "20"} <= seen, seen
    assert not [row for row in rows if row[1]]
    assert encap == "ip" or not [row for row in rows if row[3] in ("", "0x0000")]
    check_digests(pcap, b"wonderland", {"md5": hashlib.md5, "sha1": hashlib.sha1}[digest])
    assigned = tshark(pcap, "l2tp.avp.assigned_cookie", "l2tp.avp.assigned_cookie")
    assert len(assigned) == (2 if cookie else 0)  # ICRQ and ICRP
    assert {len(row[1].replace(":", "")) for row in assigned} <= {2 * cookie}
    frames = tshark(pcap, "icmp or arp", "eth.src", "_ws.malformed")
    assert frames and all(re.fullmatch(r"([0-9a-f]{2}:){5}.*", row[1]) for row in frames)
    assert not [row for row in frames if row[2]]
