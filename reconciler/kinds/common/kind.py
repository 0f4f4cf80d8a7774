"""What generic code needs to know of a kind: its names, its types and its pure rules."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

import msgspec

from drivers.base import ErrorReason
from reconciler.kinds.common.access.access_rules import AccessRules
from reconciler.kinds.common.adoption import Adoption
from reconciler.kinds.common.column import Column, OutlineBranch, Shown
from reconciler.kinds.common.fact_rules import FactRules
from reconciler.kinds.common.field_types.managed_field import Field
from reconciler.kinds.common.field_types.reference_fields import named_resources
from reconciler.kinds.common.kind_metrics import CountedGauge, LevelGauge
from reconciler.kinds.common.machine_inventory import StoredInventory
from reconciler.kinds.common.turn_order import TurnOrder
from reconciler.model.actions.action import Action
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.facts import Facts, ResourceFacts
from reconciler.model.observation import Observation, ObservedState
from reconciler.model.outcome import ActionFailure, Condition
from reconciler.model.plans.override import Override
from reconciler.model.plans.plan import Hold
from reconciler.model.resource import DesiredState, Resource, ResourceKey
from reconciler.model.sink_state import SinkReport

T = TypeVar("T")

Inventories = Mapping[ResourceKey, StoredInventory]
"""What is kept of inventories, by resource."""


BEGINNING = datetime.min.replace(tzinfo=UTC)


def _never_lifted(_guard: str) -> Override | None:
    """The answer if no override is in force."""
    return None


class KindView(msgspec.Struct, frozen=True):
    """Everything that a kind's rules may know of one resource: what was seen of it, and what is remembered.

    `remembered`: the same of all. `stray`: it was found, and is neither declared nor remembered. `memo`: what was
    worked out for this plan already. `now` is for steps; who asks for fields alone need not give it. `barred`: who gets
    nothing new, as its project has all that it may have. `lifted`: the override that lifts a guard of the kind's own.
    """

    key: ResourceKey
    value: Any
    facts: ResourceFacts
    observed: ObservedState
    desired: DesiredState | None = None
    remembered: Mapping[ResourceKey, ResourceFacts] = {}
    stray: bool = False
    memo: dict[str, Any] = {}
    now: datetime = BEGINNING
    barred: Callable[[], Collection[ResourceKey]] = tuple
    lifted: Callable[[str], Override | None] = _never_lifted

    def once(self, name: str, build: Callable[[], T]) -> T:
        """A value that follows from the observations of this plan; `build` is called at its first use."""
        if name not in self.memo:
            self.memo[name] = build()
        kept: T = self.memo[name]
        return kept

    def refused(self, key: ResourceKey, path: str) -> bool:
        """Whether the endpoint refused the latest request for the field. A request that could not be sent was not
        refused."""
        facts = self.remembered.get(key)
        failure = facts.failures.get(path) if facts is not None else None
        return failure is not None and failure.reason in _REFUSED


REFUSALS = (ErrorReason.CONFLICT, ErrorReason.EXHAUSTED, ErrorReason.REJECTED, ErrorReason.UNSUPPORTED)
"""Errors by which the endpoint refused an action."""

_REFUSED = frozenset(map(ActionFailure, REFUSALS))


class Steps(msgspec.Struct, frozen=True):
    """The actions and holds of one resource."""

    actions: tuple[Action, ...] = ()
    """The actions, in order."""
    holds: tuple[Hold, ...] = ()
    """The reasons for which actions wait."""
    passes: tuple[str, ...] = ()
    """The kind's own guards that would hold the change, but are overridden (`KindView.lifted`)."""


class Rules(Protocol):
    """The pure rules of a reconciled kind."""

    def fields(self, resource: Resource[Any], view: KindView) -> tuple[Field, ...]:
        """The managed fields, desired beside observed."""

    def steps(self, resource: Resource[Any], view: KindView, fields: tuple[Field, ...]) -> Steps:
        """The actions that make differing fields equal."""

    def removal(self, view: KindView) -> Steps:
        """The actions for a resource that git no longer declares; the last one is Forget."""

    def confirmed(self, action: Action, value: Any) -> bool:
        """Whether what is seen now shows that the action took effect."""

    def patience(self, action: Action, resource: Resource[Any] | None) -> float:
        """Seconds until an unconfirmed action counts as failed."""


class RuleFinding(msgspec.Struct, frozen=True):
    """A rule's finding about one document: `path` leads to the value at fault, names and indexes joined by dots."""

    code: str
    path: str
    summary: str
    hint: str = ""


BMC, IPAM, SWITCH, NO_BACKEND = "bmc", "ipam", "switch", "none"
"""Backends: the endpoint that observes a kind and carries out its actions. A kind without a backend changes only the
store."""

UNNAMED_LOCK = "endpoint"
"""What the lock of a kind is called that gives no name."""


def _never(_value: Any) -> bool:
    return False


def _no_uuid(_value: object) -> str | None:
    return None


def _serves(_value: Any, _facts: ResourceFacts) -> bool:
    return False


def _follows_nothing(_key: ResourceKey, _desired: DesiredState) -> Iterable[ResourceKey]:
    return ()


def _not_compared(
    _resource: Resource[Any], _desired: DesiredState, _observed: ObservedState, _known: Inventories
) -> Iterable[Condition]:
    return ()


def _not_outlined(
    _resource: Resource[Any], _desired: DesiredState, _observed: ObservedState, _facts: Facts, _known: Inventories
) -> Iterable[OutlineBranch]:
    return ()


def _at_rest(_facts: ResourceFacts, _now: datetime) -> bool:
    return False


def _nothing_else(_action: Action) -> Iterable[ResourceKey]:
    return ()


def _same(value: Any) -> Any:
    return value


def _no_former_names(_key: ResourceKey, _desired: DesiredState, _facts: ResourceFacts) -> list[ResourceKey]:
    return []


def _declared_itself(_key: ResourceKey) -> Implied | None:
    return None


def _no_conditions(_resource: Resource[Any], _facts: ResourceFacts, _seen: Observation | None) -> Iterable[Condition]:
    return ()


def _nothing_more(_key: ResourceKey, _desired: DesiredState, _facts: Facts) -> Shown:
    return Shown()


def _nothing_renamed(
    _desired: DesiredState, _remembered: Mapping[ResourceKey, ResourceFacts]
) -> Mapping[ResourceKey, ResourceFacts | None]:
    return {}


class Implied(msgspec.Struct, frozen=True):
    """The document that implies a resource without its own document, as a claim implies its addresses."""

    by: ResourceKey
    words: str
    """The purpose of the resource, such as `MachineClaim/web, slot 0`."""


class Kind(msgspec.Struct, frozen=True):
    """One kind. Generic code asks the kind, and does not compare its name."""

    name: str
    plural: str
    short: tuple[str, ...]
    summary: str
    spec_type: type[msgspec.Struct]
    check: Callable[[Resource[Any]], list[RuleFinding]] | None = None
    """Checks one document alone."""
    rules: Rules | None = None
    """None: the kind is not reconciled, and the fields below do not matter."""
    observed_type: Any = None
    """The type of an observed value."""
    backend: str = NO_BACKEND
    absent: Any = None
    """The observed value of a resource that the backend does not have."""
    made: bool = True
    """True: groundstate creates the resource at the backend, and allocations of undeclared owners may have leaked.
    False: the resource exists without groundstate, as a machine does. Then it is never created, and removing it from
    the store needs no observation."""
    is_held: Callable[[Any], bool] = _never
    """Whether the observed value shows an allocation that a removal would release."""
    leaks: Callable[[Any], bool] = _never
    """Whether the observed value has leaked, if its owner is neither declared nor recorded."""
    kept: Callable[[Any], Any] = _same
    """The part of an observed value that is saved; the same object if that is all of it."""
    believed: Callable[[Any], Any] = _same
    """The part of an observed value on which decisions may be based, without counts that the next allocation changes.
    """
    endpoint: Callable[[Any], str] | None = None
    """The system that a spec names, independent of the resource's name: a BMC and the id of a system."""
    lock: Callable[[Any], str] | None = None
    """What one action excludes, by the spec: all systems of one BMC (chaos/powerman#67 shows why). The endpoint is
    equal to the lock, or begins with the lock and `#`."""
    lock_name: str = UNNAMED_LOCK
    """The name of the lock in messages."""
    endpoint_field: str = "spec"
    """The field of the spec that names the endpoint."""
    access: AccessRules | None = None
    """How its endpoints are reached, where a driver is opened for each; None: they are not reached by a driver of
    the documents."""
    former_names: Callable[[ResourceKey, DesiredState, ResourceFacts], list[ResourceKey]] = _no_former_names
    """The undeclared names under which the backend may still hold the allocations of the resource."""
    renamed: Callable[
        [DesiredState, Mapping[ResourceKey, ResourceFacts]], Mapping[ResourceKey, ResourceFacts | None]
    ] = _nothing_renamed
    """What is remembered differently because documents of the kind say what they were called before, of whatever
    kind; None: nothing any more."""
    implied: Callable[[ResourceKey], Implied | None] = _declared_itself
    """The document that implies the resource, by its key; None for a resource with its own document."""
    turns: TurnOrder | None = None
    """The order in which resources acquire the next free value of the same parent; None: the kind acquires nothing."""
    admit: Callable[[DesiredState, Facts], Iterable[Diagnostic]] | None = None
    """Errors of a desired state that must not come into force, because something that it removes is in use."""
    advise: (
        Callable[[Collection[ResourceKey], DesiredState, ObservedState, Facts, datetime], Iterable[Diagnostic]] | None
    ) = None
    """Warnings for a plan of these resources, of any kind."""
    refusal_is_final: bool = False
    """A refusal concerns the resource alone: a change of another resource does not end it."""
    in_fleet: bool = False
    """Guards count resources of this kind: declared, removed, unreachable, taken down."""
    joins: bool = False
    """Resources that are first declared by a state that removes others of the kind are marked, because they may be
    renames."""
    placed: bool = False
    """Placement gives resources of another kind to this kind, as machines to a claim. It waits while none fits, and is
    reconciled when one may fit."""
    inventoried: bool = False
    """The backend reads the hardware inventory (`ReadsInventory`), which is kept, and gives labels."""
    size_of: Callable[[Any], str | None] | None = None
    """The Size that a spec declares, which is compared with the inventory; the result is None where the spec declares
    none. None: Sizes are not for this kind."""
    is_guard: bool = False
    """Resources of the kind judge changes of the others. No guard judges a guard."""
    columns: tuple[Column, ...] = ()
    """Columns of `get`, beside name and status."""
    shown: Callable[[ResourceKey, DesiredState, Facts], Shown] = _nothing_more
    """Further values that `get` and `describe` show."""
    conditions: Callable[[Resource[Any], ResourceFacts, Observation | None], Iterable[Condition]] = _no_conditions
    """The kind's own conditions, beside Ready, Reconciling and Stalled."""
    delivery_conditions: Callable[[Resource[Any], SinkReport | None], tuple[Condition, ...]] | None = None
    """The conditions of a resource that is sent events, Ready first; `None` instead of a report: the daemon has not
    begun. None instead of the function: resources of the kind are sent none."""
    compared: Callable[[Resource[Any], DesiredState, ObservedState, Inventories], Iterable[Condition]] = _not_compared
    """Conditions that compare the resource with what others report, such as both ends of a cable. The inventories are
    those of the resource and of those that `follows` names."""
    outline: Callable[[Resource[Any], DesiredState, ObservedState, Facts, Inventories], Iterable[OutlineBranch]] = (
        _not_outlined
    )
    """The parts of a resource that `describe` shows as a tree. The inventories are the same."""
    outlined: tuple[str, ...] = ()
    """The fields of the spec and of the observed value that the tree has in place of the YAML."""
    follows: Callable[[ResourceKey, DesiredState], Iterable[ResourceKey]] = _follows_nothing
    """The resources of other kinds that wait for what is observed of this resource, as machines wait for the ports of
    a switch. They are reconciled again when it changes."""
    longest_resync: float | None = None
    """Seconds. The longest time between two observations, whatever the settings say. Others wait for a fresh one."""
    fact_rules: FactRules = FactRules()
    """The type of the kind's facts, and the rules by which they change."""
    paused: Callable[[Any], bool] = _never
    """Whether the spec stops all changes, because people work on the resource."""
    uuid: Callable[[Any], str | None] = _no_uuid
    """The UUID that the endpoint reports, by the observed value; None: it reports none."""
    unavailable: Callable[[Any, ResourceFacts], bool] = _serves
    """Whether the resource is out of service, by its observed value and facts."""
    under_way: Callable[[ResourceFacts, datetime], bool] = _at_rest
    """Whether disruptive work has begun that must be finished, so that no window holds it."""
    gives_up: Callable[[Action], Iterable[ResourceKey]] = _nothing_else
    """The other resources that an action releases or cuts off, as a claim or a port its machines. Their guards judge
    the action too, and budgets count what a disruptive action cuts off."""
    adoption: Adoption | None = None
    """How a resource in mode Observe becomes managed; None: groundstate manages all declared resources of the kind."""
    counted: tuple[CountedGauge, ...] = ()
    """The metrics of the kind, beside the counts by status."""
    levels: LevelGauge | None = None
    """The metrics of how full a resource is; None: nothing is allocated from the kind."""

    @property
    def facts(self) -> type[ResourceFacts] | None:
        """The type of the kind's facts; None: the kind is not reconciled."""
        return None if self.rules is None else self.fact_rules.facts_type

    def endpoint_of(self, resource: Resource[Any] | None) -> str:
        """The endpoint of the resource's actions; empty for a kind without endpoints, or an undeclared resource."""
        return "" if self.endpoint is None or resource is None else self.endpoint(resource.spec)

    def lock_of(self, resource: Resource[Any] | None) -> str:
        """The lock of the resource's actions; empty if an action excludes nothing."""
        return "" if self.lock is None or resource is None else self.lock(resource.spec)

    def depends_on(self, resource: Resource[Any]) -> list[ResourceKey]:
        """The resources that the document names, in order and without repeats, by the references of the schema."""
        readers = named_resources(self.spec_type)
        found = (ResourceKey(target, name) for read, target in readers for name in read(resource.spec))
        return list(dict.fromkeys(found))
