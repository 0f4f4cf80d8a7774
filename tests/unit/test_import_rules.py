"""The house's arrows, read off the source: who may import whom, no circle anywhere, and one door for each library."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = [
    "cli.py",
    *(str(p.relative_to(ROOT)) for top in ("reconciler", "drivers") for p in (ROOT / top).rglob("*.py")),
]

# Left may import right, never the other way; `commands` wires everything together.
LAYERS = [
    {"commands"},
    {"operations"},
    {"daemon"},
    {"workqueue"},
    {"applying"},
    {"desired", "observed", "store", "services"},
    {"views"},
    {"planning", "onboarding"},
    {"placement"},
    {"kinds"},
    {"model"},
]
PURE = ("model", "kinds", "placement", "planning", "onboarding", "views")
IMPURE = {"socket", "logging", "subprocess", "os", "pathlib"}

RUNTIME = {
    "reconciler.runtime": "drivers.base.support.scheduling",
    "drivers.base.support.scheduling": None,
    "reconciler.async_runtime": "drivers.base.support.event_loop",
    "drivers.base.support.event_loop": None,
}
"""The door to threads, locks, clocks, waiting, chance and the host's name, and the drivers' part of it.

Each with what it imports of `drivers`."""
BEHIND_RUNTIME = {
    *("threading", "_thread", "queue", "concurrent", "multiprocessing", "asyncio", "sched"),
    *("time", "random", "secrets", "uuid"),
}
"""Modules of the standard library that a simulation must be able to replace, and so only the door imports."""
BEHIND_RUNTIME_NAMES = {
    *("datetime.now", "datetime.utcnow", "datetime.today", "date.today"),
    *("socket.gethostname", "socket.getfqdn", "os.uname", "platform.node", "platform.uname"),
    *("os.urandom", "os.getrandom", "os.getpid", "os.fork"),
}
"""The same of modules that have other uses too."""
BESIDE_RUNTIME = {
    "reconciler/services/boot/http/listener.py": ("queue", "cheroot's pool asks for a queue.Queue"),
    "reconciler/daemon/shutdown.py": ("threading", "lists the threads that Python really has, for the report"),
    "reconciler/commands/crash_report.py": ("threading", "sets Python's own hook for a thread that failed"),
    "drivers/console/ipmi/ipmi_session.py": ("secrets", "session ids and vectors that a BMC must not guess"),
    "reconciler/operations/simulation/world/simulated_runtime.py": (
        "threading concurrent.futures random",
        "is a runtime: each simulated thread is a real one",
    ),
}
"""Who may import one of these modules nevertheless, and why."""

BESIDE_OPERATIONS = (
    "commands",
    "operations",
    "runtime",
    "views",
    "onboarding",
    "planning",
    "placement",
    "kinds",
    "model",
)
"""What commands import: operations to call, and the types of what goes into them and comes out. A pure function needs
no operation: an API calls it as a command does (`explain`, `schema`)."""
OF_OTHER_ROOMS = {
    "reconciler.daemon.shutdown": "signals are the process's",
    "reconciler.desired.manifest": "YAML and JSON Schema, to be printed",
    "reconciler.desired.report": "diagnostics, to be printed",
    "reconciler.services.boot.dhcp": "a default",
    "reconciler.services.ipam_export": "the form of a copy, to be read and printed",
    "reconciler.services.log": "the log of the daemon, which is on a stream of the process",
    "reconciler.store.rows.retention": "a default",
}

DOORS: dict[str, tuple[str, ...]] = {
    "sushy": ("drivers/bmc/redfish",),
    "sushy_tools": (),
    "git": ("reconciler/desired/git/",),
    "gitdb": ("reconciler/desired/git/",),
    "watchfiles": ("reconciler/desired/git/",),
    "yaml": ("reconciler/desired/",),
    "jsonschema": ("reconciler/desired/",),
    "jsonschema_rs": ("reconciler/desired/",),
    "sqlalchemy": (
        *("reconciler/store/", "drivers/ipam/", "drivers/registry.py"),
        "reconciler/operations/simulation/world/simulated_host.py",
    ),
    "alembic": ("reconciler/store/",),
    "click": ("cli.py", "reconciler/commands/"),
    "rich": ("reconciler/commands/",),
    "netaddr": (
        *("drivers/base/values/mac_address.py", "reconciler/kinds/common/mac_vendor.py"),
        *("reconciler/model/values/address_range.py", "reconciler/desired/rules/addressing.py"),
    ),
    "pynetbox": ("drivers/ipam/netbox",),
    "requests": ("drivers/ipam/netbox", "drivers/bmc/redfish"),
    "urllib3": ("drivers/ipam/netbox",),
    "structlog": ("reconciler/services/",),
    "prometheus_client": ("reconciler/services/",),
    "werkzeug": ("reconciler/services/boot/",),
    "cheroot": ("reconciler/services/boot/http/listener.py",),
    "cryptography": (
        *("reconciler/services/boot/http/tls.py", "drivers/console/ipmi/ipmi_wire.py"),
        "drivers/bmc/simulator/fleet/self_signed.py",
    ),
    "asyncssh": ("reconciler/services/console/", "drivers/console", "drivers/switch"),
    "jmespath": ("reconciler/kinds/catalogue/", "reconciler/views/render/json_path.py"),
    "nats": ("drivers/sink/nats_client.py",),
    "trustme": (),
    "pytest": ("drivers/testing/",),
}


OF_SIMULATED_BMCS = ("reconciler/operations/repository/demo_fleet.py", "reconciler/operations/simulation/")
"""The product's own uses of simulated BMCs."""


TALKATIVE = (
    "cli.py",
    "reconciler/commands/",
    "reconciler/services/log.py",
    "reconciler/desired/manifest/parallel.py",
    "reconciler/operations/simulation/seeds.py",
)
"""Who writes to the process's own streams, or ends it; all others return values and raise. The last two are processes
of their own, which have no other way to their parents."""


def imports(path: str) -> Iterator[tuple[int, str]]:
    """Every module that the file imports anywhere in it, with the line."""
    for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module


def dotted(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


NAMES = {dotted(path): path for path in MODULES}


def imported_modules(path: str) -> set[str]:
    """Modules of the house that the file imports, by dotted name: `from package import module` means the module."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in NAMES else node.module)
    return (found & NAMES.keys()) - {dotted(path)}


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """A circle in the graph, as a way along it; empty when there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def room(module: str) -> str:
    parts = module.replace("/", ".").removesuffix(".py").split(".")
    return parts[1] if parts[0] == "reconciler" and len(parts) > 1 else ""


def layer(name: str) -> int | None:
    return next((index for index, names in enumerate(LAYERS) if name in names), None)


@pytest.mark.parametrize("path", MODULES)
def test_arrows_point_right(path: str) -> None:
    here = layer(room(path))
    for line, module in imports(path):
        top = module.partition(".")[0]
        where = f"{path}:{line} imports {module}"
        if path.startswith("drivers/"):
            assert top not in ("reconciler", "cli"), where
        assert top != "cli", where
        if path.startswith("reconciler/") and top == "drivers":
            allowed = {"drivers.base", "drivers.registry", RUNTIME.get(dotted(path))}
            assert module in allowed or path.startswith(OF_SIMULATED_BMCS), where
        there = layer(room(module)) if top == "reconciler" else None
        if here is not None and there is not None:
            assert here < there or room(path) == room(module), where


@pytest.mark.parametrize("path", [path for path in MODULES if room(path) == "commands"])
def test_commands_open_neither_a_store_nor_git_nor_a_driver(path: str) -> None:
    """Options in, one operation called, its values printed: what a command can do, an API can do too."""
    allowed = ("drivers.base", *(f"reconciler.{name}" for name in BESIDE_OPERATIONS), *OF_OTHER_ROOMS)
    prefixes = tuple(f"{one}." for one in allowed)
    strangers = [module for module in imported_modules(path) if not f"{module}.".startswith(prefixes)]
    assert strangers == [], f"{path}: is there an operation that does it?"


_OF_THE_PROCESS = {"os.environ", "os.getenv", "sys.argv", "Path.home", "getpass.getuser", "os.getlogin"}


@pytest.mark.parametrize("path", [path for path in MODULES if room(path) == "operations"])
def test_operations_ask_neither_the_environment_nor_who_runs_the_process(path: str) -> None:
    """Both come in with `Where`: an API has callers of its own."""
    for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))):
        if isinstance(node, ast.Attribute):
            assert ast.unparse(node) not in _OF_THE_PROCESS, f"{path}:{node.lineno}: commands/caller.py asks for it"
        if isinstance(node, ast.ImportFrom) and node.module in ("os", "sys", "getpass"):
            assert {f"{node.module}.{one.name}" for one in node.names}.isdisjoint(_OF_THE_PROCESS), path


def test_every_room_has_its_layer() -> None:
    rooms = {room(path) for path in MODULES if path.count("/") > 1 and path.startswith("reconciler/")}
    assert rooms <= set().union(*LAYERS)


def test_no_module_imports_itself_over_others() -> None:
    assert circle({name: imported_modules(path) for name, path in NAMES.items()}) == []


def test_no_folder_imports_itself_over_others() -> None:
    folders: dict[str, set[str]] = {}
    for path in MODULES:
        here = str(Path(path).parent)
        there = {str(Path(NAMES[name]).parent) for name in imported_modules(path)}
        folders.setdefault(here, set()).update(there - {here})
    assert circle(folders) == []


@pytest.mark.parametrize("path", [path for path in MODULES if room(path) in PURE])
def test_the_core_is_pure(path: str) -> None:
    for line, module in imports(path):
        assert module.partition(".")[0] not in IMPURE, f"{path}:{line} imports {module}"
    assert imported_modules(path).isdisjoint(RUNTIME)


@pytest.mark.parametrize("path", [path for path in MODULES if dotted(path) not in RUNTIME])
def test_only_the_runtime_knows_threads_clocks_and_chance(path: str) -> None:
    beside, _reason = BESIDE_RUNTIME.get(path, ("", ""))
    for line, module in imports(path):
        top = module.partition(".")[0]
        assert top not in BEHIND_RUNTIME - {one.partition(".")[0] for one in beside.split()}, (
            f"{path}:{line} imports {module}; use reconciler.runtime"
        )
    for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))):
        match node:
            case ast.Attribute(value=value, attr=name):
                named = {f"{ast.unparse(value).rpartition('.')[2]}.{name}"}
            case ast.ImportFrom(module=str(module), names=names):
                named = {f"{module}.{one.name}" for one in names}
            case _:
                continue
        hidden = named & BEHIND_RUNTIME_NAMES
        assert hidden == set(), f"{path}:{node.lineno} uses {hidden}; use reconciler.runtime"


def test_the_exceptions_to_the_runtime_are_needed() -> None:
    used = {path: {module for _, module in imports(path)} for path in BESIDE_RUNTIME}
    assert all(module in used[path] for path, (modules, _) in BESIDE_RUNTIME.items() for module in modules.split())


def test_the_runtime_stands_alone() -> None:
    assert imported_modules(NAMES["drivers.base.support.scheduling"]) == set()
    assert imported_modules(NAMES["reconciler.runtime"]) == {"drivers.base.support.scheduling"}
    assert imported_modules(NAMES["drivers.base.support.event_loop"]) == set()
    assert imported_modules(NAMES["reconciler.async_runtime"]) == {"drivers.base.support.event_loop"}


@pytest.mark.parametrize("path", MODULES)
def test_each_library_has_its_door(path: str) -> None:
    for line, module in imports(path):
        doors = DOORS.get(module.partition(".")[0])
        assert doors is None or path.startswith(doors), f"{path}:{line} imports {module}; its door is {doors}"


def streams(path: str) -> Iterator[tuple[int, str]]:
    """Every place where the file prints, names a stream of the process, or ends it."""
    for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))):
        match node:
            case ast.Call(func=ast.Name(id="print" | "exit" | "quit" as name)):
                yield node.lineno, name
            case ast.Attribute(value=ast.Name(id="sys"), attr="stdout" | "stderr" | "stdin" | "exit" as name):
                yield node.lineno, f"sys.{name}"
            case ast.Raise(exc=ast.Name(id="SystemExit")) | ast.Call(func=ast.Name(id="SystemExit")):
                yield node.lineno, "SystemExit"
            case _:
                pass


@pytest.mark.parametrize("path", [path for path in MODULES if not path.startswith(TALKATIVE)])
def test_only_commands_print_and_end_the_process(path: str) -> None:
    assert [f"{path}:{line} uses {name}" for line, name in streams(path)] == []
