#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write tests/unit/l2tp/vectors.h: what L2TPv2 messages look like, computed apart from src/l2tp.

Nothing here is derived from the C code. Hiding follows RFC 2661 4.3, the challenge response 4.4.3,
the table of attributes 4.4 and the messages 6. The output is the same at every run.

    python3 tools/vectors/l2tp_vectors.py > tests/unit/l2tp/vectors.h
"""
import hashlib
import struct


def octets(label, n):
    """n octets that look random and are the same every time."""
    out = b""
    i = 0
    while len(out) < n:
        out += hashlib.sha256(f"{label}/{i}".encode()).digest()
        i += 1
    return out[:n]


def md5(*parts):
    return hashlib.md5(b"".join(parts)).digest()


def hide(attr, secret, vector, value, padding=b""):
    """RFC 2661 4.3: c1 = p1 ^ MD5(attr, S, RV), ci = pi ^ MD5(S, c(i-1))."""
    plain = struct.pack("!H", len(value)) + value + padding
    cipher = b""
    pad = md5(struct.pack("!H", attr), secret, vector)
    for at in range(0, len(plain), 16):
        block = bytes(a ^ b for a, b in zip(plain[at:at + 16], pad))
        cipher += block
        pad = md5(secret, block)
    return cipher


def avp(attr, value, m=True, h=False, vendor=0, reserved=0):
    head = (0x8000 if m else 0) | (0x4000 if h else 0) | reserved << 10 | (6 + len(value))
    return struct.pack("!HHH", head, vendor, attr) + value


def u16(v):
    return struct.pack("!H", v)


def u32(v):
    return struct.pack("!I", v)


def message(kind, avps, tunnel=0, session=0, ns=0, nr=0):
    body = avp(0, u16(kind)) + b"".join(avps)
    return struct.pack("!HHHHHH", 0xC802, 12 + len(body), tunnel, session, ns, nr) + body


# RFC 2661 4.4 and 6: attribute: (M, may be hidden, shortest, longest value, messages).
N = 1017
SCC = (1, 2)
TABLE = {
    0: (1, 0, 2, 2, (1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 14, 15, 16)),
    1: (1, 0, 2, N, (4, 14)),
    2: (1, 0, 2, 2, SCC),
    3: (1, 1, 4, 4, SCC),
    4: (1, 1, 4, 4, SCC),
    5: (0, 0, 8, 8, (1,)),
    6: (0, 1, 2, 2, SCC),
    7: (1, 0, 1, N, SCC),
    8: (0, 1, 0, N, SCC),
    9: (1, 1, 2, 2, (1, 2, 4)),
    10: (1, 0, 2, 2, SCC),
    11: (1, 1, 1, N, SCC),
    12: (1, 0, 3, N, (14,)),
    13: (1, 1, 16, 16, (2, 3)),
    14: (1, 1, 2, 2, (7, 8, 10, 11, 14)),
    15: (1, 1, 4, 4, (7, 10)),
    16: (1, 1, 4, 4, (7,)),
    17: (1, 1, 4, 4, (7,)),
    18: (1, 1, 4, 4, (7, 10)),
    19: (1, 1, 4, 4, (7, 9, 12)),
    21: (1, 1, 0, N, (7, 10)),
    22: (1, 1, 0, N, (10,)),
    23: (1, 1, 0, N, (7, 10)),
    24: (1, 1, 4, 4, (9, 12)),
    25: (0, 1, 4, 4, (8, 10)),
    26: (0, 1, 0, N, (12,)),
    27: (0, 1, 0, N, (12,)),
    28: (0, 1, 0, N, (12,)),
    29: (0, 1, 2, 2, (12,)),
    30: (0, 1, 0, N, (12,)),
    31: (0, 1, 1, N, (12,)),
    32: (0, 1, 2, 2, (12,)),
    33: (0, 1, 0, N, (12,)),
    34: (1, 1, 26, 26, (15,)),
    35: (1, 1, 10, 10, (16,)),
    37: (0, 1, 0, N, (12,)),
    38: (0, 1, 4, 4, (9, 12)),
    39: (1, 0, 0, 0, (9, 12)),
    46: (0, 1, 5, N, (14,)),
}

REQUIRED = {
    1: (2, 3, 7, 9), 2: (2, 3, 7, 9), 3: (), 4: (1, 9), 6: (), 7: (14, 15, 16, 17, 18, 19, 21),
    8: (14,), 9: (19, 24), 10: (14, 15), 11: (14,), 12: (19, 24), 14: (1, 14), 15: (34,),
    16: (35,),
}


def value_of(attr):
    """A value for an attribute, of a length that is right for it."""
    special = {
        2: b"\x01\x00",
        7: b"lac.example",
        8: "Adit \u00e9".encode(),
        21: b"5551212",
        22: b"0123456789",
        23: b"17",
        26: bytes.fromhex("010405dc0506a1b2c3d4"),
        29: b"\x00\x02",
        30: b"alice@example",
        32: b"\x00\x2a",
        37: b"red",
        1: u16(2) + u16(6) + "nope \u00fc".encode(),
        12: u16(16) + b"\x45" + b"normal",
        34: u16(0) + b"".join(u32(v) for v in (1, 2, 3, 4, 5, 6)),
        35: u16(0) + u32(0x000A0000) + u32(0xFFFFFFFF),
        46: u16(3) + u16(0xC021) + b"\x01" + b"bye",
    }
    if attr in special:
        return special[attr]
    lo, hi = TABLE[attr][2], TABLE[attr][3]
    return octets(f"value {attr}", lo if lo == hi else 20)


NAMES = {1: "SCCRQ", 2: "SCCRP", 3: "SCCCN", 4: "StopCCN", 6: "HELLO", 7: "OCRQ", 8: "OCRP",
         9: "OCCN", 10: "ICRQ", 11: "ICRP", 12: "ICCN", 14: "CDN", 15: "WEN", 16: "SLI"}


def full(kind, secret=None, vector=None, padding=0, reverse=False):
    """A message with every attribute it may have; hidden where that is allowed."""
    avps = []
    for attr, (m, may_hide, _, _, kinds) in TABLE.items():
        if attr == 0 or kind not in kinds:
            continue
        value = value_of(attr)
        if secret and may_hide:
            value = hide(attr, secret, vector, value, octets(f"pad {attr}", padding))
            avps.append(avp(attr, value, m=m, h=True))
        else:
            avps.append(avp(attr, value, m=m))
    if reverse:
        avps.reverse()
    if secret:
        avps.insert(0, avp(36, vector))
    return message(kind, avps, 0x1234, 0x5678, 0x9ABC, 0xDEF0)


def minimal(kind):
    return message(kind, [avp(a, value_of(a), m=TABLE[a][0]) for a in REQUIRED[kind]])


def c(data):
    text = data.hex()
    lines = [text[i:i + 88] for i in range(0, len(text), 88)] or [""]
    return "\n\t  ".join(f'"{line}"' for line in lines)


def main():
    print("""/* SPDX-License-Identifier: MIT
 *
 * Written by tools/vectors/l2tp_vectors.py, which shares nothing with src/l2tp. Octets are in hex.
 */
#ifndef L2TP_VECTORS_H
#define L2TP_VECTORS_H

#include <stdint.h>

/* clang-format off */
""")
    print("/* What RFC 2661 4.4 and 6 say of each attribute: messages as bits. */")
    print("__attribute__((unused)) static const struct vec_attr {\n"
          "\tunsigned type, m, h, min, max;\n\tuint32_t in;\n} vec_attrs[] = {")
    for attr, (m, h, lo, hi, kinds) in TABLE.items():
        print(f"\t{{ {attr}, {m}, {h}, {lo}, {hi}, 0x{sum(1 << k for k in kinds):05x} }},")
    print("};\n")

    print("__attribute__((unused)) static const struct vec_required {\n"
          "\tunsigned type, count, attrs[8];\n} vec_required[] = {")
    for kind, attrs in REQUIRED.items():
        inner = ", ".join(map(str, attrs)) if attrs else "0"
        print(f"\t{{ {kind}, {len(attrs)}, {{ {inner} }} }},")
    print("};\n")

    print("/* Values of one attribute, plain and hidden; `padding` octets follow the value. */")
    print("__attribute__((unused)) static const struct vec_hidden {\n"
          "\tuint16_t attr, padding;\n\tconst char *secret, *vector, *plain, *pad, *cipher;\n"
          "} vec_hidden[] = {")
    cases = [(n, p, 16) for n in (1, 14, 15, 16, 30, 400) for p in (0, 1, 15, 200)]
    cases += [(n, 0, v) for v in (1, 255, 1000) for n in (1, 30, 400)]
    cases += [(0, 0, 16), (0, 7, 16), (1013, 0, 16), (1000, 13, 255)]
    for i, (n, p, v) in enumerate(cases):
        attr = (33, 11, 22, 8)[i % 4]
        secret = (b"s", b"secret", octets("secret", 64), octets("long", 128))[i % 4]
        vector, value, pad = octets(f"rv {i}", v), octets(f"v {i}", n), octets(f"p {i}", p)
        print(f"\t{{ {attr}, {p},\n\t  {c(secret)},\n\t  {c(vector)},\n\t  {c(value)},\n"
              f"\t  {c(pad)},\n\t  {c(hide(attr, secret, vector, value, pad))} }},")
    print("};\n")

    print("/* MD5(id, secret, challenge), id 2 in SCCRP and 3 in SCCCN. */")
    print("__attribute__((unused)) static const struct vec_response {\n"
          "\tuint8_t id;\n\tconst char *secret, *challenge, *response;\n} vec_responses[] = {")
    for i, n in enumerate((1, 15, 16, 17, 55, 64, 400, 1017)):
        for kind in (2, 3):
            secret = (b"s", b"tunnel secret", octets("secret", 128))[i % 3]
            challenge = octets(f"challenge {i}", n)
            print(f"\t{{ {kind},\n\t  {c(secret)},\n\t  {c(challenge)},\n"
                  f"\t  {c(md5(bytes([kind]), secret, challenge))} }},")
    print("};\n")

    print("/* Every message with every attribute it may have: plain, reversed, hidden. */")
    print("__attribute__((unused)) static const struct vec_message {\n"
          "\tunsigned type;\n\tconst char *name, *minimal, *plain, *reversed, *hidden;\n"
          "} vec_messages[] = {")
    for kind, name in NAMES.items():
        vector = octets(f"message {kind}", 16)
        print(f"\t{{ {kind}, \"{name}\",\n\t  {c(minimal(kind))},\n\t  {c(full(kind))},\n"
              f"\t  {c(full(kind, reverse=True))},\n"
              f"\t  {c(full(kind, b'hush', vector, 5))} }},")
    print("};\n")

    print("/* The values used above, by attribute. */")
    print("__attribute__((unused)) static const struct vec_value {\n"
          "\tunsigned type;\n\tconst char *value;\n} vec_values[] = {")
    for attr in TABLE:
        if attr:
            print(f"\t{{ {attr}, {c(value_of(attr))} }},")
    print("};\n")

    rv1, rv2 = octets("rv one", 16), octets("rv two", 40)
    several = message(10, [avp(36, rv1), avp(14, hide(14, b"hush", rv1, u16(0x1111)), h=True),
                           avp(36, rv2), avp(15, hide(15, b"hush", rv2, u32(0x22222222)), h=True),
                           avp(22, hide(22, b"hush", rv2, b"0123", b"\0" * 9), h=True)])
    print("/* Two Random Vectors in one ICRQ, secret \"hush\": V2-4.3-05. */")
    print("#define VEC_SEVERAL \\\n\t  " + c(several).replace("\n", " \\\n") + "\n")
    zlb = struct.pack("!HHHHHH", 0xC802, 12, 0x1234, 0, 5, 7)
    print(f"#define VEC_ZLB {c(zlb)}\n")
    print("/* clang-format on */\n\n#endif")


if __name__ == "__main__":
    main()
