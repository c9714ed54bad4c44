#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write the seed corpus of tests/fuzz/l2tp3_msg.c: one file a datagram, the same at every run.

The first octet tells the target how to look at it (see its first comment); the rest is a UDP or an
IP payload.

    python3 tools/vectors/l2tp3_corpus.py tests/fuzz/corpus/l2tp3_msg
"""
import os
import struct
import sys

from l2tp3_vectors import (NAMES, REQUIRED, TABLE, digests, fallback, full, message, minimal, octets,
                           room, shared_key, sign, value_of)
from l2tp_vectors import avp, hide, u16

IP, ONE, TWO, SHA1, HIDE, PLAIN, LAX = 1, 2, 4, 8, 16, 32, 64
ZERO = bytes(4)
seeds = {}


def add(name, data, flags=0):
    seeds[name] = bytes([flags]) + data


def req(kind, without=None):
    return [avp(a, value_of(a), m=TABLE[a][0]) for a in REQUIRED[kind] if a != without]


def whole_messages():
    for kind, name in NAMES.items():
        add(f"{name}-minimal", minimal(kind), SHA1)
        add(f"{name}-full", full(kind), ONE | HIDE)
        add(f"{name}-ip", ZERO + full(kind), IP | TWO)
        add(f"{name}-hidden", full(kind, b"hush", octets(f"rv {kind}", 16)), ONE)
        if REQUIRED[kind]:
            without = REQUIRED[kind][-1]
            add(f"{name}-without", message(kind, req(kind, without)))
    for i, (_, _, kinds, own, _, msg) in enumerate(digests()):
        flags = TWO if len(kinds) == 2 else ONE
        add(f"digest-{i}", msg, flags | (0 if own else PLAIN))
    mine = message(6, room((0,)), 7, 1, 2)
    add("good-digest", sign(mine, (b"hush",), (0,), b"peer", b"own nonce"), ONE)
    add("good-digest-sha1", sign(message(6, room((1,))), (b"new",), (1,), b"peer", b"own nonce"), TWO)
    add("zlb", struct.pack("!HHIHH", 0xC803, 12, 1, 2, 3))
    add("fallback", fallback(), ONE | PLAIN)
    add("hidden-no-secret", full(10, b"hush", octets("rv", 16)))
    add("hidden-wrong-secret", full(10, b"other", octets("rv", 16)), ONE)


def headers():
    body = avp(0, u16(6))
    for name, flags, length in (("no-l", 0x8803, 20), ("no-s", 0xC003, 20), ("reserved", 0xFFF3, 20),
                                ("v4", 0xC804, 20), ("v2", 0xC802, 20), ("long", 0xC803, 21),
                                ("low", 0xC803, 11), ("cisco", 0xC803, 24), ("cut", 0xC803, 19)):
        data = struct.pack("!HHIHH", flags, length, 1, 3, 4) + body
        add(f"control-{name}", data)
        add(f"control-{name}-ip", ZERO + data, IP)
    add("data-udp", bytes.fromhex("00030000112233440102030405"))
    add("data-ip", bytes.fromhex("112233440102030405"), IP)
    for n in range(0, 16, 3):
        add(f"short-{n}", (ZERO + b"\xc8\x03\x00\x0c" + bytes(8))[:n], IP)


def attributes():
    for attr, (m, h, lo, hi, kinds) in TABLE.items():
        kind = kinds[0]
        for n in {0, 1, 3, lo, lo + 1, 5}:
            add(f"attr-{attr}-{n}", message(kind, req(kind, attr) + [avp(attr, bytes([1] * n), m=m)]))
        add(f"attr-{attr}-zero", message(kind, req(kind, attr) + [avp(attr, bytes(lo), m=m)]))
        cipher = hide(attr, shared_key(b"hush", 1), b"v" * 16, value_of(attr), b"padding")
        add(f"attr-{attr}-hidden",
            message(kind, [avp(36, b"v" * 16)] + req(kind, attr) + [avp(attr, cipher, h=True)]), ONE | HIDE)
    for name, more in (("unknown", avp(200, b"x")), ("unknown-m0", avp(200, b"x", m=False)),
                       ("named", avp(76, bytes(6))), ("cisco", avp(1, bytes(4), vendor=9)),
                       ("vendor", avp(1, bytes(4), vendor=311)), ("old", avp(9, b"\0\1")),
                       ("extended", avp(58, bytes(10), m=False)), ("reserved", avp(8, b"x", reserved=15)),
                       ("sublayer", avp(69, b"\0\t")), ("sequencing", avp(70, b"\0\3")),
                       ("low", b"\x80\5\0\0\0\7ab"), ("past", b"\x80\x20\0\0\0\7ab"), ("end", b"\x80"),
                       ("vector-empty", avp(36, b"")), ("vector-hidden", avp(36, b"x", h=True)),
                       ("no-vector", avp(61, b"0123456", h=True)), ("short", avp(61, b"x", h=True)),
                       ("twice", avp(63, bytes(4)) * 2)):
        add(f"more-{name}", message(10, req(10) + [more]), ONE)
        add(f"more-{name}-lax", message(10, req(10) + [more]), ONE | LAX)
        add(f"more-{name}-cdn", message(14, req(14) + [more]), ONE)
    for name, first in (("none", b""), ("vendor", avp(0, u16(1), vendor=9)), ("type-60", avp(0, u16(60))),
                        ("type-60-m0", avp(0, u16(60), m=False)), ("type-0", avp(0, u16(0))),
                        ("long", avp(0, b"\0\6\0")), ("other", avp(7, b"x"))):
        add(f"first-{name}", struct.pack("!HHIHH", 0xC803, 12 + len(first), 1, 3, 4) + first)


def main(directory):
    os.makedirs(directory, exist_ok=True)
    whole_messages()
    headers()
    attributes()
    for name, data in seeds.items():
        with open(os.path.join(directory, name), "wb") as f:
            f.write(data)


if __name__ == "__main__":
    main(sys.argv[1])
