"""`groundstate plan`: what it says, where it says it, how it leaves, and that it leaves nothing behind."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from reconciler.views.render.plans import plan_from_json
from tests.e2e.desk import Desk, address, machine, network, partition, without_times


def declared(desk: Desk) -> str:
    """One change in a repository."""
    return desk.commit(lab=[network()])


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_nothing_to_do_leaves_with_0(desk: Desk) -> None:
    desk.commit(lab=[partition()])
    done = desk.run("plan")
    assert done.code == 0
    assert "No changes" in done.out


def test_changes_leave_with_2(desk: Desk) -> None:
    declared(desk)
    done = desk.run("plan")
    assert done.code == 2
    assert "put-network 10.0.0.0/24" in done.out


def test_what_a_guard_holds_leaves_with_3_and_names_the_flag(desk: Desk) -> None:
    desk.commit(lab=[partition(), network(), *(machine(f"m{n}") for n in range(3))])
    assert desk.run("apply", "--yes").code == 0
    desk.commit(lab=[partition(), network()])
    held = desk.run("plan")
    assert held.code == 3
    assert "empty-desired-state" in held.out
    assert "--allow-empty" in held.out
    assert desk.run("plan", "--allow-empty").code == 2


def test_what_it_says_to_run_next_carries_out_this_very_plan(desk: Desk) -> None:
    declared(desk)
    meant = ("networks", "-l", "!spare", "--ref", "main", "--max-removed", "3", "--allow-empty")
    said = "Next: groundstate apply networks -l '!spare' --ref main --max-removed 3 --allow-empty"
    assert desk.run("plan", *meant, "--concurrency", "2", "--full").out.splitlines()[-1] == said


def test_a_login_in_a_url_is_not_said_again(desk: Desk) -> None:
    declared(desk)
    url = f"file://ada:hunter2@localhost{desk.repo}"
    done = desk.run("plan", "--repo", url)
    assert done.code == 2, done
    assert done.out.splitlines()[-1] == "Next: groundstate apply"


def test_an_error_leaves_with_1_and_prints_no_data(desk: Desk) -> None:
    desk.commit(lab="kind: Nothing\n")
    done = desk.run("plan", "-o", "json")
    assert done.code == 1
    assert done.out == ""
    assert "lab.yaml:1:" in done.err


def test_the_cause_of_a_change_is_the_commit_that_last_touched_its_file(desk: Desk) -> None:
    first = desk.commit("Begin the network", net=[network()])
    desk.commit("Ask for an address", web=[address("web")])
    causes = {change["key"]["name"]: change["cause"] for change in desk.run("plan", "-o", "json").json["changes"]}
    assert (causes["net"]["commit"]["sha"], causes["net"]["commit"]["subject"]) == (first, "Begin the network")
    assert causes["web"]["commit"]["subject"] == "Ask for an address"
    assert causes["web"]["kind"] == "commit"


def test_json_is_the_plan_with_its_format_version(desk: Desk) -> None:
    sha = declared(desk)
    done = desk.run("plan", "-o", "json")
    assert done.code == done.json["exit_code"] == 2
    assert done.json["format_version"] == "5.1"
    assert done.json["revision"]["id"] == sha
    assert plan_from_json(done.out.encode()).changes[0].key.name == "net"


def test_yaml_is_the_same_as_json(desk: Desk) -> None:
    declared(desk)
    as_yaml = yaml.safe_load(desk.run("plan", "-o", "yaml").out)
    as_json = desk.run("plan", "-o", "json").json
    assert without_times(as_yaml) == without_times(as_json)


def test_markdown_is_fit_for_a_comment(desk: Desk) -> None:
    declared(desk)
    done = desk.run("plan", "-o", "markdown")
    assert done.code == 2
    assert "put-network" in done.out
    assert "\x1b" not in done.out
    assert len(done.out) < 65_536


@pytest.mark.parametrize("output", ["text", "json", "yaml", "markdown"])
def test_what_goes_to_a_pipe_has_no_colour_and_nothing_beside_the_data(desk: Desk, output: str) -> None:
    declared(desk)
    done = desk.run("plan", "-o", output, env={"TERM": "xterm-256color"})
    assert done.err.startswith("note: there is no store at ")
    assert done.err.count("\n") == 1
    assert "\x1b" not in done.out


def test_nothing_is_written(desk: Desk) -> None:
    desk.commit(lab=[partition(), network(), machine("m", power="On")])
    before = tree(desk.repo)
    del desk.environment["GROUNDSTATE_STORE"]
    assert desk.run("plan").code == 2
    assert tree(desk.repo) == before
    assert not desk.store.exists()


def test_a_plan_beside_a_store_leaves_it_as_it_is(desk: Desk) -> None:
    desk.commit(lab=[network()])
    desk.run("apply", "--yes")
    desk.commit(lab=[network(), address("web")])
    told = desk.events()
    assert desk.run("plan").code == 2
    assert desk.events() == told


class TestRevisions:
    """Where the desired state is read from."""

    @pytest.fixture
    def repository(self, desk: Desk) -> Desk:
        """main: one network; the branch and tag `more`: two."""
        desk.commit(one=[network("one", "10.1.0.0/24")])
        desk.git("checkout", "--quiet", "-b", "branch")
        desk.commit(two=[network("two", "10.2.0.0/24")])
        desk.git("tag", "v2")
        desk.git("checkout", "--quiet", "main")
        return desk

    @staticmethod
    def names(desk: Desk, *arguments: str) -> list[str]:
        done = desk.run("plan", "-o", "json", *arguments)
        assert done.code == 2, done.err
        return [change["key"]["name"] for change in done.json["changes"]]

    def test_head_where_nothing_is_said(self, repository: Desk) -> None:
        assert self.names(repository) == ["one"]

    @pytest.mark.parametrize("ref", ["branch", "v2", "sha", "short"])
    def test_a_branch_a_tag_a_commit(self, repository: Desk, ref: str) -> None:
        sha = repository.git("rev-parse", "branch")
        assert self.names(repository, "--ref", {"sha": sha, "short": sha[:8]}.get(ref, ref)) == ["one", "two"]

    def test_a_bare_repository_and_a_url(self, repository: Desk) -> None:
        bare = repository.folder / "bare.git"
        subprocess.run(["git", "clone", "--quiet", "--bare", repository.repo, bare], check=True)
        assert self.names(repository, "--repo", str(bare), "--ref", "branch") == ["one", "two"]
        assert self.names(repository, "--repo", bare.as_uri(), "--ref", "v2") == ["one", "two"]

    def test_a_url_is_looked_at_anew_each_time(self, repository: Desk) -> None:
        url = repository.repo.as_uri()
        assert self.names(repository, "--repo", url) == ["one"]
        repository.commit(three=[network("three", "10.3.0.0/24")])
        assert self.names(repository, "--repo", url) == ["one", "three"]

    def test_the_work_tree_with_what_is_not_committed(self, repository: Desk) -> None:
        repository.write(draft=[network("draft", "10.9.0.0/24")])
        assert self.names(repository, "--work-tree") == ["draft", "one"]
        assert self.names(repository) == ["one"]

    @pytest.mark.parametrize("command", ["plan", "validate"])
    def test_what_is_not_committed_is_noted_beside_the_data(self, repository: Desk, command: str) -> None:
        repository.write(draft=[network("draft", "10.9.0.0/24")])
        note = "note: 1 file differs from the commit and was not read; --work-tree reads this file\n"
        done = repository.run(command, "-o", "json")
        assert note in done.err
        assert "note:" not in done.out
        for arguments in (["--work-tree"], ["--ref", "main"]):
            assert note not in repository.run(command, *arguments).err

    def test_a_folder_of_the_repository(self, repository: Desk) -> None:
        (repository.repo / "racks").mkdir()
        repository.commit(**{"racks/r1": [network("racked", "10.4.0.0/24")]})
        assert self.names(repository, "--path", "racks") == ["racked"]

    def test_from_any_folder_in_the_repository(self, repository: Desk) -> None:
        (repository.repo / "docs").mkdir()
        repository.commit(**{"docs/lab": [network("four", "10.4.0.0/24")]})
        assert self.names(repository, "--repo", str(repository.repo / "docs")) == ["four"]


class TestFilters:
    """Which resources are looked at."""

    @pytest.fixture
    def labelled(self, desk: Desk) -> Desk:
        """Machines in two racks, and a network."""
        racks = [machine(f"r{n}", power="On", labels={"rack": f"r{n}"}) for n in (1, 2)]
        desk.commit(lab=[partition(), network(), *racks])
        return desk

    @pytest.mark.parametrize(
        ("arguments", "names"),
        [
            (["machines"], ["r1", "r2"]),
            (["machine/r2"], ["r2"]),
            (["machines", "-l", "rack=r1"], ["r1"]),
            (["-l", "rack!=r1,rack"], ["r2"]),
            (["machine/r*", "net/net"], ["net", "r1", "r2"]),
        ],
    )
    def test_kinds_names_and_labels(self, labelled: Desk, arguments: list[str], names: list[str]) -> None:
        changes = labelled.run("plan", "-o", "json", *arguments).json["changes"]
        assert [change["key"]["name"] for change in changes] == names

    def test_a_filtered_plan_says_how_many_were_not_looked_at(self, labelled: Desk) -> None:
        assert "2 of 3 resources were not observed" in labelled.run("plan", "machine/r1").out
