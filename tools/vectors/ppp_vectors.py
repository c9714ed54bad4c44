#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Test vectors for src/ppp and src/ip6, computed without any code of ours.

RFC 1994 gives no worked example, so the responses are computed here with hashlib from the text of
section 4.1: MD5 over identifier, secret, challenge. The router advertisements are put together and
summed here from the figures of RFC 4861 4.2, 4.6 and RFC 6106 5.1.

    tools/vectors/ppp_vectors.py > tests/unit/ppp/vectors.h
"""
import hashlib
import ipaddress
import random
import struct


def c_bytes(data):
    if not data:
        return '""'
    return '"' + ''.join('\\x%02x' % b for b in data) + '"'


def chap():
    r = random.Random(1994)
    cases = [(0, b'x', b'\0'), (255, b'secret', bytes(range(16))),
             (1, b'a' * 255, bytes(255)), (23, 'pässwörd'.encode(), b'challenge')]
    for _ in range(12):
        secret = bytes(r.randrange(256) for _ in range(r.randrange(1, 40)))
        value = bytes(r.randrange(256) for _ in range(r.randrange(1, 40)))
        cases.append((r.randrange(256), secret, value))
    print('static const struct {\n\tunsigned id, secret_len, challenge_len;')
    print('\tconst char *secret, *challenge, *response;\n} chap_vectors[] = {')
    for ident, secret, value in cases:
        digest = hashlib.md5(bytes([ident]) + secret + value).digest()
        print('\t{ %d, %d, %d,\n\t  %s,\n\t  %s,\n\t  %s },' % (
            ident, len(secret), len(value), c_bytes(secret), c_bytes(value), c_bytes(digest)))
    print('};\n')


def checksum(src, dst, body):
    data = src + dst + struct.pack('!IHBB', len(body), 0, 0, 58) + body
    if len(data) % 2:
        data += b'\0'
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ipv6(src, dst, body):
    src, dst = ipaddress.ip_address(src).packed, ipaddress.ip_address(dst).packed
    body = body[:2] + struct.pack('!H', checksum(src, dst, body)) + body[4:]
    return struct.pack('!IHBB', 6 << 28, len(body), 58, 255) + src + dst + body


def ra():
    prefix = struct.pack('!BBBBIII', 3, 4, 64, 0x40, 86400, 14400, 0)
    prefix += ipaddress.ip_address('2001:db8:77::').packed
    mtu = struct.pack('!BBHI', 5, 1, 0, 1460)
    dns = struct.pack('!BBHI', 25, 5, 0, 1200)
    dns += ipaddress.ip_address('2001:db8::53').packed + ipaddress.ip_address('2001:db8::54').packed
    head = struct.pack('!BBHBBHII', 134, 0, 0, 64, 0x40, 1800, 0, 0)
    packet = ipv6('fe80::1', 'ff02::1', head + mtu + prefix + dns)
    print('/* from fe80::1 to all nodes: lifetime 1800, other, hop limit 64, MTU 1460, prefix')
    print(' * 2001:db8:77::/64 autonomous 86400/14400, DNS 2001:db8::53 and ::54 for 1200 s */')
    print('static const char ra_vector[] =\n\t%s;' % c_bytes(packet))
    print('static const unsigned ra_vector_len = %d;\n' % len(packet))
    packet = ipv6('fe80::2', 'ff02::2', struct.pack('!BBHI', 133, 0, 0, 0))
    print('static const char rs_vector[] =\n\t%s;' % c_bytes(packet))
    print('static const unsigned rs_vector_len = %d;' % len(packet))


print('/* SPDX-License-Identifier: MIT\n *\n * Made by tools/vectors/ppp_vectors.py; do not edit.\n */\n/* clang-format off */\n')
chap()
ra()
