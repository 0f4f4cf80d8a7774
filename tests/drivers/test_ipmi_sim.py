"""Our Serial over LAN against `ipmi_sim` of Debian's openipmi, which has cipher suite 3. Skipped without."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from drivers.base import AuthenticationFailed, ConsoleBusy, ConsoleEndpoint, Credential, Unsupported
from drivers.console.ipmi.ipmi import IpmiConsole
from drivers.testing.console_conformance import Heard, until

pytestmark = pytest.mark.skipif(shutil.which("ipmi_sim") is None, reason="ipmi_sim (Debian: openipmi) is not installed")

LEVELS = ("callback", "user", "operator", "admin")
EMULATOR = """mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
sel_enable 0x20 1000 0x0a
mc_enable 0x20
"""


def settings(lan: int, serial: int) -> str:
    auths = "\n".join(f"    allowed_auths_{level} none md2 md5 straight" for level in LEVELS)
    return f"""name "lab"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 {lan}
    priv_limit admin
{auths}
    guid a123456789abcdefa123456789abcdef
  endlan
  sol "tcp:127.0.0.1:{serial}" 115200
  user 1 true "" "test" user 10 none md2 md5 straight
  user 2 true "ipmiusr" "test" admin 10 none md2 md5 straight
"""


class Simulator:
    """`ipmi_sim`, with an echoing machine at its serial line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def start(self) -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.writer = writer
            with suppress(OSError):
                while data := await reader.read(1024):
                    writer.write(data)

        self.server = await asyncio.start_server(echo, "127.0.0.1", 0)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (self.folder / "state").mkdir()
        (self.folder / "lan.conf").write_text(settings(self.port, self.server.sockets[0].getsockname()[1]))
        (self.folder / "emulator").write_text(EMULATOR)
        command = ["ipmi_sim", "-n", "-c", "lan.conf", "-f", "emulator", "-s", "state"]
        self.process = subprocess.Popen(
            command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        await until(lambda: hasattr(self, "writer"))

    async def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.server.close()
        self.writer.transport.abort()
        await asyncio.sleep(0.05)

    def endpoint(self, suite: int = 3, password: str = "test") -> ConsoleEndpoint:  # noqa: S107
        return ConsoleEndpoint(
            "ipmi", "127.0.0.1", self.port, lambda _: Credential("ipmiusr", password), cipher_suite=suite
        )


def test_a_line_through_the_simulator_and_back(tmp_path: Path) -> None:
    async def whole() -> None:
        there = Simulator(tmp_path)
        await there.start()
        try:
            heard = Heard()
            line = await IpmiConsole().open(there.endpoint(), heard)
            said = b"".join(b"line %d\r\n" % number for number in range(100))
            for begin in range(0, len(said), 50):
                line.write(said[begin : begin + 50])
            await until(lambda: bytes(heard.data) == said)
            with pytest.raises(ConsoleBusy):
                await IpmiConsole().open(there.endpoint(), Heard())
            second = await IpmiConsole().open(there.endpoint(), heard, steal=True)
            await line.close()
            await second.close()
            again = await IpmiConsole().open(there.endpoint(), Heard())
            await again.close()
        finally:
            await there.stop()

    asyncio.run(whole())


def test_what_the_simulator_refuses(tmp_path: Path) -> None:
    async def whole() -> None:
        there = Simulator(tmp_path)
        await there.start()
        try:
            with pytest.raises(AuthenticationFailed):
                await IpmiConsole().open(there.endpoint(password="wrong"), Heard())
            with pytest.raises(Unsupported):
                await IpmiConsole().open(there.endpoint(suite=17), Heard())
        finally:
            await there.stop()

    asyncio.run(whole())
