"""What became of a write: that the other side accepted it, and the Task that carries it out where there is one."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class TaskState(StrEnum):
    """`Task.TaskState` (DMTF DSP2046)."""

    NEW = "New"
    STARTING = "Starting"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    INTERRUPTED = "Interrupted"
    PENDING = "Pending"
    STOPPING = "Stopping"
    COMPLETED = "Completed"
    KILLED = "Killed"
    EXCEPTION = "Exception"
    SERVICE = "Service"
    CANCELLING = "Cancelling"
    CANCELLED = "Cancelled"


_FAILED = frozenset({TaskState.KILLED, TaskState.EXCEPTION, TaskState.CANCELLED})
_ENDED = _FAILED | {TaskState.COMPLETED}
_CRITICAL = "Critical"


class Task(msgspec.Struct, frozen=True, omit_defaults=True):
    """One look at a Task. `state` None: the BMC names none that is known. `status`: `Task.TaskStatus`, a health.
    `percent`: 0 to 100, where the BMC says it. `messages`: the BMC's own words, fit to be kept and shown."""

    state: TaskState | None = None
    """`Task.TaskState`; None: the BMC names none that is known."""
    status: str | None = None
    """`Task.TaskStatus`, a health."""
    percent: int | None = None
    """0 to 100, where the BMC reports it."""
    messages: tuple[str, ...] = ()
    """The BMC's own words."""
    is_gone: bool = False
    """The BMC has no such Task any more; all else is what it reported last."""

    @property
    def ended(self) -> bool:
        """Whether the BMC says that nothing more will come of it."""
        return self.state in _ENDED

    @property
    def failed(self) -> bool:
        """Whether the BMC says that the write came to nothing. A Task may be Completed and Critical at once: iDRAC,
        JCP052 (ironcore-dev/metal-operator#453). A Task that is still at work has not failed, whatever its health."""
        if self.state in _FAILED:
            return True
        return self.status == _CRITICAL and (self.state is None or self.state in _ENDED)

    def __str__(self) -> str:
        """In words: `Running, 40 %: Powering on`."""
        health = f" with TaskStatus {self.status}" if self.status == _CRITICAL else ""
        percent = f", {self.percent} %" if self.percent is not None and self.state not in _ENDED else ""
        said = f": {' '.join(self.messages)}" if self.messages else ""
        return f"{self.state or 'an unknown state'}{health}{percent}{said}"


class Accepted(msgspec.Struct, frozen=True):
    """What a write returns: the other side took it. `handle`: by which its Task can be asked for (`Tasks.task`), also
    by another process; None where there is no Task. `task`: what the answer to the write said of the Task."""

    handle: str | None = None
    task: Task | None = None


ACCEPTED = Accepted()
"""Accepted, without a Task."""
