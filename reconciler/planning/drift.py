"""What an observation shows of a declared resource: the fields that are as declared, and those that have drifted.
Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from reconciler.kinds import KINDS
from reconciler.kinds.common.field_types.managed_field import Field, drifted
from reconciler.model.facts import Applied, ResourceFacts
from reconciler.model.resource import Resource


def learn(
    resource: Resource[Any], value: Any, fields: tuple[Field, ...], facts: ResourceFacts, revision: str, now: datetime
) -> tuple[ResourceFacts, tuple[Field, ...]]:
    """What an observation shows: which fields are as declared, and which have drifted from the applied values.

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
    unknown = {field.path for field in fields if field.unknown}
    prints = {field.path: field.fingerprint(resource.spec) for field in fields if not field.equal}
    kept = msgspec.structs.replace(
        facts,
        applied=facts.applied if known == before else Applied(known, revision, now),
        drift=drift,
        failures={
            path: failure
            for path, failure in facts.failures.items()
            if prints.get(path) == failure.fingerprint or path not in paths or path in unknown
        },
    )
    learned = KINDS[resource.key.kind].fact_rules.observed(kept, resource, value, fields, now)
    fresh = tuple(field for field in fields if field.path in drift and field.path not in facts.drift)
    return (facts if learned == facts else learned), fresh


def drift_message(field: Field) -> str:
    """What a drifted field shows, and what was declared and applied."""
    return f"{field.path} is {_short(field.observed)}, but {_short(field.desired)} is declared and was applied before"


def _short(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
