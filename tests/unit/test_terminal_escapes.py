"""What comes from elsewhere cannot steer the terminal that it is shown on."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from reconciler.commands import printing
from reconciler.commands.reports import events_command, get_commands
from reconciler.desired import report
from reconciler.desired.git.commits import _step
from reconciler.desired.manifest.manifests import dump_yaml, load_plain
from reconciler.kinds.common.column import ResourceView
from reconciler.kinds.common.machine_inventory import NO_INVENTORY
from reconciler.model.diagnostic import Diagnostic, Severity
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.resource import ResourceKey, Source
from reconciler.operations.reports.resource_views import Description

EVIL = "\x1b]0;PWNED\x07\x1b[2J\u202eeht\r\nFORGED line\ud800"
KEY = ResourceKey("Machine", "m1")


def is_clean(text: str) -> bool:
    text.encode()
    return all(line.isprintable() for line in text.split("\n")) and "FORGED" not in [
        line[:6] for line in text.split("\n")
    ]


def test_cells_of_tables_are_clean(capsys: pytest.CaptureFixture[str]) -> None:
    printing.print_table(["NAME", "MODEL"], [["m1", EVIL]], narrow=False)
    assert is_clean(capsys.readouterr().out)


def test_lines_of_events_are_clean() -> None:
    event = Event(datetime(2026, 1, 1, tzinfo=UTC), EventType.WARNING, EventReason.AGENT_FAILED, EVIL, KEY, by=EVIL)
    assert is_clean(events_command._event_line(event, "text"))


@pytest.mark.parametrize("form", report.REPORT_FORMATS)
def test_reports_are_clean(form: str) -> None:
    found = Diagnostic("malformed-path", Severity.ERROR, EVIL, Source("a.yaml", 1, 1), EVIL, EVIL, snippet=EVIL)
    assert is_clean(report.render_diagnostics(form, [found], files=1, resources=1))


def test_author_and_subject_are_clean_from_git_s_log_on() -> None:
    at = "2026-01-01T00:00:00+00:00"
    commit = _step("\x1f".join(["a" * 40, "", at, at, EVIL, EVIL]), []).commit
    assert is_clean(commit.author)
    assert is_clean(commit.subject)


@pytest.mark.parametrize("value", ["\u202eabc", "a\x1b[2J", "\x9b2J", "na\u00efve", "\u2028"])
def test_yaml_is_clean_and_reads_the_same(value: str) -> None:
    text = dump_yaml({"a": [value]})
    assert is_clean(text)
    assert load_plain(text) == {"a": [value]}


def test_what_is_described_is_clean() -> None:
    event = Event(datetime(2026, 1, 1, tzinfo=UTC), EventType.WARNING, EventReason.AGENT_FAILED, EVIL, KEY)
    view = ResourceView(KEY, None, None, "Ready", (), derived={"disks.count": EVIL})
    assert is_clean(get_commands._described(Description(view, None, None, NO_INVENTORY, [event])))
