"""Options that several commands share. Each is also `GROUNDSTATE_NAME` in the environment and `name` in the settings
file; the command line beats the environment, which beats the file."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from click.core import ParameterSource

from drivers.base import IpamSettings
from reconciler.commands.caller import caller_name, top_level, user_cache_folder, user_state_folder
from reconciler.commands.completion import complete_ref, complete_selector, complete_target
from reconciler.kinds.common.access.credentials import NO_GRANTS
from reconciler.kinds.common.field_types.fleet_share import TENTH, FleetShare
from reconciler.operations.where import Where
from reconciler.planning.guards.guard_limits import GuardLimits
from reconciler.planning.guards.standing import CommandLimits
from reconciler.planning.override_scope import parse_duration

F = TypeVar("F", bound=Callable[..., Any])

SETTINGS_FILE = "groundstate.toml"
DEFAULT_STORE = "groundstate/state.db in the repository's git directory"
IPAM = IpamSettings()


class LimitType(click.ParamType[FleetShare]):
    """`5` or `10%`."""

    name = "N|N%"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> FleetShare:
        """Click's hook."""
        if isinstance(value, FleetShare):
            return value
        try:
            return FleetShare.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


OUTPUT_FORMATS = frozenset(["text", "table", "wide", "name", "json", "yaml", "markdown", "github", "sarif", "junit"])
"""Of all commands."""


TEMPLATES = ("custom-columns=", "jsonpath=")
"""How formats begin that a person writes, as kubectl has them."""


class _Format(click.Choice[str]):
    """A format. One that only other commands know, said in the environment for all of them, is not for this one."""

    def __init__(self, choices: tuple[str, ...], templates: tuple[str, ...] = ()) -> None:
        super().__init__(choices)
        self.templates = templates

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        """Click's hook."""
        return f"[{'|'.join([*self.choices, *(f'{one}...' for one in self.templates)])}]"

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Click's hook."""
        more = f", {', '.join(f'{one}...' for one in self.templates)}" if self.templates else ""
        return f"{super().get_invalid_choice_message(value, ctx).rstrip('.')}{more}."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Click's hook."""
        if isinstance(value, str) and self.templates and value.startswith(self.templates):
            return value
        if ctx is not None and param is not None and value in OUTPUT_FORMATS - {*self.choices}:
            of_all = ctx.get_parameter_source(param.name or "") is ParameterSource.ENVIRONMENT
            value = param.get_default(ctx) if of_all else value
        return super().convert(value, param, ctx)


class DurationType(click.ParamType[timedelta]):
    """`2h`, `90m`, `1d`."""

    name = "TIME"

    def __init__(self, most: timedelta) -> None:
        self._most = most

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Click's hook."""
        if isinstance(value, timedelta):
            return value
        try:
            return parse_duration(str(value), self._most)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def option(*names: str, **kwargs: Any) -> Callable[[F], F]:
    """click.option, readable from the environment too."""
    long = next(name.split("/")[0] for name in names if name.startswith("--"))
    kwargs.setdefault("envvar", "GROUNDSTATE_" + long.removeprefix("--").replace("-", "_").upper())
    kwargs.setdefault("show_default", kwargs.get("default") not in (None, False, ""))
    return click.option(*names, **kwargs)


_option = option


def where_options(command: F) -> F:
    """--repo, --ref, --path, --work-tree, --store. Also --ipam and what belongs to it, which the help leaves out: they
    are set once, in the settings. The commands that act on the IPAM show them."""
    return _where_options(_ipam_options(command, hidden=True))


def where_and_ipam_options(command: F) -> F:
    """The same, with --ipam and what belongs to it in the help."""
    return _where_options(_ipam_options(command, hidden=False))


def _where_options(command: F) -> F:
    for decorate in reversed(
        (
            option("--repo", "-C", default=".", metavar="PATH|URL", help="The git repository of the desired state."),
            option(
                "--ref",
                "-r",
                default="HEAD",
                metavar="REF",
                help="Branch, tag or commit to read.",
                shell_complete=complete_ref,
            ),
            option("--path", default=".", metavar="DIR", help="Read only this folder of the repository."),
            option("--work-tree", is_flag=True, help="Read the files on disk, with uncommitted edits."),
            option(
                "--store",
                metavar="URL",
                help=f"Database of groundstate: an SQLite file or a database URL.  [default: {DEFAULT_STORE}]",
            ),
        )
    ):
        command = decorate(command)
    return command


def _ipam_options(command: F, *, hidden: bool) -> F:
    def option(*names: str, **kwargs: Any) -> Callable[[F], F]:
        return _option(*names, hidden=hidden, **kwargs)

    for decorate in reversed(
        (
            option("--ipam", default=IPAM.name, metavar="NAME", help="The IPAM to use: embedded or netbox."),
            option(
                "--ipam-url", default=IPAM.url, metavar="URL", help="URL of NetBox, such as https://netbox.example.org."
            ),
            option("--ipam-token", default=IPAM.token, metavar="REF", help="NetBox token, as env:NAME or file:PATH."),
            option(
                "--ipam-ca-file",
                default=IPAM.ca_file,
                metavar="FILE",
                help=("PEM file with the CAs to trust for NetBox, in place of the CAs of this host."),
            ),
            option(
                "--ipam-insecure",
                is_flag=True,
                help=("Allow sending the NetBox token over plain http to another host."),
            ),
            option(
                "--ipam-fleet",
                default=IPAM.fleet,
                metavar="NAME",
                help=(
                    "Name of the fleet in NetBox. The objects of the fleet have this tag, and an owner that begins "
                    "with this name."
                ),
            ),
        )
    ):
        command = decorate(command)
    return command


def new_store_option(command: F) -> F:
    """--new-store, of commands that make the store."""
    text = "Begin with an empty store, although the repository is known to have another one."
    return click.option("--new-store", is_flag=True, help=text)(command)  # Never left in an environment.


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
            option(
                "--max-disrupted",
                type=limit,
                default=str(TENTH),
                help="Maximum number of machines of the fleet that groundstate takes down within an hour.",
            ),
            option(
                "--max-disrupted-per-rack",
                type=limit,
                help="Maximum number of machines of each rack that groundstate takes down within an hour. "
                f"The default is the share of --max-disrupted, or {TENTH} if --max-disrupted is a number.",
            ),
            option(
                "--max-removed",
                type=limit,
                default=str(TENTH),
                help=("Maximum number of machines that may be removed from git at once."),
            ),
            option(
                "--max-unreachable",
                type=limit,
                default=str(TENTH),
                help="Maximum number of unreachable BMCs before disruptive actions are held.",
            ),
            option(
                "--max-released",
                type=limit,
                default=str(TENTH),
                help=(
                    "Maximum number of allocations, and of claimed machines, that groundstate releases because "
                    "no document declares them any more."
                ),
            ),
            option("--allow-empty", is_flag=True, help="Allow a desired state that declares no machines."),
        )
    ):
        command = decorate(command)
    return command


def guard_options_of(values: dict[str, Any]) -> CommandLimits:
    """Take the guard options out of a command's values; which of them stand on the command line counts too."""
    names = ("max_disrupted", "max_disrupted_per_rack", "max_removed", "max_unreachable", "max_released", "allow_empty")
    limits = {name: values.pop(name) for name in names}
    source = click.get_current_context().get_parameter_source
    given = {name for name in names if source(name) is ParameterSource.COMMANDLINE}
    if limits["max_disrupted_per_rack"] is None:
        whole = limits["max_disrupted"]
        limits["max_disrupted_per_rack"] = whole if whole.percent is not None else TENTH
        given |= {"max_disrupted_per_rack"} if "max_disrupted" in given and whole.percent is not None else set()
    return CommandLimits(GuardLimits(**limits), frozenset(given))


def where_from(values: dict[str, Any]) -> Where:
    """Take the where options out of a command's values. Relative paths in documents start at the settings file that is
    named or that was found. What documents may use of the host is in the grants."""
    meta = click.get_current_context().find_root().meta
    base = meta.get("settings_base") or Path.cwd()
    named = {name: values.pop(name) for name in ("repo", "ref", "path", "work_tree", "store")}
    named["new_store"] = values.pop("new_store", False)
    if not named["ref"].strip():  # Of a variable that was not set.
        raise click.UsageError("--ref is empty; name a branch, tag or commit, or leave out --ref to use HEAD")
    found = Where(
        base=base,
        ipam=_ipam_from(values),
        grants=meta.get("grants", NO_GRANTS),
        caller=caller_name(),
        state=user_state_folder(),
        cache=user_cache_folder(),
        **named,
    )
    return msgspec.structs.replace(found, repo=top_level()) if found.repo == "." else found


def _ipam_from(values: dict[str, Any]) -> IpamSettings:
    names = {"name": "ipam"} | {name: f"ipam_{name}" for name in ("url", "token", "ca_file", "fleet", "insecure")}
    return IpamSettings(**{name: values.pop(option) for name, option in names.items()})


def selector_option() -> Callable[[F], F]:
    """--selector."""
    text = "Only resources with these labels (key=value,...)."
    return option("--selector", "-l", default="", metavar="LABELS", help=text, shell_complete=complete_selector)


def filter_options(command: F) -> F:
    """Targets and --selector."""
    command = selector_option()(command)
    return click.argument("targets", nargs=-1, metavar="[KIND[/NAME]]...", shell_complete=complete_target)(command)


def headers_option(command: F) -> F:
    """--no-headers, of tables."""
    return option("--no-headers", is_flag=True, help="Print tables without their headings.")(command)


def output_option(*formats: str, default: str, templates: tuple[str, ...] = ()) -> Callable[[F], F]:
    """-o, with the formats that the command knows."""
    return option(
        "--output",
        "-o",
        type=_Format(formats, templates),
        default=default,
        envvar="GROUNDSTATE_OUTPUT",
        help="Output format.",
    )
