"""`bmc.options` against the driver that they are for: a driver's own struct is as strict as any document."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec

from drivers.base import DriverOptions, Rejected
from drivers.registry import options_of
from reconciler.desired.manifest.validation import Problem, problems_by_schema
from reconciler.desired.rules.findings import Finding
from reconciler.kinds import KINDS
from reconciler.kinds.common.access.access_rules import DeclaredOptions
from reconciler.model.diagnostic import Severity
from reconciler.model.resource import Resource

UNKNOWN_DRIVER = "unknown-driver"
PATH = ("spec", "bmc", "options")


def check_driver_options(
    resources: Sequence[Resource[Any]], options_of: Callable[[str], type[DriverOptions] | None] = options_of
) -> Iterator[Finding]:
    """What is wrong with the options of partitions, and of machines with what they inherit. A field that is missing is
    the machine's fault, as a partition need not say all."""
    every = (one for kind in KINDS.values() if kind.access for one in kind.access.options(resources))
    for said in every:
        problems = _problems(said.driver, said.options, options_of)
        yield from _findings(said.resource, [one for one in problems if _is_said_here(one, said)])


def _is_said_here(problem: Problem, said: DeclaredOptions) -> bool:
    """What the partition says wrong is said there, once."""
    if problem.code == "missing-field":
        return said.whole
    return problem.path[0] in said.own if problem.path else bool(said.own)


def _problems(
    driver: str, said: Mapping[str, Any], options_of: Callable[[str], type[DriverOptions] | None]
) -> list[Problem]:
    try:
        wanted = options_of(driver)
    except Rejected as error:
        return [Problem(UNKNOWN_DRIVER, (), f"spec.bmc.options cannot be checked here: {error}")]
    if wanted is None:
        return [Problem("unknown-field", (), f"driver {driver} has no options", "", "remove the field `options`")]
    try:
        msgspec.convert(dict(said), wanted)
    except msgspec.ValidationError:
        return problems_by_schema(_schema(wanted), dict(said))
    return []


@cache
def _schema(wanted: type[DriverOptions]) -> bytes:
    return msgspec.json.encode(msgspec.json.schema(wanted))


def _findings(resource: Resource[Any], problems: Sequence[Problem]) -> Iterator[Finding]:
    for one in problems:
        severity = Severity.WARNING if one.code == UNKNOWN_DRIVER else Severity.ERROR
        summary = f"spec.bmc.options: {one.summary}"
        yield Finding(one.code, resource, (*PATH, *one.path), summary, one.detail, one.hint, severity)
