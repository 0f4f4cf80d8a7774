"""The seam under sushy: its Connector's interface on our wire, with one login a BMC and nothing ever re-sent blindly.

sushy 5.14's own connector sends a POST up to ten times, strips If-Match from a PATCH that was refused with 412, and
falls silently back to basic authentication when a BMC is out of sessions.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from sushy import connector, exceptions

from drivers.base import AuthenticationFailed, Busy, Credential, DriverError, Rejected, Unreachable, Unsupported
from drivers.bmc.redfish_http import Lane, Reply, basic_header

ROOT = "/redfish/v1/"
SESSIONS = "/redfish/v1/SessionService/Sessions"
REFUSED_SECONDS = 300.0
"""After a refused login the account is left alone for this long: five refusals lock it (ibm-openbmc/openbmc#90)."""

_NOT_NOW = ("SYS518", "RAC0218", "InvalidOperationForSystemState", "UnableToModifyDuringSystemPOST", "SessionLimit")
_BUSY_STATUS = frozenset({409, 412, 429, 503})


class OneShotConnector(connector.Connector):  # type: ignore[misc]  # sushy is untyped
    """What sushy's resources call. Each call is one request (a GET may follow one redirect)."""

    def __init__(self, lane: Lane, credential: Callable[[], Credential] | None) -> None:  # no requests.Session is made
        self._url = lane.address.url
        self._lane = lane
        self.credential = credential

    def _op(
        self, method: str, path: str = "", data: Any = None, headers: dict[str, str] | None = None, **_: Any
    ) -> Reply:
        with self._lane.lock:
            self._log_in()
            reply = self._request(method, path, data, headers)
            if reply.status_code == 401 and self._lane.token is not None:
                # The session ran out, and the BMC did nothing: log in anew, once, and ask again.
                self._lane.token = self._lane.session = None
                self._log_in()
                reply = self._request(method, path, data, headers)
            if reply.status_code == 401:
                self._refused()
        exceptions.raise_for_response(method, path, reply)
        return reply

    def patch(
        self, path: str = "", data: Any = None, headers: dict[str, str] | None = None, etag: str | None = None, **_: Any
    ) -> Reply:
        """One PATCH. If-Match goes out as read; a 412 comes back as Busy, to look and decide again."""
        match = {"If-Match": etag} if etag and etag not in ('""', 'W/""') else {}
        return self._op("PATCH", path, data=data, headers={**(headers or {}), **match})

    def close(self) -> None:
        """Delete the session and close the connection; what fails in it is of no consequence any more."""
        with self._lane.lock:
            try:
                if self._lane.session is not None and self._lane.token is not None:
                    self._request("DELETE", self._lane.session, None, None)
            except DriverError:
                pass
            finally:
                self._lane.token = self._lane.session = None
                self._lane.wire.close()

    def _request(self, method: str, path: str, data: Any, headers: dict[str, str] | None) -> Reply:
        body = None if data is None else json.dumps(data).encode()
        sent = {"OData-Version": "4.0", "Accept": "application/json", "Accept-Encoding": "identity"}
        if self._lane.token is not None:
            sent["X-Auth-Token"] = self._lane.token
        elif self._lane.basic is not None:
            sent["Authorization"] = self._lane.basic
        if body is not None:
            sent["Content-Type"] = "application/json"
        sent |= headers or {}
        target = _path(path)
        reply = self._lane.wire.send(method, target, sent, body)
        if reply.status_code in (301, 302, 307, 308) and (moved := reply.headers.get("Location")):
            # Older Supermicro move a request to the same path with a slash (check_redfish#187); nothing was done yet.
            reply = self._lane.wire.send(method, _path(moved), sent, body)
        if reply.status_code == 406 and method == "GET":
            reply = self._lane.wire.send(method, target, {**sent, "Accept-Encoding": "gzip"}, None)
        return reply

    # -- logging in ----------------------------------------------------------------------------------------------------

    def _log_in(self) -> None:
        lane = self._lane
        if self.credential is None or lane.token is not None or lane.basic is not None:
            return
        if time.monotonic() < lane.refused_until:
            raise AuthenticationFailed(f"{lane.address.url}: {_LOCKED}")
        credential = self.credential()
        uri = self._sessions_uri(credential)
        if uri is None:
            lane.basic = basic_header(credential)
            return
        login = {"UserName": credential.username, "Password": credential.password}
        reply = self._request("POST", uri, login, None)
        if reply.status_code in (404, 405, 501):
            lane.basic = basic_header(credential)
            return
        if reply.status_code in (401, 403):
            self._refused()
        if reply.status_code >= 400:
            # Out of sessions (503 RAC0218, or 400): wait for one. Basic authentication would hide the leak.
            raise Busy(f"{lane.address.url}: no session to be had (HTTP {reply.status_code})")
        lane.token = reply.headers.get("X-Auth-Token")
        lane.session = reply.headers.get("Location") or _odata_id(reply)
        if lane.token is None:
            raise Unreachable(f"{lane.address.url}: a session without a token")

    def _sessions_uri(self, credential: Credential) -> str | None:
        """Where sessions are made; None: nowhere. They moved with Redfish 1.6 (dell/iDRAC-Redfish-Scripting#169)."""
        root = self._request("GET", ROOT, None, None)
        if root.status_code == 401:
            # DSP0266 wants the root open to all; a service that does not, has no sessions either, as seen so far.
            root = self._lane.wire.send(
                "GET", ROOT, {"Authorization": basic_header(credential), "Accept": "application/json"}, None
            )
            if root.status_code == 401:
                self._refused()
        exceptions.raise_for_response("GET", ROOT, root)
        document = _document(root)
        links = document.get("Links")
        uri = links.get("Sessions", {}).get("@odata.id") if isinstance(links, dict) else None
        return uri or (SESSIONS if "SessionService" in document else None)

    def _refused(self) -> None:
        self._lane.refused_until = time.monotonic() + REFUSED_SECONDS
        self._lane.token = self._lane.basic = self._lane.session = None
        raise AuthenticationFailed(f"{self._lane.address.url}: user or password refused; check the credentialRef")


_LOCKED = (
    f"user or password was refused; it is not tried again for {REFUSED_SECONDS:.0f} s, so as not to lock the account"
)


def translate(error: Exception, url: str, *, write: bool) -> DriverError:
    """Any error of sushy as one of ours: the one table."""
    if isinstance(error, DriverError):
        return error
    if isinstance(error, exceptions.HTTPError):
        return _from_status(error, url, write=write)
    if isinstance(error, exceptions.MissingActionError | exceptions.InvalidParameterValueError):
        return Unsupported(f"{url}: {error}")
    if isinstance(error, exceptions.SushyError | ValueError | TypeError | AttributeError | KeyError):
        return Unreachable(
            f"{url}: an answer that makes no sense: {type(error).__name__}: {error}"[:500], maybe_sent=write
        )
    raise error


def _from_status(error: exceptions.HTTPError, url: str, *, write: bool) -> DriverError:
    status = error.status_code
    said = _said(error)
    text = f"{url}: HTTP {status}" + (f": {said}" if said else "")
    if status in (401, 403):
        return AuthenticationFailed(text)
    if status in _BUSY_STATUS or any(word in f"{said} {error.code} {error.extended_info}" for word in _NOT_NOW):
        return Busy(text)
    if status in (405, 501):
        return Unsupported(text)
    if status >= 500:
        return Unreachable(text, maybe_sent=write)
    return Rejected(text)


def _said(error: exceptions.HTTPError) -> str:
    info = error.extended_info
    messages = [entry.get("Message") for entry in info if isinstance(entry, dict)] if isinstance(info, list) else []
    return "; ".join(str(message) for message in messages if message)[:400] or str(error.detail or "")[:400]


def _path(path: str) -> str:
    parts = urlsplit(path)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _document(reply: Reply) -> dict[str, Any]:
    document = reply.json()
    if not isinstance(document, dict):
        raise ValueError("not an object")
    return document


def _odata_id(reply: Reply) -> str | None:
    try:
        found = _document(reply).get("@odata.id")
    except ValueError:
        return None
    return found if isinstance(found, str) else None
