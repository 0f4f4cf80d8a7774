"""What each recorded machine can do, tried through the command line, and the page that says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from drivers.base import Inventory
from drivers.bmc.simulator.bmc_profile import recorded_profile
from drivers.bmc.simulator.simulated_system import PowerLag
from reconciler.views.render.tables.sizes import in_bytes
from tests.drivers.bmc_servers import LOGIN
from tests.drivers.served_bmcs import ServedBmcs, served
from tests.e2e.desk import Desk, document
from tests.trees.replay import RecordedSystem, recorded_systems, recording

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "recorded-machines.md"
NOTE = "<!-- Made by `./dev trees` from recorded machines; changes belong into the program. -->"
_ABOUT = """\
What groundstate does with machines whose Redfish trees were recorded, tried through the command line. A service answers
with each tree over HTTPS, and carries out what is written to it. So the page says what groundstate reads and sends. How
a real BMC behaves between a write and its effect is tested by other means.

The trees were published by NVIDIA/libredfish (Dell, HPE ProLiant, Lenovo), by Cray-HPE/csm-redfish-interface-emulator
(HPE Cray EX, Gigabyte, Intel, OpenBMC), and by DMTF/Redfish-Publications (Contoso). This repository does not have them.
`./dev trees` tries them again, where they are.""".splitlines()
TRIED: dict[str, tuple[Mapping[str, Any], str]] = {
    "off": ({"power": "Off", "shutdown": {"escalate": "Force", "timeoutSeconds": 10}}, "spec.power"),
    "on": ({"power": "On"}, "spec.power"),
    "boot": ({"boot": {"target": "Pxe", "enabled": "Continuous"}}, "spec.boot"),
    "boot_off": ({"boot": {"enabled": "Disabled"}}, "spec.boot"),
    "led": ({"indicatorLED": "Lit"}, "spec.indicatorLED"),
    "led_off": ({"indicatorLED": "Off"}, "spec.indicatorLED"),
}
"""What is declared, one after the other, and the field that it is of."""


class Ability(msgspec.Struct):
    """What one machine did. `tried`: by the names of TRIED, an empty text where it was done and else why not."""

    system: RecordedSystem
    inventory: Inventory
    tried: dict[str, str] = {}


def abilities(folder: Path) -> list[Ability]:
    """Plan, power, boot, light and read every recorded machine, in one repository."""
    desk = Desk(folder, {"BMC_USERNAME": LOGIN.username, "BMC_PASSWORD": LOGIN.password})
    desk.secrets.add(LOGIN.password)
    desk.allow("recorded", "BMC")
    systems = recorded_systems()
    with ExitStack() as servers:
        at = {
            tree: servers.enter_context(served(replace(recorded_profile(tree, recording(tree)), lag=PowerLag())))
            for tree in sorted({one.tree for one in systems})
        }
        # What the trees can do is asked, not how fast a loaded machine answers for them.
        bmc = {"credentialRef": {"name": "recorded"}, "timeoutSeconds": 60}
        desk.commit(lab=[document("Partition", "lab", bmc=bmc)])
        declare(desk, systems, at, {})
        planned = desk.run("plan")
        assert planned.code == 0, planned
        assert not (unknown := json_plan(desk)["unknown"]), unknown
        found = [Ability(one, inventory(desk, one)) for one in systems]
        for name, (spec, path) in TRIED.items():
            declare(desk, systems, at, spec)
            applied = desk.run("apply", "--yes", "--max-disrupted", "100%", "--timeout", "60")
            why = reasons(desk, path) if applied.code else {}
            for one in found:
                one.tried[name] = why.get(one.system.name, "")
    return found


def declare(desk: Desk, systems: list[RecordedSystem], at: Mapping[str, ServedBmcs], spec: Mapping[str, Any]) -> None:
    """Declare this of all machines."""
    desk.commit(
        machines=[
            document("Machine", one.name, partition="lab", bmc=access(at[one.tree], one.system_id), **spec)
            for one in systems
        ]
    )


def access(bmcs: ServedBmcs, system_id: str) -> dict[str, Any]:
    """How the BMC of a recording is reached."""
    return {"address": bmcs.listen.url(0), "systemId": system_id, "tls": {"fingerprint": bmcs.fingerprint}}


def json_plan(desk: Desk) -> Any:
    """The plan, as data."""
    return desk.run("plan", "-o", "json").json


def inventory(desk: Desk, system: RecordedSystem) -> Inventory:
    """What its BMC says is in it."""
    read = desk.run("inventory", system.name, "--refresh", "-o", "json")
    assert read.code == 0, read
    return msgspec.convert(read.json["sources"]["out-of-band"]["value"], Inventory)


def reasons(desk: Desk, path: str) -> dict[str, str]:
    """Why the machines are not as declared, by name."""
    plan, found = json_plan(desk), dict[str, str]()
    for change in plan["changes"]:
        holds = [one["reason"] for one in change.get("held_by", ()) if (one.get("path") or path).startswith(path)]
        found[change["key"]["name"]] = "; ".join(holds) or "not as declared"
    return found | {one["key"]["name"]: one["message"] for one in plan["unknown"]}


def page(found: list[Ability]) -> str:
    """The page of the reference."""
    return "\n".join(_page(found)).rstrip() + "\n"


def _page(found: list[Ability]) -> Iterator[str]:
    yield from ("# Recorded machines", "", NOTE, "")
    yield from _ABOUT
    yield from ("", "## What can be declared", "")
    yield "| machine | off and on | boot override that stays (`Continuous`) | LED |"
    yield "|---|---|---|---|"
    for one in found:
        done = (_done(one, "off", "on"), _done(one, "boot", "boot_off"), _done(one, "led", "led_off"))
        yield f"| {_title(one)} | {' | '.join(done)} |"
    yield from ("", "## What is in the inventory", "")
    yield "`unknown`: the tree does not say it. `in part`: some of the list cannot be read."
    yield ""
    yield "| machine | processors | memory | modules | disks | GPUs | interfaces |"
    yield "|---|---|---|---|---|---|---|"
    for one in found:
        cells = [_counted(one.inventory, name) for name in ("processors", "memory", "modules", "disks", "gpus", "nics")]
        yield f"| {_title(one)} | {' | '.join(cells)} |"
    reasons_given = sorted({why for one in found for why in one.tried.values() if why})
    if reasons_given:
        yield from ("", "## Why not", "")
        yield from (f"- {why}" for why in reasons_given)


def _title(one: Ability) -> str:
    system = one.system
    several = system.name.endswith(f"-{system.system_id.lower()}")
    return f"{system.model}, system {system.system_id}" if several else system.model


def _done(one: Ability, *names: str) -> str:
    return "yes" if not any(one.tried[name] for name in names) else "no"


def _counted(inventory: Inventory, name: str) -> str:
    value = getattr(inventory, name)
    if not inventory.is_whole(name):
        return f"{len(value)}, in part" if isinstance(value, tuple) and value else "unknown"
    return in_bytes(value) if isinstance(value, int) else str(len(value))
