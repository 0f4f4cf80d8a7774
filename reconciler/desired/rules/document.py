"""What one document must keep to beyond its schema, besides its kind's own rules. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from reconciler.kinds import KINDS
from reconciler.kinds.catalogue.image import ImageSpec
from reconciler.kinds.catalogue.partition import PartitionSpec
from reconciler.kinds.common.field_types.bmc_access import BmcDefaults
from reconciler.kinds.common.field_types.bmc_address import address_fault
from reconciler.kinds.common.kind import RuleFinding
from reconciler.kinds.common.machine_inventory import is_derived
from reconciler.kinds.machine.spec import MachineSpec
from reconciler.kinds.sink.spec import EventSinkSpec
from reconciler.model.resource import Resource

_USERINFO = re.compile(r"^(?:[A-Za-z][A-Za-z0-9+.-]*://)?[^/?#]*@")


def check_document(resource: Resource[Any]) -> list[RuleFinding]:
    """Everything that is wrong with one document alone."""
    own = KINDS[resource.key.kind].check
    found = own(resource) if own else []
    spec = resource.spec
    if isinstance(spec, EventSinkSpec):
        found.extend(_sink_kinds(spec))
    if isinstance(spec, MachineSpec):
        found.extend(_derived(resource))
        found.extend(_access(spec.bmc))
        found.extend(_address(spec.bmc.address))
    elif isinstance(spec, PartitionSpec) and spec.bmc:
        found.extend(_access(spec.bmc))
    elif isinstance(spec, ImageSpec):
        for name in ("kernel", "initrd", "root"):
            if artifact := getattr(spec, name):
                found.extend(_userinfo(artifact.url, f"spec.{name}.url"))
    return found


def _derived(machine: Resource[MachineSpec]) -> Iterator[RuleFinding]:
    for label in filter(is_derived, machine.labels):
        hint = "remove the label; groundstate derives this label from the machine's inventory"
        yield RuleFinding("derived-label", "metadata.labels", f"the label {label} cannot be declared", hint)


def _sink_kinds(spec: EventSinkSpec) -> Iterator[RuleFinding]:
    for index, kind in enumerate(spec.send.kinds):
        if kind not in KINDS:
            near = get_close_matches(kind, KINDS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"kinds are {', '.join(KINDS)}"
            yield RuleFinding("sink-kind", f"spec.send.kinds.{index}", f"there is no kind {kind}", hint)


def _access(bmc: BmcDefaults) -> Iterator[RuleFinding]:
    reference, tls = bmc.credential_ref, bmc.tls
    if reference is not None:
        given = [name for name in ("name", "env", "file", "exec") if getattr(reference, name) is not None]
        if len(given) != 1:
            said = " and ".join(given) or "none of name, env, file and exec"
            yield RuleFinding(
                "credential-ref",
                "spec.bmc.credentialRef",
                f"credentialRef has {said}",
                ("give exactly one of name, env, file and exec"),
            )
    if tls is not None:
        trust = {"caFile": tls.ca_file, "fingerprint": tls.fingerprint, "insecure": tls.insecure}
        if len(names := [name for name, value in trust.items() if value]) > 1:
            yield RuleFinding(
                "tls-trust",
                "spec.bmc.tls",
                f"tls has {' and '.join(names)}",
                "keep only one of caFile, fingerprint and insecure",
            )


def _address(address: str) -> Iterator[RuleFinding]:
    path = "spec.bmc.address"
    if "@" in address:
        # The text is not shown where it may hold a password.
        yield from _userinfo(address, path)
    elif fault := address_fault(address):
        what, hint = fault
        yield RuleFinding("bmc-address", path, f"{path}: {address!r} cannot be connected to: {what}", hint)


def _userinfo(url: str, path: str) -> Iterator[RuleFinding]:
    if _USERINFO.match(url):
        hint = "remove the user and the password; name the credentials in credentialRef"
        yield RuleFinding("credentials-in-url", path, f"{path} holds a user or a password", hint)
