"""What a login and a session are made of on the wire: headers, links, and where a new session is. Pure."""

from __future__ import annotations

import base64
from enum import IntEnum
from functools import lru_cache
from typing import Any
from urllib.parse import urljoin, urlsplit

from drivers.base import Credential
from drivers.bmc.redfish.wire.redfish_http import Reply

ANY_MATCH = {"If-Match": "*"}


class MatchForm(IntEnum):
    """How a BMC wants the ETag of a PATCH; each is tried after the one before."""

    AS_READ = 0
    STRONG = 1
    """Strong, and without doubled quotes (community.general#3268)."""
    NONE = 2
    """community.general#6434."""
    ANY = 3
    """For those that want a condition (428: ansible/ansible#56150)."""


def match_form(etag: str | None, known: MatchForm, refusals: int) -> MatchForm:
    """The form of the next PATCH, after so many refusals in a row. `known`: the form that the BMC took last.

    One refusal may be what an ETag is for: another client wrote in between."""
    if known >= MatchForm.NONE:
        return known
    if refusals >= 2 or not (etag and strong_form(etag) and etag.isascii() and etag.isprintable()):
        return MatchForm.NONE
    return MatchForm.STRONG if refusals else known


def if_match(etag: str | None, form: MatchForm) -> dict[str, str]:
    """The header of a PATCH."""
    sent = {MatchForm.AS_READ: etag, MatchForm.STRONG: strong_form(etag), MatchForm.ANY: "*"}.get(form)
    return {"If-Match": sent} if sent else {}


def strong_form(etag: str | None) -> str:
    """The ETag as a strong one, quoted once; empty for none."""
    bare = (etag or "").removeprefix("W/").strip('"')
    return f'"{bare}"' if bare else ""


@lru_cache(2**12)
def path_of_reference(base: str, reference: str) -> str:
    """Raises ValueError for what is no reference."""
    parts = urlsplit(urljoin(base, reference))
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def basic_header(credential: Credential) -> str:
    pair = f"{credential.username}:{credential.password}".encode()
    return "Basic " + base64.b64encode(pair).decode("ascii")


def refused_login(url: str, why: Exception, must_change: bool, seconds: float) -> str:
    """The message of a login that was refused. `why`: in the BMC's words. `must_change`: the password, before the first
    login. `seconds` until the same credential is tried again."""
    what = (
        "BMC requires that the password is changed before the first login"
        if must_change
        else "BMC refused the user name or the password"
    )
    how = "Change the password on the BMC, and correct" if must_change else "Correct"
    wait = f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"
    return (
        f"{url}: {what} ({str(why).removeprefix(f'{url}: ')}). {how} the credential that bmc.credentialRef names; "
        "groundstate uses the new credential within a minute. groundstate tries the same credential again after "
        f"{wait}, because BMCs lock accounts after several failed logins"
    )


def link(document: Any, *names: str) -> str | None:
    found = inner(document, *names, "@odata.id")
    return found if isinstance(found, str) else None


def inner(document: Any, *names: str) -> Any:
    for name in names:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def session_of(reply: Reply, sessions_uri: str) -> tuple[str | None, tuple[str, ...]]:
    """The token of a new session, None where there is none; and the paths by which the session may be deleted, likely
    ones first. Most often there is one path.

    OpenBMC names the path in the body alone (openbmc/openbmc#3353), others its id alone, or a path that leads nowhere.
    Then the end of that path is the id. A session that is named nowhere ends when the BMC lets it expire. To find it
    among the BMC's sessions by user and address is not safe: another program may use the same login on this host."""
    token = str(reply.headers.get("X-Auth-Token") or "").strip() or None
    try:
        document: Any = reply.json()
    except ValueError:
        document = {}
    collection = sessions_uri.rstrip("/")
    named = [_session_path(place, collection) for place in (reply.headers.get("Location"), link(document))]
    paths = [path for path in named if path is not None]
    ids = [document.get("Id"), *(path.rstrip("/").rpartition("/")[2] for path in paths)]
    by_id = [f"{collection}/{one}" for one in ids if isinstance(one, str | int) and one != ""]
    return token, tuple(dict.fromkeys([*paths, *by_id]))


def _session_path(place: str | None, collection: str) -> str | None:
    """Where a reference leads that was said by the collection; None for what can be no session: the collection itself,
    or what it is in."""
    try:
        path = path_of_reference(collection, place) if place else None
    except ValueError:
        return None
    return None if path is None or f"{collection}/".startswith(f"{path.rstrip('/')}/") else path


DELETE_WANTS = {
    411: {"Content-Length": "0"},
    412: {"If-Match": "*"},
    415: {"Content-Type": "application/json"},
    428: {"If-Match": "*"},
}
"""What a BMC asks for that refuses a DELETE with this status."""
