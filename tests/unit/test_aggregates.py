"""Aggregates are numbers of an inventory; a path that cannot yield one collection is refused when it is declared."""

from __future__ import annotations

import re
from typing import Any

import pytest

from drivers.base import Disk, Inventory, Neighbour, Nic, Processor
from reconciler.desired.load import load_state
from reconciler.kinds.catalogue.aggregate import (
    DEFAULTS,
    AggregateItem,
    AggregateSpec,
    Function,
    aggregate_items,
    aggregates,
    check_aggregate,
    label_number,
)
from tests.unit.desired_worlds import HEAD, MemorySnapshot
from tests.unit.planning_worlds import desired, resource

SEEN = Inventory(
    processors=(Processor("Xeon", 8, 16), Processor("Xeon", 8, 16)),
    memory=64 << 30,
    disks=(Disk("nvme0", 100, "A"), Disk("nvme1", 300), Disk("sda", 500, "A")),
    nics=(Nic("eth0", "52:54:00:00:00:01", 25_000), Nic("eth1", "52:54:00:00:00:02")),
    neighbours=(Neighbour("eth0", "leaf01", "swp1"),),
)


def item(path: str, function: str = "count", target: str = "x") -> AggregateItem:
    return AggregateItem(source_path=path, target_path=target, aggregate=Function(function))


def declared(*made: AggregateItem, name: str = "a") -> Any:
    return resource("Aggregate", name, AggregateSpec(items=made))


@pytest.mark.parametrize(
    ("path", "function", "number"),
    [
        ("disks[*].size", "sum", 900),
        ("disks[*].size", "avg", 300),
        ("disks[*].size", "min", 100),
        ("disks[*].size", "max", 500),
        ("disks[*].size", "count", 3),
        ("disks", "count", 3),
        ("disks[?starts_with(name, 'nvme')].size", "sum", 400),
        ("disks[?size > `200`].size", "sum", 800),
        ("disks[?model == 'A']", "count", 2),
        ("disks[0].size", "max", 100),
        ("memory", "sum", 64 << 30),
        ("processors[].threads", "avg", 16),
        ("nics[*].speed", "min", 25_000),
        ("gpus", "count", 0),
        ("gpus[*].model", "count", 0),
        ("disks[?size > `900`].size", "sum", None),
        ("disks[9].size", "sum", None),
        ("modules[*].size", "sum", None),
        ("disks[?starts_with(model, 'A')].size", "sum", None),
    ],
)
def test_a_number_is_made_of_what_the_path_yields(path: str, function: str, number: float | None) -> None:
    assert check_aggregate(declared(item(path, function))) == []
    assert aggregates(SEEN, [item(path, function)]) == {"x": number}


@pytest.mark.parametrize("part", ["disks", "processors", "gpus", "nics", "memory"])
def test_without_data_there_is_no_number_rather_than_none_of_them(part: str) -> None:
    silent = Inventory(missing=("processors", "memory", "disks", "gpus"))
    assert aggregates(silent, [item(part)]) == aggregates(None, [item(part)]) == {"x": None}


@pytest.mark.parametrize(
    ("path", "function", "code", "said"),
    [
        ("[disks[*].size, nics[*].speed]", "sum", "malformed-path", "several lists"),
        ("disks[*].sise", "sum", "malformed-path", "did you mean size?"),
        ("blocks[*].size", "sum", "malformed-path", "there are processors, memory, disks"),
        ("disks.size", "sum", "malformed-path", r"write \[\*\].size"),
        ("memory[*]", "sum", "malformed-path", "can only follow a list"),
        ("disks[?sice > `1`].size", "sum", "malformed-path", "did you mean size?"),
        ("disks[", "sum", "malformed-path", "Incomplete expression"),
        ("length(disks)", "sum", "malformed-path", "not allowed in paths"),
        ("disks[?length(to_string([@,@]|[@,@]|@))>`1`]", "count", "malformed-path", "a filter cannot use to_string"),
        ("disks[?[@,@]]", "count", "malformed-path", "multi select lists are not allowed in paths inside of filters"),
        ("disks[?{a: @}]", "count", "malformed-path", "not allowed in paths inside of filters"),
        ("disks[?@|@]", "count", "malformed-path", "pipes are not allowed in paths inside of filters"),
        ("disks[?name[?name]]", "count", "malformed-path", "not allowed in paths inside of filters"),
        ("disks[?size > `[1]`]", "count", "malformed-path", "not with lists"),
        ("disks[?map(&size, @)]", "count", "malformed-path", "a filter cannot use map"),
        ("disks[?\x1b]0;x\a\u202e]", "count", "malformed-path", r"\\x1b\]0;x"),
        (r'disks[?"\u001b[2J"]', "count", "malformed-path", r"there is no \\x1b\[2J"),
        ("(" * 126 + "disks", "count", "malformed-path", ""),
        ("disks[*].name", "sum", "not-a-number", "gives no numbers"),
        ("disks", "avg", "not-a-number", "gives no numbers"),
    ],
)
def test_a_path_that_makes_no_sense_is_refused(path: str, function: str, code: str, said: str) -> None:
    (found,) = check_aggregate(declared(item(path, function)))
    assert (found.code, found.path) == (code, "spec.items.0.sourcePath")
    assert re.search(said, found.summary)
    assert found.summary.isprintable()


@pytest.mark.parametrize(
    "path",
    [
        "disks[?starts_with(name, '/dev/nvme') && size > `1000`].size",
        "disks[?!(contains(model, 'x') || ends_with(serial, 'y'))]",
        "disks[?length(name) > `3` && @.size != `null`]",
        "processors[*].cores",
        "disks[0].size",
    ],
)
def test_what_asks_something_of_each_value_is_allowed(path: str) -> None:
    assert check_aggregate(declared(item(path, "count"))) == []


def test_a_path_that_got_by_the_check_is_not_searched_with_either() -> None:
    bomb = "disks[?length(to_string([@,@]" + "|[@,@]" * 35 + ")) > `1`]"
    assert aggregates(Inventory(disks=(Disk("sda", 1),)), [item(bomb, "count")]) == {"x": None}


def test_a_name_that_is_made_twice_is_refused() -> None:
    (found,) = check_aggregate(declared(item("disks"), item("gpus")))
    assert (found.code, found.path) == ("second-target", "spec.items.1.targetPath")


def test_two_documents_that_make_the_same_number_are_refused_at_the_second() -> None:
    text = "".join(
        f"{HEAD}kind: Aggregate\nmetadata: {{name: {name}}}\nspec:\n  items:\n"
        "    - {sourcePath: disks, targetPath: disks.all, aggregate: count}\n---\n"
        for name in ("a", "b")
    )
    loaded = load_state(MemorySnapshot({"a.yaml": text}))
    assert [(one.code, one.source.line) for one in loaded.diagnostics if one.source] == [("duplicate-aggregate", 13)]


def test_the_defaults_are_there_and_each_can_be_declared_otherwise() -> None:
    own = item("disks[?size > `200`].size", "sum", "disks.capacity")
    everything = aggregate_items(desired(declared(own, item("gpus", target="gpus.count"))))
    found = aggregates(SEEN, everything)
    assert {one.target_path for one in DEFAULTS} | {"gpus.count"} == found.keys()
    assert (found["disks.capacity"], found["gpus.count"], found["cpus.cores"]) == (800, 0, 16)


def test_every_default_makes_sense() -> None:
    assert check_aggregate(declared(*DEFAULTS)) == []


@pytest.mark.parametrize(
    ("number", "text"), [(None, None), (0, "0"), (2.0, "2"), (2.5, "2.5"), (1 / 3, "0.333"), (900.0001, "900")]
)
def test_a_label_has_a_whole_number_where_it_is_whole(number: float | None, text: str | None) -> None:
    assert label_number(number) == text
