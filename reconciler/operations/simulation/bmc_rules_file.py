"""A file of fault rules for simulated BMCs: YAML that is checked against a schema, with the place of every error."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from drivers.bmc.simulator.fleet.fault_api import rule_fault
from drivers.bmc.simulator.fleet.fault_rules import FaultRule
from reconciler.desired.manifest.manifests import Marked
from reconciler.desired.manifest.schemas import plain_schema
from reconciler.desired.manifest.validation import Problem, problems_by_schema
from reconciler.operations.operation_error import FailureReason, OperationError


class RulesFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is in the file."""

    rules: list[FaultRule]


_RULES_FILE = msgspec.json.Decoder(RulesFile)


def read_rules(file: Path) -> list[FaultRule]:
    """The rules of a file. Raises OperationError, with a diagnostic for every error."""
    try:
        data = file.read_bytes()
    except OSError as error:
        why = f"--rules {file}: the file cannot be read: {error.strerror}"
        raise OperationError(why, FailureReason.UNAVAILABLE) from error
    marked = Marked(str(file), data, _problems)
    found = marked.diagnose()
    if found:
        raise OperationError("", FailureReason.INVALID, diagnostics=found, files=1)
    return [rule for document in marked.documents for rule in _decoded(document.value)]


@cache
def rules_schema() -> bytes:
    """The JSON Schema of the file."""
    return msgspec.json.encode(plain_schema(msgspec.json.schema(RulesFile)))


def _problems(value: Any) -> list[Problem]:
    found = problems_by_schema(rules_schema(), value)
    if found:
        return found
    for number, rule in enumerate(_decoded(value)):
        wrong = rule_fault(rule)
        if wrong is not None:
            field, why = wrong
            path: tuple[str | int, ...] = ("rules", number, *([field] if field in value["rules"][number] else []))
            found.append(Problem("invalid-rule", path, why))
    return found


def _decoded(value: Any) -> list[FaultRule]:
    return _RULES_FILE.decode(msgspec.json.encode(value)).rules
