"""Versions of a document compared field by field, and a history in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.resource import Commit
from reconciler.views.render.tables.change_history import (
    Changed,
    DocumentVersion,
    Edit,
    What,
    entry_form,
    field_differences,
    interleaved,
    masked_value,
    render_history,
)

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
KEYS = st.sampled_from(["a", "b", "c"])
LEAVES = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["On", "Off"])
VALUES = st.recursive(LEAVES, lambda v: st.lists(v, max_size=3) | st.dictionaries(KEYS, v, max_size=3), max_leaves=8)
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=3)


def edit(before: Any, after: Any, what: What = What.CHANGED, hours: int = 0, **more: Any) -> Edit:
    at = NOW - timedelta(hours=hours)
    versions = [
        None if one is None else one if isinstance(one, DocumentVersion) else DocumentVersion(one)
        for one in (before, after)
    ]
    commit = Commit("3f2a91c0de" + "0" * 30, "Ada", at, "Take it down")
    return Edit(commit, at, what, more.pop("file", "a.yaml"), versions[0], versions[1], **more)


def test_versions_are_compared_field_by_field() -> None:
    before = {"spec": {"power": "On", "boot": {"target": "Pxe"}, "macs": ["a"], "gone": 1}}
    after = {"spec": {"power": "Off", "boot": {"target": "Pxe", "mode": "UEFI"}, "macs": ["a", "b"]}}
    assert field_differences(before, after) == (
        Changed("spec.power", "On", "Off"),
        Changed("spec.boot.mode", None, "UEFI"),
        Changed("spec.macs", ["a"], ["a", "b"]),
        Changed("spec.gone", 1, None),
    )


@given(DOCUMENTS)
def test_a_version_does_not_differ_from_itself(document: dict[str, Any]) -> None:
    assert field_differences(document, document) == ()


@given(DOCUMENTS, DOCUMENTS)
def test_what_is_unlike_differs_somewhere_and_the_same_places_the_other_way_round(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    there, back = field_differences(one, other), field_differences(other, one)
    assert bool(there) == (one != other)
    assert {(c.path, repr(c.before), repr(c.after)) for c in there} == {
        (c.path, repr(c.after), repr(c.before)) for c in back
    }


def test_a_credential_that_was_written_by_mistake_is_not_shown() -> None:
    before = {"spec": {"bmc": {"password": "hunter2", "credentialRef": {"env": "BMC"}}}}
    after = {"spec": {"bmc": {"password": "hunter3", "credentialRef": {"env": "BMC2"}}}}
    assert field_differences(before, after) == (
        Changed("spec.bmc.password", "***", "***"),
        Changed("spec.bmc.credentialRef.env", "BMC", "BMC2"),
    )
    assert masked_value({"tokens": ["a"], "x": [{"apiKey": "k", "y": 1}]}) == {
        "tokens": "***",
        "x": [{"apiKey": "***", "y": 1}],
    }


def test_commits_and_events_are_one_history() -> None:
    edits = [edit({"spec": {"power": "On"}}, {"spec": {"power": "Off"}}, hours=1), edit(None, {}, What.CREATED, 5)]
    sent = Event(NOW, EventType.NORMAL, EventReason.ACTION_SENT, "power-off", by="ada@fleet")
    held = Event(NOW - timedelta(hours=3), EventType.WARNING, EventReason.HELD, "by a guard")
    assert list(render_history(interleaved(edits, [sent, held]))) == [
        "2026-01-31 12:00:00Z  ActionSent: power-off  [ada@fleet]",
        '2026-01-31 11:00:00Z  commit 3f2a91c0de "Take it down" (author Ada, not verified)  changed',
        "    spec.power: On -> Off",
        "2026-01-31 09:00:00Z  Held: by a guard",
        '2026-01-31 07:00:00Z  commit 3f2a91c0de "Take it down" (author Ada, not verified)  created',
        "    in a.yaml",
    ]


def test_moves_ends_and_faults_are_said() -> None:
    one = {"spec": {"macs": ["a"]}}
    entries = interleaved(
        [
            edit(one, None, What.REMOVED, 1),
            edit(one, {"spec": {"macs": ["b"]}}, What.MOVED, 2, moved_from="b.yaml"),
            edit(DocumentVersion(None, "no"), one, What.CHANGED, 3),
            edit(one, DocumentVersion(None, "line\x1b[31m 3"), What.BROKEN, 4),
            edit(None, one, What.OLDEST, 5),
        ],
        [],
    )
    lines = [line for line in render_history(entries) if line.startswith(" ")]
    assert lines == [
        "    in a.yaml",
        "    moved from b.yaml to a.yaml",
        "    spec.macs: remove a",
        "    spec.macs: add b",
        "    a.yaml can be read again",
        "    a.yaml cannot be read: line\\x1b[31m 3",
        "    in a.yaml",
        "    this shallow clone has no older commits; get them with: git fetch --unshallow",
    ]


def test_the_json_form_has_what_the_text_has() -> None:
    (one,) = interleaved([edit({"a": 1}, {"a": 2}, What.MOVED, moved_from="b.yaml")], [])
    assert entry_form(one) == {
        "at": "2026-01-31T12:00:00Z",
        "commit": {
            "sha": "3f2a91c0de" + "0" * 30,
            "author": "Ada",
            "at": "2026-01-31T12:00:00Z",
            "subject": "Take it down",
        },
        "file": "a.yaml",
        "change": "moved",
        "differences": ({"path": "a", "before": 1, "after": 2},),
        "moved_from": "b.yaml",
    }
