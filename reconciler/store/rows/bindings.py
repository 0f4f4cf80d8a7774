"""The table that holds what facts say of claims once more, with the keys that make a second binding impossible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, Executable, delete, insert, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError

from reconciler.kinds import KINDS, PLACED
from reconciler.kinds.common.fact_rules import FactRules
from reconciler.model.facts import ResourceFacts
from reconciler.model.resource import ResourceKey
from reconciler.store.sql import decoders, tables
from reconciler.store.sql.round_trips import Question, ask
from reconciler.store.sql.row_json import row_json
from reconciler.store.sql.store_errors import AlreadyBound

_Slot = tuple[str, int]
"""A claim, and which of its machines."""

DEADLOCK = "40P01"
"""PostgreSQL's deadlock_detected (its manual, appendix A)."""

_UNKNOWN = FactRules()
"""Of a kind that this program does not know."""

_BOUND = {
    "sqlite": text(
        "SELECT machine, claim, slot FROM binding WHERE machine IN (SELECT value FROM json_each(:machines))"
    ),
    "postgresql": text("""
        SELECT machine, claim, slot FROM binding
        WHERE machine IN (SELECT json_array_elements_text(CAST(:machines AS json)))
    """),
}


def write_bindings(connection: Connection, facts: Mapping[ResourceKey, ResourceFacts | None]) -> None:
    """Make the rows of these machines be what their facts say, in the transaction that writes the facts.

    A machine goes from one slot to another only by way of none, and to none only by being released. Who has not heard
    of a binding cannot write it away. With a claim that gets another name, as the same facts say of it, its machines
    keep their slots. Raises AlreadyBound; the transaction is then lost."""
    change_bindings(connection, facts, ask(connection, {"bound": bound_machines(facts)})["bound"])


def bound_machines(facts: Mapping[ResourceKey, ResourceFacts | None]) -> Question | None:
    """What `change_bindings` has to know; None: nothing."""
    machines = [key.name for key in facts if _rules(key).takes_slots]
    return Question(_BOUND, {"machines": row_json(machines)}) if machines else None


def change_bindings(
    connection: Connection, facts: Mapping[ResourceKey, ResourceFacts | None], rows: Sequence[tuple[str, str, int]]
) -> None:
    """As `write_bindings`. `rows`: the answer to `bound_machines`."""
    bound = {key.name: key for key in facts if _rules(key).takes_slots}
    wanted = {name: _slot(key, facts[key]) for name, key in bound.items()}
    there = {machine: (claim, number) for machine, claim, number in rows}
    names = _renamed(facts)
    for machine, slot in sorted(there.items()):
        claim = wanted[machine]
        if claim is not None and claim != slot and (names.get(slot[0]), slot[1]) == claim:
            _rename(connection, machine, claim)
        elif claim not in (None, slot):
            raise AlreadyBound(_said(machine, slot))
    for machine, slot in there.items():
        if wanted[machine] is None:
            if facts[bound[machine]] is not None and not _leaving(connection, bound[machine]):
                raise AlreadyBound(_said(machine, slot))
            connection.execute(delete(tables.binding).where(tables.binding.c.machine == machine))
    # In one order everywhere, or two that meet would wait for each other.
    for machine, slot in sorted((name, slot) for name, slot in wanted.items() if slot is not None):
        if machine not in there:
            _insert(connection, machine, slot)


def keeps_slot(key: ResourceKey, before: ResourceFacts, after: ResourceFacts) -> bool:
    """Whether facts that follow others at once can be written in their place, as far as bindings are concerned."""
    return _slot(key, before) == _slot(key, after)


def _renamed(facts: Mapping[ResourceKey, ResourceFacts | None]) -> dict[str, str]:
    """The claims that get another name, by the name that goes with this very write."""
    return {
        names[-1]: key.name
        for key, facts_of in facts.items()
        if key.kind in PLACED and facts_of is not None and (names := _rules(key).former_names(facts_of))
        if facts.get(ResourceKey(key.kind, names[-1]), facts_of) is None
    }


def _rename(connection: Connection, machine: str, slot: _Slot) -> None:
    changed = update(tables.binding).where(tables.binding.c.machine == machine).values(claim=slot[0])
    _uniquely(connection, changed, machine, slot)


def _insert(connection: Connection, machine: str, slot: _Slot) -> None:
    row = {"machine": machine, "claim": slot[0], "slot": slot[1]}
    _uniquely(connection, insert(tables.binding).values(row), machine, slot)


def _uniquely(connection: Connection, statement: Executable, machine: str, slot: _Slot) -> None:
    try:
        connection.execute(statement)
    except IntegrityError as error:
        raise AlreadyBound(_said(machine, slot)) from error
    except OperationalError as error:
        # Two keys are unique here, and no one order suits both: of two that wait for each other PostgreSQL ends one.
        if getattr(error.orig, "sqlstate", None) != DEADLOCK:
            raise
        raise AlreadyBound(_said(machine, slot)) from error


def _leaving(connection: Connection, key: ResourceKey) -> bool:
    table = tables.facts
    wanted = select(table.c.value).where(table.c.kind == key.kind, table.c.name == key.name)
    value = connection.execute(wanted).scalar()
    return value is None or _rules(key).leaves_slot(decoders.facts_decoder(key.kind).decode(value))


def _said(machine: str, slot: _Slot) -> str:
    return (
        f"Machine/{machine}, or slot {slot[1]} of MachineClaim/{slot[0]}, was bound by another groundstate "
        "process at the same time; nothing was changed; run `groundstate plan` again"
    )


def _slot(key: ResourceKey, facts: ResourceFacts | None) -> _Slot | None:
    slot = _rules(key).slot(facts) if facts is not None else None
    return (slot.holder.name, slot.number) if slot is not None else None


def _rules(key: ResourceKey) -> FactRules:
    return KINDS[key.kind].fact_rules if key.kind in KINDS else _UNKNOWN
