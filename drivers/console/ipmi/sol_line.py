"""A serial line over an RMCP+ session: activated, kept alive, sent again until it is acknowledged, deactivated."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

from drivers.base import MOST_UNSENT, ConsoleBusy, DriverError, Rejected, Unreachable, Unsupported
from drivers.base.support.event_loop import (
    AsyncFlag,
    AsyncFuture,
    AsyncTask,
    create_task,
    pause,
    running_loop,
    time_limit,
    wait_for_tasks,
)
from drivers.console.ipmi import ipmi_wire as wire
from drivers.console.ipmi.ipmi_session import Session

KEEP_ALIVE = 20.0
"""Seconds between two questions whether the line is still ours. BMCs end a silent session after 60 s."""
RESEND = 0.3
RESENDS = 8
_LARGEST = 200
"""Bytes in one packet at most, whatever a BMC says that it takes."""
_MOST_BREAKS = 8
_ALREADY = 0x80
_NO_SUCH_COMMAND = 0xC1


class SolLine:
    """See drivers.base.Line. `activate` comes first, `close` last. `session`: logged in."""

    def __init__(self, session: Session, heard: Callable[[bytes], None]) -> None:
        self._session = session
        self._receiver = wire.Receiver(heard)
        self._largest = 1
        self._unsent, self._breaks = bytearray(), 0
        self._more, self._answered = AsyncFlag(), AsyncFlag()
        self._number, self._closed = 0, False
        self._answer: wire.SolPacket | None = None
        self._tasks: list[AsyncTask[None]] = []
        self._lost: AsyncFuture[DriverError] = running_loop().create_future()

    @property
    def handle(self) -> str:
        """The two ids of the session, in hex."""
        return f"{self._session.bmc_id.hex()}:{self._session.console_id.hex()}"

    @property
    def leaves(self) -> tuple[bytes, ...]:
        """See Line: the session has no shell. `~.` and the like belong to ipmitool, and not to SOL."""
        return ()

    async def activate(self, former: str, *, steal: bool) -> None:
        """Have the line given to this session. Raises ConsoleBusy for a line that is another's, unless it is `former`
        or to be stolen; and DriverError."""
        session = self._session
        session.on_line = self._received
        completion, data = await self._ask_for_line()
        if completion == _ALREADY:
            owner = await self._owner()
            if not steal and not _is(owner, former):
                raise ConsoleBusy(
                    f"{session.where}: the serial line is active in another IPMI session"
                    f"{f' (id 0x{owner.hex()})' if owner else ''}",
                    owner.hex(),
                )
            await session.command(wire.DEACTIVATE_PAYLOAD, wire.SOL_INSTANCE + bytes(4))
            completion, data = await self._ask_for_line()
            if former and _is(owner, former):
                # The session of a process that was killed would take one of the few places until the BMC ends it.
                with suppress(Unreachable, ValueError):
                    await session.command(wire.CLOSE_SESSION, bytes.fromhex(former.partition(":")[0]), tries=1)
        if completion or len(data) < 6:
            raise _refusal(session.where, completion)
        size = int.from_bytes(data[4:6], "little")
        # The size counts the four bytes of the head too, but some BMCs give the size of their buffer.
        self._largest = max(1, min(size - 4 if size > 8 else size, _LARGEST))
        self._tasks = [create_task(self._until_lost(work)) for work in (self._send, self._keep_alive)]

    async def _ask_for_line(self) -> tuple[int, bytes]:
        return await self._session.command(wire.ACTIVATE_PAYLOAD, wire.SOL_INSTANCE + wire.ENCRYPTED_AND_SIGNED)

    async def _owner(self) -> bytes:
        """The id of the session that has the line, as the BMC writes it; empty where it does not say."""
        completion, data = await self._session.command(wire.PAYLOAD_INFO, wire.SOL_INSTANCE)
        return data[:4] if not completion and any(data[:4]) else b""

    # -- the line ------------------------------------------------------------------------------------------------------

    def _received(self, payload: bytes) -> None:
        """A payload of the session."""
        packet = wire.read_sol(payload)
        if packet is None:
            return
        answer = self._receiver.take(packet)
        if answer is not None:
            self._session.send(wire.SOL, answer.encoded())
        if packet.acknowledged and packet.acknowledged == self._number and self._answer is None:
            self._answer = packet
            self._answered.set()
        if packet.flags & wire.DEACTIVATED:
            self._lose(Unreachable(f"{self._session.where}: the BMC ended Serial over LAN"))

    def write(self, data: bytes) -> None:
        """See Line."""
        if not self._lost.done():
            self._unsent += data[: max(0, MOST_UNSENT - len(self._unsent))]
            self._more.set()

    def drop_unsent(self) -> None:
        """See Line. The packet under way may arrive."""
        self._unsent = bytearray()
        self._breaks = 0

    def send_break(self) -> None:
        """See Line. It goes before what is not sent yet: a break is to be heard by a system that hangs."""
        self._breaks = min(self._breaks + 1, _MOST_BREAKS)
        self._more.set()

    async def lost(self) -> DriverError:
        """See Line."""
        await wait_for_tasks([self._lost])  # a wait that is cancelled does not cancel what is waited for
        return self._lost.result()

    async def close(self) -> None:
        """See Line. Without this the BMC holds the line for half a minute."""
        for task in self._tasks:
            task.cancel()
        self._tasks = []
        if self._closed:
            return
        self._closed, session = True, self._session
        with suppress(DriverError):
            if not self._lost.done():
                # A lost line may be another's by now, and this command would end it there.
                await session.command(wire.DEACTIVATE_PAYLOAD, wire.SOL_INSTANCE + bytes(4), tries=1)
            await session.command(wire.CLOSE_SESSION, session.bmc_id, tries=1)
        session.close()

    def _lose(self, why: DriverError) -> None:
        if not self._lost.done():
            self._lost.set_result(why)

    async def _until_lost(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except DriverError as error:
            self._lose(error)

    async def _keep_alive(self) -> None:
        session = self._session
        while True:
            await pause(KEEP_ALIVE)
            completion, data = await session.command(wire.PAYLOAD_INFO, wire.SOL_INSTANCE)
            if completion == _NO_SUCH_COMMAND:
                continue
            if completion:
                raise Unreachable(f"{session.where}: the BMC does not know the line any more (code {completion:#04x})")
            owner = data[:4]
            if len(owner) < 4 or _is(owner, self.handle):
                continue
            if not any(owner):
                raise Unreachable(f"{session.where}: the BMC says that no session has the serial line")
            raise ConsoleBusy(
                f"{session.where}: another IPMI session took the serial line (id 0x{owner.hex()})", owner.hex()
            )

    async def _send(self) -> None:
        """One packet at a time, as SOL has it, each until it is acknowledged."""
        while True:
            while not self._unsent and not self._breaks:
                self._more.clear()
                await self._more.wait()
            if self._breaks:
                self._breaks -= 1
                await self._deliver(b"", wire.BREAK)
                continue
            unsent = self._unsent  # `drop_unsent` puts another in its place
            chunk = bytes(unsent[: self._largest])
            taken = await self._deliver(chunk, 0)
            del unsent[:taken]
            if not taken:
                await pause(RESEND)

    async def _deliver(self, chunk: bytes, flags: int) -> int:
        """How many of the bytes the BMC took. Raises Unreachable where it does not answer."""
        session = self._session
        self._number = self._number % 15 + 1
        packet = wire.SolPacket(self._number, 0, 0, flags, chunk).encoded()
        self._answer = None
        for attempt in range(RESENDS):
            self._answered.clear()
            session.send(wire.SOL, packet)
            with suppress(TimeoutError):
                async with time_limit(RESEND * (attempt + 1)):
                    await self._answered.wait()
                answer: wire.SolPacket | None = self._answer
                if answer is not None:
                    return _taken(answer, len(chunk))
        raise Unreachable(f"{session.where}: the BMC does not acknowledge what is typed")


def _taken(answer: wire.SolPacket, sent: int) -> int:
    """What the answer says was taken. Some BMCs acknowledge without a count, which then means all."""
    if answer.flags & (wire.NACK | wire.UNAVAILABLE):
        return min(answer.accepted, sent)
    return min(answer.accepted or sent, sent)


def _is(owner: bytes, former: str) -> bool:
    """Whether the session is the one with this handle. BMCs name it by either of its ids, in either byte order."""
    ids = {part for part in former.split(":") if part}
    return bool(owner) and bool({owner.hex(), owner[::-1].hex()} & ids)


def _refusal(where: str, completion: int) -> DriverError:
    match completion:
        case 0x81:
            return Unsupported(f"{where}: Serial over LAN is off in the BMC; switch it on there")
        case 0x82:
            return ConsoleBusy(f"{where}: the BMC has no free Serial over LAN session")
        case 0x80:
            return ConsoleBusy(f"{where}: another IPMI session has the serial line again")
        case 0x83:
            return Unsupported(f"{where}: the BMC offers Serial over LAN only without encryption")
        case _:
            return Rejected(f"{where}: the BMC refused Serial over LAN with code {completion:#04x}")
