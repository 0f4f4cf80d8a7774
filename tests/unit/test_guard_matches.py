"""A guard that matches nothing is warned of: a typing error must not be found out on the day when it should hold."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from reconciler.desired.rules.guard_references import check_guards
from reconciler.kinds.ipam.network import NetworkSpec
from reconciler.model.diagnostic import Severity
from tests.unit.guard_worlds import guard, racked
from tests.unit.planning_worlds import desired, resource

NETWORK = resource("Network", "net-1", msgspec.convert({"prefixes": [{"cidr": "10.0.0.0/24"}]}, NetworkSpec))
FLEET = (racked("db-1", "On", {"role": "db"}), NETWORK)


@pytest.mark.parametrize(
    ("match", "path", "hint"),
    [
        ({"names": ["dbb-1"]}, "spec.match.names", "did you mean db-1?"),
        ({"selector": "role=web"}, "spec.match.selector", "choose one of the values of the label role: db"),
        ({"selector": "rolle=db"}, "spec.match.selector", "did you mean role?"),
        ({"selector": "role!=db", "kinds": ["Machine"]}, "spec.match", "no resource matches all fields"),
        ({"kinds": ["MachineClaim"]}, "spec.match.kinds", "declare a resource of that kind"),
    ],
)
def test_what_matches_nothing_is_said_with_the_field_and_what_is_near(match: Any, path: str, hint: str) -> None:
    (found,) = check_guards(desired(guard("g", match=match, protection="All"), *FLEET))
    assert (found.code, found.severity) == ("guard-matches-nothing", Severity.WARNING)
    assert ".".join(map(str, found.path)) == path
    assert hint in found.hint


def test_a_budget_that_counts_nothing_is_warned_of() -> None:
    (found,) = check_guards(desired(guard("g", match={"names": ["net-*"]}, budget={"maxDisrupted": 1}), *FLEET))
    assert (found.path, found.severity) == (("spec", "budget"), Severity.WARNING)


@pytest.mark.parametrize(
    "match",
    [
        {},
        {"names": ["db-*"]},
        {"selector": "role in (db,web)"},
        {"kinds": ["Machine", "MachineClaim"]},
        {"kinds": ["Network", "Machine"]},
    ],
)
def test_what_matches_something_is_not_warned_of(match: Any) -> None:
    found = check_guards(desired(guard("g", match=match, budget={"maxDisrupted": 1}), *FLEET))
    assert [one for one in found if one.code == "guard-matches-nothing"] == []


@pytest.mark.parametrize("match", [{"selector": "groundstate/size=huge"}, {"projects": ["shop"]}])
def test_what_only_facts_decide_is_not_warned_of(match: Any) -> None:
    """The size of a machine follows from its inventory, and its project from its claim."""
    found = check_guards(desired(guard("g", match=match, protection="All"), *FLEET))
    assert [one for one in found if one.code == "guard-matches-nothing"] == []


def test_a_budget_by_a_label_that_no_machine_has_is_warned_of() -> None:
    (found,) = check_guards(desired(guard("g", budget={"maxDisrupted": 1, "per": "label:rol"}), *FLEET))
    assert found.path == ("spec", "budget", "per")
    assert found.hint == "did you mean role?"


def test_nothing_is_said_beside_a_broken_document_that_the_guard_may_be_for() -> None:
    rule = guard("g", match={"names": ["web-*"]}, protection="All")
    assert check_guards(desired(rule, *FLEET), claimed={racked("web-1", "On").key}) == []
