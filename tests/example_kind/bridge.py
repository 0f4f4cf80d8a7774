"""An example of a kind that is added by its own module: a bridge with ports. Copied into the tree by its test."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from drivers.base import Tls
from reconciler.kinds.common.access.access_rules import Access, AccessRules
from reconciler.kinds.common.column import observed_column
from reconciler.kinds.common.fact_rules import FactRules
from reconciler.kinds.common.field_types.fields import PartitionRef, Spec
from reconciler.kinds.common.field_types.managed_field import Field
from reconciler.kinds.common.kind import Kind, KindView, Steps
from reconciler.model.actions.action import Action
from reconciler.model.actions.action_base import Forget, SetValue, SetValueDisruptively, item_path
from reconciler.model.facts import ResourceFacts
from reconciler.model.plans.plan import Hold, HoldKind
from reconciler.model.resource import DesiredState, Resource, ResourceKey


class PortSpec(Spec, frozen=True, kw_only=True):
    """A port."""

    name: Annotated[str, Meta(description="Its name on the bridge.")]
    enabled: Annotated[bool, Meta(description="Whether it is up.")] = True


class BridgeSpec(Spec, frozen=True, kw_only=True):
    """A bridge."""

    partition: PartitionRef
    address: Annotated[str, Meta(description="Its management address.")]
    ports: Annotated[tuple[PortSpec, ...], Meta(description="Its ports.")] = ()


class BridgeState(msgspec.Struct, frozen=True):
    """Whether each port is up, by name."""

    ports: dict[str, bool]


PORTS = "spec.ports"


class BridgeFacts(ResourceFacts, frozen=True, omit_defaults=True):
    """What is remembered of a bridge beside what is remembered of every resource."""

    writes: int = 0


class BridgeFactRules(FactRules):
    """How that changes: each action that is sent is a write more."""

    facts_type = BridgeFacts

    def sent(self, action: Action, facts: ResourceFacts) -> ResourceFacts:
        """One more."""
        assert isinstance(facts, BridgeFacts)
        return msgspec.structs.replace(facts, writes=facts.writes + 1)


def access_to_bridge(spec: BridgeSpec, desired: DesiredState) -> Access:
    """Its driver would be opened by this."""
    return Access("bridge", spec.address, None, Tls(), None)


def access_words(desired: DesiredState) -> dict[ResourceKey, dict[str, str]]:
    """The same of all bridges, in words."""
    return {one.key: {"spec.address": one.spec.address} for one in desired.of_kind("Bridge")}


class BridgeRules:
    """Implements Rules: each port is an item of one field, with a hold, a failure and a drift of its own."""

    def fields(self, resource: Resource[BridgeSpec], view: KindView) -> tuple[Field, ...]:
        """Each port by its own path."""
        seen = view.value.ports
        return tuple(
            Field(item_path(PORTS, port.name), port.enabled, up := seen.get(port.name), up == port.enabled)
            for port in resource.spec.ports
        )

    def steps(self, resource: Resource[BridgeSpec], view: KindView, fields: tuple[Field, ...]) -> Steps:
        """The ports that differ. One that the bridge does not have is held by itself."""
        wanted = {item_path(PORTS, port.name): port for port in resource.spec.ports}
        differing = [field for field in fields if not field.equal]
        return Steps(
            tuple(_set(wanted[one.path], view) for one in differing),
            tuple(
                Hold(HoldKind.BLOCKED, "port", "the bridge has no such port", "plug the module in", one.path)
                for one in differing
                if one.observed is None
            ),
        )

    def removal(self, view: KindView) -> Steps:
        """It is forgotten."""
        return Steps((Forget(key=view.key, reason="no longer declared"),))

    def confirmed(self, action: Action, value: Any) -> bool:
        """Whether the port is so now."""
        return isinstance(action, SetValue) and value.ports.get(action.item) == action.value

    def patience(self, action: Action, resource: Resource[Any] | None) -> float:
        """A bridge answers when it is done."""
        return 10.0


def _set(port: PortSpec, view: KindView) -> SetValue:
    """A port that goes down may have a host behind it."""
    action = SetValue if port.enabled else SetValueDisruptively
    return action(key=view.key, field=PORTS, item=port.name, value=port.enabled, reason="it differs")


BRIDGE = Kind(
    "Bridge",
    "bridges",
    ("br",),
    "A bridge and its ports.",
    BridgeSpec,
    rules=BridgeRules(),
    observed_type=BridgeState,
    backend="bridge",
    made=False,
    endpoint=lambda spec: spec.address,
    lock=lambda spec: spec.address,
    refusal_is_final=True,
    in_fleet=True,
    fact_rules=BridgeFactRules(),
    access=AccessRules(access_of=access_to_bridge, words=access_words, options=lambda _resources: ()),
    columns=(observed_column("UP", lambda state: sum(state.ports.values())),),
)
