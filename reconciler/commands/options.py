"""Options that several commands share. Each is also `GROUNDSTATE_NAME` in the environment and `name` in the settings
file; the command line beats the environment, which beats the file."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from click.core import ParameterSource

from drivers.base import IpamSettings
from reconciler.commands.completing import complete_target
from reconciler.planning.guards import TENTH, Limit, Limits
from reconciler.planning.policy import Asked

F = TypeVar("F", bound=Callable[..., Any])

SETTINGS_FILE = "groundstate.toml"
DEFAULT_STORE = "groundstate/state.db in the repository's git directory"
IPAM = IpamSettings()


class Where(msgspec.Struct, frozen=True):
    """Which desired state, which store: what nearly every command needs to know."""

    repo: str
    ref: str
    path: str
    work_tree: bool
    store: str | None
    base: Path
    ipam: IpamSettings = IpamSettings()


class LimitType(click.ParamType[Limit]):
    """`5` or `10%`."""

    name = "N|N%"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Limit:
        """Click's hook."""
        if isinstance(value, Limit):
            return value
        try:
            return Limit.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


FORMATS = frozenset(["text", "table", "wide", "name", "json", "yaml", "markdown", "github", "sarif", "junit"])
"""Of all commands."""


class _Format(click.Choice[str]):
    """A format. One that only other commands know, said in the environment for all of them, is not for this one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Click's hook."""
        if ctx is not None and param is not None and value in FORMATS - {*self.choices}:
            of_all = ctx.get_parameter_source(param.name or "") is ParameterSource.ENVIRONMENT
            value = param.get_default(ctx) if of_all else value
        return super().convert(value, param, ctx)


def option(*names: str, **kwargs: Any) -> Callable[[F], F]:
    """click.option, readable from the environment too."""
    long = next(name.split("/")[0] for name in names if name.startswith("--"))
    kwargs.setdefault("envvar", "GROUNDSTATE_" + long.removeprefix("--").replace("-", "_").upper())
    kwargs.setdefault("show_default", kwargs.get("default") not in (None, False, ""))
    return click.option(*names, **kwargs)


_option = option


def where_options(command: F) -> F:
    """--repo, --ref, --path, --work-tree, --store, --ipam and what belongs to it."""
    for decorate in reversed(
        (
            option("--repo", "-C", default=".", metavar="PATH|URL", help="The git repository of the desired state."),
            option("--ref", "-r", default="HEAD", metavar="REF", help="Branch, tag or commit to read."),
            option("--path", default=".", metavar="DIR", help="Read only this folder of the repository."),
            option("--work-tree", is_flag=True, help="Read the files as they lie on disk, uncommitted edits too."),
            option(
                "--store",
                metavar="URL",
                help=f"SQLite file or database URL that remembers facts.  [default: {DEFAULT_STORE}]",
            ),
            option("--ipam", default=IPAM.name, metavar="NAME", help="Where addresses are kept: embedded or netbox."),
            option(
                "--ipam-url", default=IPAM.url, metavar="URL", help="Where that is, such as https://netbox.example.org."
            ),
            option("--ipam-token", default=IPAM.token, metavar="REF", help="Its token, as env:NAME or file:PATH."),
            option(
                "--ipam-ca-file", default=IPAM.ca_file, metavar="FILE", help="Trust these CAs instead of the system's."
            ),
            option("--ipam-insecure", is_flag=True, help="Let its token go over plain http to another host."),
            option("--ipam-fleet", default=IPAM.fleet, metavar="NAME", help="The tag and owner of what is ours in it."),
        )
    ):
        command = decorate(command)
    return command


def policy_options(command: F) -> F:
    """The limits of the guards for a command that only shows: from the settings and the environment, as for `plan`."""
    return guard_options(command, hidden=True)


def guard_options(command: F, *, hidden: bool = False) -> F:
    """The limits of the guards."""
    limit = LimitType()

    def option(*names: str, **kwargs: Any) -> Callable[[F], F]:
        return _option(*names, hidden=hidden, **kwargs)

    for decorate in reversed(
        (
            option("--max-disrupted", type=limit, default=str(TENTH), help="Most machines being disrupted at once."),
            option("--max-removed", type=limit, default=str(TENTH), help="Most machines that may vanish from git."),
            option(
                "--max-unreachable",
                type=limit,
                default=str(TENTH),
                help="Most unreachable BMCs with which disruptive actions still go on.",
            ),
            option(
                "--max-released",
                type=limit,
                default=str(TENTH),
                help="Most addresses, numbers and networks, and most machines of claims, that are released because "
                "nobody declares them any more.",
            ),
            option("--allow-empty", is_flag=True, help="Let a desired state without machines through."),
        )
    ):
        command = decorate(command)
    return command


def asked_from(values: dict[str, Any]) -> Asked:
    """Take the guard options out of a command's values; which of them stand on the command line counts too."""
    names = ("max_disrupted", "max_removed", "max_unreachable", "max_released", "allow_empty")
    limits = Limits(**{name: values.pop(name) for name in names})
    source = click.get_current_context().get_parameter_source
    return Asked(limits, frozenset(name for name in names if source(name) is ParameterSource.COMMANDLINE))


def where_from(values: dict[str, Any]) -> Where:
    """Take the where options out of a command's values. Relative paths in documents start at the settings file."""
    settings = click.get_current_context().find_root().meta.get("settings_file")
    base = Path(settings).parent if settings else Path.cwd()
    named = {name: values.pop(name) for name in ("repo", "ref", "path", "work_tree", "store")}
    found = Where(base=base, ipam=_ipam_from(values), **named)
    return msgspec.structs.replace(found, repo=top_level()) if found.repo == "." else found


def _ipam_from(values: dict[str, Any]) -> IpamSettings:
    names = {"name": "ipam"} | {name: f"ipam_{name}" for name in ("url", "token", "ca_file", "fleet", "insecure")}
    return IpamSettings(**{name: values.pop(option) for name, option in names.items()})


def top_level() -> str:
    """The repository around the current folder, as git finds it: a subfolder is not a fleet with a store of its own."""
    here = Path.cwd()
    top = next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)
    return "." if top == here else str(top)


def find_settings() -> Path | None:
    """The settings file of the current folder, or else of the repository around it."""
    found = (Path(folder) / SETTINGS_FILE for folder in (".", top_level()))
    return next((path.absolute() for path in found if path.is_file()), None)


def filter_options(command: F) -> F:
    """Targets and --selector."""
    command = option("--selector", "-l", default="", metavar="LABELS", help="Only those with these labels.")(command)
    return click.argument("targets", nargs=-1, metavar="[KIND[/NAME]]...", shell_complete=complete_target)(command)


def output_option(*formats: str, default: str) -> Callable[[F], F]:
    """-o, with the formats that the command knows."""
    return option(
        "--output",
        "-o",
        type=_Format(formats),
        default=default,
        envvar="GROUNDSTATE_OUTPUT",
        help="Output format.",
    )


def load_settings(
    path: Path | None, command: click.Command, every: Callable[[], Iterable[click.Command]]
) -> dict[str, Any]:
    """The settings file's values for a command. Raises UsageError for a name that none of `every` command knows."""
    if path is None:
        return {}
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise click.UsageError(f"{path}: cannot be read as settings: {error}") from None
    values = {name.replace("-", "_"): value for name, value in values.items()}
    mine = _settable(command)
    if others := values.keys() - mine:
        known = set().union(*(_settable(one) for one in every()))
        for name in sorted(others - known):
            near = get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; settings are {', '.join(sorted(known))}"
            raise click.UsageError(f"{path}: {name!r} is not a setting{hint}")
    own = {name: values[name] for name in mine & values.keys() if not _of_others(name, values[name], command, every)}
    return {name: _located(name, value, path.absolute().parent) for name, value in own.items()}


def _of_others(name: str, value: Any, command: click.Command, every: Callable[[], Iterable[click.Command]]) -> bool:
    """Whether only other commands know the word: `output = "wide"` is for tables, and a plan is printed as ever."""
    return not _chooses(command, name, value) and any(_chooses(one, name, value) for one in every())


def _chooses(command: click.Command, name: str, value: Any) -> bool:
    """Whether the command has the option, and the value is among its choices if it has any."""
    found = next((param for param in command.params if param.name == name), None)
    return found is not None and (not isinstance(found.type, click.Choice) or value in found.type.choices)


def _located(name: str, value: Any, base: Path) -> Any:
    """A relative place in the file means the same from every folder: it begins where the file is."""
    if name not in ("repo", "store", "ipam_ca_file", "ipam_token") or not isinstance(value, str):
        return value
    if name == "ipam_token" and not value.startswith("file:"):
        return value
    prefix = "file:" if name == "ipam_token" else ""
    relative = value.removeprefix(prefix).removeprefix("sqlite:///")
    if not relative or "://" in relative or Path(relative).expanduser().is_absolute():
        return value
    return f"{prefix}{base / relative}"


NEVER_SETTINGS = {"yes", "allow_empty"}
"""What a person must say each time: a file that travels with the repository could say it for everybody."""


def _settable(command: click.Command) -> set[str]:
    options = (param for param in command.params if isinstance(param, click.Option) and param.envvar)
    return {option.name for option in options if option.name} - NEVER_SETTINGS
