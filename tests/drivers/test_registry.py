"""Drivers by name, and credential references by kind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import create_engine

from drivers.base import AuthenticationFailed, Credential, Endpoint, IpamSettings, Rejected, Unreachable
from drivers.registry import Registry

ENDPOINT = Endpoint("fake", "registry-tests", "1")

OUTSIDER = """
class Driver:
    def open(self, endpoint):
        raise NotImplementedError

    def close(self):
        raise RuntimeError("the outsider does not close")

class Ipam:
    def __init__(self, engine, settings):
        self.engine, self.settings = engine, settings
"""

ENTRY_POINTS = """
[groundstate.bmc]
outsider = groundstate_outsider:Driver
broken = groundstate_no_such_package:open_driver
[groundstate.ipam]
outsider = groundstate_outsider:Ipam
"""


@pytest.fixture
def outsider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of somebody else's, as an installer would leave it."""
    (tmp_path / "groundstate_outsider.py").write_text(OUTSIDER)
    metadata = tmp_path / "groundstate_outsider-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: groundstate-outsider\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize("name", ["fake", "redfish"])
def test_a_built_in_driver_is_opened_once(name: str) -> None:
    registry = Registry()
    assert registry.bmc(name) is registry.bmc(name)
    registry.close()


@pytest.mark.usefixtures("outsider")
def test_an_outsiders_driver_is_found_by_its_entry_point() -> None:
    assert type(Registry().bmc("outsider")).__module__ == "groundstate_outsider"


def test_an_unknown_driver_is_answered_with_the_nearest_and_with_how_to_add_one() -> None:
    with pytest.raises(Rejected, match=r"no driver named redfsh; did you mean redfish\?.*groundstate\.bmc"):
        Registry().bmc("redfsh")


@pytest.mark.usefixtures("outsider")
def test_a_driver_that_cannot_be_imported_is_named() -> None:
    with pytest.raises(Rejected, match=r"driver broken .* cannot be loaded"):
        Registry().bmc("broken")


def test_nothing_is_imported_that_is_not_used() -> None:
    code = (
        "import sys; from drivers.registry import Registry; r = Registry(); r.bmc('fake'); r.close();"
        "print(sorted({'sushy', 'sqlalchemy', 'subprocess'} & sys.modules.keys()))"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_closing_closes_what_was_opened() -> None:
    registry = Registry()
    bmc = registry.bmc("fake").open(ENDPOINT)
    registry.close()
    with pytest.raises(Unreachable):
        bmc.read()


@pytest.mark.usefixtures("outsider")
@pytest.mark.parametrize("names", [("outsider", "fake"), ("fake", "outsider")])
def test_a_driver_that_does_not_close_spares_no_other_and_is_told(names: tuple[str, str]) -> None:
    registry = Registry()
    drivers = {name: registry.bmc(name) for name in names}
    bmc = drivers["fake"].open(ENDPOINT)
    with pytest.raises(ExceptionGroup) as caught:
        registry.close()
    assert [str(error) for error in caught.value.exceptions] == ["the outsider does not close"]
    with pytest.raises(Unreachable):
        bmc.read()


def test_a_registry_shares_nothing_with_another() -> None:
    one, other = Registry(), Registry()
    bmc = other.bmc("fake").open(ENDPOINT)
    one.bmc("fake")
    one.close()
    assert bmc.read().power is not None
    other.close()


def test_the_embedded_ipam_is_opened_on_the_given_engine() -> None:
    assert type(Registry().open_ipam(IpamSettings(), create_engine("sqlite://"))).__name__ == "EmbeddedIpam"


def test_the_pools_are_opened_on_the_given_engine() -> None:
    assert type(Registry().open_pools(create_engine("sqlite://"))).__name__ == "EmbeddedPools"


@pytest.mark.usefixtures("outsider")
def test_an_outsiders_ipam_is_found_and_gets_engine_and_settings() -> None:
    engine = create_engine("sqlite://")
    ipam = Registry().open_ipam(IpamSettings("outsider"), engine)
    assert vars(ipam) == {"engine": engine, "settings": IpamSettings("outsider")}


def test_an_unknown_ipam_is_answered_with_the_nearest() -> None:
    with pytest.raises(Rejected, match="did you mean embedded"):
        Registry().open_ipam(IpamSettings("embeded"), create_engine("sqlite://"))


def test_each_kind_of_reference_is_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_BMC", "ada:secret")
    file = tmp_path / "login"
    file.write_text("ada:secret")
    file.chmod(0o600)
    command = ("printf", "%s", '{"username": "ada", "password": "secret"}')
    for reference in (
        {"env": "REGISTRY_BMC"},
        {"file": str(file)},
        {"exec": command},
        {"env": None, "file": None, "exec": command},
    ):
        assert Registry().secret(reference) == Credential("ada", "secret")


@pytest.mark.parametrize("reference", [None, "BMC", {}, {"vault": "x"}, {"env": "A", "file": "b"}, {"env": None}])
def test_a_reference_is_of_exactly_one_kind(reference: object) -> None:
    with pytest.raises(AuthenticationFailed, match="exactly one of env, file, exec"):
        Registry().secret(reference)


NETBOX = IpamSettings("netbox", "https://netbox.example.org", "env:NETBOX_TOKEN")


def test_the_netbox_ipam_is_opened_without_asking_netbox_anything() -> None:
    registry = Registry()
    assert type(registry.open_ipam(NETBOX, create_engine("sqlite://"))).__name__ == "NetboxIpam"
    registry.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"url": ""}, "--ipam-url"),
        ({"url": "netbox.example.org"}, "https://HOST"),
        ({"url": "ftp://netbox.example.org"}, "https://HOST"),
        ({"url": "http://netbox.example.org"}, "over plain http others can read the token on the network"),
        ({"url": "HTTP://10.0.0.1:8000"}, "over plain http"),
        ({"url": "http://localhost.example.org"}, "over plain http"),
        ({"token": ""}, "--ipam-token"),
        ({"token": "s3cret"}, "--ipam-token is a reference"),
        ({"fleet": "Two words"}, "--ipam-fleet"),
        ({"ca_file": "/does/not/exist"}, "--ipam-ca-file /does/not/exist"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_the_option_s_name(change: dict[str, str], message: str) -> None:
    settings = msgspec.structs.replace(NETBOX, **change)
    with pytest.raises(Rejected, match=message) as refused:
        Registry().open_ipam(settings, create_engine("sqlite://"))
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    "change",
    [
        {"url": "http://127.0.0.1:8000"},
        {"url": "http://[::1]:8000"},
        {"url": "http://localhost"},
        {"url": "http://netbox.example.org", "insecure": True},
    ],
)
def test_plain_http_is_for_this_host_or_where_it_is_allowed(change: dict[str, Any]) -> None:
    registry = Registry()
    registry.open_ipam(msgspec.structs.replace(NETBOX, **change), create_engine("sqlite://"))
    registry.close()


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    settings = msgspec.structs.replace(NETBOX, url="https://ada:s3cret@netbox.example.org")
    with pytest.raises(Rejected, match="leave user and password out") as refused:
        Registry().open_ipam(settings, create_engine("sqlite://"))
    assert "s3cret" not in str(refused.value)


def test_nobody_else_pays_for_netbox() -> None:
    program = """
import sys, sqlalchemy, drivers.base, drivers.registry
drivers.registry.Registry().open_ipam(drivers.base.IpamSettings(), sqlalchemy.create_engine("sqlite://"))
print("pynetbox" in sys.modules)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout == "False\n"
