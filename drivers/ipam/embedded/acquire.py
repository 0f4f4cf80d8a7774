"""Acquiring and releasing one number by its owner: an address of a network, or a number of a pool.

Lowest free is the first interval's lower end, a given number splits an interval, and a released one joins its
neighbours. A handful of look-ups in an index each, whatever is held. On PostgreSQL both are functions in the database
(made by the migrations), one round trip each; on SQLite they are the same steps below."""

from __future__ import annotations

from drivers.ipam.statements import IpamDatabase, Run

Acquired = tuple[str, str | None, int | None]
"""What became of an acquire: `given`, `held`, `unknown` or `none`; the network and the number it is about."""

_HOLDING = "SELECT p.network, a.address FROM ipam_allocation a JOIN ipam_prefix p ON p.id = a.prefix WHERE a.owner = ?"

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


def acquire(
    database: IpamDatabase, network: str, owner: str, *, wanted: int | None, family: int | None, about: str | None
) -> Acquired:
    """What the owner holds already, wherever that is. Or else `wanted` or the lowest free number of the network, which
    the owner holds from now on, with `about` said of it."""
    number = None if wanted is None else wanted.to_bytes(16)
    if database.sqlite:
        with database.transaction() as run:
            outcome, where, given = _acquire(run, network, owner, number, family, about)
    else:
        outcome = "again"
        while outcome == "again":
            with database.statements() as run:
                outcome, where, given = run(
                    "SELECT outcome, in_network, given FROM ipam_acquire(?, ?, ?, ?, ?)",
                    network,
                    owner,
                    number,
                    family,
                    about,
                ).fetchone()
    return outcome, where or network, None if given is None else int.from_bytes(given)


def release(database: IpamDatabase, owner: str) -> None:
    """Free what owner holds, if it holds anything."""
    if database.sqlite:
        with database.transaction() as run:
            _release(run, owner)
    else:
        with database.statements() as run:
            run("SELECT ipam_release(?)", owner)


def _acquire(
    run: Run, network: str, owner: str, wanted: bytes | None, family: int | None, about: str | None
) -> tuple[str, str | None, bytes | None]:
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
    run("INSERT INTO ipam_allocation (owner, prefix, address, about) VALUES (?, ?, ?, ?)", owner, prefix, given, about)
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
