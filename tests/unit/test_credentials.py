"""Who may have which login: what settings allow, what a document asks for, and who is really connected."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from drivers.base import Peer
from reconciler.kinds.common.access.credentials import (
    NO_GRANTS,
    Grants,
    LoginDestination,
    credential_refusal,
    foreseen_refusal,
    grants_from,
    host_of,
    number_of,
    source,
    too_broad,
)
from reconciler.kinds.common.field_types.bmc_access import CredentialRef

GRANTS = grants_from(
    tomllib.loads("""
credentials.bmc = {env = "BMC", networks = ["10.1.0.0/24", "fd00:1::/64"]}
credentials.old = {env = "OLD", networks = ["10.2.0.0/24"], insecure = true}
credentials.two = {exec = ["vault", "two"], networks = ["10.1.0.7"], drivers = ["redfish", "other"]}

[document_credentials]
env = ["LAB_*"]
file = ["/etc/groundstate/bmc/*"]
exec = ["vault-bmc *"]
networks = ["10.3.0.0/24"]
""")
)
BMC = CredentialRef(name="bmc")


def ask(reference: CredentialRef, address: str | None, *, verified: bool = True, driver: str = "redfish") -> str | None:
    return credential_refusal(GRANTS, reference, LoginDestination(driver, "bmc.example", Peer(address, verified)))


@pytest.mark.parametrize(
    ("reference", "address", "verified"),
    [
        (BMC, "10.1.0.7", True),
        (BMC, "::ffff:10.1.0.7", True),
        (BMC, "fd00:1::7", True),
        (CredentialRef(name="old"), "10.2.0.7", False),
        (CredentialRef(name="two"), "10.1.0.7", True),
        (CredentialRef(env="LAB_7"), "10.3.0.7", True),
        (CredentialRef(file="/etc/groundstate/bmc/r1"), "10.3.0.7", True),
        (CredentialRef(exec=("vault-bmc", "r1")), "10.3.0.7", True),
    ],
)
def test_what_the_settings_allow(reference: CredentialRef, address: str, verified: bool) -> None:
    assert ask(reference, address, verified=verified) is None


@pytest.mark.parametrize(
    ("reference", "address", "verified", "said"),
    [
        (BMC, "10.1.1.7", True, 'networks = ["10.1.0.0/24", "fd00:1::/64", "10.1.1.7/32"]'),
        (BMC, "127.0.0.1", True, "not for 127.0.0.1, the address of bmc.example; nothing was sent"),
        (BMC, "::ffff:127.0.0.1", True, "not for 127.0.0.1,"),
        (BMC, "fe80::1%eth0", True, "not for fe80::1,"),
        (BMC, "10.1.0.7", False, "insecure = true"),
        (CredentialRef(name="old"), "10.1.0.7", False, "10.2.0.0/24"),
        (
            CredentialRef(name="new"),
            "10.1.0.7",
            True,
            ("the settings have no credential new (the settings have bmc, old, two)"),
        ),
        (CredentialRef(env="LAB_7"), "10.1.0.7", True, "10.3.0.0/24"),
        (CredentialRef(env="LAB_7"), "10.3.0.7", False, "insecure = true"),
        (CredentialRef(env="BMC"), "10.3.0.7", True, 'credentials.bmc = {env = "BMC", networks = ["10.3.0.7/32"]}'),
        (CredentialRef(env="DATABASE_URL"), "10.3.0.7", True, "credentialRef: {name: database_url}"),
        (CredentialRef(file="/etc/groundstate/bmc/../../shadow"), "10.3.0.7", True, "nothing was sent"),
        (CredentialRef(file="/etc/shadow"), "10.3.0.7", True, 'file = "/etc/shadow"'),
        (CredentialRef(exec=("sh", "-c", "id")), "10.3.0.7", True, "nothing was sent"),
        (CredentialRef(exec=("vault-bmc;id",)), "10.3.0.7", True, "nothing was sent"),
    ],
)
def test_what_they_do_not_allow_is_refused_with_the_lines_to_write(
    reference: CredentialRef, address: str, verified: bool, said: str
) -> None:
    assert said in (ask(reference, address, verified=verified) or "")


def test_a_driver_that_is_not_named_gets_nothing() -> None:
    assert 'drivers = ["redfish", "other"]' in (ask(BMC, "10.1.0.7", driver="other") or "")
    assert ask(CredentialRef(name="two"), "10.1.0.7", driver="other") is None
    assert 'drivers = ["redfish", "fake"]' in (ask(BMC, None, driver="fake") or "")


@pytest.mark.parametrize(
    ("address", "leads_to", "is_foreseen"),
    [
        ("10.1.0.7", ["10.1.0.7"], False),
        ("https://10.1.0.7:8443", ["10.1.0.7"], False),
        ("[fd00:1::7]:443", ["fd00:1::7"], False),
        ("bmc.example", [], False),
        ("bmc.example", ["10.1.0.7"], False),
        ("bmc.example", ["10.9.0.7", "10.1.0.7"], False),
        ("bmc.example", ["10.9.0.7"], True),
        ("bmc.example", ["10.9.0.7", "::1"], True),
        ("http://10.1.0.7", ["10.1.0.7"], True),
        ("http://bmc.example", ["10.1.0.7"], True),
        ("10.9.0.7:443", ["10.9.0.7"], True),
        ("https://[::ffff:127.0.0.1]", ["127.0.0.1"], True),
    ],
)
def test_what_leads_to_nowhere_allowed_is_refused_before_anything_reaches_it(
    address: str, leads_to: list[str], is_foreseen: bool
) -> None:
    """A name that leads to an allowed address too is judged again by who is connected."""
    assert (foreseen_refusal(GRANTS, BMC, "redfish", address, leads_to, insecure=False) is not None) is is_foreseen


@pytest.mark.parametrize(
    ("address", "host", "number"),
    [
        ("10.1.0.7", "10.1.0.7", "10.1.0.7"),
        ("https://[::ffff:127.0.0.1]:8443/", "::ffff:127.0.0.1", "127.0.0.1"),
        ("https://BMC.example:8443", "bmc.example", None),
        ("https://root:x@10.1.0.7", "10.1.0.7", "10.1.0.7"),
        ("2130706433", "2130706433", None),
        ("0x7f.1", "0x7f.1", None),
        ("127.1", "127.1", None),
        ("http://[", "", None),
        ("", "", None),
    ],
)
def test_a_host_is_a_number_in_its_plain_form_alone(address: str, host: str, number: str | None) -> None:
    """What only a resolver reads as a number is resolved by one, as the connection will be."""
    assert (host_of(address), number_of(host)) == (host, number)


@pytest.mark.parametrize(
    "reference",
    [BMC, CredentialRef(env="BMC"), CredentialRef(file="/x"), CredentialRef(exec=("x", "secret-argument"))],
)
def test_without_settings_nothing_is_allowed_and_no_argument_is_repeated(reference: CredentialRef) -> None:
    said = (
        credential_refusal(NO_GRANTS, reference, LoginDestination("redfish", "10.1.0.7", Peer("10.1.0.7", True))) or ""
    )
    assert "nothing was sent" in said
    assert "secret-argument" not in said


def test_the_line_that_is_told_is_what_the_settings_take() -> None:
    said = (
        credential_refusal(
            NO_GRANTS, CredentialRef(env="BMC"), LoginDestination("redfish", "x", Peer("10.1.0.7", True))
        )
        or ""
    )
    line = said.partition("names: ")[2].partition("; and in the document")[0]
    grants = grants_from(tomllib.loads(line))
    assert (
        credential_refusal(grants, CredentialRef(name="bmc"), LoginDestination("redfish", "x", Peer("10.1.0.7", True)))
        is None
    )
    assert source(grants, CredentialRef(name="bmc")) == {"env": "BMC"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"credentials": {"b.m": {"env": "B", "networks": ["10.0.0.0/8"]}}}, "letters, digits"),
        ({"credentials": {"b": {"env": "B", "file": "f", "networks": ["10.0.0.0/8"]}}}, "env and file"),
        ({"credentials": {"b": {"env": "B", "networks": ["bmc.example"]}}}, "credentials.b.networks"),
        ({"credentials": {"b": {"env": "B", "networks": ["10.0.0.0/8"], "password": "x"}}}, "unknown field"),
        ({"ca_files": "x"}, "ca_files"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        grants_from(values)


def test_no_settings_are_no_grants() -> None:
    assert grants_from({}) == Grants()


@pytest.mark.parametrize(
    ("line", "is_broad"),
    [
        ('document_credentials = {exec = ["*"], networks = ["10.0.0.0/8"]}', True),
        ('document_credentials = {exec = ["vault*"], networks = ["10.0.0.0/8"]}', True),
        ('document_credentials = {exec = ["sh -c *"], networks = ["10.0.0.0/8"]}', True),
        ('document_credentials = {exec = ["/usr/bin/python3 *"], networks = ["10.0.0.0/8"]}', True),
        ('document_credentials = {exec = ["vault-bmc *", "op read x"], networks = ["10.0.0.0/8"]}', False),
        ('document_credentials = {file = ["*"], networks = ["10.0.0.0/8"]}', True),
        ('document_credentials = {file = ["/etc/*"], networks = ["10.0.0.0/8"]}', True),
        ('document_credentials = {file = ["/etc/groundstate/bmc/*", "/etc/bmc"], networks = ["10.0.0.0/8"]}', False),
        ('document_credentials = {env = ["*"], networks = ["10.0.0.0/8"]}', True),
        ('document_credentials = {env = ["BMC_*"], networks = ["10.0.0.0/8"]}', False),
        ('ca_files = ["/*"]', True),
        ('ca_files = ["/etc/pki/bmc/*.pem", "/etc/ca.pem"]', False),
        ('credentials.bmc = {env = "B", networks = ["0.0.0.0/0"]}', True),
        ('credentials.bmc = {env = "B", networks = ["::/0"]}', True),
        ('credentials.bmc = {env = "B", networks = ["10.0.0.0/8", "fd00::/16"]}', False),
    ],
)
def test_what_lets_any_document_do_it_is_warned_of(line: str, is_broad: bool) -> None:
    assert bool(too_broad(grants_from(tomllib.loads(line)))) is is_broad
