"""The lanes of all declared sinks: each has a thread of its own, so that a slow or dead sink delays only itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

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


class DeclaredSinks(msgspec.Struct, frozen=True):
    """The sinks of the revision in force, by name."""

    revision: str
    sinks: Mapping[str, EventSinkSpec]


class Deliverer:
    """Keeps one lane for each declared sink.

    `declared`: the sinks that are in force; None while no revision is. `counted` gets their reports.
    """

    def __init__(
        self,
        settings: LaneSettings,
        declared: Callable[[], DeclaredSinks | None],
        counted: Callable[[Mapping[str, SinkReport]], None],
    ) -> None:
        self._settings, self._declared, self._counted = settings, declared, counted
        self._lanes: dict[str, tuple[Lane, runtime.Thread]] = {}
        self._leaving: list[tuple[str, runtime.Thread]] = []
        self._broke: list[BaseException] = []
        self._known: Mapping[str, tuple[str, ...]] | None = None

    def run(self, stop: runtime.Flag) -> None:
        """Work until `stop`. Raises StoreError: without the store there is no work."""
        counted = runtime.monotonic() - COUNT_SECONDS
        try:
            while not stop.wait(LOOK_SECONDS):
                if self._broke:
                    raise runtime.thread_failure(self._broke[0])
                declared = self._declared()
                if declared is None:
                    continue
                self.arrange(declared)
                if runtime.monotonic() - counted >= COUNT_SECONDS:
                    counted = runtime.monotonic()
                    self._counted(self._settings.store.sinks.reports() if declared.sinks else {})
        finally:
            self.leave()

    def arrange(self, declared: DeclaredSinks) -> None:
        """Begin, end and change lanes, so that they are as declared. Raises StoreError."""
        sinks = declared.sinks
        for name in [name for name, (lane, _) in self._lanes.items() if sinks.get(name) != lane.spec]:
            self._end(name)
        former = {name: spec.former for name, spec in sinks.items()}
        if self._known != former:
            store, all_ = self._settings.store, self._settings
            for event in store.sinks.arrange(former, declared.revision, all_.now(), all_.described):
                all_.report(event)
            self._known = former
        self._leaving = [(name, thread) for name, thread in self._leaving if thread.is_alive()]
        busy = {name for name, _ in self._leaving}
        for name, spec in sinks.items():
            # Two lanes of one sink would send out of order, so the new one waits for the end of the former one.
            if name not in self._lanes and busy.isdisjoint((name, *spec.former)):
                self._begin(name, spec)

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

    def leave(self) -> None:
        """End all lanes, and wait a few seconds for what they have in hand."""
        for name in list(self._lanes):
            self._end(name)
        deadline = runtime.monotonic() + LANES_LEAVE_SECONDS
        for _, thread in self._leaving:
            thread.join(max(0.0, deadline - runtime.monotonic()))
