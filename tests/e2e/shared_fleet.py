"""A fleet that several daemons share: a desk with a store on PostgreSQL, and simulated BMCs of which each write is
counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from msgspec.structs import replace

from drivers.base import PowerState
from drivers.bmc.simulator.bmc_profile import built_in_profile
from drivers.bmc.simulator.simulated_system import PowerLag
from tests.drivers.bmc_servers import LOGIN
from tests.drivers.served_bmcs import ServedBmcs, served
from tests.e2e.desk import Desk, document, machine, until

SECONDS = 0.3
"""That a power change takes."""
LOST_PATIENCE = 100.0
"""An action whose sender was lost is repeated after 20 s and two looks, which come after the end of a lease."""


class SharedFleet:
    """Machines m00001, m00002 and so on, in partitions one after another."""

    def __init__(self, desk: Desk, url: str, bmcs: ServedBmcs, partitions: Sequence[str]) -> None:
        self.desk, self.bmcs, self._url, self._partitions = desk, bmcs, url, partitions
        self.own: set[str] = set()
        """The partitions with daemons of their own."""
        desk.environment |= {
            "GROUNDSTATE_STORE": url,
            "LAB_BMC_USERNAME": LOGIN.username,
            "LAB_BMC_PASSWORD": LOGIN.password,
        }
        desk.secrets.add(LOGIN.password)
        desk.allow("lab", "LAB_BMC")

    @property
    def machines(self) -> dict[str, str]:
        """The partition of each machine."""
        count = len(self.bmcs.fleet.bmcs)
        return {f"m{number + 1:05}": self._partitions[number % len(self._partitions)] for number in range(count)}

    def declare(self, power: str) -> str:
        """Commit that all machines have this power; returns the commit."""
        return self.declare_each(f"All {power}", {name: {"power": power} for name in self.machines})

    def declare_each(self, subject: str, specs: Mapping[str, Mapping[str, Any]]) -> str:
        """Commit what is in the spec of each machine beside its place; returns the commit."""
        bmc = {"credentialRef": {"name": "lab"}, "tls": {"fingerprint": self.bmcs.fingerprint}}
        documents = [
            document("Partition", name, bmc=bmc, **({"ownWorkers": True} if name in self.own else {}))
            for name in self._partitions
        ]
        for number, (name, partition) in enumerate(self.machines.items()):
            shutdown = {"escalate": "Force", "timeoutSeconds": 30}
            one = machine(name, self.bmcs.listen.url(number), shutdown=shutdown, **specs[name])
            one["spec"]["partition"] = partition
            documents.append(one)
        return self.desk.commit(subject, fleet=documents)

    def daemon(self, host: str, *options: str, **changes: Any) -> Any:
        """A daemon on a host of this name, which shares a fleet of any size."""
        usual = ("--share-above", "0", "--max-disrupted", "100%", "--lease", "3")
        return self.desk.daemon(*usual, *options, host=host, **changes)

    def resets(self) -> Counter[str]:
        """How many writes of the power of each machine have arrived."""
        with self.bmcs.fleet.lock:
            return Counter(one.machine for one in self.bmcs.fleet.writes if one.path.endswith(".Reset"))

    def switch_off_by_hand(self, name: str) -> None:
        """Somebody presses the button of the machine."""
        with self.bmcs.fleet.lock:
            self.bmcs.fleet.switch_by_hand(list(self.machines).index(name), PowerState.OFF)

    def is_all(self, power: str, partition: str | None = None) -> bool:
        """Whether the machines have this power, and nothing is in flight."""
        bmcs = zip(self.machines.items(), self.bmcs.fleet.bmcs, strict=True)
        wanted = (bmc for (_, place), bmc in bmcs if partition in (None, place))
        return all(bmc.systems[0].state.power is PowerState(power) for bmc in wanted) and not self.in_flight()

    def in_flight(self) -> set[str]:
        """The names of the actions in flight."""
        return {row[0] for row in self.rows("SELECT action_id FROM in_flight")}

    def owners(self) -> Mapping[str | None, int]:
        """How many shards each daemon attends to, by its host; None: those that the one that decides keeps."""
        rows = self.rows("""
            SELECT shard.owner FROM shard LEFT JOIN worker ON worker.name = shard.owner AND ends_at > clock_timestamp()
            WHERE shard.owner IS NULL OR worker.name IS NOT NULL
        """)
        return Counter(None if owner is None else owner.rpartition("/")[0] for (owner,) in rows)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of the store, read without the program."""
        with psycopg.connect(self._url) as database:
            return database.execute(query.encode()).fetchall()

    def until_all(self, power: str, partition: str | None = None) -> None:
        """Wait until the machines have this power."""
        until(
            lambda: self.is_all(power, partition),
            f"all machines are {power}",
            lambda: str(self.resets()),
            LOST_PATIENCE,
        )

    def until_attended(self, *hosts: str) -> None:
        """Wait until daemons on these hosts, and no others, attend to shards."""
        until(lambda: self.owners().keys() - {None} == set(hosts), f"{hosts} attend", lambda: str(self.owners()))


@contextmanager
def shared_fleet(
    desk: Desk, url: str, machines: int = 12, partitions: Sequence[str] = ("lab",), answer_seconds: float = 0.0
) -> Iterator[SharedFleet]:
    """The fleet until the end of the block; all its machines are off. `answer_seconds`: how slow the BMCs are."""
    profile = replace(
        built_in_profile("generic"),
        lag=PowerLag(SECONDS, SECONDS),
        answer_seconds=answer_seconds,
        session_seconds=30.0,  # Those of daemons that were killed end in time.
    )
    with served(profile, machines) as bmcs:
        for number in range(machines):
            bmcs.fleet.switch_by_hand(number, PowerState.OFF)
        yield SharedFleet(desk, url, bmcs, partitions)
