"""How a line is opened in the shell of a BMC: its prompt, a command, and what the BMC answers. Time, and no sockets."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from drivers.base import ConsoleBusy, DriverError, Rejected, Unreachable, Unsupported, clean
from drivers.base.support.event_loop import AsyncFlag, running_loop, time_limit
from drivers.console.ssh.ssh_dialects import (
    ShellAnswer,
    SshDialect,
    ends_with_prompt,
    last_line,
    of_the_machine,
    plain,
    shell_answer,
)

PROMPT_SECONDS, ANSWER_SECONDS = 20.0, 20.0
SILENCE_SECONDS = 4.0
"""A BMC that says nothing when the line opens has opened it after this time."""
PROMPT_SETTLES = 1.5
"""A prompt after a command is an answer only if nothing follows: an iLO 2 shows one and opens the line after that."""
_KEPT = 8192


class ShellDialogue:
    """The words with one BMC. `send` types into its shell."""

    def __init__(self, where: str, dialect: SshDialect, send: Callable[[bytes], None]) -> None:
        self._where, self._dialect, self._send = where, dialect, send
        self._said = bytearray()
        self._news = AsyncFlag()
        self._ended: DriverError | None = None

    def received(self, data: bytes) -> None:
        """The BMC said this."""
        self._said += data
        del self._said[:-_KEPT]
        self._news.set()

    def end(self, why: DriverError) -> None:
        """The session is over."""
        self._ended = why
        self._news.set()

    async def open_line(self, *, steal: bool) -> bytes:
        """Open the line; what the machine has said since. Raises DriverError, and ConsoleBusy for a line that another
        session has."""
        if not self._dialect.prompt:
            return bytes(self._said)
        await self._prompt()
        answer, command = await self._try_commands()
        if answer is ShellAnswer.TAKEN and steal and self._dialect.frees:
            for one in self._dialect.frees:
                await self._prompt()
                await self._ask(one, is_opening=False)
            await self._prompt()
            answer, command = await self._try_commands()
        if answer is not ShellAnswer.OPENED:
            raise self._refusal(answer, command)
        return of_the_machine(self._dialect, bytes(self._said))

    async def left(self) -> None:
        """Wait for the prompt after the line was left."""
        self._said.clear()
        await self._prompt()

    def _refusal(self, answer: ShellAnswer, command: str) -> DriverError:
        said = clean(last_line(self._dialect, plain(bytes(self._said)), command)) or "no reason"
        if answer is ShellAnswer.TAKEN:
            how = "" if self._dialect.frees else ". This BMC has no command that takes the line; end the session there"
            return ConsoleBusy(f'{self._where}: another session has the serial line ("{said}"){how}', said)
        if answer is ShellAnswer.UNKNOWN:
            return Unsupported(
                f'{self._where}: the BMC does not know the command {command} ("{said}"); check console.dialect, which '
                f"is {self._dialect.name}"
            )
        return Rejected(f'{self._where}: the BMC did not open the serial line after {command} ("{said}")')

    async def _try_commands(self) -> tuple[ShellAnswer, str]:
        answer, command = ShellAnswer.UNKNOWN, ""
        for command in self._dialect.commands:
            if command != self._dialect.commands[0]:
                await self._prompt()
            answer = await self._ask(command, is_opening=True)
            if answer is not ShellAnswer.UNKNOWN:
                break
        return answer, command

    async def _prompt(self) -> None:
        try:
            async with time_limit(PROMPT_SECONDS):
                while not ends_with_prompt(self._dialect, plain(bytes(self._said))):
                    await self._more()
        except TimeoutError:
            said = clean(last_line(self._dialect, plain(bytes(self._said)), ""))
            what = f'the BMC said "{said}", but' if said else "the BMC said nothing, and"
            raise Unreachable(
                f"{self._where}: {what} the prompt of the dialect {self._dialect.name} did not come within "
                f"{PROMPT_SECONDS:.0f} s; check console.dialect. If the login itself is the console, use direct"
            ) from None

    async def _ask(self, command: str, *, is_opening: bool) -> ShellAnswer:
        self._said.clear()
        self._send(command.encode() + b"\r")
        is_silent = is_opening and not self._dialect.opened
        end = running_loop().time() + (SILENCE_SECONDS if is_silent else ANSWER_SECONDS)
        try:
            while True:
                answer = shell_answer(self._dialect, plain(bytes(self._said)))
                if answer not in (None, ShellAnswer.PROMPT):
                    return answer
                if answer is ShellAnswer.PROMPT and not await self._more_within(PROMPT_SETTLES):
                    return answer
                if answer is None:
                    async with time_limit(max(0.0, end - running_loop().time())):
                        await self._more()
        except TimeoutError:
            if is_silent:
                return ShellAnswer.OPENED
            raise Unreachable(
                f"{self._where}: the BMC did not answer the command {command} within {ANSWER_SECONDS:.0f} s"
            ) from None

    async def _more_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with time_limit(seconds):
                await self._more()
                return True
        return False

    async def _more(self) -> None:
        if self._ended is not None:
            raise self._ended
        self._news.clear()
        await self._news.wait()
        if self._ended is not None:
            raise self._ended
