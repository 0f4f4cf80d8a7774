"""Logging in: one session a BMC, given back at the end; refused logins are few, and secrets stay secret."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec.structs import replace

from drivers.base import (
    AuthenticationFailed,
    Bmc,
    Busy,
    Credential,
    DriverError,
    Peer,
    ResetType,
    Unreachable,
)
from drivers.base.support import scheduling
from drivers.bmc.redfish.redfish import RedfishDriver
from drivers.bmc.redfish.wire import redfish_http
from tests.drivers.bmc_servers import (
    DROP,
    LOGIN,
    RESET,
    ROOT,
    SESSIONS,
    SYSTEM,
    Answer,
    Behaviour,
    Pki,
    RedfishServer,
    Request,
    basic,
    endpoint,
    extended,
    reply,
    service,
    sessionless,
    system,
)

WRONG = Credential("operator", "not-the-Password")
NO_SESSION_LEFT = reply(503, extended("The maximum number of user sessions is reached.", "IDRAC.2.8.RAC0218"))


def test_one_session_serves_every_request(bmc: Bmc, server: RedfishServer) -> None:
    for _ in range(3):
        bmc.read()
    bmc.reset(ResetType.ON)
    assert (server.count("POST", SESSIONS), server.connections) == (1, 1)


def test_systems_behind_one_bmc_share_its_session(driver: RedfishDriver, server: RedfishServer, pki: Pki) -> None:
    for _ in range(2):
        driver.open(endpoint(server, pki.tls, "1")).read()
    assert (server.count("POST", SESSIONS), server.connections) == (1, 1)


def test_machines_with_other_credentials_on_one_bmc_use_their_own(
    driver: RedfishDriver, server: RedfishServer, pki: Pki
) -> None:
    """The one that was opened last lets nobody else in, and one without a login gets no session of another."""
    with_login = driver.open(endpoint(server, pki.tls, "1"))
    wrong = driver.open(endpoint(server, pki.tls, "1", WRONG))
    without = driver.open(replace(endpoint(server, pki.tls, "1"), credential=None))
    with_login.read()
    for other in (wrong, without):
        with pytest.raises(AuthenticationFailed):
            other.read()
    with_login.read()
    [let_in, refused] = server.seen("POST", SESSIONS)
    assert (let_in.json()["Password"], refused.json()["Password"]) == (LOGIN.password, WRONG.password)


def test_close_gives_the_session_back(driver: RedfishDriver, bmc: Bmc, server: RedfishServer) -> None:
    bmc.read()
    assert len(server.sessions) == 1
    driver.close()
    assert not server.sessions


def test_close_without_a_login_asks_nothing(driver: RedfishDriver, bmc: Bmc, server: RedfishServer) -> None:
    driver.close()
    assert not server.requests


def test_a_closed_driver_answers_unreachable(driver: RedfishDriver, bmc: Bmc, server: RedfishServer, pki: Pki) -> None:
    bmc.read()
    driver.close()
    with pytest.raises(Unreachable, match="closed"):
        bmc.read()
    with pytest.raises(Unreachable, match="closed"):
        driver.open(endpoint(server, pki.tls))


def test_a_session_that_ran_out_is_renewed_once(bmc: Bmc, server: RedfishServer) -> None:
    bmc.read()
    server.sessions.clear()
    bmc.reset(ResetType.ON)
    assert server.count("POST", SESSIONS) == 2


def test_a_write_that_met_a_session_that_ran_out_is_sent_after_the_new_login(bmc: Bmc, server: RedfishServer) -> None:
    server.misbehave("POST", RESET, reply(401))
    bmc.reset(ResetType.ON)
    assert (server.count("POST", SESSIONS), server.count("POST", RESET)) == (2, 2)


def test_a_401_with_a_broken_body_is_a_401(bmc: Bmc, server: RedfishServer) -> None:
    """F39."""
    broken = b"HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{"
    server.misbehave("GET", SYSTEM, Answer([broken], close=True))
    assert bmc.read().power == "On"


def test_a_wrong_password_is_tried_once(driver: RedfishDriver, server: RedfishServer, pki: Pki) -> None:
    """F42: five refusals lock the account."""
    bmc = driver.open(endpoint(server, pki.tls, login=WRONG))
    for _ in range(5):
        with pytest.raises(AuthenticationFailed):
            bmc.read()
    assert server.count("POST", SESSIONS) == 1


def test_a_new_password_is_tried_at_once(driver: RedfishDriver, server: RedfishServer, pki: Pki) -> None:
    with pytest.raises(AuthenticationFailed):
        driver.open(endpoint(server, pki.tls, login=WRONG)).read()
    assert driver.open(endpoint(server, pki.tls)).read().power == "On"


def test_a_bmc_that_refuses_every_session_sees_few_logins(bmc: Bmc, server: RedfishServer) -> None:
    server.misbehave("GET", SYSTEM, reply(401), times=None)
    for _ in range(5):
        with pytest.raises(AuthenticationFailed):
            bmc.read()
    assert server.count("POST", SESSIONS) == 3


def test_a_wrong_password_over_basic_authentication_is_tried_twice_at_most(driver: RedfishDriver, pki: Pki) -> None:
    with RedfishServer(pki.context, sessionless()) as server:
        bmc = driver.open(endpoint(server, pki.tls, login=WRONG))
        for _ in range(5):
            with pytest.raises(AuthenticationFailed):
                bmc.read()
        assert len([one for one in server.requests if "authorization" in one.headers]) <= 2


def test_a_bmc_without_sessions_gets_basic_authentication(driver: RedfishDriver, pki: Pki) -> None:
    with RedfishServer(pki.context, sessionless()) as server:
        assert driver.open(endpoint(server, pki.tls)).read().power == "On"
        assert server.seen("GET", SYSTEM)[0].headers["authorization"] == basic(LOGIN)


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_bmc_that_makes_no_sessions_gets_basic_authentication(bmc: Bmc, server: RedfishServer, status: int) -> None:
    server.misbehave("POST", SESSIONS, reply(status), times=None)
    assert bmc.read().power == "On"


REFUSALS = {
    "401": reply(401, extended("Basic Authentication required")),
    "403": reply(403, extended("Forbidden")),
    "400": reply(400, extended("The login attempt was not authorized", "Base.1.0.UnauthorizedLoginAttempt")),
    "423": reply(423, extended("Locked")),
    "500": reply(500, extended("The service of sessions failed", "Base.1.8.InternalError")),
    "no token": reply(201, {"@odata.id": f"{SESSIONS}/odd"}),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_sessions_that_do_not_work_are_replaced_by_basic_authentication(
    bmc: Bmc, server: RedfishServer, refusal: str
) -> None:
    """stmcginnis/gofish#102, v1k0d3n/proxmox-redfish#42: sessions are linked, and only basic authentication works."""
    server.misbehave("POST", SESSIONS, REFUSALS[refusal], times=None)
    for _ in range(3):
        assert bmc.read().power == "On"
    assert server.count("POST", SESSIONS) == 1


def test_a_session_that_is_not_accepted_is_replaced_by_basic_authentication(bmc: Bmc, server: RedfishServer) -> None:
    def only_basic(request: Request) -> Answer:
        return reply(200, system()) if "authorization" in request.headers else reply(401)

    server.misbehave("GET", SYSTEM, only_basic, times=None)
    assert bmc.read().power == "On"
    assert not server.sessions


@pytest.mark.parametrize("refusal", [name for name in REFUSALS if name != "no token"])
def test_a_login_that_is_refused_both_ways_is_left_alone(bmc: Bmc, server: RedfishServer, refusal: str) -> None:
    """DMTF/Redfish-Service-Validator#191: two vendors answer a wrong password with 400."""
    server.misbehave("POST", SESSIONS, REFUSALS[refusal], times=None)
    server.misbehave("GET", SYSTEM, reply(401), times=None)
    server.misbehave("GET", f"{ROOT}/Systems", reply(401), times=None)
    said = str(REFUSALS[refusal])
    for _ in range(5):
        with pytest.raises(AuthenticationFailed, match="refused the user name or the password") as raised:
            bmc.read()
        assert raised.value.retry_after is not None
        assert f"HTTP {refusal}" in str(raised.value), said
    assert server.count("POST", SESSIONS) == 1
    assert len([one for one in server.requests if "authorization" in one.headers]) == 1


def test_a_login_whose_password_must_be_changed_is_tried_once(bmc: Bmc, server: RedfishServer) -> None:
    """dsx-ai-factory/infra-controller#4724."""
    must = extended("The password must be changed.", "Base.1.8.PasswordChangeRequired")
    server.misbehave("POST", SESSIONS, reply(403, must), times=None)
    for _ in range(5):
        with pytest.raises(AuthenticationFailed, match=r"requires that the password is changed.*must be changed"):
            bmc.read()
    assert server.count("POST", SESSIONS) == 1
    assert not [one for one in server.requests if "authorization" in one.headers]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", SYSTEM), ("GET", f"{ROOT}/"), ("GET", f"{ROOT}/Systems"), ("POST", SESSIONS)]
)
def test_one_odd_401_costs_one_more_request_and_leaves_no_session(
    driver: RedfishDriver, bmc: Bmc, server: RedfishServer, method: str, path: str
) -> None:
    """dsx-ai-factory/infra-controller#5349: iLO, NVIDIA and AMI BMCs answer 401 now and then."""
    server.misbehave(method, path, reply(401, extended("Invalid username or password")))
    assert bmc.read().power == "On"
    driver.close()
    assert not server.sessions


def test_a_page_to_log_in_that_is_called_a_success_costs_one_look(bmc: Bmc, server: RedfishServer) -> None:
    bmc.read()
    (old,) = server.sessions

    def page(request: Request) -> Answer:
        ended = request.headers.get("x-auth-token") == old
        return reply(200, b"<html>Log in</html>") if ended else reply(200, system())

    server.misbehave("GET", SYSTEM, page, times=None)
    with pytest.raises(Unreachable, match="not valid Redfish"):
        bmc.read()
    assert bmc.read().power == "On"
    assert len(server.sessions) == 1


def test_a_session_that_is_refused_for_good_is_not_left_behind(bmc: Bmc, server: RedfishServer) -> None:
    for path in (SYSTEM, f"{ROOT}/Systems"):
        server.misbehave("GET", path, reply(401), times=None)
    with pytest.raises(AuthenticationFailed):
        bmc.read()
    assert not server.sessions


def test_a_refused_login_is_left_alone_for_longer_each_time(
    bmc: Bmc, server: RedfishServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = [0.0]
    monkeypatch.setattr(scheduling, "monotonic", lambda: at[0])
    server.misbehave("POST", SESSIONS, reply(401), times=None)
    server.misbehave("GET", f"{ROOT}/Systems", reply(401), times=None)
    tried: list[int] = []
    for minute in range(240):
        at[0] = 60.0 * minute
        with pytest.raises(AuthenticationFailed):
            bmc.read()
        if server.count("POST", SESSIONS) > len(tried):
            tried.append(minute)
    assert tried == [0, 15, 45, 105, 165, 225]


def test_a_root_behind_a_login_is_read_with_one(driver: RedfishDriver, pki: Pki) -> None:
    with RedfishServer(pki.context, sessionless()) as server:
        server.misbehave("GET", f"{ROOT}/", reply(401))
        assert driver.open(endpoint(server, pki.tls)).read().power == "On"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(NO_SESSION_LEFT, id="503 RAC0218, F34"),
        pytest.param(reply(400, extended("Too many", "Base.1.8.SessionLimitExceeded")), id="400"),
        pytest.param(reply(401, extended("Too many", "iLO.2.14.MaxSessionsReached")), id="401 of another registry"),
        pytest.param(reply(403, {"Messages": [{"MessageID": "X.1.0.TooManySessions"}]}), id="403 without an error"),
        pytest.param(reply(429), id="429"),
    ],
)
def test_out_of_sessions_is_busy_and_never_falls_back_to_basic_authentication(
    bmc: Bmc, server: RedfishServer, answer: Answer
) -> None:
    server.misbehave("POST", SESSIONS, answer, times=None)
    for _ in range(2):
        with pytest.raises(Busy):
            bmc.read()
    assert not [one for one in server.requests if "authorization" in one.headers]


def test_a_session_can_be_had_again_once_one_is_free(bmc: Bmc, server: RedfishServer) -> None:
    server.misbehave("POST", SESSIONS, NO_SESSION_LEFT)
    with pytest.raises(Busy):
        bmc.read()
    assert bmc.read().power == "On"


def test_the_sessions_are_where_the_root_says(driver: RedfishDriver, pki: Pki) -> None:
    """F38."""
    documents = service()
    documents[ROOT] = {**documents[ROOT], "Links": {"Sessions": {"@odata.id": f"{ROOT}/Sessions"}}}
    with RedfishServer(pki.context, documents, login=None) as server:
        server.misbehave("POST", f"{ROOT}/Sessions", reply(201, None, "X-Auth-Token: t"), times=None)
        driver.open(endpoint(server, pki.tls)).read()
        assert server.seen("GET", SYSTEM)[0].headers["x-auth-token"] == "t"


def test_the_login_goes_without_an_authorization_header(bmc: Bmc, server: RedfishServer) -> None:
    """F37."""
    bmc.read()
    assert "authorization" not in server.seen("POST", SESSIONS)[0].headers


@pytest.mark.parametrize("location", [f"{SESSIONS}/", "Sessions/"])
def test_sessions_that_moved_to_the_path_with_a_slash_are_found(bmc: Bmc, server: RedfishServer, location: str) -> None:
    """F35."""
    server.misbehave("POST", SESSIONS, reply(308, None, f"Location: {location}"), times=None)
    assert bmc.read().power == "On"
    assert server.count("POST", f"{SESSIONS}/") == 1


def test_a_session_named_in_the_body_only_is_given_back(driver: RedfishDriver, bmc: Bmc, server: RedfishServer) -> None:
    """F36."""
    server.misbehave("POST", SESSIONS, _without_location(server))
    bmc.read()
    driver.close()
    assert [one.path for one in server.seen("DELETE")] == [f"{SESSIONS}/odd"]


def _without_location(server: RedfishServer) -> Behaviour:
    def answer(request: Request) -> Answer:
        server.sessions.add("odd")
        return reply(201, {"@odata.id": f"{SESSIONS}/odd"}, "X-Auth-Token: odd")

    return answer


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize(("method", "path"), [("GET", SYSTEM), ("GET", f"{ROOT}/"), ("POST", SESSIONS)])
def test_a_login_is_never_carried_to_another_host(
    bmc: Bmc, server: RedfishServer, pki: Pki, method: str, path: str, status: int
) -> None:
    with RedfishServer(pki.context, service(), login=None) as other:
        to = f"Location: https://localhost:{other.port}{path}"
        server.misbehave(method, path, reply(status, None, to), times=None)
        with pytest.raises(DriverError):
            bmc.read()
        assert other.connections == 0


@pytest.mark.parametrize("scheme", ["https:", ""])
def test_a_link_to_another_host_is_followed_on_this_bmc(driver: RedfishDriver, pki: Pki, scheme: str) -> None:
    with RedfishServer(pki.context, service(), login=None) as other:
        link = f"{scheme}//localhost:{other.port}{SYSTEM}"
        documents = {**service(), f"{ROOT}/Systems": {"Members": [{"@odata.id": link}]}}
        with RedfishServer(pki.context, documents) as server:
            assert driver.open(endpoint(server, pki.tls)).read().power == "On"
        assert other.connections == 0


def test_a_password_that_must_be_changed_first_is_said(bmc: Bmc, server: RedfishServer) -> None:
    """F43."""
    must = extended("The password provided for this account must be changed.", "Base.1.8.PasswordChangeRequired")
    server.misbehave("GET", SYSTEM, reply(403, must), times=None)
    with pytest.raises(AuthenticationFailed, match="must be changed"):
        bmc.read()


def test_a_bmc_that_wants_a_login_and_was_given_none_says_so(
    driver: RedfishDriver, server: RedfishServer, pki: Pki
) -> None:
    with pytest.raises(AuthenticationFailed, match="credentialRef"):
        driver.open(replace(endpoint(server, pki.tls), credential=None)).read()


def test_a_bmc_without_logins_is_read_without_one(driver: RedfishDriver, pki: Pki) -> None:
    with RedfishServer(pki.context, service(), login=None) as server:
        assert driver.open(replace(endpoint(server, pki.tls), credential=None)).read().power == "On"
        assert server.count("POST") == 0


def _echo(request: Request) -> Answer:
    return reply(400, extended(f"I do not like {request.body.decode()} and {request.headers}"))


@pytest.mark.parametrize(
    ("method", "path", "behaviour"),
    [
        pytest.param("POST", SESSIONS, _echo, id="the login is repeated in the refusal"),
        pytest.param("POST", SESSIONS, lambda _: reply(401), id="refused"),
        pytest.param("POST", SESSIONS, lambda _: reply(201), id="no token"),
        pytest.param("POST", SESSIONS, lambda _: DROP, id="lost"),
        pytest.param("GET", SYSTEM, _echo, id="the headers are repeated in the refusal"),
    ],
)
def test_the_password_is_in_no_error(
    bmc: Bmc, server: RedfishServer, method: str, path: str, behaviour: Behaviour
) -> None:
    server.misbehave(method, path, behaviour, times=None)
    server.misbehave("GET", SYSTEM, reply(401), times=None)
    with pytest.raises(DriverError) as raised:
        bmc.read()
    assert LOGIN.password not in "".join(traceback.format_exception(raised.value)) + repr(raised.value)


def test_the_password_is_in_no_repr(driver: RedfishDriver, bmc: Bmc, server: RedfishServer, pki: Pki) -> None:
    bmc.read()
    shown = repr([driver, bmc, vars(driver), endpoint(server, pki.tls), LOGIN])
    assert LOGIN.password not in shown


def test_threads_share_one_session_and_one_connection(driver: RedfishDriver, pki: Pki) -> None:
    ids = [str(number) for number in range(1, 5)]
    documents = service()
    documents[f"{ROOT}/Systems"] = {"Members": [{"@odata.id": f"{ROOT}/Systems/{one}"} for one in ids]}
    documents |= {f"{ROOT}/Systems/{one}": system(SerialNumber=f"SN-{one}") for one in ids}
    with RedfishServer(pki.context, documents) as server, ThreadPoolExecutor(8) as pool:
        bmcs = [driver.open(endpoint(server, pki.tls, one)) for one in ids]
        serials = list(pool.map(lambda bmc: bmc.read().serial, bmcs * 8))
        assert serials == [f"SN-{one}" for one in ids] * 8
        assert (server.count("POST", SESSIONS), server.connections) == (1, 1)


def read_on(bmc: Bmc) -> None:
    while True:
        bmc.read()


def test_close_during_use_ends_it(driver: RedfishDriver, pki: Pki) -> None:
    with RedfishServer(pki.context, service()) as server, ThreadPoolExecutor(4) as pool:
        bmcs = [driver.open(endpoint(server, pki.tls)) for _ in range(4)]
        reading = threading.Barrier(5)

        def read(bmc: Bmc) -> bool:
            bmc.read()
            reading.wait()
            with pytest.raises(Unreachable, match="closed"):
                read_on(bmc)
            return True

        ends = [pool.submit(read, bmc) for bmc in bmcs]
        reading.wait()
        driver.close()
        assert all(end.result() for end in ends)
        assert not server.sessions


def test_close_waits_no_longer_than_a_request_may_take(pki: Pki) -> None:
    driver = RedfishDriver(seconds=0.3)
    with RedfishServer(pki.context, service()) as server, ThreadPoolExecutor(1) as pool:
        bmc = driver.open(endpoint(server, pki.tls))
        bmc.read()
        asked = threading.Event()

        def silent() -> Iterator[bytes]:
            asked.set()
            server.ended.wait()
            yield b""

        server.misbehave("GET", SYSTEM, lambda _: Answer(silent(), close=True), times=None)
        reading = pool.submit(bmc.read)
        asked.wait()
        driver.close()
        with pytest.raises(Unreachable, match="no answer within"):
            reading.result()


def test_a_bmc_that_is_gone_does_not_keep_a_driver_from_closing(
    driver: RedfishDriver, bmc: Bmc, server: RedfishServer
) -> None:
    bmc.read()
    server.misbehave("DELETE", f"{SESSIONS}/token-1", DROP, times=None)
    driver.close()
    assert server.count("DELETE") == 2


def test_a_credential_that_cannot_be_resolved_is_told_and_nothing_is_sent(
    driver: RedfishDriver, server: RedfishServer, pki: Pki
) -> None:
    def resolve(_: Peer) -> Credential:
        raise AuthenticationFailed("env BMC_FRA is not set")

    at = endpoint(server, pki.tls)
    with pytest.raises(AuthenticationFailed, match="BMC_FRA"):
        driver.open(replace(at, credential=resolve)).read()
    assert not server.requests


def test_a_credential_that_was_changed_is_used_at_the_next_login(
    driver: RedfishDriver, server: RedfishServer, pki: Pki
) -> None:
    logins = [LOGIN, WRONG]
    bmc = driver.open(replace(endpoint(server, pki.tls), credential=lambda _: logins[0]))
    bmc.read()
    server.sessions.clear()
    logins.pop(0)
    with pytest.raises(AuthenticationFailed):
        bmc.read()
    assert [one.json()["Password"] for one in server.seen("POST", SESSIONS)] == [LOGIN.password, WRONG.password]


def test_a_login_that_must_wait_says_how_long(bmc: Bmc, server: RedfishServer) -> None:
    server.misbehave("POST", SESSIONS, reply(503, None, "Retry-After: 60"))
    with pytest.raises(Busy) as raised:
        bmc.read()
    assert raised.value.retry_after == 60.0


def test_a_session_goes_to_nobody_but_the_address_that_it_was_made_with(
    driver: RedfishDriver, server: RedfishServer, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that says another address at the next connection: the login is asked for anew, for that address."""
    asked: list[str | None] = []

    def resolve(peer: Peer) -> Credential:
        asked.append(peer.address)
        if len(asked) > 1:
            raise AuthenticationFailed("not to that address")
        return LOGIN

    bmc = driver.open(replace(endpoint(server, pki.tls), credential=resolve))
    bmc.read()
    seen = len(server.requests)
    monkeypatch.setattr(redfish_http.RedfishConnection, "_peer_of", lambda *_: Peer("127.0.0.2", True))
    with pytest.raises(AuthenticationFailed, match="not to that address"):
        bmc.reset(ResetType.ON)
    assert asked == ["127.0.0.1", "127.0.0.2"]
    assert len(server.requests) == seen


@pytest.mark.parametrize("may_log_in_there", [True, False])
def test_a_session_that_ran_out_is_not_shown_to_the_host_to_which_the_name_leads_by_then(
    driver: RedfishDriver, server: RedfishServer, pki: Pki, monkeypatch: pytest.MonkeyPatch, may_log_in_there: bool
) -> None:
    """The session is deleted when it seems to have ended. If the new login fails, or is for another host, it stays."""
    moved = threading.Event()

    def resolve(peer: Peer) -> Credential:
        if moved.is_set() and not may_log_in_there:
            raise AuthenticationFailed("not to that address")
        return LOGIN

    def run_out(_: Request) -> Answer:
        moved.set()
        return reply(401)

    bmc = driver.open(replace(endpoint(server, pki.tls), credential=resolve))
    bmc.read()
    monkeypatch.setattr(
        redfish_http.RedfishConnection,
        "_peer_of",
        lambda *_: Peer("127.0.0.2" if moved.is_set() else "127.0.0.1", True),
    )
    seen = len(server.requests)
    server.misbehave("GET", SYSTEM, run_out)
    if may_log_in_there:
        bmc.read()
    else:
        with pytest.raises(AuthenticationFailed, match="not to that address"):
            bmc.read()
    shown = [one.headers.get("x-auth-token") for one in server.requests[seen + 1 :]]
    assert "token-1" not in shown
    assert server.count("DELETE") == 0
