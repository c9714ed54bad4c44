# SPDX-License-Identifier: MIT
"""The mark of a `listen` block on what the kernel sends."""

from test_listen import marked


def test_mark(lab):
    lns, _ = marked(lab, "kernel")
    # control messages and data leave by the kernel's own socket for the tunnel
    assert "Tunnel" in lns.ns.run("ip", "l2tp", "show", "tunnel").stdout
