"""What is wrong with an input, said to a person: every problem of a run at once, each with its place and a hint."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from reconciler.model.resource import Source


class Severity(StrEnum):
    """Errors refuse the revision; warnings are shown and pass."""

    ERROR = "error"
    WARNING = "warning"


class Diagnostic(msgspec.Struct, frozen=True, omit_defaults=True):
    """One problem: `file:line:column: code: what, why, what to do`.

    `code` is stable kebab-case (`unknown-field`); `summary` says what; `detail` why; `hint` what to do; `snippet` is
    the offending line as it stands in the file.
    """

    code: str
    """What is wrong; a code never changes its meaning."""
    severity: Severity
    """Whether it refuses the revision."""
    summary: str
    """What is wrong, in a sentence."""
    source: Source | None = None
    """Where."""
    detail: str = ""
    """Why; empty: the summary says it."""
    hint: str = ""
    """How to proceed; empty: nothing."""
    snippet: str = ""
    """The offending line of the file."""


class Invalid(Exception):
    """The input was refused. Carries every diagnostic of the run, at least one of them an error."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        super().__init__("; ".join(f"{d.source}: {d.summary}" if d.source else d.summary for d in diagnostics[:3]))
        self.diagnostics = diagnostics
