"""What every driver of serial lines does: inherit from ConsoleConformance, say how one starts, and run pytest.

class TestMine(ConsoleConformance):
    def start(self) -> AbstractAsyncContextManager[ConsoleSubject]:
        return a_line_to_test_with()
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

import msgspec
import pytest

from drivers.base import ConsoleBusy, ConsoleDriver, ConsoleEndpoint, DriverError, Line, Unsupported
from drivers.base.support.event_loop import Runner, create_task, pause, time_limit

EVERY_BYTE = bytes(range(256))
_PATIENCE = 20.0


class ConsoleSubject(msgspec.Struct, frozen=True):
    """A driver to test, and the machine at the other end of its line.

    `say`: the machine speaks. `typed`: all that it has got since the start. `cut`: the other end goes away for good.
    `breaks`: how many breaks it got; None: the line has no break. `is_exclusive`: while one session has the line,
    another gets it by stealing alone, or not at all if it is not `is_stealable`. `has_handle`: a session that a killed
    process left open stays, and is known by its handle.
    """

    driver: ConsoleDriver
    endpoint: ConsoleEndpoint
    say: Callable[[bytes], None]
    typed: Callable[[], bytes]
    cut: Callable[[], Awaitable[None]]
    breaks: Callable[[], int] | None = None
    is_exclusive: bool = True
    is_stealable: bool = True
    has_handle: bool = True


class Heard:
    """What a line has said."""

    def __init__(self) -> None:
        self.data = bytearray()

    def __call__(self, data: bytes) -> None:
        assert data, "a driver tells of bytes, never of none"
        self.data += data


async def until(holds: Callable[[], bool]) -> None:
    """Wait until it holds. Raises TimeoutError."""
    async with time_limit(_PATIENCE):
        while not holds():
            await pause(0.005)


class ConsoleConformance:
    """The suite. A subclass whose name begins with Test is run."""

    def start(self) -> AbstractAsyncContextManager[ConsoleSubject]:
        """A line, for one test."""
        raise NotImplementedError

    def runner(self) -> Runner:
        """What runs a test: an event loop of your own, if you have one with another time."""
        return Runner()

    def _run(self, test: Callable[[ConsoleSubject], Awaitable[None]]) -> None:
        async def whole() -> None:
            async with self.start() as subject:
                await test(subject)

        with self.runner() as runner:
            runner.run(whole())

    def test_what_the_machine_says_arrives_once_and_in_order(self) -> None:
        async def test(subject: ConsoleSubject) -> None:
            heard = Heard()
            line = await subject.driver.open(subject.endpoint, heard)
            lines = b"".join(b"line %d of many\r\n" % number for number in range(2000))
            subject.say(lines)
            await until(lambda: len(heard.data) >= len(lines))
            assert bytes(heard.data).endswith(lines)
            await line.close()

        self._run(test)

    def test_what_is_typed_arrives_once_and_in_order(self) -> None:
        async def test(subject: ConsoleSubject) -> None:
            line = await subject.driver.open(subject.endpoint, Heard())
            typed = b"".join(b"command %d\r" % number for number in range(200))
            for begin in range(0, len(typed), 7):
                line.write(typed[begin : begin + 7])
            await until(lambda: len(subject.typed()) >= len(typed))
            assert subject.typed() == typed
            await line.close()

        self._run(test)

    def test_every_byte_passes_in_both_directions(self) -> None:
        async def test(subject: ConsoleSubject) -> None:
            heard = Heard()
            line = await subject.driver.open(subject.endpoint, heard)
            # A byte that leaves the line is never typed.
            typed = bytes(byte for byte in EVERY_BYTE if bytes([byte]) not in line.leaves)
            assert not any(one in typed or not one for one in line.leaves)
            subject.say(EVERY_BYTE)
            line.write(typed)
            await until(lambda: EVERY_BYTE in heard.data and subject.typed() == typed)
            await line.close()

        self._run(test)

    def test_a_closed_line_is_free_at_once(self) -> None:
        """openbmc/openbmc#1241: "no free sessions left"."""

        async def test(subject: ConsoleSubject) -> None:
            for _ in range(3):
                line = await subject.driver.open(subject.endpoint, Heard())
                await line.close()
                await line.close()
                line.write(b"into nothing")

        self._run(test)

    def test_a_line_whose_other_end_ends_it_is_lost_with_a_reason(self) -> None:
        async def test(subject: ConsoleSubject) -> None:
            line = await subject.driver.open(subject.endpoint, Heard())
            await subject.cut()
            line.write(b"is somebody there?\r")
            async with time_limit(_PATIENCE):
                why = await line.lost()
            assert isinstance(why, DriverError)
            assert str(why)
            line.write(b"dropped")
            await line.close()

        self._run(test)

    def test_a_line_whose_loss_is_not_awaited_any_more_is_open(self) -> None:
        async def test(subject: ConsoleSubject) -> None:
            line = await subject.driver.open(subject.endpoint, Heard())
            waiting = create_task(line.lost())
            await pause(0)
            waiting.cancel()
            await pause(0)
            line.write(b"still here")
            await until(lambda: subject.typed() == b"still here")
            await line.close()

        self._run(test)

    def test_a_break_is_sent_or_refused(self) -> None:
        async def test(subject: ConsoleSubject) -> None:
            line = await subject.driver.open(subject.endpoint, Heard())
            if (breaks := subject.breaks) is None:
                with pytest.raises(Unsupported):
                    line.send_break()
            else:
                line.send_break()
                await until(lambda: breaks() == 1)
            await line.close()

        self._run(test)

    def test_a_line_that_another_session_has_is_busy_until_it_is_stolen(self) -> None:
        """dsx-ai-factory/infra-controller#5527, #2787."""

        async def test(subject: ConsoleSubject) -> None:
            if not subject.is_exclusive:
                return
            first = await subject.driver.open(subject.endpoint, Heard())
            with pytest.raises(ConsoleBusy) as caught:
                await subject.driver.open(subject.endpoint, Heard())
            assert caught.value.owner
            if not subject.is_stealable:
                with pytest.raises(ConsoleBusy):
                    await subject.driver.open(subject.endpoint, Heard(), steal=True)
                await first.close()
                return
            second = await subject.driver.open(subject.endpoint, Heard(), steal=True)
            async with time_limit(_PATIENCE):
                assert isinstance(await first.lost(), DriverError)
            await _both_closed(first, second)

        self._run(test)

    def test_a_line_that_a_killed_process_left_open_is_taken_by_its_handle(self) -> None:
        async def test(subject: ConsoleSubject) -> None:
            if not subject.has_handle:
                return
            left = await subject.driver.open(subject.endpoint, Heard())
            assert left.handle
            again = partial(msgspec.structs.replace, subject.endpoint)
            with pytest.raises(ConsoleBusy):
                await subject.driver.open(again(former="another"), Heard())
            heard = Heard()
            line = await subject.driver.open(again(former=left.handle), heard)
            subject.say(b"still here")
            await until(lambda: heard.data.endswith(b"still here"))
            await _both_closed(left, line)

        self._run(test)


async def _both_closed(first: Line, second: Line) -> None:
    await first.close()
    await second.close()
