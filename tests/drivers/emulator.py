"""A real peer for tests: sushy-tools' emulator with its fake systems, over HTTPS on this machine.

Its power changes take effect after a random 1 to 11 s (or less, where that is asked for). A change that would undo a
change still under way is lost. It says Continuous where a boot override was set Once or Disabled, and has no session
service: HTTP basic login only. Its fake systems need neither libvirt nor OpenStack."""

from __future__ import annotations

import base64
import http.client
import itertools
import os
import secrets
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import bcrypt
import msgspec
import trustme

from drivers.base import Credential
from drivers.base.support import scheduling

HOST = "127.0.0.1"
USERNAME = "operator"
CA_FILE = "ca.pem"
START_DEADLINE = 30.0
STOP_DEADLINE = 5.0
REQUEST_TIMEOUT = 10.0
STARTS = 5
"""A free port may be taken by another process before the emulator binds it; then the next one is tried."""
LOG_TAIL = 2000
_SECONDS = (1, 11)
"""What a power change takes at least and at most, as sushy-tools has it."""

_PROGRAM = """
import random, sys
from sushy_tools.emulator import main
from sushy_tools.emulator.resources.systems import fakedriver

class Chance(random.Random):
    def randint(self, least, most):
        return super().randint({least}, {most})

fakedriver.random = Chance()
sys.exit(main.main())
"""
"""The emulator, with the one random number that its fake systems take."""


class EmulatorError(Exception):
    """A simulated BMC could not be started or did not do what it was asked to."""


class EmulatorFleet:
    """A context manager: one BMC an entry of `layout`, each with the systems of these ids (UUIDs), powered off.

    `addresses`: `https://127.0.0.1:PORT` in the order of the layout. `ca_file`: the authority that signed them.
    `username`, `password`: of HTTP basic authentication, the same for all; new each time. `seconds`: that a power
    change takes at least and at most. Its systems report no hardware. Raises EmulatorError when a BMC does not answer
    within 30 s. At the end, however it comes, every process is stopped.
    """

    def __init__(self, directory: Path, layout: list[list[str]], seconds: tuple[int, int] = _SECONDS) -> None:
        self._directory = directory
        self._layout = layout
        self._seconds = seconds
        self._processes = ExitStack()
        self.ca_file = directory / CA_FILE
        self.username = USERNAME
        self.password = secrets.token_urlsafe(16)
        self.addresses: list[str] = []

    def __enter__(self) -> Self:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        login = Credential(self.username, self.password)
        shared = _write_shared(self._directory, self.ca_file, login)
        with ExitStack() as starting:
            running = []
            numbers = itertools.count(1)
            for place, ids in enumerate(self._layout, start=1):
                systems = [_system(next(numbers), uuid) for uuid in ids]
                emulator = _Emulator(self._directory / f"bmc-{place}", shared, systems, self._seconds)
                starting.enter_context(emulator.running())
                running.append(emulator)
            deadline = scheduling.monotonic() + START_DEADLINE
            for emulator in running:
                emulator.wait(deadline, self.ca_file, login)
            self.addresses = [emulator.address for emulator in running]
            self._processes = starting.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._processes.close()


class _Shared(msgspec.Struct, frozen=True):
    """What all the emulators read."""

    certificate: Path
    key: Path
    logins: Path


class _Emulator:
    """One emulator process; its state is in the directory `base`, its log and settings beside it."""

    _process: subprocess.Popen[bytes]

    def __init__(self, base: Path, shared: _Shared, systems: list[dict[str, Any]], seconds: tuple[int, int]) -> None:
        self._base = base
        self._shared = shared
        self._systems = systems
        self._program = _PROGRAM.format(least=seconds[0], most=seconds[1])
        self._log = base.with_suffix(".log")
        self._starts = 0
        self.address = ""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Until the end of the block; then the process is asked to stop, and killed if it does not."""
        self._process = self._start()
        try:
            yield
        finally:
            self._process.terminate()
            try:
                self._process.wait(STOP_DEADLINE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def wait(self, deadline: float, ca_file: Path, login: Credential) -> None:
        """Until it lists its systems. Starts it again on another port if it ends. Raises EmulatorError."""
        while scheduling.monotonic() < deadline:
            if self._process.poll() is not None:
                if self._starts >= STARTS:
                    raise EmulatorError(f"a simulated BMC ends as soon as it is started; its log:\n{self._tail()}")
                self._process = self._start()
            try:
                status = _status_of(self.address, ca_file, login)
            except (OSError, http.client.HTTPException):
                scheduling.sleep(0.05)
            else:
                if status == http.HTTPStatus.OK:
                    return
                raise EmulatorError(f"a simulated BMC answers with status {status}; its log:\n{self._tail()}")
        raise EmulatorError(f"a simulated BMC did not answer in {START_DEADLINE:.0f} s; its log:\n{self._tail()}")

    def _start(self) -> subprocess.Popen[bytes]:
        self._starts += 1
        port = _free_port()
        self.address = f"https://{HOST}:{port}"
        self._base.mkdir(mode=0o700, exist_ok=True)
        configuration = self._base.with_suffix(".conf")
        configuration.write_text("".join(f"{key} = {value!r}\n" for key, value in self._settings(port).items()))
        # Its own session, so that a Ctrl-C reaches the caller alone, which stops the BMCs last.
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-P", "-c", self._program, "--fake", "--config", str(configuration)],
                env={key: value for key, value in os.environ.items() if not key.startswith(("SUSHY_", "FLASK_"))},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _settings(self, port: int) -> dict[str, object]:
        return {
            "SUSHY_EMULATOR_LISTEN_IP": HOST,
            "SUSHY_EMULATOR_LISTEN_PORT": port,
            "SUSHY_EMULATOR_SSL_CERT": str(self._shared.certificate),
            "SUSHY_EMULATOR_SSL_KEY": str(self._shared.key),
            "SUSHY_EMULATOR_AUTH_FILE": str(self._shared.logins),
            "SUSHY_EMULATOR_STATE_DIR": str(self._base),
            "SUSHY_EMULATOR_FAKE_SYSTEMS": self._systems,
        }

    def _tail(self) -> str:
        return self._log.read_text("utf-8", "replace")[-LOG_TAIL:]


def _system(number: int, uuid: str) -> dict[str, Any]:
    return {"uuid": uuid, "name": f"sim-{number}", "power_state": "Off", "external_notifier": False, "nics": []}


def _write_shared(directory: Path, ca_file: Path, credential: Credential) -> _Shared:
    authority = trustme.CA()
    leaf = authority.issue_cert(HOST, "localhost")
    shared = _Shared(directory / "bmc.pem", directory / "bmc.key", directory / "logins")
    ca_file.write_bytes(authority.cert_pem.bytes())
    shared.certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    _write_private(shared.key, leaf.private_key_pem.bytes())
    # The emulator takes bcrypt only, and checks it at each request: the lowest cost keeps it quick.
    digest = bcrypt.hashpw(credential.password.encode(), bcrypt.gensalt(rounds=4))
    _write_private(shared.logins, credential.username.encode() + b":" + digest + b"\n")
    return shared


def _write_private(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _status_of(address: str, ca_file: Path, login: Credential) -> int:
    """Of the answer that lists its systems."""
    pair = base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
    context = ssl.create_default_context(cafile=str(ca_file))
    connection = http.client.HTTPSConnection(urlsplit(address).netloc, timeout=REQUEST_TIMEOUT, context=context)
    try:
        connection.request("GET", "/redfish/v1/Systems", headers={"Authorization": f"Basic {pair}"})
        return connection.getresponse().status
    finally:
        connection.close()
