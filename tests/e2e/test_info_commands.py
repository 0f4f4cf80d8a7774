"""The commands that need no fleet: init, validate, explain, schema, version, completion, help."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest

from reconciler.kinds import KINDS
from reconciler.views.resource_document import ResourceStatus
from tests.e2e.desk import Desk, machine, network, partition

BROKEN = """\
apiVersion: groundstate/v1
kind: Machine
metadata:
  name: web-01
spec:
  partition: lab
  bmc:
    adress: 10.1.0.11
  power: Onn
---
apiVersion: groundstate/v1
kind: Machin
metadata:
  name: web-02
"""
UNREADABLE = "kind: [1,\n"
PLACES = ["broken.yaml:8:5", "broken.yaml:9:10", "broken.yaml:12:7", "unreadable.yaml:2:1"]


@pytest.fixture
def broken(desk: Desk) -> Desk:
    """Two files with a mistake in nearly every line."""
    desk.commit(broken=BROKEN, unreadable=UNREADABLE, sound=[network()])
    return desk


class TestValidate:
    """Every problem of every file at once."""

    def test_a_sound_state_leaves_with_0(self, desk: Desk) -> None:
        desk.commit(lab=[network()])
        done = desk.run("validate")
        assert (done.code, done.out) == (0, "Valid: 1 file, 1 resource.\n")

    def test_every_problem_has_its_place_its_reason_and_a_way_out(self, broken: Desk) -> None:
        done = broken.run("validate")
        assert done.code == 1
        assert [place for place in PLACES if f"{place}: " not in done.out] == []
        assert "did you mean address?" in done.out
        assert "spec.power cannot be 'Onn'; one of Off, On; did you mean On?" in done.out
        assert "  power: Onn" in done.out

    def test_what_is_not_committed_is_checked_in_the_work_tree(self, desk: Desk) -> None:
        desk.commit(lab=[network()])
        desk.write(broken=BROKEN)
        assert desk.run("validate").code == 0
        assert desk.run("validate", "--work-tree").code == 1

    def test_json(self, broken: Desk) -> None:
        done = broken.run("validate", "-o", "json")
        assert done.code == 1
        sources = [one["source"] for one in done.json["diagnostics"]]
        found = [f"{source['file']}:{source['line']}:{source['column']}" for source in sources]
        assert [place for place in PLACES if place not in found] == []

    def test_github_annotations(self, broken: Desk) -> None:
        lines = broken.run("validate", "-o", "github").out.splitlines()
        assert any(line.startswith("::error file=broken.yaml,line=9,col=10") for line in lines)

    def test_sarif(self, broken: Desk) -> None:
        form = broken.run("validate", "-o", "sarif").json
        assert form["version"] == "2.1.0"
        regions = [one["locations"][0]["physicalLocation"]["region"] for one in form["runs"][0]["results"]]
        assert {(region["startLine"], region["startColumn"]) for region in regions} >= {(8, 5), (9, 10), (12, 7)}

    def test_junit(self, broken: Desk) -> None:
        root = ET.fromstring(broken.run("validate", "-o", "junit").out)  # noqa: S314  our own output
        failed = [case.get("name") for case in root.iter("testcase") if case.find("failure") is not None]
        assert failed == ["broken.yaml", "unreadable.yaml"]

    @pytest.mark.parametrize("command", ["plan", "get"])
    def test_other_commands_show_the_same_problems(self, broken: Desk, command: str) -> None:
        done = broken.run(command)
        assert (done.code, done.out) == (1, "")
        assert [place for place in PLACES if f"{place}: " not in done.err] == []


class TestInit:
    """A repository to begin with."""

    @pytest.fixture
    def begun(self, desk: Desk) -> Path:
        """What init makes."""
        done = desk.run("init", "new", cwd=desk.folder)
        assert done.code == 0, done
        return desk.folder / "new"

    def test_it_validates_and_plans_as_it_is(self, desk: Desk, begun: Path) -> None:
        assert desk.run("validate", "--work-tree", cwd=begun).code == 0
        for command in (["add", "."], ["commit", "--quiet", "-m", "Begin"]):
            subprocess.run(["git", *command], cwd=begun, env=desk.environment, check=True)
        done = desk.run("plan", cwd=begun)
        assert done.code == 2, done
        assert "put-network" in done.out
        assert 'credentials.bmc = {env = "BMC", networks = ["192.0.2.11/32"]}' in done.out

    def test_its_documents_name_their_schema(self, begun: Path) -> None:
        for document in (begun / "partition.yaml", *begun.glob("*/*.yaml")):
            first = document.read_text("utf-8").partition("\n")[0]
            schema = first.removeprefix("# yaml-language-server: $schema=")
            assert json.loads((document.parent / schema).read_text("utf-8"))["title"]

    def test_the_store_stays_out_of_git(self, begun: Path) -> None:
        assert ".groundstate/" in (begun / ".gitignore").read_text("utf-8").split()

    def test_a_second_time_keeps_what_is_there(self, desk: Desk, begun: Path) -> None:
        document = begun / "machines" / "lab-01.yaml"
        document.write_text("# mine\n", "utf-8")
        before = {path: path.read_bytes() for path in begun.rglob("*") if path.is_file()}
        done = desk.run("init", "new", cwd=desk.folder)
        assert done.code == 0
        assert "kept     new/machines/lab-01.yaml" in done.out
        assert {path: path.read_bytes() for path in begun.rglob("*") if path.is_file()} == before

    def test_init_renews_schemas_and_nothing_else(self, desk: Desk) -> None:
        """An old schema would mark a new field as wrong, and let an old one pass."""
        desk.run("init", "new", cwd=desk.folder)
        folder = desk.folder / "new"
        old, edited = folder / ".schemas" / "machine.json", folder / "partition.yaml"
        old.write_text("{}")
        edited.write_text("# mine\n")
        done = desk.run("init", "new", cwd=desk.folder)
        assert "wrote    new/.schemas/" in done.out
        assert "kept     new/partition.yaml" in done.out
        assert (len(old.read_text()) > 1000, edited.read_text()) == (True, "# mine\n")
        assert "kept     new/.schemas/" in desk.run("init", "new", cwd=desk.folder).out

    def test_the_editor_is_told_the_schema_of_every_document(self, desk: Desk) -> None:
        """A first line serves the first document of a file alone."""
        desk.run("init", "new", cwd=desk.folder)
        settings = json.loads((desk.folder / "new" / ".vscode" / "settings.json").read_text())
        for schema in settings["yaml.schemas"]:
            assert json.loads((desk.folder / "new" / schema).read_text())["title"] == "groundstate document"

    def test_where_nothing_can_be_written(self, desk: Desk) -> None:
        (desk.folder / "file").touch()
        done = desk.run("init", str(desk.folder / "file" / "new"))
        assert done.code == 1
        assert "the repository cannot be created" in done.err


class TestExplaining:
    """What a field means, from the schema that checks it."""

    def test_all_kinds(self, desk: Desk) -> None:
        kinds = [line.split()[0] for line in desk.run("explain").out.splitlines()]
        assert kinds == list(KINDS)

    def test_a_field(self, desk: Desk) -> None:
        shown = desk.run("explain", "machine.spec.boot.enabled").out
        assert "FIELD: spec.boot.enabled <string> -required-" in shown
        assert "ENUM:\n    Continuous\n    Disabled\n    Once\n" in shown

    @pytest.mark.parametrize(
        ("path", "line"),
        [
            ("machine.spec", "  macs\t<[]string>"),
            ("machine.spec", "  bmc\t<BmcSpec> -required-"),
            ("machine.metadata", "  labels\t<map[string]string>"),
            ("machine.power", "FIELD: spec.power <string>"),
            ("machine.status", "  conditions\t<[]Condition> -required-"),
            ("machine.status.observed", "  enum: Off, On, Paused, PoweringOff, PoweringOn"),
            ("ipaddress.status.observed", "  address\t<string>"),
        ],
    )
    def test_the_type_of_a_field(self, desk: Desk, path: str, line: str) -> None:
        assert line in desk.run("explain", path).out.splitlines()

    def test_a_status_has_what_get_shows(self, desk: Desk) -> None:
        """Every key of a `status` is explained: the text is made from the type that is printed."""
        fields = {one.encode_name for one in msgspec.structs.fields(ResourceStatus)}
        shown = desk.run("explain", "machine.status").out
        assert {line.split()[0] for line in shown.splitlines() if "\t<" in line} == fields

    @pytest.mark.parametrize(
        ("path", "said"),
        [
            ("machine.spec.bot", "did you mean boot?"),
            ("machine.statu", "Machine.statu does not exist; did you mean status?"),
            ("machin", "kinds are Tenant"),
            ("machine.power.x", "has no fields"),
        ],
    )
    def test_what_there_is_not(self, desk: Desk, path: str, said: str) -> None:
        done = desk.run("explain", path)
        assert done.code == 1
        assert said in done.err

    def test_a_schema_and_all_in_one(self, desk: Desk) -> None:
        machine = desk.run("schema", "machine").json
        assert (machine["$schema"], machine["title"]) == ("http://json-schema.org/draft-07/schema#", "Machine")
        assert "Machine" in desk.run("schema").json["properties"]["kind"]["enum"]


class TestCommandLine:
    """The program itself."""

    def test_version(self, desk: Desk) -> None:
        assert desk.run("version").out.startswith("groundstate ")
        assert set(desk.run("version", "-o", "json").json) >= {"groundstate", "python", "sushy"}

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_completion(self, desk: Desk, shell: str) -> None:
        done = desk.run("completion", shell)
        assert done.code == 0
        assert "_GROUNDSTATE_COMPLETE" in done.out

    @pytest.mark.parametrize(
        ("words", "offered"),
        [
            ("pl", ["plan"]),
            ("get mach", ["machines", "machineclaims"]),
            ("get machines m-b", ["m-b"]),
            ("get machine m-a m-", ["m-a", "m-b"]),
            ("plan -r HEAD machine/", ["machine/m-a", "machine/m-b"]),
            ("plan machine/m-a par", ["partitions"]),
            ("inventory m-a", ["m-a"]),
            ("boot kea l", ["lab"]),
            ("explain siz", ["sizes", "sizereservations"]),
            ("explain machine.sp", ["machine.spec"]),
            ("explain machine.spec.bm", ["machine.spec.bmc"]),
            ("explain machine.boot.en", ["machine.boot.enabled"]),
            ("explain machine.nothing.", []),
            ("explain nothing.", []),
            ("get machines -w --sort-by pow", ["power"]),
            ("get partitions --sort-by po", []),
            ("get --sort-by s", ["status", "seen", "source"]),
            ("get --status st", ["Stalled"]),
            ("get --status Held,!re", ["Held,!Ready", "Held,!Reconciling"]),
            ("plan -r ma", ["main"]),
            ("plan -l ra", ["rack="]),
            ("plan -l rack = ", ["r1", "r2"]),
            ("plan -l rack =", ["r1", "r2"]),
            ("plan -l rack = r1,ro", ["r1,role="]),
            ("plan -l rack = r1,role = w", ["web"]),
            ("plan --selector rack = r2", ["r2"]),
            ("history machi", ["machines/", "machineclaims/"]),
            ("history machines", ["machines/m-a", "machines/m-b"]),
            ("history machine m-a", ["m-a"]),
            ("restart machines", ["machines/m-a", "machines/m-b"]),
            ("get nonsense/", []),
            ("get -C nowhere machine/", []),
        ],
    )
    def test_commands_kinds_and_names_are_completed(self, desk: Desk, words: str, offered: list[str]) -> None:
        labels = [{"rack": "r1", "role": "web"}, {"rack": "r2"}]
        desk.commit(m=[machine("m-a", labels=labels[0]), machine("m-b", labels=labels[1])], lab=[partition()])
        wanted = {"_GROUNDSTATE_COMPLETE": "bash_complete", "COMP_WORDS": f"groundstate {words}"}
        done = desk.run(env={**wanted, "COMP_CWORD": str(len(words.split()) + words.endswith(" "))})
        assert (done.out.split(), done.err) == ([f"plain,{one}" for one in offered], "")

    @pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
    @pytest.mark.parametrize(("typed", "added"), [("ra", "-S -U -V unsorted -a begun"), ("rack=r1", "-U -V unsorted")])
    def test_zsh_puts_no_space_behind_what_is_only_begun(self, desk: Desk, typed: str, added: str) -> None:
        desk.commit(m=[machine("m-a", labels={"rack": "r1"})], lab=[partition()])
        offered = "plain\nrack=\n_" if typed == "ra" else "plain\nrack=r1\n_"
        stubs = (
            f"compdef() {{ : }}; env() {{ print '{offered}' }}; compadd() {{ print -r -- $@ }}; commands[groundstate]=x"
        )
        script = f"{stubs}\n{desk.run('completion', 'zsh').out}\nwords=(); CURRENT=2; _groundstate_completion"
        done = subprocess.run(["zsh", "-f", "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout.startswith(added)

    def test_names_of_a_broken_revision_are_completed_as_far_as_it_is_sound(self, desk: Desk) -> None:
        desk.commit(m=[machine("m-a")], lab=[partition()], broken=[{"kind": "Nonsense"}])
        wanted = {"_GROUNDSTATE_COMPLETE": "bash_complete", "COMP_WORDS": "groundstate get machine/", "COMP_CWORD": "2"}
        done = desk.run(env=wanted)
        assert (done.out, done.err) == ("plain,machine/m-a\n", "")

    def test_help_lists_every_command_and_each_has_examples(self, desk: Desk) -> None:
        listed = desk.run("--help").out.partition("Commands:")[2]
        names = [line.split()[0] for line in listed.splitlines() if line.startswith("  ")]
        assert {"init", "validate", "plan", "apply", "run", "get", "describe", "events", "explain"} <= {*names}
        for name in ("plan", "apply", "run", "get"):
            assert "Examples:" in desk.run(name, "--help").out
