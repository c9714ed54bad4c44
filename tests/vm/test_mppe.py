# SPDX-License-Identifier: MIT
"""Encryption from end to end: CCP in adit, MPPE in the kernel; adit with adit."""

import pytest

from lab import wait_for
from test_interop import Wire, only

MPPE = 'auth = {{"{auth}"}} mppe = {mppe}'


@pytest.fixture
def wire(lab):
    return Wire(lab)


@pytest.mark.parametrize("auth", ["mschapv2", "eap"])
def test_adit_with_adit(wire, auth):
    lns = wire.adit_lns("kernel", profile=MPPE.format(auth=auth, mppe="require"))
    client = wire.adit_client("kernel", more="mppe = require")
    wire.carries()
    wire.carries("2001:db8:2::2")
    wire.client.tcp(wire.lns, "198.51.100.2", octets=100_000)
    assert only(lns)["plane"] == only(client)["plane"] == "kernel"
    # both daemons go and come again: keys and CCP stay
    lns.kill_aditd()
    client.kill_aditd()
    wire.carries()
    client.ctl("disconnect", "office")
    wait_for("the LNS to see the end", lambda: not lns.sessions(), seconds=20)


def test_in_user_space(wire):
    """Preferred, the session of a plane that cannot encrypt goes on in clear."""
    lns = wire.adit_lns("user", profile=MPPE.format(auth="mschapv2", mppe="prefer"))
    wire.adit_client("kernel", more="mppe = prefer")
    wire.carries()
    assert only(lns)["plane"] == "user"
