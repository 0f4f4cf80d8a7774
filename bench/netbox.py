"""How fast addresses come out of a NetBox, and how much faster out of the embedded IPAM on PostgreSQL.

    ./dev netbox --test          starts a NetBox and runs this too
    python bench/netbox.py       over the one that GROUNDSTATE_NETBOX_URL and GROUNDSTATE_NETBOX_TOKEN name

Everything in that NetBox's IPAM is deleted first. `available-ips`: plain requests, one address each, as a script would
send them; `driver`: groundstate's, whose threads' requests go out together. The embedded IPAM works in the same run on
the same machine, commits forced to disk. Exit code 1 when it is less than 50 times as fast as available-ips, with one
client or with eight; 0, and a word, where there is no NetBox.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from drivers.base import IpamNetwork, Prefix
from drivers.ipam.embedded import EmbeddedIpam
from drivers.ipam.netbox import NetboxIpam
from reconciler.store import Store
from tests.databases import server_url, start_server, stop_server
from tests.drivers.netbox_fixture import FLEET, TOKEN, URL, Person

LAN = IpamNetwork((Prefix("10.0.0.0/16"),))
RATIO = 50.0
CLIENTS = 8


def rate(work: Callable[[int], object], calls: int, clients: int) -> float:
    """Calls a second, by so many threads."""
    begun = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(work, range(calls)))
    return calls / (time.perf_counter() - begun)


def plain(url: str, token: str, prefix: int, clients: int, calls: int) -> float:
    """available-ips, an address a request."""
    people = [Person(url, token) for _ in range(clients)]

    def take(number: int) -> None:
        people[number % clients].post(f"ipam/prefixes/{prefix}/available-ips/", {"description": "bench"})

    return rate(take, calls, clients)


def embedded(url: str, clients: int, calls: int) -> float:
    """The embedded IPAM, by so many processes."""
    with ProcessPoolExecutor(clients, mp_context=get_context("spawn")) as pool:
        list(pool.map(_warm, [url] * clients))
        begun = time.perf_counter()
        jobs = [(url, f"{clients}-{number}", calls // clients) for number in range(clients)]
        list(pool.map(_take, jobs))
        return calls / (time.perf_counter() - begun)


def _warm(url: str) -> None:
    Store.open(url).close()


def _take(job: tuple[str, str, int]) -> None:
    url, name, calls = job
    store = Store.open(url)
    ipam = EmbeddedIpam(store.engine)
    for number in range(calls):
        ipam.acquire("lan", f"bench/{name}-{number}")
    store.close()


def main() -> int:
    """Measure and print."""
    url, token = os.environ.get(URL), os.environ.get(TOKEN)
    if not url or not token:
        print(f"no NetBox: {URL} and {TOKEN} name none; ./dev netbox --test starts one. Nothing was measured.")
        return 0
    person = Person(url, token)
    person.empty()
    ipam = NetboxIpam(url, lambda: token, fleet=FLEET)
    ipam.put_network("lan", LAN)
    prefix = int(str(person.get("ipam/prefixes/")[0]["id"]))
    found = {
        "available-ips, 1 client": plain(url, token, prefix, 1, 100),
        f"available-ips, {CLIENTS} clients": plain(url, token, prefix, CLIENTS, 160),
        "driver, 1 thread": rate(lambda n: ipam.acquire("lan", f"one/{n}"), 40, 1),
        "driver, 64 threads": rate(lambda n: ipam.acquire("lan", f"many/{n}"), 960, 64),
    }
    ipam.close()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "postgresql"
        Path(name).chmod(0o755)
        start_server(folder, durable=True)
        try:
            store = Store.open(server_url(folder, "postgres"))
            EmbeddedIpam(store.engine).put_network("lan", LAN)
            store.close()
            ours = {clients: embedded(server_url(folder, "postgres"), clients, 4_000) for clients in (1, CLIENTS)}
        finally:
            stop_server(folder)
    print("addresses a second")
    for what, speed in found.items():
        print(f"  NetBox, {what:<28} {speed:8.1f}")
    missed = 0
    for clients, speed in ours.items():
        peer = found["available-ips, 1 client" if clients == 1 else f"available-ips, {CLIENTS} clients"]
        held = speed >= RATIO * peer
        missed += not held
        verdict = f"{speed / peer:.0f} times NetBox's, limit {RATIO:.0f}: {'ok' if held else 'MISSED'}"
        print(f"  embedded on PostgreSQL, {clients} at once     {speed:8.1f}   {verdict}")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
