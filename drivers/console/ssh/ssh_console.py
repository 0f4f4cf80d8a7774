"""The driver `ssh`: a serial line that a BMC, a terminal server or a console server offers over SSH.

The host key is pinned: no login leaves before the other side has proved that it has this key. Nothing of the user's own
SSH configuration, agent or keys is used.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import asyncssh

from drivers.base import (
    AuthenticationFailed,
    Busy,
    ConsoleEndpoint,
    Credential,
    DriverError,
    Line,
    Peer,
    Rejected,
    Unreachable,
    clean,
)
from drivers.base.support.event_loop import in_thread, time_limit
from drivers.console.address_resolution import resolved_address
from drivers.console.refused_logins import RefusedLogins
from drivers.console.ssh.ssh_dialects import DIALECTS, SshDialect
from drivers.console.ssh.ssh_line import SshLine

_PORT = 22
_LOGIN_SECONDS = 45.0
"""An old BMC needs many seconds for the exchange of keys."""
_KEEP_ALIVE, _UNANSWERED = 15, 3
_TERMINAL, _SIZE = "vt100", (132, 50)
_RSA = ["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"]
"""Old BMCs have the last one alone. Who forges its signature within one login does not need to forge it."""


class SshConsole:
    """See ConsoleDriver. One connection for each line."""

    def __init__(self) -> None:
        self._refused = RefusedLogins()

    async def open(self, endpoint: ConsoleEndpoint, heard: Callable[[bytes], None], *, steal: bool = False) -> Line:
        """See ConsoleDriver."""
        dialect, pinned = _read(endpoint)
        if endpoint.credential is None:
            raise Rejected(f"{endpoint.address}: the driver ssh needs a credential; add credentialRef")
        port = endpoint.port or _PORT
        host = await resolved_address(endpoint.address, port, socket.SOCK_STREAM)
        if endpoint.connects is not None:
            endpoint.connects(host)
        # The pinned key proves the other side before the login leaves.
        login = await in_thread(endpoint.credential, Peer(host, verified=True))
        self._refused.leave_alone((host, port), endpoint.address, login)
        where = f"{endpoint.address} port {port}"
        connection = await self._connected((host, port), where, login, pinned)
        try:
            line = SshLine(where, dialect, heard, connection)
            await _session(connection, line, where)
            await line.begin(steal=steal)
        except BaseException:
            connection.abort()
            raise
        return line

    async def _connected(
        self, place: tuple[str, int], where: str, login: Credential, pinned: asyncssh.SSHKey
    ) -> asyncssh.SSHClientConnection:
        client = _Client(pinned, login)
        try:
            async with time_limit(_LOGIN_SECONDS):
                connection, _ = await asyncssh.create_connection(
                    lambda: client,
                    *place,
                    config=None,
                    agent_path=None,
                    known_hosts=([], [], []),
                    server_host_key_algs=_algorithms(pinned),
                    client_version="groundstate",
                    username=login.username,
                    client_keys=_private_keys(where, login),
                    password=None if _is_key(login) else client.asked_for_password,
                    public_key_auth=_is_key(login),
                    host_based_auth=False,
                    gss_host=None,
                    keepalive_interval=_KEEP_ALIVE,
                    keepalive_count_max=_UNANSWERED,
                )
        except TimeoutError:
            raise Unreachable(f"{where}: no SSH login within {_LOGIN_SECONDS:.0f} s") from None
        except OSError as error:
            raise Unreachable(f"{where}: {error.strerror or error}") from None
        except asyncssh.Error as error:
            refusal = client.refusal(where, error)
            if isinstance(refusal, AuthenticationFailed):
                self._refused.note(place, login, is_proven=True)
            raise refusal from None
        self._refused.forget(place)
        return connection


class _Client(asyncssh.SSHClient):
    """One connection: the check of the host key, and what is known of a failure."""

    def __init__(self, pinned: asyncssh.SSHKey, login: Credential) -> None:
        self._pinned, self._login = pinned, login
        self._presented: asyncssh.SSHKey | None = None
        self._is_password_sent = False

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """asyncssh's hook."""
        self._presented = key
        return key == self._pinned

    def asked_for_password(self) -> str:
        """asyncssh's hook, for a login by password or by keyboard-interactive. It is asked for once."""
        self._is_password_sent = True
        return self._login.password

    def refusal(self, where: str, error: asyncssh.Error) -> DriverError:
        """The error in words."""
        expected = self._pinned.get_fingerprint()
        match error:
            case asyncssh.HostKeyNotVerifiable() if self._presented is not None:
                return Unreachable(
                    f"{where}: the SSH host key is {self._presented.get_fingerprint()}, but console.hostKey is "
                    f"{expected}; no login was sent. If the BMC was replaced or reset, write its new key into "
                    "console.hostKey. Else another host answers at this address"
                )
            case asyncssh.HostKeyNotVerifiable() | asyncssh.KeyExchangeFailed():
                return Unreachable(
                    f"{where}: no agreement on keys ({clean(error.reason)}); no login was sent. console.hostKey is of "
                    f"the type {self._pinned.get_algorithm()}; the server may have a key of another type alone"
                )
            case asyncssh.PermissionDenied() if not self._is_password_sent and not _is_key(self._login):
                return Rejected(
                    f"{where}: the server takes no password; use a credential whose password is a private key, in the "
                    "form of OpenSSH"
                )
            case asyncssh.PermissionDenied():
                return AuthenticationFailed(
                    f"{where}: the server refused the SSH login of {clean(self._login.username)}; check user and "
                    "password or key, and that the user may log in over SSH"
                )
            case _:
                return Unreachable(f"{where}: {clean(error.reason) or 'the SSH connection ended'}")


async def _session(connection: asyncssh.SSHClientConnection, line: SshLine, where: str) -> None:
    """Ask for a shell with a terminal."""
    try:
        async with time_limit(_LOGIN_SECONDS):
            await connection.create_session(lambda: line, encoding=None, term_type=_TERMINAL, term_size=_SIZE)
    except TimeoutError:
        raise Unreachable(f"{where}: no SSH session within {_LOGIN_SECONDS:.0f} s") from None
    except asyncssh.ChannelOpenError as error:
        raise Busy(
            f'{where}: the server opened no SSH session ("{clean(error.reason)}"); most BMCs have few sessions'
        ) from None
    except asyncssh.Error as error:
        raise Unreachable(f"{where}: {clean(error.reason) or 'the SSH connection ended'}") from None


def _read(endpoint: ConsoleEndpoint) -> tuple[SshDialect, asyncssh.SSHKey]:
    dialect = DIALECTS.get(endpoint.dialect)
    if dialect is None:
        raise Rejected(f"{endpoint.address}: the driver ssh needs console.dialect, one of {', '.join(DIALECTS)}")
    try:
        return dialect, asyncssh.import_public_key(endpoint.host_key)
    except asyncssh.KeyImportError:
        raise Rejected(
            f"{endpoint.address}: the driver ssh needs console.hostKey, the public host key as one line, such as "
            "`ssh-ed25519 AAAA...`"
        ) from None


def _algorithms(pinned: asyncssh.SSHKey) -> list[str]:
    """Those of the pinned key alone: a server with keys of several types is to show this one."""
    name = pinned.get_algorithm()
    return _RSA if name == "ssh-rsa" else [name]


def _is_key(login: Credential) -> bool:
    return "PRIVATE KEY-----" in login.password


def _private_keys(where: str, login: Credential) -> Any:
    """The key of a login by key; None: no key, and above all none of the user's own."""
    if not _is_key(login):
        return None
    try:
        return [asyncssh.import_private_key(login.password)]
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
        raise Rejected(
            f"{where}: the private key of the credential cannot be read; give one without a passphrase, in the form "
            "of OpenSSH"
        ) from None
