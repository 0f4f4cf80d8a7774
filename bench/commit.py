"""How long a commit that changes one machine takes to reach its BMC, with 10,000 machines known to a running daemon.

    python bench/commit.py [--machines N] [--commits N]

The real daemon in a process of its own follows a real repository. One machine has a BMC behind real HTTPS, which notes
when the write arrives; the others are on the in-memory driver and are polled all the while. Exit 1 when the limit is
missed.
"""

from __future__ import annotations

import argparse
import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from statistics import median
from urllib.request import urlopen

import psutil
import trustme

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.redfish_poll import SYSTEM, documents  # noqa: E402  the path is set above

LIMIT_SECONDS = 2.0
PARTITION = "apiVersion: groundstate/v1\nkind: Partition\nmetadata: {name: lab}\nspec: {}\n"
MACHINE = """\
apiVersion: groundstate/v1
kind: Machine
metadata: {{name: {name}}}
spec:
  partition: lab
  bmc: {{{bmc}}}
{rest}"""


class Bmc(BaseHTTPRequestHandler):
    """One BMC that notes when a write arrives."""

    protocol_version = "HTTP/1.1"
    arrived: Queue[float] = Queue()
    known = documents()

    def do_GET(self) -> None:
        """A document."""
        self._answer(200 if (document := self.known.get(self.path.rstrip("/"))) else 404, document or {})

    def do_PATCH(self) -> None:
        """The LED is set."""
        self.arrived.put(time.monotonic())
        change = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.known[SYSTEM].update(change)
        self._answer(200, self.known[SYSTEM])

    def _answer(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server's name
        """Nothing."""


@contextmanager
def one_bmc(folder: Path) -> Iterator[str]:
    """The BMC's address; `ca.pem` in the folder vouches for it."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bmc)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()


def write_fleet(repository: Path, machines: int, address: str) -> None:
    """One folder a rack, one file a machine; `real.yaml` is the one that changes."""
    (repository / "lab.yaml").write_text(PARTITION)
    for number in range(machines - 1):
        name = f"r{number // 40:03d}-{number % 40:02d}"
        file = repository / f"r{number // 40:03d}" / f"{name}.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(MACHINE.format(name=name, bmc=f"driver: fake, address: {name}", rest="  power: Off\n"))
    write_real(repository, address, "Off")
    git(repository, "init", "-q", "-b", "main")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "fleet")


def write_real(repository: Path, address: str, led: str) -> None:
    """The machine behind HTTPS."""
    bmc = f'address: "{address}", tls: {{caFile: ca.pem}}'
    (repository / "real.yaml").write_text(MACHINE.format(name="real", bmc=bmc, rest=f"  indicatorLED: {led}\n"))


def git(repository: Path, *arguments: str) -> None:
    """Run git as nobody in particular."""
    who = ["-c", "user.name=bench", "-c", "user.email=bench@example.invalid", "-c", "gc.auto=0"]
    subprocess.run(["git", *who, *arguments], cwd=repository, check=True)


@contextmanager
def daemon(folder: Path, repository: Path) -> Iterator[tuple[int, int]]:
    """The daemon's process id and its health port, once a desired state is in force."""
    command = [sys.executable, str(ROOT / "cli.py"), "run", "--repo", str(repository), "--listen", "127.0.0.1:0"]
    store = ["--store", str(folder / "state.db"), "--log-format", "json"]
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen([*command, *store], cwd=folder, env=environment, stderr=log) as child,
    ):
        try:
            while not (lines := (folder / "log").read_text().splitlines()):
                time.sleep(0.1)
            yield child.pid, int(json.loads(lines[0])["port"])
        finally:
            child.terminate()


def steps_done(port: int) -> float:
    """How many passes the daemon has made."""
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("groundstate_reconcile_total{"))


def main() -> int:
    """Measure and print."""
    options = argparse.ArgumentParser()
    options.add_argument("--machines", type=int, default=10_000)
    options.add_argument("--commits", type=int, default=5)
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory() as name, one_bmc(Path(name)) as address:
        folder, repository = Path(name), Path(name) / "fleet"
        repository.mkdir()
        write_fleet(repository, arguments.machines, address)
        begun = time.monotonic()
        with daemon(folder, repository) as (process, port):
            while steps_done(port) < arguments.machines:
                time.sleep(0.5)
            first = time.monotonic() - begun
            took = []
            for number in range(arguments.commits):
                write_real(repository, address, "Off" if number % 2 else "Lit")
                git(repository, "commit", "-qam", "one machine")
                committed = time.monotonic()
                took.append(Bmc.arrived.get(timeout=60) - committed)
                time.sleep(2)
            memory = psutil.Process(process).memory_info().rss / 1024 / 1024
    slowest, middle = max(took), median(took)
    verdict = "ok" if slowest < LIMIT_SECONDS else "MISSED"
    print(f"{arguments.machines:,} machines: from the start to the first look at every one {first:.1f} s")
    figures = f"median {middle:.2f} s, slowest {slowest:.2f} s of {len(took)}"
    print(f"  from commit to BMC: {figures} (limit {LIMIT_SECONDS} s): {verdict}")
    print(f"  the daemon's memory: {memory:.0f} MiB")
    return 0 if slowest < LIMIT_SECONDS else 1


if __name__ == "__main__":
    raise SystemExit(main())
