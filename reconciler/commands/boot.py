"""`groundstate boot`: what the DHCP server of a partition is to be told."""

from __future__ import annotations

import json
from typing import Any

import click

from reconciler.commands.completion import complete_name
from reconciler.commands.options import option, where_from, where_options
from reconciler.commands.workspace import exit_in_words, fail, open_desired_source, read_or_exit
from reconciler.services.boot import dhcp
from reconciler.services.boot.boot_settings import BootError


@click.group("boot", short_help="Print DHCP configurations for network boot.")
def boot_group() -> None:
    """Make the configuration of the DHCP server that leads machines to the boot service, from the Partitions'
    `spec.boot`.

    \b
    Examples:
      groundstate boot dnsmasq fra1 > /etc/dnsmasq.d/groundstate.conf
      groundstate boot kea fra1 > /etc/kea/kea-dhcp4.conf
    """


@boot_group.command("dnsmasq", short_help="Print dnsmasq's configuration.")
@click.argument("partitions", nargs=-1, metavar="[PARTITION]...", shell_complete=complete_name("Partition"))
@option("--tftp-root", default=dhcp.TFTP_ROOT, metavar="DIR", help="Where dnsmasq finds ipxe.efi and undionly.kpxe.")
@where_options
def dnsmasq_command(partitions: tuple[str, ...], tftp_root: str, **values: Any) -> None:
    """Print the configuration of a dnsmasq that serves DHCP and TFTP for these partitions, or for all.

    \b
    Examples:
      groundstate boot dnsmasq
      groundstate boot dnsmasq fra1 --tftp-root /srv/tftp
    """
    found = _parts(partitions, values)
    click.echo(dhcp.dnsmasq(found, tftp_root), nl=False)


@boot_group.command("kea", short_help="Print the configuration of Kea's DHCPv4 server.")
@click.argument("partitions", nargs=-1, metavar="[PARTITION]...", shell_complete=complete_name("Partition"))
@option("--next-server", metavar="ADDRESS", help="The TFTP server.  [default: the boot service's address]")
@where_options
def kea_command(partitions: tuple[str, ...], next_server: str | None, **values: Any) -> None:
    """Print the configuration of Kea's DHCPv4 server for these partitions, or for all. TFTP is another program's.

    \b
    Examples:
      groundstate boot kea fra1
      groundstate boot kea fra1 --next-server 10.77.0.2
    """
    found = _parts(partitions, values)
    try:
        click.echo(json.dumps(dhcp.kea(found, next_server), indent=2))
    except BootError as error:
        fail(str(error))


def _parts(names: tuple[str, ...], values: dict[str, Any]) -> list[dhcp.DhcpPartition]:
    where = where_from(values)
    with exit_in_words():
        desired = read_or_exit(open_desired_source(where))
    declared = {one.key.name: one for one in desired.of_kind("Partition")}
    if missing := [name for name in names if name not in declared]:
        fail(f"there is no partition {missing[0]!r}; there are {', '.join(declared) or 'none'}")
    silent = [name for name in names if declared[name].spec.boot is None]
    if silent:
        fail(f"partition {silent[0]} has no spec.boot, which says over which networks machines are started; add it")
    try:
        return dhcp.parts(declared[name] for name in names or declared)
    except BootError as error:
        fail(str(error))
