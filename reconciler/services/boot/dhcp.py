"""The DHCP server's side of the network boot, made from Partition documents: dnsmasq's configuration, and Kea's. Pure.

By the architecture that a machine reports (RFC 4578, 2.1), it gets iPXE over TFTP, or over HTTP where its firmware
starts from that. IPXE asks again, says so in its user class, and is given the boot service's script."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from reconciler.kinds.catalogue.partition import BootNetwork, BootService, PartitionSpec, range_ends, service
from reconciler.model.resource import Resource
from reconciler.services.boot.boot_settings import BootError

BIOS, EFI, EFI_HTTP = (0,), (7, 9), (16,)
"""Client architectures: BIOS; UEFI on x86-64, by both numbers that firmware uses; the same, starting over HTTP."""

LEASE_SECONDS = 600

TFTP_ROOT = "/usr/lib/ipxe"
"""Where Debian's package ipxe puts the boot programs."""


class DhcpPartition(msgspec.Struct, frozen=True):
    """One partition: its name, what it says of booting, and what else its machines get."""

    name: str
    boot: BootService
    dns: tuple[str, ...]
    ntp: tuple[str, ...]

    @property
    def base(self) -> str:
        """The boot service's URL, without a path."""
        return service(self.boot)


def network_booted_partitions(partitions: Iterable[Resource[PartitionSpec]]) -> list[DhcpPartition]:
    """Those that start machines from the network, by name. Raises BootError when there is none."""
    found = [
        DhcpPartition(one.key.name, one.spec.boot, one.spec.dns_servers, one.spec.ntp_servers)
        for one in sorted(partitions, key=lambda one: one.key)
        if one.spec.boot is not None
    ]
    if not found:
        raise BootError("no partition has spec.boot, which names the boot networks; add spec.boot")
    return found


# -- dnsmasq -----------------------------------------------------------------------------------------------------------


def dnsmasq(partitions: Sequence[DhcpPartition], tftp_root: str = TFTP_ROOT) -> str:
    """A whole configuration file, for a dnsmasq that does nothing else."""
    lines = ["# Made by `groundstate boot dnsmasq`; changes belong into the Partition documents."]
    # No DNS; and on the networks' cards alone, those that come later among them.
    lines += ["port=0", "bind-dynamic", "log-dhcp", "enable-tftp", f"tftp-root={tftp_root}"]
    lines += [f"interface={name}" for name in dict.fromkeys(p.boot.interface for p in partitions) if name]
    lines += [""]
    for tag, codes in (("bios", BIOS), ("efi", EFI), ("efihttp", EFI_HTTP)):
        lines += [f"dhcp-match=set:{tag},option:client-arch,{code}" for code in codes]
    lines += ["dhcp-userclass=set:ipxe,iPXE"]
    # `tag:!ipxe`: else iPXE would be given itself again.
    lines += ["dhcp-boot=tag:!ipxe,tag:bios,undionly.kpxe", "dhcp-boot=tag:!ipxe,tag:efi,ipxe.efi"]
    # Firmware that starts over HTTP takes no offer that does not say so (UEFI 2.10, 24.7.3.1).
    lines += ["dhcp-option-force=tag:!ipxe,tag:efihttp,option:vendor-class,HTTPClient"]
    for number, part in enumerate(partitions):
        lines += ["", f"# Partition {part.name}", *_dnsmasq_part(f"part{number}", part)]
    return "\n".join(lines) + "\n"


def _dnsmasq_part(tag: str, part: DhcpPartition) -> Iterator[str]:
    for number, network in enumerate(part.boot.networks):
        prefix, (first, last) = ipaddress.ip_network(network.cidr), _ends(network)
        own = f"{tag}net{number}"
        yield f"dhcp-range=set:{own},{first},{last},{prefix.netmask},{LEASE_SECONDS}s"
        yield f"dhcp-boot=tag:{own},tag:ipxe,{part.base}/boot.ipxe"
        yield f"dhcp-boot=tag:{own},tag:!ipxe,tag:efihttp,{part.base}/ipxe.efi"
        # Without a value the option is left out, where dnsmasq would name itself.
        yield ",".join((f"dhcp-option=tag:{own},option:router", *filter(None, [network.router])))
        for name, addresses in (("dns-server", part.dns), ("ntp-server", part.ntp)):
            if chosen := _ipv4(addresses):
                yield ",".join((f"dhcp-option=tag:{own},option:{name}", *chosen))


# -- Kea ---------------------------------------------------------------------------------------------------------------


def kea(partitions: Sequence[DhcpPartition], next_server: str | None = None) -> dict[str, Any]:
    """The configuration of Kea's DHCPv4 server. `next_server`: the TFTP server's address, if it is not that of the
    boot service. Raises BootError."""
    bases = sorted({part.base for part in partitions})
    if len(bases) > 1:
        names, servers = ", ".join(part.name for part in partitions), ", ".join(bases)
        raise BootError(
            f"partitions {names} have different boot servers ({servers}); give one of these partitions to the command"
        )
    cards = [name for name in dict.fromkeys(part.boot.interface for part in partitions) if name]
    networks = [(part, network) for part in partitions for network in part.boot.networks]
    return {
        "Dhcp4": {
            "interfaces-config": {"interfaces": cards or ["*"]},
            "valid-lifetime": LEASE_SECONDS,
            "next-server": next_server or _tftp_address(bases[0]),
            "client-classes": _kea_classes(bases[0]),
            "subnet4": [_kea_subnet(number, *each) for number, each in enumerate(networks, start=1)],
        }
    }


def _tftp_address(service: str) -> str:
    name = urlsplit(service).hostname or ""
    if not _ipv4([name]):
        raise BootError(
            f"the boot server {name} is a name, but DHCP needs the address of the TFTP server; give the address"
        )
    return name


def _kea_classes(service: str) -> list[dict[str, Any]]:
    ipxe = "substring(option[77].hex,0,4) == 'iPXE'"

    def of(codes: tuple[int, ...]) -> str:
        architecture = " or ".join(f"option[93].hex == 0x{code:04x}" for code in codes)
        return f"({architecture}) and not member('ipxe')"

    client = {"name": "vendor-class-identifier", "data": "HTTPClient", "always-send": True}
    return [
        {"name": "ipxe", "test": ipxe, "boot-file-name": f"{service}/boot.ipxe"},
        {"name": "bios", "test": of(BIOS), "boot-file-name": "undionly.kpxe"},
        {"name": "efi", "test": of(EFI), "boot-file-name": "ipxe.efi"},
        {
            "name": "efi-http",
            "test": of(EFI_HTTP),
            "boot-file-name": f"{service}/ipxe.efi",
            "option-data": [client],
        },
    ]


def _kea_subnet(number: int, part: DhcpPartition, network: BootNetwork) -> dict[str, Any]:
    first, last = _ends(network)
    options = {
        "routers": [network.router] if network.router else [],
        "domain-name-servers": _ipv4(part.dns),
        "ntp-servers": _ipv4(part.ntp),
    }
    return {
        "id": number,
        "subnet": network.cidr,
        "pools": [{"pool": f"{first} - {last}"}],
        "option-data": [{"name": name, "data": ", ".join(data)} for name, data in options.items() if data],
    }


# -- both --------------------------------------------------------------------------------------------------------------


def _ends(network: BootNetwork) -> tuple[str, str]:
    found = range_ends(network.range)
    if found is None:  # kinds/catalogue/partition.py has refused it
        raise BootError(f"{network.range} is not a range first-last")
    return found


def _ipv4(texts: Iterable[str]) -> list[str]:
    """Those that are IPv4 addresses: DHCP hands out no names, and this one no IPv6."""
    found = []
    for text in texts:
        try:
            found.append(str(ipaddress.IPv4Address(text)))
        except ValueError:
            continue
    return found
