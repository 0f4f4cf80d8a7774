"""Rules between documents. Pure, and quick enough to run whole at every commit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from reconciler.desired.rules import (
    addressing,
    catalogue,
    claims,
    console_rules,
    guard_references,
    implied,
    networks,
    switches,
    virtual_media_rules,
)
from reconciler.desired.rules.findings import Finding, FindingPath
from reconciler.kinds import KINDS
from reconciler.kinds.common.field_types.bmc_access import same_bmc
from reconciler.kinds.common.field_types.reference_fields import reference_fields
from reconciler.kinds.machine.spec import MachineSpec
from reconciler.model.counting import count_are
from reconciler.model.resource import DesiredState, Resource, ResourceKey, Revision


def check_references(resources: Sequence[Resource[Any]], claimed: Collection[ResourceKey] = ()) -> list[Finding]:
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
    # What a claim implies is held against the same rules as what is declared.
    everything = implied.with_implied(state)
    between = [*addressing.check_addressing(everything), *networks.check_networks(everything, claimed)]
    found.extend(_once(implied.at_the_claim(finding, state) for finding in between))
    found.extend(catalogue.check_catalogue(state, claimed))
    found.extend(claims.check_claims(state))
    found.extend(console_rules.check_consoles(state))
    found.extend(guard_references.check_guards(state, claimed, everything))
    found.extend(switches.check_switches(state, claimed))
    found.extend(virtual_media_rules.check_virtual_media(state))
    return found


def _once(findings: Iterable[Finding]) -> Iterator[Finding]:
    """What is wrong with a claim's network is wrong with the address of each of its machines."""
    said = set()
    for finding in findings:
        what = (finding.code, finding.resource.key, finding.path, finding.summary)
        if what not in said:
            said.add(what)
            yield finding


def _duplicate_names(resources: Sequence[Resource[Any]]) -> Iterator[Finding]:
    seen: dict[ResourceKey, Resource[Any]] = {}
    for resource in resources:
        first = seen.setdefault(resource.key, resource)
        if first is not resource:
            what = f"two documents of kind {resource.key.kind} have the name {resource.key.name!r}"
            why = f"the other document is at {first.source}"
            yield Finding(
                "duplicate-name", resource, ("metadata", "name"), what, why, "rename one of the two documents"
            )


def _dangling(by_kind: Mapping[str, list[Resource[Any]]], claimed: Collection[ResourceKey]) -> Iterator[Finding]:
    names = {kind: {resource.key.name for resource in found} for kind, found in by_kind.items()}
    for key in claimed:
        names.setdefault(key.kind, set()).add(key.name)
    users: dict[tuple[str, str], list[tuple[Resource[Any], FindingPath]]] = {}
    for kind, found in by_kind.items():
        for get, field, target in reference_fields(KINDS[kind].spec_type) if found else ():
            known = names[target]
            for resource in found:
                value = get(resource.spec)
                if isinstance(value, tuple):
                    outer, _, inner = field.partition(".")
                    rest = (inner,) if inner else ()
                    for index, name in enumerate(value):
                        if name is not None and name not in known:
                            users.setdefault((target, name), []).append((resource, ("spec", outer, index, *rest)))
                elif value is not None and value not in known:
                    users.setdefault((target, value), []).append((resource, ("spec", field)))
    for (target, name), places in users.items():
        # One for all who name it: of what was removed while in use, the list of users is what is asked for.
        places.sort(key=lambda place: (place[0].source.file, place[0].source.line))
        why = catalogue.named_users({resource.key: resource for resource, _ in places}.values())
        hint = _hint(name, target, names[target])
        yield Finding("dangling-reference", *places[0], f"{target} {name!r} is not declared", why, hint)


def _hint(name: str, target: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    return (
        f"declare the {target}, or correct the name; {count_are(len(known), target)} declared"
        if known
        else f"declare the {target}; no {target} is declared yet"
    )


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
                written, system = other.spec.bmc.address, f" and system {bmc.system_id!r}" if bmc.system_id else ""
                spelled = "" if written == bmc.address else f", written {written!r}"
                what = f"{other.key} has the same BMC{system}{spelled}"
                hint = "correct spec.bmc.address, or give each machine its own spec.bmc.systemId"
                yield Finding(
                    "duplicate-bmc",
                    machine,
                    ("spec", "bmc", "address"),
                    what,
                    f"{other.key} is at {other.source}",
                    hint,
                )
        systems.setdefault(bmc.system_id, machine)


def _duplicate_macs(machines: list[Resource[MachineSpec]]) -> Iterator[Finding]:
    owners: dict[str, Resource[MachineSpec]] = {}
    for machine in machines:
        for index, mac in enumerate(machine.spec.macs):
            other = owners.get(mac)
            if other is None:
                owners[mac] = machine
            else:
                what = f"{other.key} also has the MAC address {mac}"
                path = ("spec", "macs", index)
                yield Finding(
                    "duplicate-mac",
                    machine,
                    path,
                    what,
                    (f"{other.key} is at {other.source}"),
                    "correct one of the two documents",
                )
