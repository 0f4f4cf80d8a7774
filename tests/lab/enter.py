"""A private world for a run: `python -m tests.lab.enter MODULE [ARGUMENT ...]`.

Runs the module with its own network, mounts and processes, so that fixed addresses and names never collide, nothing is
left behind, and everything ends with the first process. /dev is without kvm, as libvirt would try it and wait; /run
and libvirt's directories are empty. `in_lab` makes a pytest test run itself like that.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INSIDE = "GROUNDSTATE_LAB_INSIDE"
WANTED = "GROUNDSTATE_LAB"
PROGRAMS = (
    *("unshare", "ip", "mount", "dnsmasq", "lldpd", "lldpcli", "libvirtd", "virsh", "qemu-img", "qemu-system-x86_64"),
    *("lshw", "dmidecode", "curl", "zstd", "sfdisk", "mkfs.vfat", "mcopy", "depmod", "busybox", "dpkg-deb", "apt-get"),
    *("grub-mkimage", "xorriso", "mformat", "sshd", "ssh", "ssh-keygen", "mke2fs", "vtysh"),
)
FILES = (
    "/usr/share/OVMF/OVMF_CODE_4M.fd",
    "/usr/lib/grub/i386-pc/linux.mod",
    "/usr/lib/grub/x86_64-efi/linux.mod",
    "/usr/lib/ipxe/ipxe.efi",
    "/usr/lib/ipxe/qemu/pxe-virtio.rom",
    "/usr/lib/frr/frr-reload.py",
    "/dev/net/tun",
)
DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "net/tun")
EMPTY = ("/run", "/var/tmp", "/etc/libvirt", "/var/lib/libvirt", "/var/cache/libvirt", "/var/log/libvirt")


def inside() -> bool:
    return os.environ.get(INSIDE) == "1"


def missing() -> list[str]:
    """What the lab needs and this machine lacks; tests/lab/packages.txt has the Debian packages."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    lacking = [program for program in PROGRAMS if shutil.which(program, path=path) is None]
    lacking += [file for file in FILES if not Path(file).exists()]
    return lacking if os.geteuid() == 0 else ["root", *lacking]


def command(module: str, *arguments: str) -> list[str]:
    """What runs the module inside."""
    unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    return [*unshare, sys.executable, "-m", "tests.lab.enter", "--inside", module, *arguments]


def in_lab(seconds: int, *, every_commit: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A test that runs inside: skipped, with the reason, where it cannot; failed after so many seconds.

    Booting takes minutes, so it is for `./dev lab` and for whoever sets GROUNDSTATE_LAB=1; those for every commit run
    with GROUNDSTATE_LAB=commit too, as .ci/run sets it.
    """

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def outside(*arguments: object, **named: object) -> None:
            if inside():
                test(*arguments, **named)
                return
            if os.environ.get(WANTED) not in ("1", "commit" if every_commit else "1"):
                pytest.skip("boots virtual machines, which takes minutes; run ./dev lab, or set GROUNDSTATE_LAB=1")
            if lacking := missing():
                pytest.skip(f"the virtual lab needs {', '.join(lacking)}; see tests/lab/packages.txt")
            _prepare()
            _again(os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0], seconds)

        marked: Callable[..., None] = pytest.mark.timeout(seconds + 30)(outside)
        return marked

    return decorate


def _prepare() -> None:
    # Here, as it brings in much that a run of the other tests does not need.
    from tests.lab import prepare

    prepare.prepare()


def _again(node: str, seconds: int) -> None:
    """Run the one test inside; what it printed is shown when it fails, and its logs are kept until the next run."""
    kept = ROOT / ".cache" / "lab" / "run" / re.sub(r"\W+", "-", node.rpartition("::")[2])
    kept.parent.mkdir(parents=True, exist_ok=True)
    options = ["-q", "-x", "-p", "no:cacheprovider", "--tb=short", f"--timeout={seconds}", f"--basetemp={kept}"]
    pytest_ = command("pytest", *options, node)
    try:
        done = subprocess.run(pytest_, cwd=ROOT, capture_output=True, text=True, timeout=seconds + 20, check=False)
    except subprocess.TimeoutExpired as late:
        pytest.fail(f"not done in {seconds} s:\n{late.stdout!r}", pytrace=False)
    if done.returncode:
        pytest.fail(f"inside the lab (its logs are in {kept}):\n{done.stdout}\n{done.stderr}", pytrace=False)


def main(arguments: list[str]) -> None:
    """Outside: go in. Inside: arrange the mounts and become the module."""
    if not arguments:
        sys.exit(__doc__)
    if arguments[0] != "--inside":
        if lacking := missing():
            sys.exit(f"error: the virtual lab needs {', '.join(lacking)}; see tests/lab/packages.txt")
        os.chdir(ROOT)
        _prepare()
        wrapped = command(*arguments)
        os.execvp(wrapped[0], wrapped)  # noqa: S606
    _arrange()
    os.environ[INSIDE] = "1"
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    # There is no way out of here, and whom to trust is said by each client.
    for name in [
        name for name in os.environ if name.lower().endswith(("_proxy", "ca_bundle")) or name.startswith("SSL_")
    ]:
        del os.environ[name]
    sys.exit(_first_process([sys.executable, "-m", *arguments[1:]]))


def _first_process(words: list[str]) -> int:
    """Run it, and bury every orphan, which is the duty of process 1: libvirt waits until its children are gone."""
    child = os.posix_spawn(words[0], words, os.environ)
    while True:
        ended, status = os.wait()
        if ended == child:
            return os.waitstatus_to_exitcode(status) & 0xFF


def _arrange() -> None:
    dev = Path("/run/lab-dev")
    for path in EMPTY:
        Path(path).mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "-o", "mode=755", "lab", path)
    dev.mkdir()
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "dev", str(dev))
    for name in ("net", "pts", "shm"):
        (dev / name).mkdir()
    for name in DEVICES:
        _run("cp", "-a", f"/dev/{name}", str(dev / name))
    _run("mount", "--bind", "/dev/pts", str(dev / "pts"))
    _run("mount", "--move", str(dev), "/dev")
    for link, target in {"fd": "fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}.items():
        Path(f"/dev/{link}").symlink_to(f"/proc/self/{target}")
    _run("ip", "link", "set", "lo", "up")


def _run(*words: str) -> None:
    subprocess.run(words, check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
