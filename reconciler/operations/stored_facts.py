"""What the store remembers, in the forms that plans and views take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from reconciler.kinds import KINDS
from reconciler.kinds.common.event_subject import with_subject
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.event import Event
from reconciler.model.facts import Facts, ResourceFacts
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.planning.guards.guard import Guard
from reconciler.planning.guards.standing import CommandLimits, Standing, standing_in_force
from reconciler.runtime import now

if TYPE_CHECKING:
    from reconciler.operations.workspace import Workspace
    from reconciler.store import Store


def standing_of(store: Store, asked: CommandLimits) -> tuple[Standing, tuple[Diagnostic, ...]]:
    """The policy that judges every plan on this store, whichever command asks, and what is to be reported of it."""
    return standing_in_force(asked, store.daemon.get(), store.overrides.all(), now(), store.pauses.all())


def daemon_transient_guards(store: Store) -> tuple[Guard, ...]:
    """What the daemon that is at work waits for beside the policy: one that only observes sends nothing."""
    from reconciler.planning.guards.pauses import hold_everything

    daemon = store.daemon.get()
    return (hold_everything,) if daemon is not None and daemon.observes_only and daemon.at_work(now()) else ()


def facts_of(store: Store) -> Facts:
    """Everything that the store remembers, for a plan."""
    from reconciler.operations.known_store import is_since_beginning
    from reconciler.planning.restarts import with_restarts

    return with_restarts(Facts(store.facts(), store.in_flight(), is_since_beginning(store)), store.restarts.open())


def described_by(desired: DesiredState | None, facts: Mapping[ResourceKey, ResourceFacts]) -> Callable[[Event], Event]:
    """What adds to an event whose it is now: the project and the labels of its resource."""
    return lambda event: with_subject(event, desired, facts.get(event.key) if event.key is not None else None)


def facts_under(store: Store, desired: DesiredState) -> Facts:
    """The same, with the machines' labels as they are when this state is in force: which sizes and numbers they have by
    their inventories."""
    from reconciler.daemon.label_refresh import are_current
    from reconciler.onboarding.inventory_comparison import relabelled

    facts = facts_of(store)
    if are_current(store, desired):
        return facts
    changed = relabelled(facts.resources, derived_labels(store, desired))
    return msgspec.structs.replace(facts, resources={**facts.resources, **changed})


def facts_in_force(desired: DesiredState, facts: Facts, bases: Sequence[DesiredState]) -> Facts:
    """What is remembered as soon as this state is in force: every plan, and whatever shows one, judges by that.

    `bases`: the states that it follows, where nothing is remembered (`Workspace.bases`): their guards are in force.
    """
    from reconciler.planning.base_guards import carried_from_bases
    from reconciler.planning.carry_over import carried_over, with_changes

    at = now()
    if bases and not facts.resources:
        known = dict(carried_from_bases(bases, desired, at, since_beginning=facts.since_beginning))
    else:
        changed = carried_over(desired, facts.resources, at, since_beginning=facts.since_beginning)
        known = with_changes(facts.resources, changed)
    return msgspec.structs.replace(facts, resources=known)


def state_and_facts(at: Workspace, store: Store) -> tuple[DesiredState, Facts]:
    """The desired state, or the last good one where it is broken, and what is remembered once it is in force.

    Raises OperationError and SourceError.
    """
    source = at.source()
    desired = at.read(source, store)
    facts = facts_under(store, desired)
    return desired, facts_in_force(desired, facts, at.bases(source, desired, facts))


def derived_labels(store: Store, desired: DesiredState) -> dict[ResourceKey, dict[str, str]]:
    """The labels that follow from what the store knows to be in the machines."""
    from reconciler.onboarding.inventory_comparison import labels_from_inventories

    return labels_from_inventories(desired, store.inventories.each())


def observed_types() -> dict[str, type]:
    """How stored looks are to be read back."""
    return {kind.name: kind.observed_type for kind in KINDS.values() if kind.observed_type}
