"""The SSH server before the consoles: who comes in, to which machine, and no further.

A login is for a console and for nothing else: no shell, no command, no file transfer, no forwarding of any kind. The
answers to an unknown machine, to one without a console and to a wrong key are the same.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncssh

from drivers.base import clean
from reconciler.async_runtime import running_loop, wait_for_tasks
from reconciler.kinds.console.grants import ADMIN
from reconciler.services.boot.rate_limit import RateLimit, client_network
from reconciler.services.console.console_keys import GrantedKeys, certificate_end
from reconciler.services.console.console_session import MODE, OUTPUT_PIECE, ConsoleSession, Desk, Guest
from reconciler.services.console.login_slots import LoginSlots

LOGIN_SECONDS = 20.0
_KEY_EXCHANGES = "-diffie-hellman-*,gss-*,rsa*"
"""All but those that take much of our time for little of a stranger's. OpenSSH has the others since 6.5."""
_LONGEST_MODE = 16


class _Environment(dict[bytes, bytes]):
    """The variables of a session: the one that is used, and no other."""

    def __setitem__(self, name: bytes, value: bytes) -> None:
        if name == MODE.encode() and len(value) < _LONGEST_MODE:
            super().__setitem__(name, value)


class ConsoleServer:
    """All logins and sessions. Its methods are called from the event loop."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.logins: LoginSlots[_Login] = LoginSlots(desk.limits.logins, desk.limits.per_network, desk.limits.for_known)
        self.sessions: list[ConsoleSession] = []
        self.connections: set[_Login] = set()
        """Those whose key was let in."""
        self._attempts = RateLimit(desk.limits.attempts, timedelta(minutes=1))
        self._acceptor: asyncssh.SSHAcceptor | None = None

    async def listen(self, host: str, port: int, host_key: asyncssh.SSHKey) -> int:
        """Serve from now on; the port. Raises OSError."""
        self._acceptor = await asyncssh.create_server(
            lambda: _Login(self),
            host,
            port,
            server_host_keys=[host_key],
            login_timeout=LOGIN_SECONDS,
            keepalive_interval=30,
            keepalive_count_max=4,
            agent_forwarding=False,
            x11_forwarding=False,
            compression_algs=None,
            server_version="groundstate",
            encoding=None,
            line_editor=False,
            password_auth=False,
            kbdint_auth=False,
            host_based_auth=False,
            gss_host=None,
            allow_scp=False,
            max_pktsize=OUTPUT_PIECE,
            kex_algs=_KEY_EXCHANGES,
        )
        return int(self._acceptor.get_port())

    async def stop(self) -> None:
        """Accept no more logins, and end the connections. Sessions were ended by their hubs, with words."""
        if self._acceptor is not None:
            self._acceptor.close()
        tasks = [one.pump for one in self.sessions if one.pump is not None]
        if tasks:
            await wait_for_tasks(tasks, timeout=2.0)
        for session in list(self.sessions):
            session.abort()

    def admits(self, login: _Login, address: str) -> bool:
        """Whether this login may begin; another one may be dropped for it."""
        network = client_network(address)
        if not self.logins.has_place(network) or not self._attempts.allows(address, self.desk.now()):
            return False
        is_admitted, dropped = self.logins.admit(login, network)
        if dropped is not None:
            dropped.drop()
        return is_admitted

    def seats(self, guest: Guest) -> bool:
        """Whether one more session may begin."""
        limits = self.desk.limits
        of_key = sum((one.guest.fingerprint, one.guest.who) == (guest.fingerprint, guest.who) for one in self.sessions)
        kept = 0 if guest.grant.role == ADMIN else limits.for_admins
        return len(self.sessions) < limits.sessions - kept and of_key < limits.per_key

    def check(self) -> None:
        """End the sessions whose grant is gone, and those that were idle for too long; then cut the connections that
        have none."""
        at = running_loop().time()
        for session in list(self.sessions):
            session.check(at)
        for connection in list(self.connections):
            connection.check(at)


class _Login(asyncssh.SSHServer):
    """One connection."""

    def __init__(self, server: ConsoleServer) -> None:
        self._server, self._desk = server, server.desk
        self._connection: Any = None
        self._address, self._user = "", ""
        self._keys: GrantedKeys | None = None
        self._guest: Guest | None = None
        self._session: ConsoleSession | None = None
        self._used = 0.0

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """asyncssh's hook."""
        self._connection = conn
        # A peer that has gone already has no name.
        self._address = str((conn.get_extra_info("peername") or ("",))[0])
        self._note_certificates(conn)
        if not self._server.admits(self, self._address):
            self.drop()

    def _note_certificates(self, connection: Any) -> None:
        """Note when the certificate of the login ends. asyncssh checks this only at the login, and no hook gets the
        certificate."""
        check = connection._validate_openssh_certificate

        async def noted(username: str, certificate: Any) -> Any:
            if self._keys is not None:
                self._keys.ends = certificate_end(certificate)
            return await check(username, certificate)

        connection._validate_openssh_certificate = noted

    def drop(self) -> None:
        """Cut it, as too many logins are under way."""
        self._desk.crowded(self._address)
        self._connection.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncssh's hook."""
        self._server.logins.over(self)
        self._server.connections.discard(self)
        if self._guest is None and self._keys is not None and self._keys.tries:
            self._desk.refused(clean(self._user)[:100], self._address)

    def begin_auth(self, username: str) -> bool:
        """asyncssh's hook: every user has to show a key, an unknown one too."""
        self._user = username
        machine = self._desk.find(username)
        state = self._desk.state(machine) if machine is not None else None
        # Another name in the same login is one more try, and does not begin the count anew.
        tries = self._keys.tries + 1 if self._keys is not None else 0
        granted = state.grants if state is not None else ()
        self._keys = GrantedKeys(granted, self._desk.now, tries, self._desk.limits.tries)
        self._cut_if_exhausted()
        self._connection.set_authorized_keys(self._keys)
        return True

    def public_key_auth_supported(self) -> bool:
        """asyncssh's hook."""
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """asyncssh's hook, for a key that no grant has."""
        self._cut_if_exhausted()
        return False

    def validate_ca_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """asyncssh's hook, for a certificate whose authority no grant has."""
        self._cut_if_exhausted()
        return False

    def _cut_if_exhausted(self) -> None:
        if self._keys is not None and self._keys.tries >= self._desk.limits.tries:
            self._connection.abort()

    def auth_completed(self) -> None:
        """asyncssh's hook."""
        self._server.logins.over(self)
        keys, machine = self._keys, self._desk.find(self._user)
        if keys is None or keys.taken is None or machine is None:
            self._connection.abort()
            return
        self._server.logins.succeeded(client_network(self._address))
        grant = keys.taken
        who = clean(", ".join(keys.principals) or grant.key.comment)[:60] or keys.fingerprint
        role = "admin" if grant.role == ADMIN else f"claim {grant.role}"
        self._guest = Guest(self._user, machine, f"{who} ({role})", self._address, keys.fingerprint, grant, keys.ends)
        self._used = running_loop().time()
        self._server.connections.add(self)

    def check(self, at: float) -> None:
        """Cut it if it was without a session for too long: one that was never started, or that the client does not
        close."""
        if self._session is not None and self._session.is_live:
            self._used = at
        elif at - self._used > self._desk.limits.unused:
            self._connection.abort()

    def session_requested(self) -> Any:
        """asyncssh's hook: a console for who came in, one for each connection."""
        guest = self._guest
        if guest is None or self._session is not None or not self._server.seats(guest):
            return False
        self._session = ConsoleSession(self._desk, self._server.sessions, guest)
        channel = self._connection.create_server_channel(encoding=None)
        channel._env = _Environment()  # asyncssh keeps as many variables as a client sends
        return channel, self._session


def read_host_key(path: Path) -> asyncssh.SSHKey:
    """The host key, made at the first start. Raises OSError, and ValueError for a file that is no private key."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = asyncssh.generate_private_key("ssh-ed25519", comment="groundstate console")
        whole = path.with_name(f"{path.name}.new")
        whole.unlink(missing_ok=True)
        file = os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(file, made.export_private_key())
        finally:
            os.close(file)
        whole.replace(path)  # a process that is killed leaves no half of a key
    return asyncssh.read_private_key(path)


def host_key_line(key: asyncssh.SSHKey) -> str:
    """Type and base64 of the public key, as in known_hosts."""
    return " ".join(key.export_public_key().decode().split()[:2])
