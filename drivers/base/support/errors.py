"""The errors of every driver, and the closed list of their reasons."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from drivers.base.support.clean_text import encodable
from drivers.base.support.known_secrets import hidden


class ErrorReason(StrEnum):
    """What kind of error it is: every decision about an error uses it, and it is stored and shown.

    Closed: a driver's own subclass of an error inherits the reason, and with it all that follows.
    """

    UNREACHABLE = "Unreachable"
    """No answer, or a broken answer (HTTP 500, 502, 504). Also: the certificate is not trusted."""
    UNREADABLE = "Unreadable"
    """The answer about one object cannot be understood, such as a prefix of NetBox without its address. The message
    names the object."""
    BUSY = "Busy"
    """An answer that says "not now" (HTTP 409, 412, 423, 428, 429, 503)."""
    AUTHENTICATION_FAILED = "AuthenticationFailed"
    """The credentials are wrong or missing, or the login has no permission (HTTP 401, 403). BMCs lock accounts, so
    there are few attempts. groundstate looks for a changed credential twice a minute and uses it at once."""
    SECRET_UNAVAILABLE = "SecretUnavailable"  # noqa: S105  a word
    """The credential could not be read: the variable, file or command of its credentialRef. No login was sent."""
    REJECTED = "Rejected"
    """The request was refused (HTTP 400, 404, 405, and other 4xx). Examples: an unknown `systemId`, or an unusable
    `bmc.address`."""
    UNSUPPORTED = "Unsupported"
    """The BMC does not offer this (HTTP 501)."""
    EXHAUSTED = "Exhausted"
    """Nothing is free in the network."""
    CONFLICT = "Conflict"
    """Another owner holds the address, prefix or number, or it is in use."""
    FAILED = "DriverFailed"
    """Any other error of a driver."""
    NO_WORKER = "NoWorker"
    """No daemon that reaches the BMC or switch is at work. Nothing was sent. The partition has daemons of its own, and
    none runs, or the resource moves from one daemon to another just now."""
    INTERNAL = "Internal"
    """A driver failed in an unexpected way, or a bug in groundstate ended the reconcile. The message has the error
    and the line that raised it, and where to report it."""

    @classmethod
    def _missing_(cls, _value: object) -> ErrorReason:
        """What another version wrote."""
        return cls.FAILED


OUTSIDE_ERRORS = (Exception, SystemExit)
"""All errors by which code of others shows a defect. `sys.exit` in a driver is one of them, because it would end a
thread of groundstate silently."""


class DriverError(Exception):
    """Something a driver could not do. `str()` is one sentence for people: what, and what the other side said, without
    the secrets that this process has read. `reason`: what is decided by; a subclass of one of these inherits it.

    DriverError
    ├── Unreachable             no answer, or a broken one: unknown, come back
    │   └── Unreadable          an answer, but of one object that makes no sense
    ├── Busy                    an answer that says "not now": come back
    │   └── LeaseEnded          nothing was sent, as this process may no longer write
    ├── AuthenticationFailed    come back seldom. BMCs lock accounts after a few tries
    │   ├── Forbidden           the login holds, but may not do this
    │   └── SecretUnavailable   no login went out, as there is none to send: come back
    ├── Rejected                an answer that says no
    │   └── NoSuchTask          the Task of a write is not known there
    ├── Unsupported             the BMC has no such thing
    ├── Exhausted               nothing free in the network
    ├── Conflict                another owner holds it, or it is in use
    └── NoWorker                nothing was sent, as no daemon that reaches the endpoint is at work
    """

    reason: ClassVar[ErrorReason] = ErrorReason.FAILED

    def __init__(self, message: str = "") -> None:
        super().__init__(encodable(hidden(message)))


class Unreachable(DriverError):
    """No usable answer. `maybe_sent`: a write may have reached the other side, so look before sending again."""

    reason = ErrorReason.UNREACHABLE

    def __init__(self, message: str, *, maybe_sent: bool = False) -> None:
        super().__init__(message)
        self.maybe_sent = maybe_sent


class Unreadable(Unreachable):
    """The other side answered, and of one object what makes no sense. The others may be asked for by themselves."""

    reason = ErrorReason.UNREADABLE


class Busy(DriverError):
    """The other side answered that it cannot now (503, 429, 409 while changing, POST in progress). Nothing was done.

    `retry_after`: seconds, where the other side said so.
    """

    reason = ErrorReason.BUSY

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class LeaseEnded(Busy):
    """Nothing was sent: this process may no longer write, because another one has taken over, or is about to."""


class AuthenticationFailed(DriverError):
    """Wrong or missing credentials, a locked account, or a password that must be changed first.

    `retry_after`: seconds after which the driver may be called again. Such a driver never sends a login again that was
    refused, and looks whether the credential was changed. None: the next call may send the same login."""

    reason = ErrorReason.AUTHENTICATION_FAILED

    def __init__(self, message: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Forbidden(AuthenticationFailed):
    """The login holds, but may not do this; other things may be asked for with it."""


class SecretUnavailable(AuthenticationFailed):
    """The credential or token could not be read from where it is to be found. Nothing was sent, so no account locks."""

    reason = ErrorReason.SECRET_UNAVAILABLE


class Rejected(DriverError):
    """The other side answered and refused."""

    reason = ErrorReason.REJECTED


class NoSuchTask(Rejected):
    """The other side does not know the Task: it forgot it, or has not made it yet."""


class Unsupported(DriverError):
    """The other side has no such function."""

    reason = ErrorReason.UNSUPPORTED


class Exhausted(DriverError):
    """No free address (or prefix) is left."""

    reason = ErrorReason.EXHAUSTED


class Conflict(DriverError):
    """Held by another owner, overlapping, or in use."""

    reason = ErrorReason.CONFLICT


class NoWorker(DriverError):
    """No daemon that reaches the endpoint is at work. Nothing was sent, and nothing is known of the endpoint."""

    reason = ErrorReason.NO_WORKER
