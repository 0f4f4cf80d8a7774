"""A file of faults: which incidents a simulation has, when, how likely and where, in place of what a seed picks."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from reconciler.desired.manifest.manifests import Marked
from reconciler.desired.manifest.validation import Problem, nearest, problems_by_schema
from reconciler.desired.manifest.yaml_reader import YamlDocument
from reconciler.kinds.common.field_types.duration import Duration, parse_duration_text
from reconciler.kinds.common.field_types.fields import Spec
from reconciler.model.diagnostic import Diagnostic, Severity
from reconciler.model.resource import Source
from reconciler.operations.operation_error import FailureReason, OperationError
from reconciler.operations.simulation.scenarios.incidents import (
    INCIDENT_NAMES,
    Chance,
    Incident,
    ScenarioStep,
    incident_step,
)

_SHORTEST = 1.0


class PlannedFault(Spec, frozen=True, kw_only=True):
    """An incident of the file."""

    incident: Annotated[str, Meta(description="The name of the incident, as `--only` takes it.")]
    at: Annotated[Duration, Meta(description="When it happens first, since the start.")] = "0s"
    every: Annotated[Duration, Meta(description="After which time it happens again. None: once.")] | None = None
    probability: Annotated[float, Meta(ge=0.0, le=1.0, description="How likely it happens each time.")] = 1.0
    machines: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        Meta(description="The machines that it concerns, such as `m01` or `m*`. None: the seed picks them."),
    ] = ()
    amount: (
        Annotated[
            float,
            Meta(
                ge=-86400.0,
                le=86400.0,
                description=("For a BMC, how often it does so. Otherwise seconds. None: the seed picks it."),
            ),
        ]
        | None
    ) = None


class FaultsFile(Spec, frozen=True, kw_only=True):
    """The file."""

    faults: Annotated[list[PlannedFault], Meta(min_length=1, description="What goes wrong.")]


def read_faults(path: Path) -> tuple[PlannedFault, ...]:
    """The faults of a file. Raises OperationError, with the place of each error."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise OperationError(
            f"{path} cannot be read: {error.strerror}; name another file", FailureReason.NOT_FOUND
        ) from error
    file = _File(str(path), data)
    found = file.diagnose()
    if not found and len(file.documents) != 1:
        source = Source(str(path), file.documents[1].line if file.documents else 1, 1)
        found = [Diagnostic("not-one-document", Severity.ERROR, "the file must have one YAML document", source)]
    if found:
        raise OperationError(f"{path} is not valid", FailureReason.INVALID, diagnostics=found, files=1)
    return tuple(msgspec.convert(file.documents[0].value, FaultsFile).faults)


class _File(Marked):
    """The file with the place of everything in it."""

    def _problems(self, document: YamlDocument) -> list[Problem]:
        found = problems_by_schema(_SCHEMA, document.value)
        return found or [
            problem
            for number, one in enumerate(document.value["faults"])
            for problem in _problems_of(("faults", number), msgspec.convert(one, PlannedFault))
        ]


def _problems_of(path: tuple[str | int, ...], fault: PlannedFault) -> list[Problem]:
    found = []
    if fault.incident not in INCIDENT_NAMES:
        near = nearest(fault.incident, list(INCIDENT_NAMES))
        hint = f"did you mean {near}?" if near else f"the incidents are {', '.join(INCIDENT_NAMES)}"
        found.append(Problem("unknown-incident", (*path, "incident"), f"no incident {fault.incident!r}", "", hint))
    if fault.every is not None and _seconds(fault.every) < _SHORTEST:
        found.append(Problem("too-often", (*path, "every"), "every must be at least 1s"))
    return found


_SCHEMA: Any = msgspec.json.encode(msgspec.json.schema(FaultsFile))


def fault_steps(
    chance: Chance, faults: Sequence[PlannedFault], machines: Sequence[str], managed: Sequence[str], seconds: float
) -> list[tuple[float, ScenarioStep]]:
    """What they come to within so many seconds: each with its time since the start."""
    found = []
    for fault in faults:
        at = _seconds(fault.at)
        while at < seconds:
            step = incident_step(chance, 0.0, INCIDENT_NAMES[fault.incident], machines, managed)
            if chance.random() < fault.probability:
                there = managed if step.what is Incident.INSTALLATION_FAILED else (*machines, *managed)
                named = tuple(name for name in there if any(fnmatchcase(name, one) for one in fault.machines))
                some = named if fault.machines else step.machines
                amount = step.amount if fault.amount is None else fault.amount
                found.append((at, msgspec.structs.replace(step, machines=some, amount=amount)))
            if fault.every is None:
                break
            at += _seconds(fault.every)
    return found


def _seconds(text: str) -> float:
    return parse_duration_text(text).total_seconds()
