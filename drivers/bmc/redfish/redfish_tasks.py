"""Redfish Tasks (DSP0266, "Asynchronous operations"; DSP2046, Task): how an accepted write is getting on."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from drivers.base import ACCEPTED, Accepted, NoSuchTask, Task, TaskState, excerpt, hidden
from drivers.bmc.redfish.redfish_system import firmware_text, one_of
from drivers.bmc.redfish.wire.redfish_connector import OneShotConnector
from drivers.bmc.redfish.wire.redfish_errors import BadRequest, Conflicted, NotFound, Unprocessable
from drivers.bmc.redfish.wire.redfish_http import Reply

_LONGEST_HANDLE = 500
_MOST_MESSAGES, _LONGEST_MESSAGE = 5, 200
_RESOURCES = ("Tasks", "Jobs")
"""Collections whose members answer for themselves. Any other place is a Task Monitor, which answers in place of the
write, as OpenBMC's `/Tasks/0/Monitor` does."""
_JOB_STATES = {
    # Dell's JobState, where Location names a job of the iDRAC's own queue (dell/iDRAC-Redfish-Scripting).
    "Scheduled": TaskState.PENDING,
    "Downloading": TaskState.RUNNING,
    "Downloaded": TaskState.PENDING,
    "Failed": TaskState.EXCEPTION,
    "CompletedWithErrors": TaskState.EXCEPTION,
    "RebootFailed": TaskState.EXCEPTION,
    "RebootCompleted": TaskState.COMPLETED,
}


def accepted(reply: Reply) -> Accepted:
    """What the BMC's answer to a write says of a Task: the Task in its body, else the monitor in the Location of a 202.

    Of a Task with a path of its own that path is the handle. It stays readable when the Task has ended, which a monitor
    need not."""
    document = _document(reply)
    task = _task(document) if _is_task(document) else None
    is_named = task is not None or str(document.get("@odata.type")).startswith("#Task.")
    place = _place(document.get("@odata.id")) if is_named else None
    if place is None and reply.status_code == HTTPStatus.ACCEPTED:
        place = _place(reply.headers.get("Location"))
    return Accepted(place, task) if place is not None or task is not None else ACCEPTED


def read_task(connector: OneShotConnector, handle: str) -> Task:
    """One GET. Raises DriverError, NoSuchTask for a Task that is gone: BMCs forget them (iDRAC: also 404 for a job that
    was just made, sushy note fix-dell-bmc-404-race)."""
    try:
        reply = connector.get(handle)
    except NotFound as error:
        raise NoSuchTask(str(error)) from error
    except (BadRequest, Unprocessable, Conflicted) as error:
        if error.is_silent or _is_resource(handle):
            raise
        # A monitor answers as the write itself would have in the end.
        return Task(TaskState.EXCEPTION, messages=(str(error),))
    document = _document(reply)
    if _is_task(document):
        return _task(document)
    if reply.status_code == HTTPStatus.ACCEPTED:
        return Task(TaskState.RUNNING)
    return Task() if _is_resource(handle) else Task(TaskState.COMPLETED)


class Writes:
    """A connector that keeps what the BMC said to the writes that sushy sends through it."""

    def __init__(self, connector: OneShotConnector) -> None:
        self._connector = connector
        self.accepted = ACCEPTED

    def get(self, path: str = "", **more: Any) -> Reply:
        """See OneShotConnector."""
        reply: Reply = self._connector.get(path, **more)
        return reply

    def post(self, path: str = "", **more: Any) -> Reply:
        """See OneShotConnector."""
        return self._noted(self._connector.post(path, **more))

    def patch(self, path: str = "", **more: Any) -> Reply:
        """See OneShotConnector."""
        return self._noted(self._connector.patch(path, **more))

    def _noted(self, reply: Reply) -> Reply:
        """Of two writes for one change, the last with a Task counts."""
        found = accepted(reply)
        self.accepted = found if found != ACCEPTED else self.accepted
        return reply


def _document(reply: Reply) -> dict[str, Any]:
    if not reply.content:  # As most BMCs answer, with 204.
        return {}
    try:
        return reply.json()
    except ValueError:
        return {}


def _is_resource(handle: str) -> bool:
    return handle.partition("?")[0].rstrip("/").split("/")[-2] in _RESOURCES


def _is_task(document: dict[str, Any]) -> bool:
    return isinstance(document.get("TaskState", document.get("JobState")), str)


def _task(document: dict[str, Any]) -> Task:
    said = document.get("TaskState", document.get("JobState"))
    state = one_of(TaskState, said) or _JOB_STATES.get(str(said))
    status = firmware_text(document.get("TaskStatus", document.get("JobStatus")))
    task = Task(state, status, _percent(document.get("PercentComplete")))
    return Task(state, status, task.percent, _messages(document, grave_alone=task.failed))


def _percent(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        return None
    return int(value)


def _messages(document: dict[str, Any], *, grave_alone: bool) -> tuple[str, ...]:
    """The Task's messages, those that are not OK first; of a Task that failed, these alone where there are any. iDRAC
    jobs have one `Message` instead."""
    listed = document.get("Messages")
    entries = [one for one in (listed if isinstance(listed, list) else []) if isinstance(one, dict)]
    entries = entries or [document]
    grave = [one for one in entries if _severity(one) not in ("OK", "")]
    chosen = grave if grave and grave_alone else [*grave, *(one for one in entries if one not in grave)]
    words = (firmware_text(one.get("Message")) or firmware_text(one.get("MessageId")) for one in chosen)
    said = dict.fromkeys(excerpt(one, _LONGEST_MESSAGE) for one in words if one)
    return tuple(said)[:_MOST_MESSAGES]


def _severity(message: dict[str, Any]) -> str:
    found = message.get("MessageSeverity", message.get("Severity"))
    return found if isinstance(found, str) else ""


def _place(said: object) -> str | None:
    """The path that a Location or a link names, without its host; None where it cannot be one."""
    try:
        parts = urlsplit(said) if isinstance(said, str) else None
    except ValueError:
        return None
    if parts is None or not parts.path.startswith("/"):
        return None
    place = parts.path + (f"?{parts.query}" if parts.query else "")
    fits = len(place) <= _LONGEST_HANDLE and place.isascii() and place.isprintable() and " " not in place
    return place if fits and hidden(place) == place else None
