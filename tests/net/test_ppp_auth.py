# SPDX-License-Identifier: MIT
"""Logins on real sockets: adit with adit by each method, refusals in words, restarts, and the options
that go with it."""

import re

import pytest

from lab import wait_for
from test_main_job import World, only_session


@pytest.fixture
def world(lab):
    return World(lab)


def failure(world, lns, client):
    """What both sides say of a session that does not come up."""
    done = client.ctl("connect", "office", check=False)
    assert done.returncode != 0, done.stdout
    wait_for("the LNS to note it", lambda: "alice" in lns.ctl("show", "errors").stdout)
    return done.stdout + done.stderr, lns.ctl("show", "errors").stdout


METHODS = [('"mschapv2"', "mschapv2"), ('"eap"', "eap-mschapv2"), ('"chap"', "chap"), ('"pap"', "pap"),
           ('"mschapv1"', "mschapv1")]


@pytest.mark.parametrize("auth,shown", METHODS, ids=[m[1] for m in METHODS])
def test_each_method(world, auth, shown):
    lns = world.start_lns(profile=f"auth = {{{auth}}}")
    more = 'auth = {"mschapv1"}' if shown == "mschapv1" else ""
    world.start_client(more=more)
    session = only_session(lns)
    assert (session["user"], session["auth"]) == ("alice", shown)
    assert world.client.ping("198.51.100.2", 1) == 1


@pytest.mark.parametrize("auth", [m[0] for m in METHODS[:4]])
def test_each_refusal_is_explained(world, auth):
    lns = world.start_lns(profile=f"auth = {{{auth}}}")
    client = world.start_client(connect=False, password="wrong", more="connect = manual")
    ours, theirs = failure(world, lns, client)
    assert "refused our login" in ours
    assert "password was wrong" in theirs


def test_order_of_methods(world):
    """The first of the server's that the client has."""
    lns = world.start_lns(profile='auth = {"mschapv2", "eap", "chap", "pap"}')
    world.start_client(more='auth = {"chap", "pap"}')
    assert only_session(lns)["auth"] == "chap"


def test_eap_after_a_nak_of_chap(world):
    lns = world.start_lns(profile='auth = {"chap", "eap"}')
    world.start_client(more='auth = {"eap"}')
    assert only_session(lns)["auth"] == "eap-mschapv2"


def test_no_common_method_is_explained(world):
    lns = world.start_lns(profile='auth = {"mschapv2"}')
    client = world.start_client(connect=False, more='auth = {"pap"} connect = manual')
    done = client.ctl("connect", "office", check=False)
    assert done.returncode != 0
    assert "authentication method" in done.stdout + done.stderr
    wait_for("the LNS to note it",
             lambda: "no authentication method" in lns.ctl("show", "errors").stdout)


def test_asked_again_and_over_a_restart(world):
    """MS-CHAPv2 every 10 s; the daemon is killed in between and nothing is lost."""
    lns = world.start_lns(profile='auth = {"mschapv2"} chap-interval = "10 s"')
    client = world.start_client()
    key = only_session(lns)["key"]
    lns.kill_aditd()
    client.kill_aditd()
    wait_for("a later login", lambda: len(re.findall("is authenticated", lns.text())) >= 3, 40)
    assert only_session(lns)["key"] == key
    assert world.client.ping("198.51.100.2", 1) == 1


def test_mppe_without_a_plane_that_can(world):
    """User space does not encrypt: preferred, the session does without; required, it ends."""
    lns = world.start_lns(profile='auth = {"mschapv2"} mppe = prefer')
    client = world.start_client(more="mppe = prefer data-plane = user")
    assert only_session(lns)["auth"] == "mschapv2"
    assert world.client.ping("198.51.100.2", 1) == 1
    client.ctl("disconnect", "office")


def test_mppe_required_is_explained(world):
    lns = world.start_lns(profile='auth = {"mschapv2"} mppe = require')
    client = world.start_client(connect=False, more="connect = manual mppe = off")
    _, theirs = failure(world, lns, client)
    assert "encryption is required" in theirs or "encrypt" in theirs
