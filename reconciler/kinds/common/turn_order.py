"""TurnOrder: of several resources that are each given the next free one of the same, who comes first. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from reconciler.model.actions.action import Action
from reconciler.model.observation import ObservedState
from reconciler.model.resource import DesiredState, ResourceKey


class TurnOrder(msgspec.Struct, frozen=True):
    """How a kind keeps them."""

    ahead: Callable[[Action, DesiredState, ObservedState], Iterable[ResourceKey]]
    """Those that lack one of the same as the action takes, and come before it, the nearest first."""
    takes: Callable[[Iterable[Action]], bool]
    """Whether something is taken of which others wait for the next."""
    words: str
    """What the first one does, to follow its name: `acquires its address, prefix or number first`."""
