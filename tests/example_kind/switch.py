"""An example of a kind that is added by its own module: a switch with ports. Copied into the tree by its test."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from reconciler.kinds.common.column import observed_column
from reconciler.kinds.common.fields import PartitionRef, Spec
from reconciler.kinds.common.kind import Kind, KindView, Steps
from reconciler.kinds.common.managed_field import Field
from reconciler.model.action import Action, Forget
from reconciler.model.plan import Hold, HoldKind
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


class SwitchRules:
    """Implements Rules: a field for each port."""

    def fields(self, resource: Resource[SwitchSpec], look: KindView) -> tuple[Field, ...]:
        """Each port by its own path."""
        seen = look.value.ports
        return tuple(
            Field(f"spec.ports.{port.name}", port.enabled, seen.get(port.name), seen.get(port.name) == port.enabled)
            for port in resource.spec.ports
        )

    def steps(self, resource: Resource[SwitchSpec], look: KindView, fields: tuple[Field, ...]) -> Steps:
        """A port that the switch does not have is held by itself."""
        missing = (one for one in fields if one.observed is None)
        return Steps((), tuple(Hold(HoldKind.BLOCKED, "port", "no such port", "plug it in", m.path) for m in missing))

    def removal(self, look: KindView) -> Steps:
        """It is forgotten."""
        return Steps((Forget(key=look.key, reason="no longer declared"),))

    def confirmed(self, action: Action, value: Any) -> bool:
        """Nothing is sent to it."""
        return False

    def patience(self, action: Action, resource: Resource[Any] | None) -> float:
        """Nothing is sent to it."""
        return 0.0


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
    columns=(observed_column("UP", lambda state: sum(state.ports.values())),),
)
