"""The seam under sushy: its Connector's interface on our wire, with one login a BMC and no write ever re-sent blindly.

sushy 5.14's own connector sends a POST up to ten times, and strips If-Match from a PATCH that was refused with 412. It
falls silently back to basic authentication when a BMC is out of sessions."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sushy import connector

from drivers.base import (
    CREDENTIAL_CHECK,
    REFUSED_LOGIN,
    AuthenticationFailed,
    Busy,
    Credential,
    DriverError,
    Forbidden,
    LoginMemory,
    Peer,
    Unreachable,
    note_secrets,
)
from drivers.base.support import scheduling
from drivers.bmc.redfish.wire.login_trials import LoginTrials
from drivers.bmc.redfish.wire.redfish_errors import (
    BUSY,
    ChangedMeanwhile,
    IfMatchRefused,
    PasswordChangeRequired,
    error_of_reply,
    is_bare,
    is_error,
    is_out_of_sessions,
    is_session_ended,
    must_change_password,
    names_other_host,
    retry_after,
)
from drivers.bmc.redfish.wire.redfish_http import (
    REQUEST_SECONDS,
    ClosedMeanwhile,
    PeerChanged,
    RedfishConnection,
    Reply,
)
from drivers.bmc.redfish.wire.redfish_login import (
    ANY_MATCH,
    DELETE_WANTS,
    MatchForm,
    basic_header,
    if_match,
    inner,
    link,
    match_form,
    session_of,
)
from drivers.bmc.redfish.wire.redfish_requests import MOVED, SERVICE_ROOT, RedfishRequests

_SESSIONS = "/redfish/v1/SessionService/Sessions"
_SESSION_HEADER = "X-Auth-Token"
_NO_SESSIONS = frozenset({404, 405, 501})
_MOST_BARRED = 64
_DELETES = 2
"""Of one session by one path: the first may meet an odd 401, or a BMC that wants one more header."""
_MOST_UNDELETED = 4
_NO_VERDICT = frozenset({408, 429})
_NOT_THERE = frozenset({404, 410})
_LOCKED = frozenset({400, 423})
"""How BMCs without sessions refuse a login, beside 401."""
_FAILED = 500
"""A service of sessions that fails within itself is one that does not work; a gateway's 502 or 504 is about the BMC."""

# What sushy logs as warnings is either raised here as an error or normal (a BMC that lists no allowed values).
logging.getLogger("sushy").setLevel(logging.CRITICAL)


def _is_refusal(method: str, reply: Reply) -> bool:
    return reply.status_code >= 300 or is_error(reply, method)


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
        memory: LoginMemory | None = None,
    ) -> None:
        # Not sushy's __init__: it would make a requests.Session.
        self._wire = wire
        self._url = wire.address.url
        self.credential = credential
        self._lock = turn or scheduling.lock()
        self._patience = max(patience or 0.0, wire.seconds)
        self._requests = RedfishRequests(wire, self._patience)
        self._closed = False
        self._token: str | None = None
        self._session_paths: tuple[str, ...] = ()
        self._undeleted: tuple[tuple[tuple[str, ...], Peer | None], ...] = ()
        """Sessions whose own tokens were refused when they were to be deleted, and for whom they were made."""
        self._basic: str | None = None
        self._meant: Peer | None = None
        self._trials = LoginTrials(self.url, memory)
        self._doubt: DriverError | None = None
        self._holds = False
        """Whether something was read with this login."""
        self._barred: dict[str, float] = {}
        """Paths that are refused to a login that holds elsewhere, and until when that is taken for granted."""
        self._match_form, self._not_matched = MatchForm.AS_READ, 0
        self._systems_uri: str | None = None
        self._expands = False

    @property
    def url(self) -> str:
        """The BMC's, for messages."""
        return str(self._url)

    @property
    def logins(self) -> int:
        """How often it has logged in."""
        return self._trials.count

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
        """One PATCH. Raises ChangedMeanwhile for a 412, so that the caller looks again before it sends again. Without a
        condition, one that is refused for want of it (412, 428) is sent once more for any ETag.

        Some BMCs never match the ETag that they gave: the form that is sent changes with the refusals in a row.
        """
        form = match_form(etag, self._match_form, self._not_matched)
        try:
            reply = self._patch_once(path, data, headers, if_match(etag, form))
        except ChangedMeanwhile:
            if form is not MatchForm.NONE:
                raise
            # Neither this PATCH nor the next has a condition that a look could make true.
            form = MatchForm.ANY
            reply = self._patch_once(path, data, headers, ANY_MATCH)
        except IfMatchRefused as refused:
            if form is MatchForm.NONE:
                raise
            # It takes none: nothing was done, and the next one goes out after a look, without.
            self._match_form = MatchForm.NONE
            raise ChangedMeanwhile(str(refused)) from None
        if form is not MatchForm.NONE or self._not_matched:
            self._match_form = form
        self._not_matched = 0
        return reply

    def _patch_once(self, path: str, data: Any, headers: dict[str, str] | None, match: dict[str, str]) -> Reply:
        try:
            return self._op("PATCH", path, data=data, headers={**(headers or {}), **match})
        except ChangedMeanwhile:
            self._not_matched += 1
            raise

    def doubt_session(self) -> None:
        """Make the next request log in again."""
        with self._turn():
            self._leave_session()

    def close(self) -> None:
        """Delete the session and close the connection; where the BMC does not answer, the session is left to expire."""
        with self._lock:
            self._closed = True
            try:
                if self._token is not None:
                    self._leave(self._session_paths)
            finally:
                self._log_out()
                self._wire.close()

    def _op(
        self, method: str, path: str = "", data: Any = None, headers: Any = None, *, quick: bool = False, **_: Any
    ) -> Reply:
        """One request. `quick`: what was asked is known to be answered soon, so that a hang is noticed soon."""
        with self._turn():
            self._requests.is_quick = quick
            reply = self._logged_in(method, path, data, headers)
            for log_in_otherwise in (self._renew, self._without_session):
                if self._is_login_refused(method, path, reply) and log_in_otherwise():
                    # The BMC did nothing, so that even a write may be sent now.
                    reply = self._request(method, path, data, headers)
            self._judge_login(method, path, reply)
        if not 200 <= reply.status_code < 300 or is_error(reply, method):
            raise error_of_reply(method, path, self._url, reply, self._token)
        return reply

    def _is_login_refused(self, method: str, path: str, reply: Reply) -> bool:
        """Whether a new login may help: 401, or its like where a session ran out. sushy renews after a 403 too; here it
        is one that says no reason, of a GET, and once in a while for each path."""
        status = reply.status_code
        if self.credential is None or not _is_refusal(method, reply):
            return False
        if isinstance(self._doubt, PasswordChangeRequired) or must_change_password(reply):
            return False
        if status == 401 or is_session_ended(reply):
            return scheduling.monotonic() >= self._barred.get(path, 0.0)
        if self._token is None or method != "GET" or scheduling.monotonic() < self._barred.get(path, 0.0):
            return False
        if status == 403 and is_bare(reply):
            self._bar(path)
            return True
        return status in MOVED and not self._requests.leads_to_redfish(reply)

    def _judge_login(self, method: str, path: str, reply: Reply) -> None:
        """Remember that the login holds, or raise AuthenticationFailed when it was refused for good. A refusal of one
        path alone is no refusal of the login."""
        status = reply.status_code
        if not _is_refusal(method, reply) or (300 <= status < 400 and self._requests.leads_to_redfish(reply)):
            self._doubt, self._holds = None, True
            self._trials.accepted()
            self._delete_rest()
            if self._barred:
                self._barred.pop(path, None)
            return
        why = error_of_reply(method, path, self._url, reply, self._token)
        if isinstance(why, PasswordChangeRequired):
            raise self._refused(why)
        if status == 401 and self._holds_elsewhere(path):
            self._bar(path)
            raise Forbidden(str(why))
        if status == 401 or self._is_refusal_of_login(status, path):
            raise self._refused(self._doubt or why)

    def _is_refusal_of_login(self, status: int, path: str) -> bool:
        """Whether a 4xx is about the login, which was not let in yet: each request by basic authentication is a try of
        the password. Of one that was refused a session, any is. Of one that was not asked for, only of the list of
        systems, which each BMC has; and 403 says that the login holds."""
        if not 400 <= status < 500 or status in _NO_VERDICT:
            return False
        if self._doubt is not None:
            return status not in _NOT_THERE or path == self._systems_uri
        return self._basic is not None and not self._holds and path == self._systems_uri and status in _LOCKED

    def _holds_elsewhere(self, path: str) -> bool:
        if scheduling.monotonic() < self._barred.get(path, 0.0):
            return True
        if not self._holds or self._doubt is not None or self._systems_uri in (None, path):
            return False
        self._leave_session()
        self._log_out()
        self._log_in()
        return self._request("GET", str(self._systems_uri)).status_code == 200

    def _bar(self, path: str) -> None:
        if len(self._barred) >= _MOST_BARRED:
            self._barred.clear()
        self._barred[path] = scheduling.monotonic() + REFUSED_LOGIN.first

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
            raise Unreachable(f"{self._url}: nothing was sent, because the BMC has not answered earlier requests yet")
        try:
            if self._closed:
                raise Unreachable(f"{self._url}: the connection was closed by groundstate")
            yield
        finally:
            self._lock.release()

    def _request(
        self, method: str, path: str, data: Any = None, headers: dict[str, str] | None = None, to: Peer | None = None
    ) -> Reply:
        """`to`: who alone may get the request, if that is not who the present login is for."""
        body = None if data is None else json.dumps(data).encode()
        sent = {"OData-Version": "4.0", "Accept": "application/json"}
        if self._token is not None:
            sent[_SESSION_HEADER] = self._token
        elif self._basic is not None and _SESSION_HEADER not in (headers or {}):
            sent["Authorization"] = self._basic
        if body is not None:
            sent["Content-Type"] = "application/json"
        sent |= headers or {}
        return self._requests.send(method, path, sent, body, to or self._meant)

    # -- logging in ----------------------------------------------------------------------------------------------------

    def _log_in(self) -> None:
        if self.credential is None or self._token is not None or self._basic is not None:
            return
        peer = self._wire.peer()
        credential = self.credential(peer)
        note_secrets(credential.password)
        if self._trials.begin(credential):
            self._holds = False
        self._meant = peer
        uri = self._sessions_uri(credential)
        if uri is None or not self._make_session(uri, credential):
            self._basic = basic_header(credential)

    def _make_session(self, uri: str, credential: Credential) -> bool:
        """False: basic authentication is to be tried, as the service has no sessions, or none that work
        (stmcginnis/gofish#102). Raises Busy when too many sessions are open, which basic authentication would hide.
        AuthenticationFailed for a password that must be changed first. What else kept the BMC from answering."""
        login = {"UserName": credential.username, "Password": credential.password}
        try:
            reply = self._request("POST", uri, login)
        except ClosedMeanwhile:  # The next try would make the same session, only later.
            reply = self._request("POST", uri, login)
        status = reply.status_code
        if status in _NO_SESSIONS and not must_change_password(reply):
            return False
        if status >= 300:
            self._doubt = self._no_session(uri, reply, credential)
            return False
        self._token, self._session_paths = session_of(reply, uri)
        if must_change_password(reply):
            self._doubt = error_of_reply("POST", uri, self._url, reply, self._token)
        if self._token is None:
            self._doubt = self._no_token(uri, reply, credential)
            self._leave(self._session_paths, {"Authorization": basic_header(credential)})
            self._session_paths = ()
        return self._token is not None

    def _no_token(self, uri: str, reply: Reply, credential: Credential) -> DriverError:
        """Why a login that was answered as a success made no session: an error in the BMC's words, or else a defect."""
        if is_error(reply, "GET"):
            return self._no_session(uri, reply, credential)
        return Unreachable(
            f"{self._url}: BMC created a session, but its answer has no X-Auth-Token; update the firmware of the BMC"
        )

    def _no_session(self, uri: str, reply: Reply, credential: Credential) -> DriverError:
        """Why a BMC refused a session, where basic authentication may work. Raises what else it is."""
        status = reply.status_code
        said = error_of_reply("POST", uri, self._url, reply, credential.password)
        if is_out_of_sessions(reply):
            words = (
                f"BMC refused a new session (HTTP {status}), probably because too many sessions are open. "
                "Open sessions end after some minutes without requests"
            )
            raise Busy(f"{self._url}: {words}; groundstate tries the login again", retry_after=retry_after(reply))
        if isinstance(said, PasswordChangeRequired):
            raise self._refused(said)
        if status > _FAILED or names_other_host(str(reply.headers.get("Location", "")), self._url):
            raise said
        return said

    def _sessions_uri(self, credential: Credential) -> str | None:
        """Where sessions are made; None: nowhere. They moved with Redfish 1.6 (dell/iDRAC-Redfish-Scripting#169)."""
        root = self._request("GET", SERVICE_ROOT)
        if root.status_code == 404:
            root = self._request("GET", SERVICE_ROOT.rstrip("/"))  # DSP0266, 6.5.3, has both.
        if root.status_code in (401, 403):
            # DSP0266 wants the root open to all, but sushy-emulator wants a login there too.
            root = self._request("GET", SERVICE_ROOT, None, {"Authorization": basic_header(credential)})
        if root.status_code == 401:
            raise self._refused(error_of_reply("GET", SERVICE_ROOT, self._url, root, credential.password))
        if root.status_code != 200:
            raise error_of_reply("GET", SERVICE_ROOT, self._url, root)
        try:
            document = root.json()
        except ValueError as error:
            raise Unreachable(
                f"{self._url}: the answer to /redfish/v1 is not a Redfish service root: {error}"
            ) from None
        self._learn(document)
        return link(document, "Links", "Sessions") or (_SESSIONS if "SessionService" in document else None)

    def _learn(self, root: Any) -> None:
        systems = link(root, "Systems")
        self._systems_uri = None if systems is None else sys.intern(systems)
        offered = inner(root, "ProtocolFeaturesSupported", "ExpandQuery")
        self._expands = all(inner(offered, name) is True for name in ("NoLinks", "Levels"))

    def _renew(self) -> bool:
        """After a 401: whether there is a new login to try. Sessions run out; a basic login may have been rotated."""
        had, session, old, meant = self._basic, self._token, self._session_paths, self._meant
        self._log_out()
        if session is not None:
            try:
                self._log_in()
            except DriverError:
                # It may be the one too many.
                self._leave(old, {_SESSION_HEADER: session}, meant)
                raise
            # It may be there still: some BMCs answer 401 now and then (dsx-ai-factory/infra-controller#5349).
            # By itself where there is no other: a password that was changed would be one more failed login.
            self._leave(old, {_SESSION_HEADER: session} if self._token is None else None, meant)
            return True
        if had is None or self.credential is None:
            return False
        peer = self._wire.peer()
        credential = self.credential(peer)
        self._trials.sent(credential)
        self._basic, self._meant = basic_header(credential), peer
        # An odd 401 costs one more try of a login that has held.
        return self._basic != had or self._holds

    def _without_session(self) -> bool:
        """After a 401 to a session that was just made: whether basic authentication is to be tried."""
        if self._token is None or self.credential is None:
            return False
        peer = self._wire.peer()
        credential = self.credential(peer)
        self._leave(self._session_paths)
        self._log_out()
        self._basic, self._meant = basic_header(credential), peer
        return True

    def _leave_session(self) -> None:
        if self._token is not None:
            self._leave(self._session_paths)
            self._log_out()

    def _leave(self, paths: tuple[str, ...], headers: dict[str, str] | None = None, to: Peer | None = None) -> None:
        """Delete a session that is not to be used any more; where the BMC refuses, the session is left to expire. `to`:
        for whom the session was made. The host's name may lead to another host now, which must not get the token."""
        owner, was_refused = to or self._meant, False
        with contextlib.suppress(DriverError):
            for path in paths:
                status = self._delete(path, headers or {}, to)
                if status is not None and status < 300:
                    return
                was_refused = was_refused or status in (401, 403)
        if was_refused and self._basic is None:
            self._undeleted = (*self._undeleted, (paths, owner))[-_MOST_UNDELETED:]

    def _delete_rest(self) -> None:
        """Delete, with the login that holds now, the sessions whose tokens the BMC refuses; each is tried once. Not at
        another peer, where the same path may be a session of another client."""
        if not self._undeleted or self._basic is None:
            return
        rest, self._undeleted = self._undeleted, ()
        for paths, owner in rest:
            if owner == self._meant:
                self._leave(paths)

    def _delete(self, path: str, headers: dict[str, str], to: Peer | None) -> int | None:
        """The status of the DELETE, which may be sent again as it may not harm twice. None: no answer. Raises
        DriverError."""
        status = None
        for _ in range(_DELETES):
            try:
                status = self._request("DELETE", path, None, headers, to).status_code
            except Unreachable as error:
                if isinstance(error.__context__, TimeoutError):
                    raise
                continue  # The BMC closed the connection.
            if status not in (401, *BUSY, *DELETE_WANTS) and status < 500:
                break
            headers = {**headers, **DELETE_WANTS.get(status, {})}
        return status

    def _refused(self, why: DriverError) -> AuthenticationFailed:
        """The error of a login that the BMC refused, which is not tried again before long. `why`: in its own words."""
        # It was sent once, where a session and basic authentication are two tries: it may have been an odd 401.
        may_be_odd = self._basic is not None and self._doubt is None
        self._leave_session()
        self._log_out()
        self._holds, self._undeleted = False, ()
        if self.credential is None:
            return AuthenticationFailed(f"{self._url}: BMC requires a login; set bmc.credentialRef")
        words = self._trials.refused(why, must_change=isinstance(why, PasswordChangeRequired), may_be_odd=may_be_odd)
        self._doubt = None
        return AuthenticationFailed(words, retry_after=CREDENTIAL_CHECK)

    def _log_out(self) -> None:
        self._token = self._basic = self._meant = None
        self._session_paths = ()
