"""The emulator of sushy-tools as tests start it: real processes."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import stat
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.drivers import emulator
from tests.drivers.emulator import EmulatorError, EmulatorFleet

FIRST = "5a1f0000-0000-4000-8000-00000000000a"
SECOND = "5a1f0000-0000-4000-8000-00000000000b"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("emulator") / "bmcs"


@pytest.fixture(scope="module")
def fleet(directory: Path) -> Iterator[EmulatorFleet]:
    with EmulatorFleet(directory, [[FIRST, SECOND]]) as running:
        yield running


def get(fleet: EmulatorFleet, path: str, password: str | None = None) -> tuple[int, dict[str, Any]]:
    context = ssl.create_default_context(cafile=str(fleet.ca_file))
    connection = http.client.HTTPSConnection(fleet.addresses[0].removeprefix("https://"), timeout=10, context=context)
    login = b64encode(f"{fleet.username}:{password or fleet.password}".encode()).decode()
    connection.request("GET", path, headers={"Authorization": f"Basic {login}"})
    response = connection.getresponse()
    answer = response.status, json.loads(response.read())
    connection.close()
    return answer


@pytest.mark.parametrize(("system_id", "name"), [(FIRST, "sim-1"), (SECOND, "sim-2")])
def test_a_system_has_the_id_it_was_given_and_is_off(fleet: EmulatorFleet, system_id: str, name: str) -> None:
    status, system = get(fleet, f"/redfish/v1/Systems/{system_id}")
    assert status == 200
    assert (system["Id"], system["UUID"], system["Name"]) == (system_id, system_id, name)
    assert system["PowerState"] == "Off"


def test_the_bmc_has_the_systems_of_its_entry_and_no_others(fleet: EmulatorFleet) -> None:
    _, systems = get(fleet, "/redfish/v1/Systems")
    assert {one["@odata.id"].rpartition("/")[2] for one in systems["Members"]} == {FIRST, SECOND}


def test_a_wrong_password_is_refused(fleet: EmulatorFleet) -> None:
    assert get(fleet, f"/redfish/v1/Systems/{FIRST}", password="wrong")[0] == 401


def test_its_certificate_is_trusted_by_its_own_authority_only(fleet: EmulatorFleet) -> None:
    address = fleet.addresses[0].removeprefix("https://")
    connection = http.client.HTTPSConnection(address, timeout=10, context=ssl.create_default_context())
    with pytest.raises(ssl.SSLCertVerificationError):
        connection.request("GET", "/redfish/v1/")


@pytest.mark.parametrize("name", ["bmc.key", "logins"])
def test_what_is_secret_is_for_its_owner_only(fleet: EmulatorFleet, directory: Path, name: str) -> None:
    assert stat.S_IMODE((directory / name).stat().st_mode) == 0o600


def test_nothing_runs_on_after_an_error(tmp_path: Path) -> None:
    bmcs = EmulatorFleet(tmp_path, [[FIRST]])
    with pytest.raises(KeyboardInterrupt), bmcs:
        raise KeyboardInterrupt
    with pytest.raises(ConnectionRefusedError):
        get(bmcs, f"/redfish/v1/Systems/{FIRST}")


def test_a_taken_port_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        # Not listened to by TLS, so a client would wait for it in vain.
        monkeypatch.setattr(emulator, "REQUEST_TIMEOUT", 1.0)
        free, ports = emulator._free_port, iter([taken.getsockname()[1]])
        monkeypatch.setattr(emulator, "_free_port", lambda: next(ports, None) or free())
        with EmulatorFleet(tmp_path, [[FIRST]]) as bmcs:
            assert get(bmcs, f"/redfish/v1/Systems/{FIRST}")[0] == 200


def test_a_bmc_that_cannot_start_shows_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no such module >&2\nexit 1\n")
    broken.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(EmulatorError, match="no such module"), EmulatorFleet(tmp_path / "bmcs", [[FIRST]]):
        pytest.fail("it was started")
