"""The documentation keeps up with the program: generated pages are fresh, hand-written tables whole, links alive."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import pytest

from cli import main
from docs import generate
from reconciler.desired.load import load_state
from reconciler.kinds.guard.built_in import BUILT_IN_GUARDS
from reconciler.model.actions.action import Action
from reconciler.model.plans.plan import FORMAT_VERSION
from reconciler.services.metrics import Metrics
from tests.unit.desired_worlds import MemorySnapshot

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
HANDMADE = [page for page in PAGES if not {"decisions"} & {*page.parts} and page.name != "commands.md"]
"""Pages that show commands as they can be pasted. Decisions are history; examples of help texts have words beside."""

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_TOPS = sorted(
    path.name
    for path in (*ROOT.iterdir(), *(ROOT / "reconciler").iterdir())
    if path.is_dir() and not path.name.startswith((".", "_"))
)
_PATH = re.compile(rf"`((?:(?:{'|'.join(_TOPS)})/[\w./*-]*|[\w/-]+\.py))`")
"""In code letters, what begins with a folder of the project, or is a Python file."""
SOURCES = [path for top in ("reconciler", "drivers", "tests") for path in sorted((ROOT / top).rglob("*.py"))]
_FENCE = re.compile(r"^(```+).*?^\1$", re.MULTILINE | re.DOTALL)
_YAML = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMES = {"dangling-reference", "guard-matches-nothing", "no-such-image", "unknown-driver"}
"""Diagnostics of what another document would have to declare, or another package to bring."""
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@pytest.mark.parametrize(("name", "text"), generate.pages().items())
def test_generated_pages_are_what_the_program_says(name: str, text: str) -> None:
    assert (REFERENCE / name).read_text("utf-8") == text, "run: python -m docs.generate"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(_FENCE.sub("", page.read_text("utf-8"))):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in set(anchors(target)), link


def anchors(page: Path) -> Iterator[str]:
    """The names that a page's headings have on GitHub."""
    for heading in _HEADING.findall(_FENCE.sub("", page.read_text("utf-8"))):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", [*PAGES, *SOURCES], ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_of_the_project_that_a_page_or_a_docstring_names_exist(page: Path) -> None:
    named = _PATH.findall(_FENCE.sub("", page.read_text("utf-8")))
    # kinds/NAME.py is for the reader to fill in.
    assert [path for path in named if not re.search(r"[A-Z]{4}", path) and not is_there(path, page)] == []


def is_there(path: str, page: Path) -> bool:
    """Whether a path that is named in passing leads to something: from the top, from `reconciler/`, from beside the
    page. Of a Python file the end of its path will do."""
    if path == "cli.py" or any(str(source).endswith(f"/{path}") for source in SOURCES):
        return True
    pattern = path if "*" in path else f"{path.rstrip('/')}*"  # `drivers/bmc/redfish` are all files that begin so.
    return any(any(start.glob(pattern)) for start in (ROOT, ROOT / "reconciler", page.parent))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_documents_shown_are_sound_but_for_what_they_name(page: Path) -> None:
    shown = _YAML.findall(page.read_text("utf-8"))
    whole = {f"{n}.yaml": text for n, text in enumerate(shown) if "kind: " in text and "metadata:" in text}
    for path, text in whole.items():
        found = load_state(MemorySnapshot({path: text})).diagnostics
        assert [one for one in found if one.code not in _NAMES] == [], text


@pytest.mark.parametrize("page", HANDMADE, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_that_a_page_shows_exist_with_these_options(page: Path) -> None:
    shown = list(commands_shown(page.read_text("utf-8")))
    assert page.name != "how-to.md" or len(shown) > 10
    assert [(line, why) for line in shown if (why := refusal(line)) is not None] == []


COMMANDS = frozenset(main.list_commands(click.Context(main)))


def commands_shown(text: str) -> Iterator[str]:
    """The commands of groundstate that stand as lines of their own, without comment, pipe and redirection."""
    for line in re.findall(r"^ *(?:\$ )?(groundstate [a-z].*)$", text, re.MULTILINE):
        shown = re.split(r" #|  +| \|\| | && | >+ ", line)[0]
        if shown.split()[1] in COMMANDS:  # Else it is a sentence.
            yield shown


def refusal(line: str) -> str | None:
    """Why the command line would not be understood; None: it would. Files that it names need not be there."""
    _, first, *words = shlex.split(line)
    root = click.Context(main, info_name="groundstate")
    command = main.get_command(root, first)
    context = click.Context(command or main, parent=root, info_name=first)
    try:
        while isinstance(command, click.Group):
            name, command, words = command.resolve_command(context, words)
            context = click.Context(command or main, parent=context, info_name=name)
        if command is not None:
            command.make_context(context.info_name, words, parent=context.parent)
    except click.UsageError as error:
        said = error.format_message()
        return None if "does not exist" in said or "No such file" in said else said
    return None


def test_the_plan_format_is_the_one_that_plans_have() -> None:
    page = (REFERENCE / "plan-format.md").read_text("utf-8")
    assert set(re.findall(r"now `([\d.]+)`|\"format_version\": \"([\d.]+)\"", page)) == {
        (FORMAT_VERSION, ""),
        ("", FORMAT_VERSION),
    }


def test_every_metric_is_described() -> None:
    assert names_in("metrics.md") == {f"{metric.name}" for metric in Metrics().registry.collect()}


def names_in(page: str) -> set[str]:
    """What the first cells of a page's tables name, without `_total`, which Prometheus' client leaves out too."""
    cells = re.findall(r"^\| (`[^|]+`) \|", (REFERENCE / page).read_text("utf-8"), re.MULTILINE)
    return {name.removesuffix("_total") for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_every_guard_is_described() -> None:
    assert sorted(BUILT_IN_GUARDS.keys() - names_in("guards.md")) == []


def test_every_action_of_a_plan_is_named() -> None:
    page = (REFERENCE / "plan-format.md").read_text("utf-8")
    tags = [str(one.__struct_config__.tag) for one in get_args(Action)]
    assert tags
    assert [tag for tag in tags if f"`{tag}`" not in page] == []


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = set(re.findall(r"\((\d{4}-[a-z0-9-]+\.md)\)", (folder / "README.md").read_text("utf-8")))
    assert listed == {path.name for path in folder.glob("[0-9]*.md")}


def test_modules_that_docstrings_name_exist() -> None:
    """A docstring sends its reader to the module that has the rest."""
    there = {path.name for path in ROOT.rglob("*.py") if ".venv" not in path.parts}
    named = {
        name
        for top in ("reconciler", "drivers")
        for path in (ROOT / top).rglob("*.py")
        for name in re.findall(r"`(?:\w+/)*(\w+\.py)`", path.read_text("utf-8"))
    }
    assert named - there == set()
