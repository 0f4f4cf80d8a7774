"""Writes docs/faults.md: `python -m docs.faults`. For each preset of a fault, what groundstate really does with it.

Each fault has a BMC of its own in memory, and a fleet of one machine, in virtual time. `tests/loop/test_faults_page.py`
compares the page with a run."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from drivers.base import Credential, Endpoint, Inventory, PowerState, with_all
from drivers.bmc.redfish.redfish import RedfishDriver
from drivers.bmc.simulator.bmc_profile import built_in_profile
from drivers.bmc.simulator.fleet.fault_presets import PRESETS, FaultPreset
from drivers.bmc.simulator.fleet.fault_rules import FaultRule
from drivers.bmc.simulator.fleet.memory_connection import memory_address, memory_driver
from drivers.bmc.simulator.fleet.simulated_fleet import SimulatedFleet, SimulatedWrite
from reconciler import runtime
from reconciler.model.event import Event, EventType
from reconciler.model.resource import ResourceKey
from tests.loop.world import World, declare

PAGE = Path(__file__).parent / "faults.md"
SECONDS = 1800.0
LOGIN = Credential("operator", "simulated")
MACHINE = ResourceKey("Machine", "m1")
ONCE = {"power": "On", "boot": {"target": "Pxe", "enabled": "Once", "request": "1"}}
OF_BOOT = ("F13", "F16", "F18", "F19", "F22", "F28a")
DECLARED: dict[str, dict[str, Any]] = {
    **dict.fromkeys(OF_BOOT, ONCE),
    "F04": {"power": "Off"},
    "F23": {"boot": {"target": "Pxe", "enabled": "Continuous"}},
}
"""What is declared of the machine; all others: `power: On`. The machine is off before, or on where it is to be off."""
ON_BEFORE = ("F01",)
"""Faults of a machine that is on, as declared."""
PROFILE_OF = {"F46": "supermicro", "F52": "tasks", "F58a": "supermicro"}
"""Profiles of the BMCs: without $expand, or with Tasks. All others are generic."""
BESIDE = ("F46", "F58a", "F64a", "F65d")
"""Faults that only an inventory or virtual media meets."""
TEXT = """\
# Faults of BMCs

<!-- Made by `python -m docs.faults` from a run; changes belong into the program. -->

Each of these faults was reported from real BMCs. [Simulated BMCs](bmc-sim.md) have them on order: `fault: F13` in a
file of rules. This page shows what groundstate did with each fault within 30 minutes of virtual time. One machine is
declared, and its BMC has the fault from the start.

*Writes* are the requests that arrived at the BMC and could change something. *Events* are those of the machine in the
audit ledger, in their order ([events](reference/events.md)). The message is what an operator sees of the first problem.

A write that was refused or had no effect is sent again. The waits are 5 s, 20 s, 80 s, and so on up to half an hour.
No BMC gets the same value more than six times an hour. A boot override for one boot is sent again only if the BMC
refused it.
"""


class VirtualClock(runtime.Runtime):
    """The clock of a world."""

    world: World | None = None

    def monotonic(self) -> float:
        """See Scheduling."""
        return 0.0 if self.world is None else self.world.at


class FaultRun:
    """What came of one fault."""

    def __init__(self, preset: FaultPreset, folder: Path) -> None:
        self.preset = preset
        self.declared = DECLARED.get(preset.id, {"power": "On"})
        self.fleet = _fleet(preset, is_on=self.declared.get("power") == "Off" or preset.id in ON_BEFORE)
        clock = VirtualClock()
        with runtime.replaced(clock):
            world = clock.world = World(
                folder, driver=lambda: memory_driver(self.fleet, clock.monotonic), secret=_login
            )
            try:
                self._play(world)
            finally:
                world.store.close()
        self.events = [event for event in world.events if event.key == MACHINE]
        self.outcome = world.outcomes.get(MACHINE)

    @property
    def is_as_declared(self) -> bool:
        """Whether the system is as declared; the start that a `Once` was for has happened."""
        system = self.fleet.bmcs[0].at(SECONDS + 3600, 1e9).systems[0]
        if "boot" in self.declared and self.declared["boot"]["enabled"] == "Continuous":
            return system.state.boot is not None and system.state.boot.enabled == "Continuous"
        booted = "boot" not in self.declared or system.booted_from == ("Pxe",)
        return system.state.power == self.declared["power"] and booted

    def _play(self, world: World) -> None:
        bmc = {"driver": "redfish", "address": memory_address(0), "systemId": "1", "credentialRef": {"env": "BMC"}}
        bmc["tls"] = {"insecure": True}
        spec: dict[str, Any] = {"partition": "lab", "bmc": bmc}
        if "boot" in self.declared:
            # A request that is in a machine's first document is one of an unknown age, and not sent.
            world.commit(declare(("Machine", "m1", spec), revision="0" * 40))
            world.run(30)
            world.events.clear()
        self.fleet.add_rule(FaultRule(fault=self.preset.id))
        world.commit(declare(("Machine", "m1", {**spec, **self.declared})))
        world.run(SECONDS)


def page(folder: Path) -> str:
    """The text of the page."""
    lines = [TEXT]
    for preset in PRESETS.values():
        path = folder / preset.id
        path.mkdir()
        lines += ["", f"## {preset.id}", "", f"The BMC {preset.what}. Seen at: {preset.seen}.", ""]
        rows = _beside(preset) if preset.id in BESIDE else _section(FaultRun(preset, path))
        lines += ["| | |", "|---|---|", *(f"| {name} | {text.replace('|', chr(92) + '|')} |" for name, text in rows)]
    return "\n".join(lines).rstrip() + "\n"


def _section(run: FaultRun) -> Iterator[tuple[str, str]]:
    yield "declared", ", ".join(f"`{name}: {_shown(value)}`" for name, value in run.declared.items())
    yield "writes", _counted([_write(one) for one in run.fleet.writes])
    yield "events", _counted([f"`{event.reason}`" for event in run.events])
    warning = next((event for event in run.events if event.type is EventType.WARNING), None)
    if warning is not None:
        yield "message", _cleaned(warning)
    yield "after 30 minutes", "as declared" if run.is_as_declared else "not as declared"


def _beside(preset: FaultPreset) -> Iterator[tuple[str, str]]:
    """The faults that are met beside the loop, each by the calls of the driver that meet it."""
    fleet = _fleet(preset, is_on=False)
    driver: RedfishDriver = memory_driver(fleet, lambda: 0.0)
    system = with_all(driver.open(Endpoint("redfish", memory_address(0), "1", credential=lambda _: LOGIN)), "redfish")
    image = "http://images.example/agent.iso"
    if preset.id == "F64a":
        system.insert_media(image)
    fleet.add_rule(FaultRule(fault=preset.id))
    if preset.id in ("F46", "F58a"):
        yield "inventory", _parts(system.inventory())
    elif preset.id == "F64a":
        system.eject_media(image)
        yield "writes", _counted([_write(one) for one in fleet.writes])
        yield "observed", ", ".join(system.read(media=True).media or ()) + " is still inserted"
    else:
        system.insert_media(image)
        yield "writes", _counted([_write(one) for one in fleet.writes])
    driver.close()


def _fleet(preset: FaultPreset, *, is_on: bool) -> SimulatedFleet:
    profile = replace(built_in_profile(PROFILE_OF.get(preset.id, "generic")), answer_seconds=0.0)
    fleet = SimulatedFleet(profile, 1, LOGIN)
    if is_on:
        bmc = fleet.bmcs[0]
        state = replace(bmc.systems[0].state, power=PowerState.ON)
        fleet.bmcs[0] = bmc.with_system(0, bmc.systems[0].in_state(state))
    return fleet


def _login(_reference: object) -> Credential:
    return LOGIN


def _parts(found: Inventory) -> str:
    counts = {
        "processors": found.processors,
        "memory modules": found.modules or (),
        "drives": found.disks,
        "network cards": found.nics or (),
    }
    unread = ", ".join(f"{one.part} {one.name}".strip() for one in found.unread)
    listed = ", ".join(f"{len(parts)} {name}" for name, parts in counts.items())
    return f"{listed}; not read: {unread or 'nothing'}"


def _shown(value: Any) -> str:
    return "{" + ", ".join(f"{name}: {one}" for name, one in value.items()) + "}" if isinstance(value, dict) else value


def _write(write: SimulatedWrite) -> str:
    action = write.path.rpartition("/")[2]
    place = action.rpartition(".")[2] if write.method == "POST" else "/".join(write.path.split("/")[-2:])
    return f"`{write.method} {place} {_values(write.body)}".rstrip() + "`"


def _values(body: Any) -> str:
    """The values of a body, without the long names of Redfish."""
    if not isinstance(body, dict):
        return ""
    return " ".join(_values(one) if isinstance(one, dict) else str(one) for one in body.values())


def _counted(words: Sequence[str]) -> str:
    grouped = [(word, len(list(same))) for word, same in groupby(words)]
    shown = [word if count == 1 else f"{word} ({count} times)" for word, count in grouped]
    more = [f"and {len(shown) - 12} more"] if len(shown) > 12 else []
    return ", ".join([*shown[:12], *more]) or "none"


def _cleaned(event: Event) -> str:
    text = re.sub(r"https://bmc\.invalid:\d+: ", "", event.message)
    return "`" + text.replace("\n", " ").replace("`", "'") + "`"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        PAGE.write_text(page(Path(made)), "utf-8")
