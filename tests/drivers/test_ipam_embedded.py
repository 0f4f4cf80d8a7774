"""The embedded IPAM against a plain model, under several processes, and under kill -9."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from ipaddress import ip_address, ip_network
from itertools import pairwise, permutations
from pathlib import Path

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import IntegrityError

from drivers.base import Busy, Conflict, Exhausted, Prefix, Rejected, Unreachable
from drivers.ipam.addresses import joined, parse_prefix, text_of
from drivers.ipam.embedded import EmbeddedIpam
from reconciler.store import Store

ROOT = Path(__file__).parents[2]
TABLES = ("ipam_allocation", "ipam_free", "ipam_prefix", "ipam_network")

WORKER = """
import sys
from drivers.ipam.embedded import EmbeddedIpam
from reconciler.store import Store
url, name, count = sys.argv[1:]
store = Store.open(url)
ipam = EmbeddedIpam(store.engine)
sys.stdin.readline()
for number in range(int(count)):
    print(ipam.acquire("lan", f"{name}-{number}"), flush=True)
    if number % 3 == 0:
        ipam.release(f"{name}-{number}")
store.close()
"""


@pytest.fixture
def engine(store: Store) -> Engine:
    return store.engine


def check(engine: Engine) -> None:
    """What is free and held is together what each prefix may hand out: nothing lost, doubled, reserved or outside."""
    with engine.connect() as connection:
        for prefix, network, declared in connection.execute(
            text("SELECT id, network, declared FROM ipam_prefix")
        ).all():
            ask = {"prefix": prefix}
            free = connection.execute(text("SELECT lo, hi FROM ipam_free WHERE prefix = :prefix"), ask).all()
            held = connection.execute(text("SELECT address FROM ipam_allocation WHERE prefix = :prefix"), ask).scalars()
            parts = [(int.from_bytes(lo), int.from_bytes(hi)) for lo, hi in free]
            assert joined(parts) == sorted(parts), f"{network}: free intervals touch or overlap"
            parts += [(int.from_bytes(address),) * 2 for address in held]
            ordered = sorted(parts)
            for (_, hi), (lo, _) in pairwise(ordered):
                assert hi < lo, f"{network}: {text_of(lo)} is there twice"
            usable = parse_prefix(msgspec.json.decode(declared, type=Prefix)).usable
            assert joined(parts) == list(usable), f"{network}: {parts} is not {usable}"


class Model:
    """The promises, the slow way: sets of addresses."""

    def __init__(self) -> None:
        self.networks: dict[str, tuple[Prefix, ...]] = {}
        self.held: dict[str, tuple[str, str]] = {}

    def usable(self, prefix: Prefix) -> list[str]:
        network = ip_network(prefix.cidr)
        every = {str(address) for address in network}
        ends = {str(network[0]), str(network[-1])} if network.version == 4 else {str(network[0])}
        if network.prefixlen >= network.max_prefixlen - 1:
            ends = set()
        return sorted(every - ends - set(prefix.reserved), key=ip_address)

    def free(self, name: str, family: int | None) -> list[str]:
        taken = {address for _, address in self.held.values()}
        prefixes = [p for p in self.networks[name] if family in (None, ip_network(p.cidr).version)]
        return [address for prefix in prefixes for address in self.usable(prefix) if address not in taken]

    def may_become(self, name: str, prefixes: tuple[Prefix, ...]) -> bool:
        ours = [ip_network(prefix.cidr) for prefix in prefixes]
        others = [ip_network(p.cidr) for other, ps in self.networks.items() if other != name for p in ps]
        pairs = [(one, two) for index, one in enumerate(ours) for two in [*ours[index + 1 :], *others]]
        if any(one.version == two.version and one.overlaps(two) for one, two in pairs):
            return False
        usable = {address for prefix in prefixes for address in self.usable(prefix)}
        return all(address in usable for network, address in self.held.values() if network == name)


NAMES = st.sampled_from(["lan", "dmz"])
OWNERS = st.sampled_from([f"o{number}" for number in range(8)])
ADDRESSES = st.sampled_from([*map(str, ip_network("10.0.0.0/28")), *map(str, ip_network("2001:db8::/125"))])
CIDRS = st.sampled_from(
    [
        *("10.0.0.0/28", "10.0.0.0/29", "10.0.0.8/29", "10.0.0.0/30", "10.0.0.8/31", "10.0.0.14/32"),
        *("2001:db8::/126", "2001:db8::4/126", "2001:db8::/125", "2001:db8::6/127"),
    ]
)


@st.composite
def prefixes(draw: st.DrawFn) -> tuple[Prefix, ...]:
    cidrs = draw(st.lists(CIDRS, max_size=3, unique=True))
    return tuple(
        Prefix(cidr, tuple(draw(st.lists(st.sampled_from([*map(str, ip_network(cidr))]), max_size=2))))
        for cidr in cidrs
    )


class AgainstTheModel(RuleBasedStateMachine):
    engine: Engine

    def __init__(self) -> None:
        super().__init__()
        self.ipam, self.model = EmbeddedIpam(self.engine), Model()

    @initialize()
    def begin(self) -> None:
        with self.engine.begin() as connection:
            for table in TABLES:
                connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608  our own names
        self.put("lan", (Prefix("10.0.0.0/28"), Prefix("2001:db8::/126")))

    @rule(name=NAMES, wanted=prefixes())
    def put(self, name: str, wanted: tuple[Prefix, ...]) -> None:
        if self.model.may_become(name, wanted):
            self.ipam.put_network(name, wanted)
            self.model.networks[name] = wanted
        else:
            with pytest.raises(Conflict):
                self.ipam.put_network(name, wanted)

    @rule(name=NAMES)
    def drop(self, name: str) -> None:
        if any(network == name for network, _ in self.model.held.values()):
            with pytest.raises(Conflict):
                self.ipam.drop_network(name)
        else:
            self.ipam.drop_network(name)
            self.model.networks.pop(name, None)

    @rule(name=NAMES, owner=OWNERS, family=st.sampled_from([None, None, 4, 6]))
    def acquire_lowest(self, name: str, owner: str, family: int | None) -> None:
        if owner in self.model.held:
            network, address = self.model.held[owner]
            if network == name and family in (None, ip_address(address).version):
                assert self.ipam.acquire(name, owner, family=family) == address
            else:
                with pytest.raises(Conflict):
                    self.ipam.acquire(name, owner, family=family)
        elif name not in self.model.networks:
            with pytest.raises(Rejected):
                self.ipam.acquire(name, owner, family=family)
        elif free := self.model.free(name, family):
            assert self.ipam.acquire(name, owner, family=family) == free[0]
            self.model.held[owner] = (name, free[0])
        else:
            with pytest.raises(Exhausted):
                self.ipam.acquire(name, owner, family=family)

    @rule(name=NAMES, owner=OWNERS, address=ADDRESSES)
    def acquire_this(self, name: str, owner: str, address: str) -> None:
        if name not in self.model.networks and owner not in self.model.held:
            with pytest.raises(Rejected):
                self.ipam.acquire(name, owner, address=address)
        elif self.model.held.get(owner, (name, address)) == (name, address) and (
            owner in self.model.held or address in self.model.free(name, None)
        ):
            assert self.ipam.acquire(name, owner, address=address) == address
            self.model.held[owner] = (name, address)
        else:
            with pytest.raises(Conflict):
                self.ipam.acquire(name, owner, address=address)

    @precondition(lambda self: self.model.held)
    @rule(index=st.integers(0, 7))
    def release(self, index: int) -> None:
        owner = sorted(self.model.held)[index % len(self.model.held)]
        self.ipam.release(owner)
        del self.model.held[owner]

    @rule(owner=OWNERS)
    def release_held_or_not(self, owner: str) -> None:
        self.ipam.release(owner)
        self.model.held.pop(owner, None)

    @invariant()
    def agrees(self) -> None:
        check(self.engine)
        assert {one.owner: (one.network, one.address) for one in self.ipam.list()} == self.model.held
        assert self.ipam.networks() == self.model.networks


def test_every_sequence_of_calls_does_what_the_model_does(engine: Engine) -> None:
    machine = type("Machine", (AgainstTheModel,), {"engine": engine})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=50, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_released_addresses_join_their_neighbours_in_whatever_order(engine: Engine) -> None:
    ipam = EmbeddedIpam(engine)
    ipam.put_network("lan", [Prefix("10.0.0.0/29")])
    for order in permutations(range(1, 5)):
        for number in order:
            ipam.acquire("lan", f"o{number}", address=f"10.0.0.{number}")
            check(engine)
        for number in order:
            ipam.release(f"o{number}")
            check(engine)


def test_processes_that_acquire_at_once_share_out_the_network(store: Store, store_url: str) -> None:
    EmbeddedIpam(store.engine).put_network("lan", [Prefix("10.0.0.0/24"), Prefix("2001:db8::/64")])
    with workers(store_url, count=150) as processes:
        for process in processes:
            go(process)
        printed = [process.communicate()[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert [len(addresses) for addresses in printed] == [150, 150]
    assert len(EmbeddedIpam(store.engine).list(network="lan")) == 200
    check(store.engine)


def test_kill_9_loses_and_doubles_nothing(store: Store, store_url: str) -> None:
    ipam = EmbeddedIpam(store.engine)
    ipam.put_network("lan", [Prefix("10.0.0.0/16")])
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
    ipam.put_network("lan", [Prefix("10.0.0.0/24")])
    with ThreadPoolExecutor(6) as pool:
        got = set(pool.map(lambda _: ipam.acquire("lan", "a"), range(30)))
    assert got == {"10.0.0.1"}
    check(store.engine)


def test_one_owner_in_two_networks_at_once_gets_one_address(store: Store) -> None:
    ipam = EmbeddedIpam(store.engine)
    ipam.put_network("lan", [Prefix("10.0.0.0/24")])
    ipam.put_network("dmz", [Prefix("10.0.1.0/24")])

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
            ipam.put_network(f"n{number}", [Prefix("10.0.0.0/24"), Prefix(f"10.1.{number}.0/24")])
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(put, range(12))) == 1
    assert len(ipam.networks()) == 1


@pytest.mark.parametrize("empty_store_url", ["postgresql"], indirect=True)
def test_postgresql_itself_refuses_prefixes_that_overlap(engine: Engine) -> None:
    insert = text(
        "INSERT INTO ipam_prefix (network, position, family, cidr, lo, hi, declared) "
        "VALUES ('lan', 0, 4, :cidr, '', '', '{}')"
    )
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO ipam_network (name) VALUES ('lan')"))
        connection.execute(insert, {"cidr": "10.0.0.0/8"})
    with engine.connect() as connection:
        connection.execute(insert, {"cidr": "10.1.0.0/16"})
        with pytest.raises(IntegrityError, match="exclusion constraint"):
            connection.commit()


def test_a_full_disk_is_told_and_changes_nothing(migrated_file: Path, tmp_path: Path) -> None:
    path = shutil.copy(migrated_file, tmp_path / "state.db")
    engine = create_engine(f"sqlite:///{path}")
    ipam = EmbeddedIpam(engine)
    ipam.put_network("lan", [Prefix("10.0.0.0/16")])

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
            EmbeddedIpam(engine).put_network("lan", [])
    engine.dispose()


def test_a_server_that_cannot_be_reached_is_unreachable_and_nothing_was_sent() -> None:
    ipam = EmbeddedIpam(create_engine("postgresql+psycopg://u@127.0.0.1:1/d"))
    with pytest.raises(Unreachable, match="cannot be opened") as caught:
        ipam.acquire("lan", "a")
    assert not caught.value.maybe_sent


@pytest.mark.parametrize("empty_store_url", ["postgresql"], indirect=True)
def test_a_connection_that_breaks_may_have_sent_and_the_next_call_finds_a_new_one(store: Store, store_url: str) -> None:
    ipam = EmbeddedIpam(store.engine)
    ipam.put_network("lan", [Prefix("10.0.0.0/24")])
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
    with pytest.raises(Rejected, match="has no IPAM in it"):
        EmbeddedIpam(engine).acquire("lan", "a")
    engine.dispose()


@contextmanager
def workers(url: str, count: int, names: Sequence[str] = ("a", "b")) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that open the store and, once told to go, acquire and partly release in a loop."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", WORKER, url, name, str(count)],
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
