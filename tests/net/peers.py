# SPDX-License-Identifier: MIT
"""Peers that are not ours: Debian's l2tpns as LNS, with the small RADIUS server it insists on."""

import json
import subprocess

from lab import PYTHON, ROOT, wait_for

L2TPNS_CONFIG = """
set debug {debug}
set hostname "l2tpns"
set l2tp_secret "{secret}"
set l2tp_mtu 1500
set primary_dns 10.65.0.53
set primary_radius 127.0.0.1
set primary_radius_port 1812
set radius_secret "radius"
set radius_authtypes "{auth}"
set radius_accounting no
set allow_duplicate_users yes
set bind_address {address}
set cli_bind_address 127.0.0.1
set peer_address 10.65.0.1
set ipv6_prefix {prefix6}
set accounting_dir ""
set cluster_interface lo
set cluster_hb_interval 2
set cluster_hb_timeout 20
set scheduler_fifo no
set lock_pages no
set packet_limit 0
"""


class L2tpns:
    """l2tpns reads its pool from a fixed place, so it gets a mount namespace of its own."""

    def __init__(self, ns, address, secret="secret", user="alice", password="open sesame",
                 auth="chap", pool="10.65.0.0/17", prefix6="2001:db8:65::", debug=1):
        self.ns = ns
        etc = ns.lab.dir / f"{ns.short}-l2tpns"
        etc.mkdir()
        (etc / "startup-config").write_text(L2TPNS_CONFIG.format(
            secret=secret, address=address, auth=auth, prefix6=prefix6, debug=debug))
        (etc / "ip_pool").write_text(pool + "\n")
        (etc / "users").write_text("")
        self.radius = ns.start(PYTHON, ROOT / "tests/net/radius.py", "radius", user, password,
                               prefix6 + "/64", name="radius")
        wait_for("the RADIUS server", lambda: "ready" in self.radius.text())
        # --mount: the bind mount is seen by this process alone
        self.daemon = ns.start("unshare", "--mount", "--propagation", "private", "sh", "-c",
                               f"mount --bind {etc} /etc/l2tpns && exec l2tpns", name="l2tpns")
        wait_for("l2tpns to become master and listen", self.ready, seconds=30)

    def ready(self):
        assert self.daemon.alive(), self.daemon.text()
        return "declaring myself the master" in self.daemon.text()

    def pids(self):
        """The daemon and its children (it forks a CLI and a control process)."""
        out = subprocess.run(["pgrep", "-P", str(self.daemon.pid)], capture_output=True, text=True)
        return [self.daemon.pid, *map(int, out.stdout.split())]


class ScapyPeer:
    """scapy_peer.py in a namespace, driven command by command."""

    def __init__(self, ns, local, remote, secret="", **options):
        argv = [PYTHON, ROOT / "tests/net/scapy_peer.py", local, remote, "--secret", secret]
        for name, value in options.items():
            argv += [f"--{name.replace('_', '-')}", value]
        self.child = subprocess.Popen(ns.argv(argv), stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)
        ns.lab.children.append(self.child)

    def __call__(self, *words):
        self.child.stdin.write(" ".join(map(str, words)) + "\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        assert line, "the scapy peer ended"
        return json.loads(line)
