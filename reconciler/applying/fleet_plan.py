"""The plan as of what was last observed, with the guards' survey of the whole fleet, which every reconcile asks for."""

from __future__ import annotations

from datetime import datetime

import msgspec

from reconciler.applying.context import Context
from reconciler.applying.state import EngineState
from reconciler.model.observation import INTERNAL
from reconciler.model.plan import Plan
from reconciler.model.resource import ResourceKey
from reconciler.planning.guards import FleetSurvey, disrupted, survey
from reconciler.planning.planner import plan

SURVEY_SECONDS = 1.0
"""For so long a survey is used again: it reads the whole fleet."""


class FleetPlanner:
    """Plans from what is remembered and observed. Whoever calls holds the state's gate."""

    def __init__(self, state: EngineState, context: Context) -> None:
        self._state, self._context = state, context
        self._last: tuple[datetime, FleetSurvey] | None = None

    def plan(self, select: set[ResourceKey] | None = None) -> Plan:
        """The plan, of all resources or of the selected ones. Raises RuntimeError while no desired state is in
        force."""
        if self._state.desired is None:
            raise RuntimeError("no desired state is in force")
        planned = plan(
            self._state.desired,
            self._state.observed,
            self._state.everything(),
            self._context.now(),
            self._context.policy(),
            waits=self._context.waits,
            select=select,
            fleet=self.fleet,
        )
        for one in planned.unknown:
            # Or else each plan would have to find out anew whom to leave out.
            seen = self._state.observed.get(one.key) if one.reason == INTERNAL else None
            if seen is not None and seen.error is None:
                self._state.set_aside(seen, one.message)
        return planned

    def fleet(self) -> FleetSurvey:
        """The survey as of now, or of a moment ago. A desired state must be in force."""
        assert self._state.desired is not None  # noqa: S101
        now, window = self._context.now(), self._context.policy().limits.window
        # A clock that was put back must not keep an old one in use.
        if self._last is None or not 0 <= (now - self._last[0]).total_seconds() < SURVEY_SECONDS:
            known = self._state.everything()
            self._last = (now, survey(self._state.desired, self._state.observed, known, now, window))
        # The budget is counted exactly, however old the rest of the survey.
        return msgspec.structs.replace(self._last[1], disrupted=disrupted(self._state.down(), now, window))

    def survey_again(self) -> None:
        """What was surveyed is not so any more."""
        self._last = None
