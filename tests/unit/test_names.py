"""One word for one thing: no public name stands in two modules, and no file name in two folders, which are small."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import msgspec

import drivers
import reconciler

ROOT = Path(__file__).parents[2]
FILES = [path for top in ("reconciler", "drivers") for path in sorted((ROOT / top).rglob("*.py"))]
TESTS = sorted((ROOT / "tests").rglob("*.py"))

SHARED_NAMES = {
    "T": "a type variable has no meaning of its own",
    "F": "a type variable has no meaning of its own",
    "open_driver": "the name by which the registry opens a BMC driver",
    "open_ipam": "the name by which the registry opens an IPAM driver",
}
"""Public names that two modules may define, each with the reason."""

SHARED_FILES = {
    "__init__.py": "Python's",
    "__main__.py": "Python's",
    "conftest.py": "pytest's",
    "spec.py": "a wing of kinds: the kind's spec",
    "rules.py": "a wing of kinds: the kind's rules",
}
"""File names that two folders may have, each with the reason."""


def public_names(path: Path) -> Iterator[str]:
    """What the module defines for others: classes, functions and values whose names have no underscore first."""
    for node in ast.parse(path.read_text("utf-8")).body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names = [name]
            case ast.Assign(targets=targets):
                names = [target.id for target in targets if isinstance(target, ast.Name)]
            case ast.AnnAssign(target=ast.Name(id=name)):
                names = [name]
            case _:
                names = []
        yield from (name for name in names if not name.startswith("_"))


def test_no_public_name_is_defined_in_two_modules() -> None:
    modules: dict[str, list[str]] = defaultdict(list)
    for path in FILES:
        if "migrations" in path.parts:  # Alembic gives its scripts their names.
            continue
        for name in set(public_names(path)):
            modules[name].append(str(path.relative_to(ROOT)))
    twice = {name: where for name, where in modules.items() if len(where) > 1 and name not in SHARED_NAMES}
    assert twice == {}


def test_no_file_name_stands_in_two_folders() -> None:
    folders: dict[str, list[str]] = defaultdict(list)
    for path in (*FILES, *TESTS):
        folders[path.name].append(str(path.relative_to(ROOT)))
    twice = {name: where for name, where in folders.items() if len(where) > 1 and name not in SHARED_FILES}
    assert twice == {}


def test_a_folder_with_more_than_about_a_dozen_modules_has_wings() -> None:
    modules = Counter(path.relative_to(ROOT).parent for path in FILES if path.name != "__init__.py")
    assert {str(folder): count for folder, count in modules.items() if count > 13 and folder.name != "versions"} == {}


def test_a_wing_says_what_belongs_there() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in FILES
        if path.name == "__init__.py" and not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]
    assert silent == []


def test_the_exceptions_are_few_and_needed() -> None:
    assert len(SHARED_NAMES) <= 10
    defined = [name for path in FILES for name in set(public_names(path))]
    assert all(defined.count(name) > 1 for name in SHARED_NAMES)


def struct_fields() -> set[str]:
    """The names of all fields of the project's structs."""
    modules = [importlib.import_module(one.name) for top in (drivers, reconciler) for one in submodules(top)]
    return {field for one in modules for each in vars(one).values() for field in fields_of(each)}


def submodules(top: ModuleType) -> Iterator[pkgutil.ModuleInfo]:
    """Every module below it; Alembic alone loads its scripts."""
    return (one for one in pkgutil.walk_packages(top.__path__, f"{top.__name__}.") if "migrations" not in one.name)


def fields_of(named: object) -> tuple[str, ...]:
    """Of a struct its fields; of all else none."""
    return named.__struct_fields__ if isinstance(named, type) and issubclass(named, msgspec.Struct) else ()


def test_only_fields_that_exist_are_replaced() -> None:
    """`msgspec.structs.replace` takes any keyword for mypy, so that a field's new name would be missed until it runs
    (a renamed field ended every daemon at its first plan)."""
    known = struct_fields()
    wrong = []
    for path in FILES:
        for call in (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)):
            if ast.unparse(call.func) in ("msgspec.structs.replace", "structs.replace", "replace"):
                named = {keyword.arg for keyword in call.keywords if keyword.arg is not None}
                wrong += [f"{path.relative_to(ROOT)}:{call.lineno} {name}" for name in sorted(named - known)]
    assert wrong == []
