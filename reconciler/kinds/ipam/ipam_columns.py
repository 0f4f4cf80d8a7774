"""What `get` shows of networks, addresses, pools and numbers."""

from __future__ import annotations

from datetime import datetime

from reconciler.kinds.claim.spec import of_claim
from reconciler.kinds.common.column import NOTHING, Column, ResourceView, observed_column, spec_column
from reconciler.kinds.ipam.network import NetworkState
from reconciler.kinds.ipam.pool import PoolState, pool_size


def _prefixes(view: ResourceView, _: datetime) -> str:
    """Those that it has; those that it is to have while none were seen."""
    seen: NetworkState | None = view.observation.value if view.observation else None
    there = seen.prefixes if seen is not None else None
    if there is None:
        there = view.resource.spec.prefixes if view.resource else ()
    return ",".join(prefix.cidr for prefix in there) or NOTHING


def _in_ipam(seen: NetworkState) -> str:
    return "yes" if seen.prefixes is not None else "no"


def _held(seen: PoolState) -> str | None:
    return None if seen.pool is None else f"{seen.pool.held:,}/{pool_size(seen.pool):,}"


def _ranges(view: ResourceView, _: datetime) -> str:
    return ",".join(view.resource.spec.ranges) if view.resource else NOTHING


def _claim(view: ResourceView, _: datetime) -> str:
    meant = of_claim(view.key)
    return NOTHING if meant is None else str(meant)


POOL_COLUMNS = (Column("RANGES", _ranges), observed_column("HELD", _held))
NETWORK_COLUMNS = (
    spec_column("type", "TYPE"),
    Column("PREFIXES", _prefixes),
    spec_column("project", "PROJECT"),
    observed_column("IPAM", _in_ipam),
    spec_column("parent", "PARENT", wide=True),
    observed_column("VRF", lambda seen: seen.vrf.number if seen.vrf else None, wide=True),
    spec_column("namespace", "NAMESPACE", wide=True),
)
ADDRESS_COLUMNS = (
    spec_column("network", "NETWORK"),
    observed_column("ADDRESS", lambda seen: seen.address or None),
    spec_column("type", "TYPE"),
    Column("CLAIM", _claim),
    spec_column("machine", "MACHINE", wide=True),
    spec_column("dns_name", "DNS NAME", wide=True),
)
NUMBER_COLUMNS = (spec_column("pool", "POOL"), observed_column("NUMBER", lambda seen: seen.number))
