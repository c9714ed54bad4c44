# SPDX-License-Identifier: MIT
"""Joining and cutting of TCP in the user-space plane, packet by packet. All packets are made and
checked by scapy: what is joined must be, cut up again by this file, what went in; what is cut must be
what a sender without offloads would have sent. Wrong checksums never get better."""

import random
import struct
import subprocess

import pytest
from scapy.config import conf

conf.verb = 0
from scapy.layers.inet import IP, TCP, UDP, IPOption_Router_Alert  # noqa: E402
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt  # noqa: E402

from lab import BUILD

NEEDS_CSUM, TCPV4, TCPV6, ECN = 1, 1, 4, 0x80
NONE = bytes(10)


def vnet(flags=0, kind=0, head=0, size=0, start=0, offset=0):
    return struct.pack("=BBHHHH", flags, kind, head, size, start, offset)


@pytest.fixture(scope="module")
def gso():
    child = subprocess.Popen([BUILD / "tests/unit/dp/gso_driver"], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True)

    def ask(verb, *words):
        text = [w.hex() if isinstance(w, bytes) else str(w) for w in words]
        child.stdin.write(" ".join([verb, *text]) + "\n")
        child.stdin.flush()
        lines = []
        while (line := child.stdout.readline().strip()):
            lines.append(line if line == "refused" else [bytes.fromhex(w) for w in line.split()])
        return lines
    yield ask
    child.stdin.close()
    assert child.wait(60) == 0


def data(n, seed=1):
    return random.Random(seed).randbytes(n)


def ip(version, **kw):
    if version == 4:
        return IP(**{"src": "10.0.0.1", "dst": "198.51.100.2", "ttl": 61, "flags": "DF",
                     "id": 100, **kw})
    return IPv6(**{"src": "2001:db8::1", "dst": "2001:db8:1::2", "hlim": 61, **kw})


STAMPS = [("NOP", None), ("NOP", None), ("Timestamp", (7, 9))]


def segments(version, sizes, seq=1000, step=1, last="", head=None, tcp=None):
    """Segments of one flow that follow each other, as octets."""
    out = []
    for i, n in enumerate(sizes):
        flags = "A" + (last if i == len(sizes) - 1 else "")
        kw = {"id": 100 + i * step} if version == 4 else {}
        packet = ip(version, **{**kw, **(head or {})}) / TCP(**{
            "sport": 4000, "dport": 80, "seq": seq, "ack": 5, "window": 500, "flags": flags,
            "options": STAMPS, **(tcp or {})}) / data(n, i)
        out.append(bytes(packet))
        seq = seq + n & 0xffffffff
    return out


def parse(packet):
    return (IP if packet[0] >> 4 == 4 else IPv6)(packet)


def rebuilt(packet):
    """The same packet with lengths and checksums made by scapy."""
    p = parse(packet)
    for layer, field in (IP, "len"), (IP, "chksum"), (IPv6, "plen"), (TCP, "chksum"), (UDP,
                                                                                      "chksum"):
        if layer in p:
            p[layer].delfieldval(field)
    return bytes(p)


def heads(packet):
    p = parse(packet)
    at = 20 if p.version == 4 else 40
    return at, at + p[TCP].dataofs * 4


def partial(packet):
    """With the sum of the pseudo header where the checksum goes, as a kernel with offloads has it."""
    at, _ = heads(packet)
    n = len(packet) - at
    ends = packet[12:20] if at == 20 else packet[8:40]
    total = sum(struct.unpack(f"!{len(ends) // 2}H", ends)) + 6 + n
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return packet[:at + 16] + struct.pack("!H", total) + packet[at + 18:]


def cut_again(head, packet):
    """Cut up a packet as the kernel would, by what its vnet header says."""
    flags, kind, hdr_len, size, start, offset = struct.unpack("=BBHHHH", head)
    if not kind:
        assert head == NONE
        return [packet]
    at, end = heads(packet)
    assert flags == NEEDS_CSUM and kind == (TCPV4 if at == 20 else TCPV6)
    assert (hdr_len, start, offset) == (end, at, 16)
    assert packet == partial(packet), "the sum of the pseudo header"
    if at == 20:
        assert rebuilt(packet)[10:12] == packet[10:12], "the checksum of the IP header"
    assert int.from_bytes(packet[2:4] if at == 20 else packet[4:6], "big") == (
        len(packet) if at == 20 else len(packet) - 40)
    whole, out = packet[end:], []
    assert len(whole) > size
    for i in range(0, len(whole), size):
        p = parse(packet[:end] + whole[i:i + size])
        p[TCP].seq = (p[TCP].seq + i) & 0xffffffff
        if p.version == 4:
            p.id += i // size
        if i + size < len(whole):
            p[TCP].flags &= ~0x09
        out.append(rebuilt(bytes(p)))
    return out


def joined(gso, packets):
    """How many segments went into each write; and that what comes out is what went in."""
    writes = gso("join", *packets)
    pieces = [cut_again(*w) for w in writes]
    assert [p for w in pieces for p in w] == packets
    return [len(w) for w in pieces]


@pytest.mark.parametrize("version", [4, 6])
class TestJoin:
    def test_what_follows_is_one_packet(self, gso, version):
        assert joined(gso, segments(version, [1348] * 40)) == [40]
        assert joined(gso, segments(version, [1348] * 3, seq=2**32 - 1348)) == [3]
        assert joined(gso, segments(version, [1] * 5)) == [5]
        assert joined(gso, segments(version, [333, 333, 332])) == [3], "odd sizes"
        assert joined(gso, segments(version, [100])) == [1]

    def test_a_shorter_one_ends_it(self, gso, version):
        assert joined(gso, segments(version, [500, 500, 499, 500, 500])) == [3, 2]
        assert joined(gso, segments(version, [500, 501, 500])) == [1, 2]

    def test_not_more_than_a_packet_can_have(self, gso, version):
        counts = joined(gso, segments(version, [1400] * 60))
        assert sum(counts) == 60 and counts[0] == 46
        assert joined(gso, segments(version, [10] * 130)) == [64, 64, 2]

    def test_push_and_fin_end_it(self, gso, version):
        assert joined(gso, segments(version, [400] * 3, last="P")) == [3]
        assert joined(gso, segments(version, [400] * 3, last="F")) == [3]
        push = segments(version, [400] * 2, last="P")
        after = segments(version, [400], seq=1800, head={"id": 102} if version == 4 else {})
        assert joined(gso, push + after) == [2, 1]
        assert joined(gso, segments(version, [400], last="P")) == [1]

    @pytest.mark.parametrize("flags", ["S", "R", "U", "C", "SA", "AU", "AC", "AR", ""])
    def test_other_flags_go_alone(self, gso, version, flags):
        packets = segments(version, [400] * 2)
        packets.insert(1, segments(version, [400], seq=1400, tcp={"flags": flags},
                                   head={"id": 101} if version == 4 else {})[0])
        assert joined(gso, packets) == [1, 1, 1]

    def test_gaps_and_repeats_are_left(self, gso, version):
        a = segments(version, [400] * 4)
        assert joined(gso, [a[0], a[2], a[3]]) == [1, 2]
        assert joined(gso, [a[0], a[0], a[1]])[0] == 1
        assert joined(gso, [a[1], a[0], a[2]]) == [1, 1, 1]

    def test_acknowledgements_without_data_go_alone(self, gso, version):
        assert joined(gso, segments(version, [0, 0, 0])) == [1, 1, 1]
        assert joined(gso, segments(version, [400, 0, 400])) == [1, 1, 1]

    @pytest.mark.parametrize("other", [
        {"ack": 6}, {"window": 501}, {"reserved": 1}, {"options": STAMPS[:2] + [
            ("Timestamp", (8, 9))]}, {"options": []}, {"sport": 4001}, {"dport": 81},
        {"flags": "AE"}])
    def test_any_other_field_of_tcp_parts_them(self, gso, version, other):
        first = segments(version, [400])
        second = segments(version, [400], seq=1400, tcp=other,
                          head={"id": 101} if version == 4 else {})
        assert joined(gso, first + second) == [1, 1]

    @pytest.mark.parametrize("where", range(3))
    def test_a_wrong_checksum_stays_wrong(self, gso, version, where):
        packets = segments(version, [700] * 3)
        bad = bytearray(packets[where])
        bad[-1] ^= 0x40
        packets[where] = bytes(bad)
        writes = gso("join", *packets)
        assert [p for w in writes for p in cut_again(*w)] == packets
        assert [NONE, bytes(bad)] in writes, "written as it came, for the kernel to find out"

    def test_a_swap_that_cancels_is_found(self, gso, version):
        """Each segment is verified by itself, not the sum of all."""
        packets = [bytearray(p) for p in segments(version, [700] * 2)]
        packets[0][-2:], packets[1][-2:] = packets[1][-2:], packets[0][-2:]
        packets = [bytes(p) for p in packets]
        assert joined(gso, packets) == [1, 1]


def test_ids_of_ipv4(gso):
    assert joined(gso, segments(4, [400] * 4, head={"flags": 0})) == [4]
    same = segments(4, [400] * 4, step=0)  # with DF; they come out counting, RFC 6864 allows it
    assert len(gso("join", *same)) == 1
    for packets in (segments(4, [400] * 2, step=0, head={"flags": 0}), segments(4, [400] * 2,
                                                                                step=2)):
        assert joined(gso, packets) == [1, 1]
    mixed = segments(4, [400] * 2) + segments(4, [400], seq=1800, head={"id": 101})
    assert joined(gso, mixed) == [2, 1]
    wrap = segments(4, [400], head={"id": 65535}) + segments(4, [400], seq=1400, head={"id": 0})
    assert len(gso("join", *wrap)) == 1


@pytest.mark.parametrize("other", [
    {"tos": 3}, {"ttl": 60}, {"flags": 0}, {"src": "10.0.0.2"}, {"dst": "198.51.100.3"},
    {"flags": "MF"}, {"frag": 100}, {"options": [IPOption_Router_Alert()]}])
def test_any_other_field_of_ipv4_parts_them(gso, other):
    packets = segments(4, [400]) + segments(4, [400], seq=1400, head={"id": 101, **other})
    assert [p for w in gso("join", *packets) for p in w if p != NONE] == packets


def test_options_of_ipv4_are_never_joined(gso):
    packets = segments(4, [400] * 3, head={"options": [IPOption_Router_Alert()]})
    assert [w[1] for w in gso("join", *packets)] == packets


def test_a_wrong_header_checksum_of_ipv4(gso):
    packets = segments(4, [400] * 2)
    bad = bytearray(packets[1])
    bad[10] ^= 1
    assert joined(gso, [packets[0]] + [bytes(bad)]) == [1, 1]


@pytest.mark.parametrize("other", [{"tc": 1}, {"fl": 1}, {"hlim": 60}, {"src": "2001:db8::3"}])
def test_any_other_field_of_ipv6_parts_them(gso, other):
    assert joined(gso, segments(6, [400]) + segments(6, [400], seq=1400, head=other)) == [1, 1]


def test_extension_headers_are_never_joined(gso):
    packets = [bytes(ip(6) / IPv6ExtHdrDestOpt() / TCP(seq=1000 + 400 * i, flags="A") / data(400))
               for i in range(3)]
    assert [w[1] for w in gso("join", *packets)] == packets


# --- cutting

def long_packet(version, n, flags="A", options=STAMPS, head=None):
    packet = bytes(ip(version, **(head or {})) / TCP(
        sport=80, dport=4000, seq=2**32 - 5000, ack=77, window=9, flags=flags, options=options)
        / data(n))
    return partial(packet)


def cut(gso, packet, size, kind=None):
    at, end = heads(packet)
    kind = kind if kind is not None else (TCPV4 if at == 20 else TCPV6)
    return [line[0] for line in gso("cut", vnet(NEEDS_CSUM, kind, end, size, at, 16), packet)]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("n,size", [(65000, 1408), (5000, 1000), (1409, 1408), (1, 1400),
                                    (1400, 1400), (997, 333), (100, 1), (65000, 87)])
def test_cut(gso, version, n, size):
    packet = long_packet(version, n, flags="PA")
    pieces = cut(gso, packet, size)
    assert len(pieces) == -(-n // size)
    whole = b""
    for i, piece in enumerate(pieces):
        p = parse(piece)
        assert rebuilt(piece) == piece, "lengths and checksums"
        assert p[TCP].seq == (2**32 - 5000 + i * size) % 2**32
        assert p[TCP].flags == ("PA" if i == len(pieces) - 1 else "A")
        assert (p[TCP].ack, p[TCP].window, p[TCP].options) == (77, 9, STAMPS)
        if version == 4:
            assert (p.id, p.ttl, str(p.flags)) == (100 + i, 61, "DF")
        payload = piece[heads(piece)[1]:]
        assert len(payload) == (size if i < len(pieces) - 1 else n - (len(pieces) - 1) * size)
        whole += payload
    assert whole == data(n)


def test_cut_keeps_flags_where_they_belong(gso):
    pieces = cut(gso, long_packet(4, 3000, flags="FAPCE"), 1000, TCPV4 | ECN)
    assert [str(parse(p)[TCP].flags) for p in pieces] == ["AEC", "AE", "FPAE"]


def test_cut_with_options_of_ip_and_tcp(gso):
    options = [("NOP", None)] * 40
    packet = long_packet(4, 3000, options=options)
    for piece in cut(gso, packet, 1000):
        assert rebuilt(piece) == piece and parse(piece)[TCP].dataofs == 15


@pytest.mark.parametrize("change", ["type", "size", "csum", "start", "offset", "short", "udp"])
def test_what_cannot_be_cut_is_refused(gso, change):
    packet = long_packet(4, 3000)
    flags, kind, size, start, offset = NEEDS_CSUM, TCPV4, 1000, 20, 16
    if change == "type":
        kind = TCPV6
    elif change == "size":
        size = 0
    elif change == "csum":
        flags = 0
    elif change == "start":
        start = 24
    elif change == "offset":
        offset = 6
    elif change == "short":
        packet = bytes(ip(4) / TCP(flags="A"))
    elif change == "udp":
        packet = bytes(ip(4) / UDP() / data(3000))
    assert gso("cut", vnet(flags, kind, 40, size, start, offset), packet) == ["refused"]


def test_checksums_the_kernel_left(gso):
    for version in 4, 6:
        for n in 1, 2, 999:
            packet = long_packet(version, n)
            at, _ = heads(packet)
            [[got]] = gso("sum", vnet(NEEDS_CSUM, 0, 0, 0, at, 16), packet)
            assert got == rebuilt(packet)
    assert gso("sum", vnet(NEEDS_CSUM, 0, 0, 0, 20, 16), bytes(37)) == ["refused"]
    assert gso("sum", vnet(NEEDS_CSUM, 0, 0, 0, 65535, 65535), bytes(60)) == ["refused"]


# --- fragments

def test_a_fragment_beyond_the_end_is_no_packet(gso):
    """RFC 791 3.2: the offset of a piece would wrap and land at the beginning."""
    whole = bytes(IP(src="10.0.0.1", dst="10.0.0.2", frag=8100, flags="MF", proto=17) / data(800))
    assert gso("fragment", 576, whole) == []
    fits = bytes(IP(src="10.0.0.1", dst="10.0.0.2", frag=8000, flags="MF", proto=17) / data(1200))
    pieces = [parse(line[0]) for line in gso("fragment", 576, fits)]
    assert [p.frag for p in pieces] == [8000, 8069, 8138]
    assert all(p.flags.MF for p in pieces)
    assert b"".join(bytes(p.payload) for p in pieces) == data(1200)
