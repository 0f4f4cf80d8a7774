"""What must be remembered between two looks: facts with their times, never phases."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from reconciler.model.action import InFlight
from reconciler.model.lifecycle_facts import NEWBORN, LifecycleFacts
from reconciler.model.resource import ResourceKey


class Applied(msgspec.Struct, frozen=True):
    """The values that were last seen to be as declared, by field path; the third side of the three-way comparison."""

    fields: dict[str, Any]
    revision: str
    at: datetime


class Failure(msgspec.Struct, frozen=True):
    """The last thing that went wrong. A terminal one is not retried while `fingerprint` (desired, observed) stays;
    a write to a BMC that failed otherwise is not sent again before `retry_at`, whoever asks."""

    reason: str
    message: str
    at: datetime
    terminal: bool
    attempts: int
    fingerprint: str
    retry_at: datetime | None = None


class Wish(msgspec.Struct, frozen=True):
    """What a BMC was asked for one field: a digest of the value, and when it was written, the latest last. Only the
    latest few are kept (`planning.pacing`)."""

    goal: str
    times: tuple[datetime, ...]


class ResourceFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """All facts about one resource; a row of these exists for each resource that a revision in force has declared.

    `failures` and `drift` (since when a field differs from what was applied) are by field path. `once_done`: the
    digest of the one-time boot order that was carried out, so that it is not carried out again.
    `shutdown_ignored`: when a graceful shutdown ran out of time.
    `disrupted_at`: when groundstate last sent something that takes the machine down, until it serves again;
    `taken_down_at`: the same, for as long as it is remembered. `deletion_policy`: what the last
    spec said, for when the document is gone. `place`: which system of which BMC the last spec meant. `joining`: it is
    first declared by a state with which other machines (of a claim: other claims) are gone, and these are not forgotten
    yet. `found_order`: the one-time boot order that stood in the document when nothing was known of the machine yet;
    `found_new`: nothing was known of any machine then, so that the order may be of any age. `project` and `image`:
    whose machine it is and which image was chosen for it, from the moment at which the rules let that pass. `life`: of
    a machine that groundstate inspects, installs and wipes. `labels`: what follows from its inventory, in no document.
    `access`: by which way it was to be reached, as `AccessChange` has it; empty: not known.
    `wishes`: what was written to the BMC lately, by field path. `was`: the names that it had before, the latest last,
    until what is held elsewhere has followed to the new one, and the rename is told of.
    """

    applied: Applied | None = None
    failures: dict[str, Failure] = {}
    drift: dict[str, datetime] = {}
    once_done: str | None = None
    shutdown_ignored: datetime | None = None
    disrupted_at: datetime | None = None
    taken_down_at: datetime | None = None
    deletion_policy: str | None = None
    place: str | None = None
    joining: bool = False
    found_order: str | None = None
    found_new: bool = False
    project: str | None = None
    image: str | None = None
    life: LifecycleFacts = NEWBORN
    labels: dict[str, str] = {}
    access: dict[str, str] = {}
    wishes: dict[str, Wish] = {}
    was: tuple[str, ...] = ()


class Facts(msgspec.Struct, frozen=True):
    """Everything remembered, as one value."""

    resources: Mapping[ResourceKey, ResourceFacts]
    in_flight: Mapping[ResourceKey, InFlight]


NO_FACTS = ResourceFacts()
