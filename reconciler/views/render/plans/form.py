"""The plan's JSON form: what a saved plan is, and what other programs read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from reconciler.model.plans.plan import FORMAT_VERSION, Plan
from reconciler.views.render.plans.groups import summarize


class _Versioned(msgspec.Struct):
    format_version: str


def to_form(plan: Plan) -> dict[str, Any]:
    """The plan as dicts, lists and scalars.

    Besides the Plan's own fields: `summary` (counts), `exit_code`, and for each change `disruption` and `goes`
    (whether something would be sent now). These follow from the rest and are not read back.
    """
    form: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(plan))
    for change, reported in zip(plan.changes, form["changes"], strict=True):
        reported["disruption"], reported["goes"] = change.disruption.value, change.goes
    form["exit_code"] = plan.exit_code
    form["summary"] = msgspec.to_builtins(summarize(plan))
    return form


def render_json(plan: Plan) -> str:
    """The JSON form, indented."""
    return msgspec.json.format(msgspec.json.encode(to_form(plan)), indent=2).decode()


def render_yaml(plan: Plan, dump: Callable[[object], str]) -> str:
    """The JSON form as YAML. `dump` writes YAML; the one library for it has its own door elsewhere."""
    return dump(to_form(plan))


def plan_from_json(data: bytes) -> Plan:
    """The plan that `render_json` wrote. Raises ValueError: no plan, a damaged one, or one of another major version.

    Fields that a later minor version added are ignored.
    """
    try:
        version = msgspec.json.decode(data, type=_Versioned).format_version
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"this is not a saved plan ({error}); make one with `groundstate plan --out FILE`") from None
    if version.partition(".")[0] != FORMAT_VERSION.partition(".")[0]:
        raise ValueError(
            f"this plan has format {version!r}, but this groundstate reads format {FORMAT_VERSION}; "
            "run `groundstate plan --out` again with this version"
        )
    try:
        return msgspec.json.decode(data, type=Plan)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"the saved plan is damaged ({error}); run `groundstate plan --out` again") from None
