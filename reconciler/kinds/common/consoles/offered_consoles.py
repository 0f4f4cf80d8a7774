"""What a BMC says of its consoles, in words. A hint for people: groundstate does nothing because of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from drivers.base import ConsoleOffer, ConsoleUse
from reconciler.kinds.common.machine_inventory import StoredInventory

_USES = {ConsoleUse.SERIAL: "serial console", ConsoleUse.SHELL: "shell", ConsoleUse.GRAPHICAL: "screen"}


def serial_offers(inventory: StoredInventory) -> str:
    """The ways to the serial console that the BMC reports; empty where it reports none."""
    kept = inventory.out_of_band
    offers = kept.value.consoles or () if kept is not None and kept.value is not None else ()
    return ", ".join(_way(one) for one in offers if one.use is ConsoleUse.SERIAL)


def console_hint(inventory: StoredInventory) -> str:
    """The same as a sentence without its end; empty where the BMC reports none."""
    offers = serial_offers(inventory)
    return f"the BMC says that it offers the serial console over {offers}" if offers else ""


def offered_consoles(offers: Iterable[ConsoleOffer]) -> list[str]:
    """A line for each sort of console."""
    ways: dict[ConsoleUse, list[str]] = {}
    for one in sorted(offers):
        ways.setdefault(one.use, []).append(_way(one))
    return [f"{_USES[use]}: {', '.join(listed)}" for use, listed in ways.items()]


def _way(offer: ConsoleOffer) -> str:
    port = f" on port {offer.port}" if offer.port else ""
    return f"{offer.protocol}{port}{' (off)' if offer.enabled is False else ''}"
