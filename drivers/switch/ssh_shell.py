"""Commands on a switch, through SSH: one connection for each call of a driver, closed at its end.

The switch's own host key is pinned. The login is asked for only when that key was shown. All that is read is bounded,
and so is the time. `asyncssh` speaks; its event loop ends with the call.
"""

from __future__ import annotations

import re
import shlex
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import asyncssh
import msgspec

from drivers.base import (
    AuthenticationFailed,
    DriverError,
    Peer,
    Rejected,
    SecretUnavailable,
    SwitchEndpoint,
    Unreachable,
    Unreadable,
    excerpt,
    require_permit,
)
from drivers.base.support.event_loop import Runner, running_loop, time_limit

T = TypeVar("T")
CALL_SECONDS = 120.0
"""For all that a call of a driver does on a switch."""
_LOGIN_SECONDS = 20.0
_PIECE = 64 * 1024
MOST_OUTPUT = 8 * 1024 * 1024
"""Bytes that a command may print. 512 ports with LLDP and BGP are less than 3 MiB."""
_MOST_ERRORS = 64 * 1024
_SHOWN = 400
"""Characters of an answer that a message repeats."""
_ADDRESS = re.compile(
    r"ssh://(?P<user>[A-Za-z_][A-Za-z0-9._-]*)@(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:(?P<port>\d+))?"
)


class SshAddress(msgspec.Struct, frozen=True):
    """`ssh://USER@HOST[:PORT]`, in parts."""

    user: str
    host: str
    port: int = 22


def ssh_address(address: str) -> SshAddress:
    """The parts of the address. Raises Rejected."""
    match = _ADDRESS.fullmatch(address)
    port = int(match["port"] or 22) if match else 0
    if match is None or not 0 < port < 65536:
        raise Rejected(
            f"{excerpt(address, _SHOWN)}: the address of a switch must be ssh://USER@HOST or ssh://USER@HOST:PORT"
        )
    return SshAddress(match["user"], match["host"].strip("[]"), port)


class CommandResult(msgspec.Struct, frozen=True):
    """What a command printed, and its exit status."""

    status: int
    output: bytes
    errors: str

    @property
    def words(self) -> str:
        """What it said when it failed, on one line."""
        return excerpt(self.errors or self.output[-_MOST_ERRORS:].decode(errors="replace"), _SHOWN) or "no reason given"


class SwitchShell:
    """A login on the switch. `writes`: a command that changes something was sent, so an error leaves that open."""

    def __init__(self, where: str, user: str, connection: Any) -> None:
        self.where = where
        self.connection = connection
        self.writes = False
        self._sudo = () if user == "root" else ("sudo", "-n")

    async def run(self, *command: str, said: str = "", writes: bool = False, plain: bool = False) -> CommandResult:
        """Run it, as root unless it is `plain`. `said`: its standard input. Raises Unreadable for too much output."""
        if writes:
            require_permit()
            self.writes = True
        words = shlex.join(command if plain else (*self._sudo, *command))
        # The PATH of a session without a login may lack the folders of the programs of root.
        line = f"PATH=$PATH:/usr/sbin:/sbin {words}"
        process = await self.connection.create_process(line, encoding=None)
        with suppress(OSError):  # A command that reads nothing may have ended. Its status says how.
            process.stdin.write(said.encode())
            process.stdin.write_eof()
        output = await self._bounded(process.stdout, MOST_OUTPUT, command)
        errors = await self._bounded(process.stderr, _MOST_ERRORS, command)
        await process.wait_closed()
        if process.exit_status is None or process.exit_status < 0:
            raise Unreachable(f"{self.where}: `{command[0]}` ended without a status", maybe_sent=self.writes)
        return CommandResult(process.exit_status, output, errors.decode(errors="replace"))

    async def script(self, commands: list[tuple[str, ...]]) -> None:
        """Run the commands one after the other, and stop at the first that fails. Raises Rejected, naming it."""
        if not commands:
            return
        done = await self.run("sh", "-ex", said="\n".join(map(shlex.join, commands)) + "\n", writes=True)
        if done.status:
            raise Rejected(
                f"{self.where}: the switch refused a command, and ran none of those after it: {done.words[-_SHOWN:]}"
            )

    async def _bounded(self, stream: Any, most: int, command: tuple[str, ...]) -> bytes:
        read = bytearray()
        while piece := await stream.read(_PIECE):
            read += piece
            if len(read) > most:
                raise Unreadable(f"{self.where}: `{command[0]}` printed more than {most} bytes")
        return bytes(read)


class _Client(asyncssh.SSHClient):
    """Gives the login when the host key of the switch was the pinned one, and once."""

    def __init__(self, secret: Callable[[], str]) -> None:
        self._secret = secret
        self._is_given = False
        self.problem: DriverError | None = None

    def public_key_auth_requested(self) -> Any:
        """asyncssh's hook."""
        text = self._once()
        return _private_key(text) if _is_key(text) else None

    def password_auth_requested(self) -> str | None:
        """asyncssh's hook."""
        self._is_given = False
        text = self._once()
        return None if _is_key(text) else text or None

    def _once(self) -> str:
        if self._is_given or self.problem is not None:
            return ""
        self._is_given = True
        try:
            text = self._secret()
            if _is_key(text):
                _private_key(text)
        except DriverError as error:
            self.problem = error
            return ""
        return text


def _is_key(text: str) -> bool:
    return text.lstrip().startswith("-----BEGIN ")


def _private_key(text: str) -> Any:
    try:
        return asyncssh.import_private_key(text)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
        raise SecretUnavailable(
            "the login of the switch is a private key that cannot be read; it must be without a passphrase"
        ) from None


def in_session(endpoint: SwitchEndpoint, work: Callable[[SwitchShell], Awaitable[T]]) -> T:
    """What `work` returns, which gets a login on the switch. Raises DriverError and no other."""

    async def whole() -> T:
        try:
            async with time_limit(CALL_SECONDS), _login(endpoint) as shell:
                try:
                    return await work(shell)
                except (asyncssh.Error, OSError, TimeoutError) as error:
                    raise _broken(endpoint, error, shell.writes) from error
        except TimeoutError as error:
            raise _broken(endpoint, error, True) from error

    with Runner() as runner:
        return runner.run(whole())


def _broken(endpoint: SwitchEndpoint, error: Exception, writes: bool) -> DriverError:
    if isinstance(error, TimeoutError):
        return Unreachable(f"{endpoint.address}: the switch took more than {CALL_SECONDS:.0f} s", maybe_sent=writes)
    return Unreachable(f"{endpoint.address}: the connection ended: {excerpt(str(error), _SHOWN)}", maybe_sent=writes)


@asynccontextmanager
async def _login(endpoint: SwitchEndpoint) -> AsyncIterator[SwitchShell]:
    address = ssh_address(endpoint.address)
    number = await _resolved(endpoint, address)
    peer = Peer(number, verified=True)
    client = _Client(lambda: endpoint.secret(peer) if endpoint.secret else "")
    try:
        async with time_limit(_LOGIN_SECONDS):
            try:
                connection = await _connected(number, address, client, _host_key(endpoint))
            except (ConnectionResetError, asyncssh.ConnectionLost):
                # sshd drops connections at random while many begin (sshd_config(5), MaxStartups): once more.
                connection = await _connected(number, address, client, _host_key(endpoint))
    except asyncssh.HostKeyNotVerifiable:
        raise Rejected(
            f"{endpoint.address}: the host key of the switch is not the one in spec.hostKey. Another host answers, or "
            "the switch has a new key"
        ) from None
    except asyncssh.PermissionDenied as error:
        raise client.problem or AuthenticationFailed(
            f"{endpoint.address}: the switch refused the login of {address.user}: {excerpt(error.reason, _SHOWN)}"
        ) from None
    except TimeoutError:
        raise Unreachable(f"{endpoint.address}: no login within {_LOGIN_SECONDS:.0f} s") from None
    except asyncssh.Error as error:
        raise Unreachable(f"{endpoint.address}: {excerpt(error.reason, _SHOWN)}") from None
    except OSError as error:
        raise Unreachable(f"{endpoint.address}: {error.strerror or error}") from None
    async with connection:
        yield SwitchShell(endpoint.address, address.user, connection)


async def _connected(number: str, address: SshAddress, client: _Client, host_key: Any) -> Any:
    return await asyncssh.connect(
        number,
        address.port,
        username=address.user,
        client_factory=lambda: client,
        known_hosts=([host_key], [], []),
        client_keys=None,
        agent_path=None,
        config=None,
        preferred_auth="publickey,password",
        compression_algs=None,
        keepalive_interval=15,
        keepalive_count_max=3,
    )


async def _resolved(endpoint: SwitchEndpoint, address: SshAddress) -> str:
    """The IP address, which the settings allow."""
    try:
        found = await running_loop().getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"{endpoint.address}: the name is not known: {error}") from None
    number = str(found[0][4][0])
    if endpoint.connects is not None:
        endpoint.connects(number)
    return number


def _host_key(endpoint: SwitchEndpoint) -> Any:
    try:
        return asyncssh.import_public_key(endpoint.host_key)
    except (asyncssh.KeyImportError, ValueError):
        raise Rejected(
            f"{endpoint.address}: spec.hostKey is no public key of OpenSSH. `ssh-keyscan HOST` prints those of a switch"
        ) from None
