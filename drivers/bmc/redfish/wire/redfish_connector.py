"""The seam under sushy: its Connector's interface on our wire, with one login a BMC and no write ever re-sent blindly.

sushy 5.14's own connector sends a POST up to ten times, and strips If-Match from a PATCH that was refused with 412. It
falls silently back to basic authentication when a BMC is out of sessions."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from urllib.parse import urljoin, urlsplit

from sushy import connector

from drivers.base import (
    CREDENTIAL_CHECK,
    REFUSED_LOGIN,
    AuthenticationFailed,
    Busy,
    Credential,
    DriverError,
    Peer,
    Unreachable,
    excerpt,
    note_secrets,
)
from drivers.base.support import scheduling
from drivers.bmc.redfish.wire.redfish_errors import (
    ChangedMeanwhile,
    OutOfSessions,
    PasswordChangeRequired,
    error_of_reply,
    is_error,
    retry_after,
)
from drivers.bmc.redfish.wire.redfish_http import REQUEST_SECONDS, PeerChanged, RedfishConnection, Reply

SERVICE_ROOT = "/redfish/v1/"
_SESSIONS = "/redfish/v1/SessionService/Sessions"
_SHOWN = 200
_MOVED = frozenset({301, 302, 307, 308})
_NO_SESSIONS = frozenset({404, 405, 501})
_OUT_OF_SESSIONS = frozenset({429, 503})
_FAILED = 500
"""A service of sessions that fails within itself is one that does not work; a gateway's 502 or 504 is about the BMC."""

# What sushy logs as warnings is either raised here as an error or normal (a BMC that lists no allowed values).
logging.getLogger("sushy").setLevel(logging.CRITICAL)


class OneShotConnector(connector.Connector):  # type: ignore[misc]  # sushy is untyped
    """What sushy's resources call, for one BMC. Each call is one request; requests to a BMC go one at a time.

    Errors are DriverErrors from here on. `credential`: resolved at each login, so that a rotated one is found, for the
    peer that is connected. Neither it nor the session that it made is ever sent to another. `turn`: what connectors of
    one BMC share, so that it is asked one thing at a time. `patience`: seconds for an answer of a BMC that is there, as
    it answered just before; the first answer has the time of the wire."""

    def __init__(
        self,
        wire: RedfishConnection,
        credential: Callable[[Peer], Credential] | None,
        turn: scheduling.Lock | None = None,
        patience: float | None = None,
    ) -> None:
        # Not sushy's __init__: it would make a requests.Session.
        self._wire = wire
        self._url = wire.address.url
        self.credential = credential
        self._lock = turn or scheduling.lock()
        self._patience = max(patience or 0.0, wire.seconds)
        self._is_there = self._is_quick = False
        self._closed = False
        self._token: str | None = None
        self._session_uri: str | None = None
        self._basic: str | None = None
        self._meant: Peer | None = None
        self._tried: int | None = None
        self.logins = 0
        """How often it has logged in."""
        self._refused_until = 0.0
        self._refusals = 0
        self._why_refused = ""
        self._doubt: DriverError | None = None
        self._not_matched = 0
        self._systems_uri: str | None = None
        self._expands = False

    @property
    def url(self) -> str:
        """The BMC's, for messages."""
        return str(self._url)

    def systems_uri(self) -> str:
        """Where the systems are listed; the service root that says so is read at login anyhow. Raises DriverError."""
        with self._turn():
            self._log_in()
        if self._systems_uri is None:
            self._learn(self.get(SERVICE_ROOT).json())
        if self._systems_uri is None:
            raise Unreachable(
                f"{self._url}: the service root has no systems; check that bmc.address is the BMC of a machine"
            )
        return self._systems_uri

    @property
    def expands(self) -> bool:
        """Whether the service root offers `$expand=.($levels=1)`; False until it was read, as by `systems_uri`."""
        return self._expands

    def patch(
        self, path: str = "", data: Any = None, headers: dict[str, str] | None = None, etag: str | None = None, **_: Any
    ) -> Reply:
        """One PATCH. Raises ChangedMeanwhile for a 412, so that the caller looks again before it sends again.

        Some BMCs never match the ETag that they gave: the form that is sent changes with the refusals in a row.
        """
        match = _if_match(etag, self._not_matched)
        try:
            reply = self._op("PATCH", path, data=data, headers={**(headers or {}), **match})
        except ChangedMeanwhile:
            self._not_matched += 1
            raise
        if self._not_matched == 1:
            self._not_matched = 0
        return reply

    def doubt_session(self) -> None:
        """Have the next request log in anew."""
        with self._turn():
            if self._token is not None:
                self._leave(self._session_uri)
                self._log_out()

    def close(self) -> None:
        """Delete the session and close the connection; where the BMC does not answer, the session is left to expire."""
        with self._lock:
            self._closed = True
            try:
                if self._token is not None and self._session_uri is not None:
                    self._request("DELETE", self._session_uri)
            except DriverError:
                pass
            finally:
                self._log_out()
                self._wire.close()

    def _op(
        self, method: str, path: str = "", data: Any = None, headers: Any = None, *, quick: bool = False, **_: Any
    ) -> Reply:
        """One request. `quick`: what was asked is known to be answered soon, so that a hang is noticed soon."""
        with self._turn():
            self._is_quick = quick
            reply = self._logged_in(method, path, data, headers)
            for log_in_otherwise in (self._renew, self._without_session):
                if reply.status_code == 401 and log_in_otherwise():
                    # The BMC did nothing, so that even a write may be sent now.
                    reply = self._request(method, path, data, headers)
            if reply.status_code == 401:
                raise self._refused(self._doubt or error_of_reply(method, path, self._url, reply, self._token))
            if reply.status_code < 400:
                self._doubt, self._refusals = None, 0
        if not 200 <= reply.status_code < 300 or (method == "GET" and is_error(reply)):
            raise error_of_reply(method, path, self._url, reply, self._token)
        return reply

    def _logged_in(self, method: str, path: str, data: Any, headers: Any) -> Reply:
        self._log_in()
        try:
            return self._request(method, path, data, headers)
        except PeerChanged:
            # Nothing was sent; whether a login may go to the other address is asked anew.
            self._log_out()
            self._log_in()
            return self._request(method, path, data, headers)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._lock.acquire(timeout=max(REQUEST_SECONDS, self._patience)):
            raise Unreachable(f"{self._url}: earlier requests to the BMC are still waiting for an answer")
        try:
            if self._closed:
                raise Unreachable(f"{self._url}: the connection was closed by groundstate")
            yield
        finally:
            self._lock.release()

    def _request(self, method: str, path: str, data: Any = None, headers: dict[str, str] | None = None) -> Reply:
        body = None if data is None else json.dumps(data).encode()
        sent = {"OData-Version": "4.0", "Accept": "application/json", "Accept-Encoding": "identity"}
        if self._token is not None:
            sent["X-Auth-Token"] = self._token
        elif self._basic is not None:
            sent["Authorization"] = self._basic
        if body is not None:
            sent["Content-Type"] = "application/json"
        sent |= headers or {}
        target = self._target(SERVICE_ROOT, path)
        reply = self._send(method, target, sent, body)
        if reply.status_code in _MOVED:
            moved = self._target(target, reply.headers.get("Location", ""))
            # Older Supermicro and Lenovo move a path to the same with a slash (check_redfish#187): nothing was done.
            slash = moved != target and moved.rstrip("/") == target.rstrip("/") and reply.status_code == 301
            if reply.status_code not in (307, 308) and method != "GET" and not slash:
                return reply
            target = moved
            reply = self._send(method, target, sent, body)
        if reply.status_code == 406 and method == "GET":
            # iLO 5 since 2.30 gives some resources only compressed (Redfish-Mockup-Creator#56).
            reply = self._send(method, target, {**sent, "Accept-Encoding": "gzip"}, None)
        return reply

    def _send(self, method: str, target: str, headers: dict[str, str], body: bytes | None) -> Reply:
        seconds = self._patience if self._is_there and not self._is_quick else None
        self._is_there = False
        reply = self._wire.send(method, target, headers, body, self._meant, seconds)
        self._is_there = True
        return reply

    def _target(self, base: str, reference: str) -> str:
        """The path that a reference means. Its host is dropped, so that a login is never carried elsewhere."""
        try:
            return _path_of(base, reference)
        except ValueError:
            raise Unreachable(f"{self._url}: BMC names a URL that is not valid: {excerpt(reference, _SHOWN)}") from None

    # -- logging in ----------------------------------------------------------------------------------------------------

    def _log_in(self) -> None:
        if self.credential is None or self._token is not None or self._basic is not None:
            return
        peer = self._wire.peer()
        credential = self.credential(peer)
        note_secrets(credential.password)
        if self._tried != hash(credential):
            self._refusals = 0
        elif scheduling.monotonic() < self._refused_until:
            raise AuthenticationFailed(self._why_refused, retry_after=CREDENTIAL_CHECK)
        self._tried, self._meant = hash(credential), peer
        self.logins += 1
        uri = self._sessions_uri(credential)
        if uri is None or not self._make_session(uri, credential):
            self._basic = _basic(credential)

    def _make_session(self, uri: str, credential: Credential) -> bool:
        """False: basic authentication is to be tried, as the service has no sessions, or none that work
        (stmcginnis/gofish#102). Raises Busy when too many sessions are open, which basic authentication would hide.
        AuthenticationFailed for a password that must be changed first. What else kept the BMC from answering."""
        login = {"UserName": credential.username, "Password": credential.password}
        reply = self._request("POST", uri, login)
        status = reply.status_code
        if status in _NO_SESSIONS:
            return False
        if status >= 300:
            said = error_of_reply("POST", uri, self._url, reply, credential.password)
            if status in _OUT_OF_SESSIONS or isinstance(said, OutOfSessions):
                words = (
                    f"BMC gave no session (HTTP {status}); probably too many sessions are open. Open sessions expire"
                )
                raise Busy(f"{self._url}: {words}; groundstate tries the login again", retry_after=retry_after(reply))
            if isinstance(said, PasswordChangeRequired):
                raise self._refused(said)
            if not 400 <= status <= _FAILED:
                raise said
            self._doubt = said
            return False
        self._token = reply.headers.get("X-Auth-Token")
        self._session_uri = reply.headers.get("Location") or _odata_id(reply)
        if self._token is None:
            self._doubt = Unreachable(f"{self._url}: BMC made a session but gave no X-Auth-Token")
            self._leave(self._session_uri, {"Authorization": _basic(credential)})
            self._session_uri = None
        return self._token is not None

    def _sessions_uri(self, credential: Credential) -> str | None:
        """Where sessions are made; None: nowhere. They moved with Redfish 1.6 (dell/iDRAC-Redfish-Scripting#169)."""
        root = self._request("GET", SERVICE_ROOT)
        if root.status_code == 401:
            # DSP0266 wants the root open to all, but sushy-emulator wants a login there too.
            root = self._request("GET", SERVICE_ROOT, None, {"Authorization": _basic(credential)})
        if root.status_code == 401:
            raise self._refused(error_of_reply("GET", SERVICE_ROOT, self._url, root, credential.password))
        if root.status_code != 200:
            raise error_of_reply("GET", SERVICE_ROOT, self._url, root)
        try:
            document = root.json()
        except ValueError as error:
            raise Unreachable(f"{self._url}: the service root cannot be understood: {error}") from None
        self._learn(document)
        return _link(document, "Links", "Sessions") or (_SESSIONS if "SessionService" in document else None)

    def _learn(self, root: Any) -> None:
        self._systems_uri = _link(root, "Systems")
        offered = _inner(root, "ProtocolFeaturesSupported", "ExpandQuery")
        self._expands = all(_inner(offered, name) is True for name in ("NoLinks", "Levels"))

    def _renew(self) -> bool:
        """After a 401: whether there is a new login to try. Sessions run out; a basic login may have been rotated."""
        had, session, old = self._basic, self._token, self._session_uri
        self._log_out()
        if session is not None:
            self._log_in()
            # It may be there still: some BMCs answer 401 now and then (dsx-ai-factory/infra-controller#5349).
            self._leave(old)
            return True
        if had is None or self.credential is None:
            return False
        peer = self._wire.peer()
        credential = self.credential(peer)
        self._tried, self._basic, self._meant = hash(credential), _basic(credential), peer
        self.logins += 1
        return self._basic != had

    def _without_session(self) -> bool:
        """After a 401 to a session that was just made: whether basic authentication is to be tried."""
        if self._token is None or self.credential is None:
            return False
        peer = self._wire.peer()
        credential = self.credential(peer)
        self._leave(self._session_uri)
        self._log_out()
        self._basic, self._meant = _basic(credential), peer
        return True

    def _leave(self, session_uri: str | None, headers: dict[str, str] | None = None) -> None:
        """Delete a session that is not to be used any more; where the BMC refuses, the session is left to expire."""
        if session_uri is not None:
            with contextlib.suppress(DriverError):
                self._request("DELETE", session_uri, None, headers)

    def _refused(self, why: DriverError) -> AuthenticationFailed:
        """The error of a login that the BMC refused, which is not tried again before long. `why`: in its own words."""
        if self._token is not None:
            self._leave(self._session_uri)
        self._log_out()
        if self.credential is None:
            return AuthenticationFailed(f"{self._url}: BMC wants a login; set bmc.credentialRef")
        self._refusals += 1
        seconds = REFUSED_LOGIN.delay(self._refusals)
        self._refused_until = scheduling.monotonic() + seconds
        what = (
            "BMC wants the password changed"
            if isinstance(why, PasswordChangeRequired)
            else "BMC refused user or password"
        )
        said = str(why).removeprefix(f"{self._url}: ")
        self._why_refused = (
            f"{self._url}: {what} ({said}). Check what bmc.credentialRef points to; a changed credential is used "
            f"within a minute. The unchanged credential is tried again after {seconds / 60:.0f} min, "
            f"because BMCs lock accounts"
        )
        self._doubt = None
        return AuthenticationFailed(self._why_refused, retry_after=CREDENTIAL_CHECK)

    def _log_out(self) -> None:
        self._token = self._session_uri = self._basic = self._meant = None


def _if_match(etag: str | None, refusals: int) -> dict[str, str]:
    """As read; then strong and without doubled quotes (community.general#3268); then none (community.general#6434);
    then any, for those that want one (428: ansible/ansible#56150)."""
    bare = (etag or "").removeprefix("W/").strip('"')
    forms = [etag, etag, f'"{bare}"'] if etag and bare and etag.isascii() and etag.isprintable() else []
    if refusals < len(forms):
        return {"If-Match": str(forms[refusals])}
    return {"If-Match": "*"} if (refusals - len(forms)) % 2 else {}


@lru_cache(2**12)
def _path_of(base: str, reference: str) -> str:
    """Raises ValueError for what is no reference."""
    parts = urlsplit(urljoin(base, reference))
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _basic(credential: Credential) -> str:
    pair = f"{credential.username}:{credential.password}".encode()
    return "Basic " + base64.b64encode(pair).decode("ascii")


def _link(document: Any, *names: str) -> str | None:
    found = _inner(document, *names, "@odata.id")
    return found if isinstance(found, str) else None


def _inner(document: Any, *names: str) -> Any:
    for name in names:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def _odata_id(reply: Reply) -> str | None:
    """OpenBMC names a new session in the body only (openbmc/openbmc#3353)."""
    try:
        return _link(reply.json())
    except ValueError:
        return None
