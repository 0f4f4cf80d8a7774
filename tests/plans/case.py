"""The form of a golden case: what is desired, observed and remembered, as data, and the plan that follows.

`case.json` holds entries for many resources at once: `names` are node ranges, and `{name}` in a spec becomes the name.
Times are seconds before `NOW`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from reconciler.desired.rules.implied import with_implied
from reconciler.kinds import KINDS, nothing_remembered
from reconciler.kinds.claim.spec import ClaimState
from reconciler.kinds.common.field_types.fleet_share import FleetShare
from reconciler.kinds.common.kind import KindView
from reconciler.kinds.common.machine_facts import LifecycleFacts
from reconciler.kinds.machine.spec import once_order
from reconciler.model.actions.action import Action
from reconciler.model.actions.in_flight import InFlight
from reconciler.model.facts import Applied, Facts, Failure, ResourceFacts
from reconciler.model.observation import Observation, ReadError
from reconciler.model.plans.plan import Plan
from reconciler.model.resource import Commit, DesiredState, Resource, ResourceKey, Revision, Source
from reconciler.planning.guards.guard_limits import GuardLimits
from reconciler.planning.guards.standing import Standing
from reconciler.planning.planner import plan, with_commits
from reconciler.views.render.ranges import unfold

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
BEFORE = "0123456789abcdef0123456789abcdef01234567"
COMMIT = Commit("3f2a91c0de1122334455667788990011aabbccdd", "Ada", NOW - timedelta(hours=1), "Boot from disk")
REVISION = Revision(id=COMMIT.sha, ref="main", repository="git@git.example:fleet.git", commit=COMMIT)
MACHINE = {"partition": "p1", "bmc": {"address": "{name}.bmc.example"}}

Entry = dict[str, Any]


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One `case.json`."""

    about: str
    desired: list[Entry] = []
    observed: list[Entry] = []
    facts: list[Entry] = []
    in_flight: list[Entry] = []
    limits: dict[str, str | bool] = {}
    filter: str = ""
    select: list[str] = []


class World(msgspec.Struct, frozen=True):
    """The arguments of the plan function."""

    desired: DesiredState
    observed: Mapping[ResourceKey, Observation]
    facts: Facts
    limits: GuardLimits = GuardLimits()


def read(folder: Path) -> Case:
    """The folder's case."""
    return msgspec.json.decode((folder / "case.json").read_bytes(), type=Case)


def build(case: Case) -> World:
    """The values that the case stands for."""
    desired = with_implied(DesiredState(REVISION, dict(_resources(case.desired))))
    observed = dict(_observations(case.observed))
    claims = {key for key in (*desired.resources, *dict(_each(case.facts))) if key.kind == "MachineClaim"}
    observed |= {key: Observation(key, NOW, ClaimState()) for key in claims}
    remembered = {key: _facts(key, rest, desired, observed) for key, rest in _each(case.facts)}
    flights = {key: _flight(key, rest) for key, rest in _each(case.in_flight)}
    limits: dict[str, Any] = {n: FleetShare.parse(v) if isinstance(v, str) else v for n, v in case.limits.items()}
    return World(desired, observed, Facts(remembered, flights), GuardLimits(**limits))


def planned(case: Case) -> Plan:
    """The plan of the case, with commits named."""
    world = build(case)
    chosen = [ResourceKey.parse(name) for text in case.select for name in unfold(text)] if case.select else None
    found = plan(
        world.desired,
        world.observed,
        world.facts,
        NOW,
        Standing(world.limits, "10.0.0.1"),
        select=chosen,
        selected_by=case.filter,
    )
    return with_commits(found, dict.fromkeys(world.desired.resources, COMMIT))


def _each(entries: list[Entry]) -> Iterator[tuple[ResourceKey, Entry]]:
    for entry in entries:
        rest = {name: value for name, value in entry.items() if name not in ("kind", "names")}
        for name in (name for text in entry["names"] for name in unfold(text)):
            yield ResourceKey(entry["kind"], name), rest


def _resources(entries: list[Entry]) -> Iterator[tuple[ResourceKey, Resource[Any]]]:
    for key, rest in _each(entries):
        spec = {**(MACHINE if key.kind == "Machine" else {}), **rest.get("spec", {})}
        text = json.dumps(spec).replace("{name}", key.name)
        typed = msgspec.json.decode(text, type=KINDS[key.kind].spec_type)
        yield key, Resource(key, typed, {}, {}, Source(f"{key.kind.lower()}s/{key.name}.yaml", 3))


def _observations(entries: list[Entry]) -> Iterator[tuple[ResourceKey, Observation]]:
    for key, rest in _each(entries):
        taken_at = NOW - timedelta(seconds=rest.get("ago", 12))
        if "error" in rest:
            yield key, Observation(key, taken_at, error=msgspec.convert(rest["error"], ReadError))
        else:
            value = _in_full(key.kind, rest["value"])
            yield key, Observation(key, taken_at, msgspec.convert(value, KINDS[key.kind].observed_type))


def _in_full(kind: str, value: Entry) -> Entry:
    """A network may be given by its prefixes alone; an address that is held is ephemeral, as it is by default."""
    if kind == "Network" and "prefixes" in value:
        return {"network": None if value["prefixes"] is None else {"prefixes": value["prefixes"]}}
    if kind == "IPAddress" and value.get("address"):
        return {"about": {"ephemeral": True}, **value}
    return value


def _facts(
    key: ResourceKey, rest: Entry, desired: DesiredState, observed: Mapping[ResourceKey, Observation]
) -> ResourceFacts:
    """`applied` is a map of fields; `failed` names a field whose failure holds for what is seen now; `lifecycle` has
    its times in seconds, too."""
    resource = desired.resources.get(key)
    found = nothing_remembered(key)
    values: dict[str, Any] = {name: rest[name] for name in ("deletion_policy", "project", "image") if name in rest}
    if "applied" in rest:
        values["applied"] = Applied(rest["applied"], BEFORE, NOW - timedelta(days=2))
    if "drift" in rest:
        values["drift"] = {path: NOW - timedelta(seconds=ago) for path, ago in rest["drift"].items()}
    if rest.get("once_done") and resource is not None:
        values["once_done"] = once_order(resource.spec.boot)
    for name in ("shutdown_ignored", "disrupted_at"):
        if name in rest:
            values[name] = NOW - timedelta(seconds=rest[name])
    if "lifecycle" in rest:
        given = rest["lifecycle"]
        ago = {name: NOW - timedelta(seconds=value) for name, value in given.items() if name.endswith("_at")}
        values["lifecycle"] = msgspec.convert({**given, **ago}, LifecycleFacts)
    if "failed" in rest and resource is not None:
        rules = KINDS[key.kind].rules
        assert rules is not None
        view = KindView(key, observed[key].value, found, observed)
        prints = {field.path: field.fingerprint(resource.spec) for field in rules.fields(resource, view)}
        values["failures"] = {
            path: Failure(told["reason"], told["message"], NOW - timedelta(minutes=5), True, 1, prints[path])
            for path, told in rest["failed"].items()
        }
    return msgspec.structs.replace(found, **values)


def _flight(key: ResourceKey, rest: Entry) -> InFlight:
    action: Action = msgspec.convert({**rest["action"], "key": msgspec.to_builtins(key)}, Action)
    sent_at = NOW - timedelta(seconds=rest["ago"])
    return InFlight("1-1", key, action, sent_at, sent_at + timedelta(seconds=300), "ada@host", f"commit {COMMIT.short}")
