"""What long-lived commands do about garbage: found where it arises, and not looked for in a fleet that stays."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from reconciler.commands.terminal import live_long


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    callbacks = list(gc.callbacks)
    yield
    gc.callbacks[:] = callbacks
    gc.unfreeze()


class Knot:
    """Refers to itself."""

    def __init__(self) -> None:
        self.myself = self


def test_what_more_than_doubles_the_heap_is_left_alone_from_then_on() -> None:
    live_long()
    before = gc.get_freeze_count()
    fleet = [[number] for number in range(before + 1000)]
    gc.collect()
    assert gc.get_freeze_count() > before + 1000
    assert len(fleet) == before + 1000


def test_new_garbage_is_found_all_the_same() -> None:
    live_long()
    gc.collect()
    frozen = gc.get_freeze_count()
    knot = Knot()
    gone = weakref.ref(knot)
    del knot
    gc.collect()
    assert gone() is None
    assert gc.get_freeze_count() == frozen
