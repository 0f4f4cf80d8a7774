"""What a system's document says becomes a SystemState, each part if it makes sense; an odd part hides no other."""

from __future__ import annotations

import pytest

from drivers.base import (
    BootEnabled,
    BootMode,
    BootOverride,
    BootTarget,
    IndicatorLED,
    Power,
    PowerState,
    Rejected,
    ResetType,
    SystemState,
    Unreachable,
    Unsupported,
)
from drivers.bmc.redfish.redfish import RedfishDriver
from tests.drivers.bmc_servers import (
    RESET,
    ROOT,
    SESSIONS,
    SYSTEM,
    Answer,
    Document,
    Pki,
    RedfishServer,
    endpoint,
    reply,
    service,
    system,
)

SETTINGS = {"@Redfish.Settings": {"SettingsObject": {"@odata.id": f"{SYSTEM}/Settings"}}}
BOOT = {"BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once", "BootSourceOverrideMode": "UEFI"}
PXE_ONCE = BootOverride(BootTarget.PXE, BootEnabled.ONCE, BootMode.UEFI)


def read(driver: RedfishDriver, pki: Pki, **fields: object) -> SystemState:
    with RedfishServer(pki.context, service(**fields)) as server:
        return driver.open(endpoint(server, pki.tls)).read()


def test_a_whole_document_is_read_whole(driver: RedfishDriver, pki: Pki) -> None:
    assert read(driver, pki, SKU="7-1") == SystemState(
        power=PowerState.ON,
        boot=BootOverride(BootTarget.NONE, BootEnabled.DISABLED, BootMode.UEFI),
        indicator=IndicatorLED.OFF,
        health="OK",
        uuid="38947555-7742-3448-3784-823347823834",
        serial="437XR1138R2",
        sku="7-1",
        manufacturer="Contoso",
        model="3500RX",
        allowed_resets=(ResetType.ON, ResetType.FORCE_OFF, ResetType.GRACEFUL_SHUTDOWN, ResetType.FORCE_RESTART),
        allowed_boot_targets=(BootTarget.NONE, BootTarget.PXE, BootTarget.HDD, BootTarget.CD),
    )


@pytest.mark.parametrize(
    ("listed", "allowed"),
    [
        (["Once", "Disabled"], (BootEnabled.ONCE, BootEnabled.DISABLED)),
        (["Once", "Sometimes", 7], (BootEnabled.ONCE,)),
        (["Sometimes"], None),
        ([], None),
        ("Once", None),
        (None, None),
    ],
)
def test_how_long_an_override_may_last_is_read(
    driver: RedfishDriver, pki: Pki, listed: object, allowed: tuple[BootEnabled, ...] | None
) -> None:
    boot = {"BootSourceOverrideTarget": "None", "BootSourceOverrideEnabled@Redfish.AllowableValues": listed}
    assert read(driver, pki, Boot=boot).allowed_boot_enabled == allowed


def test_an_almost_empty_document_is_read(driver: RedfishDriver, pki: Pki) -> None:
    with RedfishServer(pki.context, {**service(), SYSTEM: {"Id": "1"}}) as server:
        assert driver.open(endpoint(server, pki.tls)).read() == SystemState(allowed_resets=())


@pytest.mark.parametrize("power", ["Starting", None, "", 1, True, ["On"], {}, "offline", ...], ids=repr)
def test_a_power_state_that_is_none_is_unknown_never_off(driver: RedfishDriver, pki: Pki, power: object) -> None:
    """F10."""
    state = read(driver, pki, PowerState=power)
    assert (state.power, state.serial) == (None, "437XR1138R2")


@pytest.mark.parametrize("power", list(PowerState))
def test_every_power_state_of_redfish_is_known(driver: RedfishDriver, pki: Pki, power: PowerState) -> None:
    assert read(driver, pki, PowerState=power.value).power is power


FIELDS = ["IndicatorLED", "Status", "UUID", "SerialNumber", "SKU", "Manufacturer", "Model", "Boot", "Actions"]
UNREAD = ["Name", "Id", "Links", "Oem", "MemorySummary", "ProcessorSummary", "BootProgress", "@Redfish.Settings"]


@pytest.mark.parametrize("odd", [None, 1, 6.5, True, "", [], {}, [1], {"a": [None]}, "N/A"], ids=repr)
@pytest.mark.parametrize("field", [*FIELDS, *UNREAD, "@Redfish.MaintenanceWindow", "@odata.etag"])
def test_an_odd_type_hides_its_own_part_only(
    driver: RedfishDriver, server: RedfishServer, pki: Pki, field: str, odd: object
) -> None:
    """F45."""
    server.misbehave("GET", SYSTEM, reply(200, system(**{field: odd})), times=None)
    state = driver.open(endpoint(server, pki.tls)).read()
    assert state.power is PowerState.ON
    assert state.serial == (None if field == "SerialNumber" else "437XR1138R2")


@pytest.mark.parametrize("value", ["Not Available", "N/A", "", "   ", "To be filled by O.E.M.", "........", 5])
def test_a_placeholder_is_no_serial_number(driver: RedfishDriver, pki: Pki, value: object) -> None:
    """F58."""
    assert read(driver, pki, SerialNumber=value).serial is None


@pytest.mark.parametrize(
    ("boot", "read_as"),
    [
        pytest.param(BOOT, PXE_ONCE, id="whole"),
        pytest.param(
            {**BOOT, "BootSourceOverrideMode": ...}, BootOverride(BootTarget.PXE, BootEnabled.ONCE), id="no mode"
        ),
        pytest.param(
            {**BOOT, "BootSourceOverrideTarget": "Tape"},
            BootOverride(None, BootEnabled.ONCE, BootMode.UEFI),
            id="an unknown target",
        ),
        pytest.param({"BootOrder": ["Boot0001"]}, None, id="nothing to override"),
        pytest.param({}, None, id="empty"),
        pytest.param(None, None, id="null"),
        pytest.param(..., None, id="absent, F22"),
    ],
)
def test_a_boot_override_is_read_as_far_as_it_goes(
    driver: RedfishDriver, pki: Pki, boot: object, read_as: BootOverride | None
) -> None:
    if isinstance(boot, dict):
        boot = {name: value for name, value in boot.items() if value is not ...}
    assert read(driver, pki, Boot=boot).boot == read_as


def test_what_the_system_leaves_out_of_boot_is_read_from_its_settings(driver: RedfishDriver, pki: Pki) -> None:
    """F21."""
    documents = {**service(Boot={"BootOrder": []}, **SETTINGS), f"{SYSTEM}/Settings": {"Boot": BOOT}}
    with RedfishServer(pki.context, documents) as server:
        assert driver.open(endpoint(server, pki.tls)).read().boot == PXE_ONCE


@pytest.mark.parametrize("boot", [..., None, {}, dict.fromkeys(BOOT)])
def test_a_boot_override_that_only_the_settings_show_is_read_there(
    driver: RedfishDriver, pki: Pki, boot: object
) -> None:
    documents = {**service(Boot=boot, **SETTINGS), f"{SYSTEM}/Settings": {"Id": "S", "Boot": BOOT}}
    with RedfishServer(pki.context, documents) as server:
        state = driver.open(endpoint(server, pki.tls)).read()
    assert (state.boot, state.unreported) == (PXE_ONCE, ())


@pytest.mark.parametrize(
    ("boot", "answer", "unreported"),
    [
        (..., reply(500), ("boot",)),
        ({}, reply(503), ("boot",)),
        (..., reply(404), ()),
        (dict.fromkeys(BOOT), reply(404), ("boot",)),
    ],
)
def test_a_boot_override_that_cannot_be_read_is_unknown_and_not_absent(
    driver: RedfishDriver, pki: Pki, boot: object, answer: Answer, unreported: tuple[str, ...]
) -> None:
    with RedfishServer(pki.context, service(Boot=boot, **SETTINGS)) as server:
        server.misbehave("GET", f"{SYSTEM}/Settings", answer, times=None)
        state = driver.open(endpoint(server, pki.tls)).read()
    assert (state.boot, state.unreported) == (None, unreported)


def test_settings_are_not_read_where_the_system_says_it_all(driver: RedfishDriver, pki: Pki) -> None:
    with RedfishServer(pki.context, service(Boot=BOOT, **SETTINGS)) as server:
        assert driver.open(endpoint(server, pki.tls)).read().boot == PXE_ONCE
        assert server.count("GET", f"{SYSTEM}/Settings") == 0


@pytest.mark.parametrize(
    ("fields", "led"),
    [
        ({"IndicatorLED": "Blinking"}, IndicatorLED.BLINKING),
        ({"IndicatorLED": "Unknown"}, None),
        ({"IndicatorLED": None, "LocationIndicatorActive": True}, IndicatorLED.LIT),
        ({"IndicatorLED": ..., "LocationIndicatorActive": False}, IndicatorLED.OFF),
        ({"IndicatorLED": ..., "LocationIndicatorActive": None}, None),
        ({"IndicatorLED": "Lit", "LocationIndicatorActive": False}, IndicatorLED.LIT),
    ],
)
def test_the_led_is_read_in_its_old_and_its_new_form(
    driver: RedfishDriver, pki: Pki, fields: dict[str, object], led: IndicatorLED | None
) -> None:
    assert read(driver, pki, **fields).indicator is led


INFO = f"{SYSTEM}/ResetActionInfo"


def by_info(parameters: object) -> dict[str, Document]:
    action = {"target": RESET, "@Redfish.ActionInfo": INFO}
    return {**service(Actions={"#ComputerSystem.Reset": action}), INFO: {"Id": "I", "Parameters": parameters}}


def test_resets_named_in_action_info_are_read_once(driver: RedfishDriver, pki: Pki) -> None:
    documents = by_info([{"Name": "ResetType", "AllowableValues": ["On", "ForceOff", "FullPowerCycle"]}])
    with RedfishServer(pki.context, documents) as server:
        bmc = driver.open(endpoint(server, pki.tls))
        assert [bmc.read().allowed_resets for _ in range(2)] == [(ResetType.ON, ResetType.FORCE_OFF)] * 2
        assert server.count("GET", INFO) == 1


@pytest.mark.parametrize(
    "parameters", [[], None, [{"Name": "ResetType"}], [{"Name": "Other", "AllowableValues": ["On"]}]]
)
def test_action_info_without_resets_leaves_them_unknown(driver: RedfishDriver, pki: Pki, parameters: object) -> None:
    with RedfishServer(pki.context, by_info(parameters)) as server:
        state = driver.open(endpoint(server, pki.tls)).read()
    assert (state.power, state.allowed_resets) == (PowerState.ON, None)


def test_action_info_that_is_not_there_leaves_the_resets_unknown(driver: RedfishDriver, pki: Pki) -> None:
    documents = by_info([])
    del documents[INFO]
    with RedfishServer(pki.context, documents) as server:
        assert driver.open(endpoint(server, pki.tls)).read().allowed_resets is None


def test_a_system_without_a_reset_action_offers_none(driver: RedfishDriver, pki: Pki) -> None:
    assert read(driver, pki, Actions=...).allowed_resets == ()


def test_a_first_contact_is_four_requests(driver: RedfishDriver, server: RedfishServer, pki: Pki) -> None:
    driver.open(endpoint(server, pki.tls)).read()
    assert [one.path for one in server.requests] == [f"{ROOT}/", SESSIONS, f"{ROOT}/Systems", SYSTEM]


def test_a_steady_look_is_one_request(driver: RedfishDriver, server: RedfishServer, pki: Pki) -> None:
    bmc = driver.open(endpoint(server, pki.tls))
    bmc.read()
    before = len(server.requests)
    bmc.read()
    assert [one.path for one in server.requests[before:]] == [SYSTEM]


# -- several systems behind one BMC ------------------------------------------------------------------------------------


def two() -> dict[str, Document]:
    members = [{"@odata.id": f"{ROOT}/Systems/HGX"}, {"@odata.id": SYSTEM}]
    return {**service(), f"{ROOT}/Systems": {"Members": members}, f"{ROOT}/Systems/HGX": system(Id="HGX", Model="HGX")}


@pytest.mark.parametrize(("system_id", "model"), [("1", "3500RX"), ("HGX", "HGX")])
def test_a_system_is_found_by_its_id(driver: RedfishDriver, pki: Pki, system_id: str, model: str) -> None:
    """F61."""
    with RedfishServer(pki.context, two()) as server:
        assert driver.open(endpoint(server, pki.tls, system_id)).read().model == model


def test_a_system_is_found_by_an_id_that_is_not_in_its_path(driver: RedfishDriver, pki: Pki) -> None:
    with RedfishServer(pki.context, service(Id="node-7")) as server:
        assert driver.open(endpoint(server, pki.tls, "node-7")).read().serial == "437XR1138R2"


@pytest.mark.parametrize("system_id", [None, "2"])
def test_the_first_of_several_systems_is_never_guessed(driver: RedfishDriver, pki: Pki, system_id: str | None) -> None:
    with RedfishServer(pki.context, two()) as server, pytest.raises(Rejected, match="1, HGX"):
        driver.open(endpoint(server, pki.tls, system_id)).read()


def test_a_system_that_moved_is_found_again(driver: RedfishDriver, server: RedfishServer, pki: Pki) -> None:
    bmc = driver.open(endpoint(server, pki.tls))
    bmc.read()
    moved = f"{ROOT}/Systems/Self"
    server.documents[moved] = server.documents.pop(SYSTEM)
    server.documents[f"{ROOT}/Systems"] = {"Members": [{"@odata.id": moved}]}
    with pytest.raises(Rejected):
        bmc.read()
    assert bmc.read().power is PowerState.ON


def test_a_service_without_systems_says_so(driver: RedfishDriver, pki: Pki) -> None:
    documents = {**service(), f"{ROOT}/Systems": {"Members": []}}
    with RedfishServer(pki.context, documents) as server, pytest.raises(Unreachable, match="lists no system"):
        driver.open(endpoint(server, pki.tls)).read()


# -- text and URLs that cannot be --------------------------------------------------------------------------------------


def test_an_unpaired_surrogate_is_an_escape_from_the_wire_on(driver: RedfishDriver, pki: Pki) -> None:
    """Valid JSON, and refused by everything that encodes it: one such string ended the daemon."""
    state = read(driver, pki, Model="X\ud800", SerialNumber="\u202e1", UUID="a\x1b[2J")
    assert (state.model, state.serial, state.uuid) == ("X\\ud800", "\\u202e1", "a\\x1b[2J")


def test_the_ids_of_other_members_are_clean_in_messages(driver: RedfishDriver, pki: Pki) -> None:
    members = [{"@odata.id": SYSTEM}, {"@odata.id": f"{ROOT}/Systems/X\ud800\x1b[2J"}]
    with RedfishServer(pki.context, {**service(), f"{ROOT}/Systems": {"Members": members}}) as server:
        with pytest.raises(Rejected, match=r"one of: 1, X\\ud800\\x1b\[2J$") as refused:
            driver.open(endpoint(server, pki.tls)).read()
        assert str(refused.value).isprintable()
        assert driver.open(endpoint(server, pki.tls, "1")).read().power is PowerState.ON


def test_a_member_without_a_path_hides_no_other(driver: RedfishDriver, pki: Pki) -> None:
    members = [None, {"@odata.id": 7}, {"@odata.id": SYSTEM}]
    with RedfishServer(pki.context, {**service(), f"{ROOT}/Systems": {"Members": members}}) as server:
        assert driver.open(endpoint(server, pki.tls, "1")).read().power is PowerState.ON
        # It may be the machine and the other one a DPU, so which it is has to be said.
        with pytest.raises(Rejected, match=r"set bmc\.systemId"):
            driver.open(endpoint(server, pki.tls)).read()


@pytest.mark.parametrize("url", ["http://[", "http://[/x.iso", "//[::1", "http://a]b/", "\\ud800"])
def test_an_image_at_a_url_that_cannot_be_is_none_of_ours(url: str) -> None:
    assert SystemState(media=(url,)).holds("http://10.0.0.1/disc.iso") is False
    assert SystemState(media=("http://10.0.0.1/disc.iso",)).holds(url) is False


@pytest.mark.parametrize("link", ["http://[", "//[x/Systems", "http://[::1"])
def test_a_link_that_cannot_be_a_url_is_unreachable(driver: RedfishDriver, pki: Pki, link: str) -> None:
    root = {**service()[f"{ROOT}/"], "Systems": {"@odata.id": link}} if f"{ROOT}/" in service() else None
    documents = {**service(), f"{ROOT}/Systems": {"Members": [{"@odata.id": link}]}}
    if root is not None:
        documents[f"{ROOT}/"] = root
    with RedfishServer(pki.context, documents) as server, pytest.raises(Unreachable, match="URL that is not valid"):
        driver.open(endpoint(server, pki.tls)).read()


def test_an_answer_that_changed_is_read_anew(driver: RedfishDriver, pki: Pki) -> None:
    """The same answer is not read twice; one that differs in a byte is, and so is one that is partly the Settings'."""
    documents = service()
    with RedfishServer(pki.context, documents) as server:
        bmc = driver.open(endpoint(server, pki.tls))
        assert [bmc.read().power for _ in range(2)] == [PowerState.ON] * 2
        server.documents[SYSTEM] = system(PowerState="Off")
        assert [bmc.read().power for _ in range(2)] == [PowerState.OFF] * 2
        server.documents[SYSTEM] = {**system(Boot={}), **SETTINGS}
        server.documents[f"{SYSTEM}/Settings"] = {"Boot": BOOT}
        assert bmc.read().boot == PXE_ONCE
        server.documents[f"{SYSTEM}/Settings"] = {"Boot": {**BOOT, "BootSourceOverrideTarget": "Hdd"}}
        assert bmc.read().boot == BootOverride(BootTarget.HDD, BootEnabled.ONCE, BootMode.UEFI)


def test_a_reset_goes_where_the_last_look_said(driver: RedfishDriver, pki: Pki) -> None:
    """What was read just before is not read once more, and what is not listed is not sent."""
    with RedfishServer(pki.context, service()) as server:
        bmc = driver.open(endpoint(server, pki.tls))
        bmc.read()
        looks = server.count("GET", SYSTEM)
        assert isinstance(bmc, Power)
        with pytest.raises(Unsupported):
            bmc.reset(ResetType.NMI)
        bmc.reset(ResetType.FORCE_OFF)
        assert server.count("GET", SYSTEM) == looks
        bmc.reset(ResetType.ON)
        assert server.count("GET", SYSTEM) == looks + 1
        assert [one.json()["ResetType"] for one in server.seen("POST", RESET)] == ["ForceOff", "On"]
