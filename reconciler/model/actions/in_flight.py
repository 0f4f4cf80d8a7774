"""An action that was sent, or may have been, from the moment at which it is written down."""

from __future__ import annotations

from datetime import datetime

import msgspec

from drivers.base import Task
from reconciler.model.actions.action import Action
from reconciler.model.values.resource_key import ResourceKey


class InFlight(msgspec.Struct, frozen=True, omit_defaults=True):
    """An action that was, or may have been, sent and is not yet known to have taken effect.

    Written down before the sending. `by`: who runs the program that sent it. `cause`: the commit or the drift. `place`:
    the system, as `BMC#id` (`BMC` alone where no id is declared), which alone can be observed to confirm it. Until
    `deadline` the machine is observed and nothing else is sent to it. `accepted`: the other side is known to have taken
    the action. `handle`: of the Task that carries it out there. `task`: what was last read of that Task. `refusal`: why
    the other side refused it, where the action is waited for all the same. `defect`: how the driver failed when it sent
    the action, or read its Task, in a way in which no driver should."""

    id: str
    key: ResourceKey
    action: Action
    sent_at: datetime
    deadline: datetime
    by: str
    cause: str
    place: str = ""
    accepted: bool = False
    handle: str | None = None
    task: Task | None = None
    refusal: str | None = None
    defect: str | None = None

    @property
    def task_words(self) -> str:
        """What the other side says of it, to follow a sentence; empty where that is nothing."""
        task = f"; its Task reports {self.task}" if self.task is not None else ""
        refused = f"; refused: {self.refusal}" if self.refusal is not None else ""
        return f"{task}{refused}" + (f"; {self.defect}" if self.defect is not None else "")

    @property
    def lock(self) -> str:
        """What is at work on it, as a BMC, to which nothing else is sent meanwhile, whatever the system or its name."""
        return self.place.partition("#")[0]
