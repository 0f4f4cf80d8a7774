"""The certificate of the agent API."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from reconciler.kinds.common.machine_facts import FactType
from reconciler.model.token import TokenPurpose
from reconciler.services.boot.boot_settings import BootError, BootSettings
from reconciler.services.boot.http import tls
from tests.boot.boot_world import Service

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_it_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    first = tls.own_tls_identity(tmp_path / "boot", "10.77.0.1", NOW)
    assert first.cert.stat().st_mode & 0o777 == 0o600
    made = first.cert.read_bytes()
    assert tls.own_tls_identity(tmp_path / "boot", "10.77.0.1", NOW) == first
    assert first.cert.read_bytes() == made


@pytest.mark.parametrize(("address", "later"), [("boot.example", 0), ("10.77.0.1", 3400)])
def test_another_address_or_a_near_end_makes_a_certificate_of_the_same_key(
    tmp_path: Path, address: str, later: int
) -> None:
    first = tls.own_tls_identity(tmp_path, "10.77.0.1", NOW)
    made = first.cert.read_bytes()
    assert tls.own_tls_identity(tmp_path, address, NOW + timedelta(days=later)).pin == first.pin
    assert first.cert.read_bytes() != made


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff"])
def test_a_damaged_file_is_said_to_be_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / tls.FILE).write_bytes(content)
    with pytest.raises(BootError, match=r"boot-tls.pem: .*cannot be read or made.*move the file away"):
        tls.own_tls_identity(tmp_path, "10.77.0.1", NOW)


def test_a_certificate_can_be_given(tmp_path: Path) -> None:
    cert, key = issued(tmp_path, "a")
    assert tls.given_identity(cert, key).pin.startswith("sha256//")


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    (cert, _), (_, key) = issued(tmp_path, "a"), issued(tmp_path, "b")
    with pytest.raises(BootError, match="is not the key of"):
        tls.given_identity(cert, key)


def test_what_is_no_certificate_or_key_is_said_to_be_so(tmp_path: Path) -> None:
    cert, key = issued(tmp_path, "a")
    with pytest.raises(BootError, match="cannot be read as a PEM certificate"):
        tls.given_identity(tmp_path / "none", key)
    with pytest.raises(BootError, match="cannot be read as a PEM key"):
        tls.given_identity(cert, cert)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
@pytest.mark.parametrize(("right", "status"), [(True, "401"), (False, "000")])
def test_curl_takes_the_pin_and_no_other(service: Service, right: bool, status: str) -> None:
    pin = service.server.identity.pin if right else "sha256//" + "A" * 43 + "="
    url = f"{service.server.places.https}/agent/v1/work"
    command = ["curl", "-sk", "--pinnedpubkey", pin, "-o", "/dev/null", "-w", "%{http_code}", url]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stdout == status


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_a_system_phones_home_with_curl_as_the_documentation_shows(service: Service) -> None:
    token, places = service.issue(TokenPurpose.PHONE_HOME), service.server.places
    header = ("-H", f"Authorization: Bearer {token}")
    command = ["curl", "-sfk", "--pinnedpubkey", places.pin, "-X", "POST", *header, f"{places.https}/phone-home/v1"]
    subprocess.run(command, check=True, capture_output=True)
    assert service.provisioning.facts == [FactType.PHONED_HOME]


def test_certificate_and_key_are_given_together(service: Service, tmp_path: Path) -> None:
    settings = BootSettings(address="x", folder=tmp_path, kernel="", initrd="", cert=tmp_path / "c")
    with pytest.raises(BootError, match="give both --boot-cert and --boot-key"):
        type(service.server)(settings, service.provisioning, service.store.tokens, service.files, lambda: NOW, None)


def issued(folder: Path, name: str) -> tuple[Path, Path]:
    made = trustme.CA().issue_cert(f"{name}.example")
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    made.cert_chain_pems[0].write_to_path(cert)
    made.private_key_pem.write_to_path(key)
    return cert, key
