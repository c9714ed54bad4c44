# SPDX-License-Identifier: MIT
"""Figures of the kernel data plane, for bench/run.py: bench/kernel.py in a guest with Debian's stock
kernel, two CPUs. Every round's medians are handed over as soon as they are there."""

import json
import pathlib
import subprocess

import traffic

ROOT = pathlib.Path(__file__).resolve().parents[1]
NAMES = ("kernel_setup_cpu_vs_bare_1k", "kernel_setup_cpu_vs_bare_10k",
         "kernel_setup_rate_vs_bare_1k", "kernel_setup_rate_vs_bare_10k",
         "kernel_teardown_vs_bare", "kernel_pss_per_session_10k", "kernel_files_per_session",
         "kernel_attach_lost", "kernel_attach_lost_612", "kernel_restart_lost_sessions", "kernel_keeper_clean_s_1k", "v3_setup_vs_bare_10k",
         "v3_growth_vs_bare_growth", "v3_user_vs_kernel")
ROUNDS = 3
ATTACHES = 1000
PYTHON = ("/usr/bin/python3",)
# Octets of the guest: an interface with its sysctl and sysfs trees takes some 50 KiB.
SIZES = {"1k": (1_000, 2048), "10k": (10_000, 4096)}


def reference():
    """The program of the bare kernel calls, used unchanged; None = it is not here."""
    source = traffic.REFERENCES / "kfloor.c"
    if not source.exists():
        print(f"  not measured: there is no reference {source}; ADIT_BENCH names its directory")
        return None
    kfloor = ROOT / "build" / "bench-kfloor"
    subprocess.run(["gcc", "-O2", "-Wall", "-o", kfloor, source], check=True)
    return kfloor


def take(figures, name, result):
    figures[f"kernel_setup_cpu_vs_bare_{name}"] = result.get("cpu")
    figures[f"kernel_setup_rate_vs_bare_{name}"] = result.get("rate")
    figures["kernel_files_per_session"] = result.get("files")
    if name == "10k":
        figures["kernel_teardown_vs_bare"] = result.get("down")
        figures["kernel_pss_per_session_10k"] = result.get("pss")


def in_guest(memory, *command, kernel=("--auto",)):
    """Objects of JSON that the command writes, as they come; other lines are passed on."""
    guest = subprocess.Popen([ROOT / "tests/vm/guest.py", *kernel, "--cpus", "2", "--parallel",
                              "--memory", str(memory), "--timeout", "7200", "--",
                              *map(str, command)], stdout=subprocess.PIPE, text=True)
    try:
        for line in guest.stdout:
            if line.startswith("{"):
                yield json.loads(line)
            else:
                print(line, end="", flush=True)
        if guest.wait():
            raise RuntimeError(f"the guest for {command[0]} failed: {guest.returncode}")
    finally:
        if guest.poll() is None:
            guest.terminate()
            guest.wait()


def bench_size(figures, name, write):
    sessions, memory = SIZES[name]
    kfloor = reference()
    if not kfloor:
        return
    for result in in_guest(memory, *PYTHON, ROOT / "bench/kernel.py", kfloor, sessions, ROUNDS):
        take(figures, name, result)
        write()


def bench_restart(figures, write):
    for result in in_guest(3072, *PYTHON, ROOT / "bench/kernel_restart.py"):
        figures.update(result)
        write()


def seconds_of(kind, count):
    """... of so many pseudowires, in a guest of their own (bench/kernel_wires.py)."""
    return next(result["seconds"] for result in in_guest(
        4096, *PYTHON, ROOT / "bench/kernel_wires.py", kind, count))


def bench_wires(figures, write):
    """Set-ups a second of many Ethernet pseudowires over those of the bare kernel calls, and how much
    dearer one of many is than one of few, over the same of the bare calls."""
    cost = {}
    for count in 1000, 10_000:
        bare, adit = (seconds_of(kind, count) for kind in ("bare", "adit"))
        cost[count] = bare / count, adit / count
        print(f"  {count} pseudowires: bare {count / bare:.0f}/s, adit {count / adit:.0f}/s, "
              f"{bare / adit:.3f}", flush=True)
    figures["v3_setup_vs_bare_10k"] = round(bare / adit, 3)
    growth = [large / small for small, large in zip(*cost.values())]
    print(f"  cost of one, 10000 over 1000: bare {growth[0]:.2f}, adit {growth[1]:.2f}")
    figures["v3_growth_vs_bare_growth"] = round(growth[1] / growth[0], 3)
    write()


def bench_v3(figures, write):
    for result in in_guest(2048, *PYTHON, ROOT / "bench/kernel_v3.py", ROUNDS):
        figures.update(result)
        write()


def bench_attach(figures, write):
    """Frames that are lost while sessions are attached to the kernel and their peers go on sending
    one every 100 us, see tests/vm/attach.c."""
    attach = traffic.BUILD / "bench/bench-attach"
    for kernel, name in (("6.1", "kernel_attach_lost"), ("6.12", "kernel_attach_lost_612")):
        for got in in_guest(1024, attach, ATTACHES, 100, kernel=("--kernel", kernel)):
            print(f"  Linux {got['release']}: {got['lost']} of {got['frames']} frames lost in "
                  f"{got['attaches']} attaches, at most {got['lost_most']} in one; {got['roomy']} "
                  f"attaches had no more than 32 frames to wait for, {got['roomy_hurt']} of those "
                  "lost any")
            figures[name] = got["lost"]
            write()


def bench_kernel(figures, write):
    for name in SIZES:
        bench_size(figures, name, write)
