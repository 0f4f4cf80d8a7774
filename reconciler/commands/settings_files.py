"""The settings files: which there are, who may say what in them, and a command's part of what they say.

A file that `--config` names says everything. Else it is the user's own, `~/.config/groundstate/config.toml`, and beside
it the one that is found with the repository. The repository's file travels with a checkout, so secrets and guards
cannot be set in it."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click
import msgspec

from reconciler.commands.caller import top_level
from reconciler.commands.options import SETTINGS_FILE
from reconciler.kinds.common.access.credentials import Grants, grants_from

FOUND_MAY_SET = frozenset(
    (
        *("output", "full", "depth", "limit", "events", "watch", "fail_on_unknown", "log_format"),
        *("refresh", "concurrency", "rate", "port", "timeout", "connect_timeout", "interval", "resync"),
    )
)
"""The settings that the repository's file may set for all users: output, and intervals of observation.

Whatever is new may not, until it stands here. What is observed may not either: a pull request with `ref = "main"` or
another `path` would be planned as no change at all."""

NEVER_SETTINGS = {"yes", "allow_empty"}
"""What a person must say each time."""


class SettingsFile(msgspec.Struct, frozen=True):
    """A settings file. `named`: by --config; `found`: with the repository."""

    path: Path
    named: bool = False
    found: bool = False


class Settings(msgspec.Struct, frozen=True):
    """What the files say, each with its values as they stand in it; later ones go before earlier ones."""

    files: tuple[tuple[SettingsFile, dict[str, Any]], ...]
    grants: Grants

    @property
    def base(self) -> Path | None:
        """Where relative paths in documents begin: at the file that is named, or that was found."""
        return next((file.path.parent for file, _ in self.files if file.named or file.found), None)

    def of(self, command: click.Command, every: Callable[[], Iterable[click.Command]]) -> dict[str, Any]:
        """A command's part. Raises UsageError for a name that none of `every` command knows, and for one that the file
        may not set."""
        mine: dict[str, Any] = {}
        for file, values in self.files:
            mine |= _own(file, values, command, every)
        return mine


def user_file() -> Path | None:
    """Where the operator has settings (XDG base directories); None for a user without a home."""
    try:
        root = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    except RuntimeError:
        return None
    return Path(root).absolute() / "groundstate" / "config.toml"


def find_settings() -> Path | None:
    """The settings file of the current folder, or else of the repository around it."""
    found = (Path(folder) / SETTINGS_FILE for folder in (".", top_level()))
    return next((path.absolute() for path in found if path.is_file()), None)


def read_settings(named: Path | None) -> Settings:
    """All of them. Raises UsageError for what cannot be read, or is not to be trusted."""
    mine, found = user_file(), find_settings()
    files = [SettingsFile(named.absolute(), named=True)] if named is not None else []
    if named is None and mine is not None and mine.is_file():
        files.append(SettingsFile(mine))
    if named is None and found is not None and found != mine:
        files.append(SettingsFile(found, found=True))
    values = [(file, _read(file)) for file in files]
    grants: dict[str, Any] = {}
    for file, table in values:
        own = {name: table.pop(name) for name in Grants.__struct_fields__ if name in table}
        if file.found and own:
            raise click.UsageError(_not_here(file.path, sorted(own)))
        grants |= _located_grants(own, file.path.parent)
    try:
        return Settings(tuple(values), grants_from(grants))
    except ValueError as error:
        raise click.UsageError(f"{files[0].path}: {error}") from None


def _read(file: SettingsFile) -> dict[str, Any]:
    try:
        # Asked of the open file, so that it is the one that is read.
        with file.path.open("rb") as opened:
            if not file.named and (why := _distrust(os.fstat(opened.fileno()), file)):
                raise click.UsageError(
                    f"{file.path}: {why}, so groundstate does not read the file. {_AS_IT_IS.format(file.path)}"
                )
            values = tomllib.loads(opened.read().decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise click.UsageError(f"{file.path}: cannot be read as settings: {error}") from None
    return {name.replace("-", "_"): value for name, value in values.items()}


_AS_IT_IS = "Make the file your own (chown, chmod go-w), or name the file with --config {}"


def _distrust(opened: os.stat_result, file: SettingsFile) -> str | None:
    """Why a settings file that was not named is refused. With sudo, the files of the caller are one's own."""
    owners = {0, os.geteuid()}
    caller = os.environ.get("SUDO_UID", "")
    if os.geteuid() == 0 and caller.isascii() and caller.isdigit():
        owners.add(int(caller))
    if opened.st_uid not in owners:
        return "the file belongs to another user"
    others = stat.S_IWOTH if file.found else stat.S_IWOTH | stat.S_IWGRP
    if opened.st_mode & others:
        return "other users may write to the file"
    # Whoever may write there can put a link in its place, to another file of the same user.
    if not file.found and file.path.parent.stat().st_mode & others:
        return "other users may write to the folder of the file"
    return None


def _not_here(path: Path, names: list[str]) -> str:
    mine = user_file()
    place = f"{mine} (yours), or in" if mine else "in"
    are = " and ".join(names)
    return (
        f"{path} may not set {are}: the file belongs to the repository, so a pull request could change where "
        f"secrets are sent, or what guards allow. Write the setting in {place} "
        "a file that --config or GROUNDSTATE_CONFIG names"
    )


def _own(
    file: SettingsFile, values: dict[str, Any], command: click.Command, every: Callable[[], Iterable[click.Command]]
) -> dict[str, Any]:
    mine = _settable(command)
    if others := values.keys() - mine:
        known = set().union(*(_settable(one) for one in every())) | {*Grants.__struct_fields__}
        for name in sorted(others - known):
            near = get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; settings are {', '.join(sorted(known))}"
            raise click.UsageError(f"{file.path}: {name!r} is not a setting{hint}")
    if file.found and (forbidden := sorted(values.keys() - FOUND_MAY_SET)):
        raise click.UsageError(_not_here(file.path, forbidden))
    own = {name: values[name] for name in mine & values.keys() if not _of_others(name, values[name], command, every)}
    return {name: _located(name, value, file.path.parent) for name, value in own.items()}


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
    if not relative or "://" in relative or _at_home(relative).is_absolute():
        return value
    return f"{prefix}{base / relative}"


def _located_grants(own: dict[str, Any], base: Path) -> dict[str, Any]:
    """The same for the files of credentials; what has another shape than it should is reported later."""
    named = own.get("credentials")
    for one in named.values() if isinstance(named, dict) else ():
        if isinstance(one, dict) and isinstance(one.get("file"), str):
            one["file"] = str(base / _at_home(one["file"]))
    return own


def _at_home(text: str) -> Path:
    """`~` is a home; of a user who is not known, it is nothing but a character."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def _settable(command: click.Command) -> set[str]:
    options = (param for param in command.params if isinstance(param, click.Option) and param.envvar)
    return {option.name for option in options if option.name} - NEVER_SETTINGS
