# SPDX-License-Identifier: MIT
"""An L2TPv2 client that shares no code with adit: headers and PPP by scapy, AVPs by struct.

It runs inside a namespace as a program, reads one command a line and answers each with one line of
JSON, so a test can drive it step by step:

    open                         SCCRQ..SCCCN; {"ok", "tunnel", "remote_tunnel"}
    call                         ICRQ..ICCN; {"ok", "session", "remote_session"}
    ppp USER PASSWORD            LCP, CHAP or PAP, IPCP; {"ok", "address", "auth"}
    echo HOST [SOURCE]           an ICMP echo request through the session; {"answered"}
    raw HEX                      send a UDP payload, return what comes back within 0.5 s
    nochecksum                   from here on UDP checksums are 0
    drain SECONDS                answer control messages (acks) for that long; types seen
    hello                        HELLO; {"acked"}
    hangup                       CDN; {"acked"}
    stop                         StopCCN; {"acked"}
    restart                      forget everything, same port: as if the host had rebooted

usage: scapy_peer.py LOCAL REMOTE [--secret TEXT] [--port N] [--host-name TEXT]
"""

import argparse
import hashlib
import json
import os
import socket
import struct
import sys
import time

from scapy.config import conf

conf.verb = 0
from scapy.layers.inet import ICMP, IP  # noqa: E402
from scapy.layers.l2tp import L2TP  # noqa: E402
from scapy.layers.ppp import (PPP, PPP_CHAP, PPP_CHAP_ChallengeResponse, PPP_IPCP,  # noqa: E402
                              PPP_IPCP_Option_IPAddress, PPP_LCP, PPP_LCP_Configure,
                              PPP_LCP_Magic_Number_Option, PPP_PAP_Request)

SCCRQ, SCCRP, SCCCN, STOPCCN, HELLO = 1, 2, 3, 4, 6
ICRQ, ICRP, ICCN, CDN = 10, 11, 12, 14
LCP, PAP, CHAP, IPCP, IPV6CP = 0xc021, 0xc023, 0xc223, 0x8021, 0x8057


def avp(number, value, mandatory=True):
    return struct.pack("!HHH", (0x8000 if mandatory else 0) | 6 + len(value), 0, number) + value


def u16(n):
    return struct.pack("!H", n)


def u32(n):
    return struct.pack("!I", n)


def avps(payload):
    found = {}
    while len(payload) >= 6:
        flags, vendor, number = struct.unpack("!HHH", payload[:6])
        length = flags & 0x3ff
        if length < 6 or length > len(payload):
            raise ValueError("malformed AVP in a message of the other side")
        if vendor == 0:
            found[number] = payload[6:length]
        payload = payload[length:]
    if payload:
        raise ValueError("octets left over after the last AVP")
    return found


class Peer:
    def __init__(self, args):
        self.args = args
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((args.local, args.port))
        self.sock.connect((args.remote, 1701))
        self.forget()

    def forget(self):
        self.tid = int.from_bytes(os.urandom(2), "big") or 1
        self.sid = 0
        self.remote_tid = self.remote_sid = 0
        self.ns = self.nr = 0
        self.ppp_id = 0
        self.address = None
        self.inbox = []

    # --- L2TP

    def send_control(self, kind, body, sid=0, ns=None):
        payload = avp(0, u16(kind)) + body if kind is not None else b""
        head = L2TP(hdr="control+length+sequence", version=2, len=12 + len(payload),
                    tunnel_id=self.remote_tid, session_id=sid,
                    ns=self.ns if ns is None else ns, nr=self.nr)
        self.sock.send(bytes(head)[:12] + payload)

    def receive(self, seconds):
        """One datagram: ("control", type, avps, header) or ("data", bytes), None after the time."""
        if self.inbox:
            return self.inbox.pop(0)
        self.sock.settimeout(max(seconds, 0.001))
        try:
            data = self.sock.recv(4096)
        except (TimeoutError, ConnectionRefusedError):
            return None
        head = L2TP(data)
        if not data[0] & 0x80:
            offset = 6 + (2 if data[0] & 0x40 else 0) + (4 if data[0] & 0x08 else 0)
            return ("data", data[offset:])
        if len(data) == 12:
            return ("control", 0, {}, head)
        found = avps(data[12:])
        if head.ns == self.nr:
            self.nr = (self.nr + 1) & 0xffff
        elif (self.nr - head.ns) & 0xffff < 0x8000:
            self.send_control(None, b"")  # a repeat: acknowledge again
            return self.receive(seconds)
        return ("control", struct.unpack("!H", found[0])[0], found, head)

    def transact(self, kind, body, want, sid=0, seconds=60.0):
        """Send until a message of type `want` (None: an acknowledgement) comes; its AVPs, or None."""
        ns, self.ns = self.ns, (self.ns + 1) & 0xffff
        end, again = time.monotonic() + seconds, 0.0
        kept = []
        answer = None
        while answer is None and time.monotonic() < end:
            if time.monotonic() >= again:
                self.send_control(kind, body, sid, ns)
                again = time.monotonic() + 1.0
            got = self.receive(min(again, end) - time.monotonic())
            if got is None:
                continue
            if got[0] == "data":
                kept.append(got)
            elif want is None and (got[3].nr - ns - 1) & 0xffff < 0x8000:
                if got[1]:
                    kept.append(got)
                answer = {}
            elif want is not None and got[1] == want:
                answer = got[2]
            elif got[1] in (STOPCCN, CDN):
                answer = {"refused": got[1], **got[2]}
        self.inbox += kept
        return answer

    def auth(self, number, challenge):
        return hashlib.md5(bytes([number]) + self.args.secret.encode() + challenge).digest()

    def open(self):
        mine = os.urandom(16)
        body = (avp(2, u16(0x0100)) + avp(3, u32(3)) + avp(7, self.args.host_name.encode())
                + avp(9, u16(self.tid)) + avp(10, u16(8)))
        if self.args.secret:
            body += avp(11, mine)
        got = self.transact(SCCRQ, body, SCCRP)
        if not got or "refused" in got:
            return {"ok": False, "result": list(got[1]) if got and 1 in got else None}
        self.remote_tid = struct.unpack("!H", got[9])[0]
        if self.args.secret and got.get(13) != self.auth(SCCRP, mine):
            return {"ok": False, "why": "the LNS does not know the secret"}
        answer = avp(13, self.auth(SCCCN, got[11])) if 11 in got else b""
        ok = self.transact(SCCCN, answer, None)
        return {"ok": ok == {}, "tunnel": self.tid, "remote_tunnel": self.remote_tid}

    def call(self):
        self.sid = int.from_bytes(os.urandom(2), "big") or 1
        got = self.transact(ICRQ, avp(14, u16(self.sid)) + avp(15, u32(1)) + avp(22, b"5551234"),
                            ICRP)
        if not got or "refused" in got:
            return {"ok": False, "result": list(got[1]) if got and 1 in got else None}
        self.remote_sid = struct.unpack("!H", got[14])[0]
        ok = self.transact(ICCN, avp(24, u32(1000000)) + avp(19, u32(1)), None,
                           sid=self.remote_sid)
        return {"ok": ok == {}, "session": self.sid, "remote_session": self.remote_sid}

    # --- PPP

    def send_frame(self, frame):
        head = L2TP(hdr=0, version=2, tunnel_id=self.remote_tid, session_id=self.remote_sid)
        self.sock.send(bytes(head)[:6] + frame)

    def frames(self, seconds):
        """PPP frames (protocol, bytes after it) until the time is over; control is answered."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            got = self.receive(left)
            if got is None:
                continue
            if got[0] == "control":
                if got[1]:
                    self.send_control(None, b"")
                if got[1] in (CDN, STOPCCN):
                    return
                continue
            frame = got[1][2:] if got[1][:2] == b"\xff\x03" else got[1]
            yield struct.unpack("!H", frame[:2])[0], frame[2:]

    def ppp(self, user, password):
        magic = int.from_bytes(os.urandom(4), "big")
        state = {"lcp_in": False, "lcp_out": False, "auth": None, "sent_auth": False,
                 "authed": False, "ipcp_in": False, "ipcp_out": False}
        wish = "0.0.0.0"

        def configure(proto, ident):
            if proto == LCP:
                packet = PPP() / PPP_LCP_Configure(
                    code=1, id=ident, options=[PPP_LCP_Magic_Number_Option(magic_number=magic)])
            else:
                packet = PPP() / PPP_IPCP(code=1, id=ident,
                                          options=[PPP_IPCP_Option_IPAddress(data=wish)])
            self.send_frame(b"\xff\x03" + bytes(packet)[-len(bytes(packet)):].removeprefix(
                b"\xff\x03"))

        configure(LCP, 1)
        again = time.monotonic() + 1
        for proto, data in self.frames(60):
            code, ident = data[0], data[1]
            if proto == LCP:
                if code == 1:
                    for option in PPP_LCP(data).options:
                        if option.type == 3:
                            state["auth"] = option.auth_protocol
                    self.send_frame(b"\xff\x03\xc0\x21\x02" + data[1:])
                    state["lcp_in"] = True
                elif code == 2:
                    state["lcp_out"] = True
                elif code == 9:
                    self.send_frame(b"\xff\x03\xc0\x21\x0a" + data[1:4] + u32(magic) + data[8:])
                elif code == 5:
                    self.send_frame(b"\xff\x03\xc0\x21\x06" + data[1:2] + u16(4))
                    return {"ok": False, "why": "terminated", "auth": state["auth"]}
            elif proto == CHAP and code == 1:
                challenge = PPP_CHAP(data).value
                response = hashlib.md5(bytes([ident]) + password.encode() + challenge).digest()
                self.send_frame(bytes(PPP() / PPP_CHAP_ChallengeResponse(
                    code=2, id=ident, value=response, optional_name=user.encode())))
            elif proto in (CHAP, PAP) and code in (2, 3, 4):
                state["authed"] = (proto, code) in ((CHAP, 3), (PAP, 2))
                if not state["authed"]:
                    continue  # the LNS ends the link
                configure(IPCP, 1)
                again = time.monotonic() + 1
            elif proto == IPCP:
                if code == 1:
                    self.send_frame(b"\xff\x03\x80\x21\x02" + data[1:])
                    state["ipcp_in"] = True
                elif code == 3:
                    wish = socket.inet_ntoa(data[6:10])
                    configure(IPCP, ident + 1)
                elif code == 2:
                    state["ipcp_out"] = True
            elif proto == IPV6CP:
                self.send_frame(b"\xff\x03\xc0\x21\x08" + bytes([7]) + u16(4 + 2 + len(data))
                                + u16(proto) + data)  # Protocol-Reject
            if state["lcp_in"] and state["lcp_out"] and state["auth"] == PAP \
                    and not state["sent_auth"]:
                state["sent_auth"] = True
                self.send_frame(bytes(PPP() / PPP_PAP_Request(
                    id=1, username=user.encode(), password=password.encode())))
            if state["ipcp_in"] and state["ipcp_out"]:
                self.address = wish
                return {"ok": True, "address": wish, "auth": state["auth"]}
            if time.monotonic() > again:
                configure(IPCP if state["authed"] else LCP, 2)
                again = time.monotonic() + 1
        return {"ok": False, "why": f"stuck: {state}", "auth": state["auth"]}

    def echo(self, host, source=None):
        packet = IP(src=source or self.address, dst=host) / ICMP(id=7, seq=1) / b"adit"
        self.send_frame(b"\xff\x03\x00\x21" + bytes(packet))
        # a machine may be slow; from an address that is not ours there is no answer to wait for
        for proto, data in self.frames(1.5 if source else 60):
            if proto == LCP and data[0] == 9:
                self.send_frame(b"\xff\x03\xc0\x21\x0a" + data[1:])
            if proto == 0x21:
                got = IP(data)
                if ICMP in got and got[ICMP].type == 0 and got.src == host:
                    return {"answered": True, "length_ok": got.len == len(data)}
        return {"answered": False}

    def raw(self, datagram, wanted=""):
        """Send this, and tell what comes until half a second was quiet; first of all one of the message
        types `wanted` ("11,14"), or "data", however long that takes."""
        wanted = wanted.split(",") if wanted else []
        self.sock.send(bytes.fromhex(datagram))
        got = []
        self.sock.settimeout(60 if wanted else 0.5)
        try:
            while True:
                answer = self.sock.recv(4096)
                got.append(answer.hex())
                what = str(int.from_bytes(answer[18:20], "big")) if answer[0] & 0x80 else "data"
                if what in wanted:
                    wanted = []
                    self.sock.settimeout(0.5)
        except (TimeoutError, ConnectionRefusedError):
            return got

    def command(self, words):
        name, *rest = words
        if name in ("open", "call"):
            return getattr(self, name)()
        if name in ("ppp", "echo"):
            return getattr(self, name)(*rest)
        if name == "hello":
            return {"acked": self.transact(HELLO, b"", None) == {}}
        if name == "hangup":
            return {"acked": self.transact(
                CDN, avp(1, u16(3)) + avp(14, u16(self.sid)), None, sid=self.remote_sid) == {}}
        if name == "stop":
            return {"acked": self.transact(STOPCCN, avp(9, u16(self.tid)) + avp(1, u16(1)),
                                           None) == {}}
        if name == "restart":
            self.forget()
            return {"ok": True}
        if name == "nochecksum":
            self.sock.setsockopt(socket.SOL_SOCKET, 11, 1)  # SO_NO_CHECK
            return {"ok": True}
        if name == "raw":
            return {"answers": self.raw(*rest)}
        if name == "drain":
            return {"frames": [proto for proto, _ in self.frames(float(rest[0]))]}
        raise SystemExit(f"unknown command {name}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("local")
    parser.add_argument("remote")
    parser.add_argument("--secret", default="")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--host-name", default="scapy")
    peer = Peer(parser.parse_args())
    for line in sys.stdin:
        print(json.dumps(peer.command(line.split())), flush=True)


if __name__ == "__main__":
    main()
