"""Exit codes and streams of the commands: what a script that was written from the documentation relies on."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.e2e.desk import COMMAND, Desk, document, machine, partition

BMC = {"driver": "redfish", "address": "https://127.0.0.1:1", "credentialRef": {"name": "bmc"}}
DEAD = document("Machine", "dead", partition="lab", bmc=BMC, power="On")
FLEET = [partition(), machine("m0", power="On", labels={"rack": "a"}), machine("m1", labels={"rack": "b"})]
HELD = machine("m2", lifecycle={"mode": "Managed"})
MANY = [partition(), *(machine(f"machine-with-a-long-name-{n}", power="On") for n in range(2000))]
OVERRIDE = ("--for", "1h", "--reason", "INC-7")


@pytest.fixture
def lab(desk: Desk) -> Desk:
    desk.allow("bmc", "BMC")
    desk.environment |= {"BMC_USERNAME": "u", "BMC_PASSWORD": "p"}
    desk.commit(lab=FLEET)
    return desk


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan",),
        ("apply", "--yes"),
        ("get",),
        ("describe",),
        ("events",),
        ("override", "disruption-budget", *OVERRIDE),
        ("adopt",),
    ],
    ids=lambda arguments: arguments[0],
)
@pytest.mark.parametrize("wanted", [("machine/zz",), ("-l", "rack=zz"), ("-l", "rack=="), ("nonsense",)], ids=" ".join)
def test_what_matches_nothing_is_an_error(lab: Desk, arguments: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    done = lab.run(*arguments, *wanted)
    assert (done.code, done.out) == (1, "")
    assert done.err.count("rror") >= 1
    assert not lab.store.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan",),
        ("apply", "--yes"),
        ("get", "machines"),
        ("get", "overrides"),
        ("describe", "machine/m0"),
        ("events",),
        ("override", "disruption-budget", *OVERRIDE),
        ("override", "--list"),
        ("pause", "--list"),
        ("rewind", "HEAD", "--reason", "INC-7"),
        ("history", "machine/m0"),
        ("inventory", "m0"),
        ("ipam", "tree"),
        ("run", "--listen", "127.0.0.1:0"),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_a_store_that_cannot_be_read_is_an_error_and_stays_as_it_is(lab: Desk, arguments: tuple[str, ...]) -> None:
    lab.store.write_text("no database")
    done = lab.run(*arguments)
    assert (done.code, done.out) == (1, "")
    assert "the file is not a SQLite database; check the path of --store" in done.err
    assert lab.store.read_text() == "no database"


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "-o", "json"),
        ("get", "-o", "json"),
        ("get", "overrides", "-o", "json"),
        ("describe", "machine/m0", "-o", "json"),
        ("override", "--list", "-o", "json"),
        ("history", "machine/m0", "-o", "json"),
        ("ipam", "export", "-o", "json"),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_json_is_all_that_is_on_stdout_whatever_there_is_to_be_noted(lab: Desk, arguments: tuple[str, ...]) -> None:
    (lab.repo / "new.yaml").write_text("# not committed\n")
    done = lab.run(*arguments)
    json.loads(done.out)
    assert "note: there is no store at" in done.err


class TestPlanAndApply:
    """0 nothing to do, 1 error, 2 changes, 3 held."""

    def test_nothing_to_do(self, desk: Desk) -> None:
        desk.commit(lab=[partition(), machine("m0")])
        assert [desk.run("plan").code, desk.run("apply", "--yes").code, desk.run("plan").code] == [0, 0, 0]

    def test_changes(self, lab: Desk) -> None:
        assert [lab.run("plan").code, lab.run("apply", "--yes").code] == [2, 0]

    def test_all_is_held(self, desk: Desk) -> None:
        desk.commit(lab=[partition(), HELD])
        assert [desk.run("plan").code, desk.run("apply", "--yes").code] == [3, 3]

    def test_some_is_held_and_the_rest_is_done(self, desk: Desk) -> None:
        desk.commit(lab=[*FLEET, HELD])
        assert [desk.run("plan").code, desk.run("apply", "--yes").code] == [3, 3]

    def test_half_cannot_be_read(self, lab: Desk) -> None:
        lab.commit(lab=[*FLEET, DEAD])
        done = lab.run("plan")
        assert (done.code, "1 unknown" in done.out) == (2, True)
        assert lab.run("plan", "--fail-on-unknown").code == 1
        applied = lab.run("apply", "--yes")
        assert (applied.code, "Applied: 1 of 1 as declared, 1 unknown." in applied.out) == (1, True)

    def test_nothing_can_be_read(self, lab: Desk) -> None:
        lab.commit(lab=[partition(), DEAD])
        for done in (lab.run("plan"), lab.run("apply", "--yes")):
            assert (done.code, "Unknown: nothing could be read" in done.out) == (1, True)

    def test_nobody_can_be_asked(self, lab: Desk) -> None:
        done = lab.run("apply")
        assert (done.code, "pass --yes" in done.err) == (1, True)
        assert not lab.store.exists()


@pytest.mark.parametrize("arguments", [("plan", "--full", "--no-refresh"), ("get", "-o", "yaml")], ids=" ".join)
def test_a_reader_that_goes_away_is_no_traceback(desk: Desk, arguments: tuple[str, ...]) -> None:
    desk.commit(lab=MANY)
    with subprocess.Popen(
        [*COMMAND, *arguments], cwd=desk.repo, env=desk.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        said = process.stderr.read().decode()
        process.wait(60)
    assert "Traceback" not in said
    assert "Error" not in said
