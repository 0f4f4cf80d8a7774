"""Which IPAM is worked with: options, variables and the settings file."""

from __future__ import annotations

import socket

import pytest

from reconciler.operations.ipam_in_use import IPAM_IN_USE
from reconciler.store import Store
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


class TestAnotherIpamThanBefore:
    """An IPAM that was named by mistake is empty, and everything would be acquired anew: addresses that machines have
    would go to others."""

    OTHER = {**NETBOX, "GROUNDSTATE_IPAM_TOKEN": "env:T", "T": "a-token"}  # noqa: RUF012

    @pytest.mark.parametrize("command", [["plan"], ["apply", "--yes"], ["run"]], ids=" ".join)
    def test_nothing_is_planned_from_it_and_the_way_to_move_is_said(self, desk: Desk, command: list[str]) -> None:
        desk.commit(lab=[partition(driver="fake"), network()])
        assert desk.run("apply", "--yes").code == 0
        done = desk.run(*command, env=self.OTHER)
        assert done.code == 1
        assert "this store was used with the IPAM embedded" in done.err
        assert "the settings name the IPAM netbox with the fleet groundstate" in done.err
        assert "groundstate ipam import ipam.yaml" in done.err
        assert desk.run("plan").code == 0

    def test_what_is_imported_moves_the_store(self, desk: Desk) -> None:
        desk.commit(lab=[partition(driver="fake"), network()])
        assert desk.run("apply", "--yes").code == 0
        copy = desk.run("ipam", "export").out
        self.marked(desk, "netbox with the fleet groundstate")
        assert "the settings name the IPAM embedded" in desk.run("plan").err
        file = desk.folder / "ipam.yaml"
        file.write_text(copy, "utf-8")
        assert desk.run("ipam", "import", str(file), "--dry-run").code == 0
        assert desk.run("plan").code == 1, "a trial moves nothing"
        assert desk.run("ipam", "import", str(file)).code == 0
        assert desk.run("plan").code == 0

    def test_while_nothing_is_in_it_another_may_be_named(self, desk: Desk) -> None:
        desk.commit(lab=[partition(driver="fake")])
        assert desk.run("apply", "--yes").code == 0
        self.marked(desk, "netbox with the fleet groundstate")
        assert desk.run("plan").code == 0

    @staticmethod
    def marked(desk: Desk, words: str) -> None:
        """As if groundstate had written to that one before."""
        store = Store.open(f"sqlite:///{desk.store}")
        store.put_meta(IPAM_IN_USE, words)
        store.close()
