"""`groundstate boot`: the configuration of a partition's DHCP server, and the image of the agent."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from reconciler.commands.caller import user_cache_folder
from reconciler.commands.completion import complete_name
from reconciler.commands.options import option, where_from, where_options
from reconciler.commands.printing import dump
from reconciler.commands.terminal import exit_in_words, say_notes
from reconciler.operations.serving.agent_image import image_recipe
from reconciler.operations.serving.dhcp_configuration import dnsmasq_configuration, kea_configuration
from reconciler.services.boot.dhcp import TFTP_ROOT


@click.group("boot", short_help="Prepare network boot: DHCP configurations, the agent's image.")
def boot_group() -> None:
    """Print the configuration of a DHCP server for network boot, from the Partitions' `spec.boot`, or make the agent's
    image.

    \b
    Examples:
      groundstate boot dnsmasq fra1 > /etc/dnsmasq.d/groundstate.conf
      groundstate boot kea fra1 > /etc/kea/kea-dhcp4.conf
      groundstate boot image --out /srv/groundstate/agent
    """


@boot_group.command("image", short_help="Make the image of the agent.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder for the four files.")
@click.option(
    "--kernel",
    type=click.Choice(["amd64", "cloud-amd64"]),
    default="amd64",
    show_default=True,
    help="amd64: for real servers. cloud-amd64: smaller, for virtual machines only.",
)
@click.option(
    "--ca", type=click.Path(path_type=Path), metavar="FILE", help="Certificate authority that the agent trusts."
)
def image_command(out: Path, kernel: str, ca: Path | None) -> None:
    """Make vmlinuz, initrd, agent.iso and manifest.json on a Debian host, for `groundstate run --boot-image DIR`.

    The programs in the image are copies of those on this host. If some are missing, the line that installs them is
    printed. The kernel and a boot loader are fetched with apt, and only unpacked.

    \b
    Examples:
      groundstate boot image --out /srv/groundstate/agent
      groundstate boot image --out agent --kernel cloud-amd64
    """
    with exit_in_words():
        recipe = image_recipe()
    cache = user_cache_folder() or Path(tempfile.gettempdir())
    options = {"--out": out.absolute(), "--kernel": kernel, "--cache": cache / "discovery"}
    if ca is not None:
        options["--ca"] = ca.absolute()
    words = [str(word) for pair in options.items() for word in pair]
    done = subprocess.run([sys.executable, "-m", "deploy.discovery.build", *words], cwd=recipe, check=False)
    raise click.exceptions.Exit(done.returncode)


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
