"""Applying from the plan to the end, in the order that every caller keeps: plan, show, ask, carry out.

The caller shows what is planned, says whether to continue, and shows the progress (`ApplyDialogue`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from reconciler import runtime
from reconciler.model.plans.plan import Plan
from reconciler.operations.apply_plan import (
    ApplyResult,
    ApplySettings,
    Ending,
    Prepared,
    carry_out,
    keep_observed,
    prepare_apply,
    put_in_force,
)
from reconciler.operations.prospect import ObservedSoFar, PlanRequest
from reconciler.operations.workspace import Workspace
from reconciler.planning.guards.standing import CommandLimits
from reconciler.views.progress import Progress, ProgressRow


class ApplyDialogue(Protocol):
    """Who asks for the apply. An error that it raises ends the apply, and nothing more is sent."""

    def observing(self) -> AbstractContextManager[ObservedSoFar]:
        """As long as the plan is made: what is informed of how much was observed."""

    def show(self, prepared: Prepared) -> None:
        """Show the plan. Nothing was sent yet."""

    def confirm(self) -> bool:
        """Whether what was shown is to be sent."""

    def waiting(self, why: str) -> None:
        """The apply waits before it plans: another process was killed, and its lease has not ended yet."""

    def working(self, progress: Progress, stop: runtime.Flag) -> AbstractContextManager[Callable[[ProgressRow], None]]:
        """As long as the plan is carried out: what is informed of each row that changes. It may set `stop`."""


class FinishedApply(msgspec.Struct, frozen=True):
    """How an apply ended. `result` None: nothing was sent."""

    prepared: Prepared
    ending: Ending
    result: ApplyResult | None = None


def apply_desired(
    at: Workspace,
    asked: CommandLimits,
    request: PlanRequest,
    settings: ApplySettings,
    dialogue: ApplyDialogue,
    saved: Plan | None = None,
) -> FinishedApply:
    """Plan, show, ask, and carry out what was shown; with a saved plan, only as far as that is not stale.

    Raises OperationError, and StoreError, of which InstanceHeld says that another process is at work.
    """
    with dialogue.observing() as observed:
        prepared = prepare_apply(at, asked, request, saved, observed, dialogue.waiting)
    dialogue.show(prepared)
    if not prepared.begins:
        if prepared.is_as_declared:
            put_in_force(at, asked, prepared)
        else:
            keep_observed(at, prepared)
        return FinishedApply(prepared, prepared.ending)
    if not dialogue.confirm():
        return FinishedApply(prepared, Ending.UNDONE)
    progress, stop = Progress([change.key for change in prepared.changes]), runtime.flag()
    with dialogue.working(progress, stop) as report:
        result = carry_out(at, asked, prepared, settings, progress, report, stop)
    return FinishedApply(prepared, result.ending, result)
