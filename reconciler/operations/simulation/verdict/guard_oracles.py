"""What must hold of windows, pauses and overrides. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from reconciler.model.event import Event, EventReason
from reconciler.operations.simulation.scenarios.declared_fleet import GUARD_NAME, DeclaredGuard
from reconciler.operations.simulation.scenarios.incidents import Incident
from reconciler.operations.simulation.verdict.record import SeenWrite, SimulatedRun

_HOUR = timedelta(hours=1)
"""For so long after a power-off, what follows on the machine ends what was begun. For so long a former guard judges."""
_SLACK = timedelta(seconds=10)
"""Between the moment at which a revision takes force, and its event."""
_OVERRIDDEN = f"guard/{GUARD_NAME}"
_REQUEST_ENDS = (EventReason.BOOT_REQUEST_ENDED, EventReason.FREED)


def begun_in_windows(run: SimulatedRun) -> Iterator[str]:
    """Nothing begins on a machine while the guard's window is closed, unless a person overrides the guard. What was
    begun before may end. A power-on is never held, with what belongs to it."""
    for write in in_closed_windows(run):
        if not (passes_by_override(run, write) or was_begun_before(run, write)):
            yield f"at {write.at:.1f} s, {write.value!r} for {write.machine} left, and the window was closed"
    for event in run.all_events:
        name = event.key.name if event.key is not None else ""
        if event.reason is not EventReason.RELEASING or name not in run.declared.managed:
            continue
        closed = [one for one in _guards(run, event.revision, event.at) if _is_closed(one, name, event.at)]
        if closed and not _may_be_overridden(run, closed, event.at):
            yield f"{name} was released at {event.at:%H:%M:%S}Z, and the window was closed"


def never_while_paused(run: SimulatedRun) -> Iterator[str]:
    """No action leaves for a machine that people have paused for longer than the daemon needs to notice."""
    for write in run.writes:
        if write.requests.pauses and write.flights:
            yield f"at {write.at:.1f} s, {write.value!r} for {write.machine} left, and the machine was paused"


def in_closed_windows(run: SimulatedRun) -> Iterator[SeenWrite]:
    """The writes to machines that are on, that were recorded while a window of the machine was closed."""
    for write in run.writes:
        if write.flights and write.was_on and _closed_guards(run, write):
            yield write


def passes_by_override(run: SimulatedRun, write: SeenWrite) -> bool:
    """Whether an override lets the write pass. None does if the guard is, or was within the hour, Absolute."""
    is_absolute = any(one.level == "Absolute" for one in _closed_guards(run, write))
    return not is_absolute and _OVERRIDDEN in write.requests.overrides


def was_begun_before(run: SimulatedRun, write: SeenWrite) -> bool:
    """Whether the write ends what was begun: the machine was taken down within the hour, ignored a shutdown, or has a
    boot request."""
    at, others = write.flights[0].sent_at, {one.id for one in write.flights}
    downs = [one.flights[0].sent_at for one in run.writes if one.machine == write.machine and one.powers_off]
    has_request = False
    for event in run.all_events:
        if event.key is None or event.key.name != write.machine or event.action_id in others:
            continue
        if event.reason is EventReason.SHUTDOWN_IGNORED or _takes_down(event):
            downs += (event.at, event.latest)
        if event.at <= at:
            has_request = event.reason is EventReason.BOOT_REQUESTED or (
                has_request and event.reason not in _REQUEST_ENDS
            )
    is_stepped = Incident.CLOCK_STEPPED in run.incidents
    return has_request or any(at - _HOUR < one < at or (is_stepped and one > at) for one in downs)


def _takes_down(event: Event) -> bool:
    return event.reason is EventReason.ACTION_SENT and event.about[:1] == ("power-off",)


def _closed_guards(run: SimulatedRun, write: SeenWrite) -> list[DeclaredGuard]:
    at = write.flights[0].sent_at
    event = run.event_of(write.flights[0])
    return [one for one in _guards(run, event.revision if event else None, at) if _is_closed(one, write.machine, at)]


def _guards(run: SimulatedRun, revision: str | None, at: datetime) -> Iterator[DeclaredGuard]:
    """The guards that judge then: that of the revision, and those that were in force within the hour before. Where the
    clock of the host jumps, an hour is what the clock says. A restored store has no record of former guards."""
    if (own := run.guard_of(revision)) is not None:
        yield own
    if not {Incident.CLOCK_STEPPED, Incident.RESTORED}.isdisjoint(run.incidents):
        return
    applied = [one for one in run.all_events if one.reason is EventReason.REVISION_APPLIED and one.about]
    for number, one in enumerate(applied):
        is_last = number + 1 == len(applied)
        if one.at + _SLACK <= at and (is_last or applied[number + 1].at > at - _HOUR + _SLACK):
            former = run.guard_of(one.about[0])
            if former is not None:
                yield former


def _is_closed(guard: DeclaredGuard, machine: str, at: datetime) -> bool:
    return machine in guard.machines and guard.closes <= at < guard.opens


def _may_be_overridden(run: SimulatedRun, guards: list[DeclaredGuard], at: datetime) -> bool:
    """Whether an override may have been in force then."""
    begins = timedelta(hours=2) if Incident.CLOCK_STEPPED in run.incidents else timedelta()
    return all(one.level != "Absolute" for one in guards) and any(
        one.guard == _OVERRIDDEN and one.at - begins <= at < one.until for one in run.overrides
    )
