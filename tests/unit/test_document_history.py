"""One document's history, found in real repositories."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.desired.git.sources.open_source import open_source
from reconciler.model.resource import ResourceKey
from reconciler.views.render.tables.change_history import Changed, Edit
from tests.unit.desired_worlds import HEAD, TENANT, Git

ACME = ResourceKey("Tenant", "acme")
BROKEN = f"{HEAD}kind: Tenant\nmetadata: {{name: acme}}\nspec: {{description: [\n"


def tenant(name: str = "acme", said: str = "one") -> str:
    return f"{HEAD}kind: Tenant\nmetadata: {{name: {name}}}\nspec: {{description: {said}}}\n"


def day(number: int) -> str:
    return f"2026-01-{number:02d}T00:00:00Z"


def edits(git: Git, path: str = "", folder: Path | None = None, key: ResourceKey = ACME) -> list[Edit]:
    source = open_source(folder or git.folder, path=path)
    return list(source.history(source.snapshot().revision, key).edits())


def told(git: Git, path: str = "", folder: Path | None = None) -> list[tuple[str, str, str]]:
    """Subject, what the commit did, and the description before and after it where that changed."""
    return [(one.commit.subject, str(one.what), _said(one)) for one in edits(git, path, folder)]


def _said(edit: Edit) -> str:
    return ", ".join(f"{change.before} -> {change.after}" for change in edit.differences)


def test_only_commits_that_changed_the_document_count(git: Git) -> None:
    git.commit({"a.yaml": tenant() + "---\n" + tenant("other", "x")}, "both")
    git.commit({"a.yaml": tenant() + "---\n" + tenant("other", "y")}, "the other one")
    git.commit({"a.yaml": "# a comment\n" + tenant() + "---\n" + tenant("other", "y")}, "a comment")
    git.commit({"a.yaml": tenant("other", "y") + "---\n" + tenant()}, "another order")
    git.commit({"a.yaml": tenant("other", "y") + "---\n" + tenant(said="two")}, "this one")
    assert told(git) == [("this one", "changed", "one -> two"), ("both", "created", "")]


def test_it_is_followed_from_file_to_file_and_back(git: Git) -> None:
    git.commit({"a.yaml": tenant(), "b.yaml": tenant("other")}, "first", day(1))
    git.commit({"a.yaml": tenant("third"), "racks/c.yaml": tenant()}, "moved", day(2))
    git.commit({"racks/c.yaml": tenant(said="two")}, "changed there", day(3))
    git.commit({"racks/c.yaml": "", "a.yaml": tenant("third") + "---\n" + tenant(said="three")}, "back", day(4))
    assert [(one.commit.subject, str(one.what), one.file, one.moved_from, _said(one)) for one in edits(git)] == [
        ("back", "moved", "a.yaml", "racks/c.yaml", "two -> three"),
        ("changed there", "changed", "racks/c.yaml", "", "one -> two"),
        ("moved", "moved", "racks/c.yaml", "a.yaml", ""),
        ("first", "created", "a.yaml", "", ""),
    ]


def test_one_that_stood_twice_for_a_while_is_followed_to_where_it_stood_first(git: Git) -> None:
    git.commit({"a.yaml": tenant()}, "first", day(1))
    git.commit({"b.yaml": tenant()}, "copied", day(2))
    git("rm", "-q", "a.yaml")
    git.commit({}, "the first one removed", day(3))
    assert told(git) == [("copied", "moved", ""), ("first", "created", "")]


def test_a_file_that_is_renamed_moves_its_documents(git: Git) -> None:
    git.commit({"a.yaml": tenant()}, "first")
    git("mv", "a.yaml", "z.yaml")
    git.commit({}, "renamed")
    assert [(one.commit.subject, one.moved_from) for one in edits(git)] == [("renamed", "a.yaml"), ("first", "")]


def test_file_names_that_mean_something_to_git_are_names(git: Git) -> None:
    git.commit({":(exclude)a[1]*.yaml": tenant(), "a1.yaml": tenant("other")}, "first", day(1))
    git.commit({"a1.yaml": tenant("other", "two")}, "another file", day(2))
    git.commit({":(exclude)a[1]*.yaml": tenant(said="two")}, "second", day(3))
    assert told(git) == [("second", "changed", "one -> two"), ("first", "created", "")]


def test_one_that_was_removed_and_made_again_has_both_lives(git: Git) -> None:
    git.commit({"a.yaml": tenant(), "keep.yaml": tenant("other")}, "first", day(1))
    git.commit({"a.yaml": tenant(said="two")}, "second", day(2))
    (git.folder / "a.yaml").unlink()
    git.commit({}, "removed", day(3))
    git.commit({"b.yaml": tenant(said="again")}, "made again", day(4))
    assert told(git) == [
        ("made again", "created", ""),
        ("removed", "removed", ""),
        ("second", "changed", "one -> two"),
        ("first", "created", ""),
    ]


def test_one_that_is_gone_is_known_with_its_last_version(git: Git) -> None:
    git.commit({"a.yaml": tenant() + "---\n" + tenant("other")}, "first", day(1))
    git.commit({"a.yaml": tenant("other", "once acme")}, "removed", day(2))
    git.commit({"b.yaml": tenant("third", "acme, acme")}, "mentioned", day(3))
    removed, created = edits(git)
    assert (removed.commit.subject, str(removed.what), removed.file) == ("removed", "removed", "a.yaml")
    assert removed.before is not None
    assert created.after is not None
    assert removed.before.value == created.after.value


def test_what_cannot_be_parsed_is_shown_and_stops_nothing(git: Git) -> None:
    git.commit({"a.yaml": tenant()}, "first", day(1))
    git.commit({"a.yaml": BROKEN}, "broken", day(2))
    git.commit({"a.yaml": tenant("other") + "---\n" + BROKEN}, "still the same", day(3))
    git.commit({"a.yaml": "# nothing better\n" + BROKEN}, "broken otherwise", day(4))
    git.commit({"a.yaml": tenant(said="two")}, "mended", day(5))
    assert told(git) == [
        ("mended", "changed", "one -> two"),
        ("broken otherwise", "broken", ""),
        ("broken", "broken", ""),
        ("first", "created", ""),
    ]
    assert all("did not find" in one.fault for one in edits(git) if one.commit.subject.startswith("broken"))


def test_a_broken_neighbour_hides_nothing(git: Git) -> None:
    git.commit({"a.yaml": tenant()}, "first")
    git.commit({"a.yaml": "a: [\n---\n" + tenant(said="two")}, "second")
    assert told(git) == [("second", "changed", "one -> two"), ("first", "created", "")]


def test_a_file_that_was_too_large_for_a_while_did_not_lose_its_documents(git: Git) -> None:
    git.commit({"a.yaml": tenant()}, "first", day(1))
    git.commit({"a.yaml": tenant() + "#" * (1 << 20)}, "large", day(2))
    git.commit({"a.yaml": tenant()}, "small", day(3))
    assert told(git) == [("small", "changed", ""), ("large", "broken", ""), ("first", "created", "")]


def test_of_two_sides_each_change_counts_and_a_merge_for_what_it_changed_itself(git: Git) -> None:
    git.commit({"a.yaml": tenant()}, "first", day(1))
    git("checkout", "-q", "-b", "left")
    git.commit({"a.yaml": tenant(said="left")}, "left", day(2))
    git("checkout", "-q", "main")
    git.commit({"a.yaml": tenant(said="right")}, "right", day(3))
    git("merge", "-q", "--no-ff", "--no-commit", "-s", "ours", "left")
    git.commit({"a.yaml": tenant(said="both")}, "settled", day(4))
    assert told(git) == [
        ("settled", "changed", "right -> both"),
        ("right", "changed", "one -> right"),
        ("left", "changed", "one -> left"),
        ("first", "created", ""),
    ]


def test_a_merge_of_other_files_or_of_other_documents_is_passed_over(git: Git) -> None:
    filler = "".join(f"---\n{tenant(f'filler{n}')}" for n in range(9))
    git.commit({"a.yaml": tenant() + filler + "---\n" + tenant("other")}, "first", day(1))
    git("checkout", "-q", "-b", "side")
    git.commit({"a.yaml": tenant(said="side") + filler + "---\n" + tenant("other")}, "on the side", day(2))
    git("checkout", "-q", "main")
    git.commit({"a.yaml": tenant() + filler + "---\n" + tenant("other", "x")}, "the other one", day(3))
    git("merge", "-q", "--no-ff", "-m", "merged", "side", when=day(4))
    assert told(git) == [("on the side", "changed", "one -> side"), ("first", "created", "")]


def test_what_a_merge_threw_away_never_was(git: Git) -> None:
    git.commit({"a.yaml": tenant()}, "first", day(1))
    git("checkout", "-q", "-b", "side")
    git.commit({"a.yaml": tenant(said="side")}, "thrown away", day(2))
    git("checkout", "-q", "main")
    git.commit({"b.yaml": tenant("other")}, "elsewhere", day(3))
    git("merge", "-q", "--no-ff", "-s", "ours", "-m", "merged", "side", when=day(4))
    assert told(git) == [("first", "created", "")]


def test_a_change_on_one_side_of_a_move_on_the_other_is_found(git: Git) -> None:
    git.commit({"a.yaml": tenant(), "z.yaml": tenant("other")}, "first", day(1))
    git("checkout", "-q", "-b", "side")
    git.commit({"a.yaml": tenant(said="side")}, "changed on the side", day(2))
    git("checkout", "-q", "main")
    git("rm", "-q", "a.yaml")
    git.commit({"b.yaml": tenant()}, "moved on main", day(3))
    git("merge", "-q", "--no-commit", "-s", "ours", "side")
    git.commit({"b.yaml": tenant(said="side")}, "merged", day(4))
    assert told(git) == [
        ("moved on main", "moved", ""),
        ("changed on the side", "changed", "one -> side"),
        ("first", "created", ""),
    ]


def test_an_octopus_merge_is_passed_over(git: Git) -> None:
    git.commit({"a.yaml": tenant()}, "first", day(1))
    for number, side in enumerate(("one", "two", "three"), 2):
        git("checkout", "-q", "-b", side, "main")
        files = {"a.yaml": tenant(said="two")} if side == "two" else {f"{side}.yaml": tenant(side)}
        git.commit(files, side, day(number))
    git("checkout", "-q", "main")
    git("merge", "-q", "-m", "octopus", "one", "two", "three", when=day(9))
    assert told(git) == [("two", "changed", "one -> two"), ("first", "created", "")]


def test_only_the_folder_that_is_read_counts(git: Git) -> None:
    git.commit({"in*/a.yaml": tenant(), "in/a.yaml": tenant(said="elsewhere")}, "first")
    git.commit({"in/a.yaml": tenant(said="elsewhere again")}, "outside")
    assert told(git, "in*") == [("first", "created", "")]


def test_files_that_are_no_manifests_do_not_count(git: Git) -> None:
    git.commit({".github/a.yaml": tenant(), "notes.txt": tenant()}, "elsewhere")
    git.commit({"a.yaml": tenant()}, "first")
    assert told(git) == [("first", "created", "")]


def test_names_within_names_and_in_texts_are_told_apart(git: Git) -> None:
    files = {f"f{n:02d}.yaml": tenant(f"acme-{n}", "of acme") for n in range(20)}
    git.commit({"a.yaml": tenant(), **files}, "first", day(1))
    git.commit({"a.yaml": tenant(said="two")}, "second", day(2))
    git.commit({"f03.yaml": tenant("acme-3", "not of acme")}, "another one", day(3))
    assert told(git) == [("second", "changed", "one -> two"), ("first", "created", "")]


def test_a_name_on_a_line_of_its_own_is_found(git: Git) -> None:
    git.commit({"a.yaml": f"{HEAD}kind: Tenant\nmetadata:\n  name:\n    acme\nspec: {{}}\n"}, "first")
    assert told(git) == [("first", "created", "")]


def test_order_is_that_of_the_commits_whatever_their_clocks_said(git: Git) -> None:
    git.commit({"a.yaml": tenant()}, "first", day(9))
    git.commit({"a.yaml": tenant(said="two")}, "second", day(5))
    git.commit({"a.yaml": tenant(said="three")}, "third", day(7))
    assert [subject for subject, *_ in told(git)] == ["third", "second", "first"]


def test_a_shallow_clone_does_not_call_its_oldest_commit_the_first(git: Git, tmp_path: Path) -> None:
    git.commit({"a.yaml": tenant()}, "first")
    git.commit({"a.yaml": tenant(said="two")}, "second")
    git.commit({"a.yaml": tenant(said="three")}, "third")
    git("clone", "-q", "--depth", "2", f"file://{git.folder}", str(tmp_path / "shallow"))
    assert told(git, folder=tmp_path / "shallow") == [("third", "changed", "two -> three"), ("second", "oldest", "")]


def test_an_author_with_control_characters_and_a_year_without_end_stop_nothing(git: Git) -> None:
    git.commit({"a.yaml": tenant()}, "first")
    tree = git("rev-parse", "HEAD^{tree}")
    raw = f"tree {tree}\nauthor A\x1fb <a> 253402300800 +0000\ncommitter A\x1fb <a> 253402300800 +0000\n\nodd\x1fone\n"
    commit = git("hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=raw.encode())
    git("update-ref", "refs/heads/main", commit)
    assert [what for _, what, _ in told(git)] == ["created"]


def test_what_was_never_declared_has_none(git: Git) -> None:
    git.commit({"a.yaml": TENANT.replace("acme", "other")}, "first")
    assert edits(git) == []
    assert edits(git, key=ResourceKey("Tenant", "a(b|*[")) == []


def test_it_is_read_only_as_far_as_it_is_taken(git: Git) -> None:
    git.commit({"a.yaml": tenant()}, "first")
    blob = git("rev-parse", "HEAD:a.yaml")
    for number in range(300):
        git.commit({"a.yaml": tenant(said=f"v{number}")}, f"v{number}")
    (git.folder / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    source = open_source(git.folder)
    newest = next(source.history(source.snapshot().revision, ACME).edits())
    assert newest.differences == (Changed("spec.description", "v298", "v299"),)


SHOWN = ["color.ui=always", "color.grep=always", "log.follow=true", "diff.orderFile=/nowhere", "log.showRoot=false"]


@pytest.mark.parametrize("setting", SHOWN)
def test_how_a_person_likes_to_see_things_changes_nothing(
    git: Git, setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git.commit({"a.yaml": tenant(), "x.yaml": tenant("x")}, "first", day(1))
    git.commit({"a.yaml": tenant("third"), "b.yaml": tenant(said="two")}, "moved", day(2))
    expected = told(git)
    section, _, rest = setting.partition(".")
    (tmp_path / "config").write_text(f"[{section}]\n{rest}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    assert told(git) == expected
    assert len(expected) == 2


@pytest.mark.parametrize("name", ["GIT_LITERAL_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_NAMESPACE", "GIT_DIR"])
def test_what_a_calling_git_left_in_the_environment_changes_nothing(
    git: Git, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    git.commit({"a.yaml": tenant()}, "first", day(1))
    expected, folder = told(git), git.folder
    monkeypatch.setenv(name, "1")
    source = open_source(folder)
    assert [one.commit.subject for one in source.history(source.snapshot().revision, ACME).edits()] == ["first"]
    assert len(expected) == 1
