"""Columns of `get`: a heading, and the cell under it. A kind names its own. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from reconciler.model.observation import Observation
from reconciler.model.outcome import Condition
from reconciler.model.plans.override import Override
from reconciler.model.plans.pause import ResourcePause
from reconciler.model.plans.plan import Hold
from reconciler.model.resource import Resource, ResourceKey
from reconciler.model.sink_state import SinkReport

NOTHING = "-"
"""The cell of what is not there."""


class ClaimSlot(msgspec.Struct, frozen=True):
    """A machine of a claim: in which slot, and how far it is."""

    slot: Annotated[int, Meta(description="The number of the slot, from 0.")]
    machine: Annotated[str, Meta(description="The name of the machine.")]
    phase: Annotated[str, Meta(description="The phase of the machine's lifecycle.")]


class Shown(msgspec.Struct, frozen=True):
    """What a kind shows of a resource beside columns and conditions, as it follows from what is remembered."""

    phase: str | None = None
    """How far its life is, where it is managed."""
    machines: tuple[ClaimSlot, ...] = ()
    """Those that it has."""


class OutlineBranch(msgspec.Struct, frozen=True):
    """A part of a resource, such as a port, and what is below it."""

    name: str
    """The name of the part."""
    words: str
    """Its state, for people."""
    below: tuple[tuple[str, str], ...] = ()
    """What is below it: each a heading and a text."""
    since: datetime | None = None
    """Since when the last of these is so; None: not known."""


class ResourceView(msgspec.Struct, frozen=True):
    """One resource as `get` and `describe` show it: declared, observed, and its conditions in a word and in full.
    `machines`: those of a claim."""

    key: ResourceKey
    """The resource."""
    resource: Resource[Any] | None
    """Its document; None: it is not declared."""
    observation: Observation | None
    """What was observed last; None: nothing."""
    status: str
    """Its conditions in a word."""
    conditions: tuple[Condition, ...]
    """Its conditions."""
    derived: Mapping[str, str] = {}
    """Labels that stand in no document."""
    machines: tuple[ClaimSlot, ...] = ()
    """Of a claim: its machines, by slot."""
    phase: str | None = None
    """Of a machine whose life is managed."""
    overrides: tuple[Override, ...] = ()
    """Those in force that cover it."""
    holds: tuple[Hold, ...] = ()
    """What keeps its change back, by a plan of what was seen last."""
    held_changes: tuple[ResourceKey, ...] = ()
    """Of a guard: whose changes it holds."""
    pauses: tuple[ResourcePause, ...] = ()
    """Those that stand and cover it."""
    delivery: SinkReport | None = None
    """Of an event sink: how far it is; None: the daemon has not begun with it."""
    outline: tuple[OutlineBranch, ...] = ()
    """Its parts, for `describe`."""


class Column(msgspec.Struct, frozen=True):
    """A heading and the cell under it; `wide` columns are shown with -o wide only."""

    title: str
    cell: Callable[[ResourceView, datetime], str]
    wide: bool = False


def spec_column(name: str, title: str, *, wide: bool = False) -> Column:
    """A field of the spec."""

    def cell(view: ResourceView, _: datetime) -> str:
        value = getattr(view.resource.spec, name, None) if view.resource else None
        return NOTHING if value is None else str(value)

    return Column(title, cell, wide)


def label_column(label: str, title: str) -> Column:
    """A label that stands in no document, for -o wide."""
    return Column(title, lambda view, _: view.derived.get(label, NOTHING), wide=True)


def observed_column(title: str, read: Callable[[Any], object], *, wide: bool = False) -> Column:
    """What `read` finds in the observed value; it is not called where nothing was observed."""

    def cell(view: ResourceView, _: datetime) -> str:
        seen = view.observation.value if view.observation else None
        value = None if seen is None else read(seen)
        return NOTHING if value is None else str(value)

    return Column(title, cell, wide)
