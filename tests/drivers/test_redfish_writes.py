"""A write reaches a BMC once, whatever becomes of the answer; a read may be asked again."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest

from drivers.base import (
    Bmc,
    BootEnabled,
    BootMode,
    BootOverride,
    BootTarget,
    Busy,
    DriverError,
    IndicatorLED,
    Rejected,
    ResetType,
    Unreachable,
    Unsupported,
)
from drivers.bmc.redfish.redfish import RedfishDriver
from tests.drivers.bmc_servers import (
    DROP,
    RESET,
    SYSTEM,
    Answer,
    Pki,
    RedfishServer,
    Request,
    endpoint,
    extended,
    reply,
    service,
    system,
)

PXE_ONCE = BootOverride(BootTarget.PXE, BootEnabled.ONCE)
POST_BUSY = "iLO.2.14.UnableToModifyDuringSystemPOST"


def test_a_reset_is_one_post_of_its_type(bmc: Bmc, server: RedfishServer) -> None:
    bmc.reset(ResetType.FORCE_OFF)
    assert [one.json() for one in server.seen("POST", RESET)] == [{"ResetType": "ForceOff"}]


def test_a_boot_override_is_one_patch_of_its_fields(bmc: Bmc, server: RedfishServer) -> None:
    bmc.set_boot(PXE_ONCE)
    assert [one.json() for one in server.seen("PATCH")] == [
        {"Boot": {"BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once"}}
    ]


def test_a_boot_mode_is_sent_when_it_is_asked_for(bmc: Bmc, server: RedfishServer) -> None:
    bmc.set_boot(BootOverride(BootTarget.PXE, BootEnabled.ONCE, BootMode.UEFI))
    assert server.seen("PATCH")[0].json()["Boot"]["BootSourceOverrideMode"] == "UEFI"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(DROP, id="no answer at all"),
        pytest.param(Answer([b"HTTP/1.1 2"], close=True), id="half a status line"),
        pytest.param(Answer([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"], close=True), id="half a body"),
        pytest.param(reply(500, extended("Internal error")), id="HTTP 500"),
        pytest.param(reply(504, b"<html>Gateway Timeout</html>"), id="HTTP 504 in HTML"),
    ],
)
def test_a_reset_without_a_clear_answer_may_have_been_sent_and_is_not_repeated(
    bmc: Bmc, server: RedfishServer, answer: Answer
) -> None:
    bmc.read()
    server.misbehave("POST", RESET, answer, times=None)
    with pytest.raises(Unreachable) as raised:
        bmc.reset(ResetType.ON)
    assert raised.value.maybe_sent
    assert server.count("POST", RESET) == 1


def test_a_lost_look_before_a_write_sends_nothing(bmc: Bmc, server: RedfishServer) -> None:
    server.misbehave("GET", SYSTEM, DROP, times=None)
    with pytest.raises(Unreachable) as raised:
        bmc.reset(ResetType.ON)
    assert not raised.value.maybe_sent
    assert server.count("POST", RESET) == 0


def test_a_get_is_asked_again_when_the_kept_connection_was_closed_meanwhile(bmc: Bmc, server: RedfishServer) -> None:
    """F40."""
    server.misbehave("GET", SYSTEM, reply(200, system(), close=True))
    bmc.read()
    assert bmc.read().power == "On"
    assert server.connections == 2


def test_a_get_is_asked_again_once_when_the_kept_connection_is_closed_on_it(bmc: Bmc, server: RedfishServer) -> None:
    """F40: a BMC may close it while the request is on its way."""
    bmc.read()
    server.misbehave("GET", SYSTEM, DROP)
    assert bmc.read().power == "On"
    server.misbehave("GET", SYSTEM, DROP, times=2)
    with pytest.raises(Unreachable):
        bmc.read()


def test_a_reset_arrives_once_when_the_kept_connection_was_closed_meanwhile(bmc: Bmc, server: RedfishServer) -> None:
    """F40: the look before it leaves the connection closed."""
    server.misbehave("GET", SYSTEM, reply(200, system(), close=True), times=None)
    bmc.reset(ResetType.ON)
    assert server.count("POST", RESET) == 1


def test_a_bmc_that_speaks_http_1_0_is_understood(bmc: Bmc, server: RedfishServer) -> None:
    def old(request: Request) -> Answer:
        head = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"
        return Answer([head, json.dumps(system()).encode()], close=True)

    server.misbehave("GET", SYSTEM, old, times=None)
    server.misbehave("POST", RESET, Answer([b"HTTP/1.0 204 No Content\r\n\r\n"], close=True), times=None)
    bmc.reset(ResetType.ON)
    assert bmc.read().power == "On"
    assert server.count("POST", RESET) == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param(reply(400, extended("No such value")), Rejected, id="400"),
        pytest.param(reply(404, extended("No such thing")), Rejected, id="404"),
        pytest.param(reply(409, extended("Server is already powered ON.", "IDRAC.2.8.PSU501")), Busy, id="409, F01"),
        pytest.param(reply(400, extended("In POST", POST_BUSY)), Busy, id="400 during POST, F18"),
        pytest.param(reply(400, extended("Off", "iLO.2.14.InvalidOperationForSystemState")), Busy, id="400 iLO, F03"),
        pytest.param(reply(500, extended("Unavailable", "IDRAC.1.6.SYS518")), Busy, id="SYS518, F47"),
        pytest.param(reply(429), Busy, id="429"),
        pytest.param(reply(503), Busy, id="503"),
        pytest.param(reply(501), Unsupported, id="501"),
    ],
)
def test_what_a_bmc_answers_to_a_reset_tells_what_to_do_next(
    bmc: Bmc, server: RedfishServer, answer: Answer, error: type[DriverError]
) -> None:
    server.misbehave("POST", RESET, answer, times=None)
    with pytest.raises(error):
        bmc.reset(ResetType.ON)
    assert server.count("POST", RESET) == 1


def test_a_refusal_repeats_what_the_bmc_said(bmc: Bmc, server: RedfishServer) -> None:
    server.misbehave("POST", RESET, reply(400, extended("The lid is open.")))
    with pytest.raises(Rejected, match="HTTP 400: The lid is open"):
        bmc.reset(ResetType.ON)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"error": {"message": "All in one"}}, "All in one"),
        ({"@Message.ExtendedInfo": [{"Message": "Without an error"}]}, "Without an error"),
        ({"error": {"@Message.ExtendedInfo": {"Message": "No list"}}}, "No list"),
        ({"error": {"@Message.ExtendedInfo": [{"MessageID": "iLO.0.10.NoPower"}]}}, "iLO.0.10.NoPower"),
        (
            {"error": {"@Message.ExtendedInfo": [{"Message": "%1 of %2", "MessageArgs": ["A%2", "B"]}]}},
            "A%2 of B",
        ),
        ({"Messages": [{"MessageID": "Base.0.10.NotNow", "MessageArgs": ["x", 5]}]}, "Base.0.10.NotNow x"),
    ],
)
def test_a_refusal_is_told_in_the_bmc_s_words_in_whatever_form(
    bmc: Bmc, server: RedfishServer, document: object, said: str
) -> None:
    server.misbehave("POST", RESET, reply(400, document))
    with pytest.raises(Rejected) as raised:
        bmc.reset(ResetType.ON)
    assert str(raised.value).endswith(f"HTTP 400: {said}")


def test_what_a_bmc_says_cannot_steer_a_terminal(bmc: Bmc, server: RedfishServer) -> None:
    server.misbehave("POST", RESET, reply(400, extended("\x1b[2JAll is well\n")))
    with pytest.raises(Rejected) as raised:
        bmc.reset(ResetType.ON)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    ("line", "seconds"),
    [("Retry-After: 30", 30.0), ("Retry-After: Fri, 31 Dec 1999 23:59:59 GMT", None), ("Retry-After: -1", None)],
)
def test_a_busy_bmc_may_say_when_to_come_back(
    bmc: Bmc, server: RedfishServer, line: str, seconds: float | None
) -> None:
    server.misbehave("GET", SYSTEM, reply(503, None, line))
    with pytest.raises(Busy) as raised:
        bmc.read()
    assert raised.value.retry_after == seconds


def test_a_patch_that_no_longer_matches_is_busy_and_not_sent_again(bmc: Bmc, server: RedfishServer) -> None:
    server.misbehave("GET", SYSTEM, reply(200, system(), 'ETag: W/"1"'), times=None)
    server.misbehave("PATCH", SYSTEM, reply(412, extended("Precondition failed")), times=None)
    with pytest.raises(Busy):
        bmc.set_boot(PXE_ONCE)
    assert [one.headers.get("if-match") for one in server.seen("PATCH")] == ['W/"1"']


@pytest.mark.parametrize(
    ("lines", "etag", "sent"),
    [
        pytest.param(['ETag: "a"'], ..., '"a"', id="strong"),
        pytest.param(['ETag: W/"a"'], ..., 'W/"a"', id="weak"),
        pytest.param(['ETag: "a"', 'ETag: "a"'], ..., '"a"', id="twice, F31"),
        pytest.param(['ETag: ""'], ..., None, id="empty, F33"),
        pytest.param([], "", None, id="empty in the body, F33"),
        pytest.param([], 87422082150, None, id="a number in the body, F33"),
        pytest.param([], 'W/"b"', 'W/"b"', id="in the body only"),
        pytest.param([], ..., None, id="none"),
    ],
)
def test_a_patch_goes_out_with_the_etag_of_the_look(
    bmc: Bmc, server: RedfishServer, lines: list[str], etag: object, sent: str | None
) -> None:
    document = system(**{"@odata.etag": etag})
    server.misbehave("GET", SYSTEM, reply(200, document, *lines), times=None)
    bmc.set_indicator(IndicatorLED.LIT)
    assert [one.headers.get("if-match") for one in server.seen("PATCH")] == [sent]


@pytest.mark.parametrize(
    ("etag", "accepted"),
    [
        pytest.param('W/"a"', '"a"', id="strong only, F26"),
        pytest.param('""a""', '"a"', id="not quoted twice, F27"),
        pytest.param('"a"', None, id="none, F30"),
        pytest.param('"a"', "*", id="any, F28b"),
    ],
)
def test_a_bmc_that_never_matches_the_etag_it_gave_is_written_to_after_a_few_looks(
    bmc: Bmc, server: RedfishServer, etag: str, accepted: str | None
) -> None:
    server.misbehave("GET", SYSTEM, reply(200, system(), f"ETag: {etag}"), times=None)
    server.misbehave(
        "PATCH",
        SYSTEM,
        lambda request: reply(204 if request.headers.get("if-match") == accepted else 412),
        times=None,
    )
    for tries in range(1, 3):  # `apply` gives up after the third.
        with suppress(Busy):
            bmc.set_indicator(IndicatorLED.LIT)
            break
        assert server.count("PATCH") == tries
    else:
        bmc.set_indicator(IndicatorLED.LIT)
    assert server.seen("PATCH")[-1].headers.get("if-match") == accepted
    sent = server.count("PATCH")
    bmc.set_indicator(IndicatorLED.BLINKING)
    assert server.count("PATCH") == sent + 1, "the form that was taken is remembered"


@pytest.mark.parametrize("accepted", ['"a"', "*"])
def test_a_bmc_that_wants_an_etag_is_given_one(bmc: Bmc, server: RedfishServer, accepted: str) -> None:
    """F28b, ansible/ansible#56150: 428 for a PATCH without If-Match; some show no ETag at all."""
    lines = [f"ETag: {accepted}"] if accepted != "*" else []
    server.misbehave("GET", SYSTEM, reply(200, system(), *lines), times=None)
    server.misbehave(
        "PATCH",
        SYSTEM,
        lambda request: reply(204 if request.headers.get("if-match") == accepted else 428, extended("If-Match")),
        times=None,
    )
    bmc.set_indicator(IndicatorLED.LIT)
    assert server.seen("PATCH")[-1].headers.get("if-match") == accepted


def test_a_412_now_and_then_does_not_cost_the_etag(bmc: Bmc, server: RedfishServer) -> None:
    """It is what an ETag is for: somebody else wrote in between."""
    server.misbehave("GET", SYSTEM, reply(200, system(), 'ETag: W/"1"'), times=None)
    for _ in range(4):
        server.misbehave("PATCH", SYSTEM, reply(412))
        with pytest.raises(Busy):
            bmc.set_indicator(IndicatorLED.LIT)
        bmc.set_indicator(IndicatorLED.LIT)
    assert {one.headers.get("if-match") for one in server.seen("PATCH")} == {'W/"1"', '"1"'}


@pytest.mark.parametrize(
    ("status", "to"), [(301, f"{RESET}/done"), (302, f"{RESET}/done"), (302, f"{RESET}/"), (301, RESET)]
)
def test_a_reset_does_not_follow_a_redirect_that_may_have_done_it(
    bmc: Bmc, server: RedfishServer, status: int, to: str
) -> None:
    """Only 307 and 308 ask for the same request again (RFC 9110 15.4)."""
    server.misbehave("POST", RESET, reply(status, None, f"Location: {to}"), times=None)
    with pytest.raises(Rejected, match="redirects"):
        bmc.reset(ResetType.FORCE_OFF)
    assert [one.path for one in server.seen("POST") if one.path.startswith(RESET)] == [RESET]


@pytest.mark.parametrize("status", [301, 308])
def test_a_write_follows_a_redirect_to_the_same_path_with_a_slash(bmc: Bmc, server: RedfishServer, status: int) -> None:
    """PegaProx/project-pegaprox#609: Lenovo IMM2 moves every path without a slash at its end, for all methods."""
    server.misbehave("POST", RESET, reply(status, None, f"Location: {server.address}{RESET}/"), times=None)
    bmc.reset(ResetType.FORCE_OFF)
    assert [one.path for one in server.seen("POST") if one.path.startswith(RESET)] == [RESET, f"{RESET}/"]


def test_a_reset_never_carries_an_etag(bmc: Bmc, server: RedfishServer) -> None:
    """F32."""
    server.misbehave("GET", SYSTEM, reply(200, system(), 'ETag: "a"'), times=None)
    bmc.reset(ResetType.ON)
    assert "if-match" not in server.seen("POST", RESET)[0].headers


@pytest.mark.parametrize(
    ("fields", "write"),
    [
        pytest.param({}, lambda bmc: bmc.reset(ResetType.NMI), id="a reset type that is not listed"),
        pytest.param({"Actions": {}}, lambda bmc: bmc.reset(ResetType.ON), id="no Reset action"),
        pytest.param({"Boot": ...}, lambda bmc: bmc.set_boot(PXE_ONCE), id="no Boot section, F22"),
        pytest.param({}, lambda bmc: bmc.set_boot(BootOverride(BootTarget.USB, BootEnabled.ONCE)), id="no such target"),
        pytest.param({"IndicatorLED": ...}, lambda bmc: bmc.set_indicator(IndicatorLED.LIT), id="no LED"),
        pytest.param(
            {"IndicatorLED": ..., "LocationIndicatorActive": False},
            lambda bmc: bmc.set_indicator(IndicatorLED.BLINKING),
            id="an LED that cannot blink",
        ),
    ],
)
def test_what_a_bmc_does_not_offer_is_unsupported_and_not_sent(
    driver: RedfishDriver, pki: Pki, fields: dict[str, object], write: Any
) -> None:
    with RedfishServer(pki.context, service(**fields)) as server:
        with pytest.raises(Unsupported):
            write(driver.open(endpoint(server, pki.tls)))
        assert (server.count("POST", RESET), server.count("PATCH")) == (0, 0)


@pytest.mark.parametrize(("led", "active"), [(IndicatorLED.LIT, True), (IndicatorLED.OFF, False)])
def test_a_location_indicator_takes_the_place_of_the_led(
    driver: RedfishDriver, pki: Pki, led: IndicatorLED, active: bool
) -> None:
    with RedfishServer(pki.context, service(IndicatorLED=..., LocationIndicatorActive=False)) as server:
        driver.open(endpoint(server, pki.tls)).set_indicator(led)
        assert [one.json() for one in server.seen("PATCH", SYSTEM)] == [{"LocationIndicatorActive": active}]


def test_boot_is_written_to_the_settings_resource_where_it_is_kept_there(driver: RedfishDriver, pki: Pki) -> None:
    """F21."""
    settings = f"{SYSTEM}/Settings"
    documents = service(**{"@Redfish.Settings": {"SettingsObject": {"@odata.id": settings}}})
    documents[settings] = {"Boot": {"BootSourceOverrideTarget": "None", "BootSourceOverrideEnabled": "Disabled"}}
    with RedfishServer(pki.context, documents) as server:
        driver.open(endpoint(server, pki.tls)).set_boot(PXE_ONCE)
        assert [one.path for one in server.seen("PATCH")] == [settings]


def test_boot_is_written_to_the_system_where_its_settings_have_no_boot(driver: RedfishDriver, pki: Pki) -> None:
    """F21, the other kind."""
    settings = f"{SYSTEM}/Settings"
    documents = service(**{"@Redfish.Settings": {"SettingsObject": {"@odata.id": settings}}})
    documents[settings] = {"AssetTag": "A1"}
    with RedfishServer(pki.context, documents) as server:
        driver.open(endpoint(server, pki.tls)).set_boot(PXE_ONCE)
        assert [one.path for one in server.seen("PATCH")] == [SYSTEM]


SETTINGS = f"{SYSTEM}/SD"
FUTURE = extended(f"Support of this Operation for Boot Properties is moved to FutureState URI({SETTINGS})")


def with_settings(**boot: object) -> dict[str, Any]:
    """A service whose system has a Settings resource."""
    documents: dict[str, Any] = service(**{"@Redfish.Settings": {"SettingsObject": {"@odata.id": SETTINGS}}})
    documents[SETTINGS] = {"@odata.id": SETTINGS, "Boot": {**system()["Boot"], **boot}}
    return documents


def test_a_boot_property_that_a_refusal_misses_is_sent_as_it_was_read(bmc: Bmc, server: RedfishServer) -> None:
    """ansible-collections/community.general#11542."""
    wants_mode = reply(
        400, extended("The property BootSourceOverrideMode is a required property and must be included.")
    )
    server.misbehave("PATCH", SYSTEM, wants_mode)
    bmc.set_boot(PXE_ONCE)
    assert [one.json()["Boot"].get("BootSourceOverrideMode") for one in server.seen("PATCH")] == [None, "UEFI"]


MODE = "BootSourceOverrideMode"


@pytest.mark.parametrize(
    "error",
    [
        {
            "MessageId": "Base.1.8.PropertyMissing",
            "Message": "The property is needed",
            "RelatedProperties": [f"#/Boot/{MODE}"],
        },
        {"MessageId": "Base.1.8.PropertyMissing", "Message": "The property %1 is needed", "MessageArgs": [MODE]},
        {"MessageID": "iLO.0.10.PropertyMissing", "MessageArgs": [MODE]},
        {"MessageId": "Base.1.8.PropertyMissing", "Message": "A property is needed", "MessageArgs": [f"Boot/{MODE}"]},
        {"MessageId": "Base.1.8.PropertyMissing", "RelatedProperties": f"/Boot/{MODE}"},
        {"Message": f"{MODE.lower()} is needed"},
    ],
    ids=["related", "in the arguments", "without a message, iLO 4", "no place for it", "no list", "in other letters"],
)
@pytest.mark.parametrize("bare", [True, False])
@pytest.mark.parametrize("status", [400, 422])
def test_a_missing_boot_property_is_found_wherever_the_refusal_names_it(
    bmc: Bmc, server: RedfishServer, error: dict[str, Any], bare: bool, status: int
) -> None:
    info = {"@Message.ExtendedInfo": [error]}
    server.misbehave("PATCH", SYSTEM, reply(status, info if bare else {"error": info}))
    bmc.set_boot(PXE_ONCE)
    assert [one.json()["Boot"].get(MODE) for one in server.seen("PATCH")] == [None, "UEFI"]


@pytest.mark.parametrize("name", ["HttpBootUri", "BootOrderPropertySelection", "UefiTargetBootSourceOverride"])
@pytest.mark.parametrize("value", ["Some", None])
def test_any_boot_property_that_a_refusal_misses_is_sent_as_it_was_read(
    driver: RedfishDriver, pki: Pki, name: str, value: str | None
) -> None:
    def answer(request: Request) -> Answer:
        is_whole = request.json()["Boot"].get(name, ...) == value
        return reply(204) if is_whole else reply(400, extended(f"{name} is needed"))

    with RedfishServer(pki.context, service(Boot={**system()["Boot"], name: value, f"{name}s": "Other"})) as server:
        server.misbehave("PATCH", SYSTEM, answer, times=None)
        driver.open(endpoint(server, pki.tls)).set_boot(PXE_ONCE)
        assert f"{name}s" not in server.seen("PATCH")[-1].json()["Boot"]


def test_an_override_is_sent_to_the_settings_that_the_id_of_a_refusal_means(driver: RedfishDriver, pki: Pki) -> None:
    """DMTF/Redfish-Tacklebox#144: the words need not name it."""
    moved = extended("This is not supported here", "Ami.1.0.OperationSupportedInFutureStateURI")
    documents = with_settings()
    documents[SETTINGS] = {"@odata.id": SETTINGS}
    with RedfishServer(pki.context, documents) as server:
        server.misbehave("PATCH", SYSTEM, reply(400, moved), times=None)
        driver.open(endpoint(server, pki.tls)).set_boot(PXE_ONCE)
        assert [one.path for one in server.seen("PATCH")] == [SYSTEM, SETTINGS]


def test_an_override_that_is_switched_off_keeps_the_target_where_none_is_refused(
    driver: RedfishDriver, pki: Pki
) -> None:
    """ironcore-dev/metal-operator#998: iLO wants a real target."""
    boot = {**system()["Boot"], "BootSourceOverrideEnabled": "Continuous", "BootSourceOverrideTarget": "Pxe"}
    with RedfishServer(pki.context, service(Boot=boot)) as server:
        words = "BootSourceOverrideEnabled cannot be set while BootSourceOverrideTarget is None"
        server.misbehave("PATCH", SYSTEM, reply(400, extended(words)))
        driver.open(endpoint(server, pki.tls)).set_boot(BootOverride(BootTarget.NONE, BootEnabled.DISABLED))
        targets = [one.json()["Boot"]["BootSourceOverrideTarget"] for one in server.seen("PATCH")]
        assert targets == ["None", "Pxe"]


def test_a_target_that_was_asked_for_is_never_replaced_by_what_is_there(bmc: Bmc, server: RedfishServer) -> None:
    server.misbehave("PATCH", SYSTEM, reply(400, extended("BootSourceOverrideTarget Pxe is not possible")), times=None)
    with pytest.raises(Rejected):
        bmc.set_boot(PXE_ONCE)
    assert server.count("PATCH") == 1


def test_a_refusal_that_names_nothing_is_not_sent_again(bmc: Bmc, server: RedfishServer) -> None:
    server.misbehave("PATCH", SYSTEM, reply(400, extended("No")), times=None)
    with pytest.raises(Rejected):
        bmc.set_boot(PXE_ONCE)
    assert server.count("PATCH") == 1


@pytest.mark.parametrize("moved", [True, False], ids=["the system refuses", "the system takes it"])
def test_a_settings_resource_that_cannot_be_read_keeps_no_override_from_being_sent(
    driver: RedfishDriver, pki: Pki, moved: bool
) -> None:
    """DMTF/Redfish-Tacklebox#55, #111: AMI's Settings resource takes PATCH, and GET fails."""
    with RedfishServer(pki.context, with_settings()) as server:
        server.misbehave("GET", SETTINGS, reply(404, extended("Not found")), times=None)
        if moved:
            server.misbehave("PATCH", SYSTEM, reply(400, FUTURE), times=None)
        driver.open(endpoint(server, pki.tls)).set_boot(PXE_ONCE)
        assert [one.path for one in server.seen("PATCH")] == ([SYSTEM, SETTINGS] if moved else [SYSTEM])


@pytest.mark.parametrize("status", [404, 403, 500, 503])
def test_a_settings_resource_that_cannot_be_read_stops_no_look(driver: RedfishDriver, pki: Pki, status: int) -> None:
    documents = with_settings()
    documents[SYSTEM] = {**documents[SYSTEM], "Boot": {"BootSourceOverrideMode": "UEFI"}}
    with RedfishServer(pki.context, documents) as server:
        server.misbehave("GET", SETTINGS, reply(status, extended("No")), times=None)
        assert driver.open(endpoint(server, pki.tls)).read().power == "On"


def test_an_override_that_shows_in_the_settings_alone_counts_as_given(driver: RedfishDriver, pki: Pki) -> None:
    """DMTF/Redfish-Tacklebox#127: AMI shows the override at the system only after the next boot."""
    with RedfishServer(pki.context, with_settings()) as server:

        def take(request: Request) -> Answer:
            boot = {**server.documents[SETTINGS]["Boot"], **request.json()["Boot"]}
            server.documents[SETTINGS] = {**server.documents[SETTINGS], "Boot": boot}
            return reply(204)

        server.misbehave("PATCH", SETTINGS, take, times=None)
        bmc = driver.open(endpoint(server, pki.tls))
        bmc.set_boot(PXE_ONCE)
        pending = BootOverride(BootTarget.PXE, BootEnabled.ONCE, BootMode.UEFI)
        assert bmc.read().boot == pending
        another_process = RedfishDriver()
        assert another_process.open(endpoint(server, pki.tls)).read().boot == pending
        another_process.close()
        server.documents[SETTINGS] = with_settings()[SETTINGS]
        assert bmc.read().boot == BootOverride(BootTarget.NONE, BootEnabled.DISABLED, BootMode.UEFI)
        asked = server.count("GET", SETTINGS)
        bmc.read()
        assert server.count("GET", SETTINGS) == asked, "a steady look is one request"


@pytest.mark.parametrize("status", [404, 405, 500])
def test_an_override_that_a_settings_resource_took_unseen_counts_until_the_boot(
    driver: RedfishDriver, pki: Pki, status: int
) -> None:
    """DMTF/Redfish-Tacklebox#55 and #127 in one: it takes PATCH, GET fails, and the system shows nothing of it."""
    documents = with_settings()
    documents[SYSTEM] = {**documents[SYSTEM], "PowerState": "Off"}
    with RedfishServer(pki.context, documents) as server:
        server.misbehave("GET", SETTINGS, reply(status, extended("No")), times=None)
        server.misbehave("PATCH", SYSTEM, reply(400, FUTURE), times=None)
        bmc = driver.open(endpoint(server, pki.tls))
        assert bmc.read().boot != PXE_ONCE
        bmc.set_boot(PXE_ONCE)
        for _ in range(2):
            boot = bmc.read().boot
            assert boot is not None
            assert (boot.target, boot.enabled) == (PXE_ONCE.target, PXE_ONCE.enabled)
        server.documents[SYSTEM] = {**documents[SYSTEM], "PowerState": "On"}
        boot = bmc.read().boot
        assert boot is not None
        assert boot.enabled is BootEnabled.DISABLED
