"""BMCs that cannot be read: unknown in the plan, said why, and nothing is taken from it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from drivers.base import ErrorReason
from reconciler.kinds.common.machine_inventory import Origin
from reconciler.model.observation import ReadError
from reconciler.model.resource import ResourceKey
from reconciler.store import Store
from tests.e2e.desk import Desk, Done, machine, network, partition
from tests.e2e.simulated_bmcs import Bmcs, System, at, silence


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that nothing listens on, as long as the test runs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture(scope="module")
def system(bmcs: Bmcs) -> System:
    """A system that is only looked at."""
    return bmcs.system()


class TestUnreachable:
    """Nobody answers."""

    def test_it_is_unknown_in_a_plan_and_no_change(self, desk: Desk, closed_port: int) -> None:
        desk.allow("lab", "LAB_BMC")
        desk.commit(lab=[partition(driver="redfish", credentialRef={"name": "lab"}), *self.rest(closed_port)])
        plan = desk.run("plan", "-o", "json", env={"LAB_BMC": "admin:secret"}).json
        assert [change["key"]["name"] for change in plan["changes"]] == ["net"]
        [unknown] = plan["unknown"]
        assert (unknown["key"]["name"], unknown["reason"]) == ("m", "Unreachable")
        assert f"https://127.0.0.1:{closed_port}" in unknown["message"]

    def test_apply_does_the_rest_says_why_and_leaves_with_1(self, desk: Desk, closed_port: int) -> None:
        desk.allow("lab", "LAB_BMC")
        desk.commit(lab=[partition(driver="redfish", credentialRef={"name": "lab"}), *self.rest(closed_port)])
        done = desk.run("apply", "--yes", env={"LAB_BMC": "admin:secret"})
        assert done.code == 1, done
        *_, why, summary = done.out.splitlines()
        assert why.startswith(f"unknown: Machine/m: https://127.0.0.1:{closed_port}: ")
        assert summary == "Applied: 1 of 1 as declared, 1 unknown."

    def test_an_inventory_that_was_never_read_has_no_age(self, desk: Desk, closed_port: int) -> None:
        desk.allow("lab", "LAB_BMC")
        desk.commit(lab=[partition(driver="redfish", credentialRef={"name": "lab"}), *self.rest(closed_port)])
        with desk.daemon(env={"LAB_BMC": "admin:secret"}) as daemon:
            daemon.logged("Unreachable", key="Machine/m")
        store = Store.open(f"sqlite:///{desk.store}")
        store.inventories.fail(
            ResourceKey("Machine", "m"),
            Origin.OUT_OF_BAND,
            ReadError(ErrorReason.UNREACHABLE, "silent"),
            datetime.now(UTC),
        )
        store.close()
        assert "\nInventory:   out-of-band, not read yet\n" in desk.run("describe", "machine/m").out

    def test_one_that_never_answers_is_given_up(self, desk: Desk) -> None:
        with silence() as silent:
            there = machine("m", *silent.addresses)
            desk.allow("lab", "LAB_BMC")
            desk.commit(lab=[partition(driver="redfish", credentialRef={"name": "lab"}), there])
            [unknown] = desk.run("plan", "-o", "json", env={"LAB_BMC": "admin:secret"}).json["unknown"]
        assert unknown["reason"] == "Unreachable"
        assert "no answer within" in unknown["message"]

    @staticmethod
    def rest(port: int) -> list[dict[str, object]]:
        return [network(), machine("m", f"127.0.0.1:{port}", power="On")]


class TestHowItIsSaid:
    """`No changes` is not said of what nobody could read (a plan of an unreadable fleet once said so, and left with 1).

    The exit codes are those of docs/reference/plan-format.md.
    """

    WAYS = ("text", "markdown")

    @pytest.fixture
    def lab(self, desk: Desk, closed_port: int) -> Desk:
        desk.environment["LAB_BMC"] = "admin:secret"
        silent = [machine(f"m{n}", f"127.0.0.1:{closed_port}", system=f"s{n}", power="On") for n in range(2)]
        desk.allow("lab", "LAB_BMC")
        desk.commit(lab=[partition(driver="redfish", credentialRef={"name": "lab"}), *silent])
        return desk

    @pytest.mark.parametrize("output", WAYS)
    def test_nothing_at_all_could_be_read(self, lab: Desk, output: str) -> None:
        done = lab.run("plan", "-o", output)
        assert done.code == 1
        assert "Unknown: nothing could be read, so nothing is planned; 2 resources observed." in done.out
        assert "no changes" not in done.out.lower()

    @pytest.mark.parametrize("output", WAYS)
    def test_some_could_not_be_read_and_nothing_else_differs(self, lab: Desk, output: str) -> None:
        lab.commit(net=[network()])
        lab.run("apply", "--yes", "networks")
        done = lab.run("plan", "-o", output)
        assert done.code == 0
        assert "No changes among what could be read: 1 of 3 resources matches git, 2 could not be read." in done.out

    def test_all_could_be_read(self, desk: Desk) -> None:
        desk.commit(lab=[network()])
        desk.run("apply", "--yes")
        done = desk.run("plan", "--fail-on-unknown")
        assert (done.code, done.out.splitlines()[-1]) == (0, "No changes. The resource matches git.")

    def test_unknown_ones_fail_a_plan_where_that_is_asked_for(self, lab: Desk) -> None:
        lab.commit(net=[network()])
        assert lab.run("plan").code == 2
        done = lab.run("plan", "--fail-on-unknown")
        assert done.code == 1
        assert "+ Network net" in done.out, "the plan is shown all the same"

    def test_unknown_ones_have_apply_send_nothing_where_that_is_asked_for(self, lab: Desk) -> None:
        lab.commit(net=[network()])
        done = lab.run("apply", "--yes", "--fail-on-unknown")
        assert done.code == 1
        assert "2 resources could not be read (--fail-on-unknown); nothing was sent" in done.err
        assert lab.events() == []


class TestRefused:
    """Somebody answers, and is not trusted or does not trust."""

    @staticmethod
    def plan(desk: Desk, bmcs: Bmcs, system: System, **changes: object) -> Done:
        bmcs.allow(desk)
        desk.commit(lab=[bmcs.partition(**changes), at(system, "m", power="On")])
        done = desk.run("plan")
        assert done.code == 1, done
        assert "Unknown: could not be read, so nothing is planned for these resources (1)" in done.out
        return done

    def test_a_wrong_password(self, desk: Desk, bmcs: Bmcs, system: System) -> None:
        desk.secrets.add("no-such-password")
        desk.environment |= {"LAB_BMC_USERNAME": "operator", "LAB_BMC_PASSWORD": "no-such-password"}
        done = self.plan(desk, bmcs, system)
        assert "AuthenticationFailed" in done.out
        assert "Correct the credential that bmc.credentialRef names" in done.out

    def test_a_wrong_password_stays_out_of_the_store(self, desk: Desk, bmcs: Bmcs, system: System) -> None:
        desk.secrets.add("no-such-password")
        desk.environment |= {"LAB_BMC": "operator:no-such-password"}
        bmcs.allow(desk)
        desk.commit(lab=[bmcs.partition(), at(system, "m", power="On"), network()])
        assert desk.run("apply", "--yes").code == 1
        assert desk.run("describe", "machine/m").code == 0
        assert not [file for file in desk.folder.glob("state.db*") if b"no-such-password" in file.read_bytes()]

    def test_credentials_that_are_not_set(self, desk: Desk, bmcs: Bmcs, system: System) -> None:
        assert "LAB_BMC_USERNAME and LAB_BMC_PASSWORD are not set" in self.plan(desk, bmcs, system).out

    def test_a_certificate_of_another_authority(self, desk: Desk, bmcs: Bmcs, system: System) -> None:
        bmcs.let_in(desk)
        done = self.plan(desk, bmcs, system, tls={})
        assert "certificate" in done.out
        assert "tls" in done.out

    def test_a_fingerprint_of_another_certificate(self, desk: Desk, bmcs: Bmcs, system: System) -> None:
        bmcs.let_in(desk)
        done = self.plan(desk, bmcs, system, tls={"fingerprint": f"sha256:{'0' * 64}"})
        assert "fingerprint" in done.out

    def test_a_file_of_authorities_that_is_not_there(
        self, desk: Desk, bmcs: Bmcs, system: System, tmp_path: Path
    ) -> None:
        bmcs.let_in(desk)
        done = self.plan(desk, bmcs, system, tls={"caFile": str(tmp_path / "nowhere.pem")})
        assert "nowhere.pem" in done.out

    def test_a_system_that_the_bmc_does_not_have(self, desk: Desk, bmcs: Bmcs, system: System) -> None:
        bmcs.let_in(desk)
        done = self.plan(desk, bmcs, system._replace(id="nowhere"))
        assert "nowhere" in done.out
