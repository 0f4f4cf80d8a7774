"""The console service: one thread with one event loop, which holds the lines and serves the people."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncssh
import msgspec

from drivers.base import Line
from reconciler import runtime
from reconciler.async_runtime import (
    AbstractEventLoop,
    AsyncFlag,
    AsyncTask,
    Runner,
    create_task,
    gather,
    in_thread,
    running_loop,
    time_limit,
)
from reconciler.kinds.common.access.access_rules import ConsoleAccess
from reconciler.kinds.console.grants import MachineConsoleState
from reconciler.model.event import EventReason, EventType
from reconciler.services.boot.rate_limit import EventLimit
from reconciler.services.console.console_session import Desk, Guest, ServerLimits
from reconciler.services.console.hub import Hub
from reconciler.services.console.recording import Recorder, remove_old
from reconciler.services.console.recording_queue import RecordingQueue
from reconciler.services.console.ssh_server import ConsoleServer, host_key_line, read_host_key
from reconciler.services.console_port import Consoles, ConsolesReport, ConsoleStatus

_TICK = 1.0
"""Seconds between two checks of what is declared and remembered, besides those at each change."""
HOLD_TICKS, PRUNE_TICKS = 5, 3600
_STOP_SECONDS, _RECORDING_SECONDS = 10.0, 3.0


class ConsoleError(Exception):
    """The console service cannot start. `str()` is for people."""


class ConsoleServiceSettings(msgspec.Struct, frozen=True):
    """Where it listens (port 0: any free one), its host key, and the folder of its recordings."""

    host: str
    port: int
    host_key: Path
    folder: Path
    limits: ServerLimits = ServerLimits()


class ConsoleService:
    """Serves from `start` to `stop`, in a thread of its own. Its other methods are called from that thread. `ended` is
    called with the error if the thread ends before `stop`."""

    def __init__(
        self,
        settings: ConsoleServiceSettings,
        consoles: Consoles,
        now: Callable[[], datetime],
        log: Any,
        ended: Callable[[BaseException], None],
    ) -> None:
        self._settings, self._consoles, self._now, self._log = settings, consoles, now, log
        self._ended = ended
        self._hubs: dict[str, Hub] = {}
        self._since: dict[str, tuple[str, datetime]] = {}
        self._endings: set[AsyncTask[None]] = set()
        self._refusals = EventLimit()
        self._server = ConsoleServer(
            Desk(
                now,
                consoles.find,
                consoles.state,
                self._hub,
                self._opened,
                self._closed,
                self._refused,
                self._crowded,
                settings.limits,
            )
        )
        self._loop: AbstractEventLoop | None = None
        self._stopping: AsyncFlag | None = None
        self._started = runtime.future()
        self._thread = runtime.thread(self._run, "consoles")
        self._recordings = runtime.pool(1, "recordings")
        self._published: tuple[ConsoleStatus, ...] | None = None
        self.port = 0
        self.host_key = ""

    def start(self) -> None:
        """Serve. Raises ConsoleError."""
        self._thread.start()
        self._started.result()

    def stop(self) -> None:
        """End all sessions with words, and leave the lines free; from any thread."""
        loop, stopping = self._loop, self._stopping
        if loop is not None and stopping is not None:
            with suppress(RuntimeError):  # it was closed in this moment
                loop.call_soon_threadsafe(stopping.set)
        self._thread.join(_STOP_SECONDS)

    def changed(self) -> None:
        """What is declared or remembered has changed; from any thread."""
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # it was closed in this moment
                loop.call_soon_threadsafe(self._check)

    # -- the thread ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with Runner() as runner:
                runner.run(self._serve())
        except BaseException as error:  # noqa: BLE001  raised by `start`, or reported
            if self._started.done():
                self._ended(error)
            else:
                self._started.set_exception(runtime.thread_failure(error))

    async def _serve(self) -> None:
        self._loop, self._stopping = running_loop(), AsyncFlag()
        settings = self._settings
        try:
            key = read_host_key(settings.host_key)
            self.host_key = host_key_line(key)
            self.port = await self._server.listen(settings.host, settings.port, key)
        except (OSError, asyncssh.KeyImportError) as error:
            why = getattr(error, "strerror", None) or error
            raise ConsoleError(
                f"console service: {settings.host}:{settings.port}, host key {settings.host_key}: {why}; choose "
                "another --console-listen or --console-host-key"
            ) from error
        self._started.set_result(None)
        self._publish()
        try:
            await self._tick(self._stopping)
        finally:
            self._loop = None
            stops = (hub.stop("groundstate stops; connect again later") for hub in self._hubs.values())
            await gather(*stops, *self._endings)
            await self._server.stop()
            with suppress(TimeoutError):  # a disk that hangs does not keep the daemon from stopping
                async with time_limit(_RECORDING_SECONDS):
                    await in_thread(self._recordings.shutdown)

    async def _tick(self, stopping: AsyncFlag) -> None:
        count = 0
        while not stopping.is_set():
            if not count % HOLD_TICKS:
                self._hold()
            if not count % PRUNE_TICKS:
                self._recordings.submit(self._prune)
            self._check()
            self._drop_unwanted()
            self._publish()
            count += 1
            with suppress(TimeoutError):
                async with time_limit(_TICK):
                    await stopping.wait()

    def _check(self) -> None:
        """First the sessions that may not read on end, then the consoles change hands."""
        self._server.check()
        for machine, hub in self._hubs.items():
            state = self._consoles.state(machine)
            if state is not None:
                hub.refresh(state)

    def _hold(self) -> None:
        held = set(self._consoles.held())
        for machine in held - self._hubs.keys():
            state = self._consoles.state(machine)
            if state is not None:
                self._hub(state)
        for machine, hub in self._hubs.items():
            hub.hold(is_held=machine in held)

    def _drop_unwanted(self) -> None:
        """Begin to end the consoles that are not wanted. This waits for no BMC, as grants are checked every second."""
        for machine, hub in list(self._hubs.items()):
            gone = self._consoles.state(machine) is None
            if gone or (not hub.is_wanted and not hub.is_open):
                del self._hubs[machine]
                ending = create_task(hub.stop("the machine has no console any more"))
                self._endings.add(ending)
                ending.add_done_callback(self._endings.discard)

    def _hub(self, state: MachineConsoleState) -> Hub:
        hub = self._hubs.get(state.machine)
        if hub is None:
            hub = self._hubs[state.machine] = Hub(state, self._open, self._recorder(state.machine), self)
            hub.start()
        else:
            # A login may come between a change and its check. It must not see what was said to the last tenant.
            self._server.check()
            hub.refresh(state)
        return hub

    def _recorder(self, machine: str) -> RecordingQueue:
        loop = running_loop()

        def tell(why: OSError | None) -> None:
            with suppress(RuntimeError):  # it was closed in this moment
                loop.call_soon_threadsafe(self._recording_changed, machine, why)

        recorder = Recorder(self._settings.folder / machine, self._now)
        return RecordingQueue(recorder, self._recordings.submit, self._now, tell)

    def _recording_changed(self, machine: str, why: OSError | None) -> None:
        if (hub := self._hubs.get(machine)) is not None:
            hub.recording_changed(why)

    def _prune(self) -> None:
        """In the thread of the recordings."""
        for path in remove_old(self._settings.folder, self._now()):
            self._log.info("RecordingRemoved", file=path.name)

    async def _open(self, access: ConsoleAccess, former: str, heard: Callable[[bytes], None], steal: bool) -> Line:
        return await self._consoles.open(access, former, heard, steal)

    # -- what is told --------------------------------------------------------------------------------------------------

    def line_opened(self, machine: str) -> None:
        """See HubReports."""
        self._tell(machine, EventReason.CONSOLE_LINE_OPEN, "the serial line is open")

    def line_lost(self, machine: str, why: str) -> None:
        """See HubReports."""
        self._consoles.report(machine, EventType.WARNING, EventReason.CONSOLE_LINE_LOST, why)

    def writer_changed(self, machine: str, writer: str, before: str) -> None:
        """See HubReports."""
        instead = f" in place of {before}" if before else ""
        self._tell(machine, EventReason.CONSOLE_WRITER, f"{writer} types{instead}", writer)

    def break_sent(self, machine: str, who: str) -> None:
        """See HubReports."""
        self._tell(machine, EventReason.CONSOLE_BREAK, f"{who} sent a break", who)

    def recording_lost(self, machine: str, why: str) -> None:
        """See HubReports."""
        self._consoles.report(machine, EventType.WARNING, EventReason.CONSOLE_NOT_RECORDED, why)

    def _opened(self, guest: Guest) -> None:
        what = f"{guest.who} connected from {guest.address} as {guest.user}, with the key {guest.fingerprint}"
        self._tell(guest.machine, EventReason.CONSOLE_OPENED, what, guest.fingerprint)

    def _closed(self, guest: Guest, why: str) -> None:
        what = f"the session of {guest.who} ended: {why}"
        self._tell(guest.machine, EventReason.CONSOLE_CLOSED, what, guest.fingerprint)

    def _refused(self, user: str, address: str) -> None:
        left_out = self._refusals.passes("login", address, self._now())
        if left_out is None:
            return
        more = f"; {left_out} more were refused before" if left_out else ""
        what = f"a login from {address} as {user!r} was refused: no key of this login may use the console{more}"
        machine = self._consoles.find(user)
        self._consoles.report(machine, EventType.WARNING, EventReason.CONSOLE_REFUSED, what, (address,))

    def _crowded(self, address: str) -> None:
        left_out = self._refusals.passes("crowd", address, self._now())
        if left_out is not None:
            limits = self._settings.limits
            more = f"; {left_out} more were cut before" if left_out else ""
            what = (
                f"a connection from {address} was cut without a login: at most {limits.per_network} logins of one "
                f"network are under way at once, {limits.logins} of all, and {limits.attempts} connections of one "
                f"network begin in a minute{more}"
            )
            self._consoles.report(None, EventType.WARNING, EventReason.CONSOLE_REFUSED, what, (address,))

    def _tell(self, machine: str, reason: EventReason, what: str, *about: str) -> None:
        self._consoles.report(machine, EventType.NORMAL, reason, what, about)

    def _publish(self) -> None:
        found = tuple(self._status(hub) for _, hub in sorted(self._hubs.items()))
        if found != self._published:
            self._published = found
            at = self._now()
            self._consoles.publish(ConsolesReport(at, self._settings.host, self.port, self.host_key, found))

    def _status(self, hub: Hub) -> ConsoleStatus:
        line = "open" if hub.is_open else hub.trouble or "closed"
        before = self._since.get(hub.machine)
        if before is None or before[0] != line:
            before = self._since[hub.machine] = (line, self._now())
        return ConsoleStatus(
            hub.machine,
            hub.state.access.driver,
            line,
            before[1],
            hub.state.tenancy.words,
            hub.writer.who if hub.writer is not None else "",
            len(hub.watchers),
            hub.recorded,
        )
