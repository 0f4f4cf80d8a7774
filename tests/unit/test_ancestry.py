"""Which revision may follow the one in force."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.daemon.ancestry import Allowed, AncestryVerdict, judge_descent

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LEAVE = Allowed("new", "old", "INC-7", "ada", NOW + timedelta(hours=1))


@pytest.mark.parametrize(
    ("descends", "asked", "leave", "verdict"),
    [
        (True, "main", None, AncestryVerdict.FOLLOWS),
        (False, "main", None, AncestryVerdict.REFUSED),
        (None, "main", None, AncestryVerdict.UNKNOWN),
        (False, "other", None, AncestryVerdict.ANOTHER_REF),
        (False, "main", LEAVE, AncestryVerdict.ALLOWED),
        (False, "main", Allowed("new", "older", "x", "ada", LEAVE.until), AncestryVerdict.REFUSED),
        (False, "main", Allowed("newer", "old", "x", "ada", LEAVE.until), AncestryVerdict.REFUSED),
        (False, "main", Allowed("new", "old", "x", "ada", NOW), AncestryVerdict.REFUSED),
    ],
)
def test_a_revision_follows_or_is_said_on_purpose(
    descends: bool | None, asked: str, leave: Allowed | None, verdict: AncestryVerdict
) -> None:
    assert judge_descent(descends, "new", "old", asked, "main", leave, NOW) is verdict
