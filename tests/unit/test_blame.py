"""The last commit that changed each document, as plans name it, found in real repositories."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.desired import blame
from reconciler.desired.documents import lines, pieces
from reconciler.desired.load import load
from reconciler.desired.source import open_source
from reconciler.model.resource import ResourceKey
from tests.unit.desired_worlds import HEAD, Git


def tenant(name: str, said: str = "one") -> str:
    return f"{HEAD}kind: Tenant\nmetadata: {{name: {name}}}\nspec: {{description: {said}}}\n"


def file(**said: str) -> str:
    return "---\n".join(tenant(name, words) for name, words in said.items())


def day(number: int) -> str:
    return f"2026-01-{number:02d}T00:00:00Z"


def blamed(git: Git, *names: str) -> dict[str, str]:
    """The subject of each tenant's commit."""
    source = open_source(git.folder)
    state = load(source.snapshot()).raise_for_errors()
    keys = [ResourceKey("Tenant", name) for name in names] or list(state.resources)
    return {key.name: commit.subject for key, commit in source.commits_for(state, keys).items()}


def test_a_file_that_one_document_has_to_itself_is_not_read(git: Git) -> None:
    git.commit({"a.yaml": tenant("a")}, "first", day(1))
    blob = git("rev-parse", "HEAD:a.yaml")
    git.commit({"a.yaml": tenant("a", "two")}, "second", day(2))
    git.commit({"b.yaml": tenant("b")}, "another", day(3))
    (git.folder / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    assert blamed(git) == {"a": "second", "b": "another"}


def test_documents_that_share_a_file_have_each_their_commit(git: Git) -> None:
    git.commit({"f.yaml": file(a="one", b="one", c="one")}, "all", day(1))
    git.commit({"f.yaml": file(a="two", b="one", c="one")}, "a", day(2))
    git.commit({"f.yaml": file(a="two", b="two", c="one")}, "b", day(3))
    git.commit({"f.yaml": file(a="two", b="two", c="one", d="new")}, "d", day(4))
    assert blamed(git) == {"a": "a", "b": "b", "c": "all", "d": "d"}
    assert blamed(git, "c") == {"c": "all"}


def test_comments_order_and_spelling_are_no_change(git: Git) -> None:
    git.commit({"f.yaml": file(a="one", b="one")}, "all", day(1))
    git.commit(
        {"f.yaml": "# it says\n" + tenant("b", "'one'") + "---\n" + tenant("a") + "# the end\n"}, "tidied", day(2)
    )
    git.commit({"f.yaml": file(a="one", b="two")}, "b, and tidied again", day(3))
    assert blamed(git) == {"a": "all", "b": "b, and tidied again"}


def test_what_was_changed_and_changed_back_names_the_last(git: Git) -> None:
    git.commit({"f.yaml": file(a="one", b="one")}, "all", day(1))
    git.commit({"f.yaml": file(a="two", b="one")}, "there", day(2))
    git.commit({"f.yaml": file(a="one", b="one")}, "and back", day(3))
    assert blamed(git) == {"a": "and back", "b": "all"}


def test_renamed_files_and_moved_documents_are_followed(git: Git) -> None:
    git.commit({"f.yaml": file(a="one", b="one"), "c.yaml": tenant("c")}, "all", day(1))
    git.commit({"f.yaml": file(a="two", b="one")}, "a", day(2))
    git("mv", "f.yaml", "g.yaml")
    git("mv", "c.yaml", "d.yaml")
    git.commit({}, "renamed", day(3))
    git.commit({"g.yaml": tenant("a", "two"), "h.yaml": file(b="one", n="new")}, "split", day(4))
    assert blamed(git) == {"a": "split", "b": "all", "c": "all", "n": "split"}


def test_a_commit_that_moves_and_changes_counts(git: Git) -> None:
    git.commit({"f.yaml": file(a="one", b="one"), "g.yaml": tenant("c")}, "all", day(1))
    git.commit({"f.yaml": tenant("a"), "g.yaml": file(c="one", b="two")}, "moved and changed", day(2))
    assert blamed(git, "b", "c") == {"b": "moved and changed", "c": "all"}


def test_of_a_merge_only_what_it_made_itself_counts(git: Git) -> None:
    git.commit({"f.yaml": file(a="one", b="one", c="one")}, "all", day(1))
    git("checkout", "-q", "-b", "side")
    git.commit({"f.yaml": file(a="side", b="one", c="one")}, "a on the side", day(2))
    git("checkout", "-q", "main")
    git.commit({"f.yaml": file(a="one", b="main", c="one")}, "b on main", day(3))
    git("merge", "-q", "--no-commit", "-s", "ours", "side")
    git.commit({"f.yaml": file(a="side", b="main", c="merge")}, "merged", day(4))
    assert blamed(git) == {"a": "a on the side", "b": "b on main", "c": "merged"}


def test_what_a_merge_threw_away_does_not_count(git: Git) -> None:
    git.commit({"f.yaml": file(a="one", b="one")}, "all", day(1))
    git("checkout", "-q", "-b", "side")
    git.commit({"f.yaml": file(a="side", b="one")}, "thrown away", day(2))
    git("checkout", "-q", "main")
    git.commit({"f.yaml": file(a="one", b="two")}, "b", day(3))
    git("merge", "-q", "--no-ff", "-s", "ours", "-m", "merged", "side", when=day(4))
    assert blamed(git) == {"a": "all", "b": "b"}


def test_an_unreadable_version_in_between_counts_as_another(git: Git) -> None:
    git.commit({"f.yaml": file(a="one", b="one")}, "all", day(1))
    git.commit({"f.yaml": tenant("a", "[") + "---\n" + tenant("b")}, "broken", day(2))
    git.commit({"f.yaml": file(a="one", b="one")}, "mended", day(3))
    assert blamed(git) == {"a": "mended", "b": "all"}


@pytest.mark.parametrize("limit", ["MAX_STEPS", "MAX_BYTES"])
def test_where_it_is_too_much_to_look_at_it_is_the_commit_of_the_file(
    git: Git, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    git.commit({"f.yaml": file(a="one", b="one"), "g.yaml": file(c="one", d="one")}, "all", day(1))
    for number in range(5):
        git.commit({"f.yaml": file(a=f"v{number}", b="one")}, f"v{number}", day(2 + number))
    monkeypatch.setattr(blame, limit, 1)
    assert blamed(git) == {"a": "v4", "b": "v4", "c": "all", "d": "all"}


def test_behind_the_limit_of_parsing_another_text_counts_as_another_value(
    git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    git.commit({"f.yaml": file(a="one", b="one")}, "all", day(1))
    git.commit({"f.yaml": "# tidied\n" + file(a="one", b="one")}, "tidied", day(2))
    monkeypatch.setattr(blame, "MAX_PARSED", 0)
    assert blamed(git) == {"a": "tidied", "b": "all"}


def test_dashes_that_end_no_document_are_text() -> None:
    assert pieces(b"--- # first\na: 1\n----: 2\n---x: 3\n---\r\n\nb: 4\n---") == [
        b"",
        b" # first\na: 1\n----: 2\n---x: 3",
        b"b: 4",
        b"",
    ]


@given(st.text(alphabet="--\n\r ax").map(str.encode))
def test_every_piece_has_the_line_it_starts_on(data: bytes) -> None:
    texts, starts = pieces(data), lines(data)
    assert len(texts) == len(starts)
    ends = [*starts[1:], data.count(b"\n") + 2]
    rows = data.split(b"\n")
    for text, start, end in zip(texts, starts, ends, strict=True):
        there = b"\n".join(rows[start - 1 : end - 1])
        assert there.removeprefix(b"---" if text != there.strip() else b"").strip() == text.strip()
