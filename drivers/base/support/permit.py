"""Whether a write may still leave. A process that stood still may have lost the store to another one meanwhile.

The reconciler says who is to be asked. A driver asks right before the bytes of a write, after connecting and logging
in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


def _nobody() -> None:
    """Outside the reconciler, writes are not asked about."""


_ASKED: ContextVar[Callable[[], None]] = ContextVar("permit", default=_nobody)


@contextmanager
def permitted_by(permit: Callable[[], None]) -> Iterator[None]:
    """Writes in this block ask `permit`, which raises LeaseEnded to forbid one."""
    before = _ASKED.set(permit)
    try:
        yield
    finally:
        _ASKED.reset(before)


def require_permit() -> None:
    """Call it right before a write is sent. Raises LeaseEnded: nothing may be sent."""
    _ASKED.get()()
