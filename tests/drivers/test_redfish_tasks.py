"""A write that a BMC answers with 202 and a Task gives a handle; the Task is read for what the BMC says of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from drivers.base import (
    Accepted,
    Bmc,
    BootEnabled,
    BootOverride,
    BootTarget,
    Busy,
    DriverError,
    IndicatorLED,
    NoSuchTask,
    Rejected,
    ResetType,
    Task,
    TaskState,
    Unreachable,
)
from tests.drivers.bmc_servers import DROP, RESET, ROOT, SYSTEM, Answer, RedfishServer, extended, reply, system

TASK = f"{ROOT}/TaskService/Tasks/JID_1"
MONITOR = f"{ROOT}/TaskService/TaskMonitors/JID_1"
DRIVE = f"{SYSTEM}/VirtualMedia/1"
INSERT, EJECT = f"{DRIVE}/Actions/VirtualMedia.InsertMedia", f"{DRIVE}/Actions/VirtualMedia.EjectMedia"
IMAGE = "https://images.example/agent.iso"


def task(state: str = "Running", **fields: object) -> dict[str, Any]:
    return {"@odata.id": TASK, "@odata.type": "#Task.v1_7_0.Task", "Id": "JID_1", "TaskState": state, **fields}


@pytest.fixture
def drive(server: RedfishServer) -> None:
    """A virtual drive of the system's."""
    actions = {"#VirtualMedia.InsertMedia": {"target": INSERT}, "#VirtualMedia.EjectMedia": {"target": EJECT}}
    listed = {"@odata.id": f"{SYSTEM}/VirtualMedia"}
    server.documents[SYSTEM] = system(VirtualMedia=listed)
    server.documents[f"{SYSTEM}/VirtualMedia"] = {"Members": [{"@odata.id": DRIVE}]}
    server.documents[DRIVE] = {
        "@odata.id": DRIVE,
        "Id": "1",
        "MediaTypes": ["CD"],
        "Inserted": False,
        "Actions": actions,
    }


WRITES: dict[str, tuple[str, str, Callable[[Bmc], Accepted]]] = {
    "power": ("POST", RESET, lambda bmc: bmc.reset(ResetType.ON)),
    "boot": ("PATCH", SYSTEM, lambda bmc: bmc.set_boot(BootOverride(BootTarget.PXE, BootEnabled.ONCE))),
    "indicator": ("PATCH", SYSTEM, lambda bmc: bmc.set_indicator(IndicatorLED.LIT)),
    "virtual media": ("POST", INSERT, lambda bmc: bmc.insert_media(IMAGE)),
}


@pytest.mark.usefixtures("drive")
@pytest.mark.parametrize("write", WRITES)
def test_every_write_gives_the_handle_of_its_task(bmc: Bmc, server: RedfishServer, write: str) -> None:
    method, path, send = WRITES[write]
    assert send(bmc) == Accepted()
    server.misbehave(method, path, reply(202, None, f"Location: {MONITOR}"))
    assert send(bmc) == Accepted(MONITOR)


@pytest.mark.usefixtures("drive")
def test_an_eject_gives_the_handle_of_its_task(bmc: Bmc, server: RedfishServer) -> None:
    assert bmc.eject_media(IMAGE) == Accepted()
    server.documents[DRIVE] = {**server.documents[DRIVE], "Inserted": True, "Image": IMAGE}
    server.misbehave("POST", EJECT, reply(202, None, f"Location: {MONITOR}"))
    assert bmc.eject_media(IMAGE) == Accepted(MONITOR)


def test_an_led_by_location_gives_a_handle_too(bmc: Bmc, server: RedfishServer) -> None:
    server.documents[SYSTEM] = system(IndicatorLED=..., LocationIndicatorActive=False)
    server.misbehave("PATCH", SYSTEM, reply(202, None, f"Location: {MONITOR}"))
    assert bmc.set_indicator(IndicatorLED.LIT) == Accepted(MONITOR)


@pytest.mark.parametrize(
    ("answer", "accepted"),
    [
        pytest.param(reply(204), Accepted(), id="no task"),
        pytest.param(reply(200, {}), Accepted(), id="an empty document"),
        pytest.param(reply(200, None, f"Location: {MONITOR}"), Accepted(), id="200 with a Location of something else"),
        pytest.param(reply(202), Accepted(), id="202 without a place"),
        pytest.param(reply(202, b"<html>", f"Location: {MONITOR}"), Accepted(MONITOR), id="202 with no document"),
        pytest.param(
            reply(202, None, f"Location: https://10.9.9.9:8443{MONITOR}?x=1"), Accepted(f"{MONITOR}?x=1"), id="a URL"
        ),
        pytest.param(reply(202, None, "Location: http://[::"), Accepted(), id="no URL at all"),
        pytest.param(reply(202, None, "Location: Tasks/1"), Accepted(), id="no path"),
        pytest.param(reply(202, None, f"Location: /{'x' * 5000}"), Accepted(), id="a Location without end"),
        pytest.param(
            reply(202, task(), f"Location: {MONITOR}"), Accepted(TASK, Task(TaskState.RUNNING)), id="both: the Task"
        ),
        pytest.param(reply(200, task("New")), Accepted(TASK, Task(TaskState.NEW)), id="200 with a Task"),
        pytest.param(
            reply(202, {"@odata.id": TASK, "@odata.type": "#Task.v1_4_3.Task", "Id": "JID_1"}),
            Accepted(TASK),
            id="a Task by its type, without a state and a Location",
        ),
        pytest.param(
            reply(202, {"TaskState": "Exception"}, f"Location: {MONITOR}"),
            Accepted(MONITOR, Task(TaskState.EXCEPTION)),
            id="a Task without a path that has failed",
        ),
    ],
)
def test_what_an_answer_says_of_a_task(bmc: Bmc, server: RedfishServer, answer: Answer, accepted: Accepted) -> None:
    server.misbehave("POST", RESET, answer)
    assert bmc.reset(ResetType.ON) == accepted


def message(text: str, severity: str = "OK") -> dict[str, str]:
    return {"MessageId": "IDRAC.2.8.PR19", "Message": text, "MessageSeverity": severity}


@pytest.mark.parametrize(
    ("document", "read"),
    [
        pytest.param(task(PercentComplete=40), Task(TaskState.RUNNING, None, 40), id="progress"),
        pytest.param(task(PercentComplete="40"), Task(TaskState.RUNNING), id="progress that is a text, F45"),
        pytest.param(task(PercentComplete=400), Task(TaskState.RUNNING), id="more than all"),
        pytest.param(task(PercentComplete=40.0), Task(TaskState.RUNNING, None, 40), id="a float, idrac_exporter#31"),
        pytest.param(task("Dreaming"), Task(), id="no known state"),
        pytest.param({"@odata.id": TASK, "Id": "JID_1"}, Task(), id="no state: not known to be completed"),
        pytest.param({"@odata.id": TASK, "TaskState": {"is": "odd"}}, Task(), id="a state that is no text"),
        pytest.param(
            task("Completed", TaskStatus="OK", Messages=[message("Done.")]),
            Task(TaskState.COMPLETED, "OK", None, ("Done.",)),
            id="completed",
        ),
        pytest.param(
            task("Exception", TaskStatus="Critical", Messages=[message("Begun."), message("No power.", "Critical")]),
            Task(TaskState.EXCEPTION, "Critical", None, ("No power.",)),
            id="failed: the grave words alone",
        ),
        pytest.param(
            task("Completed", TaskStatus="Critical", Messages=[message("Unable to complete the job.")]),
            Task(TaskState.COMPLETED, "Critical", None, ("Unable to complete the job.",)),
            id="F55, JCP052: metal-operator#453",
        ),
        pytest.param(task(Messages="none"), Task(TaskState.RUNNING), id="messages that are no list"),
        pytest.param(
            task("Exception", Messages=[{"MessageId": "Base.1.8.InternalError"}, 7]),
            Task(TaskState.EXCEPTION, None, None, ("Base.1.8.InternalError",)),
            id="a message by its id alone",
        ),
        pytest.param(
            {"JobState": "Failed", "Message": "Lifecycle Controller in use.", "PercentComplete": 100},
            Task(TaskState.EXCEPTION, None, 100, ("Lifecycle Controller in use.",)),
            id="a job of an iDRAC's own queue",
        ),
        pytest.param(
            {"JobState": "Scheduled", "Message": "Task successfully scheduled."},
            Task(TaskState.PENDING, None, None, ("Task successfully scheduled.",)),
            id="a job that is scheduled",
        ),
    ],
)
def test_a_task_is_read_as_far_as_it_makes_sense(
    bmc: Bmc, server: RedfishServer, document: dict[str, Any], read: Task
) -> None:
    server.documents[TASK] = document
    assert bmc.task(TASK) == read


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        pytest.param(reply(202), Task(TaskState.RUNNING), id="202: at work"),
        pytest.param(reply(202, task(PercentComplete=7)), Task(TaskState.RUNNING, None, 7), id="202 with the Task"),
        pytest.param(reply(204), Task(TaskState.COMPLETED), id="204: the answer to the write itself"),
        pytest.param(reply(200, {"PowerState": "On"}), Task(TaskState.COMPLETED), id="200: the same"),
    ],
)
def test_a_monitor_answers_in_place_of_the_write(bmc: Bmc, server: RedfishServer, answer: Answer, read: Task) -> None:
    """DSP0266, "Asynchronous operations"."""
    server.misbehave("GET", MONITOR, answer)
    assert bmc.task(MONITOR) == read


def test_a_task_that_answers_without_a_word_is_not_known_to_be_completed(bmc: Bmc, server: RedfishServer) -> None:
    for answer in (reply(204), reply(200, b"null"), reply(200, b"[]")):
        server.misbehave("GET", TASK, answer)
        assert bmc.task(TASK) == Task()


@pytest.mark.parametrize("monitor", [MONITOR, f"{ROOT}/TaskService/Tasks/0/Monitor"], ids=["DSP0266", "OpenBMC"])
@pytest.mark.parametrize("status", [400, 409, 422])
def test_a_monitor_that_answers_with_a_refusal_says_that_the_write_failed(
    bmc: Bmc, server: RedfishServer, monitor: str, status: int
) -> None:
    server.misbehave("GET", monitor, reply(status, extended("The lid is open.")))
    found = bmc.task(monitor)
    assert found.failed
    assert "The lid is open." in str(found)


@pytest.mark.parametrize(
    ("place", "answer", "error"),
    [
        pytest.param(TASK, reply(404, extended("No such job")), NoSuchTask, id="404, F52"),
        pytest.param(TASK, reply(400, extended("Invalid job")), Rejected, id="400 of a Task"),
        pytest.param(MONITOR, reply(400), Rejected, id="400 without a word"),
        pytest.param(MONITOR, reply(404, extended("Gone")), NoSuchTask, id="404 of a monitor"),
        pytest.param(TASK, reply(410, extended("Gone")), NoSuchTask, id="410"),
        pytest.param(TASK, reply(422, extended("Invalid job")), Rejected, id="422 of a Task"),
        pytest.param(TASK, reply(409, extended("Locked")), Busy, id="409 of a Task"),
        pytest.param(MONITOR, reply(422), Rejected, id="422 without a word"),
        pytest.param(MONITOR, reply(409), Busy, id="409 without a word"),
        pytest.param(MONITOR, reply(409, extended("Wait", "Base.1.8.ResourceInUse")), Busy, id="409: not now"),
        pytest.param(MONITOR, reply(503), Busy, id="503"),
        pytest.param(MONITOR, reply(500, extended("Broken")), Unreachable, id="500"),
        pytest.param(MONITOR, DROP, Unreachable, id="no answer"),
    ],
)
def test_a_task_that_cannot_be_read_is_an_error_and_no_failed_task(
    bmc: Bmc, server: RedfishServer, place: str, answer: Answer, error: type[DriverError]
) -> None:
    server.misbehave("GET", place, answer, times=None)
    with pytest.raises(error):
        bmc.task(place)


@pytest.mark.parametrize(
    ("state", "status", "failed"),
    [
        ("Exception", None, True),
        ("Killed", None, True),
        ("Cancelled", "OK", True),
        ("Completed", "Critical", True),
        ("Completed", "OK", False),
        ("Completed", "Warning", False),
        ("Running", "Critical", False),
        ("Cancelling", None, False),
    ],
)
def test_which_tasks_have_failed(state: str, status: str | None, failed: bool) -> None:
    assert Task(TaskState(state), status).failed is failed


def test_what_a_task_says_cannot_steer_a_terminal(bmc: Bmc, server: RedfishServer) -> None:
    server.documents[TASK] = task("Exception", Messages=[message("\x1b[2JAll is well" + "!" * 5000, "Critical")])
    (said,) = bmc.task(TASK).messages
    assert said.isprintable()
    assert len(said) <= 200
