"""What a login and a session are made of on the wire: headers, links, and where a new session is. Pure."""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import Any
from urllib.parse import urljoin, urlsplit

from drivers.base import Credential
from drivers.bmc.redfish.wire.redfish_http import Reply


def if_match(etag: str | None, refusals: int) -> dict[str, str]:
    """As read; then strong and without doubled quotes (community.general#3268); then none (community.general#6434);
    then any, for those that want one (428: ansible/ansible#56150)."""
    bare = (etag or "").removeprefix("W/").strip('"')
    forms = [etag, etag, f'"{bare}"'] if etag and bare and etag.isascii() and etag.isprintable() else []
    if refusals < len(forms):
        return {"If-Match": str(forms[refusals])}
    return {"If-Match": "*"} if (refusals - len(forms)) % 2 else {}


@lru_cache(2**12)
def path_of_reference(base: str, reference: str) -> str:
    """Raises ValueError for what is no reference."""
    parts = urlsplit(urljoin(base, reference))
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def basic_header(credential: Credential) -> str:
    pair = f"{credential.username}:{credential.password}".encode()
    return "Basic " + base64.b64encode(pair).decode("ascii")


def link(document: Any, *names: str) -> str | None:
    found = inner(document, *names, "@odata.id")
    return found if isinstance(found, str) else None


def inner(document: Any, *names: str) -> Any:
    for name in names:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def session_of(reply: Reply, sessions_uri: str) -> tuple[str | None, str | None]:
    """The token of a new session, None where there is none; and the session's path, by which it is deleted.

    OpenBMC names the path in the body alone (openbmc/openbmc#3353), others its id alone."""
    token = str(reply.headers.get("X-Auth-Token") or "").strip() or None
    try:
        document: Any = reply.json()
    except ValueError:
        document = {}
    number = document.get("Id")
    named = f"{sessions_uri.rstrip('/')}/{number}" if isinstance(number, str | int) and number != "" else None
    for place in (reply.headers.get("Location"), link(document), named):
        if place and is_reference(place):
            return token, place
    return token, None


def is_reference(text: str) -> bool:
    """Whether it can be a URL, or a part of one."""
    try:
        path_of_reference("/", text)
    except ValueError:
        return False
    return True
