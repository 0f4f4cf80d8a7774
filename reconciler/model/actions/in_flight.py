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
    the other side refused it, where the action is waited for all the same. `unclear`: the error in place of a clear
    answer. `defect`: how the driver failed when it sent the action, or read its Task, in a way in which no driver
    should."""

    id: str
    """Unique in all runs."""
    key: ResourceKey
    """The resource."""
    action: Action
    """The action."""
    sent_at: datetime
    """When it was recorded, right before it was sent."""
    deadline: datetime
    """Until then the resource is observed and nothing else is sent to it."""
    by: str
    """Who runs the program that sent it."""
    cause: str
    """The commit or the drift, in words."""
    place: str = ""
    """The system, as `BMC#id`, or `BMC` alone where no id is declared. Only this system can confirm the action."""
    accepted: bool = False
    """The other side is known to have taken the action."""
    handle: str | None = None
    """Of the Task that carries it out there; None: there is none."""
    task: Task | None = None
    """What was last read of that Task."""
    refusal: str | None = None
    """Why the other side refused it, where the action is waited for all the same."""
    unclear: str | None = None
    """What came in place of a clear answer, such as HTTP 500. The action may have been carried out."""
    defect: str | None = None
    """How the driver failed unexpectedly when it sent the action, or read its Task."""

    @property
    def task_words(self) -> str:
        """What the other side says of it, to follow a sentence; empty where that is nothing."""
        task = f"; {task_report(self.task, 'its Task')}" if self.task is not None else ""
        refused = f"; refused: {self.refusal}" if self.refusal is not None else ""
        return f"{task}{refused}" + (f"; {self.defect}" if self.defect is not None else "")

    @property
    def task_if_gone(self) -> Task | None:
        """What is known of the Task when the BMC does not know the Task. None for a Task that was never read: iDRAC
        answers 404 for a new job. A Task that has ended is unchanged, because BMCs delete such Tasks."""
        return self.task if self.task is None or self.task.ended else msgspec.structs.replace(self.task, is_gone=True)

    @property
    def lock(self) -> str:
        """What is at work on it, as a BMC, to which nothing else is sent meanwhile, whatever the system or its name."""
        return self.place.partition("#")[0]


def task_report(task: Task, name: str) -> str:
    """What the BMC says of a Task, in words; `name`: what the sentence calls the Task."""
    return f"the BMC no longer has {name}, which last reported {task}" if task.is_gone else f"{name} reports {task}"
