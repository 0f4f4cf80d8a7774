"""kubectl's paths and templates over documents."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.views.render.json_path import BadPath, parse_custom_columns, parse_field_path, render_json_path

MACHINE: dict[str, Any] = {
    "kind": "Machine",
    "metadata": {"name": "r1-01", "labels": {"rack": "r1", "example.org/row": "7"}},
    "spec": {"power": "On", "cores": 8, "boot": {"enabled": False}, "nets": [{"ips": ["a", "b"]}, {"ips": ["c"]}]},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Stalled", "status": "False"}]},
}
LIST = {"kind": "List", "items": [MACHINE, {"kind": "Machine", "metadata": {"name": "r1-02"}}]}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".metadata.name", ["r1-01"]),
        ("{.metadata.name}", ["r1-01"]),
        ("metadata.name", ["r1-01"]),
        ("$.metadata.name", ["r1-01"]),
        (".metadata.labels['example.org/row']", ["7"]),
        (r".metadata.labels.example\.org/row", ["7"]),
        (".spec.cores", [8]),
        (".spec.boot.enabled", [False]),
        (".spec.nets[0].ips", [["a", "b"]]),
        (".spec.nets[-1].ips[0]", ["c"]),
        (".spec.nets[*].ips[*]", ["a", "b", "c"]),
        (".spec.nets[0:1].ips", [["a", "b"]]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type!='Ready')].type", ["Stalled"]),
        (".spec.absent.deeper", []),
        (".", [MACHINE]),
    ],
)
def test_a_path_finds_values(path: str, found: list[Any]) -> None:
    assert parse_field_path(path).values(MACHINE) == found


@pytest.mark.parametrize("path", ["..name", ".a[", ".a[?(@.b)]", ".a b", ".a[?(@.b==c)]"])
def test_what_is_no_path_is_refused_in_words(path: str) -> None:
    with pytest.raises(BadPath, match=r"path|neither a number"):
        parse_field_path(path)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{.items[*].metadata.name}", "r1-01 r1-02"),
        (".items[*].metadata.name", "r1-01 r1-02"),
        ('{range .items[*]}{.metadata.name}:{.spec.power}{"\\n"}{end}', "r1-01:On\nr1-02:\n"),
        ("{range .items[*]}[{range .spec.nets[*]}{.ips[0]}{end}]{end}", "[ac][]"),
        ("power is {.items[0].spec.power}", "power is On"),
        ("{.items[0].spec.boot}", '{"enabled": false}'),
    ],
)
def test_a_template_is_filled_in(template: str, text: str) -> None:
    assert render_json_path(template, LIST) == text


@pytest.mark.parametrize("template", ["{range .items[*]}x", "x{end}"])
def test_a_range_and_its_end_belong_together(template: str) -> None:
    with pytest.raises(BadPath, match="range"):
        render_json_path(template, LIST)


@pytest.mark.parametrize("template", ["{range", "{.a", ".a}{", "{.a}}"])
def test_braces_belong_together(template: str) -> None:
    with pytest.raises(BadPath, match=r"brace|path"):
        render_json_path(template, LIST)


def test_custom_columns_have_headings_and_say_what_is_not_there() -> None:
    columns = parse_custom_columns('NAME:.metadata.name,READY:.status.conditions[?(@.type=="Ready")].status,X:.spec.x')
    assert [column.title for column in columns] == ["NAME", "READY", "X"]
    assert [column.cell(MACHINE) for column in columns] == ["r1-01", "True", "<none>"]


@pytest.mark.parametrize("text", ["", "NAME", "NAME:", ":.metadata.name", "A:.a,"])
def test_a_custom_column_needs_heading_and_path(text: str) -> None:
    with pytest.raises(BadPath, match="HEADING:PATH"):
        parse_custom_columns(text)
