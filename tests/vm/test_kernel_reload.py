# SPDX-License-Identifier: MIT
"""The kernel's data plane is switched on by a new configuration: sessions that are there stay where
they are and go on, new ones go to the kernel."""

from lab import wait_for
from test_interop import Wire, only


def reload(adit, before, after):
    text = adit.conf.read_text()
    assert before in text
    adit.conf.write_text(text.replace(before, after))
    return adit.ctl("reload").stdout


def test_from_user_space_to_the_kernel(lab):
    wire = Wire(lab)
    lns, client = wire.adit_lns("user"), wire.adit_client("user")
    wire.carries()
    assert only(lns)["plane"] == "user" and not lns.json("status")["data_plane"]["kernel"]
    first = only(lns)["key"]
    reload(lns, "data-plane = user", "data-plane = kernel")
    wait_for("the kernel's plane", lambda: lns.json("status")["data_plane"]["kernel"])
    # the tunnel is the kernel's by now, the session in it is not
    wait_for("the tunnel in the kernel",
             lambda: "Tunnel" in wire.lns.run("ip", "l2tp", "show", "tunnel").stdout)
    wire.carries()
    wire.carries("2001:db8:2::2")
    assert (only(lns)["key"], only(lns)["plane"]) == (first, "user")
    client.ctl("disconnect", "office")
    wait_for("the end of the session", lambda: not lns.sessions(), seconds=30)
    client.ctl("connect", "office")
    wire.carries()
    wire.carries("2001:db8:2::2")
    assert only(lns)["plane"] == "kernel"
    # and back: no restart either
    reload(lns, "data-plane = kernel", "data-plane = user")
    wire.carries()
    assert only(lns)["plane"] == "kernel"
    client.ctl("disconnect", "office")
    wait_for("the end of the session", lambda: not lns.sessions(), seconds=30)
    client.ctl("connect", "office")
    wire.carries()
    assert only(lns)["plane"] == "user"
