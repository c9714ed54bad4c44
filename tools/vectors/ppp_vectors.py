#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Test vectors for src/ppp and src/ip6, computed without any code of ours.

RFC 1994 gives no worked example, so the responses are computed here with hashlib from the text of
section 4.1: MD5 over identifier, secret, challenge. MS-CHAPv2 follows the text of RFC 2759 8, with
MD4 written down here from RFC 1320, DES of the `cryptography` package, and the keys of RFC 3079 3;
the program checks itself with the examples of RFC 2759 9.2, RFC 2433 B.2 and RFC 3079 3.5.3. The router advertisements are put together and
summed here from the figures of RFC 4861 4.2, 4.6 and RFC 6106 5.1.

    tools/vectors/ppp_vectors.py > tests/unit/ppp/vectors.h
"""
import hashlib
import ipaddress
import random
import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


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


def md4(data):
    """RFC 1320 3."""
    def rol(x, n):
        x &= 0xffffffff
        return (x << n | x >> (32 - n)) & 0xffffffff
    length = struct.pack('<Q', 8 * len(data))
    data += b'\x80' + bytes(-(len(data) + 9) % 64) + length
    state = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476]
    for block in range(0, len(data), 64):
        x = struct.unpack('<16I', data[block:block + 64])
        s = list(state)
        rounds = (
            (lambda b, c, d: (b & c) | (~b & d), 0, list(range(16)), (3, 7, 11, 19)),
            (lambda b, c, d: (b & c) | (b & d) | (c & d), 0x5a827999,
             [i % 4 * 4 + i // 4 for i in range(16)], (3, 5, 9, 13)),
            (lambda b, c, d: b ^ c ^ d, 0x6ed9eba1,
             [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15], (3, 9, 11, 15)))
        for f, k, order, shifts in rounds:
            for i, w in enumerate(order):
                a = -i % 4
                s[a] = rol(s[a] + f(s[(a + 1) % 4], s[(a + 2) % 4], s[(a + 3) % 4]) + x[w] + k,
                           shifts[i % 4])
        state = [(p + q) & 0xffffffff for p, q in zip(state, s)]
    return struct.pack('<4I', *state)


def des(key7, clear):
    bits = ''.join('%s1' % format(int.from_bytes(key7, 'big'), '056b')[i:i + 7]
                   for i in range(0, 56, 7))
    key = int(bits, 2).to_bytes(8, 'big')
    enc = Cipher(algorithms.TripleDES(key * 3), modes.ECB()).encryptor()
    return enc.update(clear) + enc.finalize()


def nt_response(challenge, nt_hash):
    key = nt_hash + bytes(5)
    return b''.join(des(key[i:i + 7], challenge) for i in (0, 7, 14))


def sha1(*pieces):
    return hashlib.sha1(b''.join(pieces)).digest()


def mschap2(user, password, challenge, peer):
    """Response, authenticator response, start key of the client's and of the server's side."""
    name = user.rsplit('\\', 1)[-1].encode()
    nt_hash = md4(password.encode('utf-16le'))
    hash_hash = md4(nt_hash)
    short = sha1(peer, challenge, name)[:8]
    response = nt_response(short, nt_hash)
    digest = sha1(hash_hash, response, b'Magic server to client signing constant')
    proof = sha1(digest, short, b'Pad to make it do more than one iteration')
    master = sha1(hash_hash, response, b'This is the MPPE Master Key')[:16]
    keys = [sha1(master, bytes(40), b'On the client side, this is the ' + a +
                 b' key; on the server side, it is the ' + b + b' key.', b'\xf2' * 40)[:16]
            for a, b in ((b'send', b'receive'), (b'receive', b'send'))]
    return response, proof, keys[0], keys[1]


def self_check():
    assert md4(b'abc').hex() == 'a448017aaf21d8525fc10ae87aa6729d'  # RFC 1320 A.5
    got = mschap2('User', 'clientPass', bytes.fromhex('5B5D7C7D7B3F2F3E3C2C602132262628'),
                  bytes.fromhex('21402324255E262A28295F2B3A337C7E'))
    assert got[0].hex() == '82309ecd8d708b5ea08faa3981cd83544233114a3d85d6df'
    assert got[1].hex().upper() == '407A5589115FD0D6209F510FE9C04566932CDA56'
    assert got[3].hex().upper() == '8B7CDC149B993A1BA118CB153F56DCCB'  # the server's SendKey
    assert nt_response(bytes.fromhex('102DB5DF085D3041'), md4('MyPw'.encode('utf-16le'))).hex() == \
        '4e9d3c8f9cfd385d5bf4d3246791956ca4c351ab409a3d61'


def mschap():
    self_check()
    r = random.Random(2759)
    cases = [('User', 'clientPass', bytes.fromhex('5B5D7C7D7B3F2F3E3C2C602132262628'),
              bytes.fromhex('21402324255E262A28295F2B3A337C7E'))]
    for user, password in (('alice', 'secret'), ('BIGCO\\johndoe', 'x'), ('', 'pässwörd €'),
                           ('bob', 'key \U0001f511 of \U0010ffff'), ('c', '\ud7ff\ue000\u07ff\u0800'),
                           ('d', 'a' * 255)):
        cases.append((user, password, r.randbytes(16), r.randbytes(16)))
    print('static const struct {\n\tconst char *user, *password, *challenge, *peer;')
    print('\tconst char *response, *proof, *client_send, *server_send;\n} ms_vectors[] = {')
    for user, password, challenge, peer in cases:
        print('\t{ %s, %s,\n\t  %s,\n\t  %s,' % (c_bytes(user.encode()), c_bytes(password.encode()),
                                               c_bytes(challenge), c_bytes(peer)))
        got = mschap2(user, password, challenge, peer)
        print('\t  %s,\n\t  %s,\n\t  %s,\n\t  %s },' % tuple(c_bytes(x) for x in got))
    print('};\n')
    print('static const struct {\n\tconst char *password, *challenge, *response;\n} ms1_vectors[] = {')
    for password, challenge in (('MyPw', bytes.fromhex('102DB5DF085D3041')), ('Ünïcode', bytes(8))):
        got = nt_response(challenge, md4(password.encode('utf-16le')))
        print('\t{ %s,\n\t  %s,\n\t  %s },' % (c_bytes(password.encode()), c_bytes(challenge),
                                            c_bytes(got)))
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
mschap()
ra()
