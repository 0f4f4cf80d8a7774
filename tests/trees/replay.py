"""Recorded Redfish trees, and a service that answers with one and carries out what is written to it."""

from __future__ import annotations

import copy
import json
import os
import re
import ssl
import tarfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from tests.drivers.bmc_servers import ROOT, Answer, RedfishServer, Request, extended, reply

TREES = Path(
    os.environ.get("GROUNDSTATE_REDFISH_TREES", "") or Path(__file__).resolve().parents[3] / "shared" / "redfish-trees"
)
"""Recordings are not part of the project: they lie beside the repository, or where this variable says."""
MISSING = f"no recorded Redfish trees in {TREES}; GROUNDSTATE_REDFISH_TREES says where they are"

POWER = {
    **dict.fromkeys(("On", "ForceOn", "ForceRestart", "GracefulRestart", "PowerCycle"), "On"),
    **dict.fromkeys(("ForceOff", "GracefulShutdown"), "Off"),
}
_MEDIA = re.compile(r"(?P<drive>.*)/Actions/(?:Oem/)?VirtualMedia\.(?P<verb>InsertMedia|EjectMedia)$")


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


class ReplayServer(RedfishServer):
    """Answers with a recorded tree, and carries out resets, PATCHes and virtual media."""

    def __init__(self, context: ssl.SSLContext, tree: str) -> None:
        super().__init__(context, copy.deepcopy(recording(tree)))

    def _behave(self, request: Request) -> Answer:
        if request.method not in ("POST", "PATCH") or not self._is_let_in(request):
            return super()._behave(request)
        path = request.path.rstrip("/")
        if request.method == "PATCH":
            return self._patch(path, request.json())
        for name, document in self.documents.items():
            actions = document.get("Actions")
            reset = actions.get("#ComputerSystem.Reset") if isinstance(actions, dict) else None
            if isinstance(reset, dict) and str(reset.get("target", "")).rstrip("/") == path:
                return self._reset(name, request.json()["ResetType"])
        if found := _MEDIA.fullmatch(path):
            image = request.json().get("Image") if found["verb"] == "InsertMedia" else None
            return self._patch(found["drive"], {"Image": image, "Inserted": image is not None})
        return super()._behave(request)

    def _reset(self, path: str, kind: str) -> Answer:
        if kind not in POWER:
            return reply(400, extended(f"{kind} is not carried out", "Base.1.8.ActionParameterNotSupported"))
        self._merge(path, {"PowerState": POWER[kind]})
        return reply(204)

    def _patch(self, path: str, change: Mapping[str, Any]) -> Answer:
        if path not in self.documents:
            return reply(404, extended(f"No {path}", "Base.1.8.ResourceMissingAtURI"))
        self._merge(path, change)
        of = next((name for name, one in self.documents.items() if path == _settings_of(one)), None)
        if of is not None:
            self._merge(of, change)
        return reply(204)

    def _merge(self, path: str, change: Mapping[str, Any]) -> None:
        self.documents[path] = _merged(self.documents[path], change)


def _settings_of(document: Mapping[str, Any]) -> str | None:
    settings = document.get("@Redfish.Settings")
    where = settings.get("SettingsObject") if isinstance(settings, dict) else None
    found = where.get("@odata.id") if isinstance(where, dict) else None
    return found.rstrip("/") if isinstance(found, str) else None


def _merged(document: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(document)
    for name, value in change.items():
        old = found.get(name)
        found[name] = _merged(old, value) if isinstance(value, dict) and isinstance(old, dict) else value
    return found
