"""The agent's CD image: as it was built, with the way to this service written into it.

The image starts the same kernel and initrd as the network does. The kernel's arguments are in its boot loader's
configuration, in a room of fixed size that the build leaves (deploy/discovery/media.py), so that nothing moves.
"""

from __future__ import annotations

from pathlib import Path

from reconciler.services.boot.boot_settings import BootError

ROOM = b"gs.room=" + b"." * 1016
"""What the build leaves for the kernel's arguments: 1 KiB, once in the image."""


def with_arguments(image: bytes, arguments: str) -> bytes:
    """The image that gives the kernel these arguments. Raises BootError when it has no room for them."""
    if image.count(ROOM) != 1:
        raise BootError(
            "the CD image has no space for the kernel arguments; run `groundstate boot image` to make a new image"
        )
    words = arguments.encode("ascii")
    if len(words) > len(ROOM):
        raise BootError(f"the kernel's arguments are longer than {len(ROOM)} bytes: {arguments}")
    return image.replace(ROOM, words.ljust(len(ROOM)))


def write_image(source: Path, target: Path, arguments: str) -> None:
    """The CD image with these arguments, written whole. Raises BootError, OSError."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = target.with_name(f".{target.name}.new")
    partial.write_bytes(with_arguments(source.read_bytes(), arguments))
    partial.replace(target)
