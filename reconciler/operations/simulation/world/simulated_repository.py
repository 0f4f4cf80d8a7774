"""The repository of a simulated fleet: a real one, with one file."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from reconciler.operations.simulation.scenarios.declared_fleet import (
    GUARD_NAME,
    DeclaredClaim,
    DeclaredFleet,
    DeclaredGuard,
)

_WHO = "Ada <ada@fleet.example> 1767225600 +0000"
"""Who commits, and when: at the start of 2026."""
_BRANCH = "refs/heads/main"
_SHUTDOWN = {"timeoutSeconds": 120, "escalate": "Force"}


class SimulatedRepository:
    """`bmcs`: the address of each machine's BMC. `revisions`: what each commit declared, oldest first, without those
    that are broken."""

    def __init__(self, folder: Path, bmcs: Mapping[str, str]) -> None:
        self.folder, self._bmcs = folder, bmcs
        self.revisions: dict[str, DeclaredFleet] = {}
        self._tip: str | None = None
        folder.mkdir()
        self._git("init", "--quiet", "--initial-branch=main")

    def commit(self, declared: DeclaredFleet, *, broken: bool = False) -> None:
        """Commit this on top of the newest commit, also of one that was taken back. `broken`: with an unknown value."""
        data = "".join(self._documents(declared, broken=broken)).encode()
        # Without the limit, another process would write each object to a file of its own.
        command = ("-c", "fastimport.unpackLimit=0", "fast-import", "--quiet", "--force")
        self._tip = self._git(*command, stdin=_imported(data, self._tip))
        if not broken:
            self.revisions[self._tip] = declared

    def _documents(self, declared: DeclaredFleet, *, broken: bool) -> Iterator[str]:
        yield from _site()
        for name, one in declared.machines.items():
            spec = self._machine(name) | {"power": "Onn" if broken else one.power, "indicatorLED": one.led}
            boot = {"target": "Pxe", "enabled": "Once", "request": one.request}
            yield _document("Machine", name, spec | ({} if one.request is None else {"boot": boot}))
        for name, word in declared.managed.items():
            lifecycle = {"mode": "Managed"} if word is None else {"mode": "Managed", "request": word}
            yield _document("Machine", name, self._machine(name) | {"lifecycle": lifecycle}, {"claims": "yes"})
        yield from (_claim(name, claim) for name, claim in declared.claims.items())
        if declared.guard is not None:
            yield _document("Guard", GUARD_NAME, _windows(declared.guard))
        released = {"deletionPolicy": "Release"}
        for number in range(declared.pool.addresses):
            yield _document("IPAddress", f"a{number}", {"network": "front"} | released)
        for number in range(declared.pool.numbers):
            yield _document("Number", f"n{number}", {"pool": "asns"} | released)

    def _machine(self, name: str) -> dict[str, Any]:
        bmc = {"address": self._bmcs[name], "systemId": name}
        return {"partition": "lab", "bmc": bmc, "shutdown": _SHUTDOWN}

    def take_back(self) -> None:
        """Let the branch be where it was up to two commits ago, until the next commit."""
        self._git("update-ref", _BRANCH, list(self.revisions)[-min(3, len(self.revisions))])

    def hide(self, *, hidden: bool) -> None:
        """Take it away, or put it back."""
        here, away = self.folder / ".git", self.folder / "away"
        (here if hidden else away).rename(away if hidden else here)

    def _git(self, *arguments: str, stdin: bytes = b"") -> str:
        command = [shutil.which("git") or "git", "-C", str(self.folder), *arguments]
        environment = {"HOME": str(self.folder), "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(command, env=environment, check=True, capture_output=True, input=stdin)
        return done.stdout.decode().strip()


def _imported(data: bytes, parent: str | None) -> bytes:
    """A commit of one file as `git fast-import` reads it (git-fast-import(1)), which then says the hash. One process
    takes less time than those of `add`, `commit` and `rev-parse`."""
    head = f"commit {_BRANCH}\nmark :1\nauthor {_WHO}\ncommitter {_WHO}\n"
    start = f"from {parent}\n" if parent is not None else ""
    size = f"M 100644 inline fleet.yaml\ndata {len(data)}\n"
    return f"{head}data 10\nDeclare it\n{start}{size}".encode() + data + b"\nget-mark :1\ndone\n"


def _site() -> Iterator[str]:
    """What the machines and claims refer to."""
    yield _document("Partition", "lab", {"bmc": {"driver": "fake"}})
    yield _document("Tenant", "acme", {})
    yield _document("Project", "shop", {"tenant": "acme"})
    root = {"url": "https://images.example/debian.tar.zst", "checksum": "sha256:" + "0" * 64}
    image = {"os": "debian", "version": "12.0.1", "classification": "supported", "root": root}
    yield _document("Image", "debian-12.0.1", image)
    front = {"partition": "lab", "project": "shop", "prefixes": [{"cidr": "10.20.0.0/24"}]}
    yield _document("Network", "front", front)
    yield _document("Pool", "asns", {"ranges": ["4200000000-4200000099"]})


def _claim(name: str, claim: DeclaredClaim) -> str:
    spec = {
        "project": "shop",
        "partitions": ["lab"],
        "selector": {"claims": "yes"},
        "count": claim.count,
        "image": "debian-12",
        "networks": [{"network": "front"}],
        "request": claim.request,
        "userData": f"#cloud-config\n# request {claim.request}\n",
    }
    return _document("MachineClaim", name, spec)


def _windows(guard: DeclaredGuard) -> dict[str, Any]:
    opens, closes = (f"{at:%Y-%m-%dT%H:%M}" for at in (guard.opens, guard.closes))
    return {
        "level": guard.level,
        "match": {"kinds": ["Machine"], "names": guard.machines},
        "actions": ["disruptive", "destructive", "set-boot", "set-indicator"],
        "windows": {"deny": [{"from": closes, "to": opens}]},
    }


def _document(kind: str, name: str, spec: Mapping[str, Any], labels: Mapping[str, str] = {}) -> str:
    """JSON, which is YAML too."""
    metadata = {"name": name, "labels": labels}
    written = {"apiVersion": "groundstate/v1", "kind": kind, "metadata": metadata, "spec": spec}
    return f"---\n{msgspec.json.encode(written).decode()}\n"
