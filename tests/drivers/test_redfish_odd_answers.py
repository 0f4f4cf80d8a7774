"""Odd answers to reads and writes: what is an error and what is none, and what a refusal asks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from drivers.base import (
    ACCEPTED,
    Bmc,
    BootEnabled,
    BootOverride,
    BootTarget,
    Busy,
    PowerState,
    Rejected,
    ResetType,
    Unreachable,
)
from drivers.base.support import scheduling
from drivers.bmc.redfish.redfish import RedfishDriver
from tests.drivers.bmc_servers import (
    RESET,
    ROOT,
    SYSTEM,
    Answer,
    Behaviour,
    Pki,
    RedfishServer,
    endpoint,
    extended,
    reply,
    service,
    system,
)

ONCE = BootOverride(BootTarget.PXE, BootEnabled.ONCE)
DISABLED = BootOverride(BootTarget.NONE, BootEnabled.DISABLED)
MODE = "BootSourceOverrideMode"
WHOLE = {"BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once", MODE: "UEFI"}


def said(**message: object) -> dict[str, Any]:
    """An error body with one message."""
    return {"error": {"code": "Base.1.8.GeneralError", "message": "See", "@Message.ExtendedInfo": [message]}}


def unless(name: str, answer: Answer) -> Behaviour:
    """Refuses a boot PATCH without the property."""
    return lambda request: reply(204) if name in request.json()["Boot"] else answer


MISSING: dict[str, Answer] = {
    "an argument of the message": reply(
        400, said(MessageId="Base.1.8.PropertyMissing", Message="The property %1 is required.", MessageArgs=[MODE])
    ),
    "an argument without a message": reply(400, said(MessageId="Base.1.8.PropertyMissing", MessageArgs=[MODE])),
    "a related property": reply(
        400, said(MessageId="Base.1.8.PropertyMissing", Message="Missing.", RelatedProperties=[f"#/Boot/{MODE}"])
    ),
    "the advice": reply(400, said(MessageId="Base.1.8.GeneralError", Message="Bad.", Resolution=f"Include {MODE}.")),
    "a message at the property": reply(
        400, {"Boot": {f"{MODE}@Message.ExtendedInfo": [{"MessageId": "Base.1.8.PropertyMissing"}]}}
    ),
    "a message at the property, not nested": reply(
        400, {f"{MODE}@Message.ExtendedInfo": [{"MessageId": "Base.1.8.PropertyMissing", "Message": "Required"}]}
    ),
    "422": reply(422, extended(f"The property {MODE} is required")),
    "409": reply(409, extended(f"The property {MODE} is required")),
    "nothing is said": reply(400),
}


@pytest.mark.parametrize("how", MISSING)
def test_a_property_that_a_bmc_misses_is_sent_as_it_reads_however_the_bmc_names_it(
    bmc: Bmc, server: RedfishServer, how: str
) -> None:
    """ansible-collections/community.general#11542; Ironic's note redfish-full-boot-payload-asrockrack says nothing."""
    server.misbehave("PATCH", SYSTEM, unless(MODE, MISSING[how]), times=None)
    bmc.set_boot(ONCE)
    first, second = server.seen("PATCH", SYSTEM)
    assert MODE not in first.json()["Boot"]
    assert second.json() == {"Boot": WHOLE}


def test_a_refusal_without_a_word_is_answered_once(bmc: Bmc, server: RedfishServer) -> None:
    server.misbehave("PATCH", SYSTEM, reply(400), times=None)
    with pytest.raises(Rejected):
        bmc.set_boot(ONCE)
    assert server.count("PATCH", SYSTEM) == 2


def test_a_property_that_the_bmc_wants_and_does_not_report_is_named_with_its_field(
    driver: RedfishDriver, pki: Pki
) -> None:
    boot = {"BootSourceOverrideEnabled": "Disabled", "BootSourceOverrideTarget": "None"}
    with RedfishServer(pki.context, service(Boot=boot)) as server:
        server.misbehave("PATCH", SYSTEM, unless(MODE, MISSING["422"]), times=None)
        with pytest.raises(Rejected, match=r"does not report BootSourceOverrideMode, so set spec\.boot\.mode"):
            driver.open(endpoint(server, pki.tls)).set_boot(ONCE)
        assert server.count("PATCH", SYSTEM) == 1


def test_a_write_that_was_answered_200_with_a_critical_error_was_refused(bmc: Bmc, server: RedfishServer) -> None:
    """openbmc/bmcweb#89: the success and an internal error in one answer."""
    both = {"@Message.ExtendedInfo": [{"MessageId": "Base.1.4.0.Success"}], **extended("An internal error occurred.")}
    server.misbehave("PATCH", SYSTEM, reply(200, both))
    with pytest.raises(Rejected, match="HTTP 200 and an error: An internal error occurred"):
        bmc.set_boot(ONCE)
    server.misbehave("POST", RESET, reply(200, extended("The BMC is in lockdown mode.")))
    with pytest.raises(Rejected, match="lockdown"):
        bmc.reset(ResetType.ON)
    assert (server.count("PATCH", SYSTEM), server.count("POST", RESET)) == (1, 1)


@pytest.mark.parametrize("place", ["Boot", "", "error"], ids=["at the property", "of the request", "in an error"])
def test_a_write_that_left_a_property_as_it_was_was_refused_in_the_words_of_the_bmc(
    bmc: Bmc, server: RedfishServer, place: str
) -> None:
    """DSP0266, "PATCH (update)": a PATCH that is carried out in part is answered with 200 and messages."""
    entry = {"MessageId": "Base.1.8.PropertyNotWritable", "Message": "Boot is read only.", "Severity": "Warning"}
    listed = {f"{'' if place == 'error' else place}@Message.ExtendedInfo": [entry]}
    server.misbehave("PATCH", SYSTEM, reply(200, {"error": listed} if place == "error" else listed))
    with pytest.raises(Rejected, match="Boot is read only"):
        bmc.set_boot(ONCE)
    assert server.count("PATCH", SYSTEM) == 1


@pytest.mark.parametrize(
    "answer",
    [
        said(MessageId="Base.1.4.Success"),
        said(MessageId="iLO.2.14.SystemResetRequired", Severity="Warning"),
        {"@Message.ExtendedInfo": [{"MessageId": "Base.1.8.Success", "Severity": "OK"}]},
    ],
    ids=["iLO", "iLO, with a warning", "beside no error"],
)
def test_a_write_that_is_answered_with_messages_of_success_was_accepted(
    bmc: Bmc, server: RedfishServer, answer: object
) -> None:
    server.misbehave("PATCH", SYSTEM, reply(200, answer))
    assert bmc.set_boot(ONCE) == ACCEPTED


NO_SYSTEM = {
    "an error with a type": {"@odata.type": "#Message.v1_0_0.Message", "error": {"message": "Internal error"}},
    "a list of errors": {"error": [{"code": "Base.1.8.InternalError"}]},
    "an error as text": {"error": "oops"},
    "messages alone": {"@Message.ExtendedInfo": [{"MessageId": "Base.1.8.InternalError", "Message": "Oops"}]},
    "an empty object": {},
    "another resource": {"@odata.id": f"{ROOT}/Systems", "@odata.type": "#ComputerSystemCollection.C", "Members": []},
}


@pytest.mark.parametrize("what", NO_SYSTEM)
def test_what_is_no_system_is_an_error_and_no_system_without_parts(bmc: Bmc, server: RedfishServer, what: str) -> None:
    """ibm-openbmc/bmcweb#246: else its parts would count as absent, and a field as one to remove."""
    server.misbehave("GET", SYSTEM, reply(200, NO_SYSTEM[what]))
    with pytest.raises(Unreachable):
        bmc.read()
    assert bmc.read().power is PowerState.ON


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the answer is empty"),
        (b"<!DOCTYPE html><html>", "a web page, and not JSON"),
        (b'{"PowerState": "On",}', "not JSON"),
        (b'{"error": {}}\n{"PowerState": "On"}', "not JSON: Extra data"),
    ],
)
def test_an_answer_that_is_no_json_is_named_in_words(bmc: Bmc, server: RedfishServer, body: bytes, words: str) -> None:
    """bb-Ricardo/check_redfish#127 (Lenovo SR645 V3: a page), #151 (two documents)."""
    server.misbehave("GET", SYSTEM, reply(200, body), times=None)
    with pytest.raises(Unreachable, match=words) as raised:
        bmc.read()
    assert "JSONDecodeError" not in str(raised.value)


def test_an_answer_that_ends_with_null_bytes_is_read(bmc: Bmc, server: RedfishServer) -> None:
    body = bytes(reply(200, system()).chunks[0]).partition(b"\r\n\r\n")[2]  # type: ignore[index]
    server.misbehave("GET", SYSTEM, reply(200, body + b"\0\0"))
    assert bmc.read().power is PowerState.ON


@pytest.mark.parametrize("system_id", [None, "Self"])
@pytest.mark.parametrize(
    "systems",
    [{"Members": []}, {"Members": [], "Members@odata.count": 0}, {"Members": [], "Members@odata.count": 1}],
    ids=["empty", "with a count", "shorter than its count"],
)
def test_a_bmc_that_lists_no_system_yet_is_waited_for(
    driver: RedfishDriver, pki: Pki, systems: dict[str, Any], system_id: str | None
) -> None:
    """A BMC that starts knows its systems late (compare openbmc/bmcweb#99); nothing is wrong with the document."""
    with RedfishServer(pki.context, {**service(), f"{ROOT}/Systems": systems}) as server:
        with pytest.raises(Unreachable) as raised:
            driver.open(endpoint(server, pki.tls, system_id)).read()
        assert "bmc.systemId" not in str(raised.value)


def test_a_list_that_is_shorter_than_its_count_hides_no_system(driver: RedfishDriver, pki: Pki) -> None:
    """The other one may be the machine: it is not for certain that there is exactly one."""
    systems = {"Members": [{"@odata.id": SYSTEM}], "Members@odata.count": 2}
    with RedfishServer(pki.context, {**service(), f"{ROOT}/Systems": systems}) as server:
        assert driver.open(endpoint(server, pki.tls, "1")).read().power is PowerState.ON
        with pytest.raises(Unreachable, match="1 of 2 systems"):
            driver.open(endpoint(server, pki.tls)).read()
        with pytest.raises(Unreachable, match="1 of 2 systems"):
            driver.open(endpoint(server, pki.tls, "DPU")).read()


@pytest.mark.parametrize("values", ["On", ["on", "off"], [None, 3]], ids=repr)
def test_resets_that_action_info_lists_oddly_are_unknown(driver: RedfishDriver, pki: Pki, values: object) -> None:
    info = f"{SYSTEM}/ResetActionInfo"
    actions = {"#ComputerSystem.Reset": {"target": RESET, "@Redfish.ActionInfo": info}}
    documents = {**service(Actions=actions), info: {"Parameters": [{"Name": "ResetType", "AllowableValues": values}]}}
    with RedfishServer(pki.context, documents) as server:
        bmc = driver.open(endpoint(server, pki.tls))
        assert bmc.read().allowed_resets is None
        bmc.reset(ResetType.ON)
        assert server.count("POST", RESET) == 1


def test_settings_that_hang_are_asked_for_seldom(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look would take half a minute, during which the BMC serves nobody else."""
    settings = f"{SYSTEM}/SD"
    changes = {"@Redfish.Settings": {"SettingsObject": {"@odata.id": settings}}, "Boot": {}}
    driver = RedfishDriver(seconds=0.5)
    with RedfishServer(pki.context, service(**changes)) as server:

        def silent() -> Iterator[bytes]:
            server.ended.wait(5.0)
            yield b""

        server.misbehave("GET", settings, lambda _: Answer(silent(), close=True), times=None)
        bmc = driver.open(endpoint(server, pki.tls))
        for _ in range(3):
            state = bmc.read()
            assert (state.power, state.boot, state.unreported) == (PowerState.ON, None, ("boot",))
        assert server.count("GET", settings) == 1
        start = scheduling.monotonic()
        monkeypatch.setattr(scheduling, "monotonic", lambda: start + 301.0)
        bmc.read()
        assert server.count("GET", settings) == 2
        driver.close()


def test_a_busy_answer_to_a_boot_override_is_still_busy(bmc: Bmc, server: RedfishServer) -> None:
    server.misbehave("PATCH", SYSTEM, reply(503, extended("Busy"), "Retry-After: 7"), times=None)
    with pytest.raises(Busy) as raised:
        bmc.set_boot(DISABLED)
    assert raised.value.retry_after == 7.0
    assert server.count("PATCH", SYSTEM) == 1
