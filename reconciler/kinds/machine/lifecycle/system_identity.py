"""Whether the system that a BMC reports now is the one that was inspected or installed. Pure."""

from __future__ import annotations

from drivers.base import SystemState
from reconciler.kinds.common.machine_facts import LifecycleFacts
from reconciler.kinds.machine.spec import MachineSpec
from reconciler.model.values.system_uuid import same_uuid

SERIAL = "serial:"
"""The prefix of a serial number, which is used without a UUID: 17 of 50 recorded systems report no UUID."""


def system_of(state: SystemState, *, by_serial: bool | None = None) -> str | None:
    """The identity of the system, as one word: its UUID, or else `serial:` and its serial number. `by_serial`: only the
    one, or only the other. None: the BMC reports neither."""
    serial = "-".join((state.serial or "").split())
    by_number = f"{SERIAL}{serial}" if serial else None
    return (None if by_serial else state.uuid) or (None if by_serial is False else by_number)


def uuid_of(seen: object) -> str | None:
    """The UUID that the machine's BMC reported; None if it reported none, or could not be read."""
    return seen.uuid if isinstance(seen, SystemState) else None


def like_before(lifecycle: LifecycleFacts, state: SystemState) -> str | None:
    """The identity of the observed system, in the same form (UUID or serial number) as the recorded one."""
    return system_of(state, by_serial=lifecycle.system.startswith(SERIAL)) if lifecycle.system is not None else None


def another_system(lifecycle: LifecycleFacts, state: SystemState) -> bool:
    """Whether the observed system is another one than the recorded system of the machine."""
    now = like_before(lifecycle, state)
    return lifecycle.system is not None and now is not None and not same_system(now, lifecycle.system)


def same_system(one: str, other: str) -> bool:
    """Whether two words of `system_of` mean the same system. A firmware update may change the byte order of the UUID's
    first three fields (metal-stack/go-hal#57)."""
    one, other = one.lower(), other.lower()
    return one == other or (not one.startswith(SERIAL) and same_uuid(one, other))


def held_for_another_system(spec: MachineSpec, lifecycle: LifecycleFacts, state: SystemState) -> bool:
    """Whether another system holds all changes of the machine. Not if spec.lifecycle.request names the new system."""
    asked = spec.lifecycle.request if spec.lifecycle is not None else None
    new = like_before(lifecycle, state)
    return another_system(lifecycle, state) and not any(same_system(new or "", word) for word in (asked or "").split())
