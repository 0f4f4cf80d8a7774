"""What is wrong with one document as seen beside the others."""

from __future__ import annotations

from typing import Any

import msgspec

from reconciler.model.diagnostic import Severity
from reconciler.model.resource import Resource

FindingPath = tuple[str | int, ...]


class Finding(msgspec.Struct, frozen=True):
    """What is wrong with the value at `path` of a resource, seen beside the other resources."""

    code: str
    resource: Resource[Any]
    path: FindingPath
    summary: str
    detail: str = ""
    hint: str = ""
    severity: Severity = Severity.ERROR
