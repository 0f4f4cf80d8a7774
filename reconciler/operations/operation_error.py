"""What an operation raises, for a person, an API or a bot alike."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from reconciler.model.diagnostic import Diagnostic, Invalid


class FailureReason(StrEnum):
    """Why an operation did nothing, or not all; the caller makes an exit code or an HTTP status of it."""

    REFUSED = "Refused"
    """What was asked for must not be, or something is missing in the request."""
    NOT_FOUND = "NotFound"
    """What was named is not there."""
    INVALID = "Invalid"
    """The revision is not sound; `diagnostics` has every problem, `files` how many files were read."""
    NOT_ADMITTED = "NotAdmitted"
    """The documents are valid, but the recorded facts forbid the revision; `diagnostics` has the reasons."""
    IN_USE = "InUse"
    """Another process is at work on the store."""
    TAKEN_OVER = "TakenOver"
    """Another process has taken over the store from this one."""
    UNAVAILABLE = "Unavailable"
    """git, the store, a BMC or the IPAM cannot be read or written."""


class OperationError(Exception):
    """An operation failed. `str()` is for people: what happened, why, how to proceed; empty where diagnostics say it.

    `notes` are what had to be said before it happened, and `afterwards` what belongs behind it.
    """

    def __init__(
        self,
        message: str,
        reason: FailureReason = FailureReason.REFUSED,
        *,
        diagnostics: Iterable[Diagnostic] = (),
        files: int = 0,
    ) -> None:
        super().__init__(message)
        self.reason, self.diagnostics, self.files = reason, tuple(diagnostics), files
        self.notes: tuple[str, ...] = ()
        self.afterwards: tuple[str, ...] = ()


def operation_error(error: BaseException) -> OperationError | None:
    """The error as an operation's; None for an unexpected error, which is a defect.

    The types are imported when something went wrong: not every operation needs the store, which takes longest.
    """
    from drivers.base import DriverError
    from reconciler.desired.git.plumbing import SourceError
    from reconciler.kinds.common.field_types.label_selector import Unmatched
    from reconciler.store import StoreError
    from reconciler.store.sql.store_errors import Fenced, InstanceHeld, StoreGone

    reasons: tuple[tuple[type[Exception], FailureReason], ...] = (
        (InstanceHeld, FailureReason.IN_USE),
        (StoreGone, FailureReason.UNAVAILABLE),
        (Fenced, FailureReason.TAKEN_OVER),
        (StoreError, FailureReason.UNAVAILABLE),
        (SourceError, FailureReason.UNAVAILABLE),
        (DriverError, FailureReason.UNAVAILABLE),
        (Unmatched, FailureReason.NOT_FOUND),
        (Invalid, FailureReason.REFUSED),
    )
    if isinstance(error, OperationError):
        return error
    reason = next((reason for kind, reason in reasons if isinstance(error, kind)), None)
    return None if reason is None else OperationError(str(error), reason)
