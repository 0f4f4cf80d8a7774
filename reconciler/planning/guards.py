"""Guards: what a plan may do at once. Each sees all changes and holds some, saying why and how to let them pass.

A guard is a pure function, so that windows, approvals and budgets declared in git can stand beside these later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Self

import msgspec

from reconciler.kinds import FLEET, KINDS
from reconciler.kinds.claim.renamed_from import new_owners
from reconciler.kinds.claim.spec import all_holders, returning
from reconciler.kinds.common.defect import defect, to_blame
from reconciler.kinds.common.fields import DeletionPolicy
from reconciler.model.action import Disruption, OrderErasure, RequestBoot, Unclaim
from reconciler.model.facts import Facts
from reconciler.model.lifecycle_facts import Purpose
from reconciler.model.observation import ObservedState
from reconciler.model.plan import Change, Hold, HoldKind, override_hint
from reconciler.model.resource import DesiredState, ResourceKey


class FleetShare(msgspec.Struct, frozen=True):
    """A number of machines, or a share of the fleet."""

    count: int | None = None
    percent: float | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """`5` or `10%`. Raises ValueError saying what is accepted."""
        number = text.strip().removesuffix("%")
        try:
            value = float(number) if text.strip().endswith("%") else int(number)
        except ValueError:
            raise ValueError(
                f"{text!r} is neither a number of machines (such as 5) nor a share (such as 10%)"
            ) from None
        if not value >= 0 or (text.strip().endswith("%") and value > 100):  # nan compares with nothing
            raise ValueError(f"{text!r} is out of range: a share lies between 0% and 100%")
        return cls(percent=value) if text.strip().endswith("%") else cls(count=int(value))

    def of(self, total: int) -> float:
        """The limit in machines, of a fleet of `total`."""
        return float(self.count) if self.count is not None else total * (self.percent or 0.0) / 100.0

    def __str__(self) -> str:
        return str(self.count) if self.count is not None else f"{self.percent:g}%"


TENTH = FleetShare(percent=10.0)
FEW = 5
"""Releases that a share never forbids: a tenth of a handful would stop the first network that a lab gives up."""
WINDOW = timedelta(hours=1)


class GuardLimits(msgspec.Struct, frozen=True):
    """The settings of the standard guards. `window`: how long a power-off counts as disruption under way."""

    max_disrupted: FleetShare = TENTH
    max_removed: FleetShare = TENTH
    max_unreachable: FleetShare = TENTH
    max_released: FleetShare = TENTH
    allow_empty: bool = False
    window: timedelta = WINDOW


class FleetSurvey(msgspec.Struct, frozen=True):
    """The fleet in numbers: what guards judge by.

    `known` machines have been in force before, not counting those that came as others went, which would make the loss
    look small; `lost` of them are no longer declared; `seen` were looked at, `unreachable` of them without success;
    `disrupted` are down, or going down, because groundstate sent it, each with the time until which it counts.
    `resources` are declared, `remembered` were in force. `held`: addresses, numbers and networks that are in the IPAM;
    `releasing` of them would be given up, as nobody declares them any more. `claimed` machines are claims';
    `returning` of them are on their way back, or would be, as no claim asks for them any more.
    """

    machines: int
    known: int
    lost: int
    seen: int
    unreachable: int
    disrupted: Mapping[ResourceKey, datetime] = {}
    resources: int = 0
    remembered: int = 0
    held: int = 0
    releasing: int = 0
    claimed: int = 0
    returning: int = 0


Guard = Callable[[Iterable[Change], FleetSurvey, datetime], Mapping[ResourceKey, Hold]]

Lifted = Callable[[str, ResourceKey], str | None]
"""The id of the override that lifts the holds of this guard from this resource; None: none does."""


def nothing_lifted(_guard: str, _key: ResourceKey) -> str | None:
    """No override is in force."""
    return None


def passing(change: Change, guard: str, override: str) -> Change:
    """The change, which would be held by this guard but for this override."""
    names = {"passes": (*change.passes, guard), "lifted_by": (*change.lifted_by, override)}
    return msgspec.structs.replace(change, **names)


def survey(
    desired: DesiredState, observed: ObservedState, facts: Facts, now: datetime, window: timedelta = WINDOW
) -> FleetSurvey:
    """Count the fleet."""
    known = [key for key, fact in facts.resources.items() if key.kind in FLEET and not fact.joining]
    held, releasing = _held(desired, observed, facts)
    looks = [look for key, look in observed.items() if key.kind in FLEET and key in desired.resources]
    claims = all_holders(facts.resources)
    return FleetSurvey(
        machines=sum(map(desired.count, FLEET)),
        known=len(known),
        lost=sum(1 for key in known if key not in desired.resources),
        seen=len(looks),
        unreachable=sum(1 for look in looks if look.error is not None),
        disrupted=disrupted(facts, now, window),
        resources=len(desired.resources),
        remembered=len(facts.resources),
        held=held,
        releasing=releasing,
        claimed=sum(map(len, claims.values())),
        returning=sum(len(returning(claim, held, desired)) for claim, held in claims.items()),
    )


def _held(desired: DesiredState, observed: ObservedState, facts: Facts) -> tuple[int, int]:
    """How much the backends hold, and how much of it would be released for want of a document."""
    held = releasing = 0
    moving = new_owners(desired, facts.resources)
    for key, look in observed.items():
        kind = KINDS.get(key.kind)
        if kind is None or look.value is None or not kind.is_held(look.value):
            continue
        held += 1
        if key not in desired.resources and key not in moving:
            remembered = facts.resources.get(key)
            if remembered is None:
                releasing += kind.leaks(look.value)
            else:
                releasing += remembered.deletion_policy == DeletionPolicy.RELEASE
    return held, releasing


def disrupted(facts: Facts, now: datetime, window: timedelta) -> dict[ResourceKey, datetime]:
    """Machines with a disruptive action under way, or taken down less than `window` ago and not brought up since; each
    with the time at which it counts no more."""
    flying = {
        key: flight.sent_at + window
        for key, flight in facts.in_flight.items()
        if flight.action.disruption is Disruption.DISRUPTIVE
    }
    down = {
        key: fact.disrupted_at + window
        for key, fact in facts.resources.items()
        if fact.disrupted_at and now - fact.disrupted_at < window
    }
    return flying | down


def standard_guards(limits: GuardLimits) -> tuple[Guard, ...]:
    """The guards that are always there."""

    def empty(changes: Iterable[Change], fleet: FleetSurvey, _now: datetime) -> Mapping[ResourceKey, Hold]:
        nothing, no_machines = not fleet.resources and fleet.remembered, not fleet.machines and fleet.known
        if limits.allow_empty or not (nothing or no_machines):
            return {}
        if nothing:
            reason = f"the desired state is empty, but {fleet.remembered} resources were in force before"
        else:
            reason = f"the desired state declares no machines, but {fleet.known} were in force before"
        return _hold_all(changes, "empty-desired-state", reason, "--allow-empty")

    def removed(changes: Iterable[Change], fleet: FleetSurvey, _now: datetime) -> Mapping[ResourceKey, Hold]:
        if fleet.lost <= limits.max_removed.of(fleet.known) or not fleet.machines:
            return {}
        reason = f"{_share(fleet.lost, fleet.known)} machines were removed from git; the limit is {limits.max_removed}"
        return _hold_all(changes, "mass-removal", reason, f"--max-removed {fleet.lost}")

    def unreachable(changes: Iterable[Change], fleet: FleetSurvey, _now: datetime) -> Mapping[ResourceKey, Hold]:
        if fleet.unreachable <= limits.max_unreachable.of(fleet.seen):
            return {}
        reason = f"{_share(fleet.unreachable, fleet.seen)} BMCs cannot be read; the limit is {limits.max_unreachable}"
        hurting = (change for change in changes if change.disruption is not Disruption.NONE)
        return _hold_all(hurting, "unreachable-fleet", reason, f"--max-unreachable {fleet.unreachable}")

    def budget(changes: Iterable[Change], fleet: FleetSurvey, now: datetime) -> Mapping[ResourceKey, Hold]:
        allowed = max(1, int(limits.max_disrupted.of(fleet.machines))) if limits.max_disrupted.of(1) else 0
        wanting = [c for c in changes if c.goes and (c.disruption is Disruption.DISRUPTIVE or _installs_anew(c))]
        fresh = [c for c in wanting if c.key not in fleet.disrupted]
        room = max(0, allowed - len(fleet.disrupted))
        all_down = len(fleet.disrupted) + len(fresh)
        reason = (
            f"would take down {all_down} of {fleet.machines} machines within {_span(limits.window)}; "
            f"the limit is {allowed} ({limits.max_disrupted})"
        )
        over = [now + limits.window for _ in fresh[:room]]
        when = _next_at(sorted([*fleet.disrupted.values(), *over]), allowed)
        return _hold_all(fresh[room:], "disruption-budget", reason, f"--max-disrupted {all_down}", when)

    def released(changes: Iterable[Change], fleet: FleetSurvey, _now: datetime) -> Mapping[ResourceKey, Hold]:
        allowed = int(limits.max_released.of(fleet.held))
        if limits.max_released.percent:
            allowed = max(FEW, allowed)
        if fleet.releasing <= allowed:
            return {}
        reason = (
            f"{_share(fleet.releasing, fleet.held)} addresses, numbers and networks would be released, as "
            f"they are no longer declared; the limit is {allowed} ({limits.max_released})"
        )
        giving = (change for change in changes if change.source is None and change.disruption is Disruption.DESTRUCTIVE)
        return _hold_all(giving, "mass-release", reason, f"--max-released {fleet.releasing}")

    def given_back(changes: Iterable[Change], fleet: FleetSurvey, _now: datetime) -> Mapping[ResourceKey, Hold]:
        allowed = int(limits.max_released.of(fleet.claimed))
        if limits.max_released.percent:
            allowed = max(1, allowed)
        if fleet.returning <= allowed:
            return {}
        reason = (
            f"{_share(fleet.returning, fleet.claimed)} claimed machines would be released and wiped, or already are; "
            f"the limit is {allowed} ({limits.max_released})"
        )
        giving = (change for change in changes if any(isinstance(action, Unclaim) for action in change.actions))
        return _hold_all(giving, "mass-unclaim", reason, f"--max-released {fleet.returning}")

    return (empty, removed, unreachable, released, given_back, budget)


def _installs_anew(change: Change) -> bool:
    return any(isinstance(a, OrderErasure) and a.purpose is Purpose.INSTALL for a in change.actions)


def hold_until_observed(limits: GuardLimits) -> Guard:
    """For a program that looks while it works: nothing is taken down while those that were not looked at yet could, by
    being unreachable, forbid it. After a start into an outage the first to answer are those that are well."""

    def unseen(changes: Iterable[Change], fleet: FleetSurvey, _now: datetime) -> Mapping[ResourceKey, Hold]:
        missing = fleet.machines - fleet.seen
        if not missing or fleet.unreachable + missing <= limits.max_unreachable.of(fleet.machines):
            return {}
        reason = f"only {_share(fleet.seen, fleet.machines)} machines have been observed so far"
        hold = Hold(
            HoldKind.BLOCKED, "first-look", reason, "continues automatically when the others have been observed"
        )
        return {change.key: hold for change in changes if change.disruption is not Disruption.NONE}

    return unseen


def hold_without_boot_service(last: str = "") -> Guard:
    """For a fleet without a boot service: no machine is started from the network when nothing would answer it.

    `last`: where one was, and when it was last heard of.
    """
    was = f" (the last one was at {last})" if last else ""
    reason = f"network boot needs a boot service, and none is running{was}"
    hint = "start the daemon with one: `groundstate run --boot-address ADDR`"

    def unserved(changes: Iterable[Change], _fleet: FleetSurvey, _now: datetime) -> Mapping[ResourceKey, Hold]:
        ordering = [change for change in changes if any(isinstance(action, RequestBoot) for action in change.actions)]
        return {change.key: Hold(HoldKind.GUARD, "boot-service", reason, hint) for change in ordering}

    return unserved


def hold_back(
    changes: tuple[Change, ...],
    guards: Iterable[Guard],
    fleet: FleetSurvey,
    now: datetime,
    lifted: Lifted = nothing_lifted,
) -> tuple[Change, ...]:
    """The changes, with what the guards hold added. A later guard sees what the earlier ones held; what an override
    lifts is not held, and the change names the guard that it passes."""
    for guard in guards:
        odd, holds = _holds_of(guard, changes, fleet, now)
        if odd or holds:
            changes = tuple(
                unjudged(change, odd[change.key])
                if change.key in odd
                else _judged(change, holds[change.key], lifted)
                if change.key in holds
                else change
                for change in changes
            )
    return changes


def _holds_of(
    guard: Guard, changes: tuple[Change, ...], fleet: FleetSurvey, now: datetime
) -> tuple[dict[ResourceKey, Exception], Mapping[ResourceKey, Hold]]:
    """The changes that the guard cannot judge, each with why, and its holds on the others."""
    try:
        return {}, guard(changes, fleet, now)
    except Exception as error:  # noqa: BLE001  held, in words, and the others go on
        failed = error

    def holds_without(keys: Collection[ResourceKey]) -> Mapping[ResourceKey, Hold] | None:
        left_out = set(keys)
        try:
            return guard([change for change in changes if change.key not in left_out], fleet, now)
        except Exception:  # noqa: BLE001  as above
            return None

    every = [change.key for change in changes]
    odd = to_blame(every, lambda keys: holds_without(keys) is not None)
    odd = every if odd is None else odd
    return dict.fromkeys(odd, failed), holds_without(odd) or {}


def unjudged(change: Change, error: Exception) -> Change:
    """The change, held since what it would do cannot be held against a limit of the fleet."""
    reason = f"the guards cannot judge this change because of {defect(error)}"
    hold = Hold(
        HoldKind.GUARD,
        "unjudged",
        reason,
        "report the bug with the output of `groundstate describe`; other resources are not affected",
    )
    return msgspec.structs.replace(change, held_by=(*change.held_by, hold))


def _judged(change: Change, hold: Hold, lifted: Lifted) -> Change:
    if (override := lifted(hold.by, change.key)) is not None:
        return passing(change, hold.by, override)
    return msgspec.structs.replace(change, held_by=(*change.held_by, hold))


def _hold_all(changes: Iterable[Change], guard: str, reason: str, flag: str, when: str = "") -> dict[ResourceKey, Hold]:
    also = f"; without a daemon also `groundstate apply {flag}`"
    return {
        change.key: Hold(HoldKind.GUARD, guard, reason, f"{when}{override_hint(guard, change.key)}{also}")
        for change in changes
    }


def _next_at(ends: list[datetime], allowed: int) -> str:
    """When the budget has room for one more, at the latest; `ends` are the times at which those that are down count no
    more, in order."""
    if not allowed or len(ends) < allowed:
        return ""
    return f"wait: the next machine may be taken down at {ends[len(ends) - allowed]:%Y-%m-%d %H:%M:%S}Z; or "


def _span(window: timedelta) -> str:
    minutes = int(window.total_seconds() // 60)
    return "an hour" if minutes == 60 else f"{minutes} minutes"


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole}"
