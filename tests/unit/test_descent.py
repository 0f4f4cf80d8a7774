"""Which revision may follow the one in force."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.daemon.ancestry import Allowed, Verdict, judge

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LEAVE = Allowed("new", "old", "INC-7", "ada", NOW + timedelta(hours=1))


@pytest.mark.parametrize(
    ("descends", "asked", "leave", "verdict"),
    [
        (True, "main", None, Verdict.FOLLOWS),
        (False, "main", None, Verdict.REFUSED),
        (None, "main", None, Verdict.UNKNOWN),
        (False, "other", None, Verdict.ANOTHER_REF),
        (False, "main", LEAVE, Verdict.ALLOWED),
        (False, "main", Allowed("new", "older", "x", "ada", LEAVE.until), Verdict.REFUSED),
        (False, "main", Allowed("newer", "old", "x", "ada", LEAVE.until), Verdict.REFUSED),
        (False, "main", Allowed("new", "old", "x", "ada", NOW), Verdict.REFUSED),
    ],
)
def test_a_revision_follows_or_is_said_on_purpose(
    descends: bool | None, asked: str, leave: Allowed | None, verdict: Verdict
) -> None:
    assert judge(descends, "new", "old", asked, "main", leave, NOW) is verdict
