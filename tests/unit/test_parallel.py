"""Parsing on every processor comes to the same as parsing here, whatever becomes of the helpers."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from reconciler.desired.manifest import parallel
from reconciler.desired.manifest.manifest_files import ManifestFile
from reconciler.desired.manifest.manifests import Parsed, parse_manifest

GOOD = "apiVersion: groundstate/v1\nkind: Tenant\nmetadata: {name: t%d}\nspec: {description: some words}\n"
CONTENTS = {f"f{n:03d}.yaml": (GOOD % n).encode() for n in range(200)} | {
    "broken.yaml": b"kind: [",
    "half.yaml": (GOOD % 1000 + "---\nkind: Nothing\n").encode(),
    "latin.yaml": "kind: é".encode("latin-1"),
}


def everything() -> dict[str, Parsed]:
    contents = [(ManifestFile(path, path, len(data)), data) for path, data in CONTENTS.items()]
    found = list(parallel.parse_all([file for file, _ in contents], contents))
    assert len(found) == len(contents)
    assert all(data == CONTENTS[file.path] for file, data, _ in found)
    return {file.path: parsed for file, _, parsed in found}


@pytest.fixture(autouse=True)
def _small_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "MIN_BYTES", 1)
    monkeypatch.setattr(parallel, "_SHARE", 500)
    monkeypatch.setattr(parallel, "_processors", lambda: 3)


EXPECTED = {path: parse_manifest(path, data) for path, data in CONTENTS.items()}


def test_helpers_find_what_is_found_here(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing is left to this process: each share goes to a helper.
    taken = parallel._taken
    here = threading.current_thread()
    monkeypatch.setattr(parallel, "_taken", lambda todo: None if threading.current_thread() is here else taken(todo))
    assert everything() == EXPECTED


@pytest.mark.parametrize(
    "helper",
    [
        "raise SystemExit(1)",
        "import sys; sys.stdin.buffer.read(8); sys.stdout.buffer.write(bytes(3))",
        "import sys; sys.stdin.buffer.read(8); sys.stdout.buffer.write((9).to_bytes(8) + b'half')",
        f"import os; os.kill(os.getpid(), {signal.SIGKILL})",
    ],
)
def test_what_a_helper_does_not_answer_is_parsed_here(monkeypatch: pytest.MonkeyPatch, helper: str) -> None:
    monkeypatch.setattr(parallel, "_HELPER", helper)
    assert everything() == EXPECTED


def test_without_processes_all_is_parsed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert everything() == EXPECTED


def test_what_is_left_alone_takes_its_helpers_along(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    noting = f"open({str(tmp_path)!r} + f'/{{__import__(\"os\").getpid()}}', 'w')\n"
    monkeypatch.setattr(parallel, "_HELPER", noting + parallel._HELPER)
    contents = [(ManifestFile(path, path, len(data)), data) for path, data in CONTENTS.items()]
    going = parallel.parse_all([file for file, _ in contents], contents)
    next(going)
    going.close()
    for started in tmp_path.iterdir():
        with pytest.raises(ProcessLookupError):
            os.kill(int(started.name), 0)
