"""The one table from what a BMC answers to a DriverError."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from drivers.base import AuthenticationFailed, Busy, DriverError, Forbidden, Rejected, Unreachable, Unsupported, excerpt
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
_CREATE_LIMIT = "CreateLimitReachedForResource"
"""Of any collection; of the one of sessions it means that too many are open."""
_OUT_OF_SESSIONS = frozenset({429, 503, 507})
_SESSION_ENDED = re.compile(r"NoValidSession|SessionTerminated|SessionTimeout|SessionTimedOut|SessionExpired")
BUSY = frozenset({409, 423, 429, 503})
"""409 too where it says "already on" (iDRAC PSU501): the next look shows whether there is anything left to do."""
_NO_MATCH = frozenset({412, 428})
_IF_MATCH = "If-Match"
INFO = "@Message.ExtendedInfo"
_PROPERTY_REFUSED = re.compile(
    r"\.Property(NotWritable|NotUpdated|Unknown|Value(NotInList|TypeError|FormatError|Conflict|Incorrect|OutOfRange|Error))$"
)
"""Ids of the Base registry (DSP0268) of messages about a property that was left as it was."""
_INFO_BYTES = INFO.encode()
_NAMES = frozenset({"error", "Id", "Name", "Description"})
"""What an answer may have beside an error, and be no resource yet."""
_SAID_LIMIT = 400
_MOST_WAIT = 86400.0
"""Seconds: no BMC keeps us away for longer than a day, whatever it says."""


class NotFound(Rejected):
    """404: the BMC has no such resource."""


class BadRequest(Rejected):
    """400. `ids`: of its messages, the properties that they name, and what they advise. `is_silent`: without a word."""

    ids = ""
    is_silent = False


class Unprocessable(Rejected):
    """422. `ids`, `is_silent`: as of a BadRequest."""

    ids = ""
    is_silent = False


class Conflicted(Busy):
    """409. `is_silent`: without a word, or with one that says "not now"."""

    is_silent = False


class IfMatchRefused(BadRequest):
    """The BMC names the header If-Match in its refusal: it takes no condition, and nothing was done."""


class PasswordChangeRequired(AuthenticationFailed):
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
        return _moved(text, str(reply.headers.get("Location") or ""), url, session)
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
    if status == 409:
        conflicted = Conflicted(text, retry_after=retry_after(reply))
        conflicted.is_silent = not said or bool(_NOT_NOW.search(ids))
        return conflicted
    if status in BUSY or _NOT_NOW.search(ids):
        return Busy(text, retry_after=retry_after(reply))
    if method != "GET" and status < 500 and _IF_MATCH in f"{said} {ids}":
        return IfMatchRefused(text)
    if status in (404, 410):
        return NotFound(text)
    if status == 501:
        return Unsupported(text)
    if status < 300 and method != "GET":
        return Rejected(text)
    if status >= 500 or status < 300:
        return Broken(text, maybe_sent=method != "GET")
    if status == 422:
        unprocessable = Unprocessable(text)
        unprocessable.is_silent, unprocessable.ids = not said, ids
        return unprocessable
    if status != 400:
        return Rejected(text)
    refused = BadRequest(text)
    refused.is_silent = not said
    refused.ids = ids
    return refused


def _moved(text: str, to: str, url: str, session: str | None) -> DriverError:
    """`to`: the Location, if any; `url`: where the BMC was asked."""
    if not to:
        return Rejected(
            f"{text}the BMC redirects the request, but does not say where. Check that bmc.address is a BMC that "
            "speaks Redfish, or update the BMC's firmware"
        )
    where = _fit(to, session)
    if names_other_host(to, url):
        return Rejected(f"{text}the BMC redirects to {where}; set bmc.address to the right address of the BMC")
    return Rejected(
        f"{text}the BMC redirects to {where}, and groundstate does not follow redirects of this request. Check that "
        "bmc.address is a BMC that speaks Redfish, or update the BMC's firmware"
    )


def names_other_host(to: str, url: str) -> bool:
    """Whether a Location names another host or port than the BMC's."""
    try:
        there, here = urlsplit(to), urlsplit(url)
        ports = {"https": 443, "http": 80}
        return bool(there.netloc) and (there.hostname, there.port or ports.get(there.scheme)) != (
            here.hostname,
            here.port or ports.get(here.scheme),
        )
    except ValueError:
        return False


def is_error(reply: Reply, method: str) -> bool:
    """Whether an answer that is called a success holds an error in place of the resource (ibm-openbmc/bmcweb#246; an
    Intel S2600BPB). A resource always says where it is, and more than its name. A write is answered with messages where
    it succeeded too. An error is only a critical message (openbmc/bmcweb#89), or the message that a property was not
    written. A PATCH that was carried out in part is answered with 200 (DSP0266, "PATCH (update)")."""
    if b'"error"' not in reply.content and _INFO_BYTES not in reply.content:
        return False
    try:
        document = reply.json()
    except ValueError:
        return False
    if method != "GET":
        return any(
            ("error" in document and _severity(entry) == "Critical") or _PROPERTY_REFUSED.search(str(_id(entry)))
            for _, entry in _entries(document)
        )
    says = document.get("error") or document.get(INFO)
    data = {name for name in document if not name.startswith("@")} - _NAMES
    return bool(says) and (not data or not document.keys() & {"@odata.id", "Id", "Members"})


def is_session_ended(reply: Reply) -> bool:
    """Whether a refusal says that the session is not valid any more, by whatever status (400: HewlettPackard/
    python-ilorest-library#101)."""
    return bool(_SESSION_ENDED.search(_said(reply, None)[1]))


def must_change_password(reply: Reply) -> bool:
    """Whether an answer says that nothing can be done before the password is changed, by whatever status. A session may
    be made with this message (DSP0266, "Password change required handling")."""
    return bool(_CHANGE_PASSWORD.search(_said(reply, None)[1]))


def is_out_of_sessions(reply: Reply) -> bool:
    """Whether a login was answered with: too many sessions are open. Any other 4xx is a refusal."""
    ids = _said(reply, None)[1]
    return reply.status_code in _OUT_OF_SESSIONS or bool(_SESSION_LIMIT.search(ids)) or _CREATE_LIMIT in ids


def is_bare(reply: Reply) -> bool:
    """Whether a refusal says nothing but its status."""
    said, ids = _said(reply, None)
    return not said and not ids


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
    """The messages for people; and the message ids, with the properties that they are about and what they advise. All
    may come from a BMC that is broken, or worse. Some leave out the `error` around them, and iLO 4 writes MessageID
    (DSP0266 8.6)."""
    try:
        document = reply.json()
    except ValueError:
        return "", ""
    found = list(_entries(document))
    error: Any = document["error"] if isinstance(document.get("error"), dict) else document
    messages = [words for _, entry in found if (words := _message(entry))] or [_text(error.get("message"))]
    named = [
        str(one)
        for about, entry in found
        for one in (about, _id(entry) or "", *_texts(entry.get("RelatedProperties")), _text(entry.get("Resolution")))
    ]
    ids = " ".join(filter(None, [_text(error.get("code")), *named]))
    return _fit(" ".join(dict.fromkeys(messages)), session), ids


def _entries(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The messages, each with the property that it stands at: of the whole request, and of its properties."""
    error: Any = document["error"] if isinstance(document.get("error"), dict) else document
    listed = error.get(INFO) or error.get("Messages")
    for one in listed if isinstance(listed, list) else [listed]:
        if isinstance(one, dict):
            yield "", one
    yield from _annotated(document, 3)


def _annotated(document: dict[str, Any], depth: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Messages at a property, as `Mode@Message.ExtendedInfo` (DSP0266, "Extended information")."""
    for name, value in document.items():
        about, _, rest = name.partition("@")
        if about and f"@{rest}" == INFO:
            yield from (
                (about, one) for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)
            )
        elif isinstance(value, dict) and depth > 0:
            yield from _annotated(value, depth - 1)


def _id(entry: dict[str, Any]) -> object:
    return entry.get("MessageId") or entry.get("MessageID")


def _message(entry: dict[str, Any]) -> str:
    """The message with its arguments in it (DSP0266 8.6), or else its id with them. Arguments that a message has no
    place for come after it: they may be all that says what is wrong."""
    arguments = _texts(entry.get("MessageArgs"))
    message = entry.get("Message")
    if not isinstance(message, str) or not message:
        return " ".join([str(_id(entry) or ""), *arguments]).strip()
    for number, argument in reversed(list(enumerate(arguments, 1))):
        message = message.replace(f"%{number}", argument)
    rest = [one for one in arguments if one and one not in message]
    return f"{message} ({', '.join(rest)})" if rest else message


def _texts(value: object) -> list[str]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]


def _severity(entry: dict[str, Any]) -> object:
    return entry.get("MessageSeverity") or entry.get("Severity")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _fit(said: str, session: str | None) -> str:
    return excerpt(said.replace(session, MASK) if session else said, _SAID_LIMIT)
