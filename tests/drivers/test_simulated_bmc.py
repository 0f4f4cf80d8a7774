"""The simulated BMC: what each request changes, and what comes of it later. Nothing here has a socket."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from msgspec.structs import replace

from drivers.base import Credential, PowerState
from drivers.bmc.simulator.bmc_messages import RedfishRequest, RedfishResponse
from drivers.bmc.simulator.bmc_profile import built_in_profile
from drivers.bmc.simulator.simulated_bmc import new_bmc, respond

LOGIN = Credential("operator", "simulated")
ROOT, SESSIONS = "/redfish/v1", "/redfish/v1/SessionService/Sessions"
SYSTEM = f"{ROOT}/Systems/1"
RESET = f"{SYSTEM}/Actions/ComputerSystem.Reset"


class Bmc:
    """One BMC of a profile, and its time."""

    def __init__(self, profile: str = "generic", login: Credential | None = None, **changes: Any) -> None:
        self.profile = replace(built_in_profile(profile), **changes)
        self.login, self.now = login, 0.0
        self.bmc = new_bmc(self.profile, 1, 0)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> RedfishResponse | None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = b"" if body is None else json.dumps(body).encode()
        self.bmc, answer = respond(
            self.bmc, self.profile, self.login, RedfishRequest(method, path, named, content), self.now
        )
        return answer

    def status(self, method: str, path: str, body: Any = None, **headers: str) -> int:
        answer = self.ask(method, path, body, **headers)
        assert answer is not None
        return answer.status

    def get(self, path: str = SYSTEM, **headers: str) -> Any:
        answer = self.ask("GET", path, **headers)
        assert answer is not None
        return json.loads(answer.body)

    def boots(self) -> None:
        """Off and on again."""
        for kind in ("ForceOff", "On"):
            self.status("POST", RESET, {"ResetType": kind})
            self.now += 60
        self.get()


def boot(target: str, enabled: str) -> dict[str, Any]:
    return {"Boot": {"BootSourceOverrideTarget": target, "BootSourceOverrideEnabled": enabled}}


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"operator:{password}".encode()).decode()


def test_a_power_change_takes_its_time() -> None:
    bmc, seen = Bmc(), []
    bmc.ask("POST", RESET, {"ResetType": "On"})
    for bmc.now in (3.9, 4.0):
        seen.append(bmc.get()["PowerState"])
    assert seen == ["Off", "On"]


def test_once_is_used_up_by_the_start_and_not_before() -> None:
    bmc = Bmc()
    assert bmc.status("PATCH", SYSTEM, boot("Pxe", "Once")) == 204
    assert bmc.get()["Boot"]["BootSourceOverrideEnabled"] == "Once"
    bmc.boots()
    assert bmc.get()["Boot"]["BootSourceOverrideEnabled"] == "Disabled"
    assert [one.booted_from for one in bmc.bmc.systems] == [("Pxe",)]


def test_an_override_in_the_settings_resource_waits_for_the_start() -> None:
    bmc = Bmc("lenovo-xcc", wants_etag=False)
    bmc.status("PATCH", f"{SYSTEM}/Settings", boot("Pxe", "Once"))
    assert bmc.get()["Boot"]["BootSourceOverrideTarget"] == "None"
    assert bmc.get(f"{SYSTEM}/Settings")["Boot"]["BootSourceOverrideTarget"] == "Pxe"
    bmc.boots()
    assert bmc.bmc.systems[0].booted_from == ("Pxe",)


def test_bios_settings_take_effect_at_the_next_start_and_stay() -> None:
    bmc, bios = Bmc(), f"{SYSTEM}/Bios"
    for name, value in (("LogicalProc", "Disabled"), ("SriovGlobalEnable", "Enabled")):
        before = bmc.get(bios)["Attributes"]
        assert bmc.status("PATCH", f"{bios}/Settings", {"Attributes": {name: value}}) == 204
        assert bmc.get(bios)["Attributes"] == before
        assert bmc.get(f"{bios}/Settings")["Attributes"] == {name: value}
        bmc.boots()
        assert bmc.get(bios)["Attributes"] == {**before, name: value}
        assert bmc.get(f"{bios}/Settings")["Attributes"] == {}


def test_an_image_is_inserted_once_and_ejected() -> None:
    bmc, drive = Bmc(), f"{SYSTEM}/VirtualMedia/Cd"
    insert, eject = (f"{drive}/Actions/VirtualMedia.{name}Media" for name in ("Insert", "Eject"))
    image = {"Image": "http://images.example/agent.iso"}
    assert [bmc.status("POST", insert, one) for one in ({}, image, image)] == [400, 204, 409]
    assert bmc.get(drive)["Inserted"] is True
    assert bmc.status("POST", eject, {}) == 204
    assert bmc.get(drive)["Image"] is None


def test_a_write_under_an_old_etag_is_refused() -> None:
    bmc = Bmc()
    answer = bmc.ask("GET", SYSTEM)
    assert answer is not None
    read = answer.headers["ETag"]
    led = {"IndicatorLED": "Lit"}
    assert [bmc.status("PATCH", SYSTEM, led, if_match=read) for _ in range(2)] == [204, 412]
    assert bmc.status("PATCH", SYSTEM, led, if_match="*") == 204


def test_a_bmc_can_want_an_etag() -> None:
    assert Bmc(wants_etag=True).status("PATCH", SYSTEM, {"IndicatorLED": "Lit"}) == 428


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", f"{ROOT}/Systems/2", None, 404),
        ("PUT", SYSTEM, {}, 405),
        ("DELETE", SYSTEM, None, 404),
        ("POST", SYSTEM, {}, 405),
        ("POST", f"{SYSTEM}/Actions/Elsewhere", {}, 404),
        ("PATCH", f"{ROOT}/Systems/2", {}, 404),
        ("PATCH", SYSTEM, {"PowerState": "On"}, 400),
        ("PATCH", SYSTEM, {"Boot": "Pxe"}, 400),
        ("PATCH", SYSTEM, {"Boot": {"BootOrder": []}}, 400),
        ("PATCH", SYSTEM, boot("Tape", "Once"), 400),
        ("PATCH", SYSTEM, boot("Floppy", "Once"), 400),
        ("POST", RESET, {"ResetType": "PowerCycle"}, 400),
        ("POST", RESET, {"ResetType": "Sideways"}, 400),
        ("POST", RESET, {}, 400),
        ("POST", RESET, [], 400),
        ("POST", RESET, {"ResetType": "ForceRestart"}, 409),
    ],
)
def test_what_a_bmc_refuses_changes_nothing(method: str, path: str, body: Any, status: int) -> None:
    bmc = Bmc()
    before = bmc.bmc
    assert bmc.status(method, path, body) == status
    assert bmc.bmc == before


def test_a_task_runs_and_ends() -> None:
    bmc = Bmc("tasks")
    answer = bmc.ask("POST", RESET, {"ResetType": "On"})
    assert answer is not None
    assert answer.status == 202
    states = []
    for bmc.now in (1.0, 3.0):
        states.append(bmc.get(answer.headers["Location"])["TaskState"])
    assert states == ["Running", "Completed"]


# -- logins ------------------------------------------------------------------------------------------------------------


def log_in(bmc: Bmc, password: str = LOGIN.password) -> RedfishResponse:
    answer = bmc.ask("POST", SESSIONS, {"UserName": LOGIN.username, "Password": password})
    assert answer is not None
    return answer


def test_a_session_is_opened_used_and_deleted() -> None:
    bmc = Bmc(login=LOGIN)
    assert bmc.status("GET", SYSTEM) == 401
    session = log_in(bmc).headers
    token = session["X-Auth-Token"]
    assert bmc.status("GET", SYSTEM, x_auth_token=token) == 200
    assert bmc.status("DELETE", session["Location"], x_auth_token=token) == 204
    assert bmc.status("GET", SYSTEM, x_auth_token=token) == 401


def test_an_unused_session_ends() -> None:
    bmc = Bmc(login=LOGIN, session_seconds=100.0)
    token, seen = log_in(bmc).headers["X-Auth-Token"], []
    for bmc.now in (90.0, 180.0, 300.0):
        seen.append(bmc.status("GET", SYSTEM, x_auth_token=token))
    assert seen == [200, 200, 401]


def test_sessions_are_limited() -> None:
    bmc = Bmc(login=LOGIN, most_sessions=2)
    assert [log_in(bmc).status for _ in range(3)] == [201, 201, 503]


def test_refused_logins_lock_the_account_for_a_time() -> None:
    bmc = Bmc(login=LOGIN, lockout=3, lockout_seconds=60.0)
    assert [log_in(bmc, "wrong").status for _ in range(3)] == [401] * 3
    seen = []
    for bmc.now in (59.0, 60.0):
        seen.append(log_in(bmc).status)
    assert seen == [401, 201]


@pytest.mark.parametrize(("given", "status"), [(basic(LOGIN.password), 200), (basic("wrong"), 401), ("Basic %%", 401)])
def test_basic_authentication_is_taken_too(given: str, status: int) -> None:
    assert Bmc(login=LOGIN).status("GET", SYSTEM, authorization=given) == status


def test_the_service_root_is_open_to_all() -> None:
    assert Bmc(login=LOGIN).get(ROOT)["RedfishVersion"]


def test_a_bmc_that_restarts_is_away_then_busy_and_its_system_runs_on() -> None:
    bmc = Bmc()
    bmc.boots()
    bmc.ask("POST", f"{ROOT}/Managers/1/Actions/Manager.Reset", {"ResetType": "ForceRestart"})
    answers = []
    for at in (59.0, 61.0, 91.0):
        bmc.now = 120.0 + at
        answers.append(bmc.ask("GET", SYSTEM))
    assert [one and one.status for one in answers] == [None, 503, 200]
    assert bmc.bmc.systems[0].state.power is PowerState.ON


# -- a fleet -----------------------------------------------------------------------------------------------------------


def test_each_bmc_has_its_own_names_and_a_seed_gives_them_again() -> None:
    profile = built_in_profile("generic")

    def names(seed: int) -> list[tuple[str | None, ...]]:
        states = (new_bmc(profile, number, seed).systems[0].state for number in range(50))
        return [(state.uuid, state.serial) for state in states]

    assert len({one for pair in names(7) for one in pair}) == 100
    assert names(7) == names(7)
    assert names(7) != names(8)


def test_each_bmc_has_its_own_mac_addresses() -> None:
    profile = built_in_profile("generic")
    path = f"{SYSTEM}/EthernetInterfaces/NIC1"
    seen = set()
    for number in range(300):
        _, answer = respond(new_bmc(profile, number, 0), profile, None, RedfishRequest("GET", path), 0.0)
        assert answer is not None
        seen.add(json.loads(answer.body)["MACAddress"])
    assert len(seen) == 300


def test_a_collection_is_given_with_its_members() -> None:
    members = Bmc().get(f"{SYSTEM}/Processors?$expand=.($levels=1)")["Members"]
    assert [one["TotalCores"] for one in members] == [16, 16]
