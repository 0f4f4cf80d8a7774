"""By which way a machine's BMC is reached, in words: where logins go. Pure."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from reconciler.kinds.common.access.access_rules import AccessRules
from reconciler.kinds.common.field_types.bmc_access import BmcSpec
from reconciler.kinds.machine.declared_options import declared_options
from reconciler.kinds.machine.spec import MachineSpec, machine_access
from reconciler.model.plans.plan import digest
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.model.values.redact import redacted

BMC = "spec.bmc"


def access_words_of(spec: MachineSpec, desired: DesiredState) -> dict[str, str]:
    """Address, driver, credential and trust of a machine in words, by path, with what its partition says for all of its
    machines. What is not said has no entry; never empty."""
    return _endpoint(spec.bmc) | _login(spec, desired)


def _endpoint(bmc: BmcSpec) -> dict[str, str]:
    return _said({"address": redacted(bmc.address), "systemId": bmc.system_id})


def _login(spec: MachineSpec, desired: DesiredState) -> dict[str, str]:
    way = machine_access(spec, desired)
    return _said(
        {
            "driver": way.driver,
            "credentialRef": _credential(msgspec.to_builtins(way.credential_ref)),
            "tls.caFile": way.tls.ca_file,
            "tls.fingerprint": way.tls.fingerprint,
            "tls.insecure": "true" if way.tls.insecure else None,
            "tls.oldCiphers": "true" if way.tls.old_ciphers else None,
            "options": redacted(_text(way.options)),
        }
    )


def _text(options: dict[str, Any]) -> str:
    return msgspec.json.encode(options, order="deterministic").decode() if options else ""


def _said(words: dict[str, str | None]) -> dict[str, str]:
    # One text for each path, however many machines there are.
    return {sys.intern(f"{BMC}.{name}"): value for name, value in words.items() if value}


def access_by_machine(desired: DesiredState) -> Mapping[ResourceKey, dict[str, str]]:
    """The way in of each machine."""
    return desired.derived("access", _access_by_machine)


def _access_by_machine(desired: DesiredState) -> dict[ResourceKey, dict[str, str]]:
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


MACHINE_ACCESS = AccessRules(access_of=machine_access, words=access_by_machine, options=declared_options)
