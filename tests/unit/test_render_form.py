"""The JSON form: whole, versioned, and read back as the very same plan."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from reconciler.model.plans.plan import Plan
from reconciler.views.render.plans import plan_from_json, render_json, render_yaml
from tests.unit.planning_worlds import NOTHING, plans


@given(plans())
def test_a_plan_survives_the_round_trip(plan: Plan) -> None:
    assert plan_from_json(render_json(plan).encode()) == plan


@given(plans())
def test_fingerprints_survive_the_round_trip(plan: Plan) -> None:
    saved = plan_from_json(render_json(plan).encode())
    assert [change.fingerprint for change in saved.changes] == [change.fingerprint for change in plan.changes]


@given(plans())
def test_the_form_says_what_follows_from_the_plan(plan: Plan) -> None:
    form = json.loads(render_json(plan))
    assert next(iter(form)) == "format_version"
    assert form["exit_code"] == plan.exit_code
    assert [(c["goes"], c["disruption"]) for c in form["changes"]] == [(c.goes, c.disruption) for c in plan.changes]


def test_yaml_is_the_same_form_in_the_callers_words() -> None:
    assert json.loads(render_yaml(NOTHING, json.dumps)) == json.loads(render_json(NOTHING))


def test_fields_of_a_later_minor_version_are_ignored() -> None:
    form = json.loads(render_json(NOTHING)) | {"format_version": "5.7", "mood": "calm"}
    assert plan_from_json(json.dumps(form).encode()).revision == NOTHING.revision


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not a saved plan"),
        (b"hello", "not a saved plan"),
        (b"[]", "not a saved plan"),
        (b"{}", "not a saved plan"),
        (b"\xff\xfe", "not a saved plan"),
        (b'{"format_version": 1}', "not a saved plan"),
        (b'{"format_version": "1.0"}', "format '1.0'.*plan --out` again"),
        (b'{"format_version": "11.0"}', "format '11.0'"),
        (b'{"format_version": "5.0", "changes": 3}', "damaged"),
    ],
)
def test_what_is_no_plan_of_ours_is_refused_in_words(data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        plan_from_json(data)
