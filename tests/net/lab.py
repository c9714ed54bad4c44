# SPDX-License-Identifier: MIT
"""A small network laboratory: namespaces, cables and processes that go away with the test.

Everything has a name of its own (`adit-<pid>-<n>-...`), lives in namespaces and below a temporary
directory, and is removed by Lab.close(), whatever happened. Needs root and iproute2 only.
"""

import itertools
import json
import math
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("ADIT_BUILD", ROOT / "build" / "test"))
PYTHON = "/usr/bin/python3"
# How much longer than on a usual machine things take; tests/vm/guest.py sets it in a guest.
PATIENCE = float(os.environ.get("ADIT_PATIENCE", "1"))
# Limits are there to end a test that has failed. The machine may have other work for a while.
BUSY = 4
_labs = itertools.count(1)
_pings = itertools.count(1)


def wait_for(what, check, seconds=15.0, step=0.05):
    """Poll `check` until it gives something true; a test fails with `what` when it never does."""
    seconds, step = seconds * PATIENCE * BUSY, step * PATIENCE
    end = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(step)


def pending(pid):
    """The signals that have come and were not taken yet."""
    with open(f"/proc/{pid}/status") as f:
        mask, = [line.split()[1] for line in f if line.startswith("ShdPnd")]
    return int(mask, 16)


# For the environment of what ends without the right to trace: a sanitizer that looks for leaks waits
# for ever then.
NO_LEAKS = {"ASAN_OPTIONS": "detect_leaks=0:" + os.environ.get("ASAN_OPTIONS", "")}


def ended(pid):
    """Is the process gone, or is nothing left of it but its status?"""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def halt(pid):
    """Returns when it has stopped: before, it would still take a signal that comes later."""
    os.kill(pid, signal.SIGSTOP)
    stat = pathlib.Path(f"/proc/{pid}/stat")
    wait_for("it to be stopped", lambda: stat.read_text().rsplit(") ", 1)[1].startswith("T"))


class Process:
    """A child with its output in a file."""

    def __init__(self, argv, log, **popen):
        self.log = log
        self.argv = [str(a) for a in argv]
        with open(log, "ab") as out:
            # a session of its own: l2tpns ends its whole process group when it stops
            self.child = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=out,
                                          stderr=subprocess.STDOUT, start_new_session=True,
                                          **popen)

    @property
    def pid(self):
        return self.child.pid

    def text(self):
        return pathlib.Path(self.log).read_text(errors="replace")

    def alive(self):
        return self.child.poll() is None

    def stop(self, sig=signal.SIGTERM, seconds=15):
        if self.alive():
            self.child.send_signal(sig)
        try:
            return self.child.wait(seconds * PATIENCE * BUSY)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait(5)
            raise AssertionError(f"{self.argv[0]} did not stop within {seconds} s")


class Pings:
    """ping while other things happen. It stops at so many answers; without a deadline it would not
    wait for the last one longer than an interval, and count it as lost."""

    def __init__(self, ns, address, count, interval, wait=60):
        deadline = math.ceil(count * interval + wait * PATIENCE)
        self.count = count
        self.process = ns.start("ping", "-n", "-c", count, "-i", interval, "-W", wait, "-w",
                                deadline, address, name=f"ping-{next(_pings)}")
        self.deadline = deadline

    def text(self):
        return self.process.text()

    def answered(self):
        return {int(n) for n in re.findall(r"bytes from .* icmp_seq=(\d+)", self.text())}

    def lost(self):
        """Which of the `count` requests had no answer, once all have one or the time is up."""
        self.process.child.wait(self.deadline + 20 * PATIENCE * BUSY)
        return sorted(set(range(1, self.count + 1)) - self.answered())

    def stop(self):
        """Ends it earlier: which requests had no answer though later ones had."""
        self.process.stop(signal.SIGINT)
        answered = self.answered()
        return sorted(set(range(1, max(answered, default=0))) - answered)


class Ns:
    """A network namespace."""

    def __init__(self, lab, name):
        self.lab = lab
        self.short = name
        self.name = f"{lab.prefix}-{name}"
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.run("ip", "link", "set", "lo", "up")

    def argv(self, argv):
        # nsenter, not `ip netns exec`: the latter remounts /sys for each call
        return ["nsenter", f"--net=/run/netns/{self.name}", "--", *[str(a) for a in argv]]

    def run(self, *argv, check=True, timeout=30, **kw):
        done = subprocess.run(self.argv(argv), capture_output=True, text=True,
                              timeout=timeout * PATIENCE * BUSY, **kw)
        if check and done.returncode:
            raise AssertionError(f"{self.short}: {' '.join(map(str, argv))}: exit "
                                 f"{done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def start(self, *argv, name=None, **popen):
        name = name or pathlib.Path(str(argv[0])).name
        return self.lab.track(Process(self.argv(argv), self.lab.dir / f"{self.short}-{name}.log",
                                      **popen))

    def ping(self, address, count=3, interval=0.2, wait=5, size=None):
        """Number of answers to the first `count` requests. ping stops at so many answers; without a
        deadline it would not wait for the last one longer than an interval."""
        deadline = math.ceil(count * interval + wait)
        argv = ["ping", "-n", "-c", count, "-i", interval, "-W", wait, "-w", deadline]
        if size is not None:
            argv += ["-M", "do", "-s", size]
        out = self.run(*argv, address, check=False, timeout=deadline + 20).stdout
        answered = {int(n) for n in re.findall(r"bytes from .* icmp_seq=(\d+)", out)}
        return len([n for n in answered if n <= count])

    def pinging(self, address, count, interval, **kw):
        return Pings(self, address, count, interval, **kw)

    def sysctl(self, key, value):
        self.run("sysctl", "-qw", f"{key}={value}")

    def tcp(self, other, address, octets=300_000, port=5001):
        """Send octets to a listener in `other`; raises unless all arrive unharmed."""
        server = other.start(PYTHON, ROOT / "tests/net/tcp.py", "receive", address, port, octets,
                             name=f"tcp-{address.replace(':', '_')}-{port}")
        wait_for("the TCP listener", lambda: "listening" in server.text() or not server.alive())
        self.run(PYTHON, ROOT / "tests/net/tcp.py", "send", address, port, octets, timeout=60)
        assert server.child.wait(30 * PATIENCE * BUSY) == 0, server.text()


class Adit:
    """adit-keeper with its aditd in a namespace."""

    def __init__(self, ns, config, name="adit", users=None):
        self.ns = ns
        self.dir = ns.lab.dir / f"{ns.short}-{name}"
        self.dir.mkdir(mode=0o755)
        self.control = self.dir / "control"
        self.accounting = self.dir / "accounting.jsonl"
        self.conf = self.dir / "adit.conf"
        if users is not None:
            (self.dir / "users").write_text(users)
        self.conf.write_text(self.preamble() + config.replace("@DIR@", str(self.dir)))
        self.keeper = None
        self.name = name

    def preamble(self):
        return (f'control = "{self.control}"\nstate-directory = "{self.dir}"\n'
                f'accounting = "{self.accounting}"\nuser = "root"\nlog-level = "debug"\n')

    def start(self, wait=True, **popen):
        self.keeper = self.ns.start(BUILD / "src/keeper/adit-keeper", "-c", self.conf, "--run",
                                    BUILD / "src/daemon/aditd", name=self.name, **popen)
        if wait:
            wait_for("aditd to answer", lambda: self.ctl("status", check=False).returncode == 0
                     or not self.keeper.alive())
            assert self.keeper.alive(), self.keeper.text()
        return self

    def ctl(self, *argv, check=True, timeout=40):
        return self.ns.run(BUILD / "src/ctl/adit", "--control", self.control, *argv, check=check,
                           timeout=timeout)

    def json(self, *argv):
        return json.loads(self.ctl(*argv, "--json").stdout)

    def sessions(self):
        return self.json("show", "sessions")["sessions"]

    def aditd_pid(self):
        children = pathlib.Path(f"/proc/{self.keeper.pid}/task/{self.keeper.pid}/children")
        if not children.exists():  # as when the keeper has ended
            out = subprocess.run(["pgrep", "-P", str(self.keeper.pid), "-x", "aditd"],
                                 capture_output=True, text=True).stdout.split()
            return int(out[0]) if out else None
        try:
            for pid in children.read_text().split():
                if pathlib.Path(f"/proc/{pid}/comm").read_text() == "aditd\n":
                    return int(pid)
        except (FileNotFoundError, ProcessLookupError):
            pass  # one of them has just ended
        return None

    def kill_aditd(self, sig=signal.SIGKILL):
        """Kill aditd and wait until its successor serves."""
        old = wait_for("aditd", self.aditd_pid)
        os.kill(old, sig)
        wait_for("a new aditd", lambda: self.aditd_pid() not in (None, old))
        wait_for("the new aditd to answer",
                 lambda: self.ctl("status", check=False).returncode == 0)

    def accounting_file(self):
        if not self.accounting.exists():
            return []
        return [json.loads(line) for line in self.accounting.read_text().splitlines()]

    def accounting_lines(self):
        """Those of sessions."""
        return [line for line in self.accounting_file() if line["event"] != "on"]

    def text(self):
        return self.keeper.text()

    def stop(self):
        return self.keeper.stop()


class Lab:
    def __init__(self):
        self.prefix = f"adit-{os.getpid()}-{next(_labs)}"
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=self.prefix + "-"))
        self.dir.chmod(0o755)
        self.namespaces = []
        self.processes = []
        self.children = []  # other Popen objects to be ended
        self.cables = itertools.count(1)

    def ns(self, name):
        ns = Ns(self, name)
        self.namespaces.append(ns)
        return ns

    def track(self, process):
        self.processes.append(process)
        return process

    def cable(self, a, b, a_addresses=(), b_addresses=(), a_if=None, b_if=None):
        """A veth pair between two namespaces; returns the two interface names."""
        n = next(self.cables)
        a_if, b_if = a_if or f"eth{n}", b_if or f"eth{n}"
        a.run("ip", "link", "add", a_if, "type", "veth", "peer", "name", b_if, "netns", b.name)
        for ns, dev, addresses in ((a, a_if, a_addresses), (b, b_if, b_addresses)):
            for address in addresses:
                ns.run("ip", "addr", "add", address, "dev", dev,
                       *(("nodad",) if ":" in address else ()))
            ns.run("ip", "link", "set", dev, "up")
        return a_if, b_if

    def adit(self, ns, config, **kw):
        return Adit(ns, config, **kw)

    def logs(self):
        return "\n".join(f"==== {path}\n{path.read_text(errors='replace')}"
                         for path in sorted(self.dir.rglob("*.log")))

    def close(self):
        for child in self.children:
            child.kill()
            child.communicate()
        for process in reversed(self.processes):
            if process.alive():
                process.child.terminate()
        end = time.monotonic() + 12 * PATIENCE
        for process in self.processes:
            while process.alive() and time.monotonic() < end:
                time.sleep(0.02)
            if process.alive():
                process.child.kill()
                process.child.wait(5)
        for ns in self.namespaces:
            # whatever a killed keeper may have left running in here
            pids = subprocess.run(["ip", "netns", "pids", ns.name], capture_output=True,
                                  text=True).stdout.split()
            for pid in pids:
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass
            subprocess.run(["ip", "netns", "del", ns.name], check=False)
        shutil.rmtree(self.dir, ignore_errors=True)
