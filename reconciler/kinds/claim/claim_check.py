"""The rules of one MachineClaim that its schema cannot express. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from reconciler.kinds.claim.spec import MachineClaimSpec, TolerationOperator
from reconciler.kinds.common.consoles.ssh_keys import check_public_keys
from reconciler.kinds.common.kind import RuleFinding
from reconciler.model.resource import Resource

_BRACED = re.compile(r"\{[^{}]*\}?|\}")
LONGEST_LABEL, LONGEST_NAME = 63, 253
"""Characters of a host name (RFC 1035, 2.3.4)."""


def check_claim(resource: Resource[MachineClaimSpec]) -> list[RuleFinding]:
    """Rules of one MachineClaim that a schema cannot say."""
    spec = resource.spec
    return [*_machines(spec), *_addresses(spec), *_hostname(spec, resource.key.name), *_values(spec)]


def _machines(spec: MachineClaimSpec) -> Iterator[RuleFinding]:
    if spec.size is None and not spec.selector and not spec.machines:
        hint = "add size, selector or machines"
        yield RuleFinding("claim-of-anything", "spec", "the claim does not say which machines it wants", hint)
    named = set(spec.machines) - set(spec.without)
    if spec.machines and len(named) < spec.count:
        what = f"spec.count is {spec.count}, but spec.machines names only {len(named)}"
        yield RuleFinding("too-few-machines", "spec.machines", what, "name more machines, or lower count")
    for field, names in (("partitions", spec.partitions), ("machines", spec.machines), ("without", spec.without)):
        for index, name in enumerate(names):
            if name in names[:index]:
                yield RuleFinding(
                    "named-twice",
                    f"spec.{field}.{index}",
                    (f"{name} is in the list already"),
                    "remove one of the two entries",
                )


def _addresses(spec: MachineClaimSpec) -> Iterator[RuleFinding]:
    for index, one in enumerate(spec.networks):
        path = f"spec.networks.{index}"
        if any(other.network == one.network for other in spec.networks[:index]):
            yield RuleFinding(
                "named-twice",
                f"{path}.network",
                (f"{one.network} is in the list already"),
                "remove one of the two entries",
            )
        if one.addresses and len(one.addresses) < spec.count:
            what = f"{len(one.addresses)} addresses for {spec.count} machines"
            yield RuleFinding("too-few-addresses", f"{path}.addresses", what, "give one address for each machine")


def _hostname(spec: MachineClaimSpec, claim: str) -> Iterator[RuleFinding]:
    braced = set(_BRACED.findall(spec.hostname))
    if unknown := braced - {"{claim}", "{slot}"}:
        what = f"{min(unknown)} is not a known placeholder"
        yield RuleFinding("hostname-words", "spec.hostname", what, "use only the placeholders {claim} and {slot}")
    elif spec.count > 1 and "{slot}" not in braced:
        what = f"all {spec.count} machines would get the same host name"
        yield RuleFinding("hostname-without-slot", "spec.hostname", what, "add {slot}, such as {claim}-{slot}")
    else:
        last = spec.hostname.replace("{claim}", claim).replace("{slot}", str(max(0, spec.count - 1)))
        if len(last) > LONGEST_NAME or max(map(len, last.split("."))) > LONGEST_LABEL:
            what = (
                f"the host name {last} is too long: at most {LONGEST_NAME} characters in all, and {LONGEST_LABEL} "
                "between two dots"
            )
            yield RuleFinding(
                "hostname-too-long",
                "spec.hostname",
                what,
                ("shorten spec.hostname, or the name of the claim if it is part of the host name"),
            )


def _values(spec: MachineClaimSpec) -> Iterator[RuleFinding]:
    yield from check_public_keys("spec.sshKeys", spec.ssh_keys)
    for index, one in enumerate(spec.tolerations):
        if one.operator is TolerationOperator.EXISTS and one.value is not None:
            path = f"spec.tolerations.{index}.value"
            yield RuleFinding(
                "toleration-value",
                path,
                "operator Exists tolerates any value, so value has no effect",
                "remove value, or remove operator: Exists",
            )
