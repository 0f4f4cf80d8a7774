"""The fleet in numbers, by which guards judge. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from drivers.base import ErrorReason
from reconciler.kinds import FLEET, KINDS
from reconciler.kinds.claim.renamed_from import new_owners
from reconciler.kinds.claim.spec import all_holders, returning
from reconciler.kinds.common.field_types.fields import DeletionPolicy
from reconciler.kinds.guard.guard_fact_rules import GuardFacts, remembered_spec
from reconciler.kinds.guard.spec import GuardSpec
from reconciler.model.actions.action_base import Disruption
from reconciler.model.facts import Facts
from reconciler.model.observation import ObservedState
from reconciler.model.resource import DesiredState, ResourceKey

T = TypeVar("T")

_MADE = {name: kind for name, kind in KINDS.items() if kind.made}
"""The kinds that a backend can hold; a machine is found, and not held."""


class Disrupted(msgspec.Struct, frozen=True):
    """When groundstate took a machine down. `in_flight`: that action is not confirmed yet; `ended`: the machine serves
    again."""

    since: datetime
    in_flight: bool = False
    ended: bool = False


class KindSurvey(msgspec.Struct, frozen=True):
    """How many resources of one kind of the fleet there are. `declared_before` were in force before. Those that came as
    others went are not counted, as they would make the loss look small. `lost` of them are no longer declared.
    `observed` were observed, `unreachable` of them without success. Of the others, no daemon at work reaches
    `unattended`: nothing is known of them, and they are not taken for dead."""

    declared: int = 0
    declared_before: int = 0
    lost: int = 0
    observed: int = 0
    unreachable: int = 0
    unattended: int = 0


class FleetSurvey(msgspec.Struct, frozen=True):
    """The fleet in numbers: what guards judge by.

    `kinds`: the numbers of each kind separately, so that many of one kind never make a loss of another look small.
    `disrupted` are down, or going down, because groundstate sent it. Each guard says for how long that counts.
    `resources` are declared, `remembered` were in force. `held`: addresses, numbers and networks that are in the IPAM;
    `releasing` of them would be given up, as they are no longer declared. `claimed` machines are claims'; `returning`
    of them are being released, or would be, as no claim asks for them any more. `former`: specs of guards that were
    loosened or removed, each in force until a time."""

    kinds: Mapping[str, KindSurvey]
    disrupted: Mapping[ResourceKey, Disrupted] = {}
    resources: int = 0
    remembered: int = 0
    held: int = 0
    releasing: int = 0
    claimed: int = 0
    returning: int = 0
    former: tuple[tuple[ResourceKey, GuardSpec, datetime], ...] = ()
    memo: dict[str, Any] = {}

    @property
    def lost(self) -> int:
        """How many resources of the fleet are no longer declared."""
        return sum(one.lost for one in self.kinds.values())

    def once(self, name: str, build: Callable[[], T]) -> T:
        """Something that follows from the survey and the state that it was made of, built at the first call."""
        if name not in self.memo:
            self.memo[name] = build()
        kept: T = self.memo[name]
        return kept


def survey(desired: DesiredState, observed: ObservedState, facts: Facts) -> FleetSurvey:
    """Count the fleet."""
    held, releasing = _held(desired, observed, facts)
    claims = all_holders(facts.resources)
    return FleetSurvey(
        kinds=_kinds(desired, observed, facts),
        disrupted=disrupted(facts),
        resources=len(desired.resources),
        remembered=len(facts.resources),
        held=held,
        releasing=releasing,
        claimed=sum(map(len, claims.values())),
        former=_former_guards(facts),
        returning=sum(len(returning(claim, held, desired)) for claim, held in claims.items()),
    )


def _kinds(desired: DesiredState, observed: ObservedState, facts: Facts) -> dict[str, KindSurvey]:
    before, lost, seen, silent, unattended = (Counter[str]() for _ in range(5))
    for key, fact in facts.resources.items():
        if key.kind in FLEET and not fact.joining:
            before[key.kind] += 1
            lost[key.kind] += key not in desired.resources
    for key, look in observed.items():
        if key.kind in FLEET and key in desired.resources:
            if look.error is not None and look.error.reason is ErrorReason.NO_WORKER:
                unattended[key.kind] += 1
                continue
            seen[key.kind] += 1
            silent[key.kind] += look.error is not None
    counts = (before, lost, seen, silent, unattended)
    return {kind: KindSurvey(desired.count(kind), *(one[kind] for one in counts)) for kind in FLEET}


def _former_guards(facts: Facts) -> tuple[tuple[ResourceKey, GuardSpec, datetime], ...]:
    return tuple(
        (key, spec, one.until)
        for key, fact in facts.resources.items()
        if isinstance(fact, GuardFacts)
        for one in fact.former
        if (spec := remembered_spec(one.spec)) is not None
    )


def _held(desired: DesiredState, observed: ObservedState, facts: Facts) -> tuple[int, int]:
    """How much the backends hold, and how much of it would be released for want of a document."""
    held = releasing = 0
    moving = new_owners(desired, facts.resources)
    for key, view in observed.items():
        kind = _MADE.get(key.kind)
        if kind is None or view.value is None or not kind.is_held(view.value):
            continue
        held += 1
        if key not in desired.resources and key not in moving:
            remembered = facts.resources.get(key)
            if remembered is None:
                releasing += kind.leaks(view.value)
            else:
                releasing += remembered.deletion_policy == DeletionPolicy.RELEASE
    return held, releasing


def disrupted(facts: Facts) -> dict[ResourceKey, Disrupted]:
    """Machines with a disruptive action in flight, or taken down; those that serve again are marked so."""
    down = {
        key: Disrupted(at, ended=fact.disrupted_at is None)
        for key, fact in facts.resources.items()
        if (at := fact.disrupted_at or fact.taken_down_at)
    }
    flying = {
        one: Disrupted(flight.sent_at, in_flight=True)
        for key, flight in facts.in_flight.items()
        if flight.action.disruption is Disruption.DISRUPTIVE
        for one in (key, *KINDS[key.kind].gives_up(flight.action))
    }
    return down | flying
