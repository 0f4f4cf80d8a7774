"""What a kind is to the rest of the house: its words, its types and its pure rules."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

import msgspec

from drivers.base import ErrorReason
from reconciler.kinds.common.access.access_rules import AccessRules
from reconciler.kinds.common.adoption import Adoption
from reconciler.kinds.common.column import Column, Shown
from reconciler.kinds.common.fact_rules import FactRules
from reconciler.kinds.common.field_types.managed_field import Field
from reconciler.kinds.common.field_types.reference_fields import named_resources
from reconciler.kinds.common.kind_metrics import CountedGauge, LevelGauge
from reconciler.kinds.common.turn_order import TurnOrder
from reconciler.model.actions.action import Action
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.facts import Facts, ResourceFacts
from reconciler.model.observation import Observation, ObservedState
from reconciler.model.outcome import Condition
from reconciler.model.plans.plan import Hold
from reconciler.model.resource import DesiredState, Resource, ResourceKey

T = TypeVar("T")


BEGINNING = datetime.min.replace(tzinfo=UTC)


def _never_lifted(_guard: str) -> str | None:
    """Of no override."""
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
    lifted: Callable[[str], str | None] = _never_lifted

    def once(self, name: str, build: Callable[[], T]) -> T:
        """Something that follows from all that was seen, built at the first call of a plan."""
        if name not in self.memo:
            self.memo[name] = build()
        kept: T = self.memo[name]
        return kept

    def refused(self, key: ResourceKey, path: str) -> bool:
        """Whether the other side refused it what the field asks for, when it was asked last. What could not be asked
        was not refused."""
        facts = self.remembered.get(key)
        failure = facts.failures.get(path) if facts is not None else None
        return failure is not None and failure.reason in REFUSALS


REFUSALS = (ErrorReason.CONFLICT, ErrorReason.EXHAUSTED, ErrorReason.REJECTED, ErrorReason.UNSUPPORTED)
"""Errors by which the other side says no."""


class Steps(msgspec.Struct, frozen=True):
    """What a kind would do."""

    actions: tuple[Action, ...] = ()
    """In order."""
    holds: tuple[Hold, ...] = ()
    """What stands in the way."""
    passes: tuple[str, ...] = ()
    """The guards of the kind's own that would hold it, and that an override lifts (`KindView.lifted`)."""


class Rules(Protocol):
    """The pure rules of a reconciled kind."""

    def fields(self, resource: Resource[Any], look: KindView) -> tuple[Field, ...]:
        """The managed fields, desired beside observed."""

    def steps(self, resource: Resource[Any], look: KindView, fields: tuple[Field, ...]) -> Steps:
        """The actions that make differing fields equal."""

    def removal(self, look: KindView) -> Steps:
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


SUSPENDED, MAINTENANCE = "Suspended", "Maintenance"
"""Conditions of what people asked to leave alone, whatever kind it is."""

BMC, IPAM, NO_BACKEND = "bmc", "ipam", "none"
"""Backends: which endpoint observes a kind and carries out its actions. With none, what is written down is done."""


def _never(_value: Any) -> bool:
    return False


def _serves(_value: Any, _facts: ResourceFacts) -> bool:
    return False


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
    """What implies a resource that has no document of its own, as a claim does its addresses."""

    by: ResourceKey
    words: str
    """What the resource is for: `MachineClaim/web, slot 0`."""


class Kind(msgspec.Struct, frozen=True):
    """One kind. Generic rooms ask it instead of comparing its name."""

    name: str
    plural: str
    short: tuple[str, ...]
    summary: str
    spec_type: type[msgspec.Struct]
    check: Callable[[Resource[Any]], list[RuleFinding]] | None = None
    """Sees one document alone."""
    rules: Rules | None = None
    """None: nothing is reconciled, and the fields below do not matter."""
    observed_type: Any = None
    """What an observation of it holds."""
    backend: str = NO_BACKEND
    absent: Any = None
    """What an observation holds where the backend has nothing of that name."""
    made: bool = True
    """groundstate makes it at the backend, and what the backend holds for an undeclared owner may have leaked. Else it
    is found there, as a machine is: it is never created, and it is forgotten without being observed."""
    is_held: Callable[[Any], bool] = _never
    """Whether an observed value shows something that a removal would give up."""
    leaks: Callable[[Any], bool] = _never
    """Whether an observed value has leaked where its owner is neither declared nor remembered."""
    kept: Callable[[Any], Any] = _same
    """What of an observed value is saved. The very same object where that is all."""
    believed: Callable[[Any], Any] = _same
    """What of it is decided by: not a count that is out of date with the next allocation."""
    endpoint: Callable[[Any], str] | None = None
    """Which system of which endpoint a spec means, whatever the resource is called: a BMC and the id of a system."""
    lock: Callable[[Any], str] | None = None
    """What one action excludes, by the spec: all that one BMC has (chaos/powerman#67 tells why). The endpoint is
    this, or begins with this and `#`."""
    lock_name: str = "endpoint"
    """What excludes others is called in messages."""
    endpoint_field: str = "spec"
    """The field that says the endpoint."""
    access: AccessRules | None = None
    """How its endpoints are reached, where a driver is opened for each; None: they are not reached by a driver of
    the documents."""
    former_names: Callable[[ResourceKey, DesiredState, ResourceFacts], list[ResourceKey]] = _no_former_names
    """The names under which the backend may still hold what is this one's; none that is declared itself."""
    renamed: Callable[
        [DesiredState, Mapping[ResourceKey, ResourceFacts]], Mapping[ResourceKey, ResourceFacts | None]
    ] = _nothing_renamed
    """What is remembered differently because documents of the kind say what they were called before, of whatever
    kind; None: nothing any more."""
    implied: Callable[[ResourceKey], Implied | None] = _declared_itself
    """Whose document implies it, by its key; None for one that has a document of its own."""
    turns: TurnOrder | None = None
    """Who goes first of those that are given the next free one of the same; None: nothing is given in turn."""
    admit: Callable[[DesiredState, Facts], Iterable[Diagnostic]] | None = None
    """Why a state must not take force, for what is remembered: something of the kind is in use, and would go."""
    advise: (
        Callable[[Collection[ResourceKey], DesiredState, ObservedState, Facts, datetime], Iterable[Diagnostic]] | None
    ) = None
    """Warnings beside a plan of these resources, of any kind."""
    refusal_is_final: bool = False
    """A refusal is about the resource alone: nothing that happens to another resource changes it."""
    in_fleet: bool = False
    """Guards count it: as declared, lost, unreachable, taken down."""
    joins: bool = False
    """Those that are first declared while others of the kind go are kept apart from those that were there before."""
    placed: bool = False
    """It gets resources of another kind, as a claim gets machines: it waits while none fits, and is observed again when
    one may fit."""
    inventoried: bool = False
    """Its parts are read and kept, and labels follow from them."""
    columns: tuple[Column, ...] = ()
    """What `get` shows beside the name and the status."""
    shown: Callable[[ResourceKey, DesiredState, Facts], Shown] = _nothing_more
    """What `get` and `describe` show of it beside that."""
    conditions: Callable[[Resource[Any], ResourceFacts, Observation | None], Iterable[Condition]] = _no_conditions
    """Its own conditions, beside Ready, Reconciling and Stalled."""
    fact_rules: FactRules = FactRules()
    """How what is remembered of it changes, and of which type that is."""
    paused: Callable[[Any], bool] = _never
    """Whether people work on it, by its spec, so that nothing is sent."""
    unavailable: Callable[[Any, ResourceFacts], bool] = _serves
    """Whether what is observed and remembered shows that it does not do its work."""
    under_way: Callable[[ResourceFacts, datetime], bool] = _at_rest
    """Whether something was begun with it that is to be ended, so that no window holds it."""
    gives_up: Callable[[Action], Iterable[ResourceKey]] = _nothing_else
    """The other resources that one of its actions gives up, as a claim its machines: their guards judge it too."""
    adoption: Adoption | None = None
    """How one that is only observed is taken over; None: groundstate manages all that are declared."""
    counted: tuple[CountedGauge, ...] = ()
    """What the metrics count of it, beside its status."""
    levels: LevelGauge | None = None
    """How full it is, for the metrics; None: nothing is given out of it."""

    @property
    def facts(self) -> type[ResourceFacts] | None:
        """What is remembered of it: its own type, where it remembers more than every kind; None: it is not
        reconciled, and nothing is remembered."""
        return None if self.rules is None else self.fact_rules.facts_type

    def endpoint_of(self, resource: Resource[Any] | None) -> str:
        """The system that its actions reach; empty where the kind has none, and for what is not declared."""
        return "" if self.endpoint is None or resource is None else self.endpoint(resource.spec)

    def lock_of(self, resource: Resource[Any] | None) -> str:
        """What one of its actions excludes; empty where nothing is."""
        return "" if self.lock is None or resource is None else self.lock(resource.spec)

    def depends_on(self, resource: Resource[Any]) -> list[ResourceKey]:
        """The resources that its document names, in order and once: by the schema's references."""
        readers = named_resources(self.spec_type)
        found = (ResourceKey(target, name) for read, target in readers for name in read(resource.spec))
        return list(dict.fromkeys(found))
