"""Where several threads are the first to read a type, the process crashes: msgspec 0.22 fills in what it knows of a
type without a lock. So decoders are made while modules are loaded. Whoever reads a type in a function is listed here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
ONE_THREAD = "one thread alone calls it"
READ_IN_FUNCTIONS = {
    "drivers/base/protocols/bmc_options.py": "under a lock of the module",
    "drivers/bmc/simulator/fleet/fault_presets.py": "called while the module is loaded",
    "drivers/ipam/embedded/verify.py": "a decoder of `embedded.py` has read the type",
    "drivers/testing/bmc_conformance.py": ONE_THREAD,
    "reconciler/commands/reports/explain_size_command.py": ONE_THREAD,
    "reconciler/commands/reports/ipam_commands.py": ONE_THREAD,
    "reconciler/daemon/follow.py": ONE_THREAD,
    "reconciler/desired/driver_options.py": "the thread that loads documents",
    "reconciler/desired/manifest/document_cache.py": "the thread that loads documents",
    "reconciler/desired/manifest/manifests.py": "the thread that loads documents",
    "reconciler/kinds/common/access/credentials.py": "the settings are read before there are threads",
    "reconciler/kinds/guard/guard_fact_rules.py": "the module has read the type once when it was loaded",
    "reconciler/operations/known_store.py": ONE_THREAD,
    "reconciler/operations/simulation/scenarios/planned_faults.py": ONE_THREAD,
    "reconciler/services/boot/handlers/registration.py": "the module has read both types once when it was loaded",
    "reconciler/store/lease/instance.py": ONE_THREAD,
    "reconciler/store/store.py": "decoders of `observed/backend.py` have read the types",
    "reconciler/views/render/plans/form.py": ONE_THREAD,
}
"""Modules that read a type in a function, and why no two threads can be the first ones."""
PLAIN = {"list", "tuple", "dict", "str", "bytes", "int", "Interval"}
"""Of these msgspec keeps nothing."""


def test_types_are_read_first_while_modules_are_loaded() -> None:
    found = {
        str(file.relative_to(ROOT))
        for top in ("reconciler", "drivers")
        for file in (ROOT / top).rglob("*.py")
        if any(_reads(ast.parse(file.read_text())))
    }
    assert found == READ_IN_FUNCTIONS.keys()


def _reads(tree: ast.Module) -> Iterator[bool]:
    """Whether each call inside of a function reads a type of its own with msgspec."""
    functions = (one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.Lambda))
    for call in (one for function in functions for one in ast.walk(function) if isinstance(one, ast.Call)):
        called = ast.unparse(call.func)
        types = [word.value for word in call.keywords if word.arg == "type"]
        if called == "msgspec.convert":
            types += call.args[1:]
        elif called.endswith(".Decoder"):
            types += call.args
        elif called not in ("msgspec.json.decode", "msgspec.yaml.decode", "msgspec.msgpack.decode"):
            continue
        names = {name.id for one in types for name in ast.walk(one) if isinstance(name, ast.Name)}
        yield bool(names - PLAIN)
