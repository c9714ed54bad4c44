#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""An aditd that does what a test tells it: started by adit-keeper, it listens on a Unix socket in
$FAKE_DIR and passes datagrams between the test and the keeper.

    send HEX       to the keeper
    facts          who it is and what it has
    eval TEXT      a Python expression over `fds`, the descriptors that came, by number
    exit STATUS
    deaf           SIGTERM is ignored from now on

Answers are lines of JSON; a datagram of the keeper is {"datagram": hex, "fds": [numbers]}.
"""

import array
import json
import os
import select
import signal
import socket
import sys


def status_lines():
    with open("/proc/self/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def facts():
    status = status_lines()
    return {
        "uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(),
        "caps": [status[c] for c in ("CapInh", "CapPrm", "CapEff", "CapAmb")],
        "no_new_privs": status["NoNewPrivs"], "args": sys.argv[1:],
        "fds": first_fds, "environment": dict(os.environ),
    }


def receive(keeper):
    data, ancillary, _, _ = keeper.recvmsg(65536, 4096)
    numbers = array.array("i")
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers.frombytes(value[:len(value) - len(value) % numbers.itemsize])
    for number in numbers:
        fds[number] = number
    return data, list(numbers)


def command(line):
    word, _, rest = line.partition(" ")
    if word == "send":
        keeper.send(bytes.fromhex(rest))
        return None
    if word == "facts":
        return facts()
    if word == "eval":
        return {"value": eval(rest, {"os": os, "socket": socket, "fds": fds})}
    if word == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return {}
    if word == "exit":
        os._exit(int(rest))
    return {"error": line}


def main():
    server = socket.socket(socket.AF_UNIX)
    path = os.path.join(os.environ["FAKE_DIR"], f"fake-{os.getpid()}")
    server.bind(path)
    os.chmod(path, 0o666)
    server.listen(1)
    link = os.path.join(os.environ["FAKE_DIR"], "fake")
    os.symlink(path, f"{link}-{os.getpid()}.new")
    os.rename(f"{link}-{os.getpid()}.new", link)
    test, _ = server.accept()
    buffered = b""
    while True:
        ready, _, _ = select.select([test, keeper], [], [])
        if keeper in ready:
            data, numbers = receive(keeper)
            if not data:
                os._exit(0)
            test.sendall(json.dumps({"datagram": data.hex(), "fds": numbers}).encode() + b"\n")
        if test in ready:
            more = test.recv(65536)
            if not more:
                os._exit(0)
            *lines, buffered = (buffered + more).split(b"\n")
            for line in lines:
                answer = command(line.decode())
                if answer is not None:
                    test.sendall(json.dumps(answer).encode() + b"\n")


first_fds = sorted(int(n) for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}"))
fds = {}
keeper = socket.socket(fileno=int(os.environ["ADIT_KEEPER_FD"]))
main()
