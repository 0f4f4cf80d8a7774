"""The SSH server before the consoles: who comes in, to which machine, and no further.

A login is for a console and for nothing else: no shell, no command, no file transfer, no forwarding of any kind. The
answers to an unknown machine, to one without a console and to a wrong key are the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncssh
import msgspec

from drivers.base import clean
from reconciler.async_runtime import AsyncFlag, AsyncTask, create_task, running_loop, wait_for_tasks
from reconciler.kinds.console.grants import ADMIN, ConsoleGrant, MachineConsoleState
from reconciler.services.boot.rate_limit import RateLimit, client_network
from reconciler.services.console.console_keys import GrantedKeys, certificate_end
from reconciler.services.console.escapes import HELP, EscapeReader, SessionCommand
from reconciler.services.console.hub import Hub, Watcher
from reconciler.services.console.login_slots import LoginSlots

LOGIN_SECONDS = 20.0
_PIECE = 16 * 1024
COMMANDS, COMMAND_SECONDS = 12.0, 1.0
"""So many commands of one session at once, and one more in so many seconds."""
_KEY_EXCHANGES = "-diffie-hellman-*,gss-*,rsa*"
"""All but those that take much of our time for little of a stranger's. OpenSSH has the others since 6.5."""
MODE = "GROUNDSTATE_CONSOLE"
"""The variable by which a client says what it wants: `watch`, or `steal`."""


_LONGEST_MODE = 16


class ServerLimits(msgspec.Struct, frozen=True):
    """So that no client can use all of the server. `logins`: under way at once, and `per_network` of one network.
    `for_known`: more logins, for networks from which a login succeeded before.
    `tries`: keys in one login. `attempts`: connections of one network in a minute. `sessions`: in all, and `per_key`.
    `for_admins`: of `sessions`, those that the keys of claims cannot take. `idle`: seconds in which nothing is typed.
    `unused`: seconds that a connection may be without a session."""

    logins: int = 8
    per_network: int = 4
    for_known: int = 4
    tries: int = 12
    attempts: int = 60
    sessions: int = 512
    per_key: int = 32
    for_admins: int = 64
    idle: float = 7200.0
    unused: float = 10.0


class _Environment(dict[bytes, bytes]):
    """The variables of a session: the one that is used, and no other."""

    def __setitem__(self, name: bytes, value: bytes) -> None:
        if name == MODE.encode() and len(value) < _LONGEST_MODE:
            super().__setitem__(name, value)


class Guest(msgspec.Struct, frozen=True):
    """Who came in. `grant`: by which key. `until`: when the certificate ends; None: never, or it was a key."""

    user: str
    machine: str
    who: str
    address: str
    fingerprint: str
    grant: ConsoleGrant
    until: datetime | None = None

    def has_ended(self, now: datetime) -> bool:
        """Whether the certificate has."""
        return self.until is not None and now >= self.until


class Desk(msgspec.Struct, frozen=True):
    """What the server asks its service."""

    now: Callable[[], datetime]
    find: Callable[[str], str | None]
    state: Callable[[str], MachineConsoleState | None]
    hub: Callable[[MachineConsoleState], Hub]
    opened: Callable[[Guest], None]
    closed: Callable[[Guest, str], None]
    refused: Callable[[str, str], None]
    crowded: Callable[[str], None]
    limits: ServerLimits = ServerLimits()


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
            max_pktsize=_PIECE,
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
        self._session = ConsoleSession(self._server, guest)
        channel = self._connection.create_server_channel(encoding=None)
        channel._env = _Environment()  # asyncssh keeps as many variables as a client sends
        return channel, self._session


class ConsoleSession(asyncssh.SSHServerSession[bytes]):
    """One session on one console."""

    def __init__(self, server: ConsoleServer, guest: Guest) -> None:
        self._server, self.guest = server, guest
        self._channel: Any = None
        self._watcher: Watcher | None = None
        self._hub: Hub | None = None
        self._typed = EscapeReader()
        self._writable = AsyncFlag()
        self._writable.set()
        self._last = 0.0
        self._commands, self._asked = COMMANDS, 0.0
        self._why = "the connection ended"
        self.pump: AsyncTask[None] | None = None

    @property
    def is_live(self) -> bool:
        """Whether it has started, and is not over."""
        return self in self._server.sessions and self._watcher is not None and not self._watcher.has_ended

    # -- asyncssh's hooks ----------------------------------------------------------------------------------------------

    def connection_made(self, chan: Any) -> None:
        """asyncssh's hook."""
        self._channel = chan

    def pty_requested(self, term_type: str, term_size: object, term_modes: object) -> bool:
        """asyncssh's hook: the client's terminal is raw then."""
        return True

    def shell_requested(self) -> bool:
        """asyncssh's hook: the console takes the place of the shell. `exec` and subsystems stay refused."""
        return True

    def session_started(self) -> None:
        """asyncssh's hook."""
        state = self._server.desk.state(self.guest.machine)
        if not self._is_granted(state) or state is None or self.guest.has_ended(self._server.desk.now()):
            self._channel.exit(1)
            return
        mode = str(self._channel.get_environment().get(MODE, ""))
        self._hub = self._server.desk.hub(state)
        guest = self.guest
        self._watcher = Watcher(guest.who, may_write=guest.grant.write, is_admin=guest.grant.role == ADMIN)
        self._last = running_loop().time()
        self._server.sessions.append(self)
        self._hub.attach(self._watcher, types=mode != "watch")
        if mode == "steal":
            self._steal(self._hub, self._watcher)
        self._watcher.tell(self._greeting(self._hub, state))
        self._server.desk.opened(guest)
        self.pump = create_task(self._show(self._watcher))

    def data_received(self, data: bytes, datatype: object) -> None:
        """asyncssh's hook."""
        self._last = running_loop().time()
        if self._hub is None or self._watcher is None:
            return
        for part in self._typed.read(data):
            if isinstance(part, SessionCommand):
                self._command(part, self._hub, self._watcher)
            elif not self._hub.type(self._watcher, part):
                self._watcher.put(b"\x07")

    def break_received(self, msec: int) -> bool:
        """asyncssh's hook."""
        if self._hub is None or self._watcher is None or not self._may_ask():
            return False
        return self._hub.send_break(self._watcher)

    def eof_received(self) -> bool:
        """asyncssh's hook: who has nothing more to type may still watch."""
        return True

    def pause_writing(self) -> None:
        """asyncssh's hook: the client does not read; its watcher drops what is too much."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """asyncssh's hook."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncssh's hook."""
        if self.pump is not None:
            self.pump.cancel()
        if self._hub is None or self._watcher is None or self not in self._server.sessions:
            return
        self._server.sessions.remove(self)
        self._hub.detach(self._watcher)
        self._server.desk.closed(self.guest, self._why)

    # -- the session ---------------------------------------------------------------------------------------------------

    def check(self, at: float) -> None:
        """End it if its grant is gone, or if it was idle for too long."""
        desk, watcher = self._server.desk, self._watcher
        if watcher is None or watcher.has_ended:
            return
        if self.guest.has_ended(desk.now()):
            self.end("your certificate has ended; connect again with a new one")
        elif not self._is_granted(desk.state(self.guest.machine)):
            self.end(f"your access to {self.guest.machine} has ended")
        elif at - self._last > desk.limits.idle:
            self.end(f"nothing was typed for {desk.limits.idle / 60:.0f} minutes")

    def _is_granted(self, state: MachineConsoleState | None) -> bool:
        grant = self.guest.grant
        return state is not None and grant in state.grants and grant.holds(self._server.desk.now())

    def end(self, why: str) -> None:
        """End it with these words. What was said after that is not shown."""
        self._why = why
        if self._watcher is not None:
            self._watcher.end(why)
            if self._hub is not None:
                self._hub.detach(self._watcher)

    def abort(self) -> None:
        """Cut it."""
        if self._channel is not None:
            self._channel.abort()

    def _greeting(self, hub: Hub, state: MachineConsoleState) -> str:
        others = len(hub.watchers) - 1
        writer = hub.writer
        if writer is self._watcher:
            mine = "you type"
        elif writer is not None:
            mine = f"you watch, {writer.who} types"
        else:
            mine = "you watch"
        there = f"; {others} other{'s' if others != 1 else ''} connected" if others else ""
        return f"{hub.machine} ({state.tenancy.words}), {state.access.driver}; {mine}{there}; Enter ~? shows help"

    def _may_ask(self) -> bool:
        """Whether one more command is not too many: each costs work or an event, and a program can send thousands."""
        at = running_loop().time()
        self._commands = min(COMMANDS, self._commands + (at - self._asked) / COMMAND_SECONDS)
        self._asked = at
        if self._commands < 1:
            return False
        self._commands -= 1
        return True

    def _command(self, command: SessionCommand, hub: Hub, watcher: Watcher) -> None:
        if command is not SessionCommand.END and not self._may_ask():
            watcher.put(b"\x07")
            return
        match command:
            case SessionCommand.END:
                self._why = "the person ended the session"
                watcher.end("goodbye")
            case SessionCommand.WRITE:
                if not hub.take_writing(watcher):
                    watcher.tell("your key may only watch")
            case SessionCommand.BREAK:
                if not hub.send_break(watcher):
                    watcher.tell("only the person who types can send a break, and only while the line is open")
            case SessionCommand.REPLAY:
                hub.replay(watcher)
            case SessionCommand.WHO:
                for one in hub.watchers:
                    watcher.tell(f"{one.who} {'types' if hub.writer is one else 'watches'}")
            case SessionCommand.STEAL:
                self._steal(hub, watcher)
            case SessionCommand.HELP:
                watcher.put(f"\r\n{HELP}\r\n".encode())

    def _steal(self, hub: Hub, watcher: Watcher) -> None:
        """Take what others have: the writing here, and the line at the BMC."""
        if not hub.take_writing(watcher):
            watcher.tell("your key may only watch")
        elif not hub.is_open:
            hub.steal(watcher)

    async def _show(self, watcher: Watcher) -> None:
        while (data := await watcher.next()) is not None:
            for begin in range(0, len(data), _PIECE):
                await self._writable.wait()
                self._channel.write(data[begin : begin + _PIECE])
        self._channel.exit(0)


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
