"""The iPXE scripts. Pure.

Whatever a machine said of itself is in the form of names.py before it gets into one.
"""

from __future__ import annotations

import msgspec

from reconciler.model.retry import BOOT_SCRIPT, BOOT_SCRIPT_ATTEMPTS

CONSOLES = "console=tty0 console=ttyS0,115200 panic=60"


class Ticket(msgspec.Struct, frozen=True):
    """What the agent gets on its kernel's command line. `pin`: of the API's public key, in curl's form. `mac`: of
    the card that the machine was started over, where that is known."""

    api: str
    pin: str
    token: str
    order: str
    mac: str | None


def first_boot_script(base: str) -> str:
    """What every machine is handed by DHCP: it asks the service at `base` for the script that is its own."""
    # netX is the card that was opened last, so the one that this script came over; the others help to find a machine
    # whose document names another of its cards.
    cards = "&".join(f"mac=${{net{card}/mac:hexhyp}}" for card in ("X", "0", "1", "2", "3"))
    return _script(
        "set attempt:int32 0",
        ":ask",
        f"chain --replace --autofree {base}/boot/${{uuid}}?{cards} ||",
        "inc attempt",
        f"iseq ${{attempt}} {BOOT_SCRIPT_ATTEMPTS} && goto disk ||",
        f"echo The boot service does not answer; next attempt in {BOOT_SCRIPT} s",
        f"sleep {BOOT_SCRIPT}",
        "goto ask",
        ":disk",
        *_DISK,
    )


def to_disk(why: str) -> str:
    """The machine is to start from its disk. `why` is printed."""
    return _script(f"echo groundstate: {why}; starting from disk", *_DISK)


def to_agent(base: str, kernel: str, initrd: str, ticket: Ticket, arguments: str = CONSOLES) -> str:
    """Start the agent: kernel and initrd by their URLs."""
    name = initrd.rpartition("/")[2]
    card = ticket.mac.replace(":", "-") if ticket.mac else "${net0/mac:hexhyp}"
    line = (
        f"gs.api={ticket.api} gs.pin={ticket.pin} gs.token={ticket.token} gs.order={ticket.order} "
        # UEFI's kernels find their initrd by its name; others do not mind.
        f"BOOTIF=01-{card} {arguments} initrd={name}"
    )
    return _script(
        "imgfree",
        f"kernel {kernel} {line} || goto again",
        f"initrd {initrd} || goto again",
        "boot ||",
        ":again",
        f"echo The agent cannot be started; trying again in {BOOT_SCRIPT} s",
        f"sleep {BOOT_SCRIPT}",
        f"chain --replace --autofree {base}/boot.ipxe || goto again",
    )


# UEFI firmware goes on with its own boot order after `exit`; a BIOS may not, so it is given the first disk.
_DISK = ("iseq ${platform} efi && exit ||", "sanboot --no-describe --drive 0x80 ||", "exit")


def _script(*lines: str) -> str:
    return "\n".join(("#!ipxe", *lines, ""))
