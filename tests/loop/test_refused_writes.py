"""A real Redfish service that refuses each write in its own way, in virtual time: how often it is written to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from drivers.base import BmcDriver, Credential
from drivers.bmc.redfish.redfish import open_driver
from reconciler.model.resource import ResourceKey
from reconciler.planning.pacing import WRITES_AN_HOUR
from tests.drivers.bmc_servers import (
    DROP,
    LOGIN,
    RESET,
    SESSIONS,
    SYSTEM,
    Answer,
    RedfishServer,
    Request,
    extended,
    reply,
    service,
)
from tests.loop.world import World, declare

HOUR = 3600.0
FAR = "Retry-After: Sun, 30 Dec 2035 00:00:00 GMT"

STATUSES = (400, 401, 403, 404, 405, 409, 412, 423, 429, 500, 501, 502, 503, 504)
RETRY_AFTER = ("0", "1", "-5", "99999999999999", "1e9", "nan", "Mon, 29 Dec 2025 00:00:00 GMT", "garbage", "")
ANSWERS: dict[str, Answer] = {
    **{f"{status}": reply(status, extended("no")) for status in STATUSES},
    **{f"503 after {one or 'nothing'}": reply(503, extended("busy"), f"Retry-After: {one}") for one in RETRY_AFTER},
    "503 after a date": reply(503, None, FAR, "Date: Sat, 29 Dec 2035 23:59:59 GMT"),
    "503 after a date by no clock": reply(503, None, FAR),
    "a reset": DROP,
    "half an answer": Answer([b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"], close=True),
    "no HTTP": Answer([b"\x00\x01\xff\r\n\r\n"], close=True),
    "elsewhere": reply(301, None, "Location: /elsewhere"),
    "a task that fails": reply(202, {"TaskState": "Exception"}, "Location: /redfish/v1/TaskService/Tasks/1"),
    "no effect": reply(200, {}),
}
OF_EACH = ("401", "409", "500", "503 after 0", "no effect")
"""The answers to every kind of write; the others to one."""
OFF, ON = {"PowerState": "Off"}, {"PowerState": "On"}
WISHES: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "power on": ({"power": "On"}, OFF),
    "power off": ({"power": "Off", "shutdown": {"escalate": "Force", "timeoutSeconds": 30}}, ON),
    "LED": ({"indicatorLED": "Lit"}, ON),
    "boot": ({"boot": {"target": "Pxe", "enabled": "Continuous"}}, ON),
    "boot mode": ({"boot": {"target": "Pxe", "enabled": "Continuous", "mode": "Legacy"}}, ON),
}


class Refusing(RedfishServer):
    """Its own way of answering a write, and when each arrived."""

    def __init__(self, answer: Answer, seen: Mapping[str, Any]) -> None:
        super().__init__(None, service(**seen), None)
        self.world: World
        self.writes: list[float] = []
        self.drivers: list[BmcDriver] = []
        self._answer_to_writes = answer

    def open_driver(self) -> BmcDriver:
        """Another process's."""
        self.drivers.append(open_driver())
        return self.drivers[-1]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for driver in self.drivers:
            driver.close()
        self.world.store.close()
        super().__exit__(kind, error, trace)

    def _behave(self, request: Request) -> Answer:
        if request.method not in ("POST", "PATCH"):
            return super()._behave(request)
        self.writes.append(self.world.at)
        return self._answer_to_writes

    @property
    def most_in_an_hour(self) -> int:
        return max(sum(1 for other in self.writes if at <= other < at + HOUR) for at in self.writes)


def live(path: Path, server: Refusing, wanted: Mapping[str, Any], *, lives: int, seconds: float) -> World:
    world = server.world = World(path, driver=server.open_driver)
    bmc = {"driver": "redfish", "address": server.address, "systemId": "1", "tls": {"insecure": True}}
    world.commit(declare(("Machine", "m1", {"partition": "lab", "bmc": bmc, **wanted})))
    world.run(seconds)
    for _ in range(lives - 1):
        world.restart()
        world.run(seconds)
    return world


@pytest.mark.parametrize("wish", WISHES)
def test_however_a_bmc_refuses_it_gets_a_few_writes_an_hour(tmp_path: Path, wish: str) -> None:
    """A BMC that answered writes with 503 got 818 Resets in 15 minutes."""
    wanted, seen = WISHES[wish]
    for number, (name, answer) in enumerate(ANSWERS.items()):
        if wish != "power on" and name not in OF_EACH:
            continue
        path = tmp_path / f"{number}"
        path.mkdir()
        with Refusing(answer, seen) as server:
            world = live(path, server, wanted, lives=1, seconds=2 * HOUR)
            assert 1 <= server.most_in_an_hour <= WRITES_AN_HOUR, name
            assert world.crashes == []


NEVER: tuple[float, ...] = ()
SOON, SELDOM, LOOKED_AT = (5.0, 25.0, 105.0), (900.0, 2700.0), (20.0, 60.0)
AGAIN = {
    **dict.fromkeys((400, 404, 405, 410, 422, 501), NEVER),
    **dict.fromkeys((401, 403), SELDOM),
    **dict.fromkeys((409, 412, 423, 428, 429, 503), SOON),
    **dict.fromkeys((500, 502, 504), LOOKED_AT),
}


@pytest.mark.parametrize("status", AGAIN)
def test_when_a_refused_write_is_sent_again_follows_from_its_status(tmp_path: Path, status: int) -> None:
    """A Reset that was answered 403 was sent again as if it were busy, and a 404 too."""
    with Refusing(reply(status, extended("no")), OFF) as server:
        live(tmp_path, server, {"power": "On"}, lives=1, seconds=HOUR)
        after = [at - server.writes[0] for at in server.writes[1:]]
        expected = AGAIN[status]
        assert bool(after) is bool(expected)
        assert [
            round(at / wanted, 1) for at, wanted in zip(after, expected, strict=False) if not 0.7 <= at / wanted < 1.5
        ] == []


@pytest.mark.parametrize("name", ["503 after 0", "500", "401", "a reset", "no effect"])
def test_restarts_alter_nothing(tmp_path: Path, name: str) -> None:
    with Refusing(ANSWERS[name], OFF) as server:
        live(tmp_path, server, {"power": "On"}, lives=30, seconds=120)
        assert 1 <= server.most_in_an_hour <= WRITES_AN_HOUR


GRACEFUL = {
    "400": reply(400, extended("The operating system has no management agent", "Base.1.8.ActionNotSupported")),
    "403": reply(403, extended("Not in lockdown mode", "Base.1.8.InsufficientPrivilege")),
    "409": reply(409, extended("Not now")),
    "422": reply(422, extended("Not supported")),
    "503 for an hour": reply(503, extended("Busy"), "Retry-After: 3600"),
    "200 and an error": reply(200, extended("No agent is installed")),
    "500": reply(500, extended("InternalError")),
    "501": reply(501, extended("Not implemented")),
    "ignored": reply(204),
    "a task that fails": reply(202, {"TaskState": "Exception", "Messages": [{"Message": "No agent"}]}),
}


@pytest.mark.parametrize("shown", ["On", "PoweringOff"])
@pytest.mark.parametrize("name", GRACEFUL)
@pytest.mark.parametrize("escalate", ["Force", "Never"])
def test_a_graceful_shutdown_that_does_not_happen_comes_to_escalate_at_its_deadline(
    tmp_path: Path, name: str, escalate: str, shown: str
) -> None:
    """metal3-io/baremetal-operator#294, RackHD/RackHD#382, ironcore-dev/metal-operator#129 (it shows PoweringOff)."""
    kinds: list[tuple[float, str]] = []

    def answer(request: Request) -> Answer:
        kinds.append((server.world.at, request.json()["ResetType"]))
        if kinds[-1][1] == "ForceOff":
            server.documents[SYSTEM] = {**server.documents[SYSTEM], "PowerState": "Off"}
            return reply(204)
        server.documents[SYSTEM] = {**server.documents[SYSTEM], "PowerState": shown}
        return GRACEFUL[name]

    with Refusing(reply(204), ON) as server:
        server.misbehave("POST", RESET, answer, times=None)
        wanted = {"power": "Off", "shutdown": {"escalate": escalate, "timeoutSeconds": 60}}
        world = live(tmp_path, server, wanted, lives=1, seconds=600)
        forced = [at for at, kind in kinds if kind == "ForceOff"]
        assert "ShutdownIgnored" in world.reasons("m1")
        if escalate == "Force":
            assert len(forced) == 1
            assert forced[0] >= 60
            assert world.reasons("m1")[-1] == "ActionConfirmed"
        else:
            assert forced == []
            (change,) = world.engine.plan().changes
            assert "the graceful shutdown was ignored" in " ".join(hold.reason for hold in change.held_by)
        assert world.crashes == []


@pytest.mark.parametrize(
    ("wanted", "shown", "after"),
    [
        ({"power": "On"}, OFF, {"PowerState": "On"}),
        ({"indicatorLED": "Lit"}, ON, {"IndicatorLED": "Lit"}),
        ({"power": "Off", "shutdown": {"escalate": "Never"}}, ON, {"PowerState": "Off"}),
    ],
)
@pytest.mark.parametrize("status", [200, 400, 403, 409, 422, 501])
def test_what_was_refused_and_done_all_the_same_counts_as_done(
    tmp_path: Path, status: int, wanted: Mapping[str, Any], shown: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    """F19: ansible-collections/community.general#5091, apache/cloudstack#12921."""

    def answer(request: Request) -> Answer:
        server.documents[SYSTEM] = {**server.documents[SYSTEM], **after}
        return reply(status, extended("The request failed"))

    with Refusing(reply(204), shown) as server:
        for method, path in (("POST", RESET), ("PATCH", SYSTEM)):
            server.misbehave(method, path, answer, times=None)
        world = live(tmp_path, server, wanted, lives=1, seconds=5)
        assert [reason for reason in world.reasons("m1") if reason.startswith("Action")] == [
            "ActionSent",
            "ActionConfirmed",
        ]
        assert not world.engine.plan().changes


def test_a_corrected_credential_is_used_within_a_minute_and_the_wrong_one_is_tried_once(tmp_path: Path) -> None:
    """ibm-openbmc/dev#1544: agents fail to log in while a password is being changed."""
    login = [Credential("operator", "mistyped")]
    with Refusing(reply(204), OFF) as server:
        server._login = LOGIN
        world = server.world = World(tmp_path, driver=server.open_driver, secret=lambda _: login[0])
        bmc = {"driver": "redfish", "address": server.address, "systemId": "1", "tls": {"insecure": True}}
        bmc["credentialRef"] = {"env": "BMC"}
        world.commit(declare(("Machine", "m1", {"partition": "lab", "bmc": bmc, "power": "Off"})))
        world.run(600)
        assert server.count("POST", SESSIONS) == 1
        assert "AuthenticationFailed" in world.reasons("m1")
        login[0] = LOGIN
        world.run(60)
        assert world.reasons("m1")[-1] == "ReadableAgain"


def test_an_order_for_one_boot_is_never_given_twice(tmp_path: Path) -> None:
    """Whoever refuses it for certain may be asked again; of one whose reply was lost nobody knows."""
    boot = {"target": "Pxe", "enabled": "Once"}
    for number, name in enumerate(("500", "502", "504", "a reset", "half an answer", "no HTTP", "no effect")):
        path = tmp_path / f"{number}"
        path.mkdir()
        with Refusing(ANSWERS[name], OFF) as server:
            world = live(path, server, {}, lives=1, seconds=1)
            bmc = {"driver": "redfish", "address": server.address, "systemId": "1", "tls": {"insecure": True}}
            world.commit(declare(("Machine", "m1", {"partition": "lab", "bmc": bmc, "boot": boot}), revision="b" * 40))
            for _ in range(10):
                world.run(HOUR / 4)
                world.restart()
            assert len(server.writes) == 1, name


def test_a_date_to_come_back_at_counts_from_the_bmc_s_own_clock(tmp_path: Path) -> None:
    answer = reply(503, None, FAR, "Date: Sat, 29 Dec 2035 23:50:00 GMT")
    with Refusing(answer, OFF) as server:
        live(tmp_path, server, {"power": "On"}, lives=1, seconds=HOUR)
        assert server.writes[1] - server.writes[0] == 600


@pytest.mark.parametrize(
    ("answer", "reason", "terminal", "seconds"),
    [
        ("400", "Rejected", True, 300),
        ("401", "AuthenticationFailed", False, 900),
        ("403", "AuthenticationFailed", False, 900),
        ("404", "Rejected", True, 300),
        ("405", "Rejected", True, 300),
        ("409", "Busy", False, 5),
        ("412", "Busy", False, 5),
        ("501", "Unsupported", True, 300),
    ],
)
def test_the_status_of_a_refused_write_decides_what_follows(
    tmp_path: Path, answer: str, reason: str, terminal: bool, seconds: float
) -> None:
    """A Reset that was answered with 403 was sent again after 60 s, and one answered with 404 as well."""
    with Refusing(ANSWERS[answer], OFF) as server:
        world = live(tmp_path, server, {"power": "On"}, lives=1, seconds=1)
        failure = world.facts()[ResourceKey("Machine", "m1")].failures["spec.power"]
        assert (failure.reason, failure.terminal) == (reason, terminal)
        assert failure.retry_at is not None
        assert (failure.retry_at - failure.at).total_seconds() >= seconds * 0.75


@pytest.mark.parametrize(("answer", "words"), [("500", "HTTP 500: no"), ("a reset", "closed the connection")])
def test_a_write_without_a_clear_answer_is_reported_with_what_came_in_its_place(
    tmp_path: Path, answer: str, words: str
) -> None:
    with Refusing(ANSWERS[answer], OFF) as server:
        world = live(tmp_path, server, {"power": "On"}, lives=1, seconds=400)
        said = [one.message for one in world.events if one.reason == "ActionNotConfirmed"]
        assert said
        assert all("got no clear answer" in one and words in one for one in said)
