# SPDX-License-Identifier: MIT
"""Hostile data packets against the user-space plane alone, on real devices and sockets: the rows D02
to D12 of the list of malformed input. Each comes from a stranger, from another address of a host
that has a tunnel, and from the peer itself, as a datagram and within a train (UDP_SEGMENT); whatever
it was, the next good packet is forwarded and the next control message comes up. D14 is of L2TPv3."""

import struct

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import IPv6

from test_dp_user import (LNS_FLAGS, REQUIRE_SEQ, SEND_SEQ, TUNNEL, World, data, echo4, train,
                          udp_socket)
from lab import wait_for

DROPS = "header", "unknown", "path", "spoof", "mtu", "other"
HELLO = bytes.fromhex("c802000c000a000000010001")


@pytest.fixture
def world(lab):
    world = World(lab)
    world.put()
    world.stranger = udp_socket(world.peer, "192.0.2.3", 1701)
    world.neighbour = udp_socket(world.peer, "192.0.2.2")
    return world


def head(flags, *fields):
    return struct.pack(f"!H{len(fields)}H", flags | 2, *fields)


def still_works(world, ident=[1000]):
    """A good packet of each kind gets its answer; nothing else came through before it."""
    ident[0] += 1
    world.send(echo4("10.0.0.1", ident=ident[0]))
    session, answer = world.receive(lambda p: ICMP in p)
    assert session == 1001 and answer[ICMP].id == ident[0], "something else came through"
    world.sock.sendto(HELLO, ("192.0.2.1", 1701))
    while world.dp.wait("punt")["bytes"] != HELLO.hex():
        pass


def refused(world, message):
    """The message is dropped, counted and not answered, whoever sends it and however."""
    good = data(1, echo4("10.0.0.1", ident=77))
    for sock in world.stranger, world.neighbour, world.sock:
        before = world.dp.plane()
        sock.sendto(message, ("192.0.2.1", 1701))
        wait_for("the drop to be counted",
                 lambda: sum(world.dp.plane()[d] - before[d] for d in DROPS) >= 1)
        assert world.dp.plane()["rx"] == before["rx"]
        assert world.silence(sock, 0.05)
    if 0 < len(message) < 1400:  # in the middle of a train, and at its end
        padded = good + bytes(max(0, len(message) - len(good)))
        rest = message + bytes(len(padded) - len(message)) if message[0] & 0x40 else message
        if len(rest) == len(padded):
            train(world, [padded, rest, padded])
            for _ in range(2):
                assert world.receive(lambda p: ICMP in p)[1][ICMP].id == 77
        train(world, [padded, message])
        assert world.receive(lambda p: ICMP in p)[1][ICMP].id == 77
    still_works(world)


@pytest.mark.parametrize("length", [0, 1, 7, 85 + 12, 0x7fff, 0xffff])
def test_D02_length_field(world, length):
    # Hostile: D02
    """L=1 with Length 0, inside the header, or beyond the datagram."""
    packet = bytes(echo4("10.0.0.1"))
    refused(world, head(0x4000, length, TUNNEL, 1) + b"\xff\x03\0\x21" + packet)


def test_D02_length_that_cuts_the_packet(world):
    # Hostile: D02
    """A Length shorter than the IP packet: what is left is no whole packet."""
    packet = bytes(echo4("10.0.0.1"))
    refused(world, head(0x4000, 12 + len(packet) - 1, TUNNEL, 1) + b"\xff\x03\0\x21" + packet)


@pytest.mark.parametrize("offset", [87, 0x1000, 0xffff])
def test_D03_offset_past_the_end(world, offset):
    # Hostile: D03
    packet = bytes(echo4("10.0.0.1"))
    refused(world, head(0x0200, TUNNEL, 1, offset) + packet[:79])


def test_D05_sequence_numbers(world):
    # Hostile: D05
    """Jumps ahead are taken, duplicates and old ones dropped; a peer that counts anew is heard
    again after a while."""
    world.put(flags=LNS_FLAGS | SEND_SEQ | REQUIRE_SEQ)
    passed = []
    for seq in [0, 1, 1, 0, 500, 2, 499, 20000, 500, 20001] + list(range(10, 30)):
        before = world.dp.stats(1)
        world.send(echo4("10.0.0.1", ident=seq), seq=seq)
        after = wait_for("the packet to be counted", lambda: (s := world.dp.stats(1)) != before
                         and s)
        passed += [seq] if after["rx"] > before["rx"] else []
    assert passed[:5] == [0, 1, 500, 20000, 20001]
    assert passed[5:] == [25, 26, 27, 28, 29], "counting anew needs a run in order"


def test_D06_right_ids_from_elsewhere(world):
    # Hostile: D06
    """Another host, another port, another address or listener of ours."""
    other = world.dp.ask("listen 2 192.0.2.9:1702", "listen")
    assert other["error"] == 0
    before = world.dp.plane()["path"]
    message = data(1, echo4("10.0.0.1", ident=5))
    world.stranger.sendto(message, ("192.0.2.1", 1701))
    world.neighbour.sendto(message, ("192.0.2.1", 1701))
    world.sock.sendto(message, ("192.0.2.9", 1701))
    world.sock.sendto(message, ("192.0.2.9", 1702))
    wait_for("the drops", lambda: world.dp.plane()["path"] == before + 4)
    still_works(world)


@pytest.mark.parametrize("payload", ["", "00", "21", "ff", "ff03", "ff0300", "ff030021", "0021",
                                     "ff0321", "00210045", "ff03002145000014"])
def test_D08_payloads_of_nothing(world, payload):
    # Hostile: D08
    refused(world, head(0, TUNNEL, 1) + bytes.fromhex(payload))


@pytest.mark.parametrize("family", [4, 6])
def test_D09_a_frame_of_65000_octets(world, family):
    # Hostile: D09
    """Above any MRU that could be agreed: dropped, not given to the host."""
    packet = (IP(src="10.0.0.1", dst="198.51.100.2", proto=253) if family == 4 else
              IPv6(src="2001:db8:aaaa:1::1", dst="2001:db8:100::2", nh=253)) / bytes(65000 - 40)
    refused(world, data(1, packet))


def test_D09_the_octets_after_a_packet_are_not_forwarded(world):
    # Hostile: D09
    """A short IP packet in a long frame: padding, RFC 1661 5.8 (and no leak of a buffer)."""
    world.send(bytes(echo4("10.0.0.1", ident=8)) + bytes(900))
    assert len(bytes(world.receive(lambda p: ICMP in p)[1])) == 84
    world.send(IP(src="10.0.0.1", dst="198.51.100.2", len=1000, proto=253) / bytes(100))
    wait_for("the drop", lambda: world.dp.stats(1)["other"] == 1)
    still_works(world)


def test_D11_recursion(world):
    # Hostile: D11
    """A datagram to our own L2TP address inside the session is routed once, and what is in it is
    dropped: it does not come from the peer."""
    inner = data(1, echo4("10.0.0.1", ident=4))
    nest = IP(src="10.0.0.1", dst="192.0.2.1") / UDP(sport=1701, dport=1701) / inner
    before = world.dp.plane()
    world.send(nest)
    wait_for("the inner one to be refused",
             lambda: world.dp.plane()["path"] == before["path"] + 1)
    after = world.dp.plane()
    assert after["rx"] == before["rx"] + 1
    still_works(world)


def test_D12_data_before_and_after_the_session(world):
    # Hostile: D12
    """A row that is only prepared forwards nothing; nor does one that is gone."""
    world.dp.ok("put 2 local=192.0.2.1:1701 remote=192.0.2.2:1701 flags=96 state=1 "
                "prefix=10.0.0.2/32")
    before = world.dp.plane()["rx"]
    message = data(2, echo4("10.0.0.2"))
    world.sock.sendto(message, ("192.0.2.1", 1701))
    assert world.dp.wait("punt")["bytes"] == message.hex(), "for the control plane to judge"
    world.dp.ok("del 2")
    dropped = world.dp.plane()["unknown"]
    world.sock.sendto(message, ("192.0.2.1", 1701))
    wait_for("the drop", lambda: world.dp.plane()["unknown"] == dropped + 1)
    assert world.dp.plane()["rx"] == before
    still_works(world)


def test_pfc_and_acfc_that_were_not_agreed(world):
    """RFC 1661 6.5, 6.6: who does not offer them may still be sent them; header and IP checks are
    the same for all four forms."""
    for form in "0021", "21", "ff030021", "ff0321":
        world.sock.sendto(head(0, TUNNEL, 1) + bytes.fromhex(form) +
                          bytes(echo4("10.0.0.1", ident=int(form, 16) & 0xffff)),
                          ("192.0.2.1", 1701))
        assert world.receive(lambda p: ICMP in p)[1][ICMP].id == int(form, 16) & 0xffff
        world.sock.sendto(head(0, TUNNEL, 1) + bytes.fromhex(form) +
                          bytes(echo4("10.0.0.2")), ("192.0.2.1", 1701))
    wait_for("the wrong sources", lambda: world.dp.stats(1)["spoof"] == 4)
