"""Pools of whole numbers, on the IPAM's tables: a pool is a network with one row of family 0 in place of prefixes.

Its name, and those of the owners in it, begin with # there, so that no network and no address's owner can be the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Engine

from drivers.base import About, Conflict, Exhausted, IntegerRange, Number, Pool, Prefix, Rejected
from drivers.ipam.addresses import Block, Interval, joined, size, subtract
from drivers.ipam.embedded.acquire import acquire, release
from drivers.ipam.hints import RELEASE_NUMBER
from drivers.ipam.prefix_changes import held_intervals
from drivers.ipam.rows import StoredPrefix, holders_within, listed, refill
from drivers.ipam.statements import IpamDatabase, Run, plain_name

LAST = 2**32 - 1
"""The last number that a pool may have."""

_NO_PREFIX = Prefix("")

_EPHEMERAL = msgspec.json.encode(About(ephemeral=True)).decode()

_NUMBERS = """
    SELECT a.owner, p.network, a.address, a.about FROM ipam_allocation a JOIN ipam_prefix p ON p.id = a.prefix
"""


class EmbeddedPools:
    """See drivers.base.Pools. `engine` is of a database that has the tables. Safe for several threads and processes."""

    def __init__(self, engine: Engine) -> None:
        self._database = IpamDatabase(engine)

    def put_pool(self, pool: str, ranges: Sequence[IntegerRange]) -> None:
        """See Pools. A pool without ranges has no numbers."""
        name = _stored("a pool", pool)
        usable = joined(_interval(pool, one) for one in ranges)
        with self._database.changing(name) as run:
            row = _row(run, name)
            if row is not None and list(row.block.usable) == usable:
                return
            held = held_intervals(run, [row] if row else [])
            _refuse_loss(run, pool, subtract(held, usable))
            block = pool_block(tuple(usable))
            refill(run, _write(run, name, row, usable), block, held, container=False)

    def drop_pool(self, pool: str) -> None:
        """See Pools."""
        name = _stored("a pool", pool)
        with self._database.changing(name) as run:
            row = _row(run, name)
            _refuse_loss(run, pool, held_intervals(run, [row] if row else []))
            run("DELETE FROM ipam_network WHERE name = ?", name)

    def pools(self) -> dict[str, Pool]:
        """See Pools."""
        statement = """
            SELECT p.network, p.declared, (SELECT count(*) FROM ipam_allocation WHERE prefix = p.id)
            FROM ipam_prefix p WHERE p.family = 0
        """
        with self._database.statements() as run:
            found = run(statement).fetchall()
        return {name[1:]: Pool(_ranges(pool_usable(text)), held) for name, text, held in sorted(found)}

    def acquire_number(self, pool: str, owner: str, *, number: int | None = None, ephemeral: bool = False) -> int:
        """See Pools."""
        name, holder = _stored("a pool", pool), _stored("an owner", owner)
        if number is not None and not _whole(number):
            raise Rejected(f"{number!r} is not a number of a pool; write a whole number from 0 to {LAST}")
        outcome, where, given = acquire(
            self._database, name, holder, wanted=number, family=None, about=_EPHEMERAL if ephemeral else None
        )
        if given is None:
            raise self._why_not(pool, number, known=outcome != "unknown")
        if where != name or number not in (None, given):
            raise Conflict(f"{owner} already holds {given} of pool {str(where)[1:]}; {RELEASE_NUMBER}")
        return given

    def release_number(self, owner: str) -> None:
        """See Pools."""
        release(self._database, _stored("an owner", owner))

    def number(self, owner: str) -> Number | None:
        """See Pools."""
        with self._database.statements() as run:
            row = run(f"{_NUMBERS} WHERE a.owner = ?", _stored("an owner", owner)).fetchone()
        return _number(*row) if row else None

    def numbers(self, pool: str | None = None) -> list[Number]:
        """See Pools."""
        with self._database.statements() as run:
            if pool is None:
                found = run(f"{_NUMBERS} WHERE p.family = 0")
            else:
                found = run(f"{_NUMBERS} WHERE p.network = ?", _stored("a pool", pool))
            return sorted(_number(*row) for row in found)

    def _why_not(self, pool: str, number: int | None, *, known: bool) -> Exception:
        """The refusal, in words. Read afterwards, as for an address."""
        name = _stored("a pool", pool)
        with self._database.statements() as run:
            row = _row(run, name) if known else None
            held = [] if number is None else holders_within(run, name, [(number, number)])
        if row is None:
            return Rejected(f"pool {pool} is not in the IPAM; apply the document Pool/{pool} first")
        ranges = ", ".join(f"{lo}-{hi}" for lo, hi in row.block.usable) or "none"
        if number is None:
            count = size(row.block.usable)
            return Exhausted(
                f"pool {pool} has no free number: {count} of {count} numbers are held ({ranges}); remove "
                "documents of numbers that are not needed, or add a range to spec.ranges of the pool"
            )
        if held:
            return Conflict(f"{number} of pool {pool} is held by {held[0][0][1:]}; request another number")
        return Conflict(f"{number} is outside of pool {pool} (ranges: {ranges}); request another number")


def pool_block(usable: tuple[Interval, ...]) -> Block:
    """A pool's numbers, as its row has them."""
    return Block(_NO_PREFIX, "", 0, 0, LAST, usable)


def pool_usable(text: str) -> tuple[Interval, ...]:
    """The intervals that a pool's row declares."""
    return tuple(msgspec.json.decode(text, type=list[Interval]))


def _stored(what: str, name: str) -> str:
    return f"#{plain_name(what, name)}"


def _whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= LAST


def _interval(pool: str, one: IntegerRange) -> Interval:
    if not (_whole(one.first) and _whole(one.last)):
        raise Rejected(f"pool {pool}: {one.first!r}-{one.last!r} is not a range; write whole numbers from 0 to {LAST}")
    if one.first > one.last:
        raise Rejected(f"pool {pool}: the range {one.first}-{one.last} ends before it begins; exchange the two numbers")
    return one.first, one.last


def _row(run: Run, name: str) -> StoredPrefix | None:
    found = run("SELECT id, scope, declared FROM ipam_prefix WHERE network = ?", name).fetchone()
    return StoredPrefix(found[0], found[1], pool_block(pool_usable(found[2]))) if found else None


def _write(run: Run, name: str, row: StoredPrefix | None, usable: list[Interval]) -> int:
    text = msgspec.json.encode(usable).decode()
    if row is not None:
        run("UPDATE ipam_prefix SET declared = ? WHERE id = ?", text, row.id)
        return row.id
    run("INSERT INTO ipam_network (name) VALUES (?) ON CONFLICT (name) DO NOTHING", name)
    statement = """
        INSERT INTO ipam_prefix (network, position, family, scope, lo, hi, declared) VALUES (?, 0, 0, ?, ?, ?, ?)
        RETURNING id
    """
    return int(run(statement, name, name, (0).to_bytes(16), LAST.to_bytes(16), text).fetchone()[0])


def _refuse_loss(run: Run, pool: str, lost: list[Interval]) -> None:
    if lost:
        words = [f"{number} by {owner[1:]}" for owner, number in holders_within(run, f"#{pool}", lost)]
        raise Conflict(
            f"pool {pool}: {listed(words, size(lost))} would be outside of its ranges; keep these numbers in "
            "spec.ranges, or release each number first (remove its document with deletionPolicy: Release)"
        )


def _ranges(usable: Sequence[Interval]) -> tuple[IntegerRange, ...]:
    return tuple(IntegerRange(lo, hi) for lo, hi in usable)


def _number(owner: str, pool: str, number: bytes, about: str | None) -> Number:
    return Number(owner[1:], pool[1:], int.from_bytes(number), about is not None)
