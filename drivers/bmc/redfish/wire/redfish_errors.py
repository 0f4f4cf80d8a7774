"""The one table from what a BMC answers to a DriverError."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import Any

from drivers.base import AuthenticationFailed, Busy, DriverError, Rejected, Unreachable, Unsupported, excerpt
from drivers.base.support.known_secrets import MASK
from drivers.bmc.redfish.wire.redfish_http import Reply

_NOT_NOW = re.compile(
    r"SYS518"  # iDRAC: data sources unavailable (sushy note)
    r"|InvalidOperationForSystemState"  # iLO, just after a power change (goldyfruit/ansible-ilo#1)
    r"|UnableToModifyDuringSystemPOST"  # iLO (LP 2136275)
    r"|ServiceTemporarilyUnavailable|ServiceShuttingDown|ResourceInUse"
)
_CHANGE_PASSWORD = re.compile(r"PasswordChangeRequired")
_SESSION_LIMIT = re.compile(
    r"SessionLimit|SessionsLimit|MaxSession|MaximumSession|TooManySessions|RAC0218", re.IGNORECASE
)
_BUSY = frozenset({409, 423, 429, 503})
"""409 too where it says "already on" (iDRAC PSU501): the next look shows whether there is anything left to do."""
_NO_MATCH = frozenset({412, 428})
_SAID_LIMIT = 400
_MOST_WAIT = 86400.0
"""Seconds: no BMC keeps us away for longer than a day, whatever it says."""


class NotFound(Rejected):
    """404: the BMC has no such resource."""


class BadRequest(Rejected):
    """400, with what the BMC says to it. `ids`: of its messages, and the properties that they name."""

    ids = ""


class Forbidden(AuthenticationFailed):
    """403: the login holds, but may not do this, or its password must be changed first."""


class PasswordChangeRequired(Forbidden):
    """The password must be changed before the account may do anything else (DSP0266)."""


class OutOfSessions(Busy):
    """As many sessions are open as the BMC has."""


class Broken(Unreachable):
    """500 and the like: the BMC is there, but this it cannot answer."""


class ChangedMeanwhile(Busy):
    """412: the ETag was not the resource's any more, or not in the form that this BMC wants. 428: it wants one."""


def error_of_reply(method: str, path: str, url: str, reply: Reply, session: str | None = None) -> DriverError:
    """The error for an answer that is not a success. `url`: the BMC's. `session`: its token, which a BMC may repeat as
    it may the password; neither is."""
    status = reply.status_code
    said, ids = _said(reply, session)
    text = f"{url}: {method} {path} was answered with HTTP {status}{': ' if said or status < 400 else ''}{said}"
    if status < 300:
        text = f"{url}: {method} {path} was answered with HTTP {status} and an error{': ' if said else ''}{said}"
    if 300 <= status < 400:
        where = _fit(str(reply.headers.get("Location")), session)
        return Rejected(f"{text}the resource moved to {where}; set bmc.address to where the BMC is")
    if _CHANGE_PASSWORD.search(ids):
        return PasswordChangeRequired(text)
    if _SESSION_LIMIT.search(ids):
        return OutOfSessions(text, retry_after=retry_after(reply))
    if status == 401:
        return AuthenticationFailed(text)
    if status == 403:
        return Forbidden(text)
    if status in _NO_MATCH:
        return ChangedMeanwhile(text)
    if status in _BUSY or _NOT_NOW.search(ids):
        return Busy(text, retry_after=retry_after(reply))
    if status in (404, 410):
        return NotFound(text)
    if status == 501:
        return Unsupported(text)
    if status >= 500 or status < 300:
        return Broken(text, maybe_sent=method != "GET")
    if status != 400 or not said:
        return Rejected(text)
    refused = BadRequest(text)
    refused.ids = ids
    return refused


def is_error(reply: Reply) -> bool:
    """Whether an answer that is called a success holds an error in place of the resource (ibm-openbmc/bmcweb#246; an
    Intel S2600BPB). A resource always says where it is."""
    if b'"error"' not in reply.content:
        return False
    try:
        document = reply.json()
    except ValueError:
        return False
    return isinstance(document.get("error"), dict) and not document.keys() & {"@odata.id", "@odata.type", "Id"}


def retry_after(reply: Reply) -> float | None:
    """Seconds, where the BMC named them. A date counts from the answer's own Date, as BMC clocks jump."""
    value = str(reply.headers.get("Retry-After", "")).strip()
    if value.isascii() and value.isdigit():
        return min(float(value), _MOST_WAIT)
    try:
        until, now = (parsedate_to_datetime(text) for text in (value, str(reply.headers.get("Date", ""))))
        seconds = (until - now).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return None
    return min(seconds, _MOST_WAIT) if seconds > 0 else None


def _said(reply: Reply, session: str | None) -> tuple[str, str]:
    """The messages for people; and the message ids, with the properties that they are about. All may come from a BMC
    that is broken, or worse. Some leave out the `error` around them, and iLO 4 writes MessageID (DSP0266 8.6)."""
    try:
        document = reply.json()
    except ValueError:
        return "", ""
    error: Any = document["error"] if isinstance(document.get("error"), dict) else document
    listed = error.get("@Message.ExtendedInfo") or error.get("Messages")
    entries = [one for one in (listed if isinstance(listed, list) else [listed]) if isinstance(one, dict)]
    messages = [words for words in map(_message, entries) if words] or [str(error.get("message") or "")]
    named = [str(one) for entry in entries for one in (_id(entry), *_texts(entry.get("RelatedProperties")))]
    ids = " ".join([str(error.get("code")), *named])
    return _fit(" ".join(messages), session), ids


def _id(entry: dict[str, Any]) -> object:
    return entry.get("MessageId") or entry.get("MessageID")


def _message(entry: dict[str, Any]) -> str:
    """The message with its arguments in it (DSP0266 8.6), or else its id with them."""
    arguments = _texts(entry.get("MessageArgs"))
    message = entry.get("Message")
    if not isinstance(message, str) or not message:
        return " ".join([str(_id(entry) or ""), *arguments]).strip()
    for number, argument in reversed(list(enumerate(arguments, 1))):
        message = message.replace(f"%{number}", argument)
    return message


def _texts(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _fit(said: str, session: str | None) -> str:
    return excerpt(said.replace(session, MASK) if session else said, _SAID_LIMIT)
