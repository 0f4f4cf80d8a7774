"""What `-o json` and `-o yaml` say is the same data."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import msgspec
import pytest
import yaml

from reconciler.commands import printing
from reconciler.commands.printing import dump, print_table
from reconciler.model.outcome import ConditionReason
from reconciler.model.resource import ResourceKey

VALUES = [
    pytest.param({"reason": ConditionReason.HELD}, id="a reason of a closed list"),
    pytest.param({ConditionReason.HELD: 1}, id="counted by reason"),
    pytest.param({"since": datetime(2026, 11, 29, 12, 30, tzinfo=UTC)}, id="a time"),
    pytest.param([ResourceKey("Machine", "r12-01")], id="a struct"),
    pytest.param({"power": None, "ports": (1, 2), "open": True}, id="plain data"),
]


@pytest.mark.parametrize("value", VALUES)
def test_yaml_says_the_same_as_json(value: object) -> None:
    assert yaml.safe_load(dump(value, "yaml")) == msgspec.json.decode(dump(value, "json"))


ROWS = [["r12-01", "frankfurt-north", "Ready"], ["r12-02", "-", "Held"], ["\u6a5f", "fra1", ""]]


def printed(capsys: pytest.CaptureFixture[str], **options: object) -> list[str]:
    print_table(["NAME", "PARTITION", "STATUS"], ROWS, **{"narrow": False, **options})  # type: ignore[arg-type]
    return capsys.readouterr().out.splitlines()


def test_columns_stand_below_their_titles_whatever_the_width_of_a_character(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys) == [
        "NAME     PARTITION         STATUS",
        "r12-01   frankfurt-north   Ready",
        "r12-02   -                 Held",
        "\u6a5f       fra1",
    ]


def test_rows_without_titles_stand_below_earlier_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, headers=False, least=[8, 9, 6])[0] == "r12-01     frankfurt-north   Ready"


def test_a_narrow_terminal_cuts_the_widest_columns_and_names_last(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(printing, "on_terminal", lambda _: True)
    monkeypatch.setenv("COLUMNS", "30")
    lines = [click.unstyle(line) for line in printed(capsys, narrow=True)]
    assert lines[:2] == ["NAME     PARTITION      STATUS", "r12-01   frankfurt-n\u2026   Ready"]


def test_an_empty_table_has_its_titles(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["NAME"], [], narrow=True)
    assert capsys.readouterr().out == "NAME\n"
