"""An example of a kind that is added by its own module: a switch with ports. Copied into the tree by its test."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from reconciler.kinds.common.column import observed_column
from reconciler.kinds.common.field_types.fields import PartitionRef, Spec
from reconciler.kinds.common.field_types.managed_field import Field
from reconciler.kinds.common.kind import Kind, KindView, Steps
from reconciler.model.action import Action, Forget, SetValue, SetValueDisruptively, item_path
from reconciler.model.plans.plan import Hold, HoldKind
from reconciler.model.resource import Resource


class PortSpec(Spec, frozen=True, kw_only=True):
    """A port."""

    name: Annotated[str, Meta(description="Its name on the switch.")]
    enabled: Annotated[bool, Meta(description="Whether it is up.")] = True


class SwitchSpec(Spec, frozen=True, kw_only=True):
    """A switch."""

    partition: PartitionRef
    address: Annotated[str, Meta(description="Its management address.")]
    ports: Annotated[tuple[PortSpec, ...], Meta(description="Its ports.")] = ()


class SwitchState(msgspec.Struct, frozen=True):
    """Whether each port is up, by name."""

    ports: dict[str, bool]


PORTS = "spec.ports"


class SwitchRules:
    """Implements Rules: each port is an item of one field, with a hold, a failure and a drift of its own."""

    def fields(self, resource: Resource[SwitchSpec], look: KindView) -> tuple[Field, ...]:
        """Each port by its own path."""
        seen = look.value.ports
        return tuple(
            Field(item_path(PORTS, port.name), port.enabled, up := seen.get(port.name), up == port.enabled)
            for port in resource.spec.ports
        )

    def steps(self, resource: Resource[SwitchSpec], look: KindView, fields: tuple[Field, ...]) -> Steps:
        """The ports that differ. One that the switch does not have is held by itself."""
        wanted = {item_path(PORTS, port.name): port for port in resource.spec.ports}
        differing = [field for field in fields if not field.equal]
        return Steps(
            tuple(_set(wanted[one.path], look) for one in differing),
            tuple(
                Hold(HoldKind.BLOCKED, "port", "the switch has no such port", "plug the module in", one.path)
                for one in differing
                if one.observed is None
            ),
        )

    def removal(self, look: KindView) -> Steps:
        """It is forgotten."""
        return Steps((Forget(key=look.key, reason="no longer declared"),))

    def confirmed(self, action: Action, value: Any) -> bool:
        """Whether the port is so now."""
        return isinstance(action, SetValue) and value.ports.get(action.item) == action.value

    def patience(self, action: Action, resource: Resource[Any] | None) -> float:
        """A switch answers when it is done."""
        return 10.0


def _set(port: PortSpec, look: KindView) -> SetValue:
    """A port that goes down may have a host behind it."""
    action = SetValue if port.enabled else SetValueDisruptively
    return action(key=look.key, field=PORTS, item=port.name, value=port.enabled, reason="it differs")


SWITCH = Kind(
    "Switch",
    "switches",
    ("sw",),
    "A switch and its ports.",
    SwitchSpec,
    rules=SwitchRules(),
    observed_type=SwitchState,
    backend="switch",
    made=False,
    endpoint=lambda spec: spec.address,
    lock=lambda spec: spec.address,
    refusal_is_final=True,
    columns=(observed_column("UP", lambda state: sum(state.ports.values())),),
)
