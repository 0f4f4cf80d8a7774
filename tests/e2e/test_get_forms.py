"""What `get` prints in each format, as users of kubectl expect it; and `events` by time and type."""

from __future__ import annotations

import signal

import pytest
import yaml

from tests.e2e.desk import Desk, machine, partition

NAMES = ["m2", "m1", "m3"]
POWER = {"m1": "On", "m2": "Off", "m3": "On"}


@pytest.fixture
def lab(desk: Desk) -> Desk:
    """Three machines that were never observed; one is in maintenance."""
    maintenance = {"m3": {"maintenance": {"reason": "fans"}}}
    desk.commit(lab=[partition(), *(machine(n, f"{n}:1", power=POWER[n], **maintenance.get(n, {})) for n in NAMES)])
    return desk


def test_a_list_says_that_it_is_one_and_one_that_is_named_is_itself(lab: Desk) -> None:
    listed = lab.run("get", "machines", "-o", "json").json
    assert (listed["apiVersion"], listed["kind"]) == ("groundstate/v1", "List")
    assert [one["metadata"]["name"] for one in listed["items"]] == ["m1", "m2", "m3"]
    for named in (["machine/m1"], ["machine", "m1"]):
        assert yaml.safe_load(lab.run("get", *named, "-o", "yaml").out) == listed["items"][0]
    assert lab.run("get", "machines/m1*", "-o", "json").json["kind"] == "List"
    assert lab.run("describe", "machine/m1", "-o", "json").json["kind"] == "Machine"


def test_rows_without_headings_sorted_by_a_column_or_a_path(lab: Desk) -> None:
    columns = "custom-columns=NAME:.metadata.name,POWER:.spec.power"
    done = lab.run("get", "machines", "--no-headers", "--sort-by", ".spec.power", "-o", columns)
    assert [line.split() for line in done.out.splitlines()] == [["m2", "Off"], ["m1", "On"], ["m3", "On"]]
    first = lab.run("get", "machines", "--no-headers", "--sort-by", "status").out.splitlines()[0]
    assert first.split()[0] == "m3"


def test_resources_are_chosen_by_their_status(lab: Desk) -> None:
    assert lab.run("get", "machines", "--status", "Maintenance", "-o", "name").out == "Machine/m3\n"
    assert lab.run("get", "machines", "--status", "!Maintenance", "-o", "name").out == "Machine/m1\nMachine/m2\n"


def test_a_status_may_be_written_small(lab: Desk) -> None:
    assert lab.run("get", "machines", "--status", "maintenance", "-o", "name").out == "Machine/m3\n"
    assert lab.run("get", "machines", "--status", "!maintenance", "-o", "name").out == "Machine/m1\nMachine/m2\n"


def test_names_say_their_kind_where_several_kinds_are_listed_in_the_order_asked_for(lab: Desk) -> None:
    rows = lab.run("get", "machines,partitions", "--no-headers").out.splitlines()
    assert [row.split()[0] for row in rows] == ["Machine/m1", "Machine/m2", "Machine/m3", "Partition/lab"]
    assert lab.run("get", "partition/lab,machine/m2,machine/m1", "-o", "name").out.split() == [
        "Partition/lab",
        "Machine/m1",
        "Machine/m2",
    ]
    assert lab.run("get", "machines", "--no-headers").out.splitlines()[0].split()[0] == "m1"


def test_labels_are_a_column_where_they_are_asked_for(desk: Desk) -> None:
    labelled = {"labels": {"rack": "r1", "role": "web"}}
    one = machine("m1", "m1:1")
    one["metadata"] = {**one["metadata"], **labelled}
    desk.commit(lab=[partition(), one])
    assert desk.run("get", "machines", "--show-labels").out.splitlines()[1].split()[-1] == "rack=r1,role=web"


def test_a_tab_of_a_template_stays_a_tab(lab: Desk) -> None:
    template = '{range .items[*]}{.metadata.name}{"\\t"}{.spec.power}{"\\n"}{end}'
    assert lab.run("get", "machines", "-o", f"jsonpath={template}").out.splitlines()[0] == "m1\tOn"


def test_a_template_says_what_it_finds(lab: Desk) -> None:
    template = '{range .items[*]}{.metadata.name}={.spec.power}{"\\n"}{end}'
    assert lab.run("get", "machines", "-o", f"jsonpath={template}").out == "m1=On\nm2=Off\nm3=On\n"
    assert lab.run("get", "machine/m2", "-o", "jsonpath={.spec.power}").out == "Off\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--status", "Fine"], "'Fine' is not a status; write one of Ready"),
        (["--sort-by", "colour"], "neither a path, such as .metadata.name, nor a column: "),
        (["-o", "jsonpath={range .items[*]}"], "a {range} without an {end}"),
        (["-o", "custom-columns=NAME"], "write HEADING:PATH"),
        (["-o", "xml"], "'name', custom-columns=..., jsonpath=..."),
    ],
    ids=" ".join,
)
def test_what_cannot_be_is_refused_with_what_can(lab: Desk, arguments: list[str], said: str) -> None:
    done = lab.run("get", "machines", *arguments)
    assert (done.code, done.out) == (1, "")
    assert said in done.err


def test_watching_prints_what_changes_and_nothing_else(lab: Desk) -> None:
    with lab.running("get", "machines", "-w", "-o", "custom-columns=NAME:.metadata.name,POWER:.spec.power") as watching:
        watching.until(lambda: watching.out.count("\n") == 4, "a heading and three rows")
        lab.commit(lab=[partition(), *(machine(n, f"{n}:1", power="On") for n in NAMES)])
        watching.until(lambda: "m2     On" in watching.out, "the new row, below the others")
        assert watching.out.count("NAME") == 1
        assert watching.out.count("m1") == 1
        assert watching.end(signal.SIGINT).code == 0


def test_events_are_chosen_by_type_and_time(lab: Desk) -> None:
    begun = lab.run("override", "mass-removal", "--for", "1h", "--reason", "INC-7")
    assert begun.code == 0, begun.err
    assert "OverrideBegan" in lab.run("events", "--type", "warning", "--since", "1h").out
    assert lab.run("events", "--type", "Normal").out == ""
    assert lab.run("events", "--since", "2099-01-01").out == ""
    assert yaml.safe_load(lab.run("events", "-o", "yaml").out)["reason"] == "OverrideBegan"
    refused = lab.run("events", "--since", "soonish")
    assert (refused.code, refused.out) == (1, "")
