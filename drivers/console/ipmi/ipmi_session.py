"""One RMCP+ session: a UDP socket, the login, and commands with their answers. Sockets and time; the bytes are of
`ipmi_wire.py`.

What is sent again here is what UDP may lose: the same request, a second apart at first."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from drivers.base import (
    AuthenticationFailed,
    Busy,
    Credential,
    DriverError,
    Rejected,
    Unreachable,
    Unsupported,
)
from drivers.base.support.event_loop import (
    AsyncFuture,
    DatagramProtocol,
    DatagramTransport,
    running_loop,
    time_limit,
    wait_for_tasks,
)
from drivers.console.ipmi import ipmi_wire as wire

TRIES = 4
_PATIENCE = 1.0
"""Seconds until a request is sent for the second time; each further wait is one more of these longer."""

_NO_SUITE = {0x04, 0x05, 0x06, 0x07, 0x10, 0x11}
_FULL = {0x01, 0x0B}
_REFUSED = {0x09, 0x0A, 0x0D, 0x0F}
"""Status codes of RMCP+ (table 13-15): a role or a user name that is not allowed, a wrong check value."""


class Session(DatagramProtocol):
    """A session with the BMC at `where`. `on_line` gets the payloads of Serial over LAN."""

    def __init__(self, where: str, suite_id: int) -> None:
        self.where = where
        self.on_line: Callable[[bytes], None] = _ignored
        self._suite_id, self._suite = suite_id, wire.SUITES[suite_id]
        self._transport: DatagramTransport | None = None
        self._waits: dict[tuple[int, int], AsyncFuture[bytes]] = {}
        self._tag, self._request, self._number = 0, 0, 0
        self._window = wire.Window()
        self._keys: wire.SessionKeys | None = None
        self.console_id, self.bmc_id = secrets.token_bytes(4), bytes(4)

    # -- the socket ----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: object) -> None:
        """asyncio's hook."""
        self._transport = cast("DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        """asyncio's hook. Inside of a session nothing counts but what is signed with its key."""
        if self._keys is None:
            packet = wire.read_plain(data)
        else:
            packet = wire.read_sealed(data, self.console_id, self._keys)
            if packet is not None and not self._window.takes(packet.number):
                return
        if packet is None:
            return
        if packet.kind == wire.SOL:
            self.on_line(packet.payload)
        elif packet.kind == wire.IPMI:
            answer = wire.read_answer(packet.payload)
            if answer is not None:
                self._settle((wire.IPMI, answer.number), packet.payload)
        elif packet.payload:
            self._settle((packet.kind, packet.payload[0]), packet.payload)

    def error_received(self, exc: Exception) -> None:
        """asyncio's hook: the host answered that its port is closed. A BMC that starts does the same, so that the
        request is sent again."""

    @property
    def has_keys(self) -> bool:
        """Whether both sides have proved that they know the password; what comes is signed since then."""
        return self._keys is not None

    def close(self) -> None:
        """Close the socket."""
        if self._transport is not None:
            self._transport.close()
        for waiting in self._waits.values():
            waiting.cancel()

    def abandon(self) -> None:
        """End the session without waiting for the BMC: an open one takes one of its few places."""
        if self._keys is not None:
            self.send(wire.IPMI, wire.command(0, wire.CLOSE_SESSION, self.bmc_id))
        self.close()

    def send(self, kind: int, payload: bytes) -> None:
        """Send a payload, in the session once there is one."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._keys is None:
            self._transport.sendto(wire.plain_packet(kind, payload))
            return
        self._number += 1
        vector = secrets.token_bytes(16)
        self._transport.sendto(wire.sealed_packet(kind, payload, self.bmc_id, self._number, self._keys, vector))

    def _settle(self, key: tuple[int, int], payload: bytes) -> None:
        waiting = self._waits.pop(key, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(payload)

    async def _ask(self, kind: int, payload: bytes, key: tuple[int, int], tries: int = TRIES) -> bytes:
        waiting: AsyncFuture[bytes] = running_loop().create_future()
        self._waits[key] = waiting
        try:
            for attempt in range(tries):
                self.send(kind, payload)
                with suppress(TimeoutError):
                    async with time_limit(_PATIENCE * (attempt + 1)):
                        await _unless_done(waiting)
                        return waiting.result()
        finally:
            self._waits.pop(key, None)
        seconds = _PATIENCE * tries * (tries + 1) / 2
        raise Unreachable(
            f"no answer over IPMI from {self.where} within {seconds:.0f} s; check that IPMI over LAN is on in the BMC, "
            "and that UDP reaches its port"
        )

    # -- the login -----------------------------------------------------------------------------------------------------

    async def log_in(self, login: Credential) -> None:
        """Open the session with the suite that was asked for and no other. The BMC proves that it knows the password
        before it gets anything that depends on the password. Raises DriverError."""
        user = login.username.encode()
        if len(user) > wire.MOST_USER:
            raise Rejected(f"{self.where}: an IPMI user name has at most {wire.MOST_USER} bytes")
        try:
            key = wire.password_key(login.password)
            shared = await self._agree(user)
            await self._prove(shared, key)
        except wire.WireError as error:
            raise Unreachable(f"{self.where}: {error}") from None
        completion, _ = await self.command(wire.SET_PRIVILEGE, bytes([wire.ADMINISTRATOR]))
        if completion:
            raise AuthenticationFailed(
                f"{self.where}: the BMC does not let {login.username} be an administrator over IPMI (code "
                f"{completion:#04x}); give the user this privilege on the LAN channel"
            )

    async def _agree(self, user: bytes) -> tuple[wire.Handshake, bytes]:
        """What both sides know after RAKP 2, and the BMC's proof."""
        opened = await self._step(wire.OPEN_REQUEST, lambda tag: wire.open_request(tag, self.console_id, self._suite))
        answer = wire.read_open_response(opened, self.console_id)
        if answer.algorithms != (self._suite.authentication, self._suite.integrity, wire.AES_CBC_128):
            raise Rejected(
                f"{self.where}: the BMC answered with other algorithms than cipher suite {self._suite_id} has; "
                "groundstate does not use them. Set console.cipherSuite to one that the BMC offers: 17, or 3"
            )
        self.bmc_id, random = answer.bmc_id, secrets.token_bytes(16)
        said = await self._step(wire.RAKP1, lambda tag: wire.rakp1(tag, self.bmc_id, random, user))
        bmc_random, guid, code = wire.read_rakp2(said, self.console_id)
        return wire.Handshake(self.console_id, self.bmc_id, random, bmc_random, guid, user), code

    async def _prove(self, shared: tuple[wire.Handshake, bytes], key: bytes) -> None:
        handshake, code = shared
        if not wire.same(handshake.rakp2_code(self._suite, key), code):
            raise AuthenticationFailed(
                f"{self.where}: the BMC does not know this password, or is another BMC; nothing that depends on the "
                "password was sent. Check the credential"
            )
        proof, keys = handshake.rakp3_code(self._suite, key), handshake.keys(self._suite, key)
        said = await self._step(wire.RAKP3, lambda tag: wire.rakp3(tag, self.bmc_id, proof))
        if not wire.same(handshake.rakp4_code(keys), wire.read_rakp4(said, self.console_id)):
            raise AuthenticationFailed(f"{self.where}: the BMC did not prove that it has the key of the session")
        self._keys = keys

    async def _step(self, kind: int, make: Callable[[int], bytes]) -> bytes:
        self._tag = (self._tag + 1) & 0xFF
        payload = await self._ask(kind, make(self._tag), (kind + 1, self._tag))
        if len(payload) < 2:
            raise wire.WireError("the answer to a login is too short")
        if payload[1]:
            raise _refusal(self.where, self._suite_id, payload[1])
        return payload

    # -- commands ------------------------------------------------------------------------------------------------------

    async def command(self, code: int, data: bytes = b"", tries: int = TRIES) -> tuple[int, bytes]:
        """The completion code and the data of the answer. Raises Unreachable."""
        self._request = (self._request + 1) & 0x3F
        payload = await self._ask(wire.IPMI, wire.command(self._request, code, data), (wire.IPMI, self._request), tries)
        answer = wire.read_answer(payload)
        if answer is None or answer.code != code:
            raise Unreachable(f"{self.where}: the BMC answered another command than the one that was sent")
        return answer.completion, answer.data


def _ignored(_payload: bytes) -> None:
    """No line was asked for."""


async def _unless_done(waiting: AsyncFuture[bytes]) -> None:
    """Wait for it; a time limit ends the wait, and not what is waited for."""
    await wait_for_tasks([waiting])


def _refusal(where: str, suite: int, status: int) -> DriverError:
    """The error that a status code of the login means."""
    if status in _NO_SUITE:
        return Unsupported(
            f"{where}: the BMC does not offer cipher suite {suite} (status {status:#04x}); set console.cipherSuite to "
            "one that it offers: 17, or 3 for an old BMC"
        )
    if status in _FULL:
        return Busy(f"{where}: the BMC has no free IPMI session (status {status:#04x})")
    if status in _REFUSED:
        return AuthenticationFailed(
            f"{where}: the BMC refused the login (status {status:#04x}); check user, password, and the user's "
            "privilege on the LAN channel"
        )
    return Rejected(f"{where}: the BMC refused the session with status {status:#04x}")
