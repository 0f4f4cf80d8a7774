"""Which machines claims get, worked out once for each state of the fleet, as every step of a claim asks for it."""

from __future__ import annotations

from reconciler.applying.context import Context
from reconciler.applying.state import EngineState
from reconciler.placement.machine_tally import MachineTally
from reconciler.placement.place import dated, place_all
from reconciler.placement.placement_result import Placements


class PlacementMemo:
    """Places the claims by what is remembered and seen. Only for who holds the gate."""

    def __init__(self, state: EngineState, context: Context) -> None:
        self._state, self._context = state, context
        self._tally: MachineTally | None = None
        self._due = 0
        self._found: Placements = {}

    def placements(self) -> Placements:
        """What every claim has and would get now. A desired state must be in force."""
        desired, now = self._state.desired, self._context.now()
        assert desired is not None  # noqa: S101
        tally, changed, due = self._tally, self._state.drain_changed(), dated(desired, now)
        if tally is None or tally.fleet.desired is not desired or changed or due != self._due:
            # A failure leaves nothing behind that could be taken for the answer.
            self._tally = None
            facts, observed = self._state.everything(), self._state.observed
            if tally is None or tally.fleet.desired is not desired:
                tally = MachineTally.of(desired, observed, facts)
            else:
                tally.refresh(observed, facts, changed)
            self._found = place_all(desired, observed, facts, now, tally=tally)
            self._tally, self._due = tally, due
        return self._found
