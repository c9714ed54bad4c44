#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Run a command on Debian's stock kernel, in a virtual machine that sees this machine's files.

usage: tests/vm/guest.py [--auto | --systemd] [--cpus N] [--parallel] [--memory MIB]
                         [--timeout SECONDS] [--kernel 6.1|6.12] [--env NAME=VALUE]...
                         [--prepare | -- COMMAND...]

The kernel and the peers that need it (xl2tpd, pppd, ...) are Debian packages, downloaded and
unpacked below build/vm; nothing is installed. The guest's root is this machine's root by 9p, read
only, with the unpacked packages and a tmpfs laid over it; build/ is the same directory on both
sides, /tmp and /run are the guest's own. The command's output comes out as it is written, its exit
status is this program's; 125 says that the guest itself failed, 124 that the time was over.

KVM is used where it boots the guest within seconds, else QEMU's own translation (slow: some twenty
to fifty times), and one CPU at a time; with --parallel, for measuring, all of them, which the
guest's kernel may not survive (see qemu_argv()). With --auto the command runs on this machine
itself, with the packages laid over /usr for it alone, where this machine's kernel has L2TP and PPP.
With --systemd the guest's process 1 is systemd, and the command one of its services.
"""

import argparse
import ctypes
import fcntl
import gzip
import mmap
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
VM = ROOT / "build" / "vm"
KERNELS = {"6.1": "linux-image-amd64", "6.12": "linux-image-6.12-amd64"}
PEERS = ("busybox-static", "kmod", "libkmod2", "xl2tpd", "ppp", "libpcap0.8", "libdbus-1-3")
# What the first stage needs to reach its root; the rest is loaded from there.
EARLY = ("virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_console", "virtio_rng")
KVM_SECONDS = 20  # from QEMU's start to the first word of the guest
DIED = re.compile(r"\bBUG: |\bOops: |Kernel panic - |general protection fault|Out of memory: ")
PASSED_ON = re.compile(r"ADIT_|VM_|PYTEST|PYTHON(DONTWRITE|UNBUF)|(A|UB)SAN_OPTIONS|TERM$")


class Error(Exception):
    pass


def run(*argv, **kw):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, **kw)
    if done.returncode:
        raise Error(f"{shlex.join(map(str, argv))}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


# --- kernel and peers, below build/vm

def image_package(kernel):
    """The package with the kernel itself; the name without a version is a pointer to it."""
    for again in (False, True):
        try:
            names = re.findall(r"Depends: (linux-image-\S+)", run("apt-cache", "depends",
                                                                 KERNELS[kernel]))
            if names:
                return names[0]
        except Error:
            pass
        if not again:
            run("apt-get", "-q", "update")
    raise Error(f"apt knows no package {KERNELS[kernel]}")


def download(packages, into):
    into.mkdir(parents=True, exist_ok=True)
    for again in (False, True):
        try:
            run("apt-get", "-q", "-o", "Acquire::Retries=3", "-o", "APT::Sandbox::User=root",
                "download", *packages, cwd=into)
            return
        except Error:
            if again:
                raise
            run("apt-get", "-q", "update")


def unpack(deb, root):
    """As dpkg would, with /bin, /lib and /sbin below /usr as on a merged system."""
    run("dpkg-deb", "-x", deb, root)
    for name in ("bin", "sbin", "lib", "lib64"):
        old = root / name
        if old.is_dir() and not old.is_symlink():
            run("cp", "-a", "--remove-destination", f"{old}/.", root / "usr" / name)
            shutil.rmtree(old)


def module_files(modules, wanted):
    """Files of these modules and of what they need, in the order of loading."""
    needs = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        path, _, rest = line.partition(":")
        needs[path] = rest.split()
    names = {pathlib.Path(p).name.split(".ko")[0].replace("-", "_"): p for p in needs}
    out = []
    for name in wanted:
        if name not in names:
            continue  # built in
        for path in [*reversed(needs[names[name]]), names[name]]:
            if path not in out:
                out.append(path)
    return [modules / p for p in out]


def cpio(entries):
    """A "newc" archive of (name, mode, content)."""
    out = bytearray()
    for number, (name, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08x" % f for f in fields) + name.encode() + b"\0"
        out += b"\0" * (-len(out) % 4) + content
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


def initrd(root, release):
    entries = [(d, 0o040755, b"") for d in ("bin", "dev", "proc", "sys", "modules", "mnt")]
    busybox = next(p for p in (root / "usr/bin/busybox", root / "usr/sbin/busybox") if p.exists())
    entries.append(("bin/busybox", 0o100755, busybox.read_bytes()))
    entries.append(("init", 0o100755, (HERE / "initrd.sh").read_bytes()))
    for i, path in enumerate(module_files(root / "usr/lib/modules" / release, EARLY)):
        entries.append((f"modules/{i:02}-{path.name}", 0o100644, path.read_bytes()))
    return gzip.compress(cpio(entries), 1)


class Image:
    """An unpacked kernel with its root layer; made once, then found again."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.root = VM / f"root-{kernel}"
        self.initrd = VM / f"initrd-{kernel}"
        VM.mkdir(parents=True, exist_ok=True)
        with open(VM / "lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (self.root / "ready").exists():
                self.make()
            self.release = (self.root / "ready").read_text().strip()
            made = initrd(self.root, self.release)
            if not self.initrd.exists() or self.initrd.read_bytes() != made:
                new = self.initrd.with_suffix(".new")
                new.write_bytes(made)
                new.rename(self.initrd)
        self.vmlinuz = self.root / "boot" / f"vmlinuz-{self.release}"

    def make(self):
        print(f"Downloading Debian's kernel {self.kernel} and the peers into {VM}",
              file=sys.stderr, flush=True)
        shutil.rmtree(self.root, ignore_errors=True)
        debs = VM / f"debs-{self.kernel}"
        shutil.rmtree(debs, ignore_errors=True)
        download([image_package(self.kernel), *PEERS], debs)
        for deb in sorted(debs.iterdir()):
            unpack(deb, self.root)
        shutil.rmtree(debs)
        release = next((self.root / "usr/lib/modules").iterdir()).name
        kmod = self.root / "usr/bin/kmod"
        library = str(self.root / "usr/lib/x86_64-linux-gnu")
        # depmod is another name of kmod; -b wants /lib/modules
        (self.root / "lib").symlink_to("usr/lib")
        done = subprocess.run(["depmod", "-b", str(self.root), release], executable=str(kmod),
                              env=dict(os.environ, LD_LIBRARY_PATH=library), capture_output=True,
                              text=True)
        (self.root / "lib").unlink()
        if done.returncode:
            raise Error(f"depmod: {done.stderr.strip()}")
        (self.root / "ready").write_text(release + "\n")


# --- one guest

def tsc_khz():
    """How fast this machine's time stamp counter runs, which QEMU hands to the guest as it is. On a
    busy machine the guest's own measurement at its start may be wrong by a factor, and its clock
    with it. 0 = it could not be read."""
    if os.uname().machine != "x86_64":
        return 0
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE,
                         prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:
        return 0
    # rdtsc; shl rdx, 32; or rax, rdx; ret
    page.write(bytes.fromhex("0f3148c1e2204809d0c3"))
    read = ctypes.CFUNCTYPE(ctypes.c_uint64)(
        ctypes.addressof(ctypes.c_char.from_buffer(page)))
    first = time.monotonic_ns(), read()
    time.sleep(0.5)
    last = time.monotonic_ns(), read()
    return round((last[1] - first[1]) * 1_000_000 / (last[0] - first[0]))


def qemu_argv(image, accel, args, rundir):
    shares = []
    for tag, path, extra in (("host", "/", ",readonly=on"), ("layer", image.root, ",readonly=on"),
                             ("build", ROOT / "build", "")):
        shares += ["-fsdev", f"local,id={tag},path={path},security_model=none,multidevs=remap"
                   f"{extra}",
                   "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
    # With a thread for each CPU, code that one CPU patches while another one runs it may be
    # translated from in between: Linux then dies of a breakpoint (int3) that its jump labels have
    # taken away already. A socket with UDP_ENCAP that is opened and closed while others are closed
    # is enough for it, within a second.
    threads = "multi" if args.parallel else "single"
    how = {"kvm": ["-accel", "kvm", "-cpu", "host"],
           "tcg": ["-accel", f"tcg,thread={threads},tb-size=1024", "-cpu", "max,-la57"]}[accel]
    words = ["console=ttyS0", "quiet", "panic=-1", "oops=panic", "mitigations=off", "nokaslr",
             "random.trust_cpu=on", "tsc=reliable", "no_timer_check", "net.ifnames=0",
             "transparent_hugepage=never", "audit=0", f"adit.root={ROOT}",
             f"adit.run={rundir.relative_to(ROOT / 'build')}"]
    if accel == "tcg" and (khz := tsc_khz()):
        words.append(f"tsc_early_khz={khz}")
    if args.systemd:
        words += ["adit.systemd", "systemd.mask=man-db.timer systemd.default_timeout_start_sec=300"]
    return ["qemu-system-x86_64", "-M", "pc", *how, "-smp", str(args.cpus), "-m",
            str(args.memory),
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-kernel", str(image.vmlinuz), "-initrd", str(image.initrd), "-append",
            " ".join(words), *shares, "-device", "virtio-rng-pci",
            "-serial", f"file:{rundir}/console", "-device", "virtio-serial-pci",
            "-chardev", f"file,id=out,path={rundir}/out", "-device",
            "virtserialport,chardev=out,name=out"]


def end_of(lines):
    """The last lines; of a kernel that died all since it said why."""
    why = [n for n, line in enumerate(lines) if DIED.search(line)]
    return lines[max(min([len(lines) - 40, *(n - 5 for n in why[:1])]), 0):]


def boot(image, accel, argv, args, rundir, env):
    """Run argv in a guest: its exit status, None when the guest never spoke."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in env.items()]
    lines += [f"cd {shlex.quote(os.getcwd())}", f"exec {shlex.join(argv)}"]
    (rundir / "cmd").write_text("\n".join(lines) + "\n")
    (rundir / "out").write_bytes(b"")
    started = time.monotonic()
    with open(rundir / "qemu", "wb") as log:
        child = subprocess.Popen(qemu_argv(image, accel, args, rundir),
                                 stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    spoke = False
    over = None
    try:
        with open(rundir / "out", "rb") as out:
            while True:
                ended = child.poll() is not None
                while text := out.read(65536):
                    if not spoke:  # the first line is the guest's own
                        _, _, text = text.partition(b"\n")
                        spoke = True
                    sys.stdout.buffer.write(text)
                    sys.stdout.buffer.flush()
                if ended:
                    break
                now = time.monotonic() - started
                if now > args.timeout:
                    over = f"guest: {args.timeout} s are over"
                    break
                if accel == "kvm" and not spoke and now > KVM_SECONDS:
                    return None
                time.sleep(0.05)
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()
    if over:
        print(over, file=sys.stderr)
        return 124
    status = rundir / "status"
    if status.exists():
        return int(status.read_text())
    if accel == "kvm" and not spoke:
        return None
    for name in ("qemu", "console"):
        if (rundir / name).exists():
            lines = (rundir / name).read_text(errors="replace").splitlines()
            print("\n".join(f"{name}: {line}" for line in end_of(lines)), file=sys.stderr)
    print("guest: it ended before the command did", file=sys.stderr)
    return 125


def kvm_verdict():
    """Where it is written down whether KVM worked since this machine was started."""
    boot_id = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return VM / f"no-kvm-{boot_id}"


def native():
    """Has this machine's own kernel what the tests need?"""
    probe = ("exec 3<>/dev/ppp && ip l2tp show tunnel && ip link add x type veth peer name y && "
             "ip l2tp add tunnel tunnel_id 1 peer_tunnel_id 1 encap ip local 127.0.0.1 "
             "remote 127.0.0.1 && ip l2tp add session tunnel_id 1 session_id 1 peer_session_id 1")
    return subprocess.run(["unshare", "--net", "sh", "-c", f"ip link set lo up && {probe}"],
                          check=False, capture_output=True).returncode == 0


def run_here(argv, args):
    """On this machine's kernel: the packages are laid over /usr in a mount namespace of its own."""
    image = Image(args.kernel)
    env = dict(os.environ, VM_KERNEL=os.uname().release, VM_ACCEL="none",
               **dict(pair.split("=", 1) for pair in args.env))
    lay = f"mount -t overlay -o lowerdir={image.root}/usr:/usr overlay /usr"
    try:
        return subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c",
                               f"{lay} && exec {shlex.join(argv)}"], check=False, env=env,
                              timeout=args.timeout).returncode
    except subprocess.TimeoutExpired:
        print(f"guest: {args.timeout} s are over", file=sys.stderr)
        return 124


def guest(argv, args):
    image = Image(args.kernel)
    env = {k: v for k, v in os.environ.items() if PASSED_ON.match(k)}
    env["VM_KERNEL"] = image.release
    for pair in args.env:
        name, _, value = pair.partition("=")
        env[name] = value
    accels = ["tcg"]
    if os.access("/dev/kvm", os.R_OK | os.W_OK) and not kvm_verdict().exists():
        accels.insert(0, "kvm")
    for accel in accels:
        env["VM_ACCEL"] = accel
        # how much longer things take than on the machine itself; see tests/net/lab.py
        env.setdefault("ADIT_PATIENCE", "1")
        if accel == "tcg":
            env["ADIT_PATIENCE"] = os.environ.get("ADIT_PATIENCE", "6")
        rundir = pathlib.Path(tempfile.mkdtemp(prefix="run-", dir=VM))
        try:
            status = boot(image, accel, argv, args, rundir, env)
            if status is not None:
                return status
            kvm_verdict().write_text("KVM did not boot a guest\n")
        finally:
            shutil.rmtree(rundir, ignore_errors=True)
    raise Error("no way to run the guest was found")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--parallel", action="store_true",
                        help="CPUs that run at the same time where QEMU translates: to measure")
    parser.add_argument("--memory", type=int, default=2048, help="MiB")
    parser.add_argument("--timeout", type=int, default=900, help="seconds")
    parser.add_argument("--kernel", choices=KERNELS, default="6.1")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--auto", action="store_true", help="no guest where none is needed")
    parser.add_argument("--systemd", action="store_true", help="systemd is the guest's process 1")
    parser.add_argument("--prepare", action="store_true", help="download only")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # take the guest along
    argv = args.command[1:] if args.command[:1] == ["--"] else args.command
    try:
        if args.prepare:
            Image(args.kernel)
            return 0
        if not argv:
            parser.error("a command is missing")
        return run_here(argv, args) if args.auto and not args.systemd and native() else guest(argv, args)
    except Error as e:
        print(f"guest: {e}", file=sys.stderr)
        return 125


if __name__ == "__main__":
    sys.exit(main())
