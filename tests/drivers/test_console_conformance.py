"""Every driver of serial lines against the suite, and `ipmi` against a BMC of ours with both cipher suites."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from drivers.base import ConsoleEndpoint, Credential, Peer, Unreachable
from drivers.console.fake_console import FakeConsole
from drivers.console.ipmi.ipmi import IpmiConsole
from drivers.console.ssh.ssh_console import SshConsole
from drivers.console.ssh.ssh_dialects import DIALECTS
from drivers.console.stream import StreamConsole
from drivers.testing.console_conformance import ConsoleConformance, ConsoleSubject
from tests.drivers import ssh_bmc
from tests.drivers.sol_bmc import PASSWORD, USER, SolBmc
from tests.drivers.ssh_bmc import SshBmc
from tests.virtual_loop import VirtualLoop


def login(_peer: Peer) -> Credential:
    return Credential(USER, PASSWORD)


@asynccontextmanager
async def fake() -> AsyncIterator[ConsoleSubject]:
    driver = FakeConsole()

    async def cut() -> None:
        driver.cut("m1")

    yield ConsoleSubject(
        driver,
        ConsoleEndpoint("fake", "m1"),
        lambda data: driver.say("m1", data),
        lambda: bytes(driver.lines["m1"].typed),
        cut,
        lambda: driver.lines["m1"].breaks,
    )


class TestFake(ConsoleConformance):
    def start(self) -> AbstractAsyncContextManager[ConsoleSubject]:
        return fake()


class TerminalServer:
    """The other end of a stream."""

    def __init__(self) -> None:
        self.typed = bytearray()
        self.writers: list[asyncio.StreamWriter] = []
        self.early = bytearray()
        self.server: asyncio.Server | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        writer.write(bytes(self.early))
        self.early.clear()
        while data := await reader.read(1024):
            self.typed += data
        writer.close()

    def say(self, data: bytes) -> None:
        if self.writers:
            self.writers[-1].write(data)
        else:
            self.early += data

    async def cut(self) -> None:
        while not self.writers:
            await asyncio.sleep(0.001)
        self.writers[-1].transport.abort()


@asynccontextmanager
async def stream(path: Path | None) -> AsyncIterator[ConsoleSubject]:
    server = TerminalServer()
    if path is not None:
        listening = await asyncio.start_unix_server(server.serve, path)
        endpoint = ConsoleEndpoint("tcp", f"unix:{path}")
    else:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        endpoint = ConsoleEndpoint("tcp", "127.0.0.1", listening.sockets[0].getsockname()[1])
    subject = ConsoleSubject(
        StreamConsole(),
        endpoint,
        server.say,
        lambda: bytes(server.typed),
        server.cut,
        is_exclusive=False,
        has_handle=False,
    )
    try:
        yield subject
    finally:
        await asyncio.sleep(0.02)
        listening.close()
        for writer in server.writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)


_TCP_REPAIR = 19
"""tcp(7) does not have it: include/uapi/linux/tcp.h. A socket that is closed in this mode sends nothing."""


def test_a_terminal_server_that_vanishes_without_a_word_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while the machine is silent and nobody types: else a line stays open, and nothing is recorded any more."""
    monkeypatch.setattr("drivers.console.stream._IDLE", 1)

    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            line = await StreamConsole().open(ConsoleEndpoint("tcp", "127.0.0.1", port), lambda _: None)
            accepted, _ = listening.accept()
            try:
                accepted.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
            except PermissionError:
                pytest.skip("closing a connection without a word needs CAP_NET_ADMIN")
            accepted.close()
            try:
                assert isinstance(await line.lost(), Unreachable)
            finally:
                await line.close()

    asyncio.run(test())


class TestTcp(ConsoleConformance):
    def start(self) -> AbstractAsyncContextManager[ConsoleSubject]:
        return stream(None)


class TestUnixSocket(ConsoleConformance):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.path = tmp_path / "serial"

    def start(self) -> AbstractAsyncContextManager[ConsoleSubject]:
        return stream(self.path)


@asynccontextmanager
async def bmc(suite: int) -> AsyncIterator[ConsoleSubject]:
    there = await SolBmc((suite,)).start()

    async def cut() -> None:
        there.silent = True

    endpoint = ConsoleEndpoint("ipmi", "127.0.0.1", there.port, login, cipher_suite=suite)
    try:
        yield ConsoleSubject(IpmiConsole(), endpoint, there.say, lambda: bytes(there.typed), cut, lambda: there.breaks)
    finally:
        await there.stop()


class TestIpmiSuite3(ConsoleConformance):
    def start(self) -> AbstractAsyncContextManager[ConsoleSubject]:
        return bmc(3)

    def runner(self) -> asyncio.Runner:
        return asyncio.Runner(loop_factory=VirtualLoop)


class TestIpmiSuite17(ConsoleConformance):
    def start(self) -> AbstractAsyncContextManager[ConsoleSubject]:
        return bmc(17)

    def runner(self) -> asyncio.Runner:
        return asyncio.Runner(loop_factory=VirtualLoop)


@asynccontextmanager
async def shell(dialect: str) -> AsyncIterator[ConsoleSubject]:
    there = await SshBmc(dialect).start()
    own = DIALECTS[dialect]
    endpoint = ConsoleEndpoint(
        "ssh",
        "127.0.0.1",
        there.port,
        lambda _peer: Credential(ssh_bmc.USER, ssh_bmc.PASSWORD),
        dialect=dialect,
        host_key=there.host_key,
    )
    has_shell, keys = dialect in ssh_bmc.PROMPTS, own.break_keys
    breaks = {None: lambda: there.breaks, b"": None}.get(keys, lambda: there.typed.count(keys or b"-"))
    try:
        yield ConsoleSubject(
            SshConsole(),
            endpoint,
            there.say,
            lambda: bytes(there.typed),
            there.restart,
            breaks,
            is_exclusive=has_shell,
            is_stealable=bool(own.frees),
            has_handle=False,
        )
    finally:
        await there.stop()


class _OverSsh(ConsoleConformance):
    dialect = "direct"

    def start(self) -> AbstractAsyncContextManager[ConsoleSubject]:
        return shell(self.dialect)

    def runner(self) -> asyncio.Runner:
        return asyncio.Runner(loop_factory=VirtualLoop)


class TestDell(_OverSsh):
    dialect = "dell"


class TestHpe(_OverSsh):
    dialect = "hpe"


class TestLenovo(_OverSsh):
    dialect = "lenovo"


class TestConserver(_OverSsh):
    dialect = "conserver"


class TestDirect(_OverSsh):
    dialect = "direct"
