"""Simulated BMCs behind TLS in a process of their own, for the benches of whole commands: their CPU is not counted.

One Redfish service a port and address, with sessions, power that changes at once, and a wait before each answer. They
count what they are asked, by method and path.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import ssl
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import trustme  # noqa: E402  the path is set above

from bench.redfish_poll import HOSTS, SESSIONS, SYSTEM, answer, documents  # noqa: E402

RESET = f"{SYSTEM}/Actions/ComputerSystem.Reset"
COUNTS = "/counts"
"""Answers with what was asked so far."""

asked: Counter[str] = Counter()
"""Requests by method and path, over all BMCs."""


class Answers:
    """What every BMC answers; a system's is made twice, on and off. Each system has a UUID and a serial number of its
    own, as machines that report one system are held."""

    def __init__(self, power: str) -> None:
        found = documents()
        self.fixed = {path: answer(200, document) for path, document in found.items() if path != SYSTEM}
        self.system = {state: answer(200, {**found[SYSTEM], "PowerState": state}) for state in ("On", "Off")}
        self.session = answer(201, {}, "X-Auth-Token: 0123456789abcdef", f"Location: {SESSIONS}/1")
        self.done, self.unknown = answer(204, None), answer(404, {})
        self.uuid, self.serial = str(found[SYSTEM]["UUID"]), str(found[SYSTEM]["SerialNumber"])
        self.power: dict[object, str] = {}
        self.numbers: dict[object, int] = {}
        self.first = power

    def of(self, place: object, method: str, path: str, body: bytes) -> bytes:
        """The answer of the BMC at a place."""
        asked[f"{method} {path}"] += 1
        if path == COUNTS:
            return answer(200, dict(asked))
        if method == "GET":
            return self.system_of(place) if path == SYSTEM else self.fixed.get(path, self.unknown)
        if path == RESET:
            self.power[place] = "On" if json.loads(body)["ResetType"] == "On" else "Off"
            return self.done
        return self.session if path == SESSIONS else self.done

    def system_of(self, place: object) -> bytes:
        """The system's answer, with as many bytes as any other one's."""
        number = self.numbers.setdefault(place, len(self.numbers))
        uuid, serial = f"{self.uuid[:-12]}{number:012}", f"{self.serial[:-6]}{number:06}"
        found = self.system[self.power.get(place, self.first)]
        return found.replace(self.uuid.encode(), uuid.encode()).replace(self.serial.encode(), serial.encode())


class BmcConnection(asyncio.Protocol):
    """A connection to one."""

    answers: Answers
    seconds: float

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._place = transport.get_extra_info("sockname")
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        lengths = [line.split(":")[1] for line in lines if line.lower().startswith("content-length:")]
        length = int(lengths[0]) if lengths else 0
        if not end or len(rest) < length:
            return
        self._buffer = rest[length:]
        method, path, _ = lines[0].split(" ")
        reply = self.answers.of(self._place, method, path.rstrip("/"), rest[:length])
        if self.seconds:
            asyncio.get_running_loop().call_later(self.seconds, self._transport.write, reply)
        else:
            self._transport.write(reply)


async def serve(certificate: Path, ports: int, seconds: float, power: str) -> None:
    """BMCs on as many ports, until killed; prints the ports."""
    BmcConnection.answers, BmcConnection.seconds = Answers(power), seconds
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(BmcConnection, "0.0.0.0", 0, ssl=context, backlog=512) for _ in range(ports)]  # noqa: S104
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.Event().wait()


@contextmanager
def simulated(count: int, *, seconds: float = 0.0, power: str = "On") -> Iterator[tuple[list[str], str]]:
    """Addresses of that many BMCs, and the fingerprint of their certificate."""
    with tempfile.TemporaryDirectory() as directory:
        certificate = Path(directory, "bmc.pem")
        issued = trustme.CA().issue_cert(*HOSTS)
        certificate.write_bytes(issued.private_key_and_cert_chain_pem.bytes())
        der = ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())
        ports = -(-count // len(HOSTS))
        command = [sys.executable, __file__, str(certificate), str(ports), str(seconds), power]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                known = process.stdout.readline().split()
                yield [f"https://{host}:{port}" for port in known for host in HOSTS][:count], _fingerprint(der)
            finally:
                process.kill()


def _fingerprint(certificate: bytes) -> str:
    import hashlib

    return "sha256:" + hashlib.sha256(certificate).hexdigest()


def counts(address: str) -> dict[str, int]:
    """What all BMCs were asked so far."""
    from urllib.request import urlopen

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with urlopen(f"{address}{COUNTS}", context=context) as found:
        return dict(json.loads(found.read()))


MACHINE = """\
apiVersion: groundstate/v1
kind: Machine
metadata: {{name: {name}}}
spec:
  partition: lab
  bmc: {{address: "{address}", systemId: "1", credentialRef: {{name: bench}}, tls: {{fingerprint: "{fingerprint}"}}}}
  power: On
"""


def write_fleet(folder: Path, addresses: list[str], fingerprint: str) -> dict[str, str]:
    """A repository of machines that are declared on, in `folder`/fleet; returns the environment of its commands."""
    from bench.commit import PARTITION, git

    repository = folder / "fleet"
    repository.mkdir()
    (repository / "lab.yaml").write_text(PARTITION)
    for number, address in enumerate(addresses):
        name = f"m{number:05d}"
        place = repository / f"r{number // 40:03d}" / f"{name}.yaml"
        place.parent.mkdir(exist_ok=True)
        place.write_text(MACHINE.format(name=name, address=address, fingerprint=fingerprint))
    git(repository, "init", "-q", "-b", "main")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "fleet")
    settings = folder / "config" / "groundstate" / "config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text('credentials.bench = {env = "BENCH", networks = ["127.0.0.0/8"]}\n')
    settings.chmod(0o600)
    return {
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "BENCH_USERNAME": "operator",
        "BENCH_PASSWORD": "bench",
        "GROUNDSTATE_STORE": str(folder / "state.db"),
    }


def open_files() -> None:
    """Let this process and its children have as many open files as they may."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve simulated BMCs.")
    parser.add_argument("certificate", type=Path)
    parser.add_argument("ports", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("power")
    options = parser.parse_args()
    open_files()
    asyncio.run(serve(options.certificate, options.ports, options.seconds, options.power))
