"""The discovery image: `./dev image`.

Makes `vmlinuz`, `initrd`, both again as `agent.iso`, and `manifest.json` from Debian packages and the recipe in this
directory. Programs are those installed on this machine; the kernel and a boot loader are fetched and unpacked. Equal
inputs give equal bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from deploy.discovery import debian, media, stub
from deploy.discovery.tree import Tree

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIB = "usr/lib/groundstate"
# Parts of the recipe by their places in the image.
RECIPE = {
    "init": "init",
    "etc/udhcpc.script": "udhcpc.script",
    f"{LIB}/agent": "agent",
    **{f"{LIB}/{path.name}": f"lib/{path.name}" for path in sorted((HERE / "lib").glob("*.sh"))},
}
# Programs, and the Debian package to install where one is missing.
PROGRAMS = {
    "/usr/bin/curl": "curl",
    "/usr/bin/lsblk": "util-linux",
    "/usr/bin/lshw": "lshw",
    "/usr/bin/mtools": "mtools",
    "/usr/bin/tar": "tar",
    "/usr/bin/zstd": "zstd",
    "/usr/sbin/blkdiscard": "util-linux",
    "/usr/sbin/dmidecode": "dmidecode",
    "/usr/sbin/hdparm": "hdparm",
    "/usr/sbin/ip": "iproute2",
    "/usr/sbin/lldpcli": "lldpd",
    "/usr/sbin/lldpd": "lldpd",
    "/usr/sbin/mkfs.ext4": "e2fsprogs",
    "/usr/sbin/mkfs.vfat": "dosfstools",
    "/usr/sbin/nvme": "nvme-cli",
    "/usr/sbin/sfdisk": "fdisk",
}
# Other files. mtools converts names by a code page, and the C library loads that from a file of its own.
GCONV = "/usr/lib/x86_64-linux-gnu/gconv"
FILES = {
    "/etc/mke2fs.conf": "e2fsprogs",
    "/usr/share/misc/pci.ids": "pci.ids",
    f"{GCONV}/IBM850.so": "libc6",
}
GCONV_MODULES = b"alias CP850// IBM850//\nmodule IBM850// INTERNAL IBM850 1\nmodule INTERNAL IBM850// IBM850 1\n"
# The boot loader for installed archives of a root file system; its package is only unpacked.
LOADER = "usr/lib/systemd/boot/efi/systemd-bootx64.efi"
# Kernel modules, by directory or file below `kernel/`: what a server's disks, network cards and clocks need, and the
# file systems that are written: ext4 for root file systems, btrfs for Flatcar's OEM partition.
MODULES = (
    *("crypto/crc32c_generic.ko", "drivers/block/loop.ko", "fs/btrfs/", "fs/ext4/"),
    *("drivers/ata/", "drivers/block/virtio_blk.ko", "drivers/block/xen-blkfront.ko", "drivers/char/hw_random/"),
    *(
        "drivers/char/ipmi/",
        "drivers/firmware/qemu_fw_cfg.ko",
        "drivers/hv/",
        "drivers/message/fusion/",
        "drivers/mmc/",
    ),
    *("drivers/net/bonding/", "drivers/net/ethernet/", "drivers/net/hyperv/", "drivers/net/virtio_net.ko"),
    *("drivers/net/vmxnet3/", "drivers/net/xen-netfront.ko", "drivers/nvme/host/", "drivers/pci/controller/"),
    *("drivers/scsi/", "drivers/usb/host/", "drivers/virtio/", "net/8021q/"),
)
ACCOUNTS = {
    "etc/passwd": b"root:x:0:0:root:/:/bin/sh\n_lldpd:x:101:101::/run/lldpd:/bin/false\n",
    "etc/group": b"root:x:0:\n_lldpd:x:101:\n",
}


def main(arguments: list[str]) -> int:
    """Build, and say where it is."""
    parser = argparse.ArgumentParser(prog="./dev image", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist" / "discovery", help="directory for the four files")
    parser.add_argument("--kernel", choices=("cloud-amd64", "amd64"), default="cloud-amd64", help="Debian's flavour")
    parser.add_argument("--ca", type=Path, help="certificate authority that the agent is to trust (PEM), for gs.ca=1")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "discovery", help="for fetched packages")
    options = parser.parse_args(arguments)
    try:
        manifest = build(options.out, options.kernel, options.cache, options.ca)
    except (debian.Missing, OSError) as error:
        sys.stderr.write(f"error: the discovery image cannot be built: {error}\n")
        return 1
    sizes = ", ".join(f"{name} {one['bytes'] / 1e6:.1f} MB" for name, one in manifest["files"].items())
    sys.stdout.write(f"{options.out}: version {manifest['version']}, {sizes}\n")
    return 0


def build(out: Path, flavour: str, cache: Path, ca: Path | None = None) -> dict[str, dict[str, dict[str, int]]]:
    """Write the four files to `out`; returns the manifest. Raises debian.Missing, OSError."""
    package = debian.latest_kernel(flavour)
    kernel, version = debian.unpacked(package, cache)
    loader, loader_version = debian.unpacked("systemd-boot-efi", cache)
    tree = Tree()
    used = programs(tree)
    sources = {**debian.packages_of(used), package: version, "systemd-boot-efi": loader_version}
    tree.copy(loader / LOADER, LOADER)
    modules(tree, kernel)
    recipe(tree, ca)
    name = digest(json.dumps([sources, {path: digest(data) for path, data in tree.files()}]).encode())[:12]
    tree.file("etc/groundstate/version", f"{name}\n".encode())
    out.mkdir(parents=True, exist_ok=True)
    at = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    outputs = {
        "vmlinuz": next((kernel / "boot").glob("vmlinuz-*")).read_bytes(),
        "initrd": packed(tree.archive(at)),
    }
    outputs[media.NAME] = media.image(outputs["vmlinuz"], outputs["initrd"], at)
    for path, data in outputs.items():
        (out / path).write_bytes(data)
    manifest = {
        "version": name,
        "files": {path: {"sha256": digest(data), "bytes": len(data)} for path, data in outputs.items()},
        "packages": [{"name": one, "version": sources[one], "origin": "Debian"} for one in sorted(sources)],
        "contents": {path: digest(data) for path, data in tree.files()},
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    return manifest  # type: ignore[return-value]


def programs(tree: Tree) -> list[Path]:
    """Busybox, the programs with their libraries, and other files; returns what of this machine went in."""
    busybox = Path("/bin/busybox")
    wanted = {**PROGRAMS, **FILES, str(busybox): "busybox-static"}
    absent = sorted({package for path, package in wanted.items() if not Path(path).exists()})
    if absent:
        raise debian.Missing(f"programs are missing; install them: apt-get install {' '.join(absent)}")
    if debian.libraries(busybox):
        raise debian.Missing("busybox is not the static one; install it: apt-get install busybox-static")
    paths = {*wanted, *(library for path in wanted for library in needed(tree, path))}
    for path in sorted(paths):
        tree.copy(Path(path), path)
    for applet in debian.run(busybox, "--list").split():
        if applet not in ("busybox", "ip", "blkdiscard"):
            tree.link(f"bin/{applet}", "busybox")
    for name in ("mcopy", "mdir", "mmd"):
        tree.link(f"usr/bin/{name}", "mtools")
    tree.file(f"{GCONV}/gconv-modules", GCONV_MODULES)
    return [Path(path).resolve() for path in sorted(paths)]


def needed(tree: Tree, program: str) -> list[str]:
    """The program's libraries. In the place of ICU, and of what only ICU needs, there is a stub."""
    found = debian.libraries(Path(program))
    for path in found:
        icu = re.search(r"/(libicuuc\.so\.(\d+))$", path)
        if icu:
            users = [Path(one).read_bytes() for one in found if "/libxml2.so" in one]
            functions = [name for user in users for name in stub.names_used(user, icu[2])]
            tree.file(path, stub.library(icu[1], functions))
            return [one for one in found if not re.search(r"/(libicu\w+|libstdc\+\+|libgcc_s)\.so", one)]
    return found


def modules(tree: Tree, kernel: Path) -> None:
    """The chosen modules, what they need, and the tables by which modprobe finds them."""
    base = next((kernel / "lib" / "modules").iterdir())
    place = f"lib/modules/{base.name}"
    debian.run("depmod", "-b", kernel, base.name)
    needs = dict(re.findall(r"^(\S+):(.*)$", (base / "modules.dep").read_text(), re.MULTILINE))
    chosen = {path for path in needs if path.removeprefix("kernel/").startswith(MODULES)}
    chosen |= {need for path in chosen for need in needs[path].split()}
    for path in chosen:
        tree.copy(base / path, f"{place}/{path}")
    tree.file(f"{place}/modules.dep", "".join(f"{path}:{needs[path]}\n" for path in sorted(chosen)).encode())
    names = {Path(path).stem.replace("-", "_") for path in chosen}
    known = (base / "modules.alias").read_text().splitlines(keepends=True)
    tree.file(f"{place}/modules.alias", "".join(line for line in known if line.split()[-1] in names).encode())


def recipe(tree: Tree, ca: Path | None) -> None:
    """Our own parts, and the empty directories."""
    for path, source in RECIPE.items():
        tree.copy(HERE / source, path, 0o644 if path.endswith(".sh") else 0o755)
    for path, data in ACCOUNTS.items():
        tree.file(path, data)
    for path in ("dev", "proc", "sys", "run", "tmp", "etc/groundstate"):
        tree.directory(path)
    if ca is not None:
        tree.copy(ca, "etc/groundstate/ca.pem", 0o644)


def packed(archive: bytes) -> bytes:
    """By one thread, as several would cut the input by the number of processors."""
    debian.run("zstd", "--version")
    command = ["zstd", "-q", "-12", "--single-thread", "-c"]
    return subprocess.run(command, input=archive, capture_output=True, check=True).stdout


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
