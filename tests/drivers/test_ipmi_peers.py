"""Clients that are not ours against the BMC of our tests: what it speaks, and so what our driver speaks, is IPMI."""

from __future__ import annotations

import asyncio
import os
import pty
import shutil
import subprocess
import sys

import pytest

from drivers.console.ipmi import ipmi_wire as wire
from drivers.testing.console_conformance import until
from tests.drivers.sol_bmc import PASSWORD, USER, SolBmc

WITHOUT_IPMITOOL = pytest.mark.skipif(shutil.which("ipmitool") is None, reason="ipmitool is not installed")

BY_PYGHMI = """
import sys, time
from pyghmi.ipmi.console import Console

heard = bytearray()

def on(data):
    if isinstance(data, dict):
        sys.exit(str(data))
    heard.extend(data)
    sys.stdout.buffer.write(data)
    sys.stdout.flush()

def hears(text):
    until = time.monotonic() + 60
    while text not in heard and time.monotonic() < until:
        Console.wait_for_rsp(0.5)

console = Console("127.0.0.1", sys.argv[2], sys.argv[3], on, port=int(sys.argv[1]))
hears(b"login: ")
console.send_data(b"root\\r")
console.send_break()
hears(b"Password: ")
console.close()
"""


class Client:
    """A command in a pty, within an event loop."""

    def __init__(self, *command: str, password: str = PASSWORD) -> None:
        self.said = bytearray()
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            command,
            env={**os.environ, "IPMI_PASSWORD": password},
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        asyncio.get_running_loop().add_reader(self._master, self._read)

    def _read(self) -> None:
        try:
            self.said += os.read(self._master, 4096)
        except OSError:  # It has ended.
            asyncio.get_running_loop().remove_reader(self._master)

    @property
    def code(self) -> int | None:
        """Its exit code; None: it is at work."""
        return self._process.poll()

    def type(self, data: bytes) -> None:
        os.write(self._master, data)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)


def by_ipmitool(port: int, suite: int, password: str = PASSWORD) -> Client:
    where = ["-I", "lanplus", "-C", str(suite), "-H", "127.0.0.1", "-p", str(port), "-U", USER, "-E"]
    return Client("ipmitool", *where, "sol", "activate", password=password)


@WITHOUT_IPMITOOL
@pytest.mark.parametrize("suite", [3, 17])
def test_ipmitool_types_a_line_and_reads_one(suite: int) -> None:
    async def whole() -> None:
        bmc = await SolBmc((suite,)).start()
        client = by_ipmitool(bmc.port, suite)
        try:
            await until(lambda: b"SOL Session operational" in client.said)
            bmc.say(b"login: ")
            await until(lambda: b"login: " in client.said)
            client.type(b"root\r")
            await until(lambda: bytes(bmc.typed) == b"root\r")
            assert {peer.suite for peer in bmc.sessions.values()} == {wire.SUITES[suite]}
            client.type(b"~.")
            await until(lambda: client.code == 0)
            await until(lambda: bmc.owner is None)
        finally:
            client.close()
            await bmc.stop()

    asyncio.run(whole())


@WITHOUT_IPMITOOL
@pytest.mark.parametrize(("suite", "password"), [(3, PASSWORD), (17, "wrong")])
def test_ipmitool_gets_no_line_with_another_suite_or_password(suite: int, password: str) -> None:
    async def whole() -> None:
        bmc = await SolBmc((17,)).start()
        client = by_ipmitool(bmc.port, suite, password)
        try:
            await until(lambda: client.code is not None)
            assert client.code != 0
            assert bmc.owner is None
        finally:
            client.close()
            await bmc.stop()

    asyncio.run(whole())


@pytest.mark.parametrize("suite", [3, 17])
def test_pyghmi_types_a_line_sends_a_break_and_reads_a_line(suite: int) -> None:
    """In a process of its own, as it keeps sessions for ever in the one where it was used."""

    async def whole() -> None:
        bmc = await SolBmc((suite,)).start()
        client = Client(sys.executable, "-c", BY_PYGHMI, str(bmc.port), USER, PASSWORD)
        try:
            bmc.say(b"login: ")
            await until(lambda: (bytes(bmc.typed) == b"root\r" and bmc.breaks == 1) or client.code is not None)
            assert client.code is None, client.said.decode()
            bmc.say(b"Password: ")
            await until(lambda: client.code == 0)
            await until(lambda: client.said == b"login: Password: ")
            assert {peer.suite for peer in bmc.sessions.values()} == {wire.SUITES[suite]}
            await until(lambda: bmc.owner is None)
        finally:
            client.close()
            await bmc.stop()

    asyncio.run(whole())
