"""What machines do by writing it down: whose a machine is, its boot requests, and how they end. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import assert_never

import msgspec

from reconciler.kinds.common.fact_rules import Recorded
from reconciler.kinds.common.machine_facts import BootRequest, LifecycleFacts, machine_facts
from reconciler.model.action import AcceptSystem, Bind, Free, MachineRecord, OrderErasure, PinImage, RequestBoot, Settle
from reconciler.model.boot_purpose import Purpose
from reconciler.model.event import EventReason
from reconciler.model.facts import ResourceFacts
from reconciler.model.resource import ResourceKey


def record_machine_action(
    action: MachineRecord,
    facts: Mapping[ResourceKey, ResourceFacts],
    now: datetime,
    name: str,
    uuid: str | None = None,
) -> Recorded:
    """What is remembered when the action is done. `name`: of the order, where it gives one; `why`: its cause; `uuid`:
    what the machine's BMC told last."""
    key = action.key
    match action:
        case Bind(project=project):
            told = (
                (EventReason.BOUND, f"to project {project}")
                if project
                else (EventReason.UNBOUND, "belongs to no project")
            )
            return _recorded(key, msgspec.structs.replace(machine_facts(facts, key), project=project), told)
        case PinImage(image=image):
            changed = msgspec.structs.replace(machine_facts(facts, key), image=image)
            return _recorded(key, changed, (EventReason.IMAGE_PINNED, f"image {image or 'none'}"))
        case RequestBoot(purpose=purpose, attempt=attempt, word=word, media=media, target=target):
            life = msgspec.structs.replace(
                _lifecycle(facts, key),
                boot_request=BootRequest(name, purpose, now, word, media, target, uuid),
                attempts=attempt,
                stopped_at=_lifecycle(facts, key).stopped_at if attempt > 1 else None,
                tried_request=word,
                heeded_request=action.heeded or _lifecycle(facts, key).heeded_request,
                failure=None,
            )
            was = machine_facts(facts, key)
            # From here until its new system calls, it does not do what its project has it for.
            down = now if isinstance(action, OrderErasure) and purpose is Purpose.INSTALL else was.disrupted_at
            taken = down if down is not was.disrupted_at else was.taken_down_at
            ordered = msgspec.structs.replace(was, lifecycle=life, disrupted_at=down, taken_down_at=taken)
            return _recorded(
                key, ordered, (EventReason.BOOT_REQUESTED, f"to {purpose}, attempt {attempt}, order {name}")
            )
        case Settle(failure=trouble):
            before = _lifecycle(facts, key)
            # At rest anybody may start it; after trouble what runs there is still what was started from here.
            stopped = before.stopped_at if trouble is not None else None
            life = msgspec.structs.replace(before, boot_request=None, failure=trouble, stopped_at=stopped)
            over = (
                EventReason.BOOT_REQUEST_ENDED if before.boot_request is not None else EventReason.RECOVERED,
                action.reason,
            )
            said = over if trouble is None else (trouble.reason, trouble.message)
            return _lifecycle_changed(key, facts, life, said)
        case AcceptSystem(system=system, word=word):
            before = _lifecycle(facts, key)
            # Nothing of what was seen of the old one holds, and the word asks for nothing else.
            tried = word if before.releasing_at is not None else before.tried_request
            life = msgspec.structs.replace(
                before, system=system, heeded_request=word, tried_request=tried, stopped_at=None
            )
            return _lifecycle_changed(
                key, facts, life, (EventReason.SYSTEM_ACCEPTED, f"{system} replaces {before.system}")
            )
        case Free():
            before = _lifecycle(facts, key)
            kept = {
                name: getattr(before, name) for name in ("inspected_at", "wiped", "heeded_request", "system", "media")
            }
            life = LifecycleFacts(**kept)
            freed = msgspec.structs.replace(machine_facts(facts, key), project=None, image=None, lifecycle=life)
            told_both = {
                key: (EventReason.FREED, f"by MachineClaim/{before.claim}; Machine is off and wiped"),
                ResourceKey("MachineClaim", before.claim or ""): (EventReason.RELEASED, f"{key.name} is free again"),
            }
            return Recorded({key: freed}, told_both)
        case _:
            assert_never(action)


def _lifecycle(facts: Mapping[ResourceKey, ResourceFacts], key: ResourceKey) -> LifecycleFacts:
    return machine_facts(facts, key).lifecycle


def _lifecycle_changed(
    key: ResourceKey, facts: Mapping[ResourceKey, ResourceFacts], life: LifecycleFacts, told: tuple[str, str]
) -> Recorded:
    return _recorded(key, msgspec.structs.replace(machine_facts(facts, key), lifecycle=life), told)


def _recorded(key: ResourceKey, facts: ResourceFacts, told: tuple[str, str]) -> Recorded:
    return Recorded({key: facts}, {key: told})
