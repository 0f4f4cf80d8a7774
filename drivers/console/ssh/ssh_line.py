"""A serial line in an SSH session: asyncssh's session, from its first prompt until it is left."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import asyncssh

from drivers.base import MOST_UNSENT, DriverError, Unreachable, Unsupported
from drivers.base.support.event_loop import AsyncFuture, running_loop, time_limit, wait_for_tasks
from drivers.console.ssh.shell_dialogue import ShellDialogue
from drivers.console.ssh.ssh_dialects import SshDialect, has_prompt, plain

_LEAVE_SECONDS = 2.0
_BREAK_MILLISECONDS = 500
_LONGEST_PROMPT = 256


class SshLine(asyncssh.SSHClientSession[bytes]):
    """See drivers.base.Line. `begin` comes first, `close` last. `connection`: logged in."""

    def __init__(self, where: str, dialect: SshDialect, heard: Callable[[bytes], None], connection: Any) -> None:
        self._where, self._dialect, self._heard, self._connection = where, dialect, heard, connection
        self._dialogue: ShellDialogue | None = ShellDialogue(where, dialect, self._send)
        self._channel: Any = None
        self._last_line = b"\n"
        self._closed = False
        self._lost: AsyncFuture[DriverError] = running_loop().create_future()

    async def begin(self, *, steal: bool) -> None:
        """Open the line. Raises DriverError."""
        dialogue = self._dialogue
        if dialogue is None:
            return
        first = await dialogue.open_line(steal=steal)
        self._dialogue = None
        if first:
            self._machine_said(first)

    # -- asyncssh's hooks ----------------------------------------------------------------------------------------------

    def connection_made(self, chan: Any) -> None:
        """asyncssh's hook."""
        self._channel = chan

    def data_received(self, data: bytes, datatype: object) -> None:
        """asyncssh's hook."""
        if self._dialogue is not None:
            self._dialogue.received(data)
        else:
            self._machine_said(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncssh's hook."""
        why = getattr(exc, "reason", "") or str(exc or "") or "the BMC ended the SSH session"
        self._lose(Unreachable(f"{self._where}: {why}"))

    # -- the line ------------------------------------------------------------------------------------------------------

    def _machine_said(self, data: bytes) -> None:
        """Pass it on, and look for the prompt of the BMC. A BMC that gives the line to another session shows the shell
        to this one. People must not type there, so that a prompt ends the session. A machine that prints the same text
        loses its line for a second."""
        if self._lost.done():
            return
        self._heard(data)
        seen = self._last_line + data
        if has_prompt(self._dialect, plain(seen)):
            self._lose(Unreachable(f"{self._where}: the BMC ended the serial line and shows the prompt of its shell"))
            self._connection.abort()
            return
        ends = max(seen.rfind(b"\n"), seen.rfind(b"\r"))
        self._last_line = seen[ends:][:_LONGEST_PROMPT]

    def _lose(self, why: DriverError) -> None:
        if self._dialogue is not None:
            self._dialogue.end(why)
        if not self._lost.done():
            self._lost.set_result(why)

    def _send(self, data: bytes) -> None:
        if self._channel is not None and not self._channel.is_closing():
            with suppress(OSError):
                self._channel.write(data)

    @property
    def handle(self) -> str:
        """See Line: a session ends with its connection."""
        return ""

    @property
    def leaves(self) -> tuple[bytes, ...]:
        """See Line."""
        return self._dialect.leaves

    def write(self, data: bytes) -> None:
        """See Line."""
        if self._lost.done() or self._closed:
            return
        room = MOST_UNSENT - self._channel.get_write_buffer_size()
        if room > 0:
            self._send(data[:room])

    def drop_unsent(self) -> None:
        """See Line. A channel keeps what was given to it until it ends."""
        if self._channel.get_write_buffer_size():
            self._connection.abort()

    def send_break(self) -> None:
        """See Line."""
        keys = self._dialect.break_keys
        if keys is None:
            if not self._channel.is_closing():
                self._channel.send_break(_BREAK_MILLISECONDS)
        elif keys:
            self.write(keys)
        else:
            raise Unsupported(f"{self._where}: the BMC offers no break over SSH; use the driver ipmi for breaks")

    async def lost(self) -> DriverError:
        """See Line."""
        await wait_for_tasks([self._lost])  # a wait that is cancelled does not cancel what is waited for
        return self._lost.result()

    async def close(self) -> None:
        """See Line. Some BMCs hold a line for a while if it was not left."""
        if self._closed:
            return
        self._closed = True
        if not self._lost.done() and self._dialogue is None and self._dialect.leave:
            self._dialogue = dialogue = ShellDialogue(self._where, self._dialect, self._send)
            self._send(self._dialect.leave)
            if self._dialect.prompt:
                with suppress(DriverError, TimeoutError):
                    async with time_limit(_LEAVE_SECONDS):
                        await dialogue.left()
                        self._send(b"exit\r")
        self._connection.close()
        with suppress(TimeoutError):
            async with time_limit(_LEAVE_SECONDS):
                await self._connection.wait_closed()
        self._connection.abort()
