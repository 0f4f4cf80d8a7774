"""The boot service of a daemon: how it is asked for, and its start."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from reconciler.operations.operation_error import FailureReason, OperationError
from reconciler.operations.where import Where
from reconciler.operations.workspace import state_folder
from reconciler.runtime import now
from reconciler.services.provisioning_port import Provisioning
from reconciler.store import Store

if TYPE_CHECKING:
    from reconciler.services.boot.boot_settings import BootSettings
    from reconciler.services.boot.image_files import Files

NO_IMAGE = (
    "--boot-address needs --boot-image, the directory with the image of the agent. To make that directory, run "
    "`groundstate boot image --out DIR`"
)


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


def listen_address(options: BootOptions) -> str:
    """Where it listens: on the address of the option, or else where machines reach it."""
    return options.listen or listen_at(options.address or "")


def listen_at(address: str) -> str:
    """The address, where it is one of this host; else all, as machines come in by another's or by a name."""
    return own_address(address) or "0.0.0.0"  # noqa: S104  machines have to reach it


def why_not_beside(options: BootOptions) -> str | None:
    """Why a daemon that does not decide cannot serve machines beside the one that does; None: it can.

    Machines that it serves come to `address` with the pin of its key. So the address has to lead to it, or all hosts
    have one key."""
    if options.address is None or options.cert is not None or own_address(options.address) is not None:
        return None
    return (
        f"--boot-address {options.address} is not an address of this host, and this host has a key of its own. To "
        "serve machines while another daemon decides, use an address of this host, or the same --boot-cert and "
        "--boot-key on all hosts"
    )


def own_address(address: str) -> str | None:
    """The address, where this host has it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        literal = str(ip_address(address.strip("[]")))
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            tried.bind((literal, 0))
    except (ValueError, OSError):
        return None
    return literal


@contextmanager
def serve_boot(
    options: BootOptions,
    provisioning: Provisioning,
    store: Store,
    where: Where,
    log: Any,
    ended: Callable[[BaseException], None] = lambda _error: None,
) -> Iterator[None]:
    """Serve machines as long as the block lasts, if it was asked for. `ended`: is informed of an error that ended a
    thread of the service."""
    if options.address is None:
        yield
        return
    if options.image is None:
        raise OperationError(NO_IMAGE)
    # Imported here: those who serve nothing need neither a web server nor TLS.
    from reconciler.services.boot.boot_settings import BootError
    from reconciler.services.boot.http.server import BootServer
    from reconciler.services.boot.image_files import Files

    folder = state_folder(where) / "boot"
    kept = options.files or folder / "files"
    files = Files(kept)
    try:
        settings = _settings(options, options.address, options.image, folder, files)
        server = BootServer(settings, provisioning, store.tokens, files, now, log, ended)
    except BootError as error:
        raise OperationError(str(error)) from error
    except OSError as error:
        which = error.filename or options.image
        why = (
            f"--boot-image: {which}: {error.strerror or error}; to make the image of the agent, run "
            "`groundstate boot image --out DIR`"
        )
        raise OperationError(why, FailureReason.UNAVAILABLE) from error
    with server:
        log.info(
            "BootServiceStarted",
            http=server.places.http,
            https=server.places.https,
            listen=settings.listen,
            files=str(kept),
        )
        yield


def _settings(options: BootOptions, address: str, image: Path, folder: Path, files: Files) -> BootSettings:
    """The settings of the service, with the kernel and the initrd of the agent's image among its files."""
    from reconciler.kinds.machine.lifecycle.virtual_media import IMAGE
    from reconciler.services.boot.boot_settings import BootSettings

    kernel, initrd = (files.add(image / name) for name in ("vmlinuz", "initrd"))
    return BootSettings(
        address=address,
        listen=listen_address(options),
        folder=folder,
        kernel=kernel,
        initrd=initrd,
        http_port=options.port,
        https_port=options.agent_port,
        cert=options.cert,
        key=options.key,
        loaders=options.loaders,
        media=image / IMAGE if (image / IMAGE).exists() else None,
    )
