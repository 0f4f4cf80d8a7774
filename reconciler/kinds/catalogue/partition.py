"""Partition: a place with machines, its services and its BMCs' common settings."""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta

from reconciler.kinds.common.consoles.console_fields import PartitionConsole, check_admins, check_console
from reconciler.kinds.common.field_types.bmc_access import BmcDefaults
from reconciler.kinds.common.field_types.fields import Address, AddressRange, Cidr, Spec, Text
from reconciler.kinds.common.kind import RuleFinding
from reconciler.model.resource import DesiredState, Resource, ResourceKey


class Discovery(StrEnum):
    """What happens with an undeclared machine that starts from the network."""

    ALLOW = "Allow"
    DENY = "Deny"


class StartFrom(StrEnum):
    """From where a machine starts the agent."""

    NETWORK = "Network"
    VIRTUAL_MEDIA = "VirtualMedia"


class BootNetwork(Spec, frozen=True, kw_only=True):
    """A network over which machines boot."""

    cidr: Annotated[Cidr, Meta(description="The network's IPv4 prefix.")]
    range: Annotated[
        AddressRange,
        Meta(
            description="The addresses that DHCP gives to machines: `first-last`, both included.",
            examples=["10.77.0.100-10.77.0.200"],
        ),
    ]
    router: (
        Annotated[
            Address, Meta(description=("The default gateway that DHCP gives to the machines. The default is none."))
        ]
        | None
    ) = None


class BootService(Spec, frozen=True, kw_only=True):
    """How the machines of the partition boot from the network (`groundstate boot`)."""

    networks: Annotated[
        tuple[BootNetwork, ...],
        Meta(min_length=1, description=("The networks from which machines of the partition boot.")),
    ]
    server: Annotated[
        str,
        Meta(
            pattern=r"^(http://)?[A-Za-z0-9.-]+(:[0-9]{1,5})?/?$",
            max_length=253,
            description="The boot service, reached over plain http: an address or a URL. The default port is 9809.",
            examples=["10.77.0.1", "http://boot.example:9809"],
        ),
    ]
    discovery: Annotated[
        Discovery,
        Meta(
            description="Allow: an undeclared machine that starts from the network is inspected and switched off. "
            "Deny: it starts from its disk."
        ),
    ] = Discovery.DENY
    start_from: (
        Annotated[
            StartFrom,
            Meta(
                description="Network: by PXE, or by UEFI HTTP if the BMC offers no PXE. VirtualMedia: from a CD image "
                "that the BMC fetches from the boot service. The default is Network if the BMC offers it."
            ),
        ]
        | None
    ) = None
    interface: (
        Annotated[
            str,
            Meta(
                pattern=r"^[^\s/]{1,15}$",
                description="The network interface on which the DHCP server listens. The default is all.",
            ),
        ]
        | None
    ) = None


class SwitchingSpec(Spec, frozen=True, kw_only=True):
    """How the machines of the partition are cabled to switches."""

    switches_per_machine: Annotated[
        int,
        Meta(
            ge=1,
            le=8,
            description="To how many switches of one rack each managed machine is cabled, with one port each.",
        ),
    ] = 2


class PartitionSpec(Spec, frozen=True, kw_only=True):
    """A place with machines, such as a room, a row or a site."""

    description: Annotated[Text, Meta(description="What the partition is, for people.")] | None = None
    place: (
        Annotated[Text, Meta(description=("The location of the partition."), examples=["Frankfurt, hall 3"])] | None
    ) = None
    failure_domains: Annotated[
        tuple[str, ...],
        Meta(description="Parts of the partition that fail together, such as racks. The default is none."),
    ] = ()
    dns_servers: Annotated[
        tuple[Address, ...],
        Meta(max_length=3, description="DNS servers for the machines of the partition. The default is none."),
    ] = ()
    ntp_servers: Annotated[
        tuple[str, ...],
        Meta(
            max_length=5,
            description="NTP servers for the machines of the partition: names or addresses. The default is none.",
        ),
    ] = ()
    bmc_networks: Annotated[
        tuple[AddressRange, ...],
        Meta(description=("Prefixes, addresses and ranges in which `groundstate discover` searches for BMCs.")),
    ] = ()
    bmc: (
        Annotated[BmcDefaults, Meta(description="Defaults for `spec.bmc` of the machines of the partition.")] | None
    ) = None
    own_workers: Annotated[
        bool,
        Meta(
            description="true: only daemons that were started with `--partitions` and the name of this partition reach "
            "its BMCs and switches, as at a remote site. While none of them is at work, the machines are `NoWorker`."
        ),
    ] = False
    boot: (
        Annotated[BootService, Meta(description="How the machines of the partition are started from the network.")]
        | None
    ) = None
    console: (
        Annotated[PartitionConsole, Meta(description="The serial consoles of the partition's machines.")] | None
    ) = None
    switching: (
        Annotated[
            SwitchingSpec,
            Meta(
                description="How the machines of the partition are cabled to switches. If this field is absent, the "
                "number of switches is not checked."
            ),
        ]
        | None
    ) = None


def partitions_of(desired: DesiredState) -> list[Resource[PartitionSpec]]:
    """All that are declared, in order."""
    found: list[Resource[PartitionSpec]] = desired.of_kind("Partition")
    return found


def attended_partitions(desired: DesiredState) -> frozenset[str]:
    """The partitions that daemons of their own attend to, and no others."""
    return frozenset(one.key.name for one in partitions_of(desired) if one.spec.own_workers)


def partition_key(name: str) -> ResourceKey:
    """The key of a partition."""
    return ResourceKey("Partition", name)


def check_partition(resource: Resource[PartitionSpec]) -> list[RuleFinding]:
    """Rules of one Partition document that a schema cannot say."""
    found: list[RuleFinding] = []
    boot = resource.spec.boot
    for index, network in enumerate(boot.networks if boot else ()):
        path = f"spec.boot.networks.{index}"
        prefix = ipaddress.ip_network(network.cidr)
        if prefix.version != 4:
            found.append(
                RuleFinding(
                    "boot-network-ipv6",
                    f"{path}.cidr",
                    f"{network.cidr} is an IPv6 prefix",
                    "write an IPv4 prefix: machines start over IPv4 only",
                )
            )
            continue
        given = range_ends(network.range)
        if given is None or any(ipaddress.ip_address(end) not in prefix for end in given):
            what = f"{network.range} is not a range `first-last` in {network.cidr}"
            found.append(RuleFinding("boot-range", f"{path}.range", what, "give its first and its last address"))
        if network.router is not None and ipaddress.ip_address(network.router) not in prefix:
            what = f"{network.router} is not in {network.cidr}: machines in this network cannot reach that router"
            found.append(RuleFinding("boot-router", f"{path}.router", what, "give an address of the network"))
    if (console := resource.spec.console) is not None:
        found += [*check_console("spec.console", console), *check_admins("spec.console.admins", console.admins)]
    return found


HTTP_PORT = 9809
"""The default port of the boot service."""


def service(boot: BootService) -> str:
    """Where the boot service is reached: `10.77.0.1` and `http://10.77.0.1:9809/` as `http://10.77.0.1:9809`."""
    split = urlsplit(boot.server if "//" in boot.server else f"//{boot.server}")
    return f"http://{split.hostname}:{split.port or HTTP_PORT}"


def range_ends(text: str) -> tuple[str, str] | None:
    """The first and the last address of `first-last`; None for anything else."""
    first, dash, last = text.partition("-")
    return (first, last) if dash else None
