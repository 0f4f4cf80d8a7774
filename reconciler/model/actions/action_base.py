"""What every action says of itself, and the actions that any kind can use."""

from __future__ import annotations

from collections.abc import Container
from enum import StrEnum
from typing import Any, ClassVar

import msgspec

from reconciler.model.values.resource_key import ResourceKey


class Disruption(StrEnum):
    """How much an action hurts. DISRUPTIVE takes a machine down; DESTRUCTIVE gives up what cannot be had back."""

    NONE = "none"
    DISRUPTIVE = "disruptive"
    DESTRUCTIVE = "destructive"


class Prerequisite(msgspec.Struct, frozen=True):
    """A managed field without which an action would do harm; in words why, and how to proceed."""

    path: str
    """The field that must come first."""
    reason: str
    """Why."""
    hint: str
    """How to proceed where that field is held."""


def item_path(field: str, item: str) -> str:
    """The path of one item of a managed field, such as a port: `spec.ports[swp1]`. Its hold, failure and drift are
    its own."""
    return f"{field}[{item}]"


class ActionBase(msgspec.Struct, frozen=True, tag_field="action", kw_only=True):
    """Each action says for itself what its `disruption` is: none is assumed to take nothing down."""

    path: ClassVar[str] = "metadata"
    """The managed field that it serves."""
    needs: ClassVar[Prerequisite | None] = None
    """What must not be held, or the action is held too."""
    undoes: ClassVar[tuple[str, ...]] = ()
    """The managed fields that are not as they were applied once it is done: that is no drift."""

    reads_back: ClassVar[bool] = False
    """What was accepted shows at once: where it reads back as something else, the endpoint has not kept it."""
    brings_up: ClassVar[bool] = False
    """It makes a resource serve again: no guard keeps one down."""
    releases: ClassVar[bool] = False
    """What a project has is taken back, and wiped."""
    needs_boot_service: ClassVar[bool] = False
    """It comes to nothing where nothing answers a machine that starts from the network."""
    retries_refusal: ClassVar[bool] = False
    """It has to be done in the end: no refusal is final."""
    doubt: ClassVar[str] = ""
    """Why what got no reply is not sent again, where `once` holds."""

    key: ResourceKey
    """The resource that the action is for."""
    reason: str = ""
    """For people. Never read back for a decision."""

    @property
    def served_path(self) -> str:
        """The managed field that it serves, or the one item of it."""
        return self.path

    def is_held_by(self, paths: Container[str | None]) -> bool:
        """Whether a hold on one of these paths is on it: of its field, or of its item."""
        return self.served_path in paths

    @property
    def once(self) -> bool:
        """Whether it is never sent again on a guess: the other side may have used the first one up."""
        return False

    @property
    def others(self) -> tuple[object, ...]:
        """The other resources that it is about, such as the machines of a claim: an action on others is another one."""
        return ()

    @property
    def replaces(self) -> bool:
        """Whether what does the work is replaced by something else, as by an installation."""
        return False

    @property
    def detail(self) -> str:
        """What is asked for, in a word, such as the Redfish ResetType; empty where the action's word says it."""
        return ""

    @property
    def name(self) -> str:
        """The action's word, such as `power-on`."""
        return str(self.__struct_config__.tag)


class SetValue(ActionBase, frozen=True, tag="set-value", omit_defaults=True):
    """Make a managed field, or one item of it, be as declared, in the way that the kind's backend knows. The action of
    kinds whose endpoint needs no other."""

    disruption: ClassVar[Disruption] = Disruption.NONE
    field: str
    """The managed field's path."""
    value: Any
    """What the field, or the item, is set to."""
    item: str | None = None
    """Which item of the field it is about, such as a port; None: all of it."""
    context: Any = None
    """What the backend must know beside the value, such as the values of the other items. It is not shown."""

    @property
    def served_path(self) -> str:
        """Of the field, or of its item."""
        return self.field if self.item is None else item_path(self.field, self.item)

    def is_held_by(self, paths: Container[str | None]) -> bool:
        """A hold on the whole field is on each of its items."""
        return self.field in paths or self.served_path in paths

    @property
    def detail(self) -> str:
        """What becomes what, as documents and plans write it."""
        value = self.value if isinstance(self.value, str) else msgspec.json.encode(self.value).decode()
        return f"{self.served_path} {value}"


class SetValueDisruptively(SetValue, frozen=True, tag="set-value-disruptively", omit_defaults=True):
    """The same, where it takes something down that others use, such as a port with a host behind it."""

    disruption: ClassVar[Disruption] = Disruption.DISRUPTIVE


class Forget(ActionBase, frozen=True, tag="forget"):
    """Stop knowing a resource that git no longer declares. Nothing is sent to the outside."""

    disruption: ClassVar[Disruption] = Disruption.NONE
