"""An event loop whose clock jumps to the next timer when nothing else can happen: hours of waiting take no time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Jumping(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.ahead = 0.0
        self.threads = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready, by loopback or a thread; if nothing is, the time of the next timer has come."""
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None or self.threads:
            return super().select(timeout)
        ready = super().select(0.002)
        if not ready:
            self.ahead += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        self.jumping = _Jumping()
        super().__init__(self.jumping)

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        """asyncio's hook. No time passes while a thread works."""
        self.jumping.threads += 1
        working = super().run_in_executor(executor, func, *args)
        working.add_done_callback(self._thread_done)
        return working

    def _thread_done(self, _working: object) -> None:
        self.jumping.threads -= 1

    def time(self) -> float:
        """asyncio's hook."""
        return super().time() + self.jumping.ahead


def in_virtual_time(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run it in such a loop."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work())


async def settled(turns: int = 20) -> None:
    """Let all that can go on go on, while no time passes."""
    for _ in range(turns):
        await asyncio.sleep(0)
