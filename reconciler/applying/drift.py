"""What a look teaches of a resource that is declared: what is as declared, and what has drifted. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from drivers.base import SystemState
from reconciler.kinds import KINDS
from reconciler.kinds.common.kind import Field, drifted
from reconciler.kinds.common.machine_facts import LifecycleFacts, MachineFacts
from reconciler.kinds.machine import lifecycle, virtual_media
from reconciler.kinds.machine.spec import MachineSpec
from reconciler.model.action import PowerOff
from reconciler.model.facts import Applied, ResourceFacts
from reconciler.model.resource import Resource


def learn(
    resource: Resource[Any], value: Any, fields: tuple[Field, ...], facts: ResourceFacts, revision: str, now: datetime
) -> tuple[ResourceFacts, tuple[Field, ...]]:
    """What a look teaches: which fields are as declared, and which have drifted from what was applied.

    Returns the facts (the very same object when nothing is new) and the fields that drifted just now.
    """
    before = facts.applied.fields if facts.applied else {}
    equal = {field.path: field.desired for field in fields if field.equal}
    paths = {field.path for field in fields}
    known = {path: value for path, value in before.items() if path in paths} | equal
    # A path that had drifted before a commit changed it stays drifted: both moved.
    drift = {
        field.path: facts.drift.get(field.path, now)
        for field in fields
        if not field.equal and not field.once and (drifted(field, fields, known) or field.path in facts.drift)
    }
    prints = {field.path: field.fingerprint(resource.spec) for field in fields if not field.equal}
    kept = msgspec.structs.replace(
        facts,
        applied=facts.applied if known == before else Applied(known, revision, now),
        drift=drift,
        failures={
            path: failure
            for path, failure in facts.failures.items()
            if prints.get(path) == failure.fingerprint or path not in paths
        },
    )
    learned = _of_machine(kept, resource, value, fields, now) if isinstance(kept, MachineFacts) else kept
    fresh = tuple(field for field in fields if field.path in drift and field.path not in facts.drift)
    return (facts if learned == facts else learned), fresh


def _of_machine(
    facts: MachineFacts, resource: Resource[Any], value: Any, fields: tuple[Field, ...], now: datetime
) -> MachineFacts:
    return msgspec.structs.replace(
        facts,
        shutdown_ignored=facts.shutdown_ignored if _still_shutting_down(resource, fields) else None,
        lifecycle=_lifecycle_after(resource, value, fields, facts, now),
    )


def _still_shutting_down(resource: Resource[Any], fields: tuple[Field, ...]) -> bool:
    """Not so while people work on it: after that it is asked again before its power is cut."""
    if KINDS[resource.key.kind].paused(resource.spec):
        return False
    return any(f.path == PowerOff.path and not f.equal and bool(f.desired == PowerOff.goal) for f in fields)


def _lifecycle_after(
    resource: Resource[Any], value: Any, fields: tuple[Field, ...], facts: MachineFacts, now: datetime
) -> LifecycleFacts:
    life = virtual_media.observe_media(facts.lifecycle, fields)
    if not isinstance(resource.spec, MachineSpec) or not isinstance(value, SystemState):
        return life
    return lifecycle.observe_power(resource.spec, life, value, now)


def drift_message(field: Field) -> str:
    """What a drifted field shows, and what was declared and applied."""
    return f"{field.path} is {_short(field.observed)}, declared and applied is {_short(field.desired)}"


def _short(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
