"""What goes wrong on the first day is said in words, with a way out, and leaves with 1."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.desk import Desk, Done, address, machine, network, partition

FIRST_COMMANDS = ("plan", "run", "get", "validate")


def refused(done: Done, *words: str) -> None:
    """It left with 1, printed no data, and said these words."""
    assert done.code == 1, done
    assert done.out == ""
    for word in words:
        assert word in done.err


@pytest.fixture
def fleet(desk: Desk) -> Desk:
    """One machine and a network, committed on `main`."""
    desk.commit(lab=[partition(), network(), machine("web-01", labels={"rack": "r1"})])
    return desk


class TestRepository:
    """Where the desired state should be."""

    @pytest.mark.parametrize("command", FIRST_COMMANDS)
    def test_no_repository(self, desk: Desk, command: str, tmp_path: Path) -> None:
        refused(desk.run(command, cwd=tmp_path), "is not in a git repository", "git init")

    def test_no_commit_yet(self, desk: Desk) -> None:
        refused(desk.run("plan"), "has no commits", "commit the desired state")

    def test_no_such_folder(self, desk: Desk) -> None:
        refused(desk.run("plan", "--repo", "/nowhere"), "/nowhere is not a directory", "check the path")

    @pytest.mark.parametrize(("ref", "said"), [("mian", "did you mean main?"), ("zzz", "this repository has main")])
    def test_no_such_ref(self, fleet: Desk, ref: str, said: str) -> None:
        refused(fleet.run("plan", "--ref", ref), f"no branch, tag or commit {ref!r}", said)

    def test_no_such_folder_in_it(self, fleet: Desk) -> None:
        refused(fleet.run("plan", "--path", "racks"), "no folder 'racks' at this revision; correct --path\n")

    def test_a_url_that_nobody_answers(self, fleet: Desk) -> None:
        refused(fleet.run("plan", "--repo", "https://127.0.0.1:1/fleet.git"), "cannot be fetched", "check the address")

    def test_a_password_in_a_url_is_not_repeated(self, fleet: Desk) -> None:
        fleet.secrets.add("hunter2")
        refused(
            fleet.run("plan", "--repo", "https://ada:hunter2@127.0.0.1:1/fleet.git"), "https://127.0.0.1:1/fleet.git"
        )


class TestTargets:
    """What was meant."""

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["machin"], "'machin' is not a kind; did you mean machines?"),
            (["nodes"], "'nodes' is not a kind; did you mean machines?"),
            (["events"], "'events' is not a kind; did you mean `groundstate events`?"),
            (["zzz"], "'zzz' is not a kind; kinds are tenants, "),
            (["machine/web-02"], "no Machine is named 'web-02'; did you mean web-01?"),
            (["machine/zzz"], "list them with `groundstate get machines`"),
            (["-l", "rack in r1"], "is not a label selector; write key=value"),
            (["-l", "rack=r1=r2"], "is not a label selector; write key=value"),
        ],
    )
    def test_the_nearest_is_suggested(self, fleet: Desk, arguments: list[str], said: str) -> None:
        refused(fleet.run("plan", *arguments), said)

    @pytest.mark.parametrize(
        ("word", "said"),
        [
            ("plna", "did you mean plan?"),
            ("logs", "did you mean events?"),
            ("reboot", "did you mean restart?"),
            ("delete", "remove the document from git and commit"),
            ("edit", "change the document, commit the change"),
            ("kinds", "did you mean explain?"),
            ("xyzzy", "`groundstate --help` lists all commands"),
        ],
    )
    def test_the_nearest_command_is_suggested(self, fleet: Desk, word: str, said: str) -> None:
        refused(fleet.run(word), f"there is no command '{word}'; {said}")

    @pytest.mark.parametrize("names", [["machine", "web-01,web-01"], ["machine/web-01,web-01"]])
    def test_names_may_be_separated_by_commas(self, fleet: Desk, names: list[str]) -> None:
        assert fleet.run("get", *names, "-o", "name").out.split() == ["Machine/web-01"]

    @pytest.mark.parametrize("command", ["plan", "get", "describe", "events", "adopt", "apply"])
    def test_labels_that_nothing_has_are_an_error(self, fleet: Desk, command: str) -> None:
        """A slip in a label must not read as `No changes`."""
        refused(fleet.run(command, "-l", "rack=r9"), "-l rack=r9 matches nothing; rack is r1")
        refused(fleet.run(command, "-l", "rak=r1"), "no resource has the label 'rak'; did you mean rack?")


class TestHelp:
    """`help` is a command of many tools."""

    def test_of_everything_and_of_one_command(self, fleet: Desk) -> None:
        assert "Commands:" in fleet.run("help").out
        assert fleet.run("help", "plan").out == fleet.run("plan", "--help").out
        assert "groundstate ipam tree" in fleet.run("help", "ipam", "tree").out


class TestOptions:
    """Mistyped options and settings leave with 1, as 2 says that there are changes."""

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["plan", "--selectr", "x"], "--selector"),
            (["plna"], "there is no command 'plna'; did you mean plan?"),
            (["get", "machines", "-A"], "No such option '-A'; groundstate has no namespaces"),
            (["apply", "-f", "x.yaml"], "No such option '-f'; documents come from git"),
            (["apply", "--auto-approve"], "did you mean --yes?"),
            (["history", "web-01"], "write KIND/NAME, such as machine/web-01"),
            (["plan", "-o", "xml"], "'text', 'json', 'yaml', 'markdown'"),
            (["plan", "--max-disrupted", "many"], "neither a number of machines (such as 5) nor a share (such as 10%)"),
            (["plan", "--max-disrupted", "101%"], "a share is between 0% and 100%"),
            (["describe"], "name what to describe"),
            (["--config", "/nowhere", "plan"], "does not exist"),
        ],
    )
    def test_on_the_command_line(self, fleet: Desk, arguments: list[str], said: str) -> None:
        refused(fleet.run(*arguments), said)

    def test_in_the_environment(self, fleet: Desk) -> None:
        refused(fleet.run("plan", env={"GROUNDSTATE_MAX_REMOVED": "few"}), "'few' is neither")

    @pytest.mark.parametrize(
        ("settings", "said"),
        [
            ("resinc = 60\n", "'resinc' is not a setting; did you mean resync?"),
            ("colour = 1\n", "'colour' is not a setting; settings are"),
            ("resync =\n", "cannot be read as settings"),
            ("max-disrupted = 'x'\n", "'x' is neither"),
            ("credentials.bmc = {env = 'BMC'}\n", "missing required field `networks`"),
            ("credentials.bmc = {env = 'BMC', networks = []}\n", "credentials.bmc.networks is empty"),
            ("credentials.bmc = {env = 'BMC', networks = ['10.1.0.7/24']}\n", "has host bits set"),
            ("credentials.bmc = {networks = ['10.1.0.0/24']}\n", "credentials.bmc has none of env, file and exec"),
            ("credentials.bmc = 'secret'\n", "credentials"),
            ("document_credentials = ['env']\n", "document_credentials"),
        ],
    )
    def test_in_the_settings_file(self, fleet: Desk, settings: str, said: str) -> None:
        fleet.settings(settings)
        refused(fleet.run("plan"), said)

    def test_a_setting_holds_for_the_commands_that_know_it(self, fleet: Desk) -> None:
        (fleet.repo / "groundstate.toml").write_text("resync = 5\noutput = 'name'\n", "utf-8")
        assert fleet.run("get").out.splitlines() == ["Partition/lab", "Network/net", "Machine/web-01"]

    def test_an_output_that_a_command_has_not_is_for_those_that_have_it(self, fleet: Desk) -> None:
        (fleet.repo / "groundstate.toml").write_text("output = 'wide'\n", "utf-8")
        assert fleet.run("plan").code == 2
        assert "SOURCE" in fleet.run("get", "machines").out.splitlines()[0]
        (fleet.repo / "groundstate.toml").write_text("output = 'xml'\n", "utf-8")
        refused(fleet.run("plan"), "'xml' is not one of")

    def test_the_command_line_beats_the_environment_which_beats_the_file(self, fleet: Desk) -> None:
        (fleet.repo / "groundstate.toml").write_text("output = 'json'\n", "utf-8")
        assert fleet.run("get", env={"GROUNDSTATE_OUTPUT": "name"}).out.startswith("Partition/lab")
        assert fleet.run("get", "-o", "wide", env={"GROUNDSTATE_OUTPUT": "name"}).out.startswith("NAME")

    def test_a_format_of_other_commands_in_the_environment_is_not_for_this_one(self, fleet: Desk) -> None:
        assert fleet.run("plan", env={"GROUNDSTATE_OUTPUT": "wide"}).out.startswith("Plan of ")
        assert "'wide' is not one of" in fleet.run("plan", "-o", "wide").err
        assert "'nonsense' is not one of" in fleet.run("plan", env={"GROUNDSTATE_OUTPUT": "nonsense"}).err


class TestStore:
    """The file that remembers."""

    def test_a_mistyped_folder_is_not_made(self, fleet: Desk) -> None:
        done = fleet.run("apply", "--yes", "--store", str(fleet.folder / "tpyo" / "state.db"))
        assert done.code == 1
        assert (
            f"the directory {fleet.folder}/tpyo does not exist; create that directory, or correct --store"
        ) in done.err
        assert not (fleet.folder / "tpyo").exists()

    @pytest.mark.parametrize("command", [["plan"], ["run"], ["events"]])
    def test_a_file_that_is_no_database(self, fleet: Desk, command: list[str]) -> None:
        fleet.store.write_bytes(b"something else, and long enough to be looked at" * 40)
        refused(fleet.run(*command), "the file is not a SQLite database", "--store")

    def test_a_damaged_one(self, fleet: Desk) -> None:
        assert fleet.run("apply", "--yes").code == 0
        content = fleet.store.read_bytes()
        fleet.store.write_bytes(content[:100] + b"\xff" * (len(content) - 100))
        refused(fleet.run("get"), "the file is damaged", "restore a backup")

    def test_one_of_a_newer_program(self, fleet: Desk) -> None:
        assert fleet.run("apply", "--yes").code == 0
        with sqlite3.connect(fleet.store) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.close()
        refused(fleet.run("plan"), "schema 9999", "A newer groundstate made the store")

    def test_a_database_that_is_not_known_keeps_its_password(self, fleet: Desk) -> None:
        fleet.secrets.add("hunter2")
        refused(fleet.run("plan", "--store", "mysql://ada:hunter2@db/fleet"), "only sqlite:///FILE and postgresql://")

    def test_a_server_that_nobody_answers_keeps_its_password(self, fleet: Desk) -> None:
        fleet.secrets.add("hunter2")
        url = "postgresql://ada:hunter2@127.0.0.1:1/fleet"
        refused(fleet.run("plan", "--store", url), "the database cannot be reached")

    @pytest.mark.parametrize("size", [4_096, 262_144], ids=["from the start", "half way"])
    def test_no_room_on_the_disk(self, desk: Desk, size: int) -> None:
        desk.commit(lab=[network(), *(address(f"ip{n:03}") for n in range(150))])
        done = desk.run("apply", "--yes", preexec_fn=no_file_over(size))
        assert done.code == 1
        assert f"store {desk.store}: the disk " in done.err
        again = desk.run("apply", "--yes")
        assert again.code == 0, again
        held = {line.split()[2] for line in desk.run("get", "ip").out.splitlines()[1:]}
        assert len(held) == 150

    @pytest.mark.parametrize("command", [["plan"], ["get"], ["schema"], ["version"], ["--help"]])
    def test_no_room_for_what_is_printed(self, fleet: Desk, command: list[str]) -> None:
        with Path("/dev/full").open("w", encoding="utf-8") as full, fleet.running(*command, stdout=full) as running:
            done = running.end()
        assert done.code == 1
        assert "error: standard output: No space left on device\n" in done.err


def no_file_over(size: int) -> Callable[[], None]:
    """Python ignores SIGXFSZ, so that a write beyond it fails as on a full disk."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_subfolder_has_the_settings_and_the_store_of_its_repository(desk: Desk) -> None:
    del desk.environment["GROUNDSTATE_STORE"]
    desk.environment.pop("GROUNDSTATE_REPO", None)
    desk.commit(lab=[network()])
    (desk.repo / "groundstate.toml").write_text('output = "json"\n', "utf-8")
    (desk.repo / "below").mkdir()
    done = desk.run("apply", "--yes", cwd=desk.repo / "below")
    assert done.code == 0, done
    assert desk.run("get", cwd=desk.repo / "below").json
    assert (desk.repo / ".git" / "groundstate" / "state.db").is_file()
    assert list((desk.repo / "below").iterdir()) == []


@pytest.mark.parametrize("command", [("validate", "--repo"), ("plan", "--repo"), ("apply",)])
def test_a_path_that_is_too_long_is_refused_in_words(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = Desk(tmp_path / "desk").run(*command, "a" * 5000)
    assert done.code == 1
    assert "File name too long" in done.err
    assert len(done.err) < 500
