# SPDX-License-Identifier: MIT
"""Debian's xl2tpd with its pppd, as client or as LNS, in a namespace of the laboratory.

/etc/ppp and /etc/xl2tpd are read from fixed places, so each gets a mount namespace of its own. Its
data packets go through the kernel (pppd's plugin pppol2tp).
"""

import shlex

GLOBAL = """
[global]
port = 1701
listen-addr = {address}
auth file = {dir}/xl2tpd-secrets
debug state = yes
debug tunnel = yes
debug avp = yes
"""
CLIENT = """
[lac adit]
lns = {server}
autodial = yes
challenge = {challenge}
hidden bit = {hidden}
length bit = yes
require authentication = no
ppp debug = yes
pppoptfile = {dir}/ppp-options
"""
LNS = """
[lns default]
ip range = 10.66.0.10-10.66.0.99
local ip = 10.66.0.1
challenge = {challenge}
hidden bit = {hidden}
length bit = yes
require authentication = yes
ppp debug = yes
pppoptfile = {dir}/ppp-options
"""
OPTIONS = """
debug
logfile {dir}/pppd.log
nodetach
nobsdcomp
nodeflate
novj
novjccomp
ipcp-accept-local
ipcp-accept-remote
mtu 1400
mru 1400
lcp-echo-interval 0
"""


class Xl2tpd:
    def __init__(self, ns, address, server=None, secret="tunnel secret", user="alice",
                 password="open sesame", options="", challenge=True, hidden=False, ccp=False,
                 hooks=None):
        self.ns = ns
        self.dir = ns.lab.dir / f"{ns.short}-xl2tpd"
        (self.dir / "ppp").mkdir(parents=True)
        words = {"dir": self.dir, "address": address, "server": server,
                 "challenge": "yes" if challenge else "no", "hidden": "yes" if hidden else "no"}
        self.write("xl2tpd.conf", (GLOBAL + (CLIENT if server else LNS)).format(**words))
        self.write("xl2tpd-secrets", f"* * {secret}\n")
        who = f'noauth\nuser "{user}"\npassword "{password}"\n' if server else "auth\n"
        self.write("ppp-options", OPTIONS.format(**words) + ("" if ccp else "noccp\n") + who +
                   options)
        self.write("ppp/options", "")
        for name in ("pap-secrets", "chap-secrets"):
            self.write(f"ppp/{name}", f'"{user}" * "{password}" *\n')
        for name, text in (hooks or {}).items():
            self.write(f"ppp/{name}", "#!/bin/sh\n" + text).chmod(0o755)
        run = (f"mount --bind {self.dir}/ppp /etc/ppp && "
               f"exec xl2tpd -D -c {self.dir}/xl2tpd.conf -s {self.dir}/xl2tpd-secrets "
               f"-p {self.dir}/pid -C {self.dir}/control")
        self.daemon = ns.start("unshare", "--mount", "--propagation", "private", "sh", "-c", run,
                               name="xl2tpd")

    def write(self, name, text):
        path = self.dir / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    def command(self, *words):
        """To its control pipe: d adit (hang up), c adit (call), ..."""
        self.ns.run("sh", "-c", f"echo {shlex.quote(' '.join(words))} >{self.dir}/control")
