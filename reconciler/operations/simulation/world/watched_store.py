"""The store of the simulated daemons: what is seen of it, its backups, and how one is put back."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import msgspec

from drivers.ipam.embedded.embedded import EmbeddedIpam
from drivers.ipam.embedded.embedded_pools import EmbeddedPools
from reconciler.kinds.common.machine_facts import all_machine_facts
from reconciler.model.event import Event
from reconciler.operations.simulation.verdict.claims_record import Installation, SeenAllocations
from reconciler.store import Store

_ALL = 1_000_000
_KEPT = ("event", "repeat", "override", "pause", "restart_request")


class WatchedStore:
    """`file`: of SQLite. `store`: open to be read. `lost`: the events that a restored backup did not have."""

    def __init__(self, file: Path) -> None:
        self.file, self.lost = file, list[Event]()
        self._backups: list[tuple[float, Path]] = []
        self._open()

    def _open(self) -> None:
        self.store = Store.open(f"sqlite:///{self.file}")
        self._ipam, self._pools = EmbeddedIpam(self.store.engine), EmbeddedPools(self.store.engine)

    def close(self) -> None:
        """Close it."""
        self.store.close()

    def events(self) -> tuple[Event, ...]:
        """The ledger."""
        return tuple(entry.event for entry in self.store.events(limit=_ALL))

    def allocations(self, at: float, systems: Mapping[str, Installation]) -> SeenAllocations:
        """What is allocated now. `systems`: what runs."""
        facts = all_machine_facts(self.store.facts())
        slots = {key.name: (one.lifecycle.claim, one.lifecycle.slot or 0) for key, one in facts.items()}
        return SeenAllocations(
            at,
            {name: (claim, slot) for name, (claim, slot) in slots.items() if claim is not None},
            tuple((one.owner, one.network, one.address) for one in self._ipam.list()),
            tuple((one.owner, one.pool, one.number) for one in self._pools.numbers()),
            systems,
        )

    def rows(self) -> dict[str, int]:
        """How many rows each table has, without the ledger and what people asked for, which is kept for a month."""
        with closing(sqlite3.connect(self.file)) as file:
            tables = [name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            rows = {name: file.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables}  # noqa: S608
        return {f"rows of {name}": count for name, count in rows.items() if name not in _KEPT}

    def back_up(self, at: float) -> None:
        """As `sqlite3 FILE .backup` does."""
        to = self.file.with_name(f"backup-{len(self._backups)}.db")
        with closing(sqlite3.connect(self.file)) as source, closing(sqlite3.connect(to)) as target:
            source.backup(target)
        self._backups.append((at, to))

    def put_back(self, before: float) -> None:
        """Put the newest backup in place that is from before that time, or else the oldest. No daemon may run."""
        _, backup = next((one for one in reversed(self._backups) if one[0] <= before), self._backups[0])
        known = {entry.seq: entry.event for entry in self.store.events(limit=_ALL)}
        self.store.close()
        for old in (self.file, *(self.file.with_name(f"{self.file.name}-{ending}") for ending in ("wal", "shm"))):
            old.unlink(missing_ok=True)
        with closing(sqlite3.connect(backup)) as source, closing(sqlite3.connect(self.file)) as target:
            source.backup(target)
        self._open()
        kept = {(entry.seq, entry.event.at): entry.event.count for entry in self.store.events(limit=_ALL)}
        for seq, event in known.items():
            if (more := event.count - kept.get((seq, event.at), 0)) > 0:
                self.lost.append(msgspec.structs.replace(event, count=more))
