"""One session of a person on one console: what is typed, what is shown, and when it ends."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import asyncssh
import msgspec

from reconciler.async_runtime import AsyncFlag, AsyncTask, create_task, running_loop
from reconciler.kinds.console.grants import ADMIN, ConsoleGrant, MachineConsoleState
from reconciler.services.console.escapes import HELP, EscapeReader, SessionCommand
from reconciler.services.console.hub import Hub, Watcher

COMMANDS, COMMAND_SECONDS = 12.0, 1.0
"""So many commands of one session at once, and one more in so many seconds."""
MODE = "GROUNDSTATE_CONSOLE"
"""The variable by which a client says what it wants: `watch`, or `steal`."""
OUTPUT_PIECE = 16 * 1024
"""Bytes that are sent to a client at once."""


class ServerLimits(msgspec.Struct, frozen=True):
    """So that no client can use all of the server. `logins`: under way at once, and `per_network` of one network.
    `for_known`: more logins, for networks from which a login succeeded before.
    `tries`: keys in one login. `attempts`: connections of one network in a minute. `sessions`: in all, and `per_key`.
    `for_admins`: of `sessions`, those that the keys of claims cannot take. `idle`: seconds in which nothing is typed.
    `unused`: seconds that a connection may be without a session."""

    logins: int = 8
    per_network: int = 4
    for_known: int = 4
    tries: int = 12
    attempts: int = 60
    sessions: int = 512
    per_key: int = 32
    for_admins: int = 64
    idle: float = 7200.0
    unused: float = 10.0


class Guest(msgspec.Struct, frozen=True):
    """Who came in. `grant`: by which key. `until`: when the certificate ends; None: never, or it was a key."""

    user: str
    machine: str
    who: str
    address: str
    fingerprint: str
    grant: ConsoleGrant
    until: datetime | None = None

    def has_ended(self, now: datetime) -> bool:
        """Whether the certificate has."""
        return self.until is not None and now >= self.until


class Desk(msgspec.Struct, frozen=True):
    """What the server asks its service."""

    now: Callable[[], datetime]
    find: Callable[[str], str | None]
    state: Callable[[str], MachineConsoleState | None]
    hub: Callable[[MachineConsoleState], Hub]
    opened: Callable[[Guest], None]
    closed: Callable[[Guest, str], None]
    refused: Callable[[str, str], None]
    crowded: Callable[[str], None]
    limits: ServerLimits = ServerLimits()


class ConsoleSession(asyncssh.SSHServerSession[bytes]):
    """One session on one console. `sessions`: all that have started and are not over; it is one of them meanwhile."""

    def __init__(self, desk: Desk, sessions: list[ConsoleSession], guest: Guest) -> None:
        self._desk, self._sessions, self.guest = desk, sessions, guest
        self._channel: Any = None
        self._watcher: Watcher | None = None
        self._hub: Hub | None = None
        self._typed = EscapeReader()
        self._writable = AsyncFlag()
        self._writable.set()
        self._last = 0.0
        self._commands, self._asked = COMMANDS, 0.0
        self._why = ""
        self.pump: AsyncTask[None] | None = None

    @property
    def is_live(self) -> bool:
        """Whether it has started, and is not over."""
        return self in self._sessions and self._watcher is not None and not self._watcher.has_ended

    # -- asyncssh's hooks ----------------------------------------------------------------------------------------------

    def connection_made(self, chan: Any) -> None:
        """asyncssh's hook."""
        self._channel = chan

    def pty_requested(self, term_type: str, term_size: object, term_modes: object) -> bool:
        """asyncssh's hook: the client's terminal is raw then."""
        return True

    def shell_requested(self) -> bool:
        """asyncssh's hook: the console takes the place of the shell. `exec` and subsystems stay refused."""
        return True

    def session_started(self) -> None:
        """asyncssh's hook."""
        state = self._desk.state(self.guest.machine)
        if not self._is_granted(state) or state is None or self.guest.has_ended(self._desk.now()):
            self._channel.exit(1)
            return
        mode = str(self._channel.get_environment().get(MODE, ""))
        self._hub = self._desk.hub(state)
        guest = self.guest
        self._watcher = Watcher(guest.who, may_write=guest.grant.write, is_admin=guest.grant.role == ADMIN)
        self._last = running_loop().time()
        self._sessions.append(self)
        self._hub.attach(self._watcher, types=mode != "watch")
        if mode == "steal":
            self._steal(self._hub, self._watcher)
        self._watcher.tell(self._greeting(self._hub, state))
        self._desk.opened(guest)
        self.pump = create_task(self._show(self._watcher))

    def data_received(self, data: bytes, datatype: object) -> None:
        """asyncssh's hook."""
        self._last = running_loop().time()
        if self._hub is None or self._watcher is None:
            return
        for part in self._typed.read(data):
            if isinstance(part, SessionCommand):
                self._command(part, self._hub, self._watcher)
            elif not self._hub.type(self._watcher, part):
                self._watcher.put(b"\x07")

    def break_received(self, msec: int) -> bool:
        """asyncssh's hook."""
        if self._hub is None or self._watcher is None or not self._may_ask():
            return False
        return self._hub.send_break(self._watcher)

    def eof_received(self) -> bool:
        """asyncssh's hook: who has nothing more to type may still watch."""
        return True

    def pause_writing(self) -> None:
        """asyncssh's hook: the client does not read; its watcher drops what is too much."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """asyncssh's hook."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncssh's hook."""
        if self.pump is not None:
            self.pump.cancel()
        if self._hub is None or self._watcher is None or self not in self._sessions:
            return
        self._sessions.remove(self)
        self._hub.detach(self._watcher)
        self._desk.closed(self.guest, self._why or self._watcher.ended or "the connection ended")

    # -- the session ---------------------------------------------------------------------------------------------------

    def check(self, at: float) -> None:
        """End it if its grant is gone, or if it was idle for too long."""
        desk, watcher = self._desk, self._watcher
        if watcher is None or watcher.has_ended:
            return
        if self.guest.has_ended(desk.now()):
            self.end("your certificate has ended; connect again with a new one")
        elif not self._is_granted(desk.state(self.guest.machine)):
            self.end(f"your access to {self.guest.machine} has ended")
        elif at - self._last > desk.limits.idle:
            self.end(f"nothing was typed for {desk.limits.idle / 60:.0f} minutes")

    def _is_granted(self, state: MachineConsoleState | None) -> bool:
        grant = self.guest.grant
        return state is not None and grant in state.grants and grant.holds(self._desk.now())

    def end(self, why: str) -> None:
        """End it with these words. What was said after that is not shown."""
        self._why = why
        if self._watcher is not None:
            self._watcher.end(why)
            if self._hub is not None:
                self._hub.detach(self._watcher)

    def abort(self) -> None:
        """Cut it."""
        if self._channel is not None:
            self._channel.abort()

    def _greeting(self, hub: Hub, state: MachineConsoleState) -> str:
        others = len(hub.watchers) - 1
        writer = hub.writer
        if writer is self._watcher:
            mine = "you type"
        elif writer is not None:
            mine = f"you watch, {writer.who} types"
        else:
            mine = "you watch"
        there = f"; {others} other{'s' if others != 1 else ''} connected" if others else ""
        return f"{hub.machine} ({state.tenancy.words}), {state.access.driver}; {mine}{there}; Enter ~? shows help"

    def _may_ask(self) -> bool:
        """Whether one more command is not too many: each costs work or an event, and a program can send thousands."""
        at = running_loop().time()
        self._commands = min(COMMANDS, self._commands + (at - self._asked) / COMMAND_SECONDS)
        self._asked = at
        if self._commands < 1:
            return False
        self._commands -= 1
        return True

    def _command(self, command: SessionCommand, hub: Hub, watcher: Watcher) -> None:
        if command is not SessionCommand.END and not self._may_ask():
            watcher.put(b"\x07")
            return
        match command:
            case SessionCommand.END:
                self._why = "the person ended the session"
                watcher.end("goodbye")
            case SessionCommand.WRITE:
                if not hub.take_writing(watcher):
                    watcher.tell("your key may only watch")
            case SessionCommand.BREAK:
                if not hub.send_break(watcher):
                    watcher.tell("only the person who types can send a break, and only while the line is open")
            case SessionCommand.REPLAY:
                hub.replay(watcher)
            case SessionCommand.WHO:
                for one in hub.watchers:
                    watcher.tell(f"{one.who} {'types' if hub.writer is one else 'watches'}")
            case SessionCommand.STEAL:
                self._steal(hub, watcher)
            case SessionCommand.HELP:
                watcher.put(f"\r\n{HELP}\r\n".encode())

    def _steal(self, hub: Hub, watcher: Watcher) -> None:
        """Take what others have: the writing here, and the line at the BMC."""
        if not hub.take_writing(watcher):
            watcher.tell("your key may only watch")
        elif not hub.is_open:
            hub.steal(watcher)

    async def _show(self, watcher: Watcher) -> None:
        while (data := await watcher.next()) is not None:
            for begin in range(0, len(data), OUTPUT_PIECE):
                await self._writable.wait()
                self._channel.write(data[begin : begin + OUTPUT_PIECE])
        self._channel.exit(0)
