"""A simulated BMC as a value: `respond(bmc, request, now)` returns the BMC after the request, and its answer. Pure.

It has what groundstate and people with curl use of DSP0266: sessions, basic authentication, ETags, Settings
resources and Tasks. A client can reset systems, set boot overrides and LEDs, and insert images."""

from __future__ import annotations

import base64
import hashlib

from msgspec.structs import replace

from drivers.base import Credential
from drivers.bmc.simulator.bmc_documents import collection_document, shown_document
from drivers.bmc.simulator.bmc_messages import (
    BmcRefusal,
    RedfishRequest,
    RedfishResponse,
    encode,
    etag,
    refusal_response,
)
from drivers.bmc.simulator.bmc_profile import BmcProfile
from drivers.bmc.simulator.bmc_state import BmcSession, SimulatedBmc
from drivers.bmc.simulator.bmc_writes import after_write
from drivers.bmc.simulator.redfish_tree import ROOT_PATH, TreeAction

_OPEN = frozenset({"/redfish", ROOT_PATH, f"{ROOT_PATH}/$metadata", f"{ROOT_PATH}/odata"})
_EXPAND = "$expand="
WARM_UP_SECONDS = 30.0
"""After a restart, for so long the BMC answers 503 (xcat2/xcat-core#3310)."""


def respond(
    bmc: SimulatedBmc, profile: BmcProfile, login: Credential | None, request: RedfishRequest, now: float
) -> tuple[SimulatedBmc, RedfishResponse | None]:
    """The BMC after a request, and the answer; None: the BMC is away, and answers nothing.

    `login`: who is let in; None: everyone. `now`: seconds, never going back."""
    if now < bmc.away_until:
        return bmc, None
    bmc = bmc.at(now, profile.session_seconds)
    try:
        if now < bmc.away_until + WARM_UP_SECONDS and bmc.away_until:
            raise BmcRefusal(503, "ServiceTemporarilyUnavailable", "The BMC is starting.")
        bmc = _let_in(bmc, profile, login, request, now)
        return _handled(bmc, profile, login, request, now)
    except _RefusedBy as refused:
        return refused.bmc, refused.response()
    except BmcRefusal as refused:
        return bmc, refused.response()


class _RefusedBy(BmcRefusal):
    """A refusal that changes the BMC: it counts refused logins."""

    def __init__(self, bmc: SimulatedBmc, status: int, message_id: str, message: str) -> None:
        super().__init__(status, message_id, message)
        self.bmc = bmc


def _handled(
    bmc: SimulatedBmc, profile: BmcProfile, login: Credential | None, request: RedfishRequest, now: float
) -> tuple[SimulatedBmc, RedfishResponse]:
    place = request.place
    action = profile.tree.actions.get(place)
    if request.method == "GET":
        return bmc, _read(bmc, profile, request, now)
    if request.method == "POST" and action is not None and action[0] is TreeAction.LOGIN:
        return _log_in(bmc, profile, login, request, now)
    if request.method == "DELETE":
        return _log_out(bmc, profile, place)
    if request.method not in ("POST", "PATCH"):
        raise BmcRefusal(405, "OperationNotAllowed", f"{request.method} is not allowed here.")
    if request.document() is None:
        raise BmcRefusal(400, "MalformedJSON", "The body is not a JSON object.")
    if request.method == "PATCH":
        _check_etag(bmc, profile, request, now)
    bmc = after_write(bmc, profile, request, now)
    if profile.task_seconds is None:
        return bmc, RedfishResponse(204)
    bmc, where = bmc.with_task(now, profile.task_seconds)
    task = shown_document(bmc, profile.tree, where, now)
    return bmc, RedfishResponse(202, encode(task), {"Location": where})


def _read(bmc: SimulatedBmc, profile: BmcProfile, request: RedfishRequest, now: float) -> RedfishResponse:
    place = request.place
    document = {"v1": f"{ROOT_PATH}/"} if place == "/redfish" else shown_document(bmc, profile.tree, place, now)
    if document is None:
        raise BmcRefusal(404, "ResourceMissingAtURI", f"There is no resource at {place}.")
    if _EXPAND in request.path and "Members" in document:
        document = collection_document(bmc, profile.tree, document, now)
    body = encode(document)
    return RedfishResponse(200, body, {"ETag": etag(body)})


def _check_etag(bmc: SimulatedBmc, profile: BmcProfile, request: RedfishRequest, now: float) -> None:
    """Raises BmcRefusal for an If-Match of another state of the resource (DSP0266, "Protecting resources")."""
    given = request.headers.get("if-match")
    if given is None:
        if profile.wants_etag:
            raise BmcRefusal(428, "PreconditionRequired", "The request has no If-Match header.")
        return
    document = shown_document(bmc, profile.tree, request.place, now)
    if given != "*" and document is not None and etag(encode(document)) not in given:
        raise BmcRefusal(412, "PreconditionFailed", "The resource has changed since it was read.")


# -- logins ------------------------------------------------------------------------------------------------------------


def _let_in(
    bmc: SimulatedBmc, profile: BmcProfile, login: Credential | None, request: RedfishRequest, now: float
) -> SimulatedBmc:
    """The BMC, with the session used. Raises BmcRefusal for who is not let in."""
    action = profile.tree.actions.get(request.place)
    logs_in = request.method == "POST" and action is not None and action[0] is TreeAction.LOGIN
    if login is None or logs_in or (request.method == "GET" and request.place in _OPEN):
        return bmc
    token, basic = request.headers.get("x-auth-token"), request.headers.get("authorization")
    if token is not None:
        used = next((one for one in bmc.sessions if one.token == token), None)
        if used is None:
            raise BmcRefusal(401, "NoValidSession", "The session does not exist, or has ended.")
        sessions = tuple(replace(one, used=now) if one is used else one for one in bmc.sessions)
        return replace(bmc, sessions=sessions)
    if basic is None:
        raise BmcRefusal(401, "NoValidSession", "The request has no login.")
    given = _basic(basic)
    return _checked(bmc, profile, login, given, now)


def _checked(
    bmc: SimulatedBmc, profile: BmcProfile, login: Credential | None, given: Credential | None, now: float
) -> SimulatedBmc:
    if now < bmc.locked_until:
        raise BmcRefusal(401, "AccessDenied", "The account is locked because of refused logins.")
    if login is None or given == login:
        return replace(bmc, refusals=0) if bmc.refusals else bmc
    refusals = bmc.refusals + 1
    locked = now + profile.lockout_seconds if refusals >= profile.lockout else 0.0
    counted = replace(bmc, refusals=0 if locked else refusals, locked_until=locked)
    raise _RefusedBy(counted, 401, "ResourceAtUriUnauthorized", "The user name or the password is wrong.")


def _log_in(
    bmc: SimulatedBmc, profile: BmcProfile, login: Credential | None, request: RedfishRequest, now: float
) -> tuple[SimulatedBmc, RedfishResponse]:
    given = request.document() or {}
    bmc = _checked(bmc, profile, login, Credential(str(given.get("UserName")), str(given.get("Password"))), now)
    if len(bmc.sessions) >= profile.most_sessions:
        raise BmcRefusal(503, "SessionLimitExceeded", "Too many sessions are open.")
    number = bmc.logins + 1
    token = hashlib.sha256(f"{bmc.secret} {number}".encode()).hexdigest()[:32]
    session = BmcSession(number, token, now)
    bmc = replace(bmc, logins=number, sessions=(*bmc.sessions, session))
    where = f"{request.place}/{number}"
    document = {"@odata.id": where, "Id": str(number), "Name": "Session", "UserName": given.get("UserName")}
    return bmc, RedfishResponse(201, encode(document), {"X-Auth-Token": token, "Location": where})


def _log_out(bmc: SimulatedBmc, profile: BmcProfile, place: str) -> tuple[SimulatedBmc, RedfishResponse]:
    folder, _, number = place.rpartition("/")
    left = tuple(one for one in bmc.sessions if str(one.number) != number)
    if folder != profile.tree.sessions or len(left) == len(bmc.sessions):
        return bmc, refusal_response(404, "ResourceMissingAtURI", f"There is no session at {place}.")
    return replace(bmc, sessions=left), RedfishResponse(204)


def _basic(header: str) -> Credential | None:
    try:
        user, _, password = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
    except ValueError:
        return None
    return Credential(user, password)


def new_bmc(profile: BmcProfile, number: int, seed: int) -> SimulatedBmc:
    """BMC number `number`, from 0, of a fleet with this seed. The first BMC of a recording is as it was recorded."""
    return SimulatedBmc.made(profile.tree, number, seed)
