"""What is done about a Guard: a looser spec takes force an hour after the commit, and so does a removal. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from reconciler.kinds.common.field_types.managed_field import Field
from reconciler.kinds.common.kind import KindView, Steps
from reconciler.kinds.guard.guard_fact_rules import as_guard_facts, remembered_spec
from reconciler.kinds.guard.loosening import loosens
from reconciler.kinds.guard.spec import GuardSpec
from reconciler.model.actions.action import Action
from reconciler.model.actions.action_base import Forget
from reconciler.model.actions.record_actions import RetireGuard
from reconciler.model.plans.plan import Hold, HoldKind, typed
from reconciler.model.resource import Resource


class GuardRules:
    """Implements Rules. What is observed of a guard is the strictest spec that is in force."""

    def fields(self, resource: Resource[GuardSpec], view: KindView) -> tuple[Field, ...]:
        """The blocks that are looser than in a spec that is in force still."""
        found: dict[str, Field] = {}
        wanted = msgspec.to_builtins(resource.spec)
        for former in as_guard_facts(view.facts).former:
            old = remembered_spec(former.spec)
            for block in loosens(old, resource.spec) if old is not None else ():
                path = f"spec.{block}"
                found.setdefault(path, Field(path, wanted.get(block), former.spec.get(block), equal=False))
        return tuple(found.values())

    def steps(self, resource: Resource[GuardSpec], view: KindView, fields: tuple[Field, ...]) -> Steps:
        """The former spec ends when its hour is over."""
        action = RetireGuard(key=view.key, reason="the former, stricter spec of the guard stayed in force for an hour")
        return Steps((action,), _holds(view, "a commit made the guard less strict"))

    def removal(self, view: KindView) -> Steps:
        """A guard that was removed is forgotten when its hour is over."""
        return Steps((Forget(key=view.key, reason="no longer declared"),), _holds(view, "a commit removed the guard"))

    def confirmed(self, action: Action, value: Any) -> bool:
        """Written down is done."""
        return True

    def patience(self, action: Action, resource: Resource[Any] | None) -> float:
        """Nothing is sent."""
        return 1.0


def _holds(view: KindView, what: str) -> tuple[Hold, ...]:
    ends = max((one.until for one in as_guard_facts(view.facts).former if view.now < one.until), default=None)
    return () if ends is None else (_hold(view, what, ends),)


def _hold(view: KindView, what: str, ends: datetime) -> Hold:
    reason = f"{what}; the former spec stays in force until {ends:%Y-%m-%d %H:%M:%S}Z"
    hint = (
        f"wait until {ends:%H:%M:%S}Z, when the new spec takes effect. Before that, "
        f"`groundstate override {typed(view.key)} --for 1h --reason WHY` allows what the guard holds"
    )
    return Hold(HoldKind.BLOCKED, "loosening", reason, hint)
