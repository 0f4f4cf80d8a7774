"""`bmc.options` against the driver that they are for: a driver's own struct is as strict as any document."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec

from drivers.base import DriverOptions, Rejected
from drivers.registry import BMC_DRIVERS, options_of
from reconciler.desired.manifest.validation import Problem, problems_by_schema
from reconciler.desired.rules.findings import Finding
from reconciler.kinds import KINDS
from reconciler.kinds.common.access.access_rules import DeclaredOptions
from reconciler.model.counting import count
from reconciler.model.diagnostic import Severity
from reconciler.model.resource import Resource

UNKNOWN_DRIVER = "unknown-driver"
PATH = ("spec", "bmc", "options")
_DRIVER = ("spec", "bmc", "driver")


def check_driver_options(
    resources: Sequence[Resource[Any]], options_of: Callable[[str], type[DriverOptions] | None] = options_of
) -> Iterator[Finding]:
    """What is wrong with the options of partitions, and of machines with what they inherit. A field that is missing is
    the machine's fault, as a partition need not say all. A driver that is not installed is named once."""
    unknown: dict[str, tuple[str, list[DeclaredOptions]]] = {}
    every = (one for kind in KINDS.values() if kind.access for one in kind.access.options(resources))
    for said in every:
        if not said.options and said.driver in BMC_DRIVERS:
            continue  # These have none; to ask them would import them.
        try:
            problems = _problems(said.driver, said.options, options_of)
        except Rejected as error:
            if said.names_driver or said.own:
                unknown.setdefault(said.driver, (str(error), []))[1].append(said)
            continue
        yield from _findings(said.resource, [one for one in problems if _is_said_here(one, said)])
    for why, named in unknown.values():
        yield _not_installed(why, named)


def _not_installed(why: str, named: Sequence[DeclaredOptions]) -> Finding:
    more = f"; {count(len(named) - 1, 'other document')} too" if len(named) > 1 else ""
    first = named[0]
    path = _DRIVER if first.names_driver else PATH
    return Finding(UNKNOWN_DRIVER, first.resource, path, f"spec.bmc.driver: {why}{more}", severity=Severity.WARNING)


def _is_said_here(problem: Problem, said: DeclaredOptions) -> bool:
    """An error in the partition is reported at the partition, once."""
    if problem.code == "missing-field":
        return said.whole
    return problem.path[0] in said.own if problem.path else bool(said.own)


def _problems(
    driver: str, said: Mapping[str, Any], options_of: Callable[[str], type[DriverOptions] | None]
) -> list[Problem]:
    wanted = options_of(driver)
    if wanted is None and not said:
        return []
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
        summary = f"spec.bmc.options: {one.summary}"
        yield Finding(one.code, resource, (*PATH, *one.path), summary, one.detail, one.hint)
