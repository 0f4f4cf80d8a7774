"""Whether the system that a BMC shows now is the one that was inspected or installed. Pure."""

from __future__ import annotations

from drivers.base import SystemState
from reconciler.kinds.common.machine_facts import LifecycleFacts
from reconciler.kinds.machine.spec import MachineSpec
from reconciler.model.values.system_uuid import same_uuid

SERIAL = "serial:"
"""What stands before a serial number where there is no UUID: 17 of 50 recorded systems tell none."""


def system_of(state: SystemState, *, by_serial: bool | None = None) -> str | None:
    """What tells this system from others, a word without spaces: its UUID, or else `serial:` and its serial number.
    `by_serial`: only the one, or only the other. None: its BMC does not say."""
    serial = "-".join((state.serial or "").split())
    by_number = f"{SERIAL}{serial}" if serial else None
    return (None if by_serial else state.uuid) or (None if by_serial is False else by_number)


def uuid_of(seen: object) -> str | None:
    """The UUID that the machine's BMC reported at a look; None where it reported none, or could not be read."""
    return seen.uuid if isinstance(seen, SystemState) else None


def like_before(life: LifecycleFacts, state: SystemState) -> str | None:
    """The same of what answers now, in the same form as that of the recorded system."""
    return system_of(state, by_serial=life.system.startswith(SERIAL)) if life.system is not None else None


def another_system(life: LifecycleFacts, state: SystemState) -> bool:
    """Whether what answers at the BMC's address is not the system whose life this is."""
    now = like_before(life, state)
    return life.system is not None and now is not None and not same_system(now, life.system)


def same_system(one: str, other: str) -> bool:
    """Whether two words of `system_of` tell of one system. An update of the firmware may turn the UUID's first three
    fields round (metal-stack/go-hal#57)."""
    one, other = one.lower(), other.lower()
    return one == other or (not one.startswith(SERIAL) and same_uuid(one, other))


def held_for_another_system(spec: MachineSpec, life: LifecycleFacts, state: SystemState) -> bool:
    """Whether that keeps everything from being done; not so where the document's `request` names the new system.
    Another word may have been said for another reason, of another machine."""
    asked = spec.lifecycle.request if spec.lifecycle is not None else None
    new = like_before(life, state)
    return another_system(life, state) and not any(same_system(new or "", word) for word in (asked or "").split())
