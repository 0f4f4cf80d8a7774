"""A console service on loopback over fake lines, with documents and facts that a test changes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import asyncssh

from drivers.base import ConsoleEndpoint, Line
from drivers.console.fake_console import FakeConsole
from reconciler.kinds.common.access.access_rules import ConsoleAccess
from reconciler.kinds.common.consoles.console_fields import ConsoleAdmins, ConsoleHold, ConsoleSettings
from reconciler.kinds.common.consoles.ssh_keys import key_line
from reconciler.kinds.console.grants import ADMIN, ConsoleGrant, MachineConsoleState, Tenancy
from reconciler.model.event import EventReason, EventType
from reconciler.services.console.console_service import ConsoleService, ConsoleServiceSettings
from reconciler.services.console.console_session import ServerLimits
from reconciler.services.console_port import ConsolesReport

PATIENCE = 20.0


def now() -> datetime:
    return datetime.now(UTC)


def grant(line: str, role: str = ADMIN, *, write: bool = True, **more: Any) -> ConsoleGrant:
    read = key_line(line)
    assert read is not None
    return ConsoleGrant(read, role, write, **more)


def console(machine: str = "r1-01", *grants: ConsoleGrant, tenancy: str = "claim-web-0", **more: Any) -> Any:
    return MachineConsoleState(
        machine,
        ConsoleAccess("fake", machine, None, None),
        ConsoleSettings(ConsoleHold.WATCHED, 1 << 20, ConsoleAdmins()),
        Tenancy(tenancy, tenancy),
        grants,
        **more,
    )


class FakeConsoles:
    """Implements Consoles."""

    def __init__(self) -> None:
        self.driver = FakeConsole()
        self.states: dict[str, MachineConsoleState] = {}
        self.users: dict[str, str] = {}
        self.held_now: set[str] = set()
        self.events: list[tuple[str | None, EventReason, str]] = []
        self.published: list[ConsolesReport] = []
        self.loop: asyncio.AbstractEventLoop | None = None

    def find(self, user: str) -> str | None:
        return self.users.get(user, user if user in self.states else None)

    def state(self, machine: str) -> MachineConsoleState | None:
        return self.states.get(machine)

    def held(self) -> Collection[str]:
        return set(self.held_now)

    async def open(self, access: ConsoleAccess, former: str, heard: Callable[[bytes], None], steal: bool) -> Line:
        self.loop = asyncio.get_running_loop()
        return await self.driver.open(ConsoleEndpoint("fake", access.address, former=former), heard, steal=steal)

    def report(
        self, machine: str | None, event_type: EventType, reason: EventReason, message: str, about: tuple[str, ...] = ()
    ) -> None:
        self.events.append((machine, reason, message))

    def publish(self, report: ConsolesReport) -> None:
        self.published.append(report)

    def reasons(self) -> list[EventReason]:
        return [reason for _, reason, _ in self.events]

    def say(self, machine: str, data: bytes) -> None:
        """Speak as the machine, from the test's thread."""
        assert self.loop is not None
        self.loop.call_soon_threadsafe(self.driver.say, machine, data)

    def cut(self, machine: str) -> None:
        assert self.loop is not None
        self.loop.call_soon_threadsafe(self.driver.cut, machine)


class _Log:
    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_arguments, **_fields: None


@contextmanager
def served(folder: Path, consoles: FakeConsoles, limits: ServerLimits | None = None) -> Iterator[ConsoleService]:
    settings = ConsoleServiceSettings("127.0.0.1", 0, folder / "host_key", folder / "console", limits or ServerLimits())
    ended: list[BaseException] = []
    service = ConsoleService(settings, consoles, now, _Log(), ended.append)
    service.start()
    try:
        yield service
    finally:
        service.stop()
        assert ended == []
        assert not any(thread.name == "consoles" for thread in threading.enumerate())


def until(holds: Callable[[], object]) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.01)


def new_key(comment: str) -> tuple[asyncssh.SSHKey, str]:
    """A key, and its line."""
    key = asyncssh.generate_private_key("ssh-ed25519", comment=comment)
    return key, key.export_public_key().decode().strip()


class Session:
    """A session of asyncssh's client, in a thread of its own that reads all that comes."""

    def __init__(self, port: int, user: str, key: asyncssh.SSHKey | None, **more: Any) -> None:
        self.heard = bytearray()
        self.is_over = threading.Event()
        self.refused: Exception | None = None
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process: Any = None
        self._reads = threading.Event()
        self._reads.set()
        self._arguments = (port, user, key, more)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None and self._process is not None and not self.is_over.is_set():
            self._loop.call_soon_threadsafe(self._process.close)
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        asyncio.run(self._connect())

    async def _connect(self) -> None:
        port, user, key, more = self._arguments
        self._loop = asyncio.get_running_loop()
        keys = [key] if key is not None else []
        process_options = {name: more.pop(name) for name in ("env", "command", "subsystem") if name in more}
        try:
            async with asyncssh.connect(
                "127.0.0.1",
                port,
                username=user,
                client_keys=keys,
                known_hosts=None,
                config=None,
                agent_path=None,
                **more,
            ) as connection:
                self.connection = connection
                async with connection.create_process(encoding=None, term_type="xterm", **process_options) as process:
                    self._process = process
                    self._ready.set()
                    while data := await process.stdout.read(4096):
                        self.heard += data
        except (OSError, asyncssh.Error) as error:
            self.refused = error
        finally:
            self.is_over.set()
            self._ready.set()

    def type(self, data: bytes) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._process.stdin.write, data)

    def send_break(self) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._process.send_break, 500)

    def sees(self, text: bytes) -> None:
        until(lambda: text in self.heard)
