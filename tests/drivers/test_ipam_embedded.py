"""The embedded IPAM under several processes, under kill -9, and with a database that fails."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from itertools import permutations
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import IntegrityError

from drivers.base import About, Busy, Conflict, IntegerRange, IpamNetwork, Prefix, Rejected, Unreachable
from drivers.ipam.addresses import parse_prefix
from drivers.ipam.embedded.embedded import EmbeddedIpam
from drivers.ipam.embedded.embedded_pools import EmbeddedPools
from drivers.ipam.statements import IpamDatabase, Run
from reconciler.store import Store

ROOT = Path(__file__).parents[2]

WORKER = """
import sys
from drivers.base import *
from drivers.ipam.embedded.embedded import EmbeddedIpam
from drivers.ipam.embedded.embedded_pools import EmbeddedPools
from reconciler.store import Store
url, name, count = sys.argv[1:]
store = Store.open(url)
ipam, pools = EmbeddedIpam(store.engine), EmbeddedPools(store.engine)
sys.stdin.readline()
"""

ACQUIRE = """
for number in range(int(count)):
    print(ipam.acquire("lan", f"{name}-{number}"), flush=True)
    if number % 3 == 0:
        ipam.release(f"{name}-{number}")
"""

CHILDREN = """
for number in range(int(count)):
    lengths = {4: 28 + number % 3} if number % 2 else {4: 28, 6: 64}
    put = ipam.put_network(f"{name}-{number}", IpamNetwork(parent="super"), lengths)
    print(*(prefix.cidr for prefix in put.prefixes), flush=True)
    if number % 3 == 0:
        ipam.drop_network(f"{name}-{number}")
"""

NUMBERS = """
for number in range(int(count)):
    print(pools.acquire_number("vrf", f"{name}-{number}"), flush=True)
    if number % 3 == 0:
        pools.release_number(f"{name}-{number}")
"""

RACES = """
for number in range(int(count)):
    for call in (
        lambda: ipam.put_network("super", IpamNetwork((Prefix(f"10.0.0.0/{22 + number % 3}"),), container=True)),
        lambda: ipam.put_network("a", IpamNetwork(parent="super"), {4: 28}),
        lambda: ipam.put_network("lan", IpamNetwork((Prefix("10.0.0.16/28"),), parent="super" if number % 2 else None)),
        lambda: ipam.acquire("a", f"o{number % 5}"),
        lambda: ipam.acquire("lan", f"o{number % 5}"),
        lambda: ipam.release(f"o{number % 4}"),
        lambda: ipam.drop_network("a"),
        lambda: ipam.drop_network("lan"),
        lambda: pools.put_pool("vrf", [IntegerRange(1, 3 + number % 3)]),
        lambda: pools.acquire_number("vrf", f"o{number % 5}"),
        lambda: pools.release_number(f"o{number % 4}"),
        lambda: pools.drop_pool("vrf"),
        lambda: ipam.drop_network("super"),
    ):
        try:
            call()
        except (Conflict, Rejected, Exhausted, Busy) as error:
            print(type(error).__name__, flush=True)
        else:
            print("done", flush=True)
"""


@pytest.fixture
def engine(store: Store) -> Engine:
    return store.engine


def check(engine: Engine) -> None:
    """No rule of the tables is broken: nothing lost, doubled, reserved or outside."""
    assert EmbeddedIpam(engine).check() == []


def test_released_addresses_join_their_neighbours_in_whatever_order(engine: Engine) -> None:
    ipam = EmbeddedIpam(engine)
    ipam.put_network("lan", IpamNetwork((Prefix("10.0.0.0/29"),)))
    for order in permutations(range(1, 5)):
        for number in order:
            ipam.acquire("lan", f"o{number}", address=f"10.0.0.{number}")
            check(engine)
        for number in order:
            ipam.release(f"o{number}")
            check(engine)


def test_processes_that_acquire_at_once_share_out_the_network(store: Store, store_url: str) -> None:
    EmbeddedIpam(store.engine).put_network(
        "lan",
        IpamNetwork(
            (
                Prefix("10.0.0.0/24"),
                Prefix("2001:db8::/64"),
            )
        ),
    )
    with workers(store_url, count=150) as processes:
        for process in processes:
            go(process)
        printed = [process.communicate()[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert [len(addresses) for addresses in printed] == [150, 150]
    assert len(EmbeddedIpam(store.engine).list(network="lan")) == 200
    check(store.engine)


def test_processes_that_choose_children_at_once_share_out_the_container(store: Store, store_url: str) -> None:
    ipam = EmbeddedIpam(store.engine)
    ipam.put_network("super", IpamNetwork((Prefix("10.0.0.0/16"), Prefix("2001:db8::/48")), container=True))
    printed = run(store_url, 60, CHILDREN)
    cidrs = [prefix.cidr for name, one in ipam.networks().items() if name != "super" for prefix in one.prefixes]
    assert len(cidrs) == len(set(cidrs)) == 120
    assert set(cidrs) <= {cidr for lines in printed for cidr in lines}
    check(store.engine)


def test_processes_that_take_numbers_at_once_share_out_the_pool(store: Store, store_url: str) -> None:
    pools = EmbeddedPools(store.engine)
    pools.put_pool("vrf", [IntegerRange(1, 70), IntegerRange(101, 170)])
    run(store_url, 100, NUMBERS)
    numbers = [one.number for one in pools.numbers("vrf")]
    assert len(numbers) == len(set(numbers)) == 132
    check(store.engine)


def test_processes_that_change_everything_at_once_break_no_rule(store: Store, store_url: str) -> None:
    printed = run(store_url, 25, RACES, names="abc")
    assert all(len(lines) == 25 * 13 for lines in printed)
    assert all(lines.count("done") > 50 for lines in printed)
    check(store.engine)


def test_threads_that_put_one_child_at_once_get_one_prefix(store: Store) -> None:
    ipam = EmbeddedIpam(store.engine)
    ipam.put_network("super", IpamNetwork((Prefix("10.0.0.0/24"),), container=True))
    with ThreadPoolExecutor(6) as pool:
        got = set(pool.map(lambda _: ipam.put_network("a", IpamNetwork(parent="super"), {4: 28}), range(24)))
    assert got == {IpamNetwork((Prefix("10.0.0.0/28"),), parent="super")}
    check(store.engine)


def test_kill_9_loses_and_doubles_nothing(store: Store, store_url: str) -> None:
    ipam = EmbeddedIpam(store.engine)
    ipam.put_network("lan", IpamNetwork((Prefix("10.0.0.0/16"),)))
    for attempt in range(3):
        with workers(store_url, count=60_000, names=[f"w{attempt}"]) as [process]:
            go(process)
            assert process.stdout is not None
            known = [process.stdout.readline().strip() for _ in range(40 + 10 * attempt)]
            process.send_signal(signal.SIGKILL)
        check(store.engine)
        held = {one.address for one in ipam.list()}
        kept = [address for number, address in enumerate(known) if number % 3]
        assert set(kept) <= held
    assert ipam.acquire("lan", "after") not in held


def test_threads_of_one_owner_get_one_address(store: Store) -> None:
    ipam = EmbeddedIpam(store.engine)
    ipam.put_network("lan", IpamNetwork((Prefix("10.0.0.0/24"),)))
    with ThreadPoolExecutor(6) as pool:
        got = set(pool.map(lambda _: ipam.acquire("lan", "a"), range(30)))
    assert got == {"10.0.0.1"}
    check(store.engine)


def test_one_owner_in_two_networks_at_once_gets_one_address(store: Store) -> None:
    ipam = EmbeddedIpam(store.engine)
    ipam.put_network("lan", IpamNetwork((Prefix("10.0.0.0/24"),)))
    ipam.put_network("dmz", IpamNetwork((Prefix("10.0.1.0/24"),)))

    def acquire(number: int) -> str:
        try:
            return ipam.acquire("lan" if number % 2 else "dmz", f"o{number // 2}")
        except Conflict:
            return "refused"

    with ThreadPoolExecutor(6) as pool:
        got = list(pool.map(acquire, range(60)))
    assert got.count("refused") == 30
    assert len(ipam.list()) == 30
    check(store.engine)


def test_networks_that_are_put_at_once_never_overlap(store: Store) -> None:
    ipam = EmbeddedIpam(store.engine)

    def put(number: int) -> bool:
        try:
            ipam.put_network(
                f"n{number}",
                IpamNetwork(
                    (
                        Prefix("10.0.0.0/24"),
                        Prefix(f"10.1.{number}.0/24"),
                    )
                ),
            )
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(put, range(12))) == 1
    assert len(ipam.networks()) == 1


@pytest.mark.parametrize("empty_store_url", ["postgresql"], indirect=True)
def test_postgresql_itself_refuses_prefixes_that_overlap(engine: Engine) -> None:
    insert = text(
        "INSERT INTO ipam_prefix (network, position, family, scope, cidr, lo, hi) "
        "VALUES ('lan', 0, 4, :scope, :cidr, :lo, :hi)"
    )

    def row(scope: str, cidr: str) -> dict[str, object]:
        block = parse_prefix(Prefix(cidr))
        return {"scope": scope, "cidr": cidr, "lo": block.lo.to_bytes(16), "hi": block.hi.to_bytes(16)}

    with engine.begin() as connection:
        connection.execute(text("INSERT INTO ipam_network (name) VALUES ('lan')"))
        for scope, cidr in ((":", "10.0.0.0/8"), (":red", "10.0.0.0/8"), (":", "11.0.0.0/8"), (":", "9.0.0.0/8")):
            connection.execute(insert, row(scope, cidr))
    for cidr in ("10.1.0.0/16", "10.0.0.0/7", "10.0.0.0/8"):
        with engine.connect() as connection:
            connection.execute(insert, row(":", cidr))
            with pytest.raises(IntegrityError, match="exclusion constraint"):
                connection.commit()


class Explaining(IpamDatabase):
    """Has the database say how it would run each statement, before it does."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.plans: list[str] = []

    def _runner(self, raw: Any) -> Run:
        run = super()._runner(raw)

        def explained(statement: str, *values: Any) -> Any:
            if statement.split()[0] in ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"):
                # A table so small is quicker read whole; what is asked is whether it must be.
                if not self.sqlite:
                    run("SET enable_seqscan = off")
                explain = "EXPLAIN QUERY PLAN" if self.sqlite else "EXPLAIN"
                plan = run(f"{explain} {statement}", *values).fetchall()
                self.plans.append(f"{statement}: {plan}")
            return run(statement, *values)

        return explained


def test_no_call_reads_a_whole_table(engine: Engine) -> None:
    ipam = EmbeddedIpam(engine)
    ipam._database = database = Explaining(engine)
    ipam.put_network("super", IpamNetwork((Prefix("10.0.0.0/8"), Prefix("2001:db8::/32")), container=True))
    ipam.put_network("lan", IpamNetwork((Prefix("192.168.0.0/24"),)))
    ipam.put_network("a", IpamNetwork((Prefix("10.1.0.0/24"),), parent="super"), {4: 28, 6: 64})
    ipam.put_network("b", IpamNetwork(parent="super"), {4: 28})
    with pytest.raises(Conflict, match="network b"):
        ipam.put_network("c", IpamNetwork((Prefix("10.1.0.0/16"),), parent="super"))
    with pytest.raises(Conflict, match="network lan"):
        ipam.put_network("d", IpamNetwork((Prefix("192.168.0.0/16"),)))
    ipam.acquire("a", "o")
    ipam.acquire("lan", "p", address="192.168.0.77")
    ipam.describe("o", About(project="x"))
    for owner in "op":
        assert ipam.holding(owner)
        ipam.release(owner)
    for name in ("b", "a"):
        assert ipam.network(name)
        ipam.drop_network(name)
    assert len(database.plans) > 20
    assert [plan for plan in database.plans if "SCAN " in plan or "Seq Scan" in plan] == []


def test_a_full_disk_is_told_and_changes_nothing(migrated_file: Path, tmp_path: Path) -> None:
    path = shutil.copy(migrated_file, tmp_path / "state.db")
    engine = create_engine(f"sqlite:///{path}")
    ipam = EmbeddedIpam(engine)
    ipam.put_network("lan", IpamNetwork((Prefix("10.0.0.0/16"),)))

    @event.listens_for(engine, "checkout")
    def limit(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")

    with pytest.raises(Unreachable, match="disk of the IPAM's database is full; free some space, nothing was changed"):
        [ipam.acquire("lan", f"an owner with a long name, so that pages are soon full, {n}" * 5) for n in range(1000)]
    check(engine)
    engine.dispose()


def test_a_database_that_another_program_locks_is_busy(migrated_file: Path, tmp_path: Path) -> None:
    path = shutil.copy(migrated_file, tmp_path / "state.db")
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 0.05})
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Busy, match="another process holds the IPAM's database"):
            EmbeddedIpam(engine).put_network("lan", IpamNetwork())
    engine.dispose()


def test_a_server_that_cannot_be_reached_is_unreachable_and_nothing_was_sent() -> None:
    ipam = EmbeddedIpam(create_engine("postgresql+psycopg://u@127.0.0.1:1/d"))
    with pytest.raises(Unreachable, match="cannot be opened") as caught:
        ipam.acquire("lan", "a")
    assert not caught.value.maybe_sent


@pytest.mark.parametrize("empty_store_url", ["postgresql"], indirect=True)
def test_a_connection_that_breaks_may_have_sent_and_the_next_call_finds_a_new_one(store: Store, store_url: str) -> None:
    ipam = EmbeddedIpam(store.engine)
    ipam.put_network("lan", IpamNetwork((Prefix("10.0.0.0/24"),)))
    with psycopg.connect(store_url) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    with pytest.raises(Unreachable) as caught:
        ipam.acquire("lan", "a")
    assert caught.value.maybe_sent
    assert ipam.acquire("lan", "a") == "10.0.0.1"


def test_a_database_without_the_tables_says_so(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'other.db'}")
    with pytest.raises(Rejected, match="the database has no tables of the IPAM"):
        EmbeddedIpam(engine).acquire("lan", "a")
    engine.dispose()


def run(url: str, count: int, work: str, names: Sequence[str] = ("a", "b")) -> list[list[str]]:
    """Let processes do the work at once, to the end; the words that each printed."""
    with workers(url, count, names, work) as processes:
        for process in processes:
            go(process)
        printed = [process.communicate(timeout=120)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0] * len(names)
    return printed


@contextmanager
def workers(
    url: str, count: int, names: Sequence[str] = ("a", "b"), work: str = ACQUIRE
) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that open the store and, once told to go, do the work in a loop."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", WORKER + work, url, name, str(count)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    cwd=ROOT,
                )
            )
            for name in names
        ]


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()
