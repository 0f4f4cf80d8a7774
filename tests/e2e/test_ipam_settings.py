"""Which IPAM is worked with: options, variables and the settings file."""

from __future__ import annotations

import socket

import pytest

from tests.e2e.desk import Desk, network, partition

NETBOX = {"GROUNDSTATE_IPAM": "netbox", "GROUNDSTATE_IPAM_URL": "https://netbox.example.org"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ipam", "netbux"], "did you mean netbox"),
        (["--ipam", "netbox"], "needs --ipam-url"),
        (["--ipam", "netbox", "--ipam-url", "https://netbox.example.org"], "needs --ipam-token"),
        (["--ipam", "netbox", "--ipam-url", "netbox", "--ipam-token", "env:T"], "--ipam-url"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_words(desk: Desk, options: list[str], message: str) -> None:
    desk.commit(lab=[partition(driver="fake")])
    done = desk.run("plan", *options)
    assert done.code == 1
    assert message in done.err


def test_a_token_in_the_place_of_a_reference_is_refused_and_not_repeated(desk: Desk) -> None:
    desk.commit(lab=[partition(driver="fake")])
    done = desk.run("plan", env={**NETBOX, "GROUNDSTATE_IPAM_TOKEN": "s3cret-token"})
    assert done.code == 1
    assert "--ipam-token is a reference" in done.err
    assert "s3cret" not in done.err


def test_a_netbox_that_is_down_leaves_its_networks_unknown(desk: Desk) -> None:
    desk.commit(lab=[partition(driver="fake"), network()])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        env = {**NETBOX, "GROUNDSTATE_IPAM_URL": url, "GROUNDSTATE_IPAM_TOKEN": "env:T", "T": "a-token"}
        plan = desk.run("plan", "-o", "json", env=env)
    assert [(one["key"]["name"], one["reason"]) for one in plan.json["unknown"]] == [("net", "Unreachable")]
    assert plan.json["changes"] == []
