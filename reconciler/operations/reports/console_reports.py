"""The consoles of the daemon: where they are served, who is connected, and what was recorded."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime

import msgspec

from reconciler.kinds.common.consoles.offered_consoles import console_hint, serial_offers
from reconciler.model.resource import ResourceKey
from reconciler.operations.operation_error import FailureReason, OperationError
from reconciler.operations.serving.serve_consoles import console_folder
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace
from reconciler.runtime import now
from reconciler.services.console.recording import Recording, last_order, read_recording, recordings
from reconciler.services.console_port import CONSOLES_REPORT, ConsolesReport, ConsoleStatus

HOST_KEY_ALIAS = "groundstate-console"
"""The name of the host key, whatever address the console service has."""
FOLLOW_SECONDS = 0.5
_REPORTS = msgspec.json.Decoder(ConsolesReport)


class ConsoleListing(msgspec.Struct, frozen=True):
    """The consoles that are held or watched, at `at`. `offers`: by machine, over what its BMC says that it offers the
    serial console; empty where it does not say."""

    at: datetime
    consoles: tuple[ConsoleStatus, ...]
    offers: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()


class ConsoleServerPlace(msgspec.Struct, frozen=True):
    """Where the console service is reached. `host_key`: type and base64."""

    host: str
    port: int
    host_key: str

    @property
    def known_hosts(self) -> str:
        """The line for a known_hosts file."""
        return f"[{self.host}]:{self.port} {self.host_key}"


def list_consoles(where: Where) -> ConsoleListing:
    """What the daemon said last. Raises OperationError."""
    with Workspace(where) as at:
        report, is_live = _report(at)
        if report is None:
            at.note("no daemon has served consoles yet; `groundstate run --console-listen HOST:PORT` does")
        elif not is_live:
            at.note("the daemon is not running, so no console is open")
        found = report.consoles if report is not None and is_live else ()
        return ConsoleListing(now(), found, _offers(at, [one.machine for one in found]), at.notes)


def console_hint_of(where: Where, machine: str) -> str:
    """What the BMC of the machine says of its serial console, in words; empty where it does not. Raises
    OperationError."""
    key = ResourceKey("Machine", machine)
    with Workspace(where) as at, at.store() as store:
        return console_hint(store.inventories.of(key))


def _offers(at: Workspace, machines: Collection[str]) -> dict[str, str]:
    with at.store() as store:
        kept = store.inventories.all({ResourceKey("Machine", name) for name in machines})
    return {key.name: serial_offers(one) for key, one in kept.items()}


def console_server(where: Where, server: str | None = None) -> ConsoleServerPlace:
    """Where the consoles are served; `server`: `HOST` or `HOST:PORT` in place of what the daemon says of itself.

    Raises OperationError where no daemon serves any."""
    with Workspace(where) as at:
        report, is_live = _report(at)
    if report is None or not is_live:
        raise OperationError(
            "no running daemon serves consoles on this store; start it with `groundstate run --console-listen "
            "HOST:PORT`",
            FailureReason.UNAVAILABLE,
        )
    host, port = report.host, report.port
    if server is not None:
        named, _, number = server.rpartition(":")
        host, port = (named, int(number)) if named and re.fullmatch(r"[0-9]{1,9}", number) else (server, port)
    elif host in ("0.0.0.0", "::"):  # noqa: S104  compared, and not listened on
        host = "127.0.0.1"
    return ConsoleServerPlace(host.strip("[]"), port, report.host_key)


def _report(at: Workspace) -> tuple[ConsolesReport | None, bool]:
    """What the console service wrote down, and whether its daemon is at work."""
    with at.store() as store:
        said, daemon = store.get_meta(CONSOLES_REPORT), store.daemon.get()
    report = _REPORTS.decode(said) if said else None
    live = daemon is not None and daemon.at_work(now()) and report is not None and report.at >= daemon.since
    return report, live


class LogRequest(msgspec.Struct, frozen=True):
    """Which recording: the newest of the machine, or the one with this name. `last_order`: from where the last boot
    request began."""

    machine: str
    recording: str | None = None
    last_order: bool = False


def console_recordings(where: Where, machine: str) -> list[Recording]:
    """The recordings of a machine, the oldest first. Raises OperationError for a name that cannot be one."""
    if "/" in machine or machine.startswith("."):
        raise OperationError(f"{machine!r} cannot be the name of a machine", FailureReason.NOT_FOUND)
    return recordings(console_folder(where) / machine)


def read_console_log(where: Where, request: LogRequest, wait: Callable[[float], bool] | None = None) -> Iterator[bytes]:
    """What the recording has, and with `wait` what is added to it, as long as `wait` returns True. Raises
    OperationError."""
    with Workspace(where):
        recording = _chosen(where, request)
        folder = console_folder(where) / request.machine
        offset = recording.begin
        if request.last_order:
            order = last_order(folder, recording.name)
            if order is None:
                raise OperationError(
                    f"{request.machine}: the recording {recording.name} has no boot request",
                    FailureReason.NOT_FOUND,
                )
            offset = max(order, recording.begin)
        while True:
            data = read_recording(folder, recording, offset)
            if data:
                yield data
                offset += len(data)
            if wait is None or not wait(FOLLOW_SECONDS):
                return
            recording = next((one for one in recordings(folder) if one.name == recording.name), recording)
            offset = max(offset, recording.begin)


def _chosen(where: Where, request: LogRequest) -> Recording:
    found = console_recordings(where, request.machine)
    if request.recording is not None:
        found = [one for one in found if one.name == request.recording]
    if not found:
        what = f"the recording {request.recording}" if request.recording else "a recording"
        raise OperationError(
            f"{request.machine}: {what} is not in {console_folder(where)}. The daemon records on its own host, when "
            "console.hold says so, or while a person is connected",
            FailureReason.NOT_FOUND,
        )
    # After a wipe, the newest recording is that of the free machine.
    folder = console_folder(where) / request.machine
    with_orders = [one for one in found if last_order(folder, one.name) is not None] if request.last_order else []
    return (with_orders or found)[-1]
