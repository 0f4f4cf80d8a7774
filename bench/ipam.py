"""How fast the embedded IPAM gives addresses and child prefixes, and whether it slows down as it fills.

    python bench/ipam.py [--held N] [--children N] [--calls N] [--rounds N] [--clients N]

SQLite and PostgreSQL, both with commits forced to disk. One client works on empty networks and on full ones in turns,
so that a noisy machine hurts both alike: IPv4 with every second address or block taken, so that as many gaps are free,
IPv6 with the lowest taken. Then, on PostgreSQL, several processes work on one full network at once. Owners come in no
order. Rates are medians; what a call costs is CPU time, the server's counted, as rates on a shared machine vary more
than what is measured. go-ipam's figures are those that it publishes, from another machine and with an empty prefix: a
measure of size, not a race. A NetBox is measured by `bench/netbox.py`. Exit code 1 when
a limit is missed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec
import psutil
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from drivers.base import IpamNetwork, Prefix
from drivers.ipam.addresses import BITS, aligned, cidr_of, parse_prefix, prefix_length
from drivers.ipam.embedded.embedded import EmbeddedIpam
from reconciler.store import Store
from tests.databases import NoPostgresql, server_url, start_server, stop_server

LAN = {4: "10.0.0.0/8", 6: "2001:db8::/64"}
SUPER = {4: "11.0.0.0/8", 6: "2001:db9::/32"}
CHILD = {4: 28, 6: 64}
EVERY = {4: 2, 6: 1}
"""How what is taken is spread: one of so many."""

CALLS = ("acquire", "release", "child prefix", "drop child")
LIMITS = {
    ("sqlite", "acquire"): 3_000,
    ("sqlite", "release"): 3_000,
    ("sqlite", "child prefix"): 800,
    ("sqlite", "drop child"): 800,
    ("postgresql", "acquire"): 1_000,
    ("postgresql", "release"): 1_000,
    ("postgresql", "child prefix"): 600,
    ("postgresql", "drop child"): 300,
}
"""Calls a second that each must reach, empty or full, by one client or several: on PostgreSQL three times what go-ipam
publishes where it does; an idle machine does twice as many and more."""

DEARER = 1.3
"""How much more CPU time a call may cost on a full network than on an empty one; beyond it, it is not flat."""

PUBLISHED = {"acquire": 331, "child prefix": 203}
"""go-ipam on PostgreSQL 17, calls a second (its README at b82a149, benchmarks on a Xeon Platinum 8370C)."""

Line = tuple[str, ...]


class Place(msgspec.Struct):
    """A store under measurement, empty or full."""

    url: str
    store: Store
    ipam: EmbeddedIpam
    cpu_so_far: Callable[[], float]


class Figures(msgspec.Struct):
    """What was measured of one call: calls a second, and CPU seconds a call."""

    rates: list[float] = []
    cpu: list[float] = []


def main() -> int:
    """Measure, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--held", type=int, default=1_000_000, help="addresses held in the full networks")
    parser.add_argument("--children", type=int, default=100_000, help="child prefixes in the full containers")
    parser.add_argument("--calls", type=int, default=1_000, help="calls a round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds")
    parser.add_argument("--clients", type=int, default=8, help="processes at once on PostgreSQL")
    options = parser.parse_args()
    lines: list[Line] = []
    for database, urls in (("sqlite", sqlite_urls), ("postgresql", postgresql_urls)):
        try:
            with urls() as (empty, full):
                lines += measure(database, empty, full, options)
        except NoPostgresql as missing:
            print(f"{database}: not measured: {missing}", file=sys.stderr)
    show(lines)
    return 1 if any("MISSED" in line[-1] for line in lines) or len({line[0] for line in lines}) < 2 else 0


def measure(database: str, empty_url: str, full_url: str, options: argparse.Namespace) -> list[Line]:
    """The table's lines for one database."""
    empty, full = prepare(empty_url), prepare(full_url)
    for family in BITS:
        fill(full.store, family, options.held, options.children)
    tidy(full.store)
    lines = []
    for family in BITS:
        figures = {(call, at): Figures() for call in CALLS for at in ("empty", "full")}
        for number in range(-1, options.rounds):
            for at, place in (("empty", empty), ("full", full)):
                for call, rate, cpu in one_round(place, family, f"r{number}", options.calls):
                    if number >= 0:  # the round before the first fills caches
                        figures[call, at].rates.append(rate)
                        figures[call, at].cpu.append(cpu)
        for call in CALLS:
            held = options.held if call in ("acquire", "release") else options.children
            lines += both(database, call, family, held, figures[call, "empty"], figures[call, "full"])
    for place in (empty, full):
        place.store.close()
    if database == "postgresql":
        lines += at_once(full_url, options)
    return lines


def prepare(url: str) -> Place:
    """A store with nothing in its networks."""
    store = Store.open(url)
    ipam = EmbeddedIpam(store.engine)
    for family in BITS:
        ipam.put_network(f"lan{family}", IpamNetwork((Prefix(LAN[family]),)))
        ipam.put_network(f"super{family}", IpamNetwork((Prefix(SUPER[family]),), container=True))
    return Place(url, store, ipam, cpu_clock(store))


def one_round(place: Place, family: int, label: str, count: int) -> Iterator[tuple[str, float, float]]:
    """Each call with its rate and its cost, so many times; afterwards all is as before."""
    names = [f"{(number * 7919) % count:06}-{label}" for number in range(count)]
    for call in CALLS:
        work = work_of(place.ipam, call, family)
        started, cpu = time.perf_counter(), place.cpu_so_far()
        for name in names:
            work(name)
        yield call, count / (time.perf_counter() - started), (place.cpu_so_far() - cpu) / count


def work_of(ipam: EmbeddedIpam, call: str, family: int) -> Callable[[str], object]:
    """The call, by the name of an owner or a child."""
    lan, below, lengths = f"lan{family}", IpamNetwork(parent=f"super{family}"), {family: CHILD[family]}
    return {
        "acquire": lambda name: ipam.acquire(lan, f"IPAddress/{name}"),
        "release": lambda name: ipam.release(f"IPAddress/{name}"),
        "child prefix": lambda name: ipam.put_network(name, below, lengths),
        "drop child": ipam.drop_network,
    }[call]


def at_once(url: str, options: argparse.Namespace) -> list[Line]:
    """The lines for several processes at work on one network."""
    lines = []
    with ProcessPoolExecutor(
        options.clients, mp_context=get_context("spawn"), initializer=client, initargs=(url,)
    ) as pool:
        list(pool.map(client_work, [("release", 4, f"warm{n}", 1) for n in range(options.clients * 4)]))
        count = max(1, options.calls // 2)
        for family in BITS:
            rates: dict[str, list[float]] = {call: [] for call in CALLS}
            for number in range(3):
                for call in CALLS:
                    asked = [(call, family, f"c{client}-{number}", count) for client in range(options.clients)]
                    spans = list(pool.map(client_work, asked))
                    wall = max(end for _, end in spans) - min(start for start, _ in spans)
                    rates[call].append(count * options.clients / wall)
            for call, found in rates.items():
                held = options.held if call in ("acquire", "release") else options.children
                lines.append(line("postgresql", call, family, options.clients, held, Figures(found)))
    return lines


def client(url: str) -> None:
    """In a process of its own: open the store."""
    store = Store.open(url)
    client.ipam = EmbeddedIpam(store.engine)  # type: ignore[attr-defined]  # kept for the process's life


def client_work(asked: tuple[str, int, str, int]) -> tuple[float, float]:
    """In that process: the calls, and when they began and ended."""
    call, family, label, count = asked
    work = work_of(client.ipam, call, family)  # type: ignore[attr-defined]
    started = time.monotonic()
    for number in range(count):
        work(f"{(number * 7919) % count:06}-{label}")
    return started, time.monotonic()


def fill(store: Store, family: int, held: int, children: int) -> None:
    """Write what is taken, and what is left, straight into the tables: through the driver it would take minutes."""
    load = load_sqlite if store.engine.dialect.name == "sqlite" else load_postgresql
    pooled = store.engine.raw_connection()
    raw: Any = pooled.driver_connection
    ids = dict(raw.execute("SELECT network, id FROM ipam_prefix").fetchall())
    fill_addresses(load, raw, ids[f"lan{family}"], family, held)
    fill_children(load, raw, ids[f"super{family}"], family, children)
    raw.commit()
    pooled.close()


def fill_addresses(load: Callable[..., None], raw: Any, prefix: int, family: int, count: int) -> None:
    """So many addresses held, every one or every second."""
    first, last = parse_prefix(Prefix(LAN[family])).usable[0]
    every = EVERY[family]
    taken = range(first + every - 1, first + every - 1 + count * every, every)
    gaps = [(one - 1, one - 1) for one in taken] if every > 1 else []
    raw.execute(f"DELETE FROM ipam_free WHERE prefix = {prefix}")
    owners = ((f"IPAddress/{(n * 7919) % count:07}-held{family}", prefix, a.to_bytes(16)) for n, a in enumerate(taken))
    load(raw, "ipam_allocation (owner, prefix, address)", owners)
    left = ((prefix, lo.to_bytes(16), hi.to_bytes(16)) for lo, hi in [*gaps, (taken[-1] + 1, last)])
    load(raw, "ipam_free (prefix, lo, hi)", left)


def fill_children(load: Callable[..., None], raw: Any, container: int, family: int, count: int) -> None:
    """So many children, on every block of their length or every second."""
    whole = parse_prefix(Prefix(SUPER[family]), container=True)
    size, every = 1 << BITS[family] - CHILD[family], EVERY[family]
    lows = range(whole.lo, whole.lo + count * size * every, size * every)
    gaps = [(lo + size, lo + 2 * size - 1) for lo in lows] if every > 1 else []
    start = 10_000_000 * family
    children = [(f"{(n * 7919) % count:07}-held{family}", lo, lo + size - 1) for n, lo in enumerate(lows)]
    parent, scope = f"super{family}", f"/super{family}"
    load(raw, "ipam_network (name, parent)", ((name, parent) for name, _, _ in children))
    load(
        raw,
        "ipam_prefix (id, network, position, family, scope, cidr, lo, hi)",
        (
            (start + n, name, 0, family, scope, cidr_of(lo, hi), lo.to_bytes(16), hi.to_bytes(16))
            for n, (name, lo, hi) in enumerate(children)
        ),
    )
    free = (
        (start + n, (lo + 1).to_bytes(16), (hi - (family == 4)).to_bytes(16)) for n, (_, lo, hi) in enumerate(children)
    )
    load(raw, "ipam_free (prefix, lo, hi)", free)
    raw.execute(f"DELETE FROM ipam_block WHERE prefix = {container}")
    left = aligned([*gaps, (lows[-1] + size * every, whole.hi)])
    blocks = ((container, prefix_length(lo, hi), lo.to_bytes(16)) for lo, hi in left)
    load(raw, "ipam_block (prefix, length, lo)", blocks)


def load_sqlite(raw: Any, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert rows of the columns that are named."""
    if not raw.in_transaction:
        raw.execute("BEGIN")
    raw.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * (table.count(',') + 1))})", rows)


def load_postgresql(raw: Any, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert rows of the columns that are named."""
    with raw.cursor().copy(f"COPY {table} FROM STDIN") as copy:
        for one in rows:
            copy.write_row(one)


def tidy(store: Store) -> None:
    """Leave behind what the filling left to do. Ids go on after those that it gave."""
    sqlite = store.engine.dialect.name == "sqlite"
    statements = (
        ("PRAGMA wal_checkpoint(TRUNCATE)",)
        if sqlite
        else ("SELECT setval(pg_get_serial_sequence('ipam_prefix', 'id'), 100000000)", "VACUUM (ANALYZE)", "CHECKPOINT")
    )
    with store.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def cpu_clock(store: Store) -> Callable[[], float]:
    """CPU seconds of this process and, on PostgreSQL, of the backend that serves it."""
    if store.engine.dialect.name == "sqlite":
        return time.process_time
    with store.engine.connect() as connection:
        backend = psutil.Process(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
    return lambda: time.process_time() + sum(backend.cpu_times()[:2])


@contextmanager
def sqlite_urls() -> Iterator[tuple[str, str]]:
    """Two files."""
    with tempfile.TemporaryDirectory(prefix="groundstate-bench-") as directory:
        yield f"sqlite:///{directory}/empty.db", f"sqlite:///{directory}/full.db"


@contextmanager
def postgresql_urls() -> Iterator[tuple[str, str]]:
    """Two databases, on a server of our own."""
    directory = Path(tempfile.gettempdir()) / f"groundstate-bench-{os.getpid()}"
    try:
        start_server(directory, durable=True)
        store = Store.open(server_url(directory, "postgres"))
        with store.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            for name in ("empty", "full"):
                connection.exec_driver_sql(f'CREATE DATABASE "{name}" TEMPLATE template0')
        store.close()
        yield server_url(directory, "empty"), server_url(directory, "full")
    finally:
        stop_server(directory)


def both(database: str, call: str, family: int, held: int, empty: Figures, full: Figures) -> list[Line]:
    """The lines of an empty network and of a full one."""
    return [line(database, call, family, 1, 0, empty), line(database, call, family, 1, held, full, empty)]


def line(
    database: str, call: str, family: int, clients: int, held: int, figures: Figures, empty: Figures | None = None
) -> Line:
    """One line of the table."""
    rate, limit, published = statistics.median(figures.rates), LIMITS[database, call], PUBLISHED.get(call)
    # Round by round, as the two of a round ran one after the other.
    pairs = zip(figures.cpu, empty.cpu, strict=True) if empty else ()
    dearer = statistics.median([full / none for full, none in pairs]) if empty else None
    passed = rate >= limit and (dearer is None or dearer <= DEARER)
    return (
        database,
        call,
        f"IPv{family}",
        str(clients),
        f"{held:,}",
        f"{rate:,.0f}",
        f"{min(figures.rates):,.0f}-{max(figures.rates):,.0f}",
        f"{limit:,}",
        f"{rate / published:.1f}x of {published}" if published else "",
        f"{statistics.median(figures.cpu) * 1e6:.0f}" if figures.cpu else "",
        f"{dearer:.2f}" if dearer else "",
        "ok" if passed else "MISSED",
    )


def show(lines: list[Line]) -> None:
    """Print the table."""
    table = Table(title=f"Embedded IPAM ({os.cpu_count()} cores)")
    columns = (
        ("database", "left"),
        ("call", "left"),
        ("family", "left"),
        ("clients", "right"),
        ("held", "right"),
        ("a second", "right"),
        ("min-max", "right"),
        ("limit", "right"),
        ("go-ipam, published", "right"),
        ("CPU µs", "right"),
        (f"full/empty (<= {DEARER})", "right"),
        ("", "left"),
    )
    for name, justify in columns:
        table.add_column(name, justify=justify)  # type: ignore[arg-type]  # one of its words
    for one in lines:
        table.add_row(*one)
    Console(width=150).print(table)


if __name__ == "__main__":
    sys.exit(main())
