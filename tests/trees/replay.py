"""Recorded Redfish trees, and their systems."""

from __future__ import annotations

import json
import os
import re
import tarfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from tests.drivers.bmc_servers import ROOT

TREES = Path(
    os.environ.get("GROUNDSTATE_REDFISH_TREES", "") or Path(__file__).resolve().parents[3] / "shared" / "redfish-trees"
)
"""Recordings are not part of the project: they lie beside the repository, or where this variable says."""
MISSING = f"no recorded Redfish trees in {TREES}; GROUNDSTATE_REDFISH_TREES says where they are"


@lru_cache
def recording(tree: str, below: str = "") -> dict[str, Any]:
    """The documents of a tree, by path. `below`: only the service root and what is below this name."""
    documents = {}
    with tarfile.open(TREES / f"{tree}.tar.xz") as archive:
        for member in archive:
            parts = member.name.split("/")[1:-1]
            parts = parts[2:] if parts[:2] == ["redfish", "v1"] else parts
            file = archive.extractfile(member) if member.name.endswith("/index.json") else None
            if file and (not parts or not below or parts[0] == below):
                documents["/".join([ROOT, *parts])] = json.load(file)
    return documents


class RecordedSystem(NamedTuple):
    """One system of a tree, and its document as it was recorded."""

    tree: str
    system_id: str
    document: Mapping[str, Any]

    @property
    def model(self) -> str:
        """Maker and model, as a person calls it."""
        maker, model = (
            value.strip() if isinstance(value := self.document.get(name), str) else ""
            for name in ("Manufacturer", "Model")
        )
        words = model if model.startswith(maker) else f"{maker} {model}"
        return words if model else self.tree.rpartition("-rie-")[2]

    @property
    def name(self) -> str:
        """A name for a document: the model's, with the system where a BMC has several."""
        beside = len(recording(self.tree)[f"{ROOT}/Systems"]["Members"]) > 1
        words = f"{self.model} {self.system_id}" if beside else self.model
        return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:60].strip("-")


def recorded_systems() -> list[RecordedSystem]:
    """Every system of every tree."""
    found = []
    for tree in sorted(path.name.removesuffix(".tar.xz") for path in TREES.glob("*.tar.xz")):
        documents = recording(tree)
        for member in documents[f"{ROOT}/Systems"]["Members"]:
            path = member["@odata.id"].rstrip("/")
            found.append(RecordedSystem(tree, path.rpartition("/")[2], documents[path]))
    return found
