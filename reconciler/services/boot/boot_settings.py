"""How the boot service is set up."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec

from reconciler.kinds.catalogue.partition import HTTP_PORT
from reconciler.services.boot.scripts import CONSOLES

HTTPS_PORT = 9810


class BootError(Exception):
    """The boot service cannot work with these settings. `str()` is for people."""


class ListenerLimits(msgspec.Struct, frozen=True):
    """The limits of one listener, so that a client cannot use all of it.

    `threads`: requests in hand at once; `connections` in all, and `per_address` of one client. `idle`: seconds for
    which a connection may say nothing. `receive`: seconds for a whole request, `crowded` of these when all threads are
    busy with as many addresses. `send`: seconds for an answer, and one more for each `slowest` bytes of it. `look`:
    seconds between two looks for silent connections, and what it takes at most to stop."""

    threads: int = 128
    connections: int = 384
    per_address: int = 8
    idle: int = 10
    receive: float = 30.0
    crowded: float = 3.0
    send: float = 30.0
    slowest: int = 64 * 1024
    poll: float = 0.2


class BootSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where it listens, what it hands out, and for how long.

    `address`: the name or address under which machines reach it. Port 0 is any free one. `folder`: of this service
    alone; its certificate is kept there. `cert` and `key`: PEM files to use instead of a certificate of its own.
    `kernel` and `initrd`: checksums of the agent's, in the file store. `loaders`: the folder that holds `ipxe.efi` and
    `undionly.kpxe`. `media`: the agent's CD image as it was built, for machines that start from virtual media.
    """

    address: str
    folder: Path
    kernel: str
    initrd: str
    listen: str = "0.0.0.0"  # noqa: S104  machines have to reach it
    http_port: int = HTTP_PORT
    https_port: int = HTTPS_PORT
    cert: Path | None = None
    key: Path | None = None
    loaders: Path | None = None
    media: Path | None = None
    arguments: str = CONSOLES
    limits: ListenerLimits = ListenerLimits()
    boot_token_ttl: timedelta = timedelta(minutes=15)
    session_token_ttl: timedelta = timedelta(hours=25)
    phone_home_ttl: timedelta = timedelta(hours=24)


LOADERS = ("ipxe.efi", "snponly.efi", "undionly.kpxe")
"""Boot programs that are handed out."""


def url_host(address: str) -> str:
    """The address as it stands in a URL: IPv6 in brackets."""
    return f"[{address}]" if ":" in address and not address.startswith("[") else address
