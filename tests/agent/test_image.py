"""The recipe of the discovery image: equal inputs give equal bytes, and what is missing is named."""

from __future__ import annotations

import ctypes
import os
import random
import subprocess
from pathlib import Path

import pytest

from deploy.discovery import build, debian, stub
from deploy.discovery.tree import Tree
from tests.agent.machine import needs_programs

PARTS = {"init": b"#!/bin/sh\n", "usr/lib/groundstate/agent": b"echo\n", "etc/group": b"", "bin/busybox": b"\x7fELF"}


def tree(order: list[str]) -> Tree:
    made = Tree()
    for path in order:
        made.file(path, PARTS[path])
    made.link("bin/sh", "busybox")
    made.directory("proc")
    return made


def test_the_archive_is_the_same_in_whatever_order_it_was_filled() -> None:
    paths = list(PARTS)
    first = tree(paths).archive(0)
    random.Random(1).shuffle(paths)
    assert tree(paths).archive(0) == first
    assert tree(paths).archive(86400) != first


@needs_programs
def test_the_archive_is_one_that_cpio_unpacks(tmp_path: Path) -> None:
    archive = tree(list(PARTS)).archive(0)
    subprocess.run(["busybox", "cpio", "-i"], input=archive, cwd=tmp_path, check=True, capture_output=True)
    assert {path: (tmp_path / path).read_bytes() for path in PARTS} == PARTS
    assert (tmp_path / "bin/sh").readlink() == Path("busybox")
    assert (tmp_path / "proc").is_dir()


def test_rights_are_the_usual_ones_whatever_the_builder_has(tmp_path: Path) -> None:
    program, text = tmp_path / "program", tmp_path / "text"
    for path, mode in ((program, 0o4750), (text, 0o600)):
        path.write_bytes(b"x")
        path.chmod(mode)
    made = Tree()
    made.copy(program, "program")
    made.copy(text, "text")
    assert [oct(mode) for mode, _ in made.entries.values()] == ["0o100755", "0o100644"]


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the stub is for x86-64")
def test_a_stub_can_be_loaded_and_its_functions_do_nothing(tmp_path: Path) -> None:
    path = tmp_path / "libicuuc.so.72"
    path.write_bytes(stub.library("libicuuc.so.72", ["ucnv_close_72", "ucnv_open_72"]))
    loaded = ctypes.CDLL(str(path))
    assert loaded.ucnv_open_72() == 0
    assert loaded.ucnv_close_72() == 0
    with pytest.raises(AttributeError):
        _ = loaded.u_init_72


def test_only_names_of_the_version_are_taken_for_icu_s() -> None:
    assert stub.names_used(b"\0ucnv_open_72\0ucnv_open_71\0malloc\0ucnv_close_72\0", "72") == [
        "ucnv_close_72",
        "ucnv_open_72",
    ]


def test_missing_programs_are_named_with_the_way_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        build, "PROGRAMS", {"/nowhere/lldpd": "lldpd", "/nowhere/lldpcli": "lldpd", "/nowhere/nvme": "nvme-cli"}
    )
    with pytest.raises(debian.Missing, match=r"apt-get install.* lldpd nvme-cli"):
        build.programs(Tree())


def test_a_tool_that_is_absent_is_named() -> None:
    with pytest.raises(debian.Missing, match="no-such-tool is missing: install"):
        debian.run("no-such-tool")


def test_a_tool_that_fails_is_quoted() -> None:
    with pytest.raises(debian.Missing, match=r"`ls /nowhere` failed: .*No such file"):
        debian.run("ls", "/nowhere")
