"""An example of a kind with an inventory, beside machines: a power strip, whose outlets a line protocol switches."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from drivers.base import Tls
from reconciler.kinds.common.access.access_rules import Access, AccessRules
from reconciler.kinds.common.column import observed_column
from reconciler.kinds.common.field_types.fields import PartitionRef, Spec
from reconciler.kinds.common.field_types.managed_field import Field
from reconciler.kinds.common.kind import Kind, KindView, Steps
from reconciler.model.actions.action import Action
from reconciler.model.actions.action_base import Forget, SetValue, SetValueDisruptively, item_path
from reconciler.model.plans.plan import Hold, HoldKind
from reconciler.model.resource import DesiredState, Resource, ResourceKey

OUTLETS = "spec.outlets"


class OutletSpec(Spec, frozen=True, kw_only=True):
    """An outlet."""

    name: Annotated[str, Meta(description="What the PDU calls the outlet.")]
    live: Annotated[bool, Meta(description="Whether the outlet gives power.")] = True


class PduSpec(Spec, frozen=True, kw_only=True):
    """A PDU."""

    partition: PartitionRef
    rack: Annotated[str | None, Meta(description="The rack that the PDU feeds.")] = None
    address: Annotated[str, Meta(description="HOST:PORT of its management interface.")]
    outlets: Annotated[tuple[OutletSpec, ...], Meta(description="Its outlets.")] = ()


class PduState(msgspec.Struct, frozen=True):
    """Whether each outlet gives power, by name."""

    outlets: dict[str, bool]


class PduRules:
    """Implements Rules. Each outlet is an item."""

    def fields(self, resource: Resource[PduSpec], look: KindView) -> tuple[Field, ...]:
        """One for each outlet of the document."""
        seen = look.value.outlets
        return tuple(
            Field(item_path(OUTLETS, one.name), one.live, seen.get(one.name), seen.get(one.name) == one.live)
            for one in resource.spec.outlets
        )

    def steps(self, resource: Resource[PduSpec], look: KindView, fields: tuple[Field, ...]) -> Steps:
        """The outlets that differ."""
        wanted = {item_path(OUTLETS, one.name): one for one in resource.spec.outlets}
        differing = [field for field in fields if not field.equal]
        return Steps(
            tuple(_switch(wanted[one.path], look) for one in differing),
            tuple(
                Hold(HoldKind.BLOCKED, "outlet", "the PDU has no such outlet", "correct the name", one.path)
                for one in differing
                if one.observed is None
            ),
        )

    def removal(self, look: KindView) -> Steps:
        """It is forgotten."""
        return Steps((Forget(key=look.key, reason="no longer declared"),))

    def confirmed(self, action: Action, value: Any) -> bool:
        """Whether the outlet is so now."""
        return isinstance(action, SetValue) and value.outlets.get(action.item) == action.value

    def patience(self, action: Action, resource: Resource[Any] | None) -> float:
        """Ten seconds."""
        return 10.0


def _switch(outlet: OutletSpec, look: KindView) -> SetValue:
    action = SetValue if outlet.live else SetValueDisruptively
    return action(key=look.key, field=OUTLETS, item=outlet.name, value=outlet.live, reason="the outlet differs")


def access_to_pdu(spec: PduSpec, desired: DesiredState) -> Access:
    """By its address alone."""
    return Access("pdu", spec.address, None, Tls(), None)


def access_words(desired: DesiredState) -> dict[ResourceKey, dict[str, str]]:
    """The same in words."""
    return {one.key: {"spec.address": one.spec.address} for one in desired.of_kind("Pdu")}


PDU = Kind(
    "Pdu",
    "pdus",
    (),
    "A power strip in a rack, and its outlets.",
    PduSpec,
    rules=PduRules(),
    observed_type=PduState,
    backend="pdu",
    made=False,
    endpoint=lambda spec: spec.address,
    lock=lambda spec: spec.address,
    refusal_is_final=True,
    in_fleet=True,
    inventoried=True,
    access=AccessRules(access_of=access_to_pdu, words=access_words, options=lambda _resources: ()),
    columns=(observed_column("LIVE", lambda state: sum(state.outlets.values())),),
)
