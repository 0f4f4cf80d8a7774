"""Generic rooms name no kind: what differs from kind to kind is what the Kind says of itself.

A kind that is added must not be taken for a machine, or for something of the IPAM, by code that has not heard of it.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

from reconciler.kinds import KINDS

ROOT = Path(__file__).parents[2] / "reconciler"

GENERIC = (
    "model",
    "planning",
    "applying",
    "observed",
    "workqueue",
    "daemon",
    "store",
    "views",
    "operations",
    "desired",
    "commands",
)

EVERY = "every wing"

SUBJECTS: dict[str, tuple[tuple[str, ...], str]] = {
    "desired/rules/": ((EVERY,), "rules between documents of these kinds"),
    "planning/guards/": (("guard", "claim"), "guards, of which documents declare some, and which machines claims have"),
    "planning/base_guards.py": (("guard",), "which guards the commit before had"),
    "planning/override_scope.py": (("guard",), "which guards an override lifts"),
    "observed/bmc_backend.py": (("machine",), "the backend of BMCs"),
    "observed/ipam_backend.py": (("ipam",), "the backend of networks, addresses, pools and numbers"),
    "observed/switch_backend.py": (("switch",), "the backend of switches"),
    "observed/sink_connections.py": (("sink",), "how sinks of events are reached"),
    "daemon/boot_relay/": ((), "the boot services of other daemons"),
    "daemon/sinks/": (("sink",), "events that are sent to sinks"),
    "store/rows/sink_rows.py": (("sink",), "the places of event sinks in the ledger"),
    "daemon/proposals.py": (("catalogue",), "proposals of the machines that are found in partitions"),
    "views/render/tables/sizes.py": (("catalogue",), "why a machine has a size, or none"),
    "operations/onboarding/": (("catalogue", "switch"), "machines that are found in partitions, and their cables"),
    "operations/reports/built_in_views.py": (("guard",), "the guards that no document declares"),
    "operations/reports/inventory_report.py": (("catalogue", "machine"), "what is in a machine, and what follows"),
    "operations/reports/placement_report.py": (("catalogue",), "which machine a claim would get in a partition"),
    "operations/reports/port_report.py": (("switch",), "ports of switches"),
    "operations/reports/size_report.py": (("catalogue",), "why a machine has a size, or none"),
    "operations/requests/event_sinks.py": (("sink",), "what people ask of an event sink"),
    "operations/requests/restart_machine.py": (("machine",), "a power cycle of a machine"),
    "operations/serving/": (("catalogue", "machine"), "the boot service of partitions"),
    "operations/simulation/": (("machine",), "the fleet that is simulated"),
    "commands/console_command.py": ((), "names of machines, completed by the shell, for their consoles"),
    "operations/reports/console_reports.py": ((), "what the BMCs of machines say of their consoles"),
    "commands/serving/boot_commands.py": ((), "names of partitions, completed by the shell, for their DHCP server"),
    "commands/reports/port_listing.py": (("switch",), "ports of switches"),
    "commands/reports/ipam_commands.py": ((), "names of networks, completed by the shell, for the tree of the IPAM"),
}
"""Modules, and folders, of generic rooms that are about one subject: the wings that are about it too, and the
subject."""

TYPES = {kind.spec_type.__name__ for kind in KINDS.values()} | {
    kind.observed_type.__name__ for kind in KINDS.values() if kind.observed_type is not None
}


FACTS_OF_A_KIND = ("reconciler.kinds.common.machine_facts", "reconciler.kinds.common.renamed_facts")
OF_EVERY_KIND = {"FactType", "NAME"}
"""What others report of a resource, and the path of its name: of these modules, what is of no kind in particular."""


def named(path: Path) -> Iterator[str]:
    """The kinds that a module names: as a text, or by the type of a spec, of facts or of an observed value."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in KINDS:
            yield f"{node.lineno}: {node.value!r}"
        elif isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names}
            of_a_kind = names - OF_EVERY_KIND if node.module in FACTS_OF_A_KIND else names & TYPES
            yield from (f"{node.lineno}: {name}" for name in sorted(of_a_kind))
            yield from (f"{node.lineno}: {name}" for name in sorted(names) if names_a_kind(node.module, name))


def names_a_kind(module: str | None, name: str) -> bool:
    """Whether that is a constant whose value is a kind's name, wherever it is defined."""
    if module is None or not module.startswith(("reconciler.", "drivers.")):
        return False
    value = getattr(importlib.import_module(module), name, None)
    return isinstance(value, str) and value in KINDS


def wings(path: Path) -> set[str]:
    """The wings of kinds that a module imports from, wherever in it; what all kinds share is none."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    parts = [name.split(".") for name in found if name.startswith("reconciler.kinds.")]
    return {one[2] for one in parts if (ROOT / "kinds" / one[2]).is_dir()} - {"common"}


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of a generic room, by its path in it."""
    for room in GENERIC:
        for path in sorted((ROOT / room).rglob("*.py")):
            if "migrations" not in path.parts:
                yield str(path.relative_to(ROOT)), path


def subjects_of(module: str) -> set[str]:
    return {subject for subject in SUBJECTS if module.startswith(subject)}


def test_generic_rooms_name_no_kind() -> None:
    found = {module: list(named(path)) for module, path in modules() if not subjects_of(module)}
    assert {module: names for module, names in found.items() if names} == {}


def test_generic_rooms_import_from_no_wing_of_a_kind() -> None:
    """They ask the Kind. What is about one subject imports from the wings of that subject alone."""
    found = {}
    for module, path in modules():
        permitted = {wing for subject in subjects_of(module) for wing in SUBJECTS[subject][0]}
        strange = set() if EVERY in permitted else wings(path) - permitted
        if strange:
            found[module] = strange
    assert found == {}


def test_a_constant_that_is_a_kinds_name_counts_as_naming_it(tmp_path: Path) -> None:
    module = tmp_path / "room.py"
    module.write_text("from reconciler.planning.guards.guards_in_force import DECLARED, GUARD\n", "utf-8")
    assert list(named(module)) == ["1: GUARD"]


def test_every_exception_is_needed() -> None:
    used: dict[str, set[str]] = {}
    for module, path in modules():
        for subject in subjects_of(module):
            of_kinds = {*wings(path), *named(path)}
            used[subject] = used.get(subject, set()) | of_kinds | ({EVERY} if of_kinds else set())
    unneeded = {
        subject: set(permitted) - used.get(subject, set())
        for subject, (permitted, _) in SUBJECTS.items()
        if set(permitted) - used.get(subject, set()) or not used.get(subject)
    }
    assert unneeded == {}
