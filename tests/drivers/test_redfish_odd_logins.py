"""Odd answers to a login, or in the life of one: what is a refusal, what is not, and that no session is left behind."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from drivers.base import AuthenticationFailed, Bmc, Busy, Forbidden, Rejected, ResetType
from drivers.base.support import scheduling
from drivers.bmc.redfish.redfish import RedfishDriver
from tests.drivers.bmc_servers import (
    DROP,
    RESET,
    ROOT,
    SESSIONS,
    SYSTEM,
    Answer,
    Behaviour,
    Pki,
    RedfishServer,
    Request,
    endpoint,
    extended,
    reply,
    service,
    sessionless,
    system,
)

SYSTEMS = f"{ROOT}/Systems"


def logins(server: RedfishServer) -> int:
    """Requests that carried the password."""
    return server.count("POST", SESSIONS) + len([one for one in server.requests if "authorization" in one.headers])


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(reply(507, extended("Full", "Base.1.8.GeneralError")), id="507"),
        pytest.param(reply(400, extended("Full", "Base.1.8.CreateLimitReachedForResource")), id="the Base registry"),
        pytest.param(reply(503, b"<html>Busy</html>"), id="a web page"),
    ],
)
def test_a_limit_of_any_collection_is_one_of_sessions_at_a_login(
    bmc: Bmc, server: RedfishServer, answer: Answer
) -> None:
    """DSP0266 and the Base registry have no id of sessions for it (compare bb-Ricardo/check_redfish#89)."""
    server.misbehave("POST", SESSIONS, answer, times=None)
    with pytest.raises(Busy, match="too many sessions"):
        bmc.read()
    assert logins(server) == 1


@pytest.mark.parametrize("status", [400, 402, 403, 404, 409, 412, 418, 422, 423])
@pytest.mark.parametrize("session", [401, 409, 423])
def test_a_login_that_is_refused_as_a_session_and_by_basic_authentication_is_latched_whatever_the_status(
    bmc: Bmc, server: RedfishServer, session: int, status: int
) -> None:
    """DMTF/Redfish-Service-Validator#191 for basic authentication: each look would send the password again."""
    server.misbehave("POST", SESSIONS, reply(session, extended("Access denied for you")), times=None)
    server.misbehave("GET", SYSTEMS, reply(status, extended("No")), times=None)
    for _ in range(5):
        with pytest.raises(AuthenticationFailed, match=r"refused the user name or the password.*Access denied for you"):
            bmc.read()
    assert logins(server) == 2


@pytest.mark.parametrize("status", [400, 423])
def test_a_bmc_without_sessions_may_refuse_a_login_by_another_status_than_401(
    driver: RedfishDriver, pki: Pki, status: int
) -> None:
    with RedfishServer(pki.context, sessionless()) as server:
        server.misbehave("GET", SYSTEMS, reply(status, extended("The account is locked")), times=None)
        bmc = driver.open(endpoint(server, pki.tls))
        for _ in range(5):
            with pytest.raises(AuthenticationFailed, match="The account is locked"):
                bmc.read()
        assert logins(server) == 1


def test_a_system_that_is_not_there_is_no_refusal_of_a_login_whose_session_was_refused(
    driver: RedfishDriver, server: RedfishServer, pki: Pki
) -> None:
    server.misbehave("POST", SESSIONS, reply(400, extended("Sessions are disabled")), times=None)
    bmc = driver.open(endpoint(server, pki.tls, "7"))
    with pytest.raises(Rejected, match="no system 7"):
        bmc.read()


def test_a_login_that_is_called_a_success_and_holds_an_error_is_reported_in_the_bmc_s_words(
    bmc: Bmc, server: RedfishServer
) -> None:
    server.misbehave("POST", SESSIONS, reply(200, extended("The user is unknown")), times=None)
    server.misbehave("GET", SYSTEMS, reply(401), times=None)
    with pytest.raises(AuthenticationFailed, match="The user is unknown"):
        bmc.read()


def test_one_odd_401_to_basic_authentication_that_has_held_costs_one_more_request(
    driver: RedfishDriver, pki: Pki
) -> None:
    """dsx-ai-factory/infra-controller#5349 on a BMC without sessions."""
    with RedfishServer(pki.context, sessionless()) as server:
        bmc = driver.open(endpoint(server, pki.tls))
        bmc.read()
        server.misbehave("GET", SYSTEM, reply(401, extended("Invalid username or password")))
        assert bmc.read().power == "On"
        assert server.count("GET", SYSTEM) == 3


def test_a_first_401_to_basic_authentication_is_tried_once_more_half_a_minute_later(
    driver: RedfishDriver, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same at the first contact. A password that is wrong is tried twice then, and again after 15 minutes."""
    at = [0.0]
    monkeypatch.setattr(scheduling, "monotonic", lambda: at[0])
    with RedfishServer(pki.context, sessionless()) as server:
        bmc = driver.open(endpoint(server, pki.tls))
        server.misbehave("GET", SYSTEMS, reply(401), times=2)
        tried = []
        for at[0] in (0.0, 29.0, 31.0, 900.0, 932.0):
            with contextlib.suppress(AuthenticationFailed):
                bmc.read()
            tried.append(server.count("GET", SYSTEMS))
        assert tried == [1, 1, 2, 2, 3]
        assert bmc.read().power == "On"


def test_an_odd_401_to_a_reset_by_basic_authentication_is_sent_once_more(driver: RedfishDriver, pki: Pki) -> None:
    """The same: the BMC did nothing."""
    with RedfishServer(pki.context, sessionless()) as server:
        server.misbehave("POST", RESET, reply(401))
        driver.open(endpoint(server, pki.tls)).reset(ResetType.ON)
        assert server.count("POST", RESET) == 2


ENDED = {
    "403 with its id": reply(403, extended("There is no valid session.", "Base.1.8.NoValidSession")),
    "400 with its id": reply(400, extended("The session was terminated.", "iLO.2.14.SessionTerminated")),
    "403 without a word": reply(403),
    "a page to log in": reply(302, None, "Location: /login.html"),
}


def ended_for(token: str, answer: Answer) -> Behaviour:
    """Refuses one session, as a BMC does when it has run out."""
    return lambda request: answer if request.headers.get("x-auth-token") == token else reply(200, system())


@pytest.mark.parametrize("how", ENDED)
def test_a_session_that_ran_out_is_renewed_however_the_bmc_says_it(
    driver: RedfishDriver, bmc: Bmc, server: RedfishServer, how: str
) -> None:
    """HewlettPackard/python-ilorest-library#101; openbmc/openbmc#3452 for the page. sushy renews after 403 too."""
    bmc.read()
    server.misbehave("GET", SYSTEM, ended_for("token-1", ENDED[how]), times=None)
    for _ in range(3):
        assert bmc.read().power == "On"
    assert server.count("POST", SESSIONS) == 2
    driver.close()
    assert not server.sessions


def test_what_a_login_may_not_read_costs_no_login_at_each_look(bmc: Bmc, server: RedfishServer) -> None:
    server.misbehave("GET", SYSTEM, reply(403), times=None)
    for _ in range(5):
        with pytest.raises(Forbidden):
            bmc.read()
    assert server.count("POST", SESSIONS) == 2


INFO, SETTINGS, CHASSIS = f"{SYSTEM}/ResetActionInfo", f"{SYSTEM}/SD", f"{ROOT}/Chassis/1"
PARTS: dict[str, dict[str, object]] = {
    INFO: {"Actions": {"#ComputerSystem.Reset": {"target": RESET, "@Redfish.ActionInfo": INFO}}},
    SETTINGS: {"@Redfish.Settings": {"SettingsObject": {"@odata.id": SETTINGS}}},
    CHASSIS: {"IndicatorLED": ..., "Links": {"Chassis": [{"@odata.id": CHASSIS}]}},
}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_answers_401_for_good_is_unknown_and_the_login_holds(
    driver: RedfishDriver, pki: Pki, part: str
) -> None:
    """dell/iDRAC-Redfish-Scripting#336: 401 for one resource, with a login that reads the others."""
    with RedfishServer(pki.context, service(**PARTS[part])) as server:
        server.misbehave("GET", part, reply(401, extended("Unauthorized")), times=None)
        bmc = driver.open(endpoint(server, pki.tls))
        for _ in range(4):
            assert bmc.read().power == "On"
        bmc.reset(ResetType.ON)
        assert logins(server) <= 4
        driver.close()
        assert not server.sessions


def test_what_was_refused_alone_is_tried_with_a_new_login_again_later(
    bmc: Bmc, server: RedfishServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a session that ran out meanwhile would keep the machine unknown for ever."""
    at = [0.0]
    monkeypatch.setattr(scheduling, "monotonic", lambda: at[0])
    refused = [True]
    server.misbehave("GET", SYSTEM, lambda _: reply(401) if refused else reply(200, system()), times=None)
    with pytest.raises(AuthenticationFailed):
        bmc.read()
    refused.clear()
    server.sessions.clear()
    server.misbehave("GET", SYSTEM, reply(200, system()), times=None)
    at[0] = 1000.0
    assert bmc.read().power == "On"


def must_change(method: str, path: str, status: int) -> Callable[[RedfishServer], None]:
    answer = reply(status, extended("The password must be changed.", "Base.1.8.PasswordChangeRequired"))
    return lambda server: server.misbehave(method, path, answer, times=None)


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 422])
@pytest.mark.parametrize(("method", "path"), [("POST", SESSIONS), ("GET", SYSTEMS), ("GET", SYSTEM)])
def test_a_password_that_must_be_changed_is_one_login_wherever_the_bmc_says_it(
    driver: RedfishDriver, bmc: Bmc, server: RedfishServer, method: str, path: str, status: int
) -> None:
    """dsx-ai-factory/infra-controller#4724: some give the session, and refuse all that is asked with it."""
    must_change(method, path, status)(server)
    for _ in range(5):
        with pytest.raises(AuthenticationFailed, match="requires that the password is changed") as raised:
            bmc.read()
        assert raised.value.retry_after is not None
    assert logins(server) == 1
    assert not server.sessions


@pytest.mark.parametrize(
    "refusal", [reply(401), reply(403), reply(403, extended("No", "Base.1.8.InsufficientPrivilege"))]
)
def test_a_session_that_is_made_to_change_the_password_is_refused_with_the_message_that_it_was_made_with(
    driver: RedfishDriver, bmc: Bmc, server: RedfishServer, refusal: Answer
) -> None:
    """DSP0266, "Password change required handling": the session is made, with this message."""
    headers = ["X-Auth-Token: one", f"Location: {SESSIONS}/one"]
    info = extended("Change the password.", "Base.1.8.PasswordChangeRequired")["error"]
    server.misbehave("POST", SESSIONS, reply(201, {"@odata.id": f"{SESSIONS}/one", **info}, *headers), times=None)
    server.misbehave("GET", SYSTEMS, refusal, times=None)
    for _ in range(5):
        with pytest.raises(AuthenticationFailed, match=r"requires that the password is changed.*Change the password\."):
            bmc.read()
    assert logins(server) == 1
    assert server.seen("DELETE", f"{SESSIONS}/one")


def test_a_session_that_works_is_used_whatever_was_said_of_the_password(bmc: Bmc, server: RedfishServer) -> None:
    server.sessions.add("one")
    info = extended("Change the password.", "Base.1.8.PasswordChangeRequired")["error"]
    made = reply(201, {"@odata.id": f"{SESSIONS}/one", **info}, "X-Auth-Token: one", f"Location: {SESSIONS}/one")
    server.misbehave("POST", SESSIONS, made)
    assert bmc.read().power == "On"
    server.misbehave("GET", SYSTEM, reply(403))
    assert bmc.read().power == "On"


@pytest.mark.parametrize("token", ["", "   "])
def test_a_session_with_an_empty_token_is_none(bmc: Bmc, server: RedfishServer, token: str) -> None:
    """canonical/maas#181."""
    made = reply(201, {"@odata.id": f"{SESSIONS}/9"}, f"X-Auth-Token: {token}", f"Location: {SESSIONS}/9")
    server.misbehave("POST", SESSIONS, made, times=None)
    assert bmc.read().power == "On"
    assert [one.path for one in server.seen("DELETE")] == [f"{SESSIONS}/9"]
    assert server.count("POST", SESSIONS) == 1


@pytest.mark.parametrize(
    ("document", "location"),
    [
        pytest.param({"Id": "7", "Name": "User Session"}, None, id="its id alone"),
        pytest.param({"Id": 7}, None, id="its id as a number"),
        pytest.param({"@odata.id": f"{SESSIONS}/7"}, "Location: https://[bad", id="a Location that is no URL"),
    ],
)
def test_a_session_is_given_back_however_the_bmc_names_it(
    driver: RedfishDriver, pki: Pki, document: object, location: str | None
) -> None:
    """DMTF/python-redfish-library#177."""
    with RedfishServer(pki.context, service(), login=None) as server:
        headers = ["X-Auth-Token: seven", *([location] if location else [])]
        server.misbehave("POST", SESSIONS, reply(201, document, *headers), times=None)
        driver.open(endpoint(server, pki.tls)).read()
        driver.close()
        assert [one.path for one in server.seen("DELETE")] == [f"{SESSIONS}/7"]


@pytest.mark.parametrize(
    "location",
    [
        pytest.param("169.254.0.17/redfish/v1/SessionService/Sessions/7", id="a host without a scheme"),
        pytest.param("//redfish/v1/SessionService/Sessions/7", id="two slashes"),
        pytest.param("Sessions/7", id="relative to the list of sessions"),
        pytest.param("7", id="the id alone"),
        pytest.param("/SessionService/Sessions/7", id="without the service root"),
        pytest.param("https://169.254.0.17/redfish/v1/SessionService/Sessions/7/", id="another host, and a slash"),
    ],
)
def test_a_session_is_found_by_the_id_that_ends_its_location(driver: RedfishDriver, pki: Pki, location: str) -> None:
    with RedfishServer(pki.context, service(), login=None) as server:
        made = reply(201, None, "X-Auth-Token: seven", f"Location: {location}")
        server.misbehave("POST", SESSIONS, made, times=None)
        for path in ("/v1/SessionService/Sessions/7", f"{ROOT}/SessionService/7", "/SessionService/Sessions/7"):
            server.misbehave("DELETE", path, reply(404), times=None)
        wrong = f"{ROOT}/SessionService/169.254.0.17{SESSIONS}/7"
        server.misbehave("DELETE", wrong, reply(404), times=None)
        driver.open(endpoint(server, pki.tls)).read()
        driver.close()
        assert server.seen("DELETE")[-1].path.rstrip("/") == f"{SESSIONS}/7"


@pytest.mark.parametrize("location", [SESSIONS, f"{SESSIONS}/", f"{ROOT}/SessionService", ROOT, "/"])
def test_the_list_of_sessions_is_never_deleted(driver: RedfishDriver, pki: Pki, location: str) -> None:
    with RedfishServer(pki.context, service(), login=None) as server:
        made = reply(201, None, "X-Auth-Token: seven", f"Location: {location}")
        server.misbehave("POST", SESSIONS, made, times=None)
        driver.open(endpoint(server, pki.tls)).read()
        driver.close()
        assert not server.seen("DELETE")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(reply(401), id="an odd 401"),
        pytest.param(reply(503), id="not now"),
        pytest.param(reply(409), id="a conflict"),
        pytest.param(reply(429, None, "Retry-After: 1"), id="too many requests"),
        pytest.param(DROP, id="none"),
    ],
)
def test_an_odd_answer_to_the_end_of_a_session_leaves_no_session(
    driver: RedfishDriver, bmc: Bmc, server: RedfishServer, answer: Answer
) -> None:
    """dsx-ai-factory/infra-controller#5349."""
    bmc.read()
    server.misbehave("DELETE", f"{SESSIONS}/token-1", answer)
    driver.close()
    assert not server.sessions


@pytest.mark.parametrize(
    ("status", "header", "value"),
    [
        (411, "content-length", "0"),
        (412, "if-match", "*"),
        (415, "content-type", "application/json"),
        (428, "if-match", "*"),
    ],
)
def test_the_end_of_a_session_is_sent_with_the_header_that_the_bmc_wants(
    driver: RedfishDriver, bmc: Bmc, server: RedfishServer, status: int, header: str, value: str
) -> None:
    bmc.read()
    server.misbehave("DELETE", f"{SESSIONS}/token-1", reply(status))
    driver.close()
    assert [one.headers.get(header) for one in server.seen("DELETE")] == [None, value]
    assert not server.sessions


def test_sessions_whose_tokens_are_refused_are_deleted_by_basic_authentication(
    driver: RedfishDriver, bmc: Bmc, server: RedfishServer
) -> None:
    """As a BMC behind a proxy that removes X-Auth-Token: each session is made, and none is ever accepted."""

    def tokenless(request: Request) -> Answer:
        if "authorization" not in request.headers:
            return reply(401, extended("No valid session"))
        if request.method == "DELETE":
            server.sessions.discard(request.path.rpartition("/")[2])
            return reply(204)
        return reply(200, server.documents[request.path])

    for path in (SYSTEMS, SYSTEM):
        server.misbehave("GET", path, tokenless, times=None)
    for number in (1, 2, 3):
        server.misbehave("DELETE", f"{SESSIONS}/token-{number}", tokenless, times=None)
    for _ in range(3):
        assert bmc.read().power == "On"
    assert not server.sessions
    driver.close()


def test_a_password_that_was_changed_is_two_failed_logins_at_most(bmc: Bmc, server: RedfishServer) -> None:
    """One for a session, and one by basic authentication (ibm-openbmc/dev#1544). BMCs lock accounts after three, so the
    old session is ended without the password."""
    bmc.read()
    server.sessions.clear()
    server.misbehave("POST", SESSIONS, reply(401, extended("Wrong user name or password")), times=None)
    for method, path in (("GET", SYSTEM), ("GET", f"{ROOT}/Systems"), ("DELETE", f"{SESSIONS}/token-1")):
        server.misbehave(method, path, reply(401, extended("Log in first")), times=None)
    begun = len(server.requests)
    with pytest.raises(AuthenticationFailed):
        bmc.read()
    asked = server.requests[begun:]
    tried = [one for one in asked if one.method == "POST" or "authorization" in one.headers]
    assert [one.method for one in tried] == ["POST", "GET"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_service_root_behind_a_login_is_read_with_one(bmc: Bmc, server: RedfishServer, status: int) -> None:
    server.misbehave("GET", f"{ROOT}/", reply(status))
    assert bmc.read().power == "On"


def test_a_session_that_was_refused_oddly_is_given_back_when_there_is_no_other(bmc: Bmc, server: RedfishServer) -> None:
    """The one that was refused may be the one too many (theforeman/smart-proxy#895)."""
    bmc.read()
    server.misbehave("GET", SYSTEM, reply(401))
    server.misbehave("POST", SESSIONS, reply(503, extended("Too many", "IDRAC.2.8.RAC0218")))
    with pytest.raises(Busy):
        bmc.read()
    assert not server.sessions


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_login_that_is_sent_to_a_page_is_replaced_by_basic_authentication(
    bmc: Bmc, server: RedfishServer, status: int
) -> None:
    server.misbehave("POST", SESSIONS, reply(status, None, "Location: /login.html"), times=None)
    assert bmc.read().power == "On"
    assert server.count("GET", "/login.html") == 0


def test_a_resource_that_moved_twice_is_found(bmc: Bmc, server: RedfishServer) -> None:
    """PegaProx/project-pegaprox#609 (Lenovo x3650 M5), with another hop."""
    server.misbehave("GET", SYSTEM, reply(301, None, f"Location: {ROOT}/Systems/old"), times=None)
    server.misbehave("GET", f"{ROOT}/Systems/old", reply(301, None, f"Location: {ROOT}/Systems/old/"), times=None)
    server.misbehave("GET", f"{ROOT}/Systems/old/", reply(200, system()), times=None)
    assert bmc.read().power == "On"


@pytest.mark.parametrize("to", [f"{SYSTEM}/", "/login.html"])
def test_a_redirect_that_leads_nowhere_ends_and_gives_no_advice_about_the_host(
    bmc: Bmc, server: RedfishServer, to: str
) -> None:
    server.misbehave("GET", SYSTEM, reply(301, None, f"Location: {to}"), times=None)
    server.misbehave("GET", f"{SYSTEM}/", reply(301, None, f"Location: {SYSTEM}"), times=None)
    with pytest.raises(Rejected, match="redirects") as raised:
        bmc.read()
    assert "set bmc.address" not in str(raised.value)
    assert len(server.requests) < 20


def test_a_redirect_to_another_port_says_what_to_change(bmc: Bmc, server: RedfishServer) -> None:
    server.misbehave("GET", f"{ROOT}/", reply(301, None, f"Location: https://127.0.0.1:8080{ROOT}/"), times=None)
    with pytest.raises(Rejected, match=r"redirects to https://127\.0\.0\.1:8080.*set bmc\.address"):
        bmc.read()


def test_a_get_that_was_refused_while_a_write_runs_is_no_login(bmc: Bmc, server: RedfishServer) -> None:
    """A 403 to a write is the BMC's answer to that write alone: it may have been done (F19), and is not sent again."""

    def refuse(request: Request) -> Answer:
        return reply(403)

    bmc.read()
    server.misbehave("POST", RESET, refuse, times=None)
    with pytest.raises(Forbidden):
        bmc.reset(ResetType.ON)
    assert server.count("POST", RESET) == 1
