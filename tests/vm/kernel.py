# SPDX-License-Identifier: MIT
"""The kernel's own interfaces, one call each: generic netlink "l2tp", PPPoX sockets, /dev/ppp,
rtnetlink. For test_contract.py, which states what these calls do; nothing here is adit's.
"""

import ctypes
import errno
import fcntl
import os
import select
import socket
import struct
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)

AF_PPPOX, PX_PROTO_OE, PX_PROTO_OL2TP = 24, 0, 1
IPPROTO_L2TP = 115
CLONE_NEWNET = 0x40000000

# linux/l2tp.h
TUNNEL_CREATE, TUNNEL_DELETE, TUNNEL_MODIFY, TUNNEL_GET = 1, 2, 3, 4
SESSION_CREATE, SESSION_DELETE, SESSION_MODIFY, SESSION_GET = 5, 6, 7, 8
(PW_TYPE, ENCAP_TYPE, OFFSET, DATA_SEQ, L2SPEC_TYPE, L2SPEC_LEN, PROTO_VERSION, IFNAME, CONN_ID,
 PEER_CONN_ID, SESSION_ID, PEER_SESSION_ID, UDP_CSUM, VLAN_ID, COOKIE, PEER_COOKIE, DEBUG, RECV_SEQ,
 SEND_SEQ, LNS_MODE, USING_IPSEC, RECV_TIMEOUT, FD, IP_SADDR, IP_DADDR, UDP_SPORT, UDP_DPORT, MTU,
 MRU, STATS) = range(1, 31)
RX_PACKETS, RX_COOKIE_DISCARDS = 4, 10
SIZES = {"B": (PROTO_VERSION, L2SPEC_TYPE, RECV_SEQ, SEND_SEQ, LNS_MODE, UDP_CSUM),
         "H": (PW_TYPE, ENCAP_TYPE, UDP_SPORT, UDP_DPORT),
         "I": (CONN_ID, PEER_CONN_ID, SESSION_ID, PEER_SESSION_ID, FD, DEBUG),
         "Q": (RECV_TIMEOUT,)}
FORMAT = {name: "=" + f for f, names in SIZES.items() for name in names}
UDP, IP = 0, 1
VLAN, ETH, PPP = 4, 5, 7

# linux/ppp-ioctl.h
UNBRIDGE, BRIDGE, GCHAN, ATTCHAN = 0x7434, 0x40047435, 0x80047437, 0x40047438
DISCONN, CONNECT, ATTACH, NEWUNIT = 0x7439, 0x4004743A, 0x4004743D, 0xC004743E
SNPMODE, SCOMPRESS, GUNIT = 0x4008744B, 0x4010744D, 0x80047456
NPMODE_PASS, NPMODE_DROP = 0, 1

# linux/rtnetlink.h, if_link.h
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_NEWADDR, RTM_NEWROUTE = 16, 17, 18, 20, 24
IFLA_IFNAME, IFLA_MTU, IFLA_TXQLEN, IFLA_LINKINFO = 3, 4, 13, 18
IFLA_GROUP, IFLA_NET_NS_FD = 27, 28
IFF_UP = 1

LCP, IPCP, IPV6CP, CCP, CHAP, IP4 = 0xC021, 0x8021, 0x8057, 0x80FD, 0xC223, 0x0021
ECHO = b"\x09\x01\x00\x08\x01\x02\x03\x04"


def attr(kind, value):
    if not isinstance(value, bytes):
        value = struct.pack(FORMAT.get(kind, "=I"), value)
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + b"\0" * (-length % 4)


def attrs(data):
    out = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        out[kind & 0x3FFF] = data[4:length]
        data = data[(length + 3) & ~3:]
    return out


def number(value):
    return int.from_bytes(value, sys.byteorder)


class Refused(OSError):
    """An error the kernel answered with."""


class Netlink:
    def __init__(self, protocol):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        self.socket.bind((0, 0))
        self.seq = 0

    def close(self):
        self.socket.close()

    def request(self, kind, body, flags=0):
        """Send with NLM_F_REQUEST and NLM_F_ACK; the messages that came before the ack."""
        self.seq += 1
        self.socket.send(struct.pack("=IHHII", 16 + len(body), kind, flags | 5, self.seq, 0) + body)
        out = []
        while True:
            data = self.socket.recv(65536)
            while len(data) >= 16:
                length, kind, _, seq, _ = struct.unpack_from("=IHHII", data)
                body, data = data[16:length], data[(length + 3) & ~3:]
                if seq != self.seq:
                    continue
                if kind == 3:  # NLMSG_DONE
                    return out
                if kind == 2:  # NLMSG_ERROR
                    error = -struct.unpack_from("=i", body)[0]
                    if error:
                        raise Refused(error, os.strerror(error))
                    return out
                out.append((kind, body))


class L2tp(Netlink):
    """Generic netlink family "l2tp"."""

    def __init__(self):
        super().__init__(16)
        ctrl = struct.pack("=BBH", 3, 1, 0) + attr(2, b"l2tp\0")
        (_, body), = self.request(0x10, ctrl)
        found = attrs(body[4:])
        self.family = number(found[1])
        group = attrs(attrs(found[7])[1])
        assert group[1] == b"l2tp\0"
        self.group = number(group[2])

    def call(self, cmd, flags=0, **values):
        body = struct.pack("=BBH", cmd, 1, 0)
        for name, value in values.items():
            body += attr(globals()[name.upper()], value)
        return [attrs(m[4:]) for _, m in self.request(self.family, body, flags)]

    def tunnel(self, fd, own=1, peer=1, version=2, encap=UDP, **more):
        self.call(TUNNEL_CREATE, conn_id=own, peer_conn_id=peer, proto_version=version,
                  encap_type=encap, fd=fd, **more)

    def session(self, tunnel=1, own=1, peer=1, kind=PPP, **more):
        self.call(SESSION_CREATE, conn_id=tunnel, session_id=own, peer_session_id=peer,
                  pw_type=kind, **more)

    def tunnels(self):
        return sorted(number(t[CONN_ID]) for t in self.call(TUNNEL_GET, 0x300))

    def get_session(self, tunnel=1, own=1):
        return self.call(SESSION_GET, conn_id=tunnel, session_id=own)[0]

    def has_tunnel(self, own):
        return there(self.call, TUNNEL_GET, conn_id=own)

    def has_session(self, tunnel, own):
        return there(self.call, SESSION_GET, conn_id=tunnel, session_id=own)


def there(call, *args, **kw):
    try:
        call(*args, **kw)
        return True
    except Refused as e:
        if e.errno != errno.ENODEV:
            raise
        return False


def until(check, seconds=10.0):
    """Poll: what the kernel does on a work queue takes a moment."""
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, f"never came true: {check}"
        time.sleep(0.01)


class Netns:
    """This thread in a network namespace of its own with lo up, until closed."""

    def __init__(self):
        self.before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        if libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        rt = Netlink(0)
        rt.request(RTM_NEWLINK, struct.pack("=BxHiII", 0, 0, 1, IFF_UP, IFF_UP))
        rt.close()

    def enter(self):
        if libc.setns(self.fd, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")

    def leave(self):
        libc.setns(self.before, CLONE_NEWNET)

    def close(self):
        self.leave()
        os.close(self.before)
        os.close(self.fd)


# --- sockets

def udp(local, remote=None, port=1701, reuse=True):
    """(local, remote): addresses of 127/8 or v6; connected when remote is given."""
    s = socket.socket(socket.AF_INET6 if ":" in local else socket.AF_INET, socket.SOCK_DGRAM)
    if reuse:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((local, port))
    if remote:
        s.connect((remote, port))
    s.settimeout(10)
    return s


def l2tpip(local, own, remote=None, peer=0):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, IPPROTO_L2TP)
    connect(s, sockaddr_l2tpip(local, own), libc.bind)
    if remote:
        connect(s, sockaddr_l2tpip(remote, peer))
    s.settimeout(10)
    return s


def sockaddr_l2tpip(address, conn):
    return struct.pack("=HH4sI4x", socket.AF_INET, 0, socket.inet_aton(address), conn)


def connect(s, sockaddr, call=None):
    if (call or libc.connect)(s.fileno(), sockaddr, len(sockaddr)):
        error = ctypes.get_errno()
        raise Refused(error, os.strerror(error))


def sockaddr_pppol2tp(tunnel, own, peer_tunnel, peer, fd=-1):
    return struct.pack("=HIii16sHHHH", AF_PPPOX, PX_PROTO_OL2TP, 0, fd, b"", tunnel, own,
                       peer_tunnel, peer)


def pppox(tunnel, own, peer_tunnel=None, peer=None, fd=-1):
    s = socket.socket(AF_PPPOX, socket.SOCK_DGRAM, PX_PROTO_OL2TP)
    try:
        connect(s, sockaddr_pppol2tp(tunnel, own, peer_tunnel or tunnel, peer or own, fd))
    except OSError:
        s.close()
        raise
    s.settimeout(10)
    return s


def pppoe(session, mac, interface):
    s = socket.socket(AF_PPPOX, socket.SOCK_DGRAM, PX_PROTO_OE)
    try:
        connect(s, struct.pack("=HI", AF_PPPOX, PX_PROTO_OE) + struct.pack("!H", session) + mac +
                interface.encode().ljust(16, b"\0"))
    except OSError:
        s.close()
        raise
    s.settimeout(10)
    return s


def pppox_ids(fd):
    """(tunnel, session, peer's tunnel, peer's session) by getsockname()."""
    buf, length = ctypes.create_string_buffer(64), ctypes.c_uint32(64)
    if libc.getsockname(fd, buf, ctypes.byref(length)):
        raise OSError(ctypes.get_errno(), "getsockname")
    return struct.unpack("=HHHH", buf.raw[length.value - 8:length.value])


# --- PPP

opened = set()


def ioctl(fd, request, value=0):
    return struct.unpack("=i", fcntl.ioctl(fd, request, struct.pack("=i", value)))[0]


def ppp():
    fd = os.open("/dev/ppp", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    opened.add(fd)
    return fd


def close(fd):
    opened.discard(fd)
    os.close(fd)


def close_all():
    """What a test left open of /dev/ppp."""
    while opened:
        os.close(opened.pop())


def channel(index):
    fd = ppp()
    ioctl(fd, ATTCHAN, index)
    return fd


def unit():
    fd = ppp()
    return fd, ioctl(fd, NEWUNIT, -1)


def frame(protocol, body=ECHO):
    return struct.pack("!H", protocol) + body


def read_frame(fd, seconds=10.0):
    """One PPP frame of a channel or unit; None when none came."""
    if not select.select([fd], [], [], seconds)[0]:
        return None
    return os.read(fd, 2048)


def hung_up(fd):
    p = select.poll()
    p.register(fd, select.POLLIN)
    return any(event & select.POLLHUP for _, event in p.poll(0))


# --- rtnetlink

class Route(Netlink):
    def __init__(self):
        super().__init__(0)

    def new_ppp(self, fd, name=None, mtu=None, txqlen=None, group=None, netns=None, up=False):
        """RTM_NEWLINK of kind "ppp" on an open /dev/ppp."""
        info = attr(1, b"ppp\0") + attr(2, attr(1, struct.pack("=i", fd)))
        body = struct.pack("=BxHiII", 0, 0, 0, IFF_UP if up else 0, IFF_UP if up else 0)
        body += attr(IFLA_LINKINFO, info)
        for kind, value in ((IFLA_MTU, mtu), (IFLA_TXQLEN, txqlen), (IFLA_GROUP, group),
                            (IFLA_NET_NS_FD, netns)):
            if value is not None:
                body += attr(kind, struct.pack("=I", value))
        if name:
            body += attr(IFLA_IFNAME, name.encode() + b"\0")
        for _ in range(100):
            try:
                return self.request(RTM_NEWLINK, body, 0x600)
            except Refused as e:
                if e.errno != errno.EBUSY:  # ppp_mutex was taken
                    raise
                time.sleep(0.01)
        raise AssertionError("RTM_NEWLINK answers EBUSY for ever")

    def delete_group(self, group):
        self.request(RTM_DELLINK, struct.pack("=BxHiII", 0, 0, 0, 0, 0) +
                     attr(IFLA_GROUP, struct.pack("=I", group)))

    def links(self):
        """name -> (index, flags, attributes)"""
        out = {}
        for kind, body in self.request(RTM_GETLINK, struct.pack("=BxHiII", 0, 0, 0, 0, 0), 0x300):
            if kind == RTM_NEWLINK:
                index, flags = struct.unpack_from("=iI", body, 4)
                a = attrs(body[16:])
                out[a[IFLA_IFNAME].rstrip(b"\0").decode()] = (index, flags, a)
        return out

    def set(self, name, mtu=None, up=None):
        index = self.links()[name][0]
        flags = (IFF_UP if up else 0, IFF_UP) if up is not None else (0, 0)
        body = struct.pack("=BxHiII", 0, 0, index, *flags)
        if mtu:
            body += attr(IFLA_MTU, struct.pack("=I", mtu))
        self.request(RTM_NEWLINK, body)

    def address(self, name, local, peer=None):
        index = self.links()[name][0]
        body = struct.pack("=BBBBI", socket.AF_INET, 32, 0, 0, index)
        body += attr(2, socket.inet_aton(local)) + attr(1, socket.inet_aton(peer or local))
        self.request(RTM_NEWADDR, body, 0x500)

    def route(self, name, host, source=None):
        index = self.links()[name][0]
        body = struct.pack("=BBBBBBBBI", socket.AF_INET, 32, 0, 0, 254, 4, 253, 1, 0)
        body += attr(1, socket.inet_aton(host)) + attr(4, struct.pack("=I", index))
        if source:
            body += attr(7, socket.inet_aton(source))
        self.request(RTM_NEWROUTE, body, 0x400)
