# SPDX-License-Identifier: MIT
"""What people see: mistakes on the command line and in the configuration are answered by one line that
says what is wrong, where, and what to do; the log says each piece of news once."""

import json
import os
import signal
import socket
import subprocess

import pytest

from lab import BUILD, BUSY, halt, wait_for

USERS = 'alice * "open sesame" *\n'
LNS = """
pool "home" { addresses = 10.64.0.0/16 prefixes = 2001:db8:64::/48 }
profile "home" { users = "@DIR@/users" pool = "home" }
peer "anybody" { profile = "home" }
"""
CLIENT = """
session "office" {
    server = 192.0.2.1
    user = "alice"
    password = "open sesame"
}
"""
ADITD = BUILD / "src/daemon/aditd"


@pytest.mark.parametrize("argv, words", [
    (["stat"], 'there is no verb "stat"; did you mean "status"?'),
    (["status", "now"], '"now" is one word too many after status'),
    (["reload", "x"], '"x" is one word too many after reload'),
    (["show", "config", "x"], '"x" is one word too many after config'),
    (["show"], "show what? sessions, tunnels"),
    (["show", "sesions"], 'did you mean "show sessions"?'),
    (["show", "sessions", "usr=x"], 'there is no column "usr"; did you mean "user"?'),
    (["show", "sessions", "qqq=x"], "rx_packets"),  # all columns are named, also the last
    (["show", "sessions", "alice"], '"alice" is no filter; write column=value'),
    (["monitor", "--level", "loud"], '"loud" is no level; write --level debug'),
    (["terminate", "session", "zz"], '"zz" is no key of a session'),
    (["connect"], "connect what?"),
    (["status", "--control"], "--control needs a value"),
    (["--json"], "a verb is missing"),
    (["-x", "status"], "unknown option -x"),
])
def test_words_adit_does_not_know(argv, words):
    done = subprocess.run([BUILD / "src/ctl/adit", *argv], capture_output=True, text=True,
                          timeout=10)
    assert done.returncode == 2
    assert words in done.stderr.splitlines()[0]
    assert done.stdout == ""


def test_no_daemon(tmp_path):
    done = subprocess.run([BUILD / "src/ctl/adit", "--control", tmp_path / "none", "status"],
                          capture_output=True, text=True, timeout=10)
    assert done.returncode == 1
    assert "no daemon answers" in done.stderr and "adit-keeper --run" in done.stderr


def check(tmp_path, text):
    conf = tmp_path / "adit.conf"
    conf.write_text(f'control = "{tmp_path}/control"\nuser = "nobody"\n' + text)
    conf.chmod(0o600)
    os.chmod(tmp_path, 0o755)
    done = subprocess.run([ADITD, "-n", "-c", conf], capture_output=True, text=True, timeout=10)
    return done.returncode, done.stdout + done.stderr


def test_likely_mistakes_of_a_configuration(tmp_path):
    users = tmp_path / "users"
    lns = LNS.replace("@DIR@", str(tmp_path))
    rc, out = check(tmp_path, lns)
    assert rc == 1 and f"{users} cannot be read: No such file" in out
    users.write_text(USERS)
    users.chmod(0o644)
    rc, out = check(tmp_path, lns)
    assert rc == 0 and f"everybody may read {users}" in out
    users.chmod(0o600)
    rc, out = check(tmp_path, lns)
    assert rc == 0 and f"may not read {users}" in out
    rc, out = check(tmp_path, "")
    assert rc == 0 and "neither a peer nor a session block" in out
    rc, out = check(tmp_path, 'tunnel "t" { remote = 192.0.2.1 }')
    assert rc == 0 and "no pseudowire block uses the tunnel blocks" in out
    secret = tmp_path / "secret"
    secret.write_text("open sesame\n")
    secret.chmod(0o600)
    rc, out = check(tmp_path, CLIENT.replace('password = "open sesame"',
                                             f'password-file = "{secret}"'))
    assert rc == 0 and f"may not read {secret}" in out
    hook = tmp_path / "hook"
    session = CLIENT.replace("user =", f'hook-up = "{hook}" user =')
    rc, out = check(tmp_path, session)
    assert rc == 0 and f"the hook {hook} cannot be run: No such file" in out
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o777)
    rc, out = check(tmp_path, session)
    assert rc == 0 and "writable by nobody else" in out


def test_an_unusable_configuration_is_told_once(lab):
    adit = lab.adit(lab.ns("lns"), LNS)  # and no users file
    adit.start(wait=False)
    assert adit.keeper.child.wait(60) == 1
    assert adit.keeper.text().count("users cannot be read") == 1
    assert "started again" not in adit.keeper.text()


@pytest.fixture
def pair(lab):
    client, lns = lab.ns("client"), lab.ns("lns")
    lab.cable(client, lns, ["192.0.2.2/24"], ["192.0.2.1/24"], "c0", "l0")
    return lab.adit(client, CLIENT), lab.adit(lns, LNS, users=USERS)


def notices(adit):
    return [line for line in adit.keeper.text().splitlines() if " notice: " in line]


def test_news_is_logged_once_and_a_broken_file_changes_nothing(pair):
    client, lns = pair
    lns.start()
    client.start()
    client.ctl("connect", "office")
    for adit, who in (lns, "session of alice"), (client, 'session "office"'):
        wait_for(f"the log to say that the {who} is up", lambda: who in adit.keeper.text())
        assert sum("is up" in line for line in notices(adit)) == 2  # a tunnel, a session
    good = client.conf.read_text()
    client.conf.write_text(good + 'sesion "x" { }\n')
    done = client.ctl("reload", check=False)
    assert done.returncode == 1 and 'did you mean "session"?' in done.stderr
    assert [s["state"] for s in client.sessions()] == ["up"]
    # connect waits for the session that the reload dials anew, while the old one ends
    client.conf.write_text(good.replace('user = "alice"', 'mtu = 1300 user = "alice"'))
    client.ctl("reload")
    assert "up: 10.64." in client.ctl("connect", "office").stdout
    # a wrong password: one line on either side says so, for each attempt
    client.conf.write_text(good.replace("sesame", "barley").replace(
        'user = "alice"', 'redial-first = "1 h" redial-cap = "1 h" user = "alice"'))
    client.ctl("reload")
    done = client.ctl("connect", "office", check=False)
    assert done.returncode == 1 and "are user name and password right?" in done.stderr
    client.ctl("disconnect", "office")
    wait_for("the LNS's log", lambda: any("password was wrong" in n for n in notices(lns)))
    assert sum("the user name or the password was wrong" in line for line in notices(lns)) == 1
    errors = lns.ctl("show", "errors").stdout
    assert errors.count("the user name or the password was wrong") == 1


def test_connect_says_that_it_still_waits(pair):
    client, _ = pair  # nobody listens at the server
    client.conf.write_text(client.conf.read_text().replace(
        "user = \"alice\"", "connect = manual retries = 2 user = \"alice\""))
    client.start()
    done = client.ctl("connect", "office", check=False)
    assert done.returncode == 1
    assert "5 s ..." in done.stdout and "the server did not answer" in done.stderr


def ask(adit, method, **parameters):
    """A request to the control socket by hand. The keeper holds it, whether aditd serves or not."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(60)
    sock.connect(str(adit.control))
    sock.sendall(json.dumps({"method": f"org.adit.{method}", "parameters": parameters}).encode() + b"\0")
    return sock


def test_what_was_given_up_is_not_done_later(pair):
    """Nobody serves for a while: what was asked for meanwhile is done afterwards only for those who
    still wait."""
    client, lns = pair
    lns.start()
    client.start()
    client.ctl("connect", "office")
    for adit, method, parameters in ((lns, "Drain", {}), (client, "Disconnect", {"name": "office"}),
                                     (lns, "Terminate", {"user": "alice"})):
        pid = adit.aditd_pid()
        halt(pid)
        ask(adit, method, **parameters).close()
        with ask(adit, "Status") as patient:
            patient.shutdown(socket.SHUT_WR)  # it asks for nothing more, but listens
            os.kill(pid, signal.SIGCONT)
            answer = json.loads(patient.makefile("rb").read().rstrip(b"\0"))
        assert answer["parameters"]["status"]["pid"] == pid
        assert adit.json("status")["state"] == "running"
    assert [s["state"] for s in client.sessions() + lns.sessions()] == ["up", "up"]
    assert client.accounting_lines()[-1]["event"] == "start"

    pid = lns.aditd_pid()
    halt(pid)
    with ask(lns, "Drain", rate=0) as patient:
        patient.shutdown(socket.SHUT_WR)
        os.kill(pid, signal.SIGCONT)
        assert b'"status"' in patient.makefile("rb").read()
    assert lns.json("status")["state"] == "draining"


def test_nobody_serves(pair):
    """Each verb gives up with one line, also those that may wait for ever once aditd has answered."""
    client, lns = pair
    client.start()
    lns.start()
    client.ctl("connect", "office")
    argvs = [(client, "connect", "office"), (client, "disconnect", "office"), (client, "monitor"),
             (client, "drain"), (client, "reload"), (lns, "status")]
    stopped = [client.aditd_pid(), lns.aditd_pid()]
    for pid in stopped:
        halt(pid)
    queue = []  # a daemon that is away for long: there is no room even for a connection
    with pytest.raises(BlockingIOError):
        while len(queue) < 10000:
            queue.append(socket.socket(socket.AF_UNIX))
            queue[-1].setblocking(False)
            queue[-1].connect(str(lns.control))
    tools = [adit.ns.start(BUILD / "src/ctl/adit", "--control", adit.control, *words, name=words[0])
             for adit, *words in argvs]
    for tool in tools:
        assert tool.child.wait(40 * BUSY) == 1
        assert tool.text() == "adit: the daemon does not answer; is it busy or stopped? see its log\n"
    for sock in queue:
        sock.close()
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    assert lns.json("status")["state"] == client.json("status")["state"] == "running"
    assert [s["state"] for s in client.sessions()] == ["up"]
