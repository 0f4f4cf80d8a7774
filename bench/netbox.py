"""How fast a real NetBox gives addresses, by plain HTTP and by the driver, beside the embedded IPAM in the same run.

    GROUNDSTATE_NETBOX_URL=... GROUNDSTATE_NETBOX_TOKEN=... python bench/netbox.py [--calls N]

`./dev netbox --test` starts one and runs this too.

Plain: `available-ips`, one address a request, by one client and by eight. The driver: one thread, and 64 that share its
batches. The embedded IPAM on PostgreSQL, with commits forced to disk, must be at least 50 times as fast as the plain
requests of as many clients; figures are medians of rounds, in each of which the two take turns. Everything in that
NetBox's IPAM is deleted. Exit code 1 when a limit is missed; 0, and a line that says so, where there is no NetBox.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from drivers.base import IpamNetwork, Prefix
from drivers.ipam.embedded.embedded import EmbeddedIpam
from drivers.ipam.netbox.netbox import NetboxIpam
from reconciler.store import Store
from tests.databases import NoPostgresql, server_url, start_server, stop_server
from tests.drivers.netbox_fixture import FLEET, TOKEN, URL, Person

TIMES = 50
"""The embedded IPAM's rate over NetBox's, with as many clients."""
CLIENTS, THREADS = 8, 64
LAN = IpamNetwork((Prefix("10.0.0.0/16"),))
Line = tuple[str, float, float]
"""What, addresses a second, and how many different ones there were of those that were given, as a share."""


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=128, help="addresses a measurement of NetBox")
    parser.add_argument("--embedded-calls", type=int, default=4000, help="addresses a measurement of the embedded IPAM")
    parser.add_argument("--rounds", type=int, default=3, help="rounds")
    options = parser.parse_args()
    url, token = os.environ.get(URL), os.environ.get(TOKEN)
    if not url or not token:
        print(f"netbox: not measured: {URL} and {TOKEN} are not set; ./dev netbox --test starts one")
        return 0
    try:
        with embedded() as store:
            rounds = [one_round(url, token, store, options, number) for number in range(options.rounds)]
    except NoPostgresql as missing:
        print(f"embedded: not measured: {missing}")
        return 1
    return judge(rounds)


def one_round(url: str, token: str, store: str, options: argparse.Namespace, number: int) -> dict[str, Line]:
    """Everything once, the contender right after its peer, so that a noisy machine hurts both alike."""
    lines = {}
    for clients in (1, CLIENTS):
        lines[f"plain {clients}"] = show(measure_plain(url, token, clients, options.calls))
        lines[f"embedded {clients}"] = show(measure_embedded(store, clients, options.embedded_calls, number))
    for threads in (1, THREADS):
        lines[f"driver {threads}"] = show(measure_driver(url, token, threads, options.calls))
    return lines


def judge(rounds: Sequence[dict[str, Line]]) -> int:
    """Print the medians and the ratios; the exit code."""
    missed = any(line[2] < 1 for one in rounds for line in one.values())
    print(f"medians of {len(rounds)}")
    for name, (what, _, _) in rounds[0].items():
        print(f"{what:<48} {statistics.median(one[name][1] for one in rounds):>9.1f}/s")
    for clients in (1, CLIENTS):
        times = statistics.median(one[f"embedded {clients}"][1] / one[f"plain {clients}"][1] for one in rounds)
        print(f"embedded / available-ips, {clients} client(s): {times:.0f} times (at least {TIMES})")
        missed = missed or times < TIMES
    batched = statistics.median(one[f"driver {THREADS}"][1] / one["driver 1"][1] for one in rounds)
    print(f"driver, {THREADS} threads / 1 thread: {batched:.1f} times")
    print("MISSED" if missed else "ok")
    return 1 if missed else 0


def show(line: Line) -> Line:
    """Print it."""
    what, rate, unique = line
    print(
        f"{what:<48} {rate:>9.1f}/s   {'each once' if unique == 1 else f'DUPLICATES: {unique:.1%} unique'}", flush=True
    )
    return line


def measure_plain(url: str, token: str, clients: int, calls: int) -> Line:
    """One POST an address, each client with a connection of its own."""
    people = [Person(url, token) for _ in range(clients)]
    people[0].empty()
    place = people[0].post("ipam/prefixes/", {"prefix": LAN.prefixes[0].cidr})["id"]

    def one(person: Person) -> list[str]:
        return [
            str(person.post(f"ipam/prefixes/{place}/available-ips/", {})["address"]) for _ in range(calls // clients)
        ]

    with ThreadPoolExecutor(clients) as pool:
        return timed(f"NetBox available-ips, {clients} client(s)", lambda: list(pool.map(one, people)))


def measure_driver(url: str, token: str, threads: int, calls: int) -> Line:
    """`acquire` of one driver; look-up and mark included."""
    Person(url, token).empty()
    ipam = NetboxIpam(url, lambda: token, fleet=FLEET)
    ipam.put_network("lan", LAN)

    def one(at: int) -> list[str]:
        return [ipam.acquire("lan", f"machine/{at}-{number}") for number in range(calls // threads)]

    with ThreadPoolExecutor(threads) as pool:
        line = timed(f"NetBox by the driver, {threads} thread(s)", lambda: list(pool.map(one, range(threads))))
    ipam.close()
    return line


@contextmanager
def embedded() -> Iterator[str]:
    """The URL of a store on PostgreSQL with an empty network."""
    directory = Path(tempfile.mkdtemp(prefix="groundstate-bench-"))
    start_server(directory, durable=True)
    try:
        url = server_url(directory, "postgres")
        store = Store.open(url)
        EmbeddedIpam(store.engine).put_network("lan", LAN)
        store.close()
        yield url
    finally:
        stop_server(directory)


def measure_embedded(url: str, clients: int, calls: int, number: int) -> Line:
    """The embedded IPAM, by processes of which each has its connection before the clock starts."""
    places = [url] * clients
    names = [f"{clients}-{number}-{at}" for at in range(clients)]
    with ProcessPoolExecutor(clients, get_context("spawn")) as pool:
        list(pool.map(acquire_all, places, [f"warm-{name}" for name in names], [1] * clients))
        share = [calls // clients] * clients
        what = f"embedded IPAM on PostgreSQL, {clients} client(s)"
        return timed(what, lambda: list(pool.map(acquire_all, places, names, share)))


_stores: dict[str, Store] = {}


def acquire_all(url: str, name: str, calls: int) -> list[str]:
    """In a process of its own."""
    if url not in _stores:
        _stores[url] = Store.open(url)
    ipam = EmbeddedIpam(_stores[url].engine)
    return [ipam.acquire("lan", f"{name}-{number}") for number in range(calls)]


def timed(what: str, work: Callable[[], list[list[str]]]) -> Line:
    """How many addresses a second it gave, and whether each only once."""
    started = time.perf_counter()
    given = [address for some in work() for address in some]
    return what, len(given) / (time.perf_counter() - started), len(set(given)) / len(given)


if __name__ == "__main__":
    sys.exit(main())
