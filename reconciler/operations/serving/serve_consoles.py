"""The console service of a daemon: how it is asked for, and its start."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from reconciler.operations.operation_error import FailureReason, OperationError
from reconciler.operations.where import Where
from reconciler.operations.workspace import state_folder
from reconciler.runtime import now

if TYPE_CHECKING:
    from reconciler.daemon.service import Daemon

CONSOLE_FOLDER = "console"


class ConsoleOptions(msgspec.Struct, frozen=True):
    """How the console service is asked for; no `listen`: it is not. `idle`: seconds without a key."""

    listen: str | None = None
    host_key: Path | None = None
    idle: float = 7200.0


def console_folder(where: Where) -> Path:
    """Where recordings and the host key are."""
    return state_folder(where) / CONSOLE_FOLDER


@contextmanager
def serve_consoles(options: ConsoleOptions, daemon: Daemon, where: Where, log: Any) -> Iterator[None]:
    """Serve people as long as the block lasts, if it was asked for. Raises OperationError."""
    if options.listen is None:
        yield
        return
    # Imported here: those who serve nothing need no SSH.
    from reconciler.services.console.console_service import ConsoleError, ConsoleService, ConsoleServiceSettings
    from reconciler.services.console.console_session import ServerLimits
    from reconciler.services.console.recording import last_words

    host, port = _place(options.listen)
    folder = console_folder(where)
    settings = ConsoleServiceSettings(
        host, port, options.host_key or folder / "host_key", folder, ServerLimits(idle=options.idle)
    )
    service = ConsoleService(settings, daemon.consoles, now, log, daemon.thread_ended)
    try:
        service.start()
    except ConsoleError as error:
        raise OperationError(str(error), FailureReason.UNAVAILABLE) from error
    daemon.consoles_changed = service.changed
    daemon.console_words = lambda machine: last_words(folder / machine)
    log.info("ConsoleServiceStarted", listen=f"{options.listen}", port=service.port, host_key=service.host_key)
    try:
        yield
    finally:
        service.stop()
        daemon.consoles.close()


def _place(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not re.fullmatch(r"[0-9]{1,9}", port) or int(port) > 65535:
        raise OperationError(f"--console-listen {listen}: give HOST:PORT, or port 0 for any free port")
    return host.strip("[]") or "127.0.0.1", int(port)
