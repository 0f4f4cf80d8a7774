"""Actions of machines that change only the store: bindings, boot requests, and how they end. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, assert_never

import msgspec

from reconciler.kinds.common.fact_rules import Occasion, Recorded
from reconciler.kinds.common.machine_facts import BootRequest, LifecycleFacts, MachineFacts, machine_facts
from reconciler.kinds.machine.identity.machine_identity import identity_accepted
from reconciler.kinds.machine.lifecycle.system_identity import uuid_of
from reconciler.model.actions.record_actions import (
    AcceptSystem,
    Bind,
    Free,
    MachineRecord,
    PinImage,
    RecordLifecycle,
    RequestBoot,
    RequestErasure,
)
from reconciler.model.event import EventReason, EventType
from reconciler.model.facts import ResourceFacts
from reconciler.model.resource import ResourceKey
from reconciler.model.values.boot_purpose import Purpose


def record_machine_action(
    action: MachineRecord,
    facts: Mapping[ResourceKey, ResourceFacts],
    occasion: Occasion,
) -> Recorded:
    """The facts and events after the action."""
    key, was = action.key, machine_facts(facts, action.key)
    match action:
        case Bind(project=project):
            bound = (EventReason.BOUND, f"to project {project}")
            event = bound if project else (EventReason.UNBOUND, "belongs to no project")
            return _recorded(key, msgspec.structs.replace(was, project=project), event)
        case PinImage(image=image):
            event = (EventReason.IMAGE_PINNED, f"image {image or 'none'}")
            return _recorded(key, msgspec.structs.replace(was, image=image), event)
        case RequestBoot():
            return _boot_requested(action, was, occasion.now, occasion.name, uuid_of(occasion.value))
        case RecordLifecycle():
            return _recorded_lifecycle(action, was)
        case AcceptSystem():
            return _system_accepted(action, was, occasion.value, occasion.now)
        case Free():
            return _freed(key, was)
        case _:
            assert_never(action)


def _boot_requested(action: RequestBoot, was: MachineFacts, now: datetime, name: str, uuid: str | None) -> Recorded:
    before = was.lifecycle
    lifecycle = msgspec.structs.replace(
        before,
        boot_request=BootRequest(name, action.purpose, now, action.word, action.media, action.target, uuid),
        attempts=action.attempt,
        stopped_at=before.stopped_at if action.attempt > 1 else None,
        tried_request=action.word,
        heeded_request=action.heeded or before.heeded_request,
        failure=None,
    )
    requested = msgspec.structs.replace(was, lifecycle=lifecycle)
    if isinstance(action, RequestErasure) and action.purpose is Purpose.INSTALL:
        # From here until its new system calls, it does not do what its project has it for.
        requested = msgspec.structs.replace(requested, disrupted_at=now, taken_down_at=now)
    event = (EventReason.BOOT_REQUESTED, f"to {action.purpose}, attempt {action.attempt}, boot request {name}")
    return _recorded(action.key, requested, event)


def _recorded_lifecycle(action: RecordLifecycle, was: MachineFacts) -> Recorded:
    before, failure = was.lifecycle, action.failure
    # At rest anybody may start it; after a failure what runs there is still what was started from here.
    stopped = before.stopped_at if failure is not None else None
    over = EventReason.BOOT_REQUEST_ENDED if before.boot_request is not None else EventReason.RECOVERED
    event = (over, action.reason) if failure is None else (EventReason(failure.reason), failure.message)
    lifecycle = msgspec.structs.replace(before, boot_request=None, failure=failure, stopped_at=stopped)
    severity = EventType.NORMAL if failure is None else EventType.WARNING
    return _recorded(action.key, msgspec.structs.replace(was, lifecycle=lifecycle), event, severity)


def _system_accepted(action: AcceptSystem, was: MachineFacts, value: Any, now: datetime) -> Recorded:
    before, system, word = was.lifecycle, action.system, action.word
    event = (EventReason.SYSTEM_ACCEPTED, f"{system} replaces {action.was}" + ("" if word else f", as {action.reason}"))
    was = identity_accepted(was, value, now)
    if not word:
        return _recorded(action.key, was, event, EventType.WARNING)
    # Nothing of what was seen of the old one holds, and the word asks for nothing else.
    tried = word if before.releasing_at is not None else before.tried_request
    lifecycle = msgspec.structs.replace(
        before, system=system, heeded_request=word, tried_request=tried, stopped_at=None
    )
    return _recorded(action.key, msgspec.structs.replace(was, lifecycle=lifecycle), event, EventType.WARNING)


def _freed(key: ResourceKey, was: MachineFacts) -> Recorded:
    before = was.lifecycle
    kept = {name: getattr(before, name) for name in ("inspected_at", "wiped", "heeded_request", "system", "media")}
    freed = msgspec.structs.replace(was, project=None, image=None, lifecycle=LifecycleFacts(**kept))
    events = {
        key: (EventReason.FREED, f"by MachineClaim/{before.claim}; Machine is off and wiped"),
        ResourceKey("MachineClaim", before.claim or ""): (EventReason.RELEASED, f"{key.name} is free again"),
    }
    return Recorded({key: freed}, events)


def _recorded(
    key: ResourceKey,
    facts: ResourceFacts,
    event: tuple[EventReason, str],
    severity: EventType = EventType.NORMAL,
) -> Recorded:
    return Recorded({key: facts}, {key: event}, severity)
