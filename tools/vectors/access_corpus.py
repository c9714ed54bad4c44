#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write the seed corpora of tests/fuzz/users.c and tests/fuzz/lns.c, the same at every run.

    python3 tools/vectors/access_corpus.py tests/fuzz/corpus

The formats stand at the head of the two files.
"""
import hashlib
import os
import struct
import sys

seeds = {"users": {}, "lns": {}}


# ---- users ----

def login(name, text, user=b"bob", response=b"secret", challenge=b"", method=1):
    head = bytes([method, len(user), len(response), len(challenge)])
    seeds["users"][name] = head + user + response + challenge + text


def users():
    login("plain", b"# all\nbob * secret\n")
    login("exact-server", b"bob * no\nbob other secret\n* adit x\nbob adit secret\n")
    login("any-client", b"* * secret\n")
    login("wrong", b"bob * other\n")
    login("nobody", b"")
    login("quotes", b"'bob' \"*\" \"se\\cret\" \\\n  10.0.0.1 2001:db8::/48\r\n", user=b"bob")
    login("escapes", b"\\142\\x6f\\b\\a\\s\\t\\v\\f\\n\\r\\q * secret\n",
          user=b"bo\b\a \t\v\f\n\rq")
    login("addresses", b"bob * secret 192.0.2.1 2001:db8::/56 10.0.0.0/8 2001:db8:1::/48 * -\n")
    login("only-four", b"bob * secret 192.0.2.1 -\n")
    login("refused", b"bob * secret -\n")
    for i, bad in enumerate((b"bob", b"bob * 'x", b"bob * x\\", b"bob * \\0", b"bob * @x",
                             b"'' * x", b"bob * ''", b"bob * x 1.2.3.4 1.2.3.5",
                             b"bob * x 0.0.0.0", b"bob * x y", b"bob * x 2001:db8::1",
                             b"bob * x" + b"".join(b" 10.%d.0.0/16" % n for n in range(8)),
                             b"bob * " + b"x" * 256, b"a * b\n\nbob * \"x\ny\"")):
        login(f"bad-{i:02d}", bad)
    challenge = bytes(range(16))
    for method, name in ((2, "chap"), (5, "chap-5")):
        good = hashlib.md5(bytes([method]) + b"secret" + challenge).digest()
        login(name, b"bob * secret\n", response=good, challenge=challenge, method=method)
    login("chap-wrong", b"bob * secret\n", response=bytes(16), challenge=challenge, method=2)
    # RFC 2759 9.2, RFC 2433 B.2
    peer, nt = bytes.fromhex("21402324255e262a28295f2b3a337c7e"), bytes.fromhex(
        "82309ecd8d708b5ea08faa3981cd83544233114a3d85d6df")
    for method, name in ((65, "mschapv2"), (67, "eap-mschapv2")):
        login(name, b"User * clientPass\n", user=b"User", response=peer + bytes(8) + nt + b"\0",
              challenge=bytes.fromhex("5b5d7c7d7b3f2f3e3c2c602132262628"), method=method)
    login("mschapv1", b"bob * MyPw\n", method=64, challenge=bytes.fromhex("102db5df085d3041"),
          response=bytes(24) + bytes.fromhex("4e9d3c8f9cfd385d5bf4d3246791956ca4c351ab409a3d61") + b"\1")
    login("eap-md5", b"bob * secret\n", challenge=challenge, method=66,
          response=hashlib.md5(bytes([66]) + b"secret" + challenge).digest())
    login("odd", b"a * pa\\ss *\nb * pass #word\n")
    login("no-method", b"bob * secret\n", method=0)


# ---- lns ----

PAP, NO_LOGIN, REPLACE, ONE, INTERIM, LIMITS, FROM_PATH, TWO = (1 << n for n in range(8))
HOLD_AUTH, REFUSE, HOLD_DONE, FAILS, HOLD_LINES, NO_NAME, UNKNOWN, FIXED = (1 << n for n in range(8))
LNS, CLIENT = 0, 16
CUT = 8

RUN = bytes([15])
TRAFFIC = bytes([13])
ANSWER = bytes([12])


def time(n):
    return bytes([1, n])


def mode(end, bits):
    return bytes([7 + end, bits])


def owner(end, what):
    return bytes([6 + end, what])


def conf(end, variant):
    return bytes([8 + end, variant])


def restart(end, broken=0):
    return bytes([9 + end, broken])


def amnesia(end):
    return bytes([10 + end])


def raw(end, data):
    return bytes([5 + end, len(data)]) + data


def frame(end, ppp, data):
    return bytes([11 + end, len(data) + 1, ppp]) + data


def look(end):
    return bytes([14 + end])


CONNECT, DISCONNECT, TERMINATE, TERMINATE_TUNNEL, SHUTDOWN, STRAY = range(6)
UP = RUN + time(2) + time(3)  # dial, resolve, negotiate, router advertisement


def scenario(name, options, *parts):
    seeds["lns"][name] = bytes([options]) + b"".join(parts)


def lives():
    for name, options in (("chap", 0), ("pap", PAP), ("no-login", NO_LOGIN),
                          ("from-path", FROM_PATH), ("two", TWO)):
        scenario(name, options, UP, look(LNS), look(CLIENT), time(6), TRAFFIC,
                 owner(CLIENT, DISCONNECT), time(3), owner(CLIENT, CONNECT), UP,
                 owner(LNS, TERMINATE), time(3), UP, owner(LNS, TERMINATE_TUNNEL), time(4), UP,
                 owner(CLIENT, TERMINATE), time(3), owner(LNS, STRAY), owner(LNS, STRAY | 16),
                 owner(LNS, STRAY | 48))
    scenario("interim", INTERIM, UP, time(4), TRAFFIC, time(4), mode(LNS, UNKNOWN), time(5),
             mode(LNS, HOLD_LINES), time(5), restart(LNS), time(3), mode(LNS, 0), time(2))
    scenario("limits", LIMITS, UP, TRAFFIC, time(4), TRAFFIC, time(4), mode(LNS, UNKNOWN), time(5),
             mode(LNS, 0), time(6), time(6))
    scenario("limits-no-login", LIMITS | NO_LOGIN | INTERIM, UP, TRAFFIC, bytes([13 + CLIENT]),
             time(4), time(6), time(6))
    scenario("fixed", TWO | REPLACE, mode(LNS, FIXED), UP, time(4), time(4), time(6))
    scenario("fixed-refused", TWO, mode(LNS, FIXED), UP, time(4), time(4))
    scenario("next-address", 0, mode(CLIENT, FIXED), time(6), UP)
    scenario("one-user", TWO | ONE, UP, time(4), owner(CLIENT, DISCONNECT), time(4))
    scenario("replace", TWO | ONE | REPLACE, UP, mode(LNS, HOLD_DONE), time(4), time(3),
             mode(LNS, 0), time(4))
    scenario("heir-refused", TWO | ONE | REPLACE, UP, mode(LNS, HOLD_DONE), time(3), time(3), time(3),
             time(4), time(4), mode(LNS, 0), time(4))
    scenario("again", 0, UP, time(6), time(6), mode(LNS, REFUSE), time(6), time(6))


def refusals():
    scenario("wrong-password", 0, mode(LNS, REFUSE), UP, time(4), mode(LNS, 0), time(4))
    scenario("no-answer", 0, mode(LNS, HOLD_AUTH), UP, time(4), time(4), ANSWER, time(4))
    scenario("late-answer", 0, mode(LNS, HOLD_AUTH), UP, ANSWER, time(3), look(LNS))
    scenario("no-name", 0, mode(CLIENT, NO_NAME), conf(CLIENT, 2), time(4), mode(CLIENT, 0), time(4))
    scenario("few-attempts", 0, conf(CLIENT, 12), mode(CLIENT, NO_NAME), owner(CLIENT, CONNECT),
             time(5), look(CLIENT))
    scenario("plane-fails", 0, mode(LNS, FAILS), UP, conf(LNS, 1), time(4), mode(LNS, 0), time(4))
    scenario("client-plane-fails", 0, mode(CLIENT, FAILS), UP, time(4), mode(CLIENT, 0), time(4))
    scenario("plane-slow", 0, mode(LNS, HOLD_DONE), UP, look(LNS), time(3), mode(LNS, 0), time(3))
    scenario("cut", 0, UP, time(7 | CUT), time(7 | CUT), time(5))
    scenario("nobody-there", 0, time(6 | CUT), time(6 | CUT), time(4))
    scenario("small-limits", TWO, conf(LNS, 8), UP, time(4), time(4))
    scenario("pool-full", TWO | NO_LOGIN, conf(LNS, 0), UP, time(4))
    scenario("shutdown-lns", 0, owner(LNS, SHUTDOWN), UP, owner(LNS, SHUTDOWN), time(4),
             owner(CLIENT, SHUTDOWN), owner(CLIENT, CONNECT))
    scenario("shutdown-up", 0, UP, owner(LNS, SHUTDOWN), time(3), time(4), look(LNS))


def configurations():
    scenario("peer-gone", 0, UP, conf(LNS, 2), time(3), look(LNS), time(4), conf(LNS, 5), time(4))
    scenario("dial-gone", 0, UP, conf(CLIENT, 1), time(3), conf(CLIENT, 0), time(3))
    scenario("dial-other", FROM_PATH, UP, conf(CLIENT, 2), time(1), conf(CLIENT, 0), time(4),
             conf(CLIENT, 0), time(3))
    scenario("dial-by-hand", 0, conf(CLIENT, 4), time(3), owner(CLIENT, CONNECT), UP,
             owner(CLIENT, DISCONNECT), owner(CLIENT, CONNECT), time(4))
    scenario("peer-order", 0, conf(LNS, 4), UP, conf(LNS, 0), time(4))
    scenario("conf-restart", 0, UP, conf(CLIENT, 2), restart(CLIENT), time(4), conf(LNS, 2),
             restart(LNS), time(4))


def restarts():
    for end, who in ((LNS, "lns"), (CLIENT, "client")):
        for options, kind in ((0, ""), (NO_LOGIN | INTERIM | LIMITS, "-open"), (FROM_PATH, "-path")):
            scenario(f"restart-{who}{kind}", options, UP, restart(end), time(4), look(end), time(5),
                     owner(end, TERMINATE), restart(end), time(4))
        scenario(f"restart-{who}-early", 0, *(bytes([0]) + restart(end) for _ in range(30)), time(5))
        scenario(f"amnesia-{who}", 0, UP, amnesia(end), time(6), time(6))
        scenario(f"stopped-{who}", TWO, UP, owner(CLIENT, DISCONNECT), time(4), restart(end), time(4),
                 conf(CLIENT, 2), time(2))
        for n in range(1, 60):
            if n % 3 == 0:
                scenario(f"broken-{who}-{n:02d}", INTERIM, mode(end, HOLD_LINES), UP, mode(LNS, FIXED),
                         time(4), restart(end, n * 4 + 1), time(4))
        scenario(f"restart-{who}-closing", 0, UP, mode(end, HOLD_DONE), owner(end, TERMINATE), RUN,
                 restart(end), mode(end, 0), time(4))
        scenario(f"restart-{who}-fixed", 0, mode(LNS, FIXED), UP, restart(end), time(6), time(6))


def packets():
    def avp(kind, value):
        return struct.pack("!HHH", 0x8000 | 6 + len(value), 0, kind) + value

    body = avp(0, b"\0\1") + avp(2, b"\1\0") + avp(3, bytes([0, 0, 0, 3]))
    body += avp(7, b"client") + avp(9, b"\0\xff") + avp(10, b"\0\x08")
    sccrq = struct.pack("!HHHHHH", 0xc802, 12 + len(body), 0, 0, 0, 0) + body
    scenario("raw", 0, raw(LNS, sccrq), raw(LNS, b""), raw(LNS, b"\xc8\x02\x00\x0c" + bytes(8)),
             raw(CLIENT, bytes(12)), UP)
    scenario("frames", 0, UP, frame(LNS, 1, bytes.fromhex("c0210901000800000000")),
             frame(LNS, 1, bytes.fromhex("80fd01010004")), frame(LNS, 0, bytes(60)),
             frame(CLIENT, 1, bytes.fromhex("c02105010004")), time(4))
    scenario("ipv6cp-down", 0, UP, frame(LNS, 1, bytes.fromhex("805705010004")), time(3),
             frame(CLIENT, 1, bytes.fromhex("802105010004")), time(4))
    scenario("lcp-again", 0, UP, frame(LNS, 1, bytes.fromhex("c0210107000a0506deadbeef")), time(4),
             time(4))
    for n in range(12):
        scenario(f"damage-{n:02d}", n * 7 % 128,
                 *(bytes([0]) * (n % 4 + 1) + bytes([2 + (n + k) % 3, (k * 13 + n) & 255, 1 << n % 8])
                   for k in range(14)), time(4), UP, time(5))


if __name__ == "__main__":
    for make in (users, lives, refusals, configurations, restarts, packets):
        make()
    for target, files in seeds.items():
        where = os.path.join(sys.argv[1], target)
        os.makedirs(where, exist_ok=True)
        for name, data in files.items():
            with open(os.path.join(where, name), "wb") as f:
                f.write(data)
