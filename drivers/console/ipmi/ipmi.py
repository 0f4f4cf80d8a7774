"""The driver `ipmi`: the serial line of a machine by Serial over LAN."""

from __future__ import annotations

import socket
from collections.abc import Callable

import msgspec

from drivers.base import (
    REFUSED_LOGIN,
    AuthenticationFailed,
    ConsoleEndpoint,
    Credential,
    Line,
    Peer,
    Rejected,
    Unreachable,
)
from drivers.base.support.event_loop import in_thread, running_loop
from drivers.console.ipmi.ipmi_session import Session
from drivers.console.ipmi.ipmi_wire import SUITES
from drivers.console.ipmi.sol_line import SolLine

PORT = 623


class _RefusedLogin(msgspec.Struct, frozen=True):
    """A login that a BMC refused. `until`: in seconds of the event loop."""

    login: Credential
    times: int
    until: float


class IpmiConsole:
    """See ConsoleDriver. One session for each line, as BMCs end payload and session together."""

    def __init__(self) -> None:
        self._refused: dict[tuple[str, int], _RefusedLogin] = {}

    async def open(self, endpoint: ConsoleEndpoint, heard: Callable[[bytes], None], *, steal: bool = False) -> Line:
        """See ConsoleDriver."""
        if endpoint.cipher_suite not in SUITES:
            raise Rejected(f"console.cipherSuite is {endpoint.cipher_suite}; set spec.console.cipherSuite to 17 or 3")
        if endpoint.credential is None:
            raise Rejected(f"{endpoint.address}: the driver ipmi needs a credential; add credentialRef")
        host, port = await _resolved(endpoint.address, endpoint.port or PORT)
        if endpoint.connects is not None:
            endpoint.connects(host)
        # Nobody in between can read along: RAKP proves both sides, and all that follows is encrypted.
        login = await in_thread(endpoint.credential, Peer(host, verified=True))
        self._leave_alone((host, port), endpoint, login)
        session = Session(f"{endpoint.address} port {port}", endpoint.cipher_suite)
        try:
            await running_loop().create_datagram_endpoint(lambda: session, remote_addr=(host, port))
        except OSError as error:
            raise Unreachable(f"{endpoint.address} port {port}: {error.strerror or error}") from None
        try:
            await self._log_in((host, port), session, login)
            line = SolLine(session, heard)
            await line.activate(endpoint.former, steal=steal)
        except BaseException:
            session.abandon()
            raise
        return line

    def _leave_alone(self, place: tuple[str, int], endpoint: ConsoleEndpoint, login: Credential) -> None:
        """Raises AuthenticationFailed for a login that was refused a short while ago: BMCs lock accounts, and people
        connect as often as they like."""
        refused = self._refused.get(place)
        seconds = refused.until - running_loop().time() if refused is not None and refused.login == login else 0.0
        if seconds > 0:
            raise AuthenticationFailed(
                f"{endpoint.address} port {place[1]}: the BMC refused this login. groundstate tries the login "
                f"again in {seconds / 60:.0f} min, because BMCs lock accounts; a changed credential is tried at once"
            )

    async def _log_in(self, place: tuple[str, int], session: Session, login: Credential) -> None:
        before = self._refused.pop(place, None)
        try:
            await session.log_in(login)
        except AuthenticationFailed:
            times = before.times + 1 if before is not None and before.login == login else 1
            self._refused[place] = _RefusedLogin(login, times, running_loop().time() + REFUSED_LOGIN.delay(times))
            raise


async def _resolved(host: str, port: int) -> tuple[str, int]:
    try:
        found = await running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise Unreachable(f"{host}: the name cannot be resolved: {error.strerror or error}") from None
    return str(found[0][4][0]), port
