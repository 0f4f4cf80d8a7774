"""The IPAM that comes with groundstate: its own tables in the store's database, on SQLite or PostgreSQL.

An allocation is a row (owner, address); what is free is a row an interval. Lowest free is the first interval's lower
end, a given address splits an interval, and a released one joins its neighbours: a handful of look-ups in an index
each, whatever is held. What is reserved is in no interval. On PostgreSQL acquire and release are functions in the
database (made by the migrations), one round trip each; on SQLite they are the same steps below.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec
from sqlalchemy import Engine

from drivers.base import Allocation, Conflict, Exhausted, Prefix, Rejected
from drivers.ipam.addresses import family_of, parse_address, parse_prefix, size, text_of
from drivers.ipam.database import Database, Run
from drivers.ipam.networks import holders, named, put, refuse_own_overlap, rows

Answer = tuple[str, str | None, bytes | None]
"""What became of an acquire: `given`, `held`, `unknown`, `none` or `again`; the network and the address it is about."""

_HOLDING = "SELECT p.network, a.address FROM ipam_allocation a JOIN ipam_prefix p ON p.id = a.prefix WHERE a.owner = ?"

_DECLARED = "SELECT n.name, p.declared FROM ipam_network n LEFT JOIN ipam_prefix p ON p.network = n.name"

_LOWEST = """
    SELECT p.id, f.lo, f.hi FROM ipam_prefix p CROSS JOIN ipam_free f
    WHERE p.network = ?1 AND (?2 IS NULL OR p.family = ?2)
        AND f.prefix = p.id AND f.lo = (SELECT min(lo) FROM ipam_free WHERE prefix = p.id)
    ORDER BY p.position LIMIT 1
"""

_AROUND = """
    SELECT p.id, f.lo, f.hi FROM ipam_prefix p CROSS JOIN ipam_free f
    WHERE p.network = ?1 AND ?2 BETWEEN p.lo AND p.hi AND f.hi >= ?2
        AND f.prefix = p.id AND f.lo = (SELECT max(lo) FROM ipam_free WHERE prefix = p.id AND lo <= ?2)
"""


class EmbeddedIpam:
    """See drivers.base.Ipam. `engine` is of a database that has the tables. Safe for several threads and processes."""

    def __init__(self, engine: Engine) -> None:
        self._database = Database(engine)

    def put_network(self, network: str, prefixes: Sequence[Prefix]) -> None:
        """See Ipam. Raises Rejected for a prefix that cannot be read."""
        blocks = [parse_prefix(prefix) for prefix in prefixes]
        refuse_own_overlap(network, blocks)
        with self._changing(network) as run:
            put(run, network, blocks)

    def drop_network(self, network: str) -> None:
        """See Ipam."""
        with self._changing(network) as run:
            held = holders(run, network)
            if held:
                total = run(
                    "SELECT count(*) FROM ipam_allocation a JOIN ipam_prefix p ON p.id = a.prefix WHERE p.network = ?",
                    network,
                ).fetchone()[0]
                raise Conflict(f"network {network} is in use: {named(held, total)}; release that first")
            run("DELETE FROM ipam_network WHERE name = ?", network)

    def network(self, network: str) -> tuple[Prefix, ...] | None:
        """See Ipam."""
        return self._networks(network).get(network)

    def networks(self) -> dict[str, tuple[Prefix, ...]]:
        """See Ipam."""
        return self._networks(None)

    def acquire(self, network: str, owner: str, *, address: str | None = None, family: int | None = None) -> str:
        """See Ipam. Raises Rejected for a network that is not known, and for what is no address or family."""
        wanted = None if address is None else parse_address(address)
        if family not in (None, 4, 6):
            raise Rejected(f"{family!r} is no address family; 4 and 6 are")
        outcome, where, given = self._acquire(network, owner, wanted, family)
        while outcome == "again":
            outcome, where, given = self._acquire(network, owner, wanted, family)
        if given is None:
            raise self._why_not(network, wanted, family, known=outcome != "unknown")
        number = int.from_bytes(given)
        if where != network or wanted not in (None, number) or family not in (None, family_of(number)):
            raise Conflict(f"{owner} holds {text_of(number)} in network {where} already; release that first")
        return text_of(number)

    def release(self, owner: str) -> None:
        """See Ipam."""
        if self._database.sqlite:
            with self._database.transaction() as run:
                _release(run, owner)
        else:
            with self._database.statements() as run:
                run("SELECT ipam_release(?)", owner)

    def holding(self, owner: str) -> Allocation | None:
        """See Ipam."""
        with self._database.statements() as run:
            row = run(_HOLDING, owner).fetchone()
        return Allocation(owner, row[0], text_of(int.from_bytes(row[1]))) if row else None

    def list(self, *, network: str | None = None) -> list[Allocation]:
        """See Ipam."""
        statement = """
            SELECT a.owner, p.network, a.address FROM ipam_allocation a JOIN ipam_prefix p ON p.id = a.prefix
        """
        with self._database.statements() as run:
            found = run(statement) if network is None else run(f"{statement} WHERE p.network = ?", network)
            return sorted(Allocation(owner, within, text_of(int.from_bytes(a))) for owner, within, a in found)

    @contextmanager
    def _changing(self, network: str) -> Iterator[Run]:
        """A transaction in which nobody else changes any network, or acquires or releases in this one."""
        with self._database.transaction() as run:
            if not self._database.sqlite:
                run("LOCK TABLE ipam_prefix IN SHARE ROW EXCLUSIVE MODE")
                run("SELECT 1 FROM ipam_network WHERE name = ? FOR NO KEY UPDATE", network)
            yield run

    def _networks(self, only: str | None) -> dict[str, tuple[Prefix, ...]]:
        where, values = ("WHERE n.name = ?", [only]) if only is not None else ("", [])
        statement = f"{_DECLARED} {where} ORDER BY n.name, p.position"
        found: dict[str, tuple[Prefix, ...]] = {}
        with self._database.statements() as run:
            for name, declared in run(statement, *values):
                more = (msgspec.json.decode(declared, type=Prefix),) if declared is not None else ()
                found[name] = found.get(name, ()) + more
        return found

    def _acquire(self, network: str, owner: str, wanted: int | None, family: int | None) -> Answer:
        number = None if wanted is None else wanted.to_bytes(16)
        if self._database.sqlite:
            with self._database.transaction() as run:
                return _acquire(run, network, owner, number, family)
        with self._database.statements() as run:
            outcome, where, given = run(
                "SELECT outcome, in_network, given FROM ipam_acquire(?, ?, ?, ?)", network, owner, number, family
            ).fetchone()
        return (outcome, network if outcome == "given" else where, given)

    def _why_not(self, network: str, wanted: int | None, family: int | None, *, known: bool) -> Exception:
        """The refusal, in words. Looked up afterwards: by now it may be different, which the next try will show."""
        if not known:
            return Rejected(f"network {network} is not in the IPAM; put it there first")
        with self._database.statements() as run:
            blocks = [row.block for row in rows(run, network) if family in (None, row.block.family)]
            held = [] if wanted is None else holders(run, network, [(wanted, wanted)])
        prefixes = ", ".join(block.cidr for block in blocks) or "none"
        if wanted is None:
            kind = f"IPv{family} address" if family else "address"
            total = sum(size(block.usable) for block in blocks)
            return Exhausted(
                f"network {network} has no free {kind}: all {total} of its prefixes ({prefixes}) are held; "
                "release some, or add a prefix"
            )
        if held:
            return Conflict(f"{text_of(wanted)} in network {network} is held by {held[0][0]}; ask for another address")
        if any(block.lo <= wanted <= block.hi for block in blocks):
            return Conflict(f"{text_of(wanted)} in network {network} is reserved; ask for another address")
        return Conflict(f"{text_of(wanted)} is outside of network {network}, whose prefixes are: {prefixes}")


def _acquire(run: Run, network: str, owner: str, wanted: bytes | None, family: int | None) -> Answer:
    """On SQLite, what the function `ipam_acquire` does on PostgreSQL."""
    held = run(_HOLDING, owner).fetchone()
    if held:
        return "held", held[0], held[1]
    best = run(_LOWEST, network, family) if wanted is None else run(_AROUND, network, wanted)
    row = best.fetchone()
    if row is None:
        known = run("SELECT 1 FROM ipam_network WHERE name = ?", network).fetchone()
        return "none" if known else "unknown", None, None
    prefix, low, high = row
    given = low if wanted is None else wanted
    run("INSERT INTO ipam_allocation (owner, prefix, address) VALUES (?, ?, ?)", owner, prefix, given)
    if low < given:
        run("UPDATE ipam_free SET hi = ? WHERE prefix = ? AND lo = ?", _step(given, -1), prefix, low)
        if given < high:
            run("INSERT INTO ipam_free (prefix, lo, hi) VALUES (?, ?, ?)", prefix, _step(given, 1), high)
    elif given < high:
        run("UPDATE ipam_free SET lo = ? WHERE prefix = ? AND lo = ?", _step(given, 1), prefix, low)
    else:
        run("DELETE FROM ipam_free WHERE prefix = ? AND lo = ?", prefix, low)
    return "given", network, given


def _release(run: Run, owner: str) -> None:
    """On SQLite, what the function `ipam_release` does on PostgreSQL."""
    gone = run("DELETE FROM ipam_allocation WHERE owner = ? RETURNING prefix, address", owner).fetchall()
    if not gone:
        return
    prefix, freed = gone[0]
    after = run("DELETE FROM ipam_free WHERE prefix = ? AND lo = ? RETURNING hi", prefix, _step(freed, 1)).fetchall()
    high = after[0][0] if after else freed
    below = run("SELECT lo, hi FROM ipam_free WHERE prefix = ? AND lo < ? ORDER BY lo DESC LIMIT 1", prefix, freed)
    before = below.fetchone()
    if before and before[1] == _step(freed, -1):
        run("UPDATE ipam_free SET hi = ? WHERE prefix = ? AND lo = ?", high, prefix, before[0])
    else:
        run("INSERT INTO ipam_free (prefix, lo, hi) VALUES (?, ?, ?)", prefix, freed, high)


def _step(address: bytes, by: int) -> bytes | None:
    """The address after or before; None past the ends."""
    number = int.from_bytes(address) + by
    return number.to_bytes(16) if 0 <= number < 2**128 else None
