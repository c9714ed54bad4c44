# SPDX-License-Identifier: MIT
"""A RADIUS server for tests (RFC 2865): `radius.py SECRET USER PASSWORD [PREFIX6]` on 127.0.0.1:1812.
Checks PAP and CHAP for one user; everybody else is rejected. The address comes from the NAS's pool."""

import hashlib
import hmac
import ipaddress
import socket
import struct
import sys

USER_NAME, USER_PASSWORD, CHAP_PASSWORD = 1, 2, 3
SERVICE_TYPE, FRAMED_PROTOCOL = 6, 7
CHAP_CHALLENGE = 60
FRAMED_IPV6_ROUTE = 99
REQUEST, ACCEPT, REJECT, ACCOUNTING, ACCOUNTING_RESPONSE = 1, 2, 3, 4, 5


def attributes(data):
    found = {}
    while len(data) >= 2 and 2 <= data[1] <= len(data):
        found.setdefault(data[0], data[2:data[1]])
        data = data[data[1]:]
    return found


def pap(secret, authenticator, hidden):
    plain, last = b"", authenticator
    for i in range(0, len(hidden), 16):
        pad = hashlib.md5(secret + last).digest()
        last = hidden[i:i + 16]
        plain += bytes(a ^ b for a, b in zip(last, pad))
    return plain.rstrip(b"\0")


def allowed(request, authenticator, secret, user, password):
    if request.get(USER_NAME) != user:
        return False
    if CHAP_PASSWORD in request:
        chap = request[CHAP_PASSWORD]
        challenge = request.get(CHAP_CHALLENGE, authenticator)
        wanted = hashlib.md5(chap[:1] + password + challenge).digest()
        return hmac.compare_digest(chap[1:], wanted)
    return pap(secret, authenticator, request.get(USER_PASSWORD, b"")) == password


def serve(secret, user, password, prefix6):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind(("127.0.0.1", 1812))
    print("ready", flush=True)
    extra = struct.pack("!BBI", SERVICE_TYPE, 6, 2) + struct.pack("!BBI", FRAMED_PROTOCOL, 6, 1)
    if prefix6:
        text = str(ipaddress.ip_network(prefix6)).encode()
        extra += struct.pack("!BB", FRAMED_IPV6_ROUTE, 2 + len(text)) + text
    while True:
        data, peer = sock.recvfrom(4096)
        code, number, length = struct.unpack("!BBH", data[:4])
        authenticator = data[4:20]
        if code == REQUEST:
            ok = allowed(attributes(data[20:length]), authenticator, secret, user, password)
            code, body = (ACCEPT, extra) if ok else (REJECT, b"")
        elif code == ACCOUNTING:
            code, body = ACCOUNTING_RESPONSE, b""
        else:
            continue
        head = struct.pack("!BBH", code, number, 20 + len(body))
        digest = hashlib.md5(head + authenticator + body + secret).digest()
        sock.sendto(head + digest + body, peer)


if __name__ == "__main__":
    serve(sys.argv[1].encode(), sys.argv[2].encode(), sys.argv[3].encode(),
          sys.argv[4] if len(sys.argv) > 4 else None)
