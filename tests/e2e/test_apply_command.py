"""`groundstate apply` on real Redfish: the BMCs say afterwards what is declared, and each thing is sent once."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import yaml

from tests.e2e.desk import Desk, Done, address, machine, network, partition
from tests.e2e.simulated_bmcs import Bmcs, System, at


class Lab(NamedTuple):
    """A fleet to which its desired state was applied once."""

    desk: Desk
    bmcs: Bmcs
    first: Done
    web: System
    db: System


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, bmcs: Bmcs) -> Lab:
    """Two machines, a network and an address."""
    desk, web, db = Desk(tmp_path_factory.mktemp("applied") / "desk"), bmcs.system(0), bmcs.system(1)
    bmcs.let_in(desk)
    boot = {"target": "Pxe", "enabled": "Continuous"}
    desk.commit(
        lab=[bmcs.partition(), network(), address("front", address="10.0.0.80")],
        web=[at(web, "web", power="On", boot=boot, indicatorLED="Blinking", labels={"role": "web"})],
        db=[at(db, "db", indicatorLED="Off", labels={"role": "db"})],
    )
    return Lab(desk, bmcs, desk.run("apply", "--yes"), web, db)


def test_power_boot_and_led_are_as_declared(lab: Lab) -> None:
    web, db = lab.bmcs.ask(lab.web), lab.bmcs.ask(lab.db)
    assert (web["PowerState"], web["IndicatorLED"]) == ("On", "Blinking")
    assert web["Boot"]["BootSourceOverrideTarget"] == "Pxe"
    assert (db["PowerState"], db["IndicatorLED"]) == ("Off", "Off")


def test_it_leaves_with_0_and_counts_what_it_did(lab: Lab) -> None:
    assert lab.first.code == 0, lab.first
    assert lab.first.out.splitlines()[-1] == "Applied: 4 of 4 as declared."


def test_progress_is_a_plain_line_a_step_on_stderr(lab: Lab) -> None:
    lines = lab.first.err.splitlines()
    assert [line.partition(",")[0] for line in lines if line.startswith("Machine/db: ")] == [
        "Machine/db: set-indicator (Off)",
        "Machine/db: set-indicator (Off) took effect",
        "Machine/db: as declared",
    ]
    assert "\x1b" not in lab.first.err


def test_each_action_is_sent_once_and_in_order(lab: Lab) -> None:
    assert sorted(lab.bmcs.writes(lab.web)) == ["PATCH", "PATCH", "POST Reset"]
    sent = [event.message.split()[0] for event in lab.desk.told("ActionSent", "web")]
    assert sorted(sent) == ["power-on", "set-boot", "set-indicator"]
    assert sent.index("set-boot") < sent.index("power-on")


def test_a_second_apply_sends_nothing(lab: Lab) -> None:
    before = lab.bmcs.writes(lab.web), lab.bmcs.writes(lab.db)
    again = lab.desk.run("apply", "--yes")
    assert again.code == 0, again
    assert "No changes" in again.out
    assert (lab.bmcs.writes(lab.web), lab.bmcs.writes(lab.db)) == before


def test_the_plan_afterwards_is_empty(lab: Lab) -> None:
    done = lab.desk.run("plan", "-o", "json")
    assert (done.code, done.json["changes"], done.json["unknown"]) == (0, [], [])


def test_the_ledger_says_who_did_what_because_of_which_commit(lab: Lab) -> None:
    sha = lab.desk.git("rev-parse", "--short=10", "HEAD")
    sent = lab.desk.told("ActionSent", "db")
    assert [event.message for event in sent] == [
        f"set-indicator (Off), because of commit {sha} (author Ada, not verified)"
    ]
    assert sent[0].by is not None
    assert sent[0].by.endswith("(apply)")
    assert [event.action_id for event in lab.desk.told("ActionConfirmed", "db")] == [sent[0].action_id]


def test_no_password_is_in_the_store(lab: Lab) -> None:
    files = list(lab.desk.folder.glob("state.db*"))
    assert lab.desk.store in files
    content = b"".join(file.read_bytes() for file in files)
    assert not [secret for secret in lab.desk.secrets if secret.encode() in content]


class TestLookingAtIt:
    """`get`, `describe` and `events`, which ask no BMC."""

    def test_a_table_says_declared_and_observed(self, lab: Lab) -> None:
        header, *rows = lab.desk.run("get", "machines").out.splitlines()
        assert header.split() == ["NAME", "PARTITION", "RACK", "DECLARED", "POWER", "PHASE", "STATUS", "SEEN"]
        assert [row.split()[:7] for row in rows] == [
            ["db", "lab", "-", "-", "Off", "-", "Ready"],
            ["web", "lab", "-", "On", "On", "-", "Ready"],
        ]

    @pytest.mark.parametrize("output", ["table", "wide"])
    def test_a_table_has_no_trailing_spaces(self, lab: Lab, output: str) -> None:
        lines = lab.desk.run("get", "-o", output).out.splitlines()
        assert [line for line in lines if line != line.rstrip()] == []

    def test_wide_adds_columns(self, lab: Lab) -> None:
        header, row = lab.desk.run("get", "machine/web", "-o", "wide").out.splitlines()
        assert {"BOOT", "LED", "BMC", "SOURCE"} <= set(header.split())
        assert {"Pxe/Continuous", "Blinking", lab.web.address, "web.yaml:1:1"} <= set(row.split())

    def test_names(self, lab: Lab) -> None:
        names = lab.desk.run("get", "-o", "name").out.split()
        assert names == ["Partition/lab", "Network/net", "IPAddress/front", "Machine/db", "Machine/web"]

    def test_labels_choose(self, lab: Lab) -> None:
        assert lab.desk.run("get", "-l", "role=web", "-o", "name").out.split() == ["Machine/web"]

    def test_json_and_yaml_hold_the_document_and_its_status(self, lab: Lab) -> None:
        found = lab.desk.run("get", "ip/front", "-o", "json").json
        assert found["spec"] == {"network": "net", "address": "10.0.0.80"}
        assert found["status"]["observed"] == {
            "network": "net",
            "address": "10.0.0.80",
            "about": {"ephemeral": True},
        }
        assert found["status"]["conditions"][0]["type"] == "Ready"
        assert yaml.safe_load(lab.desk.run("get", "ip/front", "-o", "yaml").out) == found

    def test_describe_tells_spec_sight_conditions_and_events(self, lab: Lab) -> None:
        told = lab.desk.run("describe", "machine/web").out
        for part in ("Status:      Ready", "Source:      web.yaml:1:1", "Blinking", "Ready=True", "ActionConfirmed"):
            assert part in told

    def test_events_are_in_order_and_filtered(self, lab: Lab) -> None:
        lines = lab.desk.run("events", "machine/db").out.splitlines()
        assert [line.split()[4] for line in lines] == ["ActionSent:", "ActionConfirmed:"]

    def test_the_newest_events_as_json_lines(self, lab: Lab) -> None:
        import json

        lines = lab.desk.run("events", "-n", "1", "-o", "json").out.splitlines()
        assert [json.loads(line)["reason"] for line in lines] == ["ActionConfirmed"]


class TestAsking:
    """Whether anybody agreed."""

    def test_without_a_terminal_and_without_yes_nothing_is_done(self, desk: Desk) -> None:
        desk.commit(lab=[network()])
        done = desk.run("apply")
        assert done.code == 1
        assert "pass --yes" in done.err
        assert desk.events() == []

    def test_an_answer_from_a_pipe_is_no_answer(self, desk: Desk) -> None:
        desk.commit(lab=[network()])
        assert desk.run("apply", stdin="y\n").code == 1
        assert desk.events() == []

    def test_nobody_is_asked_when_there_is_nothing_to_do(self, desk: Desk) -> None:
        desk.commit(lab=[partition()])
        assert desk.run("apply").code == 0


def test_what_was_found_as_declared_is_in_force_from_then_on(desk: Desk) -> None:
    documents = [partition(), *(machine(f"m{n}", power="Off") for n in range(3))]
    desk.commit(lab=documents)
    assert desk.run("apply").code == 0
    desk.commit(lab=[partition(), network()])
    assert "empty-desired-state" in desk.run("plan").out


class TestExitCodes:
    """0 only when all is as declared."""

    def test_what_a_guard_holds_leaves_with_3(self, desk: Desk) -> None:
        desk.commit(lab=[partition(), *(machine(f"m{n}") for n in range(3))])
        assert desk.run("apply", "--yes").code == 0
        desk.commit(lab=[partition(), machine("m0"), network()])
        done = desk.run("apply", "--yes")
        assert done.code == 3, done
        assert "removed from git at once; the limit is" in done.out
        assert desk.told("ActionSent") == []

    def test_maintenance_is_no_failure(self, desk: Desk) -> None:
        pause = {"reason": "A DIMM is being replaced; ask Grace."}
        desk.commit(lab=[partition(), network(), machine("m", power="On", maintenance=pause)])
        done = desk.run("apply", "--yes")
        assert done.code == 0, done
        assert "ask Grace" in done.out

    def test_an_address_that_another_has_is_held_and_names_the_owner(self, desk: Desk) -> None:
        desk.commit(lab=[network(), address("one", address="10.0.0.5", type="Static")])
        assert desk.run("apply", "--yes").code == 0
        desk.commit(lab=[network(), address("two", address="10.0.0.5"), address("three")])
        done = desk.run("apply", "--yes")
        assert done.code == 3, done
        assert "IPAddress/one" in done.out


def test_a_run_ends_at_its_timeout_and_says_what_is_in_flight(desk: Desk, bmcs: Bmcs) -> None:
    bmcs.let_in(desk)
    # The emulator takes the order and goes on saying Continuous, so that it is never confirmed.
    desk.commit(lab=[bmcs.partition(), at(bmcs.system(), "m", boot={"enabled": "Disabled"})])
    done = desk.run("apply", "--yes", "--timeout", "2")
    assert done.code == 1, done
    assert "1 not finished, 1 of them in flight" in done.out
