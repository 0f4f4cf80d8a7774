"""Whether a revision may follow the one in force: a branch that was reset by a forced push needs a permission."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

import msgspec

REWIND = "allowed-rewind"
"""Under which the store keeps an `Allowed`, until it is used."""
LAST_GOOD = "last-good-revision"
"""Under which the store keeps the revision in force."""
LAST_REF = "last-good-ref"
"""Under which the store keeps the ref by which the revision in force was asked for."""


class Allowed(msgspec.Struct, frozen=True):
    """One revision that an operator allowed to follow `after`, although it does not descend from it. Used once."""

    sha: str
    """The commit that may take force."""
    after: str
    """The commit that must be in force then."""
    reason: str
    """Why, as the person said."""
    by: str
    """Who allowed it."""
    until: datetime
    """It counts until then."""


class AncestryVerdict(Enum):
    """What is made of a new revision."""

    FOLLOWS = "follows"
    UNKNOWN = "unknown"
    ANOTHER_REF = "another ref"
    ALLOWED = "allowed"
    REFUSED = "refused"


def judge_descent(
    descends: bool | None,
    sha: str,
    last: str,
    asked: str,
    last_asked: str | None,
    allowed: Allowed | None,
    now: datetime,
) -> AncestryVerdict:
    """Whether `sha` may follow `last`. `descends`: None if that is unknown. `asked`: the ref that is followed now;
    `last_asked`: the one by which `last` was found. Another one was given on the command line, so it is meant."""
    if descends:
        return AncestryVerdict.FOLLOWS
    if allowed is not None and (allowed.sha, allowed.after) == (sha, last) and now < allowed.until:
        return AncestryVerdict.ALLOWED
    if last_asked is not None and asked != last_asked:
        return AncestryVerdict.ANOTHER_REF
    return AncestryVerdict.UNKNOWN if descends is None else AncestryVerdict.REFUSED
