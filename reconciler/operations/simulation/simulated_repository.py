"""The repository of a simulated fleet: a real one, with one file."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from reconciler.operations.simulation.incidents import DeclaredMachine

_WHO = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Ada"), ("EMAIL", "ada@fleet.example"), ("DATE", "2026-01-01T00:00:00Z"))
}
_BRANCH = "refs/heads/main"
_SITE = """\
apiVersion: groundstate/v1
kind: Partition
metadata: {name: lab}
spec: {bmc: {driver: fake}}
"""
_MACHINE = """\
---
apiVersion: groundstate/v1
kind: Machine
metadata: {{name: {name}}}
spec:
  partition: lab
  bmc: {{address: {bmc}, systemId: {name}}}
  power: {power}
  indicatorLED: {led}
  shutdown: {{timeoutSeconds: 120, escalate: Force}}
"""
_BOOT = "  boot: {{target: Pxe, enabled: Once, request: {request}}}\n"


class SimulatedRepository:
    """`bmcs`: the address of each machine's BMC. `revisions`: what each commit declared, oldest first, without those
    that are broken."""

    def __init__(self, folder: Path, bmcs: Mapping[str, str]) -> None:
        self.folder, self._bmcs = folder, bmcs
        self.revisions: dict[str, Mapping[str, DeclaredMachine]] = {}
        self._tip: str | None = None
        folder.mkdir()
        self._git("init", "--quiet", "--initial-branch=main")

    def commit(self, declared: Mapping[str, DeclaredMachine], *, broken: bool = False) -> None:
        """Commit this on top of the newest commit, also of one that was taken back. `broken`: with an unknown value."""
        if self._tip is not None:
            self._git("update-ref", _BRANCH, self._tip)
        text = _SITE
        for name, one in declared.items():
            power = "Onn" if broken else one.power
            text += _MACHINE.format(name=name, bmc=self._bmcs[name], power=power, led=one.led)
            text += "" if one.request is None else _BOOT.format(request=one.request)
        (self.folder / "fleet.yaml").write_text(text, "utf-8")
        self._git("add", "--all")
        self._git("commit", "--quiet", "--allow-empty", "--message", "Declare it")
        self._tip = self._git("rev-parse", "HEAD")
        if not broken:
            self.revisions[self._tip] = dict(declared)

    def take_back(self) -> None:
        """Let the branch be where it was up to two commits ago, until the next commit."""
        self._git("update-ref", _BRANCH, list(self.revisions)[-min(3, len(self.revisions))])

    def hide(self, *, hidden: bool) -> None:
        """Take it away, or put it back."""
        here, away = self.folder / ".git", self.folder / "away"
        (here if hidden else away).rename(away if hidden else here)

    def _git(self, *arguments: str) -> str:
        command = [shutil.which("git") or "git", "-C", str(self.folder), *arguments]
        environment = {**_WHO, "HOME": str(self.folder), "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()
