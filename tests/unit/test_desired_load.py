"""From a snapshot to a desired state: what is refused, and what is remembered."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from reconciler.desired.load import Loaded, load_state
from reconciler.desired.manifest import document_cache
from reconciler.model.diagnostic import Diagnostic, Invalid, Severity
from reconciler.model.resource import ResourceKey, Source
from tests.unit.desired_worlds import PARTITION, TENANT, MemorySnapshot, machine, network

FLEET: dict[str, str | bytes] = {
    "partition.yaml": PARTITION,
    "racks/r1.yaml": machine("m1", "a") + "---\n" + machine("m2", "b", "  power: On\n"),
    "racks/r2.yml": machine("m3", "c"),
    "network.yaml": network("n", "cidr: 10.0.0.0/24, gateway: 10.0.0.1"),
}


def test_a_sound_snapshot_is_a_state() -> None:
    snapshot = MemorySnapshot(FLEET)
    loaded = load_state(snapshot)
    state = loaded.raise_for_errors()
    assert state.revision == snapshot.revision
    assert sorted(map(str, state.resources)) == [
        "Machine/m1",
        "Machine/m2",
        "Machine/m3",
        "Network/n",
        "Partition/p1",
    ]
    assert (loaded.files_checked, loaded.resources, loaded.diagnostics) == (4, 5, ())
    assert state.resources[ResourceKey("Machine", "m2")].source == Source("racks/r1.yaml", 10, 1)


def test_no_files_are_an_empty_state() -> None:
    assert load_state(MemorySnapshot({})).raise_for_errors().resources == {}


def test_an_error_refuses_the_state_and_the_rest_is_still_checked() -> None:
    loaded = load_state(MemorySnapshot({**FLEET, "bad.yaml": "a: [", "worse.yaml": machine("m1", "x")}))
    assert loaded.state is None
    assert [(str(d.source), d.code) for d in loaded.diagnostics] == [
        ("bad.yaml:2:1", "yaml-syntax"),
        ("worse.yaml:4:9", "duplicate-name"),
    ]
    with pytest.raises(Invalid) as caught:
        loaded.raise_for_errors()
    assert caught.value.diagnostics == loaded.diagnostics


@pytest.mark.parametrize(("severity", "refused"), [(Severity.WARNING, False), (Severity.ERROR, True)])
def test_what_the_snapshot_says_counts_too(severity: Severity, refused: bool) -> None:
    snapshot = MemorySnapshot(FLEET)
    snapshot.diagnostics = (Diagnostic("symlink", severity, "a symbolic link is not followed"),)
    loaded = load_state(snapshot)
    assert loaded.diagnostics == snapshot.diagnostics
    assert (loaded.state is None) is refused


def test_only_changed_files_are_read_again() -> None:
    before = load_state(MemorySnapshot(FLEET))
    changed = MemorySnapshot({**FLEET, "racks/r2.yml": machine("m4", "c")})
    after = load_state(changed, previous=before)
    assert changed.asked == ["racks/r2.yml"]
    assert after.state == load_state(MemorySnapshot({**FLEET, "racks/r2.yml": machine("m4", "c")})).state


def test_what_is_known_of_good_files_outlives_a_broken_revision() -> None:
    broken = load_state(MemorySnapshot({**FLEET, "racks/r2.yml": "a: ["}))
    mended = MemorySnapshot(FLEET)
    assert load_state(mended, previous=broken).state == load_state(MemorySnapshot(FLEET)).state
    assert mended.asked == ["racks/r2.yml"]


def test_errors_are_found_again_in_every_load() -> None:
    files = {**FLEET, "bad.yaml": "a: ["}
    first = load_state(MemorySnapshot(files))
    assert load_state(MemorySnapshot(files), previous=first).diagnostics == first.diagnostics


def test_findings_between_known_files_are_placed() -> None:
    first = load_state(MemorySnapshot(FLEET))
    loaded = load_state(MemorySnapshot({k: v for k, v in FLEET.items() if k != "partition.yaml"}), previous=first)
    [found] = loaded.diagnostics
    assert str(found.source) == "racks/r1.yaml:6:14"
    assert found.detail.startswith("3 documents name it: Machine/")
    assert "racks/r2.yml:1" in found.detail


def cached(folder: Path, files: dict[str, str | bytes]) -> tuple[Loaded, list[str]]:
    snapshot = MemorySnapshot(files)
    return load_state(snapshot, cache=folder), snapshot.asked


def test_another_process_parses_nothing_that_is_known(tmp_path: Path) -> None:
    first, asked = cached(tmp_path, FLEET)
    assert sorted(asked) == sorted(FLEET)
    again, asked = cached(tmp_path, FLEET)
    assert asked == []
    assert again.state == first.state
    assert again.state == load_state(MemorySnapshot(FLEET)).state


def test_a_known_file_that_moved_is_at_its_new_place(tmp_path: Path) -> None:
    cached(tmp_path, FLEET)
    moved, asked = cached(
        tmp_path, {**{k: v for k, v in FLEET.items() if k != "racks/r2.yml"}, "x.yaml": FLEET["racks/r2.yml"]}
    )
    assert asked == []
    assert moved.raise_for_errors().resources[ResourceKey("Machine", "m3")].source.file == "x.yaml"


def test_what_is_wrong_between_known_files_is_found_in_every_run(tmp_path: Path) -> None:
    cached(tmp_path, FLEET)
    without = {path: data for path, data in FLEET.items() if path != "partition.yaml"}
    for _ in range(2):
        assert [found.code for found in cached(tmp_path, without)[0].diagnostics] == ["dangling-reference"]
    assert cached(tmp_path, FLEET)[0].diagnostics == ()


def test_rules_between_files_are_not_held_again_against_files_that_were_sound_together(tmp_path: Path) -> None:
    snapshot = MemorySnapshot({"racks/r2.yml": machine("m3", "c")})
    known = load_state(snapshot).known
    document_cache.save_cache(
        tmp_path, {file.blob_id: found for file, found in known.items()}, document_cache.files_digest(snapshot.files)
    )
    assert load_state(snapshot, cache=tmp_path).diagnostics == ()
    moved = MemorySnapshot({"elsewhere.yaml": machine("m3", "c")})
    assert [found.code for found in load_state(moved, cache=tmp_path).diagnostics] == ["dangling-reference"]


def test_files_with_errors_are_not_kept(tmp_path: Path) -> None:
    files = {**FLEET, "bad.yaml": TENANT.replace("acme", "A")}
    first, _ = cached(tmp_path, files)
    again, asked = cached(tmp_path, files)
    assert asked == ["bad.yaml"]
    assert again.diagnostics == first.diagnostics


def the_file(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "garbage"])
def test_a_damaged_cache_is_left_aside_and_made_again(tmp_path: Path, damage: str) -> None:
    first, _ = cached(tmp_path, FLEET)
    data = the_file(tmp_path).read_bytes()
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    the_file(tmp_path).write_bytes({"flip": flipped, "cut": data[:-1], "empty": b"", "garbage": b"x" * 99}[damage])
    again, asked = cached(tmp_path, FLEET)
    assert again.state == first.state
    assert sorted(asked) == sorted(FLEET)
    assert cached(tmp_path, FLEET)[1] == []


def test_a_cache_that_others_may_write_to_is_not_believed(tmp_path: Path) -> None:
    cached(tmp_path, FLEET)
    the_file(tmp_path).chmod(0o666)
    assert sorted(cached(tmp_path, FLEET)[1]) == sorted(FLEET)


def test_a_cache_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    cached(folder, FLEET)
    real = the_file(folder).rename(tmp_path / "elsewhere")
    (folder / f"{real.name}").unlink(missing_ok=True)
    cached(tmp_path / "other", FLEET)
    (folder / the_file(tmp_path / "other").name).symlink_to(real)
    assert sorted(cached(folder, FLEET)[1]) == sorted(FLEET)


def test_what_another_version_of_the_program_left_is_removed(tmp_path: Path) -> None:
    old = tmp_path / "desired-0123456789abcdef.msgpack"
    old.write_bytes(b"old")
    cached(tmp_path, FLEET)
    assert not old.exists()


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert cached(blocked, FLEET)[0].state is not None


def test_garbage_collection_is_as_it_was() -> None:
    load_state(MemorySnapshot(FLEET))
    assert gc.isenabled()
