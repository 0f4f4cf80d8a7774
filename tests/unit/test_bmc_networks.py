"""Where BMCs are reached: what the settings name, and where the address of a document leads."""

from __future__ import annotations

import tomllib

import pytest

from reconciler.kinds.common.access.bmc_networks import bmc_networks, connection_refusal, foreseen_connection_refusal
from reconciler.kinds.common.access.credentials import NO_GRANTS, Grants, grants_from, too_broad

LOGIN = 'credentials.bmc = {env = "BMC", networks = ["10.1.0.0/24"]}\n'
LABS = 'document_credentials = {env = ["LAB_*"], networks = ["fd00:3::/64"]}\n'
NAMED = 'bmc_networks = ["10.2.0.0/24"]\n'


def settings(text: str) -> Grants:
    return grants_from(tomllib.loads(text))


@pytest.mark.parametrize(
    ("said", "networks"),
    [
        ("", ("127.0.0.0/8", "::1/128")),
        ("bmc_networks = []", ()),
        (NAMED, ("10.2.0.0/24",)),
        (LOGIN, ("10.1.0.0/24",)),
        (NAMED + LOGIN + LABS, ("10.2.0.0/24", "10.1.0.0/24", "fd00:3::/64")),
        (LOGIN + "bmc_networks = []", ("10.1.0.0/24",)),
        ('ca_files = ["/etc/groundstate/*"]', ("127.0.0.0/8", "::1/128")),
    ],
)
def test_the_settings_name_them_and_without_a_word_it_is_loopback(said: str, networks: tuple[str, ...]) -> None:
    assert bmc_networks(settings(said)) == networks


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("", "127.0.0.1"),
        ("", "127.8.9.1"),
        ("", "::1"),
        ("", "::ffff:127.0.0.1"),
        (LOGIN, "10.1.0.7"),
        (LOGIN, "::ffff:10.1.0.7"),
        (NAMED, "10.2.0.7"),
        (LABS, "fd00:3::7%eth0"),
        ('bmc_networks = ["10.0.0.10-10.0.0.50"]', "10.0.0.50"),
    ],
)
def test_within_them_a_connection_is_made(said: str, number: str) -> None:
    assert connection_refusal(settings(said), "bmc.example", number) is None


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("", "10.1.0.7"),
        ("", "169.254.169.254"),
        ("", "0.0.0.0"),
        ("", "::"),
        ("", "fe80::1%eth0"),
        ("", "64:ff9b::7f00:1"),
        (LOGIN, "10.1.1.7"),
        (LOGIN, "127.0.0.1"),
        (NAMED, "10.1.0.7"),
        ("bmc_networks = []", "127.0.0.1"),
        ('bmc_networks = ["10.0.0.10-10.0.0.50"]', "10.0.0.51"),
    ],
)
def test_outside_of_them_none_is_and_the_setting_is_named(said: str, number: str) -> None:
    why = connection_refusal(settings(said), "bmc.example", number)
    assert why is not None
    assert f"bmc.example has the IP address {number.partition('%')[0]}, but" in why
    assert "nothing was sent" in why


def test_the_line_to_write_keeps_what_is_named_already() -> None:
    why = connection_refusal(settings(NAMED + LOGIN), "bmc.example", "10.9.0.7")
    assert why is not None
    line = why.partition("write ")[2].partition(" in ~")[0]
    assert line == 'bmc_networks = ["10.2.0.0/24", "10.9.0.7/32"]'
    assert connection_refusal(settings(line), "bmc.example", "10.9.0.7") is None


def test_of_a_name_with_several_numbers_one_may_do() -> None:
    assert foreseen_connection_refusal(NO_GRANTS, "bmc.example", ["10.1.0.7", "127.0.0.1"]) is None
    assert foreseen_connection_refusal(NO_GRANTS, "bmc.example", ["10.1.0.7", "10.1.0.8"]) is not None
    assert foreseen_connection_refusal(NO_GRANTS, "no-such-name.example", []) is None


def test_what_is_no_network_is_told_with_all_else_that_is_wrong() -> None:
    with pytest.raises(ValueError, match=r"(?s)credentials.bmc.*bmc_networks: .*10.2.0.1/24"):
        settings('credentials.bmc = {networks = ["10.1.0.0/24"]}\nbmc_networks = ["10.2.0.1/24"]')


def test_a_network_of_nearly_all_hosts_is_warned_of() -> None:
    assert len(too_broad(settings('bmc_networks = ["0.0.0.0/0", "10.0.0.0/8", "::/0", "1.0.0.0-9.0.0.0"]'))) == 3


def test_a_switch_is_refused_in_the_words_of_switches() -> None:
    """The setting is the same for both, so the message says that it is."""
    why = connection_refusal(settings(NAMED), "ssh://admin@10.9.0.1", "10.9.0.1", "switches")
    assert why is not None
    assert "but the settings allow switches only in 10.2.0.0/24" in why
    assert 'write bmc_networks = ["10.2.0.0/24", "10.9.0.1/32"] in ' in why
    assert why.endswith("(the setting is for BMCs and switches)")
