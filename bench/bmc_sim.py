"""What simulated BMCs cost: CPU and memory of `groundstate bmc-sim`, and requests a second of one processor.

    python bench/bmc_sim.py [--machines N] [--connections N]

One client asks one BMC after the other over TLS, and keeps the connections: all of them are open at once. The CPU of
the client is not counted. Both processes need as many open files as there are connections (`ulimit -n`)."""

from __future__ import annotations

import argparse
import http.client
import os
import re
import resource
import ssl
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PORT, PASSWORD = 18443, "bench"
FILES_BESIDE, IDLE_SECONDS = 64, 10
"""Open files that are no connections. How long nothing is asked."""
LOGIN = {"Authorization": "Basic " + b64encode(f"operator:{PASSWORD}".encode()).decode()}
SYSTEM = "/redfish/v1/Systems/1"
RESET = f"{SYSTEM}/Actions/ComputerSystem.Reset"


def memory_mib(pid: int) -> float:
    """Resident memory of a process."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def cpu_seconds(pid: int) -> float:
    """CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def open_sockets(pid: int) -> int:
    """Sockets that a process has open: its connections, and the one at which it listens."""
    return sum(str(one.readlink()).startswith("socket:") for one in Path(f"/proc/{pid}/fd").iterdir())


def started(machines: int) -> subprocess.Popen[str]:
    """The command, when all BMCs listen."""
    command = [sys.executable, str(ROOT / "cli.py"), "bmc-sim", "--machines", str(machines)]
    command += ["--listen", f"127.90.0.0/16:{PORT}", "--password", PASSWORD]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    while not process.stdout.readline().startswith("Ctrl-C"):
        pass
    return process


def connected(number: int, context: ssl.SSLContext) -> http.client.HTTPSConnection:
    """A connection to a BMC."""
    at = f"127.90.{number + 1 >> 8}.{number + 1 & 255}"
    return http.client.HTTPSConnection(at, PORT, context=context, timeout=60)


def ask(connection: http.client.HTTPSConnection, method: str, path: str, body: bytes | None = None) -> None:
    """One request."""
    connection.request(method, path, body, LOGIN)
    reply = connection.getresponse()
    reply.read()
    assert reply.status < 300, reply.status


def measure(pid: int, what: str, connections: list[http.client.HTTPSConnection], do: Callable[..., None]) -> None:
    """Ask each BMC once, and say what it cost."""
    before = cpu_seconds(pid)
    for connection in connections:
        do(connection)
    used = cpu_seconds(pid) - before
    each = f"{1000 * used / len(connections):.2f} ms of CPU each"
    print(f"{what}: {len(connections) / used:,.0f} a second of one processor, {each}; {memory_mib(pid):.0f} MiB")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description="Measure simulated BMCs.")
    parser.add_argument("--machines", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=10_000)
    options = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    count = min(options.machines, options.connections, most - FILES_BESIDE)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    process = started(options.machines)
    pid = process.pid
    try:
        alone = memory_mib(pid)
        print(f"{options.machines} BMCs listen: {cpu_seconds(pid):.2f} s of CPU, {alone:.0f} MiB")
        lines = [connected(number, context) for number in range(count)]
        measure(pid, "TLS connections with one GET", lines, lambda one: ask(one, "GET", SYSTEM))
        each = 1024 * (memory_mib(pid) - alone) / count
        print(f"{open_sockets(pid)} sockets are open: {each:.1f} KiB for each connection")
        before = cpu_seconds(pid)
        time.sleep(IDLE_SECONDS)
        print(f"idle for {IDLE_SECONDS} s: {cpu_seconds(pid) - before:.2f} s of CPU")
        measure(pid, "GET of a system", lines, lambda one: ask(one, "GET", SYSTEM))
        measure(pid, "Reset", lines, lambda one: ask(one, "POST", RESET, b'{"ResetType": "On"}'))
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
