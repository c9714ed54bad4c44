#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Tell what happens in this network namespace, as it happens: L2TP control messages on an
interface, tunnels and sessions that come and go in the kernel. For tests/vm/demo.sh.

usage: watch.py INTERFACE
"""

import select
import socket
import struct
import sys
import time

from kernel import (CONN_ID, PEER_CONN_ID, PEER_SESSION_ID, SESSION_GET, SESSION_ID, TUNNEL_GET,
                    L2tp, Route, number)

MESSAGES = {1: "SCCRQ", 2: "SCCRP", 3: "SCCCN", 4: "StopCCN", 6: "HELLO", 7: "OCRQ", 8: "OCRP",
            9: "OCCN", 10: "ICRQ", 11: "ICRP", 12: "ICCN", 14: "CDN", 15: "WEN", 16: "SLI"}
PPP = {0xC021: "LCP", 0xC023: "PAP", 0xC223: "CHAP", 0xC227: "EAP", 0x8021: "IPCP",
       0x8057: "IPV6CP", 0x80FD: "CCP"}


def say(step, text):
    now = time.time()
    print(f"  {time.strftime('%H:%M:%S', time.localtime(now))}.{int(now % 1 * 1000):03}  "
          f"{step:8} {text}", flush=True)


def packet(data, seen):
    """One Ethernet frame with IPv4, UDP and L2TPv2 in it, when it is that."""
    if len(data) < 42 or data[12:14] != b"\x08\x00" or data[23] != 17:
        return
    udp = 14 + (data[14] & 15) * 4
    way = f"{socket.inet_ntoa(data[26:30])} -> {socket.inet_ntoa(data[30:34])}"
    l2tp = data[udp + 8:]
    flags, = struct.unpack_from("!H", l2tp)
    if 1701 not in struct.unpack_from("!HH", data, udp) or flags & 15 != 2:
        return
    if flags & 0x8000:
        if len(l2tp) < 20:
            return  # an acknowledgement alone
        kind, = struct.unpack_from("!H", l2tp, 18)
        say("control", f"{way}  {MESSAGES.get(kind, kind)}")
        return
    at = 6 + (2 if flags & 0x4000 else 0) + (4 if flags & 0x0800 else 0)
    at += 2 if l2tp[at:at + 2] == b"\xff\x03" else 0
    protocol = PPP.get(struct.unpack_from("!H", l2tp, at)[0])
    if protocol and protocol not in seen:
        seen.add(protocol)
        say("ppp", f"{way}  first {protocol} frame")


def kernel_state(l2tp, route):
    out = {}
    for t in l2tp.call(TUNNEL_GET, 0x300):
        out[f"tunnel {number(t[CONN_ID])}, there {number(t[PEER_CONN_ID])}"] = "tunnel"
    for s in l2tp.call(SESSION_GET, 0x300):
        if number(s[SESSION_ID]):
            out[f"session {number(s[SESSION_ID])} in tunnel {number(s[CONN_ID])}, there "
                f"{number(s[PEER_SESSION_ID])}"] = "session"
    for name in route.links():
        out[f"interface {name}"] = "link"
    return out


def main():
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    wire.bind((sys.argv[1], 3))
    l2tp, route = L2tp(), Route()
    seen, before = set(), kernel_state(l2tp, route)
    print("  watching", flush=True)
    while True:
        while select.select([wire], [], [], 0.02)[0]:
            packet(wire.recv(65536), seen)
        now = kernel_state(l2tp, route)
        for what in now.keys() - before.keys():
            say("kernel", f"there is {what}")
        for what in before.keys() - now.keys():
            say("kernel", f"gone is {what}")
        before = now


if __name__ == "__main__":
    main()
