"""Which fact may come when in a machine's life, and what it makes of it. Pure."""

from __future__ import annotations

from datetime import datetime

import msgspec

from reconciler.kinds.machine.lifecycle import (
    CRASH_LOOP,
    CRASH_STARTS,
    CRASH_WITHIN,
    Stage,
    failed,
    stage,
    words,
)
from reconciler.model.lifecycle_facts import FactType, Life, Purpose, Trouble, Wiped, Written, without_order

INSTALLS_KEPT = 16
"""Each attempt empties the disk that it writes to, so that older ones leave nothing."""
EXPECTED: dict[FactType, frozenset[tuple[Stage, Purpose | None]]] = {
    FactType.SCRIPT_SERVED: frozenset((Stage.ORDERED, one) for one in Purpose),
    FactType.SENT_TO_DISK: frozenset({(Stage.NONE, None)}),
    FactType.REGISTERED: frozenset((Stage.ORDERED, one) for one in Purpose),
    FactType.ALIVE: frozenset((stage_, one) for one in Purpose for stage_ in (Stage.WORKING, Stage.ENDED)),
    FactType.WRITTEN: frozenset({(Stage.WORKING, Purpose.INSTALL)}),
    FactType.WIPED: frozenset({(Stage.WORKING, Purpose.WIPE)}),
    FactType.AGENT_FAILED: frozenset((Stage.WORKING, one) for one in Purpose),
    # An agent's power-off may come out as a restart.
    FactType.PHONED_HOME: frozenset({(Stage.NONE, None), (Stage.ENDED, Purpose.INSTALL)}),
}
"""The stages, with the purpose of the order, in which a fact is expected. All others are recorded as unexpected and
change nothing, but for a system that calls from a machine that is being released."""


class Taken(msgspec.Struct, frozen=True):
    """A fact taken up: the life after it, and how it is told; no reason: not worth telling. `expected` False: nothing
    has moved but `trouble`."""

    life: Life
    reason: str
    message: str
    expected: bool = True


def take(life: Life, fact: FactType, detail: str, image: str | None, now: datetime) -> Taken:
    """The life after a fact. `image`: the one that is pinned, which an install writes."""
    order, at = life.order, stage(life)
    if (at, order.purpose if order else None) not in EXPECTED[fact] or _out_of_place(life, fact):
        return _unexpected(life, fact, detail, now)
    replace = msgspec.structs.replace
    match fact:
        case FactType.SCRIPT_SERVED:
            return Taken(replace(life, served_at=now), "ScriptServed", detail)
        case FactType.SENT_TO_DISK:
            return _sent_to_disk(life, detail, now)
        case FactType.REGISTERED:
            life = replace(life, registered_at=now, heard_at=now)
            if order is not None and order.purpose is Purpose.INSPECT:
                life = replace(life, inspected_at=now, asked=order.word, ended_at=now, attempts=0)
            else:  # From here on what was on the disk is on its way out.
                life = replace(life, written=None, phoned_home_at=None, installs=_installs(life))
            return Taken(life, "AgentRegistered", detail)
        case FactType.ALIVE:
            return Taken(replace(life, heard_at=now, progress=detail or None), "", detail)
        case FactType.WRITTEN:
            word, id_ = (order.word, order.id) if order else (None, "")
            written = Written(image or "", detail, life.claim or "", now, word, id_)
            life = replace(life, written=written, phoned_home_at=None, heard_at=now, ended_at=now, attempts=0)
            return Taken(life, "ImageWritten", f"{written.image}, read back as {detail}")
        case FactType.WIPED:
            proof = tuple(line for line in detail.splitlines() if line.strip())
            # A clock that was put back must not have it wiped again and again until it has caught up.
            wiped = Wiped(max(now, life.releasing_at or now), proof)
            life = replace(life, wiped=wiped, written=None, installs=(), heard_at=now, ended_at=now, attempts=0)
            return Taken(life, "DisksWiped", "; ".join(proof))
        case FactType.AGENT_FAILED:
            trouble = failed(life, "AgentFailed", detail or "the agent gave no reason", now)
            return Taken(replace(without_order(life), trouble=trouble), "AgentFailed", trouble.message)
        case FactType.PHONED_HOME:
            life = replace(without_order(life), phoned_home_at=now, stopped_at=None, trouble=None, starts=())
            return Taken(life, "PhonedHome", detail)


def _installs(life: Life) -> tuple[str, ...]:
    """With the order under way, and that of what is on the disk."""
    written, order = life.written, life.order
    ids = (*life.installs, written.order if written is not None else "", order.id if order is not None else "")
    return tuple(dict.fromkeys(one for one in ids if one))[-INSTALLS_KEPT:]


def _sent_to_disk(life: Life, detail: str, now: datetime) -> Taken:
    starts = (*life.starts, now)[-CRASH_STARTS:]
    life = msgspec.structs.replace(life, starts=starts)
    if life.written is None or len(starts) < CRASH_STARTS or now - starts[0] > CRASH_WITHIN:
        return Taken(life, "SentToDisk", detail)
    why = f"it was started {len(starts)} times within {words(CRASH_WITHIN)}, and its system has not called"
    return Taken(msgspec.structs.replace(life, trouble=Trouble(CRASH_LOOP, why, now)), CRASH_LOOP, why)


def _out_of_place(life: Life, fact: FactType) -> bool:
    return fact is FactType.PHONED_HOME and (
        life.claim is None or life.written is None or life.releasing_at is not None
    )


def _unexpected(life: Life, fact: FactType, detail: str, now: datetime) -> Taken:
    when = f"while {stage(life)}" + (f" to {life.order.purpose}" if life.order else "")
    if fact is FactType.PHONED_HOME and life.releasing_at is not None:
        # The old system still runs (metal-stack: failed_machine_reclaim).
        trouble = Trouble("FailedReclaim", "its old system called while it is being released", now)
        kept = (
            life if life.trouble is not None and life.trouble.final else msgspec.structs.replace(life, trouble=trouble)
        )
        return Taken(kept, trouble.reason, trouble.message, expected=False)
    return Taken(life, "UnexpectedFact", f"{fact} {when}" + (f": {detail}" if detail else ""), expected=False)
