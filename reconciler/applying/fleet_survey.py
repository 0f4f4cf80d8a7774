"""The guards' view of the whole fleet, kept for a second, as every step asks for it."""

from __future__ import annotations

from datetime import datetime

import msgspec

from reconciler.applying.context import Context
from reconciler.applying.state import EngineState
from reconciler.planning.guards import FleetSurvey, disrupted, survey

SURVEY_SECONDS = 1.0


class FleetSurveyor:
    """Surveys what is remembered and seen."""

    def __init__(self, memory: EngineState, context: Context) -> None:
        self._memory, self._context = memory, context
        self._last: tuple[datetime, FleetSurvey] | None = None

    def fleet(self) -> FleetSurvey:
        """The survey as of now, or of a moment ago. A desired state must be in force."""
        assert self._memory.desired is not None  # noqa: S101
        now, window = self._context.now(), self._context.policy().limits.window
        # A clock that was put back must not keep an old one in use.
        if self._last is None or not 0 <= (now - self._last[0]).total_seconds() < SURVEY_SECONDS:
            known = self._memory.everything()
            self._last = (now, survey(self._memory.desired, self._memory.observed, known, now, window))
        # The budget is counted exactly, however old the rest of the survey.
        return msgspec.structs.replace(self._last[1], disrupted=disrupted(self._memory.down(), now, window))

    def again(self) -> None:
        """What was surveyed is not so any more."""
        self._last = None
