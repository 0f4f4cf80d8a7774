"""Rules between documents. Pure, and quick enough to run whole at every commit."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any

import msgspec
import msgspec.inspect

from reconciler.desired import addressing, catalogue, networks
from reconciler.desired.findings import Finding, Path
from reconciler.kinds import KINDS
from reconciler.kinds.access import same_bmc
from reconciler.kinds.machine import MachineSpec
from reconciler.model.resource import DesiredState, Resource, ResourceKey, Revision


def check(resources: Sequence[Resource[Any]], claimed: Collection[ResourceKey] = ()) -> list[Finding]:
    """Everything that is wrong between resources, in their order. `claimed`: keys of documents that are there but
    broken; a reference to one of them is not dangling."""
    found = list(_duplicate_names(resources))
    seconds = {id(finding.resource) for finding in found}
    by_kind: dict[str, list[Resource[Any]]] = {kind: [] for kind in KINDS}
    for resource in resources:
        # What a copy has in common with its original needs no further words.
        if id(resource) not in seconds:
            by_kind[resource.key.kind].append(resource)
    found.extend(_dangling(by_kind, claimed))
    found.extend(_duplicate_bmcs(by_kind["Machine"]))
    found.extend(_duplicate_macs(by_kind["Machine"]))
    # Not yet a state in force; as one value the rules of kinds can read it.
    sound = [resource for resources in by_kind.values() for resource in resources]
    state = DesiredState(Revision("", "", ""), {resource.key: resource for resource in sound})
    found.extend(addressing.check(state))
    found.extend(networks.check(state, claimed))
    found.extend(catalogue.check(state, claimed))
    return found


def _duplicate_names(resources: Sequence[Resource[Any]]) -> Iterator[Finding]:
    seen: dict[ResourceKey, Resource[Any]] = {}
    for resource in resources:
        first = seen.setdefault(resource.key, resource)
        if first is not resource:
            what = f"a second {resource.key.kind} is called {resource.key.name!r}"
            why = f"the first is at {first.source}"
            yield Finding("duplicate-name", resource, ("metadata", "name"), what, why, "rename one of them")


def _dangling(by_kind: Mapping[str, list[Resource[Any]]], claimed: Collection[ResourceKey]) -> Iterator[Finding]:
    names = {kind: {resource.key.name for resource in found} for kind, found in by_kind.items()}
    for key in claimed:
        names.setdefault(key.kind, set()).add(key.name)
    users: dict[tuple[str, str], list[tuple[Resource[Any], Path]]] = {}
    for kind, found in by_kind.items():
        for get, field, target in reference_fields(kind):
            known = names[target]
            for resource in found:
                value = get(resource.spec)
                if isinstance(value, tuple):
                    for index, name in enumerate(value):
                        if name not in known:
                            users.setdefault((target, name), []).append((resource, ("spec", field, index)))
                elif value is not None and value not in known:
                    users.setdefault((target, value), []).append((resource, ("spec", field)))
    for (target, name), places in users.items():
        # One for all who name it: of what was removed while in use, the list of users is what is asked for.
        places.sort(key=lambda place: (place[0].source.file, place[0].source.line))
        why = catalogue.named({resource.key: resource for resource, _ in places}.values())
        hint = _hint(name, target, names[target])
        yield Finding("dangling-reference", *places[0], f"there is no {target} {name!r}", why, hint)


def _hint(name: str, target: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    return f"declare it; there are {len(known)} of the kind" if known else f"declare it; there is no {target} yet"


def _duplicate_bmcs(machines: list[Resource[MachineSpec]]) -> Iterator[Finding]:
    """One BMC may have several systems, each with its id; a machine without one means the BMC's only system."""
    owners: dict[str, dict[str | None, Resource[MachineSpec]]] = {}
    for machine in machines:
        bmc = machine.spec.bmc
        systems = owners.setdefault(same_bmc(bmc.address), {})
        if systems:
            other = systems.get(bmc.system_id) or systems.get(None)
            if other is None and bmc.system_id is None:
                other = next(iter(systems.values()))
            if other is not None:
                what = f"{other.key} has the same BMC" + (f" and system {bmc.system_id!r}" if bmc.system_id else "")
                hint = "correct the address, or give each machine its own systemId"
                yield Finding(
                    "duplicate-bmc", machine, ("spec", "bmc", "address"), what, f"it is at {other.source}", hint
                )
        systems.setdefault(bmc.system_id, machine)


def _duplicate_macs(machines: list[Resource[MachineSpec]]) -> Iterator[Finding]:
    owners: dict[str, Resource[MachineSpec]] = {}
    for machine in machines:
        for index, mac in enumerate(machine.spec.macs):
            other = owners.setdefault(mac.lower(), machine)
            if other is not machine or mac.lower() in map(str.lower, machine.spec.macs[:index]):
                what = f"{mac} is already a MAC address of {other.key}"
                path = ("spec", "macs", index)
                yield Finding("duplicate-mac", machine, path, what, f"at {other.source}", "correct one of them")


@cache
def reference_fields(kind: str) -> tuple[tuple[Callable[[Any], Any], str, str], ...]:
    """A kind's fields that name resources, one or a list of them: how to read it from a spec, its name in documents,
    the kind it names."""
    spec = msgspec.inspect.type_info(KINDS[kind].spec_type)
    if not isinstance(spec, msgspec.inspect.StructType):
        raise TypeError(f"{kind}'s spec is no struct")
    found = ((field, _target(field.type)) for field in spec.fields)
    return tuple((operator.attrgetter(field.name), field.encode_name, target) for field, target in found if target)


def _target(node: msgspec.inspect.Type) -> str | None:
    if isinstance(node, msgspec.inspect.UnionType):
        return next(filter(None, map(_target, node.types)), None)
    if isinstance(node, msgspec.inspect.VarTupleType):
        return _target(node.item_type)
    if not isinstance(node, msgspec.inspect.Metadata):
        return None
    return str(node.extra["kind"]) if node.extra and "kind" in node.extra else _target(node.type)
