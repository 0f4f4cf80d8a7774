"""`groundstate boot`: the configuration of a partition's DHCP server."""

from __future__ import annotations

from typing import Any

import click

from reconciler.commands.completion import complete_name
from reconciler.commands.options import option, where_from, where_options
from reconciler.commands.printing import dump
from reconciler.commands.terminal import exit_in_words, say_notes
from reconciler.operations.serving.dhcp_configuration import dnsmasq_configuration, kea_configuration
from reconciler.services.boot.dhcp import TFTP_ROOT


@click.group("boot", short_help="Print DHCP configurations for network boot.")
def boot_group() -> None:
    """Print the configuration of a DHCP server for network boot, from the Partitions' `spec.boot`.

    \b
    Examples:
      groundstate boot dnsmasq fra1 > /etc/dnsmasq.d/groundstate.conf
      groundstate boot kea fra1 > /etc/kea/kea-dhcp4.conf
    """


@boot_group.command("dnsmasq", short_help="Print dnsmasq's configuration.")
@click.argument("partitions", nargs=-1, metavar="[PARTITION]...", shell_complete=complete_name("Partition"))
@option(
    "--tftp-root", default=TFTP_ROOT, metavar="DIR", help="Directory in which dnsmasq finds ipxe.efi and undionly.kpxe."
)
@where_options
def dnsmasq_command(partitions: tuple[str, ...], tftp_root: str, **values: Any) -> None:
    """Print the configuration of a dnsmasq that serves DHCP and TFTP for these partitions, or for all.

    \b
    Examples:
      groundstate boot dnsmasq
      groundstate boot dnsmasq fra1 --tftp-root /srv/tftp
    """
    with exit_in_words():
        made = dnsmasq_configuration(where_from(values), partitions, tftp_root)
    say_notes(made.notes)
    click.echo(made.text, nl=False)


@boot_group.command("kea", short_help="Print the configuration of Kea's DHCPv4 server.")
@click.argument("partitions", nargs=-1, metavar="[PARTITION]...", shell_complete=complete_name("Partition"))
@option("--next-server", metavar="ADDRESS", help="The TFTP server.  [default: the boot service's address]")
@where_options
def kea_command(partitions: tuple[str, ...], next_server: str | None, **values: Any) -> None:
    """Print the configuration of Kea's DHCPv4 server for these partitions, or for all. TFTP needs another program.

    \b
    Examples:
      groundstate boot kea fra1
      groundstate boot kea fra1 --next-server 10.77.0.2
    """
    with exit_in_words():
        made = kea_configuration(where_from(values), partitions, next_server)
    say_notes(made.notes)
    click.echo(dump(made.value, "json"))
