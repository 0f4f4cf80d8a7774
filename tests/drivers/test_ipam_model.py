"""The embedded IPAM and its pools against a plain model, with crashes between any two statements.

After a crash the call happened whole or not at all: which, is found by looking. After each step what stands in the
database is what the model says, and no rule of the tables is broken.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import Engine, text

from drivers.base import NO_ABOUT, About, DriverError, IntegerRange, IpamNetwork, Prefix
from drivers.ipam.embedded.embedded import EmbeddedIpam
from drivers.ipam.embedded.embedded_pools import EmbeddedPools
from reconciler.store import Store
from tests.drivers.ipam_crashes import Crash, CrashingDatabase
from tests.drivers.ipam_model import State

TABLES = ("ipam_allocation", "ipam_free", "ipam_block", "ipam_prefix", "ipam_network")
SEQUENCES = {"sqlite": 60, "postgresql": 20}
"""On each; there are few differences between the two, and PostgreSQL takes three times as long."""
SETTINGS = settings(stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))

V4, V6 = ip_network("10.0.0.0/27"), ip_network("2001:db8::/125")
WHOLE = [*map(str, V4.subnets()), str(V6)]
CIDRS = [str(part) for whole in (V4, V6) for more in range(4) for part in whole.subnets(prefixlen_diff=more)]
SMALL = [str(part) for part in (*V4.subnets(new_prefix=31), *V6.subnets(new_prefix=128))][::3]
ADDRESSES = st.sampled_from([*map(str, V4), *map(str, V6)])
CONTAINERS = st.sampled_from(["super", "mid"])
PLAIN = st.sampled_from(["a", "b", "c"])
NAMES = PLAIN | CONTAINERS
OWNERS = st.sampled_from([f"o{number}" for number in range(6)])
POOLS = st.sampled_from(["super", "vrf"])
ABOUTS = st.sampled_from([NO_ABOUT, About(ephemeral=True), About(dns_name="a.example.org", tags=("x",), project="p")])
FAMILIES = st.sampled_from([None, None, 4, 6])
LENGTHS = st.dictionaries(st.just(4), st.integers(27, 32)) | st.fixed_dictionaries(
    {4: st.integers(28, 31), 6: st.integers(126, 128)}
)
CRASHES = st.none() | st.none() | st.none() | st.tuples(st.integers(0, 20), st.booleans())


NAMESPACES = st.sampled_from(["", "red"])
WAYS = ("grow", "split", "halve", "reserve", "free", "turn")


@st.composite
def prefixes(draw: st.DrawFn) -> tuple[Prefix, ...]:
    cidrs = draw(st.lists(st.sampled_from(CIDRS) | st.sampled_from(SMALL), max_size=3, unique=True))
    return tuple(Prefix(cidr, tuple(draw(st.lists(reserved(cidr), max_size=1)))) for cidr in cidrs)


def reserved(cidr: str) -> st.SearchStrategy[str]:
    network = ip_network(cidr)
    lengths = range(network.prefixlen + 1, network.max_prefixlen + 1)
    return st.sampled_from([str(part) for length in lengths for part in network.subnets(new_prefix=length)] or [cidr])


RANGES = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 4)).map(lambda p: IntegerRange(p[0], sum(p))), max_size=3
)


class AgainstTheModel(RuleBasedStateMachine):
    engine: Engine

    def __init__(self) -> None:
        super().__init__()
        self.database = CrashingDatabase(self.engine)
        self.ipam, self.pools = EmbeddedIpam(self.engine), EmbeddedPools(self.engine)
        self.ipam._database = self.pools._database = self.database
        self.state = State()

    def teardown(self) -> None:
        self.engine.dispose()

    @initialize()
    def begin(self) -> None:
        with self.engine.begin() as connection:
            for table in TABLES:
                connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608  our own names
        self.put("super", IpamNetwork(tuple(map(Prefix, WHOLE)), container=True), {}, None)
        for name in ("a", "mid", "b"):
            self.put(name, IpamNetwork(parent="super", container=name == "mid"), {4: 29}, None)

    @rule(
        name=NAMES,
        wanted=st.builds(
            IpamNetwork,
            prefixes=prefixes(),
            parent=st.none() | CONTAINERS,
            namespace=NAMESPACES,
            container=st.booleans(),
            shared=st.booleans(),
        ),
        lengths=st.just({}) | LENGTHS,
        crash=CRASHES,
    )
    def put(self, name: str, wanted: IpamNetwork, lengths: dict[int, int], crash: Any) -> None:
        got = self.call(
            crash, lambda: self.ipam.put_network(name, wanted, lengths), lambda: self.state.put(name, wanted, lengths)
        )
        assert got in (None, self.state.networks.get(name))

    @rule(name=NAMES, lengths=LENGTHS, parent=CONTAINERS, container=st.booleans(), anew=st.booleans(), crash=CRASHES)
    def put_child(
        self, name: str, lengths: dict[int, int], parent: str, container: bool, anew: bool, crash: Any
    ) -> None:
        """A child whose prefixes are chosen; `anew`: the one that there is goes before, if it can."""
        if name != "super":
            if anew:
                self.drop(name, None)
            self.put(name, IpamNetwork(parent=parent, container=container), lengths, crash)

    @rule(name=NAMES, index=st.integers(0, 2), way=st.sampled_from(WAYS), beside=st.booleans(), crash=CRASHES)
    def reshape(self, name: str, index: int, way: str, beside: bool, crash: Any) -> None:
        """A network that there is changes one of its prefixes, and stays where it is; a child may choose one beside."""
        before = self.state.networks.get(name)
        if before is None or not before.prefixes:
            return
        prefixes = list(before.prefixes)
        at = index % len(prefixes)
        part = ip_network(prefixes[at].cidr)
        lengths = {part.version: part.prefixlen} if beside and before.parent is not None else {}
        prefixes[at : at + 1] = _reshaped(prefixes[at], way)
        if way == "turn":
            prefixes.reverse()
        self.put(name, msgspec.structs.replace(before, prefixes=tuple(prefixes)), lengths, crash)

    @rule(name=NAMES, parent=st.none() | CONTAINERS, namespace=NAMESPACES, choose=st.booleans(), crash=CRASHES)
    def move(self, name: str, parent: str | None, namespace: str, choose: bool, crash: Any) -> None:
        """One that there is goes elsewhere; its prefixes go along as declared ones, or as such that were chosen."""
        before = self.state.networks.get(name, IpamNetwork())
        lengths = {}
        if choose and parent is not None:
            parts = [ip_network(prefix.cidr) for prefix in before.prefixes]
            lengths = {part.version: part.prefixlen for part in parts}
        wanted = msgspec.structs.replace(
            before,
            parent=parent,
            namespace=namespace if parent is None else "",
            prefixes=() if lengths else before.prefixes,
        )
        self.put(name, wanted, lengths, crash)

    @rule(name=NAMES, crash=CRASHES)
    def flip(self, name: str, crash: Any) -> None:
        """A container becomes a plain network, or the other way round."""
        before = self.state.networks.get(name, IpamNetwork())
        self.put(name, msgspec.structs.replace(before, container=not before.container), {}, crash)

    @rule(name=NAMES, crash=CRASHES)
    def drop(self, name: str, crash: Any) -> None:
        self.call(crash, lambda: self.ipam.drop_network(name), lambda: self.state.drop(name))

    @rule(name=NAMES, owner=OWNERS, family=FAMILIES, about=ABOUTS, crash=CRASHES)
    def acquire(self, name: str, owner: str, family: int | None, about: About, crash: Any) -> None:
        got = self.call(
            crash,
            lambda: self.ipam.acquire(name, owner, family=family, about=about),
            lambda: self.state.acquire(name, owner, None, family, about),
        )
        assert got is None or got == self.state.held[owner].address

    @rule(name=NAMES, owner=OWNERS, address=ADDRESSES, about=ABOUTS, crash=CRASHES)
    def acquire_this(self, name: str, owner: str, address: str, about: About, crash: Any) -> None:
        self.call(
            crash,
            lambda: self.ipam.acquire(name, owner, address=address, about=about),
            lambda: self.state.acquire(name, owner, address, None, about),
        )

    @rule(owner=OWNERS, about=ABOUTS, crash=CRASHES)
    def describe(self, owner: str, about: About, crash: Any) -> None:
        self.call(crash, lambda: self.ipam.describe(owner, about), lambda: self.state.describe(owner, about))

    @rule(owner=OWNERS, to=OWNERS, crash=CRASHES)
    def transfer(self, owner: str, to: str, crash: Any) -> None:
        self.call(crash, lambda: self.ipam.transfer(owner, to), lambda: self.state.transfer(owner, to))

    @rule(owner=OWNERS, crash=CRASHES)
    def release(self, owner: str, crash: Any) -> None:
        self.call(crash, lambda: self.ipam.release(owner), lambda: self.state.release(owner))

    @rule(pool=POOLS, ranges=RANGES, crash=CRASHES)
    def put_pool(self, pool: str, ranges: list[IntegerRange], crash: Any) -> None:
        self.call(crash, lambda: self.pools.put_pool(pool, ranges), lambda: self.state.put_pool(pool, ranges))

    @rule(pool=POOLS, crash=CRASHES)
    def drop_pool(self, pool: str, crash: Any) -> None:
        self.call(crash, lambda: self.pools.drop_pool(pool), lambda: self.state.drop_pool(pool))

    @rule(pool=POOLS, owner=OWNERS, number=st.none() | st.integers(0, 16), ephemeral=st.booleans(), crash=CRASHES)
    def take(self, pool: str, owner: str, number: int | None, ephemeral: bool, crash: Any) -> None:
        self.call(
            crash,
            lambda: self.pools.acquire_number(pool, owner, number=number, ephemeral=ephemeral),
            lambda: self.state.take(pool, owner, number, ephemeral=ephemeral),
        )

    @rule(owner=OWNERS, crash=CRASHES)
    def give_back(self, owner: str, crash: Any) -> None:
        self.call(crash, lambda: self.pools.release_number(owner), lambda: self.state.give_back(owner))

    def call(self, crash: tuple[int, bool] | None, real: Callable[[], Any], model: Callable[[], State]) -> Any:
        """Do both; what the real one returned, None when it crashed or refused."""
        after, refusal = _expected(self.state, model)
        if crash is not None:
            self.database.after, self.database.done = crash
        try:
            result, refused = real(), None
        except DriverError as error:
            result, refused = None, error
        except Crash:
            seen = self.look()
            assert seen in (self.state, after), f"{seen} is neither {self.state} nor {after}"
            self.state = seen
            return None
        finally:
            self.database.after = None
        assert (refused is None) == (refusal is None), f"{refused!r}, and {refusal!r} was to be expected"
        self.state = after
        return result

    def look(self) -> State:
        return State(
            self.ipam.networks(),
            {one.owner: one for one in self.ipam.list()},
            {
                name: frozenset(number for one in pool.ranges for number in range(one.first, one.last + 1))
                for name, pool in self.pools.pools().items()
            },
            {one.owner: one for one in self.pools.numbers()},
        )

    @invariant()
    def agrees(self) -> None:
        assert self.ipam.check() == []
        assert self.look() == self.state
        assert [msgspec.structs.replace(one, free_prefixes=()) for one in self.ipam.usage()] == self.state.usage()


def _reshaped(prefix: Prefix, way: str) -> list[Prefix]:
    part = ip_network(prefix.cidr)
    halves = [str(half) for half in part.subnets()] if part.prefixlen < part.max_prefixlen else [prefix.cidr]
    match way:
        case "grow":
            return [Prefix(str(part.supernet()), prefix.reserved)]
        case "split":
            return [Prefix(half) for half in reversed(halves)]
        case "halve":
            return [Prefix(halves[-1])]
        case "reserve":
            return [Prefix(prefix.cidr, (str(part[-1]),))]
        case "free":
            return [Prefix(prefix.cidr)]
        case _:
            return [prefix]


def _expected(state: State, model: Callable[[], State]) -> tuple[State, DriverError | None]:
    try:
        return model(), None
    except DriverError as error:
        return state, error


def test_every_sequence_of_calls_and_crashes_does_what_the_model_does(store: Store) -> None:
    machine = type("Machine", (AgainstTheModel,), {"engine": store.engine})
    run_state_machine_as_test(machine, settings=settings(SETTINGS, max_examples=SEQUENCES[store.engine.dialect.name]))
