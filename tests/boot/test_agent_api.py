"""What the agent API takes and refuses, over real HTTPS."""

from __future__ import annotations

import io
import json
import tarfile
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from reconciler.kinds.claim.spec import MachineClaimSpec
from reconciler.kinds.common.machine_facts import BootRequest, FactType
from reconciler.kinds.machine.lifecycle import cloud_init
from reconciler.model.token import TokenPurpose
from reconciler.model.values.boot_purpose import Purpose
from reconciler.services.provisioning_port import Install, PowerOffNow, Wait, Wipe, Work
from tests.boot.boot_world import MACS, ONE, ORDER, START, TWO, UUIDS, Service, registration, until

OTHER_ORDER = BootRequest("1-8", Purpose.INSTALL, START)
CLAIM = MachineClaimSpec(project="shop", partitions=("lab",), size="s", image="debian-12")
IMAGE = Install("debian-12.0.1", "http://images.example/d.img", "sha256:" + "a" * 64, {})


def test_the_boot_token_is_exchanged_for_a_session_and_the_inventory_is_kept(service: Service) -> None:
    session = service.session()
    assert service.provisioning.reported[-1] == (ONE, ORDER, FactType.REGISTERED, "1.0")
    assert service.provisioning.inventories == {ONE: {"serial": "C1", "agent": "1.0", "cpus": 2}}
    assert service.call("GET", "/agent/v1/work", session).text == "work wait\nseconds 5\n"


def replayed(service: Service) -> str:
    token = service.ticket()["gs.token"]
    assert service.register(token).status == 200
    return token


def expired(service: Service) -> str:
    token = service.ticket()["gs.token"]
    service.now += timedelta(minutes=15)
    return token


def replaced(service: Service) -> str:
    token = service.ticket()["gs.token"]
    service.ticket()
    return token


def of_another_order(service: Service) -> str:
    token = service.ticket()["gs.token"]
    service.provisioning.orders[ONE] = OTHER_ORDER
    return token


REFUSALS: dict[str, tuple[Any, dict[str, Any], int]] = {
    "no token": (lambda _: None, {}, 401),
    "empty token": (lambda _: "", {}, 401),
    "garbage": (lambda _: "gs-AAAA", {}, 401),
    "replay": (replayed, {}, 401),
    "expired": (expired, {}, 401),
    "replaced by a newer one": (replaced, {}, 401),
    "a session's": (lambda s: s.session(), {}, 401),
    "for phoning home": (lambda s: s.issue(TokenPurpose.PHONE_HOME), {}, 401),
    "another machine": (lambda s: s.ticket()["gs.token"], registration(TWO), 403),
    "UUID": (lambda s: s.ticket()["gs.token"], {"uuid": UUIDS[TWO]}, 403),
    "no UUID": (lambda s: s.ticket()["gs.token"], {"uuid": ""}, 403),
    "another MAC": (lambda s: s.ticket()["gs.token"], {"macs": ["52:54:00:99:99:99"]}, 403),
    "no MAC": (lambda s: s.ticket()["gs.token"], {"macs": []}, 403),
    "another machine's MAC beside": (lambda s: s.ticket()["gs.token"], {"macs": list(MACS.values())}, 403),
    "another order is current": (of_another_order, {}, 409),
    "another order is meant": (lambda s: s.ticket()["gs.token"], {"order": "1-8"}, 409),
    "an order of another machine": (lambda s: s.issue(machine=TWO, uuid=None, macs=()), registration(TWO), 409),
}


@pytest.mark.parametrize(("token", "changes", "status"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_is_refused_begins_no_session_and_is_told(
    service: Service, token: Any, changes: dict[str, Any], status: int
) -> None:
    shown = token(service)
    before = list(service.provisioning.reported)
    answer = service.register(shown, **changes)
    assert answer.status == status, answer
    assert "gs-" not in answer.text
    assert service.provisioning.reported == before
    assert service.provisioning.inventories.keys() <= {
        ONE for fact in service.provisioning.facts if fact is FactType.REGISTERED
    }
    assert len(service.provisioning.turned_away) == 1


def test_whoever_shows_a_bad_token_does_not_learn_whose_it_was(service: Service) -> None:
    answer = service.register(replayed(service))
    assert answer.text == "the token is used already\n"
    assert "Machine/r01-01" in service.provisioning.turned_away[0][2]


@pytest.mark.parametrize("changes", [registration(TWO), {"order": "1-8"}])
def test_a_token_that_was_shown_by_another_is_still_good_for_its_own(service: Service, changes: dict[str, Any]) -> None:
    token = service.ticket()["gs.token"]
    assert service.register(token, **changes).status in (403, 409)
    assert service.register(token).status == 200


def test_a_uuid_that_firmware_and_agent_read_the_other_way_round_is_the_same(service: Service) -> None:
    turned = "22222222-0000-0040-8000-000000000001"
    answer = service.get(f"/boot/{turned.upper()}?mac={MACS[ONE].replace(':', '-')}")
    assert "gs.token=" in answer.text
    token = answer.text.partition("gs.token=")[2].split()[0]
    assert service.register(token, uuid=UUIDS[ONE].upper(), macs=[MACS[ONE].upper()]).status == 200


def test_one_registration_of_an_order_is_in_hand_at_a_time(service: Service) -> None:
    token = service.ticket()["gs.token"]
    head = (
        f"POST /agent/v1/register HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 60000\r\n\r\n"
    )
    slow = service.secure()
    slow.connect()
    slow.sock.sendall(head.encode() + b"{")
    unread = until(lambda: service.call("POST", "/agent/v1/register", token, raw=b"{"), lambda got: got.status == 503)
    assert "another agent is registering" in unread.text
    slow.close()
    assert until(lambda: service.register(token), lambda got: got.status == 200).status == 200


def test_when_registering_fails_inside_the_agent_can_come_again(service: Service) -> None:
    token = service.ticket()["gs.token"]
    service.provisioning.broken = True
    answer = service.register(token)
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "5"
    assert "disk" not in answer.text
    service.provisioning.broken = False
    assert service.register(token).status == 200


WORK: list[tuple[Work, str]] = [
    (Wait(7), "work wait\nseconds 7\n"),
    (PowerOffNow(), "work poweroff\n"),
    (Wipe(), "work wipe\n"),
    (Wipe(("m1-1-1", "m1-1-2")), "work wipe\nknown m1-1-1\nknown m1-1-2\n"),
    (Wipe(("", "m1 x", "m1\nwork install")), "work wipe\n"),
    (
        IMAGE,
        f"work install\nimage debian-12.0.1\nurl http://images.example/d.img\nsha256 {'a' * 64}\ndisk auto\n",
    ),
    (
        replace(IMAGE, disk="S4EVNF0M", size=8 << 30),
        (
            f"work install\nimage debian-12.0.1\nurl http://images.example/d.img\nsha256 {'a' * 64}\n"
            "disk S4EVNF0M\nsize 8589934592\n"
        ),
    ),
]


@pytest.mark.parametrize(("work", "text"), WORK)
def test_work_is_lines_of_name_and_value(service: Service, work: Work, text: str) -> None:
    session = service.session()
    service.provisioning.to_do = work
    answer = service.call("GET", "/agent/v1/work", session)
    assert (answer.status, answer.text) == (200, text)


def test_an_image_that_the_service_has_is_fetched_from_there(service: Service) -> None:
    session, checksum = service.session(), service.keep(b"an image")
    service.provisioning.to_do = replace(IMAGE, url="http://elsewhere.example/a/os%201.raw?x=1", checksum=checksum)
    text = service.call("GET", "/agent/v1/work", session).text
    url = next(line.removeprefix("url ") for line in text.splitlines() if line.startswith("url "))
    assert url == f"{service.server.places.http}/files/{checksum.removeprefix('sha256:')}/os%201.raw"
    assert service.get(url.removeprefix(service.server.places.http)).body == b"an image"


def test_a_copy_that_was_changed_is_not_offered(service: Service) -> None:
    session, checksum = service.session(), service.keep(b"an image")
    (service.folder / "files" / checksum.removeprefix("sha256:")).write_bytes(b"another")
    service.provisioning.to_do = replace(IMAGE, checksum=checksum)
    assert f"url {IMAGE.url}\n" in service.call("GET", "/agent/v1/work", session).text


def test_while_the_daemon_that_decides_is_away_the_agent_is_to_ask_again(service: Service) -> None:
    session = service.session()
    service.provisioning.away = True
    answer = service.call("GET", "/agent/v1/work", session)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert service.provisioning.failures == []
    assert "Traceback" not in service.log.getvalue()


def test_an_agent_that_is_told_to_wait_is_known_to_live(service: Service) -> None:
    """Else it would count as silent as soon as a maintenance is over, and its order as failed."""
    session = service.session()
    service.provisioning.to_do = Wait(30)
    service.call("GET", "/agent/v1/work", session)
    assert service.provisioning.facts[-1] is FactType.ALIVE
    service.provisioning.to_do = PowerOffNow()
    before = len(service.provisioning.facts)
    service.call("GET", "/agent/v1/work", session)
    assert len(service.provisioning.facts) == before


def test_work_with_white_space_in_a_value_is_not_told(service: Service) -> None:
    session = service.session()
    service.provisioning.to_do = Install("x\nwork wipe", IMAGE.url, IMAGE.checksum, {})
    assert service.call("GET", "/agent/v1/work", session).status == 503


@pytest.mark.parametrize("path", ["/agent/v1/work", "/agent/v1/seed"])
def test_work_needs_a_session(service: Service, path: str) -> None:
    assert service.call("GET", path).status == 401
    assert service.call("GET", path, service.ticket()["gs.token"]).status == 401
    assert service.call("GET", path, service.issue(TokenPurpose.PHONE_HOME)).status == 401


def test_a_session_ends(service: Service) -> None:
    session = service.session()
    service.now += timedelta(hours=25)
    assert service.call("GET", "/agent/v1/work", session).status == 401


def test_a_session_is_of_its_order_alone(service: Service) -> None:
    session = service.session()
    service.provisioning.orders[ONE] = OTHER_ORDER
    assert service.call("GET", "/agent/v1/work", session).status == 409
    assert service.call("POST", "/agent/v1/facts", session, {"type": "wiped"}).status == 409
    assert FactType.WIPED not in service.provisioning.facts


def test_an_agent_whose_order_is_settled_is_told_to_power_off(service: Service) -> None:
    session = service.session()
    service.provisioning.orders.clear()
    assert service.call("GET", "/agent/v1/work", session).text == "work poweroff\n"


@pytest.mark.parametrize(
    ("word", "fact"),
    [
        ("alive", FactType.ALIVE),
        ("written", FactType.WRITTEN),
        ("wiped", FactType.WIPED),
        ("agent-failed", FactType.AGENT_FAILED),
    ],
)
def test_facts_are_of_the_session_s_machine_and_order(service: Service, word: str, fact: FactType) -> None:
    answer = service.call("POST", "/agent/v1/facts", service.session(), {"type": word, "detail": "sda"})
    assert answer.status == 200
    assert service.provisioning.reported[-1] == (ONE, ORDER, fact, "sda")


@pytest.mark.parametrize("word", ["phoned-home", "registered", "script-served", "", "x"])
def test_other_facts_are_not_the_agent_s_to_state(service: Service, word: str) -> None:
    session = service.session()
    before = list(service.provisioning.reported)
    assert service.call("POST", "/agent/v1/facts", session, {"type": word}).status == 400
    assert service.provisioning.reported == before


def test_without_a_seed_there_is_nothing_to_fetch(service: Service) -> None:
    session = service.session()
    answer = service.call("GET", "/agent/v1/seed", session)
    assert (answer.status, answer.body) == (204, b"")


def unpacked(content: bytes) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        found = {}
        for entry in tar.getmembers():
            file = tar.extractfile(entry)
            assert file is not None
            assert entry.mode == 0o600
            found[entry.name] = file.read().decode()
        return found


def test_the_seed_holds_a_token_with_which_the_system_phones_home_once(service: Service) -> None:
    session = service.session()
    files = cloud_init.build(CLAIM, cloud_init.Host("web", "r01-01", 0, ORDER))
    service.provisioning.to_do = Install(IMAGE.image, IMAGE.url, IMAGE.checksum, files)
    fetched = unpacked(service.call("GET", "/agent/v1/seed", session).body)
    meta = dict(line.partition(": ")[::2] for line in fetched["meta-data"].splitlines())
    assert meta["phone_home_url"] == f"{service.server.places.https}/phone-home/v1"
    assert meta["phone_home_pin"] == service.server.identity.pin
    token = meta["phone_home_token"]
    assert service.call("POST", "/phone-home/v1", session).status == 401
    assert service.call("POST", "/phone-home/v1", token).status == 200
    assert service.provisioning.reported[-1][:3] == (ONE, ORDER, FactType.PHONED_HOME)
    assert service.call("POST", "/phone-home/v1", token).status == 401
    assert service.provisioning.facts.count(FactType.PHONED_HOME) == 1


def test_cloud_init_phones_home_with_the_token_in_the_url(service: Service) -> None:
    session = service.session()
    files = cloud_init.build(CLAIM, cloud_init.Host("web", "r01-01", 0, ORDER))
    service.provisioning.to_do = Install(IMAGE.image, IMAGE.url, IMAGE.checksum, files)
    fetched = unpacked(service.call("GET", "/agent/v1/seed", session).body)
    url = fetched["vendor-data"].partition('"url":"')[2].partition('"')[0]
    path = url.removeprefix(service.server.places.http)
    assert service.get(path, "POST", Content_Length="0").status == 200
    assert service.provisioning.reported[-1][:3] == (ONE, ORDER, FactType.PHONED_HOME)
    assert path.rpartition("/")[2] not in service.log.getvalue()


def test_phoning_home_for_an_order_that_is_not_current_is_refused(service: Service) -> None:
    token = service.issue(TokenPurpose.PHONE_HOME, boot_request="0-1")
    assert service.call("POST", "/phone-home/v1", token).status == 409


def test_a_failure_inside_leaves_the_phone_home_token_good(service: Service) -> None:
    token = service.issue(TokenPurpose.PHONE_HOME)
    service.provisioning.broken = True
    assert service.call("POST", "/phone-home/v1", token).status == 503
    service.provisioning.broken = False
    assert service.call("POST", "/phone-home/v1", token).status == 200


def test_a_machine_that_nobody_declared_tells_what_is_in_it_and_powers_off(service: Service) -> None:
    service.provisioning.discovering = True
    uuid, mac = "99999999-0000-4000-8000-000000000009", "52:54:00:77:02:09"
    words = service.get(f"/boot/{uuid}?mac={mac}").text.split()
    ticket = dict(word.partition("=")[::2] for word in words if "=" in word)
    said = {"uuid": uuid, "macs": [mac], "order": ticket["gs.order"]}
    assert service.register(ticket["gs.token"], **{**said, "uuid": UUIDS[TWO]}).status == 403
    session = service.register(ticket["gs.token"], **said).json["session"]
    assert service.call("GET", "/agent/v1/work", session).text == "work poweroff\n"
    assert service.call("GET", "/agent/v1/seed", session).status == 204
    assert service.call("POST", "/agent/v1/facts", session, {"type": "alive"}).status == 200
    assert service.provisioning.strangers == [(uuid, (mac,), {"serial": "C1", "agent": "1.0", "cpus": 2})]
    assert service.provisioning.reported == []


def test_a_flood_of_refused_attempts_leaves_few_events(service: Service) -> None:
    for _ in range(50):
        assert service.call("GET", "/agent/v1/work", "gs-none").status == 401
    assert len(service.provisioning.turned_away) == 1
    service.now += timedelta(minutes=11)
    service.call("GET", "/agent/v1/work", "gs-none")
    assert len(service.provisioning.turned_away) == 2
    assert "49 more reports of this kind were not recorded" in service.provisioning.turned_away[-1][2]


PARTS = b'"lshw":%s,"lsblk":{"blockdevices":[]},"memory_kb":1024}}'


@pytest.mark.parametrize(
    "output",
    [
        pytest.param(b'{"id":"core","product":', id="a tool that ended in the middle"),
        pytest.param(b"lshw: cannot open /dev/mem", id="a tool that prints no JSON"),
        pytest.param(b"[" * 100_000, id="nested without end"),
    ],
)
def test_a_tool_that_prints_bad_json_costs_its_part_and_not_the_registration(service: Service, output: bytes) -> None:
    said = registration()
    del said["inventory"]
    head = msgspec.json.encode(said)[:-1]
    answer = service.call(
        "POST", "/agent/v1/register", service.ticket()["gs.token"], raw=head + b',"inventory":{' + PARTS % output
    )
    assert answer.status == 200, answer
    kept = service.provisioning.inventories[ONE]
    assert (kept["lshw"], kept["lsblk"], kept["memory_kb"]) == (None, {"blockdevices": []}, 1024)


def test_a_byte_that_is_no_utf8_costs_one_letter(service: Service) -> None:
    said = registration(inventory={"lshw": {"id": "caf@", "product": "x"}})
    raw = msgspec.json.encode(said).replace(b"@", b"\xe9\x01")
    assert service.call("POST", "/agent/v1/register", service.ticket()["gs.token"], raw=raw).status == 200
    assert service.provisioning.inventories[ONE]["lshw"] == {"id": "caf\ufffd\\x01", "product": "x"}


@pytest.mark.parametrize("raw", [b'{"a":' * 10_000, b'{"order":1}', b"\xff", b"", b"[]", b'{"order":"\\ud800"'])
def test_a_body_that_cannot_be_read_is_refused_for_good(service: Service, raw: bytes) -> None:
    """503 would have the agent come again for ever."""
    assert service.call("POST", "/agent/v1/register", service.ticket()["gs.token"], raw=raw).status == 400
    session = service.session()
    assert service.call("POST", "/agent/v1/facts", session, raw=raw).status == 400


def test_what_an_agent_says_is_clean_and_keeps_its_lines(service: Service) -> None:
    told = {"type": "wiped", "detail": "sda 4096 bytes: \x1b[2Jgone\nsdb 1 bytes: \ud800"}
    service.call("POST", "/agent/v1/facts", service.session(), raw=json.dumps(told).encode())
    assert service.provisioning.reported[-1][-1] == "sda 4096 bytes: \\x1b[2Jgone\nsdb 1 bytes: \\ud800"


def test_a_session_is_good_in_the_boot_networks_alone(service: Service) -> None:
    session = service.session()
    service.provisioning.served = {"127.0.0.2"}
    asked = [("GET", "work", None), ("GET", "seed", None), ("POST", "facts", {"type": "alive"})]
    for method, page, body in asked:
        assert service.call(method, f"/agent/v1/{page}", session, body).status == 403


def test_an_installed_system_phones_home_from_any_address(service: Service) -> None:
    token = service.issue(TokenPurpose.PHONE_HOME)
    service.provisioning.served = set()
    assert service.call("POST", "/phone-home/v1", token).status == 200


def test_what_an_agent_tells_is_cut_and_paced(service: Service) -> None:
    session = service.session()
    told = {"type": "agent-failed", "detail": "x" * 60_000}
    statuses = [service.call("POST", "/agent/v1/facts", session, told).status for _ in range(61)]
    assert len(service.provisioning.reported[-1][-1]) == 500
    assert statuses == [200] * 60 + [503]
