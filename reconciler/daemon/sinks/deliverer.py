"""The lanes of all declared sinks: each has a thread of its own, so that a slow or dead sink delays only itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from reconciler import runtime
from reconciler.daemon.sinks.lane import Lane, LaneSettings
from reconciler.kinds.sink.spec import EventSinkSpec
from reconciler.model.sink_state import SinkReport

LOOK_SECONDS = 1.0
"""How often the documents are read."""
COUNT_SECONDS = 5.0
"""How often the lags are counted."""
LANES_LEAVE_SECONDS = 5.0
"""For all lanes to finish what they have in hand."""


class Deliverer:
    """Keeps one lane for each declared sink.

    `declared`: the sinks that are in force, by name; None while no revision is. `counted` gets their reports.
    """

    def __init__(
        self,
        settings: LaneSettings,
        declared: Callable[[], Mapping[str, EventSinkSpec] | None],
        counted: Callable[[Mapping[str, SinkReport]], None],
    ) -> None:
        self._settings, self._declared, self._counted = settings, declared, counted
        self._lanes: dict[str, tuple[Lane, runtime.Thread]] = {}
        self._leaving: list[tuple[str, runtime.Thread]] = []
        self._broke: list[BaseException] = []

    def run(self, stop: runtime.Flag) -> None:
        """Work until `stop`. Raises StoreError: without the store there is no work."""
        counted = runtime.monotonic() - COUNT_SECONDS
        known: set[str] | None = None
        try:
            while not stop.wait(LOOK_SECONDS):
                if self._broke:
                    raise runtime.thread_failure(self._broke[0])
                declared = self._declared()
                if declared is None:
                    continue
                known = self._arrange(declared, known)
                if runtime.monotonic() - counted >= COUNT_SECONDS:
                    counted = runtime.monotonic()
                    self._counted(self._settings.store.sinks.reports() if declared else {})
        finally:
            self._leave()

    def _arrange(self, declared: Mapping[str, EventSinkSpec], known: set[str] | None) -> set[str]:
        """Begin, end and change lanes, so that they are as declared; what has a cursor."""
        for name in [name for name, (lane, _) in self._lanes.items() if declared.get(name) != lane.spec]:
            self._end(name)
        if known != set(declared):
            self._settings.store.sinks.keep(list(declared))
            # A new sink gets what happens from now on; `sink replay` sends what was before.
            end = self._settings.store.last_event()
            for name in declared:
                self._settings.store.sinks.begin(name, end)
        self._leaving = [(name, thread) for name, thread in self._leaving if thread.is_alive()]
        busy = {name for name, _ in self._leaving}
        for name, spec in declared.items():
            # Two lanes of one sink would send out of order, so the new one waits for the end of the former one.
            if name not in self._lanes and name not in busy:
                self._begin(name, spec)
        return set(declared)

    def _begin(self, name: str, spec: EventSinkSpec) -> None:
        lane = Lane(name, spec, self._settings)
        thread = runtime.thread(lambda: self._guarded(lane), f"sink-{name}")
        self._lanes[name] = (lane, thread)
        thread.start()

    def _guarded(self, lane: Lane) -> None:
        try:
            lane.run()
        except BaseException as error:  # noqa: BLE001  raised by `run`
            self._broke.append(error)

    def _end(self, name: str) -> None:
        lane, thread = self._lanes.pop(name)
        lane.stop()
        self._leaving.append((name, thread))

    def _leave(self) -> None:
        for name in list(self._lanes):
            self._end(name)
        deadline = runtime.monotonic() + LANES_LEAVE_SECONDS
        for _, thread in self._leaving:
            thread.join(max(0.0, deadline - runtime.monotonic()))
