"""`groundstate discover`: look for BMCs, and write a Machine document for each system behind them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from drivers.base import clean
from reconciler.commands.options import option, where_from, where_options
from reconciler.commands.plan_command import fleet_bar
from reconciler.commands.terminal import EXIT_ERROR, exit_in_words, say_notes
from reconciler.onboarding.discovery import HTTPS
from reconciler.operations.onboarding.deliver_proposals import Delivery
from reconciler.operations.onboarding.discover_cabling import discover_cabling
from reconciler.operations.onboarding.discover_machines import DiscoverRequest, discover_machines
from reconciler.operations.where import Where


@click.command("discover", short_help="Find BMCs; write Machine documents for them.")
@click.argument("ranges", nargs=-1, metavar="[RANGE]...")
@click.option(
    "--leases",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A lease file of dnsmasq or Kea (memfile): its addresses are probed.",
)
@click.option(
    "--partition",
    metavar="NAME",
    help=("The Partition of the found machines.  [default: the Partition whose bmcNetworks contain the address]"),
)
@option("--port", default=HTTPS, type=click.IntRange(1, 65535), help="TCP port of the BMCs.")
@option(
    "--rate", default=50.0, type=click.FloatRange(0.1, 10_000), help=("Maximum number of addresses probed in a second.")
)
@option(
    "--concurrency",
    default=32,
    type=click.IntRange(1, 1024),
    help=("Maximum number of addresses that are probed at the same time."),
)
@option(
    "--connect-timeout",
    default=2.0,
    type=click.FloatRange(0.1, 60),
    help="Maximum number of seconds for a connection.",
)
@click.option("--insecure", is_flag=True, help="Trust any certificate; the documents get tls.insecure.")
@click.option("--ca-file", metavar="FILE", help="Trust the authorities in this file; the documents get tls.caFile.")
@click.option("--fingerprint", metavar="SHA256", help="Trust this certificate; the documents get tls.fingerprint.")
@click.option("--yes", is_flag=True, help="Allow scanning more than 65,536 addresses.")
@click.option("--out", metavar="DIR", help="Write a file for each machine there, instead of all to stdout.")
@click.option(
    "--branch", metavar="NAME", help=("Commit the files on this branch; the work tree and HEAD are not changed.")
)
@click.option("--push", is_flag=True, help="Push that branch to origin.")
@click.option("--cabling", is_flag=True, help="Propose spec.ports of the declared switches, from LLDP at both ends.")
@where_options
def discover_command(out: str | None, branch: str | None, push: bool, cabling: bool, **values: Any) -> None:
    """Search for BMCs in RANGEs (a prefix, a range a-b, address:port), in DHCP leases, or in the bmcNetworks of the
    Partitions.

    Each Redfish service gets exactly one login, with the credentialRef of its Partition. Each system becomes a Machine
    document with lifecycle.mode Observe. Without tls, and without a CA of this host that signed the certificate, the
    document gets the fingerprint of the certificate. Declared machines are skipped, so a second run finds nothing new.

    With --cabling, no address is searched: the latest observations of switches and inventories of machines are compared
    with spec.ports of the Switch documents. The changes are printed, and the changed documents, or written to --out.

    Exit codes: 0 done, 1 a BMC was found and could not be read.

    \b
    Examples:
      groundstate discover --out machines                  search bmcNetworks of the partitions
      groundstate discover 10.1.0.0/24 --partition fra1
      groundstate discover --leases /var/lib/misc/dnsmasq.leases --branch found --push
      groundstate discover --cabling --out proposed      Switch documents with the ports that LLDP reports
    """
    where = where_from(values)
    if cabling:
        _cabling(where, out, alone=not (values["ranges"] or values["leases"] or branch or push))
        return
    if push and branch is None:
        raise click.UsageError("--push needs --branch")
    tls = _trust(values)
    if tls is not None and len(tls) > 1:
        raise click.UsageError("give only one of --insecure, --ca-file and --fingerprint")
    values["timeout"] = values.pop("connect_timeout")
    request = DiscoverRequest(tls=tls, many=values.pop("yes"), delivery=Delivery(out, branch, push), **values)
    with exit_in_words(), fleet_bar("Searching for BMCs") as probed:
        found = discover_machines(where, request, _say, probed)
    say_notes(found.notes)
    if out is None and branch is None and found.documents:
        click.echo("---\n".join(found.documents.values()), nl=False)
    if found.unreadable:
        raise click.exceptions.Exit(EXIT_ERROR)


def _cabling(where: Where, out: str | None, *, alone: bool) -> None:
    if not alone:
        raise click.UsageError("--cabling reads the store; leave out ranges, --leases, --branch and --push")
    with exit_in_words():
        documents = discover_cabling(where, out, _say)
    if out is None and documents:
        click.echo("---\n".join(documents.values()), nl=False)


def _trust(values: dict[str, Any]) -> dict[str, Any] | None:
    """The trust that is named on the command line, as a document has it."""
    names = {"insecure": "insecure", "ca_file": "caFile", "fingerprint": "fingerprint"}
    given = {word: values.pop(name) for name, word in names.items()}
    return {word: value for word, value in given.items() if value} or None


def _say(text: str) -> None:
    """A line for people, on stderr."""
    # What BMCs and lease files say stands in it.
    click.echo(clean(text), err=True)
