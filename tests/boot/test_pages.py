"""Scripts and files, over plain HTTP."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.kinds.common.machine_facts import FactType
from reconciler.model.token import TokenPurpose
from reconciler.services.boot import cd_image
from reconciler.services.boot.boot_settings import BootError
from reconciler.services.boot.cd_image import ROOM
from reconciler.services.boot.image_files import Files
from tests.boot.boot_world import MACS, ONE, ORDER, START, TWO, UUIDS, Service

STRANGER = "/boot/99999999-0000-4000-8000-000000000009?mac=52-54-00-77-02-09"


def test_the_first_script_asks_for_the_machine_s_own_again_and_again(service: Service) -> None:
    answer = service.get("/boot.ipxe")
    assert answer.headers["Cache-Control"] == "no-store"
    lines = answer.text.splitlines()
    assert lines[0] == "#!ipxe"
    [chain] = [line for line in lines if line.startswith("chain ")]
    asked = f"{service.server.places.http}/boot/${{uuid}}?mac=${{netX/mac:hexhyp}}&mac=${{net0/mac:hexhyp}}&"
    assert asked in chain
    assert "goto ask" in lines
    assert lines[-1] == "exit"


def test_a_machine_with_an_order_is_led_to_the_agent(service: Service) -> None:
    lines = service.script().splitlines()
    http, https = service.server.places.http, service.server.places.https
    [kernel] = [line for line in lines if line.startswith("kernel ")]
    [initrd] = [line for line in lines if line.startswith("initrd ")]
    words = kernel.split()
    assert words[1].startswith(f"{http}/files/")
    assert service.get(words[1].removeprefix(http)).text == "kernel\n"
    assert service.get(initrd.split()[1].removeprefix(http)).text == "initrd\n"
    assert f"gs.api={https}" in words
    assert f"gs.pin={service.server.identity.pin}" in words
    assert f"gs.order={ORDER}" in words
    assert "BOOTIF=01-52-54-00-77-02-01" in words
    assert {"console=tty0", "console=ttyS0,115200", "panic=60", "initrd=initrd.img"} <= set(words)
    assert initrd.split()[1].endswith("/initrd.img")
    token = next(word for word in words if word.startswith("gs.token=")).removeprefix("gs.token=")
    grant = service.store.tokens.peek(token, {TokenPurpose.BOOT}, START)
    assert (grant.machine, grant.boot_request, grant.uuid, grant.macs) == (ONE, ORDER, UUIDS[ONE], (MACS[ONE],))
    assert service.provisioning.facts == [FactType.SCRIPT_SERVED]


def test_the_cd_image_tells_the_kernel_where_this_service_is(service: Service) -> None:
    image = service.get("/agent.iso").body
    assert len(image) == len(b"before ") + len(ROOM) + len(b" after")
    words = image.decode().split()
    assert (words[0], words[-2:]) == ("before", [f"gs.boot={service.server.places.http}", "after"])
    assert {"console=tty0", "console=ttyS0,115200"} <= set(words)


def test_a_bmc_may_fetch_the_cd_image_in_parts(service: Service) -> None:
    whole = service.get("/agent.iso")
    part = service.get("/agent.iso", Range="bytes=3-9")
    assert (part.status, part.body) == (206, whole.body[3:10])
    head = service.get("/agent.iso", "HEAD")
    assert (head.headers["Content-Length"], head.headers["Accept-Ranges"]) == (str(len(whole.body)), "bytes")


@pytest.mark.parametrize("image", [b"no room", ROOM + ROOM], ids=["none", "twice"])
def test_a_cd_image_without_room_is_not_written(image: bytes, tmp_path: Path) -> None:
    (tmp_path / "built.iso").write_bytes(image)
    with pytest.raises(BootError, match="run `groundstate boot image`"):
        cd_image.write_image(tmp_path / "built.iso", tmp_path / "agent.iso", "gs.boot=http://10.77.0.1:9809")
    assert not (tmp_path / "agent.iso").exists()


def test_arguments_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BootError, match="longer than 1024 bytes"):
        cd_image.with_arguments(ROOM, "x" * 1025)


FORMS = [
    f"/boot/{UUIDS[ONE]}?mac={MACS[ONE]}",
    f"/boot/{UUIDS[ONE].upper()}?mac=",
    f"/boot/{UUIDS[ONE].replace('-', '')}",
    f"/boot/?mac={MACS[ONE]}",
    "/boot/?mac=52-54-00-77-02-01",
    "/boot/00000000-0000-0000-0000-000000000000?mac=525400770201",
    f"/boot/nonsense?mac=&mac=zz&mac={MACS[ONE].upper()}",
]


@pytest.mark.parametrize("path", FORMS)
def test_a_machine_is_known_by_uuid_or_mac_in_any_form(service: Service, path: str) -> None:
    assert "gs.token=" in service.get(path).text


@pytest.mark.parametrize(
    "path",
    [
        f"/boot/{UUIDS[TWO]}?mac={MACS[TWO]}",
        f"/boot/{UUIDS[ONE]}?mac={MACS[TWO]}",
        STRANGER,
        "/boot/",
        "/boot/x",
        "/boot/%00%0Aexit?mac=%0Aexit",
        "/boot/" + "a" * 2000,
    ],
)
def test_others_go_to_their_disk(service: Service, path: str) -> None:
    answer = service.get(path)
    assert answer.status == 200
    lines = answer.text.splitlines()
    assert lines[0] == "#!ipxe"
    assert lines[-3:] == ["iseq ${platform} efi && exit ||", "sanboot --no-describe --drive 0x80 ||", "exit"]
    assert "kernel" not in answer.text
    assert service.provisioning.facts == []


def test_a_machine_whose_agent_has_answered_goes_to_its_disk(service: Service) -> None:
    service.session()
    assert "gs.token" not in service.script()


def test_an_unknown_machine_is_discovered_where_that_is_allowed(service: Service) -> None:
    service.provisioning.discovering = True
    answer = service.get(STRANGER).text
    assert "gs.order=discover-99999999-0000-4000-8000-000000000009" in answer
    assert "BOOTIF=01-52-54-00-77-02-09" in answer
    assert "gs.token" not in service.get("/boot/").text


def test_scripts_for_one_order_are_given_out_at_a_pace(service: Service) -> None:
    answers = [service.get(f"/boot/{UUIDS[ONE]}").status for _ in range(21)]
    assert answers == [200] * 20 + [503]
    service.now += timedelta(minutes=1)
    assert service.get(f"/boot/{UUIDS[ONE]}").status == 200


def test_a_ticket_is_given_to_addresses_of_the_partitions_boot_networks_alone(service: Service) -> None:
    service.provisioning.served = {"127.0.0.2"}
    assert "kernel" not in service.script()
    assert service.provisioning.facts == []
    assert [told[:2] for told in service.provisioning.turned_away] == [(ONE, "BootAddressRefused")]


def test_one_who_asks_again_and_again_without_an_order_fills_no_ledger(service: Service) -> None:
    service.provisioning.answered.add(ORDER)
    for _ in range(20):
        assert "starting from disk" in service.script()
    assert len([fact for fact in service.provisioning.seen if fact is FactType.SENT_TO_DISK]) == 1


def test_a_machine_with_an_order_that_shows_another_uuid_is_told_of(service: Service) -> None:
    service.provisioning.strict = True
    assert "kernel" not in service.get(f"/boot/?mac={MACS[ONE]}").text
    assert [told[:2] for told in service.provisioning.turned_away] == [(ONE, "BootMachineDoubtful")]


def test_a_failure_inside_is_no_traceback(service: Service) -> None:
    service.provisioning.broken = True
    answer = service.get(f"/boot/{UUIDS[ONE]}")
    assert (answer.status, answer.text) == (503, "the service cannot answer now; ask again\n")
    assert "the disk is full" in service.log.getvalue()
    assert service.provisioning.failures == ["the request of 127.0.0.1 for machine: RuntimeError"]


def test_an_order_that_changes_meanwhile_is_asked_for_again(service: Service) -> None:
    service.provisioning.overtaken = True
    answer = service.get(f"/boot/{UUIDS[ONE]}")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")


# -- files -------------------------------------------------------------------------------------------------------------


def path_of(checksum: str) -> str:
    return f"/files/{checksum.removeprefix('sha256:')}"


def test_a_file_is_served_by_its_checksum_under_any_name(service: Service) -> None:
    path = path_of(service.keep(b"content"))
    for one in (path, f"{path}/root.img", f"{path}/a%20b"):
        answer = service.get(one)
        assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"content", "7")
        assert answer.headers["Accept-Ranges"] == "bytes"


def test_head_says_what_get_would_without_the_content(service: Service) -> None:
    answer = service.get(path_of(service.keep(b"content")), "HEAD")
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", "7")


def test_what_a_client_has_already_is_not_sent(service: Service) -> None:
    path = path_of(service.keep(b"content"))
    tag = service.get(path).headers["ETag"]
    assert service.get(path, If_None_Match=tag).status == 304
    assert service.get(path, If_None_Match='"other"').status == 200


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=st.integers(0, 400_000), length=st.integers(1, 400_000))
def test_a_range_is_that_part_of_the_file(service: Service, first: int, length: int) -> None:
    content = bytes(range(256)) * 1200
    answer = service.get(path_of(service.keep(content)), Range=f"bytes={first}-{first + length - 1}")
    if first < len(content):
        assert answer.status == 206
        last = min(first + length, len(content)) - 1
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(content)}"
        assert answer.body == content[first : last + 1]
    else:
        assert answer.status == 416


@pytest.mark.parametrize(
    "path",
    [
        f"/files/{'0' * 64}",
        f"/files/{'A' * 64}",
        "/files/../state.db",
        "/files/..%2fstate.db",
        "/files/%2e%2e/state.db",
        "//files//etc/passwd",
        f"/files/{'a' * 63}%00",
        "/files/",
        "/private",
        "/..%2Fstate.db",
        "/undionly.kpxe",
        "/agent/v1/work",
    ],
)
def test_nothing_else_can_be_fetched(service: Service, path: str) -> None:
    assert service.get(path).status in (400, 404)


def test_boot_programs_are_served_by_their_names(service: Service) -> None:
    assert service.get("/ipxe.efi").body == b"MZ"


def test_a_file_whose_content_changed_is_not_served(service: Service) -> None:
    checksum = service.keep(b"content")
    stored = service.folder / "files" / checksum.removeprefix("sha256:")
    assert service.get(path_of(checksum)).status == 200
    stored.write_bytes(b"CONTENT")
    assert service.get(path_of(checksum)).status == 404
    service.keep(b"content")
    assert service.get(path_of(checksum)).body == b"content"


def test_a_file_that_somebody_put_there_is_served_if_it_is_what_it_is_called(tmp_path: Path) -> None:
    files = Files(tmp_path)
    good = files.add(written(tmp_path / "x", b"content")).removeprefix("sha256:")
    again = Files(tmp_path)
    blob = again.open(good)
    assert blob is not None
    assert blob.file.read() == b"content"
    blob.file.close()
    written(tmp_path / ("0" * 64), b"content")
    assert again.open("0" * 64) is None


def test_a_file_is_read_once_to_be_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Files(tmp_path)
    name = files.add(written(tmp_path / "x", b"content"))
    read: list[object] = []
    digest = hashlib.file_digest

    def counted(file: Any, name: str) -> Any:
        read.append(file)
        return digest(file, name)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    for _ in range(3):
        blob = files.open(name)
        assert blob is not None
        blob.file.close()
    assert len(read) == 1


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    files = Files(tmp_path / "files")
    name = files.add(written(tmp_path / "x", b"content")).removeprefix("sha256:")
    (tmp_path / "files" / name).unlink()
    (tmp_path / "files" / name).symlink_to(tmp_path / "x")
    assert files.open(name) is None


def test_what_is_no_checksum_is_no_path(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a SHA-256"):
        Files(tmp_path).open("../x")


def test_nothing_is_left_of_a_file_that_could_not_be_taken_in(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Files(tmp_path / "files").add(tmp_path / "none")
    assert list((tmp_path / "files").iterdir()) == []


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
