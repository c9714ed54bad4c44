#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write tests/unit/l2tp/vectors3.h: what L2TPv3 messages look like, computed apart from src/l2tp.

Nothing here is derived from the C code. Keys and hiding follow RFC 3931 5.3, digests 4.3 and 5.4.1
(Python's hmac), the table of attributes 5.4 and the messages 6. The same at every run.

    python3 tools/vectors/l2tp3_vectors.py > tests/unit/l2tp/vectors3.h
"""
import hashlib
import hmac
import struct

from l2tp_vectors import avp, c, hide, octets, u16, u32

N = 1017
SCC = (1, 2)
CALLED, REPLY, CONN = (7, 10), (8, 11), (9, 12)
SETUP = CALLED + REPLY + CONN
CALL = SETUP + (14, 15, 16)

# RFC 3931 5.4 (89 to 91: RFC 4667, 103: RFC 9601; 11 and 13 as in RFC 2661): attribute: (M, may be
# hidden, shortest, longest value, messages).
TABLE = {
    1: (1, 0, 2, N, (4, 14)),
    5: (1, 0, 8, 8, (1,) + CALLED),
    7: (1, 0, 1, N, SCC),
    8: (0, 1, 0, N, SCC),
    10: (1, 0, 2, 2, SCC),
    11: (1, 1, 1, N, SCC),
    13: (1, 1, 16, 16, (2, 3)),
    15: (0, 1, 4, 4, CALLED),
    25: (0, 1, 4, 4, (10,) + REPLY),
    34: (0, 1, 18, 26, (15,)),
    60: (1, 0, 4, 4, SCC),
    61: (1, 1, 4, 4, (1, 2, 4)),
    62: (1, 1, 2, N, SCC),
    63: (1, 1, 4, 4, CALL),
    64: (1, 1, 4, 4, CALL),
    65: (1, 1, 0, 8, CALLED + REPLY),
    66: (1, 1, 0, N, CALLED),
    68: (1, 1, 2, 2, CALLED),
    69: (1, 1, 2, 2, SETUP),
    70: (1, 1, 2, 2, SETUP),
    71: (1, 1, 2, 2, SETUP + (16,)),
    72: (0, 1, 0, N, SCC),
    73: (1, 0, 1, N, SCC),
    74: (0, 1, 8, 8, SETUP),
    75: (0, 1, 8, 8, SETUP),
    89: (0, 1, 0, N, CALLED),
    90: (0, 1, 0, N, CALLED),
    91: (0, 1, 2, 2, (10, 11)),
    103: (0, 0, 0, 0, SCC),
}

# RFC 3931 6
REQUIRED = {
    1: (7, 60, 61, 62), 2: (7, 60, 61, 62), 3: (), 4: (1,), 6: (),
    7: (15, 63, 64, 66, 68, 71), 8: (63, 64, 71), 9: (63, 64),
    10: (15, 63, 64, 66, 68, 71), 11: (63, 64, 71), 12: (63, 64),
    14: (1, 63, 64), 15: (34, 63, 64), 16: (63, 64), 20: (),
}
NAMES = {1: "SCCRQ", 2: "SCCRP", 3: "SCCCN", 4: "StopCCN", 6: "HELLO", 7: "OCRQ", 8: "OCRP",
         9: "OCCN", 10: "ICRQ", 11: "ICRP", 12: "ICCN", 14: "CDN", 15: "WEN", 16: "SLI", 20: "ACK"}
HASHES = {0: hashlib.md5, 1: hashlib.sha1}


def shared_key(secret, purpose):
    """RFC 3931 5.3 (purpose 1) and 5.4.1 (purpose 2)."""
    return hmac.new(secret, bytes([purpose]), hashlib.md5).digest()


def message(kind, avps, connection=0, ns=0, nr=0, version=3):
    body = avp(0, u16(kind)) + b"".join(avps)
    return struct.pack("!HHIHH", 0xC800 | version, 12 + len(body), connection, ns, nr) + body


def room(kinds, m=True):
    """Message Digest AVPs with zeros."""
    return [avp(59, bytes([k]) + bytes(HASHES[k]().digest_size), m=m) for k in kinds]


def sign(msg, secrets, kinds, own=b"", peer=b""):
    """Fill the digests that stand, zeroed, behind the Message Type."""
    at, out = 20, bytearray(msg)
    for secret, kind in zip(secrets, kinds):
        digest = hmac.new(shared_key(secret, 2), own + peer + msg, HASHES[kind]).digest()
        out[at + 7:at + 7 + len(digest)] = digest
        at += 7 + len(digest)
    return bytes(out)


def value_of(attr):
    special = {
        1: u16(2) + u16(6) + "nope \u00fc".encode(), 7: b"lcce.example", 8: b"someone",
        10: u16(8), 15: u32(77), 25: u32(3), 34: u16(0) + b"".join(u32(i) for i in range(1, 7)),
        60: u32(0xC0000201), 61: u32(0x89ABCDEF), 62: u16(5) + u16(4) + u16(7), 63: u32(0x11223344),
        64: u32(0x55667788), 65: octets("cookie", 8), 66: b"port-1", 68: u16(5), 69: u16(1),
        70: u16(2), 71: u16(1), 72: b"en-GB", 73: octets("nonce", 16), 74: struct.pack("!Q", 10 ** 10),
        75: struct.pack("!Q", 10 ** 9), 89: b"group", 90: b"port-2", 91: u16(1500),
    }
    if attr in special:
        return special[attr]
    lo, hi = TABLE[attr][2], TABLE[attr][3]
    return octets(f"value3 {attr}", lo if lo == hi else 20)


def listed(kind):
    return [a for a, row in TABLE.items() if kind in row[4]]


def full(kind, secret=None, vector=None):
    avps, digests = [], room((0,)) if secret else []
    for attr in listed(kind):
        m, may_hide = TABLE[attr][:2]
        if secret and may_hide:
            if vector not in [a[6:] for a in avps]:
                avps.append(avp(36, vector))
            value = hide(attr, shared_key(secret, 1), vector, value_of(attr))
            avps.append(avp(attr, value, m=m, h=True))
        else:
            avps.append(avp(attr, value_of(attr), m=m))
    msg = message(kind, digests + avps, 0x12345678, 0x9ABC, 0xDEF0)
    if secret:
        msg = sign(msg, (secret,), (0,), octets("own", 16), octets("peer", 20))
    return msg


def minimal(kind):
    return message(kind, [avp(a, value_of(a), m=TABLE[a][0]) for a in REQUIRED[kind]])


def digests():
    """(label, secrets, kinds, own nonce, peer's nonce, message)"""
    own, peer = octets("nonce own", 16), octets("nonce peer", 31)
    old, new, long = b"old secret", b"new", octets("long secret", 128)
    sccrq = [avp(a, value_of(a), m=TABLE[a][0]) for a in listed(1)]
    sccrp = [avp(a, value_of(a), m=TABLE[a][0]) for a in listed(2) if a != 13]
    icrq = [avp(a, value_of(a), m=TABLE[a][0]) for a in listed(10)]
    rows = [
        ("SCCRQ, MD5", (old,), (0,), b"", b"", 1, sccrq),
        ("SCCRQ, SHA-1", (old,), (1,), b"", b"", 1, sccrq),
        ("SCCRP, MD5", (old,), (0,), own, peer, 2, sccrp),
        ("SCCRP, SHA-1", (long,), (1,), own, peer, 2, sccrp),
        ("SCCCN", (old,), (0,), peer, own, 3, []),
        ("HELLO", (long,), (0,), own, peer, 6, []),
        ("ACK", (old,), (1,), own, peer, 20, []),
        ("ICRQ, two secrets", (old, new), (0, 0), own, peer, 10, icrq),
        ("ICRQ, two kinds", (old, old), (0, 1), own, peer, 10, icrq),
        ("HELLO, empty secret", (b"",), (0,), b"", b"", 6, []),
        ("ICRQ, empty secret, SHA-1", (b"",), (1,), b"", b"", 10, icrq),
    ]
    for label, secrets, kinds, mine, theirs, kind, avps in rows:
        msg = message(kind, room(kinds) + avps, 0xCAFE0001, 5, 0xFFFF)
        yield label, secrets, kinds, mine, theirs, sign(msg, secrets, kinds, mine, theirs)


def fallback():
    """RFC 3931 4.7.3: a v2 SCCRQ that offers v3, M=0 on what only v3 has."""
    avps = [avp(2, b"\1\0"), avp(3, u32(3)), avp(7, b"both"), avp(9, u16(0x4321))]
    avps += [avp(a, value_of(a), m=False) for a in (60, 61, 62, 73)]
    msg = message(1, room((0,), m=False) + avps, version=2)
    return sign(msg, (b"hush",), (0,))


def main():
    print("""/* SPDX-License-Identifier: MIT
 *
 * Written by tools/vectors/l2tp3_vectors.py, which shares nothing with src/l2tp. Octets are in hex.
 */
#ifndef L2TP_VECTORS3_H
#define L2TP_VECTORS3_H

#include <stdint.h>

/* clang-format off */
""")
    print("/* What RFC 3931 5.4 says of each attribute: messages as bits, and the value used below. */")
    print("__attribute__((unused)) static const struct vec3_attr {\n"
          "\tunsigned type, m, h, min, max;\n\tuint32_t in;\n\tconst char *value;\n} vec3_attrs[] = {")
    for attr, (m, h, lo, hi, kinds) in TABLE.items():
        print(f"\t{{ {attr}, {m}, {h}, {lo}, {hi}, 0x{sum(1 << k for k in kinds):06x},"
              f"\n\t  {c(value_of(attr))} }},")
    print("};\n")

    print("/* Every message: what it needs; what it may have, plain; hidden and signed with \"hush\" and\n"
          " * the nonces VEC3_OWN, VEC3_PEER. */")
    print("__attribute__((unused)) static const struct vec3_message {\n"
          "\tunsigned type;\n\tconst char *name;\n\tunsigned required[8];\n"
          "\tconst char *minimal, *plain, *hidden;\n} vec3_messages[] = {")
    for kind, name in NAMES.items():
        need = ", ".join(map(str, REQUIRED[kind] + (0,)))
        print(f"\t{{ {kind}, \"{name}\", {{ {need} }},\n\t  {c(minimal(kind))},\n\t  {c(full(kind))},\n"
              f"\t  {c(full(kind, b'hush', octets(f'rv {kind}', 16)))} }},")
    print("};\n")
    print(f"#define VEC3_OWN {c(octets('own', 16))}\n#define VEC3_PEER {c(octets('peer', 20))}\n")

    print("/* Both shared keys of a secret: hiding (1), digests (2). */")
    print("__attribute__((unused)) static const struct vec3_key {\n"
          "\tconst char *secret, *hide, *sign;\n} vec3_keys[] = {")
    for secret in (b"", b"s", b"hush", octets("key 64", 64), octets("key 65", 65), octets("key 128", 128)):
        print(f"\t{{ {c(secret)},\n\t  {c(shared_key(secret, 1))}, {c(shared_key(secret, 2))} }},")
    print("};\n")

    print("/* Signed messages; nonces from the sender's view; kinds 0 HMAC-MD5, 1 HMAC-SHA-1. */")
    print("__attribute__((unused)) static const struct vec3_digest {\n"
          "\tconst char *label;\n\tunsigned n, kind[2];\n\tconst char *secret[2], *own, *peer, *msg;\n"
          "} vec3_digests[] = {")
    for label, secrets, kinds, own, peer, msg in digests():
        keys = ", ".join(c(s) for s in secrets)
        print(f"\t{{ \"{label}\", {len(kinds)}, {{ {', '.join(map(str, kinds))} }},\n\t  {{ {keys} }},\n"
              f"\t  {c(own)}, {c(peer)},\n\t  {c(msg)} }},")
    print("};\n")

    print("/* An SCCRQ for peers of either version, signed with \"hush\". */")
    print("#define VEC3_FALLBACK \\\n\t  " + c(fallback()).replace("\n", " \\\n") + "\n")
    print("/* clang-format on */\n\n#endif")


if __name__ == "__main__":
    main()
