"""The driver `ipmi`: the serial line of a machine by Serial over LAN."""

from __future__ import annotations

import socket
from collections.abc import Callable

from drivers.base import (
    AuthenticationFailed,
    ConsoleEndpoint,
    Credential,
    Line,
    Peer,
    Rejected,
    Unreachable,
)
from drivers.base.support.event_loop import in_thread, running_loop
from drivers.console.address_resolution import resolved_address
from drivers.console.ipmi.ipmi_session import Session
from drivers.console.ipmi.ipmi_wire import SUITES
from drivers.console.ipmi.sol_line import SolLine
from drivers.console.refused_logins import RefusedLogins

PORT = 623


class IpmiConsole:
    """See ConsoleDriver. One session for each line, as BMCs end payload and session together."""

    def __init__(self) -> None:
        self._refused = RefusedLogins()

    async def open(self, endpoint: ConsoleEndpoint, heard: Callable[[bytes], None], *, steal: bool = False) -> Line:
        """See ConsoleDriver."""
        if endpoint.cipher_suite not in SUITES:
            raise Rejected(f"console.cipherSuite is {endpoint.cipher_suite}; set spec.console.cipherSuite to 17 or 3")
        if endpoint.credential is None:
            raise Rejected(f"{endpoint.address}: the driver ipmi needs a credential; add credentialRef")
        port = endpoint.port or PORT
        host = await resolved_address(endpoint.address, port, socket.SOCK_DGRAM)
        if endpoint.connects is not None:
            endpoint.connects(host)
        # Nobody in between can read along: RAKP proves both sides, and all that follows is encrypted.
        login = await in_thread(endpoint.credential, Peer(host, verified=True))
        self._refused.leave_alone((host, port), endpoint.address, login)
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

    async def _log_in(self, place: tuple[str, int], session: Session, login: Credential) -> None:
        try:
            await session.log_in(login)
        except AuthenticationFailed:
            # Before the session has its keys, one forged packet is enough to be refused.
            self._refused.note(place, login, is_proven=session.has_keys)
            raise
        self._refused.forget(place)
