"""How fast the embedded IPAM acquires addresses, and whether it slows down as it fills.

    python bench/ipam.py [--held N] [--acquires N] [--rounds N]

SQLite and PostgreSQL, both with commits forced to disk, one client. The same process works on an empty network and on
two with N addresses held (the lowest N; every second one, so that N gaps are free) in turns, so that a noisy machine
hurts all alike. Owners come in no order. Rates are medians; the limit on slowing down is on CPU time, the server's
counted, as rates on a shared machine vary more than what is measured. Exit code 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psutil
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from drivers.base import Prefix
from drivers.ipam.addresses import parse_address
from drivers.ipam.embedded import EmbeddedIpam
from reconciler.store import Store
from tests.databases import NoPostgresql, server_url, start_server, stop_server

NETWORK = "lan"
LIMITS = {"sqlite": 5_000, "postgresql": 1_500}
KEPT_SPEED = 0.8
"""The share of the empty network's speed (CPU time an acquire) that a full one must keep; the rest is noise."""

FILLINGS = {"none": 0, "lowest": 1, "every second": 2}
"""How what is held is spread: one held address every so many."""


class Subject(msgspec.Struct):
    """One network under measurement, and what was measured."""

    database: str
    filling: str
    held: int
    store: Store
    ipam: EmbeddedIpam
    cpu_so_far: Callable[[], float]
    rates: list[float] = []
    cpu: list[float] = []


def main() -> int:
    """Measure, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--held", type=int, default=1_000_000, help="addresses held in the full networks")
    parser.add_argument("--acquires", type=int, default=3_000, help="acquires a round and network")
    parser.add_argument("--rounds", type=int, default=5, help="rounds")
    options = parser.parse_args()
    rows: list[tuple[str, ...]] = []
    for database, urls in (("sqlite", sqlite_urls), ("postgresql", postgresql_urls)):
        try:
            with urls() as found:
                rows += measure(database, found, options.held, options.acquires, options.rounds)
        except NoPostgresql as missing:
            print(f"{database}: not measured: {missing}", file=sys.stderr)
    show(rows)
    return 1 if any("MISSED" in row[-1] for row in rows) or len({row[0] for row in rows}) < len(LIMITS) else 0


def measure(database: str, urls: dict[str, str], held: int, acquires: int, rounds: int) -> list[tuple[str, ...]]:
    """The table's rows for one database."""
    subjects = [prepare(database, filling, urls[filling], held) for filling in FILLINGS]
    for number in range(-1, rounds):
        for subject in subjects:
            rate, cpu = acquire(subject, f"r{number}", acquires)
            if number >= 0:  # the round before the first fills caches
                subject.rates.append(rate)
                subject.cpu.append(cpu)
    for subject in subjects:
        subject.store.close()
    return [row(subject, subjects[0]) for subject in subjects]


def prepare(database: str, filling: str, url: str, held: int) -> Subject:
    """A store whose network has so many addresses held."""
    store = Store.open(url)
    ipam = EmbeddedIpam(store.engine)
    ipam.put_network(NETWORK, [Prefix("10.0.0.0/8")])
    count = held if FILLINGS[filling] else 0
    if count:
        fill(store, count, FILLINGS[filling])
    return Subject(database, filling, count, store, ipam, cpu_clock(store), [], [])


def acquire(subject: Subject, label: str, count: int) -> tuple[float, float]:
    """Acquires a second, and CPU seconds an acquire."""
    owners = [f"IPAddress/{(number * 7919) % count:06}-{label}" for number in range(count)]
    started, cpu = time.perf_counter(), subject.cpu_so_far()
    for owner in owners:
        subject.ipam.acquire(NETWORK, owner)
    return count / (time.perf_counter() - started), (subject.cpu_so_far() - cpu) / count


def fill(store: Store, count: int, every: int) -> None:
    """Write allocations and free intervals straight into the tables: through the driver it would take minutes."""
    first, last = parse_address("10.0.0.1"), parse_address("10.255.255.254")
    addresses = range(first + every - 1, first + every - 1 + count * every, every)
    held = ((f"IPAddress/{(n * 7919) % count:06}-held", 1, one.to_bytes(16)) for n, one in enumerate(addresses))
    end = addresses[-1] + 1
    gaps = ((1, (one - 1).to_bytes(16), (one - 1).to_bytes(16)) for one in (addresses if every > 1 else ()))
    rest = [(1, end.to_bytes(16), last.to_bytes(16))]
    load = load_sqlite if store.engine.dialect.name == "sqlite" else load_postgresql
    connection = store.engine.raw_connection()
    raw: Any = connection.driver_connection
    raw.execute("DELETE FROM ipam_free")
    load(raw, "ipam_allocation (owner, prefix, address)", held)
    load(raw, "ipam_free (prefix, lo, hi)", gaps)
    load(raw, "ipam_free (prefix, lo, hi)", iter(rest))
    raw.commit()
    connection.close()
    with store.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as tidy:
        tidy.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)" if load is load_sqlite else "VACUUM (ANALYZE)")


def load_sqlite(raw: Any, table: str, rows: Iterator[tuple[Any, ...]]) -> None:
    """Insert rows of three columns."""
    if not raw.in_transaction:
        raw.execute("BEGIN")
    raw.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", rows)


def load_postgresql(raw: Any, table: str, rows: Iterator[tuple[Any, ...]]) -> None:
    """Insert rows of three columns."""
    with raw.cursor().copy(f"COPY {table} FROM STDIN") as copy:
        for one in rows:
            copy.write_row(one)


def cpu_clock(store: Store) -> Callable[[], float]:
    """CPU seconds of this process and, on PostgreSQL, of the backend that serves it."""
    if store.engine.dialect.name == "sqlite":
        return time.process_time
    with store.engine.connect() as connection:
        backend = psutil.Process(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
    return lambda: time.process_time() + sum(backend.cpu_times()[:2])


@contextmanager
def sqlite_urls() -> Iterator[dict[str, str]]:
    """A file for each filling."""
    with tempfile.TemporaryDirectory(prefix="groundstate-bench-") as directory:
        yield {filling: f"sqlite:///{directory}/{filling}.db" for filling in FILLINGS}


@contextmanager
def postgresql_urls() -> Iterator[dict[str, str]]:
    """A database for each filling, on a server of our own."""
    directory = Path(tempfile.gettempdir()) / f"groundstate-bench-{os.getpid()}"
    try:
        start_server(directory, durable=True)
        store = Store.open(server_url(directory, "postgres"))
        names = {filling: filling.replace(" ", "_") for filling in FILLINGS}
        with store.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            for name in names.values():
                connection.exec_driver_sql(f'CREATE DATABASE "{name}" TEMPLATE template0')
        store.close()
        yield {filling: server_url(directory, name) for filling, name in names.items()}
    finally:
        stop_server(directory)


def row(subject: Subject, empty: Subject) -> tuple[str, ...]:
    """One line of the table."""
    rate, cpu = statistics.median(subject.rates), statistics.median(subject.cpu)
    kept = statistics.median(empty.cpu) / cpu
    limit = LIMITS[subject.database]
    passed = rate >= limit and kept >= KEPT_SPEED
    return (
        subject.database,
        f"{subject.held:,}",
        subject.filling,
        f"{rate:,.0f}",
        f"{min(subject.rates):,.0f}-{max(subject.rates):,.0f}",
        f"{limit:,}",
        f"{cpu * 1e6:.0f}",
        f"{kept:.2f}",
        "ok" if passed else "MISSED",
    )


def show(rows: list[tuple[str, ...]]) -> None:
    """Print the table."""
    table = Table(title=f"Embedded IPAM, one client ({os.cpu_count()} cores)")
    columns = (
        "database",
        "held",
        "which",
        "acquires/s",
        "min-max",
        "limit",
        "CPU µs each",
        f"kept (>= {KEPT_SPEED})",
        "",
    )
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number in (0, 2, 8) else "right")
    for one in rows:
        table.add_row(*one)
    Console(width=120).print(table)


if __name__ == "__main__":
    sys.exit(main())
