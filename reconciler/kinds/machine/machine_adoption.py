"""Taking over a machine that was only observed: its lifecycle becomes managed. Pure."""

from __future__ import annotations

from typing import Any

from drivers.base import SystemState
from reconciler.kinds.common.adoption import Adoption
from reconciler.kinds.machine.spec import MachineSpec, Mode


def _spec_refusal(spec: MachineSpec) -> str | None:
    if spec.lifecycle is None:
        return "the document has no spec.lifecycle; to manage the machine, add lifecycle: {mode: Managed}"
    if spec.lifecycle.mode is not Mode.OBSERVE:
        return f"spec.lifecycle.mode is {spec.lifecycle.mode} already"
    return None


def _observed_refusal(seen: Any) -> str | None:
    if not isinstance(seen, SystemState) or not (seen.uuid or seen.serial):
        return (
            "the BMC reports neither UUID nor serial number, so groundstate cannot identify the machine. "
            "Set one of the two in the BIOS, then run `groundstate adopt` again"
        )
    return None


MACHINE_ADOPTION = Adoption(
    ("spec", "lifecycle", "mode"), str(Mode.OBSERVE), str(Mode.MANAGED), _spec_refusal, _observed_refusal
)
