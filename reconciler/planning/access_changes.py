"""Where logins go: a machine's way in as it is declared, beside the one that was in force. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from reconciler.kinds.common.bmc_access import BmcSpec, system_address
from reconciler.kinds.machine.spec import MachineSpec, way_to
from reconciler.model.access import AccessChange
from reconciler.model.facts import NO_FACTS, ResourceFacts
from reconciler.model.plan import digest
from reconciler.model.redact import redacted
from reconciler.model.resource import DesiredState, ResourceKey

BMC = "spec.bmc"


def way_in(spec: MachineSpec, desired: DesiredState) -> dict[str, str]:
    """Address, driver, credential and trust of a machine in words, by path, with what its partition says for all of its
    machines. What is not said has no entry; never empty."""
    return _endpoint(spec.bmc) | _login(spec, desired)


def _endpoint(bmc: BmcSpec) -> dict[str, str]:
    return _said({"address": redacted(bmc.address), "systemId": bmc.system_id})


def _login(spec: MachineSpec, desired: DesiredState) -> dict[str, str]:
    way = way_to(spec, desired)
    return _said(
        {
            "driver": way.driver,
            "credentialRef": _credential(msgspec.to_builtins(way.credential_ref)),
            "tls.caFile": way.tls.ca_file,
            "tls.fingerprint": way.tls.fingerprint,
            "tls.insecure": "true" if way.tls.insecure else None,
            "options": redacted(_text(way.options)),
        }
    )


def _text(options: dict[str, Any]) -> str:
    return msgspec.json.encode(options, order="deterministic").decode() if options else ""


def _said(words: dict[str, str | None]) -> dict[str, str]:
    return {f"{BMC}.{name}": value for name, value in words.items() if value}


def ways_in(desired: DesiredState) -> Mapping[ResourceKey, dict[str, str]]:
    """The way in of each machine."""
    return desired.derived("ways in", _ways_in)


def _ways_in(desired: DesiredState) -> dict[ResourceKey, dict[str, str]]:
    # A fleet has thousands of addresses and a handful of logins.
    logins: dict[object, dict[str, str]] = {}
    found = {}
    for machine in desired.of_kind("Machine"):
        spec = machine.spec
        if not isinstance(spec, MachineSpec):
            continue
        same = (spec.partition, spec.bmc.driver, spec.bmc.credential_ref, spec.bmc.tls, _text(spec.bmc.options))
        if same not in logins:
            logins[same] = _login(spec, desired)
        found[machine.key] = _endpoint(spec.bmc) | logins[same]
    return found


def access_changes(desired: DesiredState, remembered: Mapping[ResourceKey, ResourceFacts]) -> tuple[AccessChange, ...]:
    """The machines whose way in is not the one in force, in the order of names; those that are new are among them.

    `remembered`: before this state is taken in. A machine at the place of one that is gone is that one.
    """
    gone = {(key.kind, facts.place): facts.access for key, facts in remembered.items() if key not in desired.resources}
    found = []
    for key, after in ways_in(desired).items():
        resource = desired.resources[key]
        known = remembered.get(key, NO_FACTS)
        before = known.access if key in remembered else gone.get((key.kind, system_address(resource.spec.bmc)), {})
        if after != before:
            found.append(AccessChange(key, before, after, resource.source))
    return tuple(sorted(found, key=lambda one: one.key))


def access_words(change: AccessChange) -> str:
    """`spec.bmc.address: https://10.1.0.11 -> https://10.1.0.12`; several are joined by semicolons."""
    return "; ".join(f"{path}: {was or '(none)'} -> {to or '(none)'}" for path, was, to in change.differences)


def _credential(reference: Any) -> str | None:
    """`name bmc`; of a command its first word alone, as its arguments may be what is to be kept secret."""
    if not isinstance(reference, dict):
        return None
    said = {name: value for name, value in reference.items() if value is not None}
    return ", ".join(f"{name} {_word(value)}" for name, value in sorted(said.items())) or None


def _word(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"{value[0] if value else ''} with arguments {digest(value[1:])}"
    return str(value)
