"""Partition: a place with machines, its services and its BMCs' common settings."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from reconciler.kinds.access import BmcDefaults
from reconciler.kinds.fields import Address, Cidr, Spec, Text


class PartitionSpec(Spec, frozen=True, kw_only=True):
    """A place: a room, a row, a site."""

    description: Annotated[Text, Meta(description="What the partition is, for people.")] | None = None
    place: Annotated[Text, Meta(description="Where it is.", examples=["Frankfurt, hall 3"])] | None = None
    failure_domains: Annotated[
        tuple[str, ...], Meta(description="Names of parts that fail together, such as racks or power feeds.")
    ] = ()
    dns_servers: Annotated[tuple[Address, ...], Meta(max_length=3, description="DNS servers of its machines.")] = ()
    ntp_servers: Annotated[
        tuple[str, ...], Meta(max_length=5, description="NTP servers of its machines, names or addresses.")
    ] = ()
    bmc_networks: Annotated[tuple[Cidr, ...], Meta(description="Prefixes in which its BMCs live.")] = ()
    bmc: Annotated[BmcDefaults, Meta(description="What its machines' `bmc` inherits.")] | None = None
