"""BMCs with a shell over SSH, in the dialects of the vendors: one line each, which one session has."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncssh

from drivers.console.ssh.ssh_dialects import DIALECTS

USER, PASSWORD = "root", "calvin-2"
PROMPTS = {"dell": "racadm>>", "hpe": "</>hpiLO-> ", "lenovo": "system> "}
OPENED = {
    "dell": "\x1b[0m\x1b[HConnected to Serial Device 2. To end type: ^\\\r\n",
    "hpe": "\r\nVirtual Serial Port Active: COM2\r\n\r\nStarting virtual serial port.\r\n"
    "Press 'ESC (' to return to the CLI Session.\r\n\r\n",
    "lenovo": "",
}
TAKEN = {
    "dell": "Serial Device 2 is currently in use\r\n",
    "hpe": "\r\nVirtual Serial Port is currently in use by another session.\r\n",
    "lenovo": "Console 1 is already in use\r\n",
}
OPENS = {"dell": ("console com2", "connect com2"), "hpe": ("vsp",), "lenovo": ("console 1",)}
FREES = {"dell": (), "hpe": ("stop /system1/oemhp_vsp1",), "lenovo": ("console kill 1",)}


class SshBmc:
    """`typed`: what the machine got. `shell`: the commands that the BMC's own shell got."""

    def __init__(self, dialect: str, **odd: Any) -> None:
        self.dialect = dialect
        self.leave = DIALECTS[dialect].leave if dialect in PROMPTS else b""
        self.typed, self.breaks = bytearray(), 0
        self.shell: list[str] = []
        self.owner: ShellSession | None = None
        self.sessions: list[ShellSession] = []
        self.connections: list[asyncssh.SSHServerConnection] = []
        self.passwords: list[str] = []
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        self.user_key: asyncssh.SSHKey | None = None
        self.banner = odd.pop("banner", "")
        self.opens = odd.pop("opens", OPENS.get(dialect, ()))
        self.frees = odd.pop("frees", FREES.get(dialect, ()))
        self.unknown = odd.pop("unknown", "Error: unknown command\r\n")
        self.refusal = odd.pop("refusal", "")
        self.prompt = odd.pop("prompt", PROMPTS.get(dialect, ""))
        self.is_split = odd.pop("is_split", False)
        self.is_silent = odd.pop("is_silent", False)
        self.unanswered = odd.pop("unanswered", ())
        self.is_interactive: bool = odd.pop("is_interactive", dialect == "dell")
        self.most_sessions = odd.pop("most_sessions", 8)
        self.early = bytearray()
        assert not odd

    @property
    def host_key(self) -> str:
        """As a document has it."""
        return self.key.export_public_key().decode().strip()

    async def start(self, port: int = 0) -> SshBmc:
        """Serve on loopback."""
        self._acceptor = await asyncssh.create_server(
            lambda: _Server(self),
            "127.0.0.1",
            port,
            server_host_keys=[self.key],
            encoding=None,
            line_editor=False,
            password_auth=not self.is_interactive,
            kbdint_auth=self.is_interactive,
        )
        self.port = self._acceptor.get_port()
        return self

    async def stop(self) -> None:
        """Serve no more."""
        self._acceptor.close()
        await self.restart()
        await asyncio.sleep(0.01)

    async def restart(self) -> None:
        """All connections end, as when the BMC restarts."""
        for one in self.connections:
            one.abort()
        self.connections.clear()
        self.owner = None

    def say(self, data: bytes) -> None:
        """Speak as the machine."""
        if self.owner is not None:
            self.owner.channel.write(data)
        else:
            self.early += data

    def give(self, session: ShellSession | None) -> None:
        """Another session has the line; the one before is in the shell again."""
        before, self.owner = self.owner, session
        if before is not None and before is not session:
            before.return_to_shell()


class _Server(asyncssh.SSHServer):
    def __init__(self, bmc: SshBmc) -> None:
        self.bmc = bmc

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.bmc.connections.append(conn)

    def public_key_auth_supported(self) -> bool:
        return self.bmc.user_key is not None

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        own = self.bmc.user_key
        return own is not None and bool(key.public_data == own.public_data)

    def password_auth_supported(self) -> bool:
        return not self.bmc.is_interactive and self.bmc.user_key is None

    def validate_password(self, username: str, password: str) -> bool:
        self.bmc.passwords.append(password)
        return username == USER and password == PASSWORD

    def kbdint_auth_supported(self) -> bool:
        return self.bmc.is_interactive

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Any:
        return "", "", "", [("Password: ", False)]

    def validate_kbdint_response(self, username: str, responses: Any) -> bool:
        self.bmc.passwords.append(responses[0])
        return bool(responses[0] == PASSWORD)

    def session_requested(self) -> Any:
        if len(self.bmc.sessions) >= self.bmc.most_sessions:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, "maximum number of sessions reached")
        return ShellSession(self.bmc)


class ShellSession(asyncssh.SSHServerSession[bytes]):
    """In the shell of the BMC, or on the line."""

    def __init__(self, bmc: SshBmc) -> None:
        self.bmc = bmc
        self.channel: Any = None
        self.entered = bytearray()

    def connection_made(self, chan: Any) -> None:
        self.channel = chan
        self.bmc.sessions.append(self)

    def pty_requested(self, term_type: str, term_size: object, term_modes: object) -> bool:
        return True

    def shell_requested(self) -> bool:
        return True

    def session_started(self) -> None:
        self.channel.set_write_buffer_limits(high=1 << 24)
        if self.bmc.dialect in PROMPTS:
            if not self.bmc.is_silent:
                self.print(self.bmc.banner + self.bmc.prompt)
        else:
            self.take_line()

    def print(self, text: str) -> None:
        """As the BMC."""
        data = text.encode()
        if not self.bmc.is_split:
            self.channel.write(data)
            return
        for number, at in enumerate(range(len(data))):
            asyncio.get_running_loop().call_later(0.01 * number, self.put, data[at : at + 1])

    def put(self, data: bytes) -> None:
        if not self.channel.is_closing():
            self.channel.write(data)

    def take_line(self) -> None:
        self.bmc.give(self)
        if self.bmc.early:
            self.channel.write(bytes(self.bmc.early))
            self.bmc.early.clear()

    def return_to_shell(self) -> None:
        self.entered.clear()
        if self.bmc.dialect in PROMPTS:
            self.print("\r\n" + self.bmc.prompt)
        else:
            self.channel.exit(0)

    def data_received(self, data: bytes, datatype: object) -> None:
        for byte in data:
            if self.bmc.owner is self:
                self.bmc.typed.append(byte)
                if self.bmc.leave and self.bmc.typed.endswith(self.bmc.leave):
                    del self.bmc.typed[-len(self.bmc.leave) :]
                    self.bmc.give(None)
            elif self.bmc.dialect in PROMPTS:
                self.enter(byte)

    def enter(self, byte: int) -> None:
        if byte != 0x0D:
            self.entered.append(byte)
            return
        command = self.entered.decode("ascii", errors="replace")
        self.entered.clear()
        self.bmc.shell.append(command)
        if not self.bmc.is_silent and command not in self.bmc.unanswered:
            self.run(command)

    def run(self, command: str) -> None:
        bmc, echo = self.bmc, f"{command}\r\n"
        if command == "exit":
            self.channel.exit(0)
        elif command in bmc.frees:
            bmc.give(None)
            self.print(echo + bmc.prompt)
        elif command not in bmc.opens:
            self.print(echo + bmc.unknown + bmc.prompt)
        elif bmc.refusal:
            self.print(echo + bmc.refusal + bmc.prompt)
        elif bmc.owner is not None:
            self.print(echo + TAKEN[bmc.dialect] + bmc.prompt)
        else:
            self.print(echo + OPENED[bmc.dialect])
            self.take_line()

    def break_received(self, msec: int) -> bool:
        self.bmc.breaks += 1
        return True

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self.bmc.sessions:
            self.bmc.sessions.remove(self)
        if self.bmc.owner is self:
            self.bmc.owner = None
