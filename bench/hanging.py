"""How soon drift of healthy machines is repaired while other BMCs hang, and how soon those that hang are reported.

    python bench/hanging.py [--machines N] [--hanging N] [--resync SECONDS] [--seconds N]

The BMCs are another process, over TLS. One that hangs takes connections and answers nothing. Machines are switched off
at random on the BMC's side all the while, and the time until the daemon's power-on arrives counts. First all are well,
then `--hanging` hang, then all are well again. At last a new daemon meets BMCs that all hang.
Exit 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import ssl
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
import trustme

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.bmcs import RESET, Answers, BmcConnection, _fingerprint, open_files, write_fleet  # noqa: E402
from bench.commit import steps_done  # noqa: E402
from bench.daemon import daemon  # noqa: E402
from bench.plan import environment_with  # noqa: E402
from bench.redfish_poll import HOSTS, answer  # noqa: E402

TIMES_NORMAL, TOLD_SECONDS = 1.5, 60.0
DRIFTS_A_SECOND = 5.0


class Bmcs(Answers):
    """Those that hang answer nothing; those that were switched off tell how long that lasted."""

    def __init__(self) -> None:
        super().__init__("On")
        self.places: list[Any] = []
        self.hanging: set[Any] = set()
        self.off_since: dict[Any, float] = {}
        self.repaired: list[float] = []
        self.asked: Counter[int] = Counter()
        """Requests by second, for the peak."""
        self.drifting = False

    def of(self, place: Any, method: str, path: str, body: bytes) -> bytes:
        """The answer of the BMC at a place; nothing where it hangs."""
        if path.startswith("/control"):
            return self._control(path)
        self.asked[int(time.monotonic())] += 1
        if place in self.hanging:
            return b""
        if path == RESET and place in self.off_since and json.loads(body)["ResetType"] == "On":
            self.repaired.append(time.monotonic() - self.off_since.pop(place))
        return super().of(place, method, path, body)

    def _control(self, path: str) -> bytes:
        _, _, verb, value = path.split("/")
        if verb == "hang":
            self.hanging = set(self.places[: int(value)])
            for place in self.hanging:
                self.off_since.pop(place, None)
        if verb == "drift":
            self.drifting = value == "1"
        taken, self.repaired = self.repaired, []
        waiting = [time.monotonic() - since for since in self.off_since.values()]
        peak, self.asked = max(self.asked.values(), default=0), Counter()
        return answer(200, {"repaired": taken, "waiting": waiting, "peak": peak})

    async def drift(self) -> None:
        """Switch one off now and then."""
        while True:
            await asyncio.sleep(1 / DRIFTS_A_SECOND)
            place = random.choice(self.places)
            if self.drifting and place not in self.hanging and self.power.get(place, "On") == "On":
                self.power[place], self.off_since[place] = "Off", time.monotonic()


async def serve(certificate: Path, count: int) -> None:
    """BMCs, until killed; prints their ports."""
    bmcs = Bmcs()
    BmcConnection.answers, BmcConnection.seconds = bmcs, 0.0
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    ports = -(-count // len(HOSTS)) + 1
    servers = [await loop.create_server(BmcConnection, "0.0.0.0", 0, ssl=context, backlog=2048) for _ in range(ports)]  # noqa: S104
    listening = [int(server.sockets[0].getsockname()[1]) for server in servers]
    bmcs.places = [(host, port) for port in listening[1:] for host in HOSTS][:count]
    random.shuffle(bmcs.places)
    print(*listening, flush=True)
    await bmcs.drift()


@contextmanager
def bmcs_that_hang(count: int) -> Iterator[tuple[list[str], str, str]]:
    """Their addresses, the fingerprint of their certificate, and where they are controlled."""
    with tempfile.TemporaryDirectory() as directory:
        certificate = Path(directory, "bmc.pem")
        issued = trustme.CA().issue_cert(*HOSTS)
        certificate.write_bytes(issued.private_key_and_cert_chain_pem.bytes())
        pin = _fingerprint(ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode()))
        command = [sys.executable, __file__, "--serve", str(certificate), "--machines", str(count)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                control, *ports = process.stdout.readline().split()
                addresses = [f"https://{host}:{port}" for port in ports for host in HOSTS][:count]
                yield addresses, pin, f"https://127.0.0.1:{control}"
            finally:
                process.kill()


def control(address: str, verb: str, value: int) -> dict[str, Any]:
    """Change what the BMCs do; returns what happened since the last time."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with urlopen(f"{address}/control/{verb}/{value}", context=context) as found:
        return dict(json.loads(found.read()))


def p90(seconds: list[float]) -> float:
    """Nine of ten were as quick."""
    return sorted(seconds)[int(len(seconds) * 0.9)] if seconds else float("inf")


def unreachable(port: int) -> int:
    """How many machines are reported as not readable."""
    with urlopen(f"http://127.0.0.1:{port}/metrics") as found:
        lines = found.read().decode().splitlines()
    events = [line for line in lines if line.startswith("groundstate_events_total{") and '"Unreachable"' in line]
    return int(sum(float(line.split()[-1]) for line in events))


def phase(address: str, hang: int, seconds: float, name: str) -> float:
    """Drift for so long while so many hang; the p90 of repairs, and of what waits still."""
    control(address, "hang", hang)
    time.sleep(seconds)
    seen = control(address, "drift", 1)
    found = p90(seen["repaired"] + [one for one in seen["waiting"] if one > p90(seen["repaired"])])
    print(
        f"  {name:28} p90 {found:6.1f} s of {len(seen['repaired'])} repairs, peak {seen['peak']} requests a second",
        flush=True,
    )
    return found


def told(process: psutil.Process, port: int, count: int, longest: float = 400.0) -> tuple[float, int]:
    """Seconds until so many are reported, and how many threads there were at most."""
    begun, most = time.monotonic(), 0
    while unreachable(port) < count and time.monotonic() < begun + longest:
        time.sleep(0.5)
        most = max(most, process.num_threads())
    return time.monotonic() - begun, most


def main() -> int:
    """Measure and print."""
    options = argparse.ArgumentParser()
    options.add_argument("--machines", type=int, default=1000)
    options.add_argument("--hanging", type=int, default=300)
    options.add_argument("--resync", type=float, default=10.0)
    options.add_argument("--seconds", type=float, default=70.0)
    options.add_argument("--serve", type=Path)
    arguments = options.parse_args()
    open_files()
    if arguments.serve:
        asyncio.run(serve(arguments.serve, arguments.machines))
    machines, seconds = arguments.machines, arguments.seconds
    with tempfile.TemporaryDirectory() as name, bmcs_that_hang(machines) as (addresses, pin, where):
        folder = Path(name)
        environment = environment_with(folder / "cache") | write_fleet(folder, addresses, pin)
        print(f"{machines:,} BMCs over TLS, {arguments.hanging} hang, resync {arguments.resync:g} s", flush=True)
        with daemon(folder, environment, arguments.resync) as (process, port):
            begun = time.monotonic()
            while steps_done(port) < 2 * machines:
                time.sleep(0.2)
            print(f"  start: {time.monotonic() - begun:.1f} s for two looks", flush=True)
            control(where, "drift", 1)
            normal = phase(where, 0, seconds, "all are well")
            ill = phase(where, arguments.hanging, seconds, "those hang, first seconds")
            memory, threads = process.memory_info().rss / 2**20, process.num_threads()
            later = phase(where, arguments.hanging, seconds, "those hang, later")
            back = phase(where, 0, seconds, "they are back")
            control(where, "drift", 0)
        control(where, "hang", machines)
        for kept in (*folder.glob("state.db*"), folder / "fleet/.git/groundstate-store/known.json"):
            kept.unlink()
        with daemon(folder, environment, arguments.resync) as (process, port):
            all_told, most = told(process, port, machines)
        print(f"  {threads} threads, {memory:.0f} MiB while some hang; {most} threads when all did")
    limits = [
        ("p90 while some hang, times normal", ill / normal, TIMES_NORMAL),
        ("p90 later, times normal", later / normal, TIMES_NORMAL),
        ("p90 when they come back, times normal", back / normal, TIMES_NORMAL),
        ("s until all that hang are reported", all_told, TOLD_SECONDS),
    ]
    for what, value, limit in limits:
        print(f"  {'ok    ' if value <= limit else 'MISSED'} {what}: {value:.2f} (limit {limit:g})")
    return int(any(value > limit for _, value, limit in limits))


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    raise SystemExit(main())
