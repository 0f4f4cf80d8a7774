"""What it costs to look at BMCs over verified HTTPS: CPU for a first contact and for a poll, and memory.

    python bench/redfish_poll.py [--bmcs N]

Ours beside sushy as it comes and sushy with kept connections and a shared SSLContext. The simulated BMCs are another
process, whose CPU is not counted; they answer at once, so that only the client's own work is seen.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import resource
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import certifi
import sushy
import trustme
from requests.adapters import HTTPAdapter
from sushy.auth import SessionAuth
from sushy.connector import Connector

from drivers.base import Credential, Endpoint, Tls
from drivers.bmc.redfish.redfish import open_driver

POLL_MS, CONTACT_MS, MEMORY_KIB = 0.5, 5.0, 55.0
THREADS = 64
HOSTS = [f"127.0.0.{number}" for number in range(1, 11)]
LOGIN = Credential("operator", "bench")
SYSTEM = "/redfish/v1/Systems/1"
SESSIONS = "/redfish/v1/SessionService/Sessions"


# -- the simulated BMCs --------------------------------------------------------------------------------------------


def documents() -> dict[str, dict[str, Any]]:
    """A service as of a rack server; its system's 5 KB are mostly inventory links and OEM parts, as in real ones."""
    links = {f"Part{number}": {"@odata.id": f"{SYSTEM}/Part{number}"} for number in range(40)}
    system = {
        "@odata.id": SYSTEM,
        "Id": "1",
        "Name": "System",
        "PowerState": "On",
        "IndicatorLED": "Off",
        "Status": {"State": "Enabled", "Health": "OK", "HealthRollup": "OK"},
        "UUID": "38947555-7742-3448-3784-823347823834",
        "SerialNumber": "437XR1138R2",
        "SKU": "8675309",
        "Manufacturer": "Contoso",
        "Model": "3500RX",
        "BiosVersion": "P79 v1.45",
        "ProcessorSummary": {"Count": 2, "Model": "Multi-Core", "Status": {"State": "Enabled", "Health": "OK"}},
        "MemorySummary": {"TotalSystemMemoryGiB": 96, "Status": {"State": "Enabled", "Health": "OK"}},
        "Boot": {
            "BootSourceOverrideEnabled": "Disabled",
            "BootSourceOverrideMode": "UEFI",
            "BootSourceOverrideTarget": "None",
            "BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Pxe", "Cd", "Usb", "Hdd", "UefiHttp"],
            "BootOrder": [f"Boot{number:04}" for number in range(10)],
        },
        "Actions": {
            "#ComputerSystem.Reset": {
                "target": f"{SYSTEM}/Actions/ComputerSystem.Reset",
                "ResetType@Redfish.AllowableValues": ["On", "ForceOff", "GracefulShutdown", "ForceRestart", "Nmi"],
            }
        },
        "Oem": {"Contoso": {f"Setting{number}": "Enabled" for number in range(60)}},
        **links,
    }
    root = {
        "@odata.id": "/redfish/v1/",
        "Id": "RootService",
        "Name": "Root Service",
        "RedfishVersion": "1.15.0",
        "Systems": {"@odata.id": "/redfish/v1/Systems"},
        "SessionService": {"@odata.id": "/redfish/v1/SessionService"},
        "Links": {"Sessions": {"@odata.id": SESSIONS}},
    }
    systems = {"@odata.id": "/redfish/v1/Systems", "Members": [{"@odata.id": SYSTEM}]}
    return {"/redfish/v1": root, "/redfish/v1/Systems": systems, SYSTEM: system}


def answers() -> dict[tuple[bytes, bytes], bytes]:
    """Whole answers by method and path."""
    found = {(b"GET", path.encode()): answer(200, document) for path, document in documents().items()}
    found[b"POST", SESSIONS.encode()] = answer(201, {}, "X-Auth-Token: 0123456789abcdef", f"Location: {SESSIONS}/1")
    found[b"DELETE", f"{SESSIONS}/1".encode()] = answer(204, None)
    return found


def answer(status: int, document: object, *headers: str) -> bytes:
    """One, with the headers that BMCs send."""
    body = b"" if document is None else json.dumps(document).encode()
    lines = [
        f"HTTP/1.1 {status} OK",
        "Content-Type: application/json; charset=utf-8",
        f"Content-Length: {len(body)}",
        "OData-Version: 4.0",
        "Cache-Control: no-store, no-cache",
        "Strict-Transport-Security: max-age=31536000; includeSubDomains",
        'ETag: "5f2a9c"',
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Bmc(asyncio.Protocol):
    """A connection to a simulated BMC."""

    answers: dict[tuple[bytes, bytes], bytes]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        lines = head.split(b"\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in lines[1:])
        length = int(headers.get(b"content-length", b"0"))
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        method, path, _ = lines[0].split(b" ")
        self._transport.write(
            self.answers.get((method, path.rstrip(b"/")), b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")
        )
        if headers.get(b"connection") == b"close":
            self._transport.close()


async def serve(certificate: Path, ports: int) -> None:
    """Simulated BMCs on as many ports, until killed; prints the ports."""
    Bmc.answers = answers()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Bmc, "0.0.0.0", 0, ssl=context, backlog=64) for _ in range(ports)]  # noqa: S104
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.Event().wait()


@contextmanager
def simulated(count: int) -> Iterator[tuple[list[str], Path]]:
    """Addresses of that many BMCs, and a file of authorities, with the one that signed their certificate."""
    with tempfile.TemporaryDirectory() as directory:
        authority, certificate = Path(directory, "ca.pem"), Path(directory, "bmc.pem")
        ca = trustme.CA()
        # As large as a system's, which sushy as it comes loads for every connection.
        authority.write_bytes(Path(certifi.where()).read_bytes() + ca.cert_pem.bytes())
        certificate.write_bytes(ca.issue_cert(*HOSTS).private_key_and_cert_chain_pem.bytes())
        ports = -(-count // len(HOSTS))
        command = [sys.executable, __file__, "--serve", str(certificate), "--bmcs", str(ports)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                known = process.stdout.readline().split()
                yield [f"https://{host}:{port}" for port in known for host in HOSTS][:count], authority
            finally:
                process.kill()


# -- the clients ---------------------------------------------------------------------------------------------------

Poll = Callable[[], object]


def ours(ca_file: Path) -> Callable[[str], Poll]:
    """The redfish driver: contact is login, discovery and the first look."""
    driver = open_driver()

    def contact(address: str) -> Poll:
        bmc = driver.open(Endpoint("redfish", address, None, Tls(ca_file=str(ca_file)), lambda _: LOGIN))
        bmc.read()
        return bmc.read

    return contact


def stock(ca_file: Path) -> Callable[[str], Poll]:
    """sushy as it comes, given the system's path."""

    def contact(address: str) -> Poll:
        root = sushy.Sushy(address, auth=SessionAuth(LOGIN.username, LOGIN.password), verify=str(ca_file))
        root.get_system(SYSTEM)
        return lambda: root.get_system(SYSTEM)

    return contact


class SharedContext(HTTPAdapter):
    """An adapter of requests whose connections all use one SSLContext."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """With the context."""
        super().init_poolmanager(*arguments, **options, ssl_context=self._context)

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        """Without the CA file, which urllib3 would load again for each connection."""
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        pool.pop("ca_certs", None)
        return host, pool

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """The context does it."""


def tuned(ca_file: Path) -> Callable[[str], Poll]:
    """sushy with kept connections, one SSLContext, and no look at proxies and .netrc."""
    context = ssl.create_default_context(cafile=str(ca_file))

    def contact(address: str) -> Poll:
        connector = Connector(address, verify=str(ca_file))
        connector._session.mount("https://", SharedContext(context))
        connector._session.trust_env = False
        connector._session.headers["Connection"] = "keep-alive"
        root = sushy.Sushy(address, auth=SessionAuth(LOGIN.username, LOGIN.password), connector=connector)
        root.get_system(SYSTEM)
        return lambda: root.get_system(SYSTEM)

    return contact


# -- measuring -----------------------------------------------------------------------------------------------------


def cpu_ms(work: Callable[[], object], count: int) -> float:
    """This process's CPU for the work, a piece."""
    start = time.process_time()
    work()
    return (time.process_time() - start) * 1000 / count


def resident_kib() -> float:
    """Memory in use by this process."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024


def measure(name: str, contact: Callable[[str], Poll], addresses: Sequence[str], rounds: int) -> tuple[float, float]:
    """CPU ms for a first contact and for a poll, one BMC after the other."""
    polls: list[Poll] = []
    first = cpu_ms(lambda: polls.extend(contact(address) for address in addresses), len(addresses))
    for poll in polls:
        poll()
    steady = min(cpu_ms(lambda: [poll() for poll in polls], len(polls)) for _ in range(rounds))
    polls.clear()
    # sushy ends its sessions when its objects are collected, and would wait long for BMCs that are gone by then.
    gc.collect()
    print(f"  {name:<38} first contact {first:7.2f} ms   poll {steady:7.3f} ms   ({len(addresses)} BMCs)")
    return first, steady


def footprint(contact: Callable[[str], Poll], addresses: Sequence[str]) -> tuple[float, float]:
    """KiB a BMC with its connection open, and CPU ms a poll, with many threads as the daemon has them."""
    states: dict[int, object] = {}
    with ThreadPoolExecutor(THREADS) as pool:
        contact(addresses[0])
        list(pool.map(lambda _: time.sleep(0.01), range(THREADS)))
        before = resident_kib()
        polls = list(pool.map(contact, addresses[1:]))
        list(pool.map(lambda one: states.__setitem__(one, polls[one]()), range(len(polls))))
        steady = min(cpu_ms(lambda: list(pool.map(lambda poll: poll(), polls)), len(polls)) for _ in range(2))
        return (resident_kib() - before) / len(polls), steady


def main() -> int:
    """Measure, compare, and say whether the limits are kept."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bmcs", type=int, default=2000, help="how many for the memory figure")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if options.serve:
        asyncio.run(serve(options.serve, options.bmcs))
        return 0
    logging.disable(logging.CRITICAL)
    with simulated(options.bmcs) as (addresses, ca_file):
        memory, threaded = footprint(ours(ca_file), addresses)
        few = addresses[: min(200, len(addresses))]
        print("CPU over verified HTTPS, one thread")
        contact, poll = measure("groundstate", ours(ca_file), few, 5)
        tuned_contact, tuned_poll = measure("sushy, kept connections, one context", tuned(ca_file), few, 3)
        stock_contact, stock_poll = measure("sushy as it comes", stock(ca_file), few[:20], 1)
    print(
        f"  a poll costs 1/{tuned_poll / poll:.1f} of tuned sushy's, 1/{stock_poll / poll:.0f} of sushy's as it comes"
    )
    print(f"  a contact costs 1/{tuned_contact / contact:.1f} and 1/{stock_contact / contact:.0f}")
    limits = [
        ("poll, one thread", poll, POLL_MS, "ms"),
        (f"poll, {THREADS} threads", threaded, POLL_MS, "ms"),
        ("first contact", contact, CONTACT_MS, "ms"),
        (f"memory a BMC at {options.bmcs}", memory, MEMORY_KIB, "KiB"),
    ]
    for name, value, limit, unit in limits:
        print(f"{'ok    ' if value <= limit else 'MISSED'} {name}: {value:.3g} {unit} (limit {limit:g})")
    return int(any(value > limit for _, value, limit, _ in limits))


if __name__ == "__main__":
    sys.exit(main())
