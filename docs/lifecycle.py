"""The page of a machine's lifecycle, found by walking through every fact and step of a managed machine."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from reconciler.kinds import record_action
from reconciler.kinds.claim.spec import MachineClaimSpec
from reconciler.kinds.common.fact_rules import Occasion
from reconciler.kinds.common.machine_facts import NO_MACHINE_FACTS, FactType, MachineFacts, machine_facts
from reconciler.kinds.machine.lifecycle import deadlines
from reconciler.kinds.machine.lifecycle.lifecycle_events import EXPECTED, apply_fact
from reconciler.kinds.machine.lifecycle.phases import BootStage, Phase, phase, purpose, stage
from reconciler.kinds.machine.spec import MachineSpec
from reconciler.model.actions.record_actions import Claim, Free, RecordAction, RecordLifecycle, RequestBoot, Unclaim
from reconciler.model.resource import ResourceKey
from reconciler.model.values.boot_purpose import LifecycleFailure, LifecycleFailureReason, Purpose

KEY, CLAIM = ResourceKey("Machine", "m"), ResourceKey("MachineClaim", "c")
IMAGE = "debian-12.0.1"
START = datetime(2026, 1, 1, tzinfo=UTC)
SPEC = msgspec.convert(
    {"partition": "p", "bmc": {"address": "https://bmc"}, "lifecycle": {"mode": "Managed"}}, MachineSpec
)
CLAIMED = msgspec.convert({"project": "p", "partitions": ["p"], "size": "s", "image": IMAGE}, MachineClaimSpec)

Edge = tuple[Phase, str, Phase]


def edges() -> list[Edge]:
    """Every way from one phase to another, with what moves it, in the order in which they are met."""
    found: dict[Edge, None] = {}
    seen, todo = set[object](), deque([NO_MACHINE_FACTS])
    while todo:
        facts = todo.popleft()
        for label, after in _moves(facts):
            before_phase, after_phase = phase(facts, CLAIMED), phase(after, CLAIMED)
            if before_phase is not after_phase:
                found[before_phase, label, after_phase] = None
            if (kind := _kind(after)) not in seen:
                seen.add(kind)
                todo.append(after)
    return list(found)


def _kind(facts: MachineFacts) -> object:
    """Facts that differ only in times count as one."""
    lifecycle = facts.lifecycle
    given = (
        lifecycle.inspected_at,
        lifecycle.claim,
        lifecycle.releasing_at,
        lifecycle.written,
        lifecycle.phoned_home_at,
        lifecycle.wiped,
    )
    order = lifecycle.boot_request.purpose if lifecycle.boot_request else None
    failure = lifecycle.failure.final if lifecycle.failure else None
    return (
        facts.image,
        stage(lifecycle),
        order,
        failure,
        min(lifecycle.attempts, 1),
        *(one is not None for one in given),
    )


def _after(action: RecordAction, remembered: dict[ResourceKey, MachineFacts], now: datetime) -> MachineFacts:
    return machine_facts(record_action(action, remembered, Occasion(now, "1")).facts, KEY)


def _moves(facts: MachineFacts) -> Iterator[tuple[str, MachineFacts]]:
    lifecycle = facts.lifecycle
    now = START + timedelta(seconds=len(repr(lifecycle)))
    remembered = {KEY: facts}
    for fact in FactType:
        taken = apply_fact(lifecycle, fact, "", facts.image, now)
        yield str(fact), msgspec.structs.replace(facts, lifecycle=taken.lifecycle)
    failure = LifecycleFailure(LifecycleFailureReason.AGENT_MISSING, "", now, final=True)
    if stage(lifecycle) is BootStage.ENDED:
        yield "agent done, off", _after(RecordLifecycle(key=KEY), remembered, now)
    elif lifecycle.boot_request is not None:
        yield "boot request fails 3 times", _after(RecordLifecycle(key=KEY, failure=failure), remembered, now)
    elif (wanted := purpose(facts, SPEC, CLAIMED)) is not None:
        order = RequestBoot(key=KEY, purpose=wanted)
        label = f"request to {wanted}" if lifecycle.failure is None else "requested again"
        yield label, _after(order, remembered, now)
    elif lifecycle.releasing_at is not None:
        yield "off and wiped", _after(Free(key=KEY), remembered, now)
    if phase(facts, None) is Phase.AVAILABLE:
        bound = _after(Claim(key=CLAIM, project="p", machines=((0, KEY.name),)), remembered, now)
        yield "claim", msgspec.structs.replace(bound, image=IMAGE)
    if phase(facts, CLAIMED) is Phase.RUNNING:
        yield "another image", msgspec.structs.replace(facts, image="debian-12.0.2")
    if lifecycle.claim is not None and lifecycle.releasing_at is None:
        yield "unclaim", _after(Unclaim(key=CLAIM, machines=(KEY.name,)), remembered, now)


def page() -> Iterator[str]:
    """The lines of docs/reference/lifecycle.md below its head."""
    yield "The phases are derived from facts, never stored: `reconciler/kinds/machine/lifecycle/phases.py`. This"
    yield "picture was made by walking through every fact and every step of a managed machine."
    yield from ("", "```mermaid", "stateDiagram-v2", "    [*] --> Discovered")
    grouped: dict[tuple[Phase, Phase], list[str]] = {}
    for before, label, after in edges():
        grouped.setdefault((before, after), []).append(label)
    for (before, after), labels in grouped.items():
        yield f"    {before} --> {after}: {' / '.join(dict.fromkeys(labels))}"
    yield from ("```", "", "## Which fact is expected when", "")
    yield "A boot request is *ordered* until the agent registers. Then the agent is *working*, until the request has"
    yield "*ended*. The *purpose* is to inspect, to install or to wipe. A fact at any other time is recorded"
    yield "(`UnexpectedFact`), and changes no phase."
    yield from ("", "| fact | expected while |", "|---|---|")
    for fact, when in EXPECTED.items():
        yield f"| `{fact}` | {_when(when)} |"
    yield from ("", "## How long each may take", "", "| what | limit | then |", "|---|---|---|")
    yield from (f"| {what} | {_span(limit)} | {then} |" for what, limit, then in _LIMITS)


def _when(pairs: frozenset[tuple[BootStage, Purpose | None]]) -> str:
    words = []
    for at in BootStage:
        purposes = [one for one in Purpose if (at, one) in pairs]
        if len(purposes) == len(Purpose):
            words.append(f"{at}, for any purpose")
        elif purposes:
            words.append(f"{at} to {', '.join(purposes)}")
        elif (at, None) in pairs:
            words.append("no boot request, an image is written, and the machine is not being released")
    return "; ".join(words)


_AGAIN = f"tried {deadlines.MAX_ATTEMPTS} times, then in Error until `lifecycle.request` changes"
_LIMITS = (
    ("a boot request, until the agent registers", deadlines.SERVED_WITHIN, f"`AgentMissing`; {_AGAIN}"),
    ("no report of a working agent", deadlines.SILENT_AFTER, f"`AgentSilent`; {_AGAIN}"),
    ("no report of an agent whose machine is off", deadlines.GONE_AFTER, f"`AgentGone`; {_AGAIN}"),
    ("an inspection or installation", deadlines.INSTALL_WITHIN, f"`AgentTimedOut`; {_AGAIN}"),
    ("a wipe", deadlines.WIPE_WITHIN, f"`AgentTimedOut`; {_AGAIN}"),
    ("an agent that is done, until the machine is off", deadlines.GRACE, "groundstate powers the machine off"),
    (
        "a written image, until its system phones home",
        deadlines.HOME_WITHIN,
        "`NotHeardOf`; the disk is left unchanged",
    ),
)


def _span(limit: timedelta) -> str:
    minutes = int(limit.total_seconds() // 60)
    if not minutes:
        return f"{limit.total_seconds():g} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
