"""A switch to start in a virtual machine: Debian's kernel, which has VRFs, and FRR, sshd and lldpd in its first root.

It has what the driver `linux` asks for, as Cumulus Linux has. Programs are those installed on this machine, as in the
discovery image. What the switch keeps is on its disk: keys, addresses, and the configuration of FRR. All else is lost
when it restarts.
"""

from __future__ import annotations

import re
from pathlib import Path

from deploy.discovery import build, debian
from deploy.discovery.tree import Tree
from tests.lab import os_image

MODULES = ("virtio_pci", "virtio_net", "virtio_blk", "bridge", "vrf", "vxlan")
PROGRAMS = (
    *("/usr/sbin/sshd", "/usr/sbin/lldpd", "/usr/sbin/lldpcli", "/usr/sbin/ip", "/usr/sbin/bridge", "/usr/bin/python3"),
    *("/usr/lib/frr/zebra", "/usr/lib/frr/bgpd", "/usr/bin/vtysh"),
)
OTHER_FILES = ("/usr/lib/frr/frr-reload.py", "/etc/os-release")
ACCOUNTS = {
    "etc/passwd": (
        "root:x:0:0::/root:/bin/sh\nsshd:x:100:100::/run/sshd:/bin/false\n"
        "_lldpd:x:101:101::/run/lldpd:/bin/false\nfrr:x:102:102::/run/frr:/bin/false\n"
    ),
    "etc/group": "root:x:0:\n_lldpd:x:101:\nfrr:x:102:\nfrrvty:x:103:frr\n",
}
IMPORTED = """\
import runpy, sys
sys.argv = ["frr-reload", "--help"]
try:
    runpy.run_path("/usr/lib/frr/frr-reload.py", run_name="__main__")
except SystemExit:
    pass
for module in list(sys.modules.values()):
    for name in ("__file__", "__cached__"):
        print("FILE", getattr(module, name, None))
"""
SSHD = """\
HostKey /disk/host
AuthorizedKeysFile /disk/user.pub
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin yes
"""
INIT = """\
#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs -o mode=755 run /run
mkdir /dev/pts /run/sshd /run/lldpd /run/frr; mount -t devpts pts /dev/pts; chown frr:frr /run/frr
exec > /dev/ttyS0 2>&1 < /dev/null
for module in MODULES; do modprobe -q $module; done
mount -t ext4 -o sync /dev/vda /disk; mkdir -p /disk/frr; mount --bind /disk/frr /etc/frr
printf 'service integrated-vtysh-config\\nusername root nopassword\\n' > /etc/frr/vtysh.conf
touch /etc/frr/frr.conf; chown -R frr:frr /etc/frr
hostname "$(cat /disk/name)"
ip link set lo up; ip addr add "$(cat /disk/loopback)/32" dev lo
for path in /sys/class/net/e*; do
    card=${path##*/}; number=$(cut -d : -f 6 "$path/address")
    [ "$number" = 00 ] || { ip link set "$card" name "swp${number#0}"; continue; }
    ip link set "$card" up; ip addr add "$(cat /disk/address)" dev "$card"
done
ip link add bridge type bridge vlan_filtering 1; ip link set bridge up
while read -r port address; do ip addr add "$address" dev "$port"; done < /disk/ports
sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
/usr/lib/frr/zebra -d -P 0 -u frr -g frr; /usr/lib/frr/bgpd -d -P 0 -u frr -g frr
until [ -S /run/frr/zebra.vty ] && [ -S /run/frr/bgpd.vty ]; do sleep 0.1; done
vtysh -b
lldpd -I 'swp*'
until lldpcli configure lldp tx-interval 2 > /dev/null 2>&1; do sleep 0.2; done
/usr/sbin/sshd -f /etc/ssh/sshd_config
echo "LEAF-UP after $(cut -d ' ' -f 1 /proc/uptime) s, Linux $(uname -r)"
while :; do sleep 3600; done
"""


def build_leaf(out: Path, cache: Path) -> None:
    """Write `vmlinuz` and `initrd` to the folder `out`. Raises debian.Missing."""
    kernel, _ = debian.unpacked(debian.latest_kernel("cloud-amd64"), cache)
    out.mkdir(parents=True, exist_ok=True)
    (out / "vmlinuz").write_bytes(next((kernel / "boot").glob("vmlinuz-*")).read_bytes())
    (out / "initrd").write_bytes(_root(kernel).archive(0))


def _root(kernel: Path) -> Tree:
    tree = Tree()
    absent = [path for path in (*PROGRAMS, *OTHER_FILES) if not Path(path).exists()]
    if absent:
        raise debian.Missing(f"{', '.join(absent)}: install the packages of tests/lab/packages.txt")
    libraries = (library for program in PROGRAMS for library in build.needed(tree, program))
    for path in {*PROGRAMS, *OTHER_FILES, *libraries}:
        tree.copy(Path(path), path)
    tree.copy(Path("/bin/busybox"), "bin/busybox")
    # The shell of busybox would take its own `ip`.
    tree.copy(Path("/bin/dash"), "bin/sh")
    for applet in debian.run("/bin/busybox", "--list").split():
        if applet not in ("busybox", "ip", "sh"):
            tree.link(f"bin/{applet}", "busybox")
    _python(tree)
    os_image.modules(tree, kernel, MODULES)
    for path, text in ACCOUNTS.items():
        tree.file(path, text.encode())
    tree.file("etc/ssh/sshd_config", SSHD.encode())
    tree.file("init", INIT.replace("MODULES", " ".join(MODULES)).encode(), 0o755)
    tree.link("var/run", "/run")
    for path in ("proc", "sys", "dev", "run", "disk", "etc/frr", "root", "tmp", "var/tmp", "var/log/frr", "var/empty"):
        tree.directory(path)
    return tree


def _python(tree: Tree) -> None:
    """What frr-reload imports of the standard library, as Python itself says."""
    said = debian.run("/usr/bin/python3", "-c", IMPORTED)
    for path in sorted(set(re.findall(r"^FILE (/usr/lib/python3\S+)$", said, re.MULTILINE))):
        if Path(path).exists():
            tree.copy(Path(path), path)
