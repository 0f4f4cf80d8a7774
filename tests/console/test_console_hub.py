"""One line, many watchers, one writer, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import ConsoleEndpoint, DriverError, Line, Unreachable
from drivers.console.fake_console import FakeConsole
from reconciler.kinds.common.access.access_rules import ConsoleAccess
from reconciler.services.console.filtered_line import HELD_SECONDS
from reconciler.services.console.hub import REPLAYED, UNREAD, Hub, Watcher
from reconciler.services.console.recent_output import RecentOutput
from tests.console.console_world import console
from tests.virtual_loop import in_virtual_time, settled


class Notes:
    """A recorder, and who is told, in memory."""

    def __init__(self) -> None:
        self.recorded: dict[str, bytearray] = {}
        self.name = ""
        self.handle = ""
        self.marks: list[str] = []
        self.told: list[tuple[str, ...]] = []

    @property
    def size(self) -> int:
        return len(self.recorded.get(self.name, b""))

    def begin(self, name: str, keep: int) -> None:
        self.name = name
        self.recorded.setdefault(name, bytearray())

    def write(self, data: bytes) -> None:
        if self.name:
            self.recorded[self.name] += data

    def mark(self, words: str) -> None:
        self.marks.append(words)

    def close(self) -> None:
        self.name = ""

    def former(self) -> str:
        return self.handle

    def opened(self, handle: str) -> None:
        self.handle = handle

    def closed(self) -> None:
        self.handle = ""

    def line_opened(self, machine: str) -> None:
        self.told.append(("opened", machine))

    def line_lost(self, machine: str, why: str) -> None:
        self.told.append(("lost", machine, why))

    def writer_changed(self, machine: str, writer: str, before: str) -> None:
        self.told.append(("writer", writer, before))

    def break_sent(self, machine: str, who: str) -> None:
        self.told.append(("break", who))

    def recording_lost(self, machine: str, why: str) -> None:
        self.told.append(("unrecorded", machine, why))


class Room:
    """A hub over a fake line."""

    def __init__(self) -> None:
        self.notes, self.driver = Notes(), FakeConsole()
        self.openings: list[float] = []
        self.hub = Hub(console(), self.open, self.notes, self.notes)
        self.hub.start()

    async def open(self, access: ConsoleAccess, former: str, heard: Callable[[bytes], None], steal: bool) -> Line:
        self.openings.append(asyncio.get_running_loop().time())
        return await self.driver.open(ConsoleEndpoint("fake", access.address, former=former), heard, steal=steal)

    def enter(self, who: str = "ada", *, write: bool = True, types: bool = True) -> Watcher:
        watcher = Watcher(who, may_write=write, is_admin=True)
        self.hub.attach(watcher, types=types)
        return watcher

    @property
    def line(self) -> bytes:
        return bytes(self.driver.lines["r1-01"].typed)


async def shown(watcher: Watcher) -> bytes:
    """All that is to be shown at the moment."""
    watcher.put(b"|")
    data = await watcher.next() or b""
    return data.removesuffix(b"|")


def test_what_is_said_is_shown_to_all_and_recorded() -> None:
    """CCI-MOC/hil#417: one person could watch, and no other."""

    async def test() -> None:
        room = Room()
        ada, bob = room.enter(), room.enter("bob")
        await settled()
        room.driver.say("r1-01", b"hello")
        assert (await shown(ada)).endswith(b"hello")
        assert (await shown(bob)).endswith(b"hello")
        assert room.notes.recorded["claim-web-0"].endswith(b"hello")
        await room.hub.stop("over")

    in_virtual_time(test)


def test_who_comes_later_gets_what_was_said_last_and_no_more_than_64_kib() -> None:
    """openbmc/openbmc#3506: who came later saw nothing of what was said before."""

    async def test() -> None:
        room = Room()
        room.enter()
        await settled()
        said = b"".join(b"%08d" % number for number in range(REPLAYED // 4))
        room.driver.say("r1-01", said)
        assert await shown(room.enter("bob")) == said[-REPLAYED:]
        await room.hub.stop("over")

    in_virtual_time(test)


def test_a_slow_watcher_loses_its_own_oldest_bytes_and_is_told_how_many() -> None:
    """openbmc/obmc-console#9, #10: a slow reader slowed or starved all others."""

    async def test() -> None:
        room = Room()
        slow, quick = room.enter(), room.enter("bob")
        await settled()
        await shown(slow)
        await shown(quick)
        got, said = bytearray(), bytearray()
        for number in range(100):
            piece = b"%04d" % number * 2500
            said += piece
            room.driver.say("r1-01", piece)
            got += await shown(quick)
        assert got == said, "the quick one misses nothing"
        found = await shown(slow)
        head, _, rest = found.partition(b" bytes are not shown, because your connection is too slow]\r\n")
        assert len(rest) <= UNREAD
        assert said.endswith(rest)
        assert int(head.rpartition(b" ")[2] or head.split()[-1]) == slow.dropped
        assert slow.dropped + len(rest) == len(said)
        await room.hub.stop("over")

    in_virtual_time(test)


def test_only_one_types_until_another_takes_over() -> None:
    async def test() -> None:
        room = Room()
        ada, bob, eve = room.enter(), room.enter("bob"), room.enter("eve", write=False)
        await settled()
        assert [room.hub.type(one, b"x") for one in (ada, bob, eve)] == [True, False, False]
        assert room.hub.take_writing(bob)
        assert not room.hub.take_writing(eve)
        assert [room.hub.type(one, b"y") for one in (ada, bob, eve)] == [False, True, False]
        assert room.line == b"xy"
        assert b"bob types from now on" in await shown(ada)
        assert ("writer", "bob", "ada") in room.notes.told
        room.hub.detach(bob)
        assert not room.hub.type(bob, b"z")
        assert room.hub.writer is None
        await room.hub.stop("over")

    in_virtual_time(test)


def test_a_session_that_was_ended_neither_types_nor_reads() -> None:
    async def test() -> None:
        room = Room()
        ada = room.enter()
        await settled()
        room.driver.say("r1-01", b"not read yet")
        ada.end("your access has ended")
        room.driver.say("r1-01", b"a secret")
        assert not room.hub.type(ada, b"x")
        assert not room.hub.take_writing(ada)
        assert not room.hub.send_break(ada)
        assert await ada.next() == b"\r\n[groundstate: your access has ended]\r\n"
        assert await ada.next() is None
        await room.hub.stop("over")

    in_virtual_time(test)


def test_the_line_is_opened_when_somebody_comes_and_closed_when_nobody_is_left() -> None:
    async def test() -> None:
        room = Room()
        await asyncio.sleep(3600)
        assert room.openings == []
        ada = room.enter()
        await settled()
        assert room.hub.is_open
        room.hub.detach(ada)
        await settled()
        assert room.driver.lines["r1-01"].is_closed
        assert room.notes.handle == ""
        room.hub.hold(is_held=True)
        await settled()
        assert room.hub.is_open
        await room.hub.stop("over")

    in_virtual_time(test)


def test_a_line_that_cannot_be_opened_is_tried_seldomer_and_told_once() -> None:
    """dsx-ai-factory/infra-controller#2787: it failed every 10 minutes for ever."""

    async def test() -> None:
        room = Room()
        room.driver.refusals["r1-01"] = Unreachable("no answer")
        ada = room.enter()
        await asyncio.sleep(200)
        waits = [round(b - a) for a, b in zip(room.openings, room.openings[1:], strict=False)]
        assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
        assert room.notes.told == [("lost", "r1-01", "no answer")]
        assert b"trying again in 60 s" in await shown(ada)
        del room.driver.refusals["r1-01"]
        await asyncio.sleep(60)
        assert room.hub.is_open
        assert room.notes.told[-1] == ("opened", "r1-01")
        await room.hub.stop("over")

    in_virtual_time(test)


def test_during_a_boot_request_a_line_is_tried_at_least_every_five_seconds() -> None:
    async def test() -> None:
        room = Room()
        room.driver.refusals["r1-01"] = Unreachable("the machine is off, and its serial line with it")
        room.hub.refresh(console(order="Install 7"))
        room.hub.hold(is_held=True)
        await asyncio.sleep(30)
        waits = [round(b - a) for a, b in zip(room.openings, room.openings[1:], strict=False)]
        assert waits == [1, 2, 4, 5, 5, 5, 5]
        await room.hub.stop("over")

    in_virtual_time(test)


def test_a_driver_with_a_defect_costs_its_own_line_and_no_more() -> None:
    async def test() -> None:
        room = Room()

        async def broken(*_: object) -> Line:
            raise KeyError("oops")

        room.hub._open_line = broken
        ada = room.enter()
        await settled()
        assert b"report this bug" in await shown(ada)
        room.hub._open_line = room.open
        await asyncio.sleep(2)
        assert room.hub.is_open
        await room.hub.stop("over")

    in_virtual_time(test)


def test_the_next_tenancy_begins_with_an_empty_replay_and_a_recording_of_its_own() -> None:
    async def test() -> None:
        room = Room()
        ada = room.enter()
        await settled()
        room.driver.say("r1-01", b"old")
        room.hub.detach(ada)
        room.hub.refresh(console(tenancy="claim-next-0", order="Install 1"))
        assert await shown(room.enter("bob")) == b""
        room.driver.say("r1-01", b"new")
        assert bytes(room.notes.recorded["claim-next-0"]) == b"new"
        assert room.notes.recorded["claim-web-0"].endswith(b"old")
        assert room.notes.marks == ["order Install 1"]
        await room.hub.stop("over")

    in_virtual_time(test)


def test_people_are_informed_that_a_console_is_not_recorded_and_when_it_is_again() -> None:
    async def test() -> None:
        room = Room()
        ada = room.enter()
        await settled()
        room.hub.recording_changed(OSError(28, "No space left on device"))
        assert b"not recorded any more: [Errno 28] No space left on device" in await shown(ada)
        assert ("unrecorded", "r1-01") in [one[:2] for one in room.notes.told], "also where no person is connected"
        room.hub.recording_changed(None)
        assert b"recorded again" in await shown(ada)
        await room.hub.stop("over")

    in_virtual_time(test)


@pytest.mark.parametrize("is_lost", [False, True])
def test_the_handle_of_a_line_stays_after_a_loss_alone(is_lost: bool) -> None:
    async def test() -> None:
        room = Room()
        room.enter()
        await settled()
        if is_lost:
            room.driver.refusals["r1-01"] = DriverError("gone")
            room.driver.cut("r1-01")
            await settled()
        await room.hub.stop("over")
        assert bool(room.notes.handle) is is_lost

    in_virtual_time(test)


def test_another_way_to_the_line_takes_effect_at_once() -> None:
    async def test() -> None:
        room = Room()
        room.enter()
        await settled()
        state = console()
        room.hub.refresh(msgspec.structs.replace(state, access=ConsoleAccess("fake", "elsewhere", None, None)))
        await settled()
        assert room.driver.lines["r1-01"].is_closed
        assert room.driver.lines["elsewhere"].is_open
        await room.hub.stop("over")

    in_virtual_time(test)


def test_a_line_that_was_open_for_long_is_tried_again_at_once() -> None:
    async def test() -> None:
        room = Room()
        ada = room.enter()
        for _ in range(8):
            await settled()
            room.driver.cut("r1-01")
            await asyncio.sleep(120)
        await shown(ada)
        room.driver.cut("r1-01")
        await settled()
        assert b"trying again in 1 s" in await shown(ada)
        await room.hub.stop("over")

    in_virtual_time(test)


def test_what_the_last_tenant_typed_and_did_not_leave_yet_is_dropped() -> None:
    async def test() -> None:
        room, dropped = Room(), list[str]()
        room.enter()
        await settled()
        room.driver.lines["r1-01"].drop_unsent = lambda: dropped.append("dropped")  # type: ignore[method-assign]
        room.hub.refresh(console(order="Install 7"))
        assert dropped == []
        room.hub.refresh(console(tenancy="release-web-0"))
        assert dropped == ["dropped"]
        await room.hub.stop("over")

    in_virtual_time(test)


def test_an_escape_that_is_typed_alone_reaches_the_machine_promptly() -> None:
    async def test() -> None:
        room = Room()
        room.driver.leaves = (b"\x1b(",)
        ada = room.enter()
        await settled()
        room.hub.type(ada, b"\x1b")
        assert room.line == b""
        await asyncio.sleep(HELD_SECONDS)
        await settled()
        assert room.line == b"\x1b"
        await room.hub.stop("over")

    in_virtual_time(test)


@pytest.mark.parametrize("pause", [0.0, HELD_SECONDS * 2, 3600.0])
def test_a_sequence_into_the_shell_of_the_bmc_does_not_pass_by_two_hands_or_slowly(pause: float) -> None:
    """Ada types the first byte, and Bob the second, however much later. The line is one."""

    async def test() -> None:
        room = Room()
        room.driver.leaves = (b"\x1b(",)
        ada, bob = room.enter(), room.enter("bob")
        await settled()
        room.hub.type(ada, b"ls\x1b")
        await asyncio.sleep(pause)
        room.hub.take_writing(bob)
        room.hub.type(bob, b"(power off\r")
        await settled()
        assert room.line == (b"ls\x1bpower off\r" if pause else b"lspower off\r")
        assert b"leads from the console into the BMC's own shell" in await shown(bob)
        await room.hub.stop("over")

    in_virtual_time(test)


def test_another_line_begins_without_the_keys_of_the_last_one() -> None:
    async def test() -> None:
        room = Room()
        room.driver.leaves = (b"\x1b(",)
        ada = room.enter()
        await settled()
        room.hub.type(ada, b"\x1b")
        room.driver.cut("r1-01")
        await asyncio.sleep(5)
        room.hub.type(ada, b"(")
        assert room.line == b"("
        await room.hub.stop("over")

    in_virtual_time(test)


def test_a_key_that_is_held_back_does_not_reach_the_next_tenant() -> None:
    async def test() -> None:
        room = Room()
        room.driver.leaves = (b"\x1b(",)
        room.hub.type(room.enter(), b"")
        await settled()
        room.hub.type(room.hub.watchers[0], b"\x1b")
        room.hub.refresh(console(tenancy="claim-next-0"))
        await asyncio.sleep(1)
        assert room.line == b""
        await room.hub.stop("over")

    in_virtual_time(test)


@given(st.lists(st.integers(0, 6000), max_size=30), st.integers(1, 20_000))
def test_of_what_was_said_the_end_is_kept_however_it_came(sizes: list[int], most: int) -> None:
    recent, said = RecentOutput(most), b""
    for number, size in enumerate(sizes):
        data = bytes([number]) * size
        recent.add(data)
        said += data
        assert bytes(recent) == said[-most:]
    recent.clear()
    assert bytes(recent) == b""
