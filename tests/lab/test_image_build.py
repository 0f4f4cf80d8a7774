"""The discovery image as it is built here."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from deploy.discovery import build
from tests.lab import prepare
from tests.lab.enter import WANTED, missing


@pytest.mark.skipif(os.environ.get(WANTED) != "1", reason="fetches a kernel; run ./dev lab, or set GROUNDSTATE_LAB=1")
@pytest.mark.skipif(bool(missing()), reason=f"the virtual lab needs {', '.join(missing())}")
@pytest.mark.timeout(600)
def test_equal_inputs_give_equal_bytes_and_the_manifest_names_them(tmp_path: Path) -> None:
    prepare.prepare()
    build.build(tmp_path, "cloud-amd64", prepare.FETCHED)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    for name in ("vmlinuz", "initrd", "manifest.json"):
        assert (tmp_path / name).read_bytes() == (prepare.IMAGE / name).read_bytes()
    for name, told in manifest["files"].items():
        assert told["sha256"] == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    packages = {one["name"]: one["version"] for one in manifest["packages"]}
    assert {"busybox-static", "curl", "libc6", "lldpd", "lshw", "util-linux"} <= set(packages)
    assert (
        manifest["contents"]["usr/lib/groundstate/agent"]
        == hashlib.sha256((build.HERE / "agent").read_bytes()).hexdigest()
    )
    assert not any("icudata" in path for path in manifest["contents"])
