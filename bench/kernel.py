#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Figures of the kernel data plane, measured on a kernel that has L2TP and PPP (in a guest; see
bench/run.py, group "kernel").

usage: bench/kernel.py KFLOOR SESSIONS ROUNDS

After each round one line of JSON on standard output: the medians of the rounds so far. What could
not be measured is not in it, and a line before it says why.

The reference is kfloor: the bare kernel calls of a session, by eight processes side by side. Its
standard output is a pipe that is full, so each stops between setting up and taking down; in between
all interfaces are put into one group, and the time of taking down is that of one delete by group
and of closing everything. aditd and its keeper do the same work with the protocols, as LNS of
adit-load in another namespace, whose CPU time is not counted. Rounds are interleaved.
"""

import json
import os
import pathlib
import statistics
import struct
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "vm"), str(ROOT / "tests" / "net"), str(ROOT / "bench")]

from kernel import IFLA_GROUP, RTM_NEWLINK, Netns, Route, attr  # noqa: E402
from lab import BUILD, Lab, wait_for  # noqa: E402
from run import PASSWORD, SECRET, USER, kernel_lns, pss_kib, two_hosts  # noqa: E402

WORKERS, GROUP = 8, 4711
TUNNELS = 10
LIMIT = 3600  # s, for all sessions to come up


def cpu_us(pids):
    """Time on a CPU, all threads, without the rounding to ticks of /proc/PID/stat."""
    total = 0
    for pid in pids:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0]) // 1000
    return total


def full_pipe():
    read, write = os.pipe()
    os.set_blocking(write, False)
    try:
        while True:
            os.write(write, b" " * 4096)
    except BlockingIOError:
        pass
    try:
        while True:
            os.write(write, b" ")
    except BlockingIOError:
        pass
    os.set_blocking(write, True)
    return read, write


def waits(pid):
    """Is this process asleep in write()?"""
    try:
        return pathlib.Path(f"/proc/{pid}/syscall").read_text().split()[0] == "1"
    except OSError:
        return False


def into_group(route):
    """All PPP interfaces of the namespace into GROUP."""
    for name, (index, _, _) in route.links().items():
        if name.startswith("ppp"):
            route.request(RTM_NEWLINK, struct.pack("=BxHiII", 0, 0, index, 0, 0) +
                          attr(IFLA_GROUP, struct.pack("=I", GROUP)))


def bare(kfloor, sessions, ret):
    """CPU microseconds a session, set-ups a second, tear-downs a second of kfloor, into `ret`."""
    space = Netns()
    route = Route()
    try:
        subprocess.run(["ip", "addr", "add", "10.64.0.1/32", "dev", "lo"], check=True)
        children = []
        for k in range(WORKERS):
            read, write = full_pipe()
            child = subprocess.Popen([kfloor, "-n", str(sessions // WORKERS), "-t", "2", "-c", "-r",
                                      "-s", "-q", "-o", str(2 * k * max(1, sessions // 2000 + 1))],
                                     stdout=write)
            os.close(write)
            children.append((child, read))
        wait_for("kfloor", lambda: all(waits(c.pid) or c.poll() is not None for c, _ in children),
                 seconds=LIMIT)
        into_group(route)
        begun = time.monotonic()
        route.delete_group(GROUP)
        text = []
        for _, read in children:
            os.set_blocking(read, False)
            while True:  # the filling, then what kfloor had to say
                try:
                    data = os.read(read, 65536)
                except BlockingIOError:
                    break
                if not data:
                    break
                text.append(data)
        for child, read in children:
            os.set_blocking(read, True)
            while data := os.read(read, 65536):
                text.append(data)
            assert child.wait() == 0
            os.close(read)
        down = time.monotonic() - begun
        # the pieces of one process follow each other, but not those of two
        rows = b"".join(text).decode()
        ups = [float(v.split(",")[0]) for v in rows.split('"up_s":')[1:]]
        cpus = [float(v.split(",")[0]) for v in rows.split('"cpu_us":')[1:]]
        assert len(ups) == len(cpus) == WORKERS, rows[-2000:]
        ret.update(cpu=sum(cpus) / WORKERS, rate=sessions / max(ups), down=sessions / down)
    finally:
        route.close()
        space.close()


def open_files(pids):
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)


def files_of_all():
    """Open files of the whole machine, off by some hundreds at most."""
    return int(pathlib.Path("/proc/sys/fs/file-nr").read_text().split()[0])


def wait_closed(pids, least, others):
    """Until no more than `least` files are open. To list 30,000 of them takes seconds in a guest,
    time in which nothing would be closed: so while there are many, all of the machine are counted,
    of which `others` are somebody else's."""
    end = time.monotonic() + 3600
    while (n := files_of_all() - others) > least + 1000:
        assert time.monotonic() < end, f"{n - least} files stay open"
        time.sleep(0.05)
    while (n := open_files(pids)) > least:
        assert time.monotonic() < end, f"{n - least} files stay open"
        time.sleep(0.05)


def take_down(lns, pids, sessions, files):
    """All tunnels at once, until every descriptor of a session is closed: sessions a second."""
    others = files_of_all() - open_files(pids)
    ids = [t["id"] for t in lns.json("show", "tunnels")["tunnels"]]
    assert len(ids) == TUNNELS, ids
    begun = time.monotonic()
    children = [subprocess.Popen(lns.ns.argv([BUILD / "src/ctl/adit", "--control", lns.control,
                                              "terminate", "tunnel", tunnel]),
                                 stdout=subprocess.DEVNULL) for tunnel in ids]
    wait_closed(pids, files + 4 * TUNNELS, others)
    down = time.monotonic() - begun
    for child in children:
        assert child.wait(600) == 0
    return sessions / down


def ours(sessions, ret):
    lab = Lab()
    try:
        client, ns = two_hosts(lab)
        lns = kernel_lns(lab, ns)
        lns.start()
        pids = [lns.keeper.pid, lns.aditd_pid()]
        files, before = open_files(pids), cpu_us(pids)
        load = client.start(BUILD / "src/load/adit-load", "--server", "192.0.2.1", "--sessions",
                            sessions, "--tunnels", TUNNELS, "--user", USER, "--password",
                            PASSWORD, "--secret", SECRET, "--hold", 2 * LIMIT, "--limit", LIMIT)
        wait_for("the generator", lambda: '"up":' in load.text() or not load.alive(),
                 seconds=LIMIT, step=0.1)
        result = json.loads(next(line for line in load.text().splitlines()
                                 if line.startswith("{")))
        # On a busy machine a few run into a time limit; what they cost is on our account. With
        # many such the setting up is not measured, but what comes after it is.
        up = result["up"]
        assert up >= 0.9 * sessions, f"{up} of {sessions} sessions came up: {result}"
        if up >= 0.98 * sessions:
            ret["cpu"] = (cpu_us(pids) - before) / up
            ret["rate"] = result["per_second"]
        else:
            print(f"  the setting up was not measured: {up} of {sessions} sessions came up",
                  flush=True)
        time.sleep(2)
        assert lns.json("status")["sessions_up"] == up
        # the socket of a tunnel is open in both
        ret["files"] = (open_files(pids) - files - 2 * TUNNELS) / up
        ret["pss"] = pss_kib(pids) * 1024 / up
        ret["down"] = take_down(lns, pids, up, files)
    finally:
        lab.close()


def attempt(what, measure, *args):
    """What `measure` has put into its last argument before it failed counts."""
    ret = {}
    try:
        measure(*args, ret)
    except Exception as e:  # the rest is measured all the same
        print(f"  not measured, {what}: {' '.join(str(e).split())[-300:] or repr(e)}", flush=True)
    return ret


def told(ret):
    units = {"cpu": "us CPU a session", "rate": "/s up", "down": "/s down", "pss": "octets",
             "files": "files a session"}
    return ", ".join(f"{ret[k]:.{3 if k == 'files' else 0}f} {units[k]}" for k in units if k in ret)


def medians(rows):
    out = {}
    for k in ("cpu", "rate", "down", "pss", "files"):
        values = [o[k] if k in ("pss", "files") else o[k] / b[k] for b, o in rows
                  if k in o and (k in ("pss", "files") or k in b)]
        if values:
            out[k] = round(statistics.median(values), 3)
    return out


def main():
    kfloor, sessions, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    rows = []
    for _ in range(rounds):
        begun = time.monotonic()
        b = attempt("the bare kernel", bare, kfloor, sessions)
        o = attempt("adit", ours, sessions)
        rows.append((b, o))
        print(f"  {sessions}: bare {told(b)}; adit {told(o)} ({time.monotonic() - begun:.0f} s)")
        print(json.dumps(medians(rows)), flush=True)


if __name__ == "__main__":
    main()
