#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write the seed corpus of tests/fuzz/l2tp_msg.c: one file a datagram, the same at every run.

The first octet tells the target whether a secret is configured (1) or not (0) and whether it hides
what it writes again (2); the rest is a UDP payload.

    python3 tools/vectors/l2tp_corpus.py tests/fuzz/corpus/l2tp_msg
"""
import os
import struct
import sys

from l2tp_vectors import (NAMES, REQUIRED, TABLE, avp, full, hide, message, minimal, octets, u16,
                          u32, value_of)

SECRET = b"hush"
RV = octets("corpus", 16)
seeds = {}


def add(name, data, secret=0):
    seeds[name] = bytes([secret]) + data


def hidden(attr, value, m=True, padding=b""):
    return avp(attr, hide(attr, SECRET, RV, value, padding), m=m, h=True)


def req(kind, without=None):
    return [avp(a, value_of(a), m=TABLE[a][0]) for a in REQUIRED[kind] if a != without]


def whole_messages():
    for kind, name in NAMES.items():
        add(f"{name}-minimal", minimal(kind))
        add(f"{name}-full", full(kind))
        add(f"{name}-hidden", full(kind, SECRET, RV, 3), 3)
    add("zlb", struct.pack("!HHHHHH", 0xC802, 12, 1, 0, 2, 3))
    add("hidden-no-secret", full(10, SECRET, RV))
    add("hidden-wrong-secret", full(10, b"other", RV), 1)


def headers():
    body = avp(0, u16(6))
    for name, flags, length in (("no-l", 0x8802, 20), ("no-s", 0xC002, 20), ("o", 0xCA02, 20),
                                ("p", 0xC902, 20), ("reserved", 0xFCF2, 20), ("v3", 0xC803, 20),
                                ("l2f", 0xC801, 20), ("long", 0xC802, 21), ("low", 0xC802, 11),
                                ("cut", 0xC802, 19)):
        add(f"control-{name}", struct.pack("!HHHHHH", flags, length, 1, 2, 3, 4) + body)
    for flags in range(8):
        word = 2 | (0x4000 if flags & 1 else 0) | (0x0800 if flags & 2 else 0)
        word |= 0x0200 if flags & 4 else 0
        size = 6 + (2 if flags & 1 else 0) + (4 if flags & 2 else 0) + (2 if flags & 4 else 0)
        data = u16(word)
        data += u16(size + 8) if flags & 1 else b""
        data += u16(1) + u16(2)
        data += u16(3) + u16(4) if flags & 2 else b""
        data += u16(2) if flags & 4 else b""
        add(f"data-{flags}", data + bytes.fromhex("ff03c021010a0004"))
    add("data-offset-far", bytes.fromhex("0202000100020fff" "00"))
    add("data-length-far", bytes.fromhex("40020fff00010002" "00"))
    add("empty", b"")
    add("one-octet", b"\xc8")
    add("eleven-octets", bytes.fromhex("c802000c00010000000000"))


def message_types():
    for kind, m in ((0, 1), (5, 0), (60, 1), (60, 0), (21, 0)):
        add(f"type-{kind}-m{m}", message_raw([avp(0, u16(kind), m=m), avp(9, u16(1))]))
    add("type-vendor-m", message_raw([avp(0, u16(1), vendor=9)]))
    add("type-vendor", message_raw([avp(0, u16(1), m=False, vendor=9)]))
    add("type-not-first", message_raw([avp(8, b"x", m=False), avp(0, u16(6))]))
    add("type-hidden", message_raw([avp(36, RV), avp(0, u16(6), h=True)]))
    add("type-short", message_raw([avp(0, b"\x06")]))
    add("type-reserved", message_raw([avp(0, u16(6), reserved=1)]))


def message_raw(avps):
    body = b"".join(avps)
    return struct.pack("!HHHHHH", 0xC802, 12 + len(body), 1, 0, 0, 0) + body


def faults():
    for m in (0, 1):
        add(f"unknown-m{m}", message(10, req(10) + [avp(0xFFFE, b"x", m=m)]))
        add(f"vendor-m{m}", message(1, req(1) + [avp(1, b"x", m=m, vendor=3561)]))
        add(f"reserved-bit-m{m}", message(1, req(1) + [avp(8, b"x", m=m, reserved=4)]))
        add(f"extension-m{m}", message(1, req(1) + [avp(77, bytes(10), m=m)]))
        add(f"avp-overrun-m{m}", message(6, [u16(0x8000 * m | 300) + bytes(20)]))
        for length in range(6):
            add(f"avp-length-{length}-m{m}", message(6, [u16(0x8000 * m | length) + bytes(8)]))
        add(f"bad-length-m{m}", message(12, req(12) + [avp(38, b"xx", m=m)]))
        add(f"no-vector-m{m}", message(10, req(10) + [hidden(25, u32(1), m=m)]), 1)
        add(f"hidden-short-m{m}",
            message(10, req(10) + [avp(36, RV), avp(25, b"x", m=m, h=True)]), 1)
        add(f"not-hideable-m{m}", message(1, req(1, 7) + [avp(36, RV), hidden(7, b"lac", m=m)]), 1)
        add(f"no-room-m{m}", message(12, req(12) + [avp(36, RV)] +
                                     [hidden(a, bytes(1000), m=m) for a in (26, 27)]), 1)
    add("vector-empty", message(6, [avp(36, b"")]))
    add("vector-hidden", message(6, [avp(36, RV, h=True)]))
    add("window-0", message(2, req(2) + [avp(10, u16(0))]))
    add("tunnel-id-0", message(1, req(1, 9) + [avp(9, u16(0))]))
    add("session-id-0", message(10, req(10, 14) + [avp(14, u16(0))]))
    add("version-2", message(1, req(1, 2) + [avp(2, u16(0x200))]))
    for kind, attrs in REQUIRED.items():
        if attrs:
            add(f"{NAMES[kind]}-without-{attrs[0]}", message(kind, req(kind, attrs[0])))
    for n in (1, 2, 3, 4, 9):
        add(f"result-{n}", message(14, req(14, 1) + [avp(1, (u16(2) + u16(6) + b"\xff\x1b[2J")[:n])]))
    add("repeats", message(1, req(1) + [avp(7, b"again")] * 40))
    add("misplaced", message(6, [avp(1, u16(1)), avp(11, b"x"), avp(35, bytes(10))]))


def main():
    where = sys.argv[1]
    whole_messages()
    headers()
    message_types()
    faults()
    os.makedirs(where, exist_ok=True)
    for old in os.listdir(where):
        os.unlink(os.path.join(where, old))
    for name, data in seeds.items():
        with open(os.path.join(where, name), "wb") as f:
            f.write(data)


if __name__ == "__main__":
    main()
