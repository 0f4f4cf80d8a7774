"""A BMC with Serial over LAN over real UDP, suites 3 and 17, which can misbehave as BMCs do.

The codec is the driver's own; that it is IPMI's is shown by `ipmi_sim`, ipmitool and pyghmi, where they are installed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from drivers.console.ipmi import ipmi_wire as wire

USER, PASSWORD = "ipmiusr", "correct horse"
OLD_FORMAT, DEVICE_ID, CHANNEL_CAPABILITIES = 0x00, 0x01, 0x38


def _message(netfn: int, number: int, code: int, data: bytes) -> bytes:
    """An answer to a request of this number (figure 13-4)."""
    first, second = bytes([0x81, netfn << 2]), bytes([0x20, number, code]) + data
    return first + bytes([-sum(first) & 255]) + second + bytes([-sum(second) & 255])


class Peer(msgspec.Struct):
    """One session, from Open Session on."""

    address: Any
    suite: wire.CipherSuite
    console_id: bytes
    bmc_id: bytes
    handshake: wire.Handshake | None = None
    pending: wire.SessionKeys | None = None
    keys: wire.SessionKeys | None = None
    number: int = 0
    seen: wire.Window = msgspec.field(default_factory=wire.Window)


class SolBmc(asyncio.DatagramProtocol):
    """`typed` has what the console sent, `breaks` counts. `drops` says of each datagram, by count, whether it is lost.
    `answers_with`: the algorithms that Open Session returns, whatever was asked for."""

    def __init__(self, suites: tuple[int, ...] = (3, 17), largest: int = 64) -> None:
        self.suites, self.largest = suites, largest
        self.password = PASSWORD
        self.typed, self.breaks = bytearray(), 0
        self.sessions: dict[bytes, Peer] = {}
        self.owner: bytes | None = None
        self.drops: Callable[[int], bool] = lambda _count: False
        self.repeats = False
        self.silent = False
        self.sol_off = False
        self.answers_with: tuple[int, int, int] | None = None
        self.accepts = 255
        self.log: list[bytes] = []
        self._count = 0
        self._transport: Any = None
        self._out = bytearray()
        self._acked = asyncio.Event()
        self._more = asyncio.Event()
        self._sent = 0
        self._receiver = wire.Receiver(self._heard)
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """Its UDP port."""
        return int(self._transport.get_extra_info("sockname")[1])

    async def start(self) -> SolBmc:
        """Listen."""
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        self._task = asyncio.ensure_future(self._pump())
        return self

    async def stop(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
        self._transport.close()

    def connection_made(self, transport: Any) -> None:
        """asyncio's hook."""
        self._transport = transport

    def say(self, data: bytes) -> None:
        """Speak as the machine."""
        self._out += data
        self._more.set()

    def _heard(self, data: bytes) -> None:
        self.typed += data

    def take_away(self) -> None:
        """Another session gets the line, and the owner is not told."""
        self.owner = b"\x99\x99\x99\x99"

    # -- in ------------------------------------------------------------------------------------------------------------

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """asyncio's hook."""
        self._count += 1
        if self.silent or self.drops(self._count):
            return
        if data[4] == OLD_FORMAT:
            if data[4:13] == bytes(9) and data[19] == CHANNEL_CAPABILITIES:
                self._capabilities(data[18], addr)
            return
        if data[5] & 0xC0:
            peer = self.sessions.get(data[6:10])
            packet = wire.read_sealed(data, data[6:10], peer.keys) if peer is not None and peer.keys else None
            if peer is not None and packet is not None and peer.seen.takes(packet.number):
                self._in_session(peer, packet)
            return
        packet = wire.read_plain(data)
        if packet is not None:
            self._login(packet, addr)

    def _capabilities(self, number: int, addr: Any) -> None:
        """What ipmitool and pyghmi ask first, in the format of IPMI 1.5: it speaks 2.0, and has named users (22.13)."""
        told = bytes([0, 1, 0x80, 0x04, 0x02, 0, 0, 0, 0])
        message = _message(0x07, number, CHANNEL_CAPABILITIES, told)
        self._raw(wire.RMCP + bytes(9) + bytes([len(message)]) + message, addr)

    def _login(self, packet: wire.Packet, addr: Any) -> None:
        p = packet.payload
        if packet.kind == wire.OPEN_REQUEST:
            wanted = (p[12], p[20], p[28])
            known = [wire.SUITES[one] for one in self.suites]
            suite = next((one for one in known if (one.authentication, one.integrity, 1) == wanted), None)
            if suite is None:
                self._plain(wire.OPEN_RESPONSE, bytes([p[0], 0x11, 0, 0]) + p[4:8], addr)
                return
            bmc_id = os.urandom(4)
            self.sessions[bmc_id] = Peer(addr, suite, p[4:8], bmc_id)
            algorithms = self.answers_with or wanted
            said = b"".join(bytes([i, 0, 0, 8, number, 0, 0, 0]) for i, number in enumerate(algorithms))
            self._plain(wire.OPEN_RESPONSE, bytes([p[0], 0, 4, 0]) + p[4:8] + bmc_id + said, addr)
            return
        peer = self.sessions.get(p[4:8])
        if peer is None:
            return
        key = wire.password_key(self.password)
        if packet.kind == wire.RAKP1:
            user = p[28 : 28 + p[27]]
            if user != USER.encode():
                self._plain(wire.RAKP2, bytes([p[0], 0x0D, 0, 0]) + peer.console_id, addr)
                return
            peer.handshake = wire.Handshake(peer.console_id, peer.bmc_id, p[8:24], os.urandom(16), bytes(16), user)
            code = peer.handshake.rakp2_code(peer.suite, key)
            told = peer.console_id + peer.handshake.bmc_random + peer.handshake.guid + code
            self._plain(wire.RAKP2, bytes([p[0], 0, 0, 0]) + told, addr)
        elif packet.kind == wire.RAKP3 and peer.handshake is not None:
            if not wire.same(peer.handshake.rakp3_code(peer.suite, key), p[8:]):
                self._plain(wire.RAKP4, bytes([p[0], 0x0F, 0, 0]) + peer.console_id, addr)
                return
            keys = peer.handshake.keys(peer.suite, key)
            code = peer.handshake.rakp4_code(keys)
            self._plain(wire.RAKP4, bytes([p[0], 0, 0, 0]) + peer.console_id + code, addr)
            peer.keys = keys

    def _in_session(self, peer: Peer, packet: wire.Packet) -> None:
        if packet.kind == wire.SOL:
            self._on_sol(peer, packet.payload)
            return
        netfn, number, code, data = (
            packet.payload[1] >> 2,
            packet.payload[4] >> 2,
            packet.payload[5],
            packet.payload[6:-1],
        )
        completion, told = self._command(peer, code, data)
        self._seal(peer, wire.IPMI, _message(netfn | 1, number << 2, code, bytes([completion]) + told))

    def _command(self, peer: Peer, code: int, data: bytes) -> tuple[int, bytes]:
        match code:
            case _ if code == DEVICE_ID:
                return 0, bytes([0x20, 1, 2, 0, 0x02, 0x8F]) + bytes(9)
            case wire.SET_PRIVILEGE:
                return 0, data
            case wire.ACTIVATE_PAYLOAD:
                if self.sol_off:
                    return 0x81, b""
                if self.owner is not None:
                    return 0x80, b""
                self.owner = peer.bmc_id
                self._more.set()
                self._receiver, self._sent = wire.Receiver(self._heard), 0
                size = (self.largest + 4).to_bytes(2, "little")
                return 0, bytes(4) + size + size + self.port.to_bytes(2, "little") + b"\xff\xff"
            case wire.DEACTIVATE_PAYLOAD:
                before = self.sessions.get(self.owner or b"")
                if before is not None and before is not peer:
                    self._seal(before, wire.SOL, wire.SolPacket(0, 0, 0, wire.DEACTIVATED).encoded())
                self.owner = None
                return 0, b""
            case wire.PAYLOAD_INFO:
                return 0, (self.owner or bytes(4)) + bytes(8)
            case wire.CLOSE_SESSION:
                gone = self.sessions.pop(data, None)
                if gone is not None and self.owner == gone.bmc_id:
                    self.owner = None
                return 0, b""
            case _:
                return 0xC1, b""

    def _on_sol(self, peer: Peer, payload: bytes) -> None:
        packet = wire.read_sol(payload)
        if packet is None or peer.bmc_id != self.owner:
            return
        if packet.acknowledged and packet.acknowledged == self._sent:
            self._acked.set()
        if packet.number:
            if packet.flags & wire.BREAK and not packet.data:
                self.breaks += 1
            part = msgspec.structs.replace(packet, data=packet.data[: self.accepts])
            answer = self._receiver.take(part)
            if answer is not None:
                flags = wire.NACK if len(part.data) < len(packet.data) else 0
                self._seal(peer, wire.SOL, msgspec.structs.replace(answer, flags=flags).encoded())

    # -- out -----------------------------------------------------------------------------------------------------------

    def _plain(self, kind: int, payload: bytes, addr: Any) -> None:
        self._raw(wire.plain_packet(kind, payload), addr)

    def _seal(self, peer: Peer, kind: int, payload: bytes) -> None:
        if peer.keys is not None:
            peer.number += 1
            sealed = wire.sealed_packet(kind, payload, peer.console_id, peer.number, peer.keys, os.urandom(16))
            self.log.append(sealed)
            self._raw(sealed, peer.address)

    def _raw(self, datagram: bytes, addr: Any) -> None:
        self._count += 1
        if self.drops(self._count) or self._transport.is_closing():
            return
        for _ in range(2 if self.repeats else 1):
            self._transport.sendto(datagram, addr)

    def replay(self, datagram: bytes) -> None:
        """Send to the line's owner what was sent before, as somebody in between can."""
        self._transport.sendto(datagram, self.sessions[self.owner or b""].address)

    async def _pump(self) -> None:
        while True:
            peer = self.sessions.get(self.owner or b"")
            if not self._out or peer is None:
                self._more.clear()
                await self._more.wait()
                continue
            chunk, self._sent = bytes(self._out[:100]), self._sent % 15 + 1
            while self.owner == peer.bmc_id:
                self._acked.clear()
                self._seal(peer, wire.SOL, wire.SolPacket(self._sent, 0, 0, 0, chunk).encoded())
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await self._acked.wait()
                        del self._out[: len(chunk)]
                        break
