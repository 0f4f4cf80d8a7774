"""Errors and warnings about a desired state as a whole. Pure.

An error keeps the state from taking force, because something that it removes is in use. The rules between documents see
documents alone; here a revision is compared with what earlier revisions allocated. A revision that is refused here is
refused whole, like one with a broken document. A warning stands beside a plan.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from functools import partial

from reconciler.kinds import KINDS
from reconciler.kinds.common.defect import defect
from reconciler.model.diagnostic import Diagnostic, Severity
from reconciler.model.facts import Facts
from reconciler.model.observation import ObservedState
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.placement.quotas import exceeded

_ADVISING = tuple(kind.advise for kind in KINDS.values() if kind.advise is not None)


def admit(desired: DesiredState, facts: Facts) -> tuple[Diagnostic, ...]:
    """Every reason to refuse the state, none when it may take force; each kind says its own."""
    admits = (kind.admit for kind in KINDS.values() if kind.admit is not None)
    return tuple(found for admit_kind in admits for found in admit_kind(desired, facts))


def advice_on(
    keys: Collection[ResourceKey], desired: DesiredState, observed: ObservedState, facts: Facts, now: datetime
) -> tuple[Diagnostic, ...]:
    """What the kinds warn of, for these resources."""
    return tuple(
        found for advise in _ADVISING for found in or_why_not(partial(advise, keys, desired, observed, facts, now))
    )


def or_why_not(advice: Callable[[], Iterable[Diagnostic]]) -> tuple[Diagnostic, ...]:
    """The warnings; where a defect prevents them, a warning of that."""
    try:
        return tuple(advice())
    except Exception as error:  # noqa: BLE001  a warning is worth less than the plan
        why = f"some warnings cannot be shown because of {defect(error)}; the plan is not affected"
        return (Diagnostic("warnings-failed", Severity.WARNING, why, hint="report this bug"),)


def on_quotas(desired: DesiredState, observed: ObservedState, facts: Facts) -> tuple[Diagnostic, ...]:
    """The quotas that are exceeded now."""
    return tuple(
        Diagnostic(
            "quota-exceeded",
            Severity.WARNING,
            f"{one.said}; existing resources stay, new resources are held",
            hint=one.limit.hint,
        )
        for one in exceeded(desired, observed, facts)
    )
