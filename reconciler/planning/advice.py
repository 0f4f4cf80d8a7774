"""Warnings beside a plan: what would be refused if it were new, and stays because it is there. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from functools import partial

from reconciler.kinds import KINDS
from reconciler.model.diagnostic import Diagnostic, Severity
from reconciler.model.facts import Facts
from reconciler.model.observation import ObservedState
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.placement.quotas import exceeded

_ADVISING = tuple(kind.advise for kind in KINDS.values() if kind.advise is not None)


def advice_on(
    keys: Collection[ResourceKey], desired: DesiredState, observed: ObservedState, facts: Facts, now: datetime
) -> tuple[Diagnostic, ...]:
    """What the kinds warn of, for these resources."""
    return tuple(
        found for advise in _ADVISING for found in or_nothing(partial(advise, keys, desired, observed, facts, now))
    )


def or_nothing(advice: Callable[[], Iterable[Diagnostic]]) -> tuple[Diagnostic, ...]:
    """The warnings; none where a defect prevents them: what they would warn of is held, or unknown, already."""
    try:
        return tuple(advice())
    except Exception:  # noqa: BLE001  a warning is worth less than the plan
        return ()


def on_quotas(desired: DesiredState, observed: ObservedState, facts: Facts) -> tuple[Diagnostic, ...]:
    """The quotas that are exceeded now."""
    return tuple(
        Diagnostic(
            "quota-exceeded",
            Severity.WARNING,
            f"{one.said}; existing resources stay, new ones are held",
            hint=one.limit.hint,
        )
        for one in exceeded(desired, observed, facts)
    )
