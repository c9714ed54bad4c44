# SPDX-License-Identifier: MIT
"""What is installed for systemd and udev: it is complete, systemd reads it without a complaint, the
units are held as tightly as they say, and the udev rule knows our interfaces and no others."""

import fnmatch
import re
import shutil
import subprocess

import pytest

from lab import BUILD, ROOT

# What `systemd-analyze security` may find at most, in tenths; where the rest comes from is said in
# the units: devices, capabilities and hooks of the keeper; the network of both.
EXPOSURE = {"adit.service": 17, "adit-keeper.service": 45}


@pytest.fixture
def units(tmp_path):
    """The units with programs that are there."""
    for name in EXPOSURE:
        text = (BUILD / "dist" / name).read_text()
        for program in ("src/keeper/adit-keeper", "src/daemon/aditd", "src/ctl/adit"):
            text = re.sub(rf"/\S*bin/{program.rsplit('/', maxsplit=1)[-1]}(?= )", str(BUILD / program), text)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_systemd_reads_the_units(units):
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *(units / n for n in EXPOSURE)],
                          capture_output=True, text=True)
    ours = [line for line in done.stderr.splitlines() if "adit" in line]
    assert done.returncode == 0 and not ours, done.stderr


@pytest.mark.parametrize("name", EXPOSURE)
def test_exposure(units, name):
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager",
                           f"--threshold={EXPOSURE[name]}", units / name], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rule_knows_our_groups():
    """20 bits of numbers as patterns of text: each of ours matches, and none beside."""
    header = (ROOT / "src/dp/kernel.h").read_text() + (ROOT / "src/keeper/net.h").read_text()
    first, last, tun = (int(re.search(rf"{name}\s+(0x[0-9a-f]+)", header).group(1), 16)
                        for name in ("KERNEL_GROUPS", "KERNEL_GROUPS_LAST", "NET_MARK_GROUP"))
    tuns = range(tun, tun + int(re.search(r"NET_NUMBERS\s+(\d+)", header).group(1)))
    first, last = first << 16, last << 16 | 0xffff
    rule = (ROOT / "dist/70-adit.rules").read_text()
    patterns = "|".join(re.findall(r'^ATTR\{netdev_group\}=="([^"]+)"', rule, re.M)).split("|")
    match = re.compile("|".join(fnmatch.translate(p) for p in patterns)).match
    assert [n for n in range(tun - 100, tun + 100) if match(str(n))] == list(tuns) and not match("0")
    wrong = [n for n in range(first - 2000, last + 2000) if bool(match(str(n))) != (first <= n <= last)]
    assert not wrong, wrong[:10]
    manual = (ROOT / "doc/man/adit-keeper.8.scd").read_text()
    assert str(first) in manual and str(last) in manual and str(tun) in manual


def test_install(tmp_path):
    """`meson install` puts all of it below the prefix, or where it is told, or nowhere."""
    if not shutil.which("meson"):
        pytest.skip("meson is not there")
    done = subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", tmp_path],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    there = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    for end in ("bin/adit", "sbin/aditd", "sbin/adit-keeper", "lib/systemd/system/adit.service",
                "lib/systemd/system/adit-keeper.service", "lib/sysusers.d/adit.conf",
                "lib/tmpfiles.d/adit.conf", "lib/udev/rules.d/70-adit.rules",
                "lib/systemd/network/05-adit.network"):
        assert any(name.endswith(end) for name in there), (end, sorted(there))
    unit = next(tmp_path.rglob("adit.service")).read_text()
    aditd = "/" + str(next(p for p in tmp_path.rglob("aditd") if p.is_file()).relative_to(tmp_path))
    assert f"ExecStart={aditd} " in unit and "@" not in re.sub(r"@[a-z-]+", "", unit)
