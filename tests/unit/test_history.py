"""One document's history, found in real repositories."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.desired.history import Version
from reconciler.desired.source import open_source
from reconciler.model.resource import ResourceKey
from reconciler.planning.documents import FieldChange, compare
from tests.unit.desired_worlds import HEAD, TENANT, Git

ACME = ResourceKey("Tenant", "acme")


def tenant(name: str = "acme", said: str = "one") -> str:
    return f"{HEAD}kind: Tenant\nmetadata: {{name: {name}}}\nspec: {{description: {said}}}\n"


@pytest.fixture
def git(tmp_path: Path) -> Git:
    return Git(tmp_path / "fleet")


def told(git: Git, path: str = "") -> list[tuple[str, str, str]]:
    """Subject, and the description before and after, of each commit that changed the document."""
    return [(one.commit.subject, _said(one.before), _said(one.after)) for one in found(git, path)]


def found(git: Git, path: str = "") -> Iterator[Version]:
    source = open_source(git.folder, path=path)
    return source.history(source.snapshot().revision, ACME)


def _said(document: dict[str, dict[str, str]] | None) -> str:
    return "-" if document is None else document["spec"]["description"]


def test_only_commits_that_changed_the_document_count(git: Git) -> None:
    git.commit({"a.yaml": tenant() + "---\n" + tenant("other", "x")}, "both")
    git.commit({"a.yaml": tenant() + "---\n" + tenant("other", "y")}, "the other one")
    git.commit({"a.yaml": "# a comment\n" + tenant() + "---\n" + tenant("other", "y")}, "a comment")
    git.commit({"a.yaml": tenant(said="two") + "---\n" + tenant("other", "y")}, "this one")
    assert told(git) == [("this one", "one", "two"), ("both", "-", "one")]


def test_it_is_followed_from_file_to_file(git: Git) -> None:
    git.commit({"a.yaml": tenant(), "b.yaml": tenant("other")}, "first")
    git.commit({"a.yaml": tenant("third"), "racks/c.yaml": tenant()}, "moved")
    git.commit({"racks/c.yaml": tenant(said="two")}, "changed there")
    assert [(one.commit.subject, one.path, one.moved_from) for one in found(git)] == [
        ("changed there", "racks/c.yaml", ""),
        ("moved", "racks/c.yaml", "a.yaml"),
        ("first", "a.yaml", ""),
    ]


def test_a_file_that_is_renamed_moves_its_documents(git: Git) -> None:
    git.commit({"a.yaml": tenant()}, "first")
    git("mv", "a.yaml", "z.yaml")
    git.commit({}, "renamed")
    assert [(one.commit.subject, one.moved_from) for one in found(git)] == [("renamed", "a.yaml"), ("first", "")]


def test_one_that_was_removed_and_made_again_has_both_lives(git: Git) -> None:
    git.commit({"a.yaml": tenant(), "keep.yaml": tenant("other")}, "first")
    (git.folder / "a.yaml").unlink()
    git.commit({}, "removed")
    git.commit({"b.yaml": tenant(said="again")}, "made again")
    assert told(git) == [("made again", "-", "again"), ("removed", "one", "-"), ("first", "-", "one")]


def test_what_cannot_be_parsed_is_shown_and_stops_nothing(git: Git) -> None:
    git.commit({"a.yaml": tenant()}, "first")
    git.commit({"a.yaml": "a: [\n" + tenant()}, "broken")
    git.commit({"a.yaml": tenant(said="two")}, "mended")
    versions = list(found(git))
    assert [one.commit.subject for one in versions] == ["mended", "broken", "first"]
    assert [bool(one.unreadable) for one in versions] == [True, True, False]
    assert "a.yaml: line 3" in versions[0].unreadable


def test_a_merge_counts_for_what_it_changed_itself(git: Git) -> None:
    git.commit({"a.yaml": tenant()}, "first", "2026-01-01T00:00:00Z")
    git("checkout", "-q", "-b", "side")
    git.commit({"a.yaml": tenant(said="side")}, "on the side", "2026-01-02T00:00:00Z")
    git("checkout", "-q", "main")
    git.commit({"b.yaml": tenant("other")}, "elsewhere", "2026-01-03T00:00:00Z")
    git("merge", "-q", "--no-ff", "-m", "merged", "side", when="2026-01-04T00:00:00Z")
    assert told(git) == [("on the side", "one", "side"), ("first", "-", "one")]
    git("checkout", "-q", "-b", "left")
    git.commit({"a.yaml": tenant(said="left")}, "left", "2026-01-05T00:00:00Z")
    git("checkout", "-q", "main")
    git.commit({"a.yaml": tenant(said="right")}, "right", "2026-01-06T00:00:00Z")
    git("merge", "-q", "--no-ff", "--no-commit", "-s", "ours", "left")
    git.commit({"a.yaml": tenant(said="both")}, "settled", "2026-01-07T00:00:00Z")
    assert told(git)[0] == ("settled", "right", "both")
    assert {subject for subject, *_ in told(git)} == {"settled", "left", "right", "on the side", "first"}


def test_an_octopus_merge_of_other_files_is_passed_over(git: Git) -> None:
    git.commit({"a.yaml": tenant()}, "first")
    for side in ("one", "two", "three"):
        git("checkout", "-q", "-b", side, "main")
        git.commit({f"{side}.yaml": tenant(side)}, side)
    git("checkout", "-q", "main")
    git("merge", "-q", "-m", "octopus", "one", "two", "three")
    assert told(git) == [("first", "-", "one")]


def test_only_the_folder_that_is_read_counts(git: Git) -> None:
    git.commit({"in/a.yaml": tenant(), "out/a.yaml": tenant(said="elsewhere")}, "first")
    git.commit({"out/a.yaml": tenant(said="elsewhere again")}, "outside")
    assert told(git, "in") == [("first", "-", "one")]


def test_a_name_that_is_everywhere_in_texts_is_told_apart(git: Git) -> None:
    files = {f"f{n:04d}.yaml": tenant(f"t{n}", "of acme") for n in range(450)}
    git.commit({"a.yaml": tenant(), **files}, "first")
    git.commit({"a.yaml": tenant(said="two")}, "second")
    assert told(git) == [("second", "one", "two"), ("first", "-", "one")]


def test_a_shallow_clone_says_that_it_ends(git: Git, tmp_path: Path) -> None:
    git.commit({"a.yaml": tenant()}, "first")
    git.commit({"a.yaml": tenant(said="two")}, "second")
    git("clone", "-q", "--depth", "1", f"file://{git.folder}", str(tmp_path / "shallow"))
    source = open_source(tmp_path / "shallow")
    assert source.history_ends()
    assert not open_source(git.folder).history_ends()
    assert [one.commit.subject for one in source.history(source.snapshot().revision, ACME)] == ["second"]


def test_what_was_never_declared_has_none(git: Git) -> None:
    git.commit({"a.yaml": TENANT.replace("acme", "other")}, "first")
    assert told(git) == []


def test_versions_are_compared_field_by_field() -> None:
    before = {"spec": {"power": "On", "boot": {"target": "Pxe"}, "macs": ["a"], "gone": 1}}
    after = {"spec": {"power": "Off", "boot": {"target": "Pxe", "mode": "UEFI"}, "macs": ["a", "b"]}}
    assert compare(before, after) == [
        FieldChange("spec.power", "On", "Off"),
        FieldChange("spec.boot.mode", None, "UEFI"),
        FieldChange("spec.macs", ["a"], ["a", "b"]),
        FieldChange("spec.gone", 1, None),
    ]
    assert compare(None, {"spec": {}}) == [FieldChange("spec", None, {})]
