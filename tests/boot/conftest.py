"""A running boot service over each test's own store."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.store import Store
from tests.boot.boot_world import Service


@pytest.fixture
def service(tmp_path: Path, migrated_file: Path) -> Iterator[Service]:
    shutil.copy(migrated_file, tmp_path / "state.db")
    store = Store.open(f"sqlite:///{tmp_path / 'state.db'}")
    made = Service(store, tmp_path)
    with made.server:
        yield made
    store.close()
