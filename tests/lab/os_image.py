"""A small operating system to install: a kernel, busybox, and an init that reads its seed and phones home.

A whole disk: GPT with one EFI system partition that holds systemd-boot, the kernel and an initrd. It boots by UEFI
only. The kernel is Debian's for clouds, the one of the discovery image. The seed is a partition labelled CIDATA; read
from it are, as plain lines, `local-hostname`, `phone_home_url` and `phone_home_token` of meta-data, and the first
address with a length and the first `gateway4` or `via` of network-config. Without an address it asks DHCP.

The same as an archive of its root file system: there the kernel and an initrd are in /boot, and the initrd goes on from
the file system that is labelled root.
"""

from __future__ import annotations

import gzip
import io
import re
import stat
import subprocess
import tarfile
import tempfile
from pathlib import Path

from deploy.discovery import debian
from deploy.discovery.tree import Tree

DISK_MIB = 64
MODULES = ("virtio_pci", "virtio_net", "virtio_blk", "vfat", "nls_cp437", "nls_ascii", "nls_utf8", "button", "evdev")
INIT = """\
#!/bin/sh
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs tmp /tmp
exec > /dev/ttyS0 2>&1 < /dev/null
for module in MODULES; do modprobe -q $module; done
acpid -f -l /dev/null > /dev/null 2>&1 &
seed=$(findfs LABEL=CIDATA 2> /dev/null); mkdir -p /seed; touch /tmp/none
[ -z "$seed" ] || mount -t vfat -o ro "$seed" /seed || echo "INSTALLED-OS-FAILED seed $seed cannot be mounted"
value() { sed -n "s/^$1: *//p" /seed/meta-data 2> /dev/null | tr -d "\\"'\\r" | head -n 1; }
name=$(value local-hostname); hostname "${name:-localhost}"
card=$(basename "$(ls -d /sys/class/net/e* | head -n 1)")
ip link set lo up; ip link set "$card" up
address=$(grep -o -E '([0-9]{1,3}[.]){3}[0-9]{1,3}/[0-9]+' /seed/network-config 2> /dev/null | head -n 1)
gateway=$(sed -n -E 's/.*(gateway4|via): *([0-9.]+).*/\\2/p' /seed/network-config 2> /dev/null | head -n 1)
if [ -n "$address" ]; then
    ip addr add "$address" dev "$card"
    [ -z "$gateway" ] || ip route add default via "$gateway"
else
    udhcpc -q -n -t 20 -T 1 -i "$card" -s /udhcpc > /dev/null || echo "INSTALLED-OS-FAILED no DHCP answer"
    address=$(ip -4 addr show dev "$card" | sed -n 's/.*inet \\([^ ]*\\).*/\\1/p')
fi
echo "INSTALLED-OS-UP hostname=$(hostname) address=$address image=$(cat /etc/image)"
# busybox's TLS knows no curve that our certificate could have.
url=$(value phone_home_simple_url); url=${url:-$(value phone_home_url)}
tries=0
while [ -n "$url" ] && [ $tries -lt 60 ]; do
    wget -q -O - --header "Authorization: Bearer $(value phone_home_token)" --header 'Content-Type: application/json' \\
        --post-data '{"type":"phoned-home"}' "$url" > /dev/null 2> /tmp/wget && echo INSTALLED-OS-PHONED-HOME && break
    [ $tries != 0 ] || echo "INSTALLED-OS-WAITING $(cat /tmp/wget)"
    tries=$((tries + 1)); sleep 1
done
while :; do setsid sh -c 'exec sh < /dev/ttyS0 > /dev/ttyS0 2>&1'; done
"""
UDHCPC = """\
#!/bin/sh
case $1 in bound | renew)
    ip addr flush dev $interface; ip addr add $ip/$mask dev $interface
    [ -z "$router" ] || ip route add default via $router ;;
esac
"""
TO_ROOT = """\
#!/bin/sh
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
exec > /dev/ttyS0 2>&1 < /dev/null
for module in MODULES ext4; do modprobe -q $module; done
grep -o 'root=PARTUUID=[0-9a-f-]*' /proc/cmdline || echo "INSTALLED-OS-FAILED no root on the command line"
mount -t ext4 -o rw "$(findfs LABEL=root)" /root || echo "INSTALLED-OS-FAILED the root file system cannot be mounted"
umount /dev /sys /proc
exec switch_root /root /init
"""
LOADER = {
    "loader/loader.conf": b"timeout 0\n",
    "loader/entries/os.conf": b"title os\nlinux /vmlinuz\ninitrd /initrd\noptions console=ttyS0 quiet panic=-1\n",
}


def build(out: Path, cache: Path, name: str = "lab-os-1") -> None:
    """Write the disk, packed by gzip, to `out`; `name` is what it calls itself when it is up."""
    kernel, _ = debian.unpacked(debian.latest_kernel("cloud-amd64"), cache)
    loader, _ = debian.unpacked("systemd-boot-efi", cache)
    files = {
        "EFI/BOOT/BOOTX64.EFI": (loader / "usr/lib/systemd/boot/efi/systemd-bootx64.efi").read_bytes(),
        "vmlinuz": next((kernel / "boot").glob("vmlinuz-*")).read_bytes(),
        "initrd": gzip.compress(_root(kernel, name).archive(0), 6, mtime=0),
        **LOADER,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        out.write_bytes(gzip.compress(_disk(Path(scratch), files), 1, mtime=0))


def build_archive(out: Path, cache: Path, name: str = "lab-root-1") -> None:
    """Write the archive, packed by gzip, to `out`."""
    kernel, _ = debian.unpacked(debian.latest_kernel("cloud-amd64"), cache)
    tree = _root(kernel, name)
    first = Tree({path: entry for path, entry in tree.entries.items() if not path.startswith("etc")})
    first.file("init", TO_ROOT.replace("MODULES", " ".join(MODULES)).encode(), 0o755)
    first.directory("root")
    version = next((kernel / "lib" / "modules").iterdir()).name
    tree.copy(kernel / "boot" / f"vmlinuz-{version}", f"boot/vmlinuz-{version}")
    tree.file(f"boot/initrd.img-{version}", gzip.compress(first.archive(0), 6, mtime=0))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(gzip.compress(_tar(tree), 1, mtime=0))


def _tar(tree: Tree) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path, (mode, data) in sorted(tree.entries.items()):
            member = tarfile.TarInfo(f"./{path}")
            member.mode = stat.S_IMODE(mode)
            if stat.S_ISLNK(mode):
                member.type, member.linkname = tarfile.SYMTYPE, data.decode()
            elif stat.S_ISDIR(mode):
                member.type = tarfile.DIRTYPE
            else:
                member.size = len(data)
            archive.addfile(member, io.BytesIO(data) if member.size else None)
    return out.getvalue()


def _root(kernel: Path, name: str) -> Tree:
    tree = Tree()
    tree.copy(Path("/bin/busybox"), "bin/busybox")
    for applet in debian.run("/bin/busybox", "--list").split():
        if applet != "busybox":
            tree.link(f"bin/{applet}", "busybox")
    tree.file("init", INIT.replace("MODULES", " ".join(MODULES)).encode(), 0o755)
    tree.file("udhcpc", UDHCPC.encode(), 0o755)
    tree.file("etc/image", f"{name}\n".encode())
    # The power button, as a BMC presses it for a graceful shutdown.
    tree.file("etc/acpi/PWRF/00000080", b"#!/bin/sh\nsync\npoweroff -f\n", 0o755)
    for path in ("proc", "sys", "dev", "tmp"):
        tree.directory(path)
    modules(tree, kernel, MODULES)
    return tree


def modules(tree: Tree, kernel: Path, names: tuple[str, ...]) -> None:
    """These modules of the unpacked kernel, what they need, and the table by which modprobe finds them."""
    base = next((kernel / "lib" / "modules").iterdir())
    debian.run("depmod", "-b", kernel, base.name)
    needs = dict(re.findall(r"^(\S+):(.*)$", (base / "modules.dep").read_text(), re.MULTILINE))
    chosen = {path for path in needs if Path(path).stem.replace("-", "_") in names}
    chosen |= {need for path in chosen for need in needs[path].split()}
    for path in chosen:
        tree.copy(base / path, f"lib/modules/{base.name}/{path}")
    lines = "".join(f"{path}:{needs[path]}\n" for path in sorted(chosen))
    tree.file(f"lib/modules/{base.name}/modules.dep", lines.encode())


def _disk(scratch: Path, files: dict[str, bytes]) -> bytes:
    """The partition is made apart and put at its place, so that nothing has to be mounted."""
    disk, partition = scratch / "disk", scratch / "esp"
    _empty(disk, DISK_MIB)
    _empty(partition, DISK_MIB - 2)
    _run("sfdisk", "-q", str(disk), text=f"label: gpt\nstart=2048,size={(DISK_MIB - 2) * 2048},type=U\n")
    _run("mkfs.vfat", "-F", "32", "-n", "ESP", str(partition))
    _run("mmd", "-i", str(partition), "::EFI", "::EFI/BOOT", "::loader", "::loader/entries")
    for path, data in files.items():
        (scratch / "one").write_bytes(data)
        _run("mcopy", "-i", str(partition), str(scratch / "one"), f"::{path}")
    with disk.open("r+b") as whole:
        whole.seek(1 << 20)
        whole.write(partition.read_bytes())
    return disk.read_bytes()


def _empty(path: Path, mib: int) -> None:
    with path.open("wb") as file:
        file.truncate(mib << 20)


def _run(*command: str, text: str | None = None) -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise debian.Missing(f"`{' '.join(command)}` failed: {done.stderr}")
