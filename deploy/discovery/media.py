"""The same kernel and initrd as a CD image, for machines that start from their BMC's virtual media; BIOS and UEFI.

GRUB starts them. It is told its modules and where to look; the rest is a configuration file on the CD, in which the
boot service writes what the kernel is to be told.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from deploy.discovery import debian
from reconciler.services.boot.cd_image import ROOM

NAME = "agent.iso"
LABEL = "GS_AGENT"
MODULES = ("iso9660", "linux", "normal", "configfile", "search", "search_label", "test", "echo")
PLATFORMS = {
    # Format: what else it needs, and its place on the CD.
    "i386-pc-eltorito": (("biosdisk",), "boot/bios.img"),
    "x86_64-efi": (("part_gpt", "part_msdos", "fat"), "boot/bootx64.efi"),
}
FIRST = f"search --no-floppy --set=root --label {LABEL}\nset prefix=($root)/boot\nconfigfile /boot/grub.cfg\n"
CONFIGURATION = b"linux /boot/vmlinuz " + ROOM + b"\ninitrd /boot/initrd\nboot\n"
PACKAGES = {
    "/usr/bin/grub-mkimage": "grub-common",
    "/usr/lib/grub/i386-pc/linux.mod": "grub-pc-bin",
    "/usr/lib/grub/x86_64-efi/linux.mod": "grub-efi-amd64-bin",
    "/usr/bin/xorriso": "xorriso",
    "/usr/bin/mformat": "mtools",
    "/usr/bin/mcopy": "mtools",
}
MEBIBYTE = 1 << 20


def image(kernel: bytes, initrd: bytes, at: int) -> bytes:
    """The CD image. `at`: the time of all that is in it, in seconds since 1970. Raises debian.Missing, OSError."""
    absent = sorted({package for path, package in PACKAGES.items() if not Path(path).exists()})
    if absent:
        raise debian.Missing(f"the CD image needs programs; install them: apt-get install {' '.join(absent)}")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        boot = root / "boot"
        boot.mkdir(parents=True)
        (boot / "vmlinuz").write_bytes(kernel)
        (boot / "initrd").write_bytes(initrd)
        (boot / "grub.cfg").write_bytes(CONFIGURATION)
        _loaders(root, Path(folder))
        _system_partition(root, at)
        return _packed(root, Path(folder) / NAME, at)


def _loaders(root: Path, folder: Path) -> None:
    first = folder / "first.cfg"
    first.write_text(FIRST)
    for platform, (more, place) in PLATFORMS.items():
        options = ["-O", platform, "-p", "/boot", "-c", first, "-o", root / place]
        debian.run("grub-mkimage", *options, *MODULES, *more)


def _system_partition(root: Path, at: int) -> None:
    """What UEFI takes for the disk in the drive: a FAT file system with the loader under the name it looks for."""
    loader = root / "boot" / "bootx64.efi"
    size = (loader.stat().st_size + MEBIBYTE) // MEBIBYTE + 1
    target = root / "boot" / "efi.img"
    with target.open("wb") as file:
        file.truncate(size * MEBIBYTE)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(at), "TZ": "UTC"}
    # A serial number by itself would be one of chance.
    debian.run("mformat", "-i", target, "-N", "47530001", "-v", LABEL, "::", environment=environment)
    debian.run("mmd", "-i", target, "::EFI", "::EFI/BOOT", environment=environment)
    os.utime(loader, (at, at))
    debian.run("mcopy", "-m", "-i", target, loader, "::EFI/BOOT/BOOTX64.EFI", environment=environment)
    loader.unlink()


def _packed(root: Path, target: Path, at: int) -> bytes:
    for path in (*root.rglob("*"), root):
        os.utime(path, (at, at))
    bios = ["-b", "boot/bios.img", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", "--grub2-boot-info"]
    uefi = ["-eltorito-alt-boot", "-e", "boot/efi.img", "-no-emul-boot"]
    names = ["-V", LABEL, "-R", "-J", "-uid", "0", "-gid", "0", "-o", target]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(at), "TZ": "UTC"}
    debian.run("xorriso", "-as", "mkisofs", "-quiet", *bios, *uefi, *names, root, environment=environment)
    return target.read_bytes()
