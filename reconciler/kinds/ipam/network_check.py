"""The rules between the fields of one Network: what its type permits, its prefixes, and its VRF. Pure."""

from __future__ import annotations

from reconciler.kinds.common.kind import RuleFinding
from reconciler.kinds.ipam.network import Nat, NetworkSpec, NetworkType, family_and_length, family_of
from reconciler.model.resource import Resource

_FORBIDDEN: dict[NetworkType, dict[str, str]] = {
    NetworkType.SUPER: {
        "spec.parent": "a network of type Super has no parent",
        "spec.prefixLength": "a network of type Super declares its prefixes",
        "spec.nat": "a network of type Super contains no machines, so there is no traffic to masquerade",
        "spec.vrf.network": "a network of type Super cannot share the VRF of another network",
    },
    NetworkType.UNDERLAY: {
        "spec.parent": "a network of type Underlay declares its own prefixes",
        "spec.nat": "traffic into a network of type Underlay cannot be masqueraded",
        "spec.project": "a network of type Underlay belongs to no project",
    },
    NetworkType.EXTERNAL: {"spec.parent": "a network of type External declares its own prefixes"},
    NetworkType.PRIVATE: {},
    NetworkType.SHARED: {},
}
"""What a type of network does not have, and why (metal-api, network-service.go)."""


def check_network(resource: Resource[NetworkSpec]) -> list[RuleFinding]:
    """The rules between a network's type and its fields."""
    spec = resource.spec
    given = {
        "spec.parent": spec.parent is not None,
        "spec.prefixLength": spec.prefix_length is not None,
        "spec.nat": spec.nat is not Nat.NONE,
        "spec.project": spec.project is not None,
        "spec.vrf.network": spec.vrf is not None and spec.vrf.network is not None,
    }
    found = [
        RuleFinding(
            "network-type",
            field,
            f"a network of type {spec.type} cannot have {field}",
            f"remove {field}: {why}",
        )
        for field, why in _FORBIDDEN[spec.type].items()
        if given[field]
    ]
    found.extend(_super_only(spec))
    if not spec.prefixes and spec.parent is None:
        hint = "add spec.prefixes" + (
            ", or add spec.parent, from which the IPAM takes prefixes"
            if "spec.parent" not in _FORBIDDEN[spec.type]
            else ""
        )
        found.append(RuleFinding("network-type", "spec", "the network has no prefixes", hint))
    if spec.parent is None and spec.prefix_length is not None and spec.type is not NetworkType.SUPER:
        hint = "remove spec.prefixLength, or add spec.parent"
        found.append(
            RuleFinding(
                "network-type",
                "spec.prefixLength",
                "the IPAM chooses prefixes only for a child network, and this network has no parent",
                hint,
            )
        )
    if spec.type is NetworkType.UNDERLAY:
        found.extend(_underlay(spec))
    if spec.nat is Nat.IPV4_MASQUERADE and spec.prefixes and not any(family_of(p.cidr) == 4 for p in spec.prefixes):
        found.append(
            RuleFinding(
                "network-type",
                "spec.nat",
                "the network has no IPv4 prefix, so there is no traffic to masquerade",
                "remove spec.nat",
            )
        )
    found.extend(_vrf_faults(spec))
    return found


def _super_only(spec: NetworkSpec) -> list[RuleFinding]:
    if spec.type is not NetworkType.SUPER:
        given = {
            "spec.childPrefixLength": spec.child_prefix_length is not None,
            "spec.announceable": bool(spec.announceable),
        }
        return [
            RuleFinding(
                "network-type",
                field,
                f"only a network of type Super can have {field}",
                f"remove {field}, or set spec.type to Super",
            )
            for field, there in given.items()
            if there
        ]
    lengths = spec.child_prefix_length.by_family() if spec.child_prefix_length else {}
    found = []
    for family in sorted({family_of(p.cidr) for p in spec.prefixes} - lengths.keys()):
        what = f"spec.childPrefixLength has no entry for IPv{family}"
        found.append(
            RuleFinding(
                "child-prefix-length", "spec.childPrefixLength", what, f"add spec.childPrefixLength.IPv{family}: LENGTH"
            )
        )
    for prefix in spec.prefixes:
        family, length = family_and_length(prefix.cidr)
        if family in lengths and lengths[family] <= length:
            what = f"child prefixes of /{lengths[family]} do not fit into {prefix.cidr}"
            path = f"spec.childPrefixLength.IPv{family}"
            found.append(RuleFinding("child-prefix-length", path, what, f"set {path} to {length + 1} or more"))
    return found


def _underlay(spec: NetworkSpec) -> list[RuleFinding]:
    found = [
        RuleFinding(
            "network-type",
            f"spec.prefixes.{index}.cidr",
            "a network of type Underlay has only IPv4 prefixes",
            "remove the prefix",
        )
        for index, prefix in enumerate(spec.prefixes)
        if family_of(prefix.cidr) != 4
    ]
    if spec.partition is None:
        found.append(
            RuleFinding("network-type", "spec", ("a network of type Underlay needs a partition"), "add spec.partition")
        )
    return found


def _vrf_faults(spec: NetworkSpec) -> list[RuleFinding]:
    vrf = spec.vrf
    if vrf is None:
        return []
    if (vrf.pool is None) == (vrf.network is None):
        said = "both pool and network" if vrf.pool else "neither pool nor network"
        return [
            RuleFinding(
                "network-vrf",
                "spec.vrf",
                f"spec.vrf has {said}",
                "set exactly one of spec.vrf.pool and spec.vrf.network",
            )
        ]
    if vrf.number is not None and vrf.pool is None:
        return [
            RuleFinding(
                "network-vrf",
                "spec.vrf.number",
                "spec.vrf.number cannot be set together with spec.vrf.network: the VRF number comes from that network",
                "remove spec.vrf.number",
            )
        ]
    return []
