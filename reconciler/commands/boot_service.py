"""The boot service of `groundstate run`: its options, and its start."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from reconciler.commands.options import option
from reconciler.commands.workspace import fail, state_folder
from reconciler.operations.where import Where
from reconciler.runtime import now
from reconciler.services.provisioning_port import Provisioning
from reconciler.store import Store

F = TypeVar("F", bound=Callable[..., Any])
_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class BootOptions(msgspec.Struct, frozen=True):
    """How the boot service is asked for; no address: it is not."""

    address: str | None = None
    listen: str | None = None
    image: Path | None = None
    files: Path | None = None
    port: int = 0
    agent_port: int = 0
    cert: Path | None = None
    key: Path | None = None
    loaders: Path | None = None


def boot_options(command: F) -> F:
    """--boot-address and what belongs to it."""
    for decorate in reversed(
        (
            option(
                "--boot-address", metavar="ADDRESS", help=("Run the boot service; machines reach it at this address.")
            ),
            option(
                "--boot-listen",
                metavar="ADDRESS",
                help="Listen only on this address.  [default: --boot-address if it is one of this host, else all]",
            ),
            option("--boot-image", type=_FOLDER, metavar="DIR", help="The agent's vmlinuz and initrd (./dev image)."),
            option(
                "--boot-files",
                type=_FOLDER,
                metavar="DIR",
                help="Directory with files to serve, named by their SHA-256.  [default: beside the store]",
            ),
            option("--boot-port", default=9809, type=click.IntRange(0, 65535), help="Plain HTTP: scripts and files."),
            option("--boot-agent-port", default=9810, type=click.IntRange(0, 65535), help="HTTPS: the agent's API."),
            option(
                "--boot-cert",
                type=_FILE,
                metavar="FILE",
                help="Certificate of the boot service (PEM). The default is a self-made one.",
            ),
            option("--boot-key", type=_FILE, metavar="FILE", help="The key of --boot-cert (PEM)."),
            option("--boot-loaders", type=_FOLDER, metavar="DIR", help="Directory with ipxe.efi and undionly.kpxe."),
        )
    ):
        command = decorate(command)
    return command


def boot_from(values: dict[str, Any]) -> BootOptions:
    """Take the boot options out of a command's values."""
    names = ("address", "listen", "image", "files", "port", "agent_port", "cert", "key", "loaders")
    found = BootOptions(**{name: values.pop(f"boot_{name}") for name in names})
    if found.address and found.image is None:
        fail("--boot-address needs --boot-image, the folder of the agent's image; ./dev image makes one")
    return found


def place(options: BootOptions) -> str:
    """Where it listens: where it was told to, or else where machines reach it."""
    return options.listen or listen_at(options.address or "")


def listen_at(address: str) -> str:
    """The address, where it is one of this host; else all, as machines come in by another's or by a name."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        literal = str(ip_address(address.strip("[]")))
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            tried.bind((literal, 0))
    except (ValueError, OSError):
        return "0.0.0.0"  # noqa: S104  machines have to reach it
    return literal


@contextmanager
def serve_boot(options: BootOptions, lives: Provisioning, store: Store, where: Where, log: Any) -> Iterator[None]:
    """Serve machines as long as the block lasts, if it was asked for."""
    if options.address is None or options.image is None:
        yield
        return
    # Imported here: those who serve nothing need neither a web server nor TLS.
    from reconciler.kinds.machine.virtual_media import IMAGE
    from reconciler.services.boot.boot_settings import BootError, BootSettings
    from reconciler.services.boot.image_files import Files
    from reconciler.services.boot.server import BootServer

    folder = state_folder(where) / "boot"
    kept, image = options.files or folder / "files", options.image / IMAGE
    files = Files(kept)
    try:
        kernel, initrd = (files.add(options.image / name) for name in ("vmlinuz", "initrd"))
        settings = BootSettings(
            address=options.address,
            listen=place(options),
            folder=folder,
            kernel=kernel,
            initrd=initrd,
            http_port=options.port,
            https_port=options.agent_port,
            cert=options.cert,
            key=options.key,
            loaders=options.loaders,
            media=image if image.exists() else None,
        )
        server = BootServer(settings, lives, store.tokens, files, now, log)
    except BootError as error:
        fail(str(error))
    except OSError as error:
        which = error.filename or options.image
        fail(f"--boot-image: {which}: {error.strerror or error}; ./dev image makes the agent's image")
    with server:
        log.info(
            "BootServiceStarted",
            http=server.places.http,
            https=server.places.https,
            listen=settings.listen,
            files=str(kept),
        )
        yield
